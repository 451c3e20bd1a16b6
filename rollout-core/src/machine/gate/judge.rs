//! What the samples add up to for the whole gate: the verdict after every event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tally::{FailedBy, Tally};
use super::{Condition, Effect, Gate, Outcome, ProbeSpec, State};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Reason};
use crate::id::ProbeName;
use crate::probe::SampleRequest;
use crate::time::{Timestamp, human};

/// What sampling has brought so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(super) give_up: Timestamp,
    pub(super) probes: BTreeMap<ProbeName, Tally>,
}

/// How a condition, or a part of it, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Holds,
    NotYet,
    /// Too much of it has failed.
    Cannot,
}

impl Gate {
    pub(super) fn probe(&self, name: &ProbeName) -> Option<&ProbeSpec> {
        self.spec.probes.iter().find(|probe| &probe.name == name)
    }

    /// The probes that can hold the gate back or fail it.
    fn live(&self) -> impl Iterator<Item = &ProbeSpec> {
        self.spec
            .probes
            .iter()
            .filter(|probe| !probe.dry_run && self.spec.condition.probes().any(|name| name == &probe.name))
    }

    /// How the condition stands. With `fresh_at` a probe holds only if its evidence is young enough at that moment.
    fn standing(&self, watch: &Watch, fresh_at: Option<Timestamp>) -> Standing {
        let of_probe = |name: &ProbeName| match (self.probe(name), watch.probes.get(name)) {
            (Some(spec), Some(_)) if spec.dry_run => None,
            (Some(spec), Some(tally)) => Some(tally.standing(spec, fresh_at)),
            // Named and not sampled: nothing will ever speak for it.
            (None, _) | (_, None) => Some(Standing::NotYet),
        };
        // Dry-run probes alone: nothing holds the gate back but its bake.
        weigh(&self.spec.condition, &of_probe).unwrap_or(Standing::Holds)
    }

    pub(super) fn begin_sampling(&self, now: Timestamp, give_up: Timestamp) -> (State, Vec<Effect>) {
        let probes = self
            .spec
            .probes
            .iter()
            .map(|probe| (probe.name.clone(), Tally::new(now)))
            .collect();
        self.settle(now, Watch { give_up, probes }, None)
    }

    /// After every event: calls unanswered for too long, evidence that has run out, the verdict, and the next samples.
    pub(super) fn settle(
        &self,
        now: Timestamp,
        mut watch: Watch,
        baking: Option<Timestamp>,
    ) -> (State, Vec<Effect>) {
        for spec in &self.spec.probes {
            if let Some(tally) = watch.probes.get_mut(&spec.name) {
                if tally.is_unanswered(now) {
                    tally.count_error(spec, now, &self.no_answer());
                }
                tally.expire(spec, self.spec.answer, now);
            }
        }
        let gave_up = now >= watch.give_up;
        match self.standing(&watch, None) {
            Standing::Cannot => (State::Ended(Outcome::Failed(self.why_failed(&watch))), Vec::new()),
            Standing::Holds => {
                let until = baking.unwrap_or_else(|| now.after(self.spec.bake));
                let baked = now >= until && until <= watch.give_up;
                if baked && self.standing(&watch, Some(now)) == Standing::Holds {
                    (State::Ended(self.passed(&watch)), Vec::new())
                } else if gave_up {
                    (
                        State::Ended(Outcome::Failed(self.why_given_up(&watch))),
                        Vec::new(),
                    )
                } else {
                    let effects = self.ask(now, &mut watch);
                    (State::Baking { watch, until }, effects)
                }
            }
            Standing::NotYet if gave_up => (
                State::Ended(Outcome::Failed(self.why_given_up(&watch))),
                Vec::new(),
            ),
            Standing::NotYet => {
                let effects = self.ask(now, &mut watch);
                (State::Sampling(watch), effects)
            }
        }
    }

    /// Asks for every sample that is due.
    fn ask(&self, now: Timestamp, watch: &mut Watch) -> Vec<Effect> {
        let mut effects = Vec::new();
        for spec in &self.spec.probes {
            let Some(tally) = watch.probes.get_mut(&spec.name) else {
                continue;
            };
            if tally.ask(now, self.spec.answer) {
                effects.push(Effect::TakeSample(SampleRequest {
                    probe: spec.name.clone(),
                    target: spec.target.clone(),
                    subject: self.spec.subject.clone(),
                }));
            }
        }
        effects
    }

