//! Exact effects, transition by transition.

use super::fixture::*;
use crate::error::{Applied, ErrorKind, Retry};
use crate::evidence::Cause;
use crate::machine::deployment::{Deployment, Effect, Event, EventKind, Outcome, StateKind};
use crate::machine::testkit::{Visited, Walk, never_visited};
use crate::machine::{Effect as _, Machine as _, Transitions as _};
use crate::service::{
    DeploymentRole, RecordStatus, RolloutState, ServiceChange, ServiceObservation, ServiceStatus,
};
use crate::time::{Deadline, Timestamp, Wait};

pub(super) fn observe() -> Vec<Effect> {
    vec![Effect::Observe { service: service() }]
}

pub(super) fn update(assumes: Option<&str>) -> Vec<Effect> {
    vec![Effect::UpdateService(ServiceChange {
        service: service(),
        task_definition: revision(NEW_REVISION),
        assumes: assumes.map(id),
    })]
}

pub(super) fn restored(assumes: &str) -> Vec<Effect> {
    vec![Effect::Restore {
        point: point(),
        assumes: Some(id(assumes)),
    }]
}

pub(super) fn started() -> Walk<Deployment> {
    let mut walk = Walk::new(release());
    walk.give(at(0), Event::Start).unwrap();
    walk
}

/// `UpdateService` went out at 9 s.
pub(super) fn updating() -> Walk<Deployment> {
    let mut walk = started();
    assert_eq!(walk.give(at(9), ready()).unwrap(), update(Some(OLD)));
    walk
}

/// A restore that has asked for its first look at 100 s.
pub(super) fn looking_back() -> Walk<Deployment> {
    let mut walk = Walk::new(restore());
    assert_eq!(walk.give(at(100), Event::Start).unwrap(), observe());
    walk
}

pub(super) fn failure(walk: &Walk<Deployment>) -> (Cause, bool, String) {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Failed { reason, touched, .. }) = outcome else {
        panic!("not failed: {outcome:?}")
    };
    (reason.cause, touched, reason.text)
}

fn superseded(walk: &Walk<Deployment>) -> bool {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Superseded { touched, .. }) = outcome else {
        panic!("not superseded: {outcome:?}")
    };
    touched
}

pub(super) fn deployed(walk: &Walk<Deployment>) -> (String, Timestamp) {
    let outcome = walk.machine.outcome();
    let Some(Outcome::Deployed {
        deployment,
        changed_at,
        ..
    }) = outcome
    else {
        panic!("not deployed: {outcome:?}")
    };
    (deployment.to_string(), changed_at)
}

#[test]
fn a_release_from_start_to_end() {
    let mut walk = Walk::new(release());
    assert_eq!(
        walk.give(at(0), Event::Start).unwrap(),
        [Effect::EnsureRevision(revision_spec())]
    );
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(20), Wait::Answer)));
    assert_eq!(walk.give(at(2), ready()).unwrap(), update(Some(OLD)));
    assert!(walk.machine.touched(), "a write under way may have taken effect");
    assert_eq!(walk.give(at(3), updated(NEW, at(3))).unwrap(), observe());
    assert_eq!(walk.machine.deployment_id(), Some(&id(NEW)));
    assert_eq!(walk.machine.revision(), Some(&revision(NEW_REVISION)));
    assert_eq!(walk.give(at(4), observed(&halfway(at(4)))).unwrap(), []);
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(9), Wait::Poll)));
    assert_eq!(
        walk.machine.waiting_for(),
        "1/3 running, 1 pending, 2 old: the deployment is in progress"
    );
    assert_eq!(walk.give(at(8), Event::Elapsed).unwrap(), [], "too early");
    assert_eq!(walk.give(at(9), Event::Elapsed).unwrap(), observe());
    assert_eq!(walk.give(at(10), observed(&after(at(10)))).unwrap(), []);
    assert_eq!(deployed(&walk), (NEW.to_owned(), at(3)));
    walk.check_replay(&release());
}

#[test]
fn only_looks_do_not_change_anything() {
    let effects = [observe(), update(None), restored(OLD)].concat();
    let mutates: Vec<_> = effects.iter().map(Effect::mutates).collect();
    assert_eq!(mutates, [false, true, true]);
    assert!(Effect::EnsureRevision(revision_spec()).mutates());
}

