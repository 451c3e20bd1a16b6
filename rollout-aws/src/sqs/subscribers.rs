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
            // Its sender wakes its taker: not while all are locked.
            let gone = lock(&held).all.remove(&self.number);
            drop(gone);
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
        let interested: Vec<(u64, HintSender, bool)> = lock(&self.held)
            .all
            .iter()
            .filter(|(_, subscriber)| subscriber.interest.covers(about))
            .map(|(number, subscriber)| {
                let fresh = sent.is_none_or(|sent| sent >= subscriber.since);
                (*number, subscriber.hints.clone(), fresh)
            })
            .collect();
        let mut any = false;
        // A hint wakes its taker, which may come back here: nothing is locked meanwhile.
        for (number, hints, fresh) in interested {
            let hint = about.hint().filter(|_| fresh);
            if hint.is_none_or(|hint| hints.send(hint)) {
                any = true;
            } else {
                let gone = lock(&self.held).all.remove(&number);
                drop(gone);
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};
    use std::task::Wake;

    use futures_core::Stream as _;
    use rollout_core::hint::hints;

    use super::*;
    use crate::sqs::event;

    /// Looks who waits, in the very moment in which it is woken, and takes one of them away.
    struct Curious {
        subscribers: Subscribers,
        other: Mutex<Option<Subscription>>,
    }

    impl Wake for Curious {
        fn wake(self: Arc<Self>) {
            let other = self.other.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(other);
            assert_eq!(self.subscribers.len(), 1);
        }
    }

    #[test]
    fn who_is_woken_may_look_and_leave() {
        let subscribers = Subscribers::default();
        let interest = Interest {
            cluster: "shop".to_owned(),
            services: ["api".parse().expect("a name")].into(),
            ..Interest::default()
        };
        let (sender, mut inbox) = hints();
        let _own = subscribers.subscribe(interest.clone(), Timestamp::EPOCH, sender);
        let (sender, _theirs) = hints();
        let other = subscribers.subscribe(interest, Timestamp::EPOCH, sender);
        let curious = Arc::new(Curious {
            subscribers: subscribers.clone(),
            other: Mutex::new(Some(other)),
        });
        let waker = Waker::from(curious);
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut inbox).poll_next(&mut cx).is_pending());
        let body = r#"{ "source": "aws.ecs", "detail-type": "ECS Deployment State Change",
            "resources": ["arn:aws:ecs:eu-central-1:123456789012:service/shop/api"],
            "detail": { "eventName": "SERVICE_DEPLOYMENT_FAILED" } }"#;
        let about = event::read(body).expect("an event");
        assert!(subscribers.hand(&about, None));
        assert!(matches!(
            Pin::new(&mut inbox).poll_next(&mut cx),
            Poll::Ready(Some(_))
        ));
    }
}
