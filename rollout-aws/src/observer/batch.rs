//! Reads of several callers in one call.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::id::RunId;
use rollout_core::pace::Priority;
use rollout_core::time::Timestamp;

use super::{SharedObserver, Toll, called, patience};

/// How long one run must have been the only one that asks until it is taken for alone.
const ALONE: Duration = Duration::from_secs(10);

type Work<V> = Pin<Box<dyn Future<Output = Arc<Answered<V>>> + Send>>;

/// What a call has brought to all who share it.
pub(crate) struct Answered<V> {
    sent_at: Timestamp,
    /// How many items were asked for.
    items: usize,
    found: Result<BTreeMap<String, V>, Error>,
}

/// The reads of one operation.
pub(crate) struct Batcher<V> {
    action: &'static str,
    most: usize,
    state: Mutex<State<V>>,
}

struct State<V> {
    /// The call that can still be joined, for each scope and priority.
    open: BTreeMap<(String, Priority), Open<V>>,
    /// The run that has asked last, and since when no other has.
    last: Option<(RunId, Timestamp)>,
}

/// A call that has not been sent. It is carried on by whoever waits for it; nobody owns it.
struct Open<V> {
    items: Arc<Mutex<Items>>,
    work: WeakShared<Work<V>>,
}

#[derive(Default)]
struct Items {
    names: BTreeSet<String>,
    closed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Items {
    /// Adds all of them, if there is room.
    fn join(&mut self, keys: &[String], most: usize) -> bool {
        let more = keys.iter().filter(|key| !self.names.contains(*key)).count();
        if self.closed || self.names.len() + more > most {
            return false;
        }
        self.names.extend(keys.iter().cloned());
        true
    }
}

impl<V: Clone + Send + Sync + 'static> Batcher<V> {
    pub(crate) const fn new(action: &'static str, most: usize) -> Self {
        Self {
            action,
            most,
            state: Mutex::new(State {
                open: BTreeMap::new(),
                last: None,
            }),
        }
    }

    /// Asks for at most as many items as one call takes. The answer is of a call that was sent after this.
    pub(crate) async fn ask<C, F>(
        &self,
        observer: &Arc<SharedObserver>,
        ctx: &OpContext,
        scope: &str,
        keys: &[String],
        call: C,
    ) -> Result<(Timestamp, BTreeMap<String, V>), Error>
    where
        C: Fn(Vec<String>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<BTreeMap<String, V>, Error>> + Send + 'static,
    {
        let work = self.join(observer, ctx, scope, keys, call.clone());
        let answer = within(observer, ctx, work).await.ok_or_else(|| {
            let context = "it could not be asked for and answered in the time that there was for it";
            Error::new(ErrorKind::TimedOut, self.action, context)
        })?;
        match &answer.found {
            Ok(found) => {
                let ours = keys.iter();
                let ours = ours.filter_map(|key| Some((key.clone(), found.get(key)?.clone())));
                Ok((answer.sent_at, ours.collect()))
            }
            // One of the others may be what it was refused for.
            Err(error) if error.retry == Retry::Never && answer.items > keys.len() => {
                Toll::of(observer).pay(ctx, self.action).await?;
                let sent_at = observer.pace().clock().now();
                Ok((sent_at, call(keys.to_vec()).await?))
            }
            Err(error) => Err(again(error)),
        }
    }

    /// Joins a call that has not been sent yet, or begins one.
    fn join<C, F>(
        &self,
        observer: &Arc<SharedObserver>,
        ctx: &OpContext,
        scope: &str,
        keys: &[String],
        call: C,
    ) -> Shared<Work<V>>
    where
        C: Fn(Vec<String>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<BTreeMap<String, V>, Error>> + Send + 'static,
    {
        let now = observer.pace().clock().now();
        let mut state = locked(&self.state);
        let alone = state.alone(&ctx.run, now);
        let place = (scope.to_owned(), ctx.priority);
        if let Some(open) = state.open.get(&place)
            && let Some(work) = open.work.upgrade()
            && locked(&open.items).join(keys, self.most)
        {
            return work;
        }
        let items = Arc::new(Mutex::new(Items {
            names: keys.iter().cloned().collect(),
            closed: false,
        }));
        let wait = if alone {
            Duration::ZERO
        } else {
            patience(observer.gather, ctx.priority)
        };
        let work = lead(
            Arc::clone(observer),
            (self.action, self.most, ctx.priority),
            Arc::clone(&items),
            now.after(wait),
            call,
        );
        let work: Work<V> = Box::pin(work);
        let work = work.shared();
        // There is none only when it has ended, and it has not begun.
        if let Some(weak) = work.downgrade() {
            state.open.insert(place, Open { items, work: weak });
        }
        work
    }
}

impl<V> State<V> {
    /// Whether only this run has asked for a while.
    fn alone(&mut self, run: &RunId, now: Timestamp) -> bool {
        match &self.last {
            Some((last, since)) if last == run => now.since(*since) >= ALONE,
            _ => {
                self.last = Some((run.clone(), now));
                false
            }
        }
    }
}

/// Lets others join until a moment or until it is full, waits for the bucket, during which they still may, and calls.
async fn lead<V, C, F>(
    observer: Arc<SharedObserver>,
    (action, most, priority): (&'static str, usize, Priority),
    items: Arc<Mutex<Items>>,
    until: Timestamp,
    call: C,
) -> Arc<Answered<V>>
where
    C: Fn(Vec<String>) -> F + Send + Sync,
    F: Future<Output = Result<BTreeMap<String, V>, Error>> + Send,
{
    let clock = observer.pace().clock();
    if clock.now() < until {
        let mut sleep = clock.sleep_until(until);
        // Whoever joins polls this, too: it is seen at once that it is full.
        poll_fn(|cx| {
            if locked(&items).names.len() >= most {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }
    let (service, operation) = called(action);
    let admitted = observer
        .pace()
        .admit(service, operation, priority, Timestamp::MAX)
        .await;
    let names: Vec<String> = {
        let mut items = locked(&items);
        items.closed = true;
        items.names.iter().cloned().collect()
    };
    let sent_at = clock.now();
    let asked = names.len();
    let found = match admitted {
        Ok(()) => call(names).await,
        Err(late) => Err(Error::new(ErrorKind::Throttled, action, late.to_string())),
    };
    Arc::new(Answered {
        sent_at,
        items: asked,
        found,
    })
}

/// `None` when the caller's time is over before.
async fn within<V: Clone>(
    observer: &SharedObserver,
    ctx: &OpContext,
    mut work: Shared<Work<V>>,
) -> Option<Arc<Answered<V>>> {
    let mut sleep =
        (ctx.deadline < Timestamp::MAX).then(|| observer.pace().clock().sleep_until(ctx.deadline));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = work.poll_unpin(cx) {
            return Poll::Ready(Some(answer));
        }
        match &mut sleep {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// The same error for each of those who share it; its causes become text.
fn again(error: &Error) -> Error {
    let record = error.record();
    let same = Error {
        kind: record.kind,
        retry: record.retry,
        applied: record.applied,
        operation: record.operation,
        context: record.context,
        retry_after: record.retry_after,
        source: None,
    };
    match record.cause {
        Some(cause) => same.caused_by(cause),
        None => same,
    }
}
