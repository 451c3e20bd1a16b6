//! What holds for every operation of a protocol.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::{endpoint, form, header, signature, text};
use crate::endpoint::{Endpoint, supported};

#[test]
fn a_caller_is_told_who_it_is() {
    let answer = endpoint().answer(&form("sts", "Action=GetCallerIdentity&Version=2011-06-15"));
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "text/xml");
    let id = header(&answer, "x-amzn-requestid").to_owned();
    assert_eq!(id.len(), 36);
    let wanted = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::444455556666:assumed-role/deployer/rollout</Arn><UserId>AROAAAAABBBBCCCCEXAM:rollout</UserId>\
         <Account>444455556666</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
    let found = text(&answer);
    // The unique id is made up; its form is checked where it is made.
    let strip = |text: &str| {
        let (before, rest) = text.split_once("<UserId>").expect("it is there");
        let (_, after) = rest.split_once("</UserId>").expect("it is there");
        format!("{before}{after}")
    };
    assert_eq!(strip(&found), strip(&wanted));
}

#[test]
fn account_and_region_come_from_the_signature() {
    let endpoint = endpoint();
    for (key_id, region, account) in [
        ("111122223333", "eu-west-1", "111122223333"),
        // A key id of the usual form: the first environment of the region, or the first of all.
        ("AKIAIOSFODNN7EXAMPLE", "eu-central-1", "444455556666"),
        ("AKIAIOSFODNN7EXAMPLE", "sa-east-1", "111122223333"),
        // An account that the world does not know exists and is empty.
        ("999988887777", "eu-west-1", "999988887777"),
    ] {
        let mut request = form("sts", "Action=GetCallerIdentity&Version=2011-06-15");
        let value = signature(key_id, region, "sts").parse().expect("printable");
        request.headers_mut().insert("authorization", value);
        let found = text(&endpoint.answer(&request));
        assert!(
            found.contains(&format!("<Account>{account}</Account>")),
            "{key_id}: {found}"
        );
    }
}

#[test]
fn request_ids_differ_and_follow_from_the_seed() {
    let ids = |endpoint: &Endpoint| -> Vec<String> {
        let request = form("sts", "Action=GetCallerIdentity&Version=2011-06-15");
        let ids = (0..3).map(|_| header(&endpoint.answer(&request), "x-amzn-requestid").to_owned());
        ids.collect()
    };
    let (first, again) = (ids(&endpoint()), ids(&endpoint()));
    assert_eq!(first, again);
    assert!(first[0] != first[1] && first[1] != first[2]);
}

#[test]
fn what_is_not_modelled_is_named_in_every_protocol() {
    let signed = |service: &str| {
        Request::post("/").header(
            "authorization",
            signature("444455556666", "eu-central-1", service),
        )
    };
    let json = signed("dynamodb")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "DynamoDB_20120810.PutItem");
    let cbor = signed("monitoring").uri("/service/Nothing/operation/PutAnomalyDetector");
    let rest = signed("s3").uri("/bucket/key");
    for (request, code, name) in [
        (
            json.body(Bytes::from("{}")),
            "UnknownOperationException",
            "PutItem of dynamodb",
        ),
        (
            cbor.body(Bytes::new()),
            "UnknownOperationException",
            "PutAnomalyDetector of monitoring",
        ),
        (
            rest.body(Bytes::new()),
            "UnknownOperationException",
            "POST /bucket/key of s3",
        ),
        (
            Ok(form("sts", "Action=AssumeRole&Version=2011-06-15")),
            "InvalidAction",
            "AssumeRole of sts; of sts it models GetCallerIdentity",
        ),
    ] {
        let request = request.expect("a request");
        assert!(!Endpoint::models(&request));
        let answer = endpoint().answer(&request);
        assert_eq!(answer.status(), 501);
        let found = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(found.contains(code) && found.contains(name), "{found}");
    }
}

#[test]
fn an_unsigned_request_is_refused() {
    let mut request = form("sts", "Action=GetCallerIdentity&Version=2011-06-15");
    request.headers_mut().remove("authorization");
    let answer = endpoint().answer(&request);
    assert_eq!(answer.status(), 403);
    assert!(text(&answer).contains("<Code>MissingAuthenticationToken</Code>"));
}

#[test]
fn a_refusal_in_json_and_cbor_has_its_type() {
    let json = Request::post("/")
        .header("x-amz-target", "Nothing.DoIt")
        .body(Bytes::from("{}"))
        .expect("a request");
    let answer = endpoint().answer(&json);
    assert_eq!(header(&answer, "content-type"), "application/x-amz-json-1.1");
    let body: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(body["__type"], "UnknownOperationException");
    let cbor = Request::post("/service/Nothing/operation/DoIt")
        .body(Bytes::new())
        .expect("a request");
    let answer = endpoint().answer(&cbor);
    assert_eq!(header(&answer, "content-type"), "application/cbor");
    assert_eq!(header(&answer, "smithy-protocol"), "rpc-v2-cbor");
    assert_eq!(
        header(&answer, "x-amzn-query-error"),
        "UnknownOperationException;Receiver"
    );
}

#[test]
fn the_table_is_listed_in_order() {
    let all = supported();
    assert!(all.is_sorted());
    assert!(
        all.iter()
            .any(|o| o.service == "sts" && o.operation == "GetCallerIdentity" && !o.mutates)
    );
}
