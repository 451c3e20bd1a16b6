//! The rollout's own calls: what becomes of one that fails, and how the last look comes to its end.

use super::*;
use crate::error::{Error, ErrorKind, ErrorRecord, Retry};
use crate::evidence::Cause;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.after(secs(seconds))
}

fn error(kind: ErrorKind) -> ErrorRecord {
    Error::new(kind, "test:Look", "no").record()
}

fn step(text: &str) -> StepId {
    text.parse().expect("valid")
}

fn confirm(service: &str) -> Action {
    Action::Confirm {
        service: service.parse().expect("valid"),
    }
}

/// The last look at two services, just begun.
fn last_look() -> Work {
    let mut work = Work::default();
    for service in ["backend", "worker"] {
        let effect = work.look(step(service), confirm(service), NOW);
        assert_eq!((effect.step, effect.action), (step(service), confirm(service)));
    }
    work
}

fn seen() -> Vec<Evidence> {
    vec![Evidence::new(NOW, "test", "service", "it serves")]
}

/// When a call is said again after so many failures, in seconds from the failure.
fn pauses(changed: bool) -> Vec<Option<u64>> {
    let (plan, step) = (plan(true), step("backend"));
    let mut work = last_look();
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let failed = work.look_failed(&plan, &step, &error(ErrorKind::Unavailable), NOW, changed);
        let due = (0..=60).find(|after| !work.clone().due_looks(at(*after)).is_empty());
        pauses.push(due.filter(|_| failed.is_ok()));
        work.due_looks(at(60));
    }
    pauses
}

#[test]
fn a_failed_look_is_repeated_three_times_and_after_a_change_less_and_less_often() {
    assert_eq!(pauses(false), [Some(5), Some(5), Some(5), None]);
    assert_eq!(pauses(true), [Some(5), Some(10), Some(20), None]);
}

#[test]
fn a_look_that_cannot_succeed_is_the_end_at_once() {
    let plan = plan(true);
    for (kind, cause) in [
        (ErrorKind::PermissionDenied, Cause::PermissionDenied),
        (ErrorKind::InvalidRequest, Cause::CallFailed),
    ] {
        let mut denied = error(kind);
        denied.retry = Retry::Never;
        let end = last_look().look_failed(&plan, &step("backend"), &denied, NOW, true);
        let reason = end.expect_err("it gives the same again");
        assert_eq!(reason.cause, cause);
        assert!(reason.text.starts_with("backend: "), "{}", reason.text);
        let late = last_look().look_failed(&plan, &step("nowhere"), &denied, NOW, true);
        assert_eq!(late, Ok(()), "nobody waits for that one");
    }
}

#[test]
fn a_look_that_is_answered_is_closed_once() {
    let mut work = last_look();
    assert!(work.looked(&step("backend"), at(1)));
    assert!(!work.looked(&step("backend"), at(2)), "a late answer");
    let ended: Vec<_> = work.steps.iter().map(|view| view.until).collect();
    assert_eq!(ended, [Some(at(1)), None]);
}

#[test]
fn what_does_not_show_success_is_looked_at_again_and_named() {
    let mut work = last_look();
    assert_eq!(work.doubts(), ["backend", "worker"], "nothing has answered yet");
    work.unmet(&step("worker"), at(5));
    assert_eq!(work.doubts(), ["worker"]);
    assert!(work.due_looks(at(4)).is_empty());
    let again = work.due_looks(at(5));
    assert_eq!(again.len(), 1);
    assert!(again.iter().all(|effect| effect.action == confirm("worker")));
    assert!(work.due_looks(at(6)).is_empty(), "it is under way");

    work.shown(&step("worker"), seen());
    assert_eq!(work.doubts(), ["backend"]);
}

#[test]
fn success_is_claimed_on_one_round() {
    let mut work = last_look();
    work.shown(&step("backend"), seen());
    assert!(!work.all_shown(at(1)));
    work.unmet(&step("worker"), at(5));
    let again: Vec<_> = work
        .due_looks(at(5))
        .into_iter()
        .map(|effect| effect.step)
        .collect();
    assert_eq!(
        again,
        [step("backend"), step("worker")],
        "both are looked at again"
    );

    work.shown(&step("worker"), seen());
    assert!(!work.all_shown(at(6)), "the backend was seen in the round before");
    work.shown(&step("backend"), seen());
    assert!(work.all_shown(at(7)));
    assert_eq!(work.evidence.len(), 2);
    assert!(work.steps.iter().all(|view| view.until == Some(at(7))));
}

#[test]
fn a_look_that_is_under_way_begins_no_round() {
    let mut work = last_look();
    work.shown(&step("backend"), seen());
    work.begin_round(&step("worker"));
    assert!(work.due_looks(at(60)).is_empty());
}

#[test]
fn an_answer_forgets_the_failures_before_it() {
    let plan = plan(true);
    for answer in [
        |work: &mut Work| work.shown(&step("worker"), seen()),
        |work: &mut Work| work.unmet(&step("worker"), NOW),
    ] {
        let mut work = last_look();
        for _ in 0..9 {
            let failed = work.look_failed(&plan, &step("worker"), &error(ErrorKind::Unavailable), NOW, true);
            assert_eq!(failed, Ok(()));
            answer(&mut work);
        }
    }
}
