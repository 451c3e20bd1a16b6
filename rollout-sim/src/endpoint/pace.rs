//! How the world's time follows Tokio's.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use tokio::time::Instant;

use crate::clock::SimCloud;

/// The world's time, as so many milliseconds of it for each of Tokio's.
///
/// In process Tokio's time is paused: it moves when nothing else is left to do, and costs nothing. On a socket it is the wall's.
/// The world itself is brought to the present by whoever looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    cloud: SimCloud,
    epoch: Timestamp,
    origin: Instant,
    speed: u32,
}

impl Pace {
    /// The world's present is now.
    pub(crate) fn new(cloud: SimCloud, speed: u32) -> Self {
        let epoch = cloud.lock().now();
        Self {
            cloud,
            epoch,
            origin: Instant::now(),
            speed: speed.max(1),
        }
    }

    pub(crate) const fn cloud(&self) -> &SimCloud {
        &self.cloud
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.epoch.after(self.origin.elapsed().saturating_mul(self.speed))
    }

    /// Lets the world get to the present.
    pub(crate) fn catch_up(&self) {
        let now = self.now();
        self.cloud.lock().advance(now);
    }

    /// Sleeps for so long on the world's clock.
    pub(crate) async fn sleep(&self, span: Duration) {
        if span > Duration::ZERO {
            tokio::time::sleep(span / self.speed).await;
        }
    }
}

#[async_trait]
impl Clock for Pace {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.sleep(moment.since(Self::now(self))).await;
        // A division of the span may have cut it short by a fraction.
        while Self::now(self) < moment {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.catch_up();
    }
}

impl TimeSource for Pace {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(Self::now(self).as_millis())
    }
}

impl AsyncSleep for Pace {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration / self.speed))
    }
}
