//! The wall clock, for a driver that runs on Tokio.

use async_trait::async_trait;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use crate::time::{self, Now};

/// The [`Clock`] port: the system's time, and Tokio's timer.
///
/// A step of the system's clock moves deadlines with it: a driver that wakes early by it is told to wait again.
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
        tokio::time::sleep(moment.since(self.now())).await;
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_passed_is_not_waited_for_and_one_to_come_is() {
        let clock = TokioClock(std::sync::Arc::new(|| Timestamp::from_millis(10_000)));
        let begun = tokio::time::Instant::now();
        clock.sleep_until(Timestamp::from_millis(9_000)).await;
        assert!(begun.elapsed() < Duration::from_millis(5));
        clock.sleep_until(Timestamp::from_millis(13_000)).await;
        assert!(begun.elapsed() >= Duration::from_secs(3));
    }
}
