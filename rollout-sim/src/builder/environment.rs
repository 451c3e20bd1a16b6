//! Describes an environment.

use std::collections::{BTreeMap, VecDeque};

use rollout_core::id::{DomainName, EnvironmentName, ImageTag, RepositoryName, ZoneId};

use super::BuildError;
use super::service::ServiceBuilder;
use crate::alarm::{Alarm, AlarmState, Rule};
use crate::behaviour::Behaviour;
use crate::ecr::Registry;
use crate::ecs::{Cluster, Environment, Launch, Timing};
use crate::elb::{Checks, Fixed, LoadBalancer, TargetGroup};
use crate::kernel::{Happening, Kernel};

/// Describes an environment of a [`WorldBuilder`](crate::WorldBuilder).
#[derive(Clone, Debug)]
pub struct EnvironmentBuilder {
    pub(super) name: String,
    account: String,
    region: String,
    caller: Option<String>,
    cluster: Option<String>,
    timing: Timing,
    launch: Launch,
    capacity: Option<u32>,
    repositories: Vec<String>,
    images: Vec<Image>,
    services: Vec<ServiceBuilder>,
    balancers: Vec<BalancerBuilder>,
    alarms: Vec<AlarmPlan>,
    failing_functions: Vec<String>,
}

#[derive(Clone, Debug)]
struct Image {
    repository: String,
    tag: String,
    content: String,
    behaviour: Behaviour,
}

#[derive(Clone, Debug)]
struct AlarmPlan {
    name: String,
    bound: Bound,
}

#[derive(Clone, Debug)]
enum Bound {
    Script,
    Unhealthy { service: String, over: u32 },
    Errors { service: String, over: u32 },
}

