//! The whole story of one check.

use core::fmt::Write as _;

use rollout_core::readiness::check::{About, Fault};
use rollout_core::readiness::report::{Finding, Report, Status};

use super::flow::{block, one_line};
use super::model::{self, Kind, Row};
use super::text::colour;
use crate::view::paint::Paint;

/// Everything there is to say of a check: what it is, what it found, what to do. Without a report, what it is and what to do.
///
/// Prose is as wide as the terminal; what is meant to be copied (resources, the TOML of an accepted risk, command lines) is never
/// broken.
pub(crate) fn explain(about: &About, report: Option<&Report>, columns: usize, paint: Paint) -> String {
    let mut out = String::new();
    let head = paint.strong(&one_line(&about.id));
    let (area, severity) = (about.area.title(), about.severity);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "{head}");
    block(&mut out, 2, columns, &about.title);
    let asked = model::tiers(&about.tiers);
    let kind = model::blocking(about);
    block(
        &mut out,
        2,
        columns,
        &format!("{area}, {severity}, {kind}, asked of: {asked}"),
    );
    section(&mut out, paint, "Why");
    block(&mut out, 2, columns, &about.why);
    if let Some(report) = report {
        findings(&mut out, about, report, columns, paint);
    }
    section(&mut out, paint, "What to do");
    block(&mut out, 2, columns, &about.remedy.text);
    for (name, hint) in hints(about) {
        let _ = writeln!(out, "  {name:9}  {}", one_line(hint));
    }
    if !about.source.is_empty() {
        section(&mut out, paint, "Source");
        block(&mut out, 2, columns, &about.source);
    }
    out
}

/// Where else its remedy is: the tool and what it says there.
pub(super) fn hints(about: &About) -> impl Iterator<Item = (&'static str, &str)> {
    let remedy = &about.remedy;
    let all = [
        ("AWS CLI", &remedy.cli),
        ("Terraform", &remedy.terraform),
        ("CDK", &remedy.cdk),
    ];
    all.into_iter()
        .map(|(name, hint)| (name, hint.as_ref()))
        .filter(|(_, hint)| !hint.is_empty())
}

fn section(out: &mut String, paint: Paint, title: &str) {
    let _ = writeln!(out, "\n{}", paint.strong(title));
}

fn findings(out: &mut String, about: &About, report: &Report, columns: usize, paint: Paint) {
    let rows: Vec<Row<'_>> = model::rows(report)
        .filter(|row| row.finding.check == about.id)
        .collect();
    section(out, paint, "What was found");
    if rows.is_empty() {
        let _ = writeln!(out, "  nothing: it was not asked");
    }
    for row in &rows {
        let mark = paint.colour(colour(row.kind()), row.kind().mark());
        let word = row.finding.status.word();
        let _ = writeln!(out, "  {mark} {word}: {}", one_line(&row.finding.resource));
        for (name, said) in evidence(row.finding) {
            let mut text = String::new();
            block(&mut text, 15, columns, &said);
            let _ = writeln!(out, "    {name:10} {}", text.trim());
        }
    }
    let failed = rows
        .iter()
        .filter(|row| matches!(row.kind(), Kind::Blocks | Kind::Fails));
    let blocks: Vec<String> = failed
        .filter_map(|row| match &row.finding.status {
            Status::Fail { fault, .. } => Some(acceptance(&about.id, &row.finding.resource, fault)),
            _ => None,
        })
        .collect();
    if !blocks.is_empty() {
        section(out, paint, "To accept it for a time, in the readiness file");
        out.push_str(&blocks.join("\n"));
    }
}

/// What a finding says, each part with what it is.
pub(super) fn evidence(finding: &Finding) -> Vec<(&'static str, String)> {
    let fault = |fault: &Fault| vec![("seen", fault.seen.clone()), ("wanted", fault.wanted.clone())];
    match &finding.status {
        Status::Fail {
            fault: what,
            uncovered,
        } => {
            let mut all = fault(what);
            all.extend(
                uncovered
                    .clone()
                    .map(|why| ("accepted", format!("no longer: {why}"))),
            );
            all
        }
        Status::Unknown { .. } => vec![("because", model::said(&finding.resource, &finding.status))],
        Status::Accepted { fault: what, risk } => {
            let mut all = fault(what);
            all.push((
                "accepted",
                format!("until {}: {}", model::day(risk.until), risk.reason),
            ));
            all.push(("owner", risk.owner.clone()));
            all.push(("approver", risk.approver.clone()));
            all.extend(risk.consequence.clone().map(|text| ("may mean", text)));
            all
        }
        Status::NotApplicable { why } => vec![("because", why.clone())],
        Status::Pass => Vec::new(),
    }
}

/// The entry of the readiness file that accepts a failure, with the blanks that a person must fill in: without a date nothing can read
/// the file.
fn acceptance(check: &str, resource: &str, fault: &Fault) -> String {
    format!(
        "[[accepted]]\ncheck = {}\nscope = {}\nseen = {}\nreason = \"…\"\nowner = \"…\"\napprover = \"…\"\nuntil = YYYY-MM-DD\n",
        quoted(check),
        quoted(resource),
        quoted(&fault.seen)
    )
}

/// A basic string of TOML (TOML v1.1.0, "String"): JSON's, with U+007F escaped as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_is_toml_whatever_was_seen() {
        let seen = "a \"b\" \\ c\n\u{7f}\u{1} ü → ' # =";
        let fault = Fault {
            seen: seen.to_owned(),
            wanted: "x".to_owned(),
        };
        let text = acceptance("own_check", "arn:aws:x", &fault);
        let text = text.replace("YYYY-MM-DD", "2027-03-31");
        let value: toml::Table = toml::from_str(&text).expect("it is TOML");
        assert_eq!(value["accepted"][0]["seen"].as_str(), Some(seen));
        assert_eq!(value["accepted"][0]["scope"].as_str(), Some("arn:aws:x"));
    }
}
