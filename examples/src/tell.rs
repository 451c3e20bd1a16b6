//! An observer that tells people what happens: a line whenever a step begins or ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rollout_core::id::StepId;
use rollout_core::machine::rollout::{Rollout, StepState};
use rollout_core::observer::{Notice, Observer};
use rollout_core::time::{Timestamp, human};

/// Prints a line whenever a step begins or ends.
#[derive(Debug)]
pub struct Tell {
    since: Timestamp,
    told: Mutex<BTreeMap<StepId, &'static str>>,
}

impl Tell {
    /// Times count from `since`.
    #[must_use]
    pub const fn new(since: Timestamp) -> Self {
        Self {
            since,
            told: Mutex::new(BTreeMap::new()),
        }
    }
}

impl Observer<Rollout> for Tell {
    fn notice(&self, at: Timestamp, machine: &Rollout, notice: &Notice<'_, Rollout>) {
        if !matches!(notice, Notice::Handled) {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for view in machine.progress() {
            let (word, what) = match &view.state {
                StepState::Active { .. } => ("begins", view.step.as_str()),
                StepState::Done => ("done", view.step.as_str()),
                // It names its step.
                StepState::Failed { why } => ("FAILED", why.as_str()),
            };
            if told.insert(view.step.clone(), word) != Some(word) {
                let elapsed = human(at.since(self.since));
                println!("  {elapsed:>11}  {word:<6}  {what}");
            }
        }
    }
}
