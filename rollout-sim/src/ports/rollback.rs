//! `Rollback`: restore points.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{DeploymentId, ServiceName};
use rollout_core::port::Rollback;
use rollout_core::service::{Captured, DeploymentStarted, RestorePoint};

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
}
