use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rollout_core::hint::{Hint, Hints, hints};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Answer, Aws, error, ok};

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/shop-production";
const NOW: u64 = 1_767_603_600_000;

/// A clock whose sleeps take no time at all, and are kept.
#[derive(Default)]
struct Clocked(Mutex<(u64, Vec<Duration>)>);

#[async_trait]
impl Clock for Clocked {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW + self.0.lock().expect("no panic").0)
    }

    async fn sleep_until(&self, moment: Timestamp) {
        let span = moment.since(self.now());
        let mut inner = self.0.lock().expect("no panic");
        inner.0 += u64::try_from(span.as_millis()).expect("short");
        inner.1.push(span);
    }
}

/// A queue that answers so, call by call, and is then gone.
fn queue(answers: Vec<Answer>) -> (Aws, EventQueue) {
    let answers = Mutex::new(VecDeque::from(answers));
    let aws = Aws::new(move |operation, _| match operation {
        "ReceiveMessage" => answers
            .lock()
            .expect("no panic")
            .pop_front()
            .unwrap_or_else(|| error(400, "com.amazonaws.sqs#QueueDoesNotExist")),
        "DeleteMessageBatch" => ok(json!({ "Successful": [], "Failed": [] })),
        other => panic!("{other} is called"),
    });
    let queue = EventQueue::from_config(&aws.config(), URL);
    (aws, queue)
}

fn message(receipt: &str, age: u64, body: &str) -> Value {
    json!({
        "MessageId": format!("id-{receipt}"),
        "ReceiptHandle": receipt,
        "Body": body,
        "Attributes": { "SentTimestamp": (NOW - age * 1_000).to_string() },
    })
}

fn about(service: &str) -> String {
    json!({
        "source": "aws.ecs",
        "detail-type": "ECS Deployment State Change",
        "resources": [format!("arn:aws:ecs:eu-central-1:123456789012:service/{service}")],
        "detail": { "eventName": "SERVICE_DEPLOYMENT_FAILED" },
    })
    .to_string()
}

fn interest() -> Interest {
    Interest {
        cluster: "shop".to_owned(),
        services: BTreeSet::from(["api".parse().expect("valid")]),
        families: BTreeSet::from(["migrate".to_owned()]),
    }
}

/// Listens until the queue is gone: the hints, what was told, what was deleted, and the pauses.
async fn listen(answers: Vec<Answer>) -> (Vec<Hint>, Vec<String>, Vec<String>, Vec<Duration>) {
    let (aws, queue) = queue(answers);
    let clock = Clocked::default();
    let (sender, inbox) = hints();
    let told = Arc::new(Mutex::new(Vec::new()));
    let words = Arc::clone(&told);
    queue
        .listen(&interest(), &clock, &sender, &mut move |trouble| {
            words.lock().expect("no panic").push(trouble.to_string());
        })
        .await;
    drop(sender);
    let deleted = aws
        .bodies("DeleteMessageBatch")
        .iter()
        .flat_map(|body| body["Entries"].as_array().cloned().unwrap_or_default())
        .map(|entry| entry["ReceiptHandle"].as_str().unwrap_or_default().to_owned())
        .collect();
    let told = told.lock().expect("no panic").clone();
    let pauses = clock.0.lock().expect("no panic").1.clone();
    (all(inbox), told, deleted, pauses)
}

fn all(mut inbox: Hints) -> Vec<Hint> {
    let mut all = Vec::new();
    let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
    while let core::task::Poll::Ready(Some(hint)) =
        futures_core::Stream::poll_next(core::pin::Pin::new(&mut inbox), &mut cx)
    {
        all.push(hint);
    }
    all
}

fn api() -> Hint {
    Hint::Service("api".parse().expect("valid"))
}

#[tokio::test]
async fn what_is_waited_for_is_a_hint_and_deleted() {
    let messages =
        json!({ "Messages": [message("a", 0, &about("shop/api")), message("b", 0, &about("shop/api"))] });
    let (hints, told, deleted, pauses) = listen(vec![ok(json!({})), ok(messages)]).await;
    assert_eq!(hints, [api()], "twice is once");
    assert_eq!(deleted, ["a", "b"]);
    assert_eq!(pauses, [PAUSE], "an empty answer has waited already");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("no hints any more, polling goes on: "),
        "{}",
        told[0]
    );
}

#[tokio::test]
async fn where_more_wait_than_one_call_takes_it_goes_on_at_once() {
    let full: Vec<Value> = (0..10)
        .map(|n| message(&n.to_string(), 0, &about("shop/api")))
        .collect();
    let (_, _, deleted, pauses) = listen(vec![ok(json!({ "Messages": full }))]).await;
    assert_eq!((deleted.len(), pauses), (10, vec![]));
    // A backlog that nobody waits for is not read in a hurry.
    let full: Vec<Value> = (0..10)
        .map(|n| message(&n.to_string(), 0, &about("shop/web")))
        .collect();
    let (_, _, _, pauses) = listen(vec![ok(json!({ "Messages": full }))]).await;
    assert_eq!(pauses, [PAUSE]);
}