    fn no_answer(&self) -> ErrorRecord {
        ErrorRecord {
            kind: ErrorKind::TimedOut,
            retry: Retry::Later,
            applied: Applied::No,
            operation: "sample".to_owned(),
            context: format!("no answer within {}", human(self.spec.answer)),
            retry_after: None,
            cause: None,
        }
    }

    fn passed(&self, watch: &Watch) -> Outcome {
        let tallies = || {
            self.spec
                .probes
                .iter()
                .filter_map(|probe| Some((probe, watch.probes.get(&probe.name)?)))
        };
        Outcome::Passed {
            evidence: tallies()
                .flat_map(|(probe, tally)| tally.last_evidence(probe))
                .collect(),
            would_have_failed: tallies()
                .filter(|(probe, tally)| probe.dry_run && tally.failed.is_some())
                .map(|(probe, _)| probe.name.clone())
                .collect(),
        }
    }

    /// Why the condition cannot hold any more.
    fn why_failed(&self, watch: &Watch) -> Reason {
        let failed: Vec<(&ProbeSpec, &Tally, FailedBy)> = self
            .live()
            .filter_map(|probe| {
                let tally = watch.probes.get(&probe.name)?;
                Some((probe, tally, tally.failed?))
            })
            .collect();
        let by_failures = failed.iter().any(|(_, _, by)| *by == FailedBy::Failures);
        let cause = if by_failures {
            Cause::GateFailed
        } else {
            Cause::GateProviderErrors
        };
        let text: Vec<String> = failed
            .iter()
            .map(|(probe, tally, by)| tally.why_failed(probe, *by))
            .collect();
        Reason::new(cause, text.join("; ")).with(
            failed
                .iter()
                .flat_map(|(_, tally, _)| tally.against.iter().cloned()),
        )
    }

    /// Why it has not passed in time.
    fn why_given_up(&self, watch: &Watch) -> Reason {
        let tallies: Vec<(&ProbeSpec, &Tally)> = self
            .live()
            .filter_map(|probe| Some((probe, watch.probes.get(&probe.name)?)))
            .collect();
        let cause = if tallies.iter().any(|(_, tally)| tally.failures > 0) {
            Cause::GateFailed
        } else if tallies.iter().any(|(_, tally)| tally.had_errors) {
            Cause::GateProviderErrors
        } else {
            Cause::GateUnknown
        };
        let mut parts = vec![format!(
            "the gate did not pass within {}",
            human(self.spec.give_up)
        )];
        parts.extend(tallies.iter().map(|(probe, tally)| tally.describe(probe)));
        Reason::new(cause, parts.join("; ")).with(
            tallies
                .iter()
                .flat_map(|(probe, tally)| tally.all_evidence(probe)),
        )
    }
}

/// How a condition stands; `None` when only dry-run probes are in it.
fn weigh(condition: &Condition, probe: &impl Fn(&ProbeName) -> Option<Standing>) -> Option<Standing> {
    let (parts, count) = match condition {
        Condition::Probe(name) => return probe(name),
        Condition::All(parts) => (parts, usize::MAX),
        Condition::Any(parts) => (parts, 1),
        Condition::AtLeast { count, of } => (of, usize::try_from(*count).unwrap_or(usize::MAX).max(1)),
    };
    if parts.is_empty() {
        // Nothing could ever speak for it.
        return Some(Standing::NotYet);
    }
    let standings: Vec<Standing> = parts.iter().filter_map(|part| weigh(part, probe)).collect();
    if standings.is_empty() {
        return None;
    }
    let wanted = count.min(standings.len());
    let holding = standings.iter().filter(|s| **s == Standing::Holds).count();
    let possible = standings.iter().filter(|s| **s != Standing::Cannot).count();
    Some(if holding >= wanted {
        Standing::Holds
    } else if possible < wanted {
        Standing::Cannot
    } else {
        Standing::NotYet
    })
}
