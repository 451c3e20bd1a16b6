//! A health gate: composes samples into a verdict. Missing data is never a pass; evidence older than the change it judges
//! does not count; a gate that has failed cannot pass any more.
//!
//! # How it works
//! After the warm-up every probe is sampled each [`every`](ProbeSpec::every), several probes at once, one sample of a
//! probe at a time. A sample that is not answered within [`answer`](Spec::answer) is an error of its source.
//!
//! **What a sample counts as.**
//! - *Unknown*, whatever it says, when it is older than the change, older than `max_age`, from the future, or of other
//!   digests than the subject's. Unknown and errors break a run of consecutive passes; neither is a failure.
//! - *Pass* only when its data is newer than that of the last counted sample: one data point read twice is one pass.
//! - *Fail* once per data point. Failures add up and are never forgiven.
//! - An *error* counts apart; one that a repeat cannot mend ([`Retry::Never`](crate::error::Retry::Never)) fails the probe at once.
//!
//! **What a probe is.** It *holds* after `successes` consecutive passes, for as long as none of the above breaks the run
//! and no gap longer than `max_age + every + answer` opens (a runner that slept). It has *failed*, for good, with one
//! failure or one consecutive error more than it may have; then it is not sampled any more.
//!
//! **What the gate does.** The condition holds, does not hold yet, or cannot hold any more because too many of its parts
//! have failed; in the last case the gate fails at once. When the condition begins to hold, the bake begins. Whatever
//! breaks the condition during the bake starts the bake anew from the moment it holds again; a failure that makes the
//! condition impossible fails the gate. When the bake is over the gate passes, if the evidence of the probes that it
//! rests on is then no older than their `max_age`; if not, the next sample decides. At `give_up` it fails.
//!
//! **Dry run.** A dry-run probe takes no part: it is left out of `All`, `Any` and `AtLeast` (which then wants at most as
//! many as are left). A condition of dry-run probes alone holds by itself, so the gate passes after its bake.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Disposition, Machine, Rejected, Step, Transitions, handle};
use crate::error::ErrorRecord;
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::ProbeName;
use crate::probe::{ProbeTarget, Sample, SampleRequest, Subject};
use crate::time::{Deadline, Timestamp, Wait, millis};

mod judge;
mod tally;
#[cfg(test)]
mod tests;
mod validate;

use judge::Watch;
use tally::Asking;
pub use validate::SpecError;

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

impl Condition {
    /// The probes that it names, in its order; one that it names twice comes twice.
    pub fn probes(&self) -> impl Iterator<Item = &ProbeName> {
        let mut found = Vec::new();
        let mut left = vec![self];
        while let Some(part) = left.pop() {
            match part {
                Self::All(parts) | Self::Any(parts) | Self::AtLeast { of: parts, .. } => {
                    left.extend(parts.iter().rev());
                }
                Self::Probe(name) => found.push(name),
            }
        }
        found.into_iter()
    }
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
    /// How long the condition must go on holding before the gate passes. When it stops holding the bake begins anew.
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
        /// The dry-run probes that failed by their own limits.
        would_have_failed: Vec<ProbeName>,
    },
    /// It failed, gave up, or was aborted.
    Failed(Reason),
}

/// The gate machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    spec: Spec,
    seen: Timestamp,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(StateKind),
    vis(pub),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The states without their data."
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Not begun.
    #[default]
    Idle,
    /// Waits before the first sample.
    WarmingUp { until: Timestamp, give_up: Timestamp },
    /// Samples; the condition does not hold yet.
    Sampling(Watch),
    /// Samples; the condition holds.
    Baking { watch: Watch, until: Timestamp },
    /// Ended.
    Ended(Outcome),
}

impl Gate {
    /// A gate that has not begun. A spec that does not [`validate`](Spec::validate) makes a gate that may never pass.
    #[must_use]
    pub const fn new(spec: Spec) -> Self {
        Self {
            spec,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// What it was made from.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::TakeSample(_) => false,
        }
    }

    fn attempt(&self) -> u32 {
        match self {
            Self::TakeSample(_) => 1,
        }
    }
}

