//! `rollout fleet`, as a user would: three members, each a simulated cloud of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Rollout, storefront};

/// Writes a fleet file: a canary, and a wave of two.
fn fleet(rollout: &Rollout, more: &str) -> PathBuf {
    let config = storefront();
    let config = config.to_str().expect("text");
    let members: String = ["a", "b", "c"]
        .map(|name| format!("[members.{name}]\nconfig = '{config}'\n"))
        .concat();
    let text = format!(
        "{more}\n{members}
[[waves]]
name = \"canary\"
members = [\"a\"]
bake = \"30m\"

[[waves]]
name = \"rest\"
members = [\"b\", \"c\"]
at_once = 2
"
    );
    let file = rollout.path("fleet.toml");
    fs::write(&file, text).expect("writable");
    file
}

/// What became of a member, in the words of the outcome.
fn end<'a>(outcome: &'a Value, member: &str) -> &'a Value {
    let details = outcome["details"].as_object().expect("an outcome");
    let (_, inner) = details.iter().next().expect("one");
    &inner["members"][member]
}

#[test]
fn a_fleet_is_released_and_everybody_can_see_it() {
    let rollout = Rollout::new();
    fleet(&rollout, "release = \"2.4.0\"");
    let (code, outcome) = rollout.end(&["fleet", "run", "--run", "f-1"]);
    assert_eq!(code, Some(0), "{outcome}");
    assert_eq!(outcome["outcome"], "Released");
    for member in ["a", "b", "c"] {
        assert_eq!(end(&outcome, member)["ended"], "released", "{outcome}");
    }
    let (code, text) = rollout.text(&["fleet", "status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("Released: all 3 members serve the release"),
        "{text}"
    );
    let (code, text) = rollout.text(&["fleet", "resume", "f-1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nothing to go on with"), "{text}");
    let (code, text) = rollout.text(&["fleet", "abort", "f-1"]);
    assert!(code == Some(1) && text.contains("is not under way"), "{text}");
}

#[test]
fn one_that_fails_takes_the_others_back() {
    let rollout = Rollout::new();
    fleet(&rollout, "release = \"2.4.0\"");
    let incident = ["--sim-incident", "b/backend:bad-image"];
    let (code, outcome) = rollout.end(&[&["fleet", "run", "--run", "f-1"][..], &incident].concat());
    assert_eq!(code, Some(11), "{outcome}");
    assert_eq!(outcome["outcome"], "RolledBack");
    let why = outcome["why"].as_str().expect("a reason");
    assert!(why.starts_with("member b of wave rest: rolled back: "), "{why}");
    let why = &end(&outcome, "a")["ended"]["rolled_back"]["why"]["text"];
    assert_eq!(why, "taken back with its fleet", "{outcome}");
    assert!(!end(&outcome, "b")["ended"]["rolled_back"].is_null(), "{outcome}");
    let (_, text) = rollout.text(&["fleet", "status", "f-1"]);
    assert!(
        text.contains("✗ RolledBack") && text.contains("b (f-1.b)"),
        "{text}"
    );
}

#[test]
fn a_fleet_whose_process_was_killed_goes_on() {
    let rollout = Rollout::new();
    fleet(&rollout, "release = \"2.4.0\"");
    let mut child = rollout
        .command(&["fleet", "run", "--run", "f-1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let begun = lines
        .map_while(Result::ok)
        .any(|line| line.contains("rest/b") && line.contains("working"));
    assert!(begun, "it never came to the second wave");
    child.kill().expect("it runs");
    child.wait().expect("it is gone");
    let (code, outcome) = rollout.end(&["fleet", "resume", "f-1"]);
    assert_eq!(code, Some(0), "{outcome}");
    assert_eq!(end(&outcome, "b")["ended"], "released", "{outcome}");
}

#[test]
fn whoever_asks_for_a_stop_gets_everything_back() {
    let rollout = Rollout::new();
    fleet(&rollout, "release = \"2.4.0\"");
    let mut child = rollout
        .command(&["fleet", "run", "--run", "f-1", "--json", "--sim-speed", "200"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.contains("rest/b") && line.contains("working")));
    let (code, text) = rollout.text(&["fleet", "status", "f-1"]);
    assert!(code == Some(0) && text.contains("under way"), "{text}");
    let (code, text) = rollout.text(&["fleet", "abort", "f-1"]);
    assert_eq!(code, Some(0), "{text}");
    let last = lines.last().expect("an outcome");
    assert_eq!(child.wait().expect("it is over").code(), Some(13), "{last}");
    let outcome: Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!(outcome["outcome"], "Aborted", "{outcome}");
    assert_eq!(
        outcome["details"]["aborted"]["left_at"], "last_known_good",
        "{outcome}"
    );
    assert_eq!(
        end(&outcome, "a")["ended"]["aborted"]["left_at"],
        "last_known_good",
        "{outcome}"
    );
}

#[test]
fn a_file_that_makes_no_fleet_is_refused_by_name() {
    let rollout = Rollout::new();
    let refused = |text: &str| {
        let (code, said) = rollout.text(&["fleet", "run", "--run", "f-1"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("fleet.toml") && said.contains(text), "{said}");
    };
    refused("No such file");
    fleet(&rollout, "");
    refused("no release is named");
    fleet(&rollout, "release = \"2.4.0\"\npolicy = { unbaked = \"10%\" }");
    refused("10 % of a fleet of 3 is less than one member");
    fleet(&rollout, "release = \"2.4.0\"\n[members.d]");
    refused("no wave names the member d");
    fleet(&rollout, "releas = \"2.4.0\"");
    refused("did you mean `release`");
    fleet(&rollout, "release = \"2.4.0\"");
    let file = fleet(&rollout, "release = \"2.4.0\"");
    let text = fs::read_to_string(&file).expect("it was written");
    let gate = "bake = \"30m\"\n[[waves.gate.probes]]\nname = \"fit\"\ncustom = { name = \"depth\" }\n";
    fs::write(&file, text.replace("bake = \"30m\"\n", gate)).expect("writable");
    refused("has the custom probe depth, which this program does not know");
    fleet(&rollout, "release = \"2.4.0\"");
    // On AWS they keep their state in one place, and one lease is for all three.
    let (code, said) = rollout.text(&["fleet", "run", "--cloud", "aws"]);
    if cfg!(feature = "aws") {
        assert_eq!(code, Some(2), "{said}");
        let told = "the members a and b both change production, group default";
        assert!(said.contains(told), "{said}");
    }
    assert!(!rollout.state("fleets/runs").exists(), "nothing was begun");
}

/// Between waves: nothing further is begun before the gate has passed, and what was released goes back when it does not.
#[test]
fn a_gate_between_waves_is_asked_of_a_members_cloud() {
    let gate = |probe: &str| {
        format!(
            "bake = \"30m\"\n[waves.gate]\nbake = \"1m\"\ngive_up = \"10m\"\n[[waves.gate.probes]]\nname = \"shop\"\n{probe}\n"
        )
    };
    let serves = "http = { url = \"https://backend.storefront.example.com/health/ready\" }";
    let fires = "alarms = [\"no-such-alarm\"]\nerrors = 1";
    for (probe, code, outcome) in [(serves, 0, "Released"), (fires, 11, "RolledBack")] {
        let rollout = Rollout::new();
        let file = fleet(&rollout, "release = \"2.4.0\"");
        let text = fs::read_to_string(&file).expect("it was written");
        fs::write(&file, text.replace("bake = \"30m\"\n", &gate(probe))).expect("writable");
        let (ended, end) = rollout.end(&["fleet", "run", "--run", "f-1"]);
        assert_eq!((ended, &end["outcome"]), (Some(code), &json!(outcome)), "{end}");
        let begun = rollout.state("members/b/runs/f-1.b").exists();
        assert_eq!(begun, code == 0, "{end}");
        if code != 0 {
            let why = end["why"].as_str().expect("a reason");
            assert!(why.contains("canary") && why.contains("shop"), "{why}");
        }
    }
}
