//! The AWS adapters, the SDK and the wire protocols on a simulated cloud, in process and on virtual time.
//!
//! Everything here must run on a Tokio runtime whose time is paused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rollout_aws::cloudwatch::{AlarmGate, LoadBalancerRequests};
use rollout_aws::connector::ConnectorHttp;
use rollout_aws::ecr::{EcrPromotion, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::elbv2::{LoadBalancers, TargetHealthGate};
use rollout_aws::gates::Gates;
use rollout_aws::observer::SharedObserver;
use rollout_aws::probe::{AddressPolicy, HttpGate};
use rollout_aws::resolve::FixedResolver;
use rollout_aws::route53::{Authority, Route53Cutover};
use rollout_aws::secretsmanager::Secrets;
use rollout_aws::ssm::Parameters;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_aws::time::Now;
use rollout_core::driver::DriveError;
use rollout_core::journal::Journal;
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Observer;
use rollout_core::port::{Clock, Ports};
use rollout_examples::storefront::ZONE;
use rollout_sim::endpoint::InProcess;

use crate::run::{Abort, drive_through};

/// What every host of the simulated cloud has for an address: from the block for documentation (RFC 5737).
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// The region of the storefront.
const REGION: &str = "eu-central-1";

/// The ports of a release of the storefront from staging to production.
///
/// # Panics
/// When the world is no storefront.
#[must_use]
pub fn ports(wire: &InProcess) -> Ports {
    ports_by(wire, wire.clock())
}

/// The same by a runner whose clock is this one, and not the cloud's.
///
/// # Panics
/// When the world is no storefront.
#[must_use]
pub fn ports_by(wire: &InProcess, clock: Arc<dyn Clock>) -> Ports {
    // Whoever uses the adapters has an observer; those that are for themselves have tests of their own.
    let observer = || Arc::new(SharedObserver::new(Arc::clone(&clock), 7));
    let (ours, theirs) = (observer(), observer());
    let now: Now = Arc::new(move || clock.now());
    let config = |name: &str| wire.config(name).expect("it is there");
    let (staging, production) = (config("staging"), config("production"));
    let guard = |sdk, account: &str, shared: &Arc<SharedObserver>| {
        let expected = Expected {
            account: account.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        };
        Arc::new(IdentityGuard::from_config(sdk, expected).shared(shared))
    };
    let watched = guard(&production, "222222222222", &theirs);
    let target = Arc::new(
        EcsEnvironment::from_config(&production, "production", Arc::clone(&watched))
            .clock(Arc::clone(&now))
            .shared(&theirs),
    );
    let source = EcsEnvironment::from_config(&staging, "staging", guard(&staging, "111111111111", &ours))
        .clock(Arc::clone(&now))
        .shared(&ours);
    let http = Arc::new(ConnectorHttp::new(wire.connector()));
    let probe = HttpGate::new(AddressPolicy::new([]))
        .with_fetch(Arc::clone(&http) as _)
        .with_resolver(Arc::new(FixedResolver(ADDRESS)))
        .with_now(Arc::clone(&now));
    let balancers = LoadBalancers::from_config(&production).with_now(Arc::clone(&now));
    let balancers = Arc::new(balancers.shared(&theirs));
    let requests = LoadBalancerRequests::from_config(&production, Arc::clone(&balancers) as _)
        .with_now(Arc::clone(&now))
        .shared(&theirs);
    let cloud = wire.endpoint().cloud().clone();
    let balancer = move |host: &str, port| {
        let found = cloud.with(|world| world.addresses(host));
        Ok(found
            .into_iter()
            .map(|address| SocketAddr::from((address, port)))
            .collect())
    };
    let zone = ZONE.parse().expect("a name");
    let dns = Route53Cutover::from_config(&production, [zone])
        .shared(&theirs)
        .with_now(Arc::clone(&now))
        .with_authority(Authority::TestDnsAnswer)
        .with_resolver(Arc::new(balancer))
        .with_guard(Arc::clone(&watched) as _)
        .with_target_health(balancers)
        .with_request_count(Arc::new(requests));
    let gates = Gates::builder()
        .with_target_health(Arc::new(
            TargetHealthGate::from_config(&production)
                .with_now(Arc::clone(&now))
                .shared(&theirs),
        ))
        .with_http(Arc::new(probe))
        .with_alarms(Arc::new(
            AlarmGate::from_config(&production).with_now(now).shared(&theirs),
        ))
        .build();
    let registry = |sdk, shared| Registry::from_config(sdk).shared(shared);
    Ports {
        source: Arc::new(source),
        images: Arc::new(EcrPromotion::new(
            registry(&staging, &ours),
            registry(&production, &theirs),
            watched,
            http,
        )),
        gates: Arc::new(gates),
        dns: Arc::new(dns),
        rollback: Arc::new(
            EcsRollback::new(Arc::clone(&target))
                .images(registry(&production, &theirs))
                .secrets(Secrets::from_config(&production).shared(&theirs))
                .parameters(Parameters::from_config(&production, "222222222222").shared(&theirs)),
        ),
        target,
    }
}

/// Drives a machine through them.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// When the world is no storefront.
pub async fn drive(
    wire: &InProcess,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    abort: Abort,
    observer: &dyn Observer<Rollout>,
) -> Result<Outcome, DriveError> {
    drive_by(wire, wire.clock(), machine, journal, abort, observer).await
}

/// The same by a runner whose clock is this one.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// When the world is no storefront.
pub async fn drive_by(
    wire: &InProcess,
    clock: Arc<dyn Clock>,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    abort: Abort,
    observer: &dyn Observer<Rollout>,
) -> Result<Outcome, DriveError> {
    let ports = ports_by(wire, Arc::clone(&clock));
    drive_through(ports, clock, machine, journal, abort, observer).await
}

/// Runs something to its end on a runtime of one thread whose time is paused. From a generator of the thread, which gets this seed, the
/// SDK draws how long it backs off: with the same seed each run is the same.
///
/// # Panics
/// When the runtime cannot be built.
pub fn on_virtual_time<T>(seed: u64, future: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(future)
}
