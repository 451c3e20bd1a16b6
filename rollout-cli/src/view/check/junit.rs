//! A report as JUnit XML, in the shape that most pipelines read: one suite for each area, one case for each finding.
//!
//! A failure is a `failure`, an unknown an `error`; what is accepted or does not apply is `skipped`. Whether it blocks is its `type`.

use core::fmt::Write as _;

use super::markup::text;
use super::model::{self, Group, Kind, Row};
use super::name::Names;
use super::{Shown, explain};

pub(super) fn render(shown: &Shown<'_>) -> String {
    let report = shown.report;
    let (groups, names) = (model::groups(report), Names::of(report));
    let all: Vec<Row<'_>> = model::rows(report).collect();
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let environment = report.environment.as_str();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "<testsuites name=\"{}\" {}>",
        text(&format!("rollout check {environment}")),
        counts(&all)
    );
    // Without a zone, as the schema of Ant's task has it; it is UTC.
    let at: String = report.at.to_string().chars().take(19).collect();
    for group in &groups {
        suite(&mut out, group, &names, environment, &at);
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(rows: &[Row<'_>]) -> String {
    let count = |is: fn(Kind) -> bool| rows.iter().filter(|row| is(row.kind())).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\"",
        rows.len(),
        count(|kind| matches!(kind, Kind::Blocks | Kind::Fails)),
        count(|kind| kind == Kind::Unknown),
        count(|kind| matches!(kind, Kind::Accepted | Kind::NotApplicable)),
    )
}

fn suite(out: &mut String, group: &Group<'_>, names: &Names<'_>, environment: &str, at: &str) {
    let name = text(group.area.title());
    let _ = writeln!(
        out,
        "  <testsuite name=\"{name}\" {} timestamp=\"{at}\">",
        counts(&group.rows)
    );
    for row in &group.rows {
        let resource = names.short(&row.finding.check, &row.finding.resource);
        let resource = if resource.is_empty() {
            environment
        } else {
            &resource
        };
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            text(&format!("{environment}.{}", row.finding.check)),
            text(&format!("{} [{resource}]", row.title())),
        );
        match row.kind() {
            Kind::Passed => out.push_str("/>\n"),
            Kind::Blocks => told(out, "failure", "blocking", row),
            Kind::Fails => told(out, "failure", "advisory", row),
            Kind::Unknown => told(out, "error", "unknown", row),
            Kind::Accepted | Kind::NotApplicable => {
                let said = text(&model::said(&row.finding.resource, &row.finding.status));
                let _ = writeln!(out, ">\n      <skipped message=\"{said}\"/>\n    </testcase>");
            }
        }
    }
    out.push_str("  </testsuite>\n");
}

fn told(out: &mut String, element: &str, kind: &str, row: &Row<'_>) {
    let said = model::said(&row.finding.resource, &row.finding.status);
    let mut lines = vec![format!("resource: {}", row.finding.resource)];
    if let Some(about) = row.about {
        lines.push(format!(
            "severity: {}, {}",
            about.severity,
            model::blocking(about)
        ));
        lines.push(format!("why: {}", about.why));
        lines.push(format!("what to do: {}", about.remedy.text));
        lines.extend(explain::hints(about).map(|(name, hint)| format!("{name}: {hint}")));
    }
    let lines: Vec<String> = lines.iter().map(|line| text(line)).collect();
    let _ = writeln!(
        out,
        ">\n      <{element} type=\"{kind}\" message=\"{}\">{}</{element}>\n    </testcase>",
        text(&said),
        lines.join("\n")
    );
}
