//! Readiness as a gate: before a release, and in the middle of one.

use std::sync::Arc;

use async_trait::async_trait;

use super::check::{Check, Scene};
use super::fact::release::Records;
use super::intent::Intent;
use super::report::{Finding, Report, Result as Comes, Status, judge};
use super::risk::AcceptedRisk;
use crate::context::OpContext;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::port::{FactSource, HealthGate};
use crate::probe::{ProbeTarget, Sample, SampleRequest, Verdict};

/// Everything that a report is made with, but the facts.
pub struct Judge {
    /// What the environment is meant to be.
    pub intent: Intent,
    /// The checks.
    pub checks: Vec<Box<dyn Check>>,
    /// Risks that somebody has accepted.
    pub accepted: Vec<AcceptedRisk>,
    /// What people wrote down: nobody can ask AWS for it.
    pub records: Records,
}

impl core::fmt::Debug for Judge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Judge")
            .field("environment", &self.intent.environment)
            .finish_non_exhaustive()
    }
}

impl Judge {
    /// Gathers the facts of the environment, with what people wrote down among them.
    ///
    /// # Errors
    /// Nothing at all could be read.
    pub async fn gather(
        &self,
        source: &dyn FactSource,
        ctx: &OpContext,
    ) -> Result<super::fact::Snapshot, Error> {
        let mut facts = source.gather(ctx, &self.intent).await?;
        facts.records = self.records.clone();
        Ok(facts)
    }

    /// Judges facts, as of the moment at which they were gathered.
    #[must_use]
    pub fn report(&self, facts: &super::fact::Snapshot) -> Report {
        let scene = Scene {
            facts,
            intent: &self.intent,
        };
        judge(&self.checks, &scene, &self.accepted, facts.at)
    }
}

/// A gate that answers for [`ProbeTarget::Readiness`], and hands every other question on.
pub struct ReadinessGate {
    inner: Arc<dyn HealthGate>,
    facts: Arc<dyn FactSource>,
    judge: Judge,
}

impl ReadinessGate {
    /// Before `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn HealthGate>, facts: Arc<dyn FactSource>, judge: Judge) -> Self {
        Self { inner, facts, judge }
    }
}

impl core::fmt::Debug for ReadinessGate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ReadinessGate")
            .field("judge", &self.judge)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HealthGate for ReadinessGate {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        if request.target != ProbeTarget::Readiness {
            return self.inner.sample(ctx, request).await;
        }
        let facts = self.judge.gather(self.facts.as_ref(), ctx).await?;
        Ok(sample(&self.judge.report(&facts)))
    }
}

/// What the source of a finding's evidence begins with; the check's id follows.
pub const CHECK: &str = "check:";

/// What the source of the same begins with where a plan lets a release go on without a judgement.
pub const UNJUDGED: &str = "unjudged:";

/// A report as a sample: what refuses a release stands in its evidence.
#[must_use]
pub fn sample(report: &Report) -> Sample {
    let (verdict, findings): (Verdict, Vec<&Finding>) = match report.result() {
        Comes::Ready => (Verdict::Pass, Vec::new()),
        Comes::NotReady => (Verdict::Fail, report.blocking().collect()),
        Comes::Unknown => (Verdict::Unknown, report.undecided().collect()),
    };
    let evidence = |finding: &&Finding| {
        let detail = match &finding.status {
            Status::Fail { fault, .. } => format!("{}, wanted: {}", fault.seen, fault.wanted),
            Status::Unknown { unseen } => unseen.to_string(),
            Status::Accepted { .. } | Status::NotApplicable { .. } | Status::Pass => String::new(),
        };
        Evidence::new(
            report.at,
            format!("{CHECK}{}", finding.check),
            finding.resource.clone(),
            detail,
        )
    };
    Sample {
        at: report.at,
        verdict,
        images: None,
        evidence: findings.iter().map(evidence).collect(),
    }
}
