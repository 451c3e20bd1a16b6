//! The facts of an environment on AWS, for the checks of [`rollout_core::readiness`].
//!
//! Gathering starts at the services and follows what they name, wave by wave, each resource once:
//!
//! ```text
//! services ─► task definitions ─► roles, secrets, log groups, repositories, images
//!    │    └─► target groups ─► load balancers ─► listeners ─► certificates
//!    │                              └─► web ACL ─► logging
//!    └─► subnets ─► routes, VPCs ─► endpoints, NAT gateways;  security groups
//! beside them: zones, alarms ─► topics, dashboards, databases, caches, buckets, distributions, budgets
//! ```
//!
//! Reads are made as large as the API takes them. What cannot be read is
//! [`Unknown`](rollout_core::readiness::known::Known::Unknown) and names the call and what AWS said; what does not exist is
//! `Missing`; nothing is changed, and no value of a secret, a parameter or a variable is kept or even asked for.
//!
//! # IAM actions
//! [`ACTIONS`], and nothing else.
//!
//! # What is not asked
//! - The account's own settings that block public access to buckets: only each bucket's.
//! - Web ACLs of distributions, beyond which one it is.
//! - Images of other accounts, regions and registries.
//! - What people have written down: the program has that in its files.

mod call;
mod cdn;
mod data;
mod edge;
mod identity;
mod image;
mod map;
mod network;
mod policy;
mod release;
mod round;
mod secret;
mod tally;
mod task;
#[cfg(test)]
mod tests;
mod waf;
mod watch;
mod zone;

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use futures_util::future::{join, join3, join4};
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::port::FactSource;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::fact::identity::Ask;
use rollout_core::readiness::fact::task::TaskDefinition;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Table, Unseen};

pub use self::call::ACTIONS;
use self::round::{Round, names, seen};
use crate::config;
use crate::ecr::{HttpLayers, LayerSource};
use crate::observer::{Meter, SharedObserver, Toll};
use crate::probe::HttpGate;
use crate::route53::Delegation;
use crate::time::{self, Now};

/// Everything that is asked.
pub(crate) struct Clients {
    region: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
    delegation: Option<Arc<dyn Delegation>>,
    layers: Option<Arc<dyn LayerSource>>,
    acm: aws_sdk_acm::Client,
    budgets: aws_sdk_budgets::Client,
    cloudfront: aws_sdk_cloudfront::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    ec2: aws_sdk_ec2::Client,
    ecr: aws_sdk_ecr::Client,
    ecs: aws_sdk_ecs::Client,
    elasticache: aws_sdk_elasticache::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    iam: aws_sdk_iam::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    rds: aws_sdk_rds::Client,
    route53: aws_sdk_route53::Client,
    s3: aws_sdk_s3::Client,
    secrets: aws_sdk_secretsmanager::Client,
    sns: aws_sdk_sns::Client,
    ssm: aws_sdk_ssm::Client,
    sts: aws_sdk_sts::Client,
    waf: aws_sdk_wafv2::Client,
}

impl Clients {
    fn new(config: &SdkConfig) -> Self {
        Self {
            region: config.region().map(|region| region.as_ref().to_owned()),
            credentials: config.credentials_provider(),
            delegation: None,
            layers: HttpLayers::new()
                .ok()
                .map(|layers| Arc::new(layers) as Arc<dyn LayerSource>),
            acm: aws_sdk_acm::Client::new(config),
            budgets: aws_sdk_budgets::Client::new(config),
            cloudfront: aws_sdk_cloudfront::Client::new(config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            ecr: aws_sdk_ecr::Client::new(config),
            ecs: aws_sdk_ecs::Client::new(config),
            elasticache: aws_sdk_elasticache::Client::new(config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::new(config),
            rds: aws_sdk_rds::Client::new(config),
            route53: aws_sdk_route53::Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
            secrets: aws_sdk_secretsmanager::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            waf: aws_sdk_wafv2::Client::new(config),
        }
    }
}

/// The environment that the release was proven in.
struct Source {
    cluster: String,
    aws: Clients,
}

/// Reads the facts of an environment from AWS.
pub struct AwsFacts {
    config: SdkConfig,
    aws: Clients,
    toll: Toll,
    observer: Option<Arc<SharedObserver>>,
    http: Option<HttpGate>,
    source: Option<Source>,
    now: Now,
}

impl fmt::Debug for AwsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsFacts")
            .field("region", &self.aws.region)
            .field("source", &self.source.as_ref().map(|source| &source.cluster))
            .finish_non_exhaustive()
    }
}

