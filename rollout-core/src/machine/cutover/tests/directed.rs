//! Transition tests with exact effects.

use super::*;

pub(super) fn old() -> RecordData {
    values(300, "10.0.0.1")
}
pub(super) fn old_low() -> RecordData {
    values(60, "10.0.0.1")
}
pub(super) fn new_low() -> RecordData {
    values(60, "10.0.0.2")
}
pub(super) fn new() -> RecordData {
    values(300, "10.0.0.2")
}
pub(super) fn seen(hand: &Hand, data: RecordData, marker: Option<Record>) -> Snapshot {
    snap(hand.now, Some(data), marker)
}

/// Up to the swap's batch having been said, for a value record with TTL 300.
pub(super) fn to_swap(spec: Spec) -> Hand {
    let mut hand = Hand::started(spec);
    assert_eq!(hand.snapshot(old(), None), [look_at(new())]);
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, old(), None), old_low(), 1);
    assert_eq!(hand.snapshot(old(), None), [batch]);
    assert_eq!(hand.give(Event::Applied(change("C1"))), []);
    let look = Effect::SeePropagation { change: change("C1") };
    assert_eq!(hand.elapse(Wait::Propagation), std::slice::from_ref(&look));
    assert_eq!(hand.give(PENDING), []);
    assert_eq!(hand.elapse(Wait::Propagation), [look]);
    let in_sync = hand.now;
    assert_eq!(hand.give(IN_SYNC), []);
    assert_eq!(
        hand.elapse(Wait::OldTtl),
        [look_at(new())],
        "the check comes after the wait"
    );
    assert_eq!(hand.now, in_sync + 300, "the old TTL counts from INSYNC");
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, old_low(), Some(marker(1))), new_low(), 2);
    assert_eq!(hand.snapshot(old_low(), Some(marker(1))), [batch]);
    hand
}

pub(super) fn to_watch(spec: Spec) -> Hand {
    let mut hand = to_swap(spec);
    assert_eq!(hand.give(Event::Applied(change("C2"))), []);
    assert_eq!(
        hand.elapse(Wait::Propagation),
        [Effect::SeePropagation { change: change("C2") }]
    );
    assert_eq!(hand.give(IN_SYNC), [servers(new_low())]);
    assert_eq!(hand.all_agree(), []);
    hand
}

/// Up to the first count of the old side's requests.
pub(super) fn to_drain(spec: Spec) -> Hand {
    let mut hand = to_watch(spec);
    let in_sync = hand.now;
    for _ in 0..2 {
        assert_eq!(hand.elapse(Wait::Watch), [look_at(new())]);
        assert_eq!(hand.healthy(), []);
    }
    assert_eq!(hand.elapse(Wait::Watch), [look_at(new())]);
    // The watch was as long as the lowered TTL: caches have nothing old left.
    assert_eq!(hand.now, in_sync + 60);
    assert_eq!(hand.healthy(), [Effect::SeeOldTraffic { data: old() }]);
    hand
}

