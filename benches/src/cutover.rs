//! A CNAME with a TTL of five minutes: lowered, moved, watched, drained, restored.

use rollout_core::dns::{
    AuthoritativeAnswer, Change, OldTraffic, Propagation, Record, RecordData, RecordKey, RecordType,
    Snapshot, TargetCheck,
};
use rollout_core::machine::cutover::{Cutover, Drain, Effect, Event, Goal, Policy, Spec};

use crate::{Script, id, secs};

/// Every leg of the way, with a zone that applies each batch at once.
#[must_use]
pub fn cutover() -> Script<Cutover> {
    let key = RecordKey {
        name: id("api.example.com"),
        record_type: RecordType::Cname,
        set_identifier: None,
    };
    let mut record = Some(Record {
        key: key.clone(),
        weight: None,
        data: to("old.example.com"),
    });
    let mut marker = None;
    Script::record(
        Cutover::new(spec(key.clone()), policy()),
        Event::Start,
        |_, now, effect| match effect {
            Some(Effect::TakeSnapshot { zone, .. }) => Event::SnapshotTaken(Box::new(Snapshot {
                at: now,
                zone: zone.clone(),
                record: record.clone(),
                marker: marker.clone(),
            })),
            Some(Effect::CheckTarget { .. }) => Event::TargetChecked(TargetCheck {
                at: now,
                healthy: Some(true),
                evidence: Vec::new(),
            }),
            Some(Effect::Apply { batch }) => {
                for change in batch.changes() {
                    match change {
                        Change::Create(new) if new.key == key => record = Some(new.clone()),
                        Change::Create(new) => marker = Some(new.clone()),
                        Change::Delete(_) => {}
                    }
                }
                Event::Applied(id("C1"))
            }
            Some(Effect::SeePropagation { .. }) => Event::PropagationSeen(Propagation::InSync),
            Some(Effect::AskAuthoritative { .. }) => Event::Answered(
                (1..=4)
                    .map(|number| AuthoritativeAnswer {
                        server: format!("ns-{number}"),
                        at: now,
                        matches: Some(true),
                        detail: String::new(),
                    })
                    .collect(),
            ),
            Some(Effect::SeeOldTraffic { .. }) => Event::OldTrafficSeen(OldTraffic {
                at: now,
                requests_per_minute: Some(0),
            }),
            None => Event::Elapsed,
        },
    )
}

fn to(name: &str) -> RecordData {
    RecordData::Values {
        ttl: 300,
        values: vec![name.to_owned()],
    }
}

fn spec(key: RecordKey) -> Spec {
    Spec {
        run: id("bench"),
        zone: id("Z1"),
        key,
        goal: Goal::Move {
            to: to("new.example.com"),
            lowered_ttl: 60,
        },
        allow_unhealthy_target: false,
        drain: Some(Drain {
            level: 5,
            hold: secs(120),
            give_up: secs(900),
        }),
    }
}

fn policy() -> Policy {
    Policy {
        poll_first: secs(2),
        poll_max: secs(20),
        in_sync: secs(180),
        verify: secs(60),
        watch: secs(180),
        watch_failures: 3,
        max_errors: 4,
        answer: secs(20),
    }
}
