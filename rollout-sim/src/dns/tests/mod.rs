mod routed;

use core::time::Duration;

use rollout_core::dns::{Change, Record, RecordData, RecordKey, RecordType};
use rollout_core::time::Timestamp;

use super::resolver::Traffic;
use super::*;
use crate::kernel::Kernel;

const START: Timestamp = Timestamp::from_millis(1_000_000_000);

fn key(name: &str, record_type: RecordType) -> RecordKey {
    RecordKey {
        name: name.parse().expect("a name"),
        record_type,
        set_identifier: None,
    }
}

fn cname(ttl: u32, value: &str) -> Record {
    Record {
        key: key("www.example.com", RecordType::Cname),
        weight: None,
        data: RecordData::Values {
            ttl,
            values: vec![value.to_owned()],
        },
    }
}

fn alias(target: &str, evaluate_target_health: bool) -> Record {
    Record {
        key: key("shop.example.com", RecordType::A),
        weight: None,
        data: RecordData::Alias {
            target: target.parse().expect("a name"),
            zone: "ZLB".parse().expect("an id"),
            evaluate_target_health,
        },
    }
}

fn zone(seed: u64) -> (Kernel, Zone) {
    let mut zone = Zone::new(
        "Z1".parse().expect("an id"),
        "example.com".parse().expect("a name"),
        Spread::default(),
    );
    zone.put(cname(300, "old.example.net"));
    zone.put(alias("old-1.elb.example.net", true));
    (Kernel::new(seed, START), zone)
}

fn swap(old: &Record, new: &Record) -> [Change; 2] {
    [Change::Delete(old.clone()), Change::Create(new.clone())]
}

fn stale(answer: Result<ChangeId, Refused>) -> String {
    match answer {
        Err(refused) if refused.is_stale() => refused.message(),
        other => panic!("not refused as stale: {other:?}"),
    }
}

#[test]
fn a_stale_delete_is_refused_and_nothing_of_its_batch_happens() {
    let (mut k, mut zone) = zone(1);
    let marker = Record {
        key: key("_rollout.www.example.com", RecordType::Txt),
        weight: None,
        data: RecordData::Values {
            ttl: 60,
            values: vec!["\"generation=1 run=r\"".to_owned()],
        },
    };
    for wrong in [cname(60, "old.example.net"), cname(300, "other.example.net")] {
        let mut batch = vec![Change::Create(marker.clone())];
        batch.extend(swap(&wrong, &cname(60, "new.example.net")));
        let text = stale(zone.apply(&mut k, &batch));
        assert!(
            text.contains("but the values provided do not match the current values"),
            "{text}"
        );
        assert_eq!(zone.record(&marker.key), None);
        assert_eq!(zone.record(&wrong.key), Some(&cname(300, "old.example.net")));
    }
    let gone = [Change::Delete(marker)];
    assert!(stale(zone.apply(&mut k, &gone)).contains("but it was not found"));
}

#[test]
fn an_alias_is_compared_whole() {
    let (mut k, mut zone) = zone(2);
    let new = alias("new-1.elb.example.net", true);
    stale(zone.apply(&mut k, &swap(&alias("old-1.elb.example.net", false), &new)));
    zone.apply(&mut k, &swap(&alias("OLD-1.elb.example.net.", true), &new))
        .expect("case and root dot do not count");
}

#[test]
fn a_create_over_an_existing_record_is_refused() {
    let (mut k, mut zone) = zone(3);
    let over = [Change::Create(cname(60, "new.example.net"))];
    assert!(stale(zone.apply(&mut k, &over)).contains("but it already exists"));
}

