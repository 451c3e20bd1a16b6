//! CloudWatch Logs over awsJson1.1.

use core::time::Duration;

use serde_json::{Value, json};

use super::json_call;
use crate::behaviour::{Behaviour, Start};
use crate::clock::SimCloud;
use crate::endpoint::Endpoint;
use crate::world::World;

fn call(endpoint: &Endpoint, service: &str, target: &str, input: &Value) -> (u16, Value) {
    json_call(endpoint, ("444455556666", "eu-central-1", service), target, input)
}

fn logs(endpoint: &Endpoint, operation: &str, input: &Value) -> (u16, Value) {
    call(endpoint, "logs", &format!("Logs_20140328.{operation}"), input)
}

/// A one-off task that has written three lines and ended; its id.
fn ran() -> (Endpoint, String) {
    let start = Start::CrashAfter {
        millis: 900,
        exit_code: 3,
    };
    let behaviour = Behaviour::starting(start).logging(["one", "two ERROR", "three ERROR"]);
    let world = World::builder(7)
        .environment("production", |e| {
            e.account("444455556666")
                .region("eu-central-1")
                .image_that("shop/migrate", "1.0.0", behaviour)
        })
        .build()
        .expect("a world");
    let endpoint = Endpoint::new(SimCloud::new(world));
    let definition = json!({
        "family": "migrate",
        "containerDefinitions": [{
            "name": "migrate", "essential": true,
            "image": "444455556666.dkr.ecr.eu-central-1.amazonaws.com/shop/migrate:1.0.0",
            "logConfiguration": { "logDriver": "awslogs", "options": {
                "awslogs-group": "/shop/migrate", "awslogs-region": "eu-central-1", "awslogs-stream-prefix": "run",
            } },
        }],
    });
    let ecs = |operation: &str, input: &Value| {
        let (status, body) = call(
            &endpoint,
            "ecs",
            &format!("AmazonEC2ContainerServiceV20141113.{operation}"),
            input,
        );
        assert_eq!(status, 200, "{operation}: {body}");
        body
    };
    ecs("RegisterTaskDefinition", &definition);
    let run = ecs(
        "RunTask",
        &json!({ "cluster": "production", "taskDefinition": "migrate" }),
    );
    let arn = run["tasks"][0]["taskArn"].as_str().expect("an ARN");
    let id = arn.rsplit('/').next().expect("an id").to_owned();
    let group = json!({ "logGroupName": "/shop/migrate" });
    let asked = logs(&endpoint, "DescribeLogStreams", &group);
    assert_eq!(
        asked,
        (200, json!({ "logStreams": [] })),
        "the group is there, and nothing has run yet"
    );
    endpoint
        .cloud()
        .with(|world| world.pass(Duration::from_secs(300)));
    (endpoint, id)
}

fn messages(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().expect("events");
    events
        .iter()
        .map(|e| e["message"].as_str().expect("text"))
        .collect()
}

#[test]
fn a_streams_tail_comes_first_and_its_pages_meet() {
    let (endpoint, id) = ran();
    let stream = format!("run/migrate/{id}");
    let mut get = json!({ "logGroupName": "/shop/migrate", "logStreamName": stream, "limit": 2 });
    let (status, tail) = logs(&endpoint, "GetLogEvents", &get);
    assert_eq!((status, messages(&tail)), (200, vec!["two ERROR", "three ERROR"]));
    let begun = tail["events"][0]["timestamp"].as_u64().expect("milliseconds");
    assert!(begun > 1_700_000_000_000, "{begun}");

    get["nextToken"] = tail["nextBackwardToken"].clone();
    let (_, before) = logs(&endpoint, "GetLogEvents", &get);
    assert_eq!(messages(&before), ["one"]);
    get["nextToken"] = tail["nextForwardToken"].clone();
    let (_, end) = logs(&endpoint, "GetLogEvents", &get);
    assert_eq!(messages(&end), [""; 0]);
    assert_eq!(
        end["nextForwardToken"], tail["nextForwardToken"],
        "an end is told by the same token"
    );

    get["startFromHead"] = json!(true);
    get["nextToken"] = Value::Null;
    let (_, head) = logs(&endpoint, "GetLogEvents", &get);
    assert_eq!(messages(&head), ["one", "two ERROR"]);
}

#[test]
fn groups_and_streams_are_listed_and_searched() {
    let (endpoint, id) = ran();
    let (_, groups) = logs(
        &endpoint,
        "DescribeLogGroups",
        &json!({ "logGroupNamePrefix": "/shop" }),
    );
    let arn = "arn:aws:logs:eu-central-1:444455556666:log-group:/shop/migrate";
    assert_eq!(groups["logGroups"][0]["logGroupArn"], arn);
    let by_arn = json!({ "logGroupIdentifier": arn });
    let (_, streams) = logs(&endpoint, "DescribeLogStreams", &by_arn);
    assert_eq!(
        streams["logStreams"][0]["logStreamName"],
        format!("run/migrate/{id}")
    );
    let search = json!({ "logGroupName": "/shop/migrate", "filterPattern": "ERROR", "limit": 1 });
    let (_, found) = logs(&endpoint, "FilterLogEvents", &search);
    assert_eq!(messages(&found), ["two ERROR"]);
    let mut more = search;
    more["nextToken"] = found["nextToken"].clone();
    let (_, found) = logs(&endpoint, "FilterLogEvents", &more);
    assert_eq!(
        (messages(&found), &found["nextToken"]),
        (vec!["three ERROR"], &Value::Null)
    );
}

#[test]
fn what_is_not_there_is_named() {
    let (endpoint, _) = ran();
    for (input, says) in [
        (
            json!({ "logGroupName": "/nobody", "logStreamName": "x" }),
            "group",
        ),
        (
            json!({ "logGroupName": "/shop/migrate", "logStreamName": "x" }),
            "stream",
        ),
    ] {
        let (status, body) = logs(&endpoint, "GetLogEvents", &input);
        assert_eq!(
            (status, &body["__type"]),
            (400, &json!("ResourceNotFoundException"))
        );
        assert!(
            body["message"].as_str().is_some_and(|m| m.contains(says)),
            "{body}"
        );
    }
}
