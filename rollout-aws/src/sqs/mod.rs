//! Hints from a queue that EventBridge feeds with the events of ECS.
//!
//! A rule `{ "source": ["aws.ecs"], "detail-type": ["ECS Deployment State Change", "ECS Task State Change", "ECS Service Action"] }`
//! with the queue as its target is all that AWS needs. What comes is not believed, it is only where to look: messages may come
//! twice, late, in another order, or not at all (Amazon EventBridge user guide, "Amazon EventBridge event delivery"; Amazon SQS
//! developer guide, "Amazon SQS at-least-once delivery"), and everything goes on by polling without them.
//!
//! # One queue for each environment and release group
//! A message of SQS goes to one reader. Runners that read one queue take each other's messages; as only one runner at a time may
//! change an environment and release group, a queue for each of them has one reader. The rollouts of one process share a reader:
//! [`EventQueue::serve`] hands each message to all [`Subscribers`] that wait for it. Where several readers share a queue all the same, what
//! a reader does not wait for it leaves: it comes back for the others after [`VISIBILITY`], and is deleted by whoever sees it
//! when it is older than [`WORTHLESS`]. No hint is lost by that, but it may be late.
//!
//! # What becomes of a message
//! | it is | then |
//! |---|---|
//! | about what is waited for | a hint, then deleted |
//! | about that, but from before we listened, or not worth a look | deleted |
//! | about something else, or of a kind that is not known | left for others; deleted when it is too old |
//! | no event | reported, deleted |
//!
//! A reader that dies between the hint and the deletion leaves the message to the next one: a hint too many does no harm.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use aws_types::SdkConfig;
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::hint::HintSender;
use rollout_core::id::ServiceName;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;

use crate::config;
use crate::error::from_sdk;

#[cfg(test)]
mod corpus;
pub mod event;
mod subscribers;

use self::event::{About, Malformed};
pub use self::subscribers::{Subscribers, Subscription};

const RECEIVE: &str = "sqs:ReceiveMessage";
const DELETE: &str = "sqs:DeleteMessage";

/// The IAM actions of this adapter. `DeleteMessageBatch` is covered by the second.
pub const ACTIONS: &[&str] = &[RECEIVE, DELETE];

/// For how long a message that was received is kept from other readers, in seconds: enough to delete it, and short for whoever
/// else may wait for it.
pub const VISIBILITY: i32 = 5;
/// Older than this a message is no hint to anybody: polling has overtaken it.
pub const WORTHLESS: Duration = Duration::from_secs(120);
/// How long one call waits for a message, in seconds. Shorter than the longest that SQS takes (20), so that it ends before the
/// client's own patience does.
const WAIT: i32 = 10;
/// The most messages of one call.
const BATCH: u8 = 10;
/// Between two calls when messages came, unless a whole call was of use: what comes close together is taken together.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two calls when one has failed: doubled up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The cluster's name.
    pub cluster: String,
    /// Services of it.
    pub services: BTreeSet<ServiceName>,
    /// Families of one-off tasks in it.
    pub families: BTreeSet<String>,
}

impl Interest {
    /// Whether it is waited for. Where the cluster is not told the name decides: a hint too many does no harm.
    fn covers(&self, about: &About) -> bool {
        let here = about.cluster().is_none_or(|cluster| cluster == self.cluster);
        here && match about {
            About::Service { service, .. } => self.services.contains(service),
            About::Task { family, .. } => family
                .as_ref()
                .is_some_and(|family| self.families.contains(family)),
            About::Other(_) => false,
        }
    }
}

/// What a listener tells of besides hints.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble<'a> {
    /// The queue cannot be read at the moment. Told once, until it can be again; polling goes on meanwhile.
    Unreadable(&'a Error),
    /// It can be read again.
    Readable,
    /// It will never be readable as things are: no more is asked of it, and polling goes on alone.
    Lost(&'a Error),
    /// A message is no event; it is deleted.
    Malformed {
        /// Its id.
        message: &'a str,
        /// Why.
        why: &'a Malformed,
    },
}

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "no hints for now, polling goes on: {error}"),
            Self::Readable => f.write_str("hints come again"),
            Self::Lost(error) => write!(f, "no hints any more, polling goes on: {error}"),
            Self::Malformed { message, why } => write!(f, "message {message} is deleted unread: {why}"),
        }
    }
}

/// A queue.
///
/// # IAM actions
/// `sqs:ReceiveMessage` and `sqs:DeleteMessage` on the queue; on an encrypted one `kms:Decrypt` on its key.
#[derive(Clone)]
pub struct EventQueue {
    client: Client,
    url: String,
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What one call came to, in messages.
struct Taken {
    came: usize,
    /// Those that somebody waits for.
    handed: usize,
}

impl EventQueue {
    /// The queue with this URL, in `config`'s account and region.
    #[must_use]
    pub fn from_config(config: &SdkConfig, url: &str) -> Self {
        Self::with_client(Client::new(&config::prepare(config)), url)
    }

