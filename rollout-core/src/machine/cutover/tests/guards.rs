//! What is let in, what counts, and when: one guard after the other.

use super::directed::{new, new_low, old, old_low, restore, seen, to_drain, to_swap, to_watch, written};
use super::*;
use crate::machine::cutover::flow::{same_record, says};

#[test]
fn a_record_without_a_value_is_refused_without_a_look() {
    let goal = Goal::Move {
        to: RecordData::Values {
            ttl: 300,
            values: Vec::new(),
        },
        lowered_ttl: 60,
    };
    let mut hand = Hand::new(spec(goal));
    assert_eq!(hand.give(Event::Start), []);
    assert_eq!(hand.cause(), ("refused", Cause::CallFailed));
}

#[test]
fn a_restore_from_another_records_snapshot_is_stuck_without_a_look() {
    let mut original = snap(1, Some(old()), None);
    if let Some(record) = &mut original.record {
        record.key.set_identifier = Some("blue".to_owned());
    }
    let goal = Goal::Restore {
        original: Box::new(original),
        ours: vec![written(7, new())],
    };
    let mut hand = Hand::new(spec(goal));
    assert_eq!(hand.give(Event::Start), []);
    assert_eq!(hand.stuck(), StuckReason::DnsUnwritable);
}

#[test]
fn a_snapshot_of_another_record_or_with_another_marker_is_refused() {
    let hand = Hand::started(spec(to_value()));
    let mut record = snap(hand.now, Some(old()), None);
    if let Some(record) = &mut record.record {
        record.key.record_type = RecordType::Aaaa;
    }
    let mut other_marker = marker(1);
    other_marker.key.name = "_rollout.other.example.com".parse().expect("a valid name");
    for seen in [record, snap(hand.now, Some(old()), Some(other_marker))] {
        let mut walk = hand.walk.clone();
        let given = walk.give(secs(hand.now), Event::SnapshotTaken(Box::new(seen.clone())));
        assert!(given.is_err(), "{seen:?}");
    }
}

#[test]
fn an_early_elapsed_leaves_a_call_under_way() {
    let mut hand = Hand::started(spec(to_value()));
    hand.now += 9;
    assert_eq!(hand.give(Event::Elapsed), []);
    assert_eq!(hand.snapshot(old(), None), [look_at(new())], "its answer counts");
}

#[test]
fn what_was_seen_before_it_was_asked_for_does_not_count() {
    let mut hand = Hand::started(spec(to_value()));
    assert_eq!(hand.give(snapshot(hand.now - 1, Some(old()), None)), []);
    assert_eq!(hand.elapse(Wait::Retry), [read()]);

    let mut hand = to_drain(spec(to_value()));
    hand.give(traffic(hand.now - 1, Some(0)));
    assert_eq!(
        hand.walk.machine.deadline().map(|deadline| deadline.why),
        Some(Wait::Retry)
    );
    let mut hand = to_drain(spec(to_value()));
    hand.give(traffic(hand.now + 1, Some(0)));
    assert_eq!(
        hand.walk.machine.deadline().map(|deadline| deadline.why),
        Some(Wait::Drain)
    );
}

#[test]
fn a_restore_is_not_aborted_while_it_looks() {
    let mut hand = Hand::started(restore());
    assert_eq!(hand.give(Event::Abort), []);
    assert_eq!(hand.snapshot(new(), None), [look_at(old())]);
}

#[test]
fn a_ttl_that_is_low_already_is_not_lowered() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old_low(), None);
    assert_eq!(hand.walk.machine.state_kind(), StateKind::CheckingTarget);
    hand.healthy();
    let batch = write(&seen(&hand, old_low(), None), new_low(), 1);
    assert_eq!(hand.snapshot(old_low(), None), [batch]);
}

#[test]
fn a_target_that_need_not_be_healthy_is_not_looked_at_in_the_watch() {
    let mut waived = spec(to_value());
    waived.allow_unhealthy_target = true;
    let mut hand = Hand::started(waived);
    hand.snapshot(old_low(), None);
    hand.snapshot(old_low(), None);
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    let agreed = hand.now;
    let effects = hand.elapse(Wait::Watch);
    assert_eq!(hand.now, agreed + 60, "one wait, to the end");
    assert_eq!(effects, [Effect::SeeOldTraffic { data: old_low() }]);
}

#[test]
fn a_watch_of_no_length_is_none() {
    let mut hand = to_swap(spec(to_value()));
    let unwatched = Policy {
        watch: Duration::ZERO,
        ..policy()
    };
    let mut again = Walk::new(Cutover::new(spec(to_value()), unwatched));
    for (now, event, _) in std::mem::take(&mut hand.walk.steps) {
        again.give(now, event).expect("the watch comes later");
    }
    hand.walk = again;
    hand.give(Event::Applied(change("C2")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    assert_eq!(hand.walk.machine.state_kind(), StateKind::ExpiringCaches);
}

#[test]
fn a_created_record_has_no_old_answer_to_wait_for() {
    let mut hand = Hand::started(spec(to_value()));
    hand.give(snapshot(hand.now, None, None));
    hand.healthy();
    hand.give(snapshot(hand.now, None, None));
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    while hand.walk.machine.state_kind() == StateKind::Watching {
        hand.elapse(Wait::Watch);
        hand.healthy();
    }
    assert_eq!(hand.walk.machine.state_kind(), StateKind::RestoringTtl);
}

#[test]
fn what_a_record_says_is_all_of_it() {
    let follows = |follows: bool| match alias("old.elb.example.com") {
        RecordData::Alias { target, zone, .. } => RecordData::Alias {
            target,
            zone,
            evaluate_target_health: follows,
        },
        values @ RecordData::Values { .. } => values,
    };
    assert!(says(&follows(true), &follows(true)));
    assert!(
        !says(&follows(true), &follows(false)),
        "whether it follows its target's health"
    );
    assert!(!says(&old(), &old_low()), "its TTL");
    assert!(!says(&old(), &new()), "its target");

    let one = record(old());
    assert!(same_record(&one, &one));
    let mut heavier = one.clone();
    heavier.weight = Some(10);
    let mut other = one.clone();
    other.key.set_identifier = Some("blue".to_owned());
    for different in [heavier, other, record(new())] {
        assert!(!same_record(&one, &different), "{different:?}");
    }
}

#[test]
fn a_watch_ends_on_a_good_look_after_its_end() {
    let mut hand = to_watch(spec(to_value()));
    let began = hand.now;
    while hand.now < began + 60 {
        hand.elapse(Wait::Watch);
        let health = (hand.now < began + 60).then_some(true);
        hand.give(check(hand.now, health));
    }
    assert_eq!(
        hand.walk.machine.state_kind(),
        StateKind::Watching,
        "the last look was bad"
    );
    hand.elapse(Wait::Watch);
    hand.healthy();
    assert_eq!(hand.walk.machine.state_kind(), StateKind::Draining);
}
