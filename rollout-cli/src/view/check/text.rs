//! A report on a terminal: by area, worst first, one line for each finding, and the result last.

use core::fmt::Write as _;

use rollout_core::readiness::price::dollars;
use rollout_core::readiness::report::{Report, Result as Readiness};

use super::flow::{block, entry, one_line};
use super::model::{self, Group, Kind, Row};
use super::name::Names;
use super::{Estimates, Shown, bill};
use crate::view::live::{cut, pad};
use crate::view::model::clock;
use crate::view::paint::{Colour, Paint};

/// Operations that are named; the JSON form has all.
const OPERATIONS: usize = 4;

/// Where it is written, how wide that is, and in which colours.
struct Page {
    out: String,
    columns: usize,
    paint: Paint,
}

pub(super) const fn colour(kind: Kind) -> Colour {
    match kind {
        Kind::Blocks => Colour::Red,
        Kind::Fails | Kind::Unknown => Colour::Yellow,
        Kind::Accepted => Colour::Blue,
        Kind::Passed => Colour::Green,
        Kind::NotApplicable => Colour::Grey,
    }
}

pub(super) fn render(shown: &Shown<'_>, paint: Paint) -> String {
    let report = shown.report;
    let mut page = Page {
        out: String::new(),
        columns: shown.columns,
        paint,
    };
    let names = Names::of(report);
    for group in model::groups(report) {
        page.group(&group, &names);
    }
    page.idle(report);
    if let Some(earlier) = shown.earlier {
        page.changes(report, earlier, &names);
    }
    if let Some(estimates) = shown.estimate {
        page.cost(estimates);
    }
    page.calls(report);
    page.result(report);
    page.out
}

