//! Amazon Web Services: every adapter, wired for one pair of environments.

use std::sync::Arc;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use rollout_aws::clock::TokioClock;
use rollout_aws::cloudwatch::{AlarmGate, LoadBalancerRequests};
use rollout_aws::ecr::{EcrPromotion, HttpLayers, LayerSource, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::elbv2::{LoadBalancers, TargetHealthGate};
use rollout_aws::gates::Gates;
use rollout_aws::probe::{AddressPolicy, Fetch, HttpFetch, HttpGate};
use rollout_aws::resolve::{Resolve, SystemResolver};
use rollout_aws::route53::{Authority, Route53Cutover};
use rollout_aws::secretsmanager::Secrets;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_aws::time::Now;
use rollout_core::port::{Clock, Ports};
use rollout_core::time::Timestamp;

use crate::args::Global;
use crate::config::window::moment;
use crate::config::{Config, Environment, Verify};

/// AWS, as the configuration's two environments.
pub(crate) struct Aws {
    ports: Ports,
    clock: Arc<dyn Clock>,
    target: SdkConfig,
}

impl Aws {
    pub(super) async fn open(global: &Global, config: &Config) -> anyhow::Result<Self> {
        let source = sdk(global, config.source()).await;
        let target = sdk(global, config.target()).await;
        Ok(Self {
            ports: ports(
                config,
                &source,
                &target,
                &Outside::network(credentials_end(config.target())?)?,
            )?,
            clock: Arc::new(TokioClock::new()),
            target,
        })
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports.clone()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) const fn target(&self) -> &SdkConfig {
        &self.target
    }
}

/// What the adapters reach besides AWS's APIs.
pub(super) struct Outside {
    /// How a probe's request is sent.
    pub(super) fetch: Arc<dyn Fetch>,
    /// How a probe's host is looked up.
    pub(super) resolver: Arc<dyn Resolve>,
    /// How a load balancer's own name is looked up.
    pub(super) balancers: Arc<dyn Resolve>,
    /// How layers are downloaded.
    pub(super) layers: Arc<dyn LayerSource>,
    /// Whether the zone's name servers can be asked at all.
    pub(super) name_servers: bool,
    /// What dates observations.
    pub(super) now: Now,
    /// When the target's credentials end, where that is known and nothing renews them.
    pub(super) credentials_end: Option<Timestamp>,
}

impl Outside {
    /// The network.
    fn network(credentials_end: Option<Timestamp>) -> anyhow::Result<Self> {
        Ok(Self {
            fetch: Arc::new(HttpFetch),
            resolver: Arc::new(SystemResolver),
            balancers: Arc::new(SystemResolver),
            layers: Arc::new(HttpLayers::new()?),
            name_servers: true,
            now: rollout_aws::time::system(),
            credentials_end,
        })
    }
}

/// Every adapter, wired for one pair of environments.
pub(super) fn ports(
    config: &Config,
    source: &SdkConfig,
    target: &SdkConfig,
    outside: &Outside,
) -> anyhow::Result<Ports> {
    let guard = Arc::new(guard(target, config.target()).ending(outside.credentials_end));
    let environment = Arc::new(ecs(target, config.target(), &guard, outside));
    let rollback = EcsRollback::new(Arc::clone(&environment))
        .images(Registry::from_config(target))
        .secrets(Secrets::from_config(target));
    let source_guard = Arc::new(self::guard(source, config.source()));
    Ok(Ports {
        source: Arc::new(ecs(source, config.source(), &source_guard, outside)),
        images: Arc::new(EcrPromotion::new(
            Registry::from_config(source),
            Registry::from_config(target),
            Arc::clone(&guard),
            Arc::clone(&outside.layers),
        )),
        gates: Arc::new(gates(target, config.target(), outside)),
        dns: Arc::new(dns(target, config, guard, outside)),
        rollback: Arc::new(rollback),
        target: environment,
    })
}

/// The SDK's own places for credentials, endpoints and the rest; what the configuration says goes first.
async fn sdk(global: &Global, environment: &Environment) -> SdkConfig {
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).region(Region::new(environment.region.clone()));
    if let Some(profile) = &environment.profile {
        // The SDK's own chain asks `AWS_ACCESS_KEY_ID` first, whatever profile is named; the two environments would get one
        // account's credentials.
        let credentials = ProfileFileCredentialsProvider::builder()
            .profile_name(profile)
            .build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let Some(url) = &global.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// When keys that came through the environment end. They are the only ones that we know not to be renewed: the SDK asks every
/// other provider anew. What fills the environment with them says when they end in `AWS_CREDENTIAL_EXPIRATION` (AWS CLI Command
/// Reference, "configure export-credentials"), which the SDK for Rust does not read.
fn credentials_end(environment: &Environment) -> anyhow::Result<Option<Timestamp>> {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    // A profile that the configuration names goes before the environment.
    let from_environment = environment.profile.is_none()
        && given("AWS_ACCESS_KEY_ID").is_some()
        && given("AWS_SECRET_ACCESS_KEY").is_some();
    let Some(text) = given(EXPIRATION).filter(|_| from_environment) else {
        return Ok(None);
    };
    match moment(&text) {
        Some(at) => Ok(Some(at)),
        None => anyhow::bail!(
            "{EXPIRATION} is `{text}`, which is no moment; write it as 2026-12-18T18:00:00Z, or unset it"
        ),
    }
}

const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

fn guard(sdk: &SdkConfig, environment: &Environment) -> IdentityGuard {
    let expected = Expected {
        account: environment.account.clone(),
        region: environment.region.clone(),
        caller: environment.caller.clone(),
    };
    IdentityGuard::from_config(sdk, expected)
}

fn ecs(
    sdk: &SdkConfig,
    environment: &Environment,
    guard: &Arc<IdentityGuard>,
    outside: &Outside,
) -> EcsEnvironment {
    EcsEnvironment::from_config(sdk, &environment.cluster, Arc::clone(guard))
        .registry(&environment.registry)
        .clock(Arc::clone(&outside.now))
}

fn gates(sdk: &SdkConfig, environment: &Environment, outside: &Outside) -> Gates {
    let policy = AddressPolicy::new(environment.allow_addresses.iter().copied());
    let now = || Arc::clone(&outside.now);
    let http = HttpGate::new(policy)
        .with_fetch(Arc::clone(&outside.fetch))
        .with_resolver(Arc::clone(&outside.resolver))
        .with_now(now());
    Gates::builder()
        .with_target_health(Arc::new(TargetHealthGate::from_config(sdk).with_now(now())))
        .with_http(Arc::new(http))
        .with_alarms(Arc::new(AlarmGate::from_config(sdk).with_now(now())))
        .build()
}

fn dns(sdk: &SdkConfig, config: &Config, guard: Arc<IdentityGuard>, outside: &Outside) -> Route53Cutover {
    let now = || Arc::clone(&outside.now);
    let balancers = Arc::new(LoadBalancers::from_config(sdk).with_now(now()));
    // The configuration has checked that all records are verified in one way.
    let authority = match config.dns.first().map(|dns| dns.verify).unwrap_or_default() {
        Verify::NameServers if outside.name_servers => Authority::NameServers,
        // Nobody answers for them: what Route 53 itself says it would answer is the nearest.
        Verify::NameServers => Authority::TestDnsAnswer,
        Verify::TestDnsAnswer => Authority::TestDnsAnswer,
        Verify::Api => Authority::RecordsApi,
    };
    Route53Cutover::from_config(sdk, config.dns.iter().map(|dns| dns.zone.clone()))
        .with_now(now())
        .with_resolver(Arc::clone(&outside.balancers))
        .with_authority(authority)
        .with_guard(guard)
        .with_target_health(Arc::clone(&balancers) as Arc<_>)
        .with_request_count(Arc::new(
            LoadBalancerRequests::from_config(sdk, balancers).with_now(now()),
        ))
}
