//! One change of the record: check, read, write, spread, verify.

use core::time::Duration;

use super::flow::{Flow, Next, same_record, says, stay};
use super::state::{Leg, Pending, Phase, Running, Stage, State};
use super::{Effect, Goal, Spec, Written};
use crate::dns::{
    AuthoritativeAnswer, Change, ChangeBatch, Marker, Propagation, Record, RecordData, Snapshot, TargetCheck,
};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::{ChangeId, Generation};
use crate::time::{Timestamp, Wait, human};

/// How long a change generally takes to reach all servers of Route 53 ("ChangeResourceRecordSets", Amazon Route 53 API Reference).
const SPREADS: Duration = Duration::from_secs(60);

/// Whose a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// What was last known, or a later write of ours.
    Ours,
    /// Something that we know to be over: the read is behind.
    Behind,
    /// Someone else's.
    Foreign,
}

/// Refuses a snapshot of something else than was asked for.
pub(super) fn belongs(spec: &Spec, snapshot: &Snapshot) -> Result<(), String> {
    if snapshot.zone != spec.zone {
        return Err(format!(
            "the snapshot is of zone {}, not {}",
            snapshot.zone, spec.zone
        ));
    }
    if let Some(record) = &snapshot.record
        && !record.key.same_as(&spec.key)
    {
        return Err(format!("the snapshot is of {}, not {}", record.key, spec.key));
    }
    match (&snapshot.marker, Marker::key(&spec.key)) {
        (Some(marker), Ok(key)) if !marker.key.same_as(&key) => {
            Err(format!("the snapshot's marker is {}, not {key}", marker.key))
        }
        (Some(_) | None, Ok(_) | Err(_)) => Ok(()),
    }
}

/// The generation in a batch's new marker.
pub(super) fn generation_of(batch: &ChangeBatch) -> Option<Generation> {
    batch.changes().iter().find_map(|change| match change {
        Change::Create(record) => Marker::parse(&record.data).map(|marker| marker.generation),
        Change::Delete(_) => None,
    })
}

