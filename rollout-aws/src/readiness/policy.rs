//! Policies of IAM, as JSON, to the facts about them.

use std::collections::BTreeMap;

use rollout_core::readiness::fact::identity::{Statement, Trust};
use serde::Deserialize;
use serde_json::Value;

/// Undoes the URL encoding that IAM hands documents out in (AWS IAM API, "GetRole"; RFC 3986).
pub(super) fn decoded(document: &str) -> String {
    let mut bytes = Vec::with_capacity(document.len());
    let mut rest = document.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let code = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// One, or several: policies write a list of one without brackets.
#[derive(Deserialize)]
#[serde(untagged)]
enum Several<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Several<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    statement: Several<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    effect: String,
    principal: Option<Value>,
    not_principal: Option<Value>,
    action: Option<Several<String>>,
    not_action: Option<Several<String>>,
    resource: Option<Several<String>>,
    not_resource: Option<Several<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Who may take a role, by its trust policy.
pub(super) fn trust(document: &str) -> serde_json::Result<Vec<Trust>> {
    let document: Document = serde_json::from_str(document)?;
    let allowing = document
        .statement
        .list()
        .into_iter()
        .filter(|one| one.effect == "Allow");
    Ok(allowing.map(allowed_by).collect())
}

fn allowed_by(statement: Written) -> Trust {
    let principals = match (&statement.principal, &statement.not_principal) {
        // Everybody but those it names.
        (_, Some(_)) => vec!["*".to_owned()],
        (Some(Value::Object(kinds)), None) => kinds.values().flat_map(texts).collect(),
        (Some(other), None) => texts(other),
        (None, None) => Vec::new(),
    };
    let mut conditions = BTreeMap::new();
    for (operator, keys) in statement.condition {
        for (key, values) in keys {
            conditions.insert(format!("{operator} {key}"), texts(&values));
        }
    }
    Trust {
        principals,
        conditions,
    }
}

/// A value or a list of them; booleans and numbers are written without quotation marks at times.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        other => vec![other.to_string()],
    }
}

/// What a policy says, so that it never looks narrower than it is: what allows "all but" allows all here, and what denies
/// "all but", or only under conditions, is left out.
pub(super) fn statements(document: &str) -> serde_json::Result<Vec<Statement>> {
    let document: Document = serde_json::from_str(document)?;
    Ok(document
        .statement
        .list()
        .into_iter()
        .filter_map(statement)
        .collect())
}

fn statement(statement: Written) -> Option<Statement> {
    let allows = statement.effect == "Allow";
    let open = statement.not_action.is_some() || statement.not_resource.is_some();
    if !allows && (open || !statement.condition.is_empty()) {
        return None;
    }
    let everything = || vec!["*".to_owned()];
    let named = |these: Option<Several<String>>| these.map_or_else(everything, Several::list);
    Some(Statement {
        allows,
        actions: named(statement.action),
        resources: named(statement.resource),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_decoded() {
        assert_eq!(decoded("%7B%22a%22%3A%22b%20c%22%7D"), r#"{"a":"b c"}"#);
        assert_eq!(decoded(r#"{"a":"100%"}"#), r#"{"a":"100%"}"#);
        assert_eq!(decoded("%C3%A9%4"), "é%4");
    }

    #[test]
    fn a_trust_policy_is_read() {
        let document = r#"{"Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::1:oidc-provider/x"},
            "Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"x:aud":"sts.amazonaws.com","x:sub":["a","b"]},
            "Bool":{"aws:SecureTransport":true}}}}"#;
        let all = trust(document).expect("a policy");
        let one = all.first().expect("one statement");
        assert_eq!(one.principals, ["arn:aws:iam::1:oidc-provider/x"]);
        assert_eq!(one.conditions.get("StringEquals x:sub").map(Vec::len), Some(2));
        assert_eq!(
            one.conditions.get("Bool aws:SecureTransport"),
            Some(&vec!["true".to_owned()])
        );
        let anybody =
            trust(r#"{"Statement":[{"Effect":"Allow","Principal":"*"},{"Effect":"Deny","Principal":"*"}]}"#);
        assert_eq!(anybody.expect("a policy").len(), 1);
    }

    #[test]
    fn a_policy_never_looks_narrower_than_it_is() {
        let all = statements(
            r#"{"Statement":[
            {"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::a/*"},
            {"Effect":"Allow","NotAction":"iam:*","Resource":"*"},
            {"Effect":"Deny","NotAction":"s3:*","Resource":"*"},
            {"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
            {"Effect":"Deny","Action":["s3:DeleteObject"],"Resource":["arn:aws:s3:::a/*"]}]}"#,
        )
        .expect("a policy");
        let said: Vec<_> = all
            .iter()
            .map(|one| (one.allows, one.actions.join(" ")))
            .collect();
        let wanted = [(true, "s3:GetObject"), (true, "*"), (false, "s3:DeleteObject")];
        assert_eq!(said, wanted.map(|(allows, actions)| (allows, actions.to_owned())));
        assert!(statements("{}").is_err());
    }
}
