//! What became of the mutants.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::accepted;
use super::list::{Genre, Mutant};
use super::run::{End, Verdict};
use crate::cargo::target;

/// What one machine's mutants came to, of cargo-mutants and of ours.
#[derive(Default)]
struct Counts {
    caught: usize,
    unviable: usize,
    timed_out: usize,
    survived: usize,
}

/// Writes what became of each mutant, and prints the counts. Returns whether one survived that is not known.
pub(super) fn write(
    root: &Path,
    mutants: &[Mutant],
    ends: &BTreeMap<usize, End>,
    accepted: &accepted::Accepted,
) -> Result<bool> {
    let mut counts: BTreeMap<(String, bool), Counts> = BTreeMap::new();
    let mut left = accepted.clone();
    let (mut lines, mut new) = (String::new(), Vec::new());
    for (number, end) in ends {
        let mutant = &mutants[*number];
        let ours = mutant.genre == Genre::Condition;
        let machine = mutant.machine();
        let counted = counts.entry((machine, ours)).or_default();
        let (name, word, count) = match end {
            End::Unviable => ("", "unviable", &mut counted.unviable),
            End::Ran(Verdict::Caught(test)) => (test.as_str(), "caught", &mut counted.caught),
            End::Ran(Verdict::TimedOut) => ("", "timed out", &mut counted.timed_out),
            End::Ran(Verdict::Survived) => {
                match left.get_mut(&mutant.key()) {
                    Some(rows) if *rows > 0 => *rows -= 1,
                    Some(_) | None => new.push(mutant),
                }
                ("", "survived", &mut counted.survived)
            }
        };
        *count += 1;
        lines.push_str(&format!("{word}\t{}\t{name}\n", mutant.name));
    }
    let file = target(root)?.join("mutants").join("machines.txt");
    fs::write(&file, lines).with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!(
        "\n{:<12} {:>16} {:>8} {:>8} {:>9} {:>9}",
        "machine", "list", "caught", "unviable", "timed out", "survived"
    );
    for ((machine, ours), of) in &counts {
        let list = if *ours { "guards" } else { "cargo-mutants" };
        eprintln!(
            "{machine:<12} {list:>16} {:>8} {:>8} {:>9} {:>9}",
            of.caught, of.unviable, of.timed_out, of.survived
        );
    }
    for mutant in &new {
        eprintln!("survived, and is not known: {}", mutant.name);
    }
    eprintln!("each one: {}", file.display());
    Ok(!new.is_empty())
}
