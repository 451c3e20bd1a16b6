//! SQS on the wire.

use core::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{endpoint, header, signature};
use crate::endpoint::{Endpoint, InProcess, Latency};

const ACCOUNT: &str = "444455556666";
const URL: &str = "https://sqs.eu-central-1.amazonaws.com/444455556666/events";

fn with_queue() -> Endpoint {
    let endpoint = endpoint();
    let url = endpoint.cloud().with(|world| world.feed("production", "events"));
    assert_eq!(url.as_deref(), Ok(URL));
    endpoint
}

fn request(operation: &str, body: &Value) -> Request<Bytes> {
    Request::post("/")
        .header("authorization", signature(ACCOUNT, "eu-central-1", "sqs"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{operation}"))
        .body(Bytes::from(body.to_string()))
        .expect("a request")
}

fn good(endpoint: &Endpoint, operation: &str, body: &Value) -> Value {
    let answer = endpoint.answer(&request(operation, body));
    let told = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(answer.status(), 200, "{operation}: {told}");
    told
}

/// The name of the error's type, and what clients of the old protocol know it by.
fn refused(endpoint: &Endpoint, operation: &str, body: &Value) -> (String, String) {
    let answer = endpoint.answer(&request(operation, body));
    let told: Value = serde_json::from_slice(answer.body()).expect("JSON");
    assert_eq!(answer.status(), 400, "{operation}: {told}");
    let shape = told["__type"].as_str().unwrap_or_default().to_owned();
    (shape, header(&answer, "x-amzn-query-error").to_owned())
}

/// Stops every task, which is told of.
fn stir(endpoint: &Endpoint) {
    endpoint.cloud().with(|world| {
        let tasks: Vec<u64> = world.environments[1].tasks.keys().copied().collect();
        let (env, k) = (&mut world.environments[1], &mut world.kernel);
        for task in tasks {
            env.stop_task(k, task, crate::ecs::stop::Why::ByUser { reason: None });
        }
        world.pass(Duration::from_secs(1));
    });
}

#[test]
fn messages_are_received_and_deleted() {
    let endpoint = with_queue();
    let of = |more: Value| {
        let mut body = json!({ "QueueUrl": URL });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    assert_eq!(
        good(&endpoint, "ReceiveMessage", &of(json!({}))),
        json!({}),
        "nothing is there"
    );
    stir(&endpoint);
    let many = json!({ "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"] });
    let got = good(&endpoint, "ReceiveMessage", &of(many));
    let messages = got["Messages"].as_array().expect("messages");
    // Those that stop and those that take their place, as far as they have been delivered by now.
    assert!(messages.len() >= 3, "{got}");
    let first = &messages[0];
    assert_eq!(first["MD5OfBody"].as_str().map(str::len), Some(32));
    assert_eq!(first["Attributes"]["ApproximateReceiveCount"], "1");
    let stopped = messages.iter().any(|message| {
        let body = message["Body"].as_str().expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["detail"]["stopCode"] == "UserInitiated"
    });
    assert!(stopped, "{got}");
    let handle = |n: usize| messages[n]["ReceiptHandle"].clone();

    let counted = good(
        &endpoint,
        "GetQueueAttributes",
        &of(json!({ "AttributeNames": ["All"] })),
    );
    assert_eq!(
        counted["Attributes"]["ApproximateNumberOfMessagesNotVisible"],
        messages.len().to_string()
    );
    assert_eq!(
        counted["Attributes"]["QueueArn"],
        "arn:aws:sqs:eu-central-1:444455556666:events"
    );

    good(
        &endpoint,
        "DeleteMessage",
        &of(json!({ "ReceiptHandle": handle(0) })),
    );
    let entries = json!({ "Entries": [
        { "Id": "a", "ReceiptHandle": handle(1) },
        { "Id": "b", "ReceiptHandle": "nonsense" },
    ] });
    let batch = good(&endpoint, "DeleteMessageBatch", &of(entries));
    assert_eq!(batch["Successful"], json!([{ "Id": "a" }]));
    assert_eq!(batch["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    good(
        &endpoint,
        "ChangeMessageVisibility",
        &of(json!({ "ReceiptHandle": handle(2), "VisibilityTimeout": 0 })),
    );
    let again = good(
        &endpoint,
        "ReceiveMessage",
        &of(json!({ "AttributeNames": ["ApproximateReceiveCount"] })),
    );
    assert_eq!(again["Messages"][0]["MessageId"], messages[2]["MessageId"]);
    assert_eq!(
        again["Messages"][0]["Attributes"],
        json!({ "ApproximateReceiveCount": "2" })
    );
    let named = good(&endpoint, "GetQueueUrl", &json!({ "QueueName": "events" }));
    assert_eq!(named["QueueUrl"], URL);
}

#[test]
fn what_sqs_refuses_is_refused() {
    let endpoint = with_queue();
    let no_queue = (
        "com.amazonaws.sqs#QueueDoesNotExist".to_owned(),
        "AWS.SimpleQueueService.NonExistentQueue;Sender".to_owned(),
    );
    assert_eq!(
        refused(&endpoint, "GetQueueUrl", &json!({ "QueueName": "other" })),
        no_queue
    );
    let elsewhere = URL.replace(ACCOUNT, "111122223333");
    assert_eq!(
        refused(&endpoint, "ReceiveMessage", &json!({ "QueueUrl": elsewhere })),
        no_queue
    );
    for (operation, more, code) in [
        (
            "ReceiveMessage",
            json!({ "MaxNumberOfMessages": 11 }),
            "InvalidParameterValue",
        ),
        (
            "ReceiveMessage",
            json!({ "MaxNumberOfMessages": 0 }),
            "InvalidParameterValue",
        ),
        (
            "ReceiveMessage",
            json!({ "WaitTimeSeconds": 21 }),
            "InvalidParameterValue",
        ),
        (
            "ReceiveMessage",
            json!({ "VisibilityTimeout": 43_201 }),
            "InvalidParameterValue",
        ),
        (
            "DeleteMessage",
            json!({ "ReceiptHandle": "x" }),
            "ReceiptHandleIsInvalid",
        ),
        (
            "DeleteMessageBatch",
            json!({ "Entries": [] }),
            "EmptyBatchRequest",
        ),
        (
            "DeleteMessageBatch",
            json!({ "Entries": [{ "Id": "a", "ReceiptHandle": "x" }, { "Id": "a", "ReceiptHandle": "y" }] }),
            "BatchEntryIdsNotDistinct",
        ),
        (
            "GetQueueAttributes",
            json!({ "AttributeNames": ["Colour"] }),
            "InvalidAttributeName",
        ),
    ] {
        let mut body = more;
        body["QueueUrl"] = URL.into();
        let (shape, _) = refused(&endpoint, operation, &body);
        assert!(shape.ends_with(code), "{operation}: {shape}");
    }
    let answer = endpoint.answer(&request("SendMessage", &json!({ "QueueUrl": URL })));
    assert_eq!(answer.status(), 501, "named, not modelled");
}

/// A wait ends with the first message, or when its time is over.
#[tokio::test(start_paused = true)]
async fn a_long_poll_waits_for_a_message() {
    let endpoint = with_queue();
    let wire = InProcess::new(endpoint.clone()).latency(Latency::NONE);
    let connector = wire.connector();
    let receive = |wait: u64| {
        let body = json!({ "QueueUrl": URL, "WaitTimeSeconds": wait }).to_string();
        let mut request = aws_smithy_runtime_api::client::orchestrator::HttpRequest::try_from(
            request("ReceiveMessage", &Value::Null).map(|_| aws_smithy_types::body::SdkBody::from(body)),
        )
        .expect("a request");
        request
            .set_uri("https://sqs.eu-central-1.amazonaws.com/")
            .expect("a URL");
        let call = aws_smithy_runtime_api::client::http::HttpConnector::call(&connector, request);
        async move {
            let answer = call.await.expect("an answer");
            String::from_utf8(answer.body().bytes().expect("whole").to_vec()).expect("text")
        }
    };
    let begun = wire.now();
    assert_eq!(receive(20).await, "{}");
    assert_eq!(wire.now().since(begun), Duration::from_secs(20));
    let begun = wire.now();
    let (body, ()) = tokio::join!(receive(20), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        wire.catch_up();
        endpoint.cloud().with(|world| {
            let task = *world.environments[1].tasks.keys().next().expect("a task");
            let (env, k) = (&mut world.environments[1], &mut world.kernel);
            env.stop_task(k, task, crate::ecs::stop::Why::ByUser { reason: None });
        });
    });
    assert!(body.contains("UserInitiated"), "{body}");
    let waited = wire.now().since(begun);
    assert!(
        waited > Duration::from_secs(7) && waited < Duration::from_millis(7_600),
        "{waited:?}"
    );
}
