//! Calls that fail: what is repeated, for how long, and what the end of it is.

use super::directed::{goes_back, new, new_low, old, old_low, restore, seen, to_drain, to_swap, to_watch};
use super::*;

fn later() -> Event {
    error(ErrorKind::Throttled, Retry::Later, Applied::No)
}

fn denied() -> Event {
    error(ErrorKind::PermissionDenied, Retry::Never, Applied::No)
}

/// The swap applied, and the first look at its spreading under way.
fn spreading() -> Hand {
    let mut hand = to_swap(spec(to_value()));
    hand.give(Event::Applied(change("C2")));
    hand.elapse(Wait::Propagation);
    hand
}

#[test]
fn a_write_that_failed_is_followed_by_a_look_unless_it_certainly_did_nothing_for_good() {
    for follows in [
        later(),
        error(ErrorKind::InvalidRequest, Retry::Never, Applied::Maybe),
        error(ErrorKind::Conflict, Retry::Never, Applied::No),
    ] {
        let mut hand = to_swap(spec(to_value()));
        assert_eq!(hand.give(follows), []);
        assert_eq!(hand.elapse(Wait::Retry), [look_at(new())]);
    }
    let mut hand = to_swap(spec(to_value()));
    assert_eq!(hand.give(denied()), [read()], "only the lowered TTL goes back");
}

#[test]
fn a_change_that_is_not_listed_yet_is_looked_at_again() {
    let look = Effect::SeePropagation { change: change("C2") };
    for again in [later(), error(ErrorKind::NotFound, Retry::Never, Applied::No)] {
        let mut hand = spreading();
        assert_eq!(hand.give(again), []);
        assert_eq!(hand.elapse(Wait::Retry), std::slice::from_ref(&look));
    }
    let mut hand = spreading();
    assert_eq!(hand.give(denied()), [look_at(old())], "it goes back");
}

#[test]
fn a_look_that_fails_when_the_time_is_up_is_the_last() {
    let mut hand = spreading();
    hand.now += 180;
    let effects = hand.give(later());
    assert_eq!(effects, [look_at(old())]);
    goes_back(&mut hand, &effects, &new_low(), 2);
    assert_eq!(hand.cause(), ("reverted", Cause::PropagationTimeout));
}

#[test]
fn a_count_that_keeps_failing_lasts_as_long_as_the_drain() {
    let mut hand = to_drain(spec(to_value()));
    let began = hand.now;
    for _ in 0..6 {
        assert_eq!(hand.give(later()), []);
        hand.elapse(Wait::Retry);
    }
    assert_eq!(hand.walk.machine.state_kind(), StateKind::Draining);
    while hand.walk.machine.state_kind() == StateKind::Draining {
        hand.give(later());
        if hand.walk.machine.state_kind() == StateKind::Draining {
            hand.elapse(Wait::Retry);
        }
    }
    assert_eq!(hand.now, began + 900);
}

/// Reads that are older than what was written, until it is taken for someone's doing.
#[test]
fn a_read_that_stays_behind_is_someone_elses() {
    let mut hand = to_watch(spec(to_value()));
    for _ in 0..3 {
        hand.elapse(Wait::Watch);
        hand.give(check(hand.now, Some(false)));
    }
    for n in 0..4 {
        assert_eq!(hand.healthy(), [read()], "read {n}");
        assert_eq!(hand.snapshot(old_low(), Some(marker(1))), []);
        if n < 3 {
            assert_eq!(hand.elapse(Wait::Retry), [look_at(old())]);
        }
    }
    assert_eq!(hand.cause(), ("superseded", Cause::DnsConflict));
}

