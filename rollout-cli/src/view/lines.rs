//! The views that are not a terminal: one line for each change, as text or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use rollout_core::time::Timestamp;
use serde_json::json;

use super::model::{Row, Snapshot, State, clock};

/// Which form the lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people and CI logs.
    Text,
    /// For programs.
    Json,
}

/// Prints what has changed since the last snapshot.
pub(crate) struct Lines<W> {
    out: W,
    form: Form,
    phase: String,
    said: BTreeMap<String, (State, String)>,
}

impl<W: Write> Lines<W> {
    pub(crate) const fn new(out: W, form: Form) -> Self {
        Self {
            out,
            form,
            phase: String::new(),
            said: BTreeMap::new(),
        }
    }

    /// Prints the changes.
    pub(crate) fn update(&mut self, snapshot: &Snapshot, now: Timestamp) -> io::Result<()> {
        // The end is told by the outcome.
        if self.phase != snapshot.phase && snapshot.phase != "ended" {
            self.phase.clone_from(&snapshot.phase);
            self.phase(snapshot, now)?;
        }
        for row in &snapshot.rows {
            // Of steps that share a line only the beginning and the end are news.
            let note = if row.step.contains('/') {
                row.note.clone()
            } else {
                String::new()
            };
            let new = (row.state, note);
            // A step whose turn has not come is no news.
            if row.state == State::Pending || self.said.get(&row.step) == Some(&new) {
                continue;
            }
            self.row(row, now)?;
            self.said.insert(row.step.clone(), new);
        }
        self.out.flush()
    }

    /// Prints something else.
    pub(crate) fn say(&mut self, line: &str, now: Timestamp) -> io::Result<()> {
        match self.form {
            Form::Text => writeln!(self.out, "{}  {line}", clock(now)),
            Form::Json => writeln!(
                self.out,
                "{}",
                json!({ "at": now.to_string(), "kind": "message", "text": line })
            ),
        }
    }

    fn phase(&mut self, snapshot: &Snapshot, now: Timestamp) -> io::Result<()> {
        match self.form {
            Form::Text => writeln!(self.out, "{}  {}: {}", clock(now), snapshot.title, snapshot.phase),
            Form::Json => {
                let line = json!({
                    "at": now.to_string(),
                    "kind": "phase",
                    "run": snapshot.run,
                    "phase": snapshot.phase,
                });
                writeln!(self.out, "{line}")
            }
        }
    }

    fn row(&mut self, row: &Row, now: Timestamp) -> io::Result<()> {
        match self.form {
            Form::Text => {
                let note = if row.note.is_empty() {
                    String::new()
                } else {
                    format!(": {}", row.note)
                };
                writeln!(
                    self.out,
                    "{}  {} {}{note}",
                    clock(now),
                    row.step,
                    row.state.word()
                )
            }
            Form::Json => {
                let elapsed = row
                    .elapsed(now)
                    .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
                let line = json!({
                    "at": now.to_string(),
                    "kind": "step",
                    "step": row.step,
                    "state": row.state.word(),
                    "note": row.note,
                    "elapsed_ms": elapsed,
                });
                writeln!(self.out, "{line}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(state: State, note: &str) -> Snapshot {
        Snapshot {
            title: "2.4.0 → production".to_owned(),
            run: "r-1".to_owned(),
            phase: "changing".to_owned(),
            began: Timestamp::EPOCH,
            rows: vec![
                Row {
                    state,
                    began: Some(Timestamp::EPOCH),
                    ..Row::pending("service/backend", note)
                },
                Row::pending("service/frontend", "after backend"),
            ],
        }
    }

    fn printed(form: Form) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, form);
        let now = Timestamp::from_millis(1_763_683_200_123);
        for (state, note) in [
            (State::Working, "1 of 3 tasks"),
            (State::Working, "1 of 3 tasks"),
            (State::Working, "2 of 3 tasks"),
            (State::Done, ""),
        ] {
            lines
                .update(&snapshot(state, note), now)
                .expect("a vector takes everything");
        }
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn only_news_is_printed() {
        assert_eq!(
            printed(Form::Text),
            "2025-11-21T00:00:00Z  2.4.0 → production: changing\n\
             2025-11-21T00:00:00Z  service/backend working: 1 of 3 tasks\n\
             2025-11-21T00:00:00Z  service/backend working: 2 of 3 tasks\n\
             2025-11-21T00:00:00Z  service/backend done\n"
        );
    }

    #[test]
    fn every_json_line_is_an_object_with_a_kind_and_a_moment() {
        let text = printed(Form::Json);
        assert_eq!(text.lines().count(), 4);
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect(line);
            assert!(value["kind"].is_string() && value["at"].is_string(), "{line}");
        }
    }
}
