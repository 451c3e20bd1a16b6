//! Web ACLs by themselves.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const HOME: Place<'static> = Place {
    account: "111111111111",
    region: "eu-central-1",
    scope: Scope::Regional,
};
const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-central-1:111111111111:loadbalancer/app/edge/1";

fn kernel() -> Kernel {
    Kernel::new(7, Timestamp::from_millis(1_767_603_600_000))
}

fn visible() -> Value {
    json!({ "SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "m" })
}

fn content(action: &str, rules: &[Value]) -> Value {
    json!({ "DefaultAction": { action: {} }, "Rules": rules, "VisibilityConfig": visible() })
}

fn rule(name: &str, priority: u32, action: &Value, statement: &Value) -> Value {
    json!({
        "Name": name, "Priority": priority, "Statement": statement, "Action": action, "VisibilityConfig": visible(),
    })
}

/// How a web ACL is named, and its token.
fn made(acls: &mut WebAcls, k: &mut Kernel, name: &str, content: Value) -> (String, String, String) {
    let acl = acls.create(k, HOME, name, content).expect("a new name");
    (acl.id.clone(), acl.arn.clone(), acl.token.clone())
}

fn named<'a>(name: &'a str, id: &'a str) -> (Place<'a>, Named<'a>) {
    (HOME, Named { name, id })
}

fn later(k: &mut Kernel) {
    k.now = plus(k.now, SPREAD.max);
}

#[test]
fn a_change_needs_the_newest_token_and_makes_another() {
    let (mut acls, mut k) = (WebAcls::default(), kernel());
    let (id, arn, first) = made(&mut acls, &mut k, "edge", content("Allow", &[]));
    assert_eq!(
        arn,
        format!("arn:aws:wafv2:eu-central-1:111111111111:regional/webacl/edge/{id}")
    );
    let block = content("Block", &[]);
    let second = acls
        .update(&mut k, named("edge", &id), &first, block.clone())
        .map(str::to_owned);
    let second = second.expect("the newest token");
    assert_ne!(first, second);
    let before = acls.clone();
    for stale in [first.as_str(), "", "x"] {
        let update = acls
            .update(&mut k, named("edge", &id), stale, content("Allow", &[]))
            .map(|_| ());
        assert_eq!(update, Err(Refused::Stale), "{stale}");
        assert_eq!(
            acls.delete(k.now, named("edge", &id), stale, |_| true),
            Err(Refused::Stale)
        );
    }
    assert_eq!(acls, before);
    // Name and id must both fit, and the place.
    for (place, named) in [
        named("other", &id),
        named("edge", "0"),
        (
            Place {
                region: "eu-west-1",
                ..HOME
            },
            Named {
                name: "edge",
                id: &id,
            },
        ),
        (
            Place {
                scope: Scope::CloudFront,
                ..HOME
            },
            Named {
                name: "edge",
                id: &id,
            },
        ),
    ] {
        let update = acls
            .update(&mut k, (place, named), &second, block.clone())
            .map(|_| ());
        assert_eq!(update, Err(Refused::Nonexistent));
    }
    assert_eq!(acls.delete(k.now, named("edge", &id), &second, |_| true), Ok(()));
    assert_eq!(
        acls.find(
            HOME,
            Named {
                name: "edge",
                id: &id
            }
        ),
        Err(Refused::Nonexistent)
    );
}

#[test]
fn names_are_given_once_and_there_are_a_hundred_at_most() {
    let (mut acls, mut k) = (WebAcls::default(), kernel());
    made(&mut acls, &mut k, "edge", content("Allow", &[]));
    let again = acls
        .create(&mut k, HOME, "edge", content("Allow", &[]))
        .map(|_| ());
    assert_eq!(again, Err(Refused::Duplicate));
    let global = Place {
        region: "us-east-1",
        scope: Scope::CloudFront,
        ..HOME
    };
    let other = acls
        .create(&mut k, global, "edge", content("Allow", &[]))
        .expect("another scope");
    assert!(other.arn.contains(":global/webacl/edge/"), "{}", other.arn);
    for n in 1..100 {
        made(&mut acls, &mut k, &format!("n{n}"), content("Allow", &[]));
    }
    let more = acls
        .create(&mut k, HOME, "more", content("Allow", &[]))
        .map(|_| ());
    assert_eq!(more, Err(Refused::Limit));
    assert_eq!(acls.of(HOME).count(), 100);
}

#[test]
fn an_association_is_told_at_once_and_in_force_later() {
    let (mut acls, mut k) = (WebAcls::default(), kernel());
    let (id, arn, token) = made(&mut acls, &mut k, "edge", content("Block", &[]));
    assert_eq!(
        acls.associate(&mut k, &arn, BALANCER),
        Err(Refused::Unavailable),
        "just made"
    );
    assert!(acls.of_resource(BALANCER).is_none());
    later(&mut k);
    assert_eq!(acls.associate(&mut k, &arn, BALANCER), Ok(true));
    assert_eq!(
        acls.associate(&mut k, &arn, BALANCER),
        Ok(false),
        "it is so already"
    );
    assert_eq!(acls.of_resource(BALANCER).map(|acl| &acl.arn), Some(&arn));
    assert_eq!(acls.resources(&arn).collect::<Vec<_>>(), [BALANCER]);
    assert_eq!(acls.blocked(k.now, BALANCER), None, "not yet");
    later(&mut k);
    assert_eq!(acls.blocked(k.now, BALANCER).map(|b| b.status), Some(403));
    assert_eq!(acls.blocked(k.now, "another"), None);
    // Another content, the same way.
    let token = acls.update(&mut k, named("edge", &id), &token, content("Allow", &[]));
    let token = token.expect("the newest token").to_owned();
    assert!(acls.blocked(k.now, BALANCER).is_some(), "still");
    later(&mut k);
    assert_eq!(acls.blocked(k.now, BALANCER), None);
    // In use it is not deleted, nor just after; with the load balancer gone it is.
    let delete =
        |acls: &mut WebAcls, now, there: bool| acls.delete(now, named("edge", &id), &token, |_| there);
    assert_eq!(delete(&mut acls.clone(), k.now, false), Ok(()));
    assert_eq!(delete(&mut acls, k.now, true), Err(Refused::Associated));
    assert!(acls.disassociate(&mut k, BALANCER));
    assert!(!acls.disassociate(&mut k, BALANCER), "it is so already");
    assert!(acls.of_resource(BALANCER).is_none());
    assert_eq!(
        delete(&mut acls, k.now, true),
        Err(Refused::Associated),
        "not everywhere yet"
    );
    later(&mut k);
    assert_eq!(delete(&mut acls, k.now, true), Ok(()));
    assert_eq!(acls.associate(&mut k, &arn, BALANCER), Err(Refused::Nonexistent));
}

#[test]
fn a_load_balancer_has_one_web_acl() {
    let (mut acls, mut k) = (WebAcls::default(), kernel());
    let (_, one, _) = made(&mut acls, &mut k, "one", content("Allow", &[]));
    let (_, two, _) = made(&mut acls, &mut k, "two", content("Block", &[]));
    later(&mut k);
    assert_eq!(acls.associate(&mut k, &one, BALANCER), Ok(true));
    later(&mut k);
    assert_eq!(acls.associate(&mut k, &two, BALANCER), Ok(true));
    assert_eq!(
        (acls.resources(&one).count(), acls.resources(&two).count()),
        (0, 1)
    );
    later(&mut k);
    assert!(acls.blocked(k.now, BALANCER).is_some());
    acls.forget(BALANCER);
    assert_eq!(
        (acls.resources(&two).count(), acls.blocked(k.now, BALANCER)),
        (0, None)
    );
    for n in 0..100 {
        assert_eq!(acls.associate(&mut k, &two, &format!("{BALANCER}{n}")), Ok(true));
    }
    assert_eq!(acls.associate(&mut k, &two, BALANCER), Err(Refused::Limit));
    let global = Place {
        region: "us-east-1",
        scope: Scope::CloudFront,
        ..HOME
    };
    let global = acls
        .create(&mut k, global, "edge", content("Allow", &[]))
        .expect("a new name")
        .arn
        .clone();
    let refused = acls.associate(&mut k, &global, BALANCER).map_err(|r| r.code());
    assert_eq!(refused, Err("WAFInvalidParameterException"));
}

#[test]
fn it_blocks_when_no_rule_can_let_a_request_through() {
    let geo = json!({ "GeoMatchStatement": { "CountryCodes": ["DE"] } });
    let managed = |action: &Value| {
        let mut rule = rule(
            "g",
            1,
            action,
            &json!({ "ManagedRuleGroupStatement": { "Name": "x", "VendorName": "AWS" } }),
        );
        let members = rule.as_object_mut().expect("an object");
        let action = members.remove("Action").expect("an action");
        members.insert("OverrideAction".to_owned(), action);
        rule
    };
    for (rules, blocks) in [
        (vec![], true),
        (vec![rule("a", 1, &json!({ "Block": {} }), &geo)], true),
        (vec![rule("a", 1, &json!({ "Count": {} }), &geo)], true),
        (vec![rule("a", 1, &json!({ "Allow": {} }), &geo)], false),
        (vec![rule("a", 1, &json!({ "Captcha": {} }), &geo)], false),
        (vec![managed(&json!({ "Count": {} }))], true),
        (vec![managed(&json!({ "None": {} }))], false),
    ] {
        let content = content("Block", &rules);
        assert_eq!(check("a", &content), Ok(()), "{rules:?}");
        assert_eq!(content::blocks(&content).is_some(), blocks, "{rules:?}");
    }
    assert_eq!(content::blocks(&content("Allow", &[])), None);
    let mut custom = content("Block", &[]);
    custom["DefaultAction"]["Block"] =
        json!({ "CustomResponse": { "ResponseCode": 503, "CustomResponseBodyKey": "k" } });
    custom["CustomResponseBodies"] = json!({ "k": { "ContentType": "TEXT_PLAIN", "Content": "closed" } });
    let wanted = Block {
        status: 503,
        body: "closed".to_owned(),
    };
    assert_eq!(content::blocks(&custom), Some(wanted));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let geo = json!({ "GeoMatchStatement": {} });
    let good = rule("a", 1, &json!({ "Block": {} }), &geo);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut rule = good.clone();
        change(&mut rule);
        content("Allow", &[rule])
    };
    let mut both = content("Allow", &[]);
    both["DefaultAction"]["Block"] = json!({});
    let mut blind = content("Allow", &[]);
    blind["VisibilityConfig"]["MetricName"] = Value::Null;
    let group = json!({ "ManagedRuleGroupStatement": { "Name": "x", "VendorName": "AWS" } });
    for (content, field) in [
        (json!({ "VisibilityConfig": visible() }), "DEFAULT_ACTION"),
        (both, "DEFAULT_ACTION"),
        (blind, "METRIC_NAME"),
        (with(&|r| r["Name"] = json!("a b")), "RULE"),
        (with(&|r| r["Priority"] = json!(-1)), "RULE"),
        (with(&|r| r["Action"] = Value::Null), "RULE"),
        (with(&|r| r["OverrideAction"] = json!({ "None": {} })), "RULE"),
        (with(&|r| r["Statement"] = group.clone()), "RULE"),
        (with(&|r| r["Statement"] = json!({})), "STATEMENT"),
        (
            with(&|r| r["Statement"]["LabelMatchStatement"] = json!({})),
            "STATEMENT",
        ),
        (with(&|r| r["VisibilityConfig"] = Value::Null), "METRIC_NAME"),
        (
            content(
                "Allow",
                &[good.clone(), rule("b", 1, &json!({ "Block": {} }), &geo)],
            ),
            "RULE",
        ),
        (
            content(
                "Allow",
                &[good.clone(), rule("a", 2, &json!({ "Block": {} }), &geo)],
            ),
            "RULE",
        ),
    ] {
        let refused = check("a", &content).expect_err("it cannot be");
        assert!(
            matches!(refused, Refused::Invalid { field: f, .. } if f == field),
            "{refused} {content}"
        );
    }
    let long = "x".repeat(129);
    for name in ["", "a b", long.as_str()] {
        assert!(
            check(name, &content("Allow", core::slice::from_ref(&good))).is_err(),
            "{name}"
        );
    }
    assert_eq!(
        check(
            "a",
            &content(
                "Allow",
                &[good.clone(), rule("b", 2, &json!({ "Block": {} }), &geo)]
            )
        ),
        Ok(())
    );
}