#[test]
fn what_dns_does_not_allow_is_refused() {
    let (mut k, mut zone) = zone(4);
    let mut beside = alias("new-1.elb.example.net", true);
    beside.key.name = "www.example.com".parse().expect("a name");
    let mut outside = cname(60, "new.example.net");
    outside.key.name = "www.example.org".parse().expect("a name");
    for change in [beside, outside] {
        let answer = zone.apply(&mut k, &[Change::Create(change)]);
        assert!(
            matches!(&answer, Err(Refused::Batch(_)) if !answer.as_ref().unwrap_err().is_stale()),
            "{answer:?}"
        );
    }
    assert!(matches!(zone.apply(&mut k, &[]), Err(Refused::Batch(_))));
    // A type change is a DELETE and a CREATE in one batch.
    let mut typed = alias("new-1.elb.example.net", true);
    typed.key.name = "www.example.com".parse().expect("a name");
    zone.apply(&mut k, &swap(&cname(300, "old.example.net"), &typed))
        .expect("one batch");
}

#[test]
fn a_zone_takes_one_change_at_a_time() {
    let (mut k, mut zone) = zone(5);
    let (one, two) = (cname(60, "old.example.net"), cname(60, "new.example.net"));
    zone.apply(&mut k, &swap(&cname(300, "old.example.net"), &one))
        .expect("current values");
    assert_eq!(zone.apply(&mut k, &swap(&one, &two)), Err(Refused::Busy));
    k.now = plus(k.now, Spread::default().busy.max);
    zone.apply(&mut k, &swap(&one, &two))
        .expect("the first has been taken in");
}

#[test]
fn servers_switch_one_by_one_and_then_it_is_in_sync() {
    let (mut k, mut zone) = zone(6);
    let (old, new) = (cname(300, "old.example.net"), cname(300, "new.example.net"));
    let id = zone.apply(&mut k, &swap(&old, &new)).expect("current values");
    let switched = |zone: &Zone, now| {
        (0..SERVERS)
            .filter(|s| zone.answer(now, *s, &new.key) == Some(&new))
            .count()
    };
    assert_eq!(switched(&zone, k.now), 0, "the control plane knows first");
    assert_eq!(zone.record(&new.key), Some(&new));
    let mut seen = Vec::new();
    let mut now = k.now;
    while zone.propagation(now, &id) == Some(Propagation::Pending) {
        seen.push(switched(&zone, now));
        now = plus(now, 100);
    }
    assert_eq!(switched(&zone, now), SERVERS);
    assert!(seen.is_sorted() && seen.contains(&2), "{seen:?}");
    assert!(now.since(k.now) <= Duration::from_secs(60));
    let unknown = "C0".parse().expect("an id");
    assert_eq!(zone.propagation(now, &unknown), None);
}

#[test]
fn a_server_never_goes_back_over_two_changes() {
    for seed in 0..40 {
        let (mut k, mut zone) = zone(seed);
        let steps = [300, 200, 100].map(|ttl| cname(ttl, "old.example.net"));
        for pair in steps.windows(2) {
            zone.apply(&mut k, &swap(&pair[0], &pair[1]))
                .expect("current values");
            k.now = plus(k.now, 1_000);
        }
        for server in 0..SERVERS {
            let mut last = 300;
            for second in 0..130 {
                let answer = zone
                    .answer(plus(START, second * 500), server, &steps[0].key)
                    .expect("there");
                let ttl = answer.data.ttl().as_secs();
                assert!(ttl <= last, "seed {seed}: {ttl} after {last}");
                last = ttl;
            }
            assert_eq!(last, 100, "seed {seed}");
        }
        // INSYNC means that every server has it, also where an earlier change was slow.
        let last = zone.changes.last().expect("two changes");
        for server in 0..SERVERS {
            let answer = zone.answer(last.in_sync_at, server, &steps[0].key);
            assert_eq!(answer, Some(&steps[2]), "seed {seed}");
        }
    }
}

