//! Describes an environment.

use std::collections::{BTreeMap, VecDeque};

use rollout_core::id::{EnvironmentName, ImageTag, RepositoryName};
use rollout_core::readiness::fact::Snapshot;

use super::BuildError;
use super::balancer::{BalancerBuilder, empty_group, pair_up, serve_the_rest};
use super::secret::SecretPlan;
use super::service::ServiceBuilder;
use super::waf::WebAclBuilder;
use crate::alarm::{Alarm, AlarmState, Rule};
use crate::behaviour::Behaviour;
use crate::ecr::Registry;
use crate::ecs::revision::secret_references;
use crate::ecs::{Cluster, Environment, Launch, Timing};
use crate::kernel::{Happening, Kernel};
use crate::metric::Metrics;
use crate::parameter::Written;
use crate::surroundings::Surroundings;

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
    immutable: Vec<String>,
    images: Vec<Image>,
    services: Vec<ServiceBuilder>,
    groups: Vec<(String, u16)>,
    balancers: Vec<BalancerBuilder>,
    alarms: Vec<AlarmPlan>,
    failing_functions: Vec<String>,
    pub(super) secrets: Vec<SecretPlan>,
    pub(super) parameters: Vec<Written>,
    /// `valueFrom` of what is to be there as well.
    pub(super) references: Vec<String>,
    pub(super) acls: Vec<WebAclBuilder>,
    surroundings: Surroundings,
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
            immutable: Vec::new(),
            images: Vec::new(),
            services: Vec::new(),
            groups: Vec::new(),
            balancers: Vec::new(),
            alarms: Vec::new(),
            failing_functions: Vec::new(),
            secrets: Vec::new(),
            parameters: Vec::new(),
            references: Vec::new(),
            acls: Vec::new(),
            surroundings: Surroundings::default(),
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

    /// Adds a repository whose tags never move.
    #[must_use]
    pub fn immutable_repository(mut self, name: &str) -> Self {
        self.immutable.push(name.to_owned());
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
        self.balancers.push(describe(BalancerBuilder::new(name)));
        self
    }

    /// Adds a target group without targets, such as the second one of a service that is deployed blue/green. Its full name
    /// is `<environment>-<name>`.
    #[must_use]
    pub fn target_group(mut self, name: &str, port: u16) -> Self {
        self.groups.push((name.to_owned(), port));
        self
    }

    /// Adds a secret, by its name, or by its whole ARN where a configuration names it. The last letters of an ARN that is not given
    /// are made from account, region and name, not from the seed. The value shows nowhere but where Secrets Manager is asked
    /// for it.
    ///
    /// Secrets that the task definitions of services name need not be added: they are there, with values of no meaning.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push(SecretPlan::new(name, value));
        self
    }

    /// Adds a parameter of Systems Manager's Parameter Store, a `SecureString`, by its name. As with secrets, those that the task
    /// definitions of services name are there anyway, and the value shows nowhere but where it is asked for.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push(Written::secure(name, value));
        self
    }

    /// Adds the secrets and parameters that a task definition names and nobody describes, such as one of one-off tasks.
    #[must_use]
    pub fn secrets_of(mut self, task_definition: &serde_json::Value) -> Self {
        let containers = task_definition["containerDefinitions"].as_array();
        self.references
            .extend(containers.into_iter().flatten().flat_map(secret_references));
        self
    }

    /// Adds a regional web ACL. Its ids are made from account, region and name, not from the seed.
    #[must_use]
    pub fn web_acl(mut self, name: &str, describe: impl FnOnce(WebAclBuilder) -> WebAclBuilder) -> Self {
        self.acls.push(describe(WebAclBuilder::new(name)));
        self
    }

    /// What stands around it: what facts are told of that the world has no notion of. See
    /// [`World::surroundings_mut`](crate::World::surroundings_mut), and
    /// [`well_built`](crate::surroundings::well_built) for one in which nothing is amiss.
    #[must_use]
    pub fn surroundings(mut self, facts: Snapshot) -> Self {
        self.surroundings = Surroundings::of(facts);
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
            shared: 0,
            tasks: BTreeMap::new(),
            jobs: BTreeMap::new(),
            stopped_jobs: VecDeque::new(),
            failing_functions: self.failing_functions.into_iter().collect(),
            groups: Vec::new(),
            balancers: Vec::new(),
            alarms: Vec::new(),
            metrics: Metrics::default(),
            registry: Registry::default(),
            hosts: BTreeMap::new(),
            surroundings: self.surroundings,
        };
        for name in self.repositories {
            env.registry.create(k.now, &RepositoryName::new(name)?);
        }
        for name in self.immutable {
            env.registry.create(k.now, &RepositoryName::new(name)?).immutable = true;
        }
        for image in self.images {
            let repository = RepositoryName::new(image.repository)?;
            let digest = env.registry.push(k.now, &repository, &image.content);
            env.registry
                .tag(&repository, &ImageTag::new(image.tag)?, digest.clone());
            if image.behaviour != Behaviour::default() {
                env.registry.set_behaviour(digest, image.behaviour);
            }
        }
        for service in self.services {
            service.build(k, &mut env)?;
        }
        for (name, port) in self.groups {
            empty_group(&mut env, &name, port);
        }
        for balancer in self.balancers {
            balancer.build(k, &mut env)?;
        }
        pair_up(k, &mut env)?;
        serve_the_rest(k, &mut env)?;
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
            configured: Some(k.now),
            reason: "Threshold Crossed: no datapoint breached".to_owned(),
            rule,
            period: PERIOD,
            periods: 2,
            breaching: 0,
            peak: 0,
            watch: None,
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
