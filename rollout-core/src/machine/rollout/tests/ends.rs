//! What the end of each step means for the release.

use super::*;
use crate::error::Retry;
use crate::evidence::{Cause, Reason};
use crate::machine::cutover::Cutover;
use crate::machine::gate::Gate;
use crate::machine::rollout::work::Child;
use crate::machine::{Lifecycle, unwind::Undo};
use crate::probe::Subject;

fn steps(run: &Run) -> Vec<String> {
    let steps = run.walk.machine.progress();
    let of_change = steps
        .iter()
        .filter(|view| !view.step.as_str().starts_with("check/"));
    of_change.map(|view| view.step.as_str().to_owned()).collect()
}

#[test]
fn stage_follows_stage() {
    let mut run = Run::new(plan(true));
    let outcome = run.run(good, None);
    assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
    assert_eq!(
        steps(&run),
        [
            "image/backend/app",
            "image/frontend/app",
            "image/worker/app",
            "task/migrate",
            "service/backend",
            "gate/backend/health",
            "service/frontend",
            "service/worker",
            "gate/frontend/health",
            "gate/worker/health",
            "task/report",
            "gate/release",
            "dns/shop.example.com/CNAME",
            "confirm/backend",
            "confirm/frontend",
            "confirm/worker",
        ]
    );
}

