//! The world: environments, zones, clients, time.

use core::time::Duration;

use rollout_core::dns::{Record, RecordData, RecordKey};
use rollout_core::id::{EnvironmentName, ImageDigest, ImageTag, RepositoryName, ServiceName, ZoneId};
use rollout_core::service::{Images, ServiceObservation};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alarm::AlarmState;
use crate::behaviour::Behaviour;
use crate::builder::{WorldBuilder, name_of_balancer};
use crate::certificate::Certificate;
use crate::dns::Zone;
use crate::dns::health::HealthCheck;
use crate::ecr::Finding;
use crate::ecs::Environment;
use crate::elb::{Failure, Request};
use crate::event::Events;
use crate::faults::{Calls, Fault};
use crate::incident::{Incident, Planned, When};
use crate::kernel::{Happening, Kernel};
use crate::parameter::Parameters;
use crate::quota::Quotas;
use crate::secret::Secrets;
use crate::waf::WebAcls;

/// Why a question to the world has no answer. `Display` is one fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// There is no such environment.
    #[error("there is no environment {0}")]
    Environment(String),
    /// There is no such service.
    #[error("there is no service {1} in {0}")]
    Service(EnvironmentName, String),
    /// There is no such alarm.
    #[error("there is no alarm {1} in {0}")]
    Alarm(EnvironmentName, String),
    /// There is no such image.
    #[error("there is no image {1} in {0}")]
    Image(EnvironmentName, String),
    /// There is no such zone.
    #[error("there is no zone {0}")]
    Zone(String),
    /// There is no such load balancer.
    #[error("there is no load balancer {0}")]
    LoadBalancer(String),
    /// There is no such target group.
    #[error("there is no target group {0}")]
    TargetGroup(String),
    /// The cloud refuses it, in these words.
    #[error("it is refused: {0}")]
    Refused(String),
    /// There is no such rule of a listener.
    #[error("there is no rule {0}")]
    Rule(String),
    /// A name is not well formed.
    #[error(transparent)]
    Name(#[from] rollout_core::id::InvalidId),
}

/// Where an environment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The environment.
    pub name: EnvironmentName,
    /// Its account, 12 digits.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its cluster.
    pub cluster: String,
}

/// A simulated cloud on virtual time. Plain data: clone it to try two futures, store it to go on later.
///
/// The same seed, the same script and the same calls at the same moments give the same world, byte for byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    pub(crate) seed: u64,
    pub(crate) kernel: Kernel,
    pub(crate) environments: Vec<Environment>,
    pub(crate) zones: Vec<Zone>,
    #[serde(default)]
    pub(crate) certificates: Vec<Certificate>,
    #[serde(default)]
    pub(crate) secrets: Secrets,
    #[serde(default = "Parameters::of_before")]
    pub(crate) parameters: Parameters,
    #[serde(default)]
    pub(crate) web_acls: WebAcls,
    /// Health checks of DNS; a deleted one leaves its place.
    pub(crate) checks: Vec<Option<HealthCheck>>,
    pub(crate) planned: Vec<Planned>,
    pub(crate) faults: Vec<Fault>,
    /// Left out of stored worlds of before there were any.
    #[serde(default)]
    pub(crate) quotas: Quotas,
    pub(crate) calls: Calls,
    /// Left out of stored worlds of before there were any.
    #[serde(default)]
    pub(crate) events: Events,
    /// Whether the call under way has changed anything.
    pub(crate) took_effect: bool,
}

impl World {
    /// Begins to describe a world.
    #[must_use]
    pub fn builder(seed: u64) -> WorldBuilder {
        WorldBuilder::new(seed)
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Now, on the world's clock.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.kernel.now
    }

    /// Where each environment is, in the order in which they were described.
    #[must_use]
    pub fn places(&self) -> Vec<Location> {
        let all = self.environments.iter();
        all.map(|e| Location {
            name: e.name.clone(),
            account: e.account.clone(),
            region: e.region.clone(),
            cluster: e.cluster.clone(),
        })
        .collect()
    }

