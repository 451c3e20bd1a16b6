//! The whole catalogue on a shop that is fit for production: as it is, with each fault, and with each fact unseen.

mod faults;
mod gate;
mod own;
mod profile;
mod risks;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::check::{Scene, Severity};
use super::fact::Snapshot;
use super::intent::Intent;
use super::report::{Report, Result, Status, judge};
use super::{catalogue, example};
use faults::Fault;

fn report(facts: &Snapshot, intent: &Intent) -> Report {
    judge(&catalogue::all(), &Scene { facts, intent }, &[], facts.at)
}

fn checks_that(report: &Report, is: fn(&Status) -> bool) -> BTreeSet<&str> {
    let findings = report.findings.iter().filter(|finding| is(&finding.status));
    findings.map(|finding| finding.check.as_str()).collect()
}

fn with(fault: &Fault) -> (Snapshot, Intent) {
    let (mut facts, mut intent) = example::shop();
    (fault.put)(&mut facts, &mut intent);
    (facts, intent)
}

#[test]
fn a_well_built_shop_passes_every_check() {
    let (facts, intent) = example::shop();
    let report = report(&facts, &intent);
    let not_passed: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.status != Status::Pass)
        .collect();
    let odd: Vec<_> = not_passed
        .iter()
        .filter(|finding| !matches!(finding.status, Status::NotApplicable { .. }))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    let passed = checks_that(&report, |status| *status == Status::Pass);
    let silent: Vec<_> = report
        .checks
        .iter()
        .filter(|about| !passed.contains(about.id.as_ref()))
        .collect();
    assert!(
        silent.is_empty(),
        "nothing for them to judge in the shop: {silent:#?}"
    );
    assert_eq!(report.result(), Result::Ready);
}

#[test]
fn each_fault_is_found_by_exactly_its_check() {
    for fault in faults::all() {
        let (facts, intent) = with(&fault);
        assert_ne!(
            (&facts, &intent),
            (&example::shop().0, &example::shop().1),
            "{}: {} changes nothing",
            fault.check,
            fault.what
        );
        let report = report(&facts, &intent);
        let failed = checks_that(&report, |status| matches!(status, Status::Fail { .. }));
        assert_eq!(
            failed,
            [fault.check].into(),
            "{}: {}\n{:#?}",
            fault.check,
            fault.what,
            bad(&report)
        );
    }
}

fn bad(report: &Report) -> Vec<&super::report::Finding> {
    let is_bad = |status: &Status| matches!(status, Status::Fail { .. } | Status::Unknown { .. });
    report
        .findings
        .iter()
        .filter(|finding| is_bad(&finding.status))
        .collect()
}

#[test]
fn every_check_has_a_fault_that_it_finds() {
    let found: BTreeSet<&str> = faults::all().iter().map(|fault| fault.check).collect();
    let all = catalogue::all();
    let every: BTreeSet<&str> = all.iter().map(|check| check.about().id.as_ref()).collect();
    assert_eq!(found, every);
}

/// Every place of a snapshot that can be seen or not, as the path to it.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "seen" && members.len() == 1 {
                    all.push(at.to_owned());
                }
                places(
                    member,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    all,
                );
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

/// The facts with one of them unseen, for each that `pick` takes by its number.
fn blinded(facts: &Snapshot, pick: impl Fn(usize) -> bool) -> Vec<(String, Snapshot)> {
    let whole = serde_json::to_value(facts).expect("a snapshot is plain data");
    let mut all = Vec::new();
    places(&whole, "", &mut all);
    let blind = move |place: String| {
        let mut value = whole.clone();
        *value.pointer_mut(&place).expect("it was found there") =
            json!({ "unknown": { "why": "denied", "subject": "", "text": "it may not be read" } });
        let facts = serde_json::from_value(value).expect("an unknown fact is a fact");
        (place, facts)
    };
    let picked = all.into_iter().enumerate().filter(|(number, _)| pick(*number));
    picked.map(|(_, place)| blind(place)).collect()
}

fn by_resource(report: &Report) -> BTreeMap<(&str, &str), &Status> {
    report
        .findings
        .iter()
        .map(|finding| {
            (
                (finding.check.as_str(), finding.resource.as_str()),
                &finding.status,
            )
        })
        .collect()
}

/// What is not seen is never a pass: with any one fact unseen a check says what it said before, or that it does not know.
#[test]
fn a_fact_that_is_not_seen_changes_no_verdict_but_to_unknown() {
    let (facts, intent) = example::shop();
    let before = report(&facts, &intent);
    let before = by_resource(&before);
    let mut undecided = BTreeSet::new();
    for (place, facts) in blinded(&facts, |_| true) {
        let after = report(&facts, &intent);
        for (key, status) in by_resource(&after) {
            if matches!(status, Status::Unknown { .. }) {
                undecided.insert(key.0.to_owned());
            } else {
                assert_eq!(Some(&status), before.get(&key), "{key:?} with {place} unseen");
            }
        }
    }
    let all = catalogue::all();
    let blind: BTreeSet<_> = all
        .iter()
        .map(|check| check.about().id.to_string())
        .filter(|id| !undecided.contains(id) && !faults::OF_INTENT.contains(&id.as_str()))
        .collect();
    assert!(
        blind.is_empty(),
        "no fact that is not seen makes them say so: {blind:#?}"
    );
}

