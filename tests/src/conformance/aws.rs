//! The adapters of `rollout-aws` on the simulated cloud's endpoint, through the real SDK, on virtual time.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::IpNet;
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
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_aws::time::Now;
use rollout_core::conformance::{Stop, Trouble};
use rollout_core::port::Ports;
use rollout_sim::SimCloud;
use rollout_sim::endpoint::{Endpoint, InProcess, Upset, WireFault, supported};

use super::sim::{REGION, SOURCE, SOURCE_ACCOUNT, TARGET, TARGET_ACCOUNT, ZONE};
use super::{SimFixture, Wire, world};

/// The wire between the SDK and the simulated cloud.
struct OnTheWire(Endpoint);

impl Wire for OnTheWire {
    fn writes(&self) -> u64 {
        let writing: Vec<&str> = supported()
            .iter()
            .filter(|s| s.mutates)
            .map(|s| s.operation)
            .collect();
        let calls = self.0.calls();
        calls
            .iter()
            .filter(|call| writing.contains(&call.operation.as_str()))
            .count() as u64
    }

    fn upset(&self, trouble: Option<Trouble>) -> Result<(), Stop> {
        let Some(trouble) = trouble else {
            self.0.calm();
            return Ok(());
        };
        for supported in supported() {
            let what = match trouble {
                Trouble::LostAnswers if supported.mutates => Upset::LostAnswer,
                // Who calls can always be asked (AWS STS, "GetCallerIdentity": no permission is needed).
                Trouble::LostAnswers => continue,
                _ if supported.service == "sts" => continue,
                Trouble::Throttled => Upset::Throttled,
                Trouble::Denied => denied(supported.service),
                other => return Err(Stop::skip(format!("the endpoint knows no {other:?}"))),
            };
            self.0
                .disturb(WireFault::every(supported.service, what).of(supported.operation));
        }
        Ok(())
    }

    fn models(&self, operation: &str) -> Result<(), Stop> {
        if is_modelled(operation) {
            Ok(())
        } else {
            Err(Stop::skip(format!("the endpoint does not model {operation} yet")))
        }
    }
}

fn is_modelled(operation: &str) -> bool {
    supported()
        .iter()
        .any(|supported| supported.operation == operation)
}

/// The JSON services name it with `Exception` and status 400, the others without and with 403.
fn denied(service: &str) -> Upset {
    let json = matches!(
        service,
        "ecs" | "ecr" | "logs" | "secretsmanager" | "wafv2" | "acm"
    );
    Upset::Refused {
        status: if json { 400 } else { 403 },
        code: if json {
            "AccessDeniedException"
        } else {
            "AccessDenied"
        }
        .to_owned(),
        message: "the caller is not authorized to perform this operation".to_owned(),
    }
}

/// A world whose ports are the adapters, each for itself. Call it on a Tokio runtime of one thread whose time is paused.
///
/// # Errors
/// When an adapter cannot be made.
pub fn over_the_endpoint(seed: u64) -> Result<SimFixture, Stop> {
    fixture(seed, false)
}

/// The same with adapters that share an observer for each account.
///
/// # Errors
/// When an adapter cannot be made.
pub fn with_an_observer(seed: u64) -> Result<SimFixture, Stop> {
    fixture(seed, true)
}

fn fixture(seed: u64, shared: bool) -> Result<SimFixture, Stop> {
    let cloud = SimCloud::new(world(seed));
    let wire = InProcess::new(Endpoint::new(cloud.clone()));
    let clock = wire.clock();
    let now: Now = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now())
    };
    let observer = || shared.then(|| Arc::new(SharedObserver::new(wire.clock(), seed)));
    let (ours, theirs) = (observer(), observer());
    let (ours, theirs) = (ours.as_ref(), theirs.as_ref());
    let source = wire.config(SOURCE).map_err(Stop::fixture)?;
    let target = wire.config(TARGET).map_err(Stop::fixture)?;
    let guard = |config, account: &str, shared: Option<&Arc<SharedObserver>>| {
        let expected = Expected {
            account: account.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        };
        Arc::new(shared!(IdentityGuard::from_config(config, expected), shared))
    };
    let through = Arc::new(ConnectorHttp::new(wire.connector()));
    let (source_guard, target_guard) = (
        guard(&source, SOURCE_ACCOUNT, ours),
        guard(&target, TARGET_ACCOUNT, theirs),
    );
    let ecs = |config, cluster, guard: &Arc<IdentityGuard>, account: &str| {
        EcsEnvironment::from_config(config, cluster, Arc::clone(guard))
            .registry(format!("{account}.dkr.ecr.{REGION}.amazonaws.com"))
            .clock(Arc::clone(&now))
    };
    let environment = ecs(&target, TARGET, &target_guard, TARGET_ACCOUNT);
    let environment = Arc::new(shared!(environment, theirs));
    let balancers = LoadBalancers::from_config(&target).with_now(Arc::clone(&now));
    let balancers = Arc::new(shared!(balancers, theirs));
    let loopback: IpNet = "127.0.0.0/8".parse().map_err(Stop::fixture)?;
    let http = HttpGate::new(AddressPolicy::new([loopback]))
        .with_now(Arc::clone(&now))
        // Every host has an address; which of them is in the cloud, its connector knows.
        .with_resolver(Arc::new(FixedResolver(Ipv4Addr::LOCALHOST.into())))
        .with_fetch(through.clone());
    let gates = Gates::builder()
        .with_target_health(Arc::new(shared!(
            TargetHealthGate::from_config(&target).with_now(Arc::clone(&now)),
            theirs
        )))
        .with_http(Arc::new(http))
        .with_alarms(Arc::new(shared!(
            AlarmGate::from_config(&target).with_now(Arc::clone(&now)),
            theirs
        )))
        .build();
    let requests = LoadBalancerRequests::from_config(&target, Arc::clone(&balancers) as Arc<_>);
    let requests = shared!(requests, theirs);
    let dns = Route53Cutover::from_config(&target, [ZONE.parse().map_err(Stop::fixture)?])
        .with_authority(Authority::TestDnsAnswer)
        .with_guard(Arc::clone(&target_guard) as Arc<_>)
        .with_target_health(Arc::clone(&balancers) as Arc<_>)
        .with_request_count(Arc::new(requests.with_now(Arc::clone(&now))))
        .with_now(Arc::clone(&now));
    let dns = shared!(dns, theirs);
    let images = EcrPromotion::new(
        shared!(Registry::from_config(&source), ours),
        shared!(Registry::from_config(&target), theirs),
        Arc::clone(&target_guard),
        through,
    );
    let mut rollback = EcsRollback::new(Arc::clone(&environment));
    if is_modelled("BatchGetImage") {
        rollback = rollback.images(shared!(Registry::from_config(&target), theirs));
    }
    let ports = Ports {
        source: Arc::new(shared!(ecs(&source, SOURCE, &source_guard, SOURCE_ACCOUNT), ours)),
        target: environment,
        images: Arc::new(images),
        gates: Arc::new(gates),
        dns: Arc::new(dns),
        rollback: Arc::new(rollback),
    };
    let on_the_wire = OnTheWire(wire.endpoint().clone());
    Ok(SimFixture::over(cloud, ports, clock, Box::new(on_the_wire)))
}
