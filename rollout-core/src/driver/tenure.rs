//! A lease that is kept beside a drive, and the fence that asks it before every effect which changes something.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::Perform;
use crate::error::ErrorRecord;
use crate::id::Generation;
use crate::lease::{LeaseRecord, LeaseStore, Scope};
use crate::machine::lease::{Claim, Effect, Event, Lease, Outcome, Policy, Seen};
use crate::machine::{Effect as _, Machine, Rejected};
use crate::port::Clock;
use crate::time::{Timestamp, human};

#[cfg(test)]
mod tests;

/// Why a lease could not be had, or is not held any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Another holds it.
    #[error("{by}; waited {}: ask them, or wait longer", human(*.waited))]
    Held {
        /// What is there.
        by: Box<LeaseRecord>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It was held, and is not any more. Nothing was begun after that.
    #[error("fenced: {}; ours was generation {generation}: {why}", holder(.scope, .by.as_deref()))]
    Fenced {
        /// The lease.
        scope: Scope,
        /// Our generation.
        generation: Generation,
        /// What is there now; `None` when it could not be read, or nothing is there.
        by: Option<Box<LeaseRecord>>,
        /// Why, in words.
        why: String,
    },
    /// The store failed before the lease was known to be held.
    #[error("the lease of {scope} cannot be had: {error}")]
    Store {
        /// The lease.
        scope: Scope,
        /// How.
        error: Box<ErrorRecord>,
    },
    /// It was given back, or never waited for to the end, by the caller.
    #[error("the lease of {scope} was given back")]
    GivenBack {
        /// The lease.
        scope: Scope,
    },
    /// The policy is not sound, or there is a bug of ours.
    #[error(transparent)]
    Halted(#[from] Rejected),
}

fn holder(scope: &Scope, by: Option<&LeaseRecord>) -> String {
    by.map_or_else(|| format!("nobody is known to hold {scope}"), ToString::to_string)
}

/// A lease that is held, for as long as somebody polls [`while_held`](Self::while_held). Clones share it.
///
/// Dropping it gives nothing back: the lease then runs out. Use [`release`](Self::release).
///
/// ```
/// # use std::{error::Error, sync::Arc, time::Duration};
/// # use rollout_core::driver::{Driver, PortPerformer, Tenure};
/// # use rollout_core::journal::Journal;
/// # use rollout_core::lease::LeaseStore;
/// # use rollout_core::machine::lease::{Claim, Policy};
/// # use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
/// # use rollout_core::observer::Silent;
/// # use rollout_core::port::Clock;
/// # async fn release(
/// #     machine: &mut Rollout, performer: PortPerformer, journal: &dyn Journal<Event, Effect>, claim: Claim,
/// #     store: Arc<dyn LeaseStore>, clock: Arc<dyn Clock>,
/// # ) -> Result<Outcome, Box<dyn Error>> {
/// let mut told = |holder: &_| eprintln!("waiting: {holder}");
/// let tenure = Tenure::acquire(claim, Policy::default(), store, clock.clone(), &mut told).await?;
/// let performer = performer.under(tenure.generation());
/// let fence = tenure.fence(&performer, Duration::from_secs(20));
/// let driver = Driver {
///     run: machine.plan().run.clone(),
///     performer: &fence,
///     journal,
///     clock: &*clock,
///     observer: &Silent,
/// };
/// let outcome = tenure.while_held(driver.run(machine, futures_util::stream::pending())).await??;
/// tenure.release().await?;
/// # Ok(outcome)
/// # }
/// ```
#[derive(Clone)]
pub struct Tenure(Arc<Inner>);

struct Inner {
    store: Arc<dyn LeaseStore>,
    clock: Arc<dyn Clock>,
    shared: Mutex<Shared>,
}

struct Shared {
    machine: Lease,
    /// Said and not begun. A newer call takes the place of an older one.
    todo: Option<Effect>,
    /// Begun. Whoever is polled gets on with it: on a clock that is simulated nobody may be kept waiting for another's turn.
    calling: Option<Calling>,
    /// The machine refused the answer to its own call: a bug of ours.
    halted: Option<Rejected>,
    /// Whoever waits for the machine to learn something.
    waiting: Vec<Waker>,
    keeper: Option<Waker>,
}

type Calling = Pin<Box<dyn Future<Output = Event> + Send>>;
type Sleeping<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl core::fmt::Debug for Tenure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Tenure").field(&self.0.lock().machine).finish()
    }
}

