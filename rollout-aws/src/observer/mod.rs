//! One observer for all rollouts of an account and region: calls wait for their API group's token bucket, and reads that many
//! ask for at the same time are made once, as large as the API takes them.
//!
//! AWS counts calls by account and region, whoever makes them. Adapters that are given the same [`SharedObserver`] share
//! its buckets, so that a thousand rollouts never make more calls than the account may ([`rollout_core::pace`]), and share
//! these reads:
//!
//! | operation | items a call |
//! |---|---|
//! | `ecs:DescribeServices`, of one cluster | 10 |
//! | `ecs:DescribeTasks`, of one cluster | 100 |
//! | `ecs:DescribeServiceDeployments`, `ecs:DescribeServiceRevisions` | 20 |
//! | `cloudwatch:DescribeAlarms` | 100 |
//!
//! An adapter without one works as before: each call for itself, at once.
//!
//! # What a shared read promises
//! - It is sent after everybody whom it answers has asked. An answer is never older than the ask, so a read that guards a write
//!   may be shared like any other (invariants I-5, I-8).
//! - Only reads of the same priority share a call: a way back never waits for others to gather.
//! - What is wrong with one item is that item's error. A call that is refused as a whole (a name or a permission that does not
//!   hold for one of the items) is made again for each who asked, alone; one that failed on the way is everybody's error, and the
//!   machines repeat it.
//! - Whoever gives up, or is dropped, stops nobody else.
//!
//! # Second tries
//! The SDK's own retries of reads do not wait for a bucket, but are paid for, and a call that AWS refuses as one too many
//! empties its bucket for a moment: somebody else calls this account, too.

#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
pub(crate) mod batch;
mod meter;
#[cfg(all(test, feature = "ecs"))]
mod tests;

use core::fmt;
#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
use core::future::Future;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
use rollout_core::pace::Priority;
use rollout_core::pace::{Limit, Pace, Spent, documented};
use rollout_core::port::Clock;
#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
use rollout_core::time::Timestamp;

#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
use self::batch::Batcher;
pub(crate) use self::meter::Meter;
#[cfg(feature = "readiness")]
pub(crate) use self::meter::tried;

/// How long a read waits for others to join it, unless told otherwise.
pub const GATHER: Duration = Duration::from_millis(250);

/// The token buckets and the shared reads of one account and region.
///
/// One for each account, region **and caller**: whoever joins a read is answered by the call of whoever began it.
pub struct SharedObserver {
    pace: Pace,
    sent: Mutex<BTreeMap<(&'static str, String), u64>>,
    gather: Duration,
    #[cfg(feature = "ecs")]
    pub(crate) services: Batcher<crate::ecs::Described>,
    #[cfg(feature = "ecs")]
    pub(crate) tasks: Batcher<crate::ecs::DescribedTask>,
    #[cfg(feature = "ecs")]
    pub(crate) records: Batcher<Arc<aws_sdk_ecs::types::ServiceDeployment>>,
    #[cfg(feature = "ecs")]
    pub(crate) revisions: Batcher<rollout_core::id::TaskDefinitionArn>,
    #[cfg(feature = "cloudwatch")]
    pub(crate) alarms: Batcher<Arc<crate::cloudwatch::Alarm>>,
}

impl SharedObserver {
    /// With the buckets that AWS documents. What is random comes from the seed: give each runner another one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_limits(clock, documented(), seed)
    }

    /// With other buckets: an account's raised quotas, or a part of them ([`Limit::part`]) where others call it, too. What no
    /// bucket holds is not limited.
    #[must_use]
    pub fn with_limits(clock: Arc<dyn Clock>, limits: Vec<Limit>, seed: u64) -> Self {
        Self {
            pace: Pace::new(clock, limits, seed),
            sent: Mutex::default(),
            gather: GATHER,
            #[cfg(feature = "ecs")]
            services: Batcher::new(crate::ecs::DESCRIBE_SERVICES, crate::ecs::SERVICES_A_CALL),
            #[cfg(feature = "ecs")]
            tasks: Batcher::new(crate::ecs::DESCRIBE_TASKS, crate::ecs::TASKS_A_CALL),
            #[cfg(feature = "ecs")]
            records: Batcher::new(crate::ecs::DESCRIBE_RECORDS, crate::ecs::RECORDS_A_CALL),
            #[cfg(feature = "ecs")]
            revisions: Batcher::new(crate::ecs::DESCRIBE_SERVICE_REVISIONS, crate::ecs::RECORDS_A_CALL),
            #[cfg(feature = "cloudwatch")]
            alarms: Batcher::new(crate::cloudwatch::ALARMS, crate::cloudwatch::BATCH),
        }
    }

