//! The conformance suite on object stores.

use core::cell::Cell;

use async_trait::async_trait;
use rollout_core::conformance::journal::{self, JournalFixture};
use rollout_core::conformance::lease_store::{self, LeaseStoreFixture};
use rollout_core::conformance::{Report, Stop, Trouble};
use rollout_core::journal::Journal;
use rollout_core::lease::LeaseStore;

use super::*;

type Texts = Box<dyn Journal<String, String>>;

/// Journals in a store.
struct Journals {
    store: Arc<dyn ObjectStore>,
    /// Whether it can be full.
    faulty: Option<Arc<Faulty>>,
    writers: Cell<u32>,
}

impl Journals {
    fn new(store: Arc<dyn ObjectStore>, faulty: Option<Arc<Faulty>>) -> Self {
        let writers = Cell::new(0);
        Self {
            store,
            faulty,
            writers,
        }
    }

    async fn open(&self, name: &str) -> Result<Result<Texts, JournalError>, Stop> {
        let run: RunId = name.parse().map_err(Stop::fixture)?;
        self.writers.set(self.writers.get() + 1);
        let writer = format!("writer {}", self.writers.get());
        let made = ObjectJournal::create(Arc::clone(&self.store), &folder(), &run, writer).await;
        Ok(made.map(|journal| Box::new(journal) as Texts))
    }
}

#[async_trait(?Send)]
impl JournalFixture for Journals {
    async fn create(&self, name: &str) -> Result<Result<Texts, JournalError>, Stop> {
        self.open(name).await
    }

    async fn read(&self, name: &str) -> Result<Result<Vec<Written>, JournalError>, Stop> {
        let run: RunId = name.parse().map_err(Stop::fixture)?;
        Ok(read_run(&*self.store, &folder(), &run)
            .await
            .map(|lines| lines.records))
    }

    async fn scribble(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        let folder = folder().join(name);
        let mut last = None;
        for number in 0..1_000 {
            let place = folder.clone().join(format!("{number:08}.jsonl"));
            let Ok(got) = self.store.get(&place).await else {
                break;
            };
            last = Some((place, got.bytes().await.map_err(Stop::fixture)?));
        }
        let (place, before) = last.ok_or_else(|| Stop::fixture("no such journal"))?;
        let body = [&before[..], bytes].concat();
        self.store
            .put(&place, PutPayload::from(body))
            .await
            .map(drop)
            .map_err(Stop::fixture)
    }

    async fn cramped(&self, name: &str) -> Result<Texts, Stop> {
        let Some(faulty) = &self.faulty else {
            return Err(Stop::skip("this disk has room for more than a test should write"));
        };
        faulty.cramp(3 * 1024 * 1024);
        self.open(name).await?.map_err(Stop::fixture)
    }
}

/// Leases in a store.
struct Leases(Arc<Faulty>);

#[async_trait(?Send)]
impl LeaseStoreFixture for Leases {
    async fn open(&self) -> Result<Box<dyn LeaseStore>, Stop> {
        let store = Arc::clone(&self.0) as Arc<dyn ObjectStore>;
        Ok(Box::new(ObjectLeaseStore::new(store, Path::from("team/leases"))))
    }

    async fn trouble(&self, trouble: Trouble) -> Result<(), Stop> {
        self.0.set(Some(match trouble {
            Trouble::LostAnswers => Fault::LostAfter,
            Trouble::Denied => Fault::Denied,
            _ => return Err(Stop::skip("not played here")),
        }));
        Ok(())
    }

    async fn calm(&self) -> Result<(), Stop> {
        self.0.set(None);
        Ok(())
    }
}

fn conforms(report: &Report, checks: usize, skipped: &[&str]) {
    assert!(report.is_conforming(), "{report}");
    assert_eq!(report.findings.len(), checks);
    let seen: Vec<&str> = report.skipped().map(|finding| finding.name.as_str()).collect();
    assert_eq!(seen, skipped, "{report}");
}

#[tokio::test]
async fn journals_in_a_store_in_memory_conform() {
    let open = async || {
        let store = Faulty::new();
        Ok(Journals::new(
            Arc::clone(&store) as Arc<dyn ObjectStore>,
            Some(store),
        ))
    };
    conforms(&journal::check(open).await, journal::CHECKS.len(), &[]);
}

#[tokio::test]
async fn journals_in_a_local_store_conform() {
    let folder = tempfile::tempdir().expect("a folder");
    let nth = Cell::new(0);
    let open = async || {
        let own = folder.path().join(nth.replace(nth.get() + 1).to_string());
        std::fs::create_dir(&own).map_err(Stop::fixture)?;
        let store = LocalFileSystem::new_with_prefix(own).map_err(Stop::fixture)?;
        Ok(Journals::new(Arc::new(store), None))
    };
    conforms(
        &journal::check(open).await,
        journal::CHECKS.len(),
        &[
            "after_a_failed_append_nothing_more_is_taken",
            "a_full_store_loses_no_record_that_was_promised",
        ],
    );
}

#[tokio::test]
async fn leases_in_an_object_store_conform() {
    let report = lease_store::check(async || Ok(Leases(Faulty::new()))).await;
    conforms(&report, lease_store::CHECKS.len(), &[]);
}
