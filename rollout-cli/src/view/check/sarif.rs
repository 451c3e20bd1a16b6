//! A report as SARIF 2.1.0, the format in which scanners hand their findings on ("Static Analysis Results Interchange Format
//! (SARIF) Version 2.1.0", OASIS).
//!
//! Checks are rules. A failure is a result of the level of its rule (`error` for a check that blocks, `warning` for one that
//! advises), an unknown a `warning`, an accepted failure a `note` that is suppressed with its reason. Passes are not in it. What is
//! found is in AWS and not in a file: the logical location names the resource, and the physical one is where the environment is declared,
//! since what reads SARIF wants a file (GitHub docs, "SARIF support for code scanning": a result without one makes code scanning refuse
//! them all). With a baseline each result says whether it is new since then.

use rollout_core::readiness::check::About;
use rollout_core::readiness::report::{Finding, Report, Status};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::flow::one_line;
use super::model::{self, Kind, Row};
use super::name::Names;
use super::{Shown, explain};

/// The schema, by the address that it gives itself.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn render(shown: &Shown<'_>) -> String {
    let report = shown.report;
    let names = Names::of(report);
    let results: Vec<Value> = model::rows(report)
        .filter_map(|row| result(&row, shown, &names))
        .collect();
    super::json::pretty(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "rollout",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": report.checks.iter().map(rule).collect::<Vec<_>>(),
            }},
            // What is before the last slash names the series of which this is one run.
            "automationDetails": { "id": format!("rollout check/{}/{}", report.environment, report.at) },
            "invocations": [{
                "executionSuccessful": true,
                "exitCode": shown.exit.number(),
                "startTimeUtc": report.at.to_string(),
            }],
            "results": results,
            "properties": { "result": report.result(), "environment": report.environment },
        }],
    }))
}

const fn level(blocking: bool) -> &'static str {
    if blocking { "error" } else { "warning" }
}

fn rule(about: &About) -> Value {
    let mut help = about.remedy.text.to_string();
    let mut markdown = help.clone();
    for (name, hint) in explain::hints(about) {
        help.push_str(&format!("\n{name}: {hint}"));
        markdown.push_str(&format!("\n\n{name}: {}", super::markdown::code(hint)));
    }
    json!({
        "id": about.id,
        "shortDescription": { "text": about.title },
        "fullDescription": { "text": about.why },
        "help": { "text": help, "markdown": markdown },
        "defaultConfiguration": { "level": level(about.blocking) },
        "properties": {
            "tags": [about.area.title()],
            "severity": about.severity,
            "blocking": about.blocking,
            "source": about.source,
        },
    })
}

fn result(row: &Row<'_>, shown: &Shown<'_>, names: &Names<'_>) -> Option<Value> {
    let report = shown.report;
    let level = match row.kind() {
        Kind::Blocks | Kind::Fails => level(row.is_blocking()),
        Kind::Unknown => "warning",
        Kind::Accepted => "note",
        Kind::Passed | Kind::NotApplicable => return None,
    };
    let finding = row.finding;
    let said = model::said(&finding.resource, &finding.status);
    let place = names.short(&finding.check, &finding.resource);
    let place = if place.is_empty() {
        report.environment.to_string()
    } else {
        place
    };
    let mut result = json!({
        "ruleId": finding.check,
        "level": level,
        "message": { "text": plain(&format!("{}: {said}", row.title())) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": shown.declared.uri },
                "region": { "startLine": shown.declared.line },
            },
            "logicalLocations": [{
                "name": place,
                "fullyQualifiedName": finding.resource,
                "kind": "resource",
            }],
        }],
        "partialFingerprints": fingerprints(report, finding),
        "properties": { "status": finding.status.word(), "severity": row.severity() },
    });
    let index = report.checks.iter().position(|about| about.id == finding.check);
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    if let Status::Accepted { risk, .. } = &finding.status {
        result["suppressions"] = json!([{
            "kind": "external",
            "status": "accepted",
            "justification": model::accepted(risk),
        }]);
    }
    if let Some(earlier) = shown.earlier {
        result["baselineState"] = since(finding, earlier).into();
    }
    Some(result)
}

/// What makes it the same finding in the next run, whatever is wrong there by then. The second is the one that GitHub knows findings
/// by, across environments; it would else be made from the line, which all findings share.
fn fingerprints(report: &Report, finding: &Finding) -> Value {
    let identity = format!("{} {}", finding.check, finding.resource);
    let hash = Sha256::digest(format!("{} {identity}", report.environment));
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    json!({ "checkAndResource/v1": identity, "primaryLocationLineHash": format!("{hash}:1") })
}

/// What has become of a result since the baseline.
fn since(finding: &Finding, earlier: &Report) -> &'static str {
    let same = |was: &&Finding| was.check == finding.check && was.resource == finding.resource;
    match earlier.findings.iter().find(same).map(|was| &was.status) {
        None | Some(Status::Pass | Status::NotApplicable { .. }) => "new",
        Some(was) if *was == finding.status => "unchanged",
        Some(_) => "updated",
    }
}

/// A plain text message: braces are doubled, since one alone begins a placeholder, and nothing reads like a link ("Messages with
/// placeholders", "Messages with embedded links").
fn plain(text: &str) -> String {
    one_line(text)
        .replace('{', "{{")
        .replace('}', "}}")
        .replace("](", "] (")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_message_holds_no_placeholder_and_no_link() {
        assert_eq!(super::plain("{0} [a](b) {x}"), "{{0}} [a] (b) {{x}}");
    }
}
