//! The program itself, on the simulated cloud: exit codes, what it prints, what it keeps.

use std::process::Command;

use serde_json::Value;

#[cfg(unix)]
use crate::harness::kill;
use crate::harness::{Rollout, stdout};

#[test]
fn a_release_is_released_and_taken_back_again() {
    let rollout = Rollout::new();
    let (code, lines) = rollout.json(&["run", "--run", "one"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(last["outcome"], "Released");
    assert_eq!(last["exit_code"], 0);
    for step in [
        "task/migrate",
        "service/backend",
        "service/frontend",
        "service/worker",
        "gate/shop",
        "confirm",
    ] {
        let done = lines
            .iter()
            .any(|line| line["step"] == step && line["state"] == "done");
        assert!(done, "{step}");
    }

    let (code, lines) = rollout.json(&["status"]);
    assert_eq!(code, Some(0));
    assert_eq!(lines.last().expect("the outcome")["outcome"], "Released");

    let text = stdout(&rollout.run(&["plan"]));
    assert!(text.contains("already"), "everything is there: {text}");

    let (code, lines) = rollout.json(&["rollback"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(last["outcome"], "AtLastKnownGood");
    let text = stdout(&rollout.run(&["plan"]));
    assert!(!text.contains("already"), "everything would change again: {text}");
}

#[test]
fn every_incident_ends_with_its_own_exit_code() {
    for (incident, code, says) in [
        ("bad-image", 11, "CannotPullContainerError"),
        ("worker:bad-image", 11, "service/worker"),
        ("crash-loop", 11, "PAYMENT_TIMEOUT"),
        ("failing-health-check", 11, "status 503"),
        ("alarm", 11, "storefront-backend-5xx"),
        ("alarm-before-start", 10, "nothing was touched"),
        ("tag-moves", 10, "nothing was touched"),
        ("foreign-deployer", 12, "yielded"),
        ("service-deleted", 14, "next"),
        ("platform-rollback", 11, "rolled deployment"),
        ("stall", 14, "was not done within"),
        ("everything-broken", 11, "serves what it served before"),
        ("capacity-short", 0, "Released"),
    ] {
        let output = Rollout::new().run(&["run", "--sim-incident", incident]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(code), "{incident}: {text}");
        assert!(text.contains(says), "{incident}: {text}");
    }
}

#[test]
fn a_failure_says_why_in_json_too() {
    let (code, lines) = Rollout::new().json(&["run", "--sim-incident", "crash-loop"]);
    let last = lines.last().expect("the outcome");
    assert_eq!(code, Some(11));
    assert_eq!(last["exit_code"], 11);
    let why = last["why"].as_str().expect("a reason");
    assert!(why.contains("exit code 1"), "{why}");
    let evidence = last["evidence"].as_array().expect("evidence");
    assert!(evidence.iter().any(|piece| piece["source"] == "log"), "{last}");
}

#[test]
fn another_release_than_stagings_is_refused() {
    let rollout = Rollout::new();
    assert_eq!(rollout.run(&["run"]).status.code(), Some(0));
    let (code, lines) = rollout.json(&["run", "--release", "9.9.9"]);
    assert_eq!(code, Some(10), "{:?}", lines.last());
}

#[test]
fn a_plan_reads_only_and_finds_every_refusal() {
    let rollout = Rollout::new();
    let (code, lines) = rollout.json(&["plan"]);
    assert_eq!(code, Some(0), "{lines:?}");
    let plan = &lines[0];
    assert_eq!(plan["refusals"].as_array().map(Vec::len), Some(0), "{plan}");
    let image = &plan["services"][0]["images"]["app"];
    assert!(image["from"].is_string() && image["to"].is_string(), "{plan}");
    assert_ne!(image["from"], image["to"], "{plan}");
    assert!(!rollout.state("runs").exists() && !rollout.state("sim.json").exists());

    let two = [
        "plan",
        "--sim-incident",
        "alarm-before-start",
        "--sim-incident",
        "tag-moves",
    ];
    let (code, lines) = rollout.json(&two);
    assert_eq!(code, Some(10));
    let refusals = lines[0]["refusals"].as_array().expect("a list");
    assert!(refusals.len() >= 2, "{}", lines[0]);
}

#[test]
fn another_process_aborts_a_run_and_reads_how_far_it_is() {
    let rollout = Rollout::new();
    let (mut child, lines) = rollout.under_way("slow");
    let (code, status) = rollout.json(&["status", "slow"]);
    assert_eq!(code, Some(0));
    assert_eq!(status.last().expect("a status")["status"], "under_way");
    assert_eq!(rollout.run(&["abort"]).status.code(), Some(0));
    let last = lines.last().expect("the outcome");
    assert_eq!(last["outcome"], "Aborted", "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(13));
    let refused = rollout.run(&["abort"]);
    assert_eq!(refused.status.code(), Some(1), "nobody is there to be asked");
}

#[cfg(unix)]
#[test]
fn ctrl_c_goes_to_a_safe_place_and_says_where() {
    let rollout = Rollout::new();
    let (mut child, lines) = rollout.under_way("slow");
    kill(&child, "-INT");
    let last = lines.last().expect("the outcome");
    assert_eq!(last["outcome"], "Aborted", "{last}");
    assert!(
        last["summary"]
            .as_str()
            .is_some_and(|text| text.contains("production")),
        "{last}"
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(13));
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_leaves_at_once_and_the_run_can_be_taken_back() {
    let rollout = Rollout::new();
    let (mut child, mut lines) = rollout.under_way("slow");
    kill(&child, "-INT");
    assert!(
        lines.any(|line| line["kind"] == "message"),
        "the first one is answered"
    );
    kill(&child, "-INT");
    let last = lines.last().expect("a last word");
    assert_eq!(last["kind"], "left", "{last}");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let status = rollout.run(&["status"]);
    assert!(stdout(&status).contains("Interrupted"), "{}", stdout(&status));
    let back = rollout.run(&["rollback"]);
    assert_eq!(back.status.code(), Some(0), "{}", stdout(&back));
    let status = stdout(&rollout.run(&["status"]));
    assert!(
        status.contains("Aborted: production serves what it served before, verified"),
        "{status}"
    );
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("rollout.toml");
    std::fs::write(&file, "relase = \"1\"\n").expect("writable");
    let run = |json: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_rollout"))
            .args(["run", "--cloud", "sim", "--config"])
            .arg(&file)
            .args(json)
            .output()
            .expect("it starts")
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("rollout.toml:1:1"), "{text}");
    assert!(text.contains("did you mean `release`?"), "{text}");
    let output = run(&["--json"]);
    assert_eq!(output.status.code(), Some(2));
    for line in stdout(&output).lines() {
        let value: Value = serde_json::from_str(line).expect(line);
        assert_eq!(value["kind"], "error");
    }
}

#[test]
fn what_needs_no_cloud_works_without_a_configuration() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rollout"))
            .args(args)
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        stdout(&output)
    };
    assert_eq!(run(&["graph"]).matches("stateDiagram-v2").count(), 9);
    assert!(run(&["graph", "gate", "--table"]).contains("ignored"));
    assert!(run(&["completions", "bash"]).contains("rollout"));
    assert_eq!(run(&["exit-codes"]).lines().count(), 11);
    let help = run(&["--help"]);
    assert!(
        help.contains("Examples:") && help.contains("Exit codes:"),
        "{help}"
    );
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let output = Rollout::new().run(&["status", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("nothing"), "{text}");
}

#[test]
fn a_state_that_can_be_nowhere_is_the_command_lines_fault() {
    let rollout = Rollout::new();
    std::fs::write(rollout.path("file"), "").expect("it can be written");
    for place in ["s3//x", "s3:/bucket", "ftp://x", "s3://A", "file"] {
        let output = Command::new(env!("CARGO_BIN_EXE_rollout"))
            .args(["--cloud", "sim", "list", "--state-dir", place])
            .env_remove("ROLLOUT_STATE_DIR")
            .current_dir(rollout.path(""))
            .output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{place}: {said}");
        assert!(said.contains(place), "{said}");
    }
}

/// Who answers for a quota sees what a release has cost of it: every call, by action.
#[cfg(feature = "aws")]
#[test]
fn the_calls_of_a_release_are_counted_at_its_end() {
    let rollout = Rollout::new();
    let (code, end) = rollout.end(&["run", "--run", "one"]);
    assert_eq!(code, Some(0), "{end}");
    let of = |action: &str| end["calls"][action].as_u64().unwrap_or_default();
    assert_eq!(of("ecs:UpdateService"), 3, "one for each service: {end}");
    assert_eq!(of("ecs:RegisterTaskDefinition"), 4, "and one for the task: {end}");
    assert!(of("cloudwatch:DescribeAlarms") > 0, "{end}");
    let all = end["calls"].as_object().expect("calls").values();
    let all: u64 = all.filter_map(Value::as_u64).sum();
    // Once more with the same content: it has not changed, and no revision is registered (P10).
    let (code, end) = rollout.end(&["run", "--run", "two"]);
    assert_eq!(code, Some(0), "{end}");
    for action in ["ecs:RegisterTaskDefinition", "ecs:UpdateService"] {
        assert!(end["calls"][action].is_null(), "{action}: {end}");
    }
    let (_, text) = rollout.text(&["run", "--run", "three"]);
    assert!(text.contains(" of AWS: ecs "), "{text}");
    assert!(all > 100, "{end}");
    // Who only looks at what was written down does not know.
    let (_, end) = rollout.end(&["status", "two"]);
    assert!(end.get("calls").is_none(), "{end}");
}