#[test]
fn capacity_is_added_up_and_bounded() {
    let plain = |kind: &str, given: Value| json!({ kind: given });
    let match_of = |position: &str, transformations: &[&str]| {
        let transformations: Vec<Value> = transformations
            .iter()
            .map(|t| json!({ "Type": t, "Priority": 0 }))
            .collect();
        plain(
            "ByteMatchStatement",
            json!({ "PositionalConstraint": position, "TextTransformations": transformations }),
        )
    };
    let geo = plain("GeoMatchStatement", json!({}));
    for (statement, units) in [
        (geo.clone(), 1),
        (match_of("EXACTLY", &["NONE"]), 2),
        (match_of("CONTAINS", &["LOWERCASE", "URL_DECODE"]), 30),
        (
            plain("XssMatchStatement", json!({ "FieldToMatch": { "JsonBody": {} } })),
            80,
        ),
        (
            plain(
                "SizeConstraintStatement",
                json!({ "FieldToMatch": { "AllQueryArguments": {} } }),
            ),
            11,
        ),
        (plain("NotStatement", json!({ "Statement": geo })), 1),
        (
            plain(
                "OrStatement",
                json!({ "Statements": [geo, match_of("EXACTLY", &[])] }),
            ),
            4,
        ),
        (
            plain(
                "RateBasedStatement",
                json!({ "Limit": 100, "ScopeDownStatement": geo }),
            ),
            3,
        ),
    ] {
        let content = content("Allow", &[rule("a", 1, &json!({ "Block": {} }), &statement)]);
        assert_eq!(content::capacity(&content), units, "{statement}");
    }
    let dear = json!({ "ManagedRuleGroupStatement": { "Name": "AWSManagedRulesCommonRuleSet", "VendorName": "AWS" } });
    let rules = |n: u32| -> Vec<Value> {
        let all = (0..n).map(|n| rule(&format!("r{n}"), n, &Value::Null, &dear));
        all.collect()
    };
    let (mut acls, mut k) = (WebAcls::default(), kernel());
    let (id, _, token) = made(&mut acls, &mut k, "edge", content("Allow", &rules(7)));
    let before = acls.clone();
    let update = acls
        .update(&mut k, named("edge", &id), &token, content("Allow", &rules(8)))
        .map(|_| ());
    assert_eq!(update, Err(Refused::Limit));
    assert_eq!(
        acls.create(&mut k, HOME, "other", content("Allow", &rules(8)))
            .map(|_| ()),
        Err(Refused::Limit)
    );
    assert_eq!(acls, before);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// With the token of so many changes ago.
    Update {
        ago: usize,
        block: bool,
    },
    Delete {
        ago: usize,
    },
    Create,
    Associate,
    Disassociate,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..4, any::<bool>()).prop_map(|(ago, block)| Step::Update { ago, block }),
        2 => (0_usize..4).prop_map(|ago| Step::Delete { ago }),
        1 => Just(Step::Create),
        1 => Just(Step::Associate),
        1 => Just(Step::Disassociate),
        2 => Just(Step::Wait),
    ]
}

