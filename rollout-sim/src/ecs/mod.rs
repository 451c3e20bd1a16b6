//! One environment: an account and region with a cluster, its services, tasks, registry, target groups and alarms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rollout_core::id::EnvironmentName;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarm::Alarm;
use crate::ecr::Registry;
use crate::elb::{LoadBalancer, TargetGroup};
use crate::kernel::{Happening, Kernel};
use crate::metric::Metrics;
use crate::rng::{Span, Stream};
use crate::surroundings::Surroundings;

pub(crate) mod breaker;
pub(crate) mod deployment;
mod health;
mod hook;
pub(crate) mod job;
pub(crate) mod observe;
#[cfg(any(test, feature = "endpoint"))]
pub(crate) mod operate;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod revision;
pub(crate) mod service;
mod stage;
pub(crate) mod stop;
pub(crate) mod target;
pub(crate) mod task;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;
mod watch;

use job::Token;
use revision::Revision;
use service::{Service, Status};
use task::{Owner, Task};

/// For how long `DescribeTasks` knows a stopped task (Amazon ECS developer guide, "Stopped tasks": at least one hour).
pub(crate) const STOPPED_VISIBLE: u64 = 60 * 60 * 1_000;

/// How long things take in an environment. The defaults are those of a small Fargate service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Until a task has its network and machine.
    pub provision: Span,
    /// Until its images are pulled.
    pub pull: Span,
    /// From registering it as a target until it runs.
    pub activate: Span,
    /// From running until it passes health checks, unless its image says otherwise.
    pub start_up: Span,
    /// From SIGTERM to the end of its process.
    pub stop: Span,
    /// From the end of its process to `STOPPED`.
    pub deprovision: Span,
    /// Until the scheduler notices a change.
    pub schedule: Span,
    /// From asking the load balancer for other weights until they hold. Ours.
    #[serde(default = "shift")]
    pub shift: Span,
    /// For how long a task without any health check must run to count as healthy, in milliseconds. AWS does not publish
    /// its figure; without one a crash loop would look healthy again at every start.
    pub settle: u64,
}

const fn shift() -> Span {
    Span::secs(2, 6)
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            provision: Span::secs(4, 9),
            pull: Span::secs(6, 18),
            activate: Span::millis(300, 1_500),
            start_up: Span::secs(2, 6),
            stop: Span::millis(500, 5_000),
            deprovision: Span::millis(500, 2_500),
            schedule: Span::millis(300, 2_000),
            shift: shift(),
            settle: 10_000,
        }
    }
}

/// Where tasks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Launch {
    /// On AWS Fargate.
    #[default]
    Fargate,
    /// On container instances.
    Ec2,
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// What it was created with, in the words of `CreateCluster`.
    pub(crate) settings: serde_json::Value,
}

impl Cluster {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: serde_json::json!({}),
        }
    }
}

/// An environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) index: u16,
    pub(crate) name: EnvironmentName,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) caller: String,
    /// The cluster of the services that the environment was described with, and of the ports.
    pub(crate) cluster: String,
    /// All clusters, that one first.
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) timing: Timing,
    pub(crate) launch: Launch,
    /// How many tasks fit; `None` is no bound.
    pub(crate) capacity: Option<u32>,
    pub(crate) services: Vec<Service>,
    pub(crate) revisions: Vec<Revision>,
    /// How many of these, from the first one, the other environments of the account and region have. A stored world begins again.
    #[serde(skip)]
    #[cfg_attr(
        not(feature = "endpoint"),
        expect(dead_code, reason = "only the endpoint shares revisions")
    )]
    pub(crate) shared: usize,
    pub(crate) tasks: BTreeMap<u64, Task>,
    /// By cluster and client token.
    pub(crate) jobs: BTreeMap<String, Token>,
    /// One-off tasks that have stopped, oldest first.
    pub(crate) stopped_jobs: VecDeque<u64>,
    /// Functions that fail when a hook calls them.
    pub(crate) failing_functions: BTreeSet<String>,
    pub(crate) groups: Vec<TargetGroup>,
    pub(crate) balancers: Vec<LoadBalancer>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Registry,
    /// Host names that lead to a service's tasks directly.
    pub(crate) hosts: BTreeMap<String, u16>,
    /// Left out of stored worlds of before there were any.
    #[serde(default)]
    pub(crate) surroundings: Surroundings,
}

impl Environment {
    /// A service of the environment's own cluster.
    pub(crate) fn service_index(&self, name: &str) -> Option<u16> {
        self.service_in(0, name)
    }

    /// A service of a cluster. A name can be given again to a new service when the old one is gone.
    pub(crate) fn service_in(&self, cluster: u16, name: &str) -> Option<u16> {
        let named = |s: &Service| s.cluster == cluster && s.name.as_str() == name;
        let mut gone = None;
        for (service, index) in self.services.iter().zip(0_u16..).filter(|(s, _)| named(s)) {
            if service.status != Status::Inactive {
                return Some(index);
            }
            gone = Some(index);
        }
        gone
    }

    /// The ARN of a service.
    pub(crate) fn service_arn(&self, s: u16) -> String {
        let service = &self.services[s as usize];
        let cluster = &self.clusters[service.cluster as usize].name;
        let (region, account) = (&self.region, &self.account);
        format!(
            "arn:aws:ecs:{region}:{account}:service/{cluster}/{}",
            service.name
        )
    }

    /// The scheduler will look at the owner of a task.
    pub(crate) fn touch(&mut self, k: &mut Kernel, owner: Owner) {
        if let Owner::Service { service, .. } = owner {
            let wait = k.draw(Stream::Scheduler, self.timing.schedule);
            self.schedule(k, service, wait);
        }
    }

    /// The scheduler will look at a service within so many milliseconds.
    pub(crate) fn schedule(&mut self, k: &mut Kernel, service: u16, millis: u64) {
        let at = crate::kernel::plus(k.now, millis);
        let due = &mut self.services[service as usize].due;
        if due.is_some_and(|due| due <= at) {
            return;
        }
        *due = Some(at);
        k.at(
            at,
            Happening::Reconcile {
                env: self.index,
                service,
            },
        );
    }

    /// A stopped task leaves its service's list of live ones; those that stopped over an hour ago are forgotten.
    pub(crate) fn forget_old_tasks(&mut self, now: Timestamp, owner: Owner, id: u64) {
        let stopped = match owner {
            Owner::Service { service, .. } => {
                let service = &mut self.services[service as usize];
                service.tasks.retain(|task| *task != id);
                &mut service.stopped
            }
            Owner::Job => &mut self.stopped_jobs,
        };
        stopped.push_back(id);
        while let Some(oldest) = stopped.front().copied() {
            if self.tasks.get(&oldest).is_some_and(|t| t.is_visible(now)) {
                break;
            }
            stopped.pop_front();
            self.tasks.remove(&oldest);
        }
    }

    /// How many more tasks fit.
    pub(crate) fn room(&self) -> u32 {
        let Some(capacity) = self.capacity else {
            return u32::MAX;
        };
        let placed = self.tasks.values().filter(|t| t.stopped_at.is_none()).count();
        capacity.saturating_sub(u32::try_from(placed).unwrap_or(u32::MAX))
    }
}

impl Task {
    /// Whether `DescribeTasks` still knows it.
    pub(crate) fn is_visible(&self, now: Timestamp) -> bool {
        self.stopped_at
            .is_none_or(|at| now.as_millis().saturating_sub(at.as_millis()) <= STOPPED_VISIBLE)
    }
}
