//! Batches with everything that Route 53 knows, routed records, lists, health checks.

use core::time::Duration;

use proptest::prelude::*;
use rollout_core::dns::{Record, RecordData, RecordType};

use super::{START, zone};
use crate::World;
use crate::dns::answer::{TICKETS, listed, place, select, unescaped};
use crate::dns::health::HealthCheck;
use crate::dns::set::{Edit, Failover, RecordSet};
use crate::dns::{Refused, Zone};
use crate::kernel::{Kernel, plus};

fn set(name: &str, kind: RecordType, ttl: u32, values: &[&str]) -> RecordSet {
    let key = super::key(name, kind);
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    RecordSet::from(Record {
        key,
        weight: None,
        data: RecordData::Values { ttl, values },
    })
}

fn weighted(id: &str, weight: u64, value: &str) -> RecordSet {
    let mut set = set("api.example.com", RecordType::A, 60, &[value]);
    set.record.key.set_identifier = Some(id.to_owned());
    set.record.weight = Some(weight);
    set
}

fn messages(answer: Result<rollout_core::id::ChangeId, Refused>) -> Vec<String> {
    match answer {
        Err(Refused::Batch(wrong)) => wrong.into_iter().map(|w| w.message).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn refusals_have_the_words_of_route_53() {
    use RecordType::{A, Cname, Txt};
    let (mut k, mut zone) = zone(1);
    for (edit, words) in [
        (
            Edit::Create(set("www.example.com", Cname, 60, &["x.example.net"])),
            "Tried to create resource record set [name='www.example.com.', type='CNAME'] but it already exists",
        ),
        (
            Edit::Delete(set("none.example.com", A, 60, &["10.0.0.1"])),
            "Tried to delete resource record set [name='none.example.com.', type='A'] but it was not found",
        ),
        (
            Edit::Delete(set("www.example.com", Cname, 60, &["old.example.net"])),
            "Tried to delete resource record set [name='www.example.com.', type='CNAME'] but the values provided do not match \
             the current values",
        ),
        (
            Edit::Upsert(set("www.example.org", A, 60, &["10.0.0.1"])),
            "RRSet with DNS name www.example.org. is not permitted in zone example.com.",
        ),
        (
            Edit::Create(set("www.example.com", Txt, 60, &["\"x\""])),
            "RRSet of type TXT with DNS name www.example.com. is not permitted as it conflicts with other records with the same \
             DNS name in zone example.com.",
        ),
        (
            Edit::Create(set("example.com", Cname, 60, &["x.example.net"])),
            "RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.",
        ),
        (
            Edit::Create(set("a.example.com", A, 60, &["x"])),
            "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered \
             with 'x''",
        ),
        (
            Edit::Create(set("t.example.com", Txt, 60, &["x"])),
            "Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) \
             encountered with 'x''",
        ),
        (Edit::Create(weighted("blue", 1, "10.0.0.1")), ""),
    ] {
        let answer = zone.edit(&mut k, &[edit]);
        if words.is_empty() {
            answer.expect("nothing is wrong with it");
            k.now = plus(k.now, 1_000);
        } else {
            assert_eq!(messages(answer), [words]);
        }
    }
    let simple = Edit::Create(set("api.example.com", A, 60, &["10.0.0.9"]));
    let text = "RRSet with DNS name api.example.com., type A cannot be created as other RRSets exist with the same name and type.";
    assert_eq!(messages(zone.edit(&mut k, &[simple])), [text]);
    let all = [
        Edit::Create(set("www.example.com", Cname, 60, &["x.example.net"])),
        Edit::Delete(set("none.example.com", A, 60, &["10.0.0.1"])),
    ];
    let refused = zone.edit(&mut k, &all).expect_err("both are wrong");
    assert!(refused.is_stale());
    assert!(
        refused
            .message()
            .starts_with("[Tried to create resource record set ["),
        "{}",
        refused.message()
    );
    assert!(
        refused.message().contains("], Tried to delete")
            || refused.message().contains("exists, Tried to delete")
    );
}

#[test]
fn an_upsert_makes_or_replaces_and_counts_twice() {
    let (mut k, mut zone) = zone(2);
    let new = set("www.example.com", RecordType::Cname, 60, &["new.example.net"]);
    zone.edit(&mut k, &[Edit::Upsert(new.clone())])
        .expect("there is one");
    assert_eq!(zone.record(new.key()), Some(&new.record));
    k.now = plus(k.now, 1_000);
    let values: Vec<String> = (0..501)
        .map(|n| format!("10.0.{}.{}", n / 250, n % 250))
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let many = set("many.example.com", RecordType::A, 60, &values);
    let text = "Number of records limit of 1000 exceeded.";
    assert_eq!(messages(zone.edit(&mut k, &[Edit::Upsert(many.clone())])), [text]);
    zone.edit(&mut k, &[Edit::Create(many)]).expect("501 count once");
}

#[test]
fn a_list_is_in_the_order_of_reversed_labels_and_comes_in_pages() {
    use RecordType::{A, Txt};
    let (mut k, mut zone) = zone(3);
    let edits = [
        set("b.a.example.com", A, 60, &["10.0.0.1"]),
        set("a.example.com", Txt, 60, &["\"x\""]),
        set("a.example.com", A, 60, &["10.0.0.1"]),
        set("*.example.com", A, 60, &["10.0.0.1"]),
        set("z.example.com", A, 60, &["10.0.0.1"]),
        weighted("green", 1, "10.0.0.2"),
        weighted("blue", 1, "10.0.0.1"),
    ]
    .map(Edit::Create);
    zone.edit(&mut k, &edits).expect("all are new");
    let mut names = Vec::new();
    let mut from = None;
    loop {
        let (page, next, _) = zone.list(from.as_ref(), 2);
        assert!(page.len() <= 2);
        for set in page {
            let id = set.key().set_identifier.clone().unwrap_or_default();
            names.push(
                format!("{} {} {id}", listed(&set.key().name), set.key().record_type)
                    .trim()
                    .to_owned(),
            );
        }
        let Some(next) = next else { break };
        let key = next.key();
        from = Some(place(
            &unescaped(&listed(&key.name)),
            &key.record_type.to_string(),
            key.set_identifier.as_deref(),
        ));
    }
    assert_eq!(
        names,
        [
            "example.com. NS",
            "example.com. SOA",
            "\\052.example.com. A",
            "a.example.com. A",
            "a.example.com. TXT",
            "b.a.example.com. A",
            "api.example.com. A blue",
            "api.example.com. A green",
            "shop.example.com. A",
            "www.example.com. CNAME",
            "z.example.com. A",
        ]
    );
    let from = place("a.example.com", "TXT", None);
    let (page, ..) = zone.list(Some(&from), 300);
    assert_eq!(page[0].key().record_type, Txt);
}

#[test]
fn a_record_of_weight_0_answers_only_when_no_other_can() {
    let (blue, green) = (weighted("blue", 0, "10.0.0.1"), weighted("green", 5, "10.0.0.2"));
    let sets = [&blue, &green];
    let ticket = TICKETS - 1;
    for ticket in [0, ticket] {
        assert_eq!(select(&sets, ticket, |_| true), Some(&green));
        assert_eq!(select(&sets, ticket, |s| s == &blue), Some(&blue));
        assert_eq!(
            select(&sets, ticket, |_| false),
            Some(&green),
            "then all count as healthy"
        );
    }
    let zeros = [&weighted("a", 0, "10.0.0.1"), &weighted("b", 0, "10.0.0.2")];
    assert_eq!(select(&zeros, 0, |_| true), Some(zeros[0]));
    assert_eq!(select(&zeros, ticket, |_| true), Some(zeros[1]));
}

#[test]
fn resolvers_follow_the_weights() {
    let (mut k, mut zone) = zone(4);
    let (blue, green) = (
        weighted("blue", 90, "10.0.0.1"),
        weighted("green", 10, "10.0.0.2"),
    );
    for set in [&blue, &green] {
        zone.put(set.clone());
    }
    let key = super::key("api.example.com", RecordType::A);
    let sets = zone.sets_of(&key);
    let traffic = crate::dns::resolver::Traffic::new(&mut k, key, 10_000, 1_000, &sets);
    zone.traffic.push(traffic);
    let (a, b) = (&blue.record.data, &green.record.data);
    assert_eq!(
        zone.requests(k.now, a).zip(zone.requests(k.now, b)),
        Some((9_000, 1_000))
    );
    let shift = [
        Edit::Upsert(weighted("blue", 25, "10.0.0.1")),
        Edit::Upsert(weighted("green", 75, "10.0.0.2")),
    ];
    zone.edit(&mut k, &shift).expect("nothing is wrong with it");
    let later = plus(k.now, 3_600_000);
    let (a, b) = (
        zone.requests(later, a).expect("told"),
        zone.requests(later, b).expect("told"),
    );
    // The population is a thousand resolvers: a share is right to a few of them.
    assert!(a.abs_diff(2_500) <= 30 && a + b == 10_000, "{a} and {b}");
}

/// Two load balancers with machines: requests to `api` go to the first while it is healthy.
fn failover() -> World {
    World::builder(5)
        .environment("prod", |e| {
            e.balancer("one", |b| b.machines(2, 0))
                .balancer("two", |b| b.machines(2, 0))
        })
        .zone("Z1", "example.com", |z| {
            z.failover_alias("api.example.com", ("prod", "one"), ("prod", "two"))
                .clients("api.example.com", RecordType::A, 600)
        })
        .build()
        .expect("well described")
}

fn to(world: &World, balancer: &str) -> RecordData {
    world.alias_to("prod", balancer).expect("described")
}

#[test]
fn requests_fail_over_when_the_first_target_is_unhealthy() {
    let mut world = failover();
    let (one, two) = (to(&world, "one"), to(&world, "two"));
    let count = |world: &mut World, data: &RecordData| {
        world.settle_health();
        let now = world.now();
        world.zones[0].requests(now, data)
    };
    world.pass(Duration::from_secs(600));
    assert_eq!(count(&mut world, &one), Some(600));
    assert_eq!(world.status_of("api.example.com", "/"), Some(200));
    world.turn_machines("prod", "one", false).expect("described");
    world.pass(Duration::from_secs(30));
    world.settle_health();
    assert_eq!(
        world.status_of("api.example.com", "/"),
        Some(200),
        "the second one answers"
    );
    world.pass(Duration::from_secs(1_800));
    assert_eq!(count(&mut world, &one), Some(0));
    assert_eq!(count(&mut world, &two), Some(600));
    world.turn_machines("prod", "one", true).expect("described");
    world.pass(Duration::from_secs(120));
    world.settle_health();
    world.pass(Duration::from_secs(1_800));
    assert_eq!(count(&mut world, &one), Some(600));
}

#[test]
fn a_health_check_turns_after_as_many_results_as_its_threshold() {
    let mut world = failover();
    let host = to(&world, "one").to_string().replace("alias to ", "");
    world.add_health_check(HealthCheck {
        id: "h".to_owned(),
        caller_reference: "r".to_owned(),
        kind: "HTTP".to_owned(),
        host,
        port: 80,
        path: "/".to_owned(),
        interval: 30_000,
        threshold: 3,
        inverted: false,
        disabled: false,
        passes: true,
        otherwise: 0,
        checked_at: START,
        status: String::new(),
    });
    world.turn_machines("prod", "one", false).expect("described");
    let healthy = |w: &World| w.checks[0].as_ref().expect("made").is_healthy();
    world.pass(Duration::from_secs(89));
    assert!(healthy(&world), "two failures");
    world.pass(Duration::from_secs(1));
    assert!(!healthy(&world), "three failures");
    assert_eq!(
        world.checks[0].as_ref().expect("made").status,
        "Failure: HTTP Status Code 502"
    );
    world.turn_machines("prod", "one", true).expect("described");
    world.pass(Duration::from_secs(90));
    assert!(healthy(&world));
    // Routed records with values follow it.
    for (id, role) in [("p", Failover::Primary), ("s", Failover::Secondary)] {
        let mut set = set(
            "db.example.com",
            RecordType::A,
            60,
            &[if id == "p" { "10.0.0.1" } else { "10.0.0.2" }],
        );
        set.record.key.set_identifier = Some(id.to_owned());
        set.failover = Some(role);
        set.health_check = (id == "p").then(|| "h".to_owned());
        world.zones[0].put(set);
    }
    let key = super::key("db.example.com", RecordType::A);
    let told = |w: &World| {
        let record = w.zones[0].resolve(w.now(), 0, &key, 0).expect("two of them");
        record.key.set_identifier.clone()
    };
    assert_eq!(told(&world).as_deref(), Some("p"));
    world.turn_machines("prod", "one", false).expect("described");
    world.pass(Duration::from_secs(200));
    assert_eq!(told(&world).as_deref(), Some("s"));
    let role = |w: &World| {
        w.zones[0]
            .sets()
            .iter()
            .find(|s| s.key().set_identifier.as_deref() == Some("s"))
            .and_then(|s| s.failover)
    };
    assert_eq!(role(&world).map(Failover::name), Some("SECONDARY"));
    if let Some(check) = &mut world.checks[0] {
        check.inverted = true;
    }
    world.settle_health();
    assert_eq!(told(&world).as_deref(), Some("p"));
}

fn any_set() -> impl Strategy<Value = RecordSet> {
    let name = prop::sample::select(vec![
        "a.example.com",
        "b.example.com",
        "www.example.com",
        "x.example.org",
    ]);
    let kind = prop::sample::select(vec![RecordType::A, RecordType::Cname, RecordType::Txt]);
    let id = prop::option::of(prop::sample::select(vec!["one", "two"]));
    (name, kind, id, 0_u32..3).prop_map(|(name, kind, id, n)| {
        let value = match kind {
            RecordType::A => format!("10.0.0.{n}"),
            RecordType::Txt => format!("\"{n}\""),
            _ => format!("v{n}.example.net"),
        };
        let mut set = set(name, kind, 60, &[&value]);
        set.record.weight = id.map(|_| u64::from(n));
        set.record.key.set_identifier = id.map(str::to_owned);
        set
    })
}

fn any_edit() -> impl Strategy<Value = Edit> {
    (any_set(), 0_u8..3).prop_map(|(set, n)| match n {
        0 => Edit::Create(set),
        1 => Edit::Delete(set),
        _ => Edit::Upsert(set),
    })
}

/// What every zone is: no key twice, a CNAME alone, one way of routing for each name and type.
fn check_zone(zone: &Zone) {
    for (at, one) in zone.sets().iter().enumerate() {
        assert!(zone.holds(&one.key().name));
        for other in &zone.sets()[..at] {
            if !one.key().name.same_as(&other.key().name) {
                continue;
            }
            assert!(!one.key().same_as(other.key()), "{one:?} twice");
            if one.key().record_type == other.key().record_type {
                assert_eq!(one.is_routed(), other.is_routed(), "{one:?} beside {other:?}");
            } else {
                for kind in [&one.key().record_type, &other.key().record_type] {
                    assert_ne!(kind, &RecordType::Cname, "{one:?} beside {other:?}");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_batch_is_applied_whole_or_not_at_all(batches in prop::collection::vec(prop::collection::vec(any_edit(), 1..5), 1..8)) {
        let (mut k, mut zone): (Kernel, Zone) = zone(6);
        for batch in batches {
            let before = zone.clone();
            match zone.edit(&mut k, &batch) {
                Ok(id) => {
                    // One by one, on a zone that never refuses for being busy, comes to the same.
                    let mut alone = before;
                    let mut clock = k.clone();
                    for edit in &batch {
                        clock.now = plus(clock.now, 1_000);
                        alone.edit(&mut clock, std::slice::from_ref(edit)).expect("the batch was accepted");
                    }
                    prop_assert_eq!(alone.sets(), zone.sets());
                    prop_assert!(zone.propagation(k.now, &id).is_some());
                }
                Err(refused) => {
                    prop_assert_eq!(before.sets(), zone.sets());
                    let before = serde_json::to_string(&before).expect("plain data");
                    prop_assert_eq!(before, serde_json::to_string(&zone).expect("plain data"));
                    prop_assert!(!refused.message().is_empty());
                }
            }
            check_zone(&zone);
            k.now = plus(k.now, 1_000);
        }
    }

    #[test]
    fn listed_names_are_read_back(name in "[a-z*_]{1,8}(\\.[a-z0-9]{1,8}){0,3}") {
        let domain: rollout_core::id::DomainName = name.parse().expect("a name");
        prop_assert_eq!(unescaped(&listed(&domain)), format!("{name}."));
    }

    #[test]
    fn a_selection_is_of_the_healthy_and_in_proportion(weights in prop::collection::vec(0_u64..256, 1..5), sick in 0_usize..5) {
        let sets: Vec<RecordSet> = weights.iter().enumerate().map(|(n, w)| weighted(&n.to_string(), *w, "10.0.0.1")).collect();
        let all: Vec<&RecordSet> = sets.iter().collect();
        let healthy = |s: &RecordSet| s.key().set_identifier.as_deref() != Some(&sick.to_string());
        let alone = sets.len() == 1 && sick == 0;
        let mut counts = vec![0_u64; sets.len()];
        const DRAWS: u64 = 4_096;
        for n in 0..DRAWS {
            let told = select(&all, n * (TICKETS / DRAWS), healthy).expect("never nothing");
            prop_assert!(alone || healthy(told));
            let place: usize = told.key().set_identifier.as_ref().expect("weighted").parse().expect("a number");
            counts[place] += 1;
        }
        let counted = |n: usize| alone || n != sick;
        let sum: u64 = weights.iter().enumerate().filter(|(n, _)| counted(*n)).map(|(_, w)| w).sum();
        for (n, weight) in weights.iter().enumerate().filter(|(n, _)| counted(*n)) {
            // Without any weight each is as good as another.
            let Some(expected) = (weight * DRAWS).checked_div(sum) else { break };
            prop_assert!(counts[n].abs_diff(expected) <= weights.len() as u64 + 1, "{counts:?} of {weights:?}");
        }
    }
}
