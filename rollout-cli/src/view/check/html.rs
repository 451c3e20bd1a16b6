//! A report as one HTML page that needs nothing else: for a browser, a phone, and paper.

use core::fmt::Write as _;

use rollout_core::readiness::check::About;
use rollout_core::readiness::price::dollars;
use rollout_core::readiness::report::{Report, Result as Readiness};

use super::markup::text;
use super::model::{self, Group, Kind, Row};
use super::name::Names;
use super::{Estimates, Shown, bill, explain};
use crate::view::model::clock;

/// Nothing is loaded and nothing runs, even if a text were taken for markup.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn render(shown: &Shown<'_>) -> String {
    let report = shown.report;
    let names = Names::of(report);
    let groups = model::groups(report);
    let mut out = String::new();
    head(&mut out, report);
    areas(&mut out, &groups);
    section(
        &mut out,
        "Failures",
        &findings(&groups, &names, |kind| kind <= Kind::Fails),
    );
    section(
        &mut out,
        "Unknown",
        &findings(&groups, &names, |kind| kind == Kind::Unknown),
    );
    section(
        &mut out,
        "Accepted",
        &findings(&groups, &names, |kind| kind == Kind::Accepted),
    );
    section(&mut out, "Accepted risks that cover nothing", &idle(report));
    if let Some(earlier) = shown.earlier {
        let title = format!("Changed since {}", clock(earlier.at));
        section(&mut out, &title, &changes(report, earlier, &names));
    }
    section(&mut out, "Passed", &folded(&groups, &names, Kind::Passed));
    section(
        &mut out,
        "Not applicable",
        &folded(&groups, &names, Kind::NotApplicable),
    );
    if let Some(estimates) = shown.estimate {
        section(&mut out, "Cost a month", &cost(estimates));
    }
    foot(&mut out, report);
    out
}

/// The class of what has a kind, which gives it its colour.
const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Blocks => "blocks",
        Kind::Fails => "fails",
        Kind::Unknown => "unknown",
        Kind::Accepted => "accepted",
        Kind::Passed => "passed",
        Kind::NotApplicable => "none",
    }
}

/// The mark of a kind. Beside it stands a word that says the same, so it is not read aloud.
fn mark(kind: Kind) -> String {
    format!("<span class=\"mark\" aria-hidden=\"true\">{}</span>", kind.mark())
}

fn head(out: &mut String, report: &Report) {
    let environment = text(report.environment.as_str());
    let result = report.result();
    let class = class(match result {
        Readiness::Ready => Kind::Passed,
        Readiness::Unknown => Kind::Unknown,
        Readiness::NotReady => Kind::Blocks,
    });
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{environment} is {result} on {}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header class=\"{class}\">\n<p class=\"muted\">Production readiness</p>\n<h1>{environment}</h1>\n\
         <p class=\"result\">{} {result}: {}</p>\n<p>{}</p>\n\
         <p class=\"muted small\">Seen at <time>{}</time></p>\n</header>\n<main>\n",
        model::day(report.at),
        include_str!("html.css"),
        model::mark(result),
        model::because(report),
        model::verdict(report),
        clock(report.at),
    );
}

fn foot(out: &mut String, report: &Report) {
    let mut calls: Vec<String> = report
        .calls
        .iter()
        .map(|(name, count)| format!("{} {count}", text(name)))
        .collect();
    if calls.is_empty() {
        calls.push("none".to_owned());
    }
    let _ = write!(
        out,
        "</main>\n<footer class=\"muted small\">\n<details>\n<summary>{} calls were made to see this</summary>\n\
         <p>{}</p>\n</details>\n</footer>\n</body>\n</html>\n",
        model::calls(report),
        calls.join(", "),
    );
}

/// A section, if there is something in it.
fn section(out: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(out, "<section>\n<h2>{}</h2>\n{body}</section>\n", text(title));
    }
}

fn areas(out: &mut String, groups: &[Group<'_>]) {
    let mut body = String::new();
    for group in groups {
        let kind = group.kind();
        let _ = writeln!(
            body,
            "<li class=\"{}\">{} <strong>{}</strong><br><span class=\"small\">{}</span></li>",
            class(kind),
            mark(kind),
            text(group.area.title()),
            text(&group.counted()),
        );
    }
    if !body.is_empty() {
        section(out, "Areas", &format!("<ul class=\"areas\">\n{body}</ul>\n"));
    }
}

/// Findings worth a card each, worst first.
fn findings(groups: &[Group<'_>], names: &Names<'_>, is: fn(Kind) -> bool) -> String {
    let mut rows: Vec<&Row<'_>> = groups
        .iter()
        .flat_map(|group| &group.rows)
        .filter(|row| is(row.kind()))
        .collect();
    rows.sort_by_key(|row| (row.kind(), core::cmp::Reverse(row.severity())));
    let mut out = String::new();
    for row in rows {
        card(&mut out, row, names);
    }
    out
}

fn card(out: &mut String, row: &Row<'_>, names: &Names<'_>) {
    let kind = row.kind();
    let area = row.about.map_or("", |about| about.area.title());
    let word = row.about.map_or("", model::blocking);
    let _ = write!(
        out,
        "<article class=\"{}\">\n<h3>{} {}</h3>\n<p class=\"muted small\">{}, {word}, {}, <code>{}</code></p>\n<dl>\n",
        class(kind),
        mark(kind),
        text(row.title()),
        row.severity(),
        text(area),
        text(&row.finding.check),
    );
    if !names.short(&row.finding.check, &row.finding.resource).is_empty() {
        let _ = writeln!(
            out,
            "<dt>resource</dt><dd><code>{}</code></dd>",
            text(&row.finding.resource)
        );
    }
    for (name, said) in explain::evidence(row.finding) {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", text(name), text(&said));
    }
    out.push_str("</dl>\n");
    if let (Some(about), Kind::Blocks | Kind::Fails) = (row.about, kind) {
        remedy(out, about);
    }
    out.push_str("</article>\n");
}

/// Open, so that it is on paper as well.
fn remedy(out: &mut String, about: &About) {
    let _ = write!(
        out,
        "<details open>\n<summary>Why, and what to do</summary>\n<p>{}</p>\n<p>{}</p>\n",
        text(&about.why),
        text(&about.remedy.text)
    );
    for (name, hint) in explain::hints(about) {
        let _ = write!(
            out,
            "<p class=\"muted small\">{name}</p>\n<pre>{}</pre>\n",
            text(hint)
        );
    }
    if !about.source.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"muted small\">Source: {}</p>",
            text(&about.source)
        );
    }
    out.push_str("</details>\n");
}

