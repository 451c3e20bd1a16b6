//! What all checks say, together.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{About, Check, Fault, Ruling, Scene, Severity, Verdict};
use super::known::Unseen;
use super::risk::{AcceptedRisk, Bearing};
use crate::id::EnvironmentName;
use crate::time::Timestamp;

/// What a check says of one resource, in the end. In the order of a report, worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// It is not as it should be.
    Fail {
        /// What is wrong.
        #[serde(flatten)]
        fault: Fault,
        /// Why an accepted risk does not cover it, if one was meant to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncovered: Option<String>,
    },
    /// Nobody can say. Never a pass.
    Unknown {
        /// What would have to be known.
        #[serde(flatten)]
        unseen: Unseen,
    },
    /// It is not as it should be, and somebody has accepted that.
    Accepted {
        /// What is wrong.
        #[serde(flatten)]
        fault: Fault,
        /// Who, why, until when.
        risk: AcceptedRisk,
    },
    /// There is nothing to judge.
    NotApplicable {
        /// Why.
        why: String,
    },
    /// It is as it should be.
    Pass,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fail { .. } => "fail",
            Self::Unknown { .. } => "unknown",
            Self::Accepted { .. } => "accepted",
            Self::NotApplicable { .. } => "not applicable",
            Self::Pass => "pass",
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Fail { .. } => 0,
            Self::Unknown { .. } => 1,
            Self::Accepted { .. } => 2,
            Self::NotApplicable { .. } => 3,
            Self::Pass => 4,
        }
    }
}

/// What one check says of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's id.
    pub check: String,
    /// The resource: an ARN, an id, or a name.
    pub resource: String,
    /// What it says.
    #[serde(flatten)]
    pub status: Status,
}

/// What all checks say of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The environment.
    pub environment: EnvironmentName,
    /// When its facts were gathered.
    pub at: Timestamp,
    /// The checks, in the catalogue's order.
    pub checks: Vec<About>,
    /// What they say: worst first, then by severity, then in the catalogue's order.
    pub findings: Vec<Finding>,
    /// Accepted risks that cover nothing, with why: nobody needs them, or they are not what they were written for.
    pub idle: Vec<Idle>,
    /// Calls that the facts took, by operation.
    pub calls: BTreeMap<String, u32>,
}

/// An accepted risk that covers nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// The risk.
    pub risk: AcceptedRisk,
    /// Why it covers nothing.
    pub why: String,
}

/// What a report comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// No blocking check fails, and each could be judged.
    Ready,
    /// No blocking check fails, but one or more could not be judged.
    Unknown,
    /// A blocking check fails.
    NotReady,
}

impl fmt::Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Unknown => "unknown",
            Self::NotReady => "not ready",
        })
    }
}

/// Judges a scene by every check that is about its tier.
#[must_use]
pub fn judge(checks: &[Box<dyn Check>], scene: &Scene<'_>, risks: &[AcceptedRisk], now: Timestamp) -> Report {
    let mut used = BTreeMap::new();
    let mut findings = Vec::new();
    for check in checks {
        let about = check.about();
        for (resource, ruling) in rulings(check.as_ref(), scene) {
            let status = settle(about, &resource, ruling, risks, now, &mut used);
            findings.push(Finding {
                check: about.id.to_string(),
                resource,
                status,
            });
        }
    }
    let severity: BTreeMap<&str, Severity> = checks
        .iter()
        .map(|check| (check.about().id.as_ref(), check.about().severity))
        .collect();
    // The sort is stable: what is equal stays in the catalogue's order.
    findings.sort_by_key(|finding| {
        let severity = severity.get(finding.check.as_str()).copied();
        (finding.status.rank(), core::cmp::Reverse(severity))
    });
    Report {
        environment: scene.intent.environment.clone(),
        at: scene.facts.at,
        checks: checks.iter().map(|check| check.about().clone()).collect(),
        findings,
        idle: idle(risks, &used),
        calls: scene.facts.calls.clone(),
    }
}

fn rulings(check: &dyn Check, scene: &Scene<'_>) -> Vec<(String, Ruling)> {
    let whole = |why: &str| {
        vec![(
            scene.intent.environment.to_string(),
            Ok(Verdict::not_applicable(why)),
        )]
    };
    if !check.about().tiers.contains(&scene.intent.tier) {
        return whole("not asked of an environment of this tier");
    }
    let rulings = check.judge(scene);
    if rulings.is_empty() {
        return whole("this environment has no such resource");
    }
    rulings
}