impl EnvironmentBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-central-1".to_owned(),
            caller: None,
            cluster: None,
            timing: Timing::default(),
            launch: Launch::default(),
            capacity: None,
            repositories: Vec::new(),
            images: Vec::new(),
            services: Vec::new(),
            balancers: Vec::new(),
            alarms: Vec::new(),
            failing_functions: Vec::new(),
        }
    }

    /// A function that fails when a lifecycle hook calls it.
    #[must_use]
    pub fn failing_function(mut self, arn: &str) -> Self {
        self.failing_functions.push(arn.to_owned());
        self
    }

    /// Its account; `111111111111` unless told otherwise.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }

    /// Its region; `eu-central-1` unless told otherwise.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// The ARN of whoever calls; a role named `deployer` unless told otherwise.
    #[must_use]
    pub fn caller(mut self, arn: &str) -> Self {
        self.caller = Some(arn.to_owned());
        self
    }

    /// Its cluster; named like the environment unless told otherwise.
    #[must_use]
    pub fn cluster(mut self, name: &str) -> Self {
        self.cluster = Some(name.to_owned());
        self
    }

    /// How long things take.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Where tasks run.
    #[must_use]
    pub const fn launch(mut self, launch: Launch) -> Self {
        self.launch = launch;
        self
    }

    /// How many tasks fit; no bound unless told otherwise.
    #[must_use]
    pub const fn capacity(mut self, tasks: u32) -> Self {
        self.capacity = Some(tasks);
        self
    }

    /// Adds an empty repository.
    #[must_use]
    pub fn repository(mut self, name: &str) -> Self {
        self.repositories.push(name.to_owned());
        self
    }

    /// Adds an image that behaves well. What it is made of is repository and tag: the same in two environments is the
    /// same digest.
    #[must_use]
    pub fn image(self, repository: &str, tag: &str) -> Self {
        self.image_that(repository, tag, Behaviour::default())
    }

    /// Adds an image and says what it does.
    #[must_use]
    pub fn image_that(mut self, repository: &str, tag: &str, behaviour: Behaviour) -> Self {
        self.images.push(Image {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            content: format!("{repository} {tag}"),
            behaviour,
        });
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, name: &str, describe: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> Self {
        self.services.push(describe(ServiceBuilder::new(name)));
        self
    }

    /// Adds a load balancer. Its DNS name is `<name>-<ten digits>.<region>.elb.amazonaws.com`, the digits made from name
    /// and environment, not from the seed.
    #[must_use]
    pub fn balancer(mut self, name: &str, describe: impl FnOnce(BalancerBuilder) -> BalancerBuilder) -> Self {
        self.balancers.push(describe(BalancerBuilder {
            name: name.to_owned(),
            routes: Vec::new(),
            fixed: None,
            dns_name: None,
        }));
        self
    }

    /// Adds an alarm that only a script moves; it begins as OK.
    #[must_use]
    pub fn alarm(mut self, name: &str) -> Self {
        let name = name.to_owned();
        self.alarms.push(AlarmPlan {
            name,
            bound: Bound::Script,
        });
        self
    }

    /// Adds an alarm that fires when a service has more than `over` unhealthy targets, two minutes in a row.
    #[must_use]
    pub fn alarm_on_unhealthy_targets(mut self, name: &str, service: &str, over: u32) -> Self {
        let (name, service) = (name.to_owned(), service.to_owned());
        self.alarms.push(AlarmPlan {
            name,
            bound: Bound::Unhealthy { service, over },
        });
        self
    }

    /// Adds an alarm that fires when more than `over` of 10,000 answers of a service are errors, two minutes in a row.
    #[must_use]
    pub fn alarm_on_errors(mut self, name: &str, service: &str, over: u32) -> Self {
        let (name, service) = (name.to_owned(), service.to_owned());
        self.alarms.push(AlarmPlan {
            name,
            bound: Bound::Errors { service, over },
        });
        self
    }

    pub(super) fn build(
        self,
        k: &mut Kernel,
        index: u16,
        name: EnvironmentName,
    ) -> Result<Environment, BuildError> {
        let account = self.account;
        let cluster = self.cluster.unwrap_or_else(|| name.to_string());
        let mut env = Environment {
            index,
            caller: self
                .caller
                .unwrap_or_else(|| format!("arn:aws:sts::{account}:assumed-role/deployer/rollout")),
            account,
            region: self.region,
            clusters: vec![Cluster::named(&cluster)],
            cluster,
            name,
            timing: self.timing,
            launch: self.launch,
            capacity: None,
            services: Vec::new(),
            revisions: Vec::new(),
            tasks: BTreeMap::new(),
            jobs: BTreeMap::new(),
            stopped_jobs: VecDeque::new(),
            failing_functions: self.failing_functions.into_iter().collect(),
            groups: Vec::new(),
            balancers: Vec::new(),
            alarms: Vec::new(),
            registry: Registry::default(),
            hosts: BTreeMap::new(),
        };
        for name in self.repositories {
            env.registry.create(&RepositoryName::new(name)?);
        }
        for image in self.images {
            let repository = RepositoryName::new(image.repository)?;
            let digest = env.registry.push(&repository, &image.content);
            env.registry
                .tag(&repository, &ImageTag::new(image.tag)?, digest.clone());
            if image.behaviour != Behaviour::default() {
                env.registry.set_behaviour(digest, image.behaviour);
            }
        }
        for service in self.services {
            service.build(k, &mut env)?;
        }
        for balancer in self.balancers {
            balancer.build(&mut env)?;
        }
        for alarm in self.alarms {
            alarm.build(k, &mut env)?;
        }
        // What was there before the bound counts against it, but is not refused by it.
        env.capacity = self.capacity;
        Ok(env)
    }
}

