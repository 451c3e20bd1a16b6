//! Each verdict, and each clause of a success alone.

use super::super::tests::fixture::*;
use super::*;
use crate::service::{DeploymentRole, RolloutState};

mod edges;

fn bound() -> Bound {
    Bound {
        deployment: id(NEW),
        task_definition: revision(NEW_REVISION),
        assumed: Some(id(OLD)),
        created_at: at(10),
        asked_at: at(9),
        changed_at: at(10),
        since: at(10),
        visible_at: at(10),
    }
}

fn judged_as(bound: &Bound, seen: &ServiceObservation) -> Judgement {
    let (service, images, policy) = (service(), images(NEW_REVISION), policy());
    let known = Known {
        service: &service,
        images: &images,
        policy: &policy,
        bound,
        least: 1,
    };
    judge(&known, seen)
}

fn judged(seen: &ServiceObservation) -> Judgement {
    judged_as(&bound(), seen)
}

/// PRIMARY is the old deployment again; ours is listed as `FAILED` without tasks.
fn went_back_to_old(when: Timestamp) -> ServiceObservation {
    let mut seen = before(when);
    seen.deployments.push(listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Inactive,
        RolloutState::Failed,
        0,
        at(10),
    ));
    seen
}

fn rolled_back_to(judgement: &Judgement) -> Option<&str> {
    let Judgement::PlatformRolledBack { to, .. } = judgement else {
        panic!("not rolled back: {judgement:?}")
    };
    to.as_ref().map(TaskDefinitionArn::as_str)
}

#[test]
fn a_finished_deployment_is_complete_and_says_on_what_it_rests() {
    let Judgement::Complete { evidence } = judged(&after(at(60))) else {
        panic!()
    };
    assert_eq!(evidence.len(), 2);
    assert!(evidence[0].detail.contains("COMPLETED"), "{evidence:?}");
    assert!(
        evidence[1]
            .detail
            .starts_with("3 of 3 running tasks show sha256:")
    );
}

#[test]
fn every_clause_of_a_success_is_needed() {
    type Break = fn(&mut ServiceObservation);
    let clauses: Vec<(&str, Break)> = vec![
        ("active", |s| s.status = ServiceStatus::Other("BUSY".to_owned())),
        ("completed", |s| {
            s.deployments[0].rollout = RolloutState::InProgress
        }),
        ("rollout told", |s| {
            s.deployments[0].rollout = RolloutState::Other(String::new());
        }),
        ("record done", |s| {
            s.deployments[0].record = Some(record(RecordStatus::InProgress));
        }),
        ("record pending", |s| {
            s.deployments[0].record = Some(record(RecordStatus::Pending));
        }),
        ("record known", |s| {
            s.deployments[0].record = Some(record(RecordStatus::Other("ODD".to_owned())));
        }),
        ("record agrees", |s| {
            s.deployments[0].record = Some(record(RecordStatus::Successful));
            s.deployments[0].rollout = RolloutState::InProgress;
        }),
        ("service desired", |s| s.desired = 4),
        ("service running", |s| s.running = 2),
        ("deployment desired", |s| s.deployments[0].desired = 2),
        ("deployment running", |s| s.deployments[0].running = 2),
        ("the same wanted", |s| {
            (s.deployments[0].desired, s.deployments[0].running) = (2, 2);
        }),
        ("both running", |s| {
            s.running = 4;
            s.deployments[0].running = 4;
        }),
        ("service pending", |s| s.pending = 1),
        ("deployment pending", |s| s.deployments[0].pending = 1),
        ("wanted", |s| {
            (s.desired, s.running) = (0, 0);
            (s.deployments[0].desired, s.deployments[0].running) = (0, 0);
            s.tasks.clear();
        }),
        ("old ones gone", |s| {
            s.deployments.push(listed(
                OLD,
                OLD_REVISION,
                DeploymentRole::Active,
                RolloutState::Completed,
                1,
                at(0),
            ));
        }),
        ("task listed", |s| {
            s.tasks.pop();
        }),
        ("no task more", |s| s.tasks.push(running(9, NEW_REVISION))),
        ("task's revision", |s| {
            s.tasks[1].task_definition = revision(OLD_REVISION)
        }),
        ("task's digest", |s| s.tasks[2].images = images(OLD_REVISION)),
        ("digest told", |s| s.tasks[0].images.clear()),
    ];
    for (clause, break_it) in clauses {
        let mut seen = after(at(60));
        break_it(&mut seen);
        let judgement = judged(&seen);
        assert!(
            matches!(judgement, Judgement::Progressing { .. }),
            "{clause}: {judgement:?}"
        );
    }
    let mut seen = after(at(60));
    seen.at = at(8);
    assert!(
        matches!(judged(&seen), Judgement::NotYetVisible { .. }),
        "older than the change"
    );
    let foreign = judged(&replaced(at(60)));
    assert!(
        matches!(foreign, Judgement::Superseded(_)),
        "PRIMARY: {foreign:?}"
    );
}