fn settle(
    about: &About,
    resource: &str,
    ruling: Ruling,
    risks: &[AcceptedRisk],
    now: Timestamp,
    used: &mut BTreeMap<usize, Bearing>,
) -> Status {
    let fault = match ruling {
        Ok(Verdict::Pass) => return Status::Pass,
        Ok(Verdict::NotApplicable { why }) => return Status::NotApplicable { why },
        Err(unseen) => return Status::Unknown { unseen },
        Ok(Verdict::Fail(fault)) => fault,
    };
    let mut uncovered = None;
    for (index, risk) in risks.iter().enumerate() {
        let bearing = risk.bears(&about.id, resource, &fault, now);
        if bearing == Bearing::Covers {
            used.insert(index, bearing);
            return Status::Accepted {
                fault,
                risk: risk.clone(),
            };
        }
        if bearing != Bearing::None {
            used.entry(index).or_insert(bearing);
            uncovered = Some(match bearing {
                Bearing::Expired => format!("the accepted risk of {} ended at {}", risk.owner, risk.until),
                Bearing::Changed | Bearing::Covers | Bearing::None => {
                    format!("{} accepted `{}`, not this", risk.owner, risk.seen)
                }
            });
        }
    }
    Status::Fail { fault, uncovered }
}

fn idle(risks: &[AcceptedRisk], used: &BTreeMap<usize, Bearing>) -> Vec<Idle> {
    let why = |index: usize| match used.get(&index) {
        Some(Bearing::Covers) => None,
        Some(Bearing::Expired) => Some("it has ended"),
        Some(Bearing::Changed) => Some("what is seen now is not what was accepted"),
        Some(Bearing::None) | None => Some("nothing that is known fails that it is about"),
    };
    let all = risks.iter().enumerate();
    all.filter_map(|(index, risk)| {
        why(index).map(|why| Idle {
            risk: risk.clone(),
            why: why.to_owned(),
        })
    })
    .collect()
}

impl Report {
    /// The check with this id.
    #[must_use]
    pub fn about(&self, id: &str) -> Option<&About> {
        self.checks.iter().find(|about| about.id == id)
    }

    /// Whether a finding's check may refuse a release.
    #[must_use]
    pub fn is_blocking(&self, finding: &Finding) -> bool {
        self.about(&finding.check).is_some_and(|about| about.blocking)
    }

    /// Findings of blocking checks that fail.
    pub fn blocking(&self) -> impl Iterator<Item = &Finding> {
        let failed = |finding: &&Finding| matches!(finding.status, Status::Fail { .. });
        self.findings
            .iter()
            .filter(failed)
            .filter(|finding| self.is_blocking(finding))
    }

    /// Findings of blocking checks that nobody can judge.
    pub fn undecided(&self) -> impl Iterator<Item = &Finding> {
        let unknown = |finding: &&Finding| matches!(finding.status, Status::Unknown { .. });
        self.findings
            .iter()
            .filter(unknown)
            .filter(|finding| self.is_blocking(finding))
    }

    /// What it comes to.
    #[must_use]
    pub fn result(&self) -> Result {
        if self.blocking().next().is_some() {
            Result::NotReady
        } else if self.undecided().next().is_some() {
            Result::Unknown
        } else {
            Result::Ready
        }
    }

    /// How many findings there are of each status, by its word.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for finding in &self.findings {
            let count: &mut usize = counts.entry(finding.status.word()).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// What has changed since an earlier report, in this one's order; what is gone comes last.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<Change> {
        let key = |finding: &Finding| (finding.check.clone(), finding.resource.clone());
        let before: BTreeMap<_, _> = earlier.findings.iter().map(|f| (key(f), &f.status)).collect();
        let now: BTreeSet<_> = self.findings.iter().map(key).collect();
        let changed = self.findings.iter().filter_map(|finding| {
            let was = before.get(&key(finding)).copied();
            (was != Some(&finding.status)).then(|| Change {
                check: finding.check.clone(),
                resource: finding.resource.clone(),
                was: was.cloned(),
                is: Some(finding.status.clone()),
            })
        });
        let gone = earlier
            .findings
            .iter()
            .filter(|finding| !now.contains(&key(finding)));
        let gone = gone.map(|finding| Change {
            check: finding.check.clone(),
            resource: finding.resource.clone(),
            was: Some(finding.status.clone()),
            is: None,
        });
        changed.chain(gone).collect()
    }
}

/// What has changed since an earlier report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The check's id.
    pub check: String,
    /// The resource.
    pub resource: String,
    /// What was said of it.
    pub was: Option<Status>,
    /// What is said of it.
    pub is: Option<Status>,
}
