//! What one probe's samples add up to.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::ProbeSpec;
use super::judge::Standing;
use crate::error::{ErrorRecord, Retry};
use crate::evidence::Evidence;
use crate::probe::{Sample, Subject, Verdict};
use crate::time::{Timestamp, human};

/// How many pieces of evidence against a probe are kept, the newest.
const KEPT: usize = 10;

/// No schedule is denser than this, or virtual time would stand still.
const DENSEST: Duration = Duration::from_millis(1);

/// One probe's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// When the next sample is due, or until when the present one may take.
    pub(super) asking: Asking,
    /// Consecutive passes.
    pub(super) passes: u32,
    /// Failures in all.
    pub(super) failures: u32,
    /// Consecutive errors of the source.
    pub(super) errors: u32,
    /// Whether there ever was an error.
    pub(super) had_errors: bool,
    /// Set for good once it has failed.
    pub(super) failed: Option<FailedBy>,
    /// The last sample that counted as a pass or a failure.
    pub(super) last: Option<Sample>,
    /// The newest data that has counted.
    newest: Option<Timestamp>,
    /// Why the latest sample told nothing, if it did not.
    pub(super) unknown: Option<Evidence>,
    /// Failing samples and errors, oldest first.
    pub(super) against: Vec<Evidence>,
}

/// Where the sampling of a probe stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Asking {
    /// The next sample is due then.
    Due(Timestamp),
    /// A sample is under way.
    InFlight { since: Timestamp, answer_by: Timestamp },
    /// It has failed: nothing that it could say counts.
    NoMore,
}

/// What made a probe fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailedBy {
    Failures,
    Errors,
}

/// What a sample counts as.
enum Weight {
    Pass,
    Fail,
    /// It tells nothing, for this reason.
    Unknown(String),
    /// It tells again what has counted already.
    Repeat,
}

impl Tally {
    pub(super) const fn new(due: Timestamp) -> Self {
        Self {
            asking: Asking::Due(due),
            passes: 0,
            failures: 0,
            errors: 0,
            had_errors: false,
            failed: None,
            last: None,
            newest: None,
            unknown: None,
            against: Vec::new(),
        }
    }

    pub(super) fn standing(&self, spec: &ProbeSpec, fresh_at: Option<Timestamp>) -> Standing {
        if self.failed.is_some() {
            return Standing::Cannot;
        }
        let fresh = fresh_at.is_none_or(|now| self.age(now).is_some_and(|age| age <= spec.max_age));
        // Zero wanted passes would be a pass without evidence.
        if self.passes >= spec.successes.max(1) && fresh {
            Standing::Holds
        } else {
            Standing::NotYet
        }
    }

    fn age(&self, now: Timestamp) -> Option<Duration> {
        self.newest.map(|at| now.since(at))
    }

    pub(super) const fn is_in_flight(&self) -> bool {
        matches!(self.asking, Asking::InFlight { .. })
    }

    pub(super) fn is_unanswered(&self, now: Timestamp) -> bool {
        match self.asking {
            Asking::InFlight { answer_by, .. } => now >= answer_by,
            Asking::Due(_) | Asking::NoMore => false,
        }
    }

    /// Marks a due sample as asked for; `false` when none is due.
    pub(super) fn ask(&mut self, now: Timestamp, answer: Duration) -> bool {
        match self.asking {
            Asking::Due(at) if now >= at => {
                self.asking = Asking::InFlight {
                    since: now,
                    answer_by: now.after(answer),
                };
                true
            }
            Asking::Due(_) | Asking::InFlight { .. } | Asking::NoMore => false,
        }
    }

    /// The schedule after an answer. An answer that nobody waits for any more does not change it.
    fn answered(&mut self, spec: &ProbeSpec, now: Timestamp, not_before: Timestamp) {
        if self.failed.is_some() {
            self.asking = Asking::NoMore;
        } else if let Asking::InFlight { since, .. } = self.asking {
            let next = since.after(spec.every.max(DENSEST));
            self.asking = Asking::Due(next.max(now).max(not_before));
        }
    }

