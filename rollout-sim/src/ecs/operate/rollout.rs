//! Service deployments and service revisions.

use rollout_core::service::RecordStatus;
use rollout_core::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::configuration::DeploymentConfiguration;
use super::{Failure, Refused, invalid, maybe_seconds, refused, seconds};
use crate::ecs::Environment;
use crate::ecs::plan::{HookAction, HookTarget, LifecycleStage};
use crate::ecs::record::{HookRun, HookStatus, Monitor, Record, ServiceRevision, Summary};
use crate::kernel::Kernel;

/// What `ListServiceDeployments` asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Empty is all.
    pub(crate) status: Vec<String>,
    pub(crate) after: Option<Timestamp>,
    pub(crate) before: Option<Timestamp>,
}

/// Amazon ECS API, "ServiceDeploymentBrief".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BriefView {
    pub(crate) service_deployment_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) target_service_revision_arn: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
}

/// Amazon ECS API, "ServiceDeployment".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceDeploymentView {
    pub(crate) service_deployment_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<Timestamp>,
    #[serde(serialize_with = "seconds")]
    pub(crate) updated_at: Timestamp,
    pub(crate) source_service_revisions: Vec<SummaryView>,
    pub(crate) target_service_revision: SummaryView,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle_stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lifecycle_hook_details: Vec<HookView>,
    pub(crate) deployment_configuration: DeploymentConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback: Option<RollbackView>,
    pub(crate) deployment_circuit_breaker: BreakerView,
    pub(crate) alarms: AlarmsView,
}

/// Amazon ECS API, "ServiceRevisionSummary".
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SummaryView {
    pub(crate) arn: String,
    pub(crate) requested_task_count: u32,
    pub(crate) running_task_count: u32,
    pub(crate) pending_task_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_test_traffic_weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requested_production_traffic_weight: Option<f64>,
}

/// Amazon ECS API, "DeploymentLifecycleHookDetail".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookView {
    pub(crate) hook_id: String,
    pub(crate) target_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_arn: Option<String>,
    pub(crate) status: HookStatus,
    #[serde(serialize_with = "seconds")]
    pub(crate) expires_at: Timestamp,
    pub(crate) timeout_action: HookAction,
}

/// Amazon ECS API, "Rollback".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RollbackView {
    pub(crate) reason: String,
    #[serde(serialize_with = "seconds")]
    pub(crate) started_at: Timestamp,
    pub(crate) service_revision_arn: String,
}

/// Amazon ECS API, "ServiceDeploymentCircuitBreaker".
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BreakerView {
    pub(crate) status: Monitor,
    pub(crate) failure_count: u32,
    pub(crate) threshold: u32,
}

/// Amazon ECS API, "ServiceDeploymentAlarms".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlarmsView {
    pub(crate) status: Monitor,
    pub(crate) alarm_names: Vec<String>,
    pub(crate) triggered_alarm_names: Vec<String>,
}

/// Amazon ECS API, "ServiceRevision".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceRevisionView {
    pub(crate) service_revision_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) task_definition: String,
    pub(crate) container_images: Vec<ContainerImage>,
    pub(crate) guard_duty_enabled: bool,
    #[serde(serialize_with = "seconds")]
    pub(crate) created_at: Timestamp,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) resolved_configuration: Value,
    /// `launchType`, `loadBalancers`, `networkConfiguration` and so on, as they were.
    #[serde(flatten)]
    pub(crate) settings: Map<String, Value>,
}

/// Amazon ECS API, "ContainerImage".
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerImage {
    pub(crate) container_name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
}

fn hook_view(run: &HookRun) -> HookView {
    let (target_type, target_arn) = match &run.hook.target {
        HookTarget::Pause => ("PAUSE", None),
        HookTarget::Lambda { arn } => ("AWS_LAMBDA", Some(arn.clone())),
    };
    HookView {
        hook_id: run.id.clone(),
        target_type,
        target_arn,
        status: run.status,
        expires_at: run.expires_at,
        timeout_action: run.hook.on_timeout,
    }
}

