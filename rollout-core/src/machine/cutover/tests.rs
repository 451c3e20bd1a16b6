//! What every test of the machine shares; the tests are in the modules.

use core::time::Duration;

use super::{Cutover, Drain, Effect, Event, Goal, Outcome, Policy, Spec, StateKind, Written};
use crate::dns::{
    AuthoritativeAnswer, Change, ChangeBatch, Marker, OldTraffic, Propagation, Record, RecordData, RecordKey,
    RecordType, Snapshot, TargetCheck,
};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence, StuckReason};
use crate::id::{ChangeId, Generation};
use crate::machine::testkit::Walk;
use crate::machine::{Machine as _, Transitions as _};
use crate::time::{Timestamp, Wait};

mod directed;
mod failing;
mod guards;
mod pace;
mod properties;
mod table;
mod world;

pub(super) fn secs(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn key() -> RecordKey {
    RecordKey {
        name: "api.example.com".parse().expect("a valid name"),
        record_type: RecordType::A,
        set_identifier: None,
    }
}

pub(super) fn values(ttl: u32, value: &str) -> RecordData {
    RecordData::Values {
        ttl,
        values: vec![value.to_owned()],
    }
}

pub(super) fn alias(target: &str) -> RecordData {
    RecordData::Alias {
        target: target.parse().expect("a valid name"),
        zone: "ZELB".parse().expect("a valid id"),
        evaluate_target_health: true,
    }
}

pub(super) fn record(data: RecordData) -> Record {
    Record {
        key: key(),
        weight: None,
        data,
    }
}

pub(super) fn marker(generation: u64) -> Record {
    Marker {
        generation: Generation(generation),
        run: "r-1".parse().expect("a valid id"),
    }
    .record(&key())
    .expect("a valid name")
}

pub(super) fn spec(goal: Goal) -> Spec {
    Spec {
        run: "r-1".parse().expect("a valid id"),
        zone: "Z1".parse().expect("a valid id"),
        key: key(),
        goal,
        allow_unhealthy_target: false,
        drain: Some(Drain {
            level: 5,
            hold: Duration::from_secs(120),
            give_up: Duration::from_secs(900),
        }),
    }
}

pub(super) fn policy() -> Policy {
    Policy {
        poll_first: Duration::from_secs(2),
        poll_max: Duration::from_secs(20),
        in_sync: Duration::from_secs(180),
        verify: Duration::from_secs(60),
        watch: Duration::from_secs(60),
        watch_failures: 3,
        max_errors: 4,
        answer: Duration::from_secs(10),
    }
}

pub(super) fn to_value() -> Goal {
    Goal::Move {
        to: values(300, "10.0.0.2"),
        lowered_ttl: 60,
    }
}

pub(super) fn snapshot(at: u64, data: Option<RecordData>, marker: Option<Record>) -> Event {
    Event::SnapshotTaken(Box::new(snap(at, data, marker)))
}

pub(super) fn snap(at: u64, data: Option<RecordData>, marker: Option<Record>) -> Snapshot {
    Snapshot {
        at: secs(at),
        zone: "Z1".parse().expect("a valid id"),
        record: data.map(record),
        marker,
    }
}

pub(super) fn check(at: u64, healthy: Option<bool>) -> Event {
    Event::TargetChecked(TargetCheck {
        at: secs(at),
        healthy,
        evidence: vec![Evidence::new(secs(at), "elb", "target", format!("{healthy:?}"))],
    })
}

pub(super) fn change(id: &str) -> ChangeId {
    id.parse().expect("a valid id")
}

pub(super) fn answers(at: u64, matches: &[Option<bool>]) -> Event {
    let answers = matches
        .iter()
        .enumerate()
        .map(|(n, matches)| AuthoritativeAnswer {
            server: format!("ns-{n}"),
            at: secs(at),
            matches: *matches,
            detail: "as asked".to_owned(),
        });
    Event::Answered(answers.collect())
}

pub(super) fn traffic(at: u64, requests_per_minute: Option<u64>) -> Event {
    Event::OldTrafficSeen(OldTraffic {
        at: secs(at),
        requests_per_minute,
    })
}

pub(super) fn error(kind: ErrorKind, retry: Retry, applied: Applied) -> Event {
    Event::CallFailed(ErrorRecord {
        kind,
        retry,
        applied,
        operation: "test:Call".to_owned(),
        context: "scripted".to_owned(),
        retry_after: None,
        cause: None,
    })
}

pub(super) const IN_SYNC: Event = Event::PropagationSeen(Propagation::InSync);
pub(super) const PENDING: Event = Event::PropagationSeen(Propagation::Pending);

pub(super) fn read() -> Effect {
    Effect::TakeSnapshot {
        zone: "Z1".parse().expect("a valid id"),
        key: key(),
    }
}

pub(super) fn look_at(data: RecordData) -> Effect {
    Effect::CheckTarget { data }
}

pub(super) fn write(seen: &Snapshot, data: RecordData, generation: u64) -> Effect {
    let marker = Marker {
        generation: Generation(generation),
        run: "r-1".parse().expect("a valid id"),
    };
    Effect::Apply {
        batch: ChangeBatch::compare_and_set(seen, record(data), &marker).expect("a valid batch"),
    }
}

pub(super) fn servers(data: RecordData) -> Effect {
    Effect::AskAuthoritative {
        zone: "Z1".parse().expect("a valid id"),
        expected: record(data),
    }
}

/// A machine with its clock, walked by hand.
pub(super) struct Hand {
    pub(super) walk: Walk<Cutover>,
    pub(super) now: u64,
}

impl Hand {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            walk: Walk::new(Cutover::new(spec, policy())),
            now: 1000,
        }
    }

    /// Started, with the first read under way.
    pub(super) fn started(spec: Spec) -> Self {
        let mut hand = Self::new(spec);
        assert_eq!(hand.give(Event::Start), [read()]);
        hand
    }

    pub(super) fn give(&mut self, event: Event) -> Vec<Effect> {
        self.walk.give(secs(self.now), event).expect("accepted")
    }

    /// Goes to the deadline, which must be for this reason, and lets it pass.
    pub(super) fn elapse(&mut self, why: Wait) -> Vec<Effect> {
        let deadline = self.walk.machine.deadline().expect("a deadline");
        assert_eq!(deadline.why, why, "{:?}", self.walk.machine);
        self.now = deadline.at.as_millis().div_ceil(1000).max(self.now);
        self.give(Event::Elapsed)
    }

    pub(super) fn snapshot(&mut self, data: RecordData, marker: Option<Record>) -> Vec<Effect> {
        self.give(snapshot(self.now, Some(data), marker))
    }

    pub(super) fn healthy(&mut self) -> Vec<Effect> {
        self.give(check(self.now, Some(true)))
    }

    pub(super) fn all_agree(&mut self) -> Vec<Effect> {
        self.give(answers(self.now, &[Some(true), None, Some(true)]))
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.walk.machine.outcome().expect("it has ended")
    }

    pub(super) fn cause(&self) -> (&'static str, Cause) {
        match self.outcome() {
            Outcome::Refused(reason) => ("refused", reason.cause),
            Outcome::Reverted(reason) => ("reverted", reason.cause),
            Outcome::Superseded(reason) => ("superseded", reason.cause),
            Outcome::Moved { .. } | Outcome::Stuck(_) => panic!("{:?}", self.outcome()),
        }
    }

    pub(super) fn stuck(&self) -> StuckReason {
        match self.outcome() {
            Outcome::Stuck(stuck) => {
                assert!(!stuck.next.is_empty(), "a stuck end names what to run");
                stuck.reason
            }
            other @ (Outcome::Moved { .. }
            | Outcome::Refused(_)
            | Outcome::Reverted(_)
            | Outcome::Superseded(_)) => {
                panic!("{other:?}")
            }
        }
    }
}