#[test]
fn a_service_that_runs_the_revision_already_is_done_at_the_first_look() {
    let mut walk = updating();
    walk.give(at(10), updated(OLD, Timestamp::from_millis(1)))
        .unwrap();
    let mut seen = steady(at(11), OLD, NEW_REVISION, Timestamp::from_millis(1));
    // Failures from long before we came do not count.
    let old = crate::service::StoppedTask {
        started_by: Some(id(OLD)),
        ..crashed(1, at(1))
    };
    seen.stopped = vec![old.clone(), old];
    walk.give(at(11), observed(&seen)).unwrap();
    assert_eq!(deployed(&walk), (OLD.to_owned(), at(10)));
}

#[test]
fn a_first_deployment_assumes_nothing() {
    let machine = Deployment::new(release_spec(None), policy());
    let mut walk = Walk::new(machine);
    walk.give(at(0), Event::Start).unwrap();
    assert_eq!(walk.give(at(9), ready()).unwrap(), update(None));
    walk.give(at(10), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    let mut nothing = before(at(41));
    nothing.deployments.clear();
    assert_eq!(walk.give(at(41), observed(&nothing)).unwrap(), update(None));
    walk.give(at(42), updated(NEW, at(42))).unwrap();
    walk.give(at(60), observed(&after(at(60)))).unwrap();
    assert_eq!(deployed(&walk).0, NEW);
}

#[test]
fn a_conflict_with_our_own_revision_is_adopted() {
    let mut walk = updating();
    let conflict = Event::CallFailed(failed(ErrorKind::Conflict, Applied::No));
    assert_eq!(walk.give(at(10), conflict).unwrap(), observe());
    assert!(!walk.machine.touched());
    walk.give(at(11), observed(&halfway(at(11)))).unwrap();
    assert_eq!(walk.machine.deployment_id(), Some(&id(NEW)));
    walk.give(at(60), observed(&after(at(60)))).unwrap();
    assert_eq!(deployed(&walk).0, NEW);
}

#[test]
fn a_conflict_with_another_deployer_is_superseded_and_untouched() {
    let mut walk = updating();
    walk.give(
        at(10),
        Event::CallFailed(failed(ErrorKind::Conflict, Applied::No)),
    )
    .unwrap();
    let seen = steady(at(11), OTHER, OTHER_REVISION, at(8));
    assert_eq!(walk.give(at(11), observed(&seen)).unwrap(), []);
    assert!(!superseded(&walk));
}

#[test]
fn a_conflict_that_does_not_show_is_tried_again_later_and_not_for_ever() {
    let mut walk = updating();
    let conflict = || Event::CallFailed(failed(ErrorKind::Conflict, Applied::No));
    for round in 0..2 {
        let now = 10 + round * 10;
        assert_eq!(walk.give(at(now), conflict()).unwrap(), observe());
        assert_eq!(walk.give(at(now), observed(&before(at(now)))).unwrap(), []);
        assert_eq!(
            walk.machine.deadline(),
            Some(Deadline::new(at(now + 5), Wait::Retry))
        );
        assert_eq!(walk.give(at(now + 5), Event::Elapsed).unwrap(), update(Some(OLD)));
    }
    walk.give(at(30), conflict()).unwrap();
    walk.give(at(30), observed(&before(at(30)))).unwrap();
    let (cause, touched, _) = failure(&walk);
    assert_eq!((cause, touched), (Cause::CallFailed, false));
}

#[test]
fn a_lost_answer_is_looked_at_and_the_deployment_found() {
    let mut walk = updating();
    let lost = Event::CallFailed(later(Applied::Maybe));
    assert_eq!(walk.give(at(10), lost).unwrap(), observe());
    assert!(walk.machine.touched());
    // Stale at first.
    assert_eq!(walk.give(at(11), observed(&before(at(11)))).unwrap(), []);
    assert_eq!(walk.give(at(16), Event::Elapsed).unwrap(), observe());
    walk.give(at(17), observed(&halfway(at(17)))).unwrap();
    assert_eq!(walk.machine.deployment_id(), Some(&id(NEW)));
    walk.give(at(60), observed(&after(at(60)))).unwrap();
    assert_eq!(deployed(&walk), (NEW.to_owned(), at(17)));
}

#[test]
fn a_write_that_did_not_happen_is_repeated_only_after_stale_reads() {
    for lost in [
        Event::CallFailed(later(Applied::Maybe)),
        Event::CallFailed(later(Applied::Yes)),
        Event::Elapsed,
    ] {
        let mut walk = updating();
        // 29 s is the answer's deadline.
        assert_eq!(walk.give(at(29), lost).unwrap(), observe());
        let mut now = 29;
        loop {
            now += 5;
            let effects = walk.give(at(now), observed(&before(at(now)))).unwrap();
            if now >= 29 + 30 {
                assert_eq!(effects, update(Some(OLD)));
                break;
            }
            assert_eq!(effects, []);
            assert_eq!(walk.give(at(now + 5), Event::Elapsed).unwrap(), observe());
        }
    }
}

/// The service goes to the right revision, and the platform has given that up.
fn given_up(when: Timestamp, deployment: &str, revision: &str) -> ServiceObservation {
    let mut seen = steady(when, deployment, revision, Timestamp::from_millis(1));
    seen.deployments[0].rollout = RolloutState::Failed;
    seen
}

#[test]
fn a_restore_of_what_the_platform_gave_up_before_asks_for_a_new_deployment() {
    let mut walk = Walk::new(restore());
    walk.give(at(0), Event::Start).unwrap();
    let seen = given_up(at(1), OLD, OLD_REVISION);
    let effects = walk.give(at(1), observed(&seen)).unwrap();
    assert!(
        matches!(&effects[..], [Effect::Restore { assumes: Some(assumed), .. }] if *assumed == id(OLD)),
        "{effects:?}"
    );
    // Its answer is lost: what was there before is not taken for it, and after stale reads it is said again.
    walk.give(at(2), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    assert_eq!(
        walk.give(at(3), observed(&given_up(at(3), OLD, OLD_REVISION)))
            .unwrap(),
        []
    );
    walk.give(at(8), Event::Elapsed).unwrap();
    let effects = walk
        .give(at(40), observed(&given_up(at(40), OLD, OLD_REVISION)))
        .unwrap();
    assert!(matches!(&effects[..], [Effect::Restore { .. }]), "{effects:?}");
    // The new one is given up, too: that is an answer.
    walk.give(at(41), updated(NEW, at(41))).unwrap();
    walk.give(at(50), observed(&given_up(at(50), NEW, OLD_REVISION)))
        .unwrap();
    let (cause, touched, _) = failure(&walk);
    assert_eq!((cause, touched), (Cause::PlatformFailed, true));
}

#[test]
fn a_lost_answer_that_will_not_be_better_ends_it_and_says_touched() {
    let mut walk = updating();
    let error = failed(ErrorKind::Unexpected, Applied::Maybe);
    assert_eq!(error.retry, Retry::Never);
    walk.give(at(10), Event::CallFailed(error)).unwrap();
    walk.give(at(45), observed(&before(at(45)))).unwrap();
    let (cause, touched, _) = failure(&walk);
    assert_eq!((cause, touched), (Cause::CallFailed, true));
}

#[test]
fn a_lost_answer_and_another_deployer_is_superseded_and_perhaps_touched() {
    let mut walk = updating();
    walk.give(at(10), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    let seen = steady(at(11), OTHER, OTHER_REVISION, at(10));
    walk.give(at(11), observed(&seen)).unwrap();
    assert!(superseded(&walk));
}

#[test]
fn a_lost_write_that_landed_and_was_rolled_back_is_judged_and_not_overlooked() {
    let mut walk = updating();
    walk.give(at(10), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    let mut seen = steady(at(40), "ecs-svc/third", "backend:5", Timestamp::from_millis(1));
    let earlier = listed(
        "ecs-svc/run-1",
        NEW_REVISION,
        DeploymentRole::Inactive,
        RolloutState::Failed,
        0,
        Timestamp::from_millis(2),
    );
    seen.deployments.push(earlier);
    let mut with_ours = seen.clone();
    with_ours.deployments.push(listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Inactive,
        RolloutState::Failed,
        0,
        at(10),
    ));
    let mut other = walk.clone();
    walk.give(at(40), observed(&with_ours)).unwrap();
    assert_eq!(failure(&walk).0, Cause::PlatformRolledBack);
    // What an earlier run left behind is not taken for ours.
    other.give(at(40), observed(&seen)).unwrap();
    assert!(superseded(&other));
}

#[test]
fn a_late_answer_binds_while_it_is_looked_for() {
    let mut walk = updating();
    walk.give(at(29), Event::Elapsed).unwrap();
    assert_eq!(walk.give(at(31), updated(NEW, at(10))).unwrap(), observe());
    assert_eq!(walk.machine.deployment_id(), Some(&id(NEW)));
}

#[test]
fn refusals_end_it_at_once_untouched() {
    for (kind, cause) in [
        (ErrorKind::PermissionDenied, Cause::PermissionDenied),
        (ErrorKind::InvalidRequest, Cause::CallFailed),
        (ErrorKind::NotFound, Cause::CallFailed),
    ] {
        for mut walk in [started(), updating()] {
            walk.give(at(10), Event::CallFailed(failed(kind, Applied::No)))
                .unwrap();
            let (seen, touched, text) = failure(&walk);
            assert_eq!((seen, touched), (cause, false));
            assert!(text.contains("ecs:Call"), "{text}");
        }
    }
}

#[test]
fn errors_are_counted_in_a_row_and_waited_out() {
    let mut walk = started();
    let mut slow = later(Applied::No);
    slow.retry_after = Some(core::time::Duration::from_secs(40));
    walk.give(at(1), Event::CallFailed(slow)).unwrap();
    assert_eq!(walk.machine.deadline(), Some(Deadline::new(at(41), Wait::Retry)));
    assert_eq!(
        walk.give(at(41), Event::Elapsed).unwrap(),
        [Effect::EnsureRevision(revision_spec())]
    );
    walk.give(at(42), ready()).unwrap();
    // The count starts again.
    for round in 0..3 {
        let now = 50 + round * 10;
        assert!(walk.machine.outcome().is_none());
        walk.give(at(now), Event::CallFailed(later(Applied::No))).unwrap();
        if round < 2 {
            let pause = [5, 10][usize::try_from(round).unwrap()];
            let repeat = Deadline::new(at(now + pause), Wait::Retry);
            assert_eq!(walk.machine.deadline(), Some(repeat));
            assert_eq!(walk.give(repeat.at, Event::Elapsed).unwrap(), update(Some(OLD)));
        }
    }
    let (cause, touched, text) = failure(&walk);
    assert_eq!((cause, touched), (Cause::CallFailed, false));
    assert!(text.contains("3 failed calls in a row"), "{text}");
}

#[test]
fn looks_that_fail_while_watching_end_it_with_what_was_last_seen() {
    let mut walk = watching();
    walk.give(at(11), observed(&halfway(at(11)))).unwrap();
    walk.give(at(16), Event::Elapsed).unwrap();
    walk.give(
        at(17),
        Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No)),
    )
    .unwrap();
    let (cause, touched, text) = failure(&walk);
    assert_eq!((cause, touched), (Cause::PermissionDenied, true));
    assert!(text.contains("last seen: 1/3 running"), "{text}");

    let mut walk = watching();
    walk.give(at(11), observed(&halfway(at(11)))).unwrap();
    walk.give(at(16), Event::Elapsed).unwrap();
    for round in 0..3 {
        // No answer at all.
        let deadline = walk.machine.deadline().unwrap();
        assert_eq!(deadline.why, Wait::Answer);
        walk.give(deadline.at, Event::Elapsed).unwrap();
        if round < 2 {
            let waiting = walk.machine.waiting_for();
            assert!(waiting.starts_with("1/3 running"), "{waiting}");
            assert!(
                waiting.ends_with(["the last look failed", "the last 2 looks failed"][round]),
                "{waiting}"
            );
            let deadline = walk.machine.deadline().unwrap();
            assert_eq!(walk.give(deadline.at, Event::Elapsed).unwrap(), observe());
        }
    }
    let (cause, _, text) = failure(&walk);
    assert_eq!(cause, Cause::CallFailed);
    assert!(text.contains("no answer within 20s"), "{text}");
}

#[test]
fn a_stale_read_late_in_the_watch_does_not_end_it() {
    let mut walk = watching();
    walk.give(at(300), observed(&halfway(at(300)))).unwrap();
    walk.give(at(310), observed(&before(at(310)))).unwrap();
    assert_eq!(walk.machine.outcome(), None);
    walk.give(at(331), observed(&before(at(331)))).unwrap();
    assert_eq!(failure(&walk).0, Cause::PlatformFailed);
}

#[test]
fn a_no_that_may_answer_another_call_is_not_believed() {
    let mut walk = started();
    // The first call is given up, the second answers.
    walk.give(at(20), Event::Elapsed).unwrap();
    walk.give(at(25), Event::Elapsed).unwrap();
    walk.give(at(26), ready()).unwrap();
    let late = Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No));
    assert_eq!(walk.give(at(27), late).unwrap(), observe());
    assert!(walk.machine.touched());
}

