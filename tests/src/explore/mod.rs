//! Exhaustive search: a machine, or two runners of a whole rollout, in a small abstract world, explored to closure.
//!
//! The world answers every effect in every way that the rules of its platform allow: truly, refused, lost before or after the
//! effect, landing later, stale, after someone else has acted. Time passes in steps as long as the machine's shortest wait, and
//! policies are small, so the space is finite. What is found: whether a rule is broken on any path (always), which ends are
//! reached (sometimes), and whether every state leads to an end (eventually).
//!
//! Ours and not `stateright`: it wants `Hash` of every state, which the machines do not have and which time in absolute moments
//! would spoil (here a key counts time from now); it asks nothing backwards, which L-4 needs; and it brings a web server and
//! second versions of crates that are in the tree already.

pub mod canon;
pub mod runners;
pub mod search;
pub mod single;

pub mod back;
pub mod ecs;
pub mod fleet;
pub mod gates;
pub mod images;
pub mod release;
pub mod tasks;
pub mod zone;

pub use runners::{Runners, Shared};
pub use search::{Counterexample, Model, Move, Order, Report, explore};
pub use single::{BEGIN, Call, Node, Reply, Single, World};

/// A duration in seconds.
#[must_use]
pub const fn secs(seconds: u64) -> core::time::Duration {
    core::time::Duration::from_secs(seconds)
}

/// An error as a port gives it.
#[must_use]
pub fn failure(
    kind: rollout_core::error::ErrorKind,
    applied: rollout_core::error::Applied,
) -> rollout_core::error::ErrorRecord {
    rollout_core::error::Error::new(kind, "model", "the world says no")
        .applied(applied)
        .record()
}
