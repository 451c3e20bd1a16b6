//! The rollback policy through the program, on the simulated cloud: what is refused, what is held, what a signal leaves.

use serde_json::Value;

use crate::harness::{Rollout, kill};

/// With a `[rollback]` section.
fn with(policy: &str) -> Rollout {
    Rollout::with(&format!("[rollback]\n{policy}\n"))
}

fn says(value: &Value, word: &str) -> bool {
    value.to_string().contains(word)
}

#[test]
fn after_a_rollback_by_hand_nothing_new_goes_there_until_a_person_says_so() {
    let rollout = Rollout::new();
    assert_eq!(rollout.end(&["run", "--run", "one"]).0, Some(0));
    assert_eq!(
        rollout.text(&["hold", "show"]),
        (Some(0), "nothing is held\n".to_owned())
    );

    let (code, text) = rollout.text(&["rollback", "one", "--reason", "checkout is broken"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("production is held"), "{text}");
    assert!(text.contains("rollout hold lift --env production"), "{text}");

    // Who, when, why, and the remedy; nothing is begun.
    let (code, end) = rollout.end(&["run", "--run", "two"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(10), &Value::from("Refused")),
        "{end}"
    );
    let why = end["why"].as_str().expect("a reason");
    for word in [
        "production is held",
        "ann@",
        "took run one back by hand",
        "checkout is broken",
    ] {
        assert!(why.contains(word), "{word}: {why}");
    }
    assert!(says(&end["next"], "rollout hold lift --env production"), "{end}");
    assert_eq!(end["details"]["refused"]["held"]["run"], "one");
    assert!(!rollout.state("runs/two").exists(), "a run was begun");
    let (code, text) = rollout.text(&["plan"]);
    assert_eq!(code, Some(10), "{text}");
    assert!(text.contains("production is held"), "{text}");

    let (code, text) = rollout.text(&["hold", "show", "--env", "production"]);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("production: held") && text.contains("checkout is broken"),
        "{text}"
    );
    let (_, shown) = rollout.end(&["hold", "show"]);
    assert_eq!(
        (&shown["kind"], &shown["active"]),
        (&Value::from("hold"), &Value::from(true)),
        "{shown}"
    );

    let (code, text) = rollout.text(&["hold", "lift", "--env", "staging"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("staging is not held") && text.contains("held: production"),
        "{text}"
    );
    assert_eq!(rollout.text(&["run", "--run", "two"]).0, Some(10), "still held");

    let (code, text) = rollout.text(&["hold", "lift", "--env", "production"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        rollout.text(&["hold", "lift", "--env", "production"]).0,
        Some(1),
        "it was lifted"
    );

    // What it goes over is itself what a rollback brought: the release is told.
    let (code, lines) = rollout.json(&["run", "--run", "three"]);
    assert_eq!(code, Some(0));
    let note = lines
        .iter()
        .find(|line| line["kind"] == "message")
        .expect("a note");
    assert!(
        says(note, "a rollback brought back") && says(note, "run one"),
        "{note}"
    );
    assert_eq!(
        rollout.text(&["hold", "show"]).1,
        "nothing is held\n",
        "something else serves there"
    );
}

#[test]
fn a_rollback_is_not_rolled_back() {
    let rollout = with("hold = \"never\"");
    assert_eq!(rollout.end(&["run", "--run", "one"]).0, Some(0));
    assert_eq!(rollout.end(&["rollback", "one"]).0, Some(0));
    let (code, end) = rollout.end(&["rollback", "one"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(10), &Value::from("Refused")),
        "{end}"
    );
    assert!(says(&end["why"], "a rollback is not rolled back"), "{end}");
    assert!(says(&end["next"], "rollout run"), "{end}");

    let rollout = Rollout::new();
    let bad = ["run", "--run", "two", "--sim-incident", "bad-image"];
    assert_eq!(rollout.end(&bad).0, Some(11));
    let (code, end) = rollout.end(&["rollback", "two"]);
    assert_eq!(code, Some(10), "{end}");
    assert!(says(&end["why"], "went back by itself"), "{end}");
    assert_eq!(
        rollout.text(&["hold", "show"]).1.lines().next(),
        Some("production: not held")
    );
}

#[test]
fn the_policy_says_which_rollbacks_hold() {
    let bad = ["run", "--run", "one", "--sim-incident", "bad-image"];
    let rollout = with("hold = \"always\"");
    assert_eq!(rollout.end(&bad).0, Some(11));
    let (code, end) = rollout.end(&["run", "--run", "two"]);
    assert_eq!(code, Some(10), "{end}");
    assert!(
        says(&end["why"], "went back by itself") && says(&end["why"], "CannotPullContainerError"),
        "{end}"
    );

    let rollout = with("hold = \"never\"");
    assert_eq!(rollout.end(&["run", "--run", "one"]).0, Some(0));
    assert_eq!(rollout.end(&["rollback"]).0, Some(0));
    assert_eq!(
        rollout.end(&["run", "--run", "two"]).0,
        Some(0),
        "nothing is held"
    );
}

#[test]
fn a_way_back_that_is_left_to_a_person_is_left_and_a_person_goes_it() {
    let rollout = with("automatic = false");
    let (code, end) = rollout.end(&["run", "--run", "one", "--sim-incident", "bad-image"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(14), &Value::from("Stuck")),
        "{end}"
    );
    assert!(says(&end["summary"], "RollbackNotAutomatic"), "{end}");
    assert!(
        says(&end["why"], "left as it is") && says(&end["why"], "because"),
        "{end}"
    );
    assert!(says(&end["next"], "rollout rollback one"), "{end}");
    let (code, end) = rollout.end(&["rollback", "one"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(0), &Value::from("AtLastKnownGood")),
        "{end}"
    );
}

#[test]
fn the_short_cut_comes_back_where_no_new_task_could_start() {
    // Nothing can be pulled any more, the old images neither. What still runs is all there is.
    let broken = ["run", "--run", "one", "--sim-incident", "everything-broken"];
    let (code, end) = Rollout::new().end(&broken);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(11), &Value::from("RolledBack")),
        "{end}"
    );
    let (code, end) = with("fast = false").end(&broken);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(14), &Value::from("Stuck")),
        "{end}"
    );
    assert!(says(&end["next"], "rollout rollback one"), "{end}");
}

