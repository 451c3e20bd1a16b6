//! What is wrong in a file: where, what, and what would be right.

use core::fmt::{self, Write as _};
use core::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use crate::view::paint::{Colour, Paint};

/// A file's text, to quote from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// As the user named it.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

/// A place in a text, counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Source {
    pub(crate) fn new(path: impl AsRef<Path>, text: impl Into<String>) -> Arc<Self> {
        let path = path.as_ref().to_path_buf();
        Arc::new(Self {
            path,
            text: text.into(),
        })
    }

    /// The place of a byte offset. One inside a character or past the end counts as the nearest place before.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let end = self.text.floor_char_boundary(offset);
        let before = &self.text[..end];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
        }
    }

    /// The byte offset of a place; the end of the line when the line is shorter.
    pub(crate) fn offset(&self, place: Place) -> usize {
        let mut start = 0;
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            if number + 1 == place.line {
                let inside = line.char_indices().nth(place.column.saturating_sub(1));
                return start + inside.map_or_else(|| line.trim_end().len(), |(at, _)| at);
            }
            start += line.len();
        }
        self.text.len()
    }

    fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.saturating_sub(1)).unwrap_or("")
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    /// In which file.
    pub(crate) source: Arc<Source>,
    /// Where in it, in bytes; `None` when it is about the file as a whole.
    pub(crate) span: Option<Range<usize>>,
    /// What is wrong, as a sentence without its full stop.
    pub(crate) what: String,
    /// A few words beside the caret.
    pub(crate) label: String,
    /// What would be right.
    pub(crate) help: Vec<String>,
    /// Where the file itself is named, when it is not the file that the user named.
    pub(crate) named_by: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>, what: impl Into<String>) -> Self {
        Self {
            source: Arc::clone(source),
            span: Some(span),
            what: what.into(),
            label: String::new(),
            help: Vec::new(),
            named_by: None,
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn help_maybe(mut self, help: Option<String>) -> Self {
        self.help.extend(help);
        self
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.span.as_ref().map(|span| self.source.place(span.start))
    }

    /// The form for `--json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let place = self.place();
        json!({
            "kind": "error",
            "file": self.source.path.display().to_string(),
            "line": place.map(|p| p.line),
            "column": place.map(|p| p.column),
            "error": self.what,
            "at": self.label,
            "help": self.help,
            "named_by": self.named_by,
        })
    }

    /// The form for people: the place, the line with a caret, the help.
    pub(crate) fn render(&self, paint: Paint, out: &mut String) -> fmt::Result {
        let error = paint.bold(Colour::Red, "error");
        writeln!(out, "{error}: {}", self.what)?;
        let path = self.source.path.display();
        let bar = paint.bold(Colour::Blue, "|");
        let mut gutter = 2;
        match (&self.span, self.place()) {
            (Some(span), Some(place)) => {
                gutter = place.line.to_string().len();
                let arrow = paint.bold(Colour::Blue, "-->");
                writeln!(
                    out,
                    "{:gutter$}{arrow} {path}:{}:{}",
                    "", place.line, place.column
                )?;
                let line = self.source.line(place.line);
                let number = paint.bold(Colour::Blue, &place.line.to_string());
                writeln!(out, "{:gutter$} {bar}", "")?;
                writeln!(out, "{number} {bar} {line}")?;
                let marked = paint.bold(
                    Colour::Red,
                    &format!("{} {}", caret(line, place, span), self.label),
                );
                writeln!(
                    out,
                    "{:gutter$} {bar} {}{}",
                    "",
                    indent(line, place),
                    marked.trim_end()
                )?;
            }
            _ => writeln!(out, "  --> {path}")?,
        }
        let equals = paint.bold(Colour::Blue, "=");
        for help in &self.help {
            writeln!(out, "{:gutter$} {equals} help: {help}", "")?;
        }
        if let Some(by) = &self.named_by {
            writeln!(out, "{:gutter$} {equals} named by {by}", "")?;
        }
        Ok(())
    }
}

/// Blanks up to the caret; tabs stay tabs, so that the caret stands under its character.
fn indent(line: &str, place: Place) -> String {
    let keep = |c| if c == '\t' { '\t' } else { ' ' };
    line.chars().take(place.column - 1).map(keep).collect()
}

fn caret(line: &str, place: Place, span: &Range<usize>) -> String {
    let rest = line.chars().count().saturating_sub(place.column - 1);
    "^".repeat(span.len().clamp(1, rest.max(1)))
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub(crate) struct Invalid(pub(crate) Vec<Diagnostic>);

impl Invalid {
    /// All of it, for people.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        for diagnostic in &self.0 {
            // Writing to a string cannot fail.
            let _ = diagnostic.render(paint, &mut out);
            out.push('\n');
        }
        let count = match self.0.len() {
            1 => "1 error".to_owned(),
            n => format!("{n} errors"),
        };
        let _ = writeln!(
            out,
            "{count} in the configuration; nothing was read or changed in any cloud"
        );
        out
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::plain()))
    }
}

impl std::error::Error for Invalid {}

/// The candidate that a mistyped word was most likely meant to be.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// "did you mean …", or the list of what there is.
pub(crate) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = candidates.into_iter().collect();
    match nearest(word, all.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if all.is_empty() => None,
        None => Some(format!("there is: {}", quoted(all))),
    }
}

/// `a`, `b`, `c`.
pub(crate) fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_survive_the_way_back() {
        let source = Source::new("f", "a\nüb = \"x\"\n");
        let at = source.text.find('b').expect("it is there");
        let place = source.place(at);
        assert_eq!(place, Place { line: 2, column: 2 });
        assert_eq!(source.offset(place), at);
        assert_eq!(source.place(9_999), Place { line: 3, column: 1 });
        assert_eq!(source.offset(Place { line: 99, column: 1 }), source.text.len());
    }

    #[test]
    fn the_caret_stands_under_its_character_after_tabs() {
        let source = Source::new("f.toml", "\t\tkey = 1\n");
        let mut out = String::new();
        let span = source.text.find('k').map(|at| at..at + 3).expect("it is there");
        Diagnostic::new(&source, span, "wrong")
            .render(Paint::plain(), &mut out)
            .expect("a string takes everything");
        assert!(out.contains("\n  | \t\t^^^\n"), "{out}");
    }

    #[test]
    fn a_word_far_from_all_gets_the_list() {
        assert_eq!(
            suggest("bakes", ["bake", "warm_up"]).as_deref(),
            Some("did you mean `bake`?")
        );
        assert_eq!(
            suggest("zzz", ["bake", "warm_up"]).as_deref(),
            Some("there is: `bake`, `warm_up`")
        );
        assert_eq!(suggest("zzz", []), None);
    }
}
