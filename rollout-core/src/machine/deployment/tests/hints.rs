//! Hints, and how looks get rarer and closer.

use core::time::Duration;

use proptest::prelude::*;

use super::fixture::*;
use super::transitions::{looking_back, observe, started, updating};
use crate::error::Applied;
use crate::machine::deployment::{Deployment, Event, Pace, Policy};
use crate::machine::testkit::Walk;
use crate::machine::{Machine as _, Transitions as _};
use crate::service::{RecordStatus, RolloutState, ServiceObservation, Stage};
use crate::time::{Deadline, Timestamp, Wait};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn pace(expected: Option<u64>) -> Pace {
    Pace {
        fast: secs(1),
        slow: secs(30),
        expected: expected.map(secs),
    }
}

/// A release, paced, that was bound at 10 s and asks for its first look.
fn paced(expected: Option<u64>) -> Walk<Deployment> {
    let policy = Policy {
        pace: Some(pace(expected)),
        ..policy()
    };
    let mut walk = Walk::new(Deployment::new(release_spec(Some(OLD)), policy));
    walk.give(at(0), Event::Start).unwrap();
    walk.give(at(9), ready()).unwrap();
    walk.give(at(10), updated(NEW, at(10))).unwrap();
    walk
}

fn waits_until(walk: &Walk<Deployment>) -> u64 {
    let deadline = walk.machine.deadline().expect("it waits");
    assert_eq!(deadline.why, Wait::Poll);
    deadline.at.as_millis() - at(0).as_millis()
}

/// Looks when it is time to, each look answered at once with `seen`, until so many seconds; the seconds of the looks.
fn looks(
    walk: &mut Walk<Deployment>,
    until: u64,
    seen: impl Fn(Timestamp) -> ServiceObservation,
) -> Vec<u64> {
    let mut all = Vec::new();
    let mut now = at(10);
    loop {
        all.push((now.as_millis() - at(0).as_millis()) / 1_000);
        assert_eq!(walk.give(now, observed(&seen(now))).unwrap(), []);
        let deadline = walk.machine.deadline().expect("it waits");
        now = deadline.at;
        if now > at(until) {
            return all;
        }
        assert_eq!(deadline.why, Wait::Poll);
        assert_eq!(walk.give(now, Event::Elapsed).unwrap(), observe());
    }
}

#[test]
fn a_hint_makes_the_next_look_come_now() {
    let mut walk = watching();
    walk.give(at(11), observed(&halfway(at(11)))).unwrap();
    assert_eq!(waits_until(&walk), 16_000);
    assert_eq!(walk.give(at(13), Event::Hinted).unwrap(), observe());
    // It may have been asked for before the change that the second hint is about: the look after it comes soon.
    assert_eq!(walk.give(at(13), Event::Hinted).unwrap(), []);
    walk.give(at(14), observed(&halfway(at(14)))).unwrap();
    assert_eq!(waits_until(&walk), 14_250);
    // That was for one hint; the pause after it is as always.
    assert_eq!(walk.give(at(15), Event::Elapsed).unwrap(), observe());
    walk.give(at(15), observed(&halfway(at(15)))).unwrap();
    assert_eq!(waits_until(&walk), 20_000);
}

#[test]
fn a_storm_of_hints_is_no_storm_of_looks() {
    let mut walk = watching();
    let mut asked = 0;
    let mut now = at(11);
    walk.give(now, observed(&halfway(now))).unwrap();
    // A hundred a second, for ten seconds; each look is answered after half a second.
    let mut answer_at = None;
    for _ in 0..1_000 {
        now = now.after(Duration::from_millis(10));
        if walk.machine.deadline().is_some_and(|deadline| deadline.at <= now) {
            let more = walk.give(now, Event::Elapsed).unwrap();
            asked += more.len();
            if !more.is_empty() {
                answer_at.get_or_insert_with(|| now.after(Duration::from_millis(500)));
            }
        }
        let more = walk.give(now, Event::Hinted).unwrap();
        asked += more.len();
        if !more.is_empty() {
            answer_at.get_or_insert_with(|| now.after(Duration::from_millis(500)));
        }
        if answer_at.is_some_and(|at| at <= now) {
            answer_at = None;
            walk.give(now, observed(&halfway(now))).unwrap();
        }
    }
    assert!(
        (13..=14).contains(&asked),
        "one in three quarters of a second: {asked}"
    );
}

