//! Facts of the storefront, judged by the whole catalogue.

mod around;
mod live;
mod whole;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rollout_core::port::FactSource as _;
use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::Scene;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::{DataIntent, DeployerIntent, Intent, Limits, Release};
use rollout_core::readiness::known::Why;
use rollout_core::readiness::report::{Finding, Report, Result, Status, judge};

use super::Facts;
use crate::surroundings::well_built;
use crate::testkit::ctx;
use crate::{Incident, SimCloud, When, World, storefront, storefront_intent};

/// The storefront's production in surroundings in which nothing is amiss, and what it is meant to be.
fn built() -> (World, Intent) {
    let mut world = storefront(1);
    let intent = storefront_intent(&world, "production").expect("it is there");
    let around = well_built(&world, "production", &intent).expect("it is there");
    *world.surroundings_mut("production").expect("it is there") = around;
    (world, intent)
}

fn gather(world: &World, intent: &Intent) -> Snapshot {
    gather_in("production", world, intent)
}

fn gather_in(target: &str, world: &World, intent: &Intent) -> Snapshot {
    let places = world.places();
    let index = |name: &str| {
        places
            .iter()
            .zip(0_u16..)
            .find(|(p, _)| p.name.as_str() == name)
            .map(|(_, i)| i)
    };
    let target = index(target).expect("it is there");
    let source = Facts::new(SimCloud::new(world.clone()), index("staging"), target);
    pollster::block_on(source.gather(&ctx("check", 1), intent)).expect("there is an identity")
}

fn judged(world: &World, intent: &Intent) -> Report {
    judged_in("production", world, intent)
}

fn judged_in(target: &str, world: &World, intent: &Intent) -> Report {
    let facts = gather_in(target, world, intent);
    let scene = Scene {
        facts: &facts,
        intent,
    };
    judge(&catalogue::all(), &scene, &[], facts.at)
}

fn odd(report: &Report) -> Vec<&Finding> {
    let fine = |status: &Status| matches!(status, Status::Pass | Status::NotApplicable { .. });
    report
        .findings
        .iter()
        .filter(|finding| !fine(&finding.status))
        .collect()
}

fn failing(report: &Report) -> BTreeSet<&str> {
    let failed = |finding: &&Finding| matches!(finding.status, Status::Fail { .. });
    report
        .findings
        .iter()
        .filter(failed)
        .map(|finding| finding.check.as_str())
        .collect()
}

#[test]
fn a_well_built_storefront_passes_every_check() {
    let (world, intent) = built();
    let report = judged(&world, &intent);
    assert!(odd(&report).is_empty(), "{:#?}", odd(&report));
    assert_eq!(report.result(), Result::Ready);
}

/// Staging's release, as it is about to be made in production: promoted, with the people's word for it.
fn with_release(world: &mut World, intent: &mut Intent) {
    let mut images = BTreeMap::new();
    for name in ["backend", "frontend", "worker"] {
        let repository = format!("storefront/{name}");
        let content = format!("{repository} 2.4.0");
        let digest = world
            .push_image("production", &repository, "2.4.0", &content)
            .expect("it is there");
        assert_eq!(
            world.image("staging", &repository, "2.4.0"),
            Ok(digest.clone()),
            "the same bytes"
        );
        let image = format!("{repository}@{digest}");
        images.insert(name.parse().expect("a name"), [(name.to_owned(), image)].into());
    }
    intent.release = Some(Release {
        name: "2.4.0".to_owned(),
        images,
        copies: BTreeMap::new(),
        task_definitions: BTreeMap::new(),
        migrations: [("migrate".to_owned(), Some(true))].into(),
    });
    let around = well_built(world, "production", intent).expect("it is there");
    *world.surroundings_mut("production").expect("it is there") = around;
}

