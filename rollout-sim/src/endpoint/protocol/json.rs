//! awsJson1.0 and awsJson1.1 (Smithy, "AWS JSON 1.1 protocol"): a POST whose header `X-Amz-Target` names the operation.

use aws_smithy_types::base64;
use serde_json::{Map, Number, Value};

use crate::endpoint::document::Document;
use crate::endpoint::input::Unreadable;
use crate::endpoint::refusal::Refusal;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1_0,
    V1_1,
}

impl Version {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::V1_0 => "application/x-amz-json-1.0",
            Self::V1_1 => "application/x-amz-json-1.1",
        }
    }
}

pub(crate) fn read(body: &[u8]) -> Result<Document, Unreadable> {
    if body.is_empty() {
        return Ok(Document::map());
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| Unreadable(e.to_string()))?;
    match value {
        Value::Object(_) => Ok(Document::from(value)),
        _ => Err(Unreadable("the body is no JSON object".to_owned())),
    }
}

pub(crate) fn write(output: &Document) -> Vec<u8> {
    value(output).to_string().into_bytes()
}

pub(crate) fn refusal(refusal: &Refusal) -> Vec<u8> {
    write(&super::typed(refusal))
}

fn value(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(v) => Value::Bool(*v),
        Document::Int(v) => Value::from(*v),
        Document::Float(v) => Number::from_f64(*v).map_or(Value::Null, Value::Number),
        Document::Text(v) => Value::String(v.clone()),
        Document::Blob(v) => Value::String(base64::encode(v)),
        // Seconds with three decimals: exact in a double until the year 10000.
        Document::Time(v) => {
            let millis = i64::try_from(v.as_millis()).unwrap_or(i64::MAX);
            if millis % 1_000 == 0 {
                return Value::from(millis / 1_000);
            }
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of this age fit into 53 bits"
            )]
            Value::from(millis as f64 / 1_000.0)
        }
        Document::List(list) => Value::Array(list.items.iter().map(value).collect()),
        Document::Map(members) => Value::Object(
            members
                .iter()
                .map(|(name, member)| (name.clone(), value(member)))
                .collect::<Map<_, _>>(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use rollout_core::time::Timestamp;

    use super::*;
    use crate::endpoint::document::map;

    #[test]
    fn an_answer_has_seconds_and_base64() {
        let at = Timestamp::from_millis(1_767_225_600_123);
        let output = map! {
            "createdAt": at, "whole": Timestamp::from_millis(2_000), "blob": Document::Blob(b"ab".to_vec()),
            "failures": Document::list(Vec::<Document>::new()), "none": None::<bool>,
            "service": map! { "desiredCount": 3_u32, "ok": true },
        };
        let written: Value = serde_json::from_slice(&write(&output)).expect("JSON");
        let wanted = serde_json::json!({
            "createdAt": 1_767_225_600.123, "whole": 2, "blob": "YWI=", "failures": [],
            "service": { "desiredCount": 3, "ok": true },
        });
        assert_eq!(written, wanted);
    }

    #[test]
    fn a_refusal_has_a_type_and_a_message() {
        let refused = Refusal::client("ClusterNotFoundException", "Cluster not found.")
            .member("resourceIds", Document::list(["a"]));
        let written: Value = serde_json::from_slice(&refusal(&refused)).expect("JSON");
        let wanted = serde_json::json!({
            "__type": "ClusterNotFoundException", "message": "Cluster not found.", "resourceIds": ["a"],
        });
        assert_eq!(written, wanted);
    }

    #[test]
    fn only_an_object_is_a_body() {
        assert_eq!(read(b""), Ok(Document::map()));
        assert_eq!(
            read(br#"{"a":[1,null]}"#).map(|d| d.member("a").is_some()),
            Ok(true)
        );
        assert!(read(b"[]").is_err());
        assert!(read(b"{").is_err());
    }
}
