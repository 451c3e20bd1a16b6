//! How far every step is, for people.

use serde::{Deserialize, Serialize};

use super::State;
use crate::id::StepId;
use crate::time::Timestamp;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The step.
    pub step: StepId,
    /// When it began.
    pub since: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How it stands.
    pub state: StepState,
}

/// How a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Under way.
    Active {
        /// What it waits for.
        waiting_for: String,
    },
    /// Done.
    Done,
    /// Ended badly.
    Failed {
        /// Why.
        why: String,
    },
}

/// The steps of a state, in the order in which they began, with what the active ones wait for.
pub(super) fn of(state: &State) -> Vec<StepView> {
    let (work, unwind) = match state {
        State::Idle => return Vec::new(),
        State::Checking(work)
        | State::Promoting(work)
        | State::Changing(work)
        | State::Confirming(work)
        | State::Stopping(work, _)
        | State::Ended(work, _) => (work, None),
        State::Unwinding(work, _, unwind) => (work, Some(unwind)),
    };
    let mut steps = work.steps.clone();
    for view in &mut steps {
        if let (StepState::Active { waiting_for }, Some(child)) =
            (&mut view.state, work.children.get(&view.step))
        {
            *waiting_for = child.waiting_for();
        }
    }
    if let Some((step, waiting_for)) = unwind.and_then(|unwind| unwind.waiting_for()) {
        let since = unwind.map_or(Timestamp::EPOCH, |unwind| unwind.since());
        steps.push(StepView {
            step: step.clone(),
            since,
            until: None,
            state: StepState::Active { waiting_for },
        });
    }
    steps
}
