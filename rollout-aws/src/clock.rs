//! The wall clock, for a driver that runs on Tokio.

use core::time::Duration;

use async_trait::async_trait;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use crate::time::{self, Now};

/// The longest that Tokio's timer is trusted.
pub const SLICE: Duration = Duration::from_secs(15);

/// The [`Clock`] port: the system's time, and Tokio's timer.
///
/// Tokio's timer stands still while the machine sleeps and does not follow a clock that is set, so the system's time is looked at
/// again every [`SLICE`]: what became due while a laptop's lid was closed is done right after it has been opened.
#[derive(Clone)]
pub struct TokioClock(Now);

impl TokioClock {
    /// The system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self(time::system())
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for TokioClock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokioClock")
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        (self.0)()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    /// The system's time, which is set forward by an hour, or is found to be an hour later, ten seconds from now.
    fn slept() -> TokioClock {
        let begun = Instant::now();
        TokioClock(Arc::new(move || {
            let gone = begun.elapsed();
            let slept = gone >= Duration::from_secs(10);
            let hour = if slept { 3_600 } else { 0 };
            Timestamp::from_millis(10_000).after(gone + Duration::from_secs(hour))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_passed_is_not_waited_for_and_one_to_come_is() {
        let (clock, begun) = (slept(), Instant::now());
        clock.sleep_until(Timestamp::from_millis(9_000)).await;
        assert!(begun.elapsed() < Duration::from_millis(5));
        clock.sleep_until(Timestamp::from_millis(13_000)).await;
        assert!(begun.elapsed() >= Duration::from_secs(3));
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_due_while_the_machine_slept_is_not_waited_for() {
        let (clock, begun) = (slept(), Instant::now());
        clock
            .sleep_until(clock.now().after(Duration::from_secs(1_800)))
            .await;
        assert!(
            begun.elapsed() <= SLICE + Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
}