fn idle(report: &Report) -> String {
    let mut body = String::new();
    for idle in &report.idle {
        let risk = &idle.risk;
        let _ = writeln!(
            body,
            "<li><code>{}</code> <code>{}</code>, of {} until {}: {}</li>",
            text(&risk.check),
            text(&risk.scope),
            text(&risk.owner),
            model::day(risk.until),
            text(&idle.why),
        );
    }
    list(&body)
}

fn list(items: &str) -> String {
    if items.is_empty() {
        String::new()
    } else {
        format!("<ul>\n{items}</ul>\n")
    }
}

fn changes(report: &Report, earlier: &Report, names: &Names<'_>) -> String {
    let changes = model::changes(report, earlier);
    let mut body = String::new();
    for change in &changes.told {
        let subject = format!(
            "<code>{}</code> {}",
            text(&change.check),
            text(&names.short(&change.check, &change.resource))
        );
        let _ = writeln!(
            body,
            "<li>{}: {}</li>",
            subject.trim_end(),
            text(&model::told(change))
        );
    }
    if let Some(counted) = changes.counted() {
        let _ = writeln!(body, "<li>{}</li>", text(&counted));
    }
    if body.is_empty() {
        "<p>Nothing.</p>\n".to_owned()
    } else {
        list(&body)
    }
}

/// What is only listed, folded by area.
fn folded(groups: &[Group<'_>], names: &Names<'_>, kind: Kind) -> String {
    let mut out = String::new();
    for group in groups {
        let rows: Vec<&Row<'_>> = group.rows.iter().filter(|row| row.kind() == kind).collect();
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "<details class=\"{}\">\n<summary>{} {}: {}</summary>\n<ul class=\"small\">\n",
            class(kind),
            mark(kind),
            text(group.area.title()),
            rows.len()
        );
        for row in rows {
            let resource = names.short(&row.finding.check, &row.finding.resource);
            let resource = if resource.is_empty() {
                resource
            } else {
                format!(" <code>{}</code>", text(&resource))
            };
            let said = model::said(&row.finding.resource, &row.finding.status);
            let said = if said.is_empty() {
                said
            } else {
                format!(": {}", text(&said))
            };
            let _ = writeln!(out, "<li>{}{resource}{said}</li>", text(row.title()));
        }
        out.push_str("</ul>\n</details>\n");
    }
    out
}

fn cost(estimates: &Estimates) -> String {
    let bill = match bill::bill(estimates) {
        Ok(bill) => bill,
        Err(why) => return format!("<p>Unknown: {}</p>\n", text(&why)),
    };
    let after = bill.sum.1.is_some();
    let head = if after {
        "<th scope=\"col\">With release</th><th scope=\"col\">Change</th>"
    } else {
        ""
    };
    let mut out = format!(
        "<table>\n<caption class=\"small\">An estimate with prices of {}: {}</caption>\n\
         <thead><tr><th scope=\"col\">Part</th><th scope=\"col\">Now</th>{head}</tr></thead>\n<tbody>\n",
        text(bill.dated),
        text(bill.source)
    );
    for (name, now, then) in bill.rows.iter().copied() {
        amounts(&mut out, name, now, then);
    }
    out.push_str("</tbody>\n<tfoot>\n");
    amounts(&mut out, "together", bill.sum.0, bill.sum.1);
    out.push_str("</tfoot>\n</table>\n");
    for line in bill.saving().iter().chain(&bill.unknown) {
        let _ = writeln!(out, "<p class=\"sentence\">{}</p>", text(line));
    }
    if !bill.unpriced.is_empty() {
        let names: Vec<&str> = bill.unpriced.iter().copied().collect();
        let _ = writeln!(
            out,
            "<p>Not in it, for want of a price: {}</p>",
            text(&names.join(", "))
        );
    }
    out
}

fn amounts(out: &mut String, name: &str, now: u64, then: Option<u64>) {
    let _ = write!(
        out,
        "<tr><th scope=\"row\">{}</th><td>{}</td>",
        text(name),
        dollars(now)
    );
    if let Some(then) = then {
        let _ = write!(
            out,
            "<td>{}</td><td>{}</td>",
            dollars(then),
            bill::change(now, then)
        );
    }
    out.push_str("</tr>\n");
}