#[test]
fn a_value_record_moves_in_full() {
    let mut hand = to_drain(spec(to_value()));
    let count = Effect::SeeOldTraffic { data: old() };
    for n in 0..6 {
        let over = if n == 2 { 6 } else { 5 };
        assert_eq!(hand.give(traffic(hand.now, Some(over))), [], "sample {n}");
        assert_eq!(hand.elapse(Wait::Drain), std::slice::from_ref(&count));
    }
    // The run began anew at sample 3; its seventh sample ends it.
    for _ in 6..9 {
        assert_eq!(hand.give(traffic(hand.now, Some(0))), []);
        hand.elapse(Wait::Drain);
    }
    assert_eq!(hand.give(traffic(hand.now, Some(0))), [look_at(new())]);
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, new_low(), Some(marker(2))), new(), 3);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [batch]);
    hand.give(Event::Applied(change("C3")));
    hand.elapse(Wait::Propagation);
    assert_eq!(hand.give(IN_SYNC), [servers(new())]);
    assert_eq!(hand.all_agree(), []);
    match hand.outcome() {
        Outcome::Moved {
            original,
            now,
            drained,
            evidence,
            ..
        } => {
            assert_eq!(original.record, Some(record(old())));
            assert_eq!(now.data, new());
            assert!(drained);
            assert!(!evidence.is_empty());
        }
        other @ (Outcome::Refused(_) | Outcome::Reverted(_) | Outcome::Superseded(_) | Outcome::Stuck(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn an_alias_has_no_ttl_to_lower_and_counts_as_60_seconds() {
    let goal = Goal::Move {
        to: alias("new.elb.example.com"),
        lowered_ttl: 30,
    };
    let mut hand = Hand::started(spec(goal));
    let (from, to) = (alias("old.elb.example.com"), alias("new.elb.example.com"));
    assert_eq!(hand.snapshot(from.clone(), None), [look_at(to.clone())]);
    assert!(!hand.walk.machine.touched());
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, from.clone(), None), to.clone(), 1);
    assert_eq!(hand.snapshot(from.clone(), None), [batch]);
    assert!(hand.walk.machine.touched());
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    let in_sync = hand.now;
    assert_eq!(hand.give(IN_SYNC), [servers(to.clone())]);
    // Only what answered counts, and something must have.
    assert_eq!(hand.give(answers(hand.now, &[None, None])), []);
    assert_eq!(hand.elapse(Wait::Poll), [servers(to.clone())]);
    assert_eq!(hand.give(answers(hand.now, &[Some(true), Some(false)])), []);
    assert_eq!(hand.elapse(Wait::Poll), [servers(to.clone())]);
    assert_eq!(hand.all_agree(), []);
    while hand.walk.machine.state_kind() == StateKind::Watching {
        assert_eq!(hand.elapse(Wait::Watch), [look_at(to.clone())]);
        hand.healthy();
    }
    assert!(hand.now >= in_sync + 60);
    let Effect::SeeOldTraffic { data } = hand.walk.steps.last().expect("steps").2[0].clone() else {
        panic!("{:?}", hand.walk.steps.last());
    };
    assert_eq!(data, from);
    // No data is not zero: it is never drained, and the cutover says so.
    while hand.walk.machine.outcome().is_none() {
        hand.give(traffic(hand.now, None));
        assert!(hand.walk.steps.len() < 500, "it never ends");
        if hand.walk.machine.outcome().is_none() {
            hand.elapse(Wait::Drain);
        }
    }
    assert!(matches!(hand.outcome(), Outcome::Moved { drained: false, .. }));
}

#[test]
fn a_record_that_says_it_already_is_only_verified() {
    let mut hand = Hand::started(spec(to_value()));
    assert_eq!(hand.snapshot(new(), None), [servers(new())]);
    assert_eq!(hand.all_agree(), []);
    assert!(matches!(hand.outcome(), Outcome::Moved { drained: false, .. }));
    assert!(!hand.walk.machine.touched());

    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(new(), None);
    while hand.walk.machine.outcome().is_none() {
        hand.give(answers(hand.now, &[Some(false)]));
        assert!(hand.walk.steps.len() < 500, "it never ends");
        if hand.walk.machine.outcome().is_none() {
            hand.elapse(Wait::Poll);
        }
    }
    assert_eq!(hand.cause(), ("refused", Cause::WrongAnswer));
}

#[test]
fn the_right_target_with_another_ttl_is_one_write() {
    let mut hand = Hand::started(spec(to_value()));
    assert_eq!(hand.snapshot(new_low(), None), [look_at(new())]);
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, new_low(), None), new(), 1);
    assert_eq!(hand.snapshot(new_low(), None), [batch]);
}

#[test]
fn a_target_that_is_unhealthy_or_unknown_stops_it_before_any_write() {
    for health in [Some(false), None] {
        let mut hand = Hand::started(spec(to_value()));
        hand.snapshot(old(), None);
        assert_eq!(hand.give(check(hand.now, health)), []);
        assert_eq!(hand.cause(), ("refused", Cause::TargetUnhealthy));
    }
}

#[test]
fn a_check_from_before_the_wait_does_not_count() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    assert_eq!(hand.give(check(hand.now - 1, Some(true))), []);
    assert_eq!(hand.elapse(Wait::Retry), [look_at(new())]);
}

#[test]
fn a_plan_may_waive_the_check_by_name() {
    let mut spec = spec(to_value());
    spec.allow_unhealthy_target = true;
    let mut hand = Hand::started(spec);
    assert_eq!(hand.snapshot(old(), None), [read()]);
}