    /// When something happens next by itself.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.kernel.next_at()
    }

    /// A fingerprint of everything that has happened. Equal worlds have equal traces.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.kernel.trace()
    }

    /// Lets time pass until `to`. A moment that has passed changes nothing.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some(what) = self.kernel.pop(to) {
            self.happen(what);
        }
        self.kernel.now = self.kernel.now.max(to);
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        self.advance(self.now().after(span));
    }

    /// Lets time pass until `done` says so, looking whenever something has happened; `false` when it has not by `until`.
    pub fn advance_until(&mut self, until: Timestamp, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.next_at().filter(|at| *at <= until) {
                Some(at) => self.advance(at),
                None => {
                    self.advance(until);
                    return done(self);
                }
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        let (k, all) = (&mut self.kernel, &mut self.environments);
        match what {
            Happening::Phase { env, task, version } => {
                if !self.lacks_secret(env, task, version) {
                    self.environments[env as usize].next_phase(&mut self.kernel, task, version);
                }
            }
            Happening::Exit { env, task, version } => all[env as usize].exits(k, task, version),
            Happening::Health {
                env,
                task,
                version,
                look,
            } => all[env as usize].look(k, task, version, look),
            Happening::Reconcile { env, service } => all[env as usize].reconcile(k, service),
            Happening::Watch { env, service } => all[env as usize].watch(k, service),
            Happening::Alarm { env, alarm } => all[env as usize].evaluate_alarm(k, alarm),
            Happening::Incident { index } => self.strike(index),
            Happening::Lifecycle { env } => all[env as usize].expire_images(k),
            Happening::Metrics { env } => self.measure_traffic(env),
            Happening::Certificate { index } => self.validate_certificate(index),
            Happening::HealthCheck { index } => self.check_endpoint(index),
        }
        self.tell_of(what);
    }

    /// A service as `DescribeServices` and its like show it.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist. A service that does not exist is an observation.
    pub fn service(&self, environment: &str, service: &str) -> Result<ServiceObservation, Unknown> {
        let name = ServiceName::new(service)?;
        Ok(self.env(environment)?.observe(self.now(), &name))
    }

    /// The images of a service's running tasks, task by task. Cheaper than [`World::service`], to be asked often.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such service.
    pub fn running(&self, environment: &str, service: &str) -> Result<Vec<&Images>, Unknown> {
        let index = self.service_index(environment, service)?;
        Ok(self.env(environment)?.running_images(index).collect())
    }

    /// A zone's record, as the control plane has it.
    ///
    /// # Errors
    /// [`Unknown`] when the zone does not exist.
    pub fn record(&self, zone: &ZoneId, key: &RecordKey) -> Result<Option<&Record>, Unknown> {
        Ok(self.zone(zone)?.record(key))
    }

    /// All records of a zone, in the order in which they were made.
    ///
    /// # Errors
    /// [`Unknown`] when the zone does not exist.
    pub fn records(&self, zone: &ZoneId) -> Result<Vec<Record>, Unknown> {
        Ok(self.zone(zone)?.sets().iter().map(|s| s.record.clone()).collect())
    }

    /// The digest that a tag names.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such image.
    pub fn image(&self, environment: &str, repository: &str, tag: &str) -> Result<ImageDigest, Unknown> {
        let (repository, named) = (RepositoryName::new(repository)?, ImageTag::new(tag)?);
        let env = self.env(environment)?;
        let found = env.registry.resolve(&repository, &named).cloned();
        found.ok_or_else(|| Unknown::Image(env.name.clone(), format!("{repository}:{tag}")))
    }

    /// Pushes an image for Linux on `amd64` and `arm64`, and tags it: equal content is an equal digest.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist or a name is not well formed.
    pub fn push_image(
        &mut self,
        environment: &str,
        repository: &str,
        tag: &str,
        content: &str,
    ) -> Result<ImageDigest, Unknown> {
        self.push_image_for(environment, repository, tag, content, &["amd64", "arm64"])
    }

    /// Pushes an image that runs on Linux on these architectures only, in the words of an image index (`amd64`, `arm64`), and
    /// tags it.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist or a name is not well formed.
    pub fn push_image_for(
        &mut self,
        environment: &str,
        repository: &str,
        tag: &str,
        content: &str,
        architectures: &[&str],
    ) -> Result<ImageDigest, Unknown> {
        let (repository, tag) = (RepositoryName::new(repository)?, ImageTag::new(tag)?);
        let now = self.now();
        let env = self.env_mut(environment)?;
        let digest = env.registry.push_for(now, &repository, content, architectures);
        env.registry.tag(&repository, &tag, digest.clone());
        Ok(digest)
    }

    /// Says what an image does in an environment from now on. Tasks that run already go on as they are.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn behave(
        &mut self,
        environment: &str,
        image: &ImageDigest,
        behaviour: Behaviour,
    ) -> Result<(), Unknown> {
        self.env_mut(environment)?
            .registry
            .set_behaviour(image.clone(), behaviour);
        Ok(())
    }

    /// Says what a scan of an image finds. An index is not scanned, its images are; each image of one is told the same.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist or has no such image.
    pub fn find_in_scan(
        &mut self,
        environment: &str,
        repository: &str,
        image: &ImageDigest,
        findings: &[Finding],
    ) -> Result<(), Unknown> {
        let env = self.env_mut(environment)?;
        let missing = || Unknown::Image(env.name.clone(), format!("{repository}@{image}"));
        let (_, held) = env.registry.repository(repository).ok_or_else(missing)?;
        let (mut images, _) = held.image(image).ok_or_else(missing)?.refers();
        images.push(image.clone());
        for image in images {
            env.registry.set_findings(image, findings.to_vec());
        }
        Ok(())
    }

    /// Removes an image, as a lifecycle rule does.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist or a name is not well formed.
    pub fn expire_image(
        &mut self,
        environment: &str,
        repository: &str,
        image: &ImageDigest,
    ) -> Result<(), Unknown> {
        let repository = RepositoryName::new(repository)?;
        self.env_mut(environment)?.registry.expire(&repository, image);
        Ok(())
    }

    /// The state of an alarm.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such alarm.
    pub fn alarm(&self, environment: &str, alarm: &str) -> Result<AlarmState, Unknown> {
        let env = self.env(environment)?;
        let found = env.alarms.iter().find(|a| a.name == alarm);
        let missing = || Unknown::Alarm(env.name.clone(), alarm.to_owned());
        Ok(found.ok_or_else(missing)?.state)
    }

    /// Sets an alarm, as the call `SetAlarmState` does. One that is bound to something goes on being evaluated.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such alarm.
    pub fn set_alarm(&mut self, environment: &str, alarm: &str, state: AlarmState) -> Result<(), Unknown> {
        let now = self.now();
        let env = self.env_mut(environment)?;
        let missing = Unknown::Alarm(env.name.clone(), alarm.to_owned());
        let found = env.alarms.iter_mut().find(|a| a.name == alarm).ok_or(missing)?;
        found.set(now, state, "set by hand");
        Ok(())
    }

    /// The ARN of a service's target group, if it has one.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such service.
    pub fn target_group(&self, environment: &str, service: &str) -> Result<Option<String>, Unknown> {
        let env = self.env(environment)?;
        let index = self.service_index(environment, service)?;
        let group = env.services[index as usize].group;
        Ok(group.map(|g| env.groups[g as usize].arn.clone()))
    }

    /// The ARN of the rule that requests for a path meet at a load balancer's listener.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such load balancer, or it has no listener on this port.
    pub fn rule(&self, environment: &str, balancer: &str, port: u16, path: &str) -> Result<String, Unknown> {
        let missing = || Unknown::LoadBalancer(format!("{balancer} with a listener on port {port}"));
        let env = self.env(environment)?;
        let found = env
            .balancers
            .iter()
            .find(|b| b.name == balancer)
            .ok_or_else(missing)?;
        let listener = found
            .listeners
            .iter()
            .find(|l| l.port == port)
            .ok_or_else(missing)?;
        let request = Request {
            method: "GET",
            host: found.dns_name.as_str(),
            path,
            ..Request::default()
        };
        Ok(listener.route(&request).ok_or_else(missing)?.arn.clone())
    }

    /// The target groups that a rule forwards to, by ARN, with their weights. None when it answers by itself.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such rule.
    pub fn weights(&self, environment: &str, rule: &str) -> Result<Vec<(String, u32)>, Unknown> {
        let env = self.env(environment)?;
        let weights = env.weights(rule).map_err(|_| Unknown::Rule(rule.to_owned()))?;
        let named = weights
            .iter()
            .map(|(g, w)| (env.groups[*g as usize].arn.clone(), *w));
        Ok(named.collect())
    }

    /// Lets a rule forward to target groups, by ARN, with these weights, as `ModifyRule` does.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such rule or target group, or Elastic Load Balancing would refuse the weights.
    pub fn set_weights(&mut self, environment: &str, rule: &str, to: &[(&str, u32)]) -> Result<(), Unknown> {
        let env = self.env_mut(environment)?;
        let mut weights = Vec::new();
        for (arn, weight) in to {
            let group = env.group_index(arn);
            weights.push((
                group.ok_or_else(|| Unknown::TargetGroup((*arn).to_owned()))?,
                *weight,
            ));
        }
        env.set_weights(rule, &weights)
            .map_err(|refused| Unknown::Refused(refused.to_string()))
    }

    /// Lets the machines behind a load balancer pass all checks from now on, or fail them.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such load balancer.
    pub fn turn_machines(&mut self, environment: &str, balancer: &str, healthy: bool) -> Result<(), Unknown> {
        let now = self.now();
        let env = self.env_mut(environment)?;
        let missing = || Unknown::LoadBalancer(balancer.to_owned());
        let found = env
            .balancers
            .iter()
            .find(|b| b.name == balancer)
            .ok_or_else(missing)?;
        for group in found.serving_groups() {
            let group = &mut env.groups[group as usize];
            let fails = (!healthy).then_some(Failure::Refused);
            for machine in &mut group.machines {
                machine.turn(&group.checks, now, fails);
            }
        }
        Ok(())
    }

    /// What an alias record says that points at a load balancer.
    ///
    /// # Errors
    /// [`Unknown`] when there is no such load balancer.
    pub fn alias_to(&self, environment: &str, balancer: &str) -> Result<RecordData, Unknown> {
        let env = self.env(environment)?;
        let name = name_of_balancer(balancer, environment, &env.region);
        let missing = || Unknown::LoadBalancer(balancer.to_owned());
        let (_, found) = self.balancer(&name).ok_or_else(missing)?;
        Ok(RecordData::Alias {
            target: found.dns_name.clone(),
            zone: found.zone.clone(),
            evaluate_target_health: true,
        })
    }

    /// Plans an incident.
    ///
    /// # Errors
    /// [`Unknown`] when what it is about does not exist.
    pub fn schedule(&mut self, environment: &str, when: When, incident: Incident) -> Result<(), Unknown> {
        let env = self.env(environment)?.index;
        self.check(env, &incident)?;
        let index = self.planned.len() as u32;
        let (waits_for, at) = match when {
            When::At(at) => (None, Some(at)),
            When::After(span) => (None, Some(self.now().after(span))),
            When::Deployment { service, plus } => {
                if let Some(service) = &service {
                    self.service_index(environment, service)?;
                }
                (
                    Some((service, u64::try_from(plus.as_millis()).unwrap_or(u64::MAX))),
                    None,
                )
            }
        };
        self.planned.push(Planned {
            env,
            incident,
            waits_for,
        });
        if let Some(at) = at {
            self.kernel.at(at, Happening::Incident { index });
        }
        Ok(())
    }

    /// Whether anything that is planned in an environment waits for a deployment.
    #[cfg(feature = "endpoint")]
    pub(crate) fn deployments_are_waited_for(&self, env: u16) -> bool {
        self.planned
            .iter()
            .any(|planned| planned.env == env && planned.waits_for.is_some())
    }

    /// A service is being deployed to: what waited for that is planned.
    pub(crate) fn deployment_begins(&mut self, env: u16, service: u16) {
        let name = self.environments[env as usize].services[service as usize]
            .name
            .to_string();
        for (planned, index) in self.planned.iter_mut().zip(0_u32..) {
            let ours = planned.env == env
                && planned
                    .waits_for
                    .as_ref()
                    .is_some_and(|(service, _)| service.as_ref().is_none_or(|s| *s == name));
            if ours && let Some((_, wait)) = planned.waits_for.take() {
                self.kernel.after(wait, Happening::Incident { index });
            }
        }
    }

    /// Limits how often accounts may call the endpoint. Calls of the ports are not limited.
    pub fn limit(&mut self, quotas: Quotas) {
        self.quotas = quotas;
    }

    /// The limits, and how many calls there were.
    #[must_use]
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// Lets calls go wrong.
    pub fn disturb(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Lets no call go wrong any more.
    pub fn calm(&mut self) {
        self.faults.clear();
    }

    /// The calls that were made through the ports.
    #[must_use]
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn env(&self, name: &str) -> Result<&Environment, Unknown> {
        let mut all = self.environments.iter();
        all.find(|e| e.name.as_str() == name)
            .ok_or_else(|| Unknown::Environment(name.to_owned()))
    }

    pub(crate) fn env_mut(&mut self, name: &str) -> Result<&mut Environment, Unknown> {
        let mut all = self.environments.iter_mut();
        all.find(|e| e.name.as_str() == name)
            .ok_or_else(|| Unknown::Environment(name.to_owned()))
    }

    pub(crate) fn service_index(&self, environment: &str, service: &str) -> Result<u16, Unknown> {
        let env = self.env(environment)?;
        let found = env.service_index(service);
        found.ok_or_else(|| Unknown::Service(env.name.clone(), service.to_owned()))
    }

    pub(crate) fn zone(&self, id: &ZoneId) -> Result<&Zone, Unknown> {
        let found = self.zones.iter().find(|z| &z.id == id);
        found.ok_or_else(|| Unknown::Zone(id.to_string()))
    }
}
