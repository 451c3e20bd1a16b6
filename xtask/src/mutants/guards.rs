//! Mutants of our own, for what cargo-mutants leaves out: guards that are removed (invariant I-22).
//!
//! The condition of an `if` is always or never true; and a clause of an `&&` or `||` is left out, which is `true` in the first and
//! `false` in the second.

use std::mem::discriminant;

use anyhow::{Context as _, Result};
use proc_macro2::LineColumn;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprBinary, ItemMod};

use super::list::{Genre, Mutant, Place, Span};

/// The guards of one file.
pub(super) fn mutants(file: &str, source: &str) -> Result<Vec<Mutant>> {
    let parsed = syn::parse_file(source).with_context(|| format!("{file} is not Rust"))?;
    let mut guards = Guards {
        file,
        function: String::new(),
        found: Vec::new(),
    };
    guards.visit_file(&parsed);
    Ok(guards.found)
}

struct Guards<'a> {
    file: &'a str,
    /// The function at hand.
    function: String,
    found: Vec<Mutant>,
}

impl Guards<'_> {
    fn add(&mut self, expr: &Expr, what: &str, replacement: &str) {
        let span = expr.span();
        let place = |at: LineColumn| Place {
            line: at.line,
            column: at.column + 1,
        };
        let (start, end) = (place(span.start()), place(span.end()));
        let text = span.source_text().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (file, Place { line, column }, function) = (self.file, start, &self.function);
        let name = format!("{file}:{line}:{column}: {what} `{text}` is {replacement} in {function}");
        let known = |mutant: &Mutant| mutant.span == Span { start, end } && mutant.replacement == replacement;
        if !self.found.iter().any(known) {
            self.found.push(Mutant {
                file: file.to_owned(),
                name,
                genre: Genre::Condition,
                replacement: replacement.to_owned(),
                span: Span { start, end },
            });
        }
    }

    fn condition(&mut self, expr: &Expr) {
        match expr {
            Expr::Let(_) => {}
            Expr::Binary(chain) if matches!(chain.op, BinOp::And(_)) && has_let(expr) => {
                self.condition(&chain.left);
                self.condition(&chain.right);
            }
            other => {
                self.add(other, "condition", "true");
                self.add(other, "condition", "false");
            }
        }
    }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, op, right, .. }) => {
            matches!(op, BinOp::And(_)) && (has_let(left) || has_let(right))
        }
        _ => false,
    }
}

fn is_test(item: &ItemMod) -> bool {
    item.attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg"))
}

impl<'ast> Visit<'ast> for Guards<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(item) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.function = signature.ident.to_string();
        visit::visit_signature(self, signature);
    }

    fn visit_expr_if(&mut self, of: &'ast syn::ExprIf) {
        self.condition(&of.cond);
        visit::visit_expr_if(self, of);
    }

    fn visit_expr_while(&mut self, of: &'ast syn::ExprWhile) {
        // One that is always taken does not end: only the other way.
        if !has_let(&of.cond) {
            self.add(&of.cond, "condition", "false");
        }
        visit::visit_expr_while(self, of);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let neutral = match binary.op {
            BinOp::And(_) => Some("true"),
            BinOp::Or(_) => Some("false"),
            _ => None,
        };
        if let Some(neutral) = neutral {
            for side in [&*binary.left, &*binary.right] {
                // The left side of a longer chain is its other clauses: each is left out for itself.
                let more = matches!(side, Expr::Binary(inner) if discriminant(&inner.op) == discriminant(&binary.op));
                if !more && !has_let(side) {
                    self.add(side, "clause", neutral);
                }
            }
        }
        visit::visit_expr_binary(self, binary);
    }
}
