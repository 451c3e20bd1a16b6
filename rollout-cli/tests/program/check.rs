//! `rollout check`, and readiness before and within a release, on the simulated cloud.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Rollout, stderr, storefront};

/// The example's readiness file with something else in place of a line of it; each piece must stand in it.
fn readiness(rollout: &Rollout, changes: &[(&str, &str)]) -> PathBuf {
    let beside = storefront().with_file_name("readiness.toml");
    let mut text = fs::read_to_string(beside).expect("the example has one");
    let prices = storefront().with_file_name("prices.json");
    let prices = format!("prices = {:?}", prices.display().to_string());
    for (old, new) in [&[("prices = \"prices.json\"", prices.as_str())], changes].concat() {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let path = rollout.path("readiness.toml");
    fs::write(&path, text).expect("writable");
    path
}

const THREE: (&str, &str) = ("approvals = 2", "approvals = 3");

fn check(rollout: &Rollout, changes: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let file = readiness(rollout, changes);
    let file = file.display().to_string();
    rollout.text(&[&["check", "--readiness", &file], args].concat())
}

fn report(rollout: &Rollout, changes: &[(&str, &str)], args: &[&str]) -> (Option<i32>, Value) {
    let (code, text) = check(rollout, changes, &[args, &["--json"]].concat());
    (
        code,
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

fn of<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} was not asked"))
}

#[test]
fn the_storefront_is_ready() {
    let rollout = Rollout::new();
    let (code, text) = rollout.text(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("production is ready"), "{text}");
    let (code, all) = report(&rollout, &[], &[]);
    assert_eq!((code, &all["result"]), (Some(0), &json!("ready")));
    let passed = all["findings"].as_array().expect("a list").iter();
    assert!(passed.filter(|finding| finding["status"] == "pass").count() > 300);
}

#[test]
fn a_blocking_failure_has_a_code_of_its_own_and_is_shown_in_every_form() {
    let rollout = Rollout::new();
    for (form, says) in [
        ("text", "not ready"),
        ("json", "\"result\":\"not_ready\""),
        ("sarif", "\"ruleId\": \"procedure_approval_missing\""),
        ("junit", "<failure"),
        ("markdown", "procedure_approval_missing"),
        ("html", "<!doctype html>"),
    ] {
        let (code, text) = check(&rollout, &[THREE], &["--format", form]);
        assert_eq!(code, Some(15), "{form}: {text}");
        let (plain, says) = (
            text.replace("\": \"", "\":\"").to_lowercase(),
            says.replace("\": \"", "\":\"").to_lowercase(),
        );
        assert!(plain.contains(&says), "{form}: {text}");
    }
    let page = rollout.path("page.html");
    let to = page.display().to_string();
    let (code, text) = check(&rollout, &[THREE], &["--format", "html", "--output", &to]);
    assert_eq!((code, text.as_str()), (Some(15), ""));
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.contains("Ada, Grace"), "{page}");
    assert!(
        !page.contains("http-equiv=\"refresh\"") && !page.contains("<script src"),
        "nothing is loaded from elsewhere"
    );
}

