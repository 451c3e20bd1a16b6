//! Late answers, and what a failed stop is followed by.

use super::*;

fn throttled() -> Event {
    error(ErrorKind::Throttled, Applied::No)
}

fn lost() -> Event {
    error(ErrorKind::TimedOut, Applied::Maybe)
}

#[test]
fn a_late_error_is_counted_once() {
    for mut walk in [finding(), watching(), stopping()] {
        walk.give(at(3), throttled()).unwrap();
        let repeat = Some(Deadline::new(at(8), Wait::Retry));
        assert_eq!(walk.machine.deadline(), repeat, "{:?}", walk.machine.state_kind());
        assert_eq!(walk.give(at(4), throttled()).unwrap(), []);
        assert_eq!(walk.machine.deadline(), repeat, "{:?}", walk.machine.state_kind());
    }
}

#[test]
fn once_the_stop_is_sent_it_is_only_looked_at() {
    let mut walk = stopping();
    assert_eq!(walk.give(at(3), Event::StopSent).unwrap(), [look()]);
    assert_eq!(walk.give(at(4), throttled()).unwrap(), []);
    assert_eq!(walk.give(at(9), Event::Elapsed).unwrap(), [look()]);
}

#[test]
fn a_look_that_is_lost_is_no_second_doubt_about_the_stop() {
    let mut walk = stopping();
    assert_eq!(walk.give(at(3), lost()).unwrap(), [look()]);
    assert_eq!(
        walk.give(at(4), lost()).unwrap(),
        [],
        "it waits before it looks again"
    );
    assert_eq!(walk.give(at(14), Event::Elapsed).unwrap(), [look()]);
}

#[test]
fn the_call_that_was_not_answered_is_named() {
    let hasty = Policy {
        max_errors: 1,
        ..policy()
    };
    let begin = || {
        let mut walk = Walk::new(OneOff::new(spec(), hasty.clone()));
        walk.give(at(0), Event::Start).unwrap();
        walk.give(at(1), Event::Started(arn())).unwrap();
        walk.give(at(2), Event::Abort).unwrap();
        walk
    };
    let unanswered = |mut walk: Running| {
        walk.give(at(40), Event::Elapsed).unwrap();
        let (reason, _) = failed_by(&walk);
        reason.evidence.last().map(|evidence| evidence.source.clone())
    };
    assert_eq!(unanswered(begin()).as_deref(), Some("stop task"));
    let mut told = begin();
    told.give(at(3), Event::StopSent).unwrap();
    assert_eq!(unanswered(told).as_deref(), Some("observe task"));
}

#[test]
fn only_a_running_task_has_run() {
    let walk = give_all(watching(), at(2), vec![running("PENDING"), stopped(Vec::new())]);
    ends(&walk, Cause::TaskFailed, Applied::Maybe);
}

#[test]
fn why_the_start_is_in_doubt_is_evidence() {
    let mut walk = finding();
    walk.give(at(2), Event::Abort).unwrap();
    walk.give(at(3), Event::Found(None)).unwrap();
    let reason = ends(&walk, Cause::Aborted, Applied::Maybe);
    let sources: Vec<_> = reason
        .evidence
        .iter()
        .map(|evidence| evidence.source.as_str())
        .collect();
    assert_eq!(sources, ["test:Call"]);
}

#[test]
fn a_token_is_good_for_23_hours() {
    let patient = Policy {
        give_up: secs(48 * 3_600),
        ..policy()
    };
    let mut walk = Walk::new(OneOff::new(spec(), patient));
    walk.give(at(0), Event::Start).unwrap();
    assert_eq!(walk.give(at(30), Event::Elapsed).unwrap(), [find()]);
    let end = 23 * 3_600;
    walk.give(at(end - 10), Event::Found(None)).unwrap();
    assert_eq!(walk.clone().give(at(end - 1), Event::Elapsed).unwrap(), [start()]);
    assert_eq!(walk.give(at(end), Event::Elapsed).unwrap(), []);
    ends(&walk, Cause::TaskUnknown, Applied::Maybe);
}
