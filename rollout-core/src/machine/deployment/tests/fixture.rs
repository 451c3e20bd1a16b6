//! A service `backend` with three tasks: the captured deployment `d-old` on `backend:6`, ours `d-new` on `backend:7`.

use core::time::Duration;

use crate::error::{Applied, Error, ErrorKind, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence};
use crate::id::{
    ContainerName, DeploymentId, ImageDigest, ServiceDeploymentArn, ServiceName, TaskArn, TaskDefinitionArn,
};
use crate::image::Ensured;
use crate::machine::deployment::{Deployment, Event, Policy, Spec, Target};
use crate::machine::testkit::Walk;
use crate::service::{
    ContainerExit, DeploymentObservation, DeploymentRecord, DeploymentRole, DeploymentStarted, Images,
    RecordStatus, RestorePoint, RevisionSpec, RolloutState, RunningTask, ServiceObservation, ServiceStatus,
    StoppedTask, Strategy,
};
use crate::time::Timestamp;

/// When the tests begin.
pub(in crate::machine::deployment) const T0: u64 = 1_000_000;
pub(in crate::machine::deployment) const OLD: &str = "ecs-svc/old";
pub(in crate::machine::deployment) const NEW: &str = "ecs-svc/new";
pub(in crate::machine::deployment) const OTHER: &str = "ecs-svc/other";
pub(in crate::machine::deployment) const OLD_REVISION: &str = "backend:6";
pub(in crate::machine::deployment) const NEW_REVISION: &str = "backend:7";
pub(in crate::machine::deployment) const OTHER_REVISION: &str = "backend:8";

/// Seconds after [`T0`].
pub(in crate::machine::deployment) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(T0 + seconds * 1000)
}

pub(in crate::machine::deployment) fn id(text: &str) -> DeploymentId {
    DeploymentId::new(text).unwrap()
}

pub(in crate::machine::deployment) fn revision(text: &str) -> TaskDefinitionArn {
    TaskDefinitionArn::new(text).unwrap()
}

pub(in crate::machine::deployment) fn service() -> ServiceName {
    ServiceName::new("backend").unwrap()
}

/// The digests of a revision: each has its own.
pub(in crate::machine::deployment) fn images(of: &str) -> Images {
    let app = ContainerName::new("app").unwrap();
    Images::from([(app, ImageDigest::of(of.as_bytes()))])
}

pub(in crate::machine::deployment) fn policy() -> Policy {
    Policy {
        poll_every: Duration::from_secs(5),
        pace: None,
        give_up: Duration::from_secs(600),
        stopped_tasks: 2,
        max_errors: 3,
        answer: Duration::from_secs(20),
        stale_reads: Duration::from_secs(30),
    }
}

pub(in crate::machine::deployment) fn revision_spec() -> RevisionSpec {
    RevisionSpec {
        template: serde_json::json!({"family": "backend"}),
        images: std::collections::BTreeMap::new(),
    }
}

pub(in crate::machine::deployment) fn release_spec(assumes: Option<&str>) -> Spec {
    Spec {
        service: service(),
        target: Target::Release {
            revision: revision_spec(),
            assumes: assumes.map(id),
        },
        images: images(NEW_REVISION),
    }
}

pub(in crate::machine::deployment) fn point() -> RestorePoint {
    RestorePoint {
        service: service(),
        captured_at: at(0),
        task_definition: revision(OLD_REVISION),
        images: images(OLD_REVISION),
        deployment: id(OLD),
        desired: 3,
        since: Some(at(0)),
    }
}

pub(in crate::machine::deployment) fn restore_spec() -> Spec {
    Spec {
        service: service(),
        target: Target::Restore {
            point: point(),
            ours: Some(id(NEW)),
            our_revision: Some(revision(NEW_REVISION)),
            fast: false,
        },
        images: images(OLD_REVISION),
    }
}

pub(in crate::machine::deployment) fn release() -> Deployment {
    Deployment::new(release_spec(Some(OLD)), policy())
}

pub(in crate::machine::deployment) fn restore() -> Deployment {
    Deployment::new(restore_spec(), policy())
}

/// A restore that may take the platform's short cut.
pub(in crate::machine::deployment) fn fast_restore() -> Deployment {
    let mut spec = restore_spec();
    if let Target::Restore { fast, .. } = &mut spec.target {
        *fast = true;
    }
    Deployment::new(spec, policy())
}

pub(in crate::machine::deployment) fn ready() -> Event {
    Event::RevisionReady {
        task_definition: revision(NEW_REVISION),
        ensured: Ensured::Created,
    }
}

pub(in crate::machine::deployment) fn updated(deployment: &str, created: Timestamp) -> Event {
    Event::Updated(DeploymentStarted {
        deployment: id(deployment),
        service_deployment: None,
        created_at: created,
    })
}

pub(in crate::machine::deployment) fn observed(seen: &ServiceObservation) -> Event {
    Event::Observed(Box::new(seen.clone()))
}