    /// Counts a sample.
    pub(super) fn count(&mut self, spec: &ProbeSpec, subject: &Subject, now: Timestamp, sample: Sample) {
        if self.failed.is_some() {
            return;
        }
        self.errors = 0;
        match self.weigh(spec, subject, now, &sample) {
            Weight::Repeat => {}
            Weight::Unknown(why) => {
                self.passes = 0;
                self.unknown = Some(Evidence::new(sample.at, "gate", spec.name.as_str(), why));
            }
            Weight::Pass => {
                self.passes = self.passes.saturating_add(1);
                self.keep(sample);
            }
            Weight::Fail => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                self.object(evidence_of(spec, &sample));
                self.keep(sample);
                if self.failures > spec.failures {
                    self.failed = Some(FailedBy::Failures);
                }
            }
        }
        self.answered(spec, now, now);
    }

    fn weigh(&self, spec: &ProbeSpec, subject: &Subject, now: Timestamp, sample: &Sample) -> Weight {
        if sample.verdict == Verdict::Unknown {
            let said = sample.evidence.first().map_or("no data", |e| e.detail.as_str());
            return Weight::Unknown(said.to_owned());
        }
        if sample.at < subject.changed_at {
            return Weight::Unknown(format!(
                "the data is of {}, before the change of {}",
                sample.at, subject.changed_at
            ));
        }
        if sample.at > now {
            return Weight::Unknown(format!("the data is of {}, which is yet to come", sample.at));
        }
        let age = now.since(sample.at);
        if age > spec.max_age {
            return Weight::Unknown(format!(
                "the data is {} old, {} at most counts",
                human(age),
                human(spec.max_age)
            ));
        }
        if let Some(images) = &sample.images
            && let Some((container, wanted)) = subject
                .images
                .iter()
                .find(|(container, wanted)| images.get(*container) != Some(*wanted))
        {
            let seen = images.get(container).map_or("no image", |digest| digest.short());
            return Weight::Unknown(format!(
                "the data is of another version: container {container} runs {seen}, not {}",
                wanted.short()
            ));
        }
        match sample.verdict {
            Verdict::Unknown => Weight::Unknown("no data".to_owned()),
            Verdict::Pass if self.newest.is_some_and(|newest| sample.at <= newest) => Weight::Repeat,
            Verdict::Pass => Weight::Pass,
            Verdict::Fail if self.is_last_failure(sample) => Weight::Repeat,
            Verdict::Fail => Weight::Fail,
        }
    }

    fn is_last_failure(&self, sample: &Sample) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.verdict == Verdict::Fail && last.at == sample.at)
    }

    fn keep(&mut self, sample: Sample) {
        self.newest = self.newest.max(Some(sample.at));
        self.last = Some(sample);
        self.unknown = None;
    }

    fn object(&mut self, evidence: impl IntoIterator<Item = Evidence>) {
        self.against.extend(evidence);
        let excess = self.against.len().saturating_sub(KEPT);
        self.against.drain(..excess);
    }

    /// Counts an error of the source of data.
    pub(super) fn count_error(&mut self, spec: &ProbeSpec, now: Timestamp, error: &ErrorRecord) {
        self.passes = 0;
        self.had_errors = true;
        self.errors = self.errors.saturating_add(1);
        self.object([Evidence::new(
            now,
            error.operation.as_str(),
            spec.name.as_str(),
            error.to_string(),
        )]);
        if self.errors > spec.errors || error.retry == Retry::Never {
            self.failed = Some(FailedBy::Errors);
        }
        let not_before = error.retry_after.map_or(now, |span| now.after(span));
        self.answered(spec, now, not_before);
    }

    /// An error that nobody waits for: it was counted when its time to be answered ended. The answer taken in its place may
    /// have been a late one of an earlier call, so it still breaks the run of passes.
    pub(super) fn count_late_error(&mut self, spec: &ProbeSpec, now: Timestamp, error: &ErrorRecord) {
        self.passes = 0;
        self.unknown = Some(Evidence::new(
            now,
            error.operation.as_str(),
            spec.name.as_str(),
            error.to_string(),
        ));
    }

    /// Breaks the run of passes when nobody has looked for longer than the schedule allows.
    pub(super) fn expire(&mut self, spec: &ProbeSpec, answer: Duration, now: Timestamp) {
        let limit = spec
            .max_age
            .saturating_add(spec.every.max(DENSEST))
            .saturating_add(answer);
        if self.age(now).is_some_and(|age| age > limit) {
            self.passes = 0;
        }
    }

    /// The evidence of the last counted sample.
    pub(super) fn last_evidence(&self, spec: &ProbeSpec) -> Vec<Evidence> {
        self.last
            .as_ref()
            .map(|sample| evidence_of(spec, sample))
            .unwrap_or_default()
    }

    /// Everything that explains why it does not hold, and the last sample that counted.
    pub(super) fn all_evidence(&self, spec: &ProbeSpec) -> Vec<Evidence> {
        let mut all = self.against.clone();
        all.extend(
            self.last_evidence(spec)
                .into_iter()
                .filter(|evidence| !self.against.contains(evidence)),
        );
        all.extend(self.unknown.clone());
        all
    }

    pub(super) fn why_failed(&self, spec: &ProbeSpec, by: FailedBy) -> String {
        let last = self
            .against
            .last()
            .map(|evidence| format!(": {}", evidence.detail))
            .unwrap_or_default();
        match by {
            FailedBy::Failures => format!(
                "probe {} failed {}, {} allowed{last}",
                spec.name,
                times(self.failures),
                spec.failures
            ),
            FailedBy::Errors => format!(
                "probe {} could not be sampled, {} consecutive errors, {} allowed{last}",
                spec.name, self.errors, spec.errors
            ),
        }
    }

    pub(super) fn describe(&self, spec: &ProbeSpec) -> String {
        let mut text = format!(
            "probe {} has {} of {} consecutive passes, {} failures",
            spec.name, self.passes, spec.successes, self.failures
        );
        if let Some(unknown) = &self.unknown {
            text.push_str(": ");
            text.push_str(&unknown.detail);
        }
        text
    }
}

/// A sample's evidence; a sample without any still says when and what.
fn evidence_of(spec: &ProbeSpec, sample: &Sample) -> Vec<Evidence> {
    if sample.evidence.is_empty() {
        let said = match sample.verdict {
            Verdict::Pass => "passed",
            Verdict::Fail => "failed",
            Verdict::Unknown => "unknown",
        };
        vec![Evidence::new(sample.at, "sample", spec.name.as_str(), said)]
    } else {
        sample.evidence.clone()
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}
