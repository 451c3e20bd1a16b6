//! SPDX licence expressions, as far as crates use them: `OR`, `AND`, `WITH`, parentheses, and the old `/` for `OR`.

use anyhow::{Result, bail, ensure};

/// A licence expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Licence {
    /// One licence; an exception is part of its name, `Apache-2.0 WITH LLVM-exception`.
    One(String),
    /// One of these, as its user likes.
    Any(Vec<Self>),
    /// All of these.
    All(Vec<Self>),
}

impl Licence {
    /// Parses an expression.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let tokens: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = tokens.as_slice();
        let licence = any(&mut rest)?;
        ensure!(
            rest.is_empty(),
            "`{text}` goes on after its end: {}",
            rest.join(" ")
        );
        Ok(licence)
    }

    /// Whether it can be met by allowed licences alone.
    pub(crate) fn is_met(&self, allowed: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(name) => allowed(name),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(allowed)),
            Self::All(parts) => parts.iter().all(|part| part.is_met(allowed)),
        }
    }
}

fn any(rest: &mut &[&str]) -> Result<Licence> {
    let mut parts = vec![all(rest)?];
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        parts.push(all(rest)?);
    }
    Ok(single_or(parts, Licence::Any))
}

fn all(rest: &mut &[&str]) -> Result<Licence> {
    let mut parts = vec![one(rest)?];
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        parts.push(one(rest)?);
    }
    Ok(single_or(parts, Licence::All))
}

fn one(rest: &mut &[&str]) -> Result<Licence> {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let inner = any(rest)?;
            let [")", tail @ ..] = *rest else {
                bail!("a parenthesis is not closed");
            };
            *rest = tail;
            Ok(inner)
        }
        [name, "WITH", exception, tail @ ..] => {
            *rest = tail;
            Ok(Licence::One(format!("{name} WITH {exception}")))
        }
        [name, tail @ ..] if ![")", "OR", "AND", "WITH"].contains(name) => {
            *rest = tail;
            Ok(Licence::One((*name).to_owned()))
        }
        [word, ..] => bail!("a licence is missing before `{word}`"),
        [] => bail!("a licence is missing at the end"),
    }
}

fn single_or(mut parts: Vec<Licence>, many: fn(Vec<Licence>) -> Licence) -> Licence {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(text: &str, allowed: &[&str]) -> bool {
        let licence = Licence::parse(text).expect(text);
        licence.is_met(&|name| allowed.contains(&name))
    }

    #[test]
    fn or_needs_one_and_needs_all() {
        assert!(met("MIT OR GPL-3.0", &["MIT"]));
        assert!(!met("MIT AND GPL-3.0", &["MIT"]));
        assert!(met("MIT/Apache-2.0", &["Apache-2.0"]));
        assert!(met("Apache-2.0 / MIT", &["MIT"]));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let text = "GPL-3.0 AND ISC OR MIT";
        assert!(met(text, &["MIT"]));
        assert!(!met(text, &["ISC"]));
        assert!(!met("(GPL-3.0 OR MIT) AND ISC", &["MIT"]));
        assert!(met("ISC AND (Apache-2.0 OR ISC)", &["ISC"]));
    }

    #[test]
    fn an_exception_makes_another_licence() {
        assert!(!met("Apache-2.0 WITH LLVM-exception", &["Apache-2.0"]));
        assert!(met("Apache-2.0 WITH LLVM-exception OR MIT", &["MIT"]));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for text in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "WITH"] {
            assert!(Licence::parse(text).is_err(), "{text}");
        }
    }
}
