//! An environment on Amazon ECS: its services, its task definitions, its one-off tasks, and the way back.

#[cfg(test)]
mod corpus;
mod map;
mod observe;
mod revision;
mod rollback;
mod stop;
mod task;
mod template;
#[cfg(test)]
mod tests;
mod update;
mod wide;
mod wire;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{DeploymentId, ServiceName, TaskArn, TaskDefinitionArn};
use rollout_core::image::Ensured;
use rollout_core::port::Environment;
use rollout_core::service::{
    DeploymentStarted, Identity, RevisionSpec, ServiceChange, ServiceObservation, StoppedTask,
    TaskObservation, TaskSpec,
};

use self::revision::Revision;
pub use self::rollback::EcsRollback;
pub(crate) use self::wide::{Described, DescribedTask, RECORDS_A_CALL, SERVICES_A_CALL, TASKS_A_CALL};
use crate::config;
#[cfg(feature = "logs")]
use crate::logs::LogReader;
use crate::observer::{Meter, SharedObserver, Toll};
use crate::sts::IdentityGuard;
use crate::time::{Now, system};

pub(crate) const DESCRIBE_SERVICES: &str = "ecs:DescribeServices";
const UPDATE_SERVICE: &str = "ecs:UpdateService";
pub(crate) const LIST_RECORDS: &str = "ecs:ListServiceDeployments";
pub(crate) const DESCRIBE_RECORDS: &str = "ecs:DescribeServiceDeployments";
const STOP_RECORD: &str = "ecs:StopServiceDeployment";
pub(crate) const DESCRIBE_SERVICE_REVISIONS: &str = "ecs:DescribeServiceRevisions";
pub(crate) const LIST_TASKS: &str = "ecs:ListTasks";
pub(crate) const DESCRIBE_TASKS: &str = "ecs:DescribeTasks";
const DESCRIBE_TASK_DEFINITION: &str = "ecs:DescribeTaskDefinition";
const REGISTER: &str = "ecs:RegisterTaskDefinition";
const RUN_TASK: &str = "ecs:RunTask";
const STOP_TASK: &str = "ecs:StopTask";

/// The IAM actions of [`EcsEnvironment`] and [`EcsRollback`], without those of the image registry and the log reader.
pub const ACTIONS: &[&str] = &[
    DESCRIBE_SERVICES,
    UPDATE_SERVICE,
    STOP_RECORD,
    LIST_RECORDS,
    DESCRIBE_RECORDS,
    DESCRIBE_SERVICE_REVISIONS,
    LIST_TASKS,
    DESCRIBE_TASKS,
    DESCRIBE_TASK_DEFINITION,
    REGISTER,
    RUN_TASK,
    STOP_TASK,
    "ecs:TagResource",
    "iam:PassRole",
];

/// One ECS cluster as an environment.
///
/// Every call that changes something first asks the [`IdentityGuard`], then reads what it assumes, and is sent once: ECS
/// has no compare-and-set for `UpdateService`, so it is read, verify, write, read back.
///
/// # IAM actions
/// Observing: `ecs:DescribeServices`, `ecs:ListServiceDeployments`, `ecs:DescribeServiceDeployments`,
/// `ecs:DescribeServiceRevisions`, `ecs:ListTasks`, `ecs:DescribeTasks`, `ecs:DescribeTaskDefinition`. As the source environment,
/// of which only what runs is asked: `ecs:DescribeServices`, `ecs:ListTasks`, `ecs:DescribeTasks`, `ecs:DescribeTaskDefinition`.
/// Deploying: `ecs:RegisterTaskDefinition`, `ecs:TagResource` (a revision is tagged with the hash of its content),
/// `ecs:UpdateService`, `iam:PassRole` on the task's and the execution role. Turning a deployment back that is under way:
/// `ecs:StopServiceDeployment`; without it the plain way back is taken.
/// One-off tasks: `ecs:RunTask`, `ecs:StopTask`. Identity: `sts:GetCallerIdentity`. With a log reader: `logs:GetLogEvents`.
pub struct EcsEnvironment {
    client: Client,
    cluster: String,
    registry: String,
    guard: Arc<IdentityGuard>,
    #[cfg(feature = "logs")]
    logs: Option<LogReader>,
    toll: Toll,
    now: Now,
    memory: Mutex<Memory>,
}

