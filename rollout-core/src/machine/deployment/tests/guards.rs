//! Which moment counts, whose a deployment is, and when a call is over: one guard after the other.

use super::fixture::*;
use super::transitions::*;
use crate::error::{Applied, ErrorKind};
use crate::evidence::Cause;
use crate::machine::deployment::standing::{Question, Standing, standing};
use crate::machine::deployment::{Deployment, Event, Outcome, Spec, StateKind, Target};
use crate::machine::testkit::Walk;
use crate::machine::{Machine as _, Transitions as _};
use crate::service::{DeploymentRole, RolloutState, ServiceObservation, ServiceStatus, StoppedTask};
use crate::time::Timestamp;

fn lost() -> Event {
    Event::CallFailed(later(Applied::Maybe))
}

/// Two tasks of ours that crashed at a moment.
fn with_crashes(mut seen: ServiceObservation, when: Timestamp) -> ServiceObservation {
    seen.stopped = vec![crashed(1, when), crashed(2, when)];
    seen
}

#[test]
fn an_early_elapsed_leaves_a_call_under_way() {
    let mut walk = updating();
    let deadline = walk.machine.deadline();
    assert_eq!(walk.give(at(10), Event::Elapsed).unwrap(), []);
    assert_eq!(walk.machine.deadline(), deadline);
}

#[test]
fn a_look_that_failed_once_is_repeated_and_one_failed_call_is_not_counted_aloud() {
    let mut walk = looking_back();
    assert_eq!(
        walk.give(at(101), Event::CallFailed(later(Applied::No))).unwrap(),
        []
    );
    assert_eq!(walk.give(at(106), Event::Elapsed).unwrap(), observe());

    let mut walk = updating();
    let denied = Event::CallFailed(failed(ErrorKind::PermissionDenied, Applied::No));
    walk.give(at(10), denied).unwrap();
    let (cause, _, text) = failure(&walk);
    assert_eq!(cause, Cause::PermissionDenied);
    assert!(!text.contains("in a row"), "{text}");
}

#[test]
fn the_time_of_the_first_write_counts_for_the_end() {
    let mut walk = updating();
    walk.give(at(10), lost()).unwrap();
    assert_eq!(
        walk.give(at(41), observed(&before(at(41)))).unwrap(),
        update(Some(OLD))
    );
    walk.give(at(42), updated(NEW, at(42))).unwrap();
    walk.give(at(43), observed(&halfway(at(43)))).unwrap();
    walk.give(at(609), Event::Elapsed).unwrap();
    assert_eq!(failure(&walk).0, Cause::DeadlineExceeded);
}

#[test]
fn losing_the_answer_too_often_ends_it() {
    let mut walk = updating();
    for round in 0..3 {
        walk.give(at(10 + 32 * round), lost()).unwrap();
        let now = at(41 + 32 * round);
        let effects = walk.give(now, observed(&before(now))).unwrap();
        assert_eq!(effects.is_empty(), round == 2, "round {round}");
    }
    let (cause, touched, _) = failure(&walk);
    assert_eq!((cause, touched), (Cause::CallFailed, true));
}

/// The platform's clock may be behind ours.
#[test]
fn tasks_of_a_new_deployment_count_from_its_own_beginning() {
    let mut walk = updating();
    walk.give(at(10), updated(NEW, at(5))).unwrap();
    walk.give(at(11), observed(&with_crashes(halfway(at(11)), at(7))))
        .unwrap();
    assert_eq!(failure(&walk).0, Cause::ContainerExited);

    // Found, not answered with: the same.
    let found = |crash: Timestamp| {
        let mut walk = updating();
        walk.give(at(10), lost()).unwrap();
        let mut seen = with_crashes(halfway(at(17)), crash);
        seen.deployments[0].created_at = at(5);
        walk.give(at(17), observed(&seen)).unwrap();
        walk.machine.outcome().is_some()
    };
    assert!(found(at(7)));
    assert!(!found(at(4)), "what stopped before it was there is not its own");
}

#[test]
fn tasks_of_a_deployment_that_was_there_before_count_from_the_write() {
    let mut walk = updating();
    walk.give(at(10), lost()).unwrap();
    let mut seen = steady(at(17), OLD, NEW_REVISION, Timestamp::from_millis(1));
    let old = |number| StoppedTask {
        started_by: Some(id(OLD)),
        ..crashed(number, at(1))
    };
    seen.stopped = vec![old(1), old(2)];
    walk.give(at(17), observed(&seen)).unwrap();
    assert_eq!(deployed(&walk).0, OLD);
}

/// A restore over our deployment, whose answer was lost at 102 s.
fn restore_lost() -> Walk<Deployment> {
    let mut walk = looking_back();
    assert_eq!(
        walk.give(at(101), observed(&after(at(101)))).unwrap(),
        restored(NEW)
    );
    walk.give(at(102), lost()).unwrap();
    walk
}

