//! Services.

use rollout_core::id::ServiceName;
use rollout_core::service::{DeploymentRole, RolloutState};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::configuration::DeploymentConfiguration;
use super::{Failure, Refused, invalid, refused, seconds, short};
use crate::ecs::deployment::Deployment;
use crate::ecs::plan::Plan;
use crate::ecs::service::{Service, Status};
use crate::ecs::{Environment, Launch};
use crate::kernel::Kernel;

/// The names of what triggers a new deployment when it changes (Amazon ECS API, "UpdateService").
const DEPLOYED: [&str; 7] = [
    "loadBalancers",
    "networkConfiguration",
    "platformVersion",
    "serviceConnectConfiguration",
    "serviceRegistries",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
];

/// What `CreateService` takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateService {
    pub(crate) cluster: Option<String>,
    pub(crate) service_name: String,
    pub(crate) task_definition: Option<String>,
    pub(crate) desired_count: Option<u32>,
    pub(crate) deployment_configuration: Option<DeploymentConfiguration>,
    pub(crate) health_check_grace_period_seconds: Option<u32>,
    #[serde(skip_serializing)]
    pub(crate) client_token: Option<String>,
    /// All the rest, `loadBalancers` among it.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// What `UpdateService` takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateService {
    pub(crate) cluster: Option<String>,
    pub(crate) service: String,
    pub(crate) task_definition: Option<String>,
    pub(crate) desired_count: Option<u32>,
    pub(crate) deployment_configuration: Option<DeploymentConfiguration>,
    pub(crate) health_check_grace_period_seconds: Option<u32>,
    #[serde(default)]
    pub(crate) force_new_deployment: bool,
    /// All the rest, `loadBalancers` among it. Empty lists take away.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// A service (Amazon ECS API, "Service").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceView {
    pub(crate) service_arn: String,
    pub(crate) service_name: String,
    pub(crate) cluster_arn: String,
    pub(crate) status: &'static str,
    pub(crate) desired_count: u32,
    pub(crate) running_count: u32,
    pub(crate) pending_count: u32,
    pub(crate) task_definition: String,
    pub(crate) deployment_configuration: DeploymentConfiguration,
    pub(crate) deployments: Vec<DeploymentView>,
    /// Newest first.
    pub(crate) events: Vec<EventView>,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    pub(crate) health_check_grace_period_seconds: u32,
    pub(crate) scheduling_strategy: &'static str,
    pub(crate) deployment_controller: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_service_deployment: Option<String>,
    pub(crate) current_service_revisions: Vec<CurrentRevision>,
    /// `launchType`, `loadBalancers`, `networkConfiguration` and so on.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// Amazon ECS API, "ServiceCurrentRevisionSummary".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentRevision {
    pub(crate) arn: String,
    pub(crate) requested_task_count: u32,
    pub(crate) running_task_count: u32,
    pub(crate) pending_task_count: u32,
}

/// A deployment of a service (Amazon ECS API, "Deployment").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentView {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) task_definition: String,
    pub(crate) desired_count: u32,
    pub(crate) pending_count: u32,
    pub(crate) running_count: u32,
    pub(crate) failed_tasks: u32,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    #[serde(serialize_with = "seconds")]
    pub(crate) updated_at: Timestamp,
    pub(crate) rollout_state: &'static str,
    pub(crate) rollout_state_reason: String,
    /// `launchType`, `platformVersion`, `networkConfiguration`.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// Amazon ECS API, "ServiceEvent".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    pub(crate) id: String,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    pub(crate) message: String,
}

/// An id in the form of a UUID that follows from a text and a number.
fn uuid(text: &str, number: u32) -> String {
    let mix = |seed: u64| {
        let bytes = text.bytes().chain(number.to_le_bytes());
        bytes.fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let (high, low) = (mix(0xcbf2_9ce4_8422_2325), mix(0x6c62_272e_07bb_0142));
    let hex = format!("{high:016x}{low:016x}");
    let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]];
    format!("{a}-{b}-4{c}-8{d}-{e}")
}

