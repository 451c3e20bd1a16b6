//! How a run ended, with the reason: the last thing that is printed.

use core::cmp::Reverse;
use core::fmt::Write as _;
use std::collections::BTreeMap;

use rollout_core::evidence::Evidence;
use serde_json::{Value, json};

use super::model::clock;
use super::paint::{Colour, Paint};
use crate::args::Global;
use crate::cloud::Calls;
use crate::exit::Exit;

/// An outcome, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The outcome's name, as the documentation has it: `RolledBack`.
    pub(crate) name: &'static str,
    /// The exit code.
    pub(crate) exit: Exit,
    /// What it means for the environment, one sentence.
    pub(crate) summary: String,
    /// Why, for every end but success.
    pub(crate) why: Option<String>,
    /// What it rests on.
    pub(crate) evidence: Vec<Evidence>,
    /// Plain facts: what each service serves.
    pub(crate) facts: Vec<String>,
    /// What to run next.
    pub(crate) next: Vec<String>,
    /// The calls of AWS that this process made for it, where it made them.
    pub(crate) calls: Option<Calls>,
    /// The whole outcome, for programs.
    pub(crate) details: Value,
}

/// Lines of evidence that people see; the journal has all.
const SHOWN: usize = 24;

impl Report {
    /// One that says no more than what it means.
    pub(crate) fn of(name: &'static str, exit: Exit, summary: impl Into<String>) -> Self {
        Self {
            name,
            exit,
            summary: summary.into(),
            why: None,
            evidence: Vec::new(),
            facts: Vec::new(),
            next: Vec::new(),
            calls: None,
            details: Value::Null,
        }
    }

    /// Nothing was touched, and why.
    pub(crate) fn refused(why: String, next: Vec<String>, details: Value) -> Self {
        Self {
            why: Some(why),
            next,
            details,
            ..Self::of("Refused", Exit::Refused, "nothing was touched")
        }
    }

    /// With the commands to run next as they must be given here.
    pub(crate) fn here(self, global: &Global) -> Self {
        self.completed(|command| global.again(command))
    }

    /// With each command to run next as `complete` makes it.
    pub(crate) fn completed(mut self, complete: impl Fn(&str) -> String) -> Self {
        for command in &mut self.next {
            *command = complete(command);
        }
        self
    }

    /// For people.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let (mark, colour) = match self.exit {
            Exit::Done => ("✓", Colour::Green),
            Exit::Aborted | Exit::Superseded | Exit::Refused | Exit::Left | Exit::Unknown => {
                ("■", Colour::Yellow)
            }
            Exit::Failed | Exit::Usage | Exit::RolledBack | Exit::Stuck | Exit::NotReady => {
                ("✗", Colour::Red)
            }
        };
        let mut out = String::new();
        let head = paint.bold(colour, &format!("{mark} {}", self.name));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "\n{head}: {}", self.summary);
        if let Some(why) = &self.why {
            let _ = writeln!(out, "  {} {why}", paint.strong("why     "));
        }
        self.evidence_text(paint, &mut out);
        section(&mut out, paint, "now", &self.facts);
        section(&mut out, paint, "calls", &self.counted());
        section(&mut out, paint, "next", &self.next);
        out
    }

    fn evidence_text(&self, paint: Paint, out: &mut String) {
        let skipped = self.evidence.len().saturating_sub(SHOWN);
        let mut label = "evidence";
        let mut subject = "";
        for piece in self.evidence.iter().skip(skipped) {
            let head = paint.strong(&format!("{label:8}"));
            let _ = if piece.source == "log" && piece.subject == subject {
                writeln!(
                    out,
                    "  {head}   {} {}",
                    paint.colour(Colour::Grey, "│"),
                    piece.detail
                )
            } else {
                let from = format!("[{}, {}]", piece.source, clock(piece.at));
                let name = last_part(&piece.subject);
                writeln!(
                    out,
                    "  {head} {name}: {} {}",
                    piece.detail,
                    paint.colour(Colour::Grey, &from)
                )
            };
            subject = &piece.subject;
            label = "";
        }
        if skipped > 0 {
            let _ = writeln!(out, "           … and {skipped} older pieces in the journal");
        }
    }

    /// With the calls that were made for it.
    pub(crate) fn after(mut self, calls: Calls) -> Self {
        self.calls = Some(calls);
        self
    }

    /// For people: by service, the one that was called most often first.
    fn counted(&self) -> Vec<String> {
        let mut services: BTreeMap<&str, u64> = BTreeMap::new();
        for (action, calls) in self.calls.iter().flatten() {
            let service = action
                .split_once(':')
                .map_or(action.as_str(), |(service, _)| service);
            *services.entry(service).or_default() += calls;
        }
        let mut services: Vec<(&str, u64)> = services.into_iter().collect();
        services.sort_by_key(|(_, calls)| Reverse(*calls));
        let all: u64 = services.iter().map(|(_, calls)| calls).sum();
        let each: Vec<String> = services
            .iter()
            .map(|(service, calls)| format!("{service} {calls}"))
            .collect();
        match all {
            0 => Vec::new(),
            all => vec![format!("{all} of AWS: {}", each.join(", "))],
        }
    }

    /// For programs: the last line of `--json`.
    pub(crate) fn json(&self, run: &str, at: &str) -> Value {
        let mut line = json!({
            "at": at,
            "kind": "outcome",
            "run": run,
            "outcome": self.name,
            "exit_code": self.exit.number(),
            "summary": self.summary,
            "why": self.why,
            "evidence": self.evidence,
            "next": self.next,
            "details": self.details,
        });
        if let Some(calls) = &self.calls {
            line["calls"] = json!(calls);
        }
        line
    }
}

