//! The eight scripts of goal P5, at the level of the machine: what the platform shows, look by look, and the right end.

use super::fixture::*;
use crate::evidence::Cause;
use crate::machine::Machine as _;
use crate::machine::deployment::{Deployment, Effect, Event, Outcome};
use crate::machine::testkit::Walk;
use crate::service::{
    DeploymentObservation, DeploymentRole, RecordStatus, RolloutState, ServiceObservation, ServiceStatus,
};
use crate::time::Timestamp;

/// What the platform shows at a moment.
type Script = fn(Timestamp) -> ServiceObservation;

/// Lets the machine run against a script: each look is answered at once with what the script shows then.
fn play(script: Script) -> (Outcome, Timestamp) {
    let mut walk: Walk<Deployment> = watching();
    let mut now = at(10);
    let mut looks = 1;
    for _ in 0..1000 {
        if let Some(outcome) = walk.machine.outcome() {
            walk.check_replay(&release());
            return (outcome, now);
        }
        let effects = if looks == 0 {
            now = walk.machine.deadline().unwrap().at;
            walk.give(now, Event::Elapsed).unwrap()
        } else {
            looks -= 1;
            walk.give(now, observed(&script(now))).unwrap()
        };
        for effect in effects {
            assert!(
                matches!(effect, Effect::Observe { .. }),
                "a write after the update: {effect:?}"
            );
            looks += 1;
        }
    }
    panic!("it never ends: {:?}", walk.machine);
}

fn failed_deployment() -> DeploymentObservation {
    let mut ours = listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Inactive,
        RolloutState::Failed,
        0,
        at(10),
    );
    ours.reason = Some("ECS deployment circuit breaker: tasks failed to start.".to_owned());
    ours
}

fn stable(now: Timestamp) -> ServiceObservation {
    if now < at(60) { halfway(now) } else { after(now) }
}

fn failed_tasks(now: Timestamp) -> ServiceObservation {
    let mut seen = halfway(now);
    if now >= at(30) {
        seen.stopped = vec![crashed(1, at(20)), crashed(2, at(28))];
    }
    seen
}

fn went_back(now: Timestamp) -> ServiceObservation {
    if now < at(60) {
        return halfway(now);
    }
    let mut seen = before(now);
    seen.deployments.push(failed_deployment());
    seen
}

fn no_target(now: Timestamp) -> ServiceObservation {
    let mut seen = halfway(now);
    if now >= at(60) {
        seen.deployments[0].rollout = RolloutState::Failed;
    }
    seen
}

fn third_revision(now: Timestamp) -> ServiceObservation {
    if now < at(60) {
        return halfway(now);
    }
    let mut seen = steady(now, "ecs-svc/third", "backend:5", at(58));
    let mut ours = failed_deployment();
    let mut record = record(RecordStatus::RollbackSuccessful);
    record.rolled_back_to = Some(revision("backend:5"));
    ours.record = Some(record);
    seen.deployments.push(ours);
    seen
}

fn stalled(now: Timestamp) -> ServiceObservation {
    let mut seen = halfway(now);
    seen.events = vec![event(at(20), "was unable to place a task: no capacity")];
    seen
}

fn foreign(now: Timestamp) -> ServiceObservation {
    if now < at(60) { halfway(now) } else { replaced(now) }
}

fn deleted(now: Timestamp) -> ServiceObservation {
    let mut seen = halfway(now);
    if now >= at(60) {
        seen.status = ServiceStatus::Draining;
    }
    seen
}

fn cause(outcome: &Outcome) -> Option<Cause> {
    match outcome {
        Outcome::Failed {
            reason,
            touched,
            deployment,
            task_definition,
            ..
        } => {
            assert!(touched);
            assert_eq!(deployment.as_ref(), Some(&id(NEW)));
            assert_eq!(task_definition.as_ref(), Some(&revision(NEW_REVISION)));
            assert!(!reason.evidence.is_empty(), "{reason:?}");
            Some(reason.cause)
        }
        Outcome::Deployed { .. } | Outcome::Superseded { .. } => None,
    }
}

#[test]
fn the_eight_scripts_end_in_the_eight_right_outcomes() {
    let (outcome, when) = play(stable);
    assert!(matches!(outcome, Outcome::Deployed { .. }), "{outcome:?}");
    assert_eq!(when, at(60));

    let failures: [(&str, Script, Cause, u64, &str); 6] = [
        ("failed", failed_tasks, Cause::ContainerExited, 30, "exit code 1"),
        (
            "rolled back",
            went_back,
            Cause::PlatformRolledBack,
            60,
            "it went back to backend:6",
        ),
        (
            "failed with no target",
            no_target,
            Cause::PlatformFailed,
            60,
            "gave deployment ecs-svc/new up",
        ),
        (
            "rolled back to a third revision",
            third_revision,
            Cause::PlatformRolledBack,
            60,
            "it went back to backend:5",
        ),
        (
            "stalled",
            stalled,
            Cause::DeadlineExceeded,
            609,
            "last event: was unable to place a task",
        ),
        (
            "service deleted",
            deleted,
            Cause::ServiceGone,
            60,
            "is being deleted",
        ),
    ];
    for (name, script, expected, seconds, words) in failures {
        let (outcome, when) = play(script);
        assert_eq!(cause(&outcome), Some(expected), "{name}: {outcome:?}");
        assert_eq!(when, at(seconds), "{name}");
        let Outcome::Failed { reason, .. } = outcome else {
            panic!()
        };
        assert!(reason.text.contains(words), "{name}: {reason}");
    }

    let (outcome, when) = play(foreign);
    let Outcome::Superseded { by, touched: true } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(by.deployment, id(OTHER));
    assert_eq!(when, at(60));
}

#[test]
fn a_give_up_says_what_was_last_seen() {
    let (outcome, _) = play(stalled);
    let Outcome::Failed { reason, .. } = outcome else {
        panic!()
    };
    assert_eq!(
        reason.text,
        "the deployment of service backend was not done within 10m; last seen: 1/3 running, 1 pending, 2 old: the \
         deployment is in progress; last event: was unable to place a task: no capacity"
    );
}
