//! The worlds and the plans.

use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::dns::{RecordKey, RecordType};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::{cutover, deployment, gate, promotion};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{
    CutoverPlan, Draft, ExpectedIdentity, GatePlan, RolloutPlan, RolloutPolicy, ServicePlan,
};
use rollout_core::probe::ProbeTarget;
use rollout_sim::{EnvironmentBuilder, Incident, When, World};

const OLD: &str = "1";
const NEW: &str = "2";
const ZONE: &str = "Z0BENCH";
const ACCOUNT: &str = "222222222222";
const REGION: &str = "eu-central-1";

/// Staging runs the new tag, production the old one, three tasks a service.
pub(crate) fn world(services: &[&str]) -> World {
    let environment = |e: EnvironmentBuilder, running: &str, tags: &[&str]| {
        let e = services.iter().fold(e, |e, name| {
            let e = tags
                .iter()
                .fold(e, |e, tag| e.image(&format!("shop/{name}"), tag));
            e.service(name, |s| {
                s.container(name, &format!("shop/{name}"), running)
                    .desired(3)
                    .load_balanced(80)
            })
        });
        ["old", "new"].iter().fold(e, |e, balancer| {
            e.balancer(balancer, |b| {
                services
                    .iter()
                    .fold(b, |b, name| b.route(&format!("/{name}"), name))
            })
        })
    };
    let world = World::builder(1)
        .environment("staging", |e| {
            environment(e.account("111111111111"), NEW, &[OLD, NEW])
        })
        .environment("production", |e| {
            environment(e.account(ACCOUNT).region(REGION), OLD, &[OLD])
        })
        .zone(ZONE, "example.com", |z| {
            z.alias("shop.example.com", "production", "old")
                .alias("next.example.com", "production", "new")
        });
    world.build().expect("its names are constants")
}

/// The same, and the image of this service cannot be pulled in production.
pub(crate) fn bad_world(services: &[&str], bad: &str) -> World {
    let mut world = world(services);
    let incident = Incident::BadImage {
        service: bad.to_owned(),
    };
    world
        .schedule("production", When::deployment_of(bad, Duration::ZERO), incident)
        .expect("it is there");
    world
}

/// A rollout of all services; the first one goes before the others. `gated`: each has a gate on its targets, and a record
/// moves at the end.
pub(crate) fn of(services: &[&str], gated: bool, world: &World) -> Rollout {
    let group = |name: &str| world.target_group("production", name).expect("it is there");
    let record = |name: &str| {
        let zone = ZONE.parse().expect("a name");
        let found = world.record(&zone, &key(name)).expect("the zone is there");
        found.expect("the record is there").data.clone()
    };
    let draft = Draft {
        run: "bench".parse().expect("a name"),
        release: NEW.to_owned(),
        from: "staging".parse().expect("a name"),
        to: "production".parse().expect("a name"),
        expects: ExpectedIdentity {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        },
        services: services
            .iter()
            .enumerate()
            .map(|(nth, name)| ServicePlan {
                name: name.parse().expect("a name"),
                after: (nth > 0)
                    .then(|| services[0].parse().expect("a name"))
                    .into_iter()
                    .collect(),
                images: BTreeMap::from([(name.parse().expect("a name"), image(name))]),
                template: serde_json::json!({
                    "family": name,
                    "containerDefinitions": [{ "name": name, "essential": true, "image": "" }],
                }),
                deployment: deployment_policy(),
                gates: group(name).filter(|_| gated).map(targets).into_iter().collect(),
            })
            .collect(),
        tasks: Vec::new(),
        gates: Vec::new(),
        cutovers: gated
            .then(|| CutoverPlan {
                zone: ZONE.parse().expect("a name"),
                key: key("shop.example.com"),
                to: record("next.example.com"),
                lowered_ttl: 60,
                allow_unhealthy_target: false,
                drain: None,
                policy: cutover_policy(),
            })
            .into_iter()
            .collect(),
        policy: RolloutPolicy {
            retry_every: secs(5),
            max_errors: 5,
            check: secs(300),
            confirm: secs(300),
            bounds: rollout_core::plan::Bounds { services_at_once: 3 },
            promotion: promotion::Policy {
                retry_every: secs(5),
                max_errors: 5,
                answer: secs(120),
                proceed: secs(600),
            },
            unwind_deployment: deployment_policy(),
            rollback: RollbackPolicy::default(),
            readiness: Proof::Unasked,
            unwind_cutover: cutover_policy(),
        },
    };
    Rollout::new(RolloutPlan::check(draft).expect("a valid plan"))
}

fn image(name: &str) -> promotion::Spec {
    let repository = format!("shop/{name}");
    promotion::Spec {
        from: repository.parse().expect("a name"),
        reference: promotion::Reference::Tag(NEW.parse().expect("a tag")),
        to: repository.parse().expect("a name"),
        service: name.parse().expect("a name"),
        container: name.parse().expect("a name"),
        soak: secs(3600),
    }
}

/// Two healthy targets, three times in a row, for a minute.
fn targets(target_group: String) -> GatePlan {
    let name = "targets";
    GatePlan {
        name: name.parse().expect("a name"),
        condition: gate::Condition::Probe(name.parse().expect("a name")),
        probes: vec![gate::ProbeSpec {
            name: name.parse().expect("a name"),
            target: ProbeTarget::TargetHealth {
                target_group,
                at_least: 2,
            },
            every: secs(10),
            successes: 3,
            failures: 2,
            errors: 3,
            max_age: secs(30),
            dry_run: false,
        }],
        warm_up: secs(10),
        bake: secs(60),
        give_up: secs(600),
        answer: secs(20),
    }
}

fn key(name: &str) -> RecordKey {
    RecordKey {
        name: name.parse().expect("a name"),
        record_type: RecordType::A,
        set_identifier: None,
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn deployment_policy() -> deployment::Policy {
    deployment::Policy {
        poll_every: secs(5),
        pace: None,
        give_up: secs(900),
        stopped_tasks: 2,
        max_errors: 5,
        answer: secs(20),
        stale_reads: secs(30),
    }
}

const fn cutover_policy() -> cutover::Policy {
    cutover::Policy {
        poll_first: secs(2),
        poll_max: secs(20),
        in_sync: secs(300),
        verify: secs(120),
        watch: secs(120),
        watch_failures: 3,
        max_errors: 5,
        answer: secs(20),
    }
}