impl Environment {
    fn summary_view(&self, s: u16, summary: &Summary) -> SummaryView {
        let service = &self.services[s as usize];
        let percent = |share: Option<u16>| share.map(|share| f64::from(share) / 10.0);
        SummaryView {
            arn: service
                .service_revision(summary.number)
                .map_or_else(String::new, |r| r.arn.clone()),
            requested_task_count: summary.requested,
            running_task_count: summary.running,
            pending_task_count: summary.pending,
            requested_test_traffic_weight: percent(summary.test),
            requested_production_traffic_weight: percent(summary.production),
        }
    }

    fn find_record(&self, arn: &str) -> Option<(u16, &Record)> {
        let mut all = self.services.iter().zip(0_u16..);
        all.find_map(|(service, s)| {
            let record = service.records.iter().find(|r| r.arn.as_str() == arn)?;
            Some((s, record))
        })
    }

    fn record_view(&self, s: u16, record: &Record) -> ServiceDeploymentView {
        let service = &self.services[s as usize];
        let mut sources: Vec<_> = self
            .summaries(s, record)
            .iter()
            .map(|one| self.summary_view(s, one))
            .collect();
        let target = sources
            .pop()
            .unwrap_or_else(|| self.summary_view(s, &self.summary(s, record.number)));
        let rollback = record.rollback.as_ref().map(|back| RollbackView {
            reason: back.reason.clone(),
            started_at: back.started_at,
            service_revision_arn: service
                .service_revision(back.to)
                .map_or_else(String::new, |r| r.arn.clone()),
        });
        ServiceDeploymentView {
            service_deployment_arn: record.arn.to_string(),
            service_arn: self.service_arn(s),
            cluster_arn: self.cluster_arn(service.cluster),
            created_at: record.created_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            stopped_at: record.stopped_at,
            updated_at: record.updated_at,
            source_service_revisions: sources,
            target_service_revision: target,
            status: record.status.word().to_owned(),
            status_reason: record.reason.clone(),
            lifecycle_stage: record.stage.map(LifecycleStage::name),
            lifecycle_hook_details: record.hooks.iter().map(hook_view).collect(),
            deployment_configuration: DeploymentConfiguration::of(service, &record.plan),
            rollback,
            deployment_circuit_breaker: BreakerView {
                status: record.breaker,
                failure_count: record.failures,
                threshold: service.breaker.threshold.tasks(service.desired),
            },
            alarms: AlarmsView {
                status: record.alarms,
                alarm_names: record.plan.alarms.names.clone(),
                triggered_alarm_names: record.triggered.clone(),
            },
        }
    }

    /// The service deployments of a service, newest first.
    pub(crate) fn list_service_deployments(
        &self,
        cluster: Option<&str>,
        service: &str,
        filter: &Filter,
    ) -> Result<Vec<BriefView>, Refused> {
        let s = self.find_service(cluster, service)?;
        let service = &self.services[s as usize];
        let fits = |r: &&Record| {
            (filter.status.is_empty() || filter.status.iter().any(|word| word == r.status.word()))
                && filter.after.is_none_or(|at| r.created_at > at)
                && filter.before.is_none_or(|at| r.created_at < at)
        };
        let brief = |r: &Record| BriefView {
            service_deployment_arn: r.arn.to_string(),
            service_arn: self.service_arn(s),
            cluster_arn: self.cluster_arn(service.cluster),
            started_at: r.started_at,
            created_at: r.created_at,
            finished_at: r.finished_at,
            target_service_revision_arn: service
                .service_revision(r.number)
                .map_or_else(String::new, |held| held.arn.clone()),
            status: r.status.word().to_owned(),
            status_reason: r.reason.clone(),
        };
        Ok(service.records.iter().rev().filter(fits).map(brief).collect())
    }

    /// Service deployments by ARN.
    pub(crate) fn describe_service_deployments(
        &self,
        arns: &[String],
    ) -> (Vec<ServiceDeploymentView>, Vec<Failure>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for arn in arns {
            match self.find_record(arn) {
                Some((s, record)) => found.push(self.record_view(s, record)),
                None => missing.push(Failure::missing(arn.as_str())),
            }
        }
        (found, missing)
    }

