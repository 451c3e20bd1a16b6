//! The profile of a product's start.

use super::*;
use crate::readiness::known::Known;
use crate::readiness::profile::{Profile, Signed};
use crate::time::Timestamp;

fn signed(until: Timestamp) -> Signed {
    Signed {
        owner: "Ada".to_owned(),
        approver: "Grace".to_owned(),
        until,
    }
}

/// The shop as a start would have it: two zones, one NAT gateway, one task, one database, one cache, no web ACL.
fn start() -> (Snapshot, Intent) {
    let (mut facts, intent) = example::shop();
    for (_, service) in facts.services.iter_mut() {
        if let Known::Seen(service) = service {
            (service.desired, service.running) = (1, 1);
        }
    }
    for (_, balancer) in facts.balancers.iter_mut() {
        if let Known::Seen(balancer) = balancer {
            balancer.web_acl = Known::Missing;
        }
    }
    for (_, subnet) in facts.subnets.iter_mut() {
        if let Known::Seen(subnet) = subnet
            && let Known::Seen(routes) = &mut subnet.routes
        {
            for route in routes.iter_mut().filter(|route| route.destination == "0.0.0.0/0") {
                route.by = crate::readiness::fact::network::Hop::Nat("nat-0a".to_owned());
            }
        }
    }
    if let Some(vpc) = facts.vpcs.seen_mut(example::VPC)
        && let Known::Seen(nats) = &mut vpc.nats
    {
        nats.truncate(1);
    }
    facts
        .databases
        .seen_mut("storefront")
        .expect("the shop has one")
        .multi_az = false;
    let cache = facts.caches.seen_mut("storefront").expect("the shop has one");
    (cache.nodes, cache.multi_az, cache.failover) = (1, false, false);
    (facts, intent)
}

fn under(profile: Profile, until: Timestamp, facts: &Snapshot, intent: &Intent) -> Report {
    let risks = profile.accepts(&signed(until));
    judge(&catalogue::all(), &Scene { facts, intent }, &risks, facts.at)
}

#[test]
fn a_start_is_ready_and_each_of_its_risks_is_recorded_with_its_consequence() {
    let (facts, intent) = start();
    let report = under(Profile::Starter, Timestamp::MAX, &facts, &intent);
    assert_eq!(report.result(), Result::Ready, "{:#?}", bad(&report));
    assert!(bad(&report).is_empty(), "{:#?}", bad(&report));
    assert!(
        report.idle.is_empty(),
        "the profile accepts what a start does not need: {:#?}",
        report.idle
    );
    for finding in &report.findings {
        if let Status::Accepted { risk, .. } = &finding.status {
            assert!(
                risk.consequence.as_ref().is_some_and(|text| text.len() > 20),
                "{risk:?}"
            );
        }
    }
}

#[test]
fn a_start_is_not_ready_without_the_profile_or_after_its_end() {
    let (facts, intent) = start();
    for (profile, until) in [
        (Profile::Production, Timestamp::MAX),
        (Profile::Starter, facts.at),
    ] {
        let report = under(profile, until, &facts, &intent);
        assert_eq!(report.result(), Result::NotReady, "{profile:?}");
    }
}

#[test]
fn it_accepts_no_more_than_it_says() {
    let (mut facts, intent) = start();
    facts
        .services
        .seen_mut("backend")
        .expect("the shop has one")
        .desired = 0;
    let report = under(Profile::Starter, Timestamp::MAX, &facts, &intent);
    let failed = checks_that(&report, |status| matches!(status, Status::Fail { .. }));
    assert!(failed.contains("ecs_service_tasks_too_few"), "{failed:?}");
}

#[test]
fn the_estimate_says_what_it_saves() {
    use crate::readiness::price::{Shape, estimate};
    let (facts, intent) = example::shop();
    let (small, _) = start();
    let cents = |facts: &Snapshot, shape| {
        let scene = Scene {
            facts,
            intent: &intent,
        };
        estimate(&scene, shape).expect("all of it is seen").cents()
    };
    assert_eq!(cents(&facts, Shape::Starter), cents(&small, Shape::Present));
    assert!(cents(&facts, Shape::Starter) < cents(&facts, Shape::Present));
}
