//! `cargo xtask storefront`: the running case on the simulated cloud, as a user runs it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::cargo::{cargo, root, run as run_command, shown, target, without_aws};

#[derive(Args)]
pub(crate) struct StorefrontArgs {
    /// The release: the tag of its images.
    #[arg(long, value_name = "TAG", default_value = "2.4.0")]
    release: String,
    /// More for `rollout run`, after `--`, such as `--sim-speed 60` or `--json`.
    #[arg(last = true)]
    rest: Vec<OsString>,
}

/// One run: what it shows, what goes wrong, how it must end (`rollout exit-codes`).
const RUNS: [(&str, Option<&str>, i32); 2] = [
    ("a good release", None, 0),
    ("a release whose image cannot be pulled", Some("bad-image"), 11),
];

pub(crate) fn run(args: &StorefrontArgs) -> Result<ExitCode> {
    let root = root()?;
    let target = target(&root)?;
    // Without its AWS half `rollout` builds in a fraction of the time. It gets a folder of its own, so that the program
    // with AWS that another command has built stays where it is.
    let built = target.join("storefront");
    run_command(
        cargo(&root)
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "rollout-cli",
                "--no-default-features",
            ])
            .arg("--target-dir")
            .arg(&built),
    )?;
    let program = built
        .join("debug")
        .join(format!("rollout{}", std::env::consts::EXE_SUFFIX));
    let state = built.join("state");
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("{} cannot be removed", state.display()))?;
    }
    for (what, incident, wanted) in RUNS {
        let mut command = rollout(&root, &program, &state.join(incident.unwrap_or("good")), args);
        command.args(incident.map(|incident| format!("--sim-incident={incident}")));
        command.args(&args.rest);
        eprintln!("\n== {what}\n$ {}", shown(&command));
        let status = command
            .status()
            .with_context(|| format!("{} cannot be run", program.display()))?;
        ensure!(
            status.code() == Some(wanted),
            "{what}: {status}, and {wanted} was expected"
        );
        eprintln!("exit code {wanted}, as expected");
    }
    Ok(ExitCode::SUCCESS)
}

fn rollout(root: &Path, program: &Path, state: &Path, args: &StorefrontArgs) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(root)
        .args([
            "run",
            "--cloud",
            "sim",
            "--config",
            "examples/storefront/rollout.toml",
        ])
        .args(["--release", &args.release])
        .arg("--state-dir")
        .arg(state);
    without_aws(&mut command);
    command
}
