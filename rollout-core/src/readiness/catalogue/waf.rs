//! Web ACLs.

use super::each_balancer;
use crate::readiness::check::{Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{WafRule, WafStatement, WebAcl};
use crate::readiness::known::Unseen;
use crate::readiness::scene::about;

/// What AWS counts a rate over unless told otherwise, in seconds.
const FIVE_MINUTES: u64 = 300;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "wafv2_balancer_unprotected", Waf, High, BLOCKING, PRODUCTION,
        title: "A web ACL is attached to the load balancer",
        why: "Without one every request of every bot reaches the tasks.",
        remedy: "Associate a web ACL of the region with the load balancer.",
        cli: "aws wafv2 associate-web-acl --web-acl-arn <web-acl> --resource-arn <load-balancer>",
        terraform: "aws_wafv2_web_acl_association",
        cdk: "CfnWebACLAssociation",
        source: "AWS WAF Developer Guide, \"Associating or disassociating protection with an AWS resource\"",
        over: each_balancer(attached),
    ),
    rule!(
        "wafv2_common_rules_missing", Waf, High, BLOCKING, PRODUCTION,
        title: "AWSManagedRulesCommonRuleSet blocks",
        why: "It stops what is tried against every web application: scripts in parameters, traversal of paths, bodies too large.",
        remedy: "Add the managed rule group AWSManagedRulesCommonRuleSet with the override action `none`.",
        cli: "aws wafv2 update-web-acl --cli-input-json <file with the rule>",
        terraform: "aws_wafv2_web_acl.rule.statement.managed_rule_group_statement",
        cdk: "CfnWebACL rules.statement.managedRuleGroupStatement",
        source: "AWS WAF Developer Guide, \"Baseline rule groups\"",
        over: each_balancer(|scene, arn| managed(scene, arn, "AWSManagedRulesCommonRuleSet")),
    ),
    rule!(
        "wafv2_known_bad_inputs_missing", Waf, High, BLOCKING, PRODUCTION,
        title: "AWSManagedRulesKnownBadInputsRuleSet blocks",
        why: "It stops requests that are known to exploit something, such as Log4j.",
        remedy: "Add the managed rule group AWSManagedRulesKnownBadInputsRuleSet with the override action `none`.",
        cli: "aws wafv2 update-web-acl --cli-input-json <file with the rule>",
        terraform: "aws_wafv2_web_acl.rule.statement.managed_rule_group_statement",
        cdk: "CfnWebACL rules.statement.managedRuleGroupStatement",
        source: "AWS WAF Developer Guide, \"Baseline rule groups\"",
        over: each_balancer(|scene, arn| managed(scene, arn, "AWSManagedRulesKnownBadInputsRuleSet")),
    ),
    rule!(
        "wafv2_sqli_rules_missing", Waf, High, BLOCKING, PRODUCTION,
        title: "AWSManagedRulesSQLiRuleSet blocks",
        why: "It stops SQL that comes in with a request.",
        remedy: "Add the managed rule group AWSManagedRulesSQLiRuleSet with the override action `none`.",
        cli: "aws wafv2 update-web-acl --cli-input-json <file with the rule>",
        terraform: "aws_wafv2_web_acl.rule.statement.managed_rule_group_statement",
        cdk: "CfnWebACL rules.statement.managedRuleGroupStatement",
        source: "AWS WAF Developer Guide, \"Use-case specific rule groups\"",
        over: each_balancer(|scene, arn| managed(scene, arn, "AWSManagedRulesSQLiRuleSet")),
    ),
    rule!(
        "wafv2_rate_rule_missing", Waf, Medium, BLOCKING, PRODUCTION,
        title: "A rate-based rule bounds what one address may send",
        why: "One client can otherwise take all tasks for itself.",
        remedy: "Add a rate-based rule that blocks: 2,000 requests in 5 minutes for each address.",
        cli: "aws wafv2 update-web-acl --cli-input-json <file with the rule>",
        terraform: "aws_wafv2_web_acl.rule.statement.rate_based_statement",
        cdk: "CfnWebACL rules.statement.rateBasedStatement",
        source: "AWS WAF Developer Guide, \"Using rate-based rule statements in AWS WAF\"",
        over: each_balancer(|scene, arn| rate(scene, arn, None)),
    ),
    rule!(
        "wafv2_api_rate_rule_missing", Waf, Medium, ADVISORY, PRODUCTION,
        title: "A rate-based rule of its own bounds /api/*",
        why: "Requests to the API cost the most; pages and files should not have to share their bound with them.",
        remedy: "Add a rate-based rule that blocks and whose scope-down statement is the path /api/.",
        cli: "aws wafv2 update-web-acl --cli-input-json <file with the rule>",
        terraform: "aws_wafv2_web_acl.rule.statement.rate_based_statement.scope_down_statement",
        cdk: "CfnWebACL rules.statement.rateBasedStatement.scopeDownStatement",
        source: "AWS WAF Developer Guide, \"Using rate-based rule statements in AWS WAF\"",
        over: each_balancer(|scene, arn| rate(scene, arn, Some("/api/"))),
    ),
    rule!(
        "wafv2_logging_off", Waf, Medium, ADVISORY, PRODUCTION,
        title: "The web ACL logs what it does",
        why: "Without its log nobody can tell a blocked customer from a blocked attacker.",
        remedy: "Send its log to a log group, a bucket or a delivery stream whose name begins with aws-waf-logs-.",
        cli: "aws wafv2 put-logging-configuration --logging-configuration ResourceArn=<web-acl>,LogDestinationConfigs=<log-group>",
        terraform: "aws_wafv2_web_acl_logging_configuration",
        cdk: "CfnLoggingConfiguration",
        source: "AWS WAF Developer Guide, \"Logging AWS WAF protection pack (web ACL) traffic\"",
        over: each_balancer(logging),
    ),
];

