//! Services, deployments and tasks as an environment shows them.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::{Cause, Evidence};
use crate::id::{
    ContainerName, DeploymentId, ImageDigest, ServiceDeploymentArn, ServiceName, TaskArn, TaskDefinitionArn,
};
use crate::image::ImageRef;
use crate::time::{Timestamp, maybe_millis};

/// Who is calling, as the platform sees it (AWS STS, "GetCallerIdentity").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The caller's ARN.
    pub caller: String,
    /// When the credentials end, where that is known **and** nothing renews them. Credentials that are renewed as long as the
    /// program runs have no end here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// The digest of each container's image.
pub type Images = BTreeMap<ContainerName, ImageDigest>;

/// What is to become a task definition revision: the team's own JSON, with images by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionSpec {
    /// What `register-task-definition --cli-input-json` takes. The images in it are replaced.
    pub template: serde_json::Value,
    /// The image of each container that the release brings; containers not named here keep the template's image.
    pub images: BTreeMap<ContainerName, ImageRef>,
}

/// A change of one service, with what it assumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// The service.
    pub service: ServiceName,
    /// The revision that it shall run.
    pub task_definition: TaskDefinitionArn,
    /// The deployment that must be the PRIMARY one at the moment of the write; another one is a
    /// [`Conflict`](crate::error::ErrorKind::Conflict) and nothing is written.
    pub assumes: Option<DeploymentId>,
}

/// The deployment that a change created or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStarted {
    /// Its id, read from the answer to the call that made it.
    pub deployment: DeploymentId,
    /// The record that outlives it, where the platform names it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_deployment: Option<ServiceDeploymentArn>,
    /// The platform's own time of its creation.
    pub created_at: Timestamp,
}

/// What a service looks like at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceObservation {
    /// When it was asked.
    pub at: Timestamp,
    /// Its own state.
    pub status: ServiceStatus,
    /// Tasks wanted.
    pub desired: u32,
    /// Tasks running, of all deployments.
    pub running: u32,
    /// Tasks on their way, of all deployments.
    pub pending: u32,
    /// Its deployments.
    pub deployments: Vec<DeploymentObservation>,
    /// Its running tasks.
    pub tasks: Vec<RunningTask>,
    /// Tasks that stopped lately, newest last. Platforms forget them (ECS: about an hour).
    pub stopped: Vec<StoppedTask>,
    /// What the platform says of it, newest last.
    pub events: Vec<Evidence>,
}

impl ServiceObservation {
    /// The deployment that the platform steers towards.
    #[must_use]
    pub fn primary(&self) -> Option<&DeploymentObservation> {
        self.deployments
            .iter()
            .find(|d| d.role == DeploymentRole::Primary)
    }

    /// The deployment with this id.
    #[must_use]
    pub fn deployment(&self, id: &DeploymentId) -> Option<&DeploymentObservation> {
        self.deployments.iter().find(|d| &d.id == id)
    }
}

/// A service's own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceStatus {
    /// It can be deployed to.
    Active,
    /// It is being deleted.
    Draining,
    /// It was deleted or never was.
    Missing,
    /// The platform's word for something else.
    Other(String),
}

/// One deployment of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentObservation {
    /// Its id.
    pub id: DeploymentId,
    /// The revision that it brings.
    pub task_definition: TaskDefinitionArn,
    /// Its role.
    pub role: DeploymentRole,
    /// How far it is.
    pub rollout: RolloutState,
    /// The platform's reason for that state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tasks it wants.
    pub desired: u32,
    /// Tasks of it that run.
    pub running: u32,
    /// Tasks of it on their way.
    pub pending: u32,
    /// Tasks of it that failed.
    pub failed: u32,
    /// The platform's own time of its creation.
    pub created_at: Timestamp,
    /// The record of it, where the platform keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<DeploymentRecord>,
}

