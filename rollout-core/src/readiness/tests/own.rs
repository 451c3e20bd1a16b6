//! The team's own checks.

use super::*;
use crate::readiness::check::{About, Area, Check, EVERYWHERE, Remedy, Ruling, Verdict};
use crate::readiness::fact::Question;
use crate::readiness::known::{Unseen, Why};
use crate::readiness::own::{AnswerCheck, Compare, FactCheck};

fn about() -> About {
    About {
        id: "own_fact_odd".into(),
        title: "ours".into(),
        why: "ours".into(),
        area: Area::Own,
        severity: Severity::High,
        blocking: true,
        tiers: EVERYWHERE.into(),
        remedy: Remedy::words("ours"),
        source: "ours".into(),
    }
}

fn judged(path: &[&str], compare: Compare) -> Vec<(String, Ruling)> {
    let (facts, intent) = example::shop();
    let path = path.iter().map(|part| (*part).to_owned()).collect();
    let check = FactCheck {
        about: about(),
        path,
        compare,
    };
    check.judge(&Scene {
        facts: &facts,
        intent: &intent,
    })
}

#[test]
fn each_fact_that_the_way_leads_to_is_compared() {
    let all = judged(&["services", "*", "desired"], Compare::AtLeast(3));
    let of = |name: &str| {
        all.iter()
            .find(|(label, _)| label == name)
            .map(|(_, ruling)| ruling.clone())
    };
    assert_eq!(of("backend"), Some(Ok(Verdict::Pass)));
    assert_eq!(of("worker"), Some(Ok(Verdict::fail("2", "3 or more"))));
    assert_eq!(all.len(), 3);
}

#[test]
fn facts_are_compared_in_each_way() {
    for (path, compare, passes) in [
        (
            vec!["caller", "identity", "region"],
            Compare::Equals("eu-central-1".into()),
            true,
        ),
        (
            vec!["caller", "identity", "region"],
            Compare::Equals("us-east-1".into()),
            false,
        ),
        (
            vec!["caller", "identity", "region"],
            Compare::OneOf(vec!["us-east-1".into(), "eu-central-1".into()]),
            true,
        ),
        (
            vec!["databases", "storefront", "backup_days"],
            Compare::AtMost(14),
            true,
        ),
        (
            vec!["databases", "storefront", "backup_days"],
            Compare::AtMost(13),
            false,
        ),
        (
            vec!["databases", "storefront", "engine"],
            Compare::Contains("gres".to_owned()),
            true,
        ),
        (
            vec!["services", "backend", "subnets"],
            Compare::Contains("subnet-0a".to_owned()),
            true,
        ),
        (
            vec!["services", "backend", "subnets"],
            Compare::Contains("subnet-0".to_owned()),
            false,
        ),
        (
            vec!["services", "backend", "public_ip"],
            Compare::Equals(false.into()),
            true,
        ),
    ] {
        let all = judged(&path, compare.clone());
        let [(_, Ok(verdict))] = all.as_slice() else {
            panic!("{path:?} {compare:?}: {all:?}")
        };
        assert_eq!(
            *verdict == Verdict::Pass,
            passes,
            "{path:?} {compare:?}: {verdict:?}"
        );
    }
}

#[test]
fn what_is_not_there_or_not_seen_or_no_number_is_unknown() {
    let why = |path: &[&str], compare| match judged(path, compare).as_slice() {
        [(_, Err(Unseen { why, text, .. }))] => (*why, text.clone()),
        all => panic!("{path:?}: {all:?}"),
    };
    let (reason, text) = why(&["services", "backend", "desire"], Compare::AtLeast(1));
    assert_eq!(reason, Why::NotAsked);
    assert!(text.contains("`desire`") && text.contains("desired"), "{text}");
    assert_eq!(
        why(&["services", "backend", "arn"], Compare::AtLeast(1)).0,
        Why::Failed
    );

    let (mut facts, intent) = example::shop();
    facts.services.put(
        "backend",
        crate::readiness::known::Known::Unknown(Unseen::new(Why::Denied, "", "no")),
    );
    facts
        .services
        .put("frontend", crate::readiness::known::Known::Missing);
    let path = ["services", "*", "desired"].map(str::to_owned).into();
    let check = FactCheck {
        about: about(),
        path,
        compare: Compare::AtLeast(1),
    };
    let all = check.judge(&Scene {
        facts: &facts,
        intent: &intent,
    });
    let whys: Vec<_> = all
        .iter()
        .map(|(name, ruling)| (name.as_str(), ruling.as_ref().err().map(|unseen| unseen.why)))
        .collect();
    assert_eq!(
        whys,
        [
            ("backend", Some(Why::Denied)),
            ("frontend", Some(Why::Missing)),
            ("worker", None)
        ]
    );
}

#[test]
fn an_answer_is_compared_and_an_unasked_one_is_unknown() {
    let (facts, intent) = example::shop();
    let scene = Scene {
        facts: &facts,
        intent: &intent,
    };
    let check = |url: &str, status, body: Option<&str>| AnswerCheck {
        about: about(),
        question: Question::get(url),
        status,
        body_contains: body.map(ToOwned::to_owned),
    };
    let ruling = |check: AnswerCheck| check.judge(&scene).pop().map(|(_, ruling)| ruling);
    let url = "http://backend.production.internal/health/live";
    assert_eq!(ruling(check(url, 200, Some("ok"))), Some(Ok(Verdict::Pass)));
    assert_eq!(
        ruling(check(url, 204, None)),
        Some(Ok(Verdict::fail("200", "204")))
    );
    assert_eq!(
        ruling(check(url, 200, Some("fine"))),
        Some(Ok(Verdict::fail("200 without it", "200 with `fine`")))
    );
    assert!(matches!(
        ruling(check("http://nobody.example", 200, None)),
        Some(Err(_))
    ));
}
