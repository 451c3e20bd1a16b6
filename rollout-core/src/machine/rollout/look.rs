//! The rollout's own calls: what it reads before it begins, and the last look.

use serde::{Deserialize, Serialize};

use super::work::Work;
use super::{Action, Effect, StepState};
use crate::error::{ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::StepId;
use crate::machine::call::back_off;
use crate::plan::RolloutPlan;
use crate::time::Timestamp;

/// A call of the rollout's own: under way, or to be said again at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    action: Action,
    errors: u32,
    pub(super) again_at: Option<Timestamp>,
    /// Of the last look: what success was seen on in this round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown: Option<Vec<Evidence>>,
    /// Whether the latest answer did not show success.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    unmet: bool,
}

impl Work {
    /// Begins a call of the rollout's own.
    pub(super) fn look(&mut self, step: StepId, action: Action, now: Timestamp) -> Effect {
        self.looks.insert(
            step.clone(),
            Look {
                action: action.clone(),
                errors: 0,
                again_at: None,
                shown: None,
                unmet: false,
            },
        );
        self.began(&step, now);
        Effect { step, action }
    }

    /// Closes a call of the rollout's own. `false` when it was not under way: a late answer.
    pub(super) fn looked(&mut self, step: &StepId, now: Timestamp) -> bool {
        let known = self.looks.remove(step).is_some();
        if known {
            self.finished(step, now, StepState::Done);
        }
        known
    }

    /// Success was seen at this step of the last look.
    pub(super) fn shown(&mut self, step: &StepId, evidence: Vec<Evidence>) {
        if let Some(look) = self.looks.get_mut(step) {
            look.errors = 0;
            look.unmet = false;
            look.shown = Some(evidence);
        }
    }

    /// Success was not seen at this step of the last look: it is looked at again.
    pub(super) fn unmet(&mut self, step: &StepId, at: Timestamp) {
        if let Some(look) = self.looks.get_mut(step) {
            look.errors = 0;
            look.unmet = true;
            look.again_at = Some(at);
        }
        self.begin_round(step);
    }

    /// What was seen before this step is looked at again counts no more: success is claimed on one round.
    pub(super) fn begin_round(&mut self, step: &StepId) {
        let Some(at) = self.looks.get(step).and_then(|look| look.again_at) else {
            return;
        };
        for look in self.looks.values_mut().filter(|look| look.shown.is_some()) {
            look.shown = None;
            look.again_at = Some(at);
        }
    }

    /// The steps at which success was not seen when it was last looked for.
    pub(super) fn doubts(&self) -> Vec<&str> {
        // What is shown is not unmet.
        let unmet = self.looks.iter().filter(|(_, look)| look.unmet);
        let named: Vec<&str> = unmet.map(|(step, _)| step.as_str()).collect();
        if named.is_empty() {
            let open = self.looks.iter().filter(|(_, look)| look.shown.is_none());
            return open.map(|(step, _)| step.as_str()).collect();
        }
        named
    }

    /// Closes the last look if success was seen at every step of it in one round.
    pub(super) fn all_shown(&mut self, now: Timestamp) -> bool {
        if self.looks.values().any(|look| look.shown.is_none()) {
            return false;
        }
        for (step, look) in core::mem::take(&mut self.looks) {
            self.evidence.extend(look.shown.unwrap_or_default());
            self.finished(&step, now, StepState::Done);
        }
        true
    }

    /// Books a failed call of the rollout's own: to be said again, or the end. Before the first change the pauses are even.
    pub(super) fn look_failed(
        &mut self,
        plan: &RolloutPlan,
        step: &StepId,
        error: &ErrorRecord,
        now: Timestamp,
        changed: bool,
    ) -> Result<(), Reason> {
        let Some(look) = self.looks.get_mut(step) else {
            return Ok(());
        };
        look.errors = look.errors.saturating_add(1);
        if error.retry == Retry::Never || look.errors > plan.policy.max_errors {
            let denied = error.kind == crate::error::ErrorKind::PermissionDenied;
            let cause = if denied {
                Cause::PermissionDenied
            } else {
                Cause::CallFailed
            };
            return Err(Reason::new(cause, format!("{step}: {error}")));
        }
        let doubling = if changed { look.errors } else { 1 };
        let wait = back_off(plan.policy.retry_every, doubling, error, plan.policy.confirm);
        look.again_at = Some(now.after(wait));
        look.unmet = true;
        Ok(())
    }

    /// The calls whose time has come again.
    pub(super) fn due_looks(&mut self, now: Timestamp) -> Vec<Effect> {
        let due = |look: &Look| look.again_at.is_some_and(|at| at <= now);
        self.looks
            .iter_mut()
            .filter(|(_, look)| due(look))
            .map(|(step, look)| {
                look.again_at = None;
                Effect {
                    step: step.clone(),
                    action: look.action.clone(),
                }
            })
            .collect()
    }
}
