//! Mutants: bugs put into the code on purpose, to see a test fail for each.

mod accepted;
mod guards;
mod historic;
mod list;
mod machines;
mod report;
mod rounds;
mod run;
mod weave;
mod workshop;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Which {
    /// Puts three bugs of history back.
    Historic,
    /// Runs every mutant of the machines.
    Machines(machines::Args),
}

pub(crate) fn run(which: &Which) -> Result<ExitCode> {
    match which {
        Which::Historic => historic::run(),
        Which::Machines(args) => machines::run(args),
    }
}
