use std::collections::BTreeSet;

use super::*;
use crate::error::Applied;
use crate::error::{Error, ErrorKind, Retry};
use crate::evidence::Cause;
use crate::id::{DeploymentId, TaskArn, TaskDefinitionArn};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::service::{
    DeploymentObservation, DeploymentRole, Images, RolloutState, RunningTask, ServiceStatus,
};

mod late;
mod properties;

const T0: Timestamp = Timestamp::from_millis(10_000_000);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    T0.after(secs(n))
}

fn digest(of: &str) -> ImageDigest {
    ImageDigest::of(of.as_bytes())
}

fn web() -> ContainerName {
    ContainerName::new("web").unwrap()
}

fn by_tag() -> Spec {
    Spec {
        from: RepositoryName::new("staging/shop").unwrap(),
        reference: Reference::Tag(ImageTag::new("v2").unwrap()),
        to: RepositoryName::new("production/shop").unwrap(),
        service: ServiceName::new("backend").unwrap(),
        container: web(),
        soak: secs(600),
    }
}

fn by_digest() -> Spec {
    Spec {
        reference: Reference::Digest(digest("v2")),
        ..by_tag()
    }
}

/// Retries after 5 s, the third failure in a row ends it, 30 s for an answer, 100 s for `Proceed`.
fn policy() -> Policy {
    Policy {
        retry_every: secs(5),
        max_errors: 3,
        answer: secs(30),
        proceed: secs(100),
    }
}

fn running(n: u32, image: &str, started_at: Option<Timestamp>) -> RunningTask {
    RunningTask {
        task: TaskArn::new(format!("task/{n}")).unwrap(),
        task_definition: TaskDefinitionArn::new("backend:7").unwrap(),
        images: Images::from([(web(), digest(image))]),
        started_by: None,
        started_at,
    }
}

/// Two tasks at `v2`, the older one since 700 s before `T0`; asked at `T0`.
fn source() -> ServiceObservation {
    let long_ago = |s: u64| Some(Timestamp::from_millis(T0.as_millis() - s * 1_000));
    ServiceObservation {
        at: T0,
        status: ServiceStatus::Active,
        desired: 2,
        running: 2,
        pending: 0,
        deployments: vec![DeploymentObservation {
            id: DeploymentId::new("ecs-svc/1").unwrap(),
            task_definition: TaskDefinitionArn::new("backend:7").unwrap(),
            role: DeploymentRole::Primary,
            rollout: RolloutState::Completed,
            reason: None,
            desired: 2,
            running: 2,
            pending: 0,
            failed: 0,
            created_at: long_ago(800).unwrap(),
            record: None,
        }],
        tasks: vec![running(1, "v2", long_ago(100)), running(2, "v2", long_ago(700))],
        stopped: Vec::new(),
        events: Vec::new(),
    }
}

fn observed(change: impl FnOnce(&mut ServiceObservation)) -> Event {
    let mut seen = source();
    change(&mut seen);
    Event::SourceObserved(Box::new(seen))
}

fn resolved(of: &str) -> Event {
    Event::TagResolved(Some(digest(of)))
}

fn tree(of: &str, missing: &[&str]) -> Event {
    Event::ReadBack(Some(ManifestTree {
        digest: digest(of),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        children: vec![digest("amd64"), digest("arm64")],
        missing: missing.iter().map(|text| digest(text)).collect(),
    }))
}

fn error(kind: ErrorKind, applied: Applied) -> Event {
    Event::CallFailed(Error::new(kind, "test:Call", "broken").applied(applied).record())
}

fn image(of: &str) -> ImageRef {
    ImageRef {
        repository: by_tag().to,
        digest: digest(of),
    }
}

fn resolve() -> Effect {
    Effect::ResolveTag {
        repository: by_tag().from,
        tag: ImageTag::new("v2").unwrap(),
    }
}

fn observe() -> Effect {
    Effect::ObserveSource {
        service: by_tag().service,
    }
}

fn copy() -> Effect {
    Effect::CopyImage {
        from: ImageRef {
            repository: by_tag().from,
            digest: digest("v2"),
        },
        to: by_tag().to,
    }
}

fn read() -> Effect {
    Effect::ReadBack { image: image("v2") }
}

type Promoting = Walk<Promotion>;

fn begin(spec: Spec) -> Promoting {
    let mut walk = Walk::new(Promotion::new(spec, policy()));
    walk.give(at(0), Event::Start).unwrap();
    walk
}

