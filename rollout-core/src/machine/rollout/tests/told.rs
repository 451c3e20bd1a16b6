//! What it tells of itself, and the events that it does not take.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::machine::unwind::Undo;

fn step(text: &str) -> StepId {
    text.parse().expect("valid")
}

fn failed() -> ErrorRecord {
    Error::new(ErrorKind::Unavailable, "test:Call", "no").record()
}

/// Runs on, everything going well, until a state is reached and an effect of a step is under way.
fn until(run: &mut Run, kind: StateKind, prefix: &str) {
    run.until(|run| {
        let under_way = |effect: &Effect| effect.step.as_str().starts_with(prefix);
        run.walk.machine.state_kind() == kind && run.flight.iter().any(under_way)
    });
}

fn begun() -> Run {
    let mut run = Run::new(plan(true));
    run.give(Event::Start);
    run
}

fn why_refused(run: &mut Run, event: Event) -> String {
    let before = run.walk.machine.clone();
    let rejected = run
        .walk
        .machine
        .handle(run.now, event)
        .expect_err("it does not fit");
    assert_eq!(run.walk.machine, before, "a refused event changed something");
    rejected.why
}

#[test]
fn an_event_of_a_step_that_never_was_is_refused() {
    let mut run = begun();
    let event = Event::Promotion {
        step: step("image/nowhere/app"),
        event: promotion::Event::CallFailed(failed()),
    };
    assert_eq!(why_refused(&mut run, event), "there is no step image/nowhere/app");
}

#[test]
fn an_event_that_the_step_itself_refuses_is_refused() {
    let mut run = begun();
    let event = Event::Promotion {
        step: step("image/backend/app"),
        event: promotion::Event::Start,
    };
    let why = why_refused(&mut run, event);
    assert!(
        why.starts_with("promotion refuses Start in state Resolving"),
        "{why}"
    );
}

#[test]
fn an_event_for_a_step_of_another_kind_is_refused() {
    let mut run = begun();
    until(&mut run, StateKind::Changing, "service/backend");
    let event = Event::Task {
        step: step("service/backend"),
        event: task::Event::CallFailed(failed()),
    };
    assert_eq!(
        why_refused(&mut run, event),
        "step service/backend is of another kind"
    );
}

#[test]
fn a_late_answer_of_a_step_that_has_ended_is_dropped() {
    let mut run = begun();
    until(&mut run, StateKind::Changing, "service/backend");
    let before = run.walk.machine.clone();
    let late = Event::Task {
        step: step("task/migrate"),
        event: task::Event::CallFailed(failed()),
    };
    assert_eq!(run.walk.machine.handle(run.now, late), Ok(Vec::new()));
    assert_eq!(run.walk.machine.state, before.state);
}

#[test]
fn on_the_way_back_the_way_back_decides_what_fits() {
    let mut run = begun();
    until(&mut run, StateKind::Changing, "gate/backend");
    run.give(Event::Abort);
    until(&mut run, StateKind::Unwinding, "unwind/service/backend");
    let event = |step: &str| {
        Event::Unwind(unwind::Event::Deployment {
            step: step.parse().expect("valid"),
            event: deployment::Event::CallFailed(failed()),
        })
    };
    let why = why_refused(&mut run, event("unwind/nowhere"));
    assert!(why.ends_with("there is no step unwind/nowhere"), "{why}");
}

#[test]
fn what_it_has_captured_and_changed_can_be_asked() {
    let mut run = Run::new(plan(false));
    assert_eq!(run.walk.machine.captured(), None);
    assert!(!run.walk.machine.touched());
    run.give(Event::Start);
    until(&mut run, StateKind::Changing, "service/backend");
    let machine = &run.walk.machine;
    let captured: Vec<_> = machine
        .captured()
        .expect("it has begun")
        .keys()
        .map(ServiceName::as_str)
        .collect();
    assert_eq!(captured, ["backend", "frontend", "worker"]);
    assert!(machine.touched(), "images were copied");
    assert_eq!(machine.changed(), []);
    assert_eq!(machine.blocked_by().map(TaskName::as_str), Some("migrate"));

    until(&mut run, StateKind::Confirming, "confirm");
    let changed: Vec<_> = run
        .walk
        .machine
        .changed()
        .iter()
        .map(|item| item.step.as_str())
        .collect();
    assert_eq!(changed.len(), 4, "{changed:?}");
    assert_eq!(changed.first(), Some(&"unwind/service/backend"));
    assert!(
        changed.last().is_some_and(|step| step.starts_with("unwind/dns/")),
        "{changed:?}"
    );
    let point = run
        .walk
        .machine
        .changed()
        .iter()
        .find_map(|item| match &item.undo {
            Undo::Service { point, .. } => point.clone(),
            Undo::Record { .. } => None,
        });
    assert_eq!(point.map(|point| point.images), Some(images("old")));
}

#[test]
fn a_task_that_can_be_undone_blocks_nothing_and_only_the_first_other_one_is_named() {
    let mut draft = Draft::from(plan(false));
    draft.tasks[1].reversible = false;
    for (draft, first) in [(Draft::from(plan(true)), None), (draft, Some("migrate"))] {
        let mut run = Run::new(RolloutPlan::check(draft).expect("valid"));
        let outcome = run.run(good, None);
        assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
        assert_eq!(run.walk.machine.blocked_by().map(TaskName::as_str), first);
    }
}

fn active(run: &Run, of: &str) -> (Timestamp, String) {
    let steps = run.walk.machine.progress();
    let found = steps.iter().rev().find(|view| view.step.as_str() == of);
    let view = found.unwrap_or_else(|| panic!("{of} is not told: {steps:?}"));
    assert_eq!(view.until, None);
    match &view.state {
        StepState::Active { waiting_for } => (view.since, waiting_for.clone()),
        other @ (StepState::Done | StepState::Failed { .. }) => panic!("{of}: {other:?}"),
    }
}

#[test]
fn progress_tells_what_each_step_waits_for() {
    let mut run = begun();
    let started = run.now;
    assert_eq!(
        active(&run, "image/backend/app"),
        (started, "waits for an answer".to_owned())
    );
    until(&mut run, StateKind::Changing, "service/backend");
    let (since, waiting) = active(&run, "service/backend");
    assert!(since > started);
    assert_eq!(waiting, "the revision");
    until(&mut run, StateKind::Changing, "dns/");
    let under_way = run.flight.iter().map(|effect| effect.step.as_str().to_owned());
    let record = under_way.into_iter().find(|step| step.starts_with("dns/"));
    let (_, waiting) = active(&run, &record.expect("it is under way"));
    assert!(waiting.ends_with(" to be read"), "{waiting}");

    run.now = run.now.after(secs(7));
    run.give(Event::Abort);
    let (since, waiting) = active(&run, "unwind/service/worker");
    assert_eq!((since, waiting.as_str()), (run.now, "a look at the service"));
}
