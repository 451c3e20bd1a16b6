//! What the rollback policy makes of a release.

use super::*;
use crate::evidence::{Cause, StuckReason};
use crate::plan::rollback::{Proof, RollbackPolicy, SOURCE};
use crate::service::{PartKind, Usability};

fn under(policy: RollbackPolicy) -> Run {
    let mut draft = Draft::from(plan(true));
    draft.policy.rollback = policy;
    Run::new(RolloutPlan::check(draft).expect("valid"))
}

/// Runs on until a service's usability is asked for, and answers that as told; then to the end.
fn answered(policy: RollbackPolicy, change: impl Fn(&mut Usability)) -> (Run, Outcome) {
    let mut run = under(policy);
    run.give(Event::Start);
    run.until(|run| {
        run.flight
            .first()
            .is_some_and(|effect| matches!(effect.action, Action::CheckUsable { .. }))
    });
    let effect = run.flight.remove(0);
    let mut event = run.answer(effect, Luck::Good);
    if let Event::UsabilitySeen { seen, .. } = &mut event {
        change(seen);
    }
    run.give(event);
    run.until(|run| run.walk.machine.outcome().is_some());
    let outcome = run.walk.machine.outcome().expect("it has ended");
    (run, outcome)
}

fn unknown(seen: &mut Usability) {
    for part in seen
        .parts
        .iter_mut()
        .filter(|part| part.kind == PartKind::Revision)
    {
        part.found = Found::Unknown {
            why: "access denied".into(),
        };
    }
}

fn refused(run: &Run, outcome: &Outcome, cause: Cause) -> String {
    let Outcome::Refused { why } = outcome else {
        panic!("not refused: {outcome:?}")
    };
    assert_eq!(why.cause, cause);
    assert!(!run.walk.machine.touched());
    assert!(
        run.said.iter().all(|(_, effect)| !effect.mutates()),
        "something was changed"
    );
    why.text.clone()
}

