//! SQS: reading the queues that EventBridge feeds.
//!
//! Standard queues only. Nothing is sent by a call, no queue is made by one, and there are no dead letters: events come from what
//! happens in the simulated ECS, and `World::feed` makes the queue.

use md5::{Digest as _, Md5};
use rollout_core::time::Timestamp;
use serde::Deserialize;

use super::{Answer, Operation, Service};
use crate::endpoint::call::{Call, Place};
use crate::endpoint::document::{Document, map};
use crate::endpoint::input::read;
use crate::endpoint::refusal::Refusal;
use crate::event::{BATCH, Queue, Received};
use crate::world::World;

pub(crate) static SERVICE: Service = Service {
    signing_name: "sqs",
    target: Some("AmazonSQS"),
    query: None,
    namespace: "",
    global: false,
    throttled: "RequestThrottled",
    operations: &[&[
        Operation::write(RECEIVE, receive_message),
        Operation::write("DeleteMessage", delete_message),
        Operation::write("DeleteMessageBatch", delete_message_batch),
        Operation::write("ChangeMessageVisibility", change_message_visibility),
        Operation::read("GetQueueUrl", get_queue_url),
        Operation::read("GetQueueAttributes", get_queue_attributes),
    ]],
};

/// The operation that may wait.
pub(crate) const RECEIVE: &str = "ReceiveMessage";

/// The longest wait, in seconds (Amazon SQS developer guide, "Amazon SQS short and long polling").
const LONGEST_WAIT: u64 = 20;
/// The longest visibility timeout, in seconds: 12 hours (Amazon SQS API, "ChangeMessageVisibility").
const LONGEST_VISIBILITY: u64 = 43_200;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    queue_url: String,
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
    max_number_of_messages: Option<u64>,
    visibility_timeout: Option<u64>,
    wait_time_seconds: Option<u64>,
    receipt_handle: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    id: String,
    receipt_handle: String,
}

fn no_such_queue() -> Refusal {
    Refusal::client(
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
    )
    .shape("com.amazonaws.sqs#QueueDoesNotExist")
}

fn out_of_range(name: &str, value: u64, least: u64, most: u64) -> Refusal {
    let text = format!(
        "Value {value} for parameter {name} is invalid. Reason: Must be >= {least} and <= {most}, if provided."
    );
    Refusal::client("InvalidParameterValue", text)
}

fn bad_receipt(receipt: &str) -> Refusal {
    let text = format!("The input receipt handle \"{receipt}\" is not a valid receipt handle.");
    Refusal::client("ReceiptHandleIsInvalid", text).shape("com.amazonaws.sqs#ReceiptHandleIsInvalid")
}

/// Account and name in a queue's URL, at whatever host.
fn parts(url: &str) -> Option<(&str, &str)> {
    let mut ends = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (ends.next()?, ends.next()?);
    Some((account, name))
}

/// A queue is known to its own account alone: nobody gives another one leave here.
fn find<'a>(world: &'a mut World, place: &Place, url: &str) -> Result<&'a mut Queue, Refusal> {
    let (account, name) = parts(url).ok_or_else(no_such_queue)?;
    let at = (place.account.as_str(), place.region.as_str());
    world
        .events
        .queues
        .iter_mut()
        .find(|queue| account == place.account && queue.is_at(at, name))
        .ok_or_else(no_such_queue)
}

/// Until when a call that receives waits, unless a message comes before; `None` when it does not.
pub(crate) fn waits_until(world: &mut World, place: &Place, input: &Document) -> Option<Timestamp> {
    let now = world.now();
    let input: Input = read(input).ok()?;
    let queue = find(world, place, &input.queue_url).ok()?;
    let wait = input.wait_time_seconds.unwrap_or(queue.settings.wait);
    let seconds = core::time::Duration::from_secs(wait.min(LONGEST_WAIT));
    (wait > 0).then(|| now.after(seconds))
}

/// When the next message of the queue can be had, if there is one, or the queue is gone.
pub(crate) fn next_at(world: &mut World, place: &Place, input: &Document) -> Option<Timestamp> {
    let now = world.now();
    let input: Input = read(input).ok()?;
    match find(world, place, &input.queue_url) {
        Ok(queue) => queue.next_at(),
        Err(_) => Some(now),
    }
}

fn receive_message(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let now = call.now();
    let most = input.max_number_of_messages.unwrap_or(1);
    if !(1..=BATCH as u64).contains(&most) {
        return Err(out_of_range("MaxNumberOfMessages", most, 1, BATCH as u64));
    }
    if let Some(wait) = input.wait_time_seconds.filter(|wait| *wait > LONGEST_WAIT) {
        return Err(out_of_range("WaitTimeSeconds", wait, 0, LONGEST_WAIT));
    }
    call.world.tell_all();
    let queue = find(call.world, call.place, &input.queue_url)?;
    let visibility = input.visibility_timeout.unwrap_or(queue.settings.visibility);
    if visibility > LONGEST_VISIBILITY {
        return Err(out_of_range(
            "VisibilityTimeout",
            visibility,
            0,
            LONGEST_VISIBILITY,
        ));
    }
    let most = usize::try_from(most).unwrap_or(BATCH);
    let messages = queue.receive(now, most, visibility);
    let mut wanted = input.attribute_names;
    wanted.extend(input.message_system_attribute_names);
    let told: Vec<Document> = messages.iter().map(|message| told(message, &wanted)).collect();
    let mut answer = Document::map();
    if !told.is_empty() {
        answer.put("Messages", Document::list(told));
        call.changed();
    }
    Ok(answer)
}