/// Goes back from where the hand stands, with `data` in the zone under `generation`.
pub(super) fn goes_back(hand: &mut Hand, first: &[Effect], data: &RecordData, generation: u64) {
    let mut effects = first.to_vec();
    if effects == [look_at(old())] {
        effects = hand.healthy();
    }
    assert_eq!(effects, [read()]);
    let batch = write(
        &seen(hand, data.clone(), Some(marker(generation))),
        old(),
        generation + 1,
    );
    assert_eq!(hand.snapshot(data.clone(), Some(marker(generation))), [batch]);
    assert_eq!(hand.give(Event::Abort), [], "it is on its way back already");
    hand.give(Event::Applied(change("CB")));
    hand.elapse(Wait::Propagation);
    assert_eq!(hand.give(IN_SYNC), [servers(old())]);
    assert_eq!(hand.all_agree(), []);
}

#[test]
fn a_target_that_fails_after_the_wait_gives_the_ttl_back() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.elapse(Wait::OldTtl);
    let effects = hand.give(check(hand.now, Some(false)));
    assert_eq!(
        effects,
        [read()],
        "the record still points at the old target: nothing to check"
    );
    goes_back(&mut hand, &effects, &old_low(), 1);
    assert_eq!(hand.cause(), ("reverted", Cause::TargetUnhealthy));
}

/// A runner that slept past the end of its patience has an answer from before: it asks once more before it gives up.
#[test]
fn a_runner_that_slept_asks_once_more_before_it_gives_a_change_up() {
    let look = |id: &str| [Effect::SeePropagation { change: change(id) }];
    let mut hand = to_swap(spec(to_value()));
    hand.give(Event::Applied(change("C2")));
    assert_eq!(hand.elapse(Wait::Propagation), look("C2"));
    hand.now += 900;
    assert_eq!(hand.give(PENDING), []);
    assert_eq!(hand.elapse(Wait::Propagation), look("C2"));
    assert_eq!(hand.give(IN_SYNC), [servers(new_low())]);
    // The same where the servers are asked.
    hand.now += 900;
    assert_eq!(hand.give(answers(hand.now - 900, &[Some(false)])), []);
    assert_eq!(hand.elapse(Wait::Poll), [servers(new_low())]);
    assert_eq!(hand.all_agree(), []);
    hand.elapse(Wait::Watch);
}

#[test]
fn a_change_that_is_never_insync_is_taken_back() {
    let mut hand = to_swap(spec(to_value()));
    hand.give(Event::Applied(change("C2")));
    let began = hand.now;
    let mut pauses = Vec::new();
    let effects = loop {
        let before = hand.now;
        assert!(pauses.len() < 50, "it never ends");
        hand.elapse(Wait::Propagation);
        pauses.push(hand.now - before);
        let effects = hand.give(PENDING);
        if !effects.is_empty() {
            break effects;
        }
    };
    let minute = vec![2; 30];
    assert_eq!(pauses, [&minute[..], &[4, 8, 16, 20, 20, 20, 20, 12]].concat());
    assert_eq!(hand.now, began + 180);
    assert_eq!(effects, [look_at(old())]);
    goes_back(&mut hand, &effects, &new_low(), 2);
    assert_eq!(hand.cause(), ("reverted", Cause::PropagationTimeout));
}