    /// Service revisions by ARN.
    pub(crate) fn describe_service_revisions(
        &self,
        arns: &[String],
    ) -> (Vec<ServiceRevisionView>, Vec<Failure>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for arn in arns {
            let held = self.services.iter().zip(0_u16..).find_map(|(service, s)| {
                let revision = service.service_revisions.iter().find(|r| &r.arn == arn)?;
                Some((s, revision))
            });
            match held {
                Some((s, revision)) => found.push(self.service_revision_view(s, revision)),
                None => missing.push(Failure::missing(arn.as_str())),
            }
        }
        (found, missing)
    }

    fn service_revision_view(&self, s: u16, held: &ServiceRevision) -> ServiceRevisionView {
        const TOLD: [&str; 11] = [
            "capacityProviderStrategy",
            "fargateEphemeralStorage",
            "launchType",
            "loadBalancers",
            "networkConfiguration",
            "platformFamily",
            "platformVersion",
            "serviceConnectConfiguration",
            "serviceRegistries",
            "volumeConfigurations",
            "vpcLatticeConfigurations",
        ];
        let definition = self.revision_at(held.revision);
        let image = |c: &crate::ecs::revision::Container| ContainerImage {
            container_name: c.name.to_string(),
            image: c.image.clone(),
            image_digest: held.images.get(&c.name).map(ToString::to_string),
        };
        let rule = &held.settings["loadBalancers"][0]["advancedConfiguration"]["productionListenerRule"];
        let resolved = held.group.map(|group| {
            let mut balancer = json!({ "targetGroupArn": self.groups[group as usize].arn });
            if let Some(rule) = rule.as_str() {
                balancer["productionListenerRule"] = json!(rule);
            }
            json!({ "loadBalancers": [balancer] })
        });
        ServiceRevisionView {
            service_revision_arn: held.arn.clone(),
            service_arn: self.service_arn(s),
            cluster_arn: self.cluster_arn(self.services[s as usize].cluster),
            task_definition: definition.arn.to_string(),
            container_images: definition.containers.iter().map(image).collect(),
            guard_duty_enabled: false,
            created_at: held.created_at,
            resolved_configuration: resolved.unwrap_or(Value::Null),
            settings: self.launch_settings(&held.settings, &TOLD),
        }
    }

    /// Asks for the rollback of a service deployment. The scheduler begins it when it looks next; asking again changes
    /// nothing (Amazon ECS developer guide, "Stopping Amazon ECS service deployments").
    pub(crate) fn stop_service_deployment(
        &mut self,
        k: &mut Kernel,
        arn: &str,
        stop_type: Option<&str>,
    ) -> Result<(), Refused> {
        if stop_type.is_some_and(|word| word != "ROLLBACK") {
            return Err(invalid("The valid value of stopType is ROLLBACK."));
        }
        let found = self.find_record(arn);
        let (s, number, status) = found
            .map(|(s, r)| (s, r.number, r.status.clone()))
            .ok_or_else(|| {
                refused(
                    "ServiceDeploymentNotFoundException",
                    "Service deployment not found.",
                )
            })?;
        match status {
            RecordStatus::Pending | RecordStatus::InProgress => {}
            RecordStatus::StopRequested
            | RecordStatus::RollbackRequested
            | RecordStatus::RollbackInProgress => {
                return Ok(());
            }
            status => {
                let text = format!(
                    "The service deployment is {} and cannot be stopped.",
                    status.word()
                );
                return Err(Refused {
                    resources: vec![arn.to_owned()],
                    ..refused("ConflictException", text)
                });
            }
        }
        self.ask_for_rollback(k, s, number);
        Ok(())
    }

    /// Answers a pause hook.
    pub(crate) fn continue_service_deployment(
        &mut self,
        k: &mut Kernel,
        arn: &str,
        hook: &str,
        action: HookAction,
    ) -> Result<(), Refused> {
        let found = self.find_record(arn).map(|(s, r)| (s, r.number));
        let (s, number) = found.ok_or_else(|| {
            refused(
                "ServiceDeploymentNotFoundException",
                "Service deployment not found.",
            )
        })?;
        if self.answer_pause(k, s, number, hook, action) {
            Ok(())
        } else {
            Err(invalid("There is no hook with this id that awaits an action."))
        }
    }
}
