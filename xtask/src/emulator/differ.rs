//! `cargo xtask emulator differ`: one script on the simulated cloud's endpoint and on the emulators, compared.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::launch::{self, Session};
use super::layout::Layout;
use super::suite;
use super::{Kind, Port, Skipped};

/// Compares with each of them in turn. Every one is an instance of its own: what others left would be a difference.
pub(crate) fn run(layout: &Layout, kinds: &[Kind]) -> Result<ExitCode> {
    let mut end = ExitCode::SUCCESS;
    for kind in kinds {
        match one(layout, *kind) {
            Ok(code) if code == ExitCode::SUCCESS => {}
            Ok(_) => end = ExitCode::FAILURE,
            // LocalStack wants a Python of its own; the others are still compared.
            Err(error) if error.is::<Skipped>() && kinds.len() > 1 => eprintln!("skipped: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}

fn one(layout: &Layout, kind: Kind) -> Result<ExitCode> {
    let name = format!("differ-{kind}-{}", std::process::id());
    let started = launch::start(layout, kind, &name, Some(Port::Auto), Session::Shared)?;
    eprintln!("the endpoint against {}", started.instance);
    let compared = suite::cargo_test(layout, &started.instance, "differ", &[]);
    let stopped = started.instance.stop(layout);
    let status = compared?;
    eprintln!("{}", stopped?);
    if status == ExitCode::SUCCESS {
        // After a failure its logs stay, to be read.
        let folder = layout.instance(&name);
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(status)
}