#[test]
fn another_containers_image_and_empty_old_deployments_do_not_matter() {
    let mut seen = after(at(60));
    let sidecar = crate::id::ContainerName::new("sidecar").unwrap();
    for task in &mut seen.tasks {
        task.images
            .insert(sidecar.clone(), crate::id::ImageDigest::of(b"proxy"));
    }
    seen.deployments.push(listed(
        "ecs-svc/earlier",
        OTHER_REVISION,
        DeploymentRole::Inactive,
        RolloutState::Failed,
        0,
        at(0),
    ));
    assert!(matches!(judged(&seen), Judgement::Complete { .. }));
}

#[test]
fn a_record_that_says_successful_stands_in_for_a_rollout_state_that_is_not_told() {
    let mut seen = after(at(60));
    seen.deployments[0].rollout = RolloutState::Other(String::new());
    seen.deployments[0].record = Some(record(RecordStatus::Successful));
    assert!(matches!(judged(&seen), Judgement::Complete { .. }));
}

#[test]
fn a_service_scaled_to_zero_is_enough_only_where_nothing_ran_before() {
    let mut seen = after(at(60));
    (seen.desired, seen.running) = (0, 0);
    (seen.deployments[0].desired, seen.deployments[0].running) = (0, 0);
    seen.tasks.clear();
    let (service, images, policy, bound) = (service(), images(NEW_REVISION), policy(), bound());
    let with = |least| {
        let known = Known {
            service: &service,
            images: &images,
            policy: &policy,
            bound: &bound,
            least,
        };
        judge(&known, &seen)
    };
    assert!(matches!(with(0), Judgement::Complete { .. }));
    assert!(matches!(with(1), Judgement::Progressing { .. }));
}

#[test]
fn stages_are_named_and_unknown_ones_carried() {
    for (stage, name) in [
        (Stage::ScaleUp, "SCALE_UP"),
        (Stage::Other("NEW_STAGE".to_owned()), "NEW_STAGE"),
    ] {
        let mut seen = halfway(at(20));
        let mut record = record(RecordStatus::InProgress);
        record.strategy = crate::service::Strategy::BlueGreen;
        record.stage = Some(stage.clone());
        seen.deployments[0].record = Some(record);
        let Judgement::Progressing { stage: seen, text } = judged(&seen) else {
            panic!()
        };
        assert_eq!(seen, Some(stage));
        assert!(
            text.starts_with(&format!("1/3 running, 1 pending, 2 old, stage {name}")),
            "{text}"
        );
    }
}

#[test]
fn a_read_from_before_the_change_is_not_a_verdict() {
    for recent in [11, 39] {
        let judgement = judged(&before(at(recent)));
        assert!(
            matches!(judgement, Judgement::NotYetVisible { .. }),
            "{judgement:?}"
        );
    }
    let mut older = before(at(12));
    older.deployments[0].id = id("ecs-svc/older");
    assert!(matches!(judged(&older), Judgement::NotYetVisible { .. }));
    let mut empty = before(at(12));
    empty.deployments.clear();
    assert!(matches!(judged(&empty), Judgement::NotYetVisible { .. }));
    let mut missing = before(at(12));
    missing.status = ServiceStatus::Missing;
    assert!(matches!(judged(&missing), Judgement::NotYetVisible { .. }));
}

#[test]
fn a_stale_read_after_a_fresh_one_is_not_a_verdict() {
    let mut bound = bound();
    bound.visible_at = at(300);
    let judgement = judged_as(&bound, &before(at(301)));
    assert!(
        matches!(judgement, Judgement::NotYetVisible { .. }),
        "{judgement:?}"
    );
}

#[test]
fn a_deployment_that_is_gone_has_failed_once_reads_are_fresh() {
    let Judgement::PlatformFailed(reason) = judged(&before(at(40))) else {
        panic!()
    };
    assert_eq!(reason.text, "our deployment ecs-svc/new is gone");
    let mut empty = before(at(40));
    empty.deployments.clear();
    assert!(matches!(judged(&empty), Judgement::PlatformFailed(_)));
}