#[test]
fn wrong_answers_send_it_back() {
    let mut hand = to_swap(spec(to_value()));
    hand.give(Event::Applied(change("C2")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    let effects = loop {
        let effects = hand.give(answers(hand.now, &[Some(true), Some(false)]));
        if !effects.is_empty() {
            break effects;
        }
        hand.elapse(Wait::Poll);
    };
    goes_back(&mut hand, &effects, &new_low(), 2);
    assert_eq!(hand.cause(), ("reverted", Cause::WrongAnswer));
}

#[test]
fn the_watch_sends_it_back_after_consecutive_bad_looks() {
    let mut hand = to_watch(spec(to_value()));
    let mut effects = Vec::new();
    for health in [Some(false), Some(true), None, Some(false), None] {
        assert_eq!(effects, []);
        hand.elapse(Wait::Watch);
        effects = hand.give(check(hand.now, health));
    }
    assert_eq!(effects, [look_at(old())], "the old target is checked first");
    goes_back(&mut hand, &effects, &new_low(), 2);
    assert_eq!(hand.cause(), ("reverted", Cause::TargetUnhealthy));
}

#[test]
fn an_unhealthy_old_target_is_not_gone_back_to() {
    let mut hand = to_watch(spec(to_value()));
    for _ in 0..3 {
        hand.elapse(Wait::Watch);
        hand.give(check(hand.now, Some(false)));
    }
    for _ in 0..4 {
        assert_eq!(hand.give(check(hand.now, Some(false))), []);
        if hand.walk.machine.outcome().is_none() {
            assert_eq!(hand.elapse(Wait::Retry), [look_at(old())]);
        }
    }
    assert_eq!(hand.stuck(), StuckReason::NoHealthyTarget);
    assert!(hand.walk.machine.touched());
}

#[test]
fn a_foreign_change_is_yielded_to() {
    for foreign in [
        (values(60, "10.9.9.9"), Some(marker(1))),
        (old_low(), None),
        (old_low(), Some(marker(9))),
    ] {
        let mut hand = Hand::started(spec(to_value()));
        hand.snapshot(old(), None);
        hand.healthy();
        hand.snapshot(old(), None);
        hand.give(Event::Applied(change("C1")));
        hand.elapse(Wait::Propagation);
        hand.give(IN_SYNC);
        hand.elapse(Wait::OldTtl);
        hand.healthy();
        assert_eq!(hand.snapshot(foreign.0, foreign.1), []);
        assert_eq!(hand.cause(), ("superseded", Cause::DnsConflict));
    }
}

#[test]
fn a_read_that_is_behind_is_read_again() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.elapse(Wait::OldTtl);
    hand.healthy();
    assert_eq!(hand.snapshot(old(), None), [], "the record from before our write");
    assert_eq!(hand.elapse(Wait::Retry), [look_at(new())], "with a new check");
    hand.healthy();
    assert_eq!(hand.snapshot(old_low(), Some(marker(1))).len(), 1);
}

#[test]
fn a_lost_answer_to_a_write_is_looked_into_and_written_over() {
    // It landed: the same values again, for a change id whose INSYNC can be seen.
    let mut hand = to_swap(spec(to_value()));
    assert_eq!(hand.elapse(Wait::Answer), []);
    assert_eq!(hand.elapse(Wait::Retry), [look_at(new())]);
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, new_low(), Some(marker(2))), new_low(), 3);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [batch]);

    // It did not: a higher generation, so that the lost one cannot land after it.
    let mut hand = to_swap(spec(to_value()));
    hand.give(error(ErrorKind::Unavailable, Retry::Exhausted, Applied::Maybe));
    hand.elapse(Wait::Retry);
    hand.healthy();
    let batch = write(&seen(&hand, old_low(), Some(marker(1))), new_low(), 3);
    assert_eq!(hand.snapshot(old_low(), Some(marker(1))), [batch]);
}

#[test]
fn a_conflict_is_looked_into() {
    let mut hand = to_swap(spec(to_value()));
    assert_eq!(
        hand.give(error(ErrorKind::Conflict, Retry::Never, Applied::No)),
        []
    );
    hand.elapse(Wait::Retry);
    hand.healthy();
    assert_eq!(hand.snapshot(values(60, "10.9.9.9"), None), []);
    assert_eq!(hand.cause(), ("superseded", Cause::DnsConflict));
}

#[test]
fn a_write_that_arrived_twice_is_no_conflict_with_someone_else() {
    let mut hand = to_swap(spec(to_value()));
    // The first of the two was applied, the second was answered.
    hand.give(error(ErrorKind::Conflict, Retry::Never, Applied::No));
    hand.elapse(Wait::Retry);
    hand.healthy();
    let batch = write(&seen(&hand, new_low(), Some(marker(2))), new_low(), 3);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [batch]);

    // Its generation with other data is somebody else's.
    let mut hand = to_swap(spec(to_value()));
    hand.give(error(ErrorKind::Conflict, Retry::Never, Applied::No));
    hand.elapse(Wait::Retry);
    hand.healthy();
    assert_eq!(hand.snapshot(values(60, "10.9.9.9"), Some(marker(2))), []);
    assert_eq!(hand.cause(), ("superseded", Cause::DnsConflict));
}

#[test]
fn a_write_that_is_denied_ends_it_and_leaves_nothing() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    assert!(hand.walk.machine.touched());
    hand.give(error(ErrorKind::PermissionDenied, Retry::Never, Applied::No));
    assert_eq!(hand.cause(), ("refused", Cause::PermissionDenied));
    assert!(!hand.walk.machine.touched());
}

