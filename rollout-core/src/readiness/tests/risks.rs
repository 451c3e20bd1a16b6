//! Accepted risks: what they cover, for how long, and what they do not.

use super::*;
use crate::readiness::risk::{AcceptedRisk, matches};
use crate::time::Timestamp;

const CHECK: &str = "wafv2_balancer_unprotected";

fn risk(until: Timestamp) -> AcceptedRisk {
    AcceptedRisk {
        check: CHECK.to_owned(),
        scope: "*loadbalancer/app/storefront/*".to_owned(),
        seen: "no web ACL".to_owned(),
        reason: "there are no customers yet".to_owned(),
        consequence: None,
        owner: "Ada".to_owned(),
        approver: "Grace".to_owned(),
        until,
    }
}

fn judged(risk: AcceptedRisk, fault: &str) -> Report {
    let (mut facts, mut intent) = example::shop();
    let faults = faults::all();
    let fault = faults
        .iter()
        .find(|one| one.check == fault)
        .expect("a fault of the list");
    (fault.put)(&mut facts, &mut intent);
    judge(
        &catalogue::all(),
        &Scene {
            facts: &facts,
            intent: &intent,
        },
        &[risk],
        facts.at,
    )
}

fn status<'a>(report: &'a Report, check: &str) -> &'a Status {
    let finding = report.findings.iter().find(|finding| finding.check == check);
    &finding.expect("it was judged").status
}

#[test]
fn it_covers_what_it_was_written_for_until_it_ends() {
    let next = Timestamp::from_millis(example::NOW.as_millis() + 1);
    let report = judged(risk(next), CHECK);
    assert!(
        matches!(status(&report, CHECK), Status::Accepted { risk, .. } if risk.owner == "Ada"),
        "{:#?}",
        bad(&report)
    );
    assert_eq!((report.result(), report.idle.len()), (Result::Ready, 0));

    let report = judged(risk(example::NOW), CHECK);
    assert!(
        matches!(status(&report, CHECK), Status::Fail { uncovered: Some(why), .. } if why.contains("ended at")),
        "{:#?}",
        bad(&report)
    );
    assert_eq!(report.result(), Result::NotReady);
    assert_eq!(report.idle[0].why, "it has ended");
}

#[test]
fn it_fails_again_when_what_is_seen_changes() {
    let other = AcceptedRisk {
        seen: "an ACL without rules".to_owned(),
        ..risk(Timestamp::MAX)
    };
    let report = judged(other, CHECK);
    assert!(
        matches!(status(&report, CHECK), Status::Fail { uncovered: Some(why), .. } if why.contains("not this")),
        "{:#?}",
        bad(&report)
    );
    assert_eq!(report.idle[0].why, "what is seen now is not what was accepted");
}

#[test]
fn it_covers_no_other_resource_and_no_other_check() {
    let elsewhere = AcceptedRisk {
        scope: "*/legacy/*".to_owned(),
        ..risk(Timestamp::MAX)
    };
    assert!(matches!(
        status(&judged(elsewhere, CHECK), CHECK),
        Status::Fail { uncovered: None, .. }
    ));
    let report = judged(risk(Timestamp::MAX), "wafv2_logging_off");
    assert!(matches!(
        status(&report, "wafv2_logging_off"),
        Status::Fail { uncovered: None, .. }
    ));
    assert_eq!(report.idle[0].why, "nothing that is known fails that it is about");
}

#[test]
fn it_covers_nothing_that_is_not_known() {
    let (mut facts, intent) = example::shop();
    facts
        .balancers
        .seen_mut(example::BALANCER)
        .expect("the shop has one")
        .web_acl = Default::default();
    let report = judge(
        &catalogue::all(),
        &Scene {
            facts: &facts,
            intent: &intent,
        },
        &[risk(Timestamp::MAX)],
        facts.at,
    );
    assert!(matches!(status(&report, CHECK), Status::Unknown { .. }));
    assert_eq!(report.result(), Result::Unknown);
}

#[test]
fn patterns_fit_as_in_policies() {
    for (pattern, text, fits) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "any text", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcd", false),
        ("a*b*c", "a-b-b-c", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("/api/*", "/api/orders", true),
        ("/api/*", "/ap", false),
        ("*aab", "aaaab", true),
    ] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}

proptest::proptest! {
    /// Against the plain definition, which takes exponential time.
    #[test]
    fn patterns_fit_by_definition(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
        fn fits(pattern: &[u8], text: &[u8]) -> bool {
            match pattern {
                [] => text.is_empty(),
                [b'*', rest @ ..] => (0..=text.len()).any(|taken| fits(rest, &text[taken..])),
                [wanted, rest @ ..] => text.split_first().is_some_and(|(c, more)| (*wanted == b'?' || wanted == c) && fits(rest, more)),
            }
        }
        proptest::prop_assert_eq!(matches(&pattern, &text), fits(pattern.as_bytes(), text.as_bytes()));
    }
}

#[test]
fn what_has_changed_since_is_said() {
    let (facts, intent) = example::shop();
    let before = report(&facts, &intent);
    assert_eq!(before.since(&before), []);
    let after = judged(risk(Timestamp::MAX), "wafv2_logging_off");
    let changes = after.since(&before);
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].check, "wafv2_logging_off");
    assert_eq!(changes[0].was, Some(Status::Pass));
    let back = before.since(&after);
    assert_eq!(back[0].is, Some(Status::Pass));
}
