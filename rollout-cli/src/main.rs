//! `rollout`: a thin shell over the public API of `rollout-core`, `rollout-aws` and `rollout-sim`.

mod args;
mod cloud;
mod command;
mod config;
mod draft;
mod exit;
mod fleet;
mod follow;
mod hold;
mod intent;
mod outcome;
mod past;
mod planfile;
mod ready;
mod runner;
mod session;
mod state;
mod tenure;
mod view;
mod wall;

use std::process::ExitCode;

use clap::Parser as _;
use rollout_core::plan::PlanErrors;

use args::{Cli, Global};
use config::diagnostic::Invalid;
use exit::Exit;
use view::paint::{Colour, Paint};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match command::execute(&cli) {
        Ok(exit) => exit,
        Err(error) => failed(&cli.global, &error),
    };
    exit.into()
}

/// Says what went wrong: on standard error, or as JSON where everything is JSON.
fn failed(global: &Global, error: &anyhow::Error) -> Exit {
    let invalid = error.downcast_ref::<Invalid>();
    if global.json {
        for line in json_lines(error, invalid) {
            println!("{line}");
        }
    } else {
        let paint = Paint::for_stderr(global.no_color);
        match invalid {
            Some(invalid) => eprint!("{}", invalid.render(paint)),
            None => eprintln!("{}: {}", paint.bold(Colour::Red, "error"), chain(error)),
        }
    }
    // What a plan cannot be made of is in the configuration.
    let unusable = error.is::<planfile::Unusable>()
        || error.is::<fleet::Unusable>()
        || error.is::<ready::Unnamed>()
        || error.is::<state::Misplaced>()
        || error.is::<PlanErrors>();
    if invalid.is_some() || unusable {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

fn json_lines(error: &anyhow::Error, invalid: Option<&Invalid>) -> Vec<serde_json::Value> {
    match invalid {
        Some(invalid) => invalid
            .0
            .iter()
            .map(config::diagnostic::Diagnostic::json)
            .collect(),
        None => vec![serde_json::json!({ "kind": "error", "error": chain(error) })],
    }
}

/// An error with its causes, each once: those of some libraries repeat what is below them.
fn chain(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .fold(String::new(), |said, cause| {
            if said.is_empty() {
                cause
            } else if said.contains(&cause) {
                said
            } else {
                format!("{said}: {cause}")
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let error = anyhow::anyhow!("no route")
            .context("cannot connect: no route")
            .context("cannot list");
        assert_eq!(chain(&error), "cannot list: cannot connect: no route");
    }
}
