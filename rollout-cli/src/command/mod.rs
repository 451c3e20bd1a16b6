//! The commands, one file each.

pub(crate) mod abort;
pub(crate) mod completions;
pub(crate) mod graph;
pub(crate) mod hold;
pub(crate) mod journal;
pub(crate) mod list;
pub(crate) mod plan;
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
use crate::hold::{Holds, TakenBack};
use crate::runs::RunDir;
use crate::view::paint::Paint;
use crate::view::report::Report;

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever is no outcome; [`Invalid`](crate::config::diagnostic::Invalid) among it when the configuration is wrong.
pub(crate) fn execute(cli: &Cli) -> anyhow::Result<Exit> {
    let global = &cli.global;
    match &cli.command {
        Command::Plan(args) => plan::execute(global, args),
        Command::Run(args) => run::execute(global, args),
        Command::Status(which) => status::execute(global, which),
        Command::Resume(which) => resume::execute(global, which),
        Command::List => list::execute(global),
        Command::Journal(command) => journal::execute(global, command),
        Command::Rollback(args) => rollback::execute(global, args),
        Command::Hold(command) => hold::execute(global, command),
        Command::Abort(which) => abort::execute(global, which),
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
fn held(global: &Global, taken: &TakenBack, run: &str) -> Exit {
    report(global, &taken.refusal().here(global), run, crate::runs::now())
}

/// Keeps what the end of a run means for the next one: that the environment went back, or that something else serves there.
fn went(holds: &dyn Holds, config: &Config, run: &RunId, outcome: &Outcome) -> anyhow::Result<()> {
    let target = &config.promotion.to;
    // Only a person takes a hold away.
    if holds.of(target)?.is_some_and(|taken| taken.is_held()) {
        return Ok(());
    }
    match outcome {
        Outcome::Released { .. } => holds.forget(target),
        Outcome::RolledBack { why, .. } => holds.keep(&TakenBack::now(
            target,
            run,
            why.text.clone(),
            false,
            &config.rollback,
        )),
        // An abort goes back at the word of a person who is there.
        Outcome::Refused { .. }
        | Outcome::Superseded { .. }
        | Outcome::Aborted { .. }
        | Outcome::Stuck(_) => Ok(()),
    }
}

/// Prints to standard output. A reader that has gone away is no reason to fail.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Runs a future on a runtime of its own: one thread is plenty for a program that waits.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// Says one thing, in the form that was asked for.
fn say(global: &Global, text: &str) {
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
fn same_target(dir: &RunDir, plan: &RolloutPlan, config: &Config) -> anyhow::Result<()> {
    if plan.to != config.promotion.to {
        anyhow::bail!(
            "run {} changed {}, but {} says {}",
            dir.run,
            plan.to,
            config.file.display(),
            config.promotion.to
        );
    }
    Ok(())
}
