//! Web ACLs.

use rollout_core::readiness::fact::edge::{WafRule, WafStatement, WebAcl};
use serde_json::Value;

use crate::waf::WebAcl as Held;

/// The window of a rate-based rule that does not name one, in seconds (AWS WAFV2 API, "RateBasedStatement").
const WINDOW: u32 = 300;

/// A web ACL. Whether what it does is logged is the surroundings'.
pub(crate) fn web_acl(held: &Held, around: Option<&WebAcl>) -> WebAcl {
    let rules = held.content["Rules"].as_array().into_iter().flatten();
    WebAcl {
        rules: rules.map(rule).collect(),
        logging: around.map(|a| a.logging.clone()).unwrap_or_default(),
    }
}

fn rule(rule: &Value) -> WafRule {
    let counts = |name: &str| rule[name].get("Count").is_some_and(|count| !count.is_null());
    WafRule {
        name: text(&rule["Name"]),
        blocks: !counts("Action") && !counts("OverrideAction"),
        statement: statement(&rule["Statement"]),
    }
}

fn statement(statement: &Value) -> WafStatement {
    let managed = &statement["ManagedRuleGroupStatement"];
    if managed.is_object() {
        return WafStatement::Managed {
            vendor: text(&managed["VendorName"]),
            group: text(&managed["Name"]),
            counted: counted(managed),
        };
    }
    let rate = &statement["RateBasedStatement"];
    if let Some(limit) = rate["Limit"].as_u64() {
        let window = rate["EvaluationWindowSec"].as_u64();
        let scope = &rate["ScopeDownStatement"];
        if let Some(path) = scoped(scope) {
            return WafStatement::Rate {
                limit,
                window_seconds: window.and_then(|s| u32::try_from(s).ok()).unwrap_or(WINDOW),
                key: text(&rate["AggregateKeyType"]),
                path,
            };
        }
    }
    WafStatement::Other
}

/// Rules of a managed group that only count: by an override of their own, or by the older list of excluded ones.
fn counted(managed: &Value) -> Vec<String> {
    let list = |name: &str| managed[name].as_array().into_iter().flatten();
    let overridden = list("RuleActionOverrides").filter(|one| one["ActionToUse"]["Count"].is_object());
    overridden
        .chain(list("ExcludedRules"))
        .map(|one| text(&one["Name"]))
        .collect()
}

/// The beginning of the paths that a rate-based rule counts: `Some(None)` when it counts all, `None` when it cannot be told.
fn scoped(scope: &Value) -> Option<Option<String>> {
    if scope.is_null() {
        return Some(None);
    }
    let matched = &scope["ByteMatchStatement"];
    let begins =
        matched["PositionalConstraint"] == "STARTS_WITH" && matched["FieldToMatch"]["UriPath"].is_object();
    let path = matched["SearchString"].as_str().filter(|_| begins)?;
    Some(Some(searched(path)))
}

/// A search string: bytes, which JSON holds in base64 (AWS WAFV2 API, "ByteMatchStatement"). One that was described by hand as
/// the path that it is begins with a slash, and no path does in base64.
fn searched(text: &str) -> String {
    if text.starts_with('/') {
        return text.to_owned();
    }
    decoded(text).unwrap_or_else(|| text.to_owned())
}

/// Base64 with the standard alphabet (RFC 4648, section 4), of a text.
fn decoded(text: &str) -> Option<String> {
    let sextet = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        held = (held << 6) | u32::from(sextet(letter)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty()).then_some(text)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
