//! Facts as JSON, and where they differ.

use serde_json::{Map, Value};

/// Takes the requests' ids out of what AWS said: in our words, and in those of S3.
pub(super) fn nameless(value: &mut Value) {
    match value {
        Value::String(text) => {
            for before in [" (request id ", "<RequestId>"] {
                if let Some((said, _)) = text.split_once(before) {
                    *text = said.to_owned();
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(nameless),
        Value::Object(all) => all.values_mut().for_each(nameless),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where `seen` is not what is wanted. What is not wanted may be anything; `"any"` is anything but null, and null is nothing.
fn differences(at: &str, wanted: &Value, seen: Option<&Value>, found: &mut Vec<String>) {
    match (wanted, seen) {
        (Value::Object(wanted), Some(Value::Object(seen))) => {
            for (key, value) in wanted {
                differences(&format!("{at}/{key}"), value, seen.get(key), found);
            }
        }
        (Value::Array(wanted), Some(Value::Array(seen))) if wanted.len() == seen.len() => {
            for (index, (wanted, seen)) in wanted.iter().zip(seen).enumerate() {
                differences(&format!("{at}/{index}"), wanted, Some(seen), found);
            }
        }
        (Value::Null, None | Some(Value::Null)) => {}
        (Value::String(any), Some(seen)) if any == "any" && !seen.is_null() => {}
        (wanted, Some(seen)) if wanted == seen => {}
        (wanted, seen) => found.push(format!("{at}: wanted {wanted}, seen {seen:?}")),
    }
}

pub(super) fn compare(wanted: &Value, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differences("", wanted, Some(seen), &mut found);
    found
}

/// The facts without what a fault says of them. What came with it, or went, is without anything that could have changed beside.
pub(super) fn rest(facts: &Value, said: &Value, other: &Value) -> Value {
    let (Value::Object(facts), Value::Object(said)) = (facts, said) else {
        return Value::Null;
    };
    let kept = facts.iter().filter_map(|(key, value)| {
        let kept = match (said.get(key), other.get(key)) {
            (None, _) => value.clone(),
            (Some(_), None | Some(Value::Null)) => Value::Null,
            (Some(said), Some(other)) => rest(value, said, other),
        };
        Some((key.clone(), kept)).filter(|(_, kept)| !kept.is_null())
    });
    Value::Object(kept.collect::<Map<_, _>>())
}