impl Tenure {
    /// Waits for a lease and takes it, or says who holds it.
    ///
    /// `told` hears of every other holder that it waits for, once. Dropping the future may leave a lease that was taken at that
    /// moment; it runs out by itself.
    ///
    /// # Errors
    /// [`LeaseError::Held`] after [`Policy::wait`]; [`LeaseError::Store`] when the store fails; [`LeaseError::Halted`] when the
    /// policy is not sound.
    pub async fn acquire(
        claim: Claim,
        policy: Policy,
        store: Arc<dyn LeaseStore>,
        clock: Arc<dyn Clock>,
        told: &mut (dyn FnMut(&LeaseRecord) + Send),
    ) -> Result<Self, LeaseError> {
        let mut machine = Lease::new(claim, policy);
        let begun = clock.now();
        let todo = machine.handle(begun, Event::Start)?.pop();
        let shared = Shared {
            machine,
            todo,
            calling: None,
            halted: None,
            waiting: Vec::new(),
            keeper: None,
        };
        let inner = Inner {
            store,
            clock,
            shared: Mutex::new(shared),
        };
        let mut last = None;
        let mut hear = |event: &Event| {
            if let Event::Seen { seen: Some(seen), .. } = event {
                let holder = seen.record.holder.as_ref().map(|holder| holder.session.clone());
                if holder.is_some() && holder != last {
                    told(&seen.record);
                    last = holder;
                }
            }
        };
        let end = inner.keep(|machine| machine.held().is_some(), &mut hear).await?;
        match end {
            None => Ok(Self(Arc::new(inner))),
            Some(Outcome::Refused { by }) => Err(LeaseError::Held {
                by,
                waited: inner.clock.now().since(begun),
            }),
            Some(outcome) => Err(inner.fenced(outcome)),
        }
    }

    /// The generation under which every effect is said. It does not change for as long as the lease is held.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let shared = self.0.lock();
        match (shared.machine.held(), shared.machine.outcome()) {
            (Some(held), _) => held.generation(),
            (None, Some(Outcome::Lost { generation, .. } | Outcome::Released { generation, .. })) => {
                generation
            }
            (None, _) => Generation::default(),
        }
    }

    /// What the store holds, as far as is known; `None` when the lease is not held any more.
    #[must_use]
    pub fn record(&self) -> Option<LeaseRecord> {
        self.0.lock().machine.held().map(|held| held.record().clone())
    }

    /// Does the work, and keeps the lease beside it.
    ///
    /// When the lease is lost the work is dropped where it is: what was under way is then open in the journal.
    ///
    /// # Errors
    /// [`LeaseError::Fenced`], naming who holds it now.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, LeaseError> {
        let mut work = core::pin::pin!(work);
        let mut hear = |_: &Event| {};
        let mut keep = core::pin::pin!(self.0.keep(|_| false, &mut hear));
        poll_fn(|cx| {
            let ended = self.0.lock().machine.outcome();
            if let Some(outcome) = ended {
                return Poll::Ready(Err(self.0.fenced(outcome)));
            }
            // The work first: on a clock that is simulated to sleep is to let time pass, and the work says how much.
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            match keep.as_mut().poll(cx) {
                Poll::Ready(Ok(Some(outcome))) => Poll::Ready(Err(self.0.fenced(outcome))),
                Poll::Ready(Ok(None)) | Poll::Pending => Poll::Pending,
                Poll::Ready(Err(rejected)) => Poll::Ready(Err(rejected.into())),
            }
        })
        .await
    }

    /// Gives the lease back. The answer says whether the store confirmed it; otherwise it runs out by itself.
    ///
    /// # Errors
    /// [`LeaseError::Fenced`] when it had been lost.
    pub async fn release(&self) -> Result<bool, LeaseError> {
        self.0.give(Event::Abort)?;
        match self.0.keep(|_| false, &mut |_| {}).await? {
            Some(Outcome::Released { confirmed, .. }) => Ok(confirmed),
            Some(outcome) => Err(self.0.fenced(outcome)),
            None => Ok(false),
        }
    }

    /// Puts the fence around what runs effects.
    ///
    /// `need` is how long one may be on its way; it counts up to [`Policy::longest_effect`].
    #[must_use]
    pub fn fence<'a, P: ?Sized>(&self, inner: &'a P, need: Duration) -> Fence<'a, P> {
        let longest = self.0.lock().machine.policy().longest_effect();
        Fence {
            tenure: self.clone(),
            inner,
            need: need.min(longest),
        }
    }

    /// Returns once the lease is proved by a call that was said after this one, with `need` left of it. Never when it is lost:
    /// [`while_held`](Self::while_held) then ends.
    async fn permit(&self, need: Duration) {
        let mut asked = None;
        poll_fn(|cx| {
            let now = self.0.clock.now().max(self.0.lock().machine.seen());
            self.0.poll_proved(cx, *asked.get_or_insert(now), need)
        })
        .await;
    }
}

