//! How a task ends: why, in AWS's words, and through which phases.

use rollout_core::evidence::Cause;
use rollout_core::id::ContainerName;
use rollout_core::service::{ContainerExit, StoppedTask};
use serde::{Deserialize, Serialize};

use super::Environment;
use super::revision::Container;
use super::task::{Owner, Phase, Task};
use crate::elb::TargetState;
use crate::kernel::Kernel;
use crate::rng::Stream;

/// Why a task stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    CannotPull {
        container: ContainerName,
        message: String,
    },
    CannotInitialize {
        message: String,
    },
    Exited {
        container: ContainerName,
        exit_code: i32,
    },
    OutOfMemory {
        container: ContainerName,
    },
    ContainerUnhealthy,
    TargetUnhealthy {
        group: String,
    },
    Scaling {
        deployment: String,
    },
    ByUser {
        /// What the caller of `StopTask` gave as the reason.
        reason: Option<String>,
    },
}

impl Why {
    /// Whether the task ended by itself.
    const fn by_itself(&self) -> bool {
        match self {
            Self::CannotPull { .. }
            | Self::CannotInitialize { .. }
            | Self::Exited { .. }
            | Self::OutOfMemory { .. } => true,
            Self::ContainerUnhealthy
            | Self::TargetUnhealthy { .. }
            | Self::Scaling { .. }
            | Self::ByUser { .. } => false,
        }
    }

    /// `StopCode` of Amazon ECS API, "Task".
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::CannotPull { .. } | Self::CannotInitialize { .. } => "TaskFailedToStart",
            Self::Exited { .. } | Self::OutOfMemory { .. } => "EssentialContainerExited",
            Self::ContainerUnhealthy | Self::TargetUnhealthy { .. } | Self::Scaling { .. } => {
                "ServiceSchedulerInitiated"
            }
            Self::ByUser { .. } => "UserInitiated",
        }
    }

    /// The texts of Amazon ECS developer guide, "Stopped tasks error messages".
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::CannotPull { message, .. } => format!("CannotPullContainerError: {message}"),
            Self::CannotInitialize { message } => format!("ResourceInitializationError: {message}"),
            Self::Exited { .. } | Self::OutOfMemory { .. } => "Essential container in task exited".to_owned(),
            Self::ContainerUnhealthy => "Task failed container health checks".to_owned(),
            Self::TargetUnhealthy { group } => {
                format!("Task failed ELB health checks in (target-group {group})")
            }
            Self::Scaling { deployment } => {
                format!("Scaling activity initiated by (deployment {deployment})")
            }
            Self::ByUser { reason } => reason
                .clone()
                .unwrap_or_else(|| "Task stopped by user".to_owned()),
        }
    }

    fn cause(&self) -> Option<Cause> {
        match self {
            Self::CannotPull { .. } => Some(Cause::ImagePull),
            Self::CannotInitialize { .. } => Some(Cause::ResourceInitialization),
            Self::Exited { .. } => Some(Cause::ContainerExited),
            Self::OutOfMemory { .. } => Some(Cause::OutOfMemory),
            Self::ContainerUnhealthy | Self::TargetUnhealthy { .. } => Some(Cause::HealthCheckFailed),
            Self::ByUser { .. } => Some(Cause::TaskStopped),
            Self::Scaling { .. } => None,
        }
    }
}

impl Task {
    /// What `DescribeTasks` tells of a stopped task.
    pub(crate) fn stopped(&self, env: &Environment) -> Option<StoppedTask> {
        let (why, stopped_at) = (self.why.as_ref()?, self.stopped_at?);
        let revision = env.revision_at(self.revision);
        let containers = revision.containers.iter().map(|c| self.exit(c, why)).collect();
        let started_by = match self.owner {
            Owner::Service { service, deployment } => {
                env.services[service as usize].deployment_id(deployment)
            }
            Owner::Job => None,
        };
        Some(StoppedTask {
            task: self.arn.clone(),
            task_definition: revision.arn.clone(),
            started_by,
            stopped_at,
            cause: self.failure(why),
            code: Some(why.code().to_owned()),
            reason: why.reason(),
            containers,
            log_tail: match (why, self.started_at) {
                (Why::CannotPull { .. } | Why::CannotInitialize { .. } | Why::Scaling { .. }, _)
                | (_, None) => Vec::new(),
                (_, Some(_)) => self.course.log.iter().rev().take(10).rev().cloned().collect(),
            },
        })
    }

