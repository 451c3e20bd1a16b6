//! The survivors that are known, with the reason beside each: docs/mutations/cargo-mutants.md.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

const DOCUMENT: &str = "docs/mutations/cargo-mutants.md";

/// File and change, as [`super::list::Mutant::key`] has them, with the number of mutants that the row is of.
pub(super) type Accepted = BTreeMap<(String, String), usize>;

pub(super) fn read(root: &Path) -> Result<Accepted> {
    let path = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{DOCUMENT} cannot be read"))?;
    Ok(rows(&text))
}

/// The rows `| file | change | reason |` in which the first two are code. Two mutants of one name have two rows.
fn rows(text: &str) -> Accepted {
    let mut accepted = Accepted::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        // A bar in code is written `\|`.
        let line = line.replace("\\|", "\u{0}");
        let mut cells = line
            .split('|')
            .skip(1)
            .map(|cell| cell.trim().replace('\u{0}', "|"));
        if let (Some(file), Some(change)) = (cells.next(), cells.next()) {
            let code = |cell: &str| cell.trim_matches('`').trim().to_owned();
            *accepted.entry((code(&file), code(&change))).or_default() += 1;
        }
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_headings_are_not() {
        let found = rows(
            "| file | mutant | reason |\n|---|---|---|\n| `a.rs` | ``replace \\|\\| with && in `x` `` | why |\n\
             | `a.rs` | `b` | c |\n| `a.rs` | `b` | d |\n",
        );
        let key = |change: &str| ("a.rs".to_owned(), change.to_owned());
        assert_eq!(found.get(&key("b")), Some(&2));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.contains_key(&key("replace || with && in `x`")), "{found:?}");
    }
}