#[test]
fn an_abort_ends_a_release_everywhere_and_tells_the_truth() {
    let mut idle = Walk::new(release());
    idle.give(at(0), Event::Abort).unwrap();
    assert_eq!((failure(&idle).0, failure(&idle).1), (Cause::Aborted, false));
    let mut lost = updating();
    lost.give(at(10), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    let mut refused = updating();
    refused
        .give(at(10), Event::CallFailed(later(Applied::No)))
        .unwrap();
    for (mut walk, expected) in [
        (started(), false),
        (updating(), true),
        (lost, true),
        (refused, false),
        (watching(), true),
    ] {
        assert_eq!(walk.give(at(11), Event::Abort).unwrap(), []);
        let (cause, touched, _) = failure(&walk);
        assert_eq!((cause, touched), (Cause::Aborted, expected));
    }
}

#[test]
fn give_up_counts_from_the_write() {
    let mut walk = updating();
    walk.give(at(10), updated(NEW, at(10))).unwrap();
    assert_eq!(walk.give(at(608), Event::Elapsed).unwrap(), []);
    assert!(walk.machine.outcome().is_none());
    walk.give(at(609), Event::Elapsed).unwrap();
    assert_eq!(failure(&walk).0, Cause::DeadlineExceeded);
}

#[test]
fn a_restore_writes_over_our_own_deployment() {
    let mut walk = looking_back();
    assert!(walk.machine.touched());
    assert_eq!(
        walk.give(at(101), observed(&halfway(at(101)))).unwrap(),
        restored(NEW)
    );
    assert_eq!(
        walk.give(at(102), updated("ecs-svc/back", at(102))).unwrap(),
        observe()
    );
    let done = steady(at(150), "ecs-svc/back", OLD_REVISION, at(102));
    walk.give(at(150), observed(&done)).unwrap();
    assert_eq!(deployed(&walk), ("ecs-svc/back".to_owned(), at(102)));
    walk.check_replay(&restore());
}

#[test]
fn a_restore_is_verified_like_a_release() {
    let mut walk = looking_back();
    walk.give(at(101), observed(&halfway(at(101)))).unwrap();
    walk.give(at(102), updated("ecs-svc/back", at(102))).unwrap();
    let mut wrong = steady(at(150), "ecs-svc/back", OLD_REVISION, at(102));
    wrong.tasks[0].images = images(NEW_REVISION);
    walk.give(at(150), observed(&wrong)).unwrap();
    let mut empty = steady(at(155), "ecs-svc/back", OLD_REVISION, at(102));
    (empty.desired, empty.running) = (0, 0);
    (empty.deployments[0].desired, empty.deployments[0].running) = (0, 0);
    empty.tasks.clear();
    walk.give(at(155), observed(&empty)).unwrap();
    assert_eq!(walk.machine.outcome(), None);
    walk.give(at(702), Event::Elapsed).unwrap();
    assert_eq!(failure(&walk).0, Cause::DeadlineExceeded);
}

#[test]
fn a_restore_is_verified_by_the_captured_digests_whatever_the_spec_says() {
    let mut spec = restore_spec();
    spec.images = images(OTHER_REVISION);
    let mut walk = Walk::new(Deployment::new(spec, policy()));
    walk.give(at(100), Event::Start).unwrap();
    walk.give(at(101), observed(&halfway(at(101)))).unwrap();
    walk.give(at(102), updated("ecs-svc/back", at(102))).unwrap();
    let mut done = steady(at(150), "ecs-svc/back", OLD_REVISION, at(102));
    let captured = core::mem::replace(&mut done.tasks[0].images, images(OTHER_REVISION));
    walk.give(at(150), observed(&done)).unwrap();
    assert_eq!(walk.machine.outcome(), None);
    done.tasks[0].images = captured;
    walk.give(at(155), observed(&done)).unwrap();
    assert_eq!(deployed(&walk).0, "ecs-svc/back");
}

#[test]
fn a_restore_writes_nothing_where_the_platform_went_back_itself() {
    let mut walk = looking_back();
    let mut seen = before(at(101));
    seen.deployments[0].rollout = RolloutState::InProgress;
    seen.deployments.push(listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Active,
        RolloutState::Failed,
        0,
        at(10),
    ));
    assert_eq!(walk.give(at(101), observed(&seen)).unwrap(), []);
    seen.deployments[0].rollout = RolloutState::Completed;
    seen.at = at(106);
    walk.give(at(106), Event::Elapsed).unwrap();
    walk.give(at(106), observed(&seen)).unwrap();
    assert_eq!(deployed(&walk), (OLD.to_owned(), at(101)));
}

