//! Scripted incidents: what goes wrong in the world, and when.

use core::time::Duration;

use rollout_core::dns::Change;
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName, ZoneId};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarm::AlarmState;
use crate::behaviour::{Behaviour, Start};
use crate::ecs::deployment::{GivenUp, Target};
use crate::ecs::plan::HookAction;
use crate::ecs::service::Script;
use crate::kernel::Happening;
use crate::world::{Unknown, World};

/// When an incident happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// At a moment. One that has passed is now.
    At(Timestamp),
    /// So long after it was planned.
    After(Duration),
    /// So long after the next deployment through a port begins: of this service, or of any. Zero is before its first task.
    Deployment {
        /// The service.
        service: Option<String>,
        /// How long after.
        plus: Duration,
    },
}

impl When {
    /// At the moment at which the next deployment of any service begins.
    #[must_use]
    pub const fn first_deployment() -> Self {
        Self::Deployment {
            service: None,
            plus: Duration::ZERO,
        }
    }

    /// So long after the next deployment of `service` begins.
    #[must_use]
    pub fn deployment_of(service: &str, plus: Duration) -> Self {
        Self::Deployment {
            service: Some(service.to_owned()),
            plus,
        }
    }
}

/// What goes wrong. Incidents that change how tasks behave spare the revision that the service completed last, so that
/// going back helps, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Incident {
    /// The image of new tasks cannot be pulled.
    BadImage {
        /// The service.
        service: String,
    },
    /// New tasks' processes end.
    CrashLoop {
        /// The service.
        service: String,
        /// After so long.
        after: Duration,
        /// With this exit code.
        exit_code: i32,
        /// What they write before.
        log: Vec<String>,
    },
    /// New tasks run out of memory.
    OutOfMemory {
        /// The service.
        service: String,
        /// After so long.
        after: Duration,
    },
    /// New tasks pass health checks only after so long.
    SlowStart {
        /// The service.
        service: String,
        /// After so long.
        ready_after: Duration,
    },
    /// New tasks pass health checks at first, or never.
    FailingHealthCheckAfter {
        /// The service.
        service: String,
        /// For so long; zero is never.
        after: Duration,
    },
    /// Every task of the service behaves like this, also those of the revision to go back to. Tasks that run already
    /// fail their health checks from now on if that is what the behaviour says.
    Everything {
        /// The service.
        service: String,
        /// How.
        start: Start,
    },
    /// Someone else deploys.
    ForeignDeployer {
        /// The service.
        service: String,
        /// The image of its first container; `None` forces a new deployment of the present revision.
        image: Option<(RepositoryName, ImageDigest)>,
    },
    /// An alarm fires; with `false` it stops.
    AlarmFires {
        /// The alarm.
        alarm: String,
        /// Whether it fires.
        fires: bool,
    },
    /// No room for another task for so long.
    CapacityShort {
        /// How long.
        lasts: Duration,
    },
    /// Someone asks for the rollback of the service's deployment under way (`StopServiceDeployment`).
    DeploymentStopped {
        /// The service.
        service: String,
    },
    /// Someone answers the pauses that the service's deployment waits for (`ContinueServiceDeployment`).
    PauseAnswered {
        /// The service.
        service: String,
        /// With this.
        action: HookAction,
    },
    /// Someone deletes the service.
    ServiceDeleted {
        /// The service.
        service: String,
    },
    /// Someone sets the service's desired count.
    Scaled {
        /// The service.
        service: String,
        /// To so many.
        desired: u32,
    },
    /// The platform gives the present deployment up and goes back: to a revision with this image in its first container,
    /// which is neither the new one nor the one before.
    PlatformRollsBackTo {
        /// The service.
        service: String,
        /// The image.
        image: (RepositoryName, ImageDigest),
    },
    /// The circuit breaker's rollback is switched off.
    NoRollback {
        /// The service.
        service: String,
    },
    /// The platform knows no completed deployment to go back to.
    NoRollbackTarget {
        /// The service.
        service: String,
    },
    /// The scheduler does nothing for the service any more.
    Stall {
        /// The service.
        service: String,
    },
    /// A tag moves to another image.
    TagMoves {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: ImageTag,
        /// What the other image is made of.
        content: String,
    },
    /// Someone changes records of a zone, as one batch. One that the zone would refuse changes nothing.
    ForeignDnsChange {
        /// The zone.
        zone: ZoneId,
        /// The batch.
        changes: Vec<Change>,
    },
    /// An image is removed from the registry.
    ImageExpires {
        /// The repository.
        repository: RepositoryName,
        /// The image.
        image: ImageDigest,
    },
}