proptest! {
    /// A stale token never changes anything; the newest one is refused only where the web ACL is in use; no token comes twice.
    #[test]
    fn a_stale_token_never_changes_anything(steps in prop::collection::vec(step(), 1..60)) {
        let (mut acls, mut k) = (WebAcls::default(), kernel());
        let (mut id, mut arn, first) = made(&mut acls, &mut k, "edge", content("Allow", &[]));
        let mut tokens = vec![first];
        let mut there = true;
        for step in steps {
            let (before, moment) = (acls.clone(), k.clone());
            let token = |ago: usize| tokens.len().checked_sub(ago + 1).map(|at| tokens[at].clone());
            match step {
                Step::Update { ago, block } => {
                    let Some(token) = token(ago) else { continue };
                    let action = if block { "Block" } else { "Allow" };
                    let done = acls.update(&mut k, named("edge", &id), &token, content(action, &[])).map(str::to_owned);
                    match done {
                        Ok(next) => {
                            prop_assert!(there && ago == 0);
                            prop_assert!(!tokens.contains(&next));
                            tokens.push(next);
                        }
                        Err(refused) => {
                            prop_assert_eq!(refused, if there { Refused::Stale } else { Refused::Nonexistent });
                            prop_assert!(!there || ago > 0);
                            prop_assert_eq!(&acls, &before);
                            // Nor is any chance spent on it.
                            prop_assert_eq!(k.draw(Stream::Ids, SPREAD), moment.clone().draw(Stream::Ids, SPREAD));
                        }
                    }
                }
                Step::Delete { ago } => {
                    let Some(token) = token(ago) else { continue };
                    let done = acls.delete(k.now, named("edge", &id), &token, |_| true);
                    if done.is_ok() {
                        prop_assert!(there && ago == 0);
                        there = false;
                    } else {
                        prop_assert_eq!(&acls, &before);
                        prop_assert!(!there || ago > 0 || done == Err(Refused::Associated));
                    }
                }
                Step::Create => match acls.create(&mut k, HOME, "edge", content("Allow", &[])) {
                    Ok(acl) => {
                        prop_assert!(!there && !tokens.contains(&acl.token));
                        (id, arn) = (acl.id.clone(), acl.arn.clone());
                        tokens.push(acl.token.clone());
                        there = true;
                    }
                    Err(refused) => prop_assert!(there && refused == Refused::Duplicate),
                },
                Step::Associate => {
                    // Neither this nor its contrary makes another token.
                    let _ = acls.associate(&mut k, &arn, BALANCER);
                }
                Step::Disassociate => {
                    acls.disassociate(&mut k, BALANCER);
                }
                Step::Wait => later(&mut k),
            }
            if let Ok(acl) = acls.by_arn(&arn) {
                prop_assert_eq!(Some(&acl.token), tokens.last());
            }
        }
    }
}
