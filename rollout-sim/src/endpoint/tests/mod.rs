//! Requests in, answers out, byte by byte where it matters.

mod acm;
mod cloudwatch;
mod ecr;
mod ecs;
mod elbv2;
mod frame;
mod logs;
mod route53;
mod secretsmanager;
mod serve;
mod sqs;
mod ssm;
mod wafv2;
mod web;
mod wire;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use super::Endpoint;
use crate::clock::SimCloud;
use crate::world::World;

/// Two accounts in two regions.
pub(crate) fn endpoint() -> Endpoint {
    let world = World::builder(7)
        .environment("staging", |e| {
            e.account("111122223333")
                .region("eu-west-1")
                .image("shop/api", "1.0.0")
                .service("api", |s| s.container("api", "shop/api", "1.0.0").desired(1))
        })
        .environment("production", |e| {
            e.account("444455556666")
                .region("eu-central-1")
                .image("shop/api", "1.0.0")
                .image("shop/api", "1.1.0")
                .service("api", |s| {
                    s.container("api", "shop/api", "1.0.0")
                        .desired(3)
                        .load_balanced(8080)
                })
        })
        .build()
        .expect("a world");
    Endpoint::new(SimCloud::new(world))
}

/// A signature by a key id for a region and service.
pub(crate) fn signature(key_id: &str, region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}

/// A form of the query protocol, signed by production.
pub(crate) fn form(service: &str, body: &str) -> Request<Bytes> {
    Request::post("/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .header(
            "authorization",
            signature("444455556666", "eu-central-1", service),
        )
        .body(Bytes::from(body.to_owned()))
        .expect("a request")
}

/// The body as text.
pub(crate) fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).expect("text")
}

/// A header of an answer.
pub(crate) fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

/// A request of the JSON protocol, signed by an account for a region.
fn json_request(
    (account, region, service): (&str, &str, &str),
    target: &str,
    body: &Value,
) -> Request<Bytes> {
    Request::post("/")
        .header("authorization", signature(account, region, service))
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(Bytes::from(body.to_string()))
        .expect("a request")
}

/// The status and the JSON of the answer to it.
fn json_call(endpoint: &Endpoint, of: (&str, &str, &str), target: &str, body: &Value) -> (u16, Value) {
    let answer = endpoint.answer(&json_request(of, target, body));
    let body = serde_json::from_slice(answer.body()).expect("JSON");
    (answer.status().as_u16(), body)
}
