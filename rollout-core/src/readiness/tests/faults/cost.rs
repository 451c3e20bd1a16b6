//! Money.

use super::{Fault, fault};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::data::Budget;
use crate::readiness::known::Known;

fn budget(facts: &mut Snapshot) -> &mut Budget {
    let Known::Seen(budgets) = &mut facts.budgets else {
        unreachable!("the shop's budgets are seen")
    };
    budgets.values_mut().next().expect("the shop has one")
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("budgets_budget_missing", "another name", |_, intent| {
            intent.cost.budget = Some("storefront-prod".to_owned());
        }),
        fault("budgets_budget_missing", "a yearly one", |facts, _| {
            "ANNUALLY".clone_into(&mut budget(facts).period);
        }),
        fault("budgets_notification_missing", "nobody subscribes", |facts, _| {
            let Known::Seen(notifications) = &mut budget(facts).notifications else {
                unreachable!("they are seen")
            };
            for notification in notifications {
                notification.subscribers = 0;
            }
        }),
        fault(
            "budgets_limit_too_low",
            "ten times the tasks' size",
            |_, intent| {
                let release = intent.release.as_mut().expect("one is about to be made");
                for definition in release.task_definitions.values_mut() {
                    (definition.cpu, definition.memory_mib) = (Some(4_096), Some(16_384));
                }
            },
        ),
    ]
}
