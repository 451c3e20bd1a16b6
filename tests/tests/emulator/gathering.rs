//! Facts of an environment that boto3 made, compared field by field with what boto3 was asked for, and with what it then broke.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rollout_aws::readiness::AwsFacts;
use rollout_core::context::OpContext;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::port::FactSource as _;
use rollout_core::readiness::check::Scene;
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::intent::Intent;
use rollout_core::readiness::report::{Status, judge};
use rollout_core::readiness::{catalogue, example};
use rollout_core::time::Timestamp;
use rollout_tests::emulator::account::Account;
use rollout_tests::emulator::unique;
use serde_json::{Map, Value};

const ACCOUNT: &str = "123456789012";

/// Runs the script that makes the environment, with the emulator's own Python.
fn script(arguments: &[&str]) -> Value {
    let python = std::env::var_os("ROLLOUT_EMULATOR_PYTHON").expect("`cargo xtask emulator test` sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator/facts/shop.py");
    let done = Command::new(python)
        .arg(script)
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// What the environment is meant to be, from what was made.
fn meant(made: &Value) -> Intent {
    let text = |name: &str| {
        let value = made.pointer(&format!("/intent/{name}")).and_then(Value::as_str);
        value.expect("a text").to_owned()
    };
    let (_, mut intent) = example::shop();
    intent.release = None;
    intent.expects.account = ACCOUNT.to_owned();
    intent.cluster = text("cluster");
    intent.services.truncate(1);
    for service in &mut intent.services {
        service.name = text("service").parse().expect("a name");
    }
    intent.hosts.truncate(1);
    for host in &mut intent.hosts {
        host.name = text("host");
        host.zone = text("zone");
    }
    intent.data.databases = vec![text("name")];
    intent.data.caches = vec![text("name")];
    intent.data.buckets = [(text("bucket"), "uploads/".to_owned())].into();
    intent.data.distributions = vec![text("distribution")];
    intent.deployer.role = Some(text("role"));
    intent.watch.dashboard = Some(text("name"));
    intent.cost.budget = Some(text("name"));
    intent
}

/// What was seen at a time: the facts, without what changes by itself and what other tests have made, and what fails by them.
struct Seen {
    facts: Value,
    /// Checks and resources.
    failures: BTreeSet<(String, String)>,
}

fn failures(facts: &Snapshot, intent: &Intent) -> BTreeSet<(String, String)> {
    let report = judge(&catalogue::all(), &Scene { facts, intent }, &[], facts.at);
    let failed = report.findings.into_iter();
    failed
        .filter(|finding| matches!(finding.status, Status::Fail { .. }))
        .map(|finding| (finding.check, finding.resource))
        .collect()
}

async fn look(source: &AwsFacts, intent: &Intent) -> Seen {
    let ctx = OpContext {
        run: "facts".parse().expect("an id"),
        step: "check".parse().expect("an id"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    };
    let facts = source.gather(&ctx, intent).await.expect("facts");
    let failures = failures(&facts, intent);
    let mut facts = serde_json::to_value(facts).expect("JSON");
    let all = facts.as_object_mut().expect("an object");
    for passing in ["at", "calls", "ways_back"] {
        all.remove(passing);
    }
    for shared in ["/alarms/seen", "/budgets/seen"] {
        let shared = facts.pointer_mut(shared).and_then(Value::as_object_mut);
        shared
            .expect("seen")
            .retain(|name, _| name.starts_with(&intent.cluster));
    }
    nameless(&mut facts);
    Seen { facts, failures }
}

/// Takes the requests' ids out of what AWS said.
fn nameless(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((said, _)) = text.split_once(" (request id ") {
                *text = said.to_owned();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(nameless),
        Value::Object(all) => all.values_mut().for_each(nameless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where `seen` is not what is wanted. What is not wanted may be anything; `"any"` is anything but null, and null is nothing.
fn differences(at: &str, wanted: &Value, seen: Option<&Value>, found: &mut Vec<String>) {
    match (wanted, seen) {
        (Value::Object(wanted), Some(Value::Object(seen))) => {
            for (key, value) in wanted {
                differences(&format!("{at}/{key}"), value, seen.get(key), found);
            }
        }
        (Value::Array(wanted), Some(Value::Array(seen))) if wanted.len() == seen.len() => {
            for (index, (wanted, seen)) in wanted.iter().zip(seen).enumerate() {
                differences(&format!("{at}/{index}"), wanted, Some(seen), found);
            }
        }
        (Value::Null, None | Some(Value::Null)) => {}
        (Value::String(any), Some(seen)) if any == "any" && !seen.is_null() => {}
        (wanted, Some(seen)) if wanted == seen => {}
        (wanted, seen) => found.push(format!("{at}: wanted {wanted}, seen {seen:?}")),
    }
}

fn compare(wanted: &Value, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differences("", wanted, Some(seen), &mut found);
    found
}

/// The facts without what a fault says of them.
fn rest(facts: &Value, said: &Value) -> Value {
    let (Value::Object(facts), Value::Object(said)) = (facts, said) else {
        return Value::Null;
    };
    let kept = facts.iter().filter_map(|(key, value)| match said.get(key) {
        None => Some((key.clone(), value.clone())),
        Some(said) => Some((key.clone(), rest(value, said))).filter(|(_, rest)| !rest.is_null()),
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

/// What boto3 made is seen as it was asked for; then each fault that boto3 puts in is seen, nothing else changes with it, and exactly
/// its checks find it.
pub(crate) async fn what_boto3_made() {
    let name = unique("facts");
    let made = script(&["make", &name]);
    let account = Account::open(ACCOUNT).await;
    let config = account.config().to_builder();
    let region = aws_config::Region::new("eu-central-1");
    let source = AwsFacts::from_config(&config.region(region).build());
    let intent = meant(&made);
    let mut before = look(&source, &intent).await;
    let facts = made.get("facts").expect("facts");
    assert_eq!(compare(facts, &before.facts), Vec::<String>::new());
    let faults = script(&["faults"]);
    for fault in faults.as_array().expect("names") {
        let fault = fault.as_str().expect("a name");
        let broken = script(&["break", &name, fault]);
        let said = broken.get("facts").expect("facts");
        assert!(
            !compare(said, &before.facts).is_empty(),
            "{fault}: it was so before"
        );
        let after = look(&source, &intent).await;
        assert_eq!(compare(said, &after.facts), Vec::<String>::new(), "{fault}");
        let (was, is) = (rest(&before.facts, said), rest(&after.facts, said));
        let changed = [compare(&was, &is), compare(&is, &was)].concat();
        assert_eq!(changed, Vec::<String>::new(), "{fault}: something else changed");
        let new = after.failures.difference(&before.failures);
        let found: BTreeSet<&str> = new.map(|(check, _)| check.as_str()).collect();
        let wanted = broken.get("found_by").and_then(Value::as_array).expect("names");
        let wanted = wanted.iter().filter_map(Value::as_str).collect();
        assert_eq!(found, wanted, "{fault}: what finds it");
        before = after;
    }
}
