//! `cargo xtask emulator test`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::instance::Instance;
use super::launch::{self, Session};
use super::layout::Layout;
use super::{Kind, Port};
use crate::cargo::cargo;

/// Runs the emulator suite against the default instance, else against one of its own that ends with the run.
pub(crate) fn run(layout: &Layout, kind: Kind, rest: &[String]) -> Result<ExitCode> {
    let running = Instance::load(layout, kind.name())?.filter(|i| i.kind == kind && i.is_healthy());
    let (instance, own) = match running {
        Some(instance) => (instance, false),
        None => {
            let name = format!("test-{kind}-{}", std::process::id());
            let started = launch::start(layout, kind, &name, Some(Port::Auto), Session::Shared)?;
            (started.instance, true)
        }
    };
    eprintln!("tests against {instance}");
    let tested = cargo_test(layout, &instance, "emulator", rest);
    if own {
        let stopped = instance.stop(layout);
        let status = tested?;
        eprintln!("{}", stopped?);
        if status == ExitCode::SUCCESS {
            // After a failure its logs stay, to be read.
            let folder = layout.instance(&instance.name);
            fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        return Ok(status);
    }
    tested
}

/// Runs one test program with the instance's environment.
pub(super) fn cargo_test(
    layout: &Layout,
    instance: &Instance,
    program: &str,
    rest: &[String],
) -> Result<ExitCode> {
    // The features of the whole workspace, as in `cargo xtask test`: another set would build the AWS SDK once more.
    let status = cargo(layout.root())
        .args(["test", "--workspace", "--all-features", "--test", program, "--"])
        .args(rest)
        .envs(&instance.env)
        .status()
        .context("cargo cannot be run")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
