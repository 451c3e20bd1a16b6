use super::*;
use crate::dns::{RecordData, RecordKey, RecordType};
use crate::plan::step;
use crate::service::RestorePoint;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("valid")
}

fn key() -> RecordKey {
    RecordKey {
        name: "api.example.com".parse().expect("valid"),
        record_type: RecordType::Cname,
        set_identifier: None,
    }
}

fn record(value: &str, weight: Option<u64>) -> Record {
    Record {
        key: key(),
        weight,
        data: RecordData::Values {
            ttl: 300,
            values: vec![value.to_owned()],
        },
    }
}

fn image() -> StepId {
    step::image(&name("backend"), &"app".parse().expect("valid"))
}

fn point() -> RestorePoint {
    RestorePoint {
        service: name("backend"),
        captured_at: at(1),
        task_definition: "backend:41".parse().expect("valid"),
        images: BTreeMap::new(),
        deployment: "ecs-svc/1".parse().expect("valid"),
        desired: 3,
        since: Some(at(0)),
    }
}

fn world() -> Assumed {
    let marker = Marker {
        generation: Generation(7),
        run: "r-7".parse().expect("valid"),
    };
    let snapshot = Snapshot {
        at: at(1),
        zone: "Z1".parse().expect("valid"),
        record: Some(record("old.example.com", Some(10))),
        marker: Some(marker.record(&key()).expect("valid")),
    };
    Assumed {
        at: at(1),
        identity: Some(Identity {
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            caller: "arn:reader".to_owned(),
            expires_at: None,
        }),
        services: BTreeMap::from([(name("backend"), AssumedService::from(&Captured::Point(point())))]),
        records: BTreeMap::from([(step::record(&key()), AssumedRecord::from(&snapshot))]),
        images: BTreeMap::from([(image(), ImageDigest::of(b"1"))]),
    }
}

/// What has moved after one change, in words.
fn after(change: impl FnOnce(&mut Assumed)) -> Vec<String> {
    let mut seen = world();
    change(&mut seen);
    moved(&world(), &seen).iter().map(ToString::to_string).collect()
}

fn captured(seen: &mut Assumed, captured: Captured) {
    seen.services
        .insert(name("backend"), AssumedService::from(&captured));
}

#[test]
fn the_same_world_has_not_moved_whoever_looks_and_whenever() {
    let nothing: [&str; 0] = [];
    assert_eq!(after(|_| ()), nothing);
    let other = after(|seen| {
        seen.at = at(99);
        if let Some(identity) = &mut seen.identity {
            identity.caller = "arn:writer".to_owned();
            identity.expires_at = Some(at(5));
        }
        for service in seen.services.values_mut() {
            service.since = None;
        }
        for record in seen.records.values_mut() {
            record.written_by = None;
        }
        seen.services
            .insert(name("other"), AssumedService::from(&Captured::Point(point())));
    });
    assert_eq!(other, nothing);
}

#[test]
fn each_thing_that_moves_is_named_with_what_it_was_and_what_it_is() {
    let new = || RestorePoint {
        deployment: "ecs-svc/2".parse().expect("valid"),
        task_definition: "backend:42".parse().expect("valid"),
        since: Some(at(60)),
        ..point()
    };
    assert_eq!(
        after(|seen| captured(seen, Captured::Point(new()))),
        [
            "service backend, PRIMARY deployment was ecs-svc/1 and is ecs-svc/2 since 1970-01-01T00:01:00.000Z",
            "service backend, revision was backend:41 and is backend:42 since 1970-01-01T00:01:00.000Z",
        ]
    );
    let scaled = RestorePoint {
        desired: 5,
        ..point()
    };
    assert_eq!(
        after(|seen| captured(seen, Captured::Point(scaled))),
        ["service backend, tasks wanted was 3 and is 5"]
    );
    let nothing = Captured::Nothing {
        why: "its revision is not ACTIVE".to_owned(),
        deployment: Some("ecs-svc/1".parse().expect("valid")),
    };
    assert_eq!(
        after(|seen| captured(seen, nothing)),
        ["service backend, revision was backend:41 and is nothing to go back to"]
    );
    assert_eq!(
        after(|seen| {
            seen.images.insert(image(), ImageDigest::of(b"2"));
        }),
        [format!(
            "image/backend/app was {} and is {}",
            ImageDigest::of(b"1"),
            ImageDigest::of(b"2")
        )]
    );
    assert_eq!(
        after(|seen| {
            if let Some(identity) = &mut seen.identity {
                identity.account = "444455556666".to_owned();
                identity.region = "eu-west-1".to_owned();
            }
        }),
        [
            "the account was 111122223333 and is 444455556666",
            "the region was eu-central-1 and is eu-west-1"
        ]
    );
}

#[test]
fn a_record_moves_by_what_it_says_by_its_weight_and_by_its_writer() {
    let of = |change: fn(&mut AssumedRecord)| {
        after(|seen| {
            seen.records.values_mut().for_each(change);
        })
    };
    assert_eq!(
        of(|seen| {
            seen.record = Some(record("new.example.com", Some(10)));
            seen.generation = Generation(8);
            seen.written_by = Some("r-8".parse().expect("valid"));
        }),
        [
            "record api.example.com CNAME was old.example.com (TTL 300 s), weight 10 and is new.example.com (TTL 300 s), weight 10 \
             (written by run r-8)",
            "record api.example.com CNAME, its last writer's generation was 7 and is 8 (written by run r-8)",
        ]
    );
    assert_eq!(
        of(|seen| seen.record = Some(record("old.example.com", Some(0)))),
        [
            "record api.example.com CNAME was old.example.com (TTL 300 s), weight 10 and is old.example.com (TTL 300 s), weight 0 \
          (written by run r-7)"
        ]
    );
    assert_eq!(
        of(|seen| seen.record = None),
        [
            "record api.example.com CNAME was old.example.com (TTL 300 s), weight 10 and is no record (written by run r-7)"
        ]
    );
    // What people do not read differs, too.
    let alias = |follows| {
        let mut record = record("", None);
        record.data = RecordData::Alias {
            target: "lb.example.com".parse().expect("valid"),
            zone: "Z2".parse().expect("valid"),
            evaluate_target_health: follows,
        };
        record
    };
    let (mut was, mut is) = (world(), world());
    was.records
        .values_mut()
        .for_each(|r| r.record = Some(alias(true)));
    is.records
        .values_mut()
        .for_each(|r| r.record = Some(alias(false)));
    let moved = moved(&was, &is);
    assert!(
        moved[0].was.contains("\"evaluate_target_health\":true"),
        "{moved:?}"
    );
}

#[test]
fn what_was_assumed_and_is_not_seen_has_moved() {
    let gone = after(|seen| {
        *seen = Assumed::default();
    });
    assert_eq!(gone.len(), 5, "{gone:?}");
    for says in [
        "account",
        "region",
        "service backend",
        "image/backend/app",
        "record check/dns",
    ] {
        assert!(gone.iter().any(|line| line.contains(says)), "{says}: {gone:?}");
    }
}

#[test]
fn ttls_are_those_of_the_records_that_exist() {
    let mut world = world();
    let step = step::record(&key());
    assert_eq!(world.ttls(), BTreeMap::from([(step, Duration::from_secs(300))]));
    world.records.values_mut().for_each(|record| record.record = None);
    assert!(world.ttls().is_empty());
}