impl Machine for Gate {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        let (watch, bake) = match &self.state {
            State::Idle | State::Ended(_) => return None,
            State::WarmingUp { until, give_up } => {
                let warm = Deadline::new(*until, Wait::WarmUp);
                return Deadline::earlier(Some(warm), Some(Deadline::new(*give_up, Wait::GiveUp)));
            }
            State::Sampling(watch) => (watch, None),
            // A bake that is over waits for fresh evidence, not for a moment.
            State::Baking { watch, until } => (
                watch,
                (self.seen < *until).then_some(Deadline::new(*until, Wait::Bake)),
            ),
        };
        let first = Deadline::earlier(bake, Some(Deadline::new(watch.give_up, Wait::GiveUp)));
        watch.probes.values().fold(first, |found, tally| {
            let next = match tally.asking {
                Asking::Due(at) => Some(Deadline::new(at, Wait::Poll)),
                Asking::InFlight { answer_by, .. } => Some(Deadline::new(answer_by, Wait::Answer)),
                Asking::NoMore => None,
            };
            Deadline::earlier(found, next)
        })
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome.clone()),
            State::Idle | State::WarmingUp { .. } | State::Sampling(_) | State::Baking { .. } => None,
        }
    }
}

impl Transitions for Gate {
    const NAME: &'static str = "gate";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        (&self.state).into()
    }

    fn event_kind(event: &Event) -> EventKind {
        event.into()
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        use Disposition::{Ignored, Moves, Refused};
        use EventKind as E;
        use StateKind as S;
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::WarmingUp]),
            (S::Idle, E::Sampled | E::SampleFailed | E::Elapsed) => Refused("it has not begun"),
            (S::WarmingUp | S::Sampling | S::Baking | S::Ended, E::Start) => Refused("it has begun already"),
            (S::WarmingUp, E::Sampled | E::SampleFailed) => Refused("no sample was asked for yet"),
            (S::WarmingUp, E::Elapsed) => Moves(&[S::WarmingUp, S::Sampling, S::Baking, S::Ended]),
            (S::Sampling | S::Baking, E::Sampled | E::SampleFailed | E::Elapsed) => {
                Moves(&[S::Sampling, S::Baking, S::Ended])
            }
            (S::Idle | S::WarmingUp | S::Sampling | S::Baking, E::Abort) => Moves(&[S::Ended]),
            (S::Ended, E::Sampled | E::SampleFailed | E::Elapsed | E::Abort) => Ignored("it has ended"),
        }
    }
}

impl Step for Gate {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Sampled { probe, .. } | Event::SampleFailed { probe, .. } => match self.probe(probe) {
                Some(_) => Ok(()),
                None => Err(format!("the gate has no probe `{probe}`")),
            },
            Event::Start | Event::Elapsed | Event::Abort => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        let (mut watch, baking) = match state {
            State::Idle => return self.step_idle(now, event),
            State::WarmingUp { until, give_up } => return self.step_warming_up(now, event, until, give_up),
            State::Sampling(watch) => (watch, None),
            State::Baking { watch, until } => (watch, Some(until)),
            State::Ended(outcome) => return (State::Ended(outcome), Vec::new()),
        };
        match event {
            Event::Sampled { probe, sample } => {
                if let (Some(spec), Some(tally)) = (self.probe(&probe), watch.probes.get_mut(&probe)) {
                    tally.count(spec, &self.spec.subject, now, sample);
                }
            }
            Event::SampleFailed { probe, error } => {
                if let (Some(spec), Some(tally)) = (self.probe(&probe), watch.probes.get_mut(&probe)) {
                    if tally.is_in_flight() {
                        tally.count_error(spec, now, &error);
                    } else {
                        tally.count_late_error(spec, now, &error);
                    }
                }
            }
            Event::Abort => return (aborted("before it had passed"), Vec::new()),
            Event::Start | Event::Elapsed => {}
        }
        self.settle(now, watch, baking)
    }
}

impl Gate {
    fn step_idle(&self, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        match event {
            Event::Start => {
                let (until, give_up) = (now.after(self.spec.warm_up), now.after(self.spec.give_up));
                (State::WarmingUp { until, give_up }, Vec::new())
            }
            Event::Abort => (aborted("before it began"), Vec::new()),
            Event::Sampled { .. } | Event::SampleFailed { .. } | Event::Elapsed => (State::Idle, Vec::new()),
        }
    }

    fn step_warming_up(
        &self,
        now: Timestamp,
        event: Event,
        until: Timestamp,
        give_up: Timestamp,
    ) -> (State, Vec<Effect>) {
        match event {
            Event::Abort => (aborted("during its warm-up"), Vec::new()),
            Event::Elapsed if now >= until || now >= give_up => self.begin_sampling(now, give_up),
            Event::Elapsed | Event::Start | Event::Sampled { .. } | Event::SampleFailed { .. } => {
                (State::WarmingUp { until, give_up }, Vec::new())
            }
        }
    }
}

fn aborted(when: &str) -> State {
    State::Ended(Outcome::Failed(Reason::new(
        Cause::Aborted,
        format!("the gate was aborted {when}"),
    )))
}
