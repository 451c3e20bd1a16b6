//! `rollout status`: what a run's journal says, also while the run is going.

use core::fmt::Write as _;

use rollout_core::id::StepId;
use rollout_core::lease::LeaseRecord;
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;
use rollout_core::time::Timestamp;
use rollout_core::{Effect as _, Machine as _};
use serde_json::{Value, json};

use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Past};
use crate::state::{Driven, Kept, Part, State};
use crate::view::model::short;
use crate::view::paint::Paint;
use crate::wall::now;

pub(crate) async fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let kept = State::open(global).await?.find(which.run.as_deref()).await?;
    let driven = kept.driven(Part::Release).await?;
    let past = past::read(&kept, Part::Release).await?;
    if global.json {
        super::print(&lines(global, &kept, &past, &driven));
    } else {
        super::print(&text(global, &kept, &past, &driven).await?);
    }
    Ok(Exit::Done)
}

async fn text(global: &Global, kept: &Kept, past: &Past<Rollout>, driven: &Driven) -> anyhow::Result<String> {
    let paint = Paint::for_stdout(global.no_color);
    let mut text = format!("run {}\n{}", kept.run, past.shown(paint));
    match past.replayed.machine.outcome() {
        Some(outcome) => {
            let report =
                outcome::of_rollout(&outcome, &kept.run, &past.replayed.machine.plan().to).here(global);
            text.push_str(&report.text(paint));
        }
        None => match driven {
            Driven::By(who) => text.push_str(&under_way(who.as_deref(), past)),
            Driven::No => text.push_str(&interrupted(global, kept, past)),
        },
    }
    for part in kept.parts().await? {
        if part == Part::Release {
            continue;
        }
        // Said after the run's own end, because it is newer.
        let back: Past<Unwind> = past::read(kept, part).await?;
        let ended = match back.replayed.machine.outcome() {
            Some(outcome) => {
                let report = outcome::of_unwind(&outcome, &past.replayed.machine.plan().to);
                format!("{}: {}", report.name, report.summary)
            }
            None if kept.driven(part).await?.is_driven() => "it is under way".to_owned(),
            None => {
                let resume = global.again(&format!("rollout resume {}", kept.run));
                format!("its process is gone; {resume} goes on with it")
            }
        };
        let _ = writeln!(text, "\nafter that, `rollout rollback`: {ended}");
    }
    Ok(text)
}

fn under_way(who: Option<&LeaseRecord>, past: &Past<Rollout>) -> String {
    match who {
        // Written in real time, whatever time the run's cloud has.
        Some(lease) => {
            let sign = age(lease.written);
            format!("\nunder way: {lease}; its last sign of life is {sign} old\n")
        }
        None => format!("\nunder way; the last news is {} old\n", age(past.replayed.last)),
    }
}

/// The steps of what was begun and may have changed something, with no result.
fn unknown(past: &Past<Rollout>) -> impl Iterator<Item = &StepId> {
    let open = past.replayed.open.iter();
    open.filter(|(_, effect)| effect.mutates())
        .map(|(_, effect)| &effect.step)
}

fn interrupted(global: &Global, kept: &Kept, past: &Past<Rollout>) -> String {
    let mut text = "\n■ Interrupted: the process that drove it is gone, without an outcome\n".to_owned();
    for step in unknown(past) {
        let _ = writeln!(
            text,
            "  unknown  {step}: begun, and nobody knows whether it took effect"
        );
    }
    let run = &kept.run;
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

fn lines(global: &Global, kept: &Kept, past: &Past<Rollout>, driven: &Driven) -> String {
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
        Some(outcome) => outcome::of_rollout(&outcome, &kept.run, &past.replayed.machine.plan().to)
            .here(global)
            .json(kept.run.as_str(), &at),
        None => json!({
            "at": at,
            "kind": "status",
            "run": kept.run,
            "status": if driven.is_driven() { "under_way" } else { "interrupted" },
            "by": match driven {
                Driven::By(Some(lease)) => json!(lease),
                Driven::By(None) | Driven::No => Value::Null,
            },
            "phase": past.snapshot.phase,
            "unknown": unknown(past).collect::<Vec<_>>(),
        }),
    };
    let _ = writeln!(text, "{last}");
    text
}
