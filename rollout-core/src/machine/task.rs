//! A one-off task, such as a migration: started at most once per token, judged by the exit code of every essential container.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Applied, ErrorRecord};
use crate::evidence::{Evidence, Reason};
use crate::id::TaskArn;
use crate::service::{TaskObservation, TaskSpec};
use crate::time::millis;

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two looks.
    #[serde(with = "millis")]
    pub poll_every: Duration,
    /// The longest time from the start to the end of the task.
    #[serde(with = "millis")]
    pub give_up: Duration,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer.
    #[serde(with = "millis")]
    pub answer: Duration,
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
    /// The task was started.
    Started(TaskArn),
    /// After a lost answer: the task that the token had started, if there is one.
    Found(Option<TaskArn>),
    /// The task was looked at.
    Observed(TaskObservation),
    /// The task was told to stop.
    StopSent,
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
    /// Start the task. A repeat with the same attempt carries the same token.
    StartTask {
        /// The task.
        spec: Box<TaskSpec>,
        /// Which start this is, from 1. It only grows after a start that certainly did not take effect.
        attempt: u32,
    },
    /// Look for the task that a lost answer may have started.
    FindTask {
        /// The task.
        spec: Box<TaskSpec>,
        /// The attempt whose answer was lost.
        attempt: u32,
    },
    /// Look at the task.
    ObserveTask {
        /// The task.
        task: TaskArn,
    },
    /// Stop the task.
    StopTask {
        /// The task.
        task: TaskArn,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every essential container exited with 0.
    Succeeded {
        /// The task.
        task: TaskArn,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It failed, was stopped, or nobody can tell.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether it may have run, and so may have changed data: a migration that may have run is treated as run.
        ran: Applied,
    },
}
