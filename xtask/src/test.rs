//! `cargo xtask test`: everything that a change must pass, in one command.

use std::env::current_exe;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum as _};

use crate::cargo::{cargo, root, run as run_command, target};
use crate::emulator::{self, Kind};
use crate::steps::{Beside, Steps};

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Leave the emulators out: no Python is needed and nothing is downloaded.
    #[arg(long)]
    no_emulators: bool,
}

pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let root = root()?;
    let mut steps = Steps::default();
    // With all features and all packages at once, so that every dependency is built once. The emulator suite is no part of
    // it: its target says `test = false` and is asked for by name.
    steps.run("tests and doc tests", || {
        run_command(cargo(&root).args(["test", "--locked", "--workspace", "--all-features"]))
    });
    // Optimised: closed spaces and 10,000 seeds are too much for a plain build. Beside the rest, which mostly waits.
    let folder = target(&root)?;
    let log = folder.join("searches.log");
    let searches = Beside::begin("searches and simulations", &mut searches(&root), &log)?;
    let log = folder.join("ministack.log");
    let name = format!("emulator tests with {}", Kind::Ministack);
    let ministack = match args.no_emulators {
        true => None,
        false => Some(Beside::begin(&name, &mut ministack(&root)?, &log)?),
    };
    // On its own, because it mostly waits, too: a plain `cargo test` leaves it out.
    steps.run("the program against the simulated AWS", || {
        let all = [
            "test",
            "--locked",
            "--workspace",
            "--all-features",
            "--test",
            "served",
        ];
        run_command(cargo(&root).args(all))
    });
    if let Some(ministack) = ministack {
        emulators(&mut steps);
        ministack.end(&mut steps);
    }
    searches.end(&mut steps);
    Ok(steps.finish())
}

/// Releases are run against two emulators, each in instances of its own, and so side by side: they mostly wait. moto has no ECS
/// deployments, and so no release to test.
fn emulators(steps: &mut Steps) {
    let passed = |code| {
        ensure!(code == ExitCode::SUCCESS, "what it printed says why");
        Ok(())
    };
    steps.run(&format!("emulator tests with {}", Kind::Localstack), || {
        emulator::test(Kind::Localstack).and_then(passed)
    });
    steps.run("AWS's own clients on the simulated AWS", || {
        emulator::clients().and_then(passed)
    });
    for kind in Kind::value_variants() {
        steps.run(&format!("the simulated AWS against {kind}"), || {
            emulator::differ(*kind).and_then(passed)
        });
    }
}

/// The longest of them, in a process of its own.
fn ministack(root: &Path) -> Result<Command> {
    let mut command = Command::new(current_exe().context("this program has no path")?);
    command.args(["emulator", "test", "--with", Kind::Ministack.name()]);
    command.current_dir(root);
    Ok(command)
}

fn searches(root: &Path) -> Command {
    let package = ["--profile", "proof", "--package", "rollout-tests"];
    let targets = ["--test", "exhaustive", "--test", "simulation", "--test", "resume"];
    let mut command = cargo(root);
    command
        .args(["test", "--locked"])
        .args(package)
        .args(targets)
        .args(["--", "--nocapture"]);
    command
}
