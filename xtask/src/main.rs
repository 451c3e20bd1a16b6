//! Tasks of the workspace, as `cargo xtask <task>`.
//!
//! Exit codes: 0 done; 1 failed, or `status` found nothing healthy; 2 wrong arguments; 3 skipped, because the
//! machine lacks something that the task names.

mod cargo;
mod docs;
mod emulator;
mod licences;
mod many;
mod mutants;
mod spdx;
mod steps;
mod storefront;
mod test;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::emulator::Skipped;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the workspace")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks that what the documents link to and name is there.
    Docs,
    /// Local AWS emulators: start, stop, status, test. See docs/emulators.md.
    #[command(subcommand)]
    Emulator(emulator::Command),
    /// Runs many rollouts at once on the simulated AWS and writes the table of docs/benchmarks.md.
    Many(many::ManyArgs),
    /// Checks licences, bans, duplicates and sources of every dependency against deny.toml.
    Licences,
    /// Puts bugs in and sees that tests catch them. See docs/verification.md.
    #[command(subcommand)]
    Mutants(mutants::Which),
    /// Runs the storefront release on the simulated cloud: one that is released, then one that is rolled back.
    Storefront(storefront::StorefrontArgs),
    /// Runs all tests, doc tests, and the emulator suite.
    Test(test::TestArgs),
    /// Checks which crates each of ours may depend on.
    Tree,
}

fn main() -> ExitCode {
    let Cli { task } = Cli::parse();
    let end = match task {
        Task::Docs => docs::run(),
        Task::Emulator(command) => emulator::run(command),
        Task::Many(args) => many::run(&args),
        Task::Licences => licences::run(),
        Task::Mutants(which) => mutants::run(&which),
        Task::Storefront(args) => storefront::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Tree => tree::run(),
    };
    match end {
        Ok(code) => code,
        Err(error) => {
            if let Some(skipped) = error.downcast_ref::<Skipped>() {
                eprintln!("skipped: {skipped}");
                return ExitCode::from(steps::SKIPPED);
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
