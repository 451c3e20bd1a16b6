//! `rollout fleet status`: what a fleet's journal says, also while it is going.

use core::fmt::Write as _;

use rollout_core::Machine as _;
use rollout_core::machine::fleet::Fleet;
use serde_json::json;

use super::state;
use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::fleet::outcome;
use crate::past::{self, Past};
use crate::state::{Kept, Part};
use crate::view::paint::Paint;

pub(super) async fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let kept = state(global).await?.find(which.run.as_deref()).await?;
    let driven = kept.driven(Part::Release).await?.is_driven();
    let past: Past<Fleet> = past::read(&kept, Part::Release).await?;
    let text = if global.json {
        lines(global, &kept, &past, driven)
    } else {
        text(global, &kept, &past, driven)
    };
    super::super::print(&text);
    Ok(Exit::Done)
}

fn text(global: &Global, kept: &Kept, past: &Past<Fleet>, driven: bool) -> String {
    let paint = Paint::for_stdout(global.no_color);
    let run = &kept.run;
    let mut text = format!("fleet {run}\n{}", past.shown(paint));
    match past.replayed.machine.outcome() {
        Some(outcome) => text.push_str(&outcome::of_fleet(global, &outcome, run).text(paint)),
        None if driven => text.push_str("\nunder way\n"),
        None => {
            let resume = global.again(&format!("rollout fleet resume {run}"));
            let _ = writeln!(
                text,
                "\n■ Interrupted: the process that drove it is gone, without an outcome\n  next     {resume}      goes on"
            );
        }
    }
    text
}

fn lines(global: &Global, kept: &Kept, past: &Past<Fleet>, driven: bool) -> String {
    let mut text = String::new();
    for row in &past.snapshot.rows {
        let line = json!({
            "kind": "step",
            "step": row.step,
            "state": row.state.word(),
            "note": row.note,
        });
        let _ = writeln!(text, "{line}");
    }
    let at = past.replayed.last.to_string();
    let counts = past.replayed.machine.counts();
    let last = match past.replayed.machine.outcome() {
        Some(outcome) => outcome::of_fleet(global, &outcome, &kept.run).json(kept.run.as_str(), &at),
        None => json!({
            "at": at,
            "kind": "status",
            "run": kept.run,
            "status": if driven { "under_way" } else { "interrupted" },
            "phase": past.snapshot.phase,
            "members": counts.of,
            "in_the_air": counts.in_the_air,
            "released": counts.released,
            "baked": counts.baked,
            "taken_back": counts.taken_back,
        }),
    };
    let _ = writeln!(text, "{last}");
    text
}
