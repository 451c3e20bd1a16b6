//! What `DescribeServices`, `ListServiceDeployments` and `DescribeTasks` show together.

use rollout_core::evidence::Evidence;
use rollout_core::id::{DeploymentId, ServiceName};
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentRecord, DeploymentRole, Found, Images, Part, PartKind,
    RestorePoint, RolloutState, RunningTask, ServiceObservation, ServiceStatus,
};
use rollout_core::time::Timestamp;

use super::Environment;
use super::deployment::Deployment;
use super::plan::LifecycleStage;
use super::revision::Source;
use super::service::{EVENTS_SHOWN, Service, Status};
use super::task::{Owner, Phase};

/// Where events and deployments are seen.
pub(crate) const SOURCE: &str = "ecs:DescribeServices";

/// `DescribeTasks` takes 100 tasks a call; a look shows no more.
const STOPPED_SHOWN: usize = 100;

impl Environment {
    /// A service as it is shown now.
    pub(crate) fn observe(&self, now: Timestamp, name: &ServiceName) -> ServiceObservation {
        let found = self
            .service_index(name.as_str())
            .map(|s| &self.services[s as usize]);
        let Some(service) = found.filter(|s| s.status != Status::Inactive) else {
            return ServiceObservation {
                at: now,
                status: ServiceStatus::Missing,
                desired: 0,
                running: 0,
                pending: 0,
                deployments: Vec::new(),
                tasks: Vec::new(),
                stopped: Vec::new(),
                events: Vec::new(),
            };
        };
        let shown = service.deployments.iter().chain(service.history.iter().rev());
        let tasks = service.tasks.iter().map(|id| &self.tasks[id]);
        let running: Vec<RunningTask> = tasks
            .filter(|t| t.phase == Phase::Running && t.why.is_none())
            .map(|t| RunningTask {
                task: t.arn.clone(),
                task_definition: self.revision_at(t.revision).arn.clone(),
                images: t.images.clone(),
                started_by: owner(service, t.owner),
                started_at: t.started_at,
            })
            .collect();
        let stopped = service.stopped.iter().rev().take(STOPPED_SHOWN).rev();
        let deployments: Vec<_> = shown.map(|d| self.show(service, d)).collect();
        ServiceObservation {
            at: now,
            status: match service.status {
                Status::Active => ServiceStatus::Active,
                Status::Draining => ServiceStatus::Draining,
                Status::Inactive => ServiceStatus::Missing,
            },
            desired: service.desired,
            running: running.len() as u32,
            pending: deployments.iter().map(|d| d.pending).sum(),
            deployments,
            tasks: running,
            stopped: stopped
                .filter_map(|id| self.tasks.get(id))
                .filter(|t| t.is_visible(now))
                .filter_map(|t| t.stopped(self))
                .collect(),
            events: service
                .events
                .iter()
                .skip(service.events.len().saturating_sub(EVENTS_SHOWN))
                .map(|event| Evidence::new(event.at, SOURCE, name.as_str(), event.text.as_str()))
                .collect(),
        }
    }

    /// The images of a service's running tasks.
    pub(crate) fn running_images(&self, service: u16) -> impl Iterator<Item = &Images> {
        let tasks = self.services[service as usize]
            .tasks
            .iter()
            .map(|id| &self.tasks[id]);
        let running = tasks.filter(|t| t.phase == Phase::Running && t.why.is_none());
        running.map(|t| &t.images)
    }

    /// The tasks of a deployment that run, and those on their way to it.
    pub(crate) fn running_and_pending(&self, service: &Service, number: u32) -> (u32, u32) {
        let (mut running, mut pending) = (0, 0);
        for task in service.tasks.iter().map(|id| &self.tasks[id]) {
            if task.why.is_none() && owned(task.owner, number) {
                if task.phase == Phase::Running {
                    running += 1;
                } else {
                    pending += 1;
                }
            }
        }
        (running, pending)
    }