fn section(out: &mut String, paint: Paint, label: &str, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let label = if index == 0 { label } else { "" };
        let _ = writeln!(out, "  {} {line}", paint.strong(&format!("{label:8}")));
    }
}

/// The part of an ARN that people know the thing by; another text as it is.
fn last_part(subject: &str) -> &str {
    if !subject.starts_with("arn:") {
        return subject;
    }
    let resource = subject.splitn(6, ':').nth(5).unwrap_or(subject);
    resource.rsplit_once('/').map_or(resource, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use rollout_core::time::Timestamp;

    use super::*;

    fn report() -> Report {
        let task = "arn:aws:ecs:eu-central-1:444455556666:task/storefront-production/0f1e2d3c";
        let piece = |source: &str, detail: &str| {
            Evidence::new(Timestamp::from_millis(1_763_683_200_123), source, task, detail)
        };
        Report {
            name: "RolledBack",
            exit: Exit::RolledBack,
            summary: "production serves what it served before, verified".to_owned(),
            why: Some("service backend: 3 tasks stopped: essential container exited".to_owned()),
            evidence: vec![
                piece(
                    "ecs:DescribeTasks",
                    "Essential container in task exited; container app exited with 1",
                ),
                piece("log", "panic: no database"),
            ],
            facts: Vec::new(),
            next: vec!["rollout status r-1".to_owned()],
            calls: None,
            details: Value::Null,
        }
    }

    #[test]
    fn a_failure_says_why_with_exit_code_and_log() {
        assert_eq!(
            report().text(Paint::plain()),
            "\n✗ RolledBack: production serves what it served before, verified\n  \
             why      service backend: 3 tasks stopped: essential container exited\n  \
             evidence 0f1e2d3c: Essential container in task exited; container app exited with 1 [ecs:DescribeTasks, 2025-11-21T00:00:00Z]\n             \
             │ panic: no database\n  \
             next     rollout status r-1\n"
        );
    }

    #[test]
    fn the_json_form_has_the_exit_code() {
        let value = report().json("r-1", "2025-11-21T00:00:00.123Z");
        assert_eq!(value["exit_code"], 11);
        assert_eq!(value["outcome"], "RolledBack");
        assert_eq!(value["evidence"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn much_evidence_is_cut_for_people_only() {
        let mut report = report();
        report.evidence = vec![report.evidence[0].clone(); 40];
        assert!(report.text(Paint::plain()).contains("16 older pieces"));
        assert_eq!(
            report.json("r", "t")["evidence"].as_array().map(Vec::len),
            Some(40)
        );
    }
}
