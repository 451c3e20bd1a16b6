//! Production readiness as code: is this environment fit for what is about to be released into it?
//!
//! ```text
//! FactSource (port) ──► Snapshot ─┐
//!                                 ├─► Scene ──► every Check ──► rulings ──► accepted risks ──► Report
//!          readiness file ──► Intent                                                              │
//!                                                                    ready · unknown · not ready ─┘
//! ```
//!
//! A [`Snapshot`](fact::Snapshot) is what was seen, an [`Intent`](intent::Intent) what is meant. A [`Check`](check::Check) is
//! pure: it compares the two. What could not be seen is [`Unknown`](known::Known::Unknown), and a check that needs it can say nothing:
//! that is never a pass. [`catalogue::all`] is every check that comes with this crate; a team adds its own.

pub mod catalogue;
pub mod check;
pub mod example;
pub mod fact;
pub mod gate;
pub mod intent;
pub mod known;
pub mod own;
pub mod price;
pub mod profile;
pub mod report;
pub mod risk;
mod scene;
#[cfg(test)]
mod tests;
