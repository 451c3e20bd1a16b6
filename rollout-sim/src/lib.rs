//! A simulated cloud on virtual time, with the ports of `rollout-core` on it.
//!
//! It is for tests: yours, and this project's. Tasks provision, pull, start, pass or fail checks and drain; a service replaces
//! them within its bounds, trips its circuit breaker, rolls back or stalls; targets take their checks; a zone applies one
//! change at a time and resolvers cache by TTL (some for longer); alarms evaluate their periods. Nothing waits: an hour of a
//! rollout takes well under a millisecond. A [`World`] is plain data, and the same seed is the same run.
//!
//! ```
//! use core::time::Duration;
//! use rollout_sim::{Incident, SimCloud, When, World};
//!
//! // Three tasks behind a load balancer. The next release will crash two seconds after its start.
//! let mut world = World::builder(7)
//!     .environment("production", |e| {
//!         e.image("shop/api", "1.0.0")
//!             .image("shop/api", "1.1.0")
//!             .service("api", |s| s.container("api", "shop/api", "1.0.0").desired(3).load_balanced(8080))
//!     })
//!     .build()?;
//! let crash = Incident::CrashLoop {
//!     service: "api".into(),
//!     after: Duration::from_secs(2),
//!     exit_code: 1,
//!     log: vec!["DATABASE_URL is not set".into()],
//! };
//! world.schedule("production", When::After(Duration::ZERO), crash)?;
//!
//! // Somebody deploys it. (A run of yours does that through `SimCloud::ports`.)
//! let image = ("shop/api".parse()?, world.image("production", "shop/api", "1.1.0")?);
//! let deploy = Incident::ForeignDeployer { service: "api".into(), image: Some(image) };
//! world.schedule("production", When::After(Duration::from_secs(1)), deploy)?;
//!
//! let before = world.service("production", "api")?;
//! world.pass(Duration::from_secs(600));
//! let after = world.service("production", "api")?;
//!
//! // The circuit breaker has gone back, and says why.
//! assert_eq!(after.running, 3);
//! assert_eq!(after.primary().map(|d| &d.id), before.primary().map(|d| &d.id));
//! let failed = after.stopped.iter().find(|t| t.cause.is_some()).expect("three tasks crashed");
//! assert_eq!(failed.reason, "Essential container in task exited");
//! assert_eq!(failed.log_tail, ["DATABASE_URL is not set"]);
//!
//! // The ports and the clock of a run:
//! let cloud = SimCloud::new(world);
//! let (_ports, _clock) = (cloud.ports("production", "production")?, cloud.clock());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//! - Describe a world: [`World::builder`], or take the ready [`storefront()`].
//! - Let things go wrong in it: [`World::schedule`] with an [`Incident`]; an image that misbehaves everywhere is a
//!   [`Behaviour`].
//! - Let calls go wrong: [`World::disturb`] with a [`Fault`].
//! - See what was done: [`World::calls`]; a refused run has no [`effects`](Calls::effects).
//! - Run something on it: [`SimCloud::ports`] and [`SimCloud::clock`].
//! - Judge whether it is fit for a release: [`SimCloud::facts`], with [`surroundings`] for what it has no notion of.
//! - Let AWS clients run on it: the module `endpoint`, with the feature of that name.
//! - Keep a world between two programs: it is `Serialize` and `Deserialize`, and goes on where it was.
//!
//! # What is modelled on what
//! Figures, words and rules are those of the AWS documentation, named beside the code. Where AWS publishes none, the figure is
//! ours and a setting: how long phases last ([`Timing`]), how long a task without health checks must run to count as healthy
//! ([`Timing::settle`]), how long a shift of traffic takes ([`Timing::shift`]), how often alarms of a deployment are looked at.
//! Not modelled: several target groups for one service, daemons, task sets, early success criteria.

mod alarm;
mod behaviour;
mod builder;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod certificate;
mod clock;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod dns;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod ecr;
mod ecs;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod elb;
#[cfg(feature = "endpoint")]
pub mod endpoint;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "queues are read through the endpoint")
)]
mod event;
mod facts;
mod faults;
mod http;
mod incident;
mod kernel;
#[cfg(feature = "endpoint")]
mod log;
mod look;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod metric;
#[cfg_attr(
    not(feature = "endpoint"),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod parameter;
mod ports;
#[cfg_attr(
    not(any(test, feature = "endpoint")),
    expect(dead_code, reason = "calls are spent where they arrive, at the endpoint")
)]
mod quota;
mod rng;
#[cfg_attr(
    not(any(test, feature = "endpoint")),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod secret;
mod storefront;
pub mod surroundings;
#[cfg(test)]
mod testkit;
mod turns;
#[cfg_attr(
    not(any(test, feature = "endpoint")),
    expect(dead_code, reason = "asked for by the endpoint's operations only")
)]
mod waf;
mod world;

pub use alarm::AlarmState;
pub use behaviour::{Behaviour, Job, Start};
pub use builder::{
    BEGINNING, BalancerBuilder, BuildError, EnvironmentBuilder, ServiceBuilder, WebAclBuilder, WorldBuilder,
    ZoneBuilder,
};
pub use clock::SimCloud;
pub use dns::Spread;
pub use dns::resolver::STRETCHING_PER_10_000;
pub use ecr::Finding;
pub use ecs::breaker::{Breaker, Threshold};
pub use ecs::plan::{Hook, HookAction, HookTarget, LifecycleStage, Strategy};
pub use ecs::{Launch, Timing};
pub use event::Delivery;
pub use faults::{Calls, Disturbance, Fault, Mutation, Operation};
pub use incident::{Incident, When};
pub use quota::{Limit, Quotas};
pub use rng::Span;
pub use storefront::{Storefront, storefront, storefront_intent};
pub use turns::{Stalled, Turns};
pub use world::{Location, Unknown, World};
