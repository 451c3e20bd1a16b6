//! The way back.

use super::each_service;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::data::Record;
use crate::readiness::fact::release::WayBack;
use crate::readiness::known::{Known, Unseen, Why};
use crate::service::{Found, PartKind};
use crate::time::{DAY_MILLIS, Timestamp};

/// What an alias counts for, in seconds: a resolver keeps its answer that long (User Guide for Application Load Balancers, "Connection
/// management": the records of a load balancer have a TTL of 60 seconds).
const ALIAS_TTL: u32 = 60;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "rollback_point_missing", Rollback, Critical, BLOCKING, STAGING_TOO,
        title: "There is a last known good release to go back to",
        why: "Without one a release that fails leaves nothing that serves.",
        remedy: "Let a deployment of the service complete before the next one begins.",
        cli: "aws ecs describe-services --cluster <cluster> --services <service> --query 'services[].deployments'",
        terraform: "",
        cdk: "",
        source: "Amazon ECS Developer Guide, \"Deploy Amazon ECS services by replacing tasks\"",
        over: each_service(point),
    ),
    rule!(
        "rollback_revision_inactive", Rollback, Critical, BLOCKING, STAGING_TOO,
        title: "The revision to go back to is ACTIVE",
        why: "A service cannot be updated to a task definition that was deregistered.",
        remedy: "Register the revision's content again, deploy it, and keep old revisions for as long as they may be needed.",
        cli: "aws ecs describe-task-definition --task-definition <family:revision>",
        terraform: "aws_ecs_task_definition.skip_destroy",
        cdk: "CfnTaskDefinition with removalPolicy RETAIN",
        source: "Amazon ECS Developer Guide, \"Deregistering an Amazon ECS task definition revision using the console\"",
        over: each_service(|scene, name| part(scene, name, |kind| matches!(kind, PartKind::Revision))),
    ),
    rule!(
        "rollback_image_missing", Rollback, Critical, BLOCKING, STAGING_TOO,
        title: "The image to go back to is in the registry",
        why: "A task whose image is gone cannot start, at the moment when it is needed most.",
        remedy: "Push the image again by its digest, and let the lifecycle policy keep what runs.",
        cli: "aws ecr describe-images --repository-name <repository> --image-ids imageDigest=<digest>",
        terraform: "aws_ecr_lifecycle_policy",
        cdk: "Repository lifecycleRules",
        source: "Amazon ECR User Guide, \"Automate the cleanup of images by using lifecycle policies in Amazon ECR\"",
        over: each_service(|scene, name| part(scene, name, |kind| matches!(kind, PartKind::Image { .. }))),
    ),
    rule!(
        "rollback_secret_missing", Rollback, Critical, BLOCKING, STAGING_TOO,
        title: "The secrets of the release to go back to are there",
        why: "A task whose secret is gone cannot start, and a secret that only the old release uses is soon tidied away.",
        remedy: "Restore the secret; delete it only when nothing goes back to a release that names it.",
        cli: "aws secretsmanager restore-secret --secret-id <secret>",
        terraform: "aws_secretsmanager_secret.recovery_window_in_days",
        cdk: "Secret removalPolicy",
        source: "Amazon ECS Developer Guide, \"Pass Secrets Manager secrets through Amazon ECS environment variables\"",
        over: each_service(|scene, name| part(scene, name, |kind| matches!(kind, PartKind::Secret))),
    ),
    rule!(
        "rollback_drill_stale", Rollback, High, ADVISORY, PRODUCTION,
        title: "The way back was tried lately",
        why: "What was never tried does not work in the night in which it must.",
        remedy: "Release, go back with `rollout rollback`, and write it down in the readiness file.",
        cli: "rollout rollback",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"OPS06-BP01 Plan for unsuccessful changes\"",
        over: Over::Environment(|scene| {
            recent(scene, &scene.facts.records.rollback_drill, "rollback")
        }),
    ),
    rule!(
        "rollback_target_kept_short", Rollback, High, BLOCKING, PRODUCTION,
        title: "What served before a cutover is kept until no resolver leads there",
        why: "Resolvers keep an answer for its TTL, and some for longer: their clients would reach nothing.",
        remedy: "Keep it for the record's TTL and a margin on top.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "Amazon Route 53 Developer Guide, \"Values specific for simple records\"",
        over: Over::Each { which: cut_over, judge: kept },
    ),
    rule!(
        "rollback_migration_unmarked", Rollback, High, BLOCKING, STAGING_TOO,
        title: "Each migration says whether the old release can live with it",
        why: "Going back past one that it cannot live with makes an outage of a rollback.",
        remedy: "Write `reversible = true` or `reversible = false` at the task of the migration.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "AWS Well-Architected Framework, \"REL08-BP04 Deploy using immutable infrastructure\"",
        over: Over::Each { which: migrations, judge: marked },
    ),
];

