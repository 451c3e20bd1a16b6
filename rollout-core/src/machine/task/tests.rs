use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::error::{Error, ErrorKind};
use crate::evidence::Cause;
use crate::id::{ContainerName, TaskDefinitionArn, TaskName};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::service::{ContainerExit, RevisionSpec, StoppedTask};

mod late;
mod properties;

const T0: Timestamp = Timestamp::from_millis(10_000_000);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    T0.after(secs(n))
}

fn spec() -> TaskSpec {
    TaskSpec {
        name: TaskName::new("migrate").unwrap(),
        revision: RevisionSpec {
            template: serde_json::json!({"family": "migrate"}),
            images: BTreeMap::new(),
        },
        run: serde_json::json!({"launchType": "FARGATE"}),
    }
}

/// Looks each 5 s, 600 s in all, the third failure in a row ends it, 30 s for an answer.
fn policy() -> Policy {
    Policy {
        poll_every: secs(5),
        give_up: secs(600),
        max_errors: 3,
        answer: secs(30),
    }
}

fn arn() -> TaskArn {
    TaskArn::new("task/1").unwrap()
}

fn exit(name: &str, essential: bool, exit_code: Option<i32>) -> ContainerExit {
    ContainerExit {
        name: ContainerName::new(name).unwrap(),
        essential,
        exit_code,
        reason: None,
    }
}

fn stopped(containers: Vec<ContainerExit>) -> Event {
    Event::Observed(TaskObservation::Stopped(StoppedTask {
        task: arn(),
        task_definition: TaskDefinitionArn::new("migrate:1").unwrap(),
        started_by: None,
        stopped_at: T0,
        cause: None,
        code: Some("EssentialContainerExited".to_owned()),
        reason: "Essential container in task exited".to_owned(),
        containers,
        log_tail: vec!["column exists".to_owned()],
    }))
}

fn exited(code: i32) -> Event {
    stopped(vec![exit("app", true, Some(code))])
}

fn running(status: &str) -> Event {
    Event::Observed(TaskObservation::Running {
        at: T0,
        status: status.to_owned(),
    })
}

fn missing() -> Event {
    Event::Observed(TaskObservation::Missing { at: T0 })
}

fn error(kind: ErrorKind, applied: Applied) -> Event {
    Event::CallFailed(Error::new(kind, "test:Call", "broken").applied(applied).record())
}

fn start() -> Effect {
    Effect::StartTask {
        spec: Box::new(spec()),
        attempt: 1,
    }
}

fn find() -> Effect {
    Effect::FindTask {
        spec: Box::new(spec()),
        attempt: 1,
    }
}

fn look() -> Effect {
    Effect::ObserveTask { task: arn() }
}

fn stop() -> Effect {
    Effect::StopTask { task: arn() }
}

type Running = Walk<OneOff>;

fn idle() -> Running {
    Walk::new(OneOff::new(spec(), policy()))
}

fn give_all(mut walk: Running, now: Timestamp, events: Vec<Event>) -> Running {
    for event in events {
        walk.give(now, event).unwrap();
    }
    walk
}

fn starting() -> Running {
    give_all(idle(), at(0), vec![Event::Start])
}

fn finding() -> Running {
    give_all(
        starting(),
        at(1),
        vec![error(ErrorKind::TimedOut, Applied::Maybe)],
    )
}

fn watching() -> Running {
    give_all(starting(), at(1), vec![Event::Started(arn())])
}

fn stopping() -> Running {
    give_all(watching(), at(2), vec![running("RUNNING"), Event::Abort])
}

fn failed_by(walk: &Running) -> (Reason, Applied) {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Failed { reason, ran }) = outcome else {
        panic!("not failed: {outcome:?}")
    };
    (reason, ran)
}

fn ends(walk: &Running, cause: Cause, ran: Applied) -> Reason {
    let (reason, got) = failed_by(walk);
    assert_eq!((reason.cause, got), (cause, ran), "{reason}");
    reason
}

