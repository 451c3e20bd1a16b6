//! What a suite has found.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A check, and what it proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// The sentence of the port's contract that it proves.
    pub proves: &'static str,
}

/// Why a check ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The world cannot make what the check needs.
    Skipped {
        /// Why.
        why: String,
    },
    /// The contract does not hold, or the fixture failed.
    Failed {
        /// What was wanted.
        wanted: String,
        /// What was seen.
        seen: String,
    },
}

impl Stop {
    /// The world cannot make what the check needs.
    pub fn skip(why: impl Into<String>) -> Self {
        Self::Skipped { why: why.into() }
    }

    /// Something else was seen than was wanted.
    pub fn fail(wanted: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Failed {
            wanted: wanted.into(),
            seen: seen.into(),
        }
    }

    /// The fixture should be able to make what the check needs, and failed. That is a failure, not a skip.
    pub fn fixture(why: impl fmt::Display) -> Self {
        Self::fail("a fixture that makes what the check needs", why.to_string())
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The contract holds.
    Passed,
    /// It does not.
    Failed {
        /// What was wanted.
        wanted: String,
        /// What was seen.
        seen: String,
    },
    /// Nobody looked.
    Skipped {
        /// Why.
        why: String,
    },
}

/// One check's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// See [`Check::name`].
    pub name: String,
    /// See [`Check::proves`].
    pub proves: String,
    /// How it ended.
    pub verdict: Verdict,
}

/// What the suite of one port has found.
///
/// `Display` is a list for people: one line a check, and below a failed one the sentence, what was wanted and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The port.
    pub port: String,
    /// Every check that was run, in order.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(port: &str) -> Self {
        Self {
            port: port.to_owned(),
            findings: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, about: Check, result: Result<(), Stop>) {
        self.findings.push(Finding {
            name: about.name.to_owned(),
            proves: about.proves.to_owned(),
            verdict: match result {
                Ok(()) => Verdict::Passed,
                Err(Stop::Failed { wanted, seen }) => Verdict::Failed { wanted, seen },
                Err(Stop::Skipped { why }) => Verdict::Skipped { why },
            },
        });
    }

    /// Whether nothing failed and something passed: a suite whose every check was skipped proves nothing.
    #[must_use]
    pub fn is_conforming(&self) -> bool {
        self.failed().next().is_none() && self.passed().next().is_some()
    }

    /// The checks that passed.
    pub fn passed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| f.verdict == Verdict::Passed)
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Finding> {
        let failed = |f: &&Finding| matches!(f.verdict, Verdict::Failed { .. });
        self.findings.iter().filter(failed)
    }

    /// The checks that were skipped.
    pub fn skipped(&self) -> impl Iterator<Item = &Finding> {
        let skipped = |f: &&Finding| matches!(f.verdict, Verdict::Skipped { .. });
        self.findings.iter().filter(skipped)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} passed, {} failed, {} skipped",
            self.port,
            self.passed().count(),
            self.failed().count(),
            self.skipped().count()
        )?;
        for finding in &self.findings {
            let Finding {
                name,
                proves,
                verdict,
            } = finding;
            match verdict {
                Verdict::Passed => write!(f, "\n  passed   {name}")?,
                Verdict::Skipped { why } => write!(f, "\n  skipped  {name}: {why}")?,
                Verdict::Failed { wanted, seen } => write!(
                    f,
                    "\n  FAILED   {name}\n           contract: {proves}\n           wanted:   {wanted}\n           seen:     {seen}"
                )?,
            }
        }
        Ok(())
    }
}
