//! A fleet on the command line: its file, and its members, each of which this program drives in a process of its own.

pub(crate) mod clock;
pub(crate) mod file;
mod follow;
pub(crate) mod gates;
pub(crate) mod members;
pub(crate) mod outcome;

pub(crate) use file::{FleetFile, Unusable};
