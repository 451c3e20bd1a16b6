//! Tasks.

use std::collections::BTreeMap;

use rollout_core::id::TaskArn;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Failure, Refused, invalid, maybe_seconds, refused, seconds, short};
use crate::ecs::job::Asked;
use crate::ecs::service::Status;
use crate::ecs::stop::Why;
use crate::ecs::task::{Owner, Phase, Run, Task};
use crate::ecs::{Environment, Launch};
use crate::elb::address;
use crate::kernel::{Kernel, plus};

/// What `RunTask` takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunTask {
    pub(crate) cluster: Option<String>,
    pub(crate) task_definition: String,
    pub(crate) count: Option<u32>,
    pub(crate) started_by: Option<String>,
    pub(crate) group: Option<String>,
    #[serde(skip_serializing)]
    pub(crate) client_token: Option<String>,
    /// `overrides`, `tags`, `networkConfiguration` and so on.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// What `ListTasks` asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskFilter {
    pub(crate) cluster: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) started_by: Option<String>,
    pub(crate) desired_status: Option<String>,
    pub(crate) launch_type: Option<String>,
}

/// A task (Amazon ECS API, "Task").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskView {
    pub(crate) task_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) task_definition_arn: String,
    pub(crate) last_status: &'static str,
    pub(crate) desired_status: &'static str,
    pub(crate) health_status: &'static str,
    pub(crate) connectivity: &'static str,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity_at: Option<Timestamp>,
    pub(crate) availability_zone: String,
    pub(crate) attachments: Vec<Value>,
    pub(crate) launch_type: &'static str,
    pub(crate) group: String,
    pub(crate) version: u32,
    pub(crate) containers: Vec<ContainerView>,
    pub(crate) overrides: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_reason: Option<String>,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) pull_started_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) pull_stopped_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) stopping_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) execution_stopped_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<Timestamp>,
    /// `cpu`, `memory`, `tags`, `platformVersion` and the like, where they were given.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// A container of a task (Amazon ECS API, "Container").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerView {
    pub(crate) container_arn: String,
    pub(crate) task_arn: String,
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    pub(crate) last_status: &'static str,
    pub(crate) health_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) cpu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_id: Option<String>,
    pub(crate) network_interfaces: Vec<Value>,
}

/// How far a task is, as it is told. PENDING is while it waits for the agent, a moment; its images are pulled when it is ACTIVATING
/// (Amazon ECS developer guide, "Amazon ECS task lifecycle").
fn phase(now: Timestamp, task: &Task) -> Phase {
    // Ours.
    const WAITS: u64 = 500;
    let waits = |since: Timestamp| now < plus(since, WAITS);
    match task.phase {
        Phase::Pending if !task.pull_started_at.is_some_and(waits) => Phase::Activating,
        phase => phase,
    }
}

/// The id of a task's one attachment, made from its number: a UUID in form.
fn interface(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn health(of: Option<bool>) -> &'static str {
    match of {
        Some(true) => "HEALTHY",
        Some(false) => "UNHEALTHY",
        None => "UNKNOWN",
    }
}

impl Environment {
    /// Runs one-off tasks. A token that was used within 24 hours starts none: the same call is answered with the same tasks,
    /// another one is a conflict that names them (Amazon ECS API reference, "Ensuring idempotency").
    pub(crate) fn run_task_call(
        &mut self,
        k: &mut Kernel,
        input: &RunTask,
    ) -> Result<(Vec<TaskView>, Vec<Failure>), Refused> {
        let cluster = self.find_cluster(input.cluster.as_deref())?;
        let count = input.count.unwrap_or(1);
        if !(1..=10).contains(&count) {
            return Err(invalid("count must be from 1 to 10."));
        }
        let revision = self.usable_definition(&input.task_definition)?;
        let asked = Asked {
            cluster,
            revision,
            count,
            run: Run {
                started_by: input.started_by.clone(),
                group: input.group.clone(),
                settings: Value::Object(input.settings.clone()),
            },
        };
        if self.launch == Launch::Ec2 && self.capacity == Some(0) {
            return Err(invalid("No Container Instances were found in your cluster."));
        }
        let token = input.client_token.as_deref();
        let started = self
            .run_tasks(k, token, &asked)
            .map_err(|arns: Vec<TaskArn>| Refused {
                resources: arns.iter().map(ToString::to_string).collect(),
                ..refused(
                    "ConflictException",
                    "The client token was used with other parameters.",
                )
            })?;
        let views = started
            .tasks
            .iter()
            .filter_map(|id| Some((*id, self.tasks.get(id).filter(|t| t.is_visible(k.now))?)))
            .map(|(id, task)| self.task_view(k.now, id, task))
            .collect();
        // Amazon ECS developer guide, "API failure reasons".
        let reason = match self.launch {
            Launch::Fargate => {
                "Capacity is unavailable at this time. Please try again later or in a different availability zone"
            }
            Launch::Ec2 => "RESOURCE:MEMORY",
        };
        let lacking = Failure {
            arn: None,
            reason: reason.to_owned(),
            detail: None,
        };
        Ok((views, vec![lacking; started.lacking as usize]))
    }

