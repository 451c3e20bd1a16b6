//! One service to one revision: forward to a release, or back to a restore point.
//!
//! Bound to the deployment that **we** created (its id is read from the answer to the call that made it), never to "the
//! newest". "Stable" alone is not success (invariant I-12).

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason};
use crate::id::{DeploymentId, ServiceName, TaskDefinitionArn};
use crate::image::Ensured;
use crate::service::{
    DeploymentStarted, Images, RestorePoint, RevisionSpec, ServiceChange, ServiceObservation, Stage,
};
use crate::time::{Timestamp, millis};

/// Where the service shall go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Forward: register the revision, update the service.
    Release {
        /// The revision.
        revision: RevisionSpec,
        /// The deployment that must be PRIMARY when we write: the one that was captured before the first change.
        assumes: Option<DeploymentId>,
    },
    /// Back: what the service ran when it was last known to be good.
    Restore {
        /// The restore point.
        point: RestorePoint,
        /// The deployment that we had made, if we know it.
        ours: Option<DeploymentId>,
        /// The revision that we had brought, if we know it.
        our_revision: Option<TaskDefinitionArn>,
    },
}

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The service.
    pub service: ServiceName,
    /// Where it goes.
    pub target: Target,
    /// The digests that every running task must show at the end.
    pub images: Images,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two looks.
    #[serde(with = "millis")]
    pub poll_every: Duration,
    /// The longest time from the change to success.
    #[serde(with = "millis")]
    pub give_up: Duration,
    /// Tasks of our deployment that may stop as failures before it is given up.
    pub stopped_tasks: u32,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer.
    #[serde(with = "millis")]
    pub answer: Duration,
    /// For how long after the change a look that does not show it yet is taken for a stale read.
    #[serde(with = "millis")]
    pub stale_reads: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The events without their data."
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Start,
    /// The revision exists.
    RevisionReady {
        /// Its name.
        task_definition: TaskDefinitionArn,
        /// Whether it was there before.
        ensured: Ensured,
    },
    /// The service goes to the revision, by this deployment.
    Updated(DeploymentStarted),
    /// The service was looked at.
    Observed(Box<ServiceObservation>),
    /// The call under way failed.
    CallFailed(ErrorRecord),
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Make sure that the revision exists.
    EnsureRevision(RevisionSpec),
    /// Make the service go to the revision.
    UpdateService(ServiceChange),
    /// Make the service go back.
    Restore {
        /// The restore point.
        point: RestorePoint,
        /// The deployment that must be PRIMARY.
        assumes: Option<DeploymentId>,
    },
    /// Look at the service.
    Observe {
        /// The service.
        service: ServiceName,
    },
}

/// A deployment that someone else made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// The service.
    pub service: ServiceName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The revision it brings.
    pub task_definition: TaskDefinitionArn,
    /// When it was made, by the platform's clock.
    pub created_at: Timestamp,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every running task has the target digests, our deployment is PRIMARY and COMPLETED, counts agree.
    Deployed {
        /// Our deployment.
        deployment: DeploymentId,
        /// The revision.
        task_definition: TaskDefinitionArn,
        /// When the change was made (the driver's clock): evidence of a gate must be newer.
        changed_at: Timestamp,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It did not come up. The service may be anywhere between old and new.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether anything of the service may have been changed.
        touched: bool,
        /// Our deployment, if it came to be.
        deployment: Option<DeploymentId>,
        /// Our revision, if it came to be.
        task_definition: Option<TaskDefinitionArn>,
        /// The stage it was in, for strategies that have stages.
        stage: Option<Stage>,
    },
    /// Someone else deployed: we yield.
    Superseded {
        /// By what.
        by: Foreign,
        /// Whether anything of the service may have been changed by us before.
        touched: bool,
    },
}
