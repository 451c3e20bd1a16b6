//! `rollout journal`: the records themselves.

use core::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rollout_core::journal::{Body, FileJournal, Record, read_until_wrong};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;
use serde_json::{Value, json};

use crate::args::{Global, JournalCommand};
use crate::exit::Exit;
use crate::follow::Follow;
use crate::past::{self, Past};
use crate::runs::{RunDir, Runs};
use crate::view::model::clock;

pub(crate) fn execute(global: &Global, command: &JournalCommand) -> anyhow::Result<Exit> {
    let runs = Runs::new(&global.state_dir);
    match command {
        JournalCommand::Verify(which) => verify(global, &runs.find(which.run.as_deref())?),
        JournalCommand::Show(which) => show(global, &runs.find(which.run.as_deref())?),
    }
}

/// Every journal of a run, oldest first.
fn journals(dir: &RunDir) -> Vec<PathBuf> {
    core::iter::once(dir.journal()).chain(dir.rollbacks()).collect()
}

/// What a journal comes to.
struct Verdict {
    records: u64,
    torn: Option<u64>,
    end: &'static str,
    open: Vec<String>,
}

fn verify(global: &Global, dir: &RunDir) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for path in journals(dir) {
        let verdict = if path == dir.journal() {
            past::read::<Rollout>(&path).map(|past| judged(&path, &past, |effect| effect.step.to_string()))
        } else {
            past::read::<Unwind>(&path).map(|past| judged(&path, &past, |effect| effect.step.to_string()))
        };
        let place = path.display();
        match verdict {
            Ok(verdict) => told(global, &path, &verdict),
            Err(error) => {
                exit = Exit::Failed;
                if global.json {
                    let line = json!({ "kind": "journal", "journal": path, "whole": false, "why": format!("{error:#}") });
                    super::print(&format!("{line}\n"));
                } else {
                    super::print(&format!(
                        "{place}: damaged: {error:#}\n  the records before it still hold: `rollout journal show {}` prints them; nothing has \
                         been changed or cut off\n",
                        dir.run
                    ));
                }
            }
        }
    }
    Ok(exit)
}

fn judged<M: Follow>(path: &Path, past: &Past<M>, step: impl Fn(&M::Effect) -> String) -> Verdict {
    let held = FileJournal::is_held(path).unwrap_or(false);
    Verdict {
        records: past.replayed.next_seq,
        torn: past.torn.map(|torn| torn.bytes),
        end: match (past.replayed.machine.outcome().is_some(), held) {
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

fn told(global: &Global, path: &Path, verdict: &Verdict) {
    if global.json {
        let line = json!({
            "kind": "journal",
            "journal": path,
            "whole": true,
            "records": verdict.records,
            "torn_bytes": verdict.torn,
            "state": verdict.end,
            "open": verdict.open,
        });
        return super::print(&format!("{line}\n"));
    }
    let mut text = format!(
        "{}: whole: {} records, each as it was written, and the machine replays them; {}\n",
        path.display(),
        verdict.records,
        verdict.end
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

fn show(global: &Global, dir: &RunDir) -> anyhow::Result<Exit> {
    for path in journals(dir) {
        let unreadable = || format!("cannot read {}", path.display());
        let file = File::open(&path).with_context(unreadable)?;
        if global.json {
            // The lines as they are.
            super::print(&std::io::read_to_string(file).with_context(unreadable)?);
            continue;
        }
        // Of any machine: what is shown is what was written.
        let (lines, wrong) =
            read_until_wrong::<Value, Value>(BufReader::new(file), &path.display().to_string());
        super::print(&format!("{}\n", path.display()));
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
