//! What looks like a secret in a plan.
//!
//! A plan carries the team's own task definitions, and with them the environment variables that they give their containers in
//! clear. Those stand in the team's repository already; a plan goes further, into journals, and as a document into the logs and
//! artefacts of a pipeline.

use serde_json::{Map, Value};

/// Ends of a variable's name that name a secret. `_KEY` alone is none: a public key or a sort key is one, too.
const NAMES: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "SECRET_KEY",
    "ACCESS_KEY",
    "CREDENTIALS",
    "CONNECTION_STRING",
];

/// The place of the first thing that looks like a secret.
pub(super) fn find(all: &Map<String, Value>) -> Option<String> {
    all.iter().find_map(|(name, value)| within(name, value))
}

/// The place of the first thing in a value that looks like a secret.
pub(super) fn within(place: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => is_key(text).then(|| place.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| within(&format!("{place}[{}]", named(item, index)), item)),
        Value::Object(members) => variable(place, members).or_else(|| {
            members
                .iter()
                .find_map(|(name, value)| within(&format!("{place}.{name}"), value))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// What an item of a list is known by.
fn named(item: &Value, index: usize) -> String {
    let name = item.get("name").and_then(Value::as_str);
    name.map_or_else(|| index.to_string(), ToOwned::to_owned)
}

/// A variable with a value in clear: `{ "name": "DB_PASSWORD", "value": "…" }` (Amazon ECS API, "KeyValuePair").
fn variable(place: &str, members: &Map<String, Value>) -> Option<String> {
    let name = members.get("name").and_then(Value::as_str)?;
    let value = members.get("value").and_then(Value::as_str)?;
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    (!value.is_empty() && NAMES.iter().any(|end| upper.ends_with(end))).then(|| place.to_owned())
}

/// Values that are secrets by their form, wherever they stand.
fn is_key(text: &str) -> bool {
    text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----")
        || is_access_key(text)
        || has_password(text)
}

/// The id of an access key (AWS IAM user guide, "IAM identifiers", unique ID prefixes). Where the id stands in clear, the
/// secret is not far.
fn is_access_key(text: &str) -> bool {
    let word = |word: &str| {
        word.len() == 20
            && (word.starts_with("AKIA") || word.starts_with("ASIA"))
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(word)
}

/// A URL with a password: `postgres://user:password@host/`.
fn has_password(text: &str) -> bool {
    let password = |after: &str| {
        let authority = after.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .and_then(|(user, _)| user.split_once(':'))
            .is_some_and(|(_, password)| !password.is_empty())
    };
    text.split("://").skip(1).any(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: Value) -> Option<String> {
        within("plan", &value)
    }

    #[test]
    fn a_variable_that_is_named_like_a_secret_is_found_by_its_place() {
        let with = |name: &str, value: &str| {
            let variable = serde_json::json!({ "name": name, "value": value });
            serde_json::json!({ "containerDefinitions": [{ "name": "app", "environment": [variable] }] })
        };
        assert_eq!(
            found(with("DB_PASSWORD", "x")).as_deref(),
            Some("plan.containerDefinitions[app].environment[DB_PASSWORD]")
        );
        for name in [
            "github.token",
            "stripe-api-key",
            "AWS_SECRET_ACCESS_KEY",
            "SECRET",
        ] {
            assert!(found(with(name, "x")).is_some(), "{name}");
            assert!(found(with(name, "")).is_none(), "{name} has no value");
        }
        for name in ["TOKEN_TTL", "PUBLIC_KEY", "PASSWORD_MIN_LENGTH", "LOG_LEVEL"] {
            assert!(found(with(name, "x")).is_none(), "{name}");
        }
    }

    #[test]
    fn what_is_named_under_secrets_is_no_secret() {
        let arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:db-AbCdEf";
        let secrets = serde_json::json!({ "secrets": [{ "name": "DB_PASSWORD", "valueFrom": arn }] });
        assert_eq!(found(secrets), None);
    }

    #[test]
    fn a_secret_is_known_by_its_form_too() {
        for text in [
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
            "id AKIAIOSFODNN7EXAMPLE",
            "postgres://shop:hunter2@db.internal/shop",
            "https://a/ https://u:p@b/",
        ] {
            assert!(is_key(text), "{text}");
        }
        for text in [
            "-----BEGIN PUBLIC KEY-----",
            "AKIA",
            "AKIAIOSFODNN7EXAMPLEANDMORE",
            "https://shop.example.com:8443/health?at=a@b:c",
            "postgres://shop@db.internal/shop",
            "arn:aws:sts::111122223333:assumed-role/deploy/ci@x:y",
        ] {
            assert!(!is_key(text), "{text}");
        }
    }
}
