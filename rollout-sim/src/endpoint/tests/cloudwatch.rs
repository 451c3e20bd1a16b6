//! CloudWatch on the wire.

use core::time::Duration;

use bytes::Bytes;
use http::Request;
use rollout_core::dns::RecordType;
use serde_json::{Value, json};

use super::{signature, text};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::world::World;

fn endpoint() -> Endpoint {
    let world = World::builder(7)
        .environment("prod", |e| {
            e.account("444455556666")
                .image("app/api", "1")
                .service("api", |s| {
                    s.container("api", "app/api", "1").desired(1).load_balanced(8080)
                })
                .balancer("main", |b| b.route("/", "api"))
        })
        .zone("Z1", "example.com", |z| {
            z.alias("shop.example.com", "prod", "main")
                .clients("shop.example.com", RecordType::A, 120)
        })
        .build()
        .expect("a world");
    Endpoint::new(SimCloud::new(world))
}

/// Status and body of a call in JSON; the SDKs speak CBOR, of which the frame's tests know.
fn call(endpoint: &Endpoint, service: &str, target: &str, body: &Value) -> (u16, Value) {
    let request = Request::post("/")
        .header(
            "authorization",
            signature("444455556666", "eu-central-1", service),
        )
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target)
        .body(Bytes::from(body.to_string()))
        .expect("a request");
    let answer = endpoint.answer(&request);
    (
        answer.status().as_u16(),
        serde_json::from_str(&text(&answer)).expect("JSON"),
    )
}

fn watch(endpoint: &Endpoint, operation: &str, body: &Value) -> (u16, Value) {
    call(
        endpoint,
        "monitoring",
        &format!("GraniteServiceVersion20100801.{operation}"),
        body,
    )
}

const BEGIN: u64 = 1_767_603_600;

#[test]
fn requests_are_counted_and_alarms_watch_them() {
    let endpoint = endpoint();
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(180)));
    let (_, metrics) = watch(&endpoint, "ListMetrics", &json!({ "MetricName": "RequestCount" }));
    let of_balancer = metrics["Metrics"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|m| m["Dimensions"].as_array().map(Vec::len) == Some(1));
    let dimensions = of_balancer.expect("the load balancer's")["Dimensions"].clone();
    let asked = json!({
        "Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions,
        "StartTime": BEGIN, "EndTime": BEGIN + 180, "Period": 60, "Statistics": ["Sum"],
    });
    let (status, found) = watch(&endpoint, "GetMetricStatistics", &asked);
    assert_eq!(status, 200, "{found}");
    let point = |minute: u64| json!({ "Timestamp": BEGIN + 60 * minute, "Sum": 120.0, "Unit": "Count" });
    let close = |a: &Value, b: &Value| {
        a["Timestamp"].as_f64() == b["Timestamp"].as_f64() && a["Sum"] == b["Sum"] && a["Unit"] == b["Unit"]
    };
    let points = found["Datapoints"].as_array().expect("a list");
    assert_eq!(points.len(), 3, "{found}");
    assert!(
        points.iter().zip(0..).all(|(p, n)| close(p, &point(n))),
        "{found}"
    );
    let alarm = json!({
        "AlarmName": "busy", "Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions,
        "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 2, "Threshold": 100.0,
        "ComparisonOperator": "GreaterThanThreshold",
    });
    assert_eq!(watch(&endpoint, "PutMetricAlarm", &alarm).0, 200);
    let state = || {
        let (_, found) = watch(&endpoint, "DescribeAlarms", &json!({ "AlarmNames": ["busy"] }));
        let alarm = found["MetricAlarms"][0].clone();
        (alarm["StateValue"].clone(), alarm["StateReason"].clone())
    };
    assert_eq!(
        state(),
        (
            json!("INSUFFICIENT_DATA"),
            json!("Unchecked: Initial alarm creation")
        )
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(61)));
    let reason = "Threshold Crossed: 2 out of the last 2 datapoints [120.0, 120.0] were greater than the threshold (100.0) \
        (minimum 2 datapoints for OK -> ALARM transition).";
    assert_eq!(state(), (json!("ALARM"), json!(reason)));
    let by_hand = json!({ "AlarmName": "busy", "StateValue": "OK", "StateReason": "by hand" });
    assert_eq!(watch(&endpoint, "SetAlarmState", &by_hand).0, 200);
    assert_eq!(state(), (json!("OK"), json!("by hand")));
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(61)));
    assert_eq!(state().0, json!("ALARM"), "it is evaluated again");
    let (_, answer) = watch(
        &endpoint,
        "SetAlarmState",
        &json!({ "AlarmName": "none", "StateValue": "OK" }),
    );
    assert_eq!(answer["__type"], json!("ResourceNotFound"));
    assert_eq!(
        watch(&endpoint, "DeleteAlarms", &json!({ "AlarmNames": ["busy"] })).0,
        200
    );
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(120)));
    assert_eq!(
        watch(&endpoint, "DescribeAlarms", &json!({})).1["MetricAlarms"],
        json!([])
    );
}