    /// A one-off task that ends with 0 did not fail.
    fn failure(&self, why: &Why) -> Option<Cause> {
        match (self.owner, why) {
            (Owner::Job, Why::Exited { exit_code: 0, .. }) => None,
            (Owner::Job | Owner::Service { .. }, _) => why.cause(),
        }
    }

    pub(crate) fn exit(&self, container: &Container, why: &Why) -> ContainerExit {
        let ran = self.started_at.is_some();
        let (exit_code, reason) = match why {
            Why::CannotPull {
                container: c,
                message,
            } => {
                let reason = format!("CannotPullContainerError: {message}");
                (None, (c == &container.name).then_some(reason))
            }
            Why::OutOfMemory { container: c } if c == &container.name => (
                Some(137),
                Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
            ),
            Why::Exited {
                container: c,
                exit_code,
            } if c == &container.name => (Some(*exit_code), None),
            // The others get a SIGTERM.
            Why::Exited { .. } | Why::OutOfMemory { .. } => (Some(143), None),
            Why::ContainerUnhealthy
            | Why::CannotInitialize { .. }
            | Why::TargetUnhealthy { .. }
            | Why::Scaling { .. }
            | Why::ByUser { .. } => (ran.then_some(143), None),
        };
        ContainerExit {
            name: container.name.clone(),
            essential: container.essential,
            exit_code,
            reason,
        }
    }
}

impl Environment {
    /// Sends a task on its way out. Saying it twice changes nothing.
    pub(crate) fn stop_task(&mut self, k: &mut Kernel, id: u64, why: Why) {
        let drain = self.tasks.get(&id).and_then(|t| self.drain(t));
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.why.is_none()) else {
            return;
        };
        task.version += 1;
        task.stopping_at = Some(k.now);
        let owner = task.owner;
        // A process that has ended has nothing to drain and nothing to stop.
        let dead = why.by_itself();
        let wait = match (task.phase, task.target) {
            (Phase::Running, Some(_)) if !dead => {
                task.phase = Phase::Deactivating;
                task.target = Some(TargetState::Draining);
                drain.unwrap_or(0)
            }
            (Phase::Running, _) if !dead => {
                task.phase = Phase::Stopping;
                k.draw(Stream::Tasks, self.timing.stop)
            }
            _ => {
                task.ended_at = Some(k.now);
                task.phase = Phase::Deprovisioning;
                task.target = None;
                k.draw(Stream::Tasks, self.timing.deprovision)
            }
        };
        let unhealthy = matches!(why, Why::ContainerUnhealthy | Why::TargetUnhealthy { .. });
        task.why = Some(why);
        self.plan_phase(k, id, wait);
        // A check's verdict is counted at once; a task that ended by itself when it has stopped.
        if unhealthy {
            self.task_failed(k, owner);
        }
        self.touch(k, owner);
    }

    fn drain(&self, task: &Task) -> Option<u64> {
        Some(self.groups[task.group? as usize].deregistration_delay)
    }

    pub(super) fn has_stopped(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.phase = Phase::Stopped;
        task.target = None;
        task.stopped_at = Some(k.now);
        let owner = task.owner;
        let ended = task.why.as_ref().is_some_and(Why::by_itself);
        self.forget_old_tasks(k.now, owner, id);
        if ended {
            self.task_failed(k, owner);
        }
        self.touch(k, owner);
    }
}
