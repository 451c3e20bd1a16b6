//! Deployments of a service: how one begins, completes, fails, and what the circuit breaker does then.

use rollout_core::id::{DeploymentId, ServiceDeploymentArn};
use rollout_core::service::{DeploymentRole, DeploymentStarted, Images, RecordStatus, RolloutState};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::service::{Service, Status};
use super::task::Owner;
use crate::kernel::{Kernel, plus};

/// How many records of gone deployments a look at a service still finds.
const HISTORY_KEPT: usize = 4;

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

/// Where a rollback goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) deployment: Deployment,
}

/// The record that outlives a deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) arn: ServiceDeploymentArn,
    pub(crate) status: RecordStatus,
    pub(crate) reason: Option<String>,
    pub(crate) rolled_back_to: Option<u32>,
}

/// One deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) number: u32,
    pub(crate) id: DeploymentId,
    pub(crate) revision: u32,
    pub(crate) images: Images,
    pub(crate) role: DeploymentRole,
    pub(crate) rollout: RolloutState,
    pub(crate) reason: String,
    /// What the breaker counts.
    pub(crate) failed: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) record: Record,
}

impl Deployment {
    pub(crate) fn started(&self) -> DeploymentStarted {
        DeploymentStarted {
            deployment: self.id.clone(),
            service_deployment: Some(self.record.arn.clone()),
            created_at: self.created_at,
        }
    }
}

impl Service {
    /// A record that has not ended ends.
    fn close_record(deployment: &mut Deployment, status: RecordStatus, reason: &str) {
        if matches!(
            deployment.record.status,
            RecordStatus::Pending | RecordStatus::InProgress
        ) {
            deployment.record.status = status;
            deployment.record.reason = Some(reason.to_owned());
        }
    }

    /// The PRIMARY deployment has arrived. Older ones leave the list.
    pub(crate) fn complete(&mut self, k: &mut Kernel) {
        let Some(primary) = self.deployments.first_mut() else {
            return;
        };
        primary.rollout = RolloutState::Completed;
        primary.reason = format!("ECS deployment {} completed.", primary.id);
        if primary.record.status == RecordStatus::InProgress {
            primary.record.status = RecordStatus::Successful;
        }
        let text = format!("(deployment {}) deployment completed.", primary.id);
        self.completed = Some(Target {
            deployment: primary.clone(),
        });
        self.say(k.now, &text);
        let failed = self.rolling_back.take();
        for mut old in self.deployments.split_off(1) {
            old.role = DeploymentRole::Inactive;
            if Some(old.number) == failed {
                old.record.status = RecordStatus::RollbackSuccessful;
            }
            self.history.push_back(old);
        }
        while self.history.len() > HISTORY_KEPT {
            self.history.pop_front();
        }
    }

    /// Marks the record of the deployment that is being rolled back.
    fn rolled_back(&mut self, status: &RecordStatus, reason: &str) {
        let Some(number) = self.rolling_back.take() else {
            return;
        };
        let mut all = self.deployments.iter_mut().chain(&mut self.history);
        if let Some(failed) = all.find(|d| d.number == number) {
            failed.record.status = status.clone();
            failed.record.reason = Some(reason.to_owned());
        }
    }

    /// Puts a deployment in front; what was in front becomes ACTIVE.
    fn put_first(&mut self, deployment: Deployment) {
        for other in &mut self.deployments {
            other.role = DeploymentRole::Active;
        }
        self.deployments.insert(0, deployment);
        self.steady = false;
        self.failures_in_a_row = 0;
        self.launch_after = Timestamp::EPOCH;
    }
}

impl Environment {
    /// Makes a deployment with this revision the PRIMARY one.
    pub(crate) fn deploy(&mut self, k: &mut Kernel, s: u16, revision: u32) -> DeploymentStarted {
        let images = self.resolve_images(revision);
        let deployment = self.new_deployment(k, s, revision, images);
        let started = deployment.started();
        let service = &mut self.services[s as usize];
        service.rolled_back(&RecordStatus::RollbackFailed, "A new deployment was started.");
        if let Some(old) = service.deployments.first_mut() {
            Service::close_record(old, RecordStatus::Stopped, "A new deployment was started.");
        }
        service.put_first(deployment);
        self.schedule(k, s, 0);
        started
    }

