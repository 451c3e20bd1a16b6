//! The platform's words without its record and its record without its words, and the moments at which a verdict turns.

use super::*;

/// Ours is still PRIMARY; the platform calls its rollout so, with these words.
fn still_primary(rollout: RolloutState, words: Option<&str>) -> ServiceObservation {
    let mut seen = halfway(at(60));
    seen.deployments[0].rollout = rollout;
    seen.deployments[0].reason = words.map(str::to_owned);
    seen
}

#[test]
fn failed_is_failed_whatever_the_record_still_says() {
    let mut seen = still_primary(RolloutState::Failed, None);
    seen.deployments[0].record = Some(record(RecordStatus::InProgress));
    let judgement = judged(&seen);
    assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
}

#[test]
fn words_of_going_back_count_once_it_has_failed() {
    let words = Some("ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/old");
    assert_eq!(
        rolled_back_to(&judged(&still_primary(RolloutState::Failed, words))),
        None
    );
    let judgement = judged(&still_primary(RolloutState::InProgress, words));
    assert!(
        matches!(judgement, Judgement::Progressing { .. }),
        "{judgement:?}"
    );
    let judgement = judged(&still_primary(
        RolloutState::Failed,
        Some("tasks failed to start"),
    ));
    assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
}

/// Another deployment is PRIMARY; ours is listed as `FAILED`.
fn failed_under(primary: &str, task_definition: &str, created: Timestamp) -> ServiceObservation {
    let mut seen = steady(at(60), primary, task_definition, created);
    let mut ours = listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Active,
        RolloutState::Failed,
        0,
        at(10),
    );
    ours.record = Some(record(RecordStatus::InProgress));
    seen.deployments.push(ours);
    seen
}

#[test]
fn only_an_older_deployment_is_one_that_the_platform_went_back_to() {
    for with_record in [true, false] {
        let judge_at = |created: Timestamp| {
            let mut seen = failed_under(OTHER, OTHER_REVISION, created);
            if !with_record {
                seen.deployments[1].record = None;
            }
            judged(&seen)
        };
        assert_eq!(rolled_back_to(&judge_at(at(9))), Some(OTHER_REVISION));
        for created in [at(10), at(50)] {
            let judgement = judge_at(created);
            assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
        }
    }
}

#[test]
fn the_assumed_deployment_is_gone_back_to_however_young_it_looks() {
    let seen = failed_under(OLD, OLD_REVISION, at(20));
    assert_eq!(rolled_back_to(&judged(&seen)), Some(OLD_REVISION));
}

#[test]
fn an_event_that_tells_of_going_back_from_ours_is_enough() {
    let mut seen = failed_under(OTHER, OTHER_REVISION, at(50));
    seen.deployments[1].record = None;
    assert!(matches!(judged(&seen), Judgement::PlatformFailed(_)));
    let text = format!("(service backend) rolling back from {NEW} to {OTHER}");
    seen.events = vec![event(at(55), &text)];
    assert_eq!(rolled_back_to(&judged(&seen)), Some(OTHER_REVISION));
    seen.events = vec![event(at(55), "(service backend) rolling back from ecs-svc/else")];
    assert!(matches!(judged(&seen), Judgement::PlatformFailed(_)));
}

#[test]
fn a_recent_look_that_shows_the_assumed_deployment_is_behind() {
    let seen = steady(at(30), OLD, OLD_REVISION, at(12));
    let judgement = judged(&seen);
    assert!(
        matches!(judgement, Judgement::NotYetVisible { .. }),
        "{judgement:?}"
    );
    // Another's that is as old as ours is not from before the change.
    let seen = steady(at(30), OTHER, OTHER_REVISION, at(10));
    let judgement = judged(&seen);
    assert!(matches!(judgement, Judgement::Superseded(_)), "{judgement:?}");
}

#[test]
fn a_look_of_the_moment_of_the_write_counts_and_an_older_one_does_not() {
    let judgement = judged(&after(at(9)));
    assert!(matches!(judgement, Judgement::Complete { .. }), "{judgement:?}");
    let judgement = judged(&after(at(8)));
    assert!(
        matches!(judgement, Judgement::NotYetVisible { .. }),
        "{judgement:?}"
    );
}

#[test]
fn reads_lag_as_long_as_the_policy_says_and_no_longer() {
    let judgement = judged(&before(Timestamp::from_millis(at(40).as_millis() - 1)));
    assert!(
        matches!(judgement, Judgement::NotYetVisible { .. }),
        "{judgement:?}"
    );
    let judgement = judged(&before(at(40)));
    assert!(matches!(judgement, Judgement::PlatformFailed(_)), "{judgement:?}");
}

#[test]
fn a_task_is_ours_by_its_deployment_or_by_its_revision() {
    for ours in [
        |task: &mut StoppedTask| task.task_definition = revision(OTHER_REVISION),
        |task: &mut StoppedTask| task.started_by = None,
    ] {
        let mut seen = halfway(at(60));
        seen.stopped = vec![crashed(1, at(20)), crashed(2, at(30))];
        seen.stopped.iter_mut().for_each(ours);
        let judgement = judged(&seen);
        assert!(matches!(judgement, Judgement::Failing(_)), "{judgement:?}");
    }
}

#[test]
fn progress_counts_old_tasks_while_there_are_any() {
    let text = |seen: &ServiceObservation| {
        let judgement = judged(seen);
        let Judgement::Progressing { text, .. } = judgement else {
            panic!("{judgement:?}")
        };
        text
    };
    assert!(text(&halfway(at(60))).starts_with("1/3 running, 1 pending, 2 old: "));
    let mut seen = after(at(60));
    seen.pending = 1;
    assert!(text(&seen).starts_with("3/3 running: "), "{}", text(&seen));
}