impl AwsFacts {
    /// The facts of `config`'s account and region. Without more, no service is asked over HTTP, no parent of a zone is asked whom
    /// it sends the world to, and nothing is known of where the release was proven.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        let config = config::prepare(config);
        Self {
            aws: Clients::new(&config),
            config,
            toll: Toll::default(),
            observer: None,
            http: None,
            source: None,
            now: time::system(),
        }
    }

    /// Where buckets are reached by path and not by host name: on emulators, which have no name for each bucket.
    #[must_use]
    pub fn with_paths_of_buckets(mut self) -> Self {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true);
        self.aws.s3 = aws_sdk_s3::Client::from_conf(config.build());
        self
    }

    /// Asks services over HTTP as this gate asks: its addresses' policy and its resolver.
    #[must_use]
    pub fn with_http(mut self, gate: HttpGate) -> Self {
        self.http = Some(gate);
        self
    }

    /// Asks whom the parents of zones send the world to.
    #[must_use]
    pub fn with_delegation(mut self, delegation: Arc<dyn Delegation>) -> Self {
        self.aws.delegation = Some(delegation);
        self
    }

    /// Downloads the configurations of images in another way.
    #[must_use]
    pub fn with_layers(mut self, layers: Arc<dyn LayerSource>) -> Self {
        self.aws.layers = Some(layers);
        self
    }

    /// The cluster that the release was proven in, with the credentials for it.
    #[must_use]
    pub fn with_source(mut self, config: &SdkConfig, cluster: impl Into<String>) -> Self {
        let config = config::prepare(config);
        self.source = Some(Source {
            cluster: cluster.into(),
            aws: Clients::new(&config),
        });
        self
    }

    /// Another clock.
    #[must_use]
    pub fn with_now(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    /// Shares calls with all adapters of this account and region that are given the same observer. What no bucket of it holds is
    /// not limited.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        macro_rules! meter {
            ($($client:ident: $crate_name:ident as $service:literal),* $(,)?) => {
                $(self.aws.$client = $crate_name::Client::from_conf(
                    self.aws.$client.config().to_builder().interceptor(Meter::new(observer, $service)).build(),
                );)*
            };
        }
        meter!(
            acm: aws_sdk_acm as "acm",
            budgets: aws_sdk_budgets as "budgets",
            cloudfront: aws_sdk_cloudfront as "cloudfront",
            cloudwatch: aws_sdk_cloudwatch as "monitoring",
            ec2: aws_sdk_ec2 as "ec2",
            ecr: aws_sdk_ecr as "ecr",
            ecs: aws_sdk_ecs as "ecs",
            elasticache: aws_sdk_elasticache as "elasticache",
            elb: aws_sdk_elasticloadbalancingv2 as "elasticloadbalancing",
            iam: aws_sdk_iam as "iam",
            logs: aws_sdk_cloudwatchlogs as "logs",
            rds: aws_sdk_rds as "rds",
            route53: aws_sdk_route53 as "route53",
            s3: aws_sdk_s3 as "s3",
            secrets: aws_sdk_secretsmanager as "secretsmanager",
            sns: aws_sdk_sns as "sns",
            ssm: aws_sdk_ssm as "ssm",
            sts: aws_sdk_sts as "sts",
            waf: aws_sdk_wafv2 as "wafv2",
        );
        self.toll = Toll::of(observer);
        self.observer = Some(Arc::clone(observer));
        self
    }
}

