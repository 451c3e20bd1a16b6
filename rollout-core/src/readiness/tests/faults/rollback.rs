//! The way back.

use super::{Fault, fault};
use crate::readiness::example::{days_ago, in_days};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::release::WayBack;
use crate::readiness::known::Known;
use crate::service::{Found, PartKind};

fn way_back(facts: &mut Snapshot) -> &mut WayBack {
    facts.ways_back.seen_mut("backend").expect("the shop has one")
}

fn gone(facts: &mut Snapshot, is_it: fn(&PartKind) -> bool) {
    for part in &mut way_back(facts).usability.parts {
        if is_it(&part.kind) {
            part.found = Found::Gone {
                why: "it was deleted".to_owned(),
            };
        }
    }
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("rollback_point_missing", "no completed deployment", |facts, _| {
            way_back(facts).point = None
        }),
        fault("rollback_point_missing", "no such service", |facts, _| {
            facts.ways_back.put("worker", Known::Missing)
        }),
        fault("rollback_revision_inactive", "deregistered", |facts, _| {
            gone(facts, |kind| matches!(kind, PartKind::Revision));
        }),
        fault("rollback_image_missing", "deleted", |facts, _| {
            gone(facts, |kind| matches!(kind, PartKind::Image { .. }));
        }),
        fault("rollback_secret_missing", "deleted", |facts, _| {
            gone(facts, |kind| matches!(kind, PartKind::Secret));
        }),
        fault("rollback_drill_stale", "never", |facts, _| {
            facts.records.rollback_drill = Known::Missing
        }),
        fault("rollback_drill_stale", "half a year ago", |facts, _| {
            if let Known::Seen(drill) = &mut facts.records.rollback_drill {
                drill.at = days_ago(180);
            }
        }),
        fault("rollback_drill_stale", "it is still to come", |facts, _| {
            if let Known::Seen(drill) = &mut facts.records.rollback_drill {
                drill.at = in_days(3);
            }
        }),
        fault("rollback_drill_stale", "it failed", |facts, _| {
            if let Known::Seen(drill) = &mut facts.records.rollback_drill {
                drill.passed = false;
            }
        }),
        fault("rollback_target_kept_short", "five minutes", |_, intent| {
            for host in &mut intent.hosts {
                host.kept_seconds = host.kept_seconds.map(|_| 300);
            }
        }),
        fault("rollback_target_kept_short", "not said", |_, intent| {
            for host in &mut intent.hosts {
                host.kept_seconds = None;
            }
        }),
        fault("rollback_migration_unmarked", "it does not say", |_, intent| {
            let release = intent.release.as_mut().expect("one is about to be made");
            release.migrations.insert("migrate".to_owned(), None);
        }),
    ]
}