    /// The ARNs of a cluster's tasks, oldest first. Without a wanted status those that are to run.
    pub(crate) fn list_tasks(&self, now: Timestamp, filter: &TaskFilter) -> Result<Vec<String>, Refused> {
        let cluster = self.find_cluster(filter.cluster.as_deref())?;
        let service = match &filter.service_name {
            Some(name) => {
                let found = self.service_in(cluster, short(name));
                let active = found.filter(|s| self.services[*s as usize].status != Status::Inactive);
                Some(active.ok_or_else(|| refused("ServiceNotFoundException", "Service not found."))?)
            }
            None => None,
        };
        let stopped = match filter.desired_status.as_deref().unwrap_or("RUNNING") {
            "RUNNING" => false,
            "STOPPED" => true,
            // ECS never sets a task's desired status to that (Amazon ECS API, "ListTasks").
            "PENDING" => return Ok(Vec::new()),
            _ => return Err(invalid("desiredStatus must be RUNNING, PENDING or STOPPED.")),
        };
        let fits = |t: &&Task| {
            t.cluster == cluster
                && t.is_visible(now)
                && t.why.is_some() == stopped
                && service.is_none_or(|s| matches!(t.owner, Owner::Service { service, .. } if service == s))
                && filter
                    .family
                    .as_ref()
                    .is_none_or(|f| &self.revision_at(t.revision).family == f)
                && filter
                    .started_by
                    .as_ref()
                    .is_none_or(|by| self.started_by(t).as_ref() == Some(by))
                && filter
                    .launch_type
                    .as_ref()
                    .is_none_or(|word| word == self.launch_word())
        };
        Ok(self
            .tasks
            .values()
            .filter(fits)
            .map(|t| t.arn.to_string())
            .collect())
    }

    /// Tasks of a cluster by id or ARN. Stopped ones are known for an hour.
    pub(crate) fn describe_tasks(
        &self,
        now: Timestamp,
        cluster: Option<&str>,
        named: &[String],
    ) -> Result<(Vec<TaskView>, Vec<Failure>), Refused> {
        let index = self.find_cluster(cluster)?;
        let known: BTreeMap<&str, (u64, &Task)> = self
            .tasks
            .iter()
            .filter(|(_, t)| t.cluster == index && t.is_visible(now))
            .map(|(id, t)| (short(t.arn.as_str()), (*id, t)))
            .collect();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in named {
            match known.get(short(name)) {
                Some((id, task)) => found.push(self.task_view(now, *id, task)),
                None => {
                    let cluster = &self.clusters[index as usize].name;
                    missing.push(Failure::missing(
                        self.arn(&format!("task/{cluster}/{}", short(name))),
                    ));
                }
            }
        }
        Ok((found, missing))
    }

    /// Stops a task, a service's one as well: the service starts another. What has stopped stays as it is.
    pub(crate) fn stop_task_call(
        &mut self,
        k: &mut Kernel,
        cluster: Option<&str>,
        named: &str,
        reason: Option<&str>,
    ) -> Result<TaskView, Refused> {
        let cluster = self.find_cluster(cluster)?;
        let fits =
            |t: &Task| t.cluster == cluster && t.is_visible(k.now) && short(t.arn.as_str()) == short(named);
        let found = self.tasks.iter().find(|(_, t)| fits(t)).map(|(id, _)| *id);
        let id = found.ok_or_else(|| invalid("The referenced task was not found."))?;
        let reason = reason.map(str::to_owned);
        self.stop_task(k, id, Why::ByUser { reason });
        Ok(self.task_view(k.now, id, &self.tasks[&id]))
    }

    /// Who started a task: a deployment, or what the caller of `RunTask` said.
    fn started_by(&self, task: &Task) -> Option<String> {
        match task.owner {
            Owner::Service { service, deployment } => self.services[service as usize]
                .deployment_id(deployment)
                .map(|id| id.to_string()),
            Owner::Job => task.run.started_by.clone(),
        }
    }

    /// A task as `DescribeTasks` tells it.
    pub(crate) fn task_view(&self, now: Timestamp, number: u64, task: &Task) -> TaskView {
        let definition = self.revision_at(task.revision);
        let group = match (task.owner, &task.run.group) {
            (Owner::Service { service, .. }, _) => {
                format!("service:{}", self.services[service as usize].name)
            }
            (Owner::Job, Some(group)) => group.clone(),
            (Owner::Job, None) => format!("family:{}", definition.family),
        };
        let mut settings = self.task_settings(task);
        let overrides = settings.remove("overrides");
        TaskView {
            task_arn: task.arn.to_string(),
            cluster_arn: self.cluster_arn(task.cluster),
            task_definition_arn: definition.arn.to_string(),
            last_status: phase(now, task).name(),
            desired_status: if task.why.is_some() { "STOPPED" } else { "RUNNING" },
            health_status: health(task.container_ok),
            connectivity: if task.phase <= Phase::Provisioning || task.phase == Phase::Stopped {
                "DISCONNECTED"
            } else {
                "CONNECTED"
            },
            connectivity_at: task.pull_started_at,
            availability_zone: self.zone_of(number),
            attachments: self.attachment(number, task).into_iter().collect(),
            launch_type: self.launch_word(),
            group,
            version: task.version + 1,
            containers: self.container_views(number, task),
            overrides: overrides.unwrap_or_else(|| json!({ "containerOverrides": [] })),
            started_by: self.started_by(task),
            stop_code: task.why.as_ref().map(Why::code),
            stopped_reason: task.why.as_ref().map(Why::reason),
            created_at: task.created_at,
            pull_started_at: task.pull_started_at,
            pull_stopped_at: task.pull_stopped_at,
            started_at: task.started_at,
            stopping_at: task.stopping_at,
            execution_stopped_at: task.ended_at,
            stopped_at: task.stopped_at,
            settings,
        }
    }

