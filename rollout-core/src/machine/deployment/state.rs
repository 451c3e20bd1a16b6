//! The state: plain data.

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::judge::Bound;
use super::pace::Paced;
use crate::error::ErrorRecord;
use crate::evidence::Evidence;
use crate::id::{DeploymentId, ServiceDeploymentArn, TaskDefinitionArn};
use crate::service::{ServiceObservation, Stage};
use crate::time::{Deadline, Timestamp, Wait};

/// What every state on the way carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(super) begun_at: Timestamp,
    pub(super) give_up_at: Timestamp,
    /// The first write, once there was one.
    pub(super) asked_at: Option<Timestamp>,
    /// Consecutive failed calls.
    pub(super) errors: u32,
    /// Whether a write that is not under way any more may have taken effect.
    pub(super) touched: bool,
    /// Whether a call was given up without an answer: a late one cannot be told from the answer to the present call.
    pub(super) abandoned: bool,
    /// Whether the platform's short cut back was tried: it is tried once.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) turned: bool,
    /// Whether a hint came while a look was under way, which may be older than what it hints at.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) hinted: bool,
    /// What the pauses between looks go by, where they are not even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paced: Option<Paced>,
    /// What was seen last.
    pub(super) glimpse: Option<Glimpse>,
}

/// The part of a look that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Glimpse {
    pub(super) text: String,
    pub(super) stage: Option<Stage>,
    /// The platform's last word.
    pub(super) event: Option<String>,
    pub(super) evidence: Vec<Evidence>,
}

/// Where a write goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aim {
    pub(super) task_definition: TaskDefinitionArn,
    /// The deployment that the last write assumed to be PRIMARY, or that the next one will.
    pub(super) assumes: Option<DeploymentId>,
    /// The record of the deployment that is turned back instead of written over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turns: Option<ServiceDeploymentArn>,
}

/// Why the service is looked at before anything is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Doubt {
    /// It was not looked at yet.
    FirstLook,
    /// What the write assumed did not hold.
    Conflict { error: ErrorRecord },
    /// The write may have taken effect.
    Lost { at: Timestamp, error: ErrorRecord },
    /// The platform was asked to turn our deployment back, or may have been.
    TurningBack { at: Timestamp },
}

/// Whether a call is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Turn {
    /// It is; past `until` it has failed.
    Call { until: Timestamp },
    /// None is; the next one goes out at `until`.
    Pause {
        until: Timestamp,
        why: Wait,
        /// Since when.
        #[serde(default)]
        since: Timestamp,
    },
}

impl Turn {
    pub(super) const fn deadline(self) -> Deadline {
        match self {
            Self::Call { until } => Deadline::new(until, Wait::Answer),
            Self::Pause { until, why, .. } => Deadline::new(until, why),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(StateKind),
    vis(pub),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The states without their data."
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Not begun.
    #[default]
    Idle,
    /// The revision is made sure of.
    Ensuring { work: Work, turn: Turn },
    /// The service is written to.
    Updating { work: Work, aim: Aim, turn: Turn },
    /// The service is looked at to find out where it stands.
    Reconciling {
        work: Work,
        aim: Aim,
        doubt: Doubt,
        turn: Turn,
    },
    /// The deployment is looked at until it is judged.
    Watching { work: Work, bound: Bound, turn: Turn },
    /// Over.
    Ended { outcome: Outcome },
}

impl State {
    pub(super) const fn touched(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::Updating { work, turn, .. } => work.touched || matches!(turn, Turn::Call { .. }),
            Self::Ensuring { work, .. } | Self::Reconciling { work, .. } | Self::Watching { work, .. } => {
                work.touched
            }
            Self::Ended { outcome } => match outcome {
                Outcome::Deployed { .. } => true,
                Outcome::Failed { touched, .. } | Outcome::Superseded { touched, .. } => *touched,
            },
        }
    }
}

impl Glimpse {
    pub(super) fn of(text: String, stage: Option<Stage>, seen: &ServiceObservation) -> Self {
        let last = seen.events.last();
        Self {
            text,
            stage,
            event: last.map(|event| event.detail.clone()),
            evidence: last.cloned().into_iter().collect(),
        }
    }

    pub(super) fn of_error(error: &ErrorRecord) -> Self {
        Self {
            text: error.to_string(),
            stage: None,
            event: None,
            evidence: Vec::new(),
        }
    }
}
