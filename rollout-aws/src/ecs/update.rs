//! `UpdateService` has no token and no compare-and-set (invariant I-6): read, verify, write, read back.

use aws_sdk_ecs::types::{Service, StopServiceDeploymentStopType};
use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::id::{DeploymentId, ServiceDeploymentArn, ServiceName, TaskDefinitionArn};
use rollout_core::service::{DeploymentObservation, DeploymentRole, DeploymentStarted};

use super::{EcsEnvironment, STOP_RECORD, UPDATE_SERVICE, map};
use crate::config::once;
use crate::error::from_sdk;

impl EcsEnvironment {
    pub(super) async fn update(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        to: &TaskDefinitionArn,
        assumes: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        self.guard.check(ctx).await?;
        // Its turn comes before the look that guards it: what was seen an hour ago guards nothing.
        self.toll.pay(ctx, UPDATE_SERVICE).await?;
        let before = self
            .describe_service(ctx, service)
            .await?
            .1
            .filter(|found| found.status() != Some("INACTIVE"))
            .ok_or_else(|| refused(ErrorKind::NotFound, format!("service {service} does not exist")))?;
        let present = primary(&before)?;
        let same = present.as_ref().filter(|present| &present.task_definition == to);
        if let Some(present) = same.filter(|present| !present.is_given_up()) {
            return Ok(started(present, before.current_service_deployment()));
        }
        // Without it nothing would begin where the service goes to that revision already (Amazon ECS API, "UpdateService").
        let force = same.map(|_| true);
        let found = present.as_ref().map(|present| &present.id);
        if assumes.is_some() && assumes != found {
            return Err(conflict(service, assumes, present.as_ref()));
        }
        let answer = self
            .client
            .update_service()
            .cluster(&self.cluster)
            .service(service.as_str())
            .task_definition(to.as_str())
            .set_force_new_deployment(force)
            .customize()
            .config_override(aws_sdk_ecs::config::Builder::new().retry_config(once()))
            .send()
            .await
            .map_err(|error| from_sdk(UPDATE_SERVICE, format_args!("service {service}"), true, error))?;
        let ours = answer
            .service
            .as_ref()
            .and_then(|after| Some((primary(after).ok()??, after)))
            .filter(|(primary, _)| {
                &primary.task_definition == to && (force.is_none() || Some(&primary.id) != found)
            })
            .map(|(primary, after)| {
                // The field may lag behind: the record of the deployment before is not ours.
                let record = after
                    .current_service_deployment()
                    .filter(|arn| Some(*arn) != before.current_service_deployment());
                started(&primary, record)
            })
            .ok_or_else(|| {
                refused(
                    ErrorKind::Unexpected,
                    format!("service {service}: the answer does not show the new deployment"),
                )
                .applied(Applied::Yes)
            })?;
        self.read_back(ctx, service, &ours, found).await?;
        Ok(ours)
    }

    /// Asks ECS to turn a deployment back that is under way, to the last one that completed, as it stands: canary steps and bake
    /// times are not gone through, and what runs of the old revision goes on running (Amazon ECS developer guide, "Stopping
    /// Amazon ECS service deployments"). There is no token and no compare-and-set here either; but the call names the one
    /// deployment that it stops, so that it can never stop another's.
    pub(super) async fn turn_back(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        assumes: &DeploymentId,
        record: &ServiceDeploymentArn,
    ) -> Result<(), Error> {
        self.guard.check(ctx).await?;
        let refused = |kind, context| Error::new(kind, STOP_RECORD, context);
        self.toll.pay(ctx, STOP_RECORD).await?;
        let before = self
            .describe_service(ctx, service)
            .await?
            .1
            .filter(|found| found.status() != Some("INACTIVE"))
            .ok_or_else(|| refused(ErrorKind::NotFound, format!("service {service} does not exist")))?;
        let present = primary(&before)?;
        if present.as_ref().map(|present| &present.id) != Some(assumes) {
            return Err(conflict(service, Some(assumes), present.as_ref()));
        }
        self.client
            .stop_service_deployment()
            .service_deployment_arn(record.as_str())
            .stop_type(StopServiceDeploymentStopType::Rollback)
            .customize()
            .config_override(aws_sdk_ecs::config::Builder::new().retry_config(once()))
            .send()
            .await
            .map_err(|error| {
                from_sdk(
                    STOP_RECORD,
                    format_args!("service deployment {record}"),
                    true,
                    error,
                )
            })?;
        Ok(())
    }

    /// Whether someone has written at the same moment. A look that still shows the deployment from before is a stale one,
    /// and one that fails says nothing; only a third deployment is someone else's.
    async fn read_back(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        ours: &DeploymentStarted,
        before: Option<&DeploymentId>,
    ) -> Result<(), Error> {
        let Ok((_, Some(after))) = self.describe_service(ctx, service).await else {
            return Ok(());
        };
        match primary(&after)? {
            Some(primary) if primary.id != ours.deployment && Some(&primary.id) != before => {
                Err(conflict(service, Some(&ours.deployment), Some(&primary)).applied(Applied::Yes))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn primary(service: &Service) -> Result<Option<DeploymentObservation>, Error> {
    for deployment in service.deployments() {
        let deployment = map::deployment(deployment)?;
        if deployment.role == DeploymentRole::Primary {
            return Ok(Some(deployment));
        }
    }
    Ok(None)
}

fn started(primary: &DeploymentObservation, record: Option<&str>) -> DeploymentStarted {
    DeploymentStarted {
        deployment: primary.id.clone(),
        service_deployment: record.and_then(|arn| ServiceDeploymentArn::new(arn).ok()),
        created_at: primary.created_at,
    }
}

fn refused(kind: ErrorKind, context: String) -> Error {
    Error::new(kind, UPDATE_SERVICE, context)
}

fn conflict(
    service: &ServiceName,
    assumed: Option<&DeploymentId>,
    found: Option<&DeploymentObservation>,
) -> Error {
    let assumed = assumed.map_or("none", DeploymentId::as_str);
    let found = found.map_or_else(
        || "none".to_owned(),
        |found| {
            format!(
                "{} ({}, made at {})",
                found.id, found.task_definition, found.created_at
            )
        },
    );
    refused(
        ErrorKind::Conflict,
        format!("service {service}: its PRIMARY deployment is {found}, and {assumed} was assumed"),
    )
}