#[tokio::test]
async fn what_others_may_wait_for_is_left_until_it_is_worth_nothing() {
    let other =
        json!({ "source": "aws.ecs", "detail-type": "ECS Container Instance State Change" }).to_string();
    let messages = json!({ "Messages": [
        message("young", 0, &about("shop/web")),
        message("elsewhere", 0, &about("billing/api")),
        message("unknown", 100, &other),
        message("old", 121, &about("shop/web")),
        message("old-unknown", 121, &other),
    ] });
    let (hints, _, deleted, _) = listen(vec![ok(messages)]).await;
    assert_eq!(hints, []);
    assert_eq!(deleted, ["old", "old-unknown"]);
}

#[tokio::test]
async fn what_is_from_before_is_deleted_without_a_hint() {
    let messages = json!({ "Messages": [message("before", 1, &about("shop/api"))] });
    let (hints, _, deleted, _) = listen(vec![ok(messages)]).await;
    assert_eq!(hints, [], "a drive looks when it begins");
    assert_eq!(deleted, ["before"]);
}

#[tokio::test]
async fn what_is_no_event_is_told_and_deleted() {
    let messages = json!({ "Messages": [message("a", 0, "hello"), message("b", 0, &about("shop/api"))] });
    let (hints, told, deleted, _) = listen(vec![ok(messages)]).await;
    assert_eq!(hints, [api()]);
    assert_eq!(told[0], "message id-a is deleted unread: it is no JSON");
    assert_eq!(deleted, ["a", "b"]);
}

#[tokio::test]
async fn trouble_is_told_once_and_asked_again_after_growing_pauses() {
    let down = || error(503, "ServiceUnavailable");
    let (hints, told, _, pauses) = listen(vec![
        down(),
        Answer::Broken,
        down(),
        ok(json!({ "Messages": [message("a", 0, &about("shop/api"))] })),
        down(),
    ])
    .await;
    // Sent while nobody could read it: it was after we began.
    assert_eq!(hints, [api()]);
    let starts: Vec<&str> = told.iter().filter_map(|text| text.split(',').next()).collect();
    assert_eq!(
        starts,
        [
            "no hints for now",
            "hints come again",
            "no hints for now",
            "no hints any more"
        ]
    );
    assert_eq!(
        pauses.iter().map(Duration::as_millis).collect::<Vec<_>>(),
        [1_000, 2_000, 4_000, 200, 1_000]
    );
}

#[tokio::test]
async fn it_ends_when_nobody_listens_and_leaves_what_it_has_not_handed_over() {
    let (aws, queue) = queue(vec![ok(
        json!({ "Messages": [message("a", 0, &about("shop/api"))] }),
    )]);
    let (sender, inbox) = hints();
    drop(inbox);
    queue
        .listen(&interest(), &Clocked::default(), &sender, &mut |_| {})
        .await;
    assert_eq!(aws.operations(), ["ReceiveMessage"]);
    let asked = &aws.bodies("ReceiveMessage")[0];
    assert_eq!(asked["QueueUrl"], URL);
    assert_eq!(
        (&asked["WaitTimeSeconds"], &asked["MaxNumberOfMessages"]),
        (&json!(10), &json!(10))
    );
}

#[tokio::test]
async fn each_message_is_handed_to_all_that_wait_for_it() {
    let web = |receipt: &str, age| message(receipt, age, &about("shop/web"));
    let (aws, queue) = queue(vec![
        ok(
            json!({ "Messages": [message("a", 0, &about("shop/api")), web("b", 0), message("c", 0, &about("shop/pay"))] }),
        ),
        ok(json!({ "Messages": [web("d", 5), message("e", 0, &about("shop/api"))] })),
    ]);
    let clock = Clocked::default();
    let subscribers = Subscribers::default();
    let of = |names: &[&str], since| {
        let (sender, inbox) = hints();
        let interest = Interest {
            services: names.iter().map(|name| name.parse().expect("valid")).collect(),
            ..interest()
        };
        (subscribers.subscribe(interest, since, sender), inbox)
    };
    let service = |name: &str| Hint::Service(name.parse().expect("valid"));
    let (_first, one) = of(&["api"], clock.now());
    let (_second, both) = of(&["api", "web"], clock.now());
    let (_early, early) = of(&["web"], Timestamp::EPOCH);
    let (_left, gone) = of(&["pay"], clock.now());
    drop(gone);
    let (dropped, quiet) = of(&["api"], clock.now());
    drop(dropped);
    queue.serve(&subscribers, &clock, &mut |_| {}).await;
    assert_eq!(
        all(one),
        [service("api")],
        "what comes before it is taken comes once"
    );
    assert_eq!(all(both), [service("api"), service("web")]);
    assert_eq!(all(early), [service("web")], "also of before");
    assert_eq!(all(quiet), []);
    assert_eq!(subscribers.len(), 3, "who takes none any more was let go");
    let deleted = aws.bodies("DeleteMessageBatch");
    let deleted = deleted
        .iter()
        .flat_map(|body| body["Entries"].as_array().cloned().unwrap_or_default());
    let deleted: Vec<Value> = deleted.map(|entry| entry["ReceiptHandle"].clone()).collect();
    assert_eq!(
        deleted,
        ["a", "b", "d", "e"],
        "nobody waits for `c`: it is left for others"
    );
}
