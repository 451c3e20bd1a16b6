//! `Rollback`: restore points.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{DeploymentId, ServiceDeploymentArn, ServiceName};
use rollout_core::port::Rollback;
use rollout_core::service::{Captured, DeploymentStarted, RecordStatus, RestorePoint, Usability};

use super::Port;
use super::environment::update;
use crate::faults::Operation;

#[async_trait]
impl Rollback for Port {
    async fn capture(&self, ctx: &OpContext, service: &ServiceName) -> Result<Captured, Error> {
        self.call(ctx, Operation::Capture, service.as_str(), |world| {
            Ok(world.environments[self.target as usize].capture(world.kernel.now, service))
        })
    }

    async fn usable(&self, ctx: &OpContext, point: &RestorePoint) -> Result<Usability, Error> {
        self.call(ctx, Operation::Usable, point.service.as_str(), |world| {
            let mut parts = world.environments[self.target as usize].usable(point);
            parts.extend(world.secrets_of(self.target, &point.task_definition));
            Ok(Usability {
                at: world.kernel.now,
                parts,
            })
        })
    }

    async fn restore(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        let operation = Operation::Restore;
        self.call(ctx, operation, point.service.as_str(), |world| {
            // Like UpdateService it does not look into the registry: tasks whose image is gone fail to start.
            update(
                world,
                self.target,
                operation,
                &point.service,
                &point.task_definition,
                assumes,
            )
        })
    }
    async fn turn_back(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: &DeploymentId,
        record: &ServiceDeploymentArn,
    ) -> Result<(), Error> {
        let operation = Operation::TurnBack;
        self.call(ctx, operation, point.service.as_str(), |world| {
            let env = &mut world.environments[self.target as usize];
            let fail = |kind, text: String| Err(Error::new(kind, operation.name(), text));
            let Some(s) = env.service_index(point.service.as_str()) else {
                let text = format!("ServiceNotFoundException: service {} not found", point.service);
                return fail(ErrorKind::NotFound, text);
            };
            let service = &env.services[s as usize];
            let primary = service.primary();
            let Some(ours) = primary.filter(|d| (&d.id, &d.record) == (assumes, record)) else {
                let found = primary.map_or("none", |d| d.id.as_str());
                let text = format!(
                    "service {}: the PRIMARY deployment is {found}, not {assumes}",
                    point.service
                );
                return fail(ErrorKind::Conflict, text);
            };
            let number = ours.number;
            let status = service.record(number).map(|r| r.status.clone());
            let turning = [RecordStatus::RollbackRequested, RecordStatus::RollbackInProgress];
            if status.as_ref().is_some_and(|status| turning.contains(status)) {
                return Ok(());
            }
            if env.ask_for_rollback(&mut world.kernel, s, number) {
                world.took_effect = true;
                return Ok(());
            }
            let text = format!("ConflictException: the service deployment {record} is over");
            fail(ErrorKind::Conflict, text)
        })
    }
}
