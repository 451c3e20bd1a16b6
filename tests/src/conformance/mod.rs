//! Fixtures for the conformance suite of `rollout-core`: the simulated cloud, seen and changed by its own handle, whatever
//! ports are tested on it; journals; and doubles that break the contract, one sentence at a time.

#[cfg(feature = "aws")]
pub mod aws;
pub mod broken;
pub mod journals;
pub mod leases;
mod sim;
pub mod toy;

pub use sim::{Direct, SimFixture, Wire, world};