    /// How long a read that only looks waits for others to join it. Others wait a tenth of that, and a rollout that is alone does
    /// not wait.
    #[must_use]
    pub fn gathering(mut self, span: Duration) -> Self {
        self.gather = span;
        self
    }

    /// What each operation has cost so far, by `service:Operation` as in signatures.
    #[must_use]
    pub fn spent(&self) -> BTreeMap<String, Spent> {
        self.pace.spent()
    }

    /// The requests that were sent so far, second tries included, by IAM action such as `ecs:UpdateService`.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<String, u64> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |((service, operation), count): (&(&'static str, String), &u64)| {
            (format!("{}:{operation}", action_of(service)), *count)
        };
        sent.iter().map(named).collect()
    }

    fn sends(&self, service: &'static str, operation: &str) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent.entry((service, operation.to_owned())).or_default() += 1;
    }

    #[cfg(any(feature = "cloudwatch", feature = "ecs"))]
    pub(crate) const fn pace(&self) -> &Pace {
        &self.pace
    }
}

impl fmt::Debug for SharedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedObserver")
            .field("gather", &self.gather)
            .finish_non_exhaustive()
    }
}

/// The service as signatures name it, and the operation, of an IAM action such as `ecs:UpdateService`.
pub(crate) fn called(action: &'static str) -> (&'static str, &'static str) {
    match action.split_once(':') {
        // The one service here whose actions are named otherwise than its signatures.
        Some(("cloudwatch", operation)) => ("monitoring", operation),
        Some(named) => named,
        None => ("", action),
    }
}

/// The service as IAM actions name it, of one as signatures do.
fn action_of(service: &str) -> &str {
    match service {
        "monitoring" => "cloudwatch",
        other => other,
    }
}

/// An adapter's way to the observer, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toll(Option<Arc<SharedObserver>>);

impl Toll {
    pub(crate) fn of(observer: &Arc<SharedObserver>) -> Self {
        Self(Some(Arc::clone(observer)))
    }

    /// Waits until a call may be made; at most until the caller stops waiting for it. To be awaited right before each call,
    /// except before a write that is guarded by reads: there it comes before the reads, so that they are fresh when it is sent.
    pub(crate) async fn pay(&self, ctx: &OpContext, action: &'static str) -> Result<(), Error> {
        let Some(observer) = &self.0 else {
            return Ok(());
        };
        let (service, operation) = called(action);
        let admitted = observer
            .pace
            .admit(service, operation, ctx.priority, ctx.deadline);
        admitted.await.map_err(|late| {
            let context = format!(
                "the call was not made: {late}, because the account's calls of this kind are limited; let fewer rollouts run at \
                 once, let them wait longer, or have the quota raised"
            );
            Error::new(ErrorKind::Throttled, action, context).caused_by(late)
        })
    }
}

#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
impl Toll {
    /// Makes a read of some items, shared with whoever asks for others of the same scope. `call` makes one call of at most as
    /// many items as the API takes; what it does not find is not in its answer. Also says when the first call was sent, where
    /// the observer knows.
    pub(crate) async fn read<V, C, F>(
        &self,
        ctx: &OpContext,
        batcher: fn(&SharedObserver) -> &Batcher<V>,
        scope: &str,
        keys: &[String],
        (most, call): (usize, C),
    ) -> Result<Read<V>, Error>
    where
        V: Clone + Send + Sync + 'static,
        C: Fn(Vec<String>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<BTreeMap<String, V>, Error>> + Send + 'static,
    {
        let mut read = Read {
            sent_at: None,
            found: BTreeMap::new(),
        };
        for chunk in keys.chunks(most) {
            let Some(observer) = &self.0 else {
                read.found.extend(call(chunk.to_vec()).await?);
                continue;
            };
            let (sent_at, found) = batcher(observer)
                .ask(observer, ctx, scope, chunk, call.clone())
                .await?;
            read.sent_at.get_or_insert(sent_at);
            read.found.extend(found);
        }
        Ok(read)
    }
}

/// What a read has found, by what was asked for.
#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
pub(crate) struct Read<V> {
    /// When the first of its calls was sent.
    pub(crate) sent_at: Option<Timestamp>,
    pub(crate) found: BTreeMap<String, V>,
}

/// How long others are waited for.
#[cfg(any(feature = "cloudwatch", feature = "ecs"))]
fn patience(gather: Duration, priority: Priority) -> Duration {
    match priority {
        Priority::Look => gather,
        Priority::Back | Priority::Forward => gather / 10,
    }
}
