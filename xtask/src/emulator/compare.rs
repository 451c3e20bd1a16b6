//! `cargo xtask emulator compare`: a crashing release by ecs-deploy and by rollout, beside each other on MiniStack.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::launch::{self, Session};
use super::layout::Layout;
use super::venv::{self, Environment};
use super::{Kind, Port};
use crate::cargo;

const ENVIRONMENT: Environment = Environment {
    name: "compare",
    python: venv::Python::AtLeast(3, 10),
    build_first: None,
    from_source: &[],
};

/// Prints what docs/comparison.md holds.
pub(crate) fn run(layout: &Layout) -> Result<ExitCode> {
    let python = venv::ensure(layout, &ENVIRONMENT)?;
    let rollout = cargo::rollout(layout.root())?;
    let name = format!("compare-{}", std::process::id());
    let started = launch::start(layout, Kind::Ministack, &name, Some(Port::Auto), Session::Shared)?;
    let mut command = Command::new(&python);
    cargo::without_aws(&mut command);
    let compared = command
        .arg(layout.source("compare/crashing.py"))
        .arg("--ecs")
        .arg(python.with_file_name(format!("ecs{}", std::env::consts::EXE_SUFFIX)))
        .arg("--rollout")
        .arg(rollout)
        .envs(&started.instance.env)
        .status()
        .with_context(|| format!("{} cannot be run", python.display()));
    let stopped = started.instance.stop(layout);
    let status = compared?;
    eprintln!("{}", stopped?);
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