/// The target groups that a service's load balancers name.
#[derive(Default)]
struct Balanced {
    group: Option<u16>,
    alternate: Option<u16>,
    production_rules: Vec<String>,
    test_rules: Vec<String>,
}

impl Balanced {
    fn give(self, service: &mut Service) {
        (service.group, service.alternate) = (self.group, self.alternate);
        (service.production_rules, service.test_rules) = (self.production_rules, self.test_rules);
    }
}

impl Environment {
    fn group_named(&self, arn: &Value, service: Option<u16>, used: bool) -> Result<u16, Refused> {
        let arn = arn
            .as_str()
            .ok_or_else(|| invalid("targetGroupArn must be given."))?;
        let Some(index) = self.group_index(arn) else {
            return Err(invalid(format!("The target group {arn} does not exist.")));
        };
        if used && !self.in_use(index) {
            return Err(invalid(format!(
                "The target group with targetGroupArn {arn} does not have an associated load balancer."
            )));
        }
        let names = |s: &Service| s.group == Some(index) || s.alternate == Some(index);
        let mut others = self.services.iter().zip(0_u16..);
        if others.any(|(s, at)| s.status != Status::Inactive && Some(at) != service && names(s)) {
            return Err(invalid(format!(
                "The target group {arn} belongs to another service; this world gives each service its own."
            )));
        }
        Ok(index)
    }

    fn balanced(
        &self,
        settings: &Map<String, Value>,
        plan: &Plan,
        service: Option<u16>,
    ) -> Result<Balanced, Refused> {
        let list = settings.get("loadBalancers").and_then(Value::as_array);
        let Some(first) = list.and_then(|list| list.first()) else {
            return Ok(Balanced::default());
        };
        let group = self.group_named(&first["targetGroupArn"], service, true)?;
        let advanced = &first["advancedConfiguration"];
        let rules = |name: &str| {
            let rule = advanced[name].as_str();
            rule.map(str::to_owned).into_iter().collect()
        };
        if advanced["alternateTargetGroupArn"].is_null() {
            return if plan.is_staged() {
                Err(invalid(
                    "advancedConfiguration with an alternate target group is required by the deployment strategy.",
                ))
            } else {
                Ok(Balanced {
                    group: Some(group),
                    ..Balanced::default()
                })
            };
        }
        let alternate = self.group_named(&advanced["alternateTargetGroupArn"], service, false)?;
        Ok(Balanced {
            group: Some(group),
            alternate: Some(alternate),
            production_rules: rules("productionListenerRule"),
            test_rules: rules("testListenerRule"),
        })
    }

    /// Creates a service and its first deployment. The same call again answers with the same service.
    pub(crate) fn create_service(&mut self, k: &mut Kernel, input: &CreateService) -> Result<u16, Refused> {
        let cluster = self.find_cluster(input.cluster.as_deref())?;
        let name = ServiceName::new(input.service_name.as_str()).map_err(|e| invalid(e.to_string()))?;
        let asked = serde_json::to_value(input).unwrap_or_default();
        if let Some(present) = self.service_in(cluster, name.as_str()) {
            let held = &self.services[present as usize];
            let same = held.created_with.as_ref() == Some(&asked);
            match held.status {
                Status::Active if same => return Ok(present),
                Status::Active => return Err(invalid("Creation of service was not idempotent.")),
                Status::Draining => return Err(invalid("Unable to Start a service that is still Draining.")),
                Status::Inactive => {}
            }
        }
        let Some(definition) = &input.task_definition else {
            return Err(invalid("TaskDefinition cannot be empty."));
        };
        let revision = self.usable_definition(definition)?;
        let desired = input
            .desired_count
            .ok_or_else(|| invalid("desiredCount must be given."))?;
        let mut service = Service::new(k.now, cluster, name, desired);
        if let Some(configuration) = &input.deployment_configuration {
            configuration.apply(&mut service)?;
        }
        let balanced = self.balanced(&input.settings, &service.plan, None)?;
        service.grace = u64::from(input.health_check_grace_period_seconds.unwrap_or(0)) * 1_000;
        balanced.give(&mut service);
        service.settings = Value::Object(input.settings.clone());
        service.created_with = Some(asked);
        let index = self.services.len() as u16;
        self.services.push(service);
        self.deploy(k, index, revision);
        Ok(index)
    }

