//! The commands, one file each.

pub(crate) mod abort;
pub(crate) mod check;
pub(crate) mod completions;
mod drive;
mod fleet;
pub(crate) mod graph;
pub(crate) mod hold;
pub(crate) mod journal;
pub(crate) mod list;
pub(crate) mod plan;
#[cfg(feature = "aws")]
mod policy;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod run;
#[cfg(feature = "serve")]
pub(crate) mod sim;
pub(crate) mod status;

use rollout_core::id::RunId;
use rollout_core::machine::rollout::Outcome;
use rollout_core::plan::RolloutPlan;
use rollout_core::time::Timestamp;

use crate::args::{Cli, Command, Global};
use crate::config::Config;
use crate::exit::Exit;
use crate::hold::TakenBack;
use crate::state::State;
use crate::view::paint::Paint;
use crate::view::report::Report;
use crate::wall::now;

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever is no outcome; [`Invalid`](crate::config::diagnostic::Invalid) among it when the configuration is wrong.
pub(crate) fn execute(cli: &Cli) -> anyhow::Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Plan(args) => block_on(plan::execute(global, args))?,
        Command::Run(args) => block_on(run::execute(global, args))?,
        Command::Status(which) => block_on(status::execute(global, which))?,
        Command::Resume(args) => block_on(resume::execute(global, args))?,
        Command::Check(args) => block_on(check::execute(global, args))?,
        #[cfg(feature = "aws")]
        Command::Policy(command) => policy::execute(*command),
        Command::List => block_on(list::execute(global))?,
        Command::Journal(command) => block_on(journal::execute(global, command))?,
        Command::Rollback(args) => block_on(rollback::execute(global, args))?,
        Command::Fleet(command) => block_on(fleet::execute(global, command))?,
        Command::Hold(command) => block_on(hold::execute(global, command))?,
        Command::Abort(which) => block_on(abort::execute(global, which))?,
        Command::Graph(args) => graph::execute(global, args),
        #[cfg(feature = "serve")]
        Command::Sim(command) => sim::execute(global, command),
        Command::Completions(args) => Ok(completions::execute(args)),
        Command::ExitCodes => {
            print(&Exit::list());
            Ok(Exit::Done)
        }
    }
}

/// Prints the last thing that is printed of a run.
fn report(global: &Global, report: &Report, run: &str, at: Timestamp) -> Exit {
    if global.json {
        print(&format!("{}\n", report.json(run, &at.to_string())));
    } else {
        print(&report.text(Paint::for_stdout(global.no_color)));
    }
    report.exit
}

/// The end of a command that would bring something new to a held environment.
fn held(global: &Global, taken: &TakenBack, run: &RunId) -> Exit {
    refused(global, taken.refusal(), run)
}

/// The end of a command that was refused before a cloud was asked.
fn refused(global: &Global, refusal: Report, run: &RunId) -> Exit {
    report(global, &refusal.here(global), run.as_str(), now())
}

/// Keeps that an environment goes back. What no person asked for leaves a hold alone: only a person takes it away.
async fn keep(state: &State, taken: &TakenBack) -> anyhow::Result<()> {
    if !taken.is_held() && state.held(&taken.environment).await?.is_some() {
        return Ok(());
    }
    state.take_back(taken).await
}

/// Keeps what the end of a run means for the next one: that the environment went back, or that something else serves there.
async fn went(state: &State, config: &Config, run: &RunId, outcome: &Outcome) -> anyhow::Result<()> {
    let target = &config.promotion.to;
    // Only a person takes a hold away.
    if state.held(target).await?.is_some() {
        return Ok(());
    }
    match outcome {
        Outcome::Released { .. } => state.forget(target).await,
        Outcome::RolledBack { why, .. } => {
            let taken = TakenBack::now(target, run, why.text.clone(), false, &config.rollback);
            state.take_back(&taken).await
        }
        // An abort goes back at the word of a person who is there.
        Outcome::Refused { .. }
        | Outcome::Superseded { .. }
        | Outcome::Aborted { .. }
        | Outcome::Stuck(_) => Ok(()),
    }
}

/// Prints to standard output. What cannot be printed is no reason to stop what goes on.
fn print(text: &str) {
    let _ = write(text);
}

/// Writes to standard output what the command was called for. A reader that has gone away is no reason to fail.
fn write(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _, stdout};
    let written = stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs a future on a runtime of its own: one thread is plenty for a program that waits.
pub(crate) fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// Says one thing, in the form that was asked for.
pub(crate) fn say(global: &Global, text: &str) {
    if global.json {
        print(&format!(
            "{}\n",
            serde_json::json!({ "kind": "message", "text": text })
        ));
    } else {
        print(&format!("{text}\n"));
    }
}

/// The user has left in the middle.
fn left(global: &Global, run: &RunId) -> Exit {
    let status = global.again(&format!("rollout status {run}"));
    let resume = global.again(&format!("rollout resume {run}"));
    let rollback = global.again(&format!("rollout rollback {run}"));
    let text = format!(
        "left run {run} where it was: what was under way may still take effect\n  \
         next     {status}      shows what is known\n           \
         {resume}      goes on\n           \
         {rollback}    takes everything back to what ran before"
    );
    if global.json {
        let exit = Exit::Left.number();
        let line = serde_json::json!({ "kind": "left", "run": run, "exit_code": exit, "text": text });
        print(&format!("{line}\n"));
    } else {
        print(&format!("\n■ {text}\n"));
    }
    Exit::Left
}

/// A run is gone on with, or taken back, only in the environment that it changed.
fn same_target(plan: &RolloutPlan, config: &Config) -> anyhow::Result<()> {
    if plan.to != config.promotion.to {
        anyhow::bail!(
            "run {} changed {}, but {} says {}",
            plan.run,
            plan.to,
            config.file.display(),
            config.promotion.to
        );
    }
    Ok(())
}