impl Flow<'_> {
    /// What the record shall say after a leg. `None` when there is nothing to go back to.
    pub(super) fn wanted(&self, run: &Running, leg: Leg) -> Option<Record> {
        let data = match (&self.spec.goal, leg) {
            (Goal::Restore { original, .. }, _) => return original.record.clone(),
            (Goal::Move { .. }, Leg::Back) => return run.before.record.clone(),
            (Goal::Move { lowered_ttl, .. }, Leg::Lower) => {
                let record = run.before.record.clone()?;
                let data = record.data.with_ttl(*lowered_ttl);
                return Some(Record { data, ..record });
            }
            // With a short TTL until all is well: the way back is then as quick.
            (Goal::Move { to, lowered_ttl }, Leg::Swap) if !self.was_there(run) => match to {
                RecordData::Values { ttl, .. } => to.with_ttl((*ttl).min(*lowered_ttl)),
                RecordData::Alias { .. } => to.clone(),
            },
            (Goal::Move { to, .. }, Leg::Swap | Leg::RestoreTtl) => to.clone(),
        };
        let (key, weight) = match &run.before.record {
            Some(record) => (record.key.clone(), record.weight),
            None => (self.spec.key.clone(), None),
        };
        Some(Record { key, weight, data })
    }

    /// Whether the record said what it shall before we came.
    fn was_there(&self, run: &Running) -> bool {
        match (&self.spec.goal, &run.before.record) {
            (Goal::Move { to, .. }, Some(record)) => says(&record.data, to),
            (Goal::Move { .. }, None) | (Goal::Restore { .. }, _) => false,
        }
    }

    pub(super) fn begin(&self, mut run: Box<Running>, leg: Leg) -> Next {
        run.errors = 0;
        run.bad = 0;
        run.phase = Phase::Leg {
            leg,
            stage: self.first_stage(&run, leg),
        };
        self.ask(run)
    }

    /// A leg begins with the target's check, unless the plan waives it by name or the record points there anyway.
    pub(super) fn first_stage(&self, run: &Running, leg: Leg) -> Stage {
        if self.spec.allow_unhealthy_target || (leg == Leg::Back && !self.may_point_elsewhere(run)) {
            Stage::Reading
        } else {
            Stage::Checking
        }
    }

    /// Every batch of ours that was applied or may have been; for a restore also those of the way forward.
    fn issued<'a>(&'a self, run: &'a Running) -> impl Iterator<Item = &'a Written> {
        let before: &[Written] = match &self.spec.goal {
            Goal::Restore { ours, .. } => ours,
            Goal::Move { .. } => &[],
        };
        before.iter().chain(&run.mine)
    }

    /// Whether a batch of ours may still land: none does that is older than what is known to have been applied.
    pub(super) fn in_flight(&self, run: &Running) -> bool {
        let applied = run.known.generation();
        self.issued(run).any(|issued| issued.generation > applied)
    }

    /// Whether the record points, or may by a write of ours, at something else than the original.
    fn may_point_elsewhere(&self, run: &Running) -> bool {
        let Some(home) = self.wanted(run, Leg::Back) else {
            return true;
        };
        let known = run.known.record.iter().map(|record| &record.data);
        known
            .chain(self.issued(run).map(|issued| &issued.data))
            .any(|data| !data.same_target(&home.data))
    }

    pub(super) fn checked(&self, mut run: Box<Running>, leg: Leg, check: TargetCheck) -> Next {
        let reason = self.unfit(&check);
        run.proof.checked = check.evidence;
        let Some(reason) = reason else {
            run.bad = 0;
            run.phase = Phase::Leg {
                leg,
                stage: Stage::Reading,
            };
            return self.ask(run);
        };
        match leg {
            Leg::Lower | Leg::Swap => self.fail(run, reason),
            // The record points there already: the rule of the watch goes on.
            Leg::RestoreTtl => {
                run.bad = run.bad.saturating_add(1);
                if run.bad >= self.policy.watch_failures.max(1) {
                    self.fail(run, reason)
                } else {
                    self.rest(run, self.now.after(self.longest_pause()), Wait::Poll)
                }
            }
            // One bad look is not enough to leave the way back.
            Leg::Back => self.retry(run, reason, None),
        }
    }

    /// What the zone bears of our batches that were refused was applied all the same.
    fn own(&self, run: &mut Running, seen: &Snapshot) {
        let Some((marker, record)) = self.our_marker(seen) else {
            return;
        };
        let borne = |issued: &mut Written| bears(&marker, record, issued);
        run.mine.extend(run.refused.extract_if(.., borne));
    }

    /// The record, and its marker if that is of this run.
    fn our_marker<'a>(&self, seen: &'a Snapshot) -> Option<(Marker, &'a Record)> {
        let marker = Marker::parse(&seen.marker.as_ref()?.data)?;
        (marker.run == self.spec.run).then_some((marker, seen.record.as_ref()?))
    }

    /// Whose the snapshot is. Forms that a zone treats alike are alike.
    fn whose(&self, run: &Running, seen: &Snapshot) -> Seen {
        if same_snapshot(seen, &run.known) {
            return Seen::Ours;
        }
        if let Some((marker, record)) = self.our_marker(seen)
            && self.issued(run).any(|issued| bears(&marker, record, issued))
        {
            // An older marker over the same record: a repeat of that write has not landed, or never will.
            let same = run
                .known
                .record
                .as_ref()
                .is_some_and(|known| same_record(known, record));
            return if same || marker.generation > run.known.generation() {
                Seen::Ours
            } else {
                Seen::Behind
            };
        }
        let from_before = match &self.spec.goal {
            Goal::Restore { original, .. } => same_snapshot(seen, original),
            Goal::Move { .. } => false,
        };
        if from_before || same_snapshot(seen, &run.before) {
            return Seen::Behind;
        }
        Seen::Foreign
    }

    /// The record was read right before a write (invariant I-5).
    pub(super) fn read(&self, mut run: Box<Running>, leg: Leg, seen: Snapshot) -> Next {
        self.own(&mut run, &seen);
        match self.whose(&run, &seen) {
            Seen::Ours => {
                run.known = seen;
                self.write(run, leg)
            }
            Seen::Behind if run.errors.saturating_add(1) < self.policy.max_errors.max(1) => {
                let text = format!("what was read of {} is older than what we wrote", self.spec.key);
                self.retry(run, Reason::new(Cause::DnsConflict, text), None)
            }
            // It stays like that: someone has put the old record back.
            Seen::Behind | Seen::Foreign => {
                run.known = seen;
                self.superseded(&run)
            }
        }
    }

    fn write(&self, mut run: Box<Running>, leg: Leg) -> Next {
        let Some(record) = self.wanted(&run, leg) else {
            let text = format!("there is no record to put back for {}", self.spec.key);
            return self.stuck(run, Reason::new(Cause::NoLastKnownGood, text));
        };
        let is_there = run
            .known
            .record
            .as_ref()
            .is_some_and(|now| same_record(now, &record));
        if leg == Leg::Back && is_there && !self.in_flight(&run) {
            return self.ask_servers(run, leg);
        }
        let generation = run.generation.max(run.known.generation()).next();
        let marker = Marker {
            generation,
            run: self.spec.run.clone(),
        };
        let data = record.data.clone();
        match ChangeBatch::compare_and_set(&run.known, record, &marker) {
            Ok(batch) => {
                run.generation = generation;
                run.mine.push(Written { generation, data });
                run.phase = Phase::Leg {
                    leg,
                    stage: Stage::Applying,
                };
                run.pending = Pending::Asked { since: self.now };
                (State::Running(run), vec![Effect::Apply { batch }])
            }
            Err(refused) => {
                let reason = Reason::new(Cause::DnsConflict, refused.to_string());
                match leg {
                    Leg::Lower | Leg::Swap => self.fail(run, reason),
                    Leg::RestoreTtl => self.not_restored(run, reason),
                    Leg::Back => self.stuck(run, reason),
                }
            }
        }
    }

    /// Remembers that the last batch was applied.
    pub(super) fn learn(&self, run: &mut Running, leg: Leg) {
        let marker = Marker {
            generation: run.generation,
            run: self.spec.run.clone(),
        };
        run.known = Snapshot {
            at: self.now,
            zone: self.spec.zone.clone(),
            record: self.wanted(run, leg),
            marker: marker.record(&self.spec.key).ok(),
        };
    }

    pub(super) fn applied(&self, mut run: Box<Running>, change: ChangeId) -> Next {
        let Phase::Leg { leg, .. } = run.phase else {
            return stay(run);
        };
        self.learn(&mut run, leg);
        run.errors = 0;
        let every = self.first_pause();
        run.phase = Phase::Leg {
            leg,
            stage: Stage::Spreading {
                change,
                until: self.now.after(self.policy.in_sync),
                every,
            },
        };
        let look = self.now.after(every.min(self.policy.in_sync));
        self.rest(run, look, Wait::Propagation)
    }

    /// Only what was asked at the end of its time ends it: a runner that slept past that has an answer from before.
    pub(super) fn spread(&self, mut run: Box<Running>, since: Timestamp, propagation: Propagation) -> Next {
        run.errors = 0;
        let Phase::Leg {
            leg,
            stage: Stage::Spreading { until, every, .. },
        } = &mut run.phase
        else {
            return stay(run);
        };
        let (leg, until) = (*leg, *until);
        match propagation {
            Propagation::InSync => self.in_sync(run, leg),
            Propagation::Pending if since >= until => self.out_of_time(run),
            Propagation::Pending => {
                let age = self.policy.in_sync.saturating_sub(until.since(self.now));
                if age >= SPREADS {
                    *every = self.longer(*every);
                }
                let look = self.now.after(*every).min(until);
                self.rest(run, look, Wait::Propagation)
            }
        }
    }

    fn in_sync(&self, mut run: Box<Running>, leg: Leg) -> Next {
        match leg {
            Leg::Lower => {
                run.phase = Phase::WaitingOldTtl;
                let until = self.now.after(run.served);
                self.rest(run, until, Wait::OldTtl)
            }
            Leg::Swap | Leg::Back => {
                run.in_sync_at = Some(self.now);
                self.ask_servers(run, leg)
            }
            Leg::RestoreTtl => {
                run.in_sync_at = run.in_sync_at.or(Some(self.now));
                self.ask_servers(run, leg)
            }
        }
    }

    pub(super) fn ask_servers(&self, mut run: Box<Running>, leg: Leg) -> Next {
        run.errors = 0;
        run.proof.answered = Vec::new();
        run.phase = Phase::Leg {
            leg,
            stage: Stage::Verifying {
                until: self.now.after(self.policy.verify),
                every: self.first_pause(),
            },
        };
        self.ask(run)
    }

    /// Whether the change has spread cannot be learnt from its id: the servers' own answers decide.
    pub(super) fn judge_by_servers(&self, mut run: Box<Running>, why: &Reason) -> Next {
        let Phase::Leg { leg, .. } = run.phase else {
            return stay(run);
        };
        self.note(
            &mut run,
            format!("the authoritative servers were asked instead: {why}"),
        );
        self.ask_servers(run, leg)
    }

    /// The servers have answered. One that did not, or answered before it was asked, does not count.
    pub(super) fn verify(
        &self,
        mut run: Box<Running>,
        since: Timestamp,
        answers: &[AuthoritativeAnswer],
    ) -> Next {
        let Phase::Leg {
            leg,
            stage: Stage::Verifying { until, every },
        } = &mut run.phase
        else {
            return stay(run);
        };
        let (leg, until) = (*leg, *until);
        let fresh = || answers.iter().filter(|answer| answer.at >= since);
        let right = fresh().any(|answer| answer.matches == Some(true));
        let wrong = fresh().any(|answer| answer.matches == Some(false));
        if right && !wrong {
            run.errors = 0;
            run.proof.answered = fresh().map(evidence_of).collect();
            return self.verified(run, leg);
        }
        *every = self.longer(*every);
        let look = self.now.after(*every).min(until);
        run.errors = 0;
        run.proof.answered = answers.iter().map(evidence_of).collect();
        if since >= until {
            self.unverified(run, leg)
        } else {
            self.rest(run, look, Wait::Poll)
        }
    }

    fn verified(&self, mut run: Box<Running>, leg: Leg) -> Next {
        if run.lost && leg != Leg::RestoreTtl {
            // An INSYNC after a lost answer may have been another change's; what the servers say now is not.
            run.in_sync_at = Some(self.now);
        }
        match leg {
            Leg::Swap if run.mine.is_empty() => self.moved(run),
            Leg::Swap => {
                run.swapped = true;
                self.watch(run)
            }
            // For the lowered TTL only INSYNC counts: its servers are not asked.
            Leg::Lower => self.in_sync(run, leg),
            Leg::RestoreTtl => self.moved(run),
            Leg::Back => self.back(run),
        }
    }

    pub(super) fn unverified(&self, run: Box<Running>, leg: Leg) -> Next {
        let answered = run.proof.answered.clone();
        let text = if answered.is_empty() {
            format!(
                "no authoritative server answered for {} within {}",
                self.spec.key,
                human(self.policy.verify)
            )
        } else {
            format!(
                "not every authoritative server said the new {} within {}",
                self.spec.key,
                human(self.policy.verify)
            )
        };
        let reason = Reason::new(Cause::WrongAnswer, text).with(answered);
        match leg {
            Leg::Lower | Leg::Swap | Leg::RestoreTtl => self.fail(run, reason),
            Leg::Back => self.stuck(run, reason),
        }
    }
}

fn evidence_of(answer: &AuthoritativeAnswer) -> Evidence {
    let verdict = match answer.matches {
        Some(true) => "as it should be",
        Some(false) => "not what it should be",
        None => "no answer",
    };
    let detail = format!("{verdict}: {}", answer.detail);
    Evidence::new(answer.at, "authoritative server", answer.server.clone(), detail)
}

/// Whether both show the same record under the same marker.
fn same_snapshot(a: &Snapshot, b: &Snapshot) -> bool {
    let same = |a: &Option<Record>, b: &Option<Record>| match (a, b) {
        (Some(a), Some(b)) => same_record(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    same(&a.record, &b.record) && same(&a.marker, &b.marker)
}

/// Whether a record with this marker is what a batch of ours made it.
fn bears(marker: &Marker, record: &Record, issued: &Written) -> bool {
    issued.generation == marker.generation && says(&record.data, &issued.data)
}
