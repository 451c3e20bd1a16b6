//! What people do.

use core::time::Duration;

use super::{Fault, fault};
use crate::plan::window::Freeze;
use crate::readiness::example::{days_ago, in_days};
use crate::readiness::known::Known;

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("procedure_release_frozen", "before the holidays", |_, intent| {
            let window = intent.procedure.window.as_mut().expect("the shop has one");
            window.freezes.push(Freeze {
                from: days_ago(1),
                until: in_days(40),
                why: Some("until the new year, by Ada".to_owned()),
            });
        }),
        fault("procedure_window_closed", "it is Friday", |_, intent| {
            let window = intent.procedure.window.as_mut().expect("the shop has one");
            window.open = vec!["Mon-Thu 09:00-16:00".parse().expect("hours")];
        }),
        fault(
            "procedure_owner_missing",
            "nobody for the network",
            |_, intent| {
                intent.procedure.owners.remove("network");
            },
        ),
        fault("procedure_approval_missing", "one approves twice", |facts, _| {
            for approval in &mut facts.records.approvals {
                "ada ".clone_into(&mut approval.by);
            }
        }),
        fault("procedure_approval_missing", "they will agree", |facts, _| {
            for approval in &mut facts.records.approvals {
                approval.at = in_days(3);
            }
        }),
        fault(
            "procedure_approval_missing",
            "they agreed to another release",
            |facts, _| {
                for approval in &mut facts.records.approvals {
                    approval.about = Some("2.3.9".to_owned());
                }
            },
        ),
        fault(
            "procedure_digest_unproven",
            "staging runs something else",
            |facts, _| {
                let proven = facts.proven.seen_mut("backend").expect("the shop has one");
                for image in proven.images.values_mut() {
                    *image = format!("storefront/backend@sha256:{}", "e".repeat(64));
                }
            },
        ),
        fault("procedure_soak_short", "three days are wanted", |_, intent| {
            intent.procedure.soak = Duration::from_secs(3 * 24 * 60 * 60);
        }),
        fault("procedure_smoke_test_missing", "they will pass", |facts, _| {
            if let Known::Seen(test) = &mut facts.records.smoke_test {
                test.at = in_days(3);
            }
        }),
        fault("procedure_smoke_test_missing", "none", |facts, _| {
            facts.records.smoke_test = Known::Missing
        }),
        fault(
            "procedure_smoke_test_missing",
            "of another release",
            |facts, _| {
                if let Known::Seen(test) = &mut facts.records.smoke_test {
                    test.about = Some("2.3.9".to_owned());
                }
            },
        ),
        fault("procedure_smoke_test_missing", "they failed", |facts, _| {
            if let Known::Seen(test) = &mut facts.records.smoke_test {
                test.passed = false;
            }
        }),
    ]
}
