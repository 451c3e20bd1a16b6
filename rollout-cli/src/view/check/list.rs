//! The catalogue as a table.

use core::fmt::Write as _;

use rollout_core::readiness::check::{About, Area};

use super::flow::{entry, one_line};
use super::model;
use crate::view::live::pad;
use crate::view::paint::Paint;

/// All checks by area: id, severity, whether a failure refuses a release, what it makes sure of, and where it is asked.
pub(crate) fn list(checks: &[About], columns: usize, paint: Paint) -> String {
    let mut out = String::new();
    let widest = checks
        .iter()
        .map(|about| about.id.chars().count())
        .max()
        .unwrap_or_default();
    for (area, checks) in by_area(checks) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "{}", paint.strong(area.title()));
        for about in checks {
            let head = format!(
                "  {}  {}  {}",
                pad(&one_line(&about.id), widest),
                pad(&about.severity.to_string(), 8),
                model::blocking(about),
            );
            let text = format!("{} ({})", about.title, model::tiers(&about.tiers));
            entry(&mut out, &head, head.chars().count(), 4, columns, &text);
        }
        out.push('\n');
    }
    let blocking = checks.iter().filter(|about| about.blocking).count();
    let _ = writeln!(out, "{} checks, {blocking} of them blocking", checks.len());
    out
}

/// Checks by area, in the order of a report.
pub(super) fn by_area(checks: &[About]) -> Vec<(Area, Vec<&About>)> {
    let all = Area::ALL.into_iter().map(|area| {
        let of = checks.iter().filter(|about| about.area == area);
        (area, of.collect::<Vec<_>>())
    });
    all.filter(|(_, checks)| !checks.is_empty()).collect()
}