#[test]
fn what_cannot_run_any_more_refuses_the_release_before_the_first_change() {
    let (run, outcome) = answered(RollbackPolicy::default(), |seen| {
        seen.parts[0].found = Found::Gone {
            why: "it is INACTIVE".into(),
        };
    });
    let why = refused(&run, &outcome, Cause::LastKnownGoodUnusable);
    assert!(
        why.contains("it is INACTIVE") && why.contains("backend:1"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_found_out_is_told_at_the_end_or_refuses() {
    let (_, outcome) = answered(RollbackPolicy::default(), unknown);
    let Outcome::Released { evidence, .. } = outcome else {
        panic!("not released: {outcome:?}")
    };
    let told: Vec<_> = evidence.iter().filter(|piece| piece.source == SOURCE).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].detail.contains("access denied"), "{told:?}");

    let proven = RollbackPolicy {
        usable: Proof::Proven,
        ..RollbackPolicy::default()
    };
    let (run, outcome) = answered(proven, unknown);
    let why = refused(&run, &outcome, Cause::LastKnownGoodUnusable);
    assert!(why.contains("access denied"), "{why}");
}

#[test]
fn it_is_asked_of_every_service_once_and_only_where_the_policy_asks() {
    let asked = |policy| {
        let mut run = under(policy);
        run.give(Event::Start);
        run.until(|run| run.walk.machine.state_kind() == StateKind::Promoting);
        // A late answer asks nothing again.
        let captured = run.world.capture(&"backend".parse().expect("valid"), run.now);
        let service = "backend".parse().expect("valid");
        run.give(Event::Captured { service, captured });
        let is_question = |effect: &&Effect| matches!(effect.action, Action::CheckUsable { .. });
        let said = run.said.iter().map(|(_, effect)| effect);
        let steps = said.filter(is_question).map(|effect| effect.step.to_string());
        steps.collect::<Vec<_>>()
    };
    assert_eq!(
        asked(RollbackPolicy::default()),
        [
            "check/usable/backend",
            "check/usable/frontend",
            "check/usable/worker"
        ]
    );
    assert!(asked(RollbackPolicy::before_there_was_one()).is_empty());
}

#[test]
fn a_late_capture_asks_nothing_again_while_checking() {
    let mut run = under(RollbackPolicy::default());
    run.give(Event::Start);
    let service: ServiceName = "backend".parse().expect("valid");
    for expected in [1, 0] {
        let captured = run.world.capture(&service, run.now);
        let before = run.said.len();
        let service = service.clone();
        run.give(Event::Captured { service, captured });
        assert_eq!(run.said.len() - before, expected);
    }
}

#[test]
fn what_is_too_old_refuses_the_release_before_the_first_change() {
    let policy = RollbackPolicy {
        max_age: Some(secs(3_600)),
        ..RollbackPolicy::default()
    };
    for (age, too_old) in [(3_600, false), (3_601, true)] {
        let mut run = under(policy);
        run.give(Event::Start);
        let service: ServiceName = "backend".parse().expect("valid");
        let mut captured = run.world.capture(&service, run.now);
        if let Captured::Point(point) = &mut captured {
            point.since = Some(Timestamp::from_millis(run.now.as_millis() - age * 1_000));
        }
        run.give(Event::Captured { service, captured });
        match run.walk.machine.outcome() {
            Some(outcome) if too_old => {
                let why = refused(&run, &outcome, Cause::LastKnownGoodTooOld);
                assert!(why.contains("backend"), "{why}");
            }
            outcome => assert_eq!((outcome, too_old), (None, false)),
        }
    }
}

/// A run that was told how its first gate went: badly.
fn failing(policy: RollbackPolicy) -> Run {
    let mut run = under(policy);
    run.give(Event::Start);
    run.until(|run| {
        run.flight.first().is_some_and(|effect| {
            matches!(
                effect.action,
                Action::Deployment(deployment::Effect::Observe { .. })
            )
        })
    });
    run
}

fn by_hand_only() -> RollbackPolicy {
    RollbackPolicy {
        automatic: false,
        ..RollbackPolicy::default()
    }
}

fn fail(run: &mut Run) {
    for _ in 0..400 {
        if run.walk.machine.outcome().is_some() {
            return;
        }
        if run.flight.is_empty() {
            let deadline = run.walk.machine.deadline().expect("it has not ended");
            run.now = run.now.max(deadline.at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            run.now = run.now.after(secs(1));
            let back = matches!(effect.action, Action::Unwind(_));
            let event = run.answer(effect, if back { Luck::Good } else { Luck::Bad });
            run.give(event);
        }
    }
    panic!("it does not end");
}

#[test]
fn a_way_back_that_is_left_to_a_person_is_not_begun() {
    let mut run = failing(by_hand_only());
    fail(&mut run);
    let Some(Outcome::Stuck(stuck)) = run.walk.machine.outcome() else {
        panic!("not stuck: {:?}", run.walk.machine.outcome())
    };
    assert_eq!(stuck.reason, StuckReason::RollbackNotAutomatic);
    assert!(stuck.next[0].starts_with("rollout rollback r-1"), "{stuck:?}");
    assert!(stuck.text.contains("because"), "{stuck:?}");
    let back = |(_, effect): &(StateKind, Effect)| matches!(effect.action, Action::Unwind(_));
    assert!(!run.said.iter().any(back), "it went back");
    assert!(
        !run.walk.machine.changed().is_empty(),
        "what a person takes back is kept"
    );
}

#[test]
fn a_person_who_aborts_has_asked_for_the_way_back() {
    let mut run = failing(by_hand_only());
    run.give(Event::Abort);
    run.until(|run| run.walk.machine.outcome().is_some());
    assert_eq!(
        run.walk.machine.outcome(),
        Some(Outcome::Aborted {
            left_at: LeftAt::LastKnownGood
        })
    );
}

#[test]
fn a_way_back_begins_no_second_one() {
    let mut run = failing(RollbackPolicy::default());
    run.give(Event::Abort);
    run.until(|run| run.walk.machine.state_kind() == StateKind::Unwinding);
    // Whatever goes wrong on the way back, it is the only one: no service is written to forward, and none twice over.
    fail_back(&mut run);
    let kinds: Vec<StateKind> = run.said.iter().map(|(kind, _)| *kind).collect();
    let first = kinds
        .iter()
        .position(|kind| *kind == StateKind::Unwinding)
        .expect("it went back");
    assert!(
        run.said[first..]
            .iter()
            .all(|(_, effect)| matches!(effect.action, Action::Unwind(_))),
        "something else than the way back was begun after it"
    );
    assert!(matches!(run.walk.machine.outcome(), Some(Outcome::Stuck(_))));
}

fn fail_back(run: &mut Run) {
    for _ in 0..400 {
        if run.walk.machine.outcome().is_some() {
            return;
        }
        if run.flight.is_empty() {
            let deadline = run.walk.machine.deadline().expect("it has not ended");
            run.now = run.now.max(deadline.at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            run.now = run.now.after(secs(1));
            let event = run.answer(effect, Luck::Never);
            run.give(event);
        }
    }
    panic!("it does not end");
}