/// What does not change once it was read; it saves calls and is never the ground of a decision that a fresh read could
/// turn round.
#[derive(Default)]
struct Memory {
    /// Task definition revisions: their content cannot be edited.
    revisions: BTreeMap<String, Arc<Revision>>,
    /// Service revision ARN to task definition ARN.
    service_revisions: BTreeMap<String, TaskDefinitionArn>,
    /// Tasks that have stopped, with their log tails.
    stopped: BTreeMap<String, StoppedTask>,
    /// Which deployment a record belonged to while both could be seen.
    records: BTreeMap<String, DeploymentId>,
}

/// A memory is emptied rather than let grow without end.
const REMEMBERED: usize = 2_000;

impl EcsEnvironment {
    /// The cluster of `config`'s account and region. With the feature `logs`, failed tasks come with their last log lines.
    ///
    /// Images are taken from the registry of the guard's account and region; see [`EcsEnvironment::registry`].
    #[must_use]
    pub fn from_config(config: &SdkConfig, cluster: impl Into<String>, guard: Arc<IdentityGuard>) -> Self {
        let environment = Self::with_client(Client::new(&config::prepare(config)), cluster, guard);
        #[cfg(feature = "logs")]
        let environment = environment.logs(LogReader::from_config(config));
        environment
    }

    /// The same with a ready client and without a log reader.
    #[must_use]
    pub fn with_client(client: Client, cluster: impl Into<String>, guard: Arc<IdentityGuard>) -> Self {
        let expected = guard.expected();
        let suffix = if expected.region.starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        let registry = format!(
            "{}.dkr.ecr.{}.amazonaws.com{suffix}",
            expected.account, expected.region
        );
        Self {
            client,
            cluster: cluster.into(),
            registry,
            guard,
            #[cfg(feature = "logs")]
            logs: None,
            toll: Toll::default(),
            now: system(),
            memory: Mutex::default(),
        }
    }

    /// The host (and path) before the repository in image references, such as
    /// `123456789012.dkr.ecr.eu-central-1.amazonaws.com`.
    #[must_use]
    pub fn registry(mut self, registry: impl Into<String>) -> Self {
        self.registry = registry.into();
        self
    }

    /// Adds the last log lines to failed tasks.
    #[cfg(feature = "logs")]
    #[must_use]
    pub fn logs(mut self, reader: LogReader) -> Self {
        self.logs = Some(reader);
        self
    }

    /// Shares calls with all adapters of this account and region that are given the same observer. A log reader that is there
    /// already shares them, too.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "ecs")).build());
        self.toll = Toll::of(observer);
        #[cfg(feature = "logs")]
        {
            self.logs = self.logs.map(|reader| reader.shared(observer));
        }
        self
    }

    /// Another clock for the time of observations.
    #[must_use]
    pub fn clock(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    fn remember(&self, change: impl FnOnce(&mut Memory)) {
        let mut memory = self
            .memory
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if memory.revisions.len() > REMEMBERED {
            memory.revisions.clear();
        }
        if memory.service_revisions.len() > REMEMBERED {
            memory.service_revisions.clear();
        }
        if memory.stopped.len() > REMEMBERED {
            memory.stopped.clear();
        }
        if memory.records.len() > REMEMBERED {
            memory.records.clear();
        }
        change(&mut memory);
    }

    fn recall<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(
            &self
                .memory
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl fmt::Debug for EcsEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcsEnvironment")
            .field("cluster", &self.cluster)
            .field("registry", &self.registry)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Environment for EcsEnvironment {
    async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error> {
        self.guard.identity(ctx).await
    }

    async fn observe_service(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        self.observe(ctx, service).await
    }

    async fn observe_running(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        self.observe_running(ctx, service).await
    }

    async fn ensure_revision(
        &self,
        ctx: &OpContext,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), Error> {
        self.ensure(ctx, spec).await
    }

    async fn update_service(
        &self,
        ctx: &OpContext,
        change: &ServiceChange,
    ) -> Result<DeploymentStarted, Error> {
        self.update(
            ctx,
            &change.service,
            &change.task_definition,
            change.assumes.as_ref(),
        )
        .await
    }

    async fn start_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error> {
        self.start(ctx, spec).await
    }

    async fn observe_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<TaskObservation, Error> {
        self.look_at_task(ctx, task).await
    }

    async fn find_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error> {
        self.find(ctx, spec).await
    }

    async fn stop_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error> {
        self.stop(ctx, task).await
    }
}
