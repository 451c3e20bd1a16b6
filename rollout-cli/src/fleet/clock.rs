//! The fleet's own time.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rollout_core::driver::Perform;
use rollout_core::machine::fleet::{Effect, Event, Fleet};
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use crate::wall::{self, Wall};

/// Real time; on the simulated cloud without the waits in which nothing is under way: nobody waits for a bake time there.
#[derive(Debug)]
pub(crate) struct FleetClock {
    wall: Wall,
    skips: bool,
    /// Milliseconds ahead of real time.
    ahead: AtomicU64,
    /// Effects under way.
    busy: AtomicU64,
}

impl FleetClock {
    /// Which does not begin before `since`.
    pub(crate) fn new(wall: &Wall, skips: bool, since: Timestamp) -> Self {
        let ahead = u64::try_from(since.since(wall::now()).as_millis()).unwrap_or(0);
        Self {
            wall: wall.clone(),
            skips,
            ahead: AtomicU64::new(ahead),
            busy: AtomicU64::new(0),
        }
    }

    /// An effect is under way for as long as the answer lives.
    fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }
}

/// See [`FleetClock::busy`].
struct Busy<'a>(&'a FleetClock);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs effects, and lets no time be skipped while one is under way: neither while its member is, nor while the lease is asked for it,
/// which takes a moment in a bucket.
pub(crate) struct InTime<'a, P: ?Sized> {
    pub(crate) clock: &'a FleetClock,
    pub(crate) inner: &'a P,
}

#[async_trait]
impl<P: Perform<Fleet> + ?Sized> Perform<Fleet> for InTime<'_, P> {
    async fn perform(&self, effect: &Effect) -> Event
    where
        Fleet: 'async_trait,
    {
        let _busy = self.clock.busy();
        self.inner.perform(effect).await
    }
}

#[async_trait]
impl Clock for FleetClock {
    fn now(&self) -> Timestamp {
        wall::now().after(Duration::from_millis(self.ahead.load(Ordering::Relaxed)))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let left = moment.since(self.now());
        if self.skips && self.busy.load(Ordering::Relaxed) == 0 {
            let left = u64::try_from(left.as_millis()).unwrap_or(0);
            self.ahead.fetch_add(left, Ordering::Relaxed);
            return;
        }
        self.wall.sleep_until(wall::now().after(left)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_is_skipped_only_when_nothing_is_under_way() {
        let wall = Wall::start().expect("there are threads");
        let clock = FleetClock::new(&wall, true, Timestamp::EPOCH);
        let hour = clock.now().after(Duration::from_secs(3_600));
        clock.sleep_until(hour).await;
        assert!(clock.now() >= hour);
        let busy = clock.busy();
        let next = clock.now().after(Duration::from_secs(3_600));
        tokio::select! {
            () = clock.sleep_until(next) => panic!("it was skipped"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        drop(busy);
        clock.sleep_until(next).await;
        let later = FleetClock::new(&wall, true, next.after(Duration::from_secs(60)));
        assert!(
            later.now() >= next,
            "a fleet that is gone on with does not go back in time"
        );
    }
}