    pub(crate) fn new_deployment(
        &mut self,
        k: &mut Kernel,
        s: u16,
        revision: u32,
        images: Images,
    ) -> Deployment {
        let service = &mut self.services[s as usize];
        let number = service.next_deployment;
        service.next_deployment += 1;
        let id = DeploymentId::new(format!("ecs-svc/{}", k.dice.digits())).expect("printable");
        k.mark_text(id.as_str());
        let arn = format!(
            "arn:aws:ecs:{}:{}:service-deployment/{}/{}/{}",
            self.region,
            self.account,
            self.cluster,
            service.name,
            k.dice.hex(1)
        );
        Deployment {
            number,
            reason: format!("ECS deployment {id} in progress."),
            id,
            revision,
            images,
            role: DeploymentRole::Primary,
            rollout: RolloutState::InProgress,
            failed: 0,
            created_at: k.now,
            record: Record {
                arn: ServiceDeploymentArn::new(arn).expect("printable"),
                status: RecordStatus::InProgress,
                reason: None,
                rolled_back_to: None,
            },
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
        let (breaker, desired) = (service.breaker, service.desired);
        let Some(primary) = service.deployments.first_mut() else {
            return;
        };
        if primary.number != deployment || primary.rollout != RolloutState::InProgress {
            return;
        }
        primary.failed += 1;
        if breaker.enabled && primary.failed >= breaker.threshold.tasks(desired) {
            let target = if breaker.rollback {
                service.completed.take()
            } else {
                None
            };
            self.fail_deployment(k, s, target);
        }
    }

    /// The platform gives the PRIMARY deployment up, and goes back to `target` if there is one.
    pub(crate) fn fail_deployment(&mut self, k: &mut Kernel, s: u16, target: Option<Target>) {
        let service = &mut self.services[s as usize];
        let rollback = service.breaker.rollback;
        let Some(failed) = service.deployments.first_mut() else {
            return;
        };
        failed.rollout = RolloutState::Failed;
        failed.reason = "ECS deployment circuit breaker: tasks failed to start.".to_owned();
        let number = failed.number;
        let text = format!(
            "(deployment {}) deployment failed: tasks failed to start.",
            failed.id
        );
        let Some(target) = target else {
            let (status, reason) = if rollback {
                (
                    RecordStatus::RollbackFailed,
                    "The circuit breaker threshold was exceeded. No completed deployment was found to roll back to.",
                )
            } else {
                (
                    RecordStatus::Stopped,
                    "The circuit breaker threshold was exceeded. Rollback is not enabled.",
                )
            };
            Service::close_record(failed, status, reason);
            service.say(k.now, &text);
            service.rolled_back(
                &RecordStatus::RollbackFailed,
                "The deployment that it was rolled back to failed as well.",
            );
            return;
        };
        failed.record.status = RecordStatus::RollbackInProgress;
        failed.record.reason = Some("The circuit breaker threshold was exceeded.".to_owned());
        failed.record.rolled_back_to = Some(target.deployment.revision);
        service.say(k.now, &text);
        service.rolled_back(
            &RecordStatus::RollbackFailed,
            "The rollback was replaced by another one.",
        );
        service.rolling_back = Some(number);
        self.go_back(k, s, target);
    }

    /// The deployment that completed last becomes PRIMARY again, under its own id.
    fn go_back(&mut self, k: &mut Kernel, s: u16, target: Target) {
        let service = &mut self.services[s as usize];
        let mut deployment = target.deployment;
        service.deployments.retain(|d| d.number != deployment.number);
        service.history.retain(|d| d.number != deployment.number);
        deployment.role = DeploymentRole::Primary;
        deployment.rollout = RolloutState::InProgress;
        deployment.failed = 0;
        deployment.reason = format!(
            "ECS deployment circuit breaker: rolling back to deploymentId {}.",
            deployment.id
        );
        let text = format!("rolling back to (deployment {}).", deployment.id);
        service.put_first(deployment);
        service.say(k.now, &text);
        self.schedule(k, s, 0);
    }

    /// Gives a service a completed deployment with running, healthy tasks, as if it had been deployed at `since`.
    pub(crate) fn populate(&mut self, k: &mut Kernel, s: u16, revision: u32, since: Timestamp) {
        let images = self.resolve_images(revision);
        let mut deployment = self.new_deployment(k, s, revision, images.clone());
        deployment.created_at = since;
        let number = deployment.number;
        let service = &mut self.services[s as usize];
        service.status = Status::Active;
        service.deployments.insert(0, deployment);
        let owner = Owner::Service {
            service: s,
            deployment: number,
        };
        for _ in 0..service.desired {
            let id = self.launch(k, owner, revision, images.clone());
            self.settle_task(k, id, since);
            self.services[s as usize].tasks.push(id);
        }
        let service = &mut self.services[s as usize];
        service.complete(k);
        service.steady = true;
        service.say(k.now, "has reached a steady state.");
    }
}
