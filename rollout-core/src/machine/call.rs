//! One call under way, as a machine's state holds it: when its answer is late, when it may be repeated, how often it failed.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence};
use crate::time::{Deadline, Timestamp, Wait, human};

/// A call that a machine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Consecutive failures of it so far.
    pub(crate) errors: u32,
    /// The latest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<ErrorRecord>,
    wait: CallWait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CallWait {
    /// For its answer.
    Answer(Timestamp),
    /// To say it again.
    Repeat(Timestamp),
}

/// What a wait has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is not over.
    NotYet,
    /// The answer is late.
    Unanswered,
    /// It is time to say it again.
    Repeat,
}

impl Call {
    /// A call just made.
    pub(crate) fn made(now: Timestamp, answer: Duration) -> Self {
        Self {
            errors: 0,
            last: None,
            wait: CallWait::Answer(now.after(answer)),
        }
    }

    /// A call to be made at a later moment, after so many failures.
    pub(crate) const fn later(at: Timestamp, errors: u32) -> Self {
        Self {
            errors,
            last: None,
            wait: CallWait::Repeat(at),
        }
    }

    /// The same call said once more, now.
    pub(crate) fn repeated(mut self, now: Timestamp, answer: Duration) -> Self {
        self.wait = CallWait::Answer(now.after(answer));
        self
    }

    /// The same call, to be said again at this moment if that is sooner. One under way stays so.
    pub(crate) fn sooner(mut self, at: Timestamp) -> Self {
        if let CallWait::Repeat(repeat) = self.wait {
            self.wait = CallWait::Repeat(repeat.min(at));
        }
        self
    }

    /// The same call after a failure, to be said again at a later moment.
    pub(crate) fn failed(mut self, error: ErrorRecord, repeat: Timestamp) -> Self {
        self.errors = self.errors.saturating_add(1);
        self.last = Some(error);
        self.wait = CallWait::Repeat(repeat);
        self
    }

    /// Whether an answer is awaited. An error that comes when none is was counted already, as a late answer.
    pub(crate) const fn is_under_way(&self) -> bool {
        matches!(self.wait, CallWait::Answer(_))
    }

    pub(crate) fn due(&self, now: Timestamp) -> Due {
        match self.wait {
            CallWait::Answer(until) if now >= until => Due::Unanswered,
            CallWait::Repeat(at) if now >= at => Due::Repeat,
            CallWait::Answer(_) | CallWait::Repeat(_) => Due::NotYet,
        }
    }

    /// Its deadline; a repeat is for the given reason.
    pub(crate) const fn deadline(&self, repeat: Wait) -> Deadline {
        match self.wait {
            CallWait::Answer(until) => Deadline::new(until, Wait::Answer),
            CallWait::Repeat(at) => Deadline::new(at, repeat),
        }
    }
}

/// The longest pause before a failed call is said again, where calls are not further apart anyway.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// `every`, doubled for each failure in a row after the first, up to `longest`.
pub(crate) fn doubled(every: Duration, failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    every.saturating_mul(factor).min(longest)
}

/// How long to wait before a call is said again that has failed so often in a row. The pauses double, so that an API that
/// is dry for minutes is not taken for one that is gone. What the other side asks for counts up to `most`. Where nothing has
/// been changed yet, machines say a call again at even pauses: there it is better to refuse soon.
pub(crate) fn back_off(every: Duration, failures: u32, error: &ErrorRecord, most: Duration) -> Duration {
    let ours = doubled(every, failures, LONGEST_PAUSE.max(every));
    let asked = error.retry_after.unwrap_or_default();
    ours.max(asked.min(most))
}

/// Whether one more failure ends it: a repeat gives the same, or there have been enough (one at least).
pub(crate) fn is_final(error: &ErrorRecord, errors_before: u32, max_errors: u32) -> bool {
    error.retry == Retry::Never || errors_before.saturating_add(1) >= max_errors
}

/// An answer that did not come counts as a failure with an unknown outcome.
pub(crate) fn no_answer(operation: &str, waited: Duration) -> ErrorRecord {
    ErrorRecord {
        kind: ErrorKind::TimedOut,
        retry: Retry::Later,
        applied: Applied::Maybe,
        operation: operation.to_owned(),
        context: format!("no answer within {}", human(waited)),
        retry_after: None,
        cause: None,
    }
}

/// The cause of a failure that a call's error is.
pub(crate) fn cause_of(error: &ErrorRecord) -> Cause {
    if error.kind == ErrorKind::PermissionDenied {
        Cause::PermissionDenied
    } else {
        Cause::CallFailed
    }
}

/// An error as evidence.
pub(crate) fn evidence_of(error: &ErrorRecord, at: Timestamp, subject: &str) -> Evidence {
    Evidence::new(at, error.operation.as_str(), subject, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_no_less_than_asked_for() {
        let secs = Duration::from_secs;
        let mut error = no_answer("test:Call", secs(30));
        let pause = |every, failures, error: &ErrorRecord| back_off(secs(every), failures, error, secs(90));
        let pauses: Vec<u64> = (0..8).map(|n| pause(5, n, &error).as_secs()).collect();
        assert_eq!(pauses, [5, 5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(pause(5, u32::MAX, &error), secs(60));
        assert_eq!(
            pause(300, 4, &error),
            secs(300),
            "calls are rarer than that anyway"
        );
        error.retry_after = Some(secs(45));
        assert_eq!(pause(5, 1, &error), secs(45));
        assert_eq!(pause(5, 5, &error), secs(60));
        error.retry_after = Some(secs(3_600));
        assert_eq!(
            pause(5, 1, &error),
            secs(90),
            "nobody else says for how long all stands still"
        );
    }
}
