//! Whose an event is: of the item at hand, of one that has ended, or of none.

use super::*;
use crate::error::{Error, ErrorKind};

fn of_service(step: &str, event: deployment::Event) -> Event {
    Event::Deployment {
        step: step.parse().expect("valid"),
        event,
    }
}

fn of_record(step: &str, event: cutover::Event) -> Event {
    Event::Cutover {
        step: step.parse().expect("valid"),
        event,
    }
}

fn denied() -> crate::error::ErrorRecord {
    Error::new(ErrorKind::PermissionDenied, "test:Call", "no").record()
}

/// The record is at hand; or, when it is back, the worker.
fn at_hand(item: &str) -> Run {
    let mut run = Run::new();
    run.give(Event::Start);
    while run.walk.machine.waiting_for().map(|(step, _)| step.as_str()) != Some(item) {
        if run.flight.is_empty() {
            run.now = run
                .now
                .max(run.walk.machine.deadline().expect("it has not ended").at);
            run.give(Event::Elapsed);
        } else {
            let effect = run.flight.remove(0);
            let event = run.answer(effect, Luck::Good);
            run.give(event);
        }
    }
    run
}

#[test]
fn the_item_at_hand_decides_about_its_own_events() {
    let mut run = at_hand("unwind/dns");
    let refused = run
        .walk
        .give(run.now, of_record("unwind/dns", cutover::Event::Start));
    assert!(refused.is_err(), "{refused:?}");
    let mut run = at_hand("unwind/worker");
    let refused = run
        .walk
        .give(run.now, of_service("unwind/worker", deployment::Event::Start));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn an_event_of_another_item_is_dropped_whatever_it_says() {
    let mut run = at_hand("unwind/dns");
    for event in [
        of_record("unwind/worker", cutover::Event::Start),
        of_record("unwind/worker", cutover::Event::CallFailed(denied())),
        of_service("unwind/backend", deployment::Event::CallFailed(denied())),
    ] {
        let before = run.walk.machine.clone();
        assert_eq!(run.walk.give(run.now, event.clone()), Ok(Vec::new()), "{event:?}");
        assert_eq!(run.walk.machine, before, "{event:?}");
    }
    let mut run = at_hand("unwind/worker");
    for event in [
        of_service("unwind/backend", deployment::Event::Start),
        of_service("unwind/frontend", deployment::Event::CallFailed(denied())),
        of_record("unwind/dns", cutover::Event::CallFailed(denied())),
    ] {
        let before = run.walk.machine.clone();
        assert_eq!(run.walk.give(run.now, event.clone()), Ok(Vec::new()), "{event:?}");
        assert_eq!(run.walk.machine, before, "{event:?}");
    }
}

#[test]
fn each_item_has_its_own_beginning() {
    let run = at_hand("unwind/dns");
    assert_eq!(run.walk.machine.since(), BEGAN);
    let run = at_hand("unwind/worker");
    assert_eq!(run.walk.machine.since(), run.now);
}
