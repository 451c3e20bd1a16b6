//! The world of a crowd, and its plans.

use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::machine::{cutover, deployment, gate, promotion};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{Bounds, Draft, ExpectedIdentity, GatePlan, RolloutPolicy, ServicePlan};
use rollout_core::probe::ProbeTarget;
use rollout_sim::{EnvironmentBuilder, Quotas, World};

pub(super) const SOURCE_ACCOUNT: &str = "111111111111";
pub(super) const TARGET_ACCOUNT: &str = "222222222222";
pub(super) const REGION: &str = "eu-central-1";
const OLD: &str = "1";
const NEW: &str = "2";
/// Services of one cluster. AWS allows 5,000 (AWS, "Amazon ECS service quotas").
pub(super) const CLUSTER: usize = 1_000;

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn service(number: usize) -> String {
    format!("s{number:05}")
}

pub(super) fn alarm(number: usize) -> String {
    format!("{}-errors", service(number))
}

pub(super) fn cluster(side: &str, number: usize) -> String {
    format!("{side}-{}", number / CLUSTER)
}

/// So many services in production, and the new release of each in staging.
///
/// # Panics
/// Never: its names are constants.
#[must_use]
pub fn world(many: usize) -> World {
    let mut world = World::builder(1);
    for first in (0..many).step_by(CLUSTER) {
        let numbers = first..many.min(first + CLUSTER);
        let environment = |e: EnvironmentBuilder, running: &str| {
            numbers.clone().fold(e, |e, n| {
                e.service(&service(n), |s| {
                    s.container("app", "shop/app", running).desired(1)
                })
            })
        };
        world = world
            .environment(&cluster("staging", first), |e| {
                let e = e.account(SOURCE_ACCOUNT).region(REGION);
                environment(e.image("shop/app", OLD).image("shop/app", NEW), NEW)
            })
            .environment(&cluster("production", first), |e| {
                let e = e.account(TARGET_ACCOUNT).region(REGION).image("shop/app", OLD);
                // Promoted before: whether many copy one image at the same moment is no question of many services.
                let e = e.image("shop/app", NEW);
                numbers
                    .clone()
                    .fold(environment(e, OLD), |e, n| e.alarm(&alarm(n)))
            });
    }
    let mut world = world.build().expect("its names are constants");
    world.limit(Quotas::aws());
    world
}

/// How patient each of so many must be: what the slowest bucket, the registration of revisions at one a second, keeps the last
/// one waiting for, and as much again.
#[must_use]
pub fn patience(many: usize) -> Duration {
    secs(900 + 2 * u64::try_from(many).unwrap_or(u64::MAX / 4))
}

pub(super) fn plan(number: usize, patience: Duration) -> Draft {
    let name = service(number);
    let app = "app".parse().expect("a name");
    let deployment = deployment::Policy {
        poll_every: secs(5),
        pace: None,
        give_up: patience,
        stopped_tasks: 2,
        max_errors: 5,
        answer: patience,
        stale_reads: secs(30),
    };
    let image = promotion::Spec {
        from: "shop/app".parse().expect("a name"),
        reference: promotion::Reference::Tag(NEW.parse().expect("a tag")),
        to: "shop/app".parse().expect("a name"),
        service: name.parse().expect("a name"),
        container: "app".parse().expect("a name"),
        soak: secs(3_600),
    };
    Draft {
        run: format!("run-{number}").parse().expect("a name"),
        release: NEW.to_owned(),
        from: "staging".parse().expect("a name"),
        to: "production".parse().expect("a name"),
        expects: ExpectedIdentity {
            account: TARGET_ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        },
        services: vec![ServicePlan {
            name: name.parse().expect("a name"),
            after: Vec::new(),
            images: BTreeMap::from([(app, image)]),
            template: serde_json::json!({
                "family": name,
                "containerDefinitions": [{ "name": "app", "essential": true, "image": "" }],
            }),
            deployment: deployment.clone(),
            gates: vec![alarms(number, patience)],
        }],
        tasks: Vec::new(),
        gates: Vec::new(),
        cutovers: Vec::new(),
        policy: RolloutPolicy {
            retry_every: secs(5),
            max_errors: 5,
            check: patience,
            confirm: patience,
            bounds: Bounds { services_at_once: 1 },
            promotion: promotion::Policy {
                retry_every: secs(5),
                max_errors: 5,
                answer: patience,
                proceed: patience,
            },
            unwind_deployment: deployment,
            rollback: RollbackPolicy::default(),
            readiness: Proof::Unasked,
            unwind_cutover: cutover::Policy {
                poll_first: secs(2),
                poll_max: secs(20),
                in_sync: secs(300),
                verify: secs(120),
                watch: secs(120),
                watch_failures: 3,
                max_errors: 5,
                answer: secs(20),
            },
        },
    }
}

/// The service's alarm, looked at every ten seconds for a minute.
fn alarms(number: usize, patience: Duration) -> GatePlan {
    GatePlan {
        name: "alarms".parse().expect("a name"),
        condition: gate::Condition::Probe("alarms".parse().expect("a name")),
        probes: vec![gate::ProbeSpec {
            name: "alarms".parse().expect("a name"),
            target: ProbeTarget::Alarms {
                names: vec![alarm(number)],
            },
            every: secs(10),
            successes: 3,
            failures: 2,
            errors: 3,
            max_age: secs(60),
            dry_run: false,
        }],
        warm_up: secs(10),
        bake: secs(60),
        give_up: patience,
        answer: patience,
    }
}
