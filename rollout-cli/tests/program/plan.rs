//! A plan that is kept, agreed to and run: `rollout plan --out`, `rollout run --plan`, and the time that a run needs.

use std::fs;

use serde_json::Value;

use crate::harness::{Rollout, stderr, stdout, storefront};

/// Exit code, the last JSON line, and what was said on standard error.
fn json(rollout: &Rollout, args: &[&str]) -> (Option<i32>, Value, String) {
    let output = rollout.run(&[args, &["--json"]].concat());
    let text = stdout(&output);
    let last = text.lines().last().map_or(Value::Null, |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    (output.status.code(), last, stderr(&output))
}

/// Makes a plan that will do, and says its JSON.
fn plan(rollout: &Rollout, file: &str) -> Value {
    let (code, plan, _) = json(rollout, &["plan", "--out", file]);
    assert_eq!(code, Some(0), "{plan}");
    plan
}

#[test]
fn what_was_agreed_to_is_run_once_and_then_the_world_has_moved() {
    let rollout = Rollout::new();
    let plan = plan(&rollout, "plan.json");
    let sha256 = plan["kept"]["sha256"].as_str().expect("its hash");
    let text = fs::read_to_string(rollout.path("plan.json")).expect("it was written");
    assert!(text.contains(sha256));

    let (code, last, _) = json(&rollout, &["run", "--plan", "plan.json", "--run", "one"]);
    assert_eq!(code, Some(0), "{last}");
    assert_eq!(last["outcome"], "Released");

    let (code, last, _) = json(&rollout, &["run", "--plan", "plan.json", "--run", "two"]);
    assert_eq!(code, Some(10), "{last}");
    assert_eq!(last["outcome"], "Refused");
    let details = &last["details"]["refused"]["why"];
    assert_eq!(details["cause"], "world_moved", "{last}");
    let evidence = details["evidence"].as_array().expect("what has moved");
    let of = |subject: &str| {
        let found = evidence.iter().find(|seen| seen["subject"] == subject);
        found
            .and_then(|seen| seen["detail"].as_str())
            .unwrap_or_else(|| panic!("{subject}: {last}"))
    };
    let deployment = of("service backend, PRIMARY deployment");
    assert!(
        deployment.contains("was ecs-svc/") && deployment.contains(", is ecs-svc/"),
        "{deployment}"
    );
    assert!(
        deployment.contains(" since 20"),
        "since when is known: {deployment}"
    );
    assert!(of("service worker, revision").contains("was arn:"), "{last}");
    // People see the same.
    let output = rollout.run(&["run", "--plan", "plan.json", "--run", "three"]);
    assert_eq!(output.status.code(), Some(10));
    let said = stdout(&output);
    assert!(
        said.contains("make a new plan") && said.contains("PRIMARY deployment"),
        "{said}"
    );

    let (code, last, _) = json(&rollout, &["status", "two"]);
    assert_eq!(
        (code, last["outcome"].as_str()),
        (Some(0), Some("Refused")),
        "the journal replays: {last}"
    );
}

#[test]
fn the_same_plan_is_not_written_twice_and_another_one_is_not_overwritten() {
    let rollout = Rollout::new();
    let first = plan(&rollout, "plan.json");
    let bytes = fs::read(rollout.path("plan.json")).expect("it was written");
    let again = plan(&rollout, "plan.json");
    assert_eq!(first["kept"]["sha256"], again["kept"]["sha256"]);
    assert_eq!(
        (&first["kept"]["written"], &again["kept"]["written"]),
        (&true.into(), &false.into())
    );

    assert_eq!(rollout.run(&["run"]).status.code(), Some(0));
    let output = rollout.run(&["plan", "--out", "plan.json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("another plan"), "{}", stderr(&output));
    assert_eq!(fs::read(rollout.path("plan.json")).expect("it is there"), bytes);

    fs::write(rollout.path("notes.txt"), "mine").expect("writable");
    let output = rollout.run(&["plan", "--out", "notes.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("holds no plan"), "{}", stderr(&output));
    assert_eq!(fs::read(rollout.path("notes.txt")).expect("it is there"), b"mine");
    let left: Vec<_> = fs::read_dir(rollout.path(""))
        .expect("readable")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_plan_that_a_run_would_refuse_is_not_kept() {
    let rollout = Rollout::new();
    let (code, plan, _) = json(
        &rollout,
        &[
            "plan",
            "--out",
            "plan.json",
            "--sim-incident",
            "alarm-before-start",
        ],
    );
    assert_eq!(code, Some(10), "{plan}");
    assert!(plan["kept"].is_null());
    assert!(!rollout.path("plan.json").exists());
}

#[test]
fn a_plan_that_was_changed_or_is_none_is_refused_before_any_cloud_is_asked() {
    let rollout = Rollout::new();
    plan(&rollout, "plan.json");
    let text = fs::read_to_string(rollout.path("plan.json")).expect("it was written");
    let newer = text.replace("\"rollout_plan\": 1", "\"rollout_plan\": 2");
    for (name, text, says) in [
        (
            "changed",
            text.replace("2.4.0", "2.4.1"),
            "was changed after it was made",
        ),
        ("newer", newer, "format 2"),
        ("cut", text[..text.len() / 2].to_owned(), "is not a plan"),
        ("other", "{}".to_owned(), "is not a plan"),
    ] {
        fs::write(rollout.path("bad.json"), text).expect("writable");
        let output = rollout.run(&["run", "--plan", "bad.json"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(says), "{name}: {}", stderr(&output));
    }
    let output = rollout.run(&["run", "--plan", "none.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!rollout.path("state/runs").exists(), "nothing was begun");

    let output = rollout.run(&["run", "--plan", "plan.json", "--release", "2.4.0"]);
    assert_eq!(output.status.code(), Some(2), "a plan names its release");
}

#[test]
fn a_plan_is_run_with_the_configuration_that_it_was_made_with() {
    let rollout = Rollout::new();
    plan(&rollout, "plan.json");
    let overlay = rollout.overlay("environments.production.cluster = \"elsewhere\"");
    let overlay = overlay.to_str().expect("text");
    let output = rollout.run(&["run", "--plan", "plan.json", "--overlay", overlay]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(
        said.contains("production cluster was") && said.contains("elsewhere"),
        "{said}"
    );
}

#[test]
fn a_secret_in_a_task_definition_reaches_neither_a_plan_nor_a_journal() {
    let rollout = Rollout::new();
    let from = storefront().with_file_name("ecs").join("backend.json");
    let Ok(text) = fs::read_to_string(&from) else {
        panic!("{} is the backend's task definition", from.display())
    };
    let mut definition: Value = serde_json::from_str(&text).expect("JSON");
    definition["containerDefinitions"][0]["environment"] =
        serde_json::json!([{ "name": "DB_PASSWORD", "value": "hunter2" }]);
    let definition_file = rollout.path("backend.json");
    fs::write(&definition_file, definition.to_string()).expect("writable");
    let overlay = rollout.overlay(&format!(
        "[[services]]\nname = \"backend\"\ntask_definition = {:?}",
        definition_file.to_str().expect("text")
    ));
    let overlay = overlay.to_str().expect("text");
    for command in [
        &["plan"][..],
        &["plan", "--out", "plan.json"],
        &["run", "--run", "one"],
    ] {
        let output = rollout.run(&[command, &["--overlay", overlay]].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("backend") && said.contains("DB_PASSWORD") && said.contains("under `secrets`"),
            "{said}"
        );
        assert!(!said.contains("hunter2") && !rollout.path("plan.json").exists());
        assert!(!rollout.state("runs").exists(), "a run was begun");
    }
}

/// A freeze from this moment on, as an overlay.
fn frozen(rollout: &Rollout, from: &str) -> String {
    let overlay = rollout.overlay(&format!(
        "[promotion.window]\nfreeze = [{{ from = {from}, until = 2999-01-01, why = \"the sale\" }}]"
    ));
    overlay.to_str().expect("text").to_owned()
}

#[test]
fn a_run_that_could_outlast_its_window_is_not_begun() {
    let rollout = Rollout::new();
    let plan = plan(&rollout, "plan.json");
    let worst = plan["worst_case"]["total"].as_u64().expect("seconds");
    let forward = plan["worst_case"]["forward"].as_u64().expect("seconds");
    let back = plan["worst_case"]["back"].as_u64().expect("seconds");
    assert!(back > 0 && worst.abs_diff(forward + back) <= 1);

    // The window is the present configuration's, also for a plan that was made before.
    for args in [
        &["run", "--plan", "plan.json"][..],
        &["run"],
        &["plan", "--out", "late.json"],
    ] {
        let overlay = frozen(&rollout, "1990-01-01");
        let output = rollout.run(&[args, &["--overlay", &overlay]].concat());
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(10), "{args:?}: {said}");
        assert!(
            said.contains("the change window is shut (the sale"),
            "{args:?}: {said}"
        );
        assert!(!rollout.path("late.json").exists());
    }
    let made_at = plan["kept"]["made_at"].as_str().expect("a moment").to_owned();
    let (code, refused, _) = json(
        &rollout,
        &[
            "run",
            "--overlay",
            &frozen(&rollout, &later(&made_at, worst - 60)),
        ],
    );
    assert_eq!(code, Some(10), "{refused}");
    assert_eq!(refused["details"]["refused"]["why"]["cause"], "no_time");
    let (code, released, _) = json(
        &rollout,
        &[
            "run",
            "--overlay",
            &frozen(&rollout, &later(&made_at, worst + 600)),
        ],
    );
    assert_eq!(code, Some(0), "{released}");
}

/// A moment so many seconds after another one, both as RFC 3339.
fn later(moment: &str, seconds: u64) -> String {
    let at = humantime::parse_rfc3339(moment).expect("a moment");
    humantime::format_rfc3339_seconds(at + std::time::Duration::from_secs(seconds)).to_string()
}

#[test]
fn people_are_told_the_worst_case() {
    let said = stdout(&Rollout::new().run(&["plan"]));
    assert!(
        said.contains("at worst it takes ") && said.contains(" forward, "),
        "{said}"
    );
}
