//! A report for a pull request, in GitHub's Markdown.

use core::fmt::Write as _;

use rollout_core::readiness::price::dollars;
use rollout_core::readiness::report::{Report, Status};

use super::flow::one_line;
use super::model::{self, Kind, Row};
use super::name::Names;
use super::{Estimates, Shown, bill};

pub(super) fn render(shown: &Shown<'_>) -> String {
    let report = shown.report;
    let names = Names::of(report);
    let mut out = String::new();
    let result = report.result();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "## {} {} is {result}: {}\n\n{}, seen at {}.\n",
        model::mark(result),
        prose(report.environment.as_str()),
        model::because(report),
        model::verdict(report),
        crate::view::model::clock(report.at)
    );
    bad(&mut out, report, &names);
    if let Some(earlier) = shown.earlier {
        changes(&mut out, report, earlier, &names);
    }
    accepted(&mut out, report, &names);
    passed(&mut out, report);
    if let Some(estimates) = shown.estimate {
        cost(&mut out, estimates);
    }
    out
}

fn bad(out: &mut String, report: &Report, names: &Names<'_>) {
    let rows: Vec<Row<'_>> = model::rows(report)
        .filter(|row| row.kind() <= Kind::Unknown)
        .collect();
    if rows.is_empty() {
        out.push_str("Nothing fails, and nothing is unknown.\n\n");
        return;
    }
    out.push_str("|  | Check | Resource | Seen → wanted |\n|---|---|---|---|\n");
    for row in rows {
        let _ = writeln!(
            out,
            "| {} {} | {}<br>{} | {} | {} |",
            row.kind().mark(),
            row.severity(),
            prose(row.title()),
            cell(&row.finding.check),
            resource(names, &row.finding.check, &row.finding.resource),
            prose(&model::said(&row.finding.resource, &row.finding.status)),
        );
    }
    out.push('\n');
}

fn folded(out: &mut String, summary: &str, body: &str) {
    let _ = writeln!(
        out,
        "<details><summary>{summary}</summary>\n\n{body}\n</details>\n"
    );
}

fn accepted(out: &mut String, report: &Report, names: &Names<'_>) {
    let (mut body, mut count) = (String::new(), 0_usize);
    for row in model::rows(report) {
        let Status::Accepted { fault, risk } = &row.finding.status else {
            continue;
        };
        count += 1;
        let _ = writeln!(
            body,
            "| {}<br>{} | {} | {} | {} | {} | {} |",
            prose(row.title()),
            cell(&row.finding.check),
            resource(names, &row.finding.check, &row.finding.resource),
            prose(&fault.seen),
            prose(&risk.owner),
            model::day(risk.until),
            prose(&risk.reason),
        );
    }
    if count > 0 {
        let head = "| Check | Resource | Seen | Owner | Until | Why |\n|---|---|---|---|---|---|\n";
        folded(out, &format!("{count} accepted"), &format!("{head}{body}"));
    }
    let idle = report.idle.iter().map(|idle| {
        let (owner, why) = (prose(&idle.risk.owner), prose(&idle.why));
        format!(
            "- {} {}, of {owner}: {why}\n",
            code(&idle.risk.check),
            code(&idle.risk.scope)
        )
    });
    let idle: String = idle.collect();
    if !idle.is_empty() {
        folded(out, &format!("{} accepted for nothing", report.idle.len()), &idle);
    }
}

fn passed(out: &mut String, report: &Report) {
    let mut body = String::new();
    let mut count = 0_usize;
    for group in model::groups(report) {
        let passed: Vec<&Row<'_>> = group
            .rows
            .iter()
            .filter(|row| row.kind() == Kind::Passed)
            .collect();
        if passed.is_empty() {
            continue;
        }
        count += passed.len();
        let mut checks: Vec<String> = passed.iter().map(|row| code(&row.finding.check)).collect();
        checks.dedup();
        let _ = writeln!(
            body,
            "- **{}** ({}): {}",
            group.area.title(),
            passed.len(),
            checks.join(", ")
        );
    }
    if count > 0 {
        folded(out, &format!("{count} passed"), &body);
    }
}

fn changes(out: &mut String, report: &Report, earlier: &Report, names: &Names<'_>) {
    let changes = model::changes(report, earlier);
    let mut body = String::new();
    for change in &changes.told {
        let subject = format!(
            "{} {}",
            code(&change.check),
            resource(names, &change.check, &change.resource)
        );
        let _ = writeln!(body, "- {}: {}", subject.trim_end(), prose(&model::told(change)));
    }
    if let Some(counted) = changes.counted() {
        let _ = writeln!(body, "- {counted}");
    }
    if body.is_empty() {
        body.push_str("Nothing.\n");
    }
    let since = crate::view::model::clock(earlier.at);
    folded(
        out,
        &format!("{} changed since {since}", changes.told.len()),
        &body,
    );
}

fn cost(out: &mut String, estimates: &Estimates) {
    let bill = match bill::bill(estimates) {
        Ok(bill) => bill,
        Err(why) => {
            let _ = writeln!(out, "Cost a month: unknown: {}", prose(&why));
            return;
        }
    };
    let (now, then) = bill.sum;
    let mut line = format!("Cost a month, estimated: **{}**", dollars(now));
    if let Some(then) = then {
        let change = bill::change(now, then);
        let change = if change.is_empty() {
            "no change".to_owned()
        } else {
            change
        };
        let _ = write!(line, ", with this release **{}** ({change})", dollars(then));
    }
    let more = bill.saving().into_iter().chain(bill.unknown.iter().cloned());
    for part in more {
        let _ = write!(line, "; {}", prose(&part));
    }
    if !bill.unpriced.is_empty() {
        let names: Vec<&str> = bill.unpriced.iter().copied().collect();
        let _ = write!(line, "; without a price: {}", prose(&names.join(", ")));
    }
    let _ = writeln!(out, "{line}. Prices of {}.", prose(bill.dated));
}

/// A resource by its short name; the environment as a whole has none.
fn resource(names: &Names<'_>, check: &str, resource: &str) -> String {
    match names.short(check, resource) {
        name if name.is_empty() => String::new(),
        name => cell(&name),
    }
}

/// Prose of which nothing is Markdown or HTML, nobody is mentioned and nothing is linked; fit for the cell of a table.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Followed by a space of no width they are no mention of a person and no link to an issue.
            '@' | '#' => {
                out.push(c);
                out.push('\u{200b}');
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Code on one line, whatever is in it (GitHub Flavored Markdown Spec, "Code spans").
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    if text.starts_with('`') || text.ends_with('`') {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

/// Code in the cell of a table: a cell ends at `|` even there.
fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            prose("<b> | *a* _b_ `c` [d](e) \\ & @ada #1\nf"),
            "&lt;b&gt; \\| \\*a\\* \\_b\\_ \\`c\\` \\[d\\](e) \\\\ &amp; @\u{200b}ada #\u{200b}1 f"
        );
    }

    #[test]
    fn code_is_fenced_by_more_than_it_holds() {
        assert_eq!(code("a_b"), "`a_b`");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a`"), "`` `a` ``");
        assert_eq!(cell("a|b"), "`a\\|b`");
    }
}
