//! Tasks of the workspace, as `cargo xtask <task>`.
//!
//! Exit codes: 0 done; 1 failed, or `status` found nothing healthy; 2 wrong arguments; 3 skipped, because the
//! machine lacks something that the task names.

mod emulator;

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
    /// Local AWS emulators: start, stop, status, test. See docs/emulators.md.
    #[command(subcommand)]
    Emulator(emulator::Command),
}

fn main() -> ExitCode {
    let Cli { task } = Cli::parse();
    let end = match task {
        Task::Emulator(command) => emulator::run(command),
    };
    match end {
        Ok(code) => code,
        Err(error) => {
            if let Some(skipped) = error.downcast_ref::<Skipped>() {
                eprintln!("skipped: {skipped}");
                return ExitCode::from(3);
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