impl Shared {
    /// Whether the lease is held, by a call that was said at `asked` or later, and for so long yet.
    fn is_proved(&self, now: Timestamp, asked: Timestamp, need: Duration) -> bool {
        self.machine.held().is_some_and(|held| {
            held.proved() >= asked && now < held.until() && held.until().since(now) >= need
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A machine that panicked in the middle of a step has an empty state, which holds nothing.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fenced(&self, outcome: Outcome) -> LeaseError {
        let scope = self.lock().machine.claim().scope.clone();
        match outcome {
            Outcome::Lost { generation, by, why } => LeaseError::Fenced {
                scope,
                generation,
                by,
                why,
            },
            Outcome::Failed { error } => LeaseError::Store {
                scope,
                error: Box::new(error),
            },
            Outcome::Refused { by } => LeaseError::Held {
                by,
                waited: Duration::ZERO,
            },
            Outcome::Released { .. } | Outcome::Left => LeaseError::GivenBack { scope },
        }
    }

    /// Tells the machine, and takes what it says.
    fn give(&self, event: Event) -> Result<(), Rejected> {
        let now = self.clock.now();
        let mut shared = self.lock();
        let given = shared.machine.handle(now, event);
        match given {
            Ok(mut effects) => {
                if let Some(effect) = effects.pop() {
                    shared.todo = Some(effect);
                }
            }
            Err(rejected) => {
                shared.halted = Some(rejected.clone());
                return Err(rejected);
            }
        }
        let waiting = core::mem::take(&mut shared.waiting);
        drop(shared);
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Gets on with the call of the store, and answers with what it leads to.
    fn poll_call(&self, cx: &mut Context<'_>) -> Option<Event> {
        let mut shared = self.lock();
        if let Some(effect) = shared.todo.take() {
            let scope = shared.machine.claim().scope.clone();
            shared.calling = Some(Box::pin(call(Arc::clone(&self.store), scope, effect)));
        }
        let mut calling = shared.calling.take()?;
        drop(shared);
        match calling.as_mut().poll(cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => {
                let mut shared = self.lock();
                if shared.calling.is_none() {
                    shared.calling = Some(calling);
                }
                None
            }
        }
    }

    /// Ready once the lease is proved by a call that was said at `asked` or later, with `need` left of it.
    fn poll_proved(&self, cx: &mut Context<'_>, asked: Timestamp, need: Duration) -> Poll<()> {
        let mut changed = false;
        loop {
            let now = self.clock.now();
            {
                let mut shared = self.lock();
                let now = now.max(shared.machine.seen());
                if shared.is_proved(now, asked, need) {
                    return Poll::Ready(());
                }
                // Refused when it is not held any more: then nothing is said, and nobody waits for this one.
                let said = shared.machine.handle(now, Event::Confirm { need });
                if let Some(effect) = said.ok().and_then(|mut effects| effects.pop()) {
                    shared.todo = Some(effect);
                    changed = true;
                }
            }
            let Some(event) = self.poll_call(cx) else {
                let mut shared = self.lock();
                shared.waiting.push(cx.waker().clone());
                // The keeper's deadline is another one now.
                let keeper = shared.keeper.take_if(|_| changed);
                drop(shared);
                keeper.into_iter().for_each(Waker::wake);
                return Poll::Pending;
            };
            if self.give(event).is_err() {
                // Whoever keeps the lease tells.
                return Poll::Pending;
            }
        }
    }

    /// Runs the machine until it has ended, or until `done`: then the answer is `None`.
    ///
    /// It gives way to others after every event: on a clock that is simulated it would otherwise run on its own for ever.
    async fn keep(
        &self,
        done: impl Fn(&Lease) -> bool,
        hear: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<Option<Outcome>, Rejected> {
        let mut sleeping: Option<(Timestamp, Sleeping<'_>)> = None;
        poll_fn(|cx| {
            {
                let mut shared = self.lock();
                if let Some(rejected) = shared.halted.take() {
                    return Poll::Ready(Err(rejected));
                }
                if let Some(outcome) = shared.machine.outcome() {
                    return Poll::Ready(Ok(Some(outcome)));
                }
                if done(&shared.machine) {
                    return Poll::Ready(Ok(None));
                }
                shared.keeper = Some(cx.waker().clone());
            }
            let event = if let Some(event) = self.poll_call(cx) {
                event
            } else {
                // A machine that has begun and not ended always has a deadline.
                let Some(deadline) = self.lock().machine.deadline() else {
                    return Poll::Pending;
                };
                let sleep = match &mut sleeping {
                    Some((until, sleep)) if *until == deadline.at => sleep,
                    other => &mut other.insert((deadline.at, self.clock.sleep_until(deadline.at))).1,
                };
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                sleeping = None;
                Event::Elapsed
            };
            hear(&event);
            if let Err(rejected) = self.give(event) {
                return Poll::Ready(Err(rejected));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// One call of the store, and the event that it leads to.
async fn call(store: Arc<dyn LeaseStore>, scope: Scope, effect: Effect) -> Event {
    let answer = match &effect {
        Effect::Look { call } => look(&*store, &scope, *call).await,
        Effect::Write {
            call,
            record,
            expected,
        } => match record.encode() {
            Ok(value) => store
                .put(&scope, &value, expected.as_ref())
                .await
                .map(|version| Event::Written { call: *call, version }),
            Err(error) => Err(error),
        },
    };
    let (Effect::Look { call } | Effect::Write { call, .. }) = effect;
    answer.unwrap_or_else(|error| Event::CallFailed {
        call,
        error: error.record(),
    })
}

async fn look(store: &dyn LeaseStore, scope: &Scope, call: u64) -> Result<Event, crate::error::Error> {
    let seen = match store.read(scope).await? {
        None => None,
        Some(stored) => Some(Box::new(Seen {
            record: LeaseRecord::decode(&stored.value, scope)?,
            version: stored.version,
        })),
    };
    Ok(Event::Seen { call, seen })
}

/// Runs effects for as long as a lease is held.
///
/// An effect that changes something is begun only after the store has said, when asked for this effect, that the lease is
/// held; and it goes on only for as long as the lease lasts by our own clock, which is looked at before every step of it (I-4).
/// When the lease is lost an effect never returns: [`Tenure::while_held`], around the drive, ends with
/// [`LeaseError::Fenced`], and drops it.
///
/// What a pause between the last look and the request's leaving the machine can still do, only the other side can refuse: Route
/// 53 refuses a batch that does not find what it deletes; what `UpdateService` did is read back.
pub struct Fence<'a, P: ?Sized> {
    tenure: Tenure,
    inner: &'a P,
    need: Duration,
}

impl<P: ?Sized> core::fmt::Debug for Fence<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Fence")
            .field("tenure", &self.tenure)
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<M, P> Perform<M> for Fence<'_, P>
where
    M: Machine<Effect: crate::machine::Effect + Sync, Event: Send>,
    P: Perform<M> + ?Sized,
{
    async fn perform(&self, effect: &M::Effect) -> M::Event
    where
        M: 'async_trait,
    {
        if !effect.mutates() {
            return self.inner.perform(effect).await;
        }
        self.tenure.permit(self.need).await;
        let mut work = self.inner.perform(effect);
        let moment = Duration::from_millis(1);
        poll_fn(|cx| {
            if self
                .tenure
                .0
                .poll_proved(cx, Timestamp::EPOCH, moment)
                .is_pending()
            {
                return Poll::Pending;
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}
