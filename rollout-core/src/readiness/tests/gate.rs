//! Readiness as a gate.

use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::context::OpContext;
use crate::error::{Error, ErrorKind};
use crate::id::{Generation, ProbeName};
use crate::pace::Priority;
use crate::port::{FactSource, HealthGate};
use crate::probe::{ProbeTarget, Sample, SampleRequest, Subject, Verdict};
use crate::readiness::gate::{Judge, ReadinessGate};
use crate::readiness::known::Known;

/// Facts that were gathered before; none is a source that cannot be asked.
struct Source(Option<Snapshot>);

#[async_trait]
impl FactSource for Source {
    async fn gather(&self, _ctx: &OpContext, _intent: &Intent) -> core::result::Result<Snapshot, Error> {
        let refused = || Error::new(ErrorKind::PermissionDenied, "test:Gather", "no credentials");
        self.0.clone().ok_or_else(refused)
    }
}

/// Gates that answer nothing.
struct Others;

#[async_trait]
impl HealthGate for Others {
    async fn sample(&self, _ctx: &OpContext, request: &SampleRequest) -> core::result::Result<Sample, Error> {
        let asked = request.probe.to_string();
        Err(Error::new(ErrorKind::Unsupported, "test:Sample", asked))
    }
}

fn sampled(facts: Option<Snapshot>, target: ProbeTarget) -> core::result::Result<Sample, Error> {
    let (shop, intent) = example::shop();
    let judge = Judge {
        intent,
        checks: catalogue::all(),
        accepted: Vec::new(),
        records: shop.records,
    };
    let gate = ReadinessGate::new(Arc::new(Others), Arc::new(Source(facts)), judge);
    let ctx = OpContext {
        run: "r-1".parse().expect("valid"),
        step: "gate/ready".parse().expect("valid"),
        attempt: 1,
        generation: Generation::default(),
        deadline: example::NOW,
        priority: Priority::default(),
    };
    let request = SampleRequest {
        probe: ProbeName::readiness(),
        target,
        subject: Subject {
            service: None,
            images: BTreeMap::new(),
            changed_at: example::NOW,
        },
    };
    pollster::block_on(gate.sample(&ctx, &request))
}

#[test]
fn what_refuses_a_release_is_a_failure_with_its_evidence() {
    let (mut facts, _) = example::shop();
    let sample = sampled(Some(facts.clone()), ProbeTarget::Readiness).expect("it can be asked");
    assert_eq!((sample.verdict, sample.evidence.len()), (Verdict::Pass, 0));
    assert_eq!(sample.at, facts.at);

    facts
        .balancers
        .seen_mut(example::BALANCER)
        .expect("the shop has one")
        .web_acl = Known::Missing;
    let sample = sampled(Some(facts.clone()), ProbeTarget::Readiness).expect("it can be asked");
    assert_eq!(sample.verdict, Verdict::Fail);
    assert_eq!(sample.evidence[0].source, "check:wafv2_balancer_unprotected");
    assert_eq!(sample.evidence[0].detail, "no web ACL, wanted: a web ACL");

    facts
        .balancers
        .seen_mut(example::BALANCER)
        .expect("the shop has one")
        .web_acl = Known::default();
    let sample = sampled(Some(facts), ProbeTarget::Readiness).expect("it can be asked");
    assert_eq!(sample.verdict, Verdict::Unknown);
    assert!(!sample.evidence.is_empty());
}

#[test]
fn a_source_that_cannot_be_asked_is_an_error_and_other_questions_are_handed_on() {
    let error = sampled(None, ProbeTarget::Readiness).expect_err("it cannot be asked");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    let other = ProbeTarget::Alarms { names: Vec::new() };
    let error = sampled(None, other).expect_err("nobody answers");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}
