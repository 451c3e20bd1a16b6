//! Take a release that was proven in one environment and make another one serve it, so that at every moment either the new
//! release or the last known good one serves, and every end is a named, truthful outcome.
//!
//! # Three surfaces
//! 1. [`machine`]: pure state machines, for a team with its own workflow engine. Call `handle`, store the state, run the
//!    effects.
//! 2. [`port`]: small async traits, for a team on another platform. Implement them; the machines and the driver stay.
//! 3. [`driver`]: the one loop, for a team that wants it to just run. Give it ports and a [`journal`], await the outcome.
//!
//! Nothing here reads a clock, draws a random number, spawns a task or knows a runtime.
//!
//! # Driving a machine by hand
//! Give it what happened, do what it says, sleep until its deadline:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use rollout_core::machine::Machine;
//! use rollout_core::machine::gate::{Condition, Effect, Event, Gate, Outcome, ProbeSpec, Spec};
//! use rollout_core::probe::{ProbeTarget, Sample, Subject, Verdict};
//! use rollout_core::time::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let alarms = ProbeTarget::Alarms { names: vec!["backend-5xx".to_owned()] };
//! let mut now = Timestamp::from_millis(1_763_683_200_000);
//! let mut gate = Gate::new(Spec {
//!     condition: Condition::Probe("alarms".parse()?),
//!     probes: vec![ProbeSpec {
//!         name: "alarms".parse()?,
//!         target: alarms,
//!         every: Duration::from_secs(10),
//!         successes: 3,
//!         failures: 0,
//!         errors: 3,
//!         max_age: Duration::from_secs(60),
//!         dry_run: false,
//!     }],
//!     subject: Subject { service: None, images: BTreeMap::new(), changed_at: now },
//!     warm_up: Duration::from_secs(30),
//!     bake: Duration::ZERO,
//!     give_up: Duration::from_secs(300),
//!     answer: Duration::from_secs(10),
//! });
//!
//! let mut todo = gate.handle(now, Event::Start)?;
//! while gate.outcome().is_none() {
//!     todo = match todo.pop() {
//!         // Your own loop would look at the alarms here.
//!         Some(Effect::TakeSample(request)) => {
//!             let sample = Sample { at: now, verdict: Verdict::Pass, images: None, evidence: Vec::new() };
//!             let more = gate.handle(now, Event::Sampled { probe: request.probe, sample })?;
//!             todo.into_iter().chain(more).collect()
//!         }
//!         // And sleep here.
//!         None => {
//!             let deadline = gate.deadline().ok_or("a gate that has not ended waits for something")?;
//!             now = deadline.at;
//!             gate.handle(now, Event::Elapsed)?
//!         }
//!     };
//! }
//! assert!(matches!(gate.outcome(), Some(Outcome::Passed { .. })));
//! # Ok(())
//! # }
//! ```
//!
//! A whole release on a simulated cloud is in `examples/` and in the crate `rollout-sim`; the ports on AWS are in
//! `rollout-aws`.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
pub mod dns;
pub mod driver;
pub mod error;
pub mod evidence;
pub mod hint;
pub mod id;
pub mod image;
pub mod journal;
pub mod lease;
pub mod machine;
pub mod observer;
pub mod pace;
pub mod plan;
pub mod port;
pub mod probe;
pub mod readiness;
pub mod service;
pub mod time;

pub use driver::{DriveError, Driver};
pub use machine::{Effect, Machine, Rejected};
pub use plan::RolloutPlan;
