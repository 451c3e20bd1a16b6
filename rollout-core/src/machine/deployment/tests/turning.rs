//! The short cut back: the platform turns our deployment, which is still under way, as it stands.

use super::fixture::*;
use super::transitions::{deployed, observe, restored};
use crate::error::{Applied, ErrorKind};
use crate::id::{ServiceDeploymentArn, TaskDefinitionArn};
use crate::machine::deployment::{Deployment, Effect, Event, Outcome, StateKind};
use crate::machine::testkit::Walk;
use crate::machine::{Machine as _, Transitions as _};
use crate::service::{DeploymentRole, RecordStatus, RolloutState, ServiceObservation};
use crate::time::Timestamp;

/// Ours is PRIMARY and under way; its record says so.
fn going(when: Timestamp, status: RecordStatus) -> ServiceObservation {
    let mut seen = halfway(when);
    seen.deployments[0].record = Some(record(status));
    seen
}

/// What ran before is PRIMARY again, under its own id, and ours is listed as failed.
fn turned(when: Timestamp, rollout: RolloutState) -> ServiceObservation {
    let mut seen = before(when);
    seen.deployments[0].rollout = rollout;
    let mut ours = listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Active,
        RolloutState::Failed,
        0,
        at(10),
    );
    ours.record = Some(record(RecordStatus::RollbackInProgress));
    seen.deployments.push(ours);
    seen
}

fn turn_back() -> Vec<Effect> {
    vec![Effect::TurnBack {
        point: point(),
        assumes: id(NEW),
        record: ServiceDeploymentArn::new("arn:service-deployment/1").unwrap(),
    }]
}

/// A restore that has asked for its first look at 100 s.
fn looking() -> Walk<Deployment> {
    let mut walk = Walk::new(fast_restore());
    walk.give(at(100), Event::Start).unwrap();
    walk
}

/// One that has asked the platform to turn ours back, at 101 s.
fn asked() -> Walk<Deployment> {
    let mut walk = looking();
    let seen = observed(&going(at(101), RecordStatus::InProgress));
    assert_eq!(walk.give(at(101), seen).unwrap(), turn_back());
    walk
}

#[test]
fn what_is_under_way_is_turned_back_and_what_ran_before_is_verified() {
    let mut walk = asked();
    assert!(walk.machine.touched());
    assert_eq!(walk.give(at(102), Event::TurningBack).unwrap(), observe());
    let seen = observed(&going(at(102), RecordStatus::RollbackRequested));
    assert_eq!(walk.give(at(102), seen).unwrap(), []);
    assert_eq!(walk.give(at(107), Event::Elapsed).unwrap(), observe());
    let seen = observed(&turned(at(107), RolloutState::InProgress));
    walk.give(at(107), seen).unwrap();
    assert_eq!(walk.machine.state_kind(), StateKind::Watching);
    walk.give(at(112), Event::Elapsed).unwrap();
    walk.give(at(112), observed(&turned(at(112), RolloutState::Completed)))
        .unwrap();
    assert_eq!(deployed(&walk).0, OLD);
}

#[test]
fn nothing_else_is_turned_back() {
    let seen = |change: &dyn Fn(&mut ServiceObservation)| {
        let mut seen = going(at(101), RecordStatus::InProgress);
        change(&mut seen);
        seen
    };
    let plain = [
        // Where the platform keeps no record there is nothing to turn.
        seen(&|seen| seen.deployments[0].record = None),
        seen(&|seen| seen.deployments[0].record = Some(record(RecordStatus::Successful))),
        seen(&|seen| seen.deployments[0].record = Some(record(RecordStatus::RollbackFailed))),
        seen(&|seen| seen.deployments[0].record = Some(record(RecordStatus::Stopped))),
        seen(&|seen| seen.deployments[0].rollout = RolloutState::Completed),
        seen(&|seen| seen.deployments[0].rollout = RolloutState::Failed),
    ];
    for seen in plain {
        assert_eq!(
            looking().give(at(101), observed(&seen)).unwrap(),
            restored(NEW),
            "{seen:?}"
        );
    }
    // Not ours.
    let theirs = seen(&|seen| {
        seen.deployments[0].id = id(OTHER);
        seen.deployments[0].task_definition = revision(OTHER_REVISION);
    });
    let mut walk = looking();
    assert_eq!(walk.give(at(101), observed(&theirs)).unwrap(), []);
    assert!(matches!(walk.machine.outcome(), Some(Outcome::Superseded { .. })));
    // Not allowed.
    let mut walk = Walk::new(restore());
    walk.give(at(100), Event::Start).unwrap();
    let seen = observed(&going(at(101), RecordStatus::InProgress));
    assert_eq!(walk.give(at(101), seen).unwrap(), restored(NEW));
}