/// Answers the effects of one step badly, all others well, to the end.
fn spoilt(plan: RolloutPlan, is_spoilt: impl Fn(&Effect) -> bool, luck: Luck) -> (Run, Outcome) {
    let mut run = Run::new(plan);
    run.give(Event::Start);
    for _ in 0..5_000 {
        if let Some(outcome) = run.walk.machine.outcome() {
            return (run, outcome);
        }
        if run.flight.is_empty() {
            run.now = run
                .now
                .max(run.walk.machine.deadline().expect("it has not ended").at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            run.now = run.now.after(secs(1));
            let luck = if is_spoilt(&effect) { luck } else { Luck::Good };
            let event = run.answer(effect, luck);
            run.give(event);
        }
    }
    panic!("no end: {:?}", run.walk.machine)
}

#[test]
fn a_migration_that_certainly_did_not_run_blocks_nothing() {
    let is_migration = |effect: &Effect| effect.step.as_str() == "task/migrate";
    let (run, outcome) = spoilt(plan(false), is_migration, Luck::Never);
    let Outcome::RolledBack { why, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(why.cause, Cause::PermissionDenied);
    assert!(why.text.starts_with("task/migrate: "), "{}", why.text);
    assert_eq!(run.walk.machine.blocked_by(), None);
    let steps = run.walk.machine.progress();
    let migration = steps.iter().find(|view| view.step.as_str() == "task/migrate");
    assert_eq!(
        migration.map(|view| &view.state),
        Some(&StepState::Failed {
            why: why.text.clone()
        })
    );
}

#[test]
fn only_a_service_that_was_touched_is_put_back() {
    let changed = |is_spoilt: fn(&Effect) -> bool, luck| {
        let (run, outcome) = spoilt(plan(true), is_spoilt, luck);
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
        let changed = run.walk.machine.changed().iter();
        changed
            .map(|item| item.step.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let ensuring = |effect: &Effect| {
        let ensures = matches!(
            effect.action,
            Action::Deployment(deployment::Effect::EnsureRevision(_))
        );
        ensures && effect.step.as_str() == "service/backend"
    };
    assert_eq!(changed(ensuring, Luck::Never), [""; 0]);
    let watching = |effect: &Effect| {
        let looks = matches!(
            effect.action,
            Action::Deployment(deployment::Effect::Observe { .. })
        );
        looks && effect.step.as_str() == "service/backend"
    };
    assert_eq!(changed(watching, Luck::Bad), ["unwind/service/backend"]);
}

#[test]
fn what_another_has_deployed_is_not_put_back() {
    let of_worker = |effect: &Effect| effect.step.as_str() == "confirm/worker";
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run.until(|run| run.flight.iter().any(of_worker));
    let index = run.flight.iter().position(of_worker).expect("it was just there");
    let look = run.flight.remove(index);
    run.world.deployment(
        &deployment::Effect::Observe {
            service: "worker".parse().expect("valid"),
        },
        Luck::Foreign,
        run.now,
    );
    let event = run.answer(look, Luck::Good);
    run.give(event);
    let changed: Vec<_> = run
        .walk
        .machine
        .changed()
        .iter()
        .map(|item| item.step.as_str())
        .collect();
    assert_eq!(
        changed,
        [
            "unwind/service/backend",
            "unwind/service/frontend",
            "unwind/dns/shop.example.com/CNAME"
        ]
    );
    run.until(|run| run.walk.machine.outcome().is_some());
    let outcome = run.walk.machine.outcome();
    assert!(
        matches!(&outcome, Some(Outcome::Superseded { by: Superseding::Deployment(by) }) if by.service.as_str() == "worker"),
        "{outcome:?}"
    );
}

#[test]
fn success_that_is_not_seen_in_time_is_none() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run.until(|run| run.walk.machine.state_kind() == StateKind::Confirming);
    let began = run.now;
    // No look is answered.
    run.flight.clear();
    while run.walk.machine.state_kind() == StateKind::Confirming {
        run.now = run.walk.machine.deadline().expect("it has not ended").at;
        run.give(Event::Elapsed);
    }
    assert_eq!(run.now, began.after(secs(120)));
    run.until(|run| run.walk.machine.outcome().is_some());
    let Some(Outcome::RolledBack { why, .. }) = run.walk.machine.outcome() else {
        panic!("{:?}", run.walk.machine.outcome())
    };
    assert_eq!(why.cause, Cause::DeadlineExceeded);
    assert!(
        why.text
            .ends_with(": confirm/backend, confirm/frontend, confirm/worker"),
        "{}",
        why.text
    );
}

#[test]
fn a_last_look_that_failed_is_repeated_in_its_time() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run.until(|run| run.walk.machine.state_kind() == StateKind::Confirming);
    let look = run.flight.remove(0);
    let failed = run.answer(look.clone(), Luck::Later);
    run.give(failed);
    run.flight.clear();
    run.now = run.now.after(secs(5));
    run.give(Event::Elapsed);
    assert_eq!(run.walk.machine.state_kind(), StateKind::Confirming);
    assert_eq!(run.flight, [look]);
}

#[test]
fn an_abort_before_the_first_copy_leaves_everything_untouched() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run.until(|run| run.walk.machine.state_kind() == StateKind::Promoting);
    run.give(Event::Abort);
    assert_eq!(
        run.walk.machine.outcome(),
        Some(Outcome::Aborted {
            left_at: LeftAt::Untouched
        })
    );
}

#[test]
fn a_service_without_a_gate_is_deployed_too() {
    let mut draft = Draft::from(plan(true));
    draft.services[2].gates.clear();
    let mut run = Run::new(RolloutPlan::check(draft).expect("valid"));
    let Outcome::Released { services, .. } = run.run(good, None) else {
        panic!("{:?}", run.walk.machine)
    };
    assert_eq!(services.len(), 3);
    assert_eq!(
        run.world.runs(&"worker".parse().expect("valid")),
        Some(&images("new"))
    );
}

/// A gate that was aborted.
fn failed_gate(plan: &RolloutPlan, now: Timestamp) -> Child {
    let subject = Subject {
        service: None,
        images: Images::new(),
        changed_at: now,
    };
    let mut gate = Gate::new(plan.gates[0].judge(subject));
    gate.handle(now, Gate::abort()).expect("it ends");
    Child::Gate(Box::new(gate))
}

/// A record that could not go back: nobody may read it.
fn stuck_record(plan: &RolloutPlan, world: &World, now: Timestamp) -> Child {
    let of = &plan.cutovers[0];
    let spec = cutover::Spec {
        run: plan.run.clone(),
        zone: of.zone.clone(),
        key: of.key.clone(),
        goal: cutover::Goal::Restore {
            original: Box::new(world.snapshot(&of.zone, &of.key, now)),
            ours: vec![],
        },
        allow_unhealthy_target: false,
        drain: None,
    };
    let mut record = Cutover::new(spec, of.policy.clone());
    record.handle(now, Cutover::start()).expect("it begins");
    let kind = crate::error::ErrorKind::PermissionDenied;
    let denied = crate::error::Error::new(kind, "test:Read", "no").retry(Retry::Never);
    let failed = cutover::Event::CallFailed(denied.record());
    record.handle(now, failed).expect("it is waited for");
    Child::Record(0, Box::new(record))
}

/// What two steps that end in the same moment come to, by the order of their names.
fn settled(first: Child, second: Child) -> End {
    let mut work = Work::default();
    work.children.insert("a".parse().expect("valid"), first);
    work.children.insert("b".parse().expect("valid"), second);
    let end = work.settle(&plan(true), Timestamp::EPOCH);
    assert!(work.children.is_empty());
    end.expect("both have failed")
}

#[test]
fn the_first_bad_end_counts() {
    let (plan, now) = (plan(true), Timestamp::from_millis(1_000_000));
    let world = World::new(&plan);
    let gate = || failed_gate(&plan, now);
    let record = || stuck_record(&plan, &world, now);
    for (end, cause) in [
        (settled(gate(), gate()), Cause::Aborted),
        (settled(gate(), record()), Cause::Aborted),
        (settled(record(), gate()), Cause::PermissionDenied),
    ] {
        let End::Failed(reason) = end else {
            panic!("{end:?}")
        };
        assert!(reason.text.starts_with("a: "), "{}", reason.text);
        assert_eq!(reason.cause, cause);
    }
}

#[test]
fn a_step_that_failed_says_why_and_one_that_is_stuck_too() {
    let (plan, now) = (plan(true), Timestamp::from_millis(1_000_000));
    let world = World::new(&plan);
    for (child, part) in [
        (failed_gate(&plan, now), "gate/release: the gate was aborted"),
        (stuck_record(&plan, &world, now), "test:Read"),
    ] {
        let step: StepId = "gate/release".parse().expect("valid");
        let mut work = Work::default();
        work.began(&step, now);
        work.children.insert(step, child);
        work.settle(&plan, now);
        let states: Vec<_> = work.steps.iter().map(|view| view.state.clone()).collect();
        assert!(
            matches!(states.as_slice(), [StepState::Failed { why }] if why.contains(part)),
            "{states:?}"
        );
    }
}

/// Whatever has led to it: a plan that allows two services at once sees no third update (I-11).
#[test]
fn an_update_beyond_the_bounds_is_not_said() {
    let plan = plan(true);
    let mut run = Run::new(plan.clone());
    run.give(Event::Start);
    let updates = |effect: &Effect| {
        matches!(
            effect.action,
            Action::Deployment(deployment::Effect::UpdateService(_))
        )
    };
    run.until(|run| run.flight.iter().any(updates));
    let update = run
        .flight
        .iter()
        .find(|effect| updates(effect))
        .cloned()
        .expect("it was just there");
    let look = Effect {
        step: update.step.clone(),
        action: Action::CheckIdentity,
    };
    let mut work = run.walk.machine.work().expect("it has begun").clone();
    let child = work.children.values().next().expect("one is under way").clone();
    assert_eq!(
        stage::within_bounds(&plan, &work, std::slice::from_ref(&update)),
        Ok(())
    );
    for (service, fits) in [("frontend", true), ("worker", false)] {
        let step = crate::plan::step::service(&service.parse().expect("valid"));
        work.children.insert(step, child.clone());
        let refused = stage::within_bounds(&plan, &work, std::slice::from_ref(&update));
        assert_eq!(refused.is_ok(), fits, "{refused:?}");
        let cause = refused.err().map(|reason: Reason| reason.cause);
        assert!(fits || cause == Some(Cause::OutOfBounds), "{cause:?}");
    }
    assert_eq!(
        stage::within_bounds(&plan, &work, &[look]),
        Ok(()),
        "looking is free"
    );
}

#[test]
fn what_would_be_undone_names_the_restore_point_and_the_original_record() {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run.until(|run| run.walk.machine.state_kind() == StateKind::Confirming);
    for item in run.walk.machine.changed() {
        match &item.undo {
            Undo::Service { point, ours, .. } => {
                assert_eq!(point.as_ref().map(|point| &point.images), Some(&images("old")));
                assert!(ours.is_some(), "{item:?}");
            }
            Undo::Record { original, ours, .. } => {
                let before = original.record.as_ref().map(|record| &record.data);
                assert_eq!(before, World::new(run.walk.machine.plan()).record());
                assert!(ours.last().is_some_and(|ours| before != Some(&ours.data)));
            }
        }
    }
}
