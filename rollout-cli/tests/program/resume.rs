//! The plug is pulled: the program is killed with SIGKILL at any moment, and another process goes on with its run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::Rollout;

impl Rollout {
    fn journal(&self) -> PathBuf {
        self.state("runs/one/journal.jsonl")
    }

    /// A run, killed when it has printed so many lines, or somewhat later. `false` when it was faster.
    fn killed_after(&self, lines: usize, args: &[&str]) -> bool {
        let mut child: Child = self
            .command(&["run", "--run", "one", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("it was piped"));
        let _last = said.lines().take(lines).last();
        child.kill().expect("it can be killed");
        child.wait().expect("it ends").code().is_none()
    }

    /// What a journal says was begun, by its name in there.
    fn begun(&self, name: &str) -> usize {
        let journal = std::fs::read_to_string(self.journal()).expect("there is one");
        let said = |line: &&str| line.contains("\"issued\"") && line.contains(&format!("\"{name}\":"));
        journal.lines().filter(said).count()
    }
}

/// A kill in every part of the release; nothing is done twice, the migration once at most, and every end is the right one.
#[test]
fn a_run_that_is_killed_at_any_moment_is_gone_on_with() {
    let mut killed = 0;
    for lines in [
        0, 1, 2, 4, 7, 11, 16, 22, 29, 33, 37, 40, 43, 46, 49, 52, 55, 58, 61, 64,
    ] {
        let rollout = Rollout::new();
        if !rollout.killed_after(lines, &[]) {
            continue;
        }
        killed += 1;
        if !rollout.journal().exists() {
            continue;
        }
        let (code, status) = rollout.json(&["status", "one"]);
        if code == Some(1) {
            // Killed before its first record: it has touched nothing.
            let (_, text) = rollout.text(&["resume", "one"]);
            assert!(text.contains("has touched nothing"), "{text}");
            continue;
        }
        let last = status.last().expect("a status");
        if last["outcome"] == "Released" {
            continue;
        }
        assert_eq!(last["status"], "interrupted", "{lines} lines: {last}");
        let (code, resumed) = rollout.json(&["resume", "one"]);
        let last = resumed.last().expect("an outcome");
        assert_eq!(
            (code, &last["outcome"]),
            (Some(0), &Value::from("Released")),
            "{lines} lines: {last}"
        );
        let (code, _) = rollout.json(&["journal", "verify", "one"]);
        assert_eq!(code, Some(0), "{lines} lines");
        // A start of which nobody knows is said again, under its token, once it was looked for and not found.
        let (starts, searches) = (rollout.begun("start_task"), rollout.begun("find_task"));
        assert!(
            starts == 1 || starts == 2 && searches >= 1,
            "{lines} lines: the migration was begun {starts} times"
        );
        // What is there now is what was to be there: a plan has nothing left to do, and the way back is whole.
        let (code, back) = rollout.json(&["rollback", "one"]);
        assert_eq!(code, Some(0), "{lines} lines: {:?}", back.last());
    }
    assert!(killed >= 12, "only {killed} were killed in time");
}

#[test]
fn a_release_that_would_go_back_goes_back_after_a_kill_too() {
    let mut killed = 0;
    for lines in [5, 12, 20, 26] {
        let rollout = Rollout::new();
        if !rollout.killed_after(lines, &["--sim-incident", "bad-image"]) {
            continue;
        }
        killed += 1;
        let (code, resumed) = rollout.json(&["resume", "one"]);
        let last = resumed.last().expect("an outcome or an error");
        if code == Some(1) {
            assert!(
                last["error"]
                    .as_str()
                    .is_some_and(|text| text.contains("has ended")),
                "{last}"
            );
            continue;
        }
        assert_eq!(
            (code, &last["outcome"]),
            (Some(11), &Value::from("RolledBack")),
            "{last}"
        );
    }
    assert!(killed >= 2, "only {killed} were killed in time");
}

#[test]
fn what_has_ended_is_not_gone_on_with_and_what_never_began_neither() {
    let rollout = Rollout::new();
    let (code, text) = rollout.text(&["resume"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("`rollout run` begins one"), "{text}");
    assert_eq!(rollout.run(&["run", "--run", "one"]).status.code(), Some(0));
    let before = std::fs::read(rollout.journal()).expect("there is one");
    let (code, text) = rollout.text(&["resume", "one"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("has ended") && text.contains("rollout status one"),
        "{text}"
    );
    assert_eq!(std::fs::read(rollout.journal()).expect("there is one"), before);
}

#[test]
fn runs_are_listed_with_how_they_stand() {
    let rollout = Rollout::new();
    let (code, text) = rollout.text(&["list"]);
    assert!(code == Some(0) && text.contains("no run"), "{text}");
    assert_eq!(rollout.run(&["run", "--run", "one"]).status.code(), Some(0));
    assert_eq!(rollout.run(&["rollback", "one"]).status.code(), Some(0));
    let (code, lines) = rollout.json(&["list"]);
    assert_eq!(code, Some(0));
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["state"], &lines[0]["rollbacks"]),
        (&Value::from("Released"), &Value::from(1))
    );
    let (_, text) = rollout.text(&["list"]);
    assert!(text.contains("Released, then rolled back by hand"), "{text}");
}

/// I-30, through the program: whoever changes, drops or moves a record is found out, and nothing is changed by looking.
#[test]
fn a_damaged_journal_is_named_and_neither_resumed_nor_mended() {
    let rollout = Rollout::new();
    assert_eq!(rollout.run(&["run", "--run", "one"]).status.code(), Some(0));
    let whole = std::fs::read_to_string(rollout.journal()).expect("there is one");
    let lines: Vec<&str> = whole.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let changed = joined(&lines).replacen("\"elapsed\"", "\"elapsee\"", 1);
    let dropped = joined(&[&lines[..20], &lines[21..]].concat());
    let moved = joined(&[&lines[..20], &[lines[21], lines[20]], &lines[22..]].concat());
    for (damaged, says) in [(changed, "changed"), (dropped, "dropped"), (moved, "record 20")] {
        std::fs::write(rollout.journal(), &damaged).expect("writable");
        let (code, text) = rollout.text(&["journal", "verify", "one"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("damaged") && text.contains(says), "{says}: {text}");
        for command in ["resume", "rollback", "status"] {
            let (code, text) = rollout.text(&[command, "one"]);
            assert_eq!(code, Some(1), "{command}: {text}");
            assert!(text.contains("journal.jsonl, record "), "{command}: {text}");
        }
        assert_eq!(
            std::fs::read_to_string(rollout.journal()).expect("there is one"),
            damaged
        );
        // What is before the place still tells its story.
        let (code, text) = rollout.text(&["journal", "show", "one"]);
        assert!(
            code == Some(1) && text.contains("opens") && text.contains("record "),
            "{text}"
        );
    }
}

#[test]
fn a_torn_record_is_named_and_cut_off_by_whoever_goes_on() {
    let rollout = Rollout::new();
    assert_eq!(rollout.run(&["run", "--run", "one"]).status.code(), Some(0));
    let whole = std::fs::read_to_string(rollout.journal()).expect("there is one");
    // As if the machine had lost its power while the fortieth record was written.
    let lines: Vec<&str> = whole.lines().collect();
    std::fs::write(rollout.journal(), lines[..39].join("\n") + "\n").expect("writable");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(rollout.journal())
        .expect("there");
    file.write_all(&lines[39].as_bytes()[..30]).expect("writable");
    drop(file);
    let (code, lines) = rollout.json(&["journal", "verify", "one"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        (&lines[0]["records"], &lines[0]["torn_bytes"]),
        (&Value::from(39), &Value::from(30))
    );
    let (_, text) = rollout.text(&["resume", "one"]);
    assert!(text.contains("the last record was torn"), "{text}");
    let (code, lines) = rollout.json(&["journal", "verify", "one"]);
    assert_eq!(
        (code, &lines[0]["torn_bytes"], &lines[0]["state"]),
        (Some(0), &Value::Null, &Value::from("closed"))
    );
}