#[test]
fn a_first_deployment_shows_nothing_before_it_shows_itself() {
    let mut bound = bound();
    bound.assumed = None;
    let mut empty = before(at(12));
    empty.deployments.clear();
    assert!(matches!(
        judged_as(&bound, &empty),
        Judgement::NotYetVisible { .. }
    ));
    assert!(matches!(
        judged_as(&bound, &after(at(60))),
        Judgement::Complete { .. }
    ));
}

#[test]
fn enough_failed_tasks_end_it_early_with_the_reason() {
    let mut seen = halfway(at(30));
    seen.stopped = vec![crashed(1, at(20))];
    assert!(matches!(judged(&seen), Judgement::Progressing { .. }));
    seen.stopped.push(crashed(2, at(25)));
    seen.events = vec![
        event(at(9), "of a deployment before ours, which is not quoted"),
        event(at(26), "has started 1 tasks"),
    ];
    let Judgement::Failing(reason) = judged(&seen) else {
        panic!()
    };
    assert_eq!(reason.cause, Cause::ContainerExited);
    assert_eq!(
        reason.text,
        "2 tasks of backend stopped: Essential container in task exited (exit code 1)"
    );
    let details: Vec<_> = reason.evidence.iter().map(|e| e.detail.as_str()).collect();
    let exited = "Essential container in task exited; container app exited with 1";
    assert_eq!(
        details,
        [
            exited,
            "panic: no database",
            exited,
            "panic: no database",
            "has started 1 tasks"
        ]
    );
}

#[test]
fn the_most_frequent_cause_is_named() {
    let mut seen = halfway(at(30));
    let pull = |number, when| StoppedTask {
        cause: Some(Cause::ImagePull),
        reason: "CannotPullContainerError: not found".to_owned(),
        containers: Vec::new(),
        ..crashed(number, when)
    };
    seen.stopped = vec![pull(1, at(20)), pull(2, at(21)), crashed(3, at(22))];
    let Judgement::Failing(reason) = judged(&seen) else {
        panic!()
    };
    assert_eq!(reason.cause, Cause::ImagePull);
    assert_eq!(
        reason.text,
        "3 tasks of backend stopped, 2 of them for the same cause: CannotPullContainerError: not found"
    );
}

#[test]
fn tasks_that_are_not_ours_or_no_failures_do_not_count() {
    let mut seen = halfway(at(30));
    let scaled_in = StoppedTask {
        cause: None,
        ..crashed(1, at(20))
    };
    let of_old = StoppedTask {
        task_definition: revision(OLD_REVISION),
        started_by: Some(id(OLD)),
        ..crashed(2, at(20))
    };
    // The same revision failed in an earlier run.
    let of_before = StoppedTask {
        started_by: None,
        ..crashed(3, at(9))
    };
    for task in [scaled_in, of_old, of_before] {
        seen.stopped = vec![task.clone(), task.clone(), task];
        let judgement = judged(&seen);
        assert!(
            matches!(judgement, Judgement::Progressing { .. }),
            "{judgement:?}"
        );
    }
    let by_revision = StoppedTask {
        started_by: None,
        ..crashed(4, at(20))
    };
    seen.stopped = vec![by_revision.clone(), by_revision];
    assert!(matches!(judged(&seen), Judgement::Failing(_)));
}

#[test]
fn failed_with_nowhere_to_go_is_the_platforms_failure() {
    let mut seen = halfway(at(30));
    seen.deployments[0].rollout = RolloutState::Failed;
    seen.deployments[0].reason = Some("tasks failed to start".to_owned());
    let Judgement::PlatformFailed(reason) = judged(&seen) else {
        panic!()
    };
    assert_eq!(
        reason.text,
        "the platform gave deployment ecs-svc/new up: tasks failed to start"
    );
    for status in [RecordStatus::Stopped, RecordStatus::StopRequested] {
        let mut seen = halfway(at(30));
        seen.deployments[0].record = Some(record(status));
        assert!(matches!(judged(&seen), Judgement::PlatformFailed(_)));
    }
}

#[test]
fn a_record_that_speaks_of_rollback_decides_at_once() {
    for status in [
        RecordStatus::RollbackRequested,
        RecordStatus::RollbackInProgress,
        RecordStatus::RollbackSuccessful,
        RecordStatus::RollbackFailed,
    ] {
        let mut seen = halfway(at(30));
        let mut record = record(status);
        record.rolled_back_to = Some(revision(OLD_REVISION));
        seen.deployments[0].record = Some(record.clone());
        assert_eq!(rolled_back_to(&judged(&seen)), Some(OLD_REVISION));
        let mut seen = went_back_to_old(at(11));
        seen.deployments[1].rollout = RolloutState::InProgress;
        seen.deployments[1].record = Some(record);
        assert_eq!(rolled_back_to(&judged(&seen)), Some(OLD_REVISION));
    }
}