fn point(scene: &Scene<'_>, name: &str) -> Ruling {
    let way_back = scene.facts.ways_back.find(name)?;
    let is_there = way_back.is_some_and(|way_back| way_back.point.is_some());
    Ok(Verdict::when(
        is_there,
        || "nothing to go back to".to_owned(),
        "a completed deployment",
    ))
}

fn with_point<'a>(scene: &Scene<'a>, name: &str) -> Result<Option<&'a WayBack>, Unseen> {
    Ok(scene
        .facts
        .ways_back
        .find(name)?
        .filter(|way_back| way_back.point.is_some()))
}

fn part(scene: &Scene<'_>, name: &str, is_it: fn(&PartKind) -> bool) -> Ruling {
    let Some(way_back) = with_point(scene, name)? else {
        return Ok(Verdict::not_applicable("there is nothing to go back to"));
    };
    let parts: Vec<_> = way_back
        .usability
        .parts
        .iter()
        .filter(|part| is_it(&part.kind))
        .collect();
    if parts.is_empty() {
        return Ok(Verdict::not_applicable("it rests on none"));
    }
    let gone: Vec<String> = parts
        .iter()
        .filter_map(|part| match &part.found {
            Found::Gone { why } => Some(format!("{}: {why}", part.name)),
            Found::Usable | Found::Unknown { .. } => None,
        })
        .collect();
    let unknown = parts.iter().find_map(|part| match &part.found {
        Found::Unknown { why } => Some(Unseen::new(Why::Failed, part.name.clone(), why.clone())),
        Found::Usable | Found::Gone { .. } => None,
    });
    match unknown {
        Some(unseen) if gone.is_empty() => Err(unseen),
        Some(_) | None => Ok(Verdict::unless(&gone, "it is there")),
    }
}

/// Whether something was written down that came to a good end, not longer ago than a drill may be.
pub(super) fn recent(scene: &Scene<'_>, record: &Known<Record>, what: &str) -> Ruling {
    let days = scene.intent.limits.drill_days;
    let wanted = format!("a {what} that came to a good end in the last {days} days");
    let Some(record) = record.find()? else {
        return Ok(Verdict::fail("none is written down", wanted));
    };
    let until = record
        .at
        .as_millis()
        .saturating_add(u64::from(days).saturating_mul(DAY_MILLIS));
    Ok(if record.is_ahead(scene.facts.at) {
        Verdict::fail(format!("the last one is dated {}", day(record.at)), wanted)
    } else if !record.passed {
        Verdict::fail(format!("the last one failed on {}", day(record.at)), wanted)
    } else if scene.facts.at.as_millis() > until {
        Verdict::fail(format!("the last one was on {}", day(record.at)), wanted)
    } else {
        Verdict::Pass
    })
}

/// The date of a moment.
pub(super) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn cut_over(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let ahead = scene.intent.hosts.iter().filter(|host| host.cutover_ahead);
    Ok(ahead.map(|host| host.name.clone()).collect())
}

fn kept(scene: &Scene<'_>, name: &str) -> Ruling {
    let host = scene.intent.hosts.iter().find(|host| host.name == name);
    let host = host.ok_or_else(|| Unseen::not_asked(name))?;
    let records = scene.facts.zones.get(&host.zone)?.records.get()?;
    let ttl = records
        .iter()
        .filter(|record| record.name == name)
        .map(|record| record.ttl.unwrap_or(ALIAS_TTL))
        .max();
    let Some(ttl) = ttl else {
        return Ok(Verdict::not_applicable("it has no record yet"));
    };
    let needed = ttl.saturating_add(scene.intent.limits.margin_seconds);
    let seen = || {
        host.kept_seconds
            .map_or_else(|| "not said".to_owned(), |kept| format!("{kept} s"))
    };
    let wanted = format!("{needed} s or more: the TTL of {ttl} s and a margin");
    Ok(Verdict::when(
        host.kept_seconds.is_some_and(|kept| kept >= needed),
        seen,
        wanted,
    ))
}

fn migrations(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let release = scene.intent.release.as_ref();
    Ok(release
        .map(|release| release.migrations.keys().cloned().collect())
        .unwrap_or_default())
}

fn marked(scene: &Scene<'_>, name: &str) -> Ruling {
    let release = scene.intent.release.as_ref();
    let marked = release.and_then(|release| release.migrations.get(name).copied().flatten());
    Ok(Verdict::when(
        marked.is_some(),
        || "it does not say".to_owned(),
        "reversible, or not",
    ))
}
