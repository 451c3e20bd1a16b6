//! What every port call is told about the effect it serves.

use serde::{Deserialize, Serialize};

use crate::id::{EffectId, Generation, RunId, StepId};
use crate::pace::Priority;
use crate::time::Timestamp;

/// The first argument of every port call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpContext {
    /// The run.
    pub run: RunId,
    /// The step of the run.
    pub step: StepId,
    /// How often the step has said this, from 1. A repeat after an unknown outcome keeps the number.
    pub attempt: u32,
    /// The writer's generation.
    pub generation: Generation,
    /// When the caller stops waiting for the answer.
    pub deadline: Timestamp,
    /// How urgent the call is, where calls wait for their turn. It changes nothing else.
    #[serde(default)]
    pub priority: Priority,
}

impl OpContext {
    /// The idempotency token of the effect.
    #[must_use]
    pub fn token(&self) -> EffectId {
        EffectId::derive(&self.run, &self.step, self.attempt)
    }
}
