//! The deployment circuit breaker: what counts as a failure, and when it trips.

use rollout_core::service::RolloutState;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::deployment::GivenUp;
use super::service::Service;
use super::task::Owner;
use crate::kernel::{Kernel, plus};

/// The circuit breaker (Amazon ECS API, "DeploymentCircuitBreaker").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it goes back to the last completed deployment.
    pub rollback: bool,
    /// Whether a healthy task sets its count to zero.
    pub reset_on_healthy_task: bool,
    /// After how many failed tasks it trips.
    pub threshold: Threshold,
}

impl Default for Breaker {
    /// On, with rollback.
    fn default() -> Self {
        Self {
            enabled: true,
            rollback: true,
            reset_on_healthy_task: true,
            threshold: Threshold::BoundedPercent(50),
        }
    }
}

/// After how many failed tasks the circuit breaker trips (Amazon ECS developer guide, "How the Amazon ECS deployment circuit
/// breaker detects failures").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    /// So many percent of the desired count, rounded up, at least 3 and at most 200.
    BoundedPercent(u32),
    /// So many percent of the desired count, rounded up, at least 1.
    UnboundedPercent(u32),
    /// So many.
    Count(u32),
}

impl Threshold {
    pub(crate) fn tasks(self, desired: u32) -> u32 {
        let percent =
            |p: u32| u32::try_from((u64::from(desired) * u64::from(p)).div_ceil(100)).unwrap_or(u32::MAX);
        match self {
            Self::BoundedPercent(p) => percent(p).clamp(3, 200),
            Self::UnboundedPercent(p) => percent(p).max(1),
            Self::Count(n) => n.max(1),
        }
    }
}

impl Environment {
    /// A task of a deployment is healthy: the breaker starts counting anew (`resetOnHealthyTask`).
    pub(crate) fn healthy_task(&mut self, s: u16, deployment: u32) {
        let service = &mut self.services[s as usize];
        service.failures_in_a_row = 0;
        service.launch_after = Timestamp::EPOCH;
        if service.breaker.reset_on_healthy_task {
            service.count_failures(deployment, |_| 0);
        }
    }

    /// A task of a service has failed: the scheduler slows down, the breaker counts.
    pub(crate) fn task_failed(&mut self, k: &mut Kernel, owner: Owner) {
        /// Failures in a row before the scheduler slows down, and how far it does.
        const FREE: u32 = 3;
        const FIRST: u64 = 10_000;
        const SLOWEST: u64 = 15 * 60 * 1_000;
        let Owner::Service {
            service: s,
            deployment,
        } = owner
        else {
            return;
        };
        let service = &mut self.services[s as usize];
        service.failures_in_a_row += 1;
        if let Some(over) = service.failures_in_a_row.checked_sub(FREE) {
            if over % FREE == 0 {
                service.say(k.now, "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.");
            }
            let wait = FIRST.saturating_mul(1 << over.min(10)).min(SLOWEST);
            service.launch_after = plus(k.now, wait);
        }
        let threshold = service.breaker.threshold.tasks(service.desired);
        let Some(primary) = service.primary() else {
            return;
        };
        if primary.number != deployment || primary.rollout != RolloutState::InProgress {
            return;
        }
        let failed = primary.failed + 1;
        service.count_failures(deployment, |_| failed);
        if service.breaker.enabled && failed >= threshold {
            self.give_up(k, s, &GivenUp::Breaker);
        }
    }
}

impl Service {
    /// Sets what the breaker counts for a deployment, here and on its record.
    fn count_failures(&mut self, deployment: u32, count: impl FnOnce(u32) -> u32) {
        let Some(held) = self.deployments.iter_mut().find(|d| d.number == deployment) else {
            return;
        };
        let failed = count(held.failed);
        if failed == held.failed {
            return;
        }
        held.failed = failed;
        if let Some(record) = self.record_mut(deployment).filter(|r| r.is_forward()) {
            record.failures = failed;
        }
    }
}
