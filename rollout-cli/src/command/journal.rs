//! `rollout journal`: the records themselves.

use core::fmt::Write as _;

use rollout_core::journal::{Body, Record, read_until_wrong};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;
use serde_json::{Value, json};

use crate::args::{Global, JournalCommand};
use crate::exit::Exit;
use crate::follow::Follow;
use crate::past::{self, Past};
use crate::state::{Kept, Part, State};
use crate::view::model::clock;

pub(crate) async fn execute(global: &Global, command: &JournalCommand) -> anyhow::Result<Exit> {
    let state = State::open(global).await?;
    match command {
        JournalCommand::Verify(which) => verify(global, &state.find(which.run.as_deref()).await?).await,
        JournalCommand::Show(which) => show(global, &state.find(which.run.as_deref()).await?).await,
    }
}

/// What a journal comes to.
struct Verdict {
    records: u64,
    torn: Option<u64>,
    end: &'static str,
    open: Vec<String>,
}

async fn verify(global: &Global, kept: &Kept) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for part in kept.parts().await? {
        let place = kept.place(part);
        match verdict(kept, part).await {
            Ok(verdict) => told(global, &place, &verdict),
            Err(error) => {
                exit = Exit::Failed;
                if global.json {
                    let line = json!({ "kind": "journal", "journal": place, "whole": false, "why": format!("{error:#}") });
                    super::print(&format!("{line}\n"));
                } else {
                    super::print(&format!(
                        "{place}: damaged: {error:#}\n  the records before it still hold: `rollout journal show {}` prints them; nothing has \
                         been changed or cut off\n",
                        kept.run
                    ));
                }
            }
        }
    }
    Ok(exit)
}

async fn verdict(kept: &Kept, part: Part) -> anyhow::Result<Verdict> {
    let driven = kept.driven(part).await?.is_driven();
    Ok(match part {
        Part::Release => {
            let past: Past<Rollout> = past::read(kept, part).await?;
            judged(&past, driven, |effect| effect.step.to_string())
        }
        Part::Rollback(_) => {
            let past: Past<Unwind> = past::read(kept, part).await?;
            judged(&past, driven, |effect| effect.step.to_string())
        }
    })
}

fn judged<M: Follow>(past: &Past<M>, driven: bool, step: impl Fn(&M::Effect) -> String) -> Verdict {
    Verdict {
        records: past.replayed.next_seq,
        torn: past.torn.map(|torn| torn.bytes),
        end: match (past.replayed.machine.outcome().is_some(), driven) {
            (true, _) => "closed",
            (false, true) => "under way",
            (false, false) => "interrupted",
        },
        open: past
            .replayed
            .open
            .iter()
            .map(|(seq, effect)| format!("record {seq}: {}", step(effect)))
            .collect(),
    }
}

fn told(global: &Global, place: &str, verdict: &Verdict) {
    if global.json {
        let line = json!({
            "kind": "journal",
            "journal": place,
            "whole": true,
            "records": verdict.records,
            "torn_bytes": verdict.torn,
            "state": verdict.end,
            "open": verdict.open,
        });
        return super::print(&format!("{line}\n"));
    }
    let mut text = format!(
        "{place}: whole: {} records, each as it was written, and the machine replays them; {}\n",
        verdict.records, verdict.end
    );
    if let Some(bytes) = verdict.torn {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "  {bytes} bytes of a torn record are behind them: it was never acknowledged; `rollout resume` cuts it off"
        );
    }
    for open in &verdict.open {
        let _ = writeln!(text, "  without a result: {open}");
    }
    super::print(&text);
}

async fn show(global: &Global, kept: &Kept) -> anyhow::Result<Exit> {
    for part in kept.parts().await? {
        let (place, text) = (kept.place(part), kept.text(part).await?);
        if global.json {
            // The lines as they are.
            super::print(&String::from_utf8_lossy(&text));
            continue;
        }
        // Of any machine: what is shown is what was written.
        let (lines, wrong) = read_until_wrong::<Value, Value>(&text[..], &place);
        super::print(&format!("{place}\n"));
        super::print(&lines.records.iter().map(shown).collect::<String>());
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        if let Some(torn) = lines.torn {
            super::print(&format!("  and {} bytes of a record that is torn\n", torn.bytes));
        }
    }
    Ok(Exit::Done)
}

/// `   12  10:00:07  intends   service/backend: deployment · update_service`.
fn shown(record: &Record<Value, Value>) -> String {
    let (kind, what) = match &record.body {
        Body::Opened(header) => ("opens", format!("{} of run {}", header.machine, header.run)),
        Body::Issued { effect } => ("intends", named(effect)),
        Body::Happened { of: Some(of), event } => ("answers", format!("{of}: {}", named(event))),
        Body::Happened { of: None, event } => ("happens", named(event)),
        Body::Resumed(resumption) => (
            "resumes",
            resumption.by.clone().unwrap_or_else(|| "someone".to_owned()),
        ),
        Body::Closed => ("closes", String::new()),
    };
    let line = format!("{:>5}  {}  {kind:<8}  {what}", record.seq, clock(record.at));
    format!("{}\n", line.trim_end())
}

/// The names in it, from the outside in: the step, then what it is.
fn named(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(members) => {
            if let Some(step) = members.get("step").and_then(Value::as_str) {
                let inner = ["action", "event"].into_iter().find_map(|name| members.get(name));
                return inner.map_or_else(|| step.to_owned(), |inner| format!("{step}: {}", named(inner)));
            }
            let mut members = members.iter();
            match (members.next(), members.next()) {
                (Some((name, inner)), None) => match named(inner) {
                    inner if inner.is_empty() || !inner.starts_with(|c: char| c.is_ascii_lowercase()) => {
                        name.clone()
                    }
                    inner => format!("{name} · {inner}"),
                },
                _ => String::new(),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_and_an_event_are_named_from_the_outside_in() {
        let effect = json!({ "step": "service/a", "action": { "deployment": { "update_service": { "service": "a", "assumes": null } } } });
        assert_eq!(named(&effect), "service/a: deployment · update_service");
        let event = json!({ "deployment": { "step": "service/a", "event": { "updated": { "deployment": "d", "at": 1 } } } });
        assert_eq!(named(&event), "deployment · service/a: updated");
        assert_eq!(named(&json!("start")), "start");
    }
}