    /// Changes a service; `true` when that began a deployment. Nothing changes when it is refused.
    pub(crate) fn update_service(
        &mut self,
        k: &mut Kernel,
        input: &UpdateService,
    ) -> Result<(u16, bool), Refused> {
        let s = self.find_service(input.cluster.as_deref(), &input.service)?;
        if self.services[s as usize].status != Status::Active {
            return Err(refused("ServiceNotActiveException", "Service was not ACTIVE."));
        }
        let present = self.services[s as usize].primary().map(|d| d.revision);
        let wanted = match &input.task_definition {
            Some(named) => Some(self.usable_definition(named)?),
            None => None,
        };
        let mut changed = self.services[s as usize].clone();
        if let Some(configuration) = &input.deployment_configuration {
            configuration.apply(&mut changed)?;
        }
        let mut settings = changed.settings.as_object().cloned().unwrap_or_default();
        let mut deploys = input.force_new_deployment || wanted.is_some_and(|w| present != Some(w));
        for (name, value) in &input.settings {
            let before = settings.insert(name.clone(), value.clone());
            deploys |= DEPLOYED.contains(&name.as_str()) && before.as_ref() != Some(value);
        }
        let balanced = self.balanced(&settings, &changed.plan, Some(s))?;
        if let Some(desired) = input.desired_count {
            changed.desired = desired;
        }
        if let Some(grace) = input.health_check_grace_period_seconds {
            changed.grace = u64::from(grace) * 1_000;
        }
        balanced.give(&mut changed);
        changed.settings = Value::Object(settings);
        self.services[s as usize] = changed;
        match wanted.or(present) {
            Some(revision) if deploys => {
                self.deploy(k, s, revision);
                Ok((s, true))
            }
            _ => {
                self.schedule(k, s, 0);
                Ok((s, false))
            }
        }
    }

    /// Begins to delete a service.
    pub(crate) fn delete_service_named(
        &mut self,
        k: &mut Kernel,
        cluster: Option<&str>,
        named: &str,
        force: bool,
    ) -> Result<(u16, bool), Refused> {
        let s = self.find_service(cluster, named)?;
        let service = &self.services[s as usize];
        match service.status {
            Status::Active if service.desired > 0 && !force => {
                return Err(invalid(
                    "The service cannot be stopped while it is scaled above 0.",
                ));
            }
            // One that is deleted is told as it is: "the service is just returned" (aws-sdk-js, issue 4189).
            Status::Active | Status::Draining | Status::Inactive => {}
        }
        let deletes = service.status == Status::Active;
        self.delete_service(k, s);
        Ok((s, deletes))
    }

    /// Services of a cluster by name or ARN, those that were deleted lately among them.
    pub(crate) fn describe_services(
        &self,
        cluster: Option<&str>,
        named: &[String],
    ) -> Result<(Vec<ServiceView>, Vec<Failure>), Refused> {
        let index = self.find_cluster(cluster)?;
        let cluster = &self.clusters[index as usize].name;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in named {
            match self.service_in(index, short(name)) {
                Some(s) => found.push(self.service_view(s)),
                None => missing.push(Failure::missing(
                    self.arn(&format!("service/{cluster}/{}", short(name))),
                )),
            }
        }
        Ok((found, missing))
    }

    pub(super) fn launch_settings(&self, settings: &Value, names: &[&str]) -> Map<String, Value> {
        let mut all = settings.as_object().cloned().unwrap_or_default();
        if !all.contains_key("capacityProviderStrategy") && !all.contains_key("launchType") {
            all.insert("launchType".to_owned(), json!(self.launch_word()));
        }
        if self.launch == Launch::Fargate {
            all.entry("platformVersion").or_insert_with(|| json!("1.4.0"));
            all.entry("platformFamily").or_insert_with(|| json!("Linux"));
        }
        if !names.is_empty() {
            all.retain(|name, _| names.contains(&name.as_str()));
        }
        all
    }