#[test]
fn well_behaved_caches_are_over_after_propagation_and_the_old_ttl() {
    let (mut k, mut zone) = zone(7);
    let (old, new) = (cname(300, "old.example.net"), cname(300, "new.example.net"));
    let traffic = Traffic::new(&mut k, old.key.clone(), 600, 1_000, &[old.clone().into()]);
    let stretching = traffic.stretching();
    zone.traffic.push(traffic);
    k.now = plus(k.now, 3_600_000);
    zone.apply(&mut k, &swap(&old, &new)).expect("current values");
    let mut left = Vec::new();
    for step in 0..=183 {
        let _ = zone.requests(plus(k.now, step * 20_000), &old.data);
        left.push(zone.traffic[0].answering(&old.data).1);
    }
    assert_eq!(left[0], 1_000);
    assert!(left.is_sorted_by(|a, b| a >= b), "nobody goes back");
    assert!(left[200 / 20] > 200, "caches hold for their TTL: {left:?}");
    let late = left[(60 + 300) / 20];
    assert!(late > 0 && late <= stretching, "{late} of {stretching}");
    assert_eq!(left[(60 + 10 * 300) / 20], 0, "the worst hold ten times as long");
}

#[test]
fn as_many_resolvers_stretch_ttls_as_were_measured() {
    let (mut k, _) = zone(8);
    let old = cname(300, "old.example.net");
    let traffic = Traffic::new(&mut k, old.key.clone(), 600, 20_000, &[old.into()]);
    let share = traffic.stretching() as f64 / 20_000.0;
    assert!((0.082..0.093).contains(&share), "{share}");
}

#[test]
fn requests_follow_the_resolvers() {
    let (mut k, mut zone) = zone(9);
    let (old, new) = (cname(300, "old.example.net"), cname(300, "new.example.net"));
    let traffic = Traffic::new(&mut k, old.key.clone(), 600, 250, &[old.clone().into()]);
    zone.traffic.push(traffic);
    assert_eq!(zone.requests(k.now, &old.data), Some(600));
    assert_eq!(
        zone.requests(k.now, &new.data),
        None,
        "nobody was ever sent there: no data, not zero"
    );
    zone.apply(&mut k, &swap(&old, &new)).expect("current values");
    let mut last = 600;
    for minute in 1..70 {
        let now = plus(k.now, minute * 60_000);
        let (left, moved) = (zone.requests(now, &old.data), zone.requests(now, &new.data));
        let (left, moved) = (left.expect("it was sent there"), moved.expect("it is"));
        assert!(left <= last, "minute {minute}: {left} after {last}");
        // Each share is rounded up.
        assert!(
            (600..=601).contains(&(left + moved)),
            "minute {minute}: {left} + {moved}"
        );
        last = left;
    }
    assert_eq!(last, 0);
}

/// The judge of the skipping in a resolver's refreshes: every look-up by hand.
#[test]
fn skipping_look_ups_changes_nothing() {
    for seed in 0..30 {
        let (mut k, mut zone) = zone(seed);
        let (old, new) = (cname(7, "old.example.net"), cname(11, "new.example.net"));
        zone.put(old.clone());
        let mut fine = zone.clone();
        let traffic = Traffic::new(&mut k, old.key.clone(), 100, 40, &[old.clone().into()]);
        zone.traffic.push(traffic.clone());
        fine.traffic.push(traffic);
        let mut other = k.clone();
        for second in 0..50 {
            let _ = fine.requests(plus(START, second * 1_000), &old.data);
        }
        (k.now, other.now) = (plus(START, 50_000), plus(START, 50_000));
        zone.apply(&mut k, &swap(&old, &new)).expect("current values");
        fine.apply(&mut other, &swap(&old, &new)).expect("current values");
        for second in 50..400 {
            let _ = fine.requests(plus(START, second * 1_000), &old.data);
        }
        let end = plus(START, 400_000);
        assert_eq!(zone.requests(end, &old.data), fine.requests(end, &old.data));
        let (one, two) = (
            serde_json::to_string(&zone.traffic),
            serde_json::to_string(&fine.traffic),
        );
        assert_eq!(one.expect("plain data"), two.expect("plain data"), "seed {seed}");
    }
}