    fn show(&self, service: &Service, deployment: &Deployment) -> DeploymentObservation {
        let (running, pending) = self.running_and_pending(service, deployment.number);
        let record = service.record(deployment.number);
        DeploymentObservation {
            id: deployment.id.clone(),
            task_definition: self.revision_at(deployment.revision).arn.clone(),
            role: deployment.role.clone(),
            rollout: deployment.rollout.clone(),
            reason: Some(deployment.reason.clone()),
            // An older deployment wants what it still has.
            desired: if deployment.role == DeploymentRole::Primary {
                service.desired
            } else {
                running + pending
            },
            running,
            pending,
            failed: deployment.failed,
            created_at: deployment.created_at,
            record: record.map(|record| DeploymentRecord {
                arn: record.arn.clone(),
                status: record.status.clone(),
                reason: record.reason.clone(),
                strategy: record.plan.strategy.observed(),
                stage: record.stage.map(LifecycleStage::observed),
                rolled_back_to: record.rollback.as_ref().and_then(|back| {
                    let revision = service.service_revision(back.to)?.revision;
                    Some(self.revision_at(revision).arn.clone())
                }),
                took: record
                    .finished_at
                    .zip(record.started_at)
                    .map(|(finished, started)| finished.since(started)),
            }),
        }
    }

    /// What a service would go back to.
    pub(crate) fn capture(&self, now: Timestamp, name: &ServiceName) -> Captured {
        let nothing = |why: &str, deployment: Option<DeploymentId>| Captured::Nothing {
            why: why.to_owned(),
            deployment,
        };
        let found = self
            .service_index(name.as_str())
            .map(|s| &self.services[s as usize]);
        let Some(service) = found.filter(|s| s.status == Status::Active) else {
            return nothing("the service does not exist", None);
        };
        let Some(primary) = service.primary() else {
            return nothing("the service was never deployed", None);
        };
        let id = Some(primary.id.clone());
        match primary.rollout {
            RolloutState::Completed => {}
            RolloutState::InProgress => {
                return Captured::Busy {
                    deployment: primary.id.clone(),
                    text: primary.reason.clone(),
                };
            }
            RolloutState::Failed | RolloutState::Other(_) => return nothing(&primary.reason, id),
        }
        let revision = self.revision_at(primary.revision);
        let mut running = service.tasks.iter().map(|task| &self.tasks[task]);
        let proof =
            running.find(|t| t.is_placed() && t.phase == Phase::Running && owned(t.owner, primary.number));
        let Some(task) = proof else {
            return nothing("no task of the PRIMARY deployment runs", id);
        };
        Captured::Point(RestorePoint {
            service: name.clone(),
            captured_at: now,
            task_definition: revision.arn.clone(),
            images: task.images.clone(),
            deployment: primary.id.clone(),
            desired: service.desired,
            since: Some(primary.created_at),
        })
    }

    /// Whether the revision and the images of a restore point are there.
    pub(crate) fn usable(&self, point: &RestorePoint) -> Vec<Part> {
        let arn = &point.task_definition;
        let gone = |why: &str| Found::Gone { why: why.to_owned() };
        let held = self.revision(arn).map(|(_, held)| held);
        let revision = match held {
            Some(held) if held.active => Found::Usable,
            Some(_) => gone("it is INACTIVE"),
            None => gone("it does not exist"),
        };
        let mut parts = vec![Part {
            kind: PartKind::Revision,
            name: format!("revision {arn}"),
            found: revision,
        }];
        for (container, digest) in &point.images {
            let named = held.and_then(|held| held.containers.iter().find(|c| &c.name == container));
            let (place, found) = match named.map(|c| self.source(&c.image)) {
                Some(Source::Here(repository, _)) if self.registry.has(&repository, digest) => {
                    (repository.to_string(), Found::Usable)
                }
                Some(Source::Here(repository, _)) => {
                    (repository.to_string(), gone("it is gone from the registry"))
                }
                Some(Source::Elsewhere(image)) => {
                    let why = "it is in a registry that is not asked".to_owned();
                    (image.to_owned(), Found::Unknown { why })
                }
                None => {
                    let why = "the revision has no such container".to_owned();
                    ("?".to_owned(), Found::Unknown { why })
                }
            };
            parts.push(Part {
                kind: PartKind::Image {
                    container: container.clone(),
                },
                name: format!("image {place}@{digest} of container {container}"),
                found,
            });
        }
        parts
    }
}

fn owned(owner: Owner, number: u32) -> bool {
    matches!(owner, Owner::Service { deployment, .. } if deployment == number)
}

fn owner(service: &Service, owner: Owner) -> Option<DeploymentId> {
    match owner {
        Owner::Service { deployment, .. } => service.deployment_id(deployment),
        Owner::Job => None,
    }
}
