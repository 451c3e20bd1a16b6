//! What there is to see of a run at one moment. Renderers know this and nothing of machines.

use core::time::Duration;

use rollout_core::time::{Deadline, Timestamp};

/// One line of the view: a service, a gate, a task, an image, a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The step, as the journal names it.
    pub(crate) step: String,
    /// How far it is.
    pub(crate) state: State,
    /// What it is doing or how it ended, in words.
    pub(crate) note: String,
    /// Since when it works.
    pub(crate) began: Option<Timestamp>,
    /// When it ended.
    pub(crate) ended: Option<Timestamp>,
    /// What it waits for.
    pub(crate) wait: Option<Deadline>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its turn has not come.
    Pending,
    /// It is under way.
    Working,
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Working => "working",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    pub(crate) const fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Working => false,
            Self::Done | Self::Failed => true,
        }
    }
}

impl Row {
    /// A step whose turn has not come.
    pub(crate) fn pending(step: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            state: State::Pending,
            note: note.into(),
            began: None,
            ended: None,
            wait: None,
        }
    }

    /// What kind of step it is and its name, for people: `service/backend` is a `service`, named `backend`.
    pub(crate) fn title(&self) -> (&str, String) {
        let (step, back) = match self.step.strip_prefix("unwind/") {
            Some(step) => (step, true),
            None => (self.step.as_str(), false),
        };
        let (kind, rest) = step.split_once('/').unwrap_or((step, ""));
        let name = match kind {
            // The type stands behind the name, as in a zone file.
            "dns" => rest.replace('/', " "),
            _ => rest.replace('/', " · "),
        };
        (if back { "back" } else { kind }, name)
    }

    /// How long it has taken so far.
    pub(crate) fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        self.began.map(|began| self.ended.unwrap_or(now).since(began))
    }
}

/// A run at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// `2.4.0 → production`.
    pub(crate) title: String,
    /// The run.
    pub(crate) run: String,
    /// What the whole is doing: `changing`, `going back`.
    pub(crate) phase: String,
    /// When the run began.
    pub(crate) began: Timestamp,
    /// Its steps, in order.
    pub(crate) rows: Vec<Row>,
}

/// A span for a narrow column: `4s`, `1m 23s`, `1h 02m`.
pub(crate) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

/// A moment in whole seconds, UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_read_like_sentences() {
        let title = |step: &str| {
            let row = Row::pending(step, "");
            let (kind, name) = row.title();
            format!("{kind} {name}")
        };
        assert_eq!(title("service/backend"), "service backend");
        assert_eq!(title("gate/backend/healthy"), "gate backend · healthy");
        assert_eq!(title("dns/api.example.com/CNAME"), "dns api.example.com CNAME");
        assert_eq!(title("unwind/service/backend"), "back backend");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(short(Duration::from_millis(900)), "0s");
        assert_eq!(short(Duration::from_secs(83)), "1m 23s");
        assert_eq!(short(Duration::from_secs(3_720)), "1h 02m");
    }

    #[test]
    fn moments_have_no_fraction() {
        assert_eq!(
            clock(Timestamp::from_millis(1_763_683_200_123)),
            "2025-11-21T00:00:00Z"
        );
    }
}
