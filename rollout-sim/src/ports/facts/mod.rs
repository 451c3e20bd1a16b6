//! `FactSource`: what readiness checks judge.
//!
//! The way goes where the one of a real cloud goes: from the services that the intent names along their edges, one call at a
//! time, each under the name that AWS has for it.

mod ask;
mod data;
mod edge;
mod identity;
mod network;
mod task;
#[cfg(test)]
mod tests;
mod watch;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::port::{Environment as _, FactSource, Rollback as _};
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::fact::image::name_of;
use rollout_core::readiness::fact::release::{Proven, WayBack};
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Unseen, Why};
use rollout_core::service::{Captured, RestorePoint, Usability};

use super::Port;
use crate::clock::SimCloud;
use crate::ecs::Environment;
use crate::ecs::revision::Source;
use crate::faults::Operation;
use ask::{Asking, allowed};
pub(crate) use identity::role_of;

/// Facts of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    cloud: SimCloud,
    /// Where the release was proven.
    source: Option<u16>,
    target: u16,
}

impl Facts {
    pub(crate) const fn new(cloud: SimCloud, source: Option<u16>, target: u16) -> Self {
        Self {
            cloud,
            source,
            target,
        }
    }
}

#[async_trait]
impl FactSource for Facts {
    async fn gather(&self, ctx: &OpContext, intent: &Intent) -> Result<Snapshot, Error> {
        let port = Port::new(self.cloud.clone(), self.target, self.target);
        // Without an identity there is nobody to ask as.
        let identity = port.identity(ctx).await?;
        let mut facts = {
            let world = self.cloud.lock();
            let env = &world.environments[usize::from(self.target)];
            let mut asking = Asking::new(&world, env, intent);
            asking.everything(identity);
            let mut facts = asking.facts;
            if let Some(source) = self.source {
                let mut asking = Asking::new(&world, &world.environments[usize::from(source)], intent);
                asking.copied();
                facts.source_images = asking.facts.source_images;
                for (call, count) in asking.facts.calls {
                    *facts.calls.entry(call).or_insert(0) += count;
                }
            }
            facts
        };
        for service in &intent.services {
            let name = service.name.as_str();
            let way_back = self.way_back(ctx, &port, name, &mut facts).await;
            facts.ways_back.put(name, way_back);
            if let Some(source) = self.source {
                let there = service.proven_as.as_ref().unwrap_or(&service.name);
                let proven = self.proven(ctx, source, there.as_str(), &mut facts).await;
                facts.proven.put(name, proven);
            }
        }
        Ok(facts)
    }
}

impl Asking<'_> {
    fn everything(&mut self, identity: rollout_core::service::Identity) {
        self.caller(identity);
        self.services();
        self.edge();
        self.data();
        self.network();
        self.roles();
        self.watch();
        self.answers();
    }
}

impl Facts {
    /// What a service would go back to: asked as a run asks.
    async fn way_back(
        &self,
        ctx: &OpContext,
        port: &Port,
        service: &str,
        facts: &mut Snapshot,
    ) -> Known<WayBack> {
        let point = match self.capture(ctx, port, service, facts).await {
            Ok(point) => point,
            Err(unseen) => return Known::Unknown(unseen),
        };
        let Some(point) = point else {
            return Known::Seen(WayBack {
                point: None,
                usability: Usability {
                    at: facts.at,
                    parts: Vec::new(),
                },
            });
        };
        if let Err(unseen) = self.may(self.target, Operation::Usable, service, facts) {
            return Known::Unknown(unseen);
        }
        match port.usable(ctx, &point).await {
            Ok(usability) => Known::Seen(WayBack {
                point: Some(point),
                usability,
            }),
            Err(error) => Known::Unknown(failed(service, &error)),
        }
    }

    /// What a service of the source runs, and since when.
    async fn proven(
        &self,
        ctx: &OpContext,
        source: u16,
        service: &str,
        facts: &mut Snapshot,
    ) -> Known<Proven> {
        let port = Port::new(self.cloud.clone(), source, source);
        match self.capture(ctx, &port, service, facts).await {
            Err(unseen) => Known::Unknown(unseen),
            Ok(None) => Known::Missing,
            Ok(Some(point)) => {
                let world = self.cloud.lock();
                Known::Seen(proven(&world.environments[usize::from(source)], &point))
            }
        }
    }

    async fn capture(
        &self,
        ctx: &OpContext,
        port: &Port,
        service: &str,
        facts: &mut Snapshot,
    ) -> Result<Option<RestorePoint>, Unseen> {
        self.may(port.target, Operation::Capture, service, facts)?;
        let name = service.parse().map_err(|_| Unseen::not_asked(service))?;
        match port.capture(ctx, &name).await {
            Ok(Captured::Point(point)) => Ok(Some(point)),
            Ok(Captured::Busy { .. } | Captured::Nothing { .. }) => Ok(None),
            Err(error) => Err(failed(service, &error)),
        }
    }

    /// Counts a call of a port, and says whether it may be made.
    fn may(&self, env: u16, operation: Operation, subject: &str, facts: &mut Snapshot) -> Result<(), Unseen> {
        let count = facts.calls.entry(operation.name().to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        let world = self.cloud.lock();
        allowed(&world.environments[usize::from(env)], operation.name(), subject)
    }
}

/// What runs at a restore point, by container.
fn proven(env: &Environment, point: &RestorePoint) -> Proven {
    let held = env.revision(&point.task_definition);
    let containers = held.map_or(&[][..], |(_, held)| &held.containers);
    let image = |container: &crate::ecs::revision::Container| {
        let digest = point.images.get(&container.name)?;
        let repository = match env.source(&container.image) {
            Source::Here(repository, _) => repository.to_string(),
            Source::Elsewhere(image) => name_of(image).to_owned(),
        };
        Some((container.name.to_string(), format!("{repository}@{digest}")))
    };
    Proven {
        images: containers.iter().filter_map(image).collect(),
        since: point.since,
    }
}

fn failed(subject: &str, error: &Error) -> Unseen {
    let why = match error.kind {
        ErrorKind::PermissionDenied => Why::Denied,
        _ => Why::Failed,
    };
    Unseen::new(why, subject, error.to_string())
}
