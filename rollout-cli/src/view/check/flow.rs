//! Words in lines that fit.

use core::fmt::Write as _;

/// No line is made narrower than this: a terminal narrower than that breaks them itself.
const NARROW: usize = 40;

/// A text on one line: what would move the cursor, change the colours of a terminal or turn the direction of what follows is a
/// space, since names of resources and answers of services are anybody's.
pub(super) fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() || turns(c) { ' ' } else { c })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a text, none wider than `width`; a word that is wider than that is broken.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0_usize;
    for word in one_line(text).split(' ') {
        for piece in pieces(word, width) {
            let long = piece.chars().count();
            if used > 0 && used.saturating_add(1).saturating_add(long) > width {
                lines.push(core::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&piece);
            used += long;
        }
    }
    if used > 0 {
        lines.push(line);
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars
        .chunks(width.max(1))
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Writes text of which every line begins so far from the left.
pub(super) fn block(out: &mut String, indent: usize, columns: usize, text: &str) {
    let width = columns.max(NARROW).saturating_sub(indent);
    for line in wrap(text, width) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "{}{line}", " ".repeat(indent));
    }
}

/// Writes a head and a text: on one line where they fit, else the text below, in lines of its own.
///
/// The head comes as it is printed and, without its colours, as wide as it is seen.
pub(super) fn entry(out: &mut String, head: &str, seen: usize, indent: usize, columns: usize, text: &str) {
    let text = one_line(text);
    if text.is_empty() {
        let _ = writeln!(out, "{}", head.trim_end());
    } else if seen.saturating_add(2).saturating_add(text.chars().count()) <= columns.max(NARROW) {
        let _ = writeln!(out, "{head}  {text}");
    } else {
        let _ = writeln!(out, "{}", head.trim_end());
        block(out, indent, columns, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_filled_and_never_wider() {
        assert_eq!(wrap("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("arn:aws:iam::1 x", 6), ["arn:aw", "s:iam:", ":1 x"]);
        assert_eq!(wrap("", 6), [""; 0]);
        assert_eq!(wrap("größer", 6), ["größer"]);
    }

    #[test]
    fn a_text_that_does_not_fit_beside_its_head_stands_below() {
        let mut out = String::new();
        entry(&mut out, "  ✗ id", 6, 4, 40, "short");
        entry(
            &mut out,
            "  ✗ id  ",
            8,
            4,
            40,
            "a text that is longer than the rest of its line",
        );
        entry(&mut out, "  ✗ id  ", 8, 4, 40, "");
        assert_eq!(
            out,
            "  ✗ id  short\n  ✗ id\n    a text that is longer than the rest\n    of its line\n  ✗ id\n"
        );
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(
            one_line("a\x1b[31mb\r\nc\u{9b}d\u{202e}e\u{2028}f"),
            "a [31mb c d e f"
        );
    }
}
