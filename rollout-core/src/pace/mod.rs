//! How fast calls may follow each other: one token bucket for each API group of an account and region, and who goes first.
//!
//! AWS counts calls by account and region, not by program, so a thousand rollouts share a few buckets. [`Pacer`] is the pure
//! part: who may call at a given moment. [`Pace`] is what an adapter awaits before each call; it takes time from a
//! [`Clock`] and runs on any async runtime.
//!
//! ```
//! use rollout_core::pace::{Limit, Pacer, Priority};
//! use rollout_core::time::Timestamp;
//!
//! let start = Timestamp::from_millis(1_763_683_200_000);
//! let mut pacer = Pacer::new(vec![Limit::new("ecs", &["UpdateService"], 3, 1)], 7, start);
//! let ask = |pacer: &mut Pacer, priority| pacer.ask("ecs", "UpdateService", priority);
//! let forward: Vec<_> = (0..3).map(|_| ask(&mut pacer, Priority::Forward)).collect();
//! // One less than documented is used of the burst: calls may arrive closer together than they were sent.
//! assert_eq!(pacer.grant(start), forward[..2]);
//! // A way back does not wait behind what goes forward.
//! let back = ask(&mut pacer, Priority::Back);
//! assert_eq!(pacer.grant(Timestamp::from_millis(1_763_683_201_000)), [back]);
//! ```

mod limit;
mod queue;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::limit::{Bucket, CHANGED_RECORDS, Limit, documented};
pub use self::queue::{Pacer, Priority, Ticket};
use crate::port::Clock;
use crate::time::{Timestamp, human};

/// What one operation has cost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Calls that were let through.
    pub calls: u64,
    /// Second tries, which did not ask.
    pub retries: u64,
    /// Calls that the other side refused as too many.
    pub throttled: u64,
    /// How long calls have waited together.
    pub waited: Duration,
    /// How long one of them has waited at most.
    pub longest: Duration,
}

/// The bucket was not free in time, and the call was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for the call within {} ({ahead} others wait)", human(*.waited))]
pub struct Late {
    /// How long it has waited.
    pub waited: Duration,
    /// How many others wait, for whichever bucket.
    pub ahead: usize,
}

/// A [`Pacer`] to await, shared by all that call one account and region.
pub struct Pace {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    pacer: Pacer,
    granted: BTreeSet<Ticket>,
    wakers: BTreeMap<Ticket, Waker>,
    spent: BTreeMap<String, Spent>,
}

impl Inner {
    /// Grants what is ready, and wakes those and the new heads: a head must set its own timer.
    fn pump(&mut self, now: Timestamp) {
        let granted = self.pacer.grant(now);
        if granted.is_empty() {
            return;
        }
        for ticket in granted {
            self.granted.insert(ticket);
            if let Some(waker) = self.wakers.remove(&ticket) {
                waker.wake();
            }
        }
        self.wake_heads();
    }

    fn wake_heads(&self) {
        for head in self.pacer.heads() {
            if let Some(waker) = self.wakers.get(&head) {
                waker.wake_by_ref();
            }
        }
    }

    fn spent(&mut self, service: &str, operation: &str) -> &mut Spent {
        self.spent.entry(format!("{service}:{operation}")).or_default()
    }
}

impl Pace {
    /// Full buckets of these limits. What is random comes from the seed; give each runner another one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: Vec<Limit>, seed: u64) -> Self {
        let pacer = Pacer::new(limits, seed, clock.now());
        Self {
            clock,
            inner: Mutex::new(Inner {
                pacer,
                granted: BTreeSet::new(),
                wakers: BTreeMap::new(),
                spent: BTreeMap::new(),
            }),
        }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves counts behind, and no half-done step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a call of this operation may be made, at most until a moment. It is safe to drop: the ask is then given up.
    ///
    /// # Errors
    /// [`Late`]; no token was taken.
    pub async fn admit(
        &self,
        service: &str,
        operation: &str,
        priority: Priority,
        until: Timestamp,
    ) -> Result<(), Late> {
        let asked_at = self.clock.now();
        let ticket = self.inner().pacer.ask(service, operation, priority);
        let mut ask = Ask {
            pace: self,
            ticket,
            open: true,
        };
        let mut timer: Option<(Timestamp, Timer<'_>)> = None;
        let free = poll_fn(|cx| {
            loop {
                let now = self.clock.now();
                let mut inner = self.inner();
                inner.pump(now);
                if inner.granted.remove(&ticket) {
                    return Poll::Ready(true);
                }
                if now >= until {
                    return Poll::Ready(false);
                }
                inner.wakers.insert(ticket, cx.waker().clone());
                // Only the head of a queue sets a timer: it wakes the next one when it goes.
                let due = inner.pacer.due(ticket).unwrap_or(Timestamp::MAX);
                drop(inner);
                let at = due.min(until);
                if at == Timestamp::MAX {
                    timer = None;
                    return Poll::Pending;
                }
                if timer.as_ref().is_none_or(|(set, _)| *set != at) {
                    timer = Some((at, self.clock.sleep_until(at)));
                }
                if let Some((_, sleep)) = &mut timer {
                    if sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    timer = None;
                }
            }
        })
        .await;
        let waited = self.clock.now().since(asked_at);
        if free {
            ask.open = false;
            let mut inner = self.inner();
            inner.wakers.remove(&ticket);
            let spent = inner.spent(service, operation);
            spent.calls = spent.calls.saturating_add(1);
            spent.waited = spent.waited.saturating_add(waited);
            spent.longest = spent.longest.max(waited);
            Ok(())
        } else {
            drop(ask);
            let ahead = self.inner().pacer.waiting();
            Err(Late { waited, ahead })
        }
    }

    /// Pays for a second try that was made without asking.
    pub fn charge(&self, service: &str, operation: &str) {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.pacer.charge(now, service, operation);
        let spent = inner.spent(service, operation);
        spent.retries = spent.retries.saturating_add(1);
    }

    /// The other side has refused a call as one too many.
    pub fn throttled(&self, service: &str, operation: &str) {
        let now = self.clock.now();
        let mut inner = self.inner();
        inner.pacer.throttled(now, service, operation);
        let spent = inner.spent(service, operation);
        spent.throttled = spent.throttled.saturating_add(1);
    }

    /// What each operation has cost, by `service:Operation`.
    #[must_use]
    pub fn spent(&self) -> BTreeMap<String, Spent> {
        self.inner().spent.clone()
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

/// A sleep that is under way.
type Timer<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// An ask that is given up when it is dropped.
struct Ask<'a> {
    pace: &'a Pace,
    ticket: Ticket,
    open: bool,
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let mut inner = self.pace.inner();
        inner.pacer.cancel(self.ticket);
        inner.wakers.remove(&self.ticket);
        // The token of one that was granted and never came back is lost: rather too few calls than too many.
        inner.granted.remove(&self.ticket);
        inner.wake_heads();
    }
}
