//! From an outcome to a report and an exit code.

use rollout_core::evidence::{Evidence, Reason, Stuck};
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::machine::rollout::{LeftAt, Outcome, Superseding};
use rollout_core::machine::{deployment, unwind};
use rollout_core::plan::rollback;
use rollout_core::readiness;
use serde_json::Value;

use crate::exit::Exit;
use crate::view::report::Report;

/// The report of a run.
pub(crate) fn of_rollout(outcome: &Outcome, run: &RunId, target: &EnvironmentName) -> Report {
    let details = serde_json::to_value(outcome).unwrap_or(Value::Null);
    let base = |name, exit, summary: String| Report {
        details: details.clone(),
        ..Report::of(name, exit, summary)
    };
    match outcome {
        Outcome::Released {
            services,
            records,
            evidence,
        } => {
            let mut report = base(
                "Released",
                Exit::Done,
                format!("{target} serves the release, seen on every task"),
            );
            for (name, serving) in services {
                let digests: Vec<String> = serving
                    .images
                    .iter()
                    .map(|(container, digest)| format!("{container} {}", digest.short()))
                    .collect();
                report.facts.push(format!("{name}: {}", digests.join(", ")));
            }
            report.facts.extend(
                records
                    .iter()
                    .map(|record| format!("{}: {}", record.key, record.data)),
            );
            report.facts.extend(notes(evidence));
            report.next.push(format!(
                "rollout rollback {run}    takes {target} back to what it ran before"
            ));
            report
        }
        Outcome::RolledBack { why, evidence } => {
            let summary = format!("{target} serves what it served before, verified");
            let mut report = because(base("RolledBack", Exit::RolledBack, summary), why);
            report.facts.extend(
                evidence
                    .last()
                    .map(|piece| format!("{}: {}", piece.subject, piece.detail)),
            );
            report.next.push(format!("rollout status {run}"));
            report
        }
        Outcome::Refused { why } => {
            let mut report = because(
                base("Refused", Exit::Refused, "nothing was touched".to_owned()),
                why,
            );
            report
                .next
                .push("rollout plan    shows what is read and what would change".to_owned());
            report
        }
        Outcome::Superseded { by } => {
            let mut report = base(
                "Superseded",
                Exit::Superseded,
                "someone else has acted; we yielded".to_owned(),
            );
            match by {
                Superseding::Deployment(foreign) => foreign_deployment(&mut report, foreign),
                Superseding::Record(reason) => report = because(report, reason),
            }
            report.next.push("rollout plan    shows what runs now".to_owned());
            report
        }
        Outcome::Aborted { left_at } => {
            let place = match left_at {
                LeftAt::Untouched => format!("nothing had been changed; {target} is as it was"),
                LeftAt::LastKnownGood => format!("{target} serves what it served before, verified"),
            };
            let mut report = base("Aborted", Exit::Aborted, place);
            report.next.push(format!("rollout status {run}"));
            report
        }
        Outcome::Stuck(stuck) => of_stuck(base("Stuck", Exit::Stuck, String::new()), stuck),
    }
}

/// Findings of checks that could not be judged, named one by one; the journal has all.
const UNJUDGED: usize = 8;

/// What a person must know of a release that went well: what a cutover says of itself (that the old side was not seen to be drained,
/// say), and what the plan let pass unjudged, of the way back and of readiness.
fn notes(evidence: &[Evidence]) -> Vec<String> {
    let told = evidence
        .iter()
        .filter(|piece| piece.source == "cutover" || piece.source == rollback::SOURCE);
    let mut all: Vec<String> = told
        .map(|piece| format!("{}: {}", piece.subject, piece.detail))
        .collect();
    let mut unjudged = evidence.iter().filter_map(|piece| {
        let check = piece.source.strip_prefix(readiness::gate::UNJUDGED)?;
        Some(format!(
            "not judged: {check} at {}: {}",
            piece.subject, piece.detail
        ))
    });
    all.extend(unjudged.by_ref().take(UNJUDGED));
    let more = unjudged.count();
    if more > 0 {
        all.push(format!("not judged: {more} more, in the journal"));
    }
    all
}

/// The report of a rollback that was asked for.
pub(crate) fn of_unwind(outcome: &unwind::Outcome, target: &EnvironmentName) -> Report {
    let base = |name, exit, summary: String| Report {
        details: serde_json::to_value(outcome).unwrap_or(Value::Null),
        ..Report::of(name, exit, summary)
    };
    match outcome {
        unwind::Outcome::AtLastKnownGood { evidence } => {
            let summary = format!("{target} serves what it served before the run, verified");
            let mut report = base("AtLastKnownGood", Exit::Done, summary);
            report.facts.extend(
                evidence
                    .iter()
                    .map(|piece| format!("{}: {}", piece.subject, piece.detail)),
            );
            report
        }
        unwind::Outcome::Superseded(foreign) => {
            let mut report = base(
                "Superseded",
                Exit::Superseded,
                "someone else has acted; we yielded".to_owned(),
            );
            foreign_deployment(&mut report, foreign);
            report
        }
        unwind::Outcome::Stuck(stuck) => of_stuck(base("Stuck", Exit::Stuck, String::new()), stuck),
    }
}

fn because(mut report: Report, why: &Reason) -> Report {
    report.why = Some(why.text.clone());
    report.evidence.clone_from(&why.evidence);
    report
}

fn foreign_deployment(report: &mut Report, foreign: &deployment::Foreign) {
    report.why = Some(format!(
        "{} is being deployed to {} by {}, made at {}",
        foreign.service, foreign.task_definition, foreign.deployment, foreign.created_at
    ));
    report.evidence.clone_from(&foreign.evidence);
}

fn of_stuck(mut report: Report, stuck: &Stuck) -> Report {
    report.summary = format!("a person is needed: {}", stuck.reason);
    report.why = Some(stuck.text.clone());
    report.evidence.clone_from(&stuck.evidence);
    report.next.clone_from(&stuck.next);
    report
}