#[test]
fn an_abort_with_a_write_of_unknown_fate_writes_the_original_over_it() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    assert_eq!(hand.give(Event::Abort), [], "the answer is waited for");
    assert_eq!(hand.elapse(Wait::Answer), [read()]);
    let batch = write(&seen(&hand, old(), None), old(), 2);
    assert_eq!(
        hand.snapshot(old(), None),
        [batch],
        "a fence against the lost write"
    );
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    assert_eq!(hand.give(IN_SYNC), [servers(old())]);
    hand.all_agree();
    assert_eq!(hand.cause(), ("reverted", Cause::Aborted));
}

#[test]
fn an_abort_before_any_write_refuses() {
    let mut hand = Hand::new(spec(to_value()));
    hand.give(Event::Abort);
    assert_eq!(hand.cause(), ("refused", Cause::Aborted));
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.give(Event::Abort);
    assert_eq!(hand.cause(), ("refused", Cause::Aborted));
}

#[test]
fn an_abort_in_the_wait_goes_back_at_once() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    let effects = hand.give(Event::Abort);
    goes_back(&mut hand, &effects, &old_low(), 1);
    assert_eq!(hand.cause(), ("reverted", Cause::Aborted));
}

#[test]
fn a_created_record_cannot_be_taken_back() {
    let mut hand = Hand::started(spec(to_value()));
    assert_eq!(hand.give(snapshot(hand.now, None, None)), [look_at(new())]);
    hand.healthy();
    let batch = write(&snap(hand.now, None, None), new_low(), 1);
    assert_eq!(hand.give(snapshot(hand.now, None, None)), [batch]);
    hand.give(Event::Applied(change("C1")));
    hand.give(Event::Abort);
    assert_eq!(hand.stuck(), StuckReason::DnsUnwritable);
    let Outcome::Stuck(stuck) = hand.outcome() else {
        panic!("stuck")
    };
    assert_eq!(
        stuck.next[1],
        "aws route53 change-resource-record-sets --hosted-zone-id Z1 --change-batch '{\"Changes\":[\
         {\"Action\":\"DELETE\",\"ResourceRecordSet\":{\"Name\":\"api.example.com\",\"ResourceRecords\":[{\"Value\":\"10.0.0.2\"}],\
         \"TTL\":60,\"Type\":\"A\"}},\
         {\"Action\":\"DELETE\",\"ResourceRecordSet\":{\"Name\":\"_rollout.api.example.com\",\"ResourceRecords\":\
         [{\"Value\":\"\\\"generation=1 run=r-1\\\"\"}],\"TTL\":60,\"Type\":\"TXT\"}}]}'"
    );
}

#[test]
fn an_alias_of_another_type_is_refused_without_a_look() {
    let mut spec = spec(Goal::Move {
        to: alias("new.elb.example.com"),
        lowered_ttl: 60,
    });
    spec.key.record_type = RecordType::Cname;
    let mut hand = Hand::new(spec);
    assert_eq!(hand.give(Event::Start), []);
    assert_eq!(hand.cause(), ("refused", Cause::CallFailed));
}

#[test]
fn a_ttl_that_cannot_be_restored_does_not_undo_the_move() {
    let mut spec = spec(to_value());
    spec.drain = None;
    let mut hand = to_watch(spec);
    while hand.walk.machine.state_kind() == StateKind::Watching {
        hand.elapse(Wait::Watch);
        hand.healthy();
    }
    hand.healthy();
    hand.snapshot(new_low(), Some(marker(2)));
    hand.give(error(ErrorKind::PermissionDenied, Retry::Never, Applied::No));
    match hand.outcome() {
        Outcome::Moved { now, evidence, .. } => {
            assert_eq!(now.data, new_low());
            assert!(evidence.iter().any(|e| e.detail.contains("TTL was not restored")));
        }
        other @ (Outcome::Refused(_) | Outcome::Reverted(_) | Outcome::Superseded(_) | Outcome::Stuck(_)) => {
            panic!("{other:?}")
        }
    }
}

pub(super) fn restore() -> Spec {
    spec(Goal::Restore {
        original: Box::new(snap(1, Some(old()), None)),
        ours: vec![written(7, new())],
    })
}

pub(super) fn written(generation: u64, data: RecordData) -> Written {
    Written {
        generation: Generation(generation),
        data,
    }
}

