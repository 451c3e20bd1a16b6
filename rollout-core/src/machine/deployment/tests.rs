//! Tests of the machine. Those of the judge are in `judge/tests.rs`.

pub(super) mod fixture;
mod guards;
mod hints;
mod properties;
mod scripts;
mod transitions;
mod turning;