fn give_all(mut walk: Promoting, now: Timestamp, events: Vec<Event>) -> Promoting {
    for event in events {
        walk.give(now, event).unwrap();
    }
    walk
}

/// By tag, ready.
fn ready() -> Promoting {
    give_all(begin(by_tag()), at(1), vec![resolved("v2"), observed(|_| {})])
}

/// By tag, the copy issued.
fn copying() -> Promoting {
    give_all(ready(), at(2), vec![Event::Proceed, resolved("v2")])
}

fn refused_by(walk: &Promoting) -> Reason {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Refused(reason)) = outcome else {
        panic!("not refused: {outcome:?}")
    };
    reason
}

fn failed_by(walk: &Promoting) -> Reason {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Failed(reason)) = outcome else {
        panic!("not failed: {outcome:?}")
    };
    reason
}

fn promoted(walk: &Promoting) -> bool {
    matches!(walk.machine.outcome(), Some(Outcome::Promoted { .. }))
}

#[test]
fn by_tag_with_exact_effects() {
    let mut walk = Walk::new(Promotion::new(by_tag(), policy()));
    assert_eq!(walk.machine.resolved(), None);
    assert_eq!(walk.give(at(0), Event::Start).unwrap(), [resolve()]);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(30), Wait::Answer)));
    assert_eq!(walk.give(at(1), resolved("v2")).unwrap(), [observe()]);
    assert_eq!(walk.machine.resolved(), Some(&digest("v2")));
    assert!(!walk.machine.is_ready());
    assert_eq!(walk.give(at(2), observed(|_| {})).unwrap(), []);
    assert!(walk.machine.is_ready());
    assert_eq!(walk.machine.resolved(), Some(&digest("v2")));
    assert_eq!(
        walk.machine.deadline(),
        Some(Deadline::new(at(102), Wait::Proceed))
    );
    assert_eq!(walk.give(at(50), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.give(at(60), Event::Proceed).unwrap(), [resolve()]);
    assert_eq!(walk.give(at(61), resolved("v2")).unwrap(), [copy()]);
    assert_eq!(
        walk.give(at(70), Event::Copied(Ensured::Created)).unwrap(),
        [read()]
    );
    assert_eq!(walk.give(at(71), tree("v2", &[])).unwrap(), []);
    let Some(Outcome::Promoted { image: got, evidence }) = walk.machine.outcome() else {
        panic!("{:?}", walk.machine)
    };
    assert_eq!(got, image("v2"));
    assert_eq!(evidence.len(), 2);
    assert_eq!(walk.machine.resolved(), Some(&digest("v2")));
    walk.check_replay(&Promotion::new(by_tag(), policy()));
}

#[test]
fn by_digest_asks_for_no_tag() {
    let mut walk = Walk::new(Promotion::new(by_digest(), policy()));
    assert_eq!(walk.give(at(0), Event::Start).unwrap(), [observe()]);
    walk.give(at(1), observed(|_| {})).unwrap();
    assert_eq!(walk.give(at(2), Event::Proceed).unwrap(), [copy()]);
    walk.give(at(3), Event::Copied(Ensured::AlreadyThere)).unwrap();
    walk.give(at(4), tree("v2", &[])).unwrap();
    assert!(promoted(&walk));
}

#[test]
fn only_a_copy_changes_anything() {
    use crate::machine::Effect as _;
    let mutating: Vec<bool> = [resolve(), observe(), copy(), read()]
        .iter()
        .map(crate::machine::Effect::mutates)
        .collect();
    assert_eq!(mutating, [false, false, true, false]);
    assert_eq!(copy().attempt(), 1);
}

#[test]
fn a_missing_tag_is_refused_before_and_after_proceed() {
    let walk = give_all(begin(by_tag()), at(1), vec![Event::TagResolved(None)]);
    assert_eq!(refused_by(&walk).cause, Cause::TagMissing);
    let walk = give_all(ready(), at(2), vec![Event::Proceed, Event::TagResolved(None)]);
    assert_eq!(refused_by(&walk).cause, Cause::TagMissing);
}

#[test]
fn a_moved_tag_is_refused_and_nothing_is_copied() {
    let walk = give_all(ready(), at(2), vec![Event::Proceed, resolved("v3")]);
    let reason = refused_by(&walk);
    assert_eq!(reason.cause, Cause::TagMoved);
    assert!(reason.text.contains(digest("v3").as_str()), "{reason}");
    assert!(!walk.steps.iter().any(|(_, _, effects)| effects.contains(&copy())));
}