#[test]
fn a_short_cut_that_is_refused_leaves_the_plain_way_and_is_not_tried_again() {
    for kind in [
        ErrorKind::PermissionDenied,
        ErrorKind::Conflict,
        ErrorKind::Unsupported,
        ErrorKind::InvalidRequest,
        ErrorKind::NotFound,
        ErrorKind::Throttled,
    ] {
        let mut walk = asked();
        let refused = Event::CallFailed(failed(kind, Applied::No));
        assert_eq!(walk.give(at(102), refused).unwrap(), observe(), "{kind:?}");
        let seen = observed(&going(at(103), RecordStatus::InProgress));
        assert_eq!(walk.give(at(103), seen).unwrap(), restored(NEW), "{kind:?}");
    }
}

#[test]
fn a_lost_answer_is_looked_after_and_not_repeated() {
    let mut walk = asked();
    let lost = Event::CallFailed(later(Applied::Maybe));
    assert_eq!(walk.give(at(110), lost).unwrap(), observe());
    // The look may be older than the asking.
    assert_eq!(
        walk.give(at(111), observed(&going(at(111), RecordStatus::InProgress)))
            .unwrap(),
        []
    );
    assert_eq!(walk.give(at(116), Event::Elapsed).unwrap(), observe());
    // It goes on forward: the asking did not get there.
    let seen = observed(&going(at(140), RecordStatus::InProgress));
    assert_eq!(walk.give(at(140), seen).unwrap(), restored(NEW));
    // A late answer to it is not taken for one to the write.
    assert_eq!(walk.give(at(141), Event::TurningBack).unwrap(), []);
    assert_eq!(walk.machine.state_kind(), StateKind::Updating);
}

#[test]
fn an_answer_that_never_comes_is_a_lost_one() {
    let mut walk = asked();
    let until = walk.machine.deadline().unwrap().at;
    assert_eq!(walk.give(until, Event::Elapsed).unwrap(), observe());
    let when = Timestamp::from_millis(until.as_millis() + 1);
    walk.give(when, observed(&turned(when, RolloutState::Completed)))
        .unwrap();
    assert_eq!(deployed(&walk).0, OLD);
}

#[test]
fn a_platform_that_does_not_get_there_is_written_over() {
    let mut walk = asked();
    walk.give(at(102), Event::TurningBack).unwrap();
    let mut seen = going(at(103), RecordStatus::RollbackFailed);
    seen.deployments[0].rollout = RolloutState::Failed;
    assert_eq!(walk.give(at(103), observed(&seen)).unwrap(), restored(NEW));
}

#[test]
fn a_platform_that_goes_somewhere_else_is_written_over() {
    let third: TaskDefinitionArn = revision("backend:7");
    let mut walk = asked();
    walk.give(at(102), Event::TurningBack).unwrap();
    let mut seen = turned(at(140), RolloutState::InProgress);
    seen.deployments[0].id = id(OTHER);
    seen.deployments[0].task_definition = third.clone();
    let mut back = record(RecordStatus::RollbackInProgress);
    back.rolled_back_to = Some(third);
    seen.deployments[1].record = Some(back);
    assert_eq!(walk.give(at(140), observed(&seen)).unwrap(), restored(OTHER));
}

#[test]
fn another_deployer_is_yielded_to_while_it_turns() {
    let mut walk = asked();
    walk.give(at(102), Event::TurningBack).unwrap();
    let foreign = steady(at(140), OTHER, OTHER_REVISION, at(130));
    walk.give(at(140), observed(&foreign)).unwrap();
    assert!(matches!(walk.machine.outcome(), Some(Outcome::Superseded { .. })));
}

#[test]
fn another_deployer_is_yielded_to_although_ours_was_to_be_turned_back() {
    let mut walk = asked();
    walk.give(at(102), Event::TurningBack).unwrap();
    let mut foreign = steady(at(140), OTHER, OTHER_REVISION, at(130));
    let mut ours = going(at(140), RecordStatus::RollbackRequested)
        .deployments
        .remove(0);
    ours.role = DeploymentRole::Active;
    foreign.deployments.push(ours);
    assert_eq!(walk.give(at(140), observed(&foreign)).unwrap(), []);
    assert!(matches!(walk.machine.outcome(), Some(Outcome::Superseded { .. })));
}

#[test]
fn a_look_from_before_our_change_is_not_taken_for_the_way_back() {
    let mut walk = asked();
    walk.give(at(102), Event::TurningBack).unwrap();
    // It does not list ours: it may be from before.
    assert_eq!(walk.give(at(103), observed(&before(at(103)))).unwrap(), []);
    assert_eq!(walk.machine.outcome(), None);
    assert_eq!(walk.machine.state_kind(), StateKind::Reconciling);
}