#[test]
fn a_restore_checks_the_old_target_and_puts_the_record_back() {
    let mut hand = Hand::started(restore());
    assert_eq!(hand.snapshot(new(), Some(marker(7))), [look_at(old())]);
    assert_eq!(hand.give(Event::Abort), [], "a way back is not aborted");
    assert_eq!(hand.healthy(), [read()]);
    let batch = write(&seen(&hand, new(), Some(marker(7))), old(), 8);
    assert_eq!(hand.snapshot(new(), Some(marker(7))), [batch]);
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    let in_sync = hand.now;
    assert_eq!(hand.give(IN_SYNC), [servers(old())]);
    hand.now += 3;
    hand.all_agree();
    match hand.outcome() {
        Outcome::Moved {
            original,
            now,
            in_sync_at,
            drained,
            ..
        } => {
            assert_eq!(original.record, Some(record(new())));
            assert_eq!((now.data, in_sync_at, drained), (old(), secs(in_sync), false));
        }
        other @ (Outcome::Refused(_) | Outcome::Reverted(_) | Outcome::Superseded(_) | Outcome::Stuck(_)) => {
            panic!("{other:?}")
        }
    }
}

#[test]
fn a_restore_of_what_is_there_only_verifies_and_of_something_else_yields() {
    let mut hand = Hand::started(restore());
    assert_eq!(hand.snapshot(old(), Some(marker(7))), [servers(old())]);
    hand.all_agree();
    assert!(matches!(hand.outcome(), Outcome::Moved { .. }));
    assert!(!hand.walk.machine.touched());

    let mut hand = Hand::started(restore());
    assert_eq!(hand.snapshot(values(60, "10.9.9.9"), None), []);
    assert_eq!(hand.cause(), ("superseded", Cause::DnsConflict));

    let mut hand = Hand::started(restore());
    hand.snapshot(new(), None);
    while hand.walk.machine.outcome().is_none() {
        hand.give(check(hand.now, None));
        assert!(hand.walk.steps.len() < 500, "it never ends");
        if hand.walk.machine.outcome().is_none() {
            hand.elapse(Wait::Retry);
        }
    }
    assert_eq!(hand.stuck(), StuckReason::NoHealthyTarget);
    assert!(!hand.walk.machine.touched());
}

/// What the way forward wrote last may still land, or have lowered the TTL only.
#[test]
fn a_restore_knows_every_write_of_the_way_forward() {
    let ours = || {
        spec(Goal::Restore {
            original: Box::new(snap(1, Some(old()), None)),
            ours: vec![written(1, old_low()), written(2, new_low())],
        })
    };
    // The swap may still land over the original: it is made to fail.
    for present in [old(), old_low()] {
        let mut hand = Hand::started(ours());
        assert_eq!(hand.snapshot(present.clone(), Some(marker(1))), [look_at(old())]);
        assert_eq!(hand.healthy(), [read()]);
        let batch = write(&seen(&hand, present.clone(), Some(marker(1))), old(), 2);
        assert_eq!(
            hand.snapshot(present.clone(), Some(marker(1))),
            [batch],
            "{present:?}"
        );
    }
    // It lands between the two looks: it is ours, and is taken back.
    let mut hand = Hand::started(ours());
    hand.snapshot(old_low(), Some(marker(1)));
    hand.healthy();
    let batch = write(&seen(&hand, new_low(), Some(marker(2))), old(), 3);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [batch]);
    // A read from before it is no one else's change.
    let mut hand = Hand::started(ours());
    hand.snapshot(new_low(), Some(marker(2)));
    hand.healthy();
    assert_eq!(hand.snapshot(old(), None), []);
    assert_eq!(hand.elapse(Wait::Retry), [look_at(old())]);
    // It is applied or over: there is nothing to write.
    let mut hand = Hand::started(ours());
    assert_eq!(hand.snapshot(old(), Some(marker(2))), [servers(old())]);
}

#[test]
fn a_record_that_we_created_stays_and_the_command_that_removes_it_is_named() {
    let mut hand = Hand::started(spec(Goal::Restore {
        original: Box::new(snap(1, None, None)),
        ours: vec![written(1, new())],
    }));
    assert_eq!(hand.snapshot(new(), Some(marker(1))), []);
    assert_eq!(hand.stuck(), StuckReason::NoLastKnownGood);
    let Outcome::Stuck(stuck) = hand.outcome() else {
        unreachable!()
    };
    let removes = |next: &String| next.contains("DELETE") && !next.contains("CREATE");
    assert!(stuck.next.iter().any(removes), "{:?}", stuck.next);
}