#[test]
fn what_is_too_old_to_go_back_to_refuses_the_release_by_day() {
    let rollout = with("max_age = \"1s\"");
    let (code, end) = rollout.end(&["run", "--run", "one"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(10), &Value::from("Refused")),
        "{end}"
    );
    assert!(says(&end["why"], "max_age") && says(&end["why"], "ago"), "{end}");
    assert!(says(&end["summary"], "nothing was touched"), "{end}");
    let rollout = with("max_age = \"3650d\"");
    assert_eq!(rollout.end(&["run", "--run", "one"]).0, Some(0));
}

/// A CI system cancels a job: SIGTERM, and ten seconds later SIGKILL. What is under way has been stopped in the cloud by
/// then or the journal says that it is open, and another runner brings it to its end.
#[cfg(unix)]
#[test]
fn a_cancelled_job_has_reached_the_cloud_before_it_is_killed_and_another_runner_ends_it() {
    let rollout = Rollout::new();
    let (mut child, mut lines) = rollout.under_way("slow");
    kill(&child, "-TERM");
    // The way back has begun in the cloud: its call was made.
    assert!(
        lines.any(|line| line["step"] == "unwind/service/backend"),
        "the deployment under way was not taken back"
    );
    kill(&child, "-KILL");
    assert_eq!(
        child.wait().expect("it ends").code(),
        None,
        "it was faster than the kill"
    );

    let journal = std::fs::read_to_string(rollout.state("runs/slow/journal.jsonl")).expect("a journal");
    assert!(
        journal.contains("\"abort\""),
        "the journal does not know of the abort"
    );
    let (_, status) = rollout.end(&["status", "slow"]);
    assert_eq!(status["status"], "interrupted", "{status}");
    let (code, end) = rollout.end(&["resume", "slow"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(13), &Value::from("Aborted")),
        "{end}"
    );
    assert!(says(&end["summary"], "serves what it served before"), "{end}");
    assert_eq!(rollout.text(&["journal", "verify", "slow"]).0, Some(0));
    // Nothing of ours is left: a plan finds the service at rest.
    let (code, text) = rollout.text(&["plan"]);
    assert_eq!(code, Some(0), "{text}");
}

/// The same with no time at all: the kill comes with the signal.
#[cfg(unix)]
#[test]
fn a_job_that_is_killed_at_once_leaves_an_open_run_that_can_be_taken_back_and_is_held_then() {
    let rollout = Rollout::new();
    let (mut child, _lines) = rollout.under_way("slow");
    kill(&child, "-KILL");
    child.wait().expect("it ends");
    let (code, end) = rollout.end(&["rollback", "slow", "--reason", "the job was cancelled"]);
    assert_eq!(code, Some(0), "{end}");
    assert!(says(&end["next"], "rollout hold lift --env production"), "{end}");
    let (code, end) = rollout.end(&["run", "--run", "next"]);
    assert_eq!(code, Some(10), "{end}");
    assert!(says(&end["why"], "the job was cancelled"), "{end}");
}

/// A hold is a person's: what goes back by itself in another group of the environment does not take it away.
#[test]
fn what_goes_back_by_itself_leaves_a_hold_alone() {
    let rollout = Rollout::new();
    assert_eq!(rollout.end(&["run", "--run", "one"]).0, Some(0));
    rollout.overlay("[promotion]\ngroup = \"other\"\n");
    let overlay = rollout.path("overlay.toml").display().to_string();
    let other = ["--overlay", overlay.as_str()];
    assert_eq!(
        rollout.end(&[&["run", "--run", "two"], &other[..]].concat()).0,
        Some(0)
    );
    assert_eq!(
        rollout.end(&[&["rollback", "two"], &other[..]].concat()).0,
        Some(0)
    );
    let (code, end) = rollout.end(&["rollback", "one", "--automatic"]);
    assert_eq!(code, Some(0), "{end}");
    let (code, text) = rollout.text(&["run", "--run", "three"]);
    assert_eq!(code, Some(10), "{text}");
    assert!(text.contains("production is held"), "{text}");
}