#[test]
fn a_restore_that_found_nothing_changed_waits_for_late_changes_and_undoes_them() {
    let mut walk = looking_back();
    assert_eq!(walk.give(at(101), observed(&before(at(101)))).unwrap(), []);
    assert_eq!(walk.machine.outcome(), None, "it may be a stale read");
    let mut quiet = walk.clone();
    quiet.give(at(130), observed(&before(at(130)))).unwrap();
    assert_eq!(deployed(&quiet).0, OLD);
    let late = steady(at(106), NEW, NEW_REVISION, at(104));
    assert_eq!(walk.give(at(106), observed(&late)).unwrap(), restored(NEW));
}

/// Found by the exhaustive search: the restore's answer is lost, and the look after it is a stale one, from before our
/// late forward change. The captured deployment in it is no proof that the service is back.
#[test]
fn a_restore_with_a_lost_answer_does_not_take_a_stale_read_for_its_success() {
    let mut walk = looking_back();
    assert_eq!(
        walk.give(at(101), observed(&after(at(101)))).unwrap(),
        restored(NEW)
    );
    let lost = Event::CallFailed(later(Applied::Maybe));
    assert_eq!(walk.give(at(102), lost).unwrap(), observe());
    assert_eq!(walk.give(at(103), observed(&before(at(103)))).unwrap(), []);
    assert_eq!(walk.machine.outcome(), None, "it may be a stale read");
    assert_eq!(walk.give(at(113), Event::Elapsed).unwrap(), observe());
    // Ours is there after all; when no answer can come to light any more, it is written again.
    assert_eq!(walk.give(at(114), observed(&after(at(114)))).unwrap(), []);
    assert_eq!(walk.give(at(133), Event::Elapsed).unwrap(), observe());
    assert_eq!(
        walk.give(at(134), observed(&after(at(134)))).unwrap(),
        restored(NEW)
    );
}