#[test]
fn a_source_that_does_not_prove_it_is_refused() {
    let refused = |change: &dyn Fn(&mut ServiceObservation), says: &str| {
        let walk = give_all(begin(by_digest()), at(1), vec![observed(change)]);
        let reason = refused_by(&walk);
        assert_eq!(reason.cause, Cause::NotInSource, "{reason}");
        assert!(reason.text.contains(says), "{reason}");
        assert!(!reason.evidence.is_empty());
    };
    refused(&|s| s.status = ServiceStatus::Draining, "being deleted");
    refused(&|s| s.status = ServiceStatus::Missing, "does not exist");
    refused(&|s| s.status = ServiceStatus::Other("ODD".to_owned()), "ODD");
    refused(&|s| s.deployments.clear(), "no deployment");
    refused(
        &|s| s.deployments[0].role = DeploymentRole::Active,
        "no deployment",
    );
    refused(
        &|s| s.deployments[0].rollout = RolloutState::InProgress,
        "in progress",
    );
    refused(&|s| s.deployments[0].rollout = RolloutState::Failed, "failed");
    refused(
        &|s| s.deployments[0].rollout = RolloutState::Other("?".to_owned()),
        "?",
    );
    refused(
        &|s| {
            s.tasks.clear();
            s.running = 0;
        },
        "no running task",
    );
    refused(&|s| s.running = 3, "runs 3 tasks, of which 2 were seen");
    refused(
        &|s| s.tasks[1].images = Images::from([(web(), digest("v1"))]),
        "1 of 2 tasks",
    );
    refused(&|s| s.tasks[0].images = Images::new(), "1 of 2 tasks");
    refused(
        &|s| {
            let other = ContainerName::new("sidecar").unwrap();
            s.tasks[0].images = Images::from([(other, digest("v2"))]);
        },
        "1 of 2 tasks",
    );
}

#[test]
fn the_soak_counts_from_the_oldest_task_or_the_deployment() {
    let run = |soak: u64, now: Timestamp, change: &dyn Fn(&mut ServiceObservation)| {
        let mut walk = begin(Spec {
            soak: secs(soak),
            ..by_digest()
        });
        walk.give(now, observed(change)).unwrap();
        walk
    };
    assert!(run(700, at(1), &|_| {}).machine.is_ready());
    let reason = refused_by(&run(701, at(1), &|_| {}));
    assert_eq!(reason.cause, Cause::SoakTooShort);
    let says = format!("for 11m 40s, 11m 41s is wanted; try again at {}", at(1));
    assert!(reason.text.contains(&says), "{reason}");
    // No task tells: the deployment's creation, 800 s ago.
    let silent = |s: &mut ServiceObservation| s.tasks.iter_mut().for_each(|task| task.started_at = None);
    assert!(run(800, at(1), &silent).machine.is_ready());
    assert_eq!(refused_by(&run(801, at(1), &silent)).cause, Cause::SoakTooShort);
    // The observation cannot make itself later than now.
    let boasts = run(702, at(1), &|s| s.at = at(10_000));
    assert_eq!(refused_by(&boasts).cause, Cause::SoakTooShort);
}

#[test]
fn nobody_says_proceed() {
    let mut walk = ready();
    assert_eq!(walk.give(at(100), Event::Elapsed).unwrap(), []);
    assert!(walk.machine.is_ready());
    walk.give(at(101), Event::Elapsed).unwrap();
    assert_eq!(refused_by(&walk).cause, Cause::DeadlineExceeded);
}

#[test]
fn a_reading_call_is_repeated_and_then_given_up() {
    let mut walk = begin(by_tag());
    walk.give(at(1), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(6), Wait::Retry)));
    assert_eq!(walk.give(at(5), Event::Elapsed).unwrap(), []);
    // Counted already: a second error of the same call changes nothing.
    walk.give(at(5), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    assert_eq!(walk.give(at(6), Event::Elapsed).unwrap(), [resolve()]);
    // No answer.
    walk.give(at(36), Event::Elapsed).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(41), Wait::Retry)));
    assert_eq!(walk.give(at(41), Event::Elapsed).unwrap(), [resolve()]);
    let mut again = walk.clone();
    walk.give(at(42), error(ErrorKind::Throttled, Applied::No))
        .unwrap();
    let reason = refused_by(&walk);
    assert_eq!(reason.cause, Cause::CallFailed);
    assert!(!reason.evidence.is_empty());
    // A success in between clears the count.
    again.give(at(42), resolved("v2")).unwrap();
    again
        .give(at(43), error(ErrorKind::Throttled, Applied::No))
        .unwrap();
    assert_eq!(again.machine.outcome(), None);
}

