//! The catalogue as a page of the documentation.

use core::fmt::Write as _;

use rollout_core::readiness::check::About;

use super::list::by_area;
use super::markdown::{code, prose};
use super::{explain, model};

const HEAD: &str = "# Checks of production readiness

Generated from the catalogue: do not edit it. What `rollout check --list` prints in short, and `rollout check --explain` of one.

A check that blocks refuses a release when it fails; one that advises does not. What could not be seen is unknown, never a pass. A
failure can be accepted for a time, with an owner and a reason; it fails again when that time is over, or when something else is
seen than what was accepted.

";

/// The page, `docs/checks.md`.
pub(crate) fn catalogue_page(checks: &[About]) -> String {
    let mut out = HEAD.to_owned();
    let blocking = checks.iter().filter(|about| about.blocking).count();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "{} checks, {blocking} of them blocking.\n", checks.len());
    out.push_str("| Area | Checks | Blocking |\n|---|---:|---:|\n");
    for (area, checks) in by_area(checks) {
        let blocking = checks.iter().filter(|about| about.blocking).count();
        let _ = writeln!(out, "| {} | {} | {blocking} |", area.title(), checks.len());
    }
    for (area, checks) in by_area(checks) {
        let _ = writeln!(out, "\n## {}", area.title());
        for about in checks {
            check(&mut out, about);
        }
    }
    out
}

fn check(out: &mut String, about: &About) {
    let _ = write!(
        out,
        "\n### {}\n\n**{}.** {}, {}, asked of: {}.\n\n{}\n\nWhat to do: {}\n",
        code(&about.id),
        prose(&about.title),
        about.severity,
        model::blocking(about),
        model::tiers(&about.tiers),
        prose(&about.why),
        prose(&about.remedy.text),
    );
    let hints: Vec<String> = explain::hints(about)
        .map(|(name, hint)| format!("- {name}: {}\n", code(hint)))
        .collect();
    if !hints.is_empty() {
        let _ = write!(out, "\n{}", hints.concat());
    }
    let _ = writeln!(out, "\nSource: {}", prose(&about.source));
}