impl Page {
    fn line(&mut self, text: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.out, "{text}");
    }

    /// An empty line, unless there is one.
    fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn heading(&mut self, text: &str) {
        self.gap();
        self.line(&self.paint.strong(text));
    }

    fn note(&mut self, indent: usize, text: &str) {
        block(&mut self.out, indent, self.columns, text);
    }

    /// An area whose checks all pass is one line; of the others everything is told but what passes.
    fn group(&mut self, group: &Group<'_>, names: &Names<'_>) {
        const TITLE: usize = 16;
        let mark = self.paint.bold(colour(group.kind()), group.kind().mark());
        let told: Vec<&Row<'_>> = group
            .rows
            .iter()
            .filter(|row| row.kind() < Kind::Passed)
            .collect();
        let title = pad(group.area.title(), TITLE);
        let seen = title.chars().count().saturating_add(2);
        let title = if told.is_empty() {
            title
        } else {
            self.paint.strong(&title)
        };
        let head = format!("{mark} {title}");
        entry(&mut self.out, &head, seen, 2, self.columns, &group.counted());
        if told.is_empty() {
            return;
        }
        let widest = told.iter().map(|row| row.finding.check.chars().count()).max();
        for row in told {
            self.row(row, names, widest.unwrap_or_default());
        }
        self.out.push('\n');
    }

    /// `  ✗ critical  wafv2_balancer_unprotected  storefront  no web ACL → a web ACL`.
    fn row(&mut self, row: &Row<'_>, names: &Names<'_>, widest: usize) {
        const FIXED: usize = 14;
        const INDENT: usize = 14;
        let kind = row.kind();
        let room = self.columns.saturating_sub(FIXED + 2);
        let check = one_line(&row.finding.check);
        let resource = one_line(&names.short(&row.finding.check, &row.finding.resource));
        let mut left = format!("{}  {resource}", pad(&check, widest.min(room)));
        if resource.is_empty() {
            left.truncate(left.trim_end().len());
        }
        let left = cut(&left, self.columns.saturating_sub(FIXED));
        let head = format!(
            "  {} {}  {left}",
            self.paint.colour(colour(kind), kind.mark()),
            pad(&row.severity().to_string(), 8),
        );
        let seen = FIXED + left.chars().count();
        entry(
            &mut self.out,
            &head,
            seen,
            INDENT,
            self.columns,
            &model::said(&row.finding.resource, &row.finding.status),
        );
    }

    fn idle(&mut self, report: &Report) {
        if report.idle.is_empty() {
            return;
        }
        self.heading("Accepted risks that cover nothing");
        for idle in &report.idle {
            let head = format!(
                "  - {}  {}",
                one_line(&idle.risk.check),
                one_line(&idle.risk.scope)
            );
            let head = cut(&head, self.columns);
            let said = format!(
                "{}, until {}: {}",
                idle.risk.owner,
                model::day(idle.risk.until),
                idle.why
            );
            entry(&mut self.out, &head, head.chars().count(), 4, self.columns, &said);
        }
    }

    fn changes(&mut self, report: &Report, earlier: &Report, names: &Names<'_>) {
        let changes = model::changes(report, earlier);
        self.heading(&format!("Changed since {}", clock(earlier.at)));
        for change in &changes.told {
            let resource = names.short(&change.check, &change.resource);
            let head = format!("  - {}  {}", one_line(&change.check), one_line(&resource));
            let head = cut(head.trim_end(), self.columns);
            entry(
                &mut self.out,
                &head,
                head.chars().count(),
                4,
                self.columns,
                &model::told(change),
            );
        }
        match changes.counted() {
            Some(counted) => self.line(&format!("  - {counted}")),
            None if changes.told.is_empty() => self.line("  nothing"),
            None => {}
        }
    }

    fn cost(&mut self, estimates: &Estimates) {
        let bill = match bill::bill(estimates) {
            Ok(bill) => bill,
            Err(why) => {
                self.heading("Cost a month");
                self.note(2, &format!("unknown: {why}"));
                return;
            }
        };
        let after = bill.sum.1.is_some();
        let title = if after {
            "Cost a month           now     released"
        } else {
            "Cost a month           now"
        };
        self.heading(title);
        for (component, now, then) in bill.rows.iter().copied() {
            self.amounts(component, now, then);
        }
        self.amounts("together", bill.sum.0, bill.sum.1);
        for line in bill.saving().iter().chain(&bill.unknown) {
            self.note(2, line);
        }
        if !bill.unpriced.is_empty() {
            let names = bill.unpriced.iter().copied().collect::<Vec<_>>().join(", ");
            self.note(2, &format!("not in it, for want of a price: {names}"));
        }
        self.note(
            2,
            &format!("an estimate with prices of {}: {}", bill.dated, bill.source),
        );
    }

    fn amounts(&mut self, what: &str, now: u64, then: Option<u64>) {
        let mut line = format!("  {:<11}{:>13}", cut(&one_line(what), 11), dollars(now));
        if let Some(then) = then {
            let _ = write!(line, "{:>13}  {}", dollars(then), bill::change(now, then));
        }
        self.line(line.trim_end());
    }

    fn calls(&mut self, report: &Report) {
        let mut most: Vec<(&String, &u32)> = report.calls.iter().collect();
        most.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
        let left = most.len().saturating_sub(OPERATIONS);
        let mut named: Vec<String> = most
            .iter()
            .take(OPERATIONS)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        if left > 0 {
            named.push(format!("{left} more operations"));
        }
        let mut text = format!("{} calls", model::calls(report));
        if !named.is_empty() {
            let _ = write!(text, ": {}", named.join(", "));
        }
        self.gap();
        block(
            &mut self.out,
            0,
            self.columns,
            &format!("Seen at {} with {text}", clock(report.at)),
        );
    }

    fn result(&mut self, report: &Report) {
        let result = report.result();
        block(&mut self.out, 0, self.columns, &model::verdict(report));
        let colour = match result {
            Readiness::Ready => Colour::Green,
            Readiness::Unknown => Colour::Yellow,
            Readiness::NotReady => Colour::Red,
        };
        let head = format!("{} {} is {result}", model::mark(result), report.environment);
        self.line(&format!(
            "{}: {}",
            self.paint.bold(colour, &head),
            model::because(report)
        ));
    }
}