#[test]
fn a_retry_waits_as_long_as_it_is_told_up_to_an_answer() {
    for (told, waits) in [(20, 20), (1, 5), (100_000, 30)] {
        let mut walk = begin(by_tag());
        let mut slow = Error::new(ErrorKind::Throttled, "test:Call", "slow down");
        slow.retry_after = Some(secs(told));
        walk.give(at(1), Event::CallFailed(slow.record())).unwrap();
        assert_eq!(
            walk.machine.deadline(),
            Some(Deadline::new(at(1 + waits), Wait::Retry))
        );
    }
}

#[test]
fn what_a_repeat_cannot_mend_ends_it_at_once() {
    let denied = || error(ErrorKind::PermissionDenied, Applied::No);
    for walk in [
        give_all(begin(by_tag()), at(1), vec![denied()]),
        give_all(begin(by_digest()), at(1), vec![denied()]),
        give_all(ready(), at(2), vec![Event::Proceed, denied()]),
    ] {
        assert_eq!(refused_by(&walk).cause, Cause::PermissionDenied);
    }
    let walk = give_all(copying(), at(3), vec![denied()]);
    assert_eq!(failed_by(&walk).cause, Cause::PermissionDenied);
    let walk = give_all(copying(), at(3), vec![Event::Copied(Ensured::Created), denied()]);
    assert_eq!(failed_by(&walk).cause, Cause::PermissionDenied);
}

#[test]
fn what_is_read_back_must_be_what_was_proven() {
    let mismatch = |event: Event| {
        let walk = give_all(copying(), at(3), vec![Event::Copied(Ensured::Created), event]);
        assert_eq!(failed_by(&walk).cause, Cause::DigestMismatch);
        failed_by(&walk)
    };
    assert!(mismatch(tree("v3", &[])).text.contains(digest("v3").as_str()));
    assert!(
        mismatch(tree("v2", &["layer"]))
            .text
            .contains(digest("layer").as_str())
    );
}

