//! What a driver tells while it works.

use crate::machine::{Machine, Rejected};
use crate::time::{Deadline, Timestamp};

/// One thing that a driver did or met. Told after it is in the journal.
#[derive(Debug)]
pub enum Notice<'a, M: Machine> {
    /// An event is about to be handled.
    Happened(&'a M::Event),
    /// An event was handled; the machine is in its new state.
    Handled,
    /// An event was refused; nothing has changed.
    Refused(&'a Rejected),
    /// An effect begins to run.
    Issued(&'a M::Effect),
    /// Nothing is under way; the machine wants to be called at this moment.
    Waiting(Deadline),
    /// It has ended.
    Ended(&'a M::Outcome),
}

/// Told of every step. It must be quick and must not fail; the driver does not wait for anything else.
pub trait Observer<M: Machine>: Send + Sync {
    /// One notice, with the machine as it is now.
    fn notice(&self, at: Timestamp, machine: &M, notice: &Notice<'_, M>);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl<M: Machine> Observer<M> for Silent {
    fn notice(&self, _: Timestamp, _: &M, _: &Notice<'_, M>) {}
}