#[test]
fn it_runs_and_succeeds_with_exact_effects() {
    let mut walk = idle();
    assert_eq!(walk.give(at(0), Event::Start).unwrap(), [start()]);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(30), Wait::Answer)));
    assert_eq!(walk.give(at(1), Event::Started(arn())).unwrap(), [look()]);
    assert_eq!(walk.machine.task(), Some(&arn()));
    assert_eq!(walk.give(at(2), running("PENDING")).unwrap(), []);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(7), Wait::Poll)));
    assert_eq!(walk.give(at(6), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.give(at(7), Event::Elapsed).unwrap(), [look()]);
    let end = stopped(vec![exit("app", true, Some(0)), exit("log", false, Some(1))]);
    assert_eq!(walk.give(at(8), end).unwrap(), []);
    let Some(Outcome::Succeeded { task, evidence }) = walk.machine.outcome() else {
        panic!("{:?}", walk.machine)
    };
    assert_eq!(task, arn());
    assert!(!evidence.is_empty());
    walk.check_replay(&OneOff::new(spec(), policy()));
    let kinds = [start(), find(), look(), stop()];
    assert_eq!(
        kinds.each_ref().map(crate::machine::Effect::mutates),
        [true, false, false, true]
    );
    assert_eq!(
        kinds.each_ref().map(crate::machine::Effect::attempt),
        [1, 1, 1, 1]
    );
}

#[test]
fn every_essential_container_must_exit_with_0() {
    let fails = |containers: Vec<ContainerExit>, says: &str, ran: Applied| {
        let walk = give_all(watching(), at(2), vec![stopped(containers)]);
        let reason = ends(&walk, Cause::TaskFailed, ran);
        assert!(reason.text.contains(says), "{reason}");
        assert!(
            reason.evidence.iter().any(|e| e.detail == "column exists"),
            "the log is missing"
        );
    };
    fails(
        vec![exit("app", true, Some(3))],
        "container app exited with 3",
        Applied::Yes,
    );
    fails(
        vec![exit("app", true, Some(0)), exit("db", true, None)],
        "container db has no exit code",
        Applied::Yes,
    );
    // Nothing ever ran, as far as can be seen: an image that could not be pulled.
    fails(
        vec![exit("app", true, None)],
        "container app has no exit code",
        Applied::Maybe,
    );
    fails(
        vec![exit("log", false, Some(0))],
        "no essential container",
        Applied::Yes,
    );
    fails(Vec::new(), "no essential container", Applied::Maybe);
    // It was seen running.
    let walk = give_all(watching(), at(2), vec![running("RUNNING"), stopped(Vec::new())]);
    ends(&walk, Cause::TaskFailed, Applied::Yes);
}

