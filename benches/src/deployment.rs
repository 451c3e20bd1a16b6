//! A service of three tasks, replaced within a minute.

use rollout_core::id::ImageDigest;
use rollout_core::image::Ensured;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Policy, Spec, Target};
use rollout_core::service::{
    DeploymentObservation, DeploymentRole, DeploymentStarted, Images, RevisionSpec, RolloutState,
    RunningTask, ServiceObservation, ServiceStatus,
};
use rollout_core::time::Timestamp;

use crate::{BEGIN, Script, id, secs};

/// Tasks of the service.
const TASKS: u32 = 3;

/// Revision made, service updated, looked at until it is done.
#[must_use]
pub fn deployment() -> Script<Deployment> {
    let spec = Spec {
        service: id("backend"),
        target: Target::Release {
            revision: RevisionSpec {
                template: serde_json::json!({ "family": "backend" }),
                images: Default::default(),
            },
            assumes: Some(id("ecs-svc/1")),
        },
        images: images("backend:2"),
    };
    let policy = Policy {
        poll_every: secs(5),
        pace: None,
        give_up: secs(900),
        stopped_tasks: 2,
        max_errors: 3,
        answer: secs(20),
        stale_reads: secs(30),
    };
    let done = BEGIN.after(secs(60));
    let mut created = BEGIN;
    Script::record(
        Deployment::new(spec, policy),
        Event::Start,
        |_, now, effect| match effect {
            Some(Effect::EnsureRevision(_)) => Event::RevisionReady {
                task_definition: id("backend:2"),
                ensured: Ensured::Created,
            },
            Some(Effect::UpdateService(_) | Effect::Restore { .. }) => {
                created = now;
                Event::Updated(DeploymentStarted {
                    deployment: id("ecs-svc/2"),
                    service_deployment: None,
                    created_at: now,
                })
            }
            Some(Effect::TurnBack { .. }) => Event::TurningBack,
            Some(Effect::Observe { .. }) => {
                let mut seen = steady(now, "ecs-svc/2", "backend:2", created);
                if now < done {
                    begun(&mut seen);
                }
                Event::Observed(Box::new(seen))
            }
            None => Event::Elapsed,
        },
    )
}

/// The digests of a revision.
fn images(revision: &str) -> Images {
    Images::from([(id("app"), ImageDigest::of(revision.as_bytes()))])
}

/// A service whose one deployment is done.
pub(crate) fn steady(
    at: Timestamp,
    deployment: &str,
    revision: &str,
    created_at: Timestamp,
) -> ServiceObservation {
    ServiceObservation {
        at,
        status: ServiceStatus::Active,
        desired: TASKS,
        running: TASKS,
        pending: 0,
        deployments: vec![DeploymentObservation {
            id: id(deployment),
            task_definition: id(revision),
            role: DeploymentRole::Primary,
            rollout: RolloutState::Completed,
            reason: None,
            desired: TASKS,
            running: TASKS,
            pending: 0,
            failed: 0,
            created_at,
            record: None,
        }],
        tasks: (0..TASKS)
            .map(|number| RunningTask {
                task: id(&format!("task/{number}")),
                task_definition: id(revision),
                images: images(revision),
                started_by: None,
                started_at: Some(created_at),
            })
            .collect(),
        stopped: Vec::new(),
        events: Vec::new(),
    }
}

/// The same with the deployment at its beginning.
fn begun(seen: &mut ServiceObservation) {
    seen.pending = 1;
    for deployment in &mut seen.deployments {
        deployment.rollout = RolloutState::InProgress;
        deployment.pending = 1;
    }
}
