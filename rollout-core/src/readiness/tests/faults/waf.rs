//! Web ACLs.

use super::{Fault, fault};
use crate::readiness::example::{BALANCER, WEB_ACL};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::edge::{WafRule, WafStatement};
use crate::readiness::known::Known;

fn rules(facts: &mut Snapshot) -> &mut Vec<WafRule> {
    &mut facts.web_acls.seen_mut(WEB_ACL).expect("the shop has one").rules
}

fn is(rule: &WafRule, wanted: &str) -> bool {
    matches!(&rule.statement, WafStatement::Managed { group, .. } if group == wanted)
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("wafv2_balancer_unprotected", "no web ACL", |facts, _| {
            facts
                .balancers
                .seen_mut(BALANCER)
                .expect("the shop has one")
                .web_acl = Known::Missing;
        }),
        fault(
            "wafv2_common_rules_missing",
            "the group is not there",
            |facts, _| {
                rules(facts).retain(|rule| !is(rule, "AWSManagedRulesCommonRuleSet"));
            },
        ),
        fault(
            "wafv2_common_rules_missing",
            "one of its rules only counts",
            |facts, _| {
                for rule in rules(facts) {
                    if let WafStatement::Managed { group, counted, .. } = &mut rule.statement
                        && group == "AWSManagedRulesCommonRuleSet"
                    {
                        counted.push("SizeRestrictions_BODY".to_owned());
                    }
                }
            },
        ),
        fault(
            "wafv2_known_bad_inputs_missing",
            "the group only counts",
            |facts, _| {
                for rule in rules(facts) {
                    rule.blocks &= !is(rule, "AWSManagedRulesKnownBadInputsRuleSet");
                }
            },
        ),
        fault(
            "wafv2_sqli_rules_missing",
            "the group is not there",
            |facts, _| {
                rules(facts).retain(|rule| !is(rule, "AWSManagedRulesSQLiRuleSet"));
            },
        ),
        fault(
            "wafv2_rate_rule_missing",
            "the limit is ten times as high",
            |facts, _| {
                for rule in rules(facts) {
                    if let WafStatement::Rate {
                        limit, path: None, ..
                    } = &mut rule.statement
                    {
                        *limit = 20_000;
                    }
                }
            },
        ),
        fault(
            "wafv2_rate_rule_missing",
            "the limit is for one minute",
            |facts, _| {
                for rule in rules(facts) {
                    if let WafStatement::Rate {
                        window_seconds,
                        path: None,
                        ..
                    } = &mut rule.statement
                    {
                        *window_seconds = 60;
                    }
                }
            },
        ),
        fault(
            "wafv2_api_rate_rule_missing",
            "only everything is bounded",
            |facts, _| {
                rules(facts)
                    .retain(|rule| !matches!(rule.statement, WafStatement::Rate { path: Some(_), .. }));
            },
        ),
        fault("wafv2_logging_off", "no log", |facts, _| {
            facts
                .web_acls
                .seen_mut(WEB_ACL)
                .expect("the shop has one")
                .logging = Known::Seen(false);
        }),
    ]
}