#[test]
fn a_start_that_certainly_did_nothing_is_repeated_with_the_same_token() {
    let mut walk = starting();
    for (second, pause) in [(1, 5), (11, 10)] {
        let unavailable = error(ErrorKind::Unavailable, Applied::No);
        assert_eq!(walk.give(at(second), unavailable.clone()).unwrap(), []);
        assert_eq!(
            walk.machine.deadline(),
            Some(Deadline::new(at(second + pause), Wait::Retry))
        );
        // Counted already.
        assert_eq!(walk.give(at(second), unavailable).unwrap(), []);
        assert_eq!(walk.give(at(second + pause), Event::Elapsed).unwrap(), [start()]);
    }
    walk.give(at(22), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    ends(&walk, Cause::CallFailed, Applied::No);
    let denied = give_all(
        starting(),
        at(1),
        vec![error(ErrorKind::PermissionDenied, Applied::No)],
    );
    ends(&denied, Cause::PermissionDenied, Applied::No);
}

#[test]
fn a_start_with_an_unknown_outcome_is_looked_for_before_it_is_repeated() {
    for applied in [Applied::Maybe, Applied::Yes] {
        let mut walk = starting();
        let lost = || error(ErrorKind::TimedOut, applied);
        assert_eq!(walk.give(at(1), lost()).unwrap(), [find()]);
        assert_eq!(
            walk.clone().give(at(2), Event::Found(Some(arn()))).unwrap(),
            [look()]
        );
        // Its own answer, late.
        assert_eq!(walk.clone().give(at(2), Event::Started(arn())).unwrap(), [look()]);
        assert_eq!(walk.give(at(2), Event::Found(None)).unwrap(), []);
        assert_eq!(walk.give(at(7), Event::Elapsed).unwrap(), [start()]);
        // From here on `ran` is never `No`.
        let mut refused = walk.clone();
        refused
            .give(at(8), error(ErrorKind::PermissionDenied, Applied::No))
            .unwrap();
        ends(&refused, Cause::PermissionDenied, Applied::Maybe);
        let walk = give_all(walk, at(8), vec![lost(), Event::Found(None)]);
        let mut walk = give_all(walk, at(18), vec![Event::Elapsed]);
        walk = give_all(walk, at(19), vec![lost(), Event::Found(None)]);
        ends(&walk, Cause::TaskUnknown, Applied::Maybe);
    }
    let mut silent = starting();
    assert_eq!(silent.give(at(30), Event::Elapsed).unwrap(), [find()]);
}

#[test]
fn what_cannot_be_looked_for_is_unknown() {
    let mut walk = finding();
    for (second, pause) in [(2, 5), (12, 10)] {
        walk.give(at(second), error(ErrorKind::Unavailable, Applied::No))
            .unwrap();
        assert_eq!(walk.give(at(second + pause), Event::Elapsed).unwrap(), [find()]);
    }
    walk.give(at(52), Event::Elapsed).unwrap();
    ends(&walk, Cause::TaskUnknown, Applied::Maybe);
    let denied = give_all(
        finding(),
        at(2),
        vec![error(ErrorKind::PermissionDenied, Applied::No)],
    );
    ends(&denied, Cause::TaskUnknown, Applied::Maybe);
}

#[test]
fn a_token_that_is_too_old_starts_nothing_again() {
    let patient = Policy {
        give_up: secs(48 * 3600),
        ..policy()
    };
    let begin = || {
        let mut walk = Walk::new(OneOff::new(spec(), patient.clone()));
        walk.give(at(0), Event::Start).unwrap();
        walk
    };
    // The runner was away for 25 hours.
    let hours = |n: u64| at(n * 3600);
    let mut walk = begin();
    assert_eq!(walk.give(hours(25), Event::Elapsed).unwrap(), [find()]);
    walk.give(hours(25), Event::Found(None)).unwrap();
    assert_eq!(walk.give(hours(26), Event::Elapsed).unwrap(), []);
    ends(&walk, Cause::TaskUnknown, Applied::Maybe);
    // A start that certainly did nothing has used no token.
    let mut walk = begin();
    walk.give(at(1), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    assert_eq!(walk.give(hours(25), Event::Elapsed).unwrap(), [start()]);
}

#[test]
fn a_task_that_is_not_known_yet_is_looked_at_again() {
    let mut walk = watching();
    for (second, pause) in [(2, 5), (12, 10)] {
        assert_eq!(walk.give(at(second), missing()).unwrap(), []);
        assert_eq!(walk.give(at(second + pause), Event::Elapsed).unwrap(), [look()]);
    }
    let seen = give_all(walk.clone(), at(23), vec![running("PENDING"), exited(0)]);
    assert!(matches!(seen.machine.outcome(), Some(Outcome::Succeeded { .. })));
    walk.give(at(23), missing()).unwrap();
    ends(&walk, Cause::TaskUnknown, Applied::Maybe);
}

#[test]
fn a_look_that_keeps_failing_leaves_the_task_alone_and_says_so() {
    let mut walk = give_all(watching(), at(1), vec![running("RUNNING")]);
    walk.give(at(6), Event::Elapsed).unwrap();
    walk.give(at(7), error(ErrorKind::Throttled, Applied::No))
        .unwrap();
    assert_eq!(walk.give(at(12), Event::Elapsed).unwrap(), [look()]);
    walk.give(at(42), Event::Elapsed).unwrap();
    assert_eq!(walk.give(at(52), Event::Elapsed).unwrap(), [look()]);
    assert_eq!(
        walk.give(at(53), error(ErrorKind::Throttled, Applied::No))
            .unwrap(),
        []
    );
    let reason = ends(&walk, Cause::CallFailed, Applied::Yes);
    assert!(reason.text.contains("may still run"), "{reason}");
}

#[test]
fn the_deadline_stops_the_task_and_looks_until_it_has_stopped() {
    let mut walk = give_all(watching(), at(2), vec![running("RUNNING")]);
    walk.give(at(7), Event::Elapsed).unwrap();
    walk.give(at(8), running("RUNNING")).unwrap();
    assert_eq!(walk.give(at(600), Event::Elapsed).unwrap(), [stop()]);
    assert_eq!(walk.give(at(601), Event::StopSent).unwrap(), [look()]);
    assert_eq!(walk.give(at(602), running("STOPPING")).unwrap(), []);
    assert_eq!(walk.give(at(607), Event::Elapsed).unwrap(), [look()]);
    // 0 after the stop is no success.
    walk.give(at(608), exited(0)).unwrap();
    let reason = ends(&walk, Cause::DeadlineExceeded, Applied::Yes);
    assert!(reason.evidence.iter().any(|e| e.detail.contains("exited with 0")));
}

#[test]
fn a_task_that_does_not_stop_is_waited_for_so_long_only() {
    let mut walk = stopping();
    walk.give(at(3), Event::StopSent).unwrap();
    walk.give(at(4), running("RUNNING")).unwrap();
    assert_eq!(walk.give(at(2 + 179), Event::Elapsed).unwrap(), [look()]);
    assert_eq!(
        walk.machine.deadline(),
        Some(Deadline::new(at(2 + 180), Wait::GiveUp))
    );
    walk.give(at(2 + 180), Event::Elapsed).unwrap();
    let reason = ends(&walk, Cause::Aborted, Applied::Yes);
    assert!(reason.text.contains("may still run"), "{reason}");
    ends(
        &give_all(stopping(), at(3), vec![Event::StopSent, missing()]),
        Cause::Aborted,
        Applied::Yes,
    );
}

#[test]
fn a_stop_with_an_unknown_outcome_is_looked_at_before_it_is_repeated() {
    let mut walk = stopping();
    assert_eq!(
        walk.give(at(3), error(ErrorKind::TimedOut, Applied::Maybe))
            .unwrap(),
        [look()]
    );
    assert_eq!(walk.give(at(4), running("RUNNING")).unwrap(), []);
    assert_eq!(walk.give(at(9), Event::Elapsed).unwrap(), [stop()]);
    assert_eq!(walk.give(at(39), Event::Elapsed).unwrap(), [look()]);
    walk.give(at(40), exited(137)).unwrap();
    ends(&walk, Cause::Aborted, Applied::Yes);
    // It certainly did nothing: said again.
    let mut walk = stopping();
    assert_eq!(
        walk.give(at(3), error(ErrorKind::Throttled, Applied::No))
            .unwrap(),
        []
    );
    assert_eq!(walk.give(at(8), Event::Elapsed).unwrap(), [stop()]);
    let denied = give_all(
        stopping(),
        at(3),
        vec![error(ErrorKind::PermissionDenied, Applied::No)],
    );
    assert!(
        ends(&denied, Cause::Aborted, Applied::Yes)
            .text
            .contains("may still run")
    );
}

#[test]
fn an_abort_waits_for_a_start_under_way() {
    ends(
        &give_all(idle(), at(0), vec![Event::Abort]),
        Cause::Aborted,
        Applied::No,
    );
    // It was started: stopped.
    let mut walk = starting();
    assert_eq!(walk.give(at(1), Event::Abort).unwrap(), []);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(30), Wait::Answer)));
    assert_eq!(walk.clone().give(at(2), Event::Started(arn())).unwrap(), [stop()]);
    // It certainly was not.
    let no = give_all(
        walk.clone(),
        at(2),
        vec![error(ErrorKind::Unavailable, Applied::No)],
    );
    ends(&no, Cause::Aborted, Applied::No);
    // Nobody knows: looked for, never started again.
    assert_eq!(walk.give(at(30), Event::Elapsed).unwrap(), [find()]);
    assert_eq!(
        walk.clone().give(at(31), Event::Found(Some(arn()))).unwrap(),
        [stop()]
    );
    ends(
        &give_all(walk, at(31), vec![Event::Found(None)]),
        Cause::Aborted,
        Applied::Maybe,
    );
    // Nothing under way.
    let waits = give_all(
        starting(),
        at(1),
        vec![error(ErrorKind::Unavailable, Applied::No), Event::Abort],
    );
    ends(&waits, Cause::Aborted, Applied::No);
    let mut lost = give_all(finding(), at(2), vec![Event::Found(None)]);
    assert_eq!(lost.give(at(3), Event::Abort).unwrap(), [find()]);
    ends(
        &give_all(lost, at(4), vec![Event::Found(None)]),
        Cause::Aborted,
        Applied::Maybe,
    );
    let sought = give_all(finding(), at(2), vec![Event::Abort, Event::Found(None)]);
    ends(&sought, Cause::Aborted, Applied::Maybe);
}