#[test]
fn a_copy_without_an_answer_is_read_back_before_it_is_repeated() {
    let mut walk = copying();
    assert_eq!(walk.give(at(31), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.give(at(32), Event::Elapsed).unwrap(), [read()]);
    // It had taken effect.
    assert!(promoted(&give_all(walk.clone(), at(33), vec![tree("v2", &[])])));
    // It had not, or not in full: the same copy again.
    for found in [Event::ReadBack(None), tree("v2", &["layer"])] {
        let mut again = give_all(walk.clone(), at(33), vec![found]);
        assert_eq!(again.machine.deadline(), Some(Deadline::new(at(38), Wait::Retry)));
        assert_eq!(again.give(at(38), Event::Elapsed).unwrap(), [copy()]);
        assert!(promoted(&give_all(
            again,
            at(39),
            vec![Event::Copied(Ensured::Created), tree("v2", &[])]
        )));
    }
    // Other bytes are no reason to copy again.
    let other = give_all(walk, at(33), vec![tree("v3", &[])]);
    assert_eq!(failed_by(&other).cause, Cause::DigestMismatch);
}

#[test]
fn a_copy_that_certainly_did_nothing_is_repeated_three_times_in_all() {
    let mut walk = copying();
    for second in [10, 20] {
        let unavailable = error(ErrorKind::Unavailable, Applied::No);
        assert_eq!(walk.give(at(second), unavailable).unwrap(), []);
        assert_eq!(walk.give(at(second + 5), Event::Elapsed).unwrap(), [copy()]);
    }
    walk.give(at(30), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    assert_eq!(failed_by(&walk).cause, Cause::CallFailed);
}

#[test]
fn a_copy_whose_outcome_stays_unknown_is_repeated_three_times_in_all() {
    for applied in [Applied::Maybe, Applied::Yes] {
        let mut walk = copying();
        for second in [10, 20] {
            assert_eq!(
                walk.give(at(second), error(ErrorKind::TimedOut, applied))
                    .unwrap(),
                [read()]
            );
            assert_eq!(walk.give(at(second), Event::ReadBack(None)).unwrap(), []);
            assert_eq!(walk.give(at(second + 5), Event::Elapsed).unwrap(), [copy()]);
        }
        let walk = give_all(
            walk,
            at(30),
            vec![error(ErrorKind::TimedOut, applied), Event::ReadBack(None)],
        );
        assert_eq!(failed_by(&walk).cause, Cause::CallFailed);
    }
    // One that a repeat cannot mend: what is there decides.
    let odd = || error(ErrorKind::Unexpected, Applied::Maybe);
    let walk = give_all(copying(), at(3), vec![odd(), Event::ReadBack(None)]);
    assert_eq!(failed_by(&walk).cause, Cause::CallFailed);
    assert!(promoted(&give_all(
        copying(),
        at(3),
        vec![odd(), tree("v2", &[])]
    )));
}

#[test]
fn a_copy_that_said_done_and_is_not_there_is_repeated_three_times_in_all() {
    let mut walk = copying();
    for second in [10, 20] {
        assert_eq!(
            walk.give(at(second), Event::Copied(Ensured::Created)).unwrap(),
            [read()]
        );
        assert_eq!(walk.give(at(second), Event::ReadBack(None)).unwrap(), []);
        assert_eq!(walk.give(at(second + 5), Event::Elapsed).unwrap(), [copy()]);
    }
    let walk = give_all(
        walk,
        at(30),
        vec![Event::Copied(Ensured::Created), Event::ReadBack(None)],
    );
    assert_eq!(failed_by(&walk).cause, Cause::DigestMismatch);
}

#[test]
fn reading_back_is_repeated() {
    let mut walk = give_all(copying(), at(3), vec![Event::Copied(Ensured::Created)]);
    walk.give(at(4), error(ErrorKind::Unavailable, Applied::No))
        .unwrap();
    assert_eq!(walk.give(at(9), Event::Elapsed).unwrap(), [read()]);
    walk.give(at(39), Event::Elapsed).unwrap();
    assert_eq!(walk.give(at(44), Event::Elapsed).unwrap(), [read()]);
    let mut given_up = walk.clone();
    given_up.give(at(74), Event::Elapsed).unwrap();
    assert_eq!(failed_by(&given_up).cause, Cause::CallFailed);
    assert!(promoted(&give_all(walk, at(45), vec![tree("v2", &[])])));
}

#[test]
fn an_abort_says_whether_something_may_have_been_copied() {
    let reading = || give_all(copying(), at(3), vec![Event::Copied(Ensured::Created)]);
    for mut walk in [
        Walk::new(Promotion::new(by_tag(), policy())),
        begin(by_tag()),
        begin(by_digest()),
        ready(),
        give_all(ready(), at(2), vec![Event::Proceed]),
    ] {
        walk.give(at(4), Event::Abort).unwrap();
        assert_eq!(refused_by(&walk).cause, Cause::Aborted);
    }
    for mut walk in [copying(), reading()] {
        walk.give(at(4), Event::Abort).unwrap();
        assert_eq!(failed_by(&walk).cause, Cause::Aborted);
    }
}

fn every_event() -> Vec<Event> {
    vec![
        Event::Start,
        resolved("v2"),
        observed(|_| {}),
        Event::Proceed,
        Event::Copied(Ensured::Created),
        tree("v2", &[]),
        error(ErrorKind::Unavailable, Applied::No),
        Event::Elapsed,
        Event::Abort,
    ]
}

#[test]
fn every_pair_is_visited() {
    let mut visited: Visited<Promotion> = BTreeSet::new();
    let stages = [
        Walk::new(Promotion::new(by_tag(), policy())),
        begin(by_tag()),
        begin(by_digest()),
        ready(),
        give_all(ready(), at(2), vec![Event::Proceed]),
        copying(),
        give_all(copying(), at(3), vec![Event::Copied(Ensured::Created)]),
        give_all(begin(by_tag()), at(3), vec![Event::Abort]),
    ];
    for stage in stages {
        for event in every_event() {
            let mut walk = stage.clone();
            let _ = walk.give(at(4), event);
            visited.extend(walk.visited);
        }
    }
    assert_eq!(never_visited::<Promotion>(&visited), []);
}

// ---- properties ----
