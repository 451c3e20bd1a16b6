//! `Environment`: identity, services, one-off tasks.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::id::{DeploymentId, ServiceName, TaskArn, TaskDefinitionArn};
use rollout_core::image::Ensured;
use rollout_core::port::Environment;
use rollout_core::service::{
    DeploymentStarted, Identity, RevisionSpec, RolloutState, ServiceChange, ServiceObservation,
    TaskObservation, TaskSpec,
};

use super::Port;
use crate::ecs::job::NotStarted;
use crate::ecs::service::Status;
use crate::faults::Operation;
use crate::world::World;

/// Makes a service go to a revision, if `assumes` is the PRIMARY deployment.
pub(super) fn update(
    world: &mut World,
    e: u16,
    operation: Operation,
    service: &ServiceName,
    revision: &TaskDefinitionArn,
    assumes: Option<&DeploymentId>,
) -> Result<DeploymentStarted, Error> {
    let env = &mut world.environments[e as usize];
    let fail = |kind, text: String| Err(Error::new(kind, operation.name(), text));
    let Some(s) = env.service_index(service.as_str()) else {
        return fail(
            ErrorKind::NotFound,
            format!("ServiceNotFoundException: service {service} not found"),
        );
    };
    match env.services[s as usize].status {
        Status::Active => {}
        Status::Draining | Status::Inactive => {
            return fail(
                ErrorKind::NotFound,
                format!("ServiceNotActiveException: service {service} was not ACTIVE"),
            );
        }
    }
    let Some((index, held)) = env.revision(revision) else {
        return fail(
            ErrorKind::InvalidRequest,
            format!("ClientException: task definition {revision} not found"),
        );
    };
    if !held.active {
        return fail(
            ErrorKind::InvalidRequest,
            format!("ClientException: task definition {revision} is inactive"),
        );
    }
    let primary = env.services[s as usize].primary();
    if let Some(present) = primary.filter(|d| d.revision == index && d.rollout != RolloutState::Failed) {
        return Ok(present.started());
    }
    if let Some(assumed) = assumes
        && primary.map(|d| &d.id) != Some(assumed)
    {
        let found = primary.map_or("none", |d| d.id.as_str());
        return fail(
            ErrorKind::Conflict,
            format!("service {service}: the PRIMARY deployment is {found}, not {assumed}"),
        );
    }
    world.took_effect = true;
    world.deployment_begins(e, s);
    let env = &mut world.environments[e as usize];
    Ok(env.deploy(&mut world.kernel, s, index))
}

#[async_trait]
impl Environment for Port {
    async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error> {
        self.call(ctx, Operation::Identity, "", |world| {
            let env = &world.environments[self.target as usize];
            Ok(Identity {
                account: env.account.clone(),
                region: env.region.clone(),
                caller: env.caller.clone(),
                expires_at: None,
            })
        })
    }

    async fn observe_service(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        self.call(ctx, Operation::ObserveService, service.as_str(), |world| {
            Ok(world.environments[self.target as usize].observe(world.kernel.now, service))
        })
    }

    async fn observe_running(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        self.observe_service(ctx, service).await
    }

    async fn ensure_revision(
        &self,
        ctx: &OpContext,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), Error> {
        let operation = Operation::EnsureRevision;
        let family = spec.template["family"].as_str().unwrap_or_default();
        self.call(ctx, operation, family, |world| {
            let now = world.kernel.now;
            let ensured = world.environments[self.target as usize].ensure_revision(now, spec);
            let (arn, ensured) = ensured.map_err(|text| {
                Error::new(
                    ErrorKind::InvalidRequest,
                    operation.name(),
                    format!("ClientException: {text}"),
                )
            })?;
            world.took_effect = ensured != Ensured::AlreadyThere;
            Ok((arn, ensured))
        })
    }

    async fn update_service(
        &self,
        ctx: &OpContext,
        change: &ServiceChange,
    ) -> Result<DeploymentStarted, Error> {
        let operation = Operation::UpdateService;
        self.call(ctx, operation, change.service.as_str(), |world| {
            let assumes = change.assumes.as_ref();
            update(
                world,
                self.target,
                operation,
                &change.service,
                &change.task_definition,
                assumes,
            )
        })
    }

    async fn start_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error> {
        let operation = Operation::StartTask;
        self.call(ctx, operation, spec.name.as_str(), |world| {
            let env = &mut world.environments[self.target as usize];
            let started = env.run_task(&mut world.kernel, ctx.token().as_str(), spec);
            let (arn, new) = started.map_err(|why| match why {
                NotStarted::Invalid(text) => {
                    Error::new(ErrorKind::InvalidRequest, operation.name(), format!("ClientException: {text}"))
                }
                NotStarted::Conflict(task) => Error::new(
                    ErrorKind::Conflict,
                    operation.name(),
                    format!("ConflictException: the client token was used with other parameters for {task}"),
                ),
                NotStarted::NoRoom => Error::new(
                    ErrorKind::Unavailable,
                    operation.name(),
                    "Capacity is unavailable at this time. Please try again later or in a different availability zone",
                )
                .retry(Retry::Later),
            })?;
            world.took_effect = new;
            Ok(arn)
        })
    }

    async fn observe_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<TaskObservation, Error> {
        self.call(ctx, Operation::ObserveTask, task.as_str(), |world| {
            Ok(world.environments[self.target as usize].observe_job(world.kernel.now, task))
        })
    }

    async fn find_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error> {
        self.call(ctx, Operation::FindTask, spec.name.as_str(), |world| {
            let env = &world.environments[self.target as usize];
            Ok(env.find_job(world.kernel.now, ctx.token().as_str()))
        })
    }

    async fn stop_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error> {
        self.call(ctx, Operation::StopTask, task.as_str(), |world| {
            let env = &mut world.environments[self.target as usize];
            world.took_effect = env.stop_job(&mut world.kernel, task);
            Ok(())
        })
    }
}