    pub(super) fn launch_word(&self) -> &'static str {
        match self.launch {
            Launch::Fargate => "FARGATE",
            Launch::Ec2 => "EC2",
        }
    }

    /// A service as `DescribeServices` tells it.
    pub(crate) fn service_view(&self, s: u16) -> ServiceView {
        let service = &self.services[s as usize];
        let deployments: Vec<_> = service
            .deployments
            .iter()
            .map(|d| self.deployment_view(service, d))
            .collect();
        let front = service.primary();
        let record = front.and_then(|d| service.record(service.rolling_back.unwrap_or(d.number)));
        let revision = front
            .map(|d| d.revision)
            .or_else(|| service.history.back().map(|d| d.revision));
        let current = |d: &Deployment| {
            let held = service.service_revision(d.number)?;
            let now = self.summary(s, d.number);
            Some(CurrentRevision {
                arn: held.arn.clone(),
                requested_task_count: now.requested,
                running_task_count: now.running,
                pending_task_count: now.pending,
            })
        };
        ServiceView {
            service_arn: self.service_arn(s),
            service_name: service.name.to_string(),
            cluster_arn: self.cluster_arn(service.cluster),
            status: match service.status {
                Status::Active => "ACTIVE",
                Status::Draining => "DRAINING",
                Status::Inactive => "INACTIVE",
            },
            desired_count: service.desired,
            running_count: deployments.iter().map(|d| d.running_count).sum(),
            pending_count: deployments.iter().map(|d| d.pending_count).sum(),
            task_definition: revision.map_or_else(String::new, |r| self.revision_at(r).arn.to_string()),
            deployment_configuration: DeploymentConfiguration::of(service, &service.plan),
            events: service
                .events
                .iter()
                .rev()
                .map(|event| EventView {
                    id: uuid(service.name.as_str(), event.number),
                    created_at: event.at,
                    message: event.text.clone(),
                })
                .collect(),
            created_at: service.created_at,
            created_by: self.caller.clone(),
            health_check_grace_period_seconds: u32::try_from(service.grace / 1_000).unwrap_or(u32::MAX),
            scheduling_strategy: "REPLICA",
            deployment_controller: json!({ "type": "ECS" }),
            current_service_deployment: record.filter(|r| !r.is_over()).map(|r| r.arn.to_string()),
            current_service_revisions: service.deployments.iter().filter_map(current).collect(),
            settings: self.launch_settings(&service.settings, &[]),
            deployments,
        }
    }

    fn deployment_view(&self, service: &Service, deployment: &Deployment) -> DeploymentView {
        let (running, pending) = self.running_and_pending(service, deployment.number);
        let primary = deployment.role == DeploymentRole::Primary;
        let settings = service
            .service_revision(deployment.number)
            .map_or(Value::Null, |r| r.settings.clone());
        DeploymentView {
            id: deployment.id.to_string(),
            status: match deployment.role {
                DeploymentRole::Primary => "PRIMARY",
                DeploymentRole::Active | DeploymentRole::Other(_) => "ACTIVE",
                DeploymentRole::Inactive => "INACTIVE",
            },
            task_definition: self.revision_at(deployment.revision).arn.to_string(),
            desired_count: if primary {
                service.desired
            } else {
                running + pending
            },
            pending_count: pending,
            running_count: running,
            failed_tasks: deployment.failed,
            created_at: deployment.created_at,
            updated_at: deployment.updated_at,
            rollout_state: match deployment.rollout {
                RolloutState::InProgress | RolloutState::Other(_) => "IN_PROGRESS",
                RolloutState::Completed => "COMPLETED",
                RolloutState::Failed => "FAILED",
            },
            rollout_state_reason: deployment.reason.clone(),
            settings: self.launch_settings(
                &settings,
                &[
                    "launchType",
                    "capacityProviderStrategy",
                    "platformVersion",
                    "platformFamily",
                    "networkConfiguration",
                ],
            ),
        }
    }
}
