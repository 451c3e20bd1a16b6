//! What a rollout in flight holds by itself: its machine, its driver and its journal, without any cloud in the process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::stream;
use rollout_core::driver::{Driver, Perform};
use rollout_core::id::RunId;
use rollout_core::journal::{Body, GroupLog, MemoryJournal, Record, Replayed, Resumption, replay};
use rollout_core::machine::Machine as _;
use rollout_core::machine::rollout::{Effect, Event, Rollout};
use rollout_core::observer::Silent;
use rollout_core::port::Clock;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Crowd, SEED, patience, usage, world};
use crate::wired::on_virtual_time;

/// So many rollouts, all held at the same moment of their lives: the one at which a rollout has most to remember.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// How many.
    pub many: usize,
    /// Resident bytes that came on top.
    pub resident: u64,
    /// After how many records of its life, of so many.
    pub at: (usize, usize),
}

/// Time stands still.
struct Still(Timestamp);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }

    async fn sleep_until(&self, _: Timestamp) {
        core::future::pending().await
    }
}

/// Calls that are never answered, and counted.
struct Unanswered(Arc<AtomicUsize>);

#[async_trait]
impl Perform<Rollout> for Unanswered {
    async fn perform(&self, _: &Effect) -> Event {
        self.0.fetch_add(1, Ordering::Relaxed);
        core::future::pending().await
    }
}

/// The records of one whole rollout of the crowd.
fn life() -> Vec<Record<Event, Effect>> {
    on_virtual_time(SEED, async {
        let journal = MemoryJournal::new();
        let crowd = Crowd::new(world(1), 1, true);
        crowd.drive(0, patience(1), &journal).await.expect("it ends");
        journal.into_records()
    })
}

fn fresh(records: &[Record<Event, Effect>]) -> Rollout {
    match records.first().map(|record| &record.body) {
        Some(Body::Opened(header)) => serde_json::from_value(header.fresh.clone()).expect("a machine"),
        other => panic!("a journal begins with {other:?}"),
    }
}

fn left(records: &[Record<Event, Effect>]) -> Replayed<Rollout, Effect> {
    replay(fresh(records), records).expect("its own records")
}

/// After how many records something is under way and the machine, as it is stored, is the largest.
fn fullest(records: &[Record<Event, Effect>]) -> usize {
    let size = |end: &usize| {
        let left = left(&records[..*end]);
        let waits = !left.open.is_empty() && left.machine.deadline().is_some();
        let stored = serde_json::to_vec(&left.machine).expect("it can be stored");
        (waits, stored.len())
    };
    (1..records.len()).max_by_key(size).expect("it has records")
}

/// Resumes as many rollouts from one journal as are asked for, and lets each wait for the answer to its call. All write to one
/// group journal in `folder`.
///
/// # Panics
/// When that journal cannot be made.
#[must_use]
pub fn held(many: usize, folder: &Path) -> Held {
    let records = life();
    let (whole, end) = (records.len(), fullest(&records));
    let log = GroupLog::create(folder.join("journal")).expect("a journal");
    let asked = Arc::new(AtomicUsize::new(0));
    let records = Arc::new(records[..end].to_vec());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (before, _) = usage();
    let resident = runtime.expect("a runtime").block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for number in 0..many {
            let (records, log, asked) = (Arc::clone(&records), log.clone(), Arc::clone(&asked));
            set.spawn(async move {
                let mut left = left(&records);
                let run: RunId = format!("run-{number}").parse().expect("a name");
                let driver = Driver {
                    run: run.clone(),
                    performer: &Unanswered(asked),
                    journal: &log.journal(run),
                    clock: &Still(left.last),
                    observer: &Silent,
                };
                driver
                    .resume(&mut left, &Resumption::default(), stream::empty())
                    .await
            });
        }
        while asked.load(Ordering::Relaxed) < many {
            tokio::task::yield_now().await;
        }
        usage().0.saturating_sub(before)
    });
    Held {
        many,
        resident,
        at: (end, whole),
    }
}
