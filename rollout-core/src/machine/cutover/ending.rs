//! The ends, and the turn back.

use super::flow::{Flow, Next};
use super::state::{Ended, Leg, Phase, Running, State};
use super::{Goal, Outcome};
use crate::evidence::{Cause, Evidence, Reason, Stuck, StuckReason};

impl Flow<'_> {
    fn end(&self, run: &Running, outcome: Outcome) -> Next {
        let ended = Ended {
            outcome,
            before: run.before.clone(),
            mine: run.mine.clone(),
        };
        (State::Ended(Box::new(ended)), Vec::new())
    }

    /// Nothing was written.
    pub(super) fn refused(&self, run: &Running, reason: Reason) -> Next {
        self.end(run, Outcome::Refused(reason))
    }

    /// It cannot go on: back if anything may have been written, else refused. A restore has nowhere to go back to.
    pub(super) fn fail(&self, mut run: Box<Running>, reason: Reason) -> Next {
        match &self.spec.goal {
            Goal::Restore { .. } => self.stuck(run, reason),
            Goal::Move { .. } if run.mine.is_empty() => self.refused(&run, reason),
            Goal::Move { .. } if run.before.record.is_none() => {
                let text = format!(
                    "{reason}; {} did not exist before, and removing it would leave the name without a record",
                    self.spec.key
                );
                self.stuck(run, Reason { text, ..reason })
            }
            Goal::Move { .. } => {
                run.why = Some(reason);
                run.abort = false;
                run.in_sync_at = None;
                self.begin(run, Leg::Back)
            }
        }
    }

    /// Someone else has changed the record. `known` is what it says now.
    pub(super) fn superseded(&self, run: &Running) -> Next {
        let shows = run
            .known
            .record
            .as_ref()
            .map_or_else(|| "no record".to_owned(), |record| record.data.to_string());
        let marker = match &run.known.marker {
            Some(marker) => marker.data.to_string(),
            None => "none".to_owned(),
        };
        let text = format!(
            "someone else has changed {}: it is now {shows}, its marker {marker}",
            self.spec.key
        );
        let seen = Evidence::new(
            run.known.at,
            "the zone",
            self.spec.key.to_string(),
            format!("{shows}; marker {marker}"),
        );
        let why = run.why.iter().flat_map(|why| why.evidence.iter().cloned());
        let reason = Reason::new(Cause::DnsConflict, text).with(why.chain([seen]));
        self.end(run, Outcome::Superseded(reason))
    }

    /// The record says what it shall.
    pub(super) fn moved(&self, run: Box<Running>) -> Next {
        let now = match (&run.known.record, &run.before.record) {
            (Some(record), _) | (None, Some(record)) => record.clone(),
            (None, None) => {
                let text = format!("{} is gone", self.spec.key);
                return self.stuck(run, Reason::new(Cause::DnsConflict, text));
            }
        };
        let outcome = Outcome::Moved {
            original: Box::new(run.before.clone()),
            now,
            in_sync_at: run.in_sync_at.unwrap_or(self.now),
            drained: run.drained,
            evidence: proof(&run),
        };
        self.end(&run, outcome)
    }

    /// The original is back on every server.
    pub(super) fn back(&self, mut run: Box<Running>) -> Next {
        match (&self.spec.goal, run.why.take()) {
            (Goal::Restore { .. }, _) => self.moved(run),
            (Goal::Move { .. }, Some(why)) => {
                let reason = why.with(proof(&run));
                self.end(&run, Outcome::Reverted(reason))
            }
            (Goal::Move { .. }, None) => {
                let text = format!("{} says again what it said before", self.spec.key);
                let reason = Reason::new(Cause::CallFailed, text).with(proof(&run));
                self.end(&run, Outcome::Reverted(reason))
            }
        }
    }

    /// All is well but the TTL. Before a move there is nothing to be content with.
    pub(super) fn not_restored(&self, mut run: Box<Running>, reason: Reason) -> Next {
        if !run.swapped {
            return self.fail(run, reason);
        }
        self.note(
            &mut run,
            format!("the TTL was not restored, or not verifiably: {reason}"),
        );
        self.moved(run)
    }

    /// Neither forward nor back.
    pub(super) fn stuck(&self, run: Box<Running>, reason: Reason) -> Next {
        let going_back = matches!(run.phase, Phase::Leg { leg: Leg::Back, .. });
        let named = if reason.cause == Cause::PermissionDenied {
            StuckReason::PermissionDenied
        } else if reason.cause == Cause::TargetUnhealthy && going_back {
            StuckReason::NoHealthyTarget
        } else if reason.cause == Cause::NoLastKnownGood {
            StuckReason::NoLastKnownGood
        } else {
            StuckReason::DnsUnwritable
        };
        let text = match &run.why {
            Some(why) => format!("cannot go back ({why}): {reason}"),
            None => reason.text.clone(),
        };
        let why = run.why.iter().flat_map(|why| why.evidence.iter().cloned());
        let stuck = Stuck {
            reason: named,
            text,
            evidence: why.chain(reason.evidence).chain(proof(&run)).collect(),
            next: self.next_commands(&run),
        };
        self.end(&run, Outcome::Stuck(Box::new(stuck)))
    }
}

/// The latest evidence of each kind, oldest kind first.
fn proof(run: &Running) -> Vec<Evidence> {
    let proof = &run.proof;
    let error = proof.error.iter().filter(|_| run.errors > 0);
    proof
        .checked
        .iter()
        .chain(&proof.answered)
        .chain(&proof.traffic)
        .chain(error)
        .chain(&proof.notes)
        .cloned()
        .collect()
}