pub(in crate::machine::deployment) fn failed(kind: ErrorKind, applied: Applied) -> ErrorRecord {
    Error::new(kind, "ecs:Call", "service backend")
        .applied(applied)
        .record()
}

pub(in crate::machine::deployment) fn later(applied: Applied) -> ErrorRecord {
    ErrorRecord {
        retry: Retry::Later,
        ..failed(ErrorKind::Unavailable, applied)
    }
}

/// A release that watches `ecs-svc/new`, written and answered at 10 s.
pub(in crate::machine::deployment) fn watching() -> Walk<Deployment> {
    let mut walk = Walk::new(release());
    walk.give(at(0), Event::Start).unwrap();
    walk.give(at(9), ready()).unwrap();
    walk.give(at(10), updated(NEW, at(10))).unwrap();
    walk
}

/// A deployment as listed.
pub(in crate::machine::deployment) fn listed(
    deployment: &str,
    task_definition: &str,
    role: DeploymentRole,
    rollout: RolloutState,
    running: u32,
    created: Timestamp,
) -> DeploymentObservation {
    DeploymentObservation {
        id: id(deployment),
        task_definition: revision(task_definition),
        role,
        rollout,
        reason: None,
        desired: 3,
        running,
        pending: 0,
        failed: 0,
        created_at: created,
        record: None,
    }
}

pub(in crate::machine::deployment) fn running(number: u32, of: &str) -> RunningTask {
    RunningTask {
        task: TaskArn::new(format!("task/{of}/{number}")).unwrap(),
        task_definition: revision(of),
        images: images(of),
        started_by: None,
        started_at: None,
    }
}

/// Three tasks of one PRIMARY, COMPLETED deployment.
pub(in crate::machine::deployment) fn steady(
    when: Timestamp,
    deployment: &str,
    task_definition: &str,
    created: Timestamp,
) -> ServiceObservation {
    ServiceObservation {
        at: when,
        status: ServiceStatus::Active,
        desired: 3,
        running: 3,
        pending: 0,
        deployments: vec![listed(
            deployment,
            task_definition,
            DeploymentRole::Primary,
            RolloutState::Completed,
            3,
            created,
        )],
        tasks: (0..3).map(|n| running(n, task_definition)).collect(),
        stopped: Vec::new(),
        events: Vec::new(),
    }
}

/// Before the change.
pub(in crate::machine::deployment) fn before(when: Timestamp) -> ServiceObservation {
    steady(when, OLD, OLD_REVISION, Timestamp::from_millis(1))
}

/// After a good change.
pub(in crate::machine::deployment) fn after(when: Timestamp) -> ServiceObservation {
    steady(when, NEW, NEW_REVISION, at(10))
}

/// On the way: one of three runs.
pub(in crate::machine::deployment) fn halfway(when: Timestamp) -> ServiceObservation {
    let mut seen = after(when);
    let old = listed(
        OLD,
        OLD_REVISION,
        DeploymentRole::Active,
        RolloutState::Completed,
        2,
        Timestamp::from_millis(1),
    );
    seen.deployments[0].rollout = RolloutState::InProgress;
    seen.deployments[0].running = 1;
    seen.deployments[0].pending = 1;
    seen.pending = 1;
    seen.deployments.push(old);
    seen.tasks = vec![
        running(0, NEW_REVISION),
        running(1, OLD_REVISION),
        running(2, OLD_REVISION),
    ];
    seen
}

/// Another deployer's deployment has come.
pub(in crate::machine::deployment) fn replaced(when: Timestamp) -> ServiceObservation {
    let mut seen = steady(when, OTHER, OTHER_REVISION, when);
    seen.deployments.push(listed(
        NEW,
        NEW_REVISION,
        DeploymentRole::Active,
        RolloutState::InProgress,
        1,
        at(10),
    ));
    seen
}

pub(in crate::machine::deployment) fn record(status: RecordStatus) -> DeploymentRecord {
    DeploymentRecord {
        arn: ServiceDeploymentArn::new("arn:service-deployment/1").unwrap(),
        status,
        reason: None,
        strategy: Strategy::Rolling,
        stage: None,
        rolled_back_to: None,
        took: None,
    }
}

/// A task of ours that crashed.
pub(in crate::machine::deployment) fn crashed(number: u32, when: Timestamp) -> StoppedTask {
    StoppedTask {
        task: TaskArn::new(format!("task/crashed/{number}")).unwrap(),
        task_definition: revision(NEW_REVISION),
        started_by: Some(id(NEW)),
        stopped_at: when,
        cause: Some(Cause::ContainerExited),
        code: Some("EssentialContainerExited".to_owned()),
        reason: "Essential container in task exited".to_owned(),
        containers: vec![ContainerExit {
            name: ContainerName::new("app").unwrap(),
            essential: true,
            exit_code: Some(1),
            reason: None,
        }],
        log_tail: vec!["panic: no database".to_owned()],
    }
}

pub(in crate::machine::deployment) fn event(when: Timestamp, text: &str) -> Evidence {
    Evidence::new(when, "ecs:DescribeServices", "backend", text)
}
