//! Calls: making one, pausing, and what a failed one leads to.

use core::time::Duration;

use super::flow::{Flow, Next};
use super::state::{Leg, Pending, Phase, Running, Stage, State};
use super::{Effect, Goal, Written};
use crate::dns::RecordData;
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence, Reason};
use crate::machine::call::doubled;
use crate::time::{Timestamp, Wait, human};

/// The shortest pause, so that a policy with a zero in it cannot spin.
const SHORTEST: Duration = Duration::from_millis(1);

impl Flow<'_> {
    /// Makes the call that the phase needs.
    pub(super) fn ask(&self, mut run: Box<Running>) -> Next {
        let effect = match &run.phase {
            Phase::Snapshotting => self.take_snapshot(),
            Phase::Leg { leg, stage } => match stage {
                Stage::Checking => match self.aim(&run, *leg) {
                    Some(data) => Effect::CheckTarget { data },
                    None => self.take_snapshot(),
                },
                // A write is never said again: what it left is read.
                Stage::Reading | Stage::Applying => self.take_snapshot(),
                Stage::Spreading { change, .. } => Effect::SeePropagation {
                    change: change.clone(),
                },
                Stage::Verifying { .. } => match self.wanted(&run, *leg) {
                    Some(expected) => Effect::AskAuthoritative {
                        zone: self.spec.zone.clone(),
                        expected,
                    },
                    None => self.take_snapshot(),
                },
            },
            Phase::Watching { .. } => match self.aim(&run, Leg::Swap) {
                Some(data) => Effect::CheckTarget { data },
                None => self.take_snapshot(),
            },
            Phase::Draining { .. } => match &run.before.record {
                Some(old) => Effect::SeeOldTraffic {
                    data: old.data.clone(),
                },
                None => self.take_snapshot(),
            },
            // These wait for time, not for a call.
            Phase::WaitingOldTtl | Phase::Expiring => return (State::Running(run), Vec::new()),
        };
        run.pending = Pending::Asked { since: self.now };
        (State::Running(run), vec![effect])
    }

    /// Waits.
    #[expect(clippy::unused_self, reason = "reads as one family with `ask`")]
    pub(super) fn rest(&self, mut run: Box<Running>, until: Timestamp, why: Wait) -> Next {
        run.pending = Pending::Resting { until, why };
        (State::Running(run), Vec::new())
    }

    fn take_snapshot(&self) -> Effect {
        Effect::TakeSnapshot {
            zone: self.spec.zone.clone(),
            key: self.spec.key.clone(),
        }
    }

    /// The target that a leg depends on: on the way forward the new one, also before the TTL is lowered for it.
    fn aim(&self, run: &Running, leg: Leg) -> Option<RecordData> {
        match (&self.spec.goal, leg) {
            (Goal::Move { to, .. }, Leg::Lower | Leg::Swap | Leg::RestoreTtl) => Some(to.clone()),
            (Goal::Move { .. }, Leg::Back) | (Goal::Restore { .. }, _) => {
                self.wanted(run, Leg::Back).map(|record| record.data)
            }
        }
    }

    /// The first pause of a kind.
    pub(super) fn first_pause(&self) -> Duration {
        self.policy.poll_first.max(SHORTEST)
    }

    /// The next pause after one of `every`.
    pub(super) fn longer(&self, every: Duration) -> Duration {
        every.saturating_mul(2).min(self.longest_pause()).max(SHORTEST)
    }

    /// The longest pause.
    pub(super) fn longest_pause(&self) -> Duration {
        self.policy.poll_max.max(self.first_pause())
    }

    /// The pause after so many failed calls.
    fn back_off(&self, errors: u32) -> Duration {
        doubled(self.first_pause(), errors, self.longest_pause())
    }

    /// What a call that was not answered in time counts as.
    pub(super) fn unanswered(&self, run: &Running) -> ErrorRecord {
        ErrorRecord {
            kind: ErrorKind::TimedOut,
            retry: Retry::Later,
            applied: Applied::Maybe,
            operation: "cutover".to_owned(),
            context: format!(
                "no answer within {} while waiting for {}",
                human(self.policy.answer),
                State::Running(Box::new(run.clone())).waiting_for(self.spec)
            ),
            retry_after: None,
            cause: None,
        }
    }

    /// What an answer that is older than its question counts as.
    pub(super) fn stale(&self, what: &str, at: Timestamp, since: Timestamp) -> ErrorRecord {
        ErrorRecord {
            kind: ErrorKind::Unexpected,
            retry: Retry::Later,
            applied: Applied::No,
            operation: "cutover".to_owned(),
            context: format!("the {what} is from {at}, before it was asked for at {since}"),
            retry_after: None,
            cause: None,
        }
    }

    /// The call under way has failed.
    pub(super) fn failed(&self, mut run: Box<Running>, error: &ErrorRecord) -> Next {
        let reason = self.reason_of(error);
        run.proof.error = reason.evidence.last().cloned();
        let mut repeat = matches!(error.retry, Retry::Later | Retry::Exhausted);
        match &mut run.phase {
            Phase::Leg {
                stage: Stage::Applying,
                ..
            } => {
                // A conflict is no end: what is there now is read, and may be a write of our own.
                repeat = repeat || error.kind == ErrorKind::Conflict || error.applied != Applied::No;
                self.forget_if_certain(&mut run, error);
            }
            // A change is not listed everywhere at once.
            Phase::Leg {
                stage: Stage::Spreading { .. },
                ..
            } => {
                repeat = repeat || error.kind == ErrorKind::NotFound;
            }
            Phase::Draining { low, .. } => *low = None,
            Phase::Leg {
                stage: Stage::Checking | Stage::Reading | Stage::Verifying { .. },
                ..
            }
            | Phase::Snapshotting
            | Phase::WaitingOldTtl
            | Phase::Watching { .. }
            | Phase::Expiring => {}
        }
        if repeat {
            self.retry(run, reason, error.retry_after)
        } else {
            self.give_up(run, reason)
        }
    }

    /// A write that was certainly refused is none of ours. After a lost answer nothing is certain: the error may be
    /// another call's, and a conflict may be with our own batch, arrived twice.
    pub(super) fn forget_if_certain(&self, run: &mut Running, error: &ErrorRecord) {
        let certain = error.applied == Applied::No && error.kind != ErrorKind::Conflict;
        if certain && !run.lost {
            let refused = run.generation;
            let ours = |issued: &mut Written| issued.generation == refused;
            run.refused.extend(run.mine.extract_if(.., ours));
        }
    }

    fn reason_of(&self, error: &ErrorRecord) -> Reason {
        let cause = match error.kind {
            ErrorKind::PermissionDenied => Cause::PermissionDenied,
            ErrorKind::Conflict => Cause::DnsConflict,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::InvalidRequest
            | ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::TimedOut
            | ErrorKind::Unsupported
            | ErrorKind::Unexpected => Cause::CallFailed,
        };
        Reason::new(cause, error.to_string()).with([Evidence::new(
            self.now,
            error.operation.clone(),
            self.spec.key.to_string(),
            error.to_string(),
        )])
    }

    /// Counts a failed try; repeats it after a pause, or gives up. A leg that has not been written begins again, so that
    /// no write rests on a check or a read from before a pause.
    pub(super) fn retry(&self, mut run: Box<Running>, reason: Reason, after: Option<Duration>) -> Next {
        run.errors = run.errors.saturating_add(1);
        let counted = !matches!(run.phase, Phase::Draining { .. });
        if counted && run.errors >= self.policy.max_errors.max(1) {
            return self.give_up(run, reason);
        }
        let pause = self.back_off(run.errors).max(after.unwrap_or_default());
        let limit = match &run.phase {
            Phase::Leg { leg, stage } => match stage {
                Stage::Checking | Stage::Reading | Stage::Applying => {
                    let leg = *leg;
                    run.phase = Phase::Leg {
                        leg,
                        stage: self.first_stage(&run, leg),
                    };
                    None
                }
                Stage::Spreading { until, .. } | Stage::Verifying { until, .. } => Some(*until),
            },
            Phase::Draining { give_up, .. } => Some(*give_up),
            Phase::Snapshotting | Phase::WaitingOldTtl | Phase::Watching { .. } | Phase::Expiring => None,
        };
        match limit {
            Some(until) if self.now >= until => self.out_of_time(run),
            Some(until) => self.rest(run, self.now.after(pause).min(until), Wait::Retry),
            None => self.rest(run, self.now.after(pause), Wait::Retry),
        }
    }

    /// The phase cannot be done.
    fn give_up(&self, mut run: Box<Running>, reason: Reason) -> Next {
        match &run.phase {
            Phase::Snapshotting | Phase::Watching { .. } | Phase::WaitingOldTtl | Phase::Expiring => {
                self.fail(run, reason)
            }
            Phase::Draining { .. } => {
                self.note(
                    &mut run,
                    format!("the old side's requests cannot be counted: {reason}"),
                );
                self.settle(run)
            }
            Phase::Leg { leg, stage } => match (leg, stage) {
                (Leg::Lower | Leg::Swap, _) => self.fail(run, reason),
                // It was written; what the servers say decides.
                (Leg::RestoreTtl | Leg::Back, Stage::Spreading { .. }) => self.judge_by_servers(run, &reason),
                (
                    Leg::RestoreTtl,
                    Stage::Checking | Stage::Reading | Stage::Applying | Stage::Verifying { .. },
                ) => self.not_restored(run, reason),
                (Leg::Back, Stage::Checking | Stage::Reading | Stage::Applying | Stage::Verifying { .. }) => {
                    self.stuck(run, reason)
                }
            },
        }
    }

    /// Something that does not stop us and that people should know.
    pub(super) fn note(&self, run: &mut Running, text: String) {
        let subject = self.spec.key.to_string();
        run.proof
            .notes
            .push(Evidence::new(self.now, "cutover", subject, text));
    }
}
