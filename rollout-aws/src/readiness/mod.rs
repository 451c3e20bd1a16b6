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
mod clients;
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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_types::SdkConfig;
use futures_util::future::{join, join3, join4};
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::port::FactSource;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::fact::identity::Ask;
use rollout_core::readiness::fact::image::Image;
use rollout_core::readiness::fact::release::Proven;
use rollout_core::readiness::fact::task::TaskDefinition;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::known::{Known, Table, Unseen};

pub use self::call::ACTIONS;
use self::clients::Clients;
pub use self::clients::Source;
use self::round::{Round, names, seen};
use crate::config;
use crate::ecr::LayerSource;
use crate::observer::{SharedObserver, Toll};
use crate::probe::HttpGate;
use crate::route53::Delegation;
use crate::time::{self, Now};

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

    /// Where the release was proven.
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        self.source = Some(source);
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
        self.aws.meter(observer);
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
            self.there(ctx, intent),
        ))
        .await;
        facts.ways_back = ways_back;
        facts.answers = answers;
        (facts.proven, facts.source_images) = (proven.services, proven.images);
        facts.calls = round.calls.calls();
        for (call, count) in proven.calls {
            let all = facts.calls.entry(call).or_default();
            *all = all.saturating_add(count);
        }
        Ok(facts)
    }
}

/// What is known of where the release was proven.
#[derive(Default)]
struct There {
    services: Table<Proven>,
    images: Table<Image>,
    calls: BTreeMap<String, u32>,
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

    async fn there(&self, ctx: &OpContext, intent: &Intent) -> There {
        let mut there = There::default();
        let Some(source) = &self.source else {
            for service in &intent.services {
                let name = service.name.as_str();
                there.services.put(name, Known::Unknown(Unseen::not_asked(name)));
            }
            return there;
        };
        let round = Round::new(ctx, &source.aws, &source.toll);
        let copied = intent.release.iter();
        let copied = copied
            .flat_map(|release| release.copies.values().cloned())
            .collect();
        (there.services, there.images) = join(
            release::proven(source, &round, intent),
            image::images(&round, copied),
        )
        .await;
        there.calls = round.calls.calls();
        there
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
        secret::secrets(round, (account, &region), secrets),
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