#[test]
fn failed_and_replaced_by_an_older_one_is_rolled_back_even_on_a_recent_look() {
    assert_eq!(
        rolled_back_to(&judged(&went_back_to_old(at(11)))),
        Some(OLD_REVISION)
    );
    let mut third = went_back_to_old(at(11));
    third.deployments[0].id = id("ecs-svc/third");
    third.deployments[0].task_definition = revision("backend:5");
    assert_eq!(rolled_back_to(&judged(&third)), Some("backend:5"));
}

#[test]
fn without_a_record_the_platforms_words_tell_a_rollback_from_a_rival() {
    let newer = || {
        let mut seen = before(at(50));
        seen.deployments[0].id = id("ecs-svc/back");
        seen.deployments[0].created_at = at(40);
        seen
    };
    assert!(matches!(judged(&newer()), Judgement::Superseded(_)));
    let mut by_reason = newer();
    by_reason.deployments[0].reason =
        Some("ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/old.".to_owned());
    assert_eq!(rolled_back_to(&judged(&by_reason)), Some(OLD_REVISION));
    let mut by_event = newer();
    by_event.events = vec![event(
        at(39),
        "(service backend) (deployment ecs-svc/new) deployment failed: tasks failed to start.",
    )];
    assert_eq!(rolled_back_to(&judged(&by_event)), Some(OLD_REVISION));
    let mut of_another = newer();
    of_another.events = vec![event(
        at(39),
        "(service backend) (deployment ecs-svc/xyz) deployment failed: tasks failed to start.",
    )];
    assert!(matches!(judged(&of_another), Judgement::Superseded(_)));
}

#[test]
fn words_do_not_overrule_a_record() {
    let mut seen = replaced(at(50));
    seen.deployments[0].reason = Some("rolling back to deploymentId ecs-svc/old".to_owned());
    for status in [
        RecordStatus::Stopped,
        RecordStatus::InProgress,
        RecordStatus::Successful,
    ] {
        seen.deployments[1].record = Some(record(status));
        let judgement = judged(&seen);
        assert!(matches!(judgement, Judgement::Superseded(_)), "{judgement:?}");
    }
}

#[test]
fn a_newer_deployment_of_another_supersedes_at_once() {
    let Judgement::Superseded(by) = judged(&replaced(at(11))) else {
        panic!()
    };
    assert_eq!(
        (by.deployment, by.task_definition),
        (id(OTHER), revision(OTHER_REVISION))
    );
    assert_eq!(by.evidence.len(), 2);
}

#[test]
fn our_failed_deployment_under_a_newer_one_has_failed_and_is_not_called_rolled_back() {
    let mut seen = replaced(at(50));
    seen.deployments[1].rollout = RolloutState::Failed;
    let judgement = judged(&seen);
    assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
}

/// Another deployment has come to its end between two looks, perhaps with our own revision: the record of ours says `STOPPED`.
#[test]
fn our_stopped_deployment_under_a_newer_one_is_superseded() {
    for status in [RecordStatus::Stopped, RecordStatus::StopRequested] {
        let mut seen = replaced(at(50));
        seen.deployments[0].task_definition = revision(NEW_REVISION);
        seen.deployments[1].rollout = RolloutState::Failed;
        seen.deployments[1].record = Some(record(status.clone()));
        let Judgement::Superseded(by) = judged(&seen) else {
            panic!("{status:?}: {:?}", judged(&seen))
        };
        assert_eq!(by.deployment, id(OTHER));
        // One that is older was not brought by anybody while ours was under way.
        seen.deployments[0].created_at = at(10);
        let judgement = judged(&seen);
        assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
    }
}

#[test]
fn a_service_that_is_gone_is_gone() {
    for status in [
        ServiceStatus::Draining,
        ServiceStatus::Missing,
        ServiceStatus::Other("INACTIVE".to_owned()),
    ] {
        let mut seen = after(at(60));
        seen.status = status;
        let Judgement::Gone(reason) = judged(&seen) else {
            panic!()
        };
        assert_eq!(reason.cause, Cause::ServiceGone);
        assert!(!reason.evidence.is_empty());
    }
}
