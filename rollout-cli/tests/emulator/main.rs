//! README's third command, unattended: the storefront's own `rollout.toml`, with the overlay of the example `storefront_world`,
//! through the real SDK against MiniStack. Run it with `cargo xtask emulator test --with ministack`.
//!
//! What runs in the end is asked of the example, which asks ECS and Route 53.

mod bucket;
mod fleet;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde_json::Value;

const ROLLOUT: &str = env!("CARGO_BIN_EXE_rollout");

/// The storefront in two accounts of its own, so that nothing that runs beside it matters.
struct World {
    example: PathBuf,
    folder: tempfile::TempDir,
    accounts: String,
}

impl World {
    /// `None`, with the reason printed, where the emulator is another one.
    fn create(test: &str) -> Option<Self> {
        let emulator = std::env::var("ROLLOUT_EMULATOR").unwrap_or_default();
        assert!(!emulator.is_empty(), "run `cargo xtask emulator test`");
        if emulator != "ministack" {
            // Not `eprintln`, which nobody sees of a test that passes.
            let _ = writeln!(
                std::io::stderr(),
                "{test}: skipped: {emulator} does not keep accounts apart"
            );
            return None;
        }
        let world = Self {
            example: build_example(),
            folder: tempfile::tempdir().expect("a directory"),
            accounts: accounts(),
        };
        let overlay = world.overlay();
        world.example(&[overlay.to_str().expect("a path in UTF-8")]);
        Some(world)
    }

    fn overlay(&self) -> PathBuf {
        self.folder.path().join("overlay.toml")
    }

    #[track_caller]
    fn example(&self, args: &[&str]) -> String {
        let mut command = Command::new(&self.example);
        command.args(["--accounts", &self.accounts]).args(args);
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn rollout(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ROLLOUT);
        command
            .args(["--cloud", "aws", "--config"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml"))
            .arg("--overlay")
            .arg(self.overlay())
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .args(args)
            .env("AWS_CONFIG_FILE", self.folder.path().join("aws.config"))
            .env_remove("ROLLOUT_OVERLAY")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end, with this exit code; the text that it printed.
    #[track_caller]
    fn run(&self, args: &[&str], exit: i32) -> String {
        let output = self.rollout(args).output().expect("it starts");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(exit), "{args:?}:\n{text}");
        text
    }

    /// Every task of production runs this release, and staging that one.
    #[track_caller]
    fn assert_serves(&self, production: &str, staging: &str, record: &str) {
        let shown = self.example(&["--show"]);
        for part in ["backend", "frontend", "worker"] {
            for line in [
                format!("staging {part} {staging}\n"),
                format!("production {part} {production} {production}\n"),
            ] {
                assert!(shown.contains(&line), "{line} is not in:\n{shown}");
            }
        }
        let line = format!("production api.storefront.example.com {record}");
        let found = shown.lines().find_map(|shown| shown.strip_prefix(&line));
        let random = found.and_then(|rest| rest.strip_suffix(".eu-central-1.elb.amazonaws.com"));
        // `storefront-before-…` is no `storefront-…`.
        assert!(
            random.is_some_and(|random| !random.contains('-')),
            "{line} is not in:\n{shown}"
        );
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

/// The example beside the program; the tests of one package do not build another one's examples.
fn build_example() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--all-features",
            "--example",
            "storefront_world",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo can be run");
    assert!(built.status.success(), "{}", said(&built));
    let name = format!("storefront_world{}", std::env::consts::EXE_SUFFIX);
    Path::new(ROLLOUT).with_file_name("examples").join(name)
}

/// Two accounts that nobody else on the emulator has.
fn accounts() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // Tests begin in the same moment.
    static BEFORE: AtomicU64 = AtomicU64::new(0);
    let before = u128::from(BEFORE.fetch_add(1, Ordering::Relaxed));
    let number = (now.as_micros() + before) % 100_000_000_000;
    format!("1{number:011},2{number:011}")
}

#[test]
fn the_storefront_goes_to_production_and_back_and_a_bad_release_does_not_stay() {
    let Some(world) = World::create("the storefront") else {
        return;
    };
    let (before, after) = ("storefront-before-", "storefront-");
    world.assert_serves("2.3.0", "2.4.0", before);

    let plan = world.run(&["plan", "--release", "2.4.0"], 0);
    assert!(
        plan.contains("with overlay ") && plan.contains("overlay.toml"),
        "{plan}"
    );
    world.assert_serves("2.3.0", "2.4.0", before);

    let text = world.run(&["run", "--release", "2.4.0", "--json"], 0);
    let last: Value = text
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .expect("an outcome");
    assert_eq!(last["exit_code"], 0, "{last}");
    world.assert_serves("2.4.0", "2.4.0", after);

    world.run(&["rollback"], 0);
    // After a rollback by hand nothing is released until a person says so.
    world.run(&["run", "--release", "2.5.0"], 10);
    world.run(&["hold", "lift", "--env", "production"], 0);
    let status = world.run(&["status"], 0);
    assert!(
        status.contains("after that, `rollout rollback`: AtLastKnownGood"),
        "{status}"
    );
    world.assert_serves("2.3.0", "2.4.0", before);

    world.example(&["--stage", "2.5.0"]);
    let text = world.run(&["run", "--release", "2.5.0"], 11);
    for part in [
        "RolledBack",
        "service/worker",
        "container worker exited with 78",
        "fatal: QUEUE_URL: no such queue",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    world.assert_serves("2.3.0", "2.5.0", before);

    // Staging does not run it any more.
    let text = world.run(&["run", "--release", "2.4.0"], 10);
    assert!(text.contains("Refused"), "{text}");
    world.assert_serves("2.3.0", "2.5.0", before);
}

#[test]
fn an_endpoint_that_nobody_serves_is_named() {
    let Some(world) = World::create("no endpoint") else {
        return;
    };
    let mut command = world.rollout(&["plan"]);
    // Port 9 is "discard"; nothing listens there.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL_")) {
        command.env_remove(name);
    }
    let output = command
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .output()
        .expect("it starts");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(10), "{text}");
    assert!(text.contains("the endpoint refused the connection"), "{text}");
}
