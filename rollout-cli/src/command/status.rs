//! `rollout status`: what a run's journal says, also while the run is going.

use core::fmt::Write as _;

use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;
use rollout_core::time::Timestamp;
use rollout_core::{Effect as _, Machine as _};
use serde_json::json;

use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Past};
use crate::runs::{RunDir, Runs, now};
use crate::view::live::{Size, frame};
use crate::view::model::short;
use crate::view::paint::Paint;

pub(crate) fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let dir = Runs::new(&global.state_dir).find(which.run.as_deref())?;
    let held = FileJournal::is_held(&dir.journal())?;
    let past = past::read(&dir.journal())?;
    if global.json {
        super::print(&lines(global, &dir, &past, held));
    } else {
        super::print(&text(global, &dir, &past, held)?);
    }
    Ok(Exit::Done)
}

fn text(global: &Global, dir: &RunDir, past: &Past<Rollout>, held: bool) -> anyhow::Result<String> {
    let paint = Paint::for_stdout(global.no_color);
    let size = Size {
        rows: usize::MAX,
        ..Size::of_terminal()
    };
    let mut text = format!("run {}\n", dir.run);
    // Writing to a string cannot fail, here and below.
    for line in frame(&past.snapshot, past.replayed.last, size, paint) {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    match past.replayed.machine.outcome() {
        Some(outcome) => {
            let report =
                outcome::of_rollout(&outcome, &dir.run, &past.replayed.machine.plan().to).here(global);
            text.push_str(&report.text(paint));
        }
        None if held => {
            let _ = writeln!(
                text,
                "\nunder way; the last news is {} old",
                age(past.replayed.last)
            );
        }
        None => text.push_str(&interrupted(global, dir, past)),
    }
    for journal in dir.rollbacks() {
        // Said after the run's own end, because it is newer.
        let back: Past<Unwind> = past::read(&journal)?;
        let ended = match back.replayed.machine.outcome() {
            Some(outcome) => {
                let report = outcome::of_unwind(&outcome, &past.replayed.machine.plan().to);
                format!("{}: {}", report.name, report.summary)
            }
            None if FileJournal::is_held(&journal)? => "it is under way".to_owned(),
            None => {
                let resume = global.again(&format!("rollout resume {}", dir.run));
                format!("its process is gone; {resume} goes on with it")
            }
        };
        let _ = writeln!(text, "\nafter that, `rollout rollback`: {ended}");
    }
    Ok(text)
}

fn interrupted(global: &Global, dir: &RunDir, past: &Past<Rollout>) -> String {
    let mut text = "\n■ Interrupted: the process that drove it is gone, without an outcome\n".to_owned();
    for (_, effect) in past.replayed.open.iter().filter(|(_, effect)| effect.mutates()) {
        let _ = writeln!(
            text,
            "  unknown  {}: begun, and nobody knows whether it took effect",
            effect.step
        );
    }
    let run = &dir.run;
    let resume = global.again(&format!("rollout resume {run}"));
    let rollback = global.again(&format!("rollout rollback {run}"));
    let _ = writeln!(
        text,
        "  next     {resume}      goes on\n           {rollback}    takes everything back to what ran before"
    );
    text
}

/// How old a moment is by our clock; a simulated cloud's clock is its own.
fn age(at: Timestamp) -> String {
    short(now().since(at))
}

fn lines(global: &Global, dir: &RunDir, past: &Past<Rollout>, held: bool) -> String {
    let mut text = String::new();
    for row in &past.snapshot.rows {
        let line = json!({
            "at": row.ended.or(row.began).map(|at| at.to_string()),
            "kind": "step",
            "step": row.step,
            "state": row.state.word(),
            "note": row.note,
        });
        let _ = writeln!(text, "{line}");
    }
    let at = past.replayed.last.to_string();
    let last = match past.replayed.machine.outcome() {
        Some(outcome) => outcome::of_rollout(&outcome, &dir.run, &past.replayed.machine.plan().to)
            .here(global)
            .json(dir.run.as_str(), &at),
        None => json!({
            "at": at,
            "kind": "status",
            "run": dir.run,
            "status": if held { "under_way" } else { "interrupted" },
            "phase": past.snapshot.phase,
            "unknown": past.replayed.open.iter().filter(|(_, effect)| effect.mutates()).map(|(_, effect)| effect.step.as_str()).collect::<Vec<_>>(),
        }),
    };
    let _ = writeln!(text, "{last}");
    text
}