impl DeploymentObservation {
    /// Whether the platform has given it up: it does nothing more for it, and only a new deployment gets the service further
    /// (Amazon ECS API, "Deployment": `rolloutState` `FAILED`).
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.rollout == RolloutState::Failed
    }
}

/// The role of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentRole {
    /// The most recent one.
    Primary,
    /// An older one that still has tasks.
    Active,
    /// One that has been replaced.
    Inactive,
    /// The platform's word for something else.
    Other(String),
}

/// How far a deployment is (Amazon ECS API, "Deployment": `rolloutState`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// On its way.
    InProgress,
    /// Reached a steady state.
    Completed,
    /// Given up.
    Failed,
    /// The platform does not say, or says something unknown to us.
    Other(String),
}

/// The record of a deployment that outlives it (Amazon ECS API, "ServiceDeployment").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRecord {
    /// Its ARN.
    pub arn: ServiceDeploymentArn,
    /// Its status.
    pub status: RecordStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The strategy.
    pub strategy: Strategy,
    /// The stage it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The revision it goes or went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<TaskDefinitionArn>,
    /// How long it took, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_millis")]
    pub took: Option<Duration>,
}

/// The status of a service deployment (Amazon ECS API, "ServiceDeployment": `status`). There is no "failed": `Stopped`
/// covers both "someone stopped it" and "failed with rollback switched off".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// Not begun.
    Pending,
    /// On its way.
    InProgress,
    /// Stop asked for.
    StopRequested,
    /// Stopped.
    Stopped,
    /// Done.
    Successful,
    /// Rollback asked for.
    RollbackRequested,
    /// Going back.
    RollbackInProgress,
    /// Gone back.
    RollbackSuccessful,
    /// Did not come back either.
    RollbackFailed,
    /// A word unknown to us.
    Other(String),
}

impl RecordStatus {
    /// The platform's word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::StopRequested => "STOP_REQUESTED",
            Self::Stopped => "STOPPED",
            Self::Successful => "SUCCESSFUL",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
            Self::Other(word) => word,
        }
    }
}

/// How a service replaces its tasks (Amazon ECS API, "DeploymentConfiguration": `strategy`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Old tasks are replaced step by step.
    #[default]
    Rolling,
    /// A full second set, then all traffic at once.
    BlueGreen,
    /// A full second set, then traffic in equal steps.
    Linear,
    /// A full second set, then a small share of traffic, then the rest.
    Canary,
    /// A word unknown to us.
    Other(String),
}

/// The stage of a service deployment (Amazon ECS developer guide, "Lifecycle stages"). A name unknown to us is carried:
/// the API's enum lacks names that its own text lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Looking at what is there.
    ReconcileService,
    /// Before the new tasks start.
    PreScaleUp,
    /// The new tasks start.
    ScaleUp,
    /// After the new tasks have started.
    PostScaleUp,
    /// Test traffic moves.
    TestTrafficShift,
    /// After test traffic has moved.
    PostTestTrafficShift,
    /// Before production traffic moves.
    PreProductionTrafficShift,
    /// Production traffic moves.
    ProductionTrafficShift,
    /// After production traffic has moved.
    PostProductionTrafficShift,
    /// Both sets run.
    BakeTime,
    /// The old tasks stop.
    CleanUp,
    /// A name unknown to us.
    Other(String),
}

/// A running task of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task.
    pub task: TaskArn,
    /// Its revision.
    pub task_definition: TaskDefinitionArn,
    /// The digest of each container's image. A container whose digest the platform does not tell is left out, and then
    /// the task is no proof of success.
    pub images: Images,
    /// The deployment that started it, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<DeploymentId>,
    /// Since when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
}

/// A task that stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedTask {
    /// The task.
    pub task: TaskArn,
    /// Its revision.
    pub task_definition: TaskDefinitionArn,
    /// The deployment that started it, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<DeploymentId>,
    /// When it stopped.
    pub stopped_at: Timestamp,
    /// What follows from the platform's stop code and reason; `None` for a stop that is no failure, such as scaling in.
    pub cause: Option<Cause>,
    /// The platform's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The platform's reason, as it gives it.
    pub reason: String,
    /// How its containers ended.
    pub containers: Vec<ContainerExit>,
    /// The last lines of its log, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

