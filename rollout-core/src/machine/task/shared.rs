//! What the states share: calls, reasons, and what a look tells.

use super::{Effect, Launch, Next, OneOff, Outcome, State};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::TaskArn;
use crate::machine::call::{Call, back_off, evidence_of};
use crate::service::StoppedTask;
use crate::time::{Timestamp, human};

/// Every start and every look for it: see the module's documentation.
const ATTEMPT: u32 = 1;

/// Where the evidence of a stopped task comes from.
pub(super) const LOOK: &str = "observe task";

impl OneOff {
    pub(super) fn made(&self, now: Timestamp) -> Call {
        Call::made(now, self.policy.answer)
    }

    /// When a call is said again that has failed once more after so many failures.
    pub(super) fn repeat_at(&self, now: Timestamp, errors: u32, error: &ErrorRecord) -> Timestamp {
        let failures = errors.saturating_add(1);
        now.after(back_off(
            self.policy.poll_every,
            failures,
            error,
            self.policy.answer,
        ))
    }

    pub(super) fn start(&self) -> Vec<Effect> {
        vec![Effect::StartTask {
            spec: Box::new(self.spec.clone()),
            attempt: ATTEMPT,
        }]
    }

    pub(super) fn find(&self) -> Vec<Effect> {
        vec![Effect::FindTask {
            spec: Box::new(self.spec.clone()),
            attempt: ATTEMPT,
        }]
    }

    pub(super) fn aborted(&self, when: &str) -> Reason {
        Reason::new(Cause::Aborted, format!("{} was aborted {when}", self.spec.name))
    }

    pub(super) fn late(&self) -> Reason {
        let text = format!(
            "{} did not end within {}",
            self.spec.name,
            human(self.policy.give_up)
        );
        Reason::new(Cause::DeadlineExceeded, text)
    }

    pub(super) fn end_when_late(&self, now: Timestamp, launch: Launch) -> Launch {
        if now >= launch.give_up {
            ending(launch, self.late())
        } else {
            launch
        }
    }

    pub(super) fn evidence(&self, now: Timestamp, launch: &Launch) -> Option<Evidence> {
        let error = launch.error.as_ref()?;
        Some(evidence_of(error, now, self.spec.name.as_str()))
    }
}

/// The first reason to end stays.
pub(super) fn ending(launch: Launch, reason: Reason) -> Launch {
    Launch {
        ending: launch.ending.or(Some(reason)),
        ..launch
    }
}

pub(super) fn failed(reason: Reason, ran: Applied) -> Next {
    (State::Ended(Outcome::Failed { reason, ran }), Vec::new())
}

pub(super) fn may_still_run(why: Reason) -> Reason {
    Reason {
        text: format!("{}; it was not seen to stop and may still run", why.text),
        ..why
    }
}

pub(super) fn look(task: &TaskArn) -> Vec<Effect> {
    vec![Effect::ObserveTask { task: task.clone() }]
}

pub(super) fn stop(task: &TaskArn) -> Vec<Effect> {
    vec![Effect::StopTask { task: task.clone() }]
}

/// A task that is not known counts as a look that failed.
pub(super) fn unknown_task() -> ErrorRecord {
    ErrorRecord {
        kind: ErrorKind::NotFound,
        retry: Retry::Later,
        applied: Applied::No,
        operation: LOOK.to_owned(),
        context: "the task is not known".to_owned(),
        retry_after: None,
        cause: None,
    }
}

/// Only the platform's `RUNNING` says that a container runs.
pub(super) fn ran_by_status(status: &str, before: Applied) -> Applied {
    if status.eq_ignore_ascii_case("running") {
        Applied::Yes
    } else {
        before
    }
}

/// An exit code is a container that ran.
pub(super) fn ran_by_exit(stopped: &StoppedTask, before: Applied) -> Applied {
    if stopped
        .containers
        .iter()
        .any(|container| container.exit_code.is_some())
    {
        Applied::Yes
    } else {
        before
    }
}