/// An incident that has been planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) env: u16,
    pub(crate) incident: Incident,
    /// The deployment it waits for, and how long after that it happens, in milliseconds.
    pub(crate) waits_for: Option<(Option<String>, u64)>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Incident {
    /// The service that it is about.
    fn service(&self) -> Option<&str> {
        match self {
            Self::BadImage { service }
            | Self::CrashLoop { service, .. }
            | Self::OutOfMemory { service, .. }
            | Self::SlowStart { service, .. }
            | Self::FailingHealthCheckAfter { service, .. }
            | Self::Everything { service, .. }
            | Self::ForeignDeployer { service, .. }
            | Self::DeploymentStopped { service }
            | Self::PauseAnswered { service, .. }
            | Self::ServiceDeleted { service }
            | Self::Scaled { service, .. }
            | Self::PlatformRollsBackTo { service, .. }
            | Self::NoRollback { service }
            | Self::NoRollbackTarget { service }
            | Self::Stall { service } => Some(service),
            Self::AlarmFires { .. }
            | Self::CapacityShort { .. }
            | Self::TagMoves { .. }
            | Self::ForeignDnsChange { .. }
            | Self::ImageExpires { .. } => None,
        }
    }

    /// How new tasks behave under it.
    fn behaviour(&self) -> Option<Behaviour> {
        Some(match self {
            Self::BadImage { .. } => Behaviour::starting(Start::CannotPull {
                message: "pull image manifest has been retried 5 time(s): failed to resolve ref: not found"
                    .to_owned(),
            }),
            Self::CrashLoop {
                after,
                exit_code,
                log,
                ..
            } => Behaviour::starting(Start::CrashAfter {
                millis: millis(*after),
                exit_code: *exit_code,
            })
            .logging(log.iter().cloned()),
            Self::OutOfMemory { after, .. } => Behaviour::starting(Start::OutOfMemoryAfter {
                millis: millis(*after),
            }),
            Self::SlowStart { ready_after, .. } => Behaviour::starting(Start::SlowStart {
                millis: millis(*ready_after),
            }),
            Self::FailingHealthCheckAfter { after, .. } if after.is_zero() => {
                Behaviour::starting(Start::Unhealthy)
            }
            Self::FailingHealthCheckAfter { after, .. } => Behaviour::starting(Start::UnhealthyAfter {
                millis: millis(*after),
            }),
            Self::Everything { start, .. } => Behaviour::starting(start.clone()),
            _ => return None,
        })
    }
}

impl World {
    pub(crate) fn check(&self, env: u16, incident: &Incident) -> Result<(), Unknown> {
        let held = &self.environments[env as usize];
        if let Some(service) = incident.service() {
            self.service_index(held.name.as_str(), service)?;
        }
        match incident {
            Incident::AlarmFires { alarm, .. } => self.alarm(held.name.as_str(), alarm).map(drop),
            Incident::ForeignDnsChange { zone, .. } => self.zone(zone).map(drop),
            _ => Ok(()),
        }
    }