#[test]
fn a_restore_goes_over_a_third_revision_only_if_the_platform_went_there() {
    let third = || {
        let mut seen = steady(at(101), "ecs-svc/third", "backend:5", at(90));
        seen.deployments.push(listed(
            NEW,
            NEW_REVISION,
            DeploymentRole::Inactive,
            RolloutState::Failed,
            0,
            at(10),
        ));
        seen
    };
    // A newer deployment beside our failed one, and no word of a rollback: another deployer.
    let mut walk = looking_back();
    assert_eq!(walk.give(at(101), observed(&third())).unwrap(), []);
    assert!(superseded(&walk));

    let mut told = third();
    let mut record = record(RecordStatus::RollbackSuccessful);
    record.rolled_back_to = Some(revision("backend:5"));
    told.deployments[1].record = Some(record.clone());
    let mut walk = looking_back();
    assert_eq!(
        walk.give(at(101), observed(&told)).unwrap(),
        restored("ecs-svc/third")
    );

    // The record names another revision: someone deployed after the rollback.
    record.rolled_back_to = Some(revision("backend:4"));
    told.deployments[1].record = Some(record);
    let mut walk = looking_back();
    walk.give(at(101), observed(&told)).unwrap();
    assert!(superseded(&walk));

    let mut older = third();
    older.deployments[0].created_at = Timestamp::from_millis(2);
    let mut walk = looking_back();
    assert_eq!(
        walk.give(at(101), observed(&older)).unwrap(),
        restored("ecs-svc/third")
    );
}

