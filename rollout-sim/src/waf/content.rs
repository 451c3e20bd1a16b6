//! What a web ACL holds: whether it may, what it costs, whether it surely blocks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Refused;

/// Exactly one of several members was wanted, in AWS's words.
const ONE: &str = "You have used none or multiple values for a field that requires exactly one value.";

/// An answer instead of the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) status: u16,
    pub(crate) body: String,
}

fn has(value: &Value, name: &str) -> bool {
    value.get(name).is_some_and(|member| !member.is_null())
}

fn rules(content: &Value) -> &[Value] {
    content["Rules"].as_array().map_or(&[], Vec::as_slice)
}

/// Letters, digits, `_` and `-`, 1 to 128 of them (AWS WAFV2 API, `EntityName`).
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

/// Whether a web ACL may have a name and a content. Statements are not looked into, but for what their action must be.
pub(crate) fn check(name: &str, content: &Value) -> Result<(), Refused> {
    if !is_name(name) {
        return Err(Refused::invalid("The name is not valid.", "WEB_ACL", name));
    }
    let default = &content["DefaultAction"];
    if has(default, "Allow") == has(default, "Block") {
        return Err(Refused::invalid(ONE, "DEFAULT_ACTION", "DefaultAction"));
    }
    check_visibility(content)?;
    if has(content, "Rules") && !content["Rules"].is_array() {
        return Err(Refused::invalid("The rules are no list.", "RULE", "Rules"));
    }
    let mut seen: Vec<(&Value, &Value)> = Vec::new();
    for rule in rules(content) {
        let (name, priority) = (&rule["Name"], &rule["Priority"]);
        if !name.as_str().is_some_and(is_name) {
            return Err(Refused::invalid("The name is not valid.", "RULE", "Name"));
        }
        if priority.as_u64().is_none() {
            return Err(Refused::invalid("The priority is not valid.", "RULE", "Priority"));
        }
        if seen.iter().any(|(n, p)| *n == name || *p == priority) {
            let reason = "Names and priorities of rules must be unique.";
            return Err(Refused::invalid(
                reason,
                "RULE",
                name.as_str().unwrap_or_default(),
            ));
        }
        seen.push((name, priority));
        check_rule(rule)?;
    }
    Ok(())
}

fn check_visibility(of: &Value) -> Result<(), Refused> {
    let given = &of["VisibilityConfig"];
    let told = ["SampledRequestsEnabled", "CloudWatchMetricsEnabled"];
    if told.iter().all(|name| given[*name].is_boolean()) && given["MetricName"].is_string() {
        return Ok(());
    }
    let reason = "The visibility configuration is not complete.";
    Err(Refused::invalid(reason, "METRIC_NAME", "VisibilityConfig"))
}

fn check_rule(rule: &Value) -> Result<(), Refused> {
    check_visibility(rule)?;
    let statement = rule["Statement"].as_object();
    let members = statement.map_or(0, |s| s.values().filter(|v| !v.is_null()).count());
    if members != 1 {
        return Err(Refused::invalid(ONE, "STATEMENT", "Statement"));
    }
    if has(rule, "Action") == has(rule, "OverrideAction") {
        return Err(Refused::invalid(ONE, "RULE", "Rule"));
    }
    let groups = ["ManagedRuleGroupStatement", "RuleGroupReferenceStatement"];
    let is_group = groups.iter().any(|name| has(&rule["Statement"], name));
    if is_group != has(rule, "OverrideAction") {
        let reason = "A reference in your rule statement is not valid.";
        return Err(Refused::invalid(reason, "RULE", "Statement"));
    }
    Ok(())
}

/// The answer to every request, when no rule can let one through and the default is to block. Whether other rules match is not
/// evaluated, so that anything else lets requests through.
pub(super) fn blocks(content: &Value) -> Option<Block> {
    let default = content["DefaultAction"].get("Block").filter(|b| !b.is_null())?;
    let cannot_allow = |rule: &Value| {
        let action = &rule["Action"];
        has(action, "Block") || has(action, "Count") || has(&rule["OverrideAction"], "Count")
    };
    if !rules(content).iter().all(cannot_allow) {
        return None;
    }
    let custom = &default["CustomResponse"];
    let status = custom["ResponseCode"].as_u64();
    let status = status.and_then(|status| u16::try_from(status).ok());
    let body = custom["CustomResponseBodyKey"]
        .as_str()
        .and_then(|key| content["CustomResponseBodies"][key]["Content"].as_str());
    Some(Block {
        status: status.unwrap_or(403),
        body: body.unwrap_or("403 Forbidden").to_owned(),
    })
}

/// Capacity units (AWS WAF developer guide, "Using match rule statements in AWS WAF" and the pages it leads to), near enough: of
/// rule groups, whose units only their owners know, the best known ones of AWS.
pub(super) fn capacity(content: &Value) -> u64 {
    rules(content).iter().map(|rule| units(&rule["Statement"])).sum()
}

fn units(statement: &Value) -> u64 {
    let Some((kind, given)) = statement.as_object().and_then(|members| members.iter().next()) else {
        return 0;
    };
    let base = match kind.as_str() {
        "SizeConstraintStatement" => 1,
        "GeoMatchStatement" | "AsnMatchStatement" | "LabelMatchStatement" => return 1,
        "IPSetReferenceStatement" => {
            let anywhere = given["IPSetForwardedIPConfig"]["Position"] == "ANY";
            return if anywhere { 5 } else { 1 };
        }
        "ByteMatchStatement" => match given["PositionalConstraint"].as_str() {
            Some("CONTAINS" | "CONTAINS_WORD") => 10,
            _ => 2,
        },
        "RegexMatchStatement" => 3,
        "RegexPatternSetReferenceStatement" => 25,
        "SqliMatchStatement" => match given["SensitivityLevel"].as_str() {
            Some("HIGH") => 30,
            _ => 20,
        },
        "XssMatchStatement" => 40,
        "RateBasedStatement" => {
            let keys = given["CustomKeys"].as_array().map_or(0, Vec::len) as u64;
            return 2 + 30 * keys + units(&given["ScopeDownStatement"]);
        }
        "NotStatement" => return units(&given["Statement"]),
        "AndStatement" | "OrStatement" => {
            let parts = given["Statements"].as_array();
            return 1 + parts.into_iter().flatten().map(units).sum::<u64>();
        }
        "ManagedRuleGroupStatement" => {
            let group = match given["Name"].as_str() {
                Some("AWSManagedRulesCommonRuleSet") => 700,
                Some("AWSManagedRulesAmazonIpReputationList") => 25,
                Some("AWSManagedRulesAnonymousIpList" | "AWSManagedRulesBotControlRuleSet") => 50,
                Some("AWSManagedRulesAdminProtectionRuleSet") => 100,
                _ => 200,
            };
            return group + units(&given["ScopeDownStatement"]);
        }
        _ => return 50,
    };
    let field = &given["FieldToMatch"];
    let times = if has(field, "JsonBody") { 2 } else { 1 };
    let all_arguments = if has(field, "AllQueryArguments") { 10 } else { 0 };
    let transformations = given["TextTransformations"].as_array();
    let transformed = transformations.into_iter().flatten();
    let transformed = transformed.filter(|t| t["Type"] != "NONE").count() as u64;
    base * times + all_arguments + 10 * transformed
}