    fn task_settings(&self, task: &Task) -> Map<String, Value> {
        const RUN: [&str; 4] = ["overrides", "tags", "enableExecuteCommand", "platformVersion"];
        let mut all = Map::new();
        let content = &self.revision_at(task.revision).content;
        for name in ["cpu", "memory", "ephemeralStorage"] {
            if !content[name].is_null() {
                all.insert(name.to_owned(), content[name].clone());
            }
        }
        if self.launch == Launch::Fargate {
            all.insert("platformVersion".to_owned(), json!("1.4.0"));
            all.insert("platformFamily".to_owned(), json!("Linux"));
        }
        for (name, value) in task.run.settings.as_object().into_iter().flatten() {
            if RUN.contains(&name.as_str()) {
                all.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// The network interface of a task with the network mode `awsvpc` (Amazon ECS API, "Task": `attachments`). The ids are ours.
    fn attachment(&self, number: u64, task: &Task) -> Option<Value> {
        let awsvpc = self.revision_at(task.revision).content["networkMode"].as_str() == Some("awsvpc");
        if !awsvpc && self.launch != Launch::Fargate {
            return None;
        }
        let status = match task.phase {
            Phase::Provisioning => "PRECREATED",
            Phase::Deprovisioning | Phase::Stopped => "DELETED",
            _ => "ATTACHED",
        };
        let settings = match task.owner {
            Owner::Service { service, .. } => &self.services[service as usize].settings,
            Owner::Job => &task.run.settings,
        };
        let subnet = settings["networkConfiguration"]["awsvpcConfiguration"]["subnets"][0].as_str();
        let [.., a, b, c] = number.to_be_bytes();
        let details = [
            ("subnetId", subnet.map(str::to_owned)),
            ("networkInterfaceId", Some(format!("eni-{number:017x}"))),
            ("macAddress", Some(format!("0a:00:00:{a:02x}:{b:02x}:{c:02x}"))),
            ("privateIPv4Address", Some(address(number))),
        ];
        let details = details
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let details: Vec<Value> = details
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let id = interface(number);
        Some(json!({ "id": id, "type": "ElasticNetworkInterface", "status": status, "details": details }))
    }

    fn container_views(&self, number: u64, task: &Task) -> Vec<ContainerView> {
        let definition = self.revision_at(task.revision);
        let attached = self
            .attachment(number, task)
            .filter(|_| task.phase > Phase::Provisioning);
        let sizes = &definition.content["containerDefinitions"];
        let ended = task.phase >= Phase::Deprovisioning;
        let id = short(task.arn.as_str());
        let cluster = &self.clusters[task.cluster as usize].name;
        let view = |(index, container): (usize, &crate::ecs::revision::Container)| {
            let exit = task
                .why
                .as_ref()
                .filter(|_| ended)
                .map(|why| task.exit(container, why));
            ContainerView {
                container_arn: self.arn(&format!("container/{cluster}/{id}/{index}")),
                task_arn: task.arn.to_string(),
                name: container.name.to_string(),
                image: container.image.clone(),
                image_digest: task.images.get(&container.name).map(ToString::to_string),
                last_status: match task.phase {
                    Phase::Provisioning | Phase::Pending | Phase::Activating => "PENDING",
                    Phase::Running | Phase::Deactivating | Phase::Stopping => "RUNNING",
                    Phase::Deprovisioning | Phase::Stopped => "STOPPED",
                },
                health_status: health(container.check.and(task.container_ok)),
                exit_code: exit.as_ref().and_then(|e| e.exit_code),
                reason: exit.and_then(|e| e.reason),
                // "The value is 0 if no value was specified" (Amazon ECS API, "Container").
                cpu: sizes[index]["cpu"].as_u64().unwrap_or(0).to_string(),
                memory: sizes[index]["memory"].as_u64().map(|mib| mib.to_string()),
                runtime_id: task.started_at.map(|_| format!("{id}-{:010}", index + 1)),
                network_interfaces: attached
                    .iter()
                    .map(|_| json!({ "attachmentId": interface(number), "privateIpv4Address": address(number) }))
                    .collect(),
            }
        };
        definition.containers.iter().enumerate().map(view).collect()
    }
}
