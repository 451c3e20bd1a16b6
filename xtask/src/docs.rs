//! `cargo xtask docs`: what the documents name must be there. Links to files, and the tests that ARCHITECTURE.md says hold an
//! invariant.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::cargo::root;
use crate::steps::Steps;

pub(crate) fn run() -> Result<ExitCode> {
    let root = root()?;
    let mut steps = Steps::default();
    steps.run("links between the documents", || links(&root));
    steps.run("the tests that ARCHITECTURE.md names", || guards(&root));
    Ok(steps.finish())
}

fn links(root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    for document in files(root, "md")? {
        let folder = document.parent().unwrap_or(root);
        for link in links_of(&read(&document)?) {
            if !folder.join(link).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    ensure!(
        broken.is_empty(),
        "these lead nowhere:\n       {}",
        broken.join("\n       ")
    );
    Ok(())
}

/// The files that a document links to: what stands in `](…)`, without web addresses, anchors and code blocks.
fn links_of(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link.split_once('#').map_or(link, |(file, _)| file))
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

fn guards(root: &Path) -> Result<()> {
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let named = named_tests(&text);
    ensure!(!named.is_empty(), "no table of invariants was found");
    let mut there = BTreeSet::new();
    for source in files(root, "rs")? {
        let text = read(&source)?;
        there.extend(
            named
                .iter()
                .filter(|name| text.contains(&format!("fn {name}(")))
                .copied(),
        );
    }
    let missing: Vec<&str> = named.difference(&there).copied().collect();
    ensure!(missing.is_empty(), "not in any source: {}", missing.join(", "));
    Ok(())
}

/// What stands in backticks in the last cell of a row that begins with an invariant, as far as it looks like a function.
fn named_tests(text: &str) -> BTreeSet<&str> {
    prose(text)
        .filter(|line| line.starts_with("| I-"))
        .filter_map(|line| line.trim_end_matches(['|', ' ']).rsplit_once('|'))
        .flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2))
        .filter(|name| {
            name.contains('_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect()
}

/// The files with an extension, without what is built and what is hidden.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let hidden = name.to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() {
                if !hidden && name != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_addresses_left_alone() {
        let text = "See [a](docs/a.md#part), [b](https://example.com) and [c](#here).\n```\n[d](no/where)\n```\n[e](e.md)";
        assert_eq!(links_of(text), ["docs/a.md", "e.md"]);
    }

    #[test]
    fn tests_are_read_from_the_last_cell() {
        let text = "| I-1 | `not_this` | `nor_this` | `this_one`, `check_it` in every walk, `clippy` |\n| x | `not_me_either` |";
        assert_eq!(named_tests(text), BTreeSet::from(["check_it", "this_one"]));
    }
}
