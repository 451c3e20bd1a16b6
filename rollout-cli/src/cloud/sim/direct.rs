//! Without the AWS adapters: the ports of the simulated cloud itself.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use rollout_sim::SimCloud;

use super::Bound;
use crate::config::Config;

/// The ports and the clock of a run. `speed` is in simulated seconds a second; 0 does not wait at all.
pub(super) fn bind(cloud: &SimCloud, config: &Config, speed: u32) -> anyhow::Result<Bound> {
    let ports = cloud.ports(config.promotion.from.as_str(), config.promotion.to.as_str())?;
    let world = cloud.clock();
    let clock: Arc<dyn Clock> = match speed {
        0 => world,
        speed => Arc::new(Paced { world, speed }),
    };
    Ok(Bound { ports, clock })
}

/// Lets the world's time pass at a pace that people can follow.
struct Paced {
    world: Arc<dyn Clock>,
    speed: u32,
}

/// Between two steps of the world.
const STEP: Duration = Duration::from_millis(50);

#[async_trait]
impl Clock for Paced {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        loop {
            let left = moment.since(self.world.now());
            if left.is_zero() {
                return;
            }
            let span = left.min(STEP.saturating_mul(self.speed));
            tokio::time::sleep(span / self.speed).await;
            // Nothing else moves this world, so a step is as long as it was slept for.
            self.world.sleep_until(self.world.now().after(span)).await;
        }
    }
}
