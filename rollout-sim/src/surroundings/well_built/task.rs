//! Services with their task definitions, roles, images, secrets and log groups.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::readiness::fact::identity::{Ask, Caller, Role, Statement, Trust};
use rollout_core::readiness::fact::image::{Expiry, Image, LifecycleRule, Repository, Secret, Store};
use rollout_core::readiness::fact::task::{
    Container, HealthCheck, SecretRef, Service, TaskDefinition, Variable,
};
use rollout_core::readiness::fact::watch::LogGroup;
use rollout_core::readiness::known::{Known, Table};
use rollout_core::service::Identity;

use super::{Site, facts, texts};
use crate::ecs::revision::{Reference, Source};
use crate::facts::is_sketch;
use crate::ports::role_of;

impl Site<'_> {
    pub(super) fn tasks(&mut self) {
        self.caller();
        let mut definitions = Vec::new();
        for (name, index) in self.services() {
            let own = facts::service(self.env, index, None);
            let Some(primary) = self.env.services[usize::from(index)].primary() else {
                continue;
            };
            let held = self.env.revision_at(primary.revision);
            let mut definition = facts::task_definition(held, &Table::default());
            if is_sketch(&held.content) {
                self.fill(name, &own, &mut definition);
                self.facts
                    .task_definitions
                    .seen(held.arn.as_str(), definition.clone());
            }
            definitions.push(definition);
            let around = Service {
                platform_version: Some("LATEST".to_owned()),
                subnets: self.subnets(),
                security_groups: vec![self.security_group(name)],
                public_ip: false,
                ..own
            };
            self.facts.services.seen(name, around);
        }
        let released = self
            .intent
            .release
            .iter()
            .flat_map(|release| release.task_definitions.values());
        definitions.extend(released.cloned());
        for definition in &definitions {
            self.named(definition);
            self.roles(definition);
        }
        let released = self
            .intent
            .release
            .iter()
            .flat_map(|release| release.images.values());
        let host = self.env.registry_host();
        for image in released.flat_map(BTreeMap::values) {
            self.image(&format!("{host}/{image}"));
        }
        self.deployer();
    }

    fn caller(&mut self) {
        self.facts.caller = Known::Seen(Caller {
            identity: Identity {
                account: self.env.account.clone(),
                region: self.env.region.clone(),
                caller: self.env.caller.clone(),
                expires_at: None,
            },
            long_lived_key: Known::Seen(false),
        });
    }

    /// Everything of a task definition that a sketch leaves out.
    fn fill(&self, name: &str, service: &Service, definition: &mut TaskDefinition) {
        let meant = self.intent.service(name);
        definition.cpu = Some(512);
        definition.memory_mib = Some(1_024);
        definition.network_mode = Some("awsvpc".to_owned());
        let architecture = meant.and_then(|service| service.architecture.clone());
        definition.architecture = Some(architecture.unwrap_or_else(|| "X86_64".to_owned()));
        definition.execution_role = Some(self.role("execution"));
        definition.task_role = Some(self.role(name));
        let attachment = service.attachments.first();
        let drains = attachment.and_then(|attachment| self.env.group_index(&attachment.target_group));
        // A task must be gone before its target is.
        let drained = drains.map(|group| self.env.groups[usize::from(group)].deregistration_delay / 1_000);
        let stop = drained.map_or(20, |seconds| seconds.saturating_sub(1).clamp(2, 20));
        for container in &mut definition.containers {
            let taken = attachment.filter(|attachment| attachment.container == container.name);
            let stop_seconds = Some(u32::try_from(stop).unwrap_or(20));
            *container = Container {
                variables: vec![Variable::of("LOG_LEVEL", "info")],
                secrets: self.database_secret().into_iter().collect(),
                health_check: container.health_check.take().or_else(|| Some(health_check())),
                user: Some("10001".to_owned()),
                read_only_root: true,
                privileged: false,
                dropped: texts(&["ALL"]),
                added: Vec::new(),
                log_driver: Some("awslogs".to_owned()),
                log_group: Some(format!("/ecs/{}-{name}", self.prefix())),
                ports: taken.map(|attachment| attachment.port).into_iter().collect(),
                stop_seconds,
                ..container.clone()
            };
        }
    }

    /// The secret of the database, where there is one.
    fn database_secret(&self) -> Option<SecretRef> {
        let database = self.intent.data.databases.first()?;
        let usual = || format!("{}/", self.intent.environment);
        let prefix = self.intent.limits.secret_prefix.clone().unwrap_or_else(usual);
        let (region, account) = (&self.env.region, &self.env.account);
        Some(SecretRef {
            name: "DATABASE_URL".to_owned(),
            from: format!("arn:aws:secretsmanager:{region}:{account}:secret:{prefix}{database}-AbCdEf"),
        })
    }

    fn put_role(&mut self, arn: &str, trust: Trust, statements: Vec<Statement>) {
        let mut all = statements;
        if let Some(Known::Seen(before)) = self.facts.roles.seen_mut(arn).map(|role| role.statements.clone())
        {
            all.extend(before);
        }
        let role = Role {
            arn: arn.to_owned(),
            trust: vec![trust],
            statements: Known::Seen(all),
        };
        self.facts.roles.seen(arn, role);
    }

    /// The roles of a task definition: each may do what it must.
    fn roles(&mut self, definition: &TaskDefinition) {
        let tasks = || Trust {
            principals: texts(&["ecs-tasks.amazonaws.com"]),
            conditions: BTreeMap::new(),
        };
        if let Some(role) = &definition.execution_role {
            let references = definition
                .containers
                .iter()
                .flat_map(|container| &container.secrets);
            let asks: BTreeSet<Ask> = references
                .filter_map(|reference| {
                    let from = reference.from.as_str();
                    let own = facts::secret(self.world, self.env.home(), from);
                    let secret = own.or_else(|| facts::beside(&self.facts.secrets, from).cloned())?;
                    Some(Ask::to_read(role, &secret))
                })
                .collect();
            let statements = asks
                .iter()
                .map(|ask| allow(&[&ask.action], vec![ask.resource.clone()]));
            self.put_role(role, tasks(), statements.collect());
            for ask in asks {
                self.facts.allowed.seen(ask.key(), true);
            }
        }
        if let Some(role) = &definition.task_role {
            let buckets = self.intent.data.buckets.iter();
            let resources: Vec<String> = buckets
                .map(|(bucket, prefix)| format!("arn:aws:s3:::{bucket}/{prefix}*"))
                .collect();
            let uses = (!resources.is_empty()).then(|| allow(&["s3:GetObject", "s3:PutObject"], resources));
            self.put_role(role, tasks(), uses.into_iter().collect());
        }
    }

    /// What a task definition names.
    fn named(&mut self, definition: &TaskDefinition) {
        for container in &definition.containers {
            self.image(&container.image);
            if let Some(name) = &container.log_group {
                let group = LogGroup {
                    retention_days: Some(self.intent.limits.log_days.max(30)),
                };
                self.facts.log_groups.seen(name, group);
            }
            for secret in &container.secrets {
                self.secret(&secret.from);
            }
        }
    }

    /// What the registry was not told of an image and its repository. What it was told is not said again: then a change shows.
    fn image(&mut self, image: &str) {
        let Source::Here(repository, Reference::Digest(digest)) = self.env.source(image) else {
            return;
        };
        let found = Image {
            architectures: Known::default(),
            findings: Known::Seen(BTreeMap::new()),
        };
        self.facts.images.seen(format!("{repository}@{digest}"), found);
        let own = facts::repository(&self.env.registry, &repository, None);
        let keeps = LifecycleRule {
            priority: 1,
            tag_status: "any".to_owned(),
            tags: Vec::new(),
            deletes: Expiry::MoreThan(self.intent.limits.images_kept.saturating_mul(5).max(50)),
        };
        let has_policy = own.as_ref().is_some_and(|own| own.lifecycle != Known::Missing);
        let scans = own
            .as_ref()
            .is_some_and(|own| own.scan_on_push == Known::Seen(true));
        let held = Repository {
            immutable_tags: !own.is_some_and(|own| own.immutable_tags),
            scan_on_push: Known::Seen(!scans),
            lifecycle: if has_policy {
                Known::Missing
            } else {
                Known::Seen(vec![keeps])
            },
            images: Known::default(),
        };
        self.facts.repositories.seen(repository.as_str(), held);
    }

    /// A secret that the world does not have.
    fn secret(&mut self, from: &str) {
        if facts::secret(self.world, self.env.home(), from).is_some() {
            return;
        }
        let manager = from.starts_with("arn:") && from.split(':').nth(2) == Some("secretsmanager");
        let last = if manager {
            from.split(':').nth(6)
        } else {
            from.split(":parameter").last()
        };
        let last = last.unwrap_or(from);
        // Six letters end the ARN of a secret.
        let name = last
            .rsplit_once('-')
            .filter(|_| manager)
            .map_or(last, |(name, _)| name);
        let (region, account) = (&self.env.region, &self.env.account);
        let arn = if from.starts_with("arn:") {
            from.split(':').take(7).collect::<Vec<_>>().join(":")
        } else {
            format!(
                "arn:aws:ssm:{region}:{account}:parameter/{}",
                from.trim_start_matches('/')
            )
        };
        let secret = Secret {
            arn,
            name: name.to_owned(),
            store: if manager {
                Store::SecretsManager
            } else {
                Store::ParameterStore
            },
            changed_at: Some(self.days_ago(u64::from(self.intent.limits.secret_days / 8))),
            deleted_at: None,
            encrypted: true,
        };
        self.facts.secrets.seen(from, secret);
    }

    /// The role that deploys: only workflows of the repository that name the environment may take it.
    fn deployer(&mut self) {
        let deployer = &self.intent.deployer;
        for ask in &deployer.asks {
            self.facts.allowed.seen(ask.key(), true);
        }
        let Some(role) = deployer.role.clone().or_else(|| role_of(&self.env.caller)) else {
            return;
        };
        let trust = match &deployer.repository {
            Some(repository) => {
                let environment = deployer.environment.clone();
                let environment = environment.unwrap_or_else(|| self.intent.environment.to_string());
                Trust {
                    principals: vec![format!(
                        "arn:aws:iam::{}:oidc-provider/{GITHUB}",
                        self.env.account
                    )],
                    conditions: [
                        (
                            format!("StringEquals {GITHUB}:aud"),
                            texts(&["sts.amazonaws.com"]),
                        ),
                        (
                            format!("StringEquals {GITHUB}:sub"),
                            vec![format!("repo:{repository}:environment:{environment}")],
                        ),
                    ]
                    .into(),
                }
            }
            None => Trust {
                principals: vec![self.role("pipeline")],
                conditions: BTreeMap::new(),
            },
        };
        let actions: BTreeSet<&str> = deployer.asks.iter().map(|ask| ask.action.as_str()).collect();
        let statement = |action: &str| {
            let of_it = deployer.asks.iter().filter(|ask| ask.action == action);
            allow(&[action], of_it.map(|ask| ask.resource.clone()).collect())
        };
        let statements = actions.into_iter().map(statement).collect();
        self.put_role(&role, trust, statements);
    }
}

/// GitHub's issuer of tokens (GitHub documentation, "Configuring OpenID Connect in Amazon Web Services").
const GITHUB: &str = "token.actions.githubusercontent.com";

fn allow(actions: &[&str], resources: Vec<String>) -> Statement {
    Statement {
        allows: true,
        actions: texts(actions),
        resources,
    }
}

fn health_check() -> HealthCheck {
    HealthCheck {
        command: texts(&["CMD", "/bin/check"]),
        interval_seconds: 10,
        retries: 3,
        start_seconds: 10,
    }
}
