//! Weaves many mutants into one source file, each asleep until it is chosen when the tests are run.
//!
//! cargo-mutants builds the crate once for each of a thousand mutants, which takes hours; woven, all are built at once. A changed
//! expression `a < b` becomes `(if crate::mutant::on(7) { a <= b } else { a < b })`; a replaced function returns at its top. Every
//! mutant stands on a line of its own, so that what the compiler says of that line is said of the mutant.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use proc_macro2::TokenStream;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, ExprBinary, ReturnType, Signature, Type};

use super::list::{Genre, Mutant, Place};

/// A mutant and its number.
pub(super) type Numbered<'a> = (usize, &'a Mutant);

/// A file with mutants in it.
pub(super) struct Woven {
    pub(super) text: String,
    /// Those that no compiler would take: a `let` in an `||`.
    pub(super) broken: Vec<usize>,
    /// Those that cannot sleep beside the others.
    pub(super) left: Vec<usize>,
}

/// The call that asks for a mutant.
pub(super) fn asked(number: usize) -> String {
    format!("crate::mutant::on({number})")
}

/// The module behind [`asked`], for the end of `lib.rs`.
pub(super) const CHOSEN: &str = r#"
mod mutant {
    pub(crate) fn on(number: usize) -> bool {
        static CHOSEN: std::sync::LazyLock<Option<usize>> =
            std::sync::LazyLock::new(|| std::env::var("ROLLOUT_MUTANT").ok()?.parse().ok());
        *CHOSEN == Some(number)
    }
}
"#;

