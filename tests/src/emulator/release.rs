//! The one place that hands work to `rollout`: a plan for a site, ports on AWS, a driver on the wall clock.

use core::time::Duration;
use std::sync::Arc;

use futures_util::stream;
use ipnet::IpNet;
use rollout_aws::clock::TokioClock;
use rollout_aws::cloudwatch::AlarmGate;
use rollout_aws::ecr::{EcrPromotion, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::elbv2::{LoadBalancers, TargetHealthGate};
use rollout_aws::gates::Gates;
use rollout_aws::probe::{AddressPolicy, HttpGate};
use rollout_aws::route53::{Authority, Route53Cutover};
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_core::driver::{Driver, Perform, PortPerformer};
use rollout_core::id::{RepositoryName, RunId, ServiceName, ZoneId};
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::{Lifecycle, Machine, Transitions, cutover, deployment, gate, promotion, task};
use rollout_core::observer::Silent;
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{Bounds, Draft, ExpectedIdentity, GatePlan, RolloutPolicy, ServicePlan};
use rollout_core::port::Ports;
use rollout_core::probe::{HttpProbe, ProbeTarget};
use serde::Serialize;
use serde_json::Value;

use super::account::{Account, Calls};
use super::site::{CONTAINER, Site};
use super::{REGION, id};

/// Longer than any run here; a run that hangs fails by name and not by the harness's patience.
const WHOLE_RUN: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(30);

/// The ports of a run from one site to another.
#[derive(Debug)]
pub struct Wired {
    /// The ports.
    pub ports: Ports,
    /// What was called in the source account.
    pub source_calls: Calls,
    /// What was called in the target account.
    pub target_calls: Calls,
}

/// Every adapter, as `rollout --cloud aws` wires them; `expected` is the account that the target's guard wants.
///
/// # Panics
/// When an adapter cannot be made.
#[must_use]
pub fn wire(from: &Site, to: &Site, expected: &str, zones: &[ZoneId]) -> Wired {
    let (source, source_calls) = from.account.recorded();
    let (target, target_calls) = to.account.recorded();
    let guard = |config, account: &str| {
        let expected = Expected {
            account: account.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        };
        Arc::new(IdentityGuard::from_config(config, expected))
    };
    let target_guard = guard(&target, expected);
    let environment = EcsEnvironment::from_config(&target, &to.cluster, Arc::clone(&target_guard));
    let environment = Arc::new(environment.registry(to.account.registry()));
    let source_guard = guard(&source, &from.account.number);
    let loopback: IpNet = id("127.0.0.0/8");
    let gates = Gates::builder()
        .with_target_health(Arc::new(TargetHealthGate::from_config(&target)))
        .with_http(Arc::new(HttpGate::new(AddressPolicy::new([loopback]))))
        .with_alarms(Arc::new(AlarmGate::from_config(&target)))
        .build();
    let dns = Route53Cutover::from_config(&target, zones.iter().cloned())
        // Emulators have no name servers.
        .with_authority(Authority::RecordsApi)
        .with_guard(Arc::clone(&target_guard) as Arc<_>)
        .with_target_health(Arc::new(LoadBalancers::from_config(&target)));
    let rollback = EcsRollback::new(Arc::clone(&environment)).images(Registry::from_config(&target));
    let images = EcrPromotion::from_config(&source, &target, target_guard).expect("an HTTP client");
    Wired {
        ports: Ports {
            source: Arc::new(EcsEnvironment::from_config(&source, &from.cluster, source_guard)),
            target: environment,
            images: Arc::new(images),
            gates: Arc::new(gates),
            dns: Arc::new(dns),
            rollback: Arc::new(rollback),
        },
        source_calls,
        target_calls,
    }
}

/// Drives a machine to its outcome.
///
/// # Panics
/// When the driver stops without one, or does not come to one in time.
pub async fn drive<M>(run: &RunId, ports: &Ports, machine: &mut M) -> M::Outcome
where
    M: Machine<
            Event: Serialize + Clone + Send + Sync,
            Effect: rollout_core::Effect + Serialize + Clone + Send + Sync,
        > + Lifecycle
        + Transitions
        + Serialize
        + Send
        + Sync
        + 'static,
    PortPerformer: Perform<M>,
{
    let clock = Arc::new(TokioClock::new());
    let performer = PortPerformer::new(ports.clone(), clock.clone(), run.clone(), id("alone"), ANSWER);
    let journal = MemoryJournal::new();
    let driver = Driver {
        run: run.clone(),
        performer: &performer,
        journal: &journal,
        clock: &*clock,
        observer: &Silent,
    };
    tokio::time::timeout(WHOLE_RUN, driver.run(machine, stream::empty()))
        .await
        .unwrap_or_else(|_| panic!("{run} has no outcome within {WHOLE_RUN:?}"))
        .unwrap_or_else(|error| panic!("{run}: {error:?}"))
}

/// A release without any service yet.
#[must_use]
pub fn draft(run: &str, to: &Account) -> Draft {
    Draft {
        run: id(run),
        release: "2.0.0".to_owned(),
        from: id("staging"),
        to: id("production"),
        expects: ExpectedIdentity {
            account: to.number.clone(),
            region: REGION.to_owned(),
            caller: None,
        },
        services: Vec::new(),
        tasks: Vec::new(),
        gates: Vec::new(),
        cutovers: Vec::new(),
        policy: RolloutPolicy {
            retry_every: POLL,
            max_errors: 5,
            check: Duration::from_secs(60),
            confirm: Duration::from_secs(60),
            promotion: promotion::Policy {
                retry_every: POLL,
                max_errors: 5,
                answer: ANSWER,
                proceed: Duration::from_secs(60),
            },
            unwind_deployment: patience(0),
            rollback: RollbackPolicy::default(),
            readiness: Proof::Unasked,
            unwind_cutover: cutover_policy(),
            bounds: Bounds { services_at_once: 1 },
        },
    }
}

/// For a deployment that gives up after more than `stopped_tasks` failed tasks.
#[must_use]
pub const fn patience(stopped_tasks: u32) -> deployment::Policy {
    deployment::Policy {
        poll_every: POLL,
        pace: None,
        give_up: Duration::from_secs(90),
        stopped_tasks,
        max_errors: 5,
        answer: ANSWER,
        stale_reads: Duration::from_secs(3),
    }
}

/// For a record.
#[must_use]
pub const fn cutover_policy() -> cutover::Policy {
    cutover::Policy {
        poll_first: POLL,
        poll_max: Duration::from_secs(1),
        in_sync: Duration::from_secs(60),
        verify: Duration::from_secs(30),
        watch: Duration::from_secs(1),
        watch_failures: 2,
        max_errors: 5,
        answer: ANSWER,
    }
}

/// For a one-off task.
#[must_use]
pub const fn task_policy() -> task::Policy {
    task::Policy {
        poll_every: POLL,
        give_up: Duration::from_secs(60),
        max_errors: 5,
        answer: ANSWER,
    }
}

/// One service that brings one image by tag, which staging must run under the same service name.
#[must_use]
pub fn service(
    name: &ServiceName,
    from: &RepositoryName,
    to: &RepositoryName,
    template: Value,
) -> ServicePlan {
    let image = promotion::Spec {
        from: from.clone(),
        reference: promotion::Reference::Tag(id("2.0.0")),
        to: to.clone(),
        service: name.clone(),
        container: id(CONTAINER),
        // Everything here is seconds old, and MiniStack's times have whole seconds.
        soak: Duration::ZERO,
    };
    ServicePlan {
        name: name.clone(),
        after: Vec::new(),
        images: [(id(CONTAINER), image)].into(),
        template,
        deployment: patience(0),
        gates: Vec::new(),
    }
}

/// A gate that wants every probe to pass twice in a row.
#[must_use]
pub fn gate(name: &str, probes: Vec<(&str, ProbeTarget)>) -> GatePlan {
    GatePlan {
        name: id(name),
        condition: gate::Condition::All(
            probes
                .iter()
                .map(|(name, _)| gate::Condition::Probe(id(name)))
                .collect(),
        ),
        probes: probes
            .into_iter()
            .map(|(name, target)| gate::ProbeSpec {
                name: id(name),
                target,
                every: POLL,
                successes: 2,
                failures: 0,
                errors: 2,
                max_age: Duration::from_secs(20),
                dry_run: false,
            })
            .collect(),
        warm_up: Duration::ZERO,
        bake: Duration::from_secs(1),
        give_up: Duration::from_secs(40),
        answer: ANSWER,
    }
}

/// A probe of a URL whose answer must hold this text.
#[must_use]
pub fn http(url: String, body: &str) -> ProbeTarget {
    ProbeTarget::Http(HttpProbe {
        url,
        status: vec![200],
        body_contains: Some(body.to_owned()),
        latency: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        redirects: 0,
    })
}
