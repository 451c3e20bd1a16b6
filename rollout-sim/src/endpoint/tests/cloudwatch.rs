//! CloudWatch and its logs on the wire.

use core::time::Duration;

use rollout_core::dns::RecordType;
use serde_json::{Value, json};

use super::json_call;
use crate::behaviour::{Behaviour, Start};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::incident::{Incident, When};
use crate::world::World;

fn endpoint() -> Endpoint {
    let crash = Behaviour::starting(Start::CrashAfter {
        millis: 1_000,
        exit_code: 1,
    });
    let mut world = World::builder(7)
        .environment("prod", |e| {
            e.account("444455556666")
                .image("app/api", "1")
                .image_that("app/api", "2", crash.logging(["starting", "no database"]))
                .service("api", |s| {
                    s.container("api", "app/api", "1")
                        .desired(1)
                        .load_balanced(8080)
                        .task_definition(json!({
                            "family": "api",
                            "containerDefinitions": [{
                                "name": "api", "essential": true, "image": "",
                                "logConfiguration": { "logDriver": "awslogs", "options": {
                                    "awslogs-group": "/ecs/api", "awslogs-stream-prefix": "run",
                                } },
                            }],
                        }))
                })
                .balancer("main", |b| b.route("/", "api"))
        })
        .zone("Z1", "example.com", |z| {
            z.alias("shop.example.com", "prod", "main")
                .clients("shop.example.com", RecordType::A, 120)
        })
        .build()
        .expect("a world");
    let image = (
        "app/api".parse().expect("a name"),
        world.image("prod", "app/api", "2").expect("pushed"),
    );
    let deploy = Incident::ForeignDeployer {
        service: "api".to_owned(),
        image: Some(image),
    };
    world
        .schedule("prod", When::After(Duration::from_secs(1)), deploy)
        .expect("it exists");
    Endpoint::new(SimCloud::new(world))
}

/// Status and body of a call in JSON; the SDKs speak CBOR, of which the frame's tests know.
fn call(endpoint: &Endpoint, service: &str, target: &str, body: &Value) -> (u16, Value) {
    json_call(endpoint, ("444455556666", "eu-central-1", service), target, body)
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
    let told = |asked: &Value| {
        assert_eq!(watch(&endpoint, "PutMetricAlarm", asked).0, 200);
        let (_, found) = watch(&endpoint, "DescribeAlarms", &json!({ "AlarmNames": ["busy"] }));
        let alarm = &found["MetricAlarms"][0];
        (
            alarm["DatapointsToAlarm"].clone(),
            alarm["AlarmConfigurationUpdatedTimestamp"].as_f64(),
        )
    };
    let mut some = alarm.clone();
    some["DatapointsToAlarm"] = json!(1);
    assert_eq!(told(&some).0, json!(1), "1 of 2");
    let (all, configured) = told(&alarm);
    assert_eq!(
        (all, configured),
        (
            Value::Null,
            endpoint
                .cloud()
                .with(|w| Some(w.now().as_millis() as f64 / 1_000.0))
        )
    );
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

#[test]
fn what_a_task_wrote_is_in_its_stream() {
    let endpoint = endpoint();
    endpoint.cloud().with(|w| w.pass(Duration::from_secs(120)));
    let logs =
        |operation: &str, body: &Value| call(&endpoint, "logs", &format!("Logs_20140328.{operation}"), body);
    let (_, groups) = logs("DescribeLogGroups", &json!({}));
    assert_eq!(groups["logGroups"][0]["logGroupName"], json!("/ecs/api"));
    let (_, streams) = logs(
        "DescribeLogStreams",
        &json!({ "logGroupName": "/ecs/api", "orderBy": "LastEventTime", "descending": true }),
    );
    let name = streams["logStreams"][0]["logStreamName"].clone();
    assert!(
        name.as_str().is_some_and(|n| n.starts_with("run/api/")),
        "{streams}"
    );
    let asked =
        json!({ "logGroupName": "/ecs/api", "logStreamName": name, "limit": 10, "startFromHead": false });
    let (_, events) = logs("GetLogEvents", &asked);
    let lines: Vec<&Value> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| &e["message"])
        .collect();
    assert_eq!(lines, ["starting", "no database"]);
    let more = json!({
        "logGroupName": "/ecs/api", "logStreamName": name, "nextToken": events["nextForwardToken"],
    });
    let (_, none) = logs("GetLogEvents", &more);
    assert_eq!(none["events"], json!([]));
    assert_eq!(
        none["nextForwardToken"], events["nextForwardToken"],
        "the same token: there is no more"
    );
    let filter = json!({ "logGroupName": "/ecs/api", "filterPattern": "database" });
    let (_, found) = logs("FilterLogEvents", &filter);
    assert!(
        found["events"]
            .as_array()
            .is_some_and(|all| !all.is_empty() && all.iter().all(|e| e["message"] == json!("no database")))
    );
    for (group, stream) in [("none", "x"), ("/ecs/api", "x")] {
        let (status, answer) = logs(
            "GetLogEvents",
            &json!({ "logGroupName": group, "logStreamName": stream }),
        );
        assert_eq!(
            (status, &answer["__type"]),
            (400, &json!("ResourceNotFoundException"))
        );
    }
}
