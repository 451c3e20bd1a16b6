//! The runner's clock where it is not the cloud's (F-12): set by somebody, slow or fast, or stopped with its whole machine.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use pollster::block_on;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

/// What is wrong with the clock of a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Nothing: it is the cloud's.
    None,
    /// Somebody sets it at one of its waits.
    Set {
        /// The wait, from 0, after which it is another time.
        at: u64,
        /// By so many seconds.
        by: i64,
    },
    /// It was set so many milliseconds wrong, and goes on by so many thousandths too fast.
    Drifts {
        /// Ahead of the cloud's clock, or behind it.
        off: i64,
        /// Too fast, or too slow.
        per_mille: i64,
    },
    /// The machine sleeps, as a laptop does whose lid is closed: nothing of the runner goes on, everything else does.
    Sleeps {
        /// The look at the clock, from 0, right before which it falls asleep. Between any two steps there is at least one.
        at: u64,
        /// For so long.
        lasts: Duration,
    },
}

/// A clock with a [`Skew`] on a clock that moves a simulated world.
pub struct RunnersClock {
    cloud: Arc<dyn Clock>,
    skew: Skew,
    began: Timestamp,
    looks: AtomicU64,
    waits: AtomicU64,
}

impl core::fmt::Debug for RunnersClock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("RunnersClock").field(&self.skew).finish()
    }
}

fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).expect("a moment of this age")
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).expect("after the epoch"))
}

impl RunnersClock {
    /// On the cloud's clock, which for [`Skew::Sleeps`] must be one that gets to any moment at once.
    #[must_use]
    pub fn new(cloud: Arc<dyn Clock>, skew: Skew) -> Self {
        Self {
            began: cloud.now(),
            cloud,
            skew,
            looks: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        }
    }

    /// Whether what is wrong with it has happened.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        match self.skew {
            Skew::None => false,
            Skew::Drifts { .. } => true,
            Skew::Set { at, .. } => self.waits.load(Ordering::Relaxed) > at,
            Skew::Sleeps { at, .. } => self.looks.load(Ordering::Relaxed) > at,
        }
    }

    /// What it shows at a moment of the cloud.
    fn shows(&self, cloud: Timestamp) -> Timestamp {
        match self.skew {
            Skew::Set { by, .. } if self.has_struck() => moment(millis(cloud) + by * 1_000),
            Skew::Drifts { off, per_mille } => {
                let gone = millis(cloud) - millis(self.began);
                moment(millis(cloud) + off + gone * per_mille / 1_000)
            }
            Skew::None | Skew::Set { .. } | Skew::Sleeps { .. } => cloud,
        }
    }

    /// How long the cloud takes until this clock shows a moment.
    fn until(&self, wanted: Timestamp) -> Duration {
        let left = wanted.since(self.shows(self.cloud.now()));
        match self.skew {
            Skew::Drifts { per_mille, .. } => {
                let rate = u64::try_from(1_000 + per_mille).expect("it does not stand still");
                let left = u64::try_from(left.as_millis()).expect("short");
                // One more, because both clocks are read in whole milliseconds.
                Duration::from_millis(if left == 0 { 0 } else { left * 1_000 / rate + 1 })
            }
            Skew::None | Skew::Set { .. } | Skew::Sleeps { .. } => left,
        }
    }
}

#[async_trait]
impl Clock for RunnersClock {
    fn now(&self) -> Timestamp {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        if let Skew::Sleeps { at, lasts } = self.skew
            && look == at
        {
            block_on(self.cloud.sleep_until(self.cloud.now().after(lasts)));
        }
        self.shows(self.cloud.now())
    }

    async fn sleep_until(&self, wanted: Timestamp) {
        while self.shows(self.cloud.now()) < wanted {
            let moment = self.cloud.now().after(self.until(wanted));
            self.cloud.sleep_until(moment).await;
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use rollout_sim::SimCloud;

    use super::*;

    #[test]
    fn a_clock_that_drifts_gets_to_every_moment_and_not_much_further() {
        for (off, per_mille) in [(0, 10), (-20_000, -10), (20_000, 0), (7, -999)] {
            let cloud = SimCloud::new(rollout_sim::storefront(1));
            let clock = RunnersClock::new(cloud.clock(), Skew::Drifts { off, per_mille });
            for wait in [0, 1, 999, 60_000, 3_600_000] {
                let (wanted, from) = (
                    clock.now().after(Duration::from_millis(wait)),
                    cloud.clock().now(),
                );
                block_on(clock.sleep_until(wanted));
                assert!(clock.now() >= wanted && clock.now().since(wanted) <= Duration::from_millis(5));
                let took = u64::try_from(cloud.clock().now().since(from).as_millis()).expect("short");
                let rate = u64::try_from(1_000 + per_mille).expect("positive");
                assert!(
                    took.abs_diff(wait * 1_000 / rate) <= 1_000,
                    "{wait} ms took {took} ms"
                );
            }
        }
    }
}