#[test]
fn a_hint_does_not_press_where_a_call_has_failed() {
    let mut walk = watching();
    walk.give(at(11), Event::CallFailed(later(Applied::No))).unwrap();
    let deadline = walk.machine.deadline();
    assert_eq!(deadline, Some(Deadline::new(at(16), Wait::Retry)));
    assert_eq!(walk.give(at(12), Event::Hinted).unwrap(), []);
    assert_eq!(walk.machine.deadline(), deadline);
}

#[test]
fn a_hint_is_no_verdict_and_means_nothing_where_nothing_is_looked_at() {
    for mut walk in [started(), updating()] {
        let before = walk.machine.clone();
        assert_eq!(walk.give(at(12), Event::Hinted).unwrap(), []);
        assert_eq!(walk.machine, before);
    }
    let mut idle = Walk::new(release());
    assert!(idle.give(at(0), Event::Hinted).is_err());
    // A look before the first write may be hurried, and no more than that.
    let mut back = looking_back();
    assert_eq!(back.give(at(100), Event::Hinted).unwrap(), []);
    let mut unclear = before(at(101));
    unclear.deployments.clear();
    assert_eq!(back.give(at(101), observed(&unclear)).unwrap(), []);
    assert_eq!(waits_until(&back), 101_250);
    assert_eq!(back.give(at(103), Event::Elapsed).unwrap(), observe());
}

#[test]
fn a_hint_whose_cause_cannot_be_read_yet_keeps_looks_close_for_a_while() {
    let mut walk = paced(None);
    let seen = looks(&mut walk, 200, halfway);
    assert_eq!(waits_until(&walk), 212_530, "every 30 s by now: {seen:?}");
    assert_eq!(walk.give(at(200), Event::Hinted).unwrap(), observe());
    // A read that lags behind the event.
    walk.give(at(200), observed(&halfway(at(200)))).unwrap();
    assert_eq!(waits_until(&walk), 205_000);
}

#[test]
fn looks_get_rarer_while_nothing_changes() {
    let seen = looks(&mut paced(None), 200, halfway);
    // At 10 s, and then after half of what has passed since 9 s: 5 s at least, 30 s at most.
    assert_eq!(seen, [10, 15, 20, 25, 33, 46, 64, 92, 122, 152, 182]);
    let even = looks(&mut watching(), 200, halfway);
    assert_eq!(even.len(), 39);
}

#[test]
fn looks_are_close_near_the_expected_end_and_rare_again_after_it() {
    let seen = looks(&mut paced(Some(160)), 220, halfway);
    // Asked at 9 s, expected at 169 s, near from 159 to 179.
    let near: Vec<u64> = (159..=179).collect();
    let is_near = |at: &u64| near.contains(at);
    assert_eq!(seen.iter().copied().filter(is_near).collect::<Vec<_>>(), near);
    let far: Vec<u64> = seen.into_iter().filter(|at| !is_near(at)).collect();
    assert_eq!(far, [10, 15, 20, 25, 33, 46, 64, 92, 122, 152, 180, 210]);
}

#[test]
fn what_the_replaced_deployment_took_is_expected() {
    let told = |took: Option<u64>, status: RecordStatus| {
        let seen = looks(&mut paced(None), 220, |now| {
            let mut seen = halfway(now);
            let mut record = record(status.clone());
            record.took = took.map(secs);
            seen.deployments[1].record = Some(record);
            seen
        });
        seen.len()
    };
    let rare = told(None, RecordStatus::Successful);
    assert_eq!(told(Some(160), RecordStatus::Successful), rare + 21);
    assert_eq!(told(Some(160), RecordStatus::RollbackSuccessful), rare);
}