#[test]
fn only_the_captured_deployment_may_be_a_stale_read_and_only_for_so_long() {
    let mut walk = restore_lost();
    let back = steady(at(103), "ecs-svc/back", OLD_REVISION, at(102));
    walk.give(at(103), observed(&back)).unwrap();
    assert_eq!(walk.machine.deployment_id(), Some(&id("ecs-svc/back")));

    let mut walk = restore_lost();
    let just_before = Timestamp::from_millis(at(131).as_millis() - 1);
    walk.give(just_before, observed(&before(just_before))).unwrap();
    assert_eq!(walk.machine.deployment_id(), None);
    walk.give(at(140), Event::Elapsed).unwrap();
    let mut walk = restore_lost();
    walk.give(at(131), observed(&before(at(131)))).unwrap();
    assert_eq!(deployed(&walk).0, OLD);
}

#[test]
fn a_change_that_shows_after_a_lost_restore_is_written_over_at_once() {
    let mut walk = restore_lost();
    let again = steady(at(103), "ecs-svc/new-2", NEW_REVISION, at(102));
    assert_eq!(
        walk.give(at(103), observed(&again)).unwrap(),
        restored("ecs-svc/new-2")
    );
}

#[test]
fn a_write_refused_after_a_lost_one_is_still_touched() {
    let mut walk = updating();
    walk.give(at(10), lost()).unwrap();
    assert_eq!(
        walk.give(at(41), observed(&before(at(41)))).unwrap(),
        update(Some(OLD))
    );
    walk.give(at(42), Event::CallFailed(later(Applied::No))).unwrap();
    assert_eq!(walk.machine.state_kind(), StateKind::Updating);
    assert!(walk.machine.touched(), "the first write may have taken effect");
}

/// A restore that knows this much of the forward change.
fn restore_knowing(ours: Option<&str>, our_revision: Option<&str>) -> Walk<Deployment> {
    let target = Target::Restore {
        point: point(),
        ours: ours.map(id),
        our_revision: our_revision.map(revision),
        fast: false,
    };
    let spec = Spec {
        target,
        ..restore_spec()
    };
    let mut walk = Walk::new(Deployment::new(spec, policy()));
    walk.give(at(100), Event::Start).unwrap();
    walk
}

#[test]
fn a_late_change_is_ours_by_its_deployment_or_by_its_revision() {
    for (ours, our_revision) in [(Some(NEW), None), (None, Some(NEW_REVISION))] {
        let mut walk = restore_knowing(ours, our_revision);
        assert_eq!(walk.give(at(101), observed(&before(at(101)))).unwrap(), []);
        let late = steady(at(106), NEW, NEW_REVISION, at(104));
        assert_eq!(walk.give(at(106), observed(&late)).unwrap(), restored(NEW));
    }
    let mut walk = restore_knowing(Some(NEW), Some(NEW_REVISION));
    walk.give(at(101), observed(&before(at(101)))).unwrap();
    let another = steady(at(106), OTHER, OTHER_REVISION, at(104));
    walk.give(at(106), observed(&another)).unwrap();
    assert!(matches!(walk.machine.outcome(), Some(Outcome::Superseded { .. })));
}

#[test]
fn a_service_that_had_no_tasks_is_restored_without_any() {
    let mut empty = point();
    empty.desired = 0;
    let target = Target::Restore {
        point: empty,
        ours: Some(id(NEW)),
        our_revision: Some(revision(NEW_REVISION)),
        fast: false,
    };
    let spec = Spec {
        target,
        ..restore_spec()
    };
    let mut walk = Walk::new(Deployment::new(spec, policy()));
    walk.give(at(100), Event::Start).unwrap();
    let mut seen = before(at(140));
    (seen.desired, seen.running) = (0, 0);
    (seen.deployments[0].desired, seen.deployments[0].running) = (0, 0);
    seen.tasks.clear();
    walk.give(at(140), observed(&seen)).unwrap();
    assert_eq!(deployed(&walk).0, OLD);
}

/// What a restore makes of a look, when reads are fresh from 130 s on.
fn restoring(seen: &ServiceObservation) -> Standing {
    let (service, old, spec) = (service(), revision(OLD_REVISION), restore_spec());
    let question = Question {
        service: &service,
        target: &spec.target,
        revision: &old,
        asked_at: None,
        fresh_from: at(130),
        slack: policy().stale_reads,
    };
    standing(&question, seen)
}

#[test]
fn a_missing_service_may_be_a_stale_read_and_one_that_is_being_deleted_is_not() {
    let gone = |status, when| {
        let mut seen = before(when);
        seen.status = status;
        restoring(&seen)
    };
    assert!(matches!(
        gone(ServiceStatus::Missing, at(129)),
        Standing::Unclear(_)
    ));
    assert!(matches!(gone(ServiceStatus::Missing, at(130)), Standing::Gone(_)));
    assert!(matches!(
        gone(ServiceStatus::Draining, at(129)),
        Standing::Gone(_)
    ));
}

#[test]
fn the_captured_deployment_is_written_over_whatever_it_runs() {
    let seen = steady(at(140), OLD, OTHER_REVISION, at(1));
    assert_eq!(restoring(&seen), Standing::Writable(Some(id(OLD))));
    let mut seen = steady(at(140), OTHER, OTHER_REVISION, at(120));
    assert!(matches!(restoring(&seen), Standing::Foreign(_)));
    // Ours has failed and an older one serves: the platform went there.
    seen.deployments[0].created_at = at(1);
    seen.deployments.push(listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Active,
        RolloutState::Failed,
        0,
        at(10),
    ));
    assert_eq!(restoring(&seen), Standing::Writable(Some(id(OTHER))));
}
