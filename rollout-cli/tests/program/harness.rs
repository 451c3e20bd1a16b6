//! The program in a directory of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The example that is released.
pub(crate) fn storefront() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml")
}

/// The program, started in a directory of its own, with its state below that.
pub(crate) struct Rollout {
    dir: tempfile::TempDir,
    config: PathBuf,
    overlay: Option<PathBuf>,
}

impl Rollout {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            config: storefront(),
            overlay: None,
        }
    }

    /// With more at the end of the configuration: what an overlay can only change, not add.
    pub(crate) fn and(more: &str) -> Self {
        let mut rollout = Self::new();
        let dir = storefront().parent().expect("it is in a directory").to_owned();
        let ecs = rollout.path("ecs");
        fs::create_dir(&ecs).expect("writable");
        for file in fs::read_dir(dir.join("ecs")).expect("the example has them") {
            let file = file.expect("readable");
            fs::copy(file.path(), ecs.join(file.file_name())).expect("writable");
        }
        let text = fs::read_to_string(storefront()).expect("readable");
        rollout.config = rollout.path("rollout.toml");
        fs::write(&rollout.config, format!("{text}\n{more}")).expect("writable");
        rollout
    }

    /// With something laid over the configuration in every command.
    pub(crate) fn with(overlay: &str) -> Self {
        let mut rollout = Self::new();
        rollout.overlay = Some(rollout.overlay(overlay));
        rollout
    }

    /// A file beside the state.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of the state.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path("state").join(name)
    }

    /// Writes an overlay.
    pub(crate) fn overlay(&self, text: &str) -> PathBuf {
        let path = self.path("overlay.toml");
        fs::write(&path, text).expect("writable");
        path
    }

    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command
            .args(["--cloud", "sim", "--config"])
            .arg(&self.config)
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(args)
            .env_remove("ROLLOUT_CLOUD")
            .env_remove("ROLLOUT_OVERLAY")
            .env("USER", "ann")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        if let Some(overlay) = &self.overlay {
            command.arg("--overlay").arg(overlay);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it starts")
    }

    /// The exit code, and all that was said.
    pub(crate) fn text(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    }

    /// Runs with `--json`; every line must be an object.
    pub(crate) fn json(&self, args: &[&str]) -> (Option<i32>, Vec<Value>) {
        let output = self.run(&[args, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).expect("it is text");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        for line in &lines {
            // A record of a journal is shown as it is; everything else says what it is.
            assert!(line["kind"].is_string() || line["seq"].is_u64(), "{line}");
        }
        (output.status.code(), lines)
    }

    /// The exit code and the last line of JSON.
    pub(crate) fn end(&self, args: &[&str]) -> (Option<i32>, Value) {
        let (code, lines) = self.json(args);
        (code, lines.last().expect("a line").clone())
    }

    /// Starts a run at a pace that leaves time for something, and waits until the backend is being deployed, so that there is a way
    /// back to go.
    pub(crate) fn under_way(&self, run: &str) -> (Child, impl Iterator<Item = Value> + use<>) {
        let mut child = self
            .command(&["run", "--run", run, "--json", "--sim-speed", "100"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = out
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let begun = lines.any(|line| {
            let deploying = line["note"].as_str().is_some_and(|note| note.contains("running"));
            line["step"] == "service/backend" && line["state"] == "working" && deploying
        });
        assert!(begun, "it never came to the backend");
        (child, lines)
    }
}

/// Sends a signal, such as `-TERM`.
#[cfg(unix)]
pub(crate) fn kill(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.expect("there is a kill").success());
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