impl AlarmPlan {
    fn build(self, k: &mut Kernel, env: &mut Environment) -> Result<(), BuildError> {
        const PERIOD: u64 = 60_000;
        let find = |service: &str| {
            let missing = || BuildError::missing("service", service);
            env.service_index(service).ok_or_else(missing)
        };
        let rule = match &self.bound {
            Bound::Script => Rule::Script,
            Bound::Errors { service, over } => Rule::Errors {
                service: find(service)?,
                over: *over,
            },
            Bound::Unhealthy { service, over } => {
                let group = env.services[find(service)? as usize].group;
                let missing = || BuildError::missing("target group of service", service.as_str());
                Rule::UnhealthyTargets {
                    group: group.ok_or_else(missing)?,
                    over: *over,
                }
            }
        };
        let alarm = env.alarms.len() as u16;
        env.alarms.push(Alarm {
            name: self.name,
            state: AlarmState::Ok,
            since: k.now,
            reason: "Threshold Crossed: no datapoint breached".to_owned(),
            rule,
            period: PERIOD,
            periods: 2,
            breaching: 0,
            peak: 0,
        });
        if rule != Rule::Script {
            k.after(
                PERIOD,
                Happening::Alarm {
                    env: env.index,
                    alarm,
                },
            );
        }
        Ok(())
    }
}

/// Describes a load balancer.
#[derive(Clone, Debug)]
pub struct BalancerBuilder {
    name: String,
    routes: Vec<(String, String)>,
    fixed: Option<Fixed>,
    dns_name: Option<String>,
}

impl BalancerBuilder {
    /// Its DNS name, where another than the usual one is wanted: a configuration that names it decides.
    #[must_use]
    pub fn dns_name(mut self, name: &str) -> Self {
        self.dns_name = Some(name.to_owned());
        self
    }

    /// Sends requests whose path begins with `prefix` to a service. The first that fits counts.
    #[must_use]
    pub fn route(mut self, prefix: &str, service: &str) -> Self {
        self.routes.push((prefix.to_owned(), service.to_owned()));
        self
    }

    /// Everything else goes to targets that are no tasks, such as virtual machines: so many healthy and unhealthy ones.
    #[must_use]
    pub const fn machines(mut self, healthy: u32, unhealthy: u32) -> Self {
        self.fixed = Some(Fixed { healthy, unhealthy });
        self
    }

    fn build(self, env: &mut Environment) -> Result<(), BuildError> {
        let mut rules = Vec::new();
        for (prefix, name) in self.routes {
            let service = env.service_index(&name);
            let service = service.ok_or_else(|| BuildError::missing("service", name.as_str()))?;
            let group = env.services[service as usize].group;
            let group = group.ok_or_else(|| BuildError::missing("target group of service", name.as_str()))?;
            rules.push((prefix, group));
        }
        if let Some(fixed) = self.fixed {
            let group = env.groups.len() as u16;
            env.groups.push(TargetGroup {
                arn: group_arn(env, &self.name),
                port: 80,
                checks: Checks {
                    interval: 10_000,
                    healthy: 5,
                    unhealthy: 2,
                },
                deregistration_delay: 0,
                service: None,
                fixed: Some(fixed),
            });
            rules.push((String::new(), group));
        }
        env.balancers.push(LoadBalancer {
            dns_name: DomainName::new(
                self.dns_name
                    .unwrap_or_else(|| balancer_name(&self.name, env.name.as_str(), &env.region)),
            )?,
            zone: ZoneId::new(BALANCER_ZONE)?,
            rules,
        });
        Ok(())
    }
}

/// The hosted zone of Application Load Balancers in eu-central-1 (AWS General Reference, "Elastic Load Balancing
/// endpoints"); one for all regions here.
pub(super) const BALANCER_ZONE: &str = "Z215JYRZR1TBD5";

/// Digits or hex that follow from names alone, so that a file can hold them.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

pub(super) fn balancer_name(name: &str, env: &str, region: &str) -> String {
    let digits = 1_000_000_000 + fingerprint(&format!("{env} {name}")) % 1_000_000_000;
    format!("{name}-{digits}.{region}.elb.amazonaws.com")
}

pub(super) fn group_arn(env: &Environment, name: &str) -> String {
    let name = format!("{}-{name}", env.name);
    format!(
        "arn:aws:elasticloadbalancing:{}:{}:targetgroup/{name}/{:016x}",
        env.region,
        env.account,
        fingerprint(&name)
    )
}