#[test]
fn when_all_runs_the_last_word_is_waited_for_closely() {
    let done = |now| {
        let mut seen = after(now);
        seen.deployments[0].rollout = RolloutState::InProgress;
        seen
    };
    let seen = looks(&mut paced(None), 60, |now| {
        if now < at(40) { halfway(now) } else { done(now) }
    });
    assert_eq!(seen, [10, 15, 20, 25, 33, 46, 47, 48, 49, 50, 52, 56]);
}

#[test]
fn tasks_that_fail_are_looked_at_closely() {
    let seen = looks(&mut paced(None), 60, |now| {
        let mut seen = halfway(now);
        if now >= at(40) {
            seen.deployments[0].failed = 1;
        }
        seen
    });
    assert_eq!(
        seen,
        [10, 15, 20, 25, 33, 46, 47, 48, 49, 50, 51, 52, 53, 55, 57, 59]
    );
}

#[test]
fn another_stage_makes_looks_usual_again() {
    let seen = looks(&mut paced(None), 70, |now| {
        let mut seen = halfway(now);
        let mut record = record(RecordStatus::InProgress);
        record.stage = (now >= at(40)).then_some(Stage::BakeTime);
        seen.deployments[0].record = Some(record);
        seen
    });
    assert_eq!(seen, [10, 15, 20, 25, 33, 46, 51, 56, 61, 68]);
}

#[test]
fn an_unsound_pace_is_named() {
    let why = |every: u64, pace: Pace| {
        Policy {
            poll_every: secs(every),
            pace: Some(pace),
            ..policy()
        }
        .unsound()
    };
    assert_eq!(why(5, pace(None)), None);
    assert_eq!(why(1, pace(None)), None, "no faster than usual");
    assert_eq!(why(30, pace(None)), None, "no slower than usual");
    for (every, fast, slow) in [(5, 0, 30), (5, 6, 30), (31, 1, 30), (5, 1, 601)] {
        let pace = Pace {
            fast: secs(fast),
            slow: secs(slow),
            expected: None,
        };
        assert!(
            why(every, pace).is_some_and(|why| why.contains("in order")),
            "{fast} {every} {slow}"
        );
    }
    assert!(why(0, pace(None)).is_some_and(|why| why.contains("longer than zero")));
    assert!(why(5, pace(Some(0))).is_some_and(|why| why.contains("no time")));
}

proptest! {
    /// Whatever is seen, and whenever hints come: pauses keep within their bounds, and looks apart.
    #[test]
    fn pauses_keep_within_their_bounds(
        expected in prop::option::of(1..400_u64),
        steps in prop::collection::vec((0..40_u64, 0..5_u8), 1..60),
    ) {
        let mut walk = paced(expected);
        let gap = Duration::from_millis(250);
        let (mut now, mut answered) = (at(10), None::<Timestamp>);
        for (later, what) in steps {
            now = now.after(secs(later));
            let due = walk.machine.deadline().filter(|deadline| deadline.at <= now);
            let effects = if due.is_some() {
                walk.give(now, Event::Elapsed).unwrap()
            } else {
                walk.give(now, Event::Hinted).unwrap()
            };
            if walk.machine.outcome().is_some() {
                break;
            }
            if let (false, Some(before)) = (effects.is_empty(), answered) {
                prop_assert!(now.since(before) >= gap, "too close");
            }
            let mut seen = halfway(now);
            match what {
                0 => seen.deployments[0].failed = 1,
                1 => seen.deployments[0].running = 2,
                2 => {
                    let mut record = record(RecordStatus::InProgress);
                    record.stage = Some(Stage::BakeTime);
                    seen.deployments[0].record = Some(record);
                }
                _ => {}
            }
            if walk.give(now, observed(&seen)).is_ok() {
                answered = Some(now);
            }
            let deadline = walk.machine.deadline().unwrap();
            if deadline.why == Wait::Poll {
                let pause = deadline.at.since(now);
                prop_assert!(pause >= gap && pause <= secs(30), "{pause:?}");
            }
        }
        walk.check_replay(&{
            let policy = Policy { pace: Some(pace(expected)), ..policy() };
            Deployment::new(release_spec(Some(OLD)), policy)
        });
        let _ = walk.machine.state_kind();
    }
}