/// The same with each fault: what failed never passes because something else cannot be seen.
#[test]
fn a_failure_does_not_pass_because_a_fact_is_not_seen() {
    // One in so many, another one for each fault: all of them, for each, would take minutes and show little more.
    const STEP: usize = 31;
    for (turn, fault) in faults::all().into_iter().enumerate() {
        let (facts, intent) = with(&fault);
        let before = report(&facts, &intent);
        let failed: BTreeSet<_> = before
            .findings
            .iter()
            .filter(|finding| matches!(finding.status, Status::Fail { .. }))
            .map(|finding| (finding.check.as_str(), finding.resource.as_str()))
            .collect();
        for (place, facts) in blinded(&facts, |number| number % STEP == turn % STEP) {
            let after = report(&facts, &intent);
            let after = by_resource(&after);
            for key in &failed {
                let passes = matches!(after.get(key), Some(Status::Pass | Status::NotApplicable { .. }));
                assert!(!passes, "{key:?} passes with {place} unseen");
            }
        }
    }
}

#[test]
fn every_check_says_what_a_person_needs() {
    let mut ids = BTreeSet::new();
    for check in catalogue::all() {
        let about = check.about();
        let id = about.id.as_ref();
        assert!(ids.insert(id.to_owned()), "{id} stands there twice");
        let well_formed = id
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(
            well_formed && id.split('_').count() >= 3,
            "{id} is not service_resource_condition"
        );
        for (what, text) in [
            ("title", &about.title),
            ("why", &about.why),
            ("remedy", &about.remedy.text),
            ("source", &about.source),
        ] {
            assert!(text.len() >= 10, "{id}: {what} says nothing");
        }
        assert!(!about.tiers.is_empty(), "{id} is asked of no environment");
        assert!(
            !(about.blocking && about.severity == Severity::Low),
            "{id} blocks, but is of low severity"
        );
        let cli = about.remedy.cli.as_ref();
        assert!(
            cli.is_empty() || cli.starts_with("aws ") || cli.starts_with("rollout "),
            "{id}: {cli}"
        );
    }
}

fn broken(check: &str) -> (Snapshot, Intent) {
    let all = faults::all();
    with(
        all.iter()
            .find(|fault| fault.check == check)
            .expect("a fault of the list"),
    )
}

#[test]
fn what_only_advises_refuses_nothing() {
    let (facts, intent) = broken("wafv2_logging_off");
    let report = report(&facts, &intent);
    assert_eq!(
        checks_that(&report, |status| matches!(status, Status::Fail { .. })).len(),
        1
    );
    assert_eq!(report.result(), Result::Ready);
    assert_eq!(report.blocking().count(), 0);
}

#[test]
fn a_check_is_asked_only_of_environments_of_its_tiers() {
    let (facts, mut intent) = broken("wafv2_balancer_unprotected");
    assert_eq!(report(&facts, &intent).result(), Result::NotReady);
    intent.tier = super::intent::Tier::Staging;
    let report = report(&facts, &intent);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.check == "wafv2_balancer_unprotected");
    let status = finding.map(|finding| &finding.status);
    assert!(
        matches!(status, Some(Status::NotApplicable { why }) if why.contains("tier")),
        "{status:?}"
    );
}

#[test]
fn the_worst_comes_first() {
    let (mut facts, intent) = example::shop();
    // Of what is taken away nothing else can be said, or be made wrong.
    let gone = |facts: &Snapshot| {
        let text = serde_json::to_string(facts).expect("a snapshot is plain data");
        text.matches("\"missing\"").count()
    };
    let none = gone(&facts);
    let faults = faults::all()
        .into_iter()
        .filter(|fault| gone(&with(fault).0) == none);
    for fault in faults {
        let mut changed = intent.clone();
        (fault.put)(&mut facts, &mut changed);
    }
    let report = report(&facts, &intent);
    let severity = |id: &str| report.about(id).map(|about| about.severity);
    let failed: Vec<_> = report
        .findings
        .iter()
        .take_while(|finding| matches!(finding.status, Status::Fail { .. }))
        .map(|finding| severity(&finding.check))
        .collect();
    assert!(failed.len() > 5, "{}", failed.len());
    assert!(failed.is_sorted_by(|a, b| a >= b), "{failed:?}");
}

/// Two things at once: the endpoints lead to the environment's own registry only.
#[test]
fn an_image_from_elsewhere_needs_a_way_out() {
    let (mut facts, mut intent) = example::shop();
    let release = intent.release.as_mut().expect("one is about to be made");
    for definition in release.task_definitions.values_mut() {
        let mut beside = definition.containers[0].clone();
        beside.name = "proxy".to_owned();
        beside.ports = Vec::new();
        beside.image = beside.image.replace(".dkr.ecr.", ".registry.");
        definition.containers.push(beside);
    }
    let failed = |facts: &Snapshot| {
        let report = report(facts, &intent);
        let failed = checks_that(&report, |status| matches!(status, Status::Fail { .. }));
        failed.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let elsewhere = failed(&facts);
    for (_, subnet) in facts.subnets.iter_mut() {
        let crate::readiness::known::Known::Seen(subnet) = subnet else {
            continue;
        };
        let crate::readiness::known::Known::Seen(routes) = &mut subnet.routes else {
            continue;
        };
        routes.retain(|route| route.destination != "0.0.0.0/0");
    }
    let mut with_no_way_out = failed(&facts);
    with_no_way_out.retain(|check| !elsewhere.contains(check));
    assert_eq!(with_no_way_out, ["ec2_task_egress_missing"]);
    assert_eq!(elsewhere.len(), 1, "{elsewhere:?}");
}