pub(super) fn weave(source: &str, mutants: &[Numbered<'_>]) -> Result<Woven> {
    // A constant function cannot ask which mutant is chosen. Nothing else moves.
    let source = source.replace("const fn", "      fn");
    let file = syn::parse_file(&source).context("it is not Rust")?;
    let mut places = Places {
        at: offsets(&source, mutants)?,
        mutants: mutants.iter().copied().collect(),
        source: &source,
        nodes: BTreeMap::new(),
        bodies: Vec::new(),
        broken: Vec::new(),
    };
    places.visit_file(&file);
    Ok(places.woven())
}

/// A file with one mutant in it, awake.
pub(super) fn replaced(source: &str, mutant: &Mutant) -> Result<String> {
    let ranges = offsets(source, &[(0, mutant)])?;
    let mut text = source.to_owned();
    for range in ranges.into_values() {
        text.replace_range(range, &mutant.replacement);
    }
    Ok(text)
}

fn offsets(source: &str, mutants: &[Numbered<'_>]) -> Result<BTreeMap<usize, Range<usize>>> {
    let begins: Vec<usize> = std::iter::once(0)
        .chain(source.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let offset = |place: Place| {
        let begin = *begins.get(place.line.checked_sub(1)?)?;
        let line = source.get(begin..)?;
        let column = place.column.checked_sub(1)?;
        let chars = line.char_indices().map(|(at, _)| at).chain([line.len()]);
        Some(begin + chars.into_iter().nth(column)?)
    };
    mutants
        .iter()
        .map(|(number, mutant)| {
            let range = offset(mutant.span.start).zip(offset(mutant.span.end));
            let (start, end) = range.with_context(|| format!("{} is not in the file", mutant.name))?;
            Ok((*number, start..end))
        })
        .collect()
}

/// An expression with what may stand in its place.
type Nodes = BTreeMap<(usize, std::cmp::Reverse<usize>), Vec<(usize, String)>>;

struct Places<'a> {
    source: &'a str,
    mutants: BTreeMap<usize, &'a Mutant>,
    /// What each mutant replaces.
    at: BTreeMap<usize, Range<usize>>,
    nodes: Nodes,
    /// The bodies of functions, and whether a mutant may return from there.
    bodies: Vec<(Range<usize>, bool)>,
    broken: Vec<usize>,
}

impl Places<'_> {
    /// The mutants of some kinds that begin at a place.
    fn beginning(&self, at: usize, genres: &[Genre]) -> Vec<usize> {
        let here = |(number, range): (&usize, &Range<usize>)| {
            let genre = self.mutants.get(number)?.genre;
            (range.start == at && genres.contains(&genre)).then_some(*number)
        };
        self.at.iter().filter_map(here).collect()
    }

    /// Lets a mutant stand in the place of an expression of which it changes a part.
    fn change(&mut self, whole: &Range<usize>, number: usize) {
        let (Some(part), Some(mutant)) = (self.at.get(&number), self.mutants.get(&number)) else {
            return;
        };
        let before = self.source.get(whole.start..part.start);
        let after = self.source.get(part.end..whole.end);
        let (Some(before), Some(after)) = (before, after) else {
            return;
        };
        let text = format!("{before} {} {after}", mutant.replacement);
        // As tokens it is one line, without comments.
        let Ok(tokens) = text.parse::<TokenStream>() else {
            return;
        };
        self.nodes
            .entry((whole.start, std::cmp::Reverse(whole.end)))
            .or_default()
            .push((number, tokens.to_string()));
    }

    /// What stands for all of an expression.
    fn whole(&mut self, expr: &Expr) {
        let range = expr.span().byte_range();
        for number in self.beginning(range.start, &[Genre::MatchArmGuard, Genre::Condition]) {
            if self.at.get(&number) == Some(&range) {
                self.change(&range, number);
            }
        }
    }

    /// An expression of operators: what is changed in it stands for all of it, as the change of the text would have it.
    fn operators(&mut self, whole: &Range<usize>, binary: &ExprBinary) {
        for number in self.beginning(binary.op.span().byte_range().start, &[Genre::BinaryOperator]) {
            self.change(whole, number);
        }
        for side in [&*binary.left, &*binary.right] {
            if let Expr::Binary(inner) = side {
                self.whole(side);
                self.operators(whole, inner);
            } else {
                self.visit_expr(side);
            }
        }
    }

    /// A chain with `let`: its clauses may be changed, and not what joins them.
    fn clauses(&mut self, chain: &ExprBinary) {
        let joined = self.beginning(chain.op.span().byte_range().start, &[Genre::BinaryOperator]);
        self.broken.extend(joined);
        for side in [&*chain.left, &*chain.right] {
            match side {
                Expr::Binary(inner) if has_let(inner) => self.clauses(inner),
                other => self.visit_expr(other),
            }
        }
    }

    fn body(&mut self, signature: &Signature, block: &Block) {
        let hidden =
            matches!(&signature.output, ReturnType::Type(_, of) if matches!(**of, Type::ImplTrait(_)));
        let braces = block.brace_token.span;
        let range = braces.open().byte_range().end..braces.close().byte_range().start;
        self.bodies.push((range, !hidden));
    }

    fn woven(mut self) -> Woven {
        let mut inserts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut placed: Vec<usize> = self.nodes.values().flatten().map(|(number, _)| *number).collect();
        for (number, mutant) in &self.mutants {
            let Some(at) = self.at.get(number).filter(|_| mutant.genre == Genre::FnValue) else {
                continue;
            };
            let holds = |body: &&(Range<usize>, bool)| body.0.start <= at.start && at.end <= body.0.end;
            let innermost = self.bodies.iter().filter(holds).max_by_key(|body| body.0.start);
            if let Some((body, true)) = innermost {
                inserts.entry(body.start).or_default().push(*number);
                placed.push(*number);
            }
        }
        let left = self
            .mutants
            .keys()
            .filter(|number| !placed.contains(number) && !self.broken.contains(number))
            .copied()
            .collect();
        let nodes = std::mem::take(&mut self.nodes);
        let mut text = String::new();
        self.write(0..self.source.len(), &nodes, &inserts, &mut text);
        Woven {
            text,
            broken: self.broken,
            left,
        }
    }

    fn write(
        &self,
        range: Range<usize>,
        nodes: &Nodes,
        inserts: &BTreeMap<usize, Vec<usize>>,
        to: &mut String,
    ) {
        let mut at = range.start;
        // An insert goes to the top of a body; a node begins after it at the earliest.
        let copy = |from: usize, until: usize, to: &mut String| {
            let mut from = from;
            for (place, numbers) in inserts.range(from..until) {
                to.push_str(&self.source[from..*place]);
                from = *place;
                for number in numbers {
                    let value = self.mutants.get(number).map_or("", |mutant| &mutant.replacement);
                    to.push_str(&format!("\nif {} {{ return {value}; }}\n", asked(*number)));
                }
            }
            to.push_str(&self.source[from..until]);
        };
        let inside = nodes.range((range.start, std::cmp::Reverse(range.end))..);
        for (&(start, std::cmp::Reverse(end)), changes) in inside {
            let itself = start == range.start && end == range.end;
            if start < at || end > range.end || itself {
                continue;
            }
            copy(at, start, to);
            to.push('(');
            for (number, text) in changes {
                to.push_str(&format!("\nif {} {{ {text} }}\nelse ", asked(*number)));
            }
            to.push_str("{ ");
            self.write(start..end, nodes, inserts, to);
            to.push_str(" })");
            at = end;
        }
        copy(at, range.end, to);
    }
}

/// Whether a chain of `&&` has a `let` in it.
fn has_let(binary: &ExprBinary) -> bool {
    let of = |side: &Expr| match side {
        Expr::Let(_) => true,
        Expr::Binary(inner) => has_let(inner),
        _ => false,
    };
    matches!(binary.op, BinOp::And(_)) && (of(&binary.left) || of(&binary.right))
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        let range = expr.span().byte_range();
        self.whole(expr);
        match expr {
            Expr::Binary(chain) if has_let(chain) => return self.clauses(chain),
            Expr::Binary(binary) => return self.operators(&range, binary),
            Expr::Unary(unary) => {
                for number in self.beginning(unary.op.span().byte_range().start, &[Genre::UnaryOperator]) {
                    self.change(&range, number);
                }
            }
            Expr::Struct(of) => {
                for field in &of.fields {
                    for number in self.beginning(field.span().byte_range().start, &[Genre::StructField]) {
                        self.change(&range, number);
                    }
                }
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }

    // A constant cannot ask which mutant is chosen: what is in one is left.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}

    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::Span;
    use super::*;

    /// A mutant that puts `new` in the place of the first `old`.
    fn mutant(source: &str, genre: Genre, old: &str, new: &str) -> Mutant {
        let at = source.find(old).expect("it is there");
        let place = |at: usize| Place {
            line: source[..at].matches('\n').count() + 1,
            column: at - source[..at].rfind('\n').map_or(0, |end| end + 1) + 1,
        };
        Mutant {
            file: "a.rs".into(),
            name: format!("{old} is {new}"),
            genre,
            replacement: new.into(),
            span: Span {
                start: place(at),
                end: place(at + old.len()),
            },
        }
    }

    fn plain(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn woven(source: &str, mutants: &[Mutant]) -> Woven {
        let numbered: Vec<_> = mutants.iter().enumerate().collect();
        weave(source, &numbered).expect("it is Rust")
    }

    #[test]
    fn a_changed_operator_stands_for_the_whole_expression() {
        let source = "fn f(a: bool, b: bool, c: bool) -> bool {\n    a && b || !c\n}\n";
        let out = woven(
            source,
            &[
                mutant(source, Genre::BinaryOperator, "&&", "||"),
                mutant(source, Genre::UnaryOperator, "!", ""),
                mutant(source, Genre::FnValue, "a && b || !c", "true"),
                mutant(source, Genre::Condition, "b", "true"),
            ],
        );
        assert!(
            out.left.len() == 1,
            "the parameter is no place for one: {:?}",
            out.left
        );
        assert_eq!(
            plain(&out.text),
            "fn f(a: bool, b: bool, c: bool) -> bool { if crate::mutant::on(2) { return true; } \
             ( if crate::mutant::on(0) { a || b || ! c } else { a && b || ( if crate::mutant::on(1) { c } else { !c }) }) }"
        );
        syn::parse_file(&out.text).expect("still Rust");
    }

    #[test]
    fn a_guard_is_replaced_and_a_let_chain_keeps_its_form() {
        let source = "const fn f(x: Option<u8>) {\n    match x {\n        Some(n) if n == 1 => {}\n        _ => {}\n    }\n    \
                      if let Some(m) = x && m > 2 {}\n}\n";
        let out = woven(
            source,
            &[
                mutant(source, Genre::MatchArmGuard, "n == 1", "true"),
                mutant(source, Genre::BinaryOperator, "==", "!="),
                mutant(source, Genre::BinaryOperator, "&&", "||"),
                mutant(source, Genre::Condition, "m > 2", "true"),
            ],
        );
        assert_eq!((out.broken, out.left), (vec![2], vec![]));
        let text = plain(&out.text);
        assert!(text.starts_with("fn f"), "{text}");
        assert!(
            text.contains("if ( if crate::mutant::on(0) { true } else if crate::mutant::on(1) { n != 1 } else { n == 1 }) =>"),
            "{text}"
        );
        assert!(
            text.contains("if let Some(m) = x && ( if crate::mutant::on(3) { true } else { m > 2 }) {}"),
            "{text}"
        );
    }

    #[test]
    fn a_constant_is_left() {
        let source = "const DAY: u64 = 24 * 3_600;\n";
        let one = mutant(source, Genre::BinaryOperator, "*", "+");
        let out = woven(source, std::slice::from_ref(&one));
        assert_eq!((out.left, out.text.as_str()), (vec![0], source));
    }

    #[test]
    fn what_hides_its_type_is_left() {
        let source = "fn f() -> impl Iterator<Item = u8> {\n    [1].into_iter()\n}\n";
        let one = mutant(source, Genre::FnValue, "[1].into_iter()", "::std::iter::empty()");
        assert_eq!(woven(source, std::slice::from_ref(&one)).left, [0]);
        assert_eq!(
            plain(&replaced(source, &one).expect("it is in the file")),
            "fn f() -> impl Iterator<Item = u8> { ::std::iter::empty() }"
        );
    }
}