#[async_trait]
impl FactSource for AwsFacts {
    async fn gather(&self, ctx: &OpContext, intent: &Intent) -> Result<Snapshot, Error> {
        let round = Round::new(ctx, &self.aws, &self.toll);
        let mut facts = Snapshot {
            at: (self.now)(),
            ..Snapshot::default()
        };
        // Whoever has no credentials learns it here: this call is never denied.
        let caller = identity::caller(&round).await?;
        let account = caller.identity.account.clone();
        let principal = identity::principal(&caller.identity.caller);
        facts.caller = Known::Seen(caller);
        Box::pin(self.beside(&round, intent, &account, &mut facts)).await;
        Box::pin(service_graph(&round, intent, &account, &mut facts)).await;
        Box::pin(way_in(&round, &mut facts)).await;
        let mut roles = roles_of(intent, &facts);
        roles.insert(intent.deployer.role.clone().unwrap_or(principal));
        roles.retain(|role| role.contains(":role/"));
        let (roles, allowed) = Box::pin(join(
            identity::roles(&round, roles),
            identity::allowed(&round, asks(intent, &facts)),
        ))
        .await;
        facts.roles = roles;
        facts.allowed = allowed;
        let (ways_back, answers, proven) = Box::pin(join3(
            release::ways_back(self, &round, intent),
            release::answers(self, intent.asked()),
            self.proven(&round, intent),
        ))
        .await;
        facts.ways_back = ways_back;
        facts.answers = answers;
        facts.proven = proven;
        facts.calls = round.calls.calls();
        if let Some(source) = &self.source {
            let there = Round::new(ctx, &source.aws, &self.toll);
            let release = intent.release.iter();
            let copied = release
                .flat_map(|release| release.copies.values().cloned())
                .collect();
            facts.source_images = image::images(&there, copied).await;
            for (call, count) in there.calls.calls() {
                let all = facts.calls.entry(call).or_default();
                *all = all.saturating_add(count);
            }
        }
        Ok(facts)
    }
}

impl AwsFacts {
    /// What does not hang on a service.
    async fn beside(&self, round: &Round<'_>, intent: &Intent, account: &str, facts: &mut Snapshot) {
        let data = &intent.data;
        let stores = join4(
            data::databases(round, facts.at, names(&data.databases)),
            data::caches(round, names(&data.caches)),
            data::buckets(round, names(data.buckets.keys())),
            cdn::distributions(round, names(&data.distributions)),
        );
        let zones: BTreeSet<String> = intent.hosts.iter().map(|host| host.zone.clone()).collect();
        let others = join4(
            zone::zones(round, zones),
            watch::alarms(round),
            watch::dashboards(round, names(&intent.watch.dashboard)),
            data::budgets(round, account, intent.cost.budget.as_deref()),
        );
        let (stores, others) = join(stores, others).await;
        (facts.databases, facts.caches, facts.buckets, facts.distributions) = stores;
        (facts.zones, facts.alarms, facts.dashboards, facts.budgets) = others;
        facts.topics = watch::topics(round, watch::told(&facts.alarms)).await;
    }

    async fn proven(
        &self,
        round: &Round<'_>,
        intent: &Intent,
    ) -> Table<rollout_core::readiness::fact::release::Proven> {
        if let Some(source) = &self.source {
            return release::proven(source, round, intent).await;
        }
        let mut table = Table::default();
        for service in &intent.services {
            let name = service.name.as_str();
            table.put(name, Known::Unknown(Unseen::not_asked(name)));
        }
        table
    }
}