fn told(message: &Received, wanted: &[String]) -> Document {
    let mut told = map! {
        "MessageId": &message.id,
        "ReceiptHandle": &message.receipt,
        "MD5OfBody": hex(&Md5::digest(message.body.as_bytes())),
        "Body": &message.body,
    };
    let all = [
        // EventBridge sends under its own name.
        ("SenderId", "AIDAIEVENTBRIDGE0SIM".to_owned()),
        ("SentTimestamp", message.sent_at.as_millis().to_string()),
        ("ApproximateReceiveCount", message.received.to_string()),
        (
            "ApproximateFirstReceiveTimestamp",
            message.first_received_at.as_millis().to_string(),
        ),
    ];
    let mut attributes = Document::map();
    for (name, value) in all {
        if wanted.iter().any(|wanted| wanted == "All" || wanted == name) {
            attributes.put(name, value);
        }
    }
    told.put(
        "Attributes",
        (attributes != Document::map()).then_some(attributes),
    );
    told
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn delete_message(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let queue = find(call.world, call.place, &input.queue_url)?;
    if !queue.remove(&input.receipt_handle) {
        return Err(bad_receipt(&input.receipt_handle));
    }
    call.changed();
    Ok(Document::map())
}

fn delete_message_batch(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let refuse = |code: &str, shape: &'static str, text: &str| Err(Refusal::client(code, text).shape(shape));
    if input.entries.is_empty() {
        return refuse(
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "com.amazonaws.sqs#EmptyBatchRequest",
            "There should be at least one DeleteMessageBatchRequestEntry in the request.",
        );
    }
    if input.entries.len() > BATCH {
        return refuse(
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            "Maximum number of entries per request are 10.",
        );
    }
    let ids: std::collections::BTreeSet<&str> = input.entries.iter().map(|entry| entry.id.as_str()).collect();
    if ids.len() < input.entries.len() {
        return refuse(
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            "Id values must be distinct.",
        );
    }
    let queue = find(call.world, call.place, &input.queue_url)?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for entry in &input.entries {
        if queue.remove(&entry.receipt_handle) {
            done.push(map! { "Id": &entry.id });
        } else {
            failed.push(map! {
                "Id": &entry.id,
                "SenderFault": true,
                "Code": "ReceiptHandleIsInvalid",
                "Message": "The input receipt handle is invalid.",
            });
        }
    }
    let mut answer = map! { "Successful": Document::list(done) };
    answer.put("Failed", (!failed.is_empty()).then(|| Document::list(failed)));
    call.changed();
    Ok(answer)
}

fn change_message_visibility(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let now = call.now();
    let visibility = input.visibility_timeout.unwrap_or_default();
    if visibility > LONGEST_VISIBILITY {
        return Err(out_of_range(
            "VisibilityTimeout",
            visibility,
            0,
            LONGEST_VISIBILITY,
        ));
    }
    let queue = find(call.world, call.place, &input.queue_url)?;
    match queue.keep(now, &input.receipt_handle, visibility) {
        None => Err(bad_receipt(&input.receipt_handle)),
        Some(false) => Err(Refusal::client(
            "AWS.SimpleQueueService.MessageNotInflight",
            "The message referred to is not in flight.",
        )
        .shape("com.amazonaws.sqs#MessageNotInflight")),
        Some(true) => {
            call.changed();
            Ok(Document::map())
        }
    }
}

fn get_queue_url(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let owner = input.owner.unwrap_or_else(|| call.place.account.clone());
    let url = format!("{owner}/{}", input.queue_name);
    let queue = find(call.world, call.place, &url)?;
    let url = match call.local {
        Some(local) => format!("http://{local}/{owner}/{}", queue.name),
        None => queue.url(),
    };
    Ok(map! { "QueueUrl": url })
}

fn get_queue_attributes(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let now = call.now();
    let queue = find(call.world, call.place, &input.queue_url)?;
    let (visible, delayed, held) = queue.counts(now);
    let seconds = |at: Timestamp| (at.as_millis() / 1_000).to_string();
    let all = [
        ("ApproximateNumberOfMessages", visible.to_string()),
        ("ApproximateNumberOfMessagesDelayed", delayed.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", held.to_string()),
        ("CreatedTimestamp", seconds(queue.created_at)),
        ("DelaySeconds", "0".to_owned()),
        ("LastModifiedTimestamp", seconds(queue.created_at)),
        ("MaximumMessageSize", "1048576".to_owned()),
        ("MessageRetentionPeriod", queue.settings.retention.to_string()),
        ("QueueArn", queue.arn()),
        ("ReceiveMessageWaitTimeSeconds", queue.settings.wait.to_string()),
        ("SqsManagedSseEnabled", "true".to_owned()),
        ("VisibilityTimeout", queue.settings.visibility.to_string()),
    ];
    // Known to SQS; this queue has none of them.
    const NONE: [&str; 9] = [
        "Policy",
        "RedrivePolicy",
        "FifoQueue",
        "ContentBasedDeduplication",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "DeduplicationScope",
        "FifoThroughputLimit",
        "RedriveAllowPolicy",
    ];
    let mut attributes = Document::map();
    for wanted in &input.attribute_names {
        let is_known =
            wanted == "All" || NONE.contains(&wanted.as_str()) || all.iter().any(|(name, _)| name == wanted);
        if !is_known {
            let text = format!("Unknown Attribute {wanted}.");
            return Err(
                Refusal::client("InvalidAttributeName", text).shape("com.amazonaws.sqs#InvalidAttributeName")
            );
        }
    }
    for (name, value) in all {
        if input
            .attribute_names
            .iter()
            .any(|wanted| wanted == "All" || wanted == name)
        {
            attributes.put(name, value);
        }
    }
    let mut answer = Document::map();
    answer.put(
        "Attributes",
        (attributes != Document::map()).then_some(attributes),
    );
    Ok(answer)
}