/// A repeat of a write, with the same data under a higher generation, that never landed.
#[test]
fn the_same_record_under_an_older_marker_of_ours_is_ours() {
    let mut hand = to_swap(spec(to_value()));
    hand.elapse(Wait::Answer);
    hand.elapse(Wait::Retry);
    hand.healthy();
    let third = write(&seen(&hand, new_low(), Some(marker(2))), new_low(), 3);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [third]);
    hand.give(Event::Applied(change("C3")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    for _ in 0..3 {
        hand.elapse(Wait::Watch);
        hand.give(check(hand.now, Some(false)));
    }
    hand.healthy();
    let fourth = write(&seen(&hand, new_low(), Some(marker(2))), old(), 4);
    assert_eq!(hand.snapshot(new_low(), Some(marker(2))), [fourth]);
}

#[test]
fn a_way_back_that_has_landed_unheard_is_only_verified() {
    let mut hand = Hand::started(restore());
    hand.snapshot(new(), Some(marker(7)));
    hand.healthy();
    hand.snapshot(new(), Some(marker(7)));
    assert_eq!(hand.elapse(Wait::Answer), []);
    assert_eq!(hand.elapse(Wait::Retry), [look_at(old())]);
    hand.healthy();
    assert_eq!(hand.snapshot(old(), Some(marker(8))), [servers(old())]);
}

#[test]
fn a_way_back_over_a_write_that_may_still_land_is_written_again() {
    let mut hand = Hand::started(restore());
    hand.snapshot(new(), Some(marker(7)));
    hand.healthy();
    hand.snapshot(new(), Some(marker(7)));
    hand.elapse(Wait::Answer);
    hand.elapse(Wait::Retry);
    hand.healthy();
    let again = write(&seen(&hand, new(), Some(marker(7))), old(), 9);
    assert_eq!(hand.snapshot(new(), Some(marker(7))), [again]);
}

#[test]
fn after_a_lost_answer_caches_count_from_what_the_servers_say() {
    let mut spec = spec(to_value());
    spec.drain = None;
    let mut hand = to_swap(spec);
    hand.elapse(Wait::Answer);
    hand.elapse(Wait::Retry);
    hand.healthy();
    hand.snapshot(new_low(), Some(marker(2)));
    hand.give(Event::Applied(change("C3")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.now += 4;
    hand.all_agree();
    let agreed = hand.now;
    while hand.walk.machine.state_kind() != StateKind::RestoringTtl {
        let why = hand.walk.machine.deadline().expect("under way").why;
        if !hand.elapse(why).is_empty() {
            hand.healthy();
        }
    }
    assert!(hand.now >= agreed + 60);
    hand.healthy();
    hand.snapshot(new_low(), Some(marker(3)));
    hand.give(Event::Applied(change("C4")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    let Outcome::Moved { in_sync_at, .. } = hand.outcome() else {
        panic!("{:?}", hand.outcome())
    };
    assert_eq!(in_sync_at, secs(agreed), "the TTL alone has changed since");
}

#[test]
fn a_ttl_that_cannot_be_put_right_is_no_move_of_ours() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(new_low(), None);
    hand.healthy();
    hand.snapshot(new_low(), None);
    hand.give(denied());
    assert_eq!(hand.cause(), ("refused", Cause::PermissionDenied));
}

#[test]
fn a_target_that_turns_bad_before_the_ttl_is_put_right_has_as_many_looks_as_in_the_watch() {
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(new_low(), None);
    for _ in 0..2 {
        assert_eq!(hand.give(check(hand.now, Some(false))), []);
        assert_eq!(hand.elapse(Wait::Poll), [look_at(new())]);
    }
    hand.give(check(hand.now, None));
    assert_eq!(hand.cause(), ("refused", Cause::TargetUnhealthy));
}

fn reason(hand: &Hand) -> String {
    match hand.outcome() {
        Outcome::Refused(reason) | Outcome::Reverted(reason) | Outcome::Superseded(reason) => reason.text,
        Outcome::Stuck(stuck) => stuck.text,
        Outcome::Moved { .. } => panic!("it has moved"),
    }
}

#[test]
fn whether_servers_were_silent_or_wrong_is_told() {
    for (said, told) in [
        (vec![], "no authoritative server answered"),
        (vec![Some(false)], "not every authoritative server said"),
    ] {
        let mut hand = Hand::started(spec(to_value()));
        hand.snapshot(new(), None);
        while hand.walk.machine.outcome().is_none() {
            hand.give(answers(hand.now, &said));
            if hand.walk.machine.outcome().is_none() {
                hand.elapse(Wait::Poll);
            }
        }
        assert!(reason(&hand).starts_with(told), "{}", reason(&hand));
    }
}

/// A record that did not exist before, at its new target and watched.
fn created() -> Hand {
    let mut hand = Hand::started(spec(to_value()));
    hand.give(snapshot(hand.now, None, None));
    hand.healthy();
    hand.give(snapshot(hand.now, None, None));
    hand.give(Event::Applied(change("C1")));
    hand.elapse(Wait::Propagation);
    hand.give(IN_SYNC);
    hand.all_agree();
    hand
}

#[test]
fn no_healthy_target_is_a_reason_only_on_the_way_back() {
    let mut hand = created();
    for _ in 0..3 {
        hand.elapse(Wait::Watch);
        hand.give(check(hand.now, Some(false)));
    }
    assert_eq!(hand.stuck(), StuckReason::DnsUnwritable);
    assert!(
        reason(&hand).contains("did not exist before"),
        "{}",
        reason(&hand)
    );

    let mut hand = Hand::started(restore());
    hand.snapshot(old(), Some(marker(7)));
    while hand.walk.machine.outcome().is_none() {
        hand.give(answers(hand.now, &[Some(false)]));
        if hand.walk.machine.outcome().is_none() {
            hand.elapse(Wait::Poll);
        }
    }
    assert_eq!(hand.stuck(), StuckReason::DnsUnwritable);

    let mut hand = Hand::started(restore());
    hand.give(denied());
    assert_eq!(hand.stuck(), StuckReason::PermissionDenied);
}

#[test]
fn a_record_that_is_as_it_was_needs_no_command_to_put_it_back() {
    let commands = |hand: &Hand| match hand.outcome() {
        Outcome::Stuck(stuck) => stuck.next.len(),
        other @ (Outcome::Moved { .. }
        | Outcome::Refused(_)
        | Outcome::Reverted(_)
        | Outcome::Superseded(_)) => panic!("{other:?}"),
    };
    for (there, expected) in [(old(), 1), (new(), 2)] {
        let mut hand = Hand::started(restore());
        hand.snapshot(there, None);
        hand.give(denied());
        assert_eq!(commands(&hand), expected, "one to look, one to change");
    }
}

#[test]
fn an_error_is_told_while_it_lasts() {
    let mut hand = Hand::started(spec(to_value()));
    hand.give(later());
    hand.elapse(Wait::Retry);
    hand.snapshot(old(), None);
    assert_eq!(hand.walk.machine.waiting_for(), "the new target's check");

    let by_call = |outcome: Outcome| match outcome {
        Outcome::Moved { evidence, .. } => evidence.iter().filter(|seen| seen.source == "test:Call").count(),
        other @ (Outcome::Refused(_) | Outcome::Reverted(_) | Outcome::Superseded(_) | Outcome::Stuck(_)) => {
            panic!("{other:?}")
        }
    };
    // One error on the way, and then the servers agree.
    let mut hand = Hand::started(spec(to_value()));
    hand.snapshot(new(), None);
    hand.give(later());
    hand.elapse(Wait::Retry);
    hand.all_agree();
    assert_eq!(by_call(hand.outcome()), 0);
    // A TTL that could not be restored, as the last call said.
    let mut spec = spec(to_value());
    spec.drain = None;
    let mut hand = to_watch(spec);
    while hand.walk.machine.state_kind() == StateKind::Watching {
        hand.elapse(Wait::Watch);
        hand.healthy();
    }
    while hand.walk.machine.outcome().is_none() {
        hand.give(later());
        if hand.walk.machine.outcome().is_none() {
            hand.elapse(Wait::Retry);
        }
    }
    assert_eq!(by_call(hand.outcome()), 1);
}