/// Services, and what they and their task definitions name.
async fn service_graph(round: &Round<'_>, intent: &Intent, account: &str, facts: &mut Snapshot) {
    let wanted = intent
        .services
        .iter()
        .map(|service| service.name.to_string())
        .collect();
    facts.services = task::services(round, &intent.cluster, wanted).await;
    let services = || seen(&facts.services).map(|(_, service)| service);
    let definitions = names(services().map(|service| &service.task_definition));
    let subnets = names(services().flat_map(|service| &service.subnets));
    let groups = services().flat_map(|service| &service.attachments);
    let groups = names(groups.map(|attachment| &attachment.target_group));
    let (definitions, groups, (subnets, vpcs)) = join3(
        task::task_definitions(round, definitions),
        edge::target_groups(round, groups),
        network::networks(round, subnets),
    )
    .await;
    facts.task_definitions = definitions;
    facts.target_groups = groups;
    facts.subnets = subnets;
    facts.vpcs = vpcs;
    let region = round.aws.region.clone().unwrap_or_default();
    let mut images = image::Wanted::default();
    let (mut secrets, mut logs) = (BTreeSet::new(), BTreeSet::new());
    for container in definitions_of(intent, facts).flat_map(|definition| &definition.containers) {
        images.add(&container.image, account, &region);
        secrets.extend(container.secrets.iter().map(|secret| secret.from.clone()));
        logs.extend(container.log_group.clone());
    }
    let released = intent.release.iter().flat_map(|release| release.images.values());
    for image in released.flat_map(|containers| containers.values()) {
        images.released(image);
    }
    let (repositories, images, secrets, logs) = join4(
        image::repositories(round, images.repositories),
        image::images(round, images.images),
        secret::secrets(round, &region, secrets),
        watch::log_groups(round, logs),
    )
    .await;
    facts.repositories = repositories;
    facts.images = images;
    facts.secrets = secrets;
    facts.log_groups = logs;
}

/// Load balancers and what belongs to them; security groups of everything.
async fn way_in(round: &Round<'_>, facts: &mut Snapshot) {
    let balancers = seen(&facts.target_groups).flat_map(|(_, group)| &group.balancers);
    facts.balancers = edge::balancers(round, names(balancers)).await;
    facts.web_acls = waf::web_acls(round, &mut facts.balancers).await;
    let mut certificates = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for (_, balancer) in seen(&facts.balancers) {
        groups.extend(balancer.security_groups.iter().cloned());
        let listeners = balancer.listeners.get().into_iter().flatten();
        let named = listeners.flat_map(|listener| {
            listener
                .certificates
                .get()
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
        });
        certificates.extend(named);
    }
    let cdn = seen(&facts.distributions).filter_map(|(_, one)| one.certificate.clone());
    certificates.extend(cdn.filter(|certificate| certificate.starts_with("arn:")));
    groups.extend(names(
        seen(&facts.services).flat_map(|(_, service)| &service.security_groups),
    ));
    groups.extend(names(
        seen(&facts.databases).flat_map(|(_, database)| &database.security_groups),
    ));
    for (_, cache) in seen(&facts.caches) {
        groups.extend(cache.security_groups.get().into_iter().flatten().cloned());
    }
    let (certificates, groups) = join(
        edge::certificates(round, certificates),
        network::security_groups(round, groups),
    )
    .await;
    facts.certificates = certificates;
    facts.security_groups = groups;
}

/// The task definitions that run, and those that will.
fn definitions_of<'a>(intent: &'a Intent, facts: &'a Snapshot) -> impl Iterator<Item = &'a TaskDefinition> {
    let released = intent
        .release
        .iter()
        .flat_map(|release| release.task_definitions.values());
    seen(&facts.task_definitions)
        .map(|(_, definition)| definition)
        .chain(released)
}

fn roles_of(intent: &Intent, facts: &Snapshot) -> BTreeSet<String> {
    definitions_of(intent, facts)
        .flat_map(|definition| [&definition.execution_role, &definition.task_role])
        .flatten()
        .cloned()
        .collect()
}

/// What IAM is asked: what the intent says, and whether each execution role may read the secrets of its containers.
fn asks(intent: &Intent, facts: &Snapshot) -> BTreeSet<Ask> {
    let mut asks: BTreeSet<Ask> = intent.deployer.asks.iter().cloned().collect();
    for definition in definitions_of(intent, facts) {
        let Some(role) = &definition.execution_role else {
            continue;
        };
        let named = definition
            .containers
            .iter()
            .flat_map(|container| &container.secrets);
        let secrets = named.filter_map(|secret| facts.secrets.get(&secret.from).ok());
        asks.extend(secrets.map(|secret| Ask::to_read(role, secret)));
    }
    asks
}
