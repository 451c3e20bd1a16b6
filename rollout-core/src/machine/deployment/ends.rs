//! The ends that are no success, each with its why.

use super::flow::Next;
use super::judge::Bound;
use super::state::{State, Work};
use super::{Deployment, Outcome, Target};
use crate::error::{ErrorKind, ErrorRecord};
use crate::evidence::{Cause, Reason};
use crate::id::{DeploymentId, TaskDefinitionArn};
use crate::service::ServiceObservation;
use crate::time::human;

impl Deployment {
    pub(super) fn gave_up(&self, state: State) -> Next {
        let touched = state.touched();
        let (mut work, bound, revision) = match state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, .. } => (work, None, None),
            State::Updating { work, aim, .. } | State::Reconciling { work, aim, .. } => {
                (work, None, Some(aim.task_definition))
            }
            State::Watching { work, bound, .. } => {
                (work, Some(bound.deployment), Some(bound.task_definition))
            }
        };
        work.touched = touched;
        let mut text = format!(
            "the deployment of service {} was not done within {}",
            self.spec.service,
            human(self.policy.give_up)
        );
        let mut evidence = Vec::new();
        if let Some(glimpse) = &work.glimpse {
            text.push_str(&format!("; last seen: {}", glimpse.text));
            evidence.clone_from(&glimpse.evidence);
            if let Some(event) = &glimpse.event {
                text.push_str(&format!("; last event: {event}"));
            }
        }
        let reason = Reason::new(Cause::DeadlineExceeded, text).with(evidence);
        self.failed(&work, reason, bound, revision)
    }

    pub(super) fn abort(&self, state: State) -> Next {
        match &self.spec.target {
            // Going back is the safe way already.
            Target::Restore { .. } => return (state, Vec::new()),
            Target::Release { .. } => {}
        }
        let touched = state.touched();
        let (deployment, revision, stage) = match state {
            State::Ended { .. } => return (state, Vec::new()),
            State::Idle | State::Ensuring { .. } => (None, None, None),
            State::Updating { aim, .. } | State::Reconciling { aim, .. } => {
                (None, Some(aim.task_definition), None)
            }
            State::Watching { work, bound, .. } => (
                Some(bound.deployment),
                Some(bound.task_definition),
                work.glimpse.and_then(|glimpse| glimpse.stage),
            ),
        };
        ended(Outcome::Failed {
            reason: Reason::new(
                Cause::Aborted,
                format!("the deployment of service {} was aborted", self.spec.service),
            ),
            touched,
            deployment,
            task_definition: revision,
            stage,
        })
    }

    // Ends.

    pub(super) fn failed(
        &self,
        work: &Work,
        reason: Reason,
        deployment: Option<DeploymentId>,
        task_definition: Option<TaskDefinitionArn>,
    ) -> Next {
        ended(Outcome::Failed {
            reason,
            touched: work.touched,
            deployment,
            task_definition,
            stage: work.glimpse.as_ref().and_then(|glimpse| glimpse.stage.clone()),
        })
    }

    pub(super) fn failed_bound(
        &self,
        work: &Work,
        reason: Reason,
        bound: Bound,
        seen: &ServiceObservation,
    ) -> Next {
        let stage = seen
            .deployment(&bound.deployment)
            .and_then(|ours| ours.record.as_ref())
            .and_then(|record| record.stage.clone())
            .or_else(|| work.glimpse.as_ref().and_then(|glimpse| glimpse.stage.clone()));
        ended(Outcome::Failed {
            reason,
            touched: work.touched,
            deployment: Some(bound.deployment),
            task_definition: Some(bound.task_definition),
            stage,
        })
    }

    pub(super) fn failed_call(
        &self,
        work: &Work,
        error: &ErrorRecord,
        deployment: Option<DeploymentId>,
        task_definition: Option<TaskDefinitionArn>,
    ) -> Next {
        let cause = match error.kind {
            ErrorKind::PermissionDenied => Cause::PermissionDenied,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict
            | ErrorKind::InvalidRequest
            | ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Unsupported
            | ErrorKind::Unexpected => Cause::CallFailed,
        };
        let mut text = format!("service {}: {error}", self.spec.service);
        if work.errors > 1 {
            text.push_str(&format!(" ({} failed calls in a row)", work.errors));
        }
        let mut evidence = Vec::new();
        if let Some(glimpse) = work.glimpse.as_ref().filter(|_| deployment.is_some()) {
            text.push_str(&format!("; last seen: {}", glimpse.text));
            evidence.clone_from(&glimpse.evidence);
        }
        let reason = Reason::new(cause, text).with(evidence);
        self.failed(work, reason, deployment, task_definition)
    }
}

pub(super) fn ended(outcome: Outcome) -> Next {
    (State::Ended { outcome }, Vec::new())
}
