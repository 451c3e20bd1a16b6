//! Risks that somebody has accepted, for a time.

use serde::{Deserialize, Serialize};

use super::check::Fault;
use crate::time::Timestamp;

/// A risk that somebody has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRisk {
    /// The check's id.
    pub check: String,
    /// The resources that it is about: a name, or a pattern with `*`.
    pub scope: String,
    /// What was seen when it was accepted, see [`Fault::seen`]; with `*` as a wildcard. Anything else fails again.
    pub seen: String,
    /// Why it is accepted.
    pub reason: String,
    /// What may come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Who agreed.
    pub approver: String,
    /// When it ends: from this moment the check fails again.
    pub until: Timestamp,
}

/// What an accepted risk does to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearing {
    /// It is about something else.
    None,
    /// It covers it.
    Covers,
    /// It would, but it has ended.
    Expired,
    /// It covered something else that was wrong there.
    Changed,
}

impl AcceptedRisk {
    /// What it does to a failure of a check at a resource.
    pub(super) fn bears(&self, check: &str, resource: &str, fault: &Fault, now: Timestamp) -> Bearing {
        if self.check != check || !matches(&self.scope, resource) {
            Bearing::None
        } else if !matches(&self.seen, &fault.seen) {
            Bearing::Changed
        } else if now >= self.until {
            Bearing::Expired
        } else {
            Bearing::Covers
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any text and `?` for one character, as in policies of IAM and rules of
/// a load balancer.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // The last star and how much of the text it has taken so far: to go back there and let it take one more is enough, since an
    // earlier star would only take what a later one can take as well.
    let (mut p, mut t, mut star) = (0_usize, 0_usize, None);
    while let Some(wanted) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p = p.saturating_add(1);
            }
            Some(c) if *c == '?' || c == wanted => {
                p = p.saturating_add(1);
                t = t.saturating_add(1);
            }
            Some(_) | None => match star {
                Some((at, taken)) => {
                    p = at.saturating_add(1);
                    t = taken.saturating_add(1);
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}
