//! Services and task definitions.

use rollout_core::readiness::fact::task::{
    Attachment, Breaker, Container, DeploymentAlarms, Service, TaskDefinition, Threshold,
};
use rollout_core::readiness::known::Table;
use rollout_core::service::RolloutState;
use serde_json::Value;

use super::{beside, seconds};
use crate::ecs::breaker::{Breaker as Held, Threshold as At};
use crate::ecs::revision::Revision;
use crate::ecs::service::Status;
use crate::ecs::task::Phase;
use crate::ecs::{Environment, Launch};

/// A service. Its network, its platform version and, where none were given, its deployment alarms are the surroundings'.
pub(crate) fn service(env: &Environment, index: u16, around: Option<&Service>) -> Service {
    let held = &env.services[usize::from(index)];
    let primary = held.primary();
    let runs = |id: &&u64| {
        let task = env.tasks.get(*id);
        task.is_some_and(|t| t.phase == Phase::Running && t.why.is_none())
    };
    let network = &held.settings["networkConfiguration"]["awsvpcConfiguration"];
    let (subnets, security_groups, public_ip) = if network.is_object() {
        let list = |name: &str| texts(&network[name]);
        let public = network["assignPublicIp"] == "ENABLED";
        (list("subnets"), list("securityGroups"), public)
    } else {
        around.map_or_else(Default::default, |around| {
            (
                around.subnets.clone(),
                around.security_groups.clone(),
                around.public_ip,
            )
        })
    };
    let watched = &held.plan.alarms;
    let alarms = DeploymentAlarms {
        enabled: watched.enabled,
        rollback: watched.rollback,
        names: watched.names.clone(),
    };
    Service {
        arn: env.service_arn(index),
        status: match held.status {
            Status::Active => "ACTIVE",
            Status::Draining => "DRAINING",
            Status::Inactive => "INACTIVE",
        }
        .to_owned(),
        desired: held.desired,
        running: u32::try_from(held.tasks.iter().filter(runs).count()).unwrap_or(u32::MAX),
        task_definition: primary.map_or_else(String::new, |d| env.revision_at(d.revision).arn.to_string()),
        rollout_state: primary.map(|d| state(&d.rollout).to_owned()),
        controller: "ECS".to_owned(),
        platform_version: platform(env, &held.settings, around),
        subnets,
        security_groups,
        public_ip,
        attachments: attachments(&held.settings),
        breaker: breaker(held.breaker),
        alarms: if alarms == DeploymentAlarms::default() {
            around.map(|around| around.alarms.clone()).unwrap_or_default()
        } else {
            alarms
        },
        minimum_healthy_percent: held.minimum_healthy_percent,
        maximum_percent: held.maximum_percent,
        grace_seconds: held.group.map(|_| seconds(held.grace)),
        bake_minutes: held.plan.is_staged().then_some(held.plan.bake_minutes),
    }
}

fn state(state: &RolloutState) -> &'static str {
    match state {
        RolloutState::InProgress | RolloutState::Other(_) => "IN_PROGRESS",
        RolloutState::Completed => "COMPLETED",
        RolloutState::Failed => "FAILED",
    }
}

fn platform(env: &Environment, settings: &Value, around: Option<&Service>) -> Option<String> {
    if env.launch == Launch::Ec2 {
        return None;
    }
    let given = settings["platformVersion"].as_str().map(ToOwned::to_owned);
    given
        .or_else(|| around.and_then(|around| around.platform_version.clone()))
        // What `LATEST` stands for, as `DescribeServices` tells it here.
        .or_else(|| Some("1.4.0".to_owned()))
}

fn attachments(settings: &Value) -> Vec<Attachment> {
    let given = settings["loadBalancers"].as_array().into_iter().flatten();
    let attachment = |balancer: &Value| {
        Some(Attachment {
            target_group: balancer["targetGroupArn"].as_str()?.to_owned(),
            container: balancer["containerName"].as_str()?.to_owned(),
            port: u16::try_from(balancer["containerPort"].as_u64()?).ok()?,
        })
    };
    given.filter_map(attachment).collect()
}

fn breaker(held: Held) -> Breaker {
    let threshold = |kind: &str, value: u32| {
        Some(Threshold {
            kind: kind.to_owned(),
            value,
        })
    };
    Breaker {
        enabled: held.enabled,
        rollback: held.rollback,
        threshold: match held.threshold {
            // Nothing else than none.
            At::BoundedPercent(50) => None,
            At::BoundedPercent(value) => threshold("BOUNDED_PERCENT", value),
            At::UnboundedPercent(value) => threshold("UNBOUNDED_PERCENT", value),
            At::Count(value) => threshold("COUNT", value),
        },
    }
}

/// A revision. One that is only sketched is filled from the surroundings: from what they say of it, or of another revision of
/// its family.
pub(crate) fn task_definition(held: &Revision, around: &Table<TaskDefinition>) -> TaskDefinition {
    let mut told = TaskDefinition {
        active: held.active,
        registered_at: Some(held.registered_at),
        ..TaskDefinition::registered(&held.content)
    };
    if !is_sketch(&held.content) {
        return told;
    }
    let arn = held.arn.as_str();
    let of_family = || {
        let family = arn.rsplit_once(':').map_or(arn, |(family, _)| family);
        let same = |name: &&str| name.rsplit_once(':').is_some_and(|(other, _)| other == family);
        around
            .names()
            .filter(same)
            .filter_map(|name| beside(around, name))
            .last()
    };
    let Some(whole) = beside(around, arn).or_else(of_family) else {
        return told;
    };
    for container in &mut told.containers {
        let Some(filled) = whole.containers.iter().find(|c| c.name == container.name) else {
            continue;
        };
        *container = Container {
            name: core::mem::take(&mut container.name),
            image: core::mem::take(&mut container.image),
            essential: container.essential,
            health_check: container
                .health_check
                .take()
                .or_else(|| filled.health_check.clone()),
            ..filled.clone()
        };
    }
    TaskDefinition {
        active: told.active,
        containers: told.containers,
        registered_at: told.registered_at,
        ..whole.clone()
    }
}

/// Whether a task definition says nothing but which images run, and how they are checked, as a builder makes it.
pub(crate) fn is_sketch(content: &Value) -> bool {
    let only = |value: &Value, known: &[&str]| {
        value
            .as_object()
            .is_some_and(|members| members.keys().all(|name| known.contains(&name.as_str())))
    };
    let mut containers = content["containerDefinitions"].as_array().into_iter().flatten();
    only(content, &["family", "containerDefinitions"])
        && containers.all(|container| only(container, &["name", "image", "essential", "healthCheck"]))
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(ToOwned::to_owned))
        .collect()
}
