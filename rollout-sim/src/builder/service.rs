//! Describes a service.

use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::id::{ContainerName, ImageTag, RepositoryName, ServiceName};
use rollout_core::image::ImageRef;
use rollout_core::service::RevisionSpec;
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::BuildError;
use super::balancer::{CHECKS, group_arn, group_name};
use crate::ecs::Environment;
use crate::ecs::breaker::Breaker;
use crate::ecs::plan::{Hook, Plan, Strategy, Watched};
use crate::ecs::service::Service;
use crate::elb::{Checks, TargetGroup};
use crate::kernel::Kernel;

const TWO_DAYS: Duration = Duration::from_secs(48 * 60 * 60);

/// Describes a service of an [`EnvironmentBuilder`](super::EnvironmentBuilder). Unless told otherwise it wants one task,
/// allows 100 to 200 percent, has the circuit breaker with rollback, and has run, settled, for two days.
#[derive(Clone, Debug)]
pub struct ServiceBuilder {
    name: String,
    family: Option<String>,
    containers: Vec<(String, String, String)>,
    template: Option<Value>,
    check: Option<Value>,
    desired: u32,
    percent: (u32, u32),
    breaker: Breaker,
    plan: Plan,
    grace: Duration,
    port: Option<u16>,
    target_group: Option<String>,
    checks: Checks,
    check_path: Option<String>,
    deregistration_delay: Duration,
    settled_for: Option<Duration>,
    hosts: Vec<String>,
    tells_version: bool,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl ServiceBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            family: None,
            containers: Vec::new(),
            template: None,
            check: None,
            desired: 1,
            percent: (100, 200),
            breaker: Breaker::default(),
            plan: Plan::default(),
            grace: Duration::from_secs(30),
            port: None,
            target_group: None,
            checks: CHECKS,
            check_path: None,
            deregistration_delay: Duration::from_secs(5),
            settled_for: Some(TWO_DAYS),
            hosts: Vec::new(),
            tells_version: false,
        }
    }

    /// Adds an essential container with an image of this environment's registry.
    #[must_use]
    pub fn container(mut self, name: &str, repository: &str, tag: &str) -> Self {
        self.containers
            .push((name.to_owned(), repository.to_owned(), tag.to_owned()));
        self
    }

    /// The family of its task definition; named like the service unless told otherwise.
    #[must_use]
    pub fn family(mut self, name: &str) -> Self {
        self.family = Some(name.to_owned());
        self
    }

    /// Its task definition, as `register-task-definition --cli-input-json` takes it, instead of a minimal one. The images
    /// of the containers that were added are put into it.
    #[must_use]
    pub fn task_definition(mut self, template: Value) -> Self {
        self.template = Some(template);
        self
    }

    /// How many tasks it wants.
    #[must_use]
    pub const fn desired(mut self, tasks: u32) -> Self {
        self.desired = tasks;
        self
    }

    /// Minimum healthy and maximum percent.
    #[must_use]
    pub const fn percent(mut self, minimum_healthy: u32, maximum: u32) -> Self {
        self.percent = (minimum_healthy, maximum);
        self
    }

    /// Its circuit breaker.
    #[must_use]
    pub const fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = breaker;
        self
    }

    /// How it deploys; rolling unless told otherwise. With another strategy and a load balancer it gets a second target
    /// group, and ECS sets the weights of the rules that name it: those of the load balancer's first listener for production
    /// traffic, those of its other listeners for test traffic.
    ///
    /// ```
    /// use rollout_sim::{Hook, LifecycleStage, Strategy, World};
    ///
    /// let world = World::builder(7)
    ///     .environment("production", |e| {
    ///         e.image("shop/api", "1.0.0")
    ///             .service("api", |s| {
    ///                 s.container("api", "shop/api", "1.0.0")
    ///                     .load_balanced(8080)
    ///                     .strategy(Strategy::Canary { share: 100, bake_minutes: 10 })
    ///                     .hook(Hook::pause([LifecycleStage::PreProductionTrafficShift]))
    ///             })
    ///             .balancer("shop", |b| b.route("/", "api").listener(9001).route("/", "api"))
    ///     })
    ///     .build()?;
    /// assert_eq!(world.service("production", "api")?.running, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.plan.strategy = strategy;
        self
    }

    /// For how many minutes both sets of tasks run after all traffic has moved; not for rolling deployments.
    #[must_use]
    pub const fn bake_minutes(mut self, minutes: u32) -> Self {
        self.plan.bake_minutes = minutes;
        self
    }

    /// Adds a lifecycle hook to its deployments; not for rolling ones.
    #[must_use]
    pub fn hook(mut self, hook: Hook) -> Self {
        self.plan.hooks.push(hook);
        self
    }

    /// Alarms that fail a deployment, and whether it goes back then.
    #[must_use]
    pub fn deployment_alarms(mut self, alarms: &[&str], rollback: bool) -> Self {
        self.plan.alarms = Watched {
            names: alarms.iter().map(|name| (*name).to_owned()).collect(),
            enabled: true,
            rollback,
        };
        self
    }

    /// Puts it behind a target group with this port.
    #[must_use]
    pub const fn load_balanced(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The ARN of its target group, where another than the usual one is wanted: a configuration that names it decides.
    #[must_use]
    pub fn target_group(mut self, arn: &str) -> Self {
        self.target_group = Some(arn.to_owned());
        self
    }

    /// How the target group checks: interval (10 s unless told otherwise), passes until healthy again (5), failures until
    /// unhealthy (2).
    #[must_use]
    pub fn checks(mut self, interval: Duration, healthy: u32, unhealthy: u32) -> Self {
        self.checks = Checks {
            interval: millis(interval).max(1),
            healthy: u64::from(healthy.max(1)),
            unhealthy: u64::from(unhealthy.max(1)),
        };
        self
    }

    /// The path that the target group asks, `/` unless told otherwise. It is told again and not acted upon: whether a task passes is
    /// its image's doing.
    #[must_use]
    pub fn check_path(mut self, path: &str) -> Self {
        self.check_path = Some(path.to_owned());
        self
    }

    /// For how long new tasks may fail the target group's checks; 30 s unless told otherwise.
    #[must_use]
    pub const fn grace(mut self, span: Duration) -> Self {
        self.grace = span;
        self
    }

    /// For how long a target drains; 5 s unless told otherwise.
    #[must_use]
    pub const fn deregistration_delay(mut self, span: Duration) -> Self {
        self.deregistration_delay = span;
        self
    }

    /// Gives its containers a health check of their own; whole seconds.
    #[must_use]
    pub fn container_check(mut self, interval: Duration, retries: u32, start_period: Duration) -> Self {
        self.check = Some(json!({
            "command": ["CMD-SHELL", "true"],
            "interval": interval.as_secs(), "retries": retries, "startPeriod": start_period.as_secs(),
        }));
        self
    }

    /// For how long its tasks have been running.
    #[must_use]
    pub const fn settled_for(mut self, span: Duration) -> Self {
        self.settled_for = Some(span);
        self
    }

    /// It was created now and its first deployment is on its way: there is nothing to go back to.
    #[must_use]
    pub const fn just_created(mut self) -> Self {
        self.settled_for = None;
        self
    }

    /// A host name that leads to its tasks directly.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.hosts.push(name.to_owned());
        self
    }

    /// Its answers tell which version gave them, so that a probe's sample names the images.
    #[must_use]
    pub const fn tells_version(mut self) -> Self {
        self.tells_version = true;
        self
    }

    fn revision(&self, env: &Environment) -> Result<RevisionSpec, BuildError> {
        let mut template = self.template.clone().unwrap_or_else(|| {
            let containers = self
                .containers
                .iter()
                .map(|(name, ..)| json!({ "name": name, "essential": true, "image": "" }));
            let family = self.family.as_ref().unwrap_or(&self.name);
            json!({ "family": family, "containerDefinitions": containers.collect::<Vec<_>>() })
        });
        if let Some(check) = &self.check {
            for container in template["containerDefinitions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                container["healthCheck"] = check.clone();
            }
        }
        let mut images = BTreeMap::new();
        for (name, repository, tag) in &self.containers {
            let (repository, named) = (
                RepositoryName::new(repository.as_str())?,
                ImageTag::new(tag.as_str())?,
            );
            let digest = env.registry.resolve(&repository, &named);
            let missing = || BuildError::missing("image", format!("{repository}:{tag}"));
            let digest = digest.ok_or_else(missing)?.clone();
            images.insert(
                ContainerName::new(name.as_str())?,
                ImageRef { repository, digest },
            );
        }
        Ok(RevisionSpec { template, images })
    }

    /// The service before its first deployment.
    fn service(
        &self,
        now: Timestamp,
        name: ServiceName,
        group: Option<u16>,
        alternate: Option<u16>,
    ) -> Service {
        Service {
            minimum_healthy_percent: self.percent.0,
            maximum_percent: self.percent.1,
            breaker: self.breaker,
            plan: self.plan.clone(),
            grace: millis(self.grace),
            group,
            alternate,
            tells_version: self.tells_version,
            ..Service::new(now, 0, name, self.desired)
        }
    }

    /// What `CreateService` was given besides.
    fn settings(
        &self,
        env: &Environment,
        spec: &RevisionSpec,
        group: Option<u16>,
        alternate: Option<u16>,
    ) -> Value {
        let Some(group) = group else { return json!({}) };
        let group = &env.groups[group as usize];
        let mut balancer = json!({
            "targetGroupArn": group.arn,
            "containerName": spec.template["containerDefinitions"][0]["name"],
            "containerPort": group.port,
        });
        if let Some(alternate) = alternate {
            let arn = &env.groups[alternate as usize].arn;
            balancer["advancedConfiguration"] = json!({ "alternateTargetGroupArn": arn });
        }
        json!({ "loadBalancers": [balancer] })
    }

    pub(super) fn build(self, k: &mut Kernel, env: &mut Environment) -> Result<(), BuildError> {
        let name = ServiceName::new(self.name.as_str())?;
        if env.service_index(&self.name).is_some() {
            return Err(BuildError::Twice {
                what: "service",
                name: self.name,
            });
        }
        let spec = self.revision(env)?;
        let index = env.services.len() as u16;
        let mut groups = Vec::new();
        if let Some(port) = self.port {
            let named = self.target_group.clone();
            let arn = named.unwrap_or_else(|| group_arn(env, &self.name));
            groups.push((port, arn, group_name(env, &self.name)));
            if self.plan.is_staged() {
                let second = format!("{}-alternate", self.name);
                groups.push((port, group_arn(env, &second), group_name(env, &second)));
            }
        }
        let mut groups = groups.into_iter().map(|(port, arn, name)| {
            let mut group = TargetGroup::new(arn, name, port, self.checks);
            group.deregistration_delay = millis(self.deregistration_delay);
            if let Some(path) = &self.check_path {
                path.clone_into(&mut group.probe.path);
            }
            env.groups.push(group);
            env.groups.len() as u16 - 1
        });
        let (group, alternate) = (groups.next(), groups.next());
        drop(groups);
        let mut service = self.service(k.now, name, group, alternate);
        service.settings = self.settings(env, &spec, group, alternate);
        env.services.push(service);
        for host in self.hosts {
            env.hosts.insert(host.to_ascii_lowercase(), index);
        }
        let why = |why| BuildError::TaskDefinition {
            service: self.name.clone(),
            why,
        };
        let (arn, _) = env.ensure_revision(k.now, &spec).map_err(why)?;
        let (revision, _) = env.revision(&arn).ok_or_else(|| why("it vanished".to_owned()))?;
        match self.settled_for {
            Some(span) => {
                let since = Timestamp::from_millis(k.now.as_millis().saturating_sub(millis(span)));
                env.populate(k, index, revision, since);
            }
            None => {
                env.deploy(k, index, revision);
            }
        }
        Ok(())
    }
}
