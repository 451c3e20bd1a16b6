//! Many drives on one world: each goes on as far as it can, and time passes when none can.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use async_trait::async_trait;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use crate::clock::SimCloud;

/// Runs many drives at once on the virtual time of one world.
///
/// With [`SimCloud::clock`] to sleep *is* to let time pass: right for one drive, and wrong for two, of which the first one's sleep would
/// be the other one's delay. Here whoever sleeps waits, and the world gets to the earliest moment that anybody waits for when
/// nobody can go on before it.
///
/// ```
/// use std::time::Duration;
/// use rollout_sim::{SimCloud, Turns, storefront};
///
/// let turns = Turns::new(&SimCloud::new(storefront(1)));
/// let clock = turns.clock();
/// let begin = clock.now();
/// turns.block_on(async {
///     let wait = |seconds| clock.sleep_until(begin.after(Duration::from_secs(seconds)));
///     futures_util::future::join(wait(30), wait(60)).await;
/// }).expect("somebody sleeps");
/// assert_eq!(clock.now(), begin.after(Duration::from_secs(60)), "side by side, and not one after the other");
/// ```
#[derive(Clone, Debug)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cloud: SimCloud,
    next: AtomicU64,
    /// By the moment that they wait for, and a number of their own.
    sleepers: Mutex<BTreeMap<(Timestamp, u64), Waker>>,
}

/// Nobody can go on, and nobody waits for time to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody can go on, and nobody waits for time to pass")]
pub struct Stalled;

impl Turns {
    /// On this world.
    #[must_use]
    pub fn new(cloud: &SimCloud) -> Self {
        Self(Arc::new(Inner {
            cloud: cloud.clone(),
            next: AtomicU64::new(0),
            sleepers: Mutex::default(),
        }))
    }

    /// The clock that the drives take. It moves only while [`block_on`](Self::block_on) runs them.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    /// Runs all of it, on this thread, to its end.
    ///
    /// # Errors
    /// [`Stalled`].
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output, Stalled> {
        match self.run(pin!(future), Timestamp::MAX) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => Err(Stalled),
        }
    }

    /// Runs all of it until a moment at which it is dropped where it is, as when its process is killed; `None` then.
    pub fn block_on_until<F: Future>(&self, future: F, end: Timestamp) -> Option<F::Output> {
        match self.run(pin!(future), end) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn run<F: Future>(&self, mut future: Pin<&mut F>, end: Timestamp) -> Poll<F::Output> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            while woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Poll::Ready(output);
                }
            }
            let Some(moment) = self.earliest().filter(|moment| *moment < end) else {
                return Poll::Pending;
            };
            self.0.cloud.lock().advance(moment);
            self.wake(moment);
        }
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.sleepers().first_key_value().map(|((moment, _), _)| *moment)
    }

    fn wake(&self, moment: Timestamp) {
        let mut sleepers = self.sleepers();
        let later = sleepers.split_off(&(moment, u64::MAX));
        let due = core::mem::replace(&mut *sleepers, later);
        drop(sleepers);
        due.into_values().for_each(Waker::wake);
    }

    fn sleepers(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, u64), Waker>> {
        self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for Turns {
    fn now(&self) -> Timestamp {
        self.0.cloud.lock().now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let place = (moment, number);
        Sleep { turns: self, place }.await;
    }
}

struct Sleep<'a> {
    turns: &'a Turns,
    place: (Timestamp, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.turns.now() >= self.place.0 {
            return Poll::Ready(());
        }
        self.turns.sleepers().insert(self.place, cx.waker().clone());
        Poll::Pending
    }
}

/// Whoever does not wait any more moves nothing.
impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.turns.sleepers().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn turns() -> (Turns, Arc<dyn Clock>, Timestamp) {
        let turns = Turns::new(&SimCloud::new(crate::storefront(1)));
        let clock = turns.clock();
        let begin = clock.now();
        (turns, clock, begin)
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn everybody_wakes_up_in_the_order_of_time() {
        let (turns, clock, begin) = turns();
        let order = Mutex::new(Vec::new());
        let sleeper = |name: &'static str, naps: &'static [u64]| {
            let (order, clock) = (&order, &clock);
            async move {
                for nap in naps {
                    clock.sleep_until(begin.after(secs(*nap))).await;
                    order
                        .lock()
                        .expect("not poisoned")
                        .push((name, clock.now().since(begin).as_secs()));
                }
            }
        };
        let all =
            async { futures_util::future::join(sleeper("a", &[10, 40]), sleeper("b", &[20, 30, 30])).await };
        turns.block_on(all).expect("somebody sleeps");
        let order = order.into_inner().expect("not poisoned");
        assert_eq!(order, [("a", 10), ("b", 20), ("b", 30), ("b", 30), ("a", 40)]);
    }

    #[test]
    fn a_sleep_that_was_dropped_moves_nothing() {
        let (turns, clock, begin) = turns();
        let end = async {
            let long = clock.sleep_until(begin.after(secs(9_000)));
            let short = clock.sleep_until(begin.after(secs(5)));
            futures_util::future::select(long, short).await;
        };
        turns.block_on(end).expect("somebody sleeps");
        assert_eq!(turns.block_on(core::future::pending::<()>()), Err(Stalled));
        assert_eq!(clock.now(), begin.after(secs(5)));
    }

    #[test]
    fn a_process_that_is_killed_stops_where_it_is() {
        let (turns, clock, begin) = turns();
        let nap = clock.sleep_until(begin.after(secs(60)));
        assert_eq!(turns.block_on_until(nap, begin.after(secs(60))), None);
        assert_eq!(clock.now(), begin);
        let nap = clock.sleep_until(begin.after(secs(60)));
        assert_eq!(turns.block_on_until(nap, begin.after(secs(61))), Some(()));
    }
}
