//! Who waits for hints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rollout_core::hint::HintSender;
use rollout_core::time::Timestamp;

use super::Interest;
use super::event::About;

/// Rollouts of one process that wait for the events of one queue. Whoever holds a clone adds to the same ones.
///
/// ```
/// use rollout_aws::sqs::{Interest, Subscribers};
/// use rollout_core::hint::hints;
/// use rollout_core::time::Timestamp;
///
/// let subscribers = Subscribers::default();
/// let (sender, _inbox) = hints();
/// let subscription = subscribers.subscribe(Interest::default(), Timestamp::EPOCH, sender);
/// assert_eq!(subscribers.len(), 1);
/// drop(subscription);
/// assert!(subscribers.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Subscribers {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    all: BTreeMap<u64, Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    interest: Interest,
    since: Timestamp,
    hints: HintSender,
}

/// Ends when it is dropped, or when nobody takes its hints any more.
#[derive(Debug)]
#[must_use = "dropped, it ends"]
pub struct Subscription {
    held: Weak<Mutex<Held>>,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(held) = self.held.upgrade() {
            lock(&held).all.remove(&self.number);
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscribers {
    /// Adds one: it is given hints of what it is interested in, and none of what was sent before `since`, since a drive looks when
    /// it begins.
    pub fn subscribe(&self, interest: Interest, since: Timestamp, hints: HintSender) -> Subscription {
        let mut held = lock(&self.held);
        let number = held.next;
        held.next += 1;
        let subscriber = Subscriber {
            interest,
            since,
            hints,
        };
        held.all.insert(number, subscriber);
        Subscription {
            held: Arc::downgrade(&self.held),
            number,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.held).all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands it to all that wait for it; whether there was any. Those who take no hints any more are let go.
    pub(super) fn hand(&self, about: &About, sent: Option<Timestamp>) -> bool {
        let mut any = false;
        lock(&self.held).all.retain(|_, subscriber| {
            if !subscriber.interest.covers(about) {
                return true;
            }
            let fresh = sent.is_none_or(|sent| sent >= subscriber.since);
            let hint = about.hint().filter(|_| fresh);
            let taken = hint.is_none_or(|hint| subscriber.hints.send(hint));
            any |= taken;
            taken
        });
        any
    }
}
