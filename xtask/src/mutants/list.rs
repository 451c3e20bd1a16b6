//! The mutants of the machines, as cargo-mutants lists them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cargo::{cargo, output};

/// The version that the counts in docs/verification.md are of: another one may list other mutants.
const VERSION: &str = "27.1.0";

/// Where the machines are.
pub(super) const MACHINES: &str = "rollout-core/src/machine";

/// One change of a source file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Mutant {
    /// The file, from the workspace's root.
    pub(super) file: String,
    /// Place and change, as a person reads it.
    pub(super) name: String,
    pub(super) genre: Genre,
    /// What stands there instead.
    pub(super) replacement: String,
    /// What is replaced.
    pub(super) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Genre {
    /// A function returns at once.
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    /// A field is left to the base of its struct expression.
    StructField,
    /// Ours: an `if` is always or never taken, or one clause of it is left out.
    Condition,
}

/// Lines and columns from 1; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Span {
    pub(super) start: Place,
    pub(super) end: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Mutant {
    /// The file from the machines' folder, and the change without its position: what stays the same when lines move.
    pub(super) fn key(&self) -> (String, String) {
        let file = self
            .file
            .strip_prefix(MACHINES)
            .unwrap_or(&self.file)
            .trim_start_matches('/');
        let change = self.name.splitn(4, ':').nth(3).unwrap_or(&self.name);
        (file.to_owned(), change.trim().to_owned())
    }
}

impl Mutant {
    /// The machine whose file it is in.
    pub(super) fn machine(&self) -> String {
        let (file, _) = self.key();
        let name = file.split('/').next().unwrap_or_default();
        name.trim_end_matches(".rs").to_owned()
    }

    /// The path of that machine's tests.
    pub(super) fn tests(&self) -> String {
        format!("machine::{}::", self.machine())
    }
}

/// Every mutant that cargo-mutants knows of the machines.
pub(super) fn mutants(root: &Path) -> Result<Vec<Mutant>> {
    let found = output(cargo(root).args(["mutants", "--version"])).with_context(|| {
        format!(
            "cargo-mutants is not installed; `cargo install --locked cargo-mutants --version {VERSION}` does it"
        )
    })?;
    let found = found.trim().trim_start_matches("cargo-mutants ");
    ensure!(
        found == VERSION,
        "cargo-mutants {found} is installed, and the counts are of {VERSION}"
    );
    let files = format!("{MACHINES}/**");
    let text = output(cargo(root).args([
        "mutants",
        "--list",
        "--json",
        "--package",
        "rollout-core",
        "--file",
        &files,
    ]))?;
    let mutants: Vec<Mutant> =
        serde_json::from_str(&text).context("cargo-mutants lists them in another form")?;
    ensure!(
        !mutants.is_empty(),
        "cargo-mutants finds nothing to change in {MACHINES}"
    );
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_belongs_to_a_machine_and_keeps_its_name_when_lines_move() {
        let place = Place { line: 7, column: 3 };
        let mutant = |file: &str| Mutant {
            file: format!("{MACHINES}/{file}"),
            name: format!("{MACHINES}/{file}:7:3: replace Gate::a -> bool with true"),
            genre: Genre::FnValue,
            replacement: "true".to_owned(),
            span: Span {
                start: place,
                end: place,
            },
        };
        assert_eq!(mutant("gate/tally.rs").tests(), "machine::gate::");
        assert_eq!(mutant("gate.rs").tests(), "machine::gate::");
        let change = "replace Gate::a -> bool with true".to_owned();
        assert_eq!(
            mutant("gate/tally.rs").key(),
            ("gate/tally.rs".to_owned(), change)
        );
    }
}