#[test]
fn the_deadline_holds_before_the_task_is_known() {
    let short = Policy {
        give_up: secs(20),
        ..policy()
    };
    let mut walk = Walk::new(OneOff::new(spec(), short));
    walk.give(at(0), Event::Start).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(20), Wait::GiveUp)));
    assert_eq!(walk.give(at(20), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.give(at(30), Event::Elapsed).unwrap(), [find()]);
    walk.give(at(31), Event::Found(None)).unwrap();
    ends(&walk, Cause::DeadlineExceeded, Applied::Maybe);
}

#[test]
fn another_task_is_refused() {
    let other = |walk: &mut Running| {
        let Event::Observed(TaskObservation::Stopped(mut task)) = exited(0) else {
            unreachable!()
        };
        task.task = TaskArn::new("task/2").unwrap();
        walk.give(at(3), Event::Observed(TaskObservation::Stopped(task)))
    };
    assert!(other(&mut watching()).is_err());
    assert!(other(&mut stopping()).is_err());
}

fn every_event() -> Vec<Event> {
    vec![
        Event::Start,
        Event::Started(arn()),
        Event::Found(Some(arn())),
        exited(0),
        Event::StopSent,
        error(ErrorKind::Unavailable, Applied::No),
        Event::Hinted,
        Event::Elapsed,
        Event::Abort,
    ]
}

