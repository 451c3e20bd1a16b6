//! Whether a gate can work at all, told before anything begins.

use core::time::Duration;
use std::collections::BTreeSet;

use super::{Condition, ProbeSpec, Spec};
use crate::id::ProbeName;
use crate::time::human;

/// Why a gate could never work as meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The condition names a probe that is not there.
    #[error("the condition names probe `{0}`, which the gate does not have")]
    UnknownProbe(ProbeName),
    /// Two probes have one name.
    #[error("two probes are named `{0}`")]
    DuplicateProbe(ProbeName),
    /// A probe that is no dry run and that the condition does not name.
    #[error("probe `{0}` is not named by the condition; name it, or make it a dry run")]
    UnusedProbe(ProbeName),
    /// `all`, `any` or `at_least` of nothing.
    #[error("a part of the condition is empty")]
    EmptyCondition,
    /// `at_least` wants none, or more than there are.
    #[error("at least {count} of {parts} parts is wanted; the count must be 1 to {parts}")]
    Count {
        /// How many are wanted.
        count: u32,
        /// How many there are.
        parts: usize,
    },
    /// A probe without a pause between its samples.
    #[error("probe `{0}` has no time between samples; `every` must be longer than zero")]
    ZeroEvery(ProbeName),
    /// A probe that would hold without a single pass.
    #[error("probe `{0}` wants no passes; `successes` must be 1 or more")]
    ZeroSuccesses(ProbeName),
    /// Evidence that would be too old before the next sample is taken.
    #[error("probe `{probe}` is sampled each {every}, but its samples count for {max_age} only")]
    MaxAge {
        /// The probe.
        probe: ProbeName,
        /// Between two samples.
        every: String,
        /// The age past which a sample does not count.
        max_age: String,
    },
    /// No time to answer.
    #[error("a sample has no time to be answered; `answer` must be longer than zero")]
    ZeroAnswer,
    /// It would always give up before it can pass.
    #[error("the gate gives up after {give_up}, but cannot pass before {needs}")]
    GiveUp {
        /// From the start until it gives up.
        give_up: String,
        /// Warm-up, the samples that are needed, and bake.
        needs: String,
    },
}

impl Spec {
    /// Whether the gate can work as meant.
    ///
    /// # Errors
    /// The first [`SpecError`] found.
    pub fn validate(&self) -> Result<(), SpecError> {
        let mut names = BTreeSet::new();
        for probe in &self.probes {
            if !names.insert(&probe.name) {
                return Err(SpecError::DuplicateProbe(probe.name.clone()));
            }
            self.validate_probe(probe)?;
        }
        if let Some(unknown) = self.condition.probes().find(|name| !names.contains(name)) {
            return Err(SpecError::UnknownProbe(unknown.clone()));
        }
        validate_condition(&self.condition)?;
        if self.answer.is_zero() {
            return Err(SpecError::ZeroAnswer);
        }
        let needs = self
            .warm_up
            .saturating_add(self.soonest(&self.condition).unwrap_or_default())
            .saturating_add(self.bake);
        if self.give_up < needs {
            return Err(SpecError::GiveUp {
                give_up: human(self.give_up),
                needs: human(needs),
            });
        }
        Ok(())
    }

    fn validate_probe(&self, probe: &ProbeSpec) -> Result<(), SpecError> {
        let name = || probe.name.clone();
        if probe.every.is_zero() {
            Err(SpecError::ZeroEvery(name()))
        } else if probe.successes == 0 {
            Err(SpecError::ZeroSuccesses(name()))
        } else if probe.max_age < probe.every {
            Err(SpecError::MaxAge {
                probe: name(),
                every: human(probe.every),
                max_age: human(probe.max_age),
            })
        } else if !probe.dry_run && !self.condition.probes().any(|named| named == &probe.name) {
            Err(SpecError::UnusedProbe(name()))
        } else {
            Ok(())
        }
    }

    /// From the first sample until the condition can hold at the soonest; `None` for dry-run probes alone.
    fn soonest(&self, condition: &Condition) -> Option<Duration> {
        let (parts, count) = match condition {
            Condition::Probe(name) => {
                let probe = self
                    .probes
                    .iter()
                    .find(|probe| &probe.name == name && !probe.dry_run)?;
                return Some(probe.every.saturating_mul(probe.successes.saturating_sub(1)));
            }
            Condition::All(parts) => (parts, usize::MAX),
            Condition::Any(parts) => (parts, 1),
            Condition::AtLeast { count, of } => (of, usize::try_from(*count).unwrap_or(usize::MAX)),
        };
        let mut spans: Vec<Duration> = parts.iter().filter_map(|part| self.soonest(part)).collect();
        spans.sort_unstable();
        spans.into_iter().take(count).next_back()
    }
}

fn validate_condition(condition: &Condition) -> Result<(), SpecError> {
    let parts = match condition {
        Condition::Probe(_) => return Ok(()),
        Condition::All(parts) | Condition::Any(parts) => parts,
        Condition::AtLeast { count, of } => {
            let fits = usize::try_from(*count).is_ok_and(|count| count >= 1 && count <= of.len());
            if !fits && !of.is_empty() {
                return Err(SpecError::Count {
                    count: *count,
                    parts: of.len(),
                });
            }
            of
        }
    };
    if parts.is_empty() {
        return Err(SpecError::EmptyCondition);
    }
    parts.iter().try_for_each(validate_condition)
}