#[test]
fn a_release_that_staging_has_proven_passes_and_another_does_not() {
    let (mut world, mut intent) = built();
    with_release(&mut world, &mut intent);
    let report = judged(&world, &intent);
    assert!(odd(&report).is_empty(), "{:#?}", odd(&report));
    let proven = |f: &&Finding| f.check == "procedure_digest_unproven" && f.status == Status::Pass;
    assert_eq!(report.findings.iter().filter(proven).count(), 3);

    // Somebody deploys something else to staging: what is released was not proven.
    let before = (world, intent);
    only(
        &["procedure_digest_unproven"],
        "another digest",
        &before,
        |world, _| {
            let digest = world
                .push_image("staging", "storefront/worker", "2.5.0", "x")
                .expect("it is there");
            let image = Some(("storefront/worker".parse().expect("a name"), digest));
            let deploy = Incident::ForeignDeployer {
                service: "worker".to_owned(),
                image,
            };
            world
                .schedule("staging", When::After(Duration::ZERO), deploy)
                .expect("it is there");
            world.pass(Duration::from_secs(900));
        },
    );
    only(
        &["procedure_approval_missing"],
        "one agrees",
        &before,
        |world, _| {
            let facts = world.surroundings_mut("production").expect("it is there");
            facts.records.approvals.truncate(1);
        },
    );
}

#[test]
fn a_well_built_staging_passes_too() {
    let mut world = storefront(2);
    let intent = storefront_intent(&world, "staging").expect("it is there");
    let around = well_built(&world, "staging", &intent).expect("it is there");
    *world.surroundings_mut("staging").expect("it is there") = around;
    let report = judged_in("staging", &world, &intent);
    assert!(odd(&report).is_empty(), "{:#?}", odd(&report));
    assert!(storefront_intent(&world, "nowhere").is_err());
    assert!(well_built(&world, "nowhere", &intent).is_err());
}

