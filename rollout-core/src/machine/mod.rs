//! The machines: every decision, and nothing else.
//!
//! A machine is synchronous and deterministic. It is told what happened and answers with what must be done; time comes
//! in as an argument; timers are absolute deadlines in the state. States, events and effects are plain data, so a
//! machine can be stored, printed and replayed.
//!
//! # How to drive one
//! 1. `handle(now, Event::Start)` and keep the effects it returns.
//! 2. Run each effect; turn its result into an event; `handle` it; keep the new effects.
//! 3. When no effect is left, sleep until [`Machine::deadline`], then `handle(now, Event::Elapsed)`.
//! 4. Stop when [`Machine::outcome`] is there.
//!
//! # Refusals
//! A refused event ([`Rejected`]) leaves the state untouched **by construction**: a private `admit` reads the state and
//! may refuse; only then does an infallible `step` take the state by value and return the next one (ADR 0001).

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Deadline, Timestamp};

mod call;
pub mod cutover;
pub mod deployment;
pub mod fleet;
pub mod gate;
pub mod lease;
mod lifecycle;
pub mod promotion;
pub mod rollout;
mod table;
pub mod task;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
pub mod unwind;
#[cfg(test)]
pub(crate) mod world;

pub use lifecycle::Lifecycle;
pub use table::{Disposition, Row, Table, Transitions, table};
pub(crate) use table::{Step, admits, handle};

/// A pure state machine.
pub trait Machine {
    /// What happened; past tense.
    type Event;
    /// What must be done; imperative, and harmless when said twice.
    type Effect;
    /// How it ended.
    type Outcome;

    /// Takes one event and answers with what must be done.
    ///
    /// `now` may lie before an earlier `now`: the machine then uses the latest moment it has seen.
    ///
    /// # Errors
    /// [`Rejected`] when the event does not fit the state. The state is then as before.
    fn handle(&mut self, now: Timestamp, event: Self::Event) -> Result<Vec<Self::Effect>, Rejected>;

    /// When the machine wants `Elapsed`, and why. A machine that has begun and not ended always has one.
    fn deadline(&self) -> Option<Deadline>;

    /// How it ended, once it has.
    fn outcome(&self) -> Option<Self::Outcome>;
}

/// What the driver must know of an effect.
pub trait Effect {
    /// Whether it changes anything outside. Its intent is then made durable before it runs.
    fn mutates(&self) -> bool;

    /// Which saying of the same step this is, from 1; part of the idempotency token.
    fn attempt(&self) -> u32;
}

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{machine} refuses {event} in state {state}: {why}")]
pub struct Rejected {
    /// The machine.
    pub machine: String,
    /// Its state.
    pub state: String,
    /// The event.
    pub event: String,
    /// Why.
    pub why: String,
}

/// A thing that has a short name, such as `Observing`.
pub(crate) fn name_of(kind: impl fmt::Debug) -> String {
    format!("{kind:?}")
}