#[test]
fn a_restore_yields_to_another_deployer() {
    let mut walk = looking_back();
    assert_eq!(walk.give(at(101), observed(&replaced(at(101)))).unwrap(), []);
    assert!(superseded(&walk));
}

#[test]
fn a_restore_looks_again_after_a_conflict_and_yields() {
    let mut walk = looking_back();
    walk.give(at(101), observed(&halfway(at(101)))).unwrap();
    let conflict = Event::CallFailed(failed(ErrorKind::Conflict, Applied::No));
    assert_eq!(walk.give(at(102), conflict).unwrap(), observe());
    walk.give(at(103), observed(&replaced(at(103)))).unwrap();
    assert!(superseded(&walk));
}

#[test]
fn a_restore_goes_on_under_abort() {
    let mut looking = looking_back();
    let mut writing = looking_back();
    writing.give(at(101), observed(&halfway(at(101)))).unwrap();
    let mut watching = writing.clone();
    watching.give(at(102), updated("ecs-svc/back", at(102))).unwrap();
    for walk in [&mut looking, &mut writing, &mut watching] {
        let deadline = walk.machine.deadline();
        assert_eq!(walk.give(at(103), Event::Abort).unwrap(), []);
        assert_eq!(walk.machine.deadline(), deadline);
    }
    let mut idle = Walk::new(restore());
    assert!(idle.give(at(0), Event::Abort).is_err());
}

