//! A standard queue of SQS: at least once, in no promised order.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::plus;

/// Milliseconds of a second.
const SECOND: u64 = 1_000;
/// The most messages of one answer, and of one batch (Amazon SQS API, "ReceiveMessage", "DeleteMessageBatch").
pub(crate) const BATCH: usize = 10;

/// What a queue is set to, in seconds. The defaults are those of Amazon SQS API, "CreateQueue".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// How long a message that was given out is kept from others.
    pub(crate) visibility: u64,
    /// How long a call waits for a message that says nothing of it.
    pub(crate) wait: u64,
    /// How long a message is kept.
    pub(crate) retention: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            visibility: 30,
            wait: 0,
            retention: 345_600,
        }
    }
}

/// A queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) name: String,
    account: String,
    region: String,
    pub(crate) created_at: Timestamp,
    pub(crate) settings: Settings,
    messages: Vec<Message>,
    next: u64,
    deleted: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Message {
    number: u64,
    id: String,
    body: String,
    sent_at: Timestamp,
    /// Nobody is given it before.
    visible_at: Timestamp,
    received: u32,
    first_received_at: Option<Timestamp>,
}

/// A message in somebody's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) receipt: String,
    pub(crate) body: String,
    pub(crate) sent_at: Timestamp,
    pub(crate) received: u32,
    pub(crate) first_received_at: Timestamp,
}

/// What one call is given.
pub(crate) type Batch = Vec<Received>;

/// A queue by whom it belongs to.
pub(crate) type Named<'a> = (&'a str, &'a str);

/// Whether a standard queue can have this name (Amazon SQS API, "CreateQueue").
pub(super) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=80).contains(&text.len()) && text.chars().all(fits)
}

impl Queue {
    pub(super) fn new((account, region): Named<'_>, name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            account: account.to_owned(),
            region: region.to_owned(),
            created_at: now,
            settings: Settings::default(),
            messages: Vec::new(),
            next: 0,
            deleted: false,
        }
    }

    /// Whether it is this one.
    pub(crate) fn is_at(&self, (account, region): Named<'_>, name: &str) -> bool {
        !self.deleted && self.account == account && self.region == region && self.name == name
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "https://sqs.{}.amazonaws.com/{}/{}",
            self.region, self.account, self.name
        )
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, self.account, self.name)
    }

    pub(super) fn delete(&mut self) {
        self.deleted = true;
        self.messages.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Takes a message that arrives at this moment.
    pub(super) fn put(&mut self, at: Timestamp, id: &str, body: &str) {
        if self.deleted {
            return;
        }
        self.next += 1;
        self.messages.push(Message {
            number: self.next,
            id: id.to_owned(),
            body: body.to_owned(),
            sent_at: at,
            visible_at: at,
            received: 0,
            first_received_at: None,
        });
    }

    fn forget(&mut self, now: Timestamp) {
        let kept = self.settings.retention * SECOND;
        self.messages.retain(|m| plus(m.sent_at, kept) > now);
    }

    /// When the next message can be had, if there is one.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.messages.iter().map(|m| m.visible_at).min()
    }

    /// Gives out messages, and keeps them from others for a while.
    pub(crate) fn receive(&mut self, now: Timestamp, most: usize, visibility: u64) -> Batch {
        self.forget(now);
        let mut ready: Vec<&mut Message> = self.messages.iter_mut().filter(|m| m.visible_at <= now).collect();
        ready.sort_by_key(|m| (m.visible_at, m.number));
        let given = ready.into_iter().take(most.min(BATCH)).map(|message| {
            message.received += 1;
            message.visible_at = plus(now, visibility * SECOND);
            let first = *message.first_received_at.get_or_insert(now);
            Received {
                id: message.id.clone(),
                receipt: receipt(message.number, message.received),
                body: message.body.clone(),
                sent_at: message.sent_at,
                received: message.received,
                first_received_at: first,
            }
        });
        given.collect()
    }

    /// Deletes a message by its receipt. One that was given out again since stays (Amazon SQS API, "DeleteMessage": with an older
    /// receipt handle the call succeeds, and the message might not be deleted). `false` for what is no receipt.
    pub(crate) fn remove(&mut self, receipt: &str) -> bool {
        let Some((number, received)) = read_receipt(receipt) else {
            return false;
        };
        self.messages
            .retain(|m| m.number != number || m.received != received);
        true
    }

    /// Keeps a message from others for so many seconds from now. `None` for what is no receipt, `Some(false)` for one of a message
    /// that is not in anybody's hands, or was given out again since.
    pub(crate) fn keep(&mut self, now: Timestamp, receipt: &str, visibility: u64) -> Option<bool> {
        let (number, received) = read_receipt(receipt)?;
        let held = self
            .messages
            .iter_mut()
            .find(|m| m.number == number && m.received == received && m.visible_at > now);
        Some(
            held.map(|m| m.visible_at = plus(now, visibility * SECOND))
                .is_some(),
        )
    }

    /// Messages that can be had, are on their way, and are in somebody's hands.
    pub(crate) fn counts(&self, now: Timestamp) -> (usize, usize, usize) {
        let visible = self.messages.iter().filter(|m| m.visible_at <= now).count();
        let delayed = self.messages.iter().filter(|m| m.sent_at > now).count();
        (visible, delayed, self.messages.len() - visible - delayed)
    }
}

const SEAL: u64 = 0x5151_9e37_79b9_7f4a;

fn receipt(number: u64, received: u32) -> String {
    let word = number ^ SEAL;
    format!(
        "AQEB{word:016x}{received:08x}{:016x}",
        word.wrapping_mul(SEAL) ^ u64::from(received)
    )
}

fn read_receipt(text: &str) -> Option<(u64, u32)> {
    let rest = text.strip_prefix("AQEB")?;
    let number = u64::from_str_radix(rest.get(..16)?, 16).ok()? ^ SEAL;
    let received = u32::from_str_radix(rest.get(16..24)?, 16).ok()?;
    (receipt(number, received) == text).then_some((number, received))
}
