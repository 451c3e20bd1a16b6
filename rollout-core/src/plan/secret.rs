//! What looks like a secret in a plan.
//!
//! A plan carries the team's own task definitions, and with them the environment variables that they give their containers in
//! clear. Those stand in the team's repository already; a plan goes further, into journals, and as a document into the logs and
//! artefacts of a pipeline.
//!
//! A review of what runs already goes further than a plan's refusal ([`suspicion`]): it also takes a value for a secret that looks as
//! if it had been drawn at random.

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
    (!value.is_empty() && is_named_like_one(name)).then(|| place.to_owned())
}

fn is_named_like_one(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace(['-', '.'], "_");
    NAMES.iter().any(|end| upper.ends_with(end))
}

/// Why a variable with this value looks like a secret, if it does. The answer holds nothing of the value.
pub(crate) fn suspicion(name: &str, value: &str) -> Option<&'static str> {
    if value.is_empty() || is_reference(value) {
        None
    } else if is_key(value) {
        Some("its value has the form of a key or holds a password")
    } else if is_named_like_one(name) && !matches!(value, "true" | "false") {
        Some("its name is one of a secret")
    } else if !is_named_like_a_digest(name) && words(value).any(has_random_part) {
        Some("its value looks drawn at random")
    } else {
        None
    }
}

/// The name of something in AWS: of a secret, say, which is none.
fn is_reference(value: &str) -> bool {
    value.starts_with("arn:") && !value.contains(char::is_whitespace)
}

/// Ends of names whose values look random, and are not secret: contents and commits.
const DIGESTS: [&str; 8] = [
    "SHA", "SHA256", "DIGEST", "COMMIT", "REVISION", "CHECKSUM", "IMAGE", "VERSION",
];

fn is_named_like_a_digest(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    DIGESTS.iter().any(|end| upper.ends_with(end))
}

/// What of a value could have been drawn at random: all of it where it has the letters of Base64 only; otherwise each word of them.
fn words(value: &str) -> impl Iterator<Item = &str> {
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let whole = value.chars().all(of_base64) && !value.starts_with('/');
    let parts = value.split(|c: char| !(c.is_ascii_alphanumeric() || "+=_-".contains(c)));
    whole
        .then_some(value)
        .into_iter()
        .chain(parts.filter(move |_| !whole))
}

/// The fewest characters that random ones can be told by: 20 of Base64 are 120 bits.
const LETTERS: usize = 20;
/// The fewest characters that random digits in hexadecimal can be told by: 128 bits.
const HEX: usize = 32;

/// With dashes it may be a name of several parts: that takes more letters to tell, but one of its parts may be random alone.
fn has_random_part(word: &str) -> bool {
    let parts = word.contains(['-', '_']);
    if parts {
        !is_uuid(word)
            && (is_random(word, HEX, 4.2) || word.split(['-', '_']).any(|part| is_random(part, LETTERS, 3.7)))
    } else {
        is_random(word, LETTERS, 3.7)
    }
}

/// Whether a word looks drawn at random. Words of a language repeat their letters, and hardly mix three kinds of them; digits in
/// hexadecimal that are random come close to their 4 bits each. The form of a UUID is one of names, not of secrets.
fn is_random(word: &str, letters: usize, bits: f64) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|b| kind(&b));
    let digits = has(u8::is_ascii_digit);
    let hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    if hex {
        return word.len() >= HEX && digits && has(u8::is_ascii_alphabetic) && entropy(word) >= 3.0;
    }
    let mixed = digits && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    word.len() >= letters && mixed && entropy(word) >= bits
}

fn is_uuid(word: &str) -> bool {
    let lengths = word.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// The entropy of a text's letters, in bits for each (Shannon): how many its own frequencies say that one more would tell.
fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<u8, u32>::new();
    let mut all = 0_u32;
    for byte in text.bytes() {
        let count = counts.entry(byte).or_default();
        *count = count.saturating_add(1);
        all = all.saturating_add(1);
    }
    let share = |count: &u32| f64::from(*count) / f64::from(all);
    counts.values().map(share).map(|p| -p * p.log2()).sum()
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
    fn a_secret_is_suspected_by_name_by_form_and_by_chance() {
        for (name, value) in [
            ("DB_PASSWORD", "hunter2"),
            ("DATABASE_URL", "postgres://shop:hunter2@db.internal/shop"),
            ("SIGNING", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            ("CI", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
            ("SALT", "9f86d081884c7d659a2feaa0c55ad015"),
            (
                "HOOK",
                "https://hooks.example.com/services/T00/B00/x7Kd92LmQ0aZr4Vt8WbYc1Ne",
            ),
            (
                "SESSION",
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
            ),
        ] {
            assert!(suspicion(name, value).is_some(), "{name}={value}");
        }
    }

    #[test]
    fn what_only_looks_long_is_not_suspected() {
        for (name, value) in [
            ("DB_PASSWORD", ""),
            ("REQUIRE_TOKEN", "true"),
            (
                "DB_SECRET",
                "arn:aws:secretsmanager:eu-central-1:111122223333:secret:production/db-AbCdEf",
            ),
            ("GIT_COMMIT", "9f86d081884c7d659a2feaa0c55ad0150123abcd"),
            ("POOL", "123e4567-e89b-12d3-a456-426614174000"),
            ("POOL_ID", "eu-central-1_AbCdEf123"),
            ("LOG_LEVEL", "info,hyper=warn,rollout_core=debug"),
            (
                "JAVA_OPTS",
                "-Xmx512m -XX:MaxRAMPercentage=75.0 -Dfile.encoding=UTF-8",
            ),
            ("ORIGIN", "https://shop.example.com/checkout/steps?lang=en"),
            ("NODE_OPTIONS", "--max-old-space-size=4096"),
            ("NUMBER", "12345678901234567890123456789012"),
            ("TOPIC", "storefront-production-orders-v2"),
            ("FILE", "/opt/Shop2/Config/ApplicationSettings.json"),
            (
                "QUEUE",
                "https://sqs.eu-central-1.amazonaws.com/222222222222/storefront-orders",
            ),
            ("BALANCER", "app/storefront/50dc6c495c0c9188"),
        ] {
            assert_eq!(suspicion(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn entropy_is_in_bits_for_each_letter() {
        for (text, bits) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcdefgh", 3.0)] {
            assert!((entropy(text) - bits).abs() < 1e-9, "{text}: {}", entropy(text));
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
