//! The storefront of `rollout-sim` as a plan: three services, a migration before them, gates, and two records at the end.
//!
//! The command-line program reads such a plan from `rollout.toml`; a program of yours builds it like this.

use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::dns::{RecordData, RecordKey, RecordType};
use rollout_core::id::InvalidId;
use rollout_core::machine::{cutover, deployment, gate, promotion, task};
use rollout_core::plan::rollback::{Proof, RollbackPolicy};
use rollout_core::plan::{
    Bounds, CutoverPlan, Draft, ExpectedIdentity, GatePlan, RolloutPolicy, ServicePlan, TaskPlan, When,
};
use rollout_core::probe::{HttpProbe, ProbeTarget};
use rollout_sim::{Unknown, World};
use serde_json::json;

/// The zone.
pub const ZONE: &str = "Z0STOREFRONT";
/// The record that leads clients to the shop: an alias, so its TTL is 60 s and cannot be lowered.
pub const SHOP: &str = "shop.example.com";
/// The same as a CNAME with a TTL of 300 s, which is lowered ahead.
pub const WWW: &str = "www.example.com";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn minutes(minutes: u64) -> Duration {
    secs(60 * minutes)
}

/// The plan that brings `release` from staging to production. The world is asked for what a real environment would be
/// asked for: the ARN of a target group, the name of a load balancer.
///
/// # Errors
/// When `run` or `release` is not well formed, or the world is another one than
/// [`rollout_sim::storefront`].
pub fn draft(world: &World, run: &str, release: &str) -> Result<Draft, Unknown> {
    Ok(Draft {
        run: run.parse()?,
        release: release.to_owned(),
        from: "staging".parse()?,
        to: "production".parse()?,
        expects: ExpectedIdentity {
            account: "222222222222".to_owned(),
            region: "eu-central-1".to_owned(),
            caller: None,
        },
        services: vec![
            service(world, "backend", release, &[])?,
            service(world, "frontend", release, &["backend"])?,
            service(world, "worker", release, &["backend"])?,
        ],
        tasks: vec![migration()?],
        gates: vec![gate(
            "shop",
            vec![page("page", "http://frontend.production.internal/")?],
        )?],
        cutovers: vec![
            // The first still has the second's clients behind it, so only the second waits for the old side to drain.
            cutover(WWW, RecordType::Cname, cname(world)?, None)?,
            cutover(
                SHOP,
                RecordType::A,
                world.alias_to("production", "storefront")?,
                Some(drain()),
            )?,
        ],
        policy: policy(),
    })
}

/// The key of one of the two records.
///
/// # Errors
/// When the name is not well formed.
pub fn key(name: &str, record_type: RecordType) -> Result<RecordKey, InvalidId> {
    Ok(RecordKey {
        name: name.parse()?,
        record_type,
        set_identifier: None,
    })
}

/// What `www.example.com` shall say: production's load balancer, by name.
fn cname(world: &World) -> Result<RecordData, Unknown> {
    let name = match world.alias_to("production", "storefront")? {
        RecordData::Alias { target, .. } => target.to_string(),
        RecordData::Values { values, .. } => values.concat(),
    };
    Ok(RecordData::Values {
        ttl: 300,
        values: vec![name],
    })
}

fn service(world: &World, name: &str, release: &str, after: &[&str]) -> Result<ServicePlan, Unknown> {
    let mut probes = Vec::new();
    if let Some(target_group) = world.target_group("production", name)? {
        let targets = ProbeTarget::TargetHealth {
            target_group,
            at_least: 2,
        };
        probes.push(probe("targets", targets)?);
        probes.push(page(
            "ready",
            &format!("http://{name}.production.internal/health/ready"),
        )?);
    }
    if name == "backend" {
        let names = vec!["storefront-backend-5xx".to_owned()];
        probes.push(probe("errors", ProbeTarget::Alarms { names })?);
    }
    let gates = if probes.is_empty() {
        Vec::new()
    } else {
        vec![gate("healthy", probes)?]
    };
    let image = promotion::Spec {
        from: format!("storefront/{name}").parse()?,
        reference: promotion::Reference::Tag(release.parse()?),
        to: format!("storefront/{name}").parse()?,
        service: name.parse()?,
        container: name.parse()?,
        soak: minutes(60),
    };
    Ok(ServicePlan {
        name: name.parse()?,
        after: after.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        images: BTreeMap::from([(name.parse()?, image)]),
        // What `register-task-definition --cli-input-json` takes; the image is put in.
        template: json!({
            "family": format!("storefront-{name}"),
            "containerDefinitions": [{ "name": name, "essential": true, "image": "" }],
        }),
        deployment: deployment_policy(),
        gates,
    })
}