#[test]
fn a_hint_makes_the_next_look_come_now_but_no_storm_of_looks() {
    let mut walk = give_all(watching(), at(2), vec![running("RUNNING")]);
    let poll = walk.machine.deadline().map(|deadline| deadline.at);
    assert_eq!(poll, Some(at(7)));
    assert_eq!(
        walk.give(at(2), Event::Hinted).unwrap(),
        [],
        "it has just been looked at"
    );
    assert_eq!(walk.machine.deadline().map(|deadline| deadline.at), Some(at(3)));
    assert_eq!(walk.give(at(3), Event::Hinted).unwrap(), [look()]);
    assert_eq!(
        walk.give(at(3), Event::Hinted).unwrap(),
        [],
        "the look is under way"
    );
    assert_eq!(walk.give(at(4), running("RUNNING")).unwrap(), []);
    assert_eq!(
        walk.machine.deadline().map(|deadline| deadline.at),
        Some(at(5)),
        "the look may have been older than the hint"
    );
    assert_eq!(walk.give(at(5), Event::Elapsed).unwrap(), [look()]);
    assert_eq!(walk.give(at(5), running("RUNNING")).unwrap(), []);
    assert_eq!(walk.machine.deadline().map(|deadline| deadline.at), Some(at(10)));
    // After a failed look its pause is kept.
    assert_eq!(walk.give(at(10), Event::Elapsed).unwrap(), [look()]);
    walk.give(at(10), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    let retry = walk.machine.deadline();
    for second in [10, 12] {
        assert_eq!(walk.give(at(second), Event::Hinted).unwrap(), []);
        assert_eq!(walk.machine.deadline(), retry);
    }
}

#[test]
fn every_pair_is_visited() {
    let mut visited: Visited<OneOff> = BTreeSet::new();
    let ended = give_all(idle(), at(0), vec![Event::Abort]);
    for stage in [idle(), starting(), finding(), watching(), stopping(), ended] {
        for event in every_event() {
            let mut walk = stage.clone();
            let _ = walk.give(at(4), event);
            visited.extend(walk.visited);
        }
    }
    assert_eq!(never_visited::<OneOff>(&visited), []);
}

// ---- properties ----