    /// A planned incident happens.
    pub(crate) fn strike(&mut self, index: u32) {
        let Some(planned) = self.planned.get(index as usize).cloned() else {
            return;
        };
        let (e, incident) = (planned.env, planned.incident);
        let service = incident
            .service()
            .and_then(|name| self.environments[e as usize].service_index(name));
        if let Some(s) = service {
            self.strike_service(e, s, &incident);
            return;
        }
        let env = &mut self.environments[e as usize];
        let k = &mut self.kernel;
        match incident {
            Incident::AlarmFires { alarm, fires } => {
                let state = if fires { AlarmState::Alarm } else { AlarmState::Ok };
                if let Some(found) = env.alarms.iter_mut().find(|a| a.name == alarm) {
                    found.set(k.now, state, "Threshold Crossed: by script");
                }
            }
            Incident::CapacityShort { lasts } => {
                // The end is a capacity incident of no length.
                env.capacity = if lasts.is_zero() { None } else { Some(0) };
                if !lasts.is_zero() {
                    let index = self.planned.len() as u32;
                    self.planned.push(Planned {
                        env: e,
                        incident: Incident::CapacityShort {
                            lasts: Duration::ZERO,
                        },
                        waits_for: None,
                    });
                    k.after(millis(lasts), Happening::Incident { index });
                }
            }
            Incident::TagMoves {
                repository,
                tag,
                content,
            } => {
                let digest = env.registry.push(k.now, &repository, &content);
                env.registry.tag(&repository, &tag, digest);
            }
            Incident::ImageExpires { repository, image } => env.registry.expire(&repository, &image),
            Incident::ForeignDnsChange { zone, changes } => {
                if let Some(zone) = self.zones.iter_mut().find(|z| z.id == zone) {
                    // A person at a console whose values are stale gets the refusal; nothing changes then.
                    let _: Result<_, _> = zone.apply(k, &changes);
                }
            }
            _ => {}
        }
    }

    fn strike_service(&mut self, e: u16, s: u16, incident: &Incident) {
        let env = &mut self.environments[e as usize];
        let k = &mut self.kernel;
        if let Some(behaviour) = incident.behaviour() {
            let all = matches!(incident, Incident::Everything { .. });
            let held = &mut env.services[s as usize];
            let last = held.completed.as_ref().map(|t| t.deployment.revision);
            let bad_now = all && behaviour.start == Start::Unhealthy;
            let spared = if all { None } else { last };
            held.script = Some(Script { behaviour, spared });
            if bad_now {
                for task in held.tasks.clone() {
                    env.turn_bad(k, task);
                }
            }
            return;
        }
        match incident {
            Incident::ForeignDeployer { image, .. } => {
                let present = env.services[s as usize].primary().map(|d| d.revision);
                let revision = match image {
                    Some(image) => env.revision_with(k.now, s, image),
                    None => present,
                };
                if let Some(revision) = revision {
                    env.deploy(k, s, revision);
                }
            }
            Incident::DeploymentStopped { .. } => {
                if let Some(number) = env.services[s as usize].open_record().map(|r| r.number) {
                    env.ask_for_rollback(k, s, number);
                }
            }
            Incident::PauseAnswered { action, .. } => {
                let open = env.services[s as usize].open_record();
                let pauses = open.map(|r| (r.number, r.hooks.iter().map(|run| run.id.clone()).collect()));
                let (number, ids): (u32, Vec<String>) = pauses.unwrap_or_default();
                for id in ids {
                    env.answer_pause(k, s, number, &id, *action);
                }
            }
            Incident::ServiceDeleted { .. } => env.delete_service(k, s),
            Incident::Scaled { desired, .. } => {
                env.services[s as usize].desired = *desired;
                env.schedule(k, s, 0);
            }
            Incident::PlatformRollsBackTo { image, .. } => {
                if let Some(revision) = env.revision_with(k.now, s, image) {
                    let images = env.resolve_images(revision);
                    let deployment = env.new_deployment(k, s, revision, images);
                    env.fail_deployment(k, s, &GivenUp::Breaker, true, Some(Target { deployment }));
                }
            }
            Incident::NoRollback { .. } => env.services[s as usize].breaker.rollback = false,
            Incident::NoRollbackTarget { .. } => env.services[s as usize].completed = None,
            Incident::Stall { .. } => env.services[s as usize].stalled = true,
            _ => {}
        }
    }
}
