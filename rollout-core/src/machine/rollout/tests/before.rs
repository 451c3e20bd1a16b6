//! Before the first change: what is read, and how long it waits for it.

use super::*;
use crate::evidence::Cause;

fn begun(draft: Draft) -> Run {
    let mut run = Run::new(RolloutPlan::check(draft).expect("valid"));
    run.give(Event::Start);
    run
}

fn alarms(run: &Run) -> Vec<&str> {
    let is_alarm = |effect: &&Effect| matches!(effect.action, Action::SampleAlarm(_));
    let alarms = run.flight.iter().filter(is_alarm);
    alarms.map(|effect| effect.step.as_str()).collect()
}

#[test]
fn every_alarm_that_a_gate_can_fail_by_is_looked_at_and_no_other_probe() {
    let all = [
        "check/gate/backend/health/alarms",
        "check/gate/frontend/health/alarms",
        "check/gate/worker/health/alarms",
        "check/gate/release/alarms",
    ];
    assert_eq!(alarms(&begun(Draft::from(plan(true)))), all);
    let mut draft = Draft::from(plan(true));
    for probe in &mut draft.gates[0].probes {
        probe.dry_run = true;
    }
    assert_eq!(alarms(&begun(draft)), all[..3]);
}

#[test]
fn it_begins_when_the_last_precondition_has_been_read() {
    let mut run = begun(Draft::from(plan(true)));
    // The identity is asked for first, and answered last.
    let identity = run.flight.remove(0);
    assert_eq!(identity.action, Action::CheckIdentity);
    while !run.flight.is_empty() {
        let effect = run.flight.remove(0);
        let event = run.answer(effect, Luck::Good);
        run.give(event);
    }
    assert_eq!(run.walk.machine.state_kind(), StateKind::Checking);
    assert!(!run.walk.machine.touched());
    let event = run.answer(identity, Luck::Good);
    run.give(event);
    assert_eq!(run.walk.machine.state_kind(), StateKind::Promoting);
}

#[test]
fn what_is_not_read_in_time_is_named_and_nothing_is_begun() {
    let mut run = begun(Draft::from(plan(true)));
    let started = run.now;
    let is_slow = |effect: &Effect| effect.step.as_str().starts_with("check/restore-point/worker");
    while run.walk.machine.outcome().is_none() {
        let next = run.flight.iter().position(|effect| !is_slow(effect));
        if let Some(index) = next {
            let effect = run.flight.remove(index);
            let event = run.answer(effect, Luck::Good);
            run.give(event);
        } else {
            run.now = run.walk.machine.deadline().expect("it has not ended").at;
            run.give(Event::Elapsed);
        }
    }
    assert_eq!(run.now, started.after(secs(120)));
    let Some(Outcome::Refused { why }) = run.walk.machine.outcome() else {
        panic!("{:?}", run.walk.machine.outcome())
    };
    assert_eq!(why.cause, Cause::DeadlineExceeded);
    assert!(
        why.text
            .contains(": check/restore-point/worker, image/backend/app"),
        "{}",
        why.text
    );
}

#[test]
fn an_alarm_is_taken_once() {
    let mut run = begun(Draft::from(plan(true)));
    let alarm = run
        .flight
        .iter()
        .position(|effect| matches!(effect.action, Action::SampleAlarm(_)));
    let effect = run.flight.remove(alarm.expect("there is one"));
    let passed = run.answer(effect.clone(), Luck::Good);
    run.give(passed);
    let late = run.answer(effect, Luck::Bad);
    run.give(late);
    assert_eq!(
        run.walk.machine.state_kind(),
        StateKind::Checking,
        "nobody waits for that answer"
    );
}
