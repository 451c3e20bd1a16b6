//! `cargo xtask emulator clients`: the AWS CLI, boto3 and ecs-deploy, unchanged, against `rollout sim serve`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::layout::Layout;
use super::venv::{self, Environment};
use crate::cargo;

const ENVIRONMENT: Environment = Environment {
    name: "clients",
    python: venv::Python::AtLeast(3, 10),
    build_first: None,
    from_source: &[],
};

/// Every client starts and ends a server of its own.
pub(crate) fn run(layout: &Layout) -> Result<ExitCode> {
    let python = venv::ensure(layout, &ENVIRONMENT)?;
    let rollout = cargo::rollout(layout.root())?;
    let mut command = Command::new(&python);
    cargo::without_aws(&mut command);
    let status = command
        .arg(layout.source("clients/drive.py"))
        .arg("--rollout")
        .arg(rollout)
        .status()
        .with_context(|| format!("{} cannot be run", python.display()))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
