//! Parameter Store on the wire.

use serde_json::{Value, json};

use super::{endpoint, json_call};
use crate::endpoint::Endpoint;

const CANARY: &str = "hunter2-canary";

fn call_in(endpoint: &Endpoint, region: &str, operation: &str, body: &Value) -> (u16, Value) {
    let of = ("444455556666", region, "ssm");
    json_call(endpoint, of, &format!("AmazonSSM.{operation}"), body)
}

fn good(endpoint: &Endpoint, operation: &str, body: &Value) -> Value {
    let (status, answer) = call_in(endpoint, "eu-central-1", operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

fn refused(endpoint: &Endpoint, operation: &str, body: &Value) -> String {
    let (status, answer) = call_in(endpoint, "eu-central-1", operation, body);
    assert!(status >= 400, "{operation}: {answer}");
    assert!(!answer.to_string().contains(CANARY), "a value shows: {answer}");
    answer["__type"].as_str().unwrap_or_default().to_owned()
}

fn put(endpoint: &Endpoint, name: &str, kind: &str) -> Value {
    let body = json!({ "Name": name, "Value": CANARY, "Type": kind });
    good(endpoint, "PutParameter", &body)
}

fn names(answer: &Value) -> Vec<&str> {
    let all = answer["Parameters"].as_array().expect("a list").iter();
    all.filter_map(|parameter| parameter["Name"].as_str()).collect()
}

#[test]
fn a_parameter_is_put_described_and_read() {
    let endpoint = endpoint();
    let put = put(&endpoint, "/shop/db", "SecureString");
    assert_eq!(put, json!({ "Version": 1, "Tier": "Standard" }));
    let arn = "arn:aws:ssm:eu-central-1:444455556666:parameter/shop/db";
    let read = json!({ "Name": arn, "WithDecryption": true });
    let read = good(&endpoint, "GetParameter", &read);
    let changed = read["Parameter"]["LastModifiedDate"].clone();
    assert_eq!(
        read["Parameter"],
        json!({
            "Name": "/shop/db", "Type": "SecureString", "Value": CANARY, "Version": 1, "LastModifiedDate": changed, "ARN": arn,
            "DataType": "text",
        })
    );
    let sealed = good(&endpoint, "GetParameter", &json!({ "Name": "/shop/db:1" }));
    assert_ne!(
        sealed["Parameter"]["Value"], CANARY,
        "nobody asked for it to be decrypted"
    );
    assert_eq!(sealed["Parameter"]["Selector"], ":1");
    let described = good(&endpoint, "DescribeParameters", &json!({}));
    assert_eq!(
        described["Parameters"],
        json!([{
            "Name": "/shop/db", "ARN": arn, "Type": "SecureString", "LastModifiedDate": changed, "Version": 1,
            "Tier": "Standard", "DataType": "text",
        }])
    );
    // Another region has its own, and calls that change nothing say so.
    let (status, other) = call_in(
        &endpoint,
        "eu-west-1",
        "GetParameter",
        &json!({ "Name": "/shop/db" }),
    );
    assert_eq!((status, &other["__type"]), (400, &json!("ParameterNotFound")));
    let changed: Vec<bool> = endpoint.calls().iter().map(|call| call.changed).collect();
    assert_eq!(changed, [true, false, false, false, false]);
}

#[test]
fn several_are_read_together_and_what_is_not_there_is_named() {
    let endpoint = endpoint();
    put(&endpoint, "a", "String");
    let asked = json!({ "Names": ["a", "b", "a:9"] });
    let answer = good(&endpoint, "GetParameters", &asked);
    assert_eq!(names(&answer), ["a"]);
    assert_eq!(answer["Parameters"][0]["Value"], CANARY, "nothing is encrypted");
    assert_eq!(answer["InvalidParameters"], json!(["b", "a:9"]));
    good(&endpoint, "DeleteParameter", &json!({ "Name": "a" }));
    assert_eq!(
        refused(&endpoint, "DeleteParameter", &json!({ "Name": "a" })),
        "ParameterNotFound"
    );
}

#[test]
fn parameters_are_listed_in_pages_and_filtered() {
    let endpoint = endpoint();
    for name in ["/shop/a", "/shop/b", "flag"] {
        put(
            &endpoint,
            name,
            if name == "flag" { "String" } else { "SecureString" },
        );
    }
    let listed = |filter: Value| {
        let answer = good(
            &endpoint,
            "DescribeParameters",
            &json!({ "ParameterFilters": [filter] }),
        );
        names(&answer).join(" ")
    };
    for (filter, wanted) in [
        (
            json!({ "Key": "Name", "Values": ["flag", "/shop/b", "x"] }),
            "/shop/b flag",
        ),
        (
            json!({ "Key": "Name", "Option": "BeginsWith", "Values": ["/shop"] }),
            "/shop/a /shop/b",
        ),
        (
            json!({ "Key": "Name", "Option": "Contains", "Values": ["a"] }),
            "/shop/a flag",
        ),
        (
            json!({ "Key": "Type", "Option": "Equals", "Values": ["String"] }),
            "flag",
        ),
    ] {
        assert_eq!(listed(filter.clone()), wanted, "{filter}");
    }
    let first = good(&endpoint, "DescribeParameters", &json!({ "MaxResults": 2 }));
    assert_eq!(names(&first), ["/shop/a", "/shop/b"]);
    let more = json!({ "MaxResults": 2, "NextToken": first["NextToken"] });
    let last = good(&endpoint, "DescribeParameters", &more);
    assert_eq!((names(&last), &last["NextToken"]), (vec!["flag"], &Value::Null));
    let shared = good(&endpoint, "DescribeParameters", &json!({ "Shared": true }));
    assert!(names(&shared).is_empty());
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let endpoint = endpoint();
    // What is asked is judged before what is there.
    let filters = |filter: Value| json!({ "ParameterFilters": [filter] });
    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    for (filter, code) in [
        (json!({ "Key": "Name", "Values": many }), "ValidationException"),
        (json!({ "Key": "Name", "Values": [] }), "ValidationException"),
        (
            json!({ "Key": "Name", "Option": "OneLevel", "Values": ["x"] }),
            "InvalidFilterOption",
        ),
        (json!({ "Key": "Label", "Values": ["x"] }), "InvalidFilterKey"),
    ] {
        assert_eq!(refused(&endpoint, "DescribeParameters", &filters(filter)), code);
    }
    put(&endpoint, "a", "String");
    let with = |more: Value| {
        let mut body = json!({ "Name": "a", "Value": CANARY });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    for (operation, body, code) in [
        (
            "PutParameter",
            with(json!({ "Type": "String" })),
            "ParameterAlreadyExists",
        ),
        (
            "PutParameter",
            with(json!({ "Overwrite": true, "Type": "StringList" })),
            "HierarchyTypeMismatchException",
        ),
        (
            "PutParameter",
            with(json!({ "Overwrite": true, "Type": "Text" })),
            "ValidationException",
        ),
        (
            "PutParameter",
            with(json!({ "Tags": [{ "Key": "a", "Value": "b" }] })),
            "UnknownOperationException",
        ),
        (
            "PutParameter",
            with(json!({ "Tier": "Advanced" })),
            "UnknownOperationException",
        ),
        (
            "PutParameter",
            json!({ "Name": "b", "Type": "String", "Value": "" }),
            "ValidationException",
        ),
        (
            "GetParameter",
            json!({ "Name": "a:2" }),
            "ParameterVersionNotFound",
        ),
        ("GetParameters", json!({ "Names": [] }), "ValidationException"),
        (
            "DescribeParameters",
            json!({ "MaxResults": 51 }),
            "ValidationException",
        ),
        (
            "DescribeParameters",
            json!({ "NextToken": "x" }),
            "InvalidNextToken",
        ),
        (
            "DescribeParameters",
            json!({ "ParameterFilters": [{ "Key": "Label", "Values": ["x"] }] }),
            "InvalidFilterKey",
        ),
        (
            "DescribeParameters",
            json!({ "ParameterFilters": [{ "Key": "Type", "Option": "Contains", "Values": ["x"] }] }),
            "InvalidFilterOption",
        ),
    ] {
        assert_eq!(refused(&endpoint, operation, &body), code, "{operation} {body}");
    }
    let (_, answer) = call_in(
        &endpoint,
        "eu-central-1",
        "PutParameter",
        &json!({ "Name": "b", "Value": { "x": CANARY } }),
    );
    assert!(!answer.to_string().contains(CANARY), "{answer}");
}
