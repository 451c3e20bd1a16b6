//! The ports of `rollout-core` on the world.

use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, ErrorKind};

use crate::clock::SimCloud;
use crate::faults::{Disturbance, Operation, disturbance};
use crate::world::World;

mod dns;
mod environment;
mod facts;
mod gate;
mod image;
mod rollback;
#[cfg(test)]
mod tests;

pub(crate) use facts::{Facts, role_of};

/// All ports of a run: what it changes is the target's.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    cloud: SimCloud,
    source: u16,
    target: u16,
}

impl Port {
    pub(crate) const fn new(cloud: SimCloud, source: u16, target: u16) -> Self {
        Self {
            cloud,
            source,
            target,
        }
    }

    /// One call: counted, disturbed if a fault says so, recorded if it mutates.
    fn call<T>(
        &self,
        ctx: &OpContext,
        operation: Operation,
        subject: &str,
        body: impl FnOnce(&mut World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut world = self.cloud.lock();
        let world = &mut *world;
        let environment = &world.environments[self.target as usize].name;
        let call = world.calls.next(environment, operation);
        let fault = disturbance(&world.faults, environment, operation, call);
        world.kernel.mark(operation as u64);
        world.kernel.mark_text(subject);
        if let Some(Disturbance::Refused(kind)) = fault {
            let text = format!("call {call} about {subject} was refused by a scripted fault");
            return Err(Error::new(kind, operation.name(), text));
        }
        world.took_effect = false;
        let answer = body(world);
        if operation.mutates() {
            let (at, took) = (world.kernel.now, world.took_effect);
            let environment = world.environments[self.target as usize].name.clone();
            world
                .calls
                .mutated(at, &environment, operation, subject, ctx, took);
        }
        if fault == Some(Disturbance::LostAnswer) {
            let text = format!("the answer to call {call} about {subject} was lost by a scripted fault");
            let applied = if operation.mutates() {
                Applied::Maybe
            } else {
                Applied::No
            };
            return Err(Error::new(ErrorKind::TimedOut, operation.name(), text).applied(applied));
        }
        answer
    }
}
