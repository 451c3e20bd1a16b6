//! Amazon Web Services: every adapter, wired for one pair of environments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use rollout_aws::clock::TokioClock;
use rollout_aws::cloudwatch::{AlarmGate, LoadBalancerRequests};
use rollout_aws::ecr::{EcrPromotion, HttpLayers, LayerSource, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::elbv2::{LoadBalancers, TargetHealthGate};
use rollout_aws::gates::Gates;
use rollout_aws::observer::SharedObserver;
use rollout_aws::probe::{AddressPolicy, Fetch, HttpFetch, HttpGate};
use rollout_aws::readiness::{AwsFacts, Source};
use rollout_aws::resolve::{Resolve, SystemResolver};
use rollout_aws::route53::{Authority, ParentServers, Route53Cutover};
use rollout_aws::secretsmanager::Secrets;
use rollout_aws::ssm::Parameters;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_aws::time::Now;
use rollout_core::id::EnvironmentName;
use rollout_core::port::{Clock, FactSource, Ports};
use rollout_core::time::Timestamp;

use super::Calls;
use crate::args::Global;
use crate::config::window::moment;
use crate::config::{Config, Environment, Verify};
use crate::{intent, runner};

/// AWS, as the configuration's two environments.
pub(crate) struct Aws {
    ports: Ports,
    observers: Observers,
    clock: Arc<dyn Clock>,
    source: SdkConfig,
    target: SdkConfig,
    outside: Outside,
}

impl Aws {
    pub(super) async fn open(global: &Global, config: &Config) -> anyhow::Result<Self> {
        let source = sdk(global, config.source()).await;
        let target = sdk(global, config.target()).await;
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let outside = Outside::network(&clock, credentials_end(config.target())?)?;
        let (ports, observers) = ports(config, &source, &target, &outside);
        Ok(Self {
            ports,
            observers,
            clock,
            source,
            target,
            outside,
        })
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports.clone()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn calls(&self) -> Calls {
        self.observers.calls()
    }

    pub(super) const fn target(&self) -> &SdkConfig {
        &self.target
    }

    /// What checks judge of an environment: of the target with what was proven in the source, of another one by itself.
    pub(super) async fn facts(
        &self,
        global: &Global,
        config: &Config,
        name: &EnvironmentName,
    ) -> anyhow::Result<Arc<dyn FactSource>> {
        let environment = intent::environment(config, name)?;
        let other;
        let config_of = if *name == config.promotion.to {
            &self.target
        } else if *name == config.promotion.from {
            &self.source
        } else {
            other = sdk(global, environment).await;
            &other
        };
        let outside = &self.outside;
        let observer = Arc::new(SharedObserver::new(Arc::clone(&outside.clock), outside.seed));
        self.observers.add(&observer);
        let side = Side {
            sdk: config_of,
            environment,
            shared: observer,
        };
        let mut facts = AwsFacts::from_config(config_of)
            .with_http(http(&side, outside))
            .with_layers(Arc::clone(&outside.layers))
            .with_now(Arc::clone(&outside.now))
            .shared(&side.shared);
        if global.endpoint_url.is_some() {
            // An emulator has no name for each bucket, and nobody delegates to its zones.
            facts = facts.with_paths_of_buckets();
        } else if let Ok(parents) = ParentServers::of_system() {
            // Where the system names no server, the check says that nobody was asked.
            facts = facts.with_delegation(Arc::new(parents));
        }
        if *name == config.promotion.to {
            let from = config.source();
            let shared = if (&from.account, &from.region) == (&environment.account, &environment.region) {
                Arc::clone(&side.shared)
            } else {
                let own = Arc::new(SharedObserver::new(Arc::clone(&outside.clock), outside.seed));
                self.observers.add(&own);
                own
            };
            facts = facts.with_source(Source::from_config(&self.source, &from.cluster).shared(&shared));
        }
        Ok(Arc::new(facts))
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
    /// By which calls are paced.
    pub(super) clock: Arc<dyn Clock>,
    /// What is random in that comes from here.
    pub(super) seed: u64,
}

impl Outside {
    /// The network.
    fn network(clock: &Arc<dyn Clock>, credentials_end: Option<Timestamp>) -> anyhow::Result<Self> {
        Ok(Self {
            fetch: Arc::new(HttpFetch),
            resolver: Arc::new(SystemResolver),
            balancers: Arc::new(SystemResolver),
            layers: Arc::new(HttpLayers::new()?),
            name_servers: true,
            now: rollout_aws::time::system(),
            credentials_end,
            clock: Arc::clone(clock),
            seed: runner::chance(),
        })
    }
}

/// One environment's side: how it is reached, and who paces and gathers the calls to it.
struct Side<'a> {
    sdk: &'a SdkConfig,
    environment: &'a Environment,
    shared: Arc<SharedObserver>,
}

/// Who paces the calls to each side, and counts them.
pub(super) struct Observers(Mutex<Vec<Arc<SharedObserver>>>);

impl Observers {
    fn add(&self, observer: &Arc<SharedObserver>) {
        self.all().push(Arc::clone(observer));
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<SharedObserver>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls so far, by IAM action.
    pub(super) fn calls(&self) -> Calls {
        let mut all = Calls::new();
        for (action, calls) in self.all().iter().flat_map(|observer| observer.sent()) {
            *all.entry(action).or_default() += calls;
        }
        all
    }
}

/// Every adapter, wired for one pair of environments.
pub(super) fn ports(
    config: &Config,
    source: &SdkConfig,
    target: &SdkConfig,
    outside: &Outside,
) -> (Ports, Observers) {
    let observer = || Arc::new(SharedObserver::new(Arc::clone(&outside.clock), outside.seed));
    let side = |sdk, environment, shared| Side {
        sdk,
        environment,
        shared,
    };
    let target = side(target, config.target(), observer());
    // Quotas are an account's in a region, and who asks is whoever the profile says.
    let place = |environment: &Environment| {
        let Environment {
            account,
            region,
            profile,
            ..
        } = environment;
        (account.clone(), region.clone(), profile.clone())
    };
    let mut observers = vec![Arc::clone(&target.shared)];
    let shared = if place(config.source()) == place(config.target()) {
        Arc::clone(&target.shared)
    } else {
        let own = observer();
        observers.push(Arc::clone(&own));
        own
    };
    let source = side(source, config.source(), shared);
    let guard = Arc::new(guard(&target).ending(outside.credentials_end));
    let environment = Arc::new(ecs(&target, &guard, outside));
    let rollback = EcsRollback::new(Arc::clone(&environment))
        .images(registry(&target))
        .secrets(Secrets::from_config(target.sdk).shared(&target.shared))
        .parameters(Parameters::from_config(target.sdk, &target.environment.account).shared(&target.shared));
    let source_guard = Arc::new(self::guard(&source));
    let ports = Ports {
        source: Arc::new(ecs(&source, &source_guard, outside)),
        images: Arc::new(EcrPromotion::new(
            registry(&source),
            registry(&target),
            Arc::clone(&guard),
            Arc::clone(&outside.layers),
        )),
        gates: Arc::new(gates(&target, outside)),
        dns: Arc::new(dns(&target, config, guard, outside)),
        rollback: Arc::new(rollback),
        target: environment,
    };
    (ports, Observers(Mutex::new(observers)))
}

fn registry(side: &Side<'_>) -> Registry {
    Registry::from_config(side.sdk).shared(&side.shared)
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

fn guard(side: &Side<'_>) -> IdentityGuard {
    let environment = side.environment;
    let expected = Expected {
        account: environment.account.clone(),
        region: environment.region.clone(),
        caller: environment.caller.clone(),
    };
    IdentityGuard::from_config(side.sdk, expected).shared(&side.shared)
}

fn ecs(side: &Side<'_>, guard: &Arc<IdentityGuard>, outside: &Outside) -> EcsEnvironment {
    let environment = side.environment;
    EcsEnvironment::from_config(side.sdk, &environment.cluster, Arc::clone(guard))
        .registry(&environment.registry)
        .clock(Arc::clone(&outside.now))
        .shared(&side.shared)
}

/// Asks services over HTTP.
fn http(side: &Side<'_>, outside: &Outside) -> HttpGate {
    let policy = AddressPolicy::new(side.environment.allow_addresses.iter().copied());
    HttpGate::new(policy)
        .with_fetch(Arc::clone(&outside.fetch))
        .with_resolver(Arc::clone(&outside.resolver))
        .with_now(Arc::clone(&outside.now))
}

fn gates(side: &Side<'_>, outside: &Outside) -> Gates {
    let Side { sdk, shared, .. } = side;
    let now = || Arc::clone(&outside.now);
    Gates::builder()
        .with_target_health(Arc::new(
            TargetHealthGate::from_config(sdk).with_now(now()).shared(shared),
        ))
        .with_http(Arc::new(http(side, outside)))
        .with_alarms(Arc::new(
            AlarmGate::from_config(sdk).with_now(now()).shared(shared),
        ))
        .build()
}

fn dns(side: &Side<'_>, config: &Config, guard: Arc<IdentityGuard>, outside: &Outside) -> Route53Cutover {
    let Side { sdk, shared, .. } = side;
    let now = || Arc::clone(&outside.now);
    let balancers = Arc::new(LoadBalancers::from_config(sdk).with_now(now()).shared(shared));
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
            LoadBalancerRequests::from_config(sdk, balancers)
                .with_now(now())
                .shared(shared),
        ))
        .shared(shared)
}
