//! An inbox for hints: whoever hears of changes puts them in, a drive takes them out as signals.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;

use super::Hint;

/// An inbox and its sender.
///
/// However many hints come before one is taken, each service and task waits once: a storm of messages is one hint for each.
#[must_use]
pub fn hints() -> (HintSender, Hints) {
    let inbox = Inbox {
        senders: 1,
        ..Inbox::default()
    };
    let inbox = Arc::new(Mutex::new(inbox));
    let sender = HintSender {
        inbox: Arc::clone(&inbox),
    };
    (sender, Hints { inbox })
}

#[derive(Debug, Default)]
struct Inbox {
    /// Each thing once.
    waiting: BTreeSet<Hint>,
    taker: Option<Waker>,
    /// Without any, nothing more will come.
    senders: usize,
    /// Nobody will take anything any more.
    left: bool,
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    // Every change of it is whole: there is nothing that a panic could have left half done.
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts hints in. When the last one is dropped the stream ends once it is empty.
#[derive(Debug)]
pub struct HintSender {
    inbox: Arc<Mutex<Inbox>>,
}

impl HintSender {
    /// Puts a hint in. `false` when nobody will take it any more.
    pub fn send(&self, hint: Hint) -> bool {
        let mut inbox = lock(&self.inbox);
        if inbox.left {
            return false;
        }
        inbox.waiting.insert(hint);
        let taker = inbox.taker.take();
        drop(inbox);
        taker.into_iter().for_each(Waker::wake);
        true
    }
}

impl Clone for HintSender {
    fn clone(&self) -> Self {
        let mut inbox = lock(&self.inbox);
        inbox.senders = inbox.senders.saturating_add(1);
        drop(inbox);
        Self {
            inbox: Arc::clone(&self.inbox),
        }
    }
}

impl Drop for HintSender {
    fn drop(&mut self) {
        let mut inbox = lock(&self.inbox);
        inbox.senders = inbox.senders.saturating_sub(1);
        if inbox.senders > 0 {
            return;
        }
        let taker = inbox.taker.take();
        drop(inbox);
        taker.into_iter().for_each(Waker::wake);
    }
}

/// The hints that came, as a stream.
#[derive(Debug)]
pub struct Hints {
    inbox: Arc<Mutex<Inbox>>,
}

impl Drop for Hints {
    fn drop(&mut self) {
        let mut inbox = lock(&self.inbox);
        inbox.left = true;
        inbox.waiting.clear();
    }
}

impl Stream for Hints {
    type Item = Hint;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Hint>> {
        let mut inbox = lock(&self.inbox);
        if let Some(hint) = inbox.waiting.pop_first() {
            return Poll::Ready(Some(hint));
        }
        if inbox.senders == 0 {
            return Poll::Ready(None);
        }
        inbox.taker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn hint(service: &str) -> Hint {
        Hint::Service(service.parse().expect("valid"))
    }

    #[test]
    fn a_storm_is_one_hint_for_each_thing() {
        let (sender, mut hints) = hints();
        for _ in 0..1_000 {
            assert!(sender.send(hint("web")));
            assert!(sender.send(hint("api")));
        }
        assert_eq!(hints.next().now_or_never(), Some(Some(hint("api"))));
        assert_eq!(hints.next().now_or_never(), Some(Some(hint("web"))));
        assert_eq!(hints.next().now_or_never(), None, "it waits for more");
        assert!(sender.send(hint("web")));
        let another = sender.clone();
        drop(sender);
        assert_eq!(hints.next().now_or_never(), Some(Some(hint("web"))));
        assert_eq!(hints.next().now_or_never(), None, "the other may still send");
        drop(another);
        assert_eq!(hints.next().now_or_never(), Some(None));
    }

    #[test]
    fn who_waits_is_woken_and_who_left_is_told_of() {
        let (sender, mut hints) = hints();
        let mut next = hints.next();
        let (waker, woken) = counted();
        let mut cx = Context::from_waker(&waker);
        assert!(next.poll_unpin(&mut cx).is_pending());
        assert!(sender.send(hint("web")));
        assert_eq!(woken.load(core::sync::atomic::Ordering::SeqCst), 1);
        drop(next);
        drop(hints);
        assert!(!sender.send(hint("web")));
    }

    struct Count(Arc<core::sync::atomic::AtomicUsize>);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
        }
    }

    fn counted() -> (Waker, Arc<core::sync::atomic::AtomicUsize>) {
        let count = Arc::new(core::sync::atomic::AtomicUsize::new(0));
        (Waker::from(Arc::new(Count(Arc::clone(&count)))), count)
    }
}
