//! `cargo xtask test`: everything that a change must pass, in one command.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};
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

/// The emulators that releases are run against. moto has no ECS deployments, and so no release to test.
const EMULATORS: [Kind; 2] = [Kind::Ministack, Kind::Localstack];

pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let root = root()?;
    let mut steps = Steps::default();
    // With all features and all packages at once, so that every dependency is built once. The emulator suite is no part of
    // it: its target says `test = false` and is asked for by name.
    steps.run("tests and doc tests", || {
        run_command(cargo(&root).args(["test", "--locked", "--workspace", "--all-features"]))
    });
    // Optimised: closed spaces and 10,000 seeds are too much for a plain build. Beside the rest, which mostly waits.
    let log = target(&root)?.join("searches.log");
    let searches = Beside::begin("searches and simulations", &mut searches(&root), &log)?;
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
    for kind in EMULATORS.into_iter().filter(|_| !args.no_emulators) {
        steps.run(&format!("emulator tests with {kind}"), || {
            let code = emulator::test(kind)?;
            ensure!(code == ExitCode::SUCCESS, "the emulator tests failed");
            Ok(())
        });
    }
    if !args.no_emulators {
        let passed = |code| {
            ensure!(code == ExitCode::SUCCESS, "what it printed says why");
            Ok(())
        };
        steps.run("AWS's own clients on the simulated AWS", || {
            emulator::clients().and_then(passed)
        });
        for kind in Kind::value_variants() {
            steps.run(&format!("the simulated AWS against {kind}"), || {
                emulator::differ(*kind).and_then(passed)
            });
        }
    }
    searches.end(&mut steps);
    Ok(steps.finish())
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
