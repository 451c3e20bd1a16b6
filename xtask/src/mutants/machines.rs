//! `cargo xtask mutants machines`: every mutant of the machines, run against the tests of `rollout-core`.
//!
//! The mutants are those that cargo-mutants lists, and the guards of [`super::guards`]. They are woven into a copy of the workspace
//! under the target folder (see [`super::weave`]), which is built once; then the tests are run once for each mutant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::run::End;
use super::workshop::Workshop;
use super::{accepted, guards, list, report, rounds};
use crate::cargo::root;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only mutants with this in their file (from the machines' folder) or change, such as `gate/` or `in Work::settle`.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Test programs at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let root = root()?;
    let accepted = accepted::read(&root)?;
    let mut mutants = list::mutants(&root)?;
    let files: BTreeSet<String> = mutants.iter().map(|mutant| mutant.file.clone()).collect();
    for file in &files {
        let source = fs::read_to_string(root.join(file)).with_context(|| format!("{file} cannot be read"))?;
        mutants.extend(guards::mutants(file, &source)?);
    }
    mutants.retain(|mutant| {
        let (file, change) = mutant.key();
        let name = format!("{file}: {change}");
        args.only.is_empty() || args.only.iter().any(|text| name.contains(text))
    });
    ensure!(!mutants.is_empty(), "no mutant is called so");

    let begun = Instant::now();
    let mut workshop = Workshop::open(&root, &mutants)?;
    let built = workshop.build_all()?;
    let mut ends: BTreeMap<usize, End> = workshop
        .unviable
        .iter()
        .map(|number| (*number, End::Unviable))
        .collect();
    eprintln!(
        "{} mutants: {} are built, {} do not compile, {} are built alone",
        mutants.len(),
        built.numbers.len(),
        ends.len(),
        workshop.alone.len()
    );
    ends.extend(rounds::all(&built, &mutants, args.jobs)?);
    for number in workshop.alone.clone() {
        let end = workshop.run_alone(number)?;
        ends.insert(number, end);
    }
    let new = report::write(&root, &mutants, &ends, &accepted)?;
    eprintln!("after {} s", begun.elapsed().as_secs());
    Ok(if new { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
