//! Events in the shapes of the Amazon ECS developer guide: "Amazon ECS service deployment state change events", "Amazon ECS task
//! state change events" and "Amazon ECS service action events".

use rollout_core::service::RolloutState;
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::watch::Change;
use crate::ecs::revision::Container;
use crate::ecs::service::Service;
use crate::ecs::task::{Owner, Phase, Task};
use crate::ecs::{Environment, Launch};

/// The event as text. `None` where ECS tells nothing of such a change.
pub(super) fn of(env: &Environment, now: Timestamp, id: &str, change: &Change) -> Option<String> {
    let (kind, resource, detail) = match change {
        Change::Deployment { service, number } => deployment(env, *service, *number)?,
        Change::Task { task, version } => task_change(env, *task, *version, now)?,
        Change::Service { service, text } => action(env, *service, text, now)?,
    };
    let event = json!({
        "version": "0",
        "id": id,
        "detail-type": kind,
        "source": "aws.ecs",
        "account": env.account,
        "time": whole_seconds(now),
        "region": env.region,
        "resources": [resource],
        "detail": detail,
    });
    Some(event.to_string())
}

type Told = (&'static str, String, Value);

/// Events tell their time in whole seconds.
fn whole_seconds(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

fn cluster_arn(env: &Environment, cluster: u16) -> String {
    let name = &env.clusters[usize::from(cluster)].name;
    format!("arn:aws:ecs:{}:{}:cluster/{name}", env.region, env.account)
}

fn service_arn(env: &Environment, service: &Service) -> String {
    let cluster = &env.clusters[usize::from(service.cluster)].name;
    format!(
        "arn:aws:ecs:{}:{}:service/{cluster}/{}",
        env.region, env.account, service.name
    )
}

fn deployment(env: &Environment, service: u16, number: u32) -> Option<Told> {
    let service = env.services.get(usize::from(service))?;
    let deployment = service.deployment(number)?;
    let (kind, name) = match deployment.rollout {
        RolloutState::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        RolloutState::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
        RolloutState::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
        RolloutState::Other(_) => return None,
    };
    let detail = json!({
        "eventType": kind,
        "eventName": name,
        "deploymentId": deployment.id,
        "updatedAt": deployment.updated_at.to_string(),
        "reason": deployment.reason,
    });
    Some(("ECS Deployment State Change", service_arn(env, service), detail))
}

fn task_change(env: &Environment, id: u64, version: u64, now: Timestamp) -> Option<Told> {
    let task = env.tasks.get(&id)?;
    let revision = env.revision_at(task.revision);
    let (group, started_by) = match task.owner {
        Owner::Service { service, deployment } => {
            let service = &env.services[usize::from(service)];
            let id = service.deployment_id(deployment).map(|id| id.to_string());
            (format!("service:{}", service.name), id)
        }
        Owner::Job => {
            let family = format!("family:{}", revision.family);
            let group = task.run.group.clone().unwrap_or(family);
            (group, task.run.started_by.clone())
        }
    };
    let wants_to_stop = task.why.is_some() || task.phase > Phase::Running;
    let mut detail = json!({
        "clusterArn": cluster_arn(env, task.cluster),
        "taskArn": task.arn,
        "taskDefinitionArn": revision.arn,
        "group": group,
        "lastStatus": task.phase.name(),
        "desiredStatus": if wants_to_stop { "STOPPED" } else { "RUNNING" },
        "launchType": match env.launch {
            Launch::Fargate => "FARGATE",
            Launch::Ec2 => "EC2",
        },
        "connectivity": "CONNECTED",
        "createdAt": task.created_at.to_string(),
        "updatedAt": now.to_string(),
        "version": version,
        "containers": containers(env, task),
        "attachments": [],
        "attributes": [],
        "overrides": { "containerOverrides": [] },
    });
    let moments = [
        ("pullStartedAt", task.pull_started_at),
        ("pullStoppedAt", task.pull_stopped_at),
        ("startedAt", task.started_at),
        ("stoppingAt", task.stopping_at),
        ("executionStoppedAt", task.ended_at),
        ("stoppedAt", task.stopped_at),
    ];
    for (name, at) in moments {
        if let Some(at) = at {
            detail[name] = json!(at.to_string());
        }
    }
    if let Some(started_by) = started_by {
        detail["startedBy"] = json!(started_by);
    }
    if let Some(why) = &task.why {
        detail["stopCode"] = json!(why.code());
        detail["stoppedReason"] = json!(why.reason());
    }
    Some(("ECS Task State Change", task.arn.to_string(), detail))
}

fn containers(env: &Environment, task: &Task) -> Vec<Value> {
    let exits = task
        .stopped(env)
        .map(|stopped| stopped.containers)
        .unwrap_or_default();
    let revision = env.revision_at(task.revision);
    let one = |container: &Container| {
        let name = &container.name;
        let mut told = json!({
            "containerArn": format!("{}/{name}", task.arn).replace(":task/", ":container/"),
            "name": name,
            "lastStatus": match task.phase {
                Phase::Running | Phase::Deactivating => "RUNNING",
                Phase::Provisioning | Phase::Pending | Phase::Activating => "PENDING",
                Phase::Stopping | Phase::Deprovisioning | Phase::Stopped => "STOPPED",
            },
            "taskArn": task.arn,
            "networkInterfaces": [],
        });
        if let Some(digest) = task.images.get(name) {
            told["imageDigest"] = json!(digest);
        }
        let exit = exits.iter().find(|exit| exit.name == *name);
        if let Some(code) = exit.and_then(|exit| exit.exit_code) {
            told["exitCode"] = json!(code);
        }
        told
    };
    revision.containers.iter().map(one).collect()
}

/// The event of which the service's list of events tells in words.
fn action(env: &Environment, service: u16, text: &str, now: Timestamp) -> Option<Told> {
    let service = env.services.get(usize::from(service))?;
    let (kind, name) = [
        ("has reached a steady state", "INFO", "SERVICE_STEADY_STATE"),
        (
            "unable to consistently start tasks",
            "WARN",
            "SERVICE_TASK_START_IMPAIRED",
        ),
        (
            "unable to place a task",
            "ERROR",
            "SERVICE_TASK_PLACEMENT_FAILURE",
        ),
    ]
    .into_iter()
    .find_map(|(words, kind, name)| text.contains(words).then_some((kind, name)))?;
    let detail = json!({
        "eventType": kind,
        "eventName": name,
        "clusterArn": cluster_arn(env, service.cluster),
        "createdAt": now.to_string(),
    });
    Some(("ECS Service Action", service_arn(env, service), detail))
}