#[test]
fn a_service_that_is_gone_cannot_be_restored() {
    let mut seen = before(at(101));
    seen.status = ServiceStatus::Missing;
    let mut walk = looking_back();
    assert_eq!(walk.give(at(101), observed(&seen)).unwrap(), []);
    assert_eq!(walk.machine.outcome(), None, "it may be a stale read");
    seen.at = at(131);
    walk.give(at(131), observed(&seen)).unwrap();
    assert_eq!(failure(&walk).0, Cause::ServiceGone);
}

#[test]
fn an_answer_to_a_write_that_was_never_sent_is_refused() {
    let mut walk = looking_back();
    let refused = walk.give(at(101), updated(NEW, at(10))).unwrap_err();
    assert_eq!(refused.why, "nothing was written yet");
}

/// One of each event.
fn all_events(now: Timestamp) -> Vec<Event> {
    vec![
        Event::Start,
        ready(),
        updated(NEW, at(10)),
        Event::TurningBack,
        observed(&halfway(now)),
        Event::CallFailed(later(Applied::No)),
        Event::Hinted,
        Event::Elapsed,
        Event::Abort,
    ]
}

#[test]
fn every_pair_of_the_table_is_met() {
    let mut reconciling = updating();
    reconciling
        .give(at(10), Event::CallFailed(later(Applied::Maybe)))
        .unwrap();
    let mut ended = watching();
    ended.give(at(11), Event::Abort).unwrap();
    let all = [
        Walk::new(release()),
        started(),
        updating(),
        reconciling,
        watching(),
        ended,
        Walk::new(restore()),
        looking_back(),
    ];
    let mut visited: Visited<Deployment> = Visited::<Deployment>::new();
    for walk in all {
        for event in all_events(at(200)) {
            let mut walk = walk.clone();
            // Refusals are checked by the walk itself.
            let _ = walk.give(at(200), event);
            visited.extend(walk.visited);
        }
    }
    let never: Vec<(StateKind, EventKind)> = never_visited::<Deployment>(&visited);
    assert_eq!(never, []);
}

#[test]
fn the_table_names_its_states() {
    let walk = watching();
    assert_eq!(walk.machine.state_kind(), StateKind::Watching);
    let table = crate::machine::table::<Deployment>();
    assert_eq!(table.rows.len(), 6 * 9);
    assert!(
        table
            .mermaid()
            .contains("Reconciling --> Watching: Updated, Observed"),
        "{}",
        table.mermaid()
    );
}
