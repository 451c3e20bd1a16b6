//! From a fleet's outcome to a report and an exit code.

use rollout_core::id::RunId;
use rollout_core::machine::fleet::{End, LeftAt, MemberEnd, Members, Outcome};

use super::file::member_run;
use super::members::again;
use crate::args::Global;
use crate::exit::Exit;
use crate::view::report::Report;

/// Members that a report names one by one; more are counted.
const NAMED: usize = 20;

/// The report of a fleet, with the commands to run next as they must be given here.
pub(crate) fn of_fleet(global: &Global, outcome: &Outcome, run: &RunId) -> Report {
    report(outcome, run).completed(|command| again(global, run, command))
}

fn report(outcome: &Outcome, run: &RunId) -> Report {
    let mut report = Report {
        facts: facts(outcome.members(), run),
        next: vec![format!("rollout fleet status {run}")],
        details: serde_json::to_value(outcome).unwrap_or_default(),
        ..Report::of("", Exit::Done, "")
    };
    let because = match outcome {
        Outcome::Released { members } => {
            (report.name, report.summary) = (
                "Released",
                format!("all {} members serve the release", members.len()),
            );
            None
        }
        Outcome::RolledBack { why, .. } => {
            (report.name, report.exit) = ("RolledBack", Exit::RolledBack);
            report.summary =
                "every member that was changed serves what it served before, verified".to_owned();
            Some(why)
        }
        Outcome::Refused { why, .. } => {
            (report.name, report.exit) = ("Refused", Exit::Refused);
            report.summary = "nothing was touched".to_owned();
            Some(why)
        }
        Outcome::Superseded { why, .. } => {
            (report.name, report.exit) = ("Superseded", Exit::Superseded);
            report.summary = "someone else has acted in a member; we yielded".to_owned();
            Some(why)
        }
        Outcome::Aborted { left_at, .. } => {
            (report.name, report.exit) = ("Aborted", Exit::Aborted);
            report.summary = match left_at {
                LeftAt::Untouched => "nothing had been changed".to_owned(),
                LeftAt::LastKnownGood => {
                    "every member that was changed serves what it served before, verified".to_owned()
                }
                LeftAt::Between { released, of } => {
                    format!("{released} of {of} members serve the release, as the plan has it")
                }
            };
            None
        }
        Outcome::Stuck { stuck, .. } => {
            (report.name, report.exit) = ("Stuck", Exit::Stuck);
            report.summary = format!("a person is needed: {}", stuck.reason);
            report.why = Some(stuck.text.clone());
            report.evidence.clone_from(&stuck.evidence);
            report.next.clone_from(&stuck.next);
            None
        }
    };
    if let Some(why) = because {
        report.why = Some(why.text.clone());
        report.evidence.clone_from(&why.evidence);
    }
    report
}

/// What each member came to: those that are not released one by one, the others by number.
fn facts(members: &Members, run: &RunId) -> Vec<String> {
    let (mut released, mut waiting, mut more) = (0_usize, 0_usize, 0_usize);
    let mut facts = Vec::new();
    for (member, end) in members {
        match end {
            MemberEnd::Ended(End::Released) => released += 1,
            MemberEnd::NotBegun => waiting += 1,
            MemberEnd::Ended(_) if facts.len() >= NAMED => more += 1,
            MemberEnd::Ended(end) => facts.push(format!("{member} ({}): {end}", member_run(run, member))),
        }
    }
    for (count, what) in [
        (more, "more in the outcome's JSON"),
        (released, "released"),
        (waiting, "never begun"),
    ] {
        if count > 0 {
            facts.push(format!("{count} {what}"));
        }
    }
    facts
}