fn attached(scene: &Scene<'_>, arn: &str) -> Ruling {
    let attached = scene
        .balancer(arn)?
        .web_acl
        .find()
        .map_err(|unseen| about(unseen, arn))?;
    Ok(Verdict::when(
        attached.is_some(),
        || "no web ACL".to_owned(),
        "a web ACL",
    ))
}

/// The web ACL of a load balancer; `None` when it has none, which is another check's failure.
fn acl<'a>(scene: &Scene<'a>, arn: &str) -> Result<Option<&'a WebAcl>, Unseen> {
    let name = scene
        .balancer(arn)?
        .web_acl
        .find()
        .map_err(|unseen| about(unseen, arn))?;
    name.map(|name| scene.facts.web_acls.get(name)).transpose()
}

fn in_acl(scene: &Scene<'_>, arn: &str, judge: impl FnOnce(&WebAcl) -> Ruling) -> Ruling {
    match acl(scene, arn)? {
        Some(acl) => judge(acl),
        None => Ok(Verdict::not_applicable("no web ACL is attached")),
    }
}

fn managed(scene: &Scene<'_>, arn: &str, wanted: &str) -> Ruling {
    in_acl(scene, arn, |acl| {
        let is_it = |rule: &&WafRule| matches!(&rule.statement, WafStatement::Managed { vendor, group, .. } if vendor == "AWS" && group == wanted);
        let wanted = format!("{wanted} in block mode");
        Ok(match acl.rules.iter().find(is_it) {
            None => Verdict::fail("the rule group is not there", wanted),
            Some(rule) if !rule.blocks => Verdict::fail("the rule group only counts", wanted),
            Some(rule) => match &rule.statement {
                WafStatement::Managed { counted, .. } if !counted.is_empty() => {
                    Verdict::fail(format!("only counted: {}", counted.join(", ")), wanted)
                }
                WafStatement::Managed { .. } | WafStatement::Rate { .. } | WafStatement::Other => {
                    Verdict::Pass
                }
            },
        })
    })
}

fn rate(scene: &Scene<'_>, arn: &str, on: Option<&str>) -> Ruling {
    in_acl(scene, arn, |acl| {
        let most = scene.intent.limits.rate;
        let wanted = format!("a rule that blocks an address after at most {most} requests in 5 minutes");
        let mut seen = Vec::new();
        for rule in &acl.rules {
            let WafStatement::Rate {
                limit,
                window_seconds,
                key,
                path,
            } = &rule.statement
            else {
                continue;
            };
            if path.as_deref().map(|path| path.trim_end_matches('*')) != on {
                continue;
            }
            // Compared as rates, since windows differ: limit / window <= most / 5 minutes.
            let fits = limit.saturating_mul(FIVE_MINUTES) <= most.saturating_mul(u64::from(*window_seconds));
            if rule.blocks && fits && key.contains("IP") {
                return Ok(Verdict::Pass);
            }
            let mode = if rule.blocks { "blocks" } else { "only counts" };
            seen.push(format!(
                "{} {mode} at {limit} in {window_seconds} s by {key}",
                rule.name
            ));
        }
        let seen = if seen.is_empty() {
            "no such rule".to_owned()
        } else {
            seen.join("; ")
        };
        Ok(Verdict::fail(seen, wanted))
    })
}

fn logging(scene: &Scene<'_>, arn: &str) -> Ruling {
    in_acl(scene, arn, |acl| {
        let logs = acl.logging.find()?.copied().unwrap_or(false);
        Ok(Verdict::when(
            logs,
            || "no logging".to_owned(),
            "a log of what it does",
        ))
    })
}
