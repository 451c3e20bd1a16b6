//! Hints: someone says that something has changed, so that a machine need not wait for its next look.
//!
//! A hint carries no verdict. It may come twice, late, out of order, or not at all; a machine that gets one only looks sooner
//! than it would have. Polling stays the fallback and the check.

use serde::{Deserialize, Serialize};

use crate::id::{ServiceName, TaskArn};

mod inbox;

pub use inbox::{HintSender, Hints, hints};

/// What has changed, in the environment that a machine is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Something of a service: its deployments, its tasks.
    Service(ServiceName),
    /// A one-off task.
    Task(TaskArn),
}
