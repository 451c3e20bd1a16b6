//! Secrets Manager on the wire.

use core::time::Duration;

use serde_json::{Value, json};

use super::{endpoint, json_call};
use crate::endpoint::Endpoint;

const CANARY: &str = "hunter2-canary";
const TOKEN: &str = "00000000-0000-4000-8000-000000000001";

fn call_in(endpoint: &Endpoint, region: &str, operation: &str, body: &Value) -> (u16, Value) {
    let of = ("444455556666", region, "secretsmanager");
    json_call(endpoint, of, &format!("secretsmanager.{operation}"), body)
}

fn call(endpoint: &Endpoint, operation: &str, body: &Value) -> (u16, Value) {
    call_in(endpoint, "eu-central-1", operation, body)
}

fn good(endpoint: &Endpoint, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(endpoint, operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

fn refused(endpoint: &Endpoint, operation: &str, body: &Value) -> (String, String) {
    let (status, answer) = call(endpoint, operation, body);
    assert_eq!(status, 400, "{operation}: {answer}");
    let member = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (member("__type"), member("message"))
}

fn create(endpoint: &Endpoint) -> Value {
    let body = json!({
        "Name": "shop/db", "ClientRequestToken": TOKEN, "SecretString": CANARY, "Description": "the database",
        "Tags": [{ "Key": "team", "Value": "shop" }],
    });
    good(endpoint, "CreateSecret", &body)
}

#[test]
fn a_secret_is_made_described_and_read() {
    let endpoint = endpoint();
    let made = create(&endpoint);
    assert_eq!(create(&endpoint), made, "the same token, the same secret");
    assert_eq!(made["VersionId"], TOKEN);
    let arn = made["ARN"].as_str().expect("an ARN");
    assert_eq!(
        arn.len(),
        "arn:aws:secretsmanager:eu-central-1:444455556666:secret:shop/db-AbCdEf".len()
    );
    let id = json!({ "SecretId": &arn[..arn.len() - 7] });
    let described = good(&endpoint, "DescribeSecret", &id);
    let now = described["CreatedDate"].clone();
    let wanted = json!({
        "ARN": arn, "Name": "shop/db", "Description": "the database", "CreatedDate": now, "LastChangedDate": now,
        "Tags": [{ "Key": "team", "Value": "shop" }], "VersionIdsToStages": { TOKEN: ["AWSCURRENT"] },
    });
    assert_eq!(described, wanted, "never read, not deleted");
    let read = good(&endpoint, "GetSecretValue", &id);
    let wanted = json!({
        "ARN": arn, "Name": "shop/db", "VersionId": TOKEN, "SecretString": CANARY, "VersionStages": ["AWSCURRENT"],
        "CreatedDate": now,
    });
    assert_eq!(read, wanted);
    let described = good(&endpoint, "DescribeSecret", &id);
    assert_eq!(
        described["LastAccessedDate"].as_u64().map(|at| at % 86_400),
        Some(0),
        "a day"
    );
    // Another region has its own.
    let (status, other) = call_in(&endpoint, "eu-west-1", "DescribeSecret", &id);
    assert_eq!(
        (status, &other["__type"]),
        (400, &json!("ResourceNotFoundException"))
    );
    let changed: Vec<bool> = endpoint.calls().iter().map(|c| c.changed).collect();
    assert_eq!(changed, [true, false, false, false, false, false]);
    assert!(
        !format!("{endpoint:?} {:?}", endpoint.calls()).contains(CANARY),
        "the value shows"
    );
}

#[test]
fn a_new_version_takes_the_label() {
    let endpoint = endpoint();
    create(&endpoint);
    let id = |more: Value| {
        let mut body = json!({ "SecretId": "shop/db" });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let put = good(
        &endpoint,
        "PutSecretValue",
        &id(json!({ "SecretBinary": "AAEC" })),
    );
    assert_eq!(put["VersionStages"], json!(["AWSCURRENT"]));
    let read = |more: Value| good(&endpoint, "GetSecretValue", &id(more));
    assert_eq!(read(json!({}))["SecretBinary"], "AAEC");
    assert_eq!(
        read(json!({ "VersionStage": "AWSPREVIOUS" }))["SecretString"],
        CANARY
    );
    assert_eq!(
        read(json!({ "VersionId": put["VersionId"] }))["SecretBinary"],
        "AAEC"
    );
    let no = |operation: &str, more: Value| refused(&endpoint, operation, &id(more)).0;
    let (missing, request) = ("ResourceNotFoundException", "InvalidRequestException");
    assert_eq!(no("GetSecretValue", json!({ "VersionStage": "x" })), missing);
    assert_eq!(no("GetSecretValue", json!({ "VersionId": "x" })), missing);
    assert_eq!(
        no(
            "GetSecretValue",
            json!({ "VersionId": TOKEN, "VersionStage": "AWSCURRENT" })
        ),
        request
    );
    assert_eq!(no("PutSecretValue", json!({})), request);
    let both = json!({ "SecretString": "a", "SecretBinary": "AAEC" });
    assert_eq!(no("PutSecretValue", both), "InvalidParameterException");
    let used = json!({ "SecretString": "another", "ClientRequestToken": TOKEN });
    assert_eq!(no("PutSecretValue", used), "ResourceExistsException");
    // What cannot be read as a value is not quoted.
    for (given, part) in [
        (json!({ "SecretString": 73_577_357 }), "7357"),
        (json!({ "SecretString": { "password": CANARY } }), CANARY),
        (json!({ "SecretBinary": "?hunter2" }), "hunter2"),
    ] {
        let (code, message) = refused(&endpoint, "PutSecretValue", &id(given));
        assert_eq!(code, "SerializationException");
        assert!(!message.contains(part), "{message}");
    }
}

#[test]
fn what_is_deleted_can_be_restored() {
    let endpoint = endpoint();
    create(&endpoint);
    let id = json!({ "SecretId": "shop/db" });
    let asked = endpoint.cloud().with(|w| w.now()).as_millis() / 1_000;
    let window = json!({ "SecretId": "shop/db", "RecoveryWindowInDays": 7 });
    let deleted = good(&endpoint, "DeleteSecret", &window);
    assert_eq!(deleted["DeletionDate"], json!(asked + 7 * 86_400));
    let text = "You can't perform this operation on the secret because it was marked for deletion.";
    for operation in ["GetSecretValue", "DeleteSecret"] {
        let no = refused(&endpoint, operation, &id);
        assert_eq!(
            no,
            ("InvalidRequestException".to_owned(), text.to_owned()),
            "{operation}"
        );
    }
    let no = refused(
        &endpoint,
        "CreateSecret",
        &json!({ "Name": "shop/db", "SecretString": "x" }),
    );
    assert_eq!(no.0, "InvalidRequestException");
    assert_eq!(
        good(&endpoint, "DescribeSecret", &id)["DeletedDate"],
        deleted["DeletionDate"]
    );
    assert_eq!(
        good(&endpoint, "ListSecrets", &json!({}))["SecretList"],
        json!([])
    );
    let planned = good(
        &endpoint,
        "ListSecrets",
        &json!({ "IncludePlannedDeletion": true }),
    );
    assert_eq!(planned["SecretList"][0]["DeletedDate"], json!(asked));
    assert_eq!(good(&endpoint, "RestoreSecret", &id)["Name"], "shop/db");
    assert_eq!(good(&endpoint, "GetSecretValue", &id)["SecretString"], CANARY);
    // For good, and again: neither is an error.
    let force = json!({ "SecretId": "shop/db", "ForceDeleteWithoutRecovery": true });
    good(&endpoint, "DeleteSecret", &force);
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(60)));
    assert_eq!(
        refused(&endpoint, "RestoreSecret", &id).0,
        "ResourceNotFoundException"
    );
    assert_eq!(
        refused(&endpoint, "DeleteSecret", &id).0,
        "ResourceNotFoundException"
    );
    assert_eq!(good(&endpoint, "DeleteSecret", &force)["Name"], "shop/db");
    assert_eq!(endpoint.calls().last().map(|c| c.changed), Some(false));
    let both = json!({ "SecretId": "x", "ForceDeleteWithoutRecovery": true, "RecoveryWindowInDays": 7 });
    assert_eq!(
        refused(&endpoint, "DeleteSecret", &both).0,
        "InvalidParameterException"
    );
    let short = json!({ "SecretId": "x", "RecoveryWindowInDays": 1 });
    assert_eq!(
        refused(&endpoint, "DeleteSecret", &short).0,
        "InvalidParameterException"
    );
}

#[test]
fn secrets_are_listed_in_pages_and_filtered() {
    let endpoint = endpoint();
    for n in 0..5 {
        let body =
            json!({ "Name": format!("app/{n}"), "SecretString": "x", "Description": format!("Number {n}") });
        good(&endpoint, "CreateSecret", &body);
    }
    create(&endpoint);
    let names = |answer: &Value| -> Vec<String> {
        let list = answer["SecretList"].as_array().expect("a list");
        list.iter()
            .map(|s| s["Name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let (mut seen, mut body) = (
        Vec::new(),
        json!({ "MaxResults": 4, "SortBy": "name", "SortOrder": "desc" }),
    );
    loop {
        let page = good(&endpoint, "ListSecrets", &body);
        seen.extend(names(&page));
        if page["NextToken"].is_null() {
            break;
        }
        body["NextToken"] = page["NextToken"].clone();
    }
    assert_eq!(seen, ["shop/db", "app/4", "app/3", "app/2", "app/1", "app/0"]);
    let filtered = |key: &str, value: &str| {
        let body = json!({ "Filters": [{ "Key": key, "Values": [value] }] });
        names(&good(&endpoint, "ListSecrets", &body)).len()
    };
    for (key, value, count) in [
        ("name", "app/", 5),
        ("name", "APP/", 0),
        ("name", "!app/", 1),
        ("description", "number 3", 1),
        ("tag-key", "te", 1),
        ("tag-value", "sho", 1),
        ("tag-value", "other", 0),
        ("owning-service", "x", 0),
    ] {
        assert_eq!(filtered(key, value), count, "{key} {value}");
    }
    let entry = &good(
        &endpoint,
        "ListSecrets",
        &json!({ "Filters": [{ "Key": "name", "Values": ["shop"] }] }),
    )["SecretList"][0];
    assert_eq!(entry["SecretVersionsToStages"], json!({ TOKEN: ["AWSCURRENT"] }));
    let invalid = "InvalidParameterException";
    for (body, code) in [
        (json!({ "NextToken": "x" }), "InvalidNextTokenException"),
        (json!({ "MaxResults": 0 }), invalid),
        (json!({ "MaxResults": 101 }), invalid),
        (json!({ "SortBy": "x" }), invalid),
        (json!({ "Filters": [{ "Key": "x", "Values": ["y"] }] }), invalid),
    ] {
        assert_eq!(refused(&endpoint, "ListSecrets", &body).0, code, "{body}");
    }
    let (status, _) = call(
        &endpoint,
        "ListSecrets",
        &json!({ "Filters": [{ "Key": "all", "Values": ["y"] }] }),
    );
    assert_eq!(status, 501);
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let endpoint = endpoint();
    for (operation, body, code) in [
        ("CreateSecret", json!({ "Name": "a b" }), "ValidationException"),
        (
            "CreateSecret",
            json!({ "Name": "a", "ClientRequestToken": "short" }),
            "InvalidParameterException",
        ),
        (
            "CreateSecret",
            json!({ "Name": "a", "SecretString": "" }),
            "InvalidRequestException",
        ),
        (
            "DescribeSecret",
            json!({ "SecretId": "a" }),
            "ResourceNotFoundException",
        ),
        (
            "GetSecretValue",
            json!({ "SecretId": "a" }),
            "ResourceNotFoundException",
        ),
        (
            "PutSecretValue",
            json!({ "SecretId": "a", "SecretString": "x" }),
            "ResourceNotFoundException",
        ),
        (
            "DeleteSecret",
            json!({ "SecretId": "a" }),
            "ResourceNotFoundException",
        ),
        (
            "RestoreSecret",
            json!({ "SecretId": "a" }),
            "ResourceNotFoundException",
        ),
    ] {
        assert_eq!(refused(&endpoint, operation, &body).0, code, "{operation} {body}");
    }
    create(&endpoint);
    let again = json!({ "Name": "shop/db", "SecretString": "other" });
    let (code, message) = refused(&endpoint, "CreateSecret", &again);
    assert_eq!(code, "ResourceExistsException");
    assert_eq!(
        message,
        "The operation failed because the secret shop/db already exists."
    );
    let (status, answer) = call(
        &endpoint,
        "CreateSecret",
        &json!({ "Name": "r", "AddReplicaRegions": [{ "Region": "x" }] }),
    );
    assert_eq!(status, 501, "{answer}");
    let (status, answer) = call(&endpoint, "RotateSecret", &json!({ "SecretId": "shop/db" }));
    assert_eq!(status, 501, "{answer}");
}
