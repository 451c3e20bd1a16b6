//! Two terminals: one runner at a time, and whoever is not it is told who is.

use std::fs;

use serde_json::Value;

use crate::harness::Rollout;

/// What the state says of who may change production.
fn lease(rollout: &Rollout) -> Value {
    let text = fs::read(rollout.state("leases/production@default.lease")).expect("there is one");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn the_second_is_told_who_holds_it_and_leaves_when_it_is_asked_to() {
    let rollout = Rollout::new();
    let (mut first, lines) = rollout.under_way("one");
    for command in [
        &["run", "--run", "two"][..],
        &["rollback", "one"],
        &["resume", "one"],
    ] {
        let (code, end) = rollout.end(&[command, &["--wait", "0s"]].concat());
        assert_eq!(code, Some(10), "{end}");
        assert_eq!(end["outcome"], "Refused", "{end}");
        let why = end["why"].as_str().expect("a reason");
        assert!(
            why.contains("ann@") && why.contains("production/default") && why.contains("run one"),
            "{why}"
        );
        let next = end["next"].to_string();
        assert!(
            next.contains("rollout status one") && next.contains("rollout abort one"),
            "{next}"
        );
    }
    assert!(!rollout.state("runs/two").exists(), "a run was begun");
    let (_, status) = rollout.text(&["status", "one"]);
    assert!(status.contains("under way: ann@"), "{status}");
    let (code, status) = rollout.end(&["status", "one"]);
    assert_eq!(
        (code, &status["by"]["holder"]["run"]),
        (Some(0), &Value::from("one"))
    );
    assert_eq!(rollout.run(&["abort", "one"]).status.code(), Some(0));
    assert_eq!(lines.last().expect("an outcome")["outcome"], "Aborted");
    assert_eq!(first.wait().expect("it ends").code(), Some(13));
    assert_eq!(lease(&rollout)["holder"], Value::Null, "it was given back");
}

#[test]
fn the_second_waits_for_the_first_and_then_goes() {
    let rollout = Rollout::new();
    let (mut first, _lines) = rollout.under_way("one");
    let second = rollout.command(&["run", "--run", "two", "--json", "--wait", "10m"]);
    let second = std::thread::spawn(move || {
        let mut second = second;
        second.output().expect("it starts")
    });
    assert_eq!(rollout.run(&["abort", "one"]).status.code(), Some(0));
    assert_eq!(first.wait().expect("it ends").code(), Some(13));
    let output = second.join().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.lines().last().is_some_and(|end| end.contains("Released")),
        "{text}"
    );
    assert_eq!(lease(&rollout)["generation"], 2);
}

#[test]
fn the_first_is_killed_and_the_second_goes_on_at_once() {
    let rollout = Rollout::new();
    let (mut first, _lines) = rollout.under_way("one");
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    assert_eq!(lease(&rollout)["holder"]["run"], "one", "it was not given back");
    // On one machine a process that is gone is known to be gone: nobody waits for its lease to run out.
    let (code, end) = rollout.end(&["resume", "one", "--wait", "0s"]);
    assert_eq!(
        (code, &end["outcome"]),
        (Some(0), &Value::from("Released")),
        "{end}"
    );
    assert_eq!(lease(&rollout)["generation"], 2);
}

/// Somebody else has taken the lease over, as after a pause that was longer than it: whoever wakes up stops before its next change.
#[test]
fn a_runner_that_was_replaced_finds_itself_fenced() {
    let rollout = Rollout::new();
    let (mut first, lines) = rollout.under_way("one");
    let mut taken = lease(&rollout);
    taken["generation"] = 7.into();
    taken["writes"] = 99.into();
    taken["until"] = (taken["until"].as_u64().expect("a moment") + 600_000).into();
    taken["holder"]["session"] = "another".into();
    taken["holder"]["owner"]["who"] = "bob".into();
    fs::write(rollout.state("theirs"), taken.to_string()).expect("writable");
    fs::rename(
        rollout.state("theirs"),
        rollout.state("leases/production@default.lease"),
    )
    .expect("writable");
    let end = lines.last().expect("an end");
    assert_eq!(end["outcome"], "Superseded", "{end}");
    assert!(
        end["why"]
            .as_str()
            .is_some_and(|why| why.contains("bob@") && why.contains("generation 7")),
        "{end}"
    );
    assert_eq!(first.wait().expect("it ends").code(), Some(12));
    // It has left the lease as it is, and the run has no end of its own.
    assert_eq!(lease(&rollout), taken);
    let (_, status) = rollout.end(&["status", "one"]);
    assert_eq!(status["status"], "interrupted", "{status}");
    let (code, refused) = rollout.end(&["resume", "one", "--wait", "0s"]);
    assert_eq!(code, Some(10), "{refused}");
    assert!(refused["why"].to_string().contains("bob@"), "{refused}");
}
