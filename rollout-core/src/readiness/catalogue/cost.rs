//! Money.

use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::data::Budget;
use crate::readiness::known::{Unseen, Why};
use crate::readiness::price::{Shape, dollars, estimate};

pub(super) const RULES: &[Rule] = &[
    rule!(
        "budgets_budget_missing", Cost, Medium, ADVISORY, STAGING_TOO,
        title: "A monthly budget watches what the environment costs",
        why: "Without one a mistake is found on the invoice, a month later.",
        remedy: "Create a monthly cost budget.",
        cli: "aws budgets create-budget --account-id <account> --budget file://budget.json",
        terraform: "aws_budgets_budget",
        cdk: "CfnBudget",
        source: "AWS Cost Management User Guide, \"Creating a budget\"",
        over: Over::Environment(exists),
    ),
    rule!(
        "budgets_notification_missing", Cost, Medium, ADVISORY, STAGING_TOO,
        title: "The budget tells somebody before it is spent",
        why: "A budget that tells nobody changes nothing.",
        remedy: "Add a notification at 100 % or less, with a subscriber.",
        cli: "aws budgets create-notification --account-id <account> --budget-name <budget> --notification <notification> --subscribers <subscribers>",
        terraform: "aws_budgets_budget.notification",
        cdk: "CfnBudget notificationsWithSubscribers",
        source: "AWS Cost Management User Guide, \"Best practices for AWS Budgets\"",
        over: Over::Environment(notifies),
    ),
    rule!(
        "budgets_limit_too_low", Cost, Medium, ADVISORY, STAGING_TOO,
        title: "What the environment will cost a month fits what it may cost",
        why: "A release that makes an environment dearer than agreed should be a decision, not a surprise.",
        remedy: "Agree on more, or release smaller or fewer tasks.",
        cli: "aws budgets describe-budget --account-id <account> --budget-name <budget>",
        terraform: "aws_budgets_budget.limit_amount",
        cdk: "CfnBudget budget.budgetLimit",
        source: "AWS Pricing Calculator, \"Pricing assumptions\"",
        over: Over::Environment(fits),
    ),
];

/// The budget that the environment is meant to have; `None` when there is no such one.
fn budget<'a>(scene: &Scene<'a>) -> Result<Option<&'a Budget>, Unseen> {
    let Some(name) = &scene.intent.cost.budget else {
        return Ok(None);
    };
    let budgets = scene.facts.budgets.get()?;
    Ok(budgets.get(name).filter(|budget| budget.period == "MONTHLY"))
}

fn exists(scene: &Scene<'_>) -> Ruling {
    let seen = || match &scene.intent.cost.budget {
        Some(name) => format!("no monthly budget `{name}`"),
        None => "no budget is named in the readiness file".to_owned(),
    };
    Ok(Verdict::when(budget(scene)?.is_some(), seen, "a monthly budget"))
}

fn notifies(scene: &Scene<'_>) -> Ruling {
    let Some(budget) = budget(scene)? else {
        return Ok(Verdict::not_applicable("there is no budget"));
    };
    let notifications = budget.notifications.get()?;
    let in_time =
        |n: &&crate::readiness::fact::data::Notification| n.threshold_percent <= 100 && n.subscribers > 0;
    let tells = notifications.iter().any(|notification| in_time(&notification));
    Ok(Verdict::when(
        tells,
        || "it tells nobody in time".to_owned(),
        "a notification at 100 % or less that reaches somebody",
    ))
}

fn fits(scene: &Scene<'_>) -> Ruling {
    let Some(most) = scene.intent.cost.monthly_cents else {
        return Ok(Verdict::not_applicable("what it may cost is not said"));
    };
    let estimate = estimate(scene, Shape::Released)?;
    let wanted = format!("{} or less a month", dollars(most));
    if estimate.cents() > most {
        return Ok(Verdict::fail(
            format!("{} a month", dollars(estimate.cents())),
            wanted,
        ));
    }
    match estimate.unpriced.first() {
        Some(_) => Err(Unseen::new(
            Why::NotAsked,
            estimate.unpriced.join(", "),
            format!(
                "no price is known; lay a table of your own over the one of {}",
                estimate.dated
            ),
        )),
        None => Ok(Verdict::Pass),
    }
}
