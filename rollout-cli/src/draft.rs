//! The configuration and a release become a plan.

use core::time::Duration;
use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use rollout_core::id::{ContainerName, ImageTag, ProbeName, RunId, ServiceName};
use rollout_core::machine::{cutover, deployment, promotion};
use rollout_core::plan::{
    Bounds, CutoverPlan, Draft, ExpectedIdentity, GatePlan, RolloutPlan, RolloutPolicy, ServicePlan,
    TaskPlan, When,
};

use crate::config::{self, Config, Dns, FASTEST, Gate, Images, Service, Task, Version};

/// The release that is meant: the one of the command line, else the one of the configuration.
///
/// # Errors
/// When an image needs one and there is none, or it cannot be a tag.
pub(crate) fn release(config: &Config, given: Option<&str>) -> anyhow::Result<String> {
    let release = given.or(config.release.as_deref());
    let needed = config
        .services
        .iter()
        .flat_map(|service| service.images.values())
        .any(|image| image.value.version.needs_release());
    match release {
        Some(release) => {
            let tag = ImageTag::new(release).context("--release")?;
            Ok(tag.to_string())
        }
        None if needed => Err(anyhow!(
            "no release is named: pass `--release TAG`, or set `release = \"TAG\"` in {}",
            config.file.display()
        )),
        None => Ok("unnamed".to_owned()),
    }
}

/// The plan of one run.
///
/// # Errors
/// When the parts do not make a plan; what the parts alone can tell was told when the configuration was read.
pub(crate) fn plan(config: &Config, release: &str, run: &RunId) -> anyhow::Result<RolloutPlan> {
    let target = config.target();
    let draft = Draft {
        run: run.clone(),
        release: release.to_owned(),
        from: config.promotion.from.clone(),
        to: config.promotion.to.clone(),
        expects: ExpectedIdentity {
            account: target.account.clone(),
            region: target.region.clone(),
            caller: target.caller.clone(),
        },
        services: config
            .services
            .iter()
            .map(|service| service_plan(config, service, release))
            .collect::<anyhow::Result<_>>()?,
        tasks: config.tasks.iter().map(|task| task_plan(config, task)).collect(),
        gates: config
            .gates
            .iter()
            .map(gate_plan)
            .collect::<anyhow::Result<_>>()?,
        cutovers: config.dns.iter().map(cutover_plan).collect(),
        policy: policy(config),
    };
    Ok(RolloutPlan::check(draft)?)
}

fn service_plan(config: &Config, service: &Service, release: &str) -> anyhow::Result<ServicePlan> {
    let to = &config.promotion.to;
    let after = |name: &ServiceName| {
        let other = config.services.iter().find(|other| &other.name == name);
        other.map_or_else(|| name.clone(), |other| other.name_in(to).clone())
    };
    Ok(ServicePlan {
        name: service.name_in(to).clone(),
        after: service.after.iter().map(|before| after(&before.value)).collect(),
        images: images(config, service, release)?,
        template: service.task_definition_in(to).json.clone(),
        deployment: service.deployment.clone(),
        gates: service
            .gates
            .iter()
            .map(gate_plan)
            .collect::<anyhow::Result<_>>()?,
    })
}

fn images(
    config: &Config,
    service: &Service,
    release: &str,
) -> anyhow::Result<BTreeMap<ContainerName, promotion::Spec>> {
    let one = |container: &ContainerName, image: &config::Image| {
        let reference = match &image.version {
            Version::Digest(digest) => promotion::Reference::Digest(digest.clone()),
            Version::Pattern(_) => {
                let tag = image.version.tag(release).unwrap_or_default();
                promotion::Reference::Tag(ImageTag::new(tag).context("the release does not make a tag")?)
            }
        };
        let spec = promotion::Spec {
            from: image.from.clone(),
            reference,
            to: image.to.clone(),
            service: service.name_in(&config.promotion.from).clone(),
            container: container.clone(),
            soak: config.promotion.soak,
        };
        Ok((container.clone(), spec))
    };
    service
        .images
        .iter()
        .map(|(container, image)| one(container, &image.value))
        .collect()
}

/// A gate as it stands in a plan.
///
/// # Errors
/// When its name is none.
pub(crate) fn gate_plan(gate: &Gate) -> anyhow::Result<GatePlan> {
    Ok(GatePlan {
        name: ProbeName::new(&gate.name)?,
        condition: gate.condition.clone(),
        probes: gate.probes.clone(),
        warm_up: gate.warm_up,
        bake: gate.bake,
        give_up: gate.give_up,
        answer: gate.answer,
    })
}

fn task_plan(config: &Config, task: &Task) -> TaskPlan {
    let to = &config.promotion.to;
    let repositories = |images: &Images| {
        let one = |(container, image): (&ContainerName, &config::At<config::Image>)| {
            (container.clone(), image.value.to.clone())
        };
        images.iter().map(one).collect()
    };
    TaskPlan {
        name: task.name.clone(),
        template: task.task_definition_in(to).json.clone(),
        images: repositories(&task.images),
        run: task.run_in(to).json.clone(),
        when: match task.when {
            config::When::BeforeServices => When::BeforeServices,
            config::When::AfterServices => When::AfterServices,
        },
        reversible: task.reversible,
        policy: task.policy.clone(),
    }
}

fn cutover_plan(dns: &Dns) -> CutoverPlan {
    CutoverPlan {
        zone: dns.zone.clone(),
        key: dns.key.clone(),
        to: dns.data.clone(),
        lowered_ttl: dns.lowered_ttl,
        allow_unhealthy_target: dns.allow_unhealthy_target,
        drain: dns.drain.clone(),
        policy: dns.policy.clone(),
    }
}

/// What holds for the whole run. The way back gets as much time as the way there.
fn policy(config: &Config) -> RolloutPolicy {
    let longest = config
        .services
        .iter()
        .map(|service| service.deployment.give_up)
        .max();
    let deployment = deployment::Policy {
        poll_every: seconds(5),
        pace: Some(deployment::Pace {
            fast: FASTEST,
            slow: seconds(5),
            expected: None,
        }),
        give_up: longest.unwrap_or_default().max(seconds(900)),
        stopped_tasks: 5,
        max_errors: 20,
        answer: seconds(60),
        stale_reads: seconds(30),
    };
    RolloutPolicy {
        rollback: config.rollback,
        readiness: config.ready,
        retry_every: seconds(5),
        max_errors: 10,
        check: seconds(600),
        confirm: seconds(300),
        bounds: Bounds {
            services_at_once: config.promotion.services_at_once,
        },
        promotion: promotion::Policy {
            retry_every: seconds(10),
            max_errors: 10,
            answer: seconds(900),
            proceed: seconds(1200),
        },
        unwind_deployment: deployment,
        unwind_cutover: cutover::Policy {
            poll_first: cutover::Policy::POLL_FIRST,
            poll_max: cutover::Policy::POLL_MAX,
            in_sync: seconds(600),
            verify: seconds(120),
            watch: seconds(60),
            watch_failures: 2,
            max_errors: 20,
            answer: seconds(60),
        },
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
