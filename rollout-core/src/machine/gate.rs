//! A health gate: composes samples into a verdict. Missing data is never a pass; evidence older than the change it judges
//! does not count; a gate that has failed cannot pass any more.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason};
use crate::id::ProbeName;
use crate::probe::{ProbeTarget, Sample, SampleRequest, Subject};
use crate::time::millis;

/// How probes make a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Every one must hold.
    All(Vec<Self>),
    /// One must hold.
    Any(Vec<Self>),
    /// So many must hold.
    AtLeast {
        /// How many.
        count: u32,
        /// Of these.
        of: Vec<Self>,
    },
    /// This probe must hold.
    Probe(ProbeName),
}

/// One probe of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Its name, unique within the gate.
    pub name: ProbeName,
    /// What it looks at.
    pub target: ProbeTarget,
    /// Between two samples.
    #[serde(with = "millis")]
    pub every: Duration,
    /// Consecutive passes after which it holds.
    pub successes: u32,
    /// Failures, in all, that it may have; one more and it has failed.
    pub failures: u32,
    /// Consecutive errors of the source of data that it may have, counted apart from failures; one more and it has failed.
    pub errors: u32,
    /// The age past which a sample counts as `Unknown`.
    #[serde(with = "millis")]
    pub max_age: Duration,
    /// Sampled and reported, but it neither holds the gate back nor fails it.
    pub dry_run: bool,
}

/// A gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What must hold.
    pub condition: Condition,
    /// The probes that it names.
    pub probes: Vec<ProbeSpec>,
    /// What is judged.
    pub subject: Subject,
    /// From the start until the first sample is taken.
    #[serde(with = "millis")]
    pub warm_up: Duration,
    /// How long the condition must go on holding before the gate passes. A failure in that time fails the gate.
    #[serde(with = "millis")]
    pub bake: Duration,
    /// From the start until the gate fails for want of a pass. Covers warm-up and bake.
    #[serde(with = "millis")]
    pub give_up: Duration,
    /// The longest wait for one sample; past it the sample counts as an error of its source.
    #[serde(with = "millis")]
    pub answer: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The events without their data."
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Start,
    /// A sample was taken.
    Sampled {
        /// The probe.
        probe: ProbeName,
        /// The sample.
        sample: Sample,
    },
    /// A sample could not be taken.
    SampleFailed {
        /// The probe.
        probe: ProbeName,
        /// Why.
        error: ErrorRecord,
    },
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Take one sample.
    TakeSample(SampleRequest),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The condition held for the bake time, on evidence newer than the change.
    Passed {
        /// What it rests on: the last counted sample of each probe.
        evidence: Vec<Evidence>,
        /// The dry-run probes that would have failed it.
        would_have_failed: Vec<ProbeName>,
    },
    /// It failed, gave up, or was aborted.
    Failed(Reason),
}