impl StoppedTask {
    /// The task as evidence: reason, exit codes and the last log lines.
    #[must_use]
    pub fn evidence(&self, source: &str) -> Vec<Evidence> {
        let mut detail = self.reason.clone();
        for container in &self.containers {
            if let Some(code) = container.exit_code {
                detail.push_str(&format!("; container {} exited with {code}", container.name));
            }
            if let Some(reason) = &container.reason {
                detail.push_str(&format!("; container {}: {reason}", container.name));
            }
        }
        let subject = self.task.as_str();
        let mut all = vec![Evidence::new(self.stopped_at, source, subject, detail)];
        all.extend(
            self.log_tail
                .iter()
                .map(|line| Evidence::new(self.stopped_at, "log", subject, line.as_str())),
        );
        all
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerExit {
    /// The container.
    pub name: ContainerName,
    /// Whether the task ends with it.
    pub essential: bool,
    /// Its exit code, where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The platform's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a one-off task looks like at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskObservation {
    /// It has not ended.
    Running {
        /// When it was asked.
        at: Timestamp,
        /// The platform's word, such as `PROVISIONING`.
        status: String,
    },
    /// It has ended.
    Stopped(StoppedTask),
    /// The platform does not know it (any more).
    Missing {
        /// When it was asked.
        at: Timestamp,
    },
}

/// A one-off task: the team's own JSON with images by digest, and what differs for this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its name.
    pub name: crate::id::TaskName,
    /// Its revision.
    pub revision: RevisionSpec,
    /// What `run-task --cli-input-json` takes besides (network, launch type, overrides).
    pub run: serde_json::Value,
}

/// What a service ran when it was last known to be good: captured before the first change, restored when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    /// The service.
    pub service: ServiceName,
    /// When it was captured.
    pub captured_at: Timestamp,
    /// The revision.
    pub task_definition: TaskDefinitionArn,
    /// The digests that its tasks ran.
    pub images: Images,
    /// The deployment that was PRIMARY and COMPLETED.
    pub deployment: DeploymentId,
    /// Tasks wanted.
    pub desired: u32,
    /// When that deployment was made, by the platform's own clock, where it tells: from then the release's age counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Whether a restore point can still be gone back to: each thing that it rests on, by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usability {
    /// When it was asked; the earliest moment of all questions.
    pub at: Timestamp,
    /// What it rests on. What is not named here was not looked at, and is not known.
    pub parts: Vec<Part>,
}

/// One thing that a restore point rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its name for people, such as `secret arn:aws:secretsmanager:…`. Never a secret's value.
    pub name: String,
    /// What was found.
    pub found: Found,
}

/// What a restore point can rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// The revision: a service can go to it (ECS: it is `ACTIVE`).
    Revision,
    /// A container's image, by its digest.
    Image {
        /// The container.
        container: ContainerName,
    },
    /// A secret or parameter that the revision names.
    Secret,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// It is there.
    Usable,
    /// It is not: a task could not start.
    Gone {
        /// Why.
        why: String,
    },
    /// It cannot be found out. That is never a pass; the policy says whether it refuses.
    Unknown {
        /// Why.
        why: String,
    },
}

/// The answer to a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Captured {
    /// There is something to go back to.
    Point(RestorePoint),
    /// Someone is deploying right now: nothing can be captured, and nothing should be begun.
    Busy {
        /// The deployment under way.
        deployment: DeploymentId,
        /// What the platform says of it.
        text: String,
    },
    /// There is nothing to go back to; deploying is possible, going back is not.
    Nothing {
        /// Why: never deployed, never completed, scaled to zero.
        why: String,
        /// The PRIMARY deployment, if there is one.
        deployment: Option<DeploymentId>,
    },
}
