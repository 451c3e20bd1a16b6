//! A simulated cloud on virtual time, with the ports of `rollout-core` on it.
mod alarm;
mod behaviour;
mod builder;
mod clock;
mod dns;
mod ecr;
mod ecs;
mod elb;
mod faults;
mod http;
mod incident;
mod kernel;
mod ports;
mod rng;
mod storefront;
#[cfg(test)]
mod testkit;
mod world;

pub use alarm::AlarmState;
pub use behaviour::{Behaviour, Job, Start};
pub use builder::{
    BEGINNING, BalancerBuilder, BuildError, EnvironmentBuilder, ServiceBuilder, WorldBuilder, ZoneBuilder,
};
pub use clock::SimCloud;
pub use dns::Spread;
pub use dns::resolver::STRETCHING_PER_10_000;
pub use ecs::deployment::{Breaker, Threshold};
pub use ecs::{Launch, Timing};
pub use faults::{Calls, Disturbance, Fault, Mutation, Operation};
pub use incident::{Incident, When};
pub use rng::Span;
pub use storefront::{Storefront, storefront};
pub use world::{Unknown, World};
