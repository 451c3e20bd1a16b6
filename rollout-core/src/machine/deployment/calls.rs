//! Calls that fail, calls without an answer, and what goes out when a deadline comes.

use super::flow::Next;
use super::judge::{self, Bound};
use super::state::{Aim, Doubt, Glimpse, State, Turn, Work};
use super::{Deployment, Target};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::time::{Timestamp, human};

/// What a deadline that has passed means.
enum Due {
    /// It has not.
    NotYet,
    /// The step's time is up.
    GiveUp,
    /// The call under way has no answer.
    Unanswered,
    /// The next call goes out.
    Go,
}

fn due(work: &Work, turn: Turn, now: Timestamp) -> Due {
    match turn {
        Turn::Call { .. } | Turn::Pause { .. } if now >= work.give_up_at => Due::GiveUp,
        Turn::Call { until } if now >= until => Due::Unanswered,
        Turn::Pause { until, .. } if now >= until => Due::Go,
        Turn::Call { .. } | Turn::Pause { .. } => Due::NotYet,
    }
}

impl Deployment {
    pub(super) fn call_failed(&self, state: State, now: Timestamp, error: ErrorRecord) -> Next {
        match state {
            State::Ensuring {
                work,
                turn: Turn::Call { .. },
            } => self.ensure_failed(now, work, &error),
            State::Updating {
                work,
                aim,
                turn: Turn::Call { .. },
            } => self.write_failed(now, work, aim, error),
            State::Reconciling {
                work,
                aim,
                doubt,
                turn: Turn::Call { .. },
            } => self.look_failed(now, work, aim, doubt, &error),
            State::Watching {
                work,
                bound,
                turn: Turn::Call { .. },
            } => self.watch_failed(now, work, bound, &error),
            // No call is under way: a late answer to one that was given up.
            State::Ensuring {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Updating {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Reconciling {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Watching {
                turn: Turn::Pause { .. },
                ..
            }
            | State::Idle
            | State::Ended { .. } => (state, Vec::new()),
        }
    }

    /// Counts a failed call: `true` when it is the last one allowed.
    fn too_many(&self, work: &mut Work, error: &ErrorRecord) -> bool {
        work.errors = work.errors.saturating_add(1);
        error.retry == Retry::Never || work.errors >= self.policy.max_errors
    }

    fn ensure_failed(&self, now: Timestamp, mut work: Work, error: &ErrorRecord) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, None, None);
        }
        work.glimpse = Some(Glimpse::of_error(error));
        let turn = self.retry(now, &work, error);
        (State::Ensuring { work, turn }, Vec::new())
    }

    fn write_failed(&self, now: Timestamp, mut work: Work, aim: Aim, error: ErrorRecord) -> Next {
        // After a call that was given up nobody knows which of the two this answers.
        let applied = match error.applied {
            Applied::No if !work.abandoned => Applied::No,
            Applied::No | Applied::Maybe => Applied::Maybe,
            Applied::Yes => Applied::Yes,
        };
        if aim.turns.is_some() {
            return self.turn_failed(now, work, aim, applied);
        }
        match (applied, error.kind == ErrorKind::Conflict) {
            (Applied::No, true) => {
                work.errors = work.errors.saturating_add(1);
                work.glimpse = None;
                self.look(now, work, aim, Doubt::Conflict { error })
            }
            (Applied::No, false) => {
                if self.too_many(&mut work, &error) {
                    return self.failed_call(&work, &error, None, Some(aim.task_definition));
                }
                work.glimpse = Some(Glimpse::of_error(&error));
                let turn = self.retry(now, &work, &error);
                (State::Updating { work, aim, turn }, Vec::new())
            }
            (Applied::Maybe | Applied::Yes, _) => {
                work.touched = true;
                work.errors = work.errors.saturating_add(1);
                work.glimpse = None;
                self.look(now, work, aim, Doubt::Lost { at: now, error })
            }
        }
    }

    /// The short cut is no reason to fail: whatever is wrong with it, the plain way back is left.
    fn turn_failed(&self, now: Timestamp, mut work: Work, mut aim: Aim, applied: Applied) -> Next {
        work.glimpse = None;
        match applied {
            Applied::No => {
                aim.turns = None;
                self.look(now, work, aim, Doubt::FirstLook)
            }
            Applied::Maybe | Applied::Yes => {
                work.touched = true;
                self.look(now, work, aim, Doubt::TurningBack { at: now })
            }
        }
    }

    fn look_failed(
        &self,
        now: Timestamp,
        mut work: Work,
        aim: Aim,
        doubt: Doubt,
        error: &ErrorRecord,
    ) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, None, Some(aim.task_definition));
        }
        work.glimpse = Some(Glimpse::of_error(error));
        let turn = self.retry(now, &work, error);
        (
            State::Reconciling {
                work,
                aim,
                doubt,
                turn,
            },
            Vec::new(),
        )
    }

    fn watch_failed(&self, now: Timestamp, mut work: Work, bound: Bound, error: &ErrorRecord) -> Next {
        if self.too_many(&mut work, error) {
            return self.failed_call(&work, error, Some(bound.deployment), Some(bound.task_definition));
        }
        let turn = self.retry(now, &work, error);
        (State::Watching { work, bound, turn }, Vec::new())
    }

    pub(super) fn elapsed(&self, state: State, now: Timestamp) -> Next {
        let (work, turn) = match &state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, turn }
            | State::Updating { work, turn, .. }
            | State::Reconciling { work, turn, .. }
            | State::Watching { work, turn, .. } => (work, *turn),
        };
        match due(work, turn, now) {
            Due::NotYet => (state, Vec::new()),
            Due::GiveUp => self.gave_up(state),
            Due::Unanswered => self.unanswered(state, now),
            Due::Go => self.go(state, now),
        }
    }

    fn go(&self, state: State, now: Timestamp) -> Next {
        match state {
            State::Ensuring { work, .. } => self.ensure(now, work),
            State::Updating { work, aim, .. } => self.write(now, work, aim),
            State::Reconciling { work, aim, doubt, .. } => self.look(now, work, aim, doubt),
            State::Watching { work, bound, .. } => self.watch(now, work, bound),
            State::Idle | State::Ended { .. } => (state, Vec::new()),
        }
    }

    fn unanswered(&self, mut state: State, now: Timestamp) -> Next {
        let operation = match &mut state {
            State::Idle | State::Ended { .. } => return (state, Vec::new()),
            State::Ensuring { work, .. } => {
                work.abandoned = true;
                "ensure_revision"
            }
            State::Updating { work, aim, .. } => {
                work.abandoned = true;
                match &self.spec.target {
                    Target::Release { .. } => "update_service",
                    Target::Restore { .. } if aim.turns.is_some() => "turn_back",
                    Target::Restore { .. } => "restore",
                }
            }
            State::Reconciling { work, .. } | State::Watching { work, .. } => {
                work.abandoned = true;
                judge::SOURCE
            }
        };
        let error = ErrorRecord {
            kind: ErrorKind::TimedOut,
            retry: Retry::Later,
            applied: Applied::Maybe,
            operation: operation.to_owned(),
            context: format!("no answer within {}", human(self.policy.answer)),
            retry_after: None,
            cause: None,
        };
        self.call_failed(state, now, error)
    }
}
