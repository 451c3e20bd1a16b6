//! Everything that can be wrong with a shop, one thing at a time.

mod balancer;
mod cdn;
mod cost;
mod data;
mod dns;
mod identity;
mod image;
mod network;
mod observability;
mod procedure;
mod rollback;
mod secrets;
mod service;
mod waf;

use crate::readiness::fact::Snapshot;
use crate::readiness::intent::Intent;

/// One thing that is wrong, and the only check that finds it.
pub(super) struct Fault {
    /// The check.
    pub(super) check: &'static str,
    /// What is wrong, for people.
    pub(super) what: &'static str,
    /// Makes it wrong.
    pub(super) put: fn(&mut Snapshot, &mut Intent),
}

const fn fault(check: &'static str, what: &'static str, put: fn(&mut Snapshot, &mut Intent)) -> Fault {
    Fault { check, what, put }
}

/// Checks that judge nothing but what is meant: no fact makes them unknown.
pub(super) const OF_INTENT: &[&str] = &[
    "cloudwatch_slot_empty",
    "rollback_migration_unmarked",
    "procedure_release_frozen",
    "procedure_window_closed",
    "procedure_owner_missing",
    "procedure_approval_missing",
];

/// Every fault, area by area.
pub(super) fn all() -> Vec<Fault> {
    let areas = [
        identity::faults(),
        network::faults(),
        secrets::faults(),
        image::faults(),
        service::faults(),
        balancer::faults(),
        dns::faults(),
        waf::faults(),
        observability::faults(),
        data::faults(),
        cdn::faults(),
        cost::faults(),
        rollback::faults(),
        procedure::faults(),
    ];
    areas.into_iter().flatten().collect()
}