#[test]
fn a_check_tells_its_whole_story_and_a_mistyped_one_gets_a_suggestion() {
    let rollout = Rollout::new();
    let (code, text) = check(&rollout, &[THREE], &["--explain", "procedure_approval_missing"]);
    assert_eq!(code, Some(15), "{text}");
    for word in [
        "Ada, Grace",
        "3 people",
        "[[accepted]]",
        "second pair of eyes",
        "Well-Architected",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let (code, text) = check(&rollout, &[], &["--explain", "procedure_aproval_missing"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("did you mean `procedure_approval_missing`"),
        "{text}"
    );
    let (code, text) = rollout.text(&["check", "--list"]);
    assert_eq!(code, Some(0));
    assert!(text.lines().count() > 150, "{text}");
}

/// What is accepted passes until its end, and only as long as it is what was accepted.
#[test]
fn a_risk_is_accepted_until_its_end() {
    let rollout = Rollout::new();
    let risk = |until: &str, seen: &str| {
        format!(
            "[[accepted]]\ncheck = \"procedure_approval_missing\"\nscope = \"production\"\nseen = \"{seen}\"\n\
             reason = \"two are here\"\nowner = \"Ada\"\napprover = \"Grace\"\nuntil = {until}\n\n[records.rollback_drill]"
        )
    };
    for (until, seen, status, code) in [
        ("2026-06-30", "Ada, Grace", "accepted", 0),
        ("2025-12-31", "Ada, Grace", "fail", 15),
        ("2026-06-30", "Ada", "fail", 15),
    ] {
        let text = risk(until, seen);
        let (ended, all) = report(&rollout, &[THREE, ("[records.rollback_drill]", &text)], &[]);
        assert_eq!(
            (ended, &of(&all, "procedure_approval_missing")["status"]),
            (Some(code), &json!(status)),
            "{until} {seen}"
        );
    }
}

/// Facts can be kept and judged again, and what is not known in them is never a pass.
#[test]
fn kept_facts_are_judged_again_and_what_is_unknown_is_no_pass() {
    let rollout = Rollout::new();
    let file = rollout.path("facts.json").display().to_string();
    assert_eq!(check(&rollout, &[], &["--save-facts", &file]).0, Some(0));
    assert_eq!(check(&rollout, &[], &["--facts", &file]).0, Some(0));
    // Without a cloud and without a state: where the state should be, nothing can be made.
    let elsewhere = Rollout::new();
    fs::write(elsewhere.path("state"), "no folder").expect("writable");
    assert_ne!(elsewhere.text(&["check"]).0, Some(0));
    let (code, text) = elsewhere.text(&["check", "--facts", &file]);
    assert_eq!(code, Some(0), "{text}");
    for (other, told) in [
        (
            ["--release", "2.5.0"],
            "were gathered ahead of release 2.4.0, not of 2.5.0",
        ),
        (["--env", "staging"], "holds facts of production, not of staging"),
    ] {
        let (code, text) = check(&rollout, &[], &[["--facts", &file], other].concat());
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(told), "{text}");
    }

    let text = fs::read_to_string(&file).expect("it was written");
    let mut facts: Value = serde_json::from_str(&text).expect("JSON");
    facts["facts"]["caller"] = json!({ "unknown": { "why": "denied", "subject": "", "text": "sts:GetCallerIdentity: not authorised" } });
    fs::write(&file, facts.to_string()).expect("writable");
    let (code, all) = report(&rollout, &[], &["--facts", &file]);
    assert_eq!((code, &all["result"]), (Some(16), &json!("unknown")));
    let (_, text) = check(&rollout, &[], &["--facts", &file]);
    assert!(text.contains("not authorised"), "{text}");

    fs::write(&file, "{").expect("writable");
    let (code, text) = check(&rollout, &[], &["--facts", &file]);
    assert_eq!(code, Some(1));
    assert!(text.contains("facts.json holds no facts"), "{text}");
}

#[test]
fn what_has_changed_since_a_baseline_is_said() {
    let rollout = Rollout::new();
    let file = rollout.path("monday.json").display().to_string();
    assert_eq!(
        check(&rollout, &[], &["--format", "json", "--output", &file]).0,
        Some(0)
    );
    let (code, all) = report(&rollout, &[THREE], &["--baseline", &file]);
    assert_eq!(code, Some(15));
    let changes = all["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["check"], "procedure_approval_missing");
}

/// A release that is not ready is refused before its first change, and says why; one that is goes on.
#[test]
fn a_release_asks_before_its_first_change() {
    for (changes, code, outcome) in [(&[THREE][..], 10, "Refused"), (&[], 0, "Released")] {
        let rollout = Rollout::new();
        let file = readiness(&rollout, changes).display().to_string();
        rollout.overlay(&format!("readiness = {file:?}\n"));
        let overlay = rollout.path("overlay.toml").display().to_string();
        let (ended, end) = rollout.end(&["run", "--run", "one", "--overlay", &overlay]);
        assert_eq!((ended, &end["outcome"]), (Some(code), &json!(outcome)), "{end}");
        if code == 10 {
            assert!(
                end.to_string().contains("check:procedure_approval_missing"),
                "{end}"
            );
            let (planned, text) = rollout.text(&["plan", "--overlay", &overlay]);
            assert_eq!(planned, Some(10), "{text}");
            assert!(text.contains("3 people who agree"), "{text}");
        }
    }
}

/// In the middle of a release it is a gate like any other: one that fails takes the release back.
#[test]
fn a_gate_asks_in_the_middle() {
    let gate = "[[gates]]\nname = \"fit\"\nbake = \"1m\"\n[[gates.probes]]\nname = \"fit\"\nreadiness = true\nevery = \"20s\"\n";
    for (changes, code, outcome) in [(&[][..], 0, "Released"), (&[THREE], 11, "RolledBack")] {
        let rollout = Rollout::and(gate);
        readiness(&rollout, changes);
        let (ended, end) = rollout.end(&["run", "--run", "one"]);
        assert_eq!((ended, &end["outcome"]), (Some(code), &json!(outcome)), "{end}");
    }
}

#[test]
fn a_mistake_in_the_file_is_shown_with_its_line() {
    let rollout = Rollout::new();
    for (old, new, says) in [
        (
            "tier = \"production\"",
            "tier = \"prod\"",
            "`tier` cannot be `prod`",
        ),
        ("approvals = 2", "aprovals = 2", "did you mean `approvals`"),
        ("at_least = 2", "at_least = 2\nat_most = 3", "exactly one way"),
        (
            "live = \"/health/live\"",
            "live = \"health/live\"",
            "begin it with `/`",
        ),
        (
            "id = \"own_worker_tasks_few\"",
            "id = \"ecs_service_breaker_off\"",
            "there is another check",
        ),
        (
            "id = \"own_worker_tasks_few\"",
            "id = \"Workers\"",
            "`Workers` is no id of a check",
        ),
        (
            "fact = [\"services\", \"worker\", \"desired\"]",
            "fact = []",
            "`fact` leads nowhere",
        ),
        (
            "fact = [\"services\",",
            "fact = [\"service\",",
            "did you mean `services`",
        ),
        (
            "fact = [\"services\", \"worker\", \"desired\"]\nat_least = 2",
            "http = { url = \"https://shop.example.com/\", status = 2000 }",
            "HTTP has no status 2000",
        ),
        ("kept = \"2h\"", "kept = 2", "`kept` has no unit"),
    ] {
        let (code, text) = check(&rollout, &[(old, new)], &[]);
        assert_eq!(code, Some(2), "{new}: {text}");
        assert!(
            text.contains(says) && text.contains("readiness.toml:"),
            "{new}: {text}"
        );
    }
    let (code, text) = rollout.text(&["check", "--readiness", "nowhere.toml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nowhere.toml"), "{text}");
    let (code, text) = rollout.text(&["check", "--env", "canary"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no environment `canary`"), "{text}");
}

#[test]
fn what_the_configuration_does_not_have_is_no_service_and_no_environment() {
    let rollout = Rollout::new();
    let (code, text) = check(&rollout, &[("name = \"frontend\"", "name = \"frontent\"")], &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no service `frontent`"), "{text}");
    assert!(text.contains("backend, frontend, worker"), "{text}");
    let other = (
        "[records.rollback_drill]",
        "[environments.prodction]\ntier = \"staging\"\n\n[records.rollback_drill]",
    );
    let (code, text) = check(&rollout, &[other], &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no environment `prodction`"), "{text}");
}

#[test]
fn a_person_agrees_once_and_what_is_still_to_come_does_not_count() {
    let rollout = Rollout::new();
    let again = (
        "by = \"Grace\"\nrelease",
        "by = \"ada \"\nnote = \"after lunch\"\nrelease",
    );
    let (code, one) = report(&rollout, &[again], &[]);
    assert_eq!(
        (code, of(&one, "procedure_approval_missing")["status"].as_str()),
        (Some(15), Some("fail"))
    );
    // A drill only advises.
    let (code, drill) = report(&rollout, &[("at = 2025-11-03", "at = 2028-11-03")], &[]);
    assert_eq!(
        (code, of(&drill, "rollback_drill_stale")["status"].as_str()),
        (Some(0), Some("fail"))
    );
}

#[test]
fn a_file_without_facts_and_a_full_disk_are_no_success() {
    let rollout = Rollout::new();
    let empty = rollout.path("empty.json");
    fs::write(&empty, "{}").expect("writable");
    let output = rollout.run(&["check", "--facts", &empty.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("holds no facts"), "{}", stderr(&output));
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("it is there");
    let full = rollout
        .command(&["check"])
        .stdout(full)
        .status()
        .expect("it runs");
    assert_eq!(full.code(), Some(1));
}

/// What a release was let go on without is said where people look, not only in the journal.
#[test]
fn what_was_let_pass_unjudged_is_said_at_the_end() {
    let own = r#"[[checks]]
id = "own_printer_tasks_few"
title = "One printer or more"
why = "Nobody prints without it."
severity = "medium"
blocking = true
fact = ["services", "printer", "desired"]
at_least = 1

[records.rollback_drill]"#;
    for (asked, code, says) in [
        ("known", 0, "not judged: own_printer_tasks_few"),
        ("proven", 10, "is not known to be ready"),
    ] {
        let rollout = Rollout::new();
        let file = readiness(&rollout, &[("[records.rollback_drill]", own)]);
        let file = file.display().to_string();
        rollout.overlay(&format!(
            "readiness = {{ file = {file:?}, release = \"{asked}\" }}\n"
        ));
        let overlay = rollout.path("overlay.toml").display().to_string();
        let (ended, text) = rollout.text(&["run", "--overlay", &overlay]);
        assert_eq!(ended, Some(code), "{text}");
        assert!(text.contains(says), "{text}");
    }
}
