//! What has changed since it was last told.

use std::collections::BTreeMap;

use rollout_core::service::RolloutState;
use serde::{Deserialize, Serialize};

use crate::ecs::Environment;
use crate::ecs::service::Service;
use crate::ecs::task::{Owner, Phase};

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A deployment of a service is in another state.
    Deployment { service: u16, number: u32 },
    /// A task is in another phase; so often it has been told of.
    Task { task: u64, version: u64 },
    /// The scheduler has said something of a service.
    Service { service: u16, text: String },
}

/// What was told last of one environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Known {
    services: Vec<Told>,
    tasks: BTreeMap<u64, (Phase, u64)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    deployments: BTreeMap<u32, RolloutState>,
    /// The number of the last event.
    event: u32,
}

impl Known {
    /// Everything there is counts as told.
    pub(super) fn of(env: &Environment) -> Self {
        let mut known = Self::default();
        known.all(env, &mut Vec::new());
        known
    }

    pub(super) fn all(&mut self, env: &Environment, out: &mut Vec<Change>) {
        for index in 0..env.services.len() {
            self.service(env, u16::try_from(index).unwrap_or(u16::MAX), out);
        }
        let jobs = env.tasks.iter().filter(|(_, task)| task.owner == Owner::Job);
        for (id, _) in jobs {
            self.one_task(env, *id, out);
        }
        self.tasks.retain(|id, _| env.tasks.contains_key(id));
    }

    pub(super) fn task(&mut self, env: &Environment, task: u64, out: &mut Vec<Change>) {
        self.one_task(env, task, out);
        if let Some(Owner::Service { service, .. }) = env.tasks.get(&task).map(|task| task.owner) {
            self.scheduler(env, service, out);
        }
    }

    pub(super) fn service(&mut self, env: &Environment, index: u16, out: &mut Vec<Change>) {
        let Some(service) = env.services.get(usize::from(index)) else {
            return;
        };
        // The stopped ones are told of when they stop; the newest may have done so in the same moment.
        let newest = service.stopped.iter().rev().take(service.desired as usize + 1);
        for task in service.tasks.iter().chain(newest) {
            self.one_task(env, *task, out);
        }
        self.scheduler(env, index, out);
    }

    fn one_task(&mut self, env: &Environment, id: u64, out: &mut Vec<Change>) {
        let Some(phase) = env.tasks.get(&id).map(|task| task.phase) else {
            self.tasks.remove(&id);
            return;
        };
        match self.tasks.get_mut(&id) {
            Some((told, _)) if *told == phase => {}
            Some((told, version)) => {
                *told = phase;
                *version += 1;
                out.push(Change::Task {
                    task: id,
                    version: *version,
                });
            }
            None => {
                self.tasks.insert(id, (phase, 1));
                out.push(Change::Task { task: id, version: 1 });
            }
        }
    }

    fn scheduler(&mut self, env: &Environment, index: u16, out: &mut Vec<Change>) {
        let Some(service) = env.services.get(usize::from(index)) else {
            return;
        };
        let at = usize::from(index);
        if self.services.len() <= at {
            self.services.resize_with(at + 1, Told::default);
        }
        let told = &mut self.services[at];
        for (number, state) in states(service) {
            if told.deployments.get(&number) != Some(state) {
                told.deployments.insert(number, state.clone());
                out.push(Change::Deployment {
                    service: index,
                    number,
                });
            }
        }
        let listed = |number: &u32| states(service).any(|(listed, _)| listed == *number);
        told.deployments.retain(|number, _| listed(number));
        let new = service.events.iter().filter(|event| event.number > told.event);
        out.extend(new.map(|event| Change::Service {
            service: index,
            text: event.text.clone(),
        }));
        told.event = service.next_event;
    }
}

/// The deployments of a service, those that have just gone included, oldest first.
fn states(service: &Service) -> impl Iterator<Item = (u32, &RolloutState)> {
    let all = service.history.iter().chain(service.deployments.iter().rev());
    all.map(|deployment| (deployment.number, &deployment.rollout))
}