/// Runs before the services, with the backend's image. The release before this one can live with what it does.
fn migration() -> Result<TaskPlan, InvalidId> {
    Ok(TaskPlan {
        name: "migrate".parse()?,
        template: json!({
            "family": "storefront-migrate",
            "containerDefinitions": [{ "name": "migrate", "essential": true, "image": "" }],
        }),
        images: BTreeMap::from([("migrate".parse()?, "storefront/backend".parse()?)]),
        run: json!({ "launchType": "FARGATE" }),
        when: When::BeforeServices,
        reversible: true,
        policy: task::Policy {
            poll_every: secs(5),
            give_up: minutes(10),
            max_errors: 5,
            answer: secs(30),
        },
    })
}

/// Every probe must hold, for a minute.
fn gate(name: &str, probes: Vec<gate::ProbeSpec>) -> Result<GatePlan, InvalidId> {
    let all = probes
        .iter()
        .map(|probe| gate::Condition::Probe(probe.name.clone()));
    Ok(GatePlan {
        name: name.parse()?,
        condition: gate::Condition::All(all.collect()),
        probes,
        warm_up: secs(10),
        bake: secs(60),
        give_up: minutes(10),
        answer: secs(20),
    })
}

fn page(name: &str, url: &str) -> Result<gate::ProbeSpec, InvalidId> {
    let http = HttpProbe {
        url: url.to_owned(),
        status: vec![200],
        body_contains: None,
        latency: secs(1),
        timeout: secs(5),
        redirects: 0,
    };
    probe(name, ProbeTarget::Http(http))
}

/// Three passes in a row, two failures forgiven.
fn probe(name: &str, target: ProbeTarget) -> Result<gate::ProbeSpec, InvalidId> {
    Ok(gate::ProbeSpec {
        name: name.parse()?,
        target,
        every: secs(10),
        successes: 3,
        failures: 2,
        errors: 3,
        max_age: secs(30),
        dry_run: false,
    })
}

fn cutover(
    name: &str,
    record_type: RecordType,
    to: RecordData,
    drain: Option<cutover::Drain>,
) -> Result<CutoverPlan, InvalidId> {
    Ok(CutoverPlan {
        zone: ZONE.parse()?,
        key: key(name, record_type)?,
        to,
        lowered_ttl: 30,
        allow_unhealthy_target: false,
        drain,
        policy: cutover_policy(),
    })
}

/// At most 30 requests a minute for two minutes; some resolvers keep an answer for hours.
const fn drain() -> cutover::Drain {
    cutover::Drain {
        level: 30,
        hold: minutes(2),
        give_up: minutes(60),
    }
}

fn policy() -> RolloutPolicy {
    RolloutPolicy {
        retry_every: secs(5),
        max_errors: 5,
        check: minutes(5),
        confirm: minutes(5),
        promotion: promotion::Policy {
            retry_every: secs(5),
            max_errors: 5,
            answer: minutes(2),
            proceed: minutes(10),
        },
        unwind_deployment: deployment_policy(),
        rollback: RollbackPolicy::default(),
        readiness: Proof::Unasked,
        unwind_cutover: cutover_policy(),
        bounds: Bounds { services_at_once: 2 },
    }
}

const fn deployment_policy() -> deployment::Policy {
    deployment::Policy {
        poll_every: secs(5),
        pace: None,
        give_up: minutes(15),
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
        in_sync: minutes(5),
        verify: minutes(2),
        watch: minutes(2),
        watch_failures: 3,
        max_errors: 5,
        answer: secs(20),
    }
}