#[test]
fn surroundings_are_well_built_for_any_intent() {
    type Variant = (&'static str, fn(&mut Intent));
    let variants: [Variant; 6] = [
        ("no data", |intent| {
            intent.data = DataIntent::default();
            intent.hosts.retain(|host| host.name == "shop.example.com");
        }),
        ("no host names", |intent| {
            intent.hosts.clear();
            intent.data.distributions.clear();
            intent.data.invalidates.clear();
            intent.data.replaces_files = false;
        }),
        ("nobody says who deploys", |intent| {
            intent.deployer = DeployerIntent::default()
        }),
        ("whoever calls deploys", |intent| intent.deployer.role = None),
        ("a worker alone", |intent| {
            intent.services.retain(|service| service.port.is_none());
            intent.hosts.retain(|host| host.name == "assets.example.com");
        }),
        ("other numbers", |intent| {
            intent.limits = Limits {
                zones: 3,
                secret_days: 10,
                secret_prefix: Some("shop/".to_owned()),
                images_kept: 100,
                certificate_days: 90,
                rate: 500,
                backup_days: 30,
                drill_days: 7,
                log_days: 365,
                ..Limits::default()
            };
            intent.data.origins.insert("https://www.example.com".to_owned());
            intent
                .data
                .buckets
                .insert("storefront-exports".to_owned(), String::new());
            intent.data.databases.push("reports".to_owned());
            intent.cost.monthly_cents = Some(200_000);
        }),
    ];
    for (what, change) in variants {
        let mut world = storefront(3);
        let mut intent = storefront_intent(&world, "production").expect("it is there");
        change(&mut intent);
        let around = well_built(&world, "production", &intent).expect("it is there");
        *world.surroundings_mut("production").expect("it is there") = around;
        let report = judged(&world, &intent);
        assert!(odd(&report).is_empty(), "{what}: {:#?}", odd(&report));
    }
}

/// With one thing changed, exactly these checks fail, and nothing that is there is unknown.
fn only(checks: &[&str], what: &str, before: &(World, Intent), change: impl FnOnce(&mut World, &mut Intent)) {
    let (mut world, mut intent) = before.clone();
    change(&mut world, &mut intent);
    let report = judged(&world, &intent);
    let checks: BTreeSet<&str> = checks.iter().copied().collect();
    assert_eq!(failing(&report), checks, "{what}: {:#?}", odd(&report));
    // Of what is not there any more the rest cannot be told.
    let unread = |status: &Status| matches!(status, Status::Unknown { unseen } if unseen.why != Why::Missing);
    let unknown = odd(&report).into_iter().find(|finding| unread(&finding.status));
    assert_eq!(unknown, None, "{what}");
}

#[test]
fn what_stands_around_is_a_fact() {
    let before = built();
    let faults = around::faults();
    for (check, what, put) in &faults {
        only(&[*check], what, &before, |world, _| {
            let facts = world.surroundings_mut("production").expect("it is there");
            put(facts);
        });
    }
}

#[test]
fn what_the_world_does_shows_at_once() {
    let before = built();
    for (checks, what, change) in live::faults() {
        only(checks, what, &before, |world, _| change(world));
    }
}

#[test]
fn a_world_that_sketches_nothing_passes_by_its_own_facts() {
    let before = whole::built();
    let report = judged(&before.0, &before.1);
    assert!(odd(&report).is_empty(), "{:#?}", odd(&report));
    for (checks, what, change) in whole::faults() {
        only(checks, what, &before, |world, _| change(world));
    }
}

#[test]
fn a_call_that_may_not_be_made_is_never_a_pass() {
    let (world, intent) = built();
    let facts = gather(&world, &intent);
    let before = judged(&world, &intent);
    let passed: BTreeSet<_> = before
        .findings
        .iter()
        .filter(|f| f.status == Status::Pass)
        .map(named)
        .collect();
    let calls: Vec<String> = facts
        .calls
        .keys()
        .filter(|call| *call != "sts:GetCallerIdentity")
        .cloned()
        .collect();
    assert!(calls.len() > 20, "{calls:?}");
    for call in calls {
        let mut denied = world.clone();
        denied.deny("production", &call).expect("it is there");
        denied.deny("staging", &call).expect("it is there");
        let facts = gather(&denied, &intent);
        let text = serde_json::to_string(&facts).expect("plain data");
        assert!(
            text.contains(&format!("{call}: not authorised")),
            "{call} is not asked"
        );
        let report = judged(&denied, &intent);
        assert!(failing(&report).is_empty(), "{call}: {:#?}", odd(&report));
        for finding in report.findings.iter().filter(|f| f.status == Status::Pass) {
            assert!(
                passed.contains(&named(finding)),
                "{call}: {finding:?} did not pass before"
            );
        }
        denied.permit("production", &call).expect("it is there");
        denied.permit("staging", &call).expect("it is there");
        assert_eq!(judged(&denied, &intent), before);
    }
}

fn named(finding: &Finding) -> (String, String) {
    (finding.check.clone(), finding.resource.clone())
}

#[test]
fn an_environment_whose_surroundings_nobody_told_is_not_known_to_be_fit() {
    let world = storefront(1);
    let intent = storefront_intent(&world, "production").expect("it is there");
    let report = judged(&world, &intent);
    assert_ne!(report.result(), Result::Ready);
    let unknown = |f: &&Finding| matches!(f.status, Status::Unknown { .. });
    let unknown: BTreeSet<_> = report
        .findings
        .iter()
        .filter(unknown)
        .map(|f| f.check.as_str())
        .collect();
    for check in [
        "budgets_budget_missing",
        "rollback_drill_stale",
        "ec2_database_group_wide",
    ] {
        assert!(unknown.contains(check), "{check} in {unknown:?}");
    }
}

#[test]
fn gathering_changes_nothing() {
    let (world, intent) = built();
    let cloud = SimCloud::new(world.clone());
    let source = cloud
        .facts(Some("staging"), "production")
        .expect("they are there");
    let first = pollster::block_on(source.gather(&ctx("check", 1), &intent)).expect("there is an identity");
    let again = pollster::block_on(source.gather(&ctx("check", 1), &intent)).expect("there is an identity");
    assert_eq!(first, again);
    let after = cloud.world();
    assert_eq!(after.calls().mutations(), world.calls().mutations());
    assert_eq!(after.next_at(), world.next_at());
    assert_eq!(first.at, world.now());
    assert_eq!(
        first.calls.get("ecs:DescribeTaskDefinition"),
        Some(&6),
        "three revisions, and three ways back"
    );
    assert!(cloud.facts(None, "nowhere").is_err());
}

#[test]
fn a_stored_world_keeps_its_surroundings_and_one_of_before_has_none() {
    let (world, intent) = built();
    let text = serde_json::to_string(&world).expect("plain data");
    let read: World = serde_json::from_str(&text).expect("as it was written");
    assert_eq!(gather(&read, &intent), gather(&world, &intent));
    let mut old: serde_json::Value = serde_json::from_str(&text).expect("plain data");
    for environment in old["environments"].as_array_mut().expect("a list") {
        environment.as_object_mut().expect("a map").remove("surroundings");
    }
    let old: World = serde_json::from_value(old).expect("one of before is read");
    assert_eq!(old.surroundings("production").expect("it is there"), None);
}