    /// The same with a ready client, whose time-out must be longer than ten seconds.
    #[must_use]
    pub fn with_client(client: Client, url: &str) -> Self {
        Self {
            client,
            url: url.to_owned(),
        }
    }

    /// Gives hints to one rollout for as long as it takes them, or until the queue is lost for good. Dropping it stops it at any
    /// point.
    ///
    /// `told` hears of [`Trouble`]; none of it is a reason to stop a release.
    pub async fn listen(
        &self,
        interest: &Interest,
        clock: &dyn Clock,
        hints: &HintSender,
        told: &mut (dyn FnMut(&Trouble<'_>) + Send),
    ) {
        let subscribers = Subscribers::default();
        let _it = subscribers.subscribe(interest.clone(), clock.now(), hints.clone());
        self.read(&subscribers, clock, told, &|| subscribers.is_empty())
            .await;
    }

    /// Gives hints to many rollouts, which may come and go meanwhile, until the queue is lost for good. Dropping it stops it at any
    /// point. It reads on while there are none.
    ///
    /// `told` as above.
    pub async fn serve(
        &self,
        subscribers: &Subscribers,
        clock: &dyn Clock,
        told: &mut (dyn FnMut(&Trouble<'_>) + Send),
    ) {
        self.read(subscribers, clock, told, &|| false).await;
    }

    async fn read(
        &self,
        subscribers: &Subscribers,
        clock: &dyn Clock,
        told: &mut (dyn FnMut(&Trouble<'_>) + Send),
        is_over: &(dyn Fn() -> bool + Sync),
    ) {
        let mut pause = RETRY.0;
        let mut failing = false;
        loop {
            match self.take(subscribers, clock.now(), told).await {
                Ok(_) if is_over() => return,
                Ok(taken) => {
                    if core::mem::take(&mut failing) {
                        told(&Trouble::Readable);
                    }
                    pause = RETRY.0;
                    // Where a whole call was of use there may be more of it.
                    if taken.came > 0 && taken.handed < usize::from(BATCH) {
                        clock.sleep_until(clock.now().after(PAUSE)).await;
                    }
                }
                Err(error) if is_final(&error) => {
                    told(&Trouble::Lost(&error));
                    return;
                }
                Err(error) => {
                    if !core::mem::replace(&mut failing, true) {
                        told(&Trouble::Unreadable(&error));
                    }
                    clock.sleep_until(clock.now().after(pause)).await;
                    pause = pause.saturating_mul(2).min(RETRY.1);
                }
            }
        }
    }

    /// One call: hands over what is waited for, and deletes what is done with.
    async fn take(
        &self,
        subscribers: &Subscribers,
        now: Timestamp,
        told: &mut (dyn FnMut(&Trouble<'_>) + Send),
    ) -> Result<Taken, Error> {
        let messages = self.receive().await?;
        let mut taken = Taken {
            came: messages.len(),
            handed: 0,
        };
        let mut done = Vec::new();
        for message in &messages {
            let sent = sent_at(message);
            let is_done = match event::read(message.body().unwrap_or_default()) {
                Err(why) => {
                    let message = message.message_id().unwrap_or("without an id");
                    told(&Trouble::Malformed { message, why: &why });
                    true
                }
                Ok(about) => {
                    let handed = subscribers.hand(&about, sent);
                    taken.handed += usize::from(handed);
                    handed || sent.is_some_and(|sent| now.since(sent) > WORTHLESS)
                }
            };
            done.extend(message.receipt_handle().filter(|_| is_done).map(str::to_owned));
        }
        self.delete(&done).await?;
        Ok(taken)
    }

    async fn receive(&self) -> Result<Vec<Message>, Error> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH.into())
            .visibility_timeout(VISIBILITY)
            .wait_time_seconds(WAIT)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| from_sdk(RECEIVE, format_args!("queue {}", self.url), false, error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// What is not deleted comes back: no harm is done.
    async fn delete(&self, receipts: &[String]) -> Result<(), Error> {
        if receipts.is_empty() {
            return Ok(());
        }
        let entry = |(number, receipt): (usize, &String)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(receipt)
                .build()
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Unexpected,
                        DELETE,
                        "an entry of a batch cannot be made",
                    )
                    .caused_by(error)
                })
        };
        let entries = receipts
            .iter()
            .enumerate()
            .map(entry)
            .collect::<Result<Vec<_>, _>>()?;
        self.client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| from_sdk(DELETE, format_args!("queue {}", self.url), false, error))?;
        Ok(())
    }
}

/// When it was sent, by the queue's clock; `None` where that is not told.
fn sent_at(message: &Message) -> Option<Timestamp> {
    let text = message
        .attributes()?
        .get(&MessageSystemAttributeName::SentTimestamp)?;
    text.parse().ok().map(Timestamp::from_millis)
}

/// A queue that is not there, or may not be read, stays so.
fn is_final(error: &Error) -> bool {
    error.retry == Retry::Never
}

#[cfg(all(test, feature = "sts"))]
mod tests;