/// The zone has taken the first of two; the answer is the second's.
#[test]
fn an_abort_that_meets_a_write_that_arrived_twice_goes_back() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    assert_eq!(hand.give(Event::Abort), []);
    let refused = error(ErrorKind::Conflict, Retry::Never, Applied::No);
    assert_eq!(hand.give(refused), [read()]);
    let batch = write(&seen(&hand, old_low(), Some(marker(1))), old(), 2);
    assert_eq!(hand.snapshot(old_low(), Some(marker(1))), [batch]);
}

#[test]
fn what_was_written_is_told_for_the_way_back() {
    let mut hand = to_swap(spec(to_value()));
    assert_eq!(hand.walk.machine.undo(), None, "it is under way");
    hand.give(Event::Applied(change("C2")));
    hand.give(Event::Abort);
    while hand.walk.machine.outcome().is_none() {
        assert!(hand.walk.steps.len() < 500, "it never ends");
        hand.give(error(ErrorKind::PermissionDenied, Retry::Never, Applied::No));
    }
    let (before, ours) = hand.walk.machine.undo().expect("it was written");
    assert_eq!(before.record, Some(record(old())));
    assert_eq!(ours, [written(1, old_low()), written(2, new_low())]);
}

#[test]
fn an_answer_about_another_record_is_refused() {
    let mut hand = Hand::started(spec(to_value()));
    let mut other = snap(hand.now, Some(old()), None);
    other.zone = "Z2".parse().expect("a valid id");
    let refused = hand
        .walk
        .give(secs(hand.now), Event::SnapshotTaken(Box::new(other)))
        .expect_err("another zone");
    assert!(refused.why.contains("Z2"), "{refused}");
}

#[test]
fn an_early_elapsed_changes_nothing_and_a_late_sample_begins_the_drain_anew() {
    let mut hand = to_drain(spec(to_value()));
    hand.give(traffic(hand.now, Some(0)));
    assert_eq!(hand.give(Event::Elapsed), []);
    // The driver slept through the whole hold time: two low samples with nothing seen between them.
    hand.now += 500;
    hand.give(Event::Elapsed);
    assert_eq!(hand.give(traffic(hand.now, Some(0))), []);
    assert_eq!(hand.walk.machine.state_kind(), StateKind::Draining);
}

#[test]
fn an_abort_does_not_forget_a_write_that_may_have_been_applied() {
    for applied in [Applied::Maybe, Applied::Yes] {
        let mut hand = Hand::started(spec(to_value()));
        hand.snapshot(old(), None);
        hand.healthy();
        hand.snapshot(old(), None);
        hand.give(Event::Abort);
        assert_eq!(
            hand.give(error(ErrorKind::Unavailable, Retry::Never, applied)),
            [read()]
        );
        assert!(hand.walk.machine.touched());
    }
    // A write that was certainly refused leaves nothing to take back.
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    hand.healthy();
    hand.snapshot(old(), None);
    hand.give(Event::Abort);
    assert_eq!(
        hand.give(error(ErrorKind::Throttled, Retry::Later, Applied::No)),
        []
    );
    assert_eq!(hand.cause(), ("refused", Cause::Aborted));
}

#[test]
fn after_a_lost_answer_an_error_may_be_another_calls() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(old(), None);
    // The check is not answered in time; its error comes when the write is under way.
    hand.elapse(Wait::Answer);
    hand.elapse(Wait::Retry);
    hand.healthy();
    hand.snapshot(old(), None);
    let effects = hand.give(error(ErrorKind::PermissionDenied, Retry::Never, Applied::No));
    assert_eq!(
        effects,
        [read()],
        "the write may have been applied all the same: back"
    );
    assert!(hand.walk.machine.touched());
}

#[test]
fn calls_that_keep_failing_end_it() {
    let mut hand = Hand::started(spec(to_value()));
    let mut pauses = Vec::new();
    while hand.walk.machine.outcome().is_none() {
        hand.give(error(ErrorKind::Throttled, Retry::Later, Applied::No));
        if hand.walk.machine.outcome().is_none() {
            let before = hand.now;
            assert!(pauses.len() < 50, "it never ends");
            assert_eq!(hand.elapse(Wait::Retry), [read()]);
            pauses.push(hand.now - before);
        }
    }
    assert_eq!(pauses, [2, 4, 8]);
    assert_eq!(hand.cause(), ("refused", Cause::CallFailed));
}
