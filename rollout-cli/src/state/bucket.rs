//! The state in a bucket, for runners on several machines.
//!
//! ```text
//! s3://bucket/prefix/journals/<run>/00000000.jsonl …    the release
//!                   /rollbacks/<n>/<run>/00000000.jsonl …  a rollback by hand
//!                   /leases/<environment>/<group>.json
//!                   /holds/<environment>.json
//!                   /aborts/<run>.json                 the latest request to stop
//! ```
//!
//! Nothing is ever deleted, so that no runner needs the permission.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_config::BehaviorVersion;
use futures_util::stream::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutPayload};
use rollout_aws::objects::{self, InvalidLocation, Location, ObjectJournal, ObjectLeaseStore};
use rollout_core::error::Error;
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::journal::{Durability, Entry, Journal, JournalError, Lines};
use rollout_core::lease::{LeaseRecord, LeaseStore, Scope, Stored, Version};
use rollout_core::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Misplaced, Part};
use crate::args::Global;
use crate::hold::TakenBack;
use crate::wall::real;
use crate::{runner, wall};

/// Where an S3-compatible store is, as the SDKs read it (AWS SDKs and tools reference guide, "Service-specific endpoints").
const ENDPOINT: &str = "AWS_ENDPOINT_URL_S3";

/// A place in a bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    location: Location,
    store: Arc<dyn ObjectStore>,
    /// Names this process in what it writes.
    writer: String,
}

impl Bucket {
    pub(super) async fn open(global: &Global, given: &str) -> anyhow::Result<Self> {
        let location: Location = given
            .parse()
            .map_err(|error: InvalidLocation| Misplaced(error.to_string()))?;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let named = std::env::var(ENDPOINT).ok().filter(|url| !url.is_empty());
        if let Some(url) = named.as_ref().or(global.endpoint_url.as_ref()) {
            loader = loader.endpoint_url(url);
        }
        let store = objects::open(&location, &loader.load().await)?;
        Ok(Self::on(location, store))
    }

    fn on(location: Location, store: Arc<dyn ObjectStore>) -> Self {
        let writer = format!("{}, {}", runner::someone(), runner::session());
        Self {
            location,
            store,
            writer,
        }
    }

    pub(super) fn place(&self) -> String {
        self.location.to_string()
    }

    /// Where a part's journal is, in a folder that is named after the run.
    fn folder(&self, part: Part) -> Path {
        match part {
            Part::Release => self.location.journals(),
            Part::Rollback(n) => self.location.folder("rollbacks").join(n.to_string()),
        }
    }

    pub(super) fn journal_place(&self, run: &RunId, part: Part) -> String {
        format!("s3://{}/{}/{run}", self.location.bucket(), self.folder(part))
    }

    /// Nothing of a run is there before its first record. What must hold is found out: that the store keeps two writers apart.
    pub(super) async fn create(&self, run: &RunId) -> anyhow::Result<()> {
        objects::check_writes(&*self.store, &self.location.folder("checks")).await?;
        if self.names().await?.iter().any(|name| name == run.as_str()) {
            bail!("there is a run {run} already; `rollout status {run}` shows it");
        }
        Ok(())
    }

    pub(super) async fn names(&self) -> anyhow::Result<Vec<String>> {
        let runs = objects::runs(&*self.store, &self.location.journals()).await?;
        Ok(runs.iter().map(ToString::to_string).collect())
    }

    /// How many rollbacks by hand were begun.
    pub(super) async fn rollbacks(&self, run: &RunId) -> anyhow::Result<u32> {
        for n in 1.. {
            let folder = self.folder(Part::Rollback(n)).join(run.as_str());
            let mut there = self.store.list(Some(&folder));
            let first = there.try_next().await;
            let first =
                first.with_context(|| format!("cannot list s3://{}/{folder}", self.location.bucket()))?;
            if first.is_none() {
                return Ok(n - 1);
            }
        }
        Ok(u32::MAX)
    }

    pub(super) async fn text(&self, run: &RunId, part: Part) -> anyhow::Result<Vec<u8>> {
        Ok(objects::read_text(&*self.store, &self.folder(part), run).await?)
    }

    pub(super) async fn begin(&self, run: &RunId, part: Part) -> Result<RealJournal, JournalError> {
        let (store, writer) = (Arc::clone(&self.store), self.writer.clone());
        let folder = self.folder(part);
        real(ObjectJournal::create(store, &folder, run, writer))
            .await
            .map(RealJournal)
    }

    pub(super) async fn reopen<E, F>(
        &self,
        run: &RunId,
        part: Part,
    ) -> Result<(RealJournal, Lines<E, F>), JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let (store, writer) = (Arc::clone(&self.store), self.writer.clone());
        let folder = self.folder(part);
        let opened = real(ObjectJournal::reopen(store, &folder, run, writer)).await?;
        Ok((RealJournal(opened.journal), opened.lines))
    }

    fn lease_store(&self) -> ObjectLeaseStore {
        ObjectLeaseStore::new(Arc::clone(&self.store), self.location.leases())
    }

    pub(super) fn leases(&self) -> RealLeases {
        RealLeases(self.lease_store())
    }

    pub(super) async fn all_leases(&self) -> anyhow::Result<Vec<LeaseRecord>> {
        Ok(self.lease_store().all().await?)
    }

    fn hold(&self, environment: &EnvironmentName) -> Path {
        self.location.folder("holds").join(format!("{environment}.json"))
    }

    pub(super) async fn taken_back(
        &self,
        environment: &EnvironmentName,
    ) -> anyhow::Result<Option<TakenBack>> {
        self.hold_at(&self.hold(environment)).await
    }

    async fn hold_at(&self, place: &Path) -> anyhow::Result<Option<TakenBack>> {
        match self.get(place).await? {
            Some(text) => TakenBack::of(&text, &self.named(place)),
            None => Ok(None),
        }
    }

    pub(super) async fn all_taken_back(&self) -> anyhow::Result<Vec<TakenBack>> {
        let folder = self.location.folder("holds");
        let listed: Vec<_> = self
            .store
            .list(Some(&folder))
            .try_collect()
            .await
            .with_context(|| format!("cannot list {}", self.named(&folder)))?;
        let mut places: Vec<Path> = listed.into_iter().map(|object| object.location).collect();
        places.sort_unstable();
        let mut all = Vec::new();
        for place in places {
            all.extend(self.hold_at(&place).await?);
        }
        Ok(all)
    }

    pub(super) async fn take_back(&self, taken: &TakenBack) -> anyhow::Result<()> {
        self.put(&self.hold(&taken.environment), &Some(taken)).await
    }

    pub(super) async fn forget(&self, environment: &EnvironmentName) -> anyhow::Result<()> {
        let place = self.hold(environment);
        if self.get(&place).await?.is_none() {
            return Ok(());
        }
        self.put(&place, &None::<TakenBack>).await
    }

    fn abort_place(&self, run: &RunId) -> Path {
        self.location.folder("aborts").join(format!("{run}.json"))
    }

    /// A request is another one each time, so that it is heard once and needs not be taken away.
    pub(super) async fn request_abort(&self, run: &RunId, by: &str) -> anyhow::Result<()> {
        let request = Request {
            by: by.to_owned(),
            at: wall::now(),
            request: runner::session(),
        };
        self.put(&self.abort_place(run), &request).await
    }

    /// The latest request to stop a run.
    pub(super) async fn abort(&self, run: &RunId) -> anyhow::Result<Option<Request>> {
        match self.get(&self.abort_place(run)).await? {
            Some(text) => Ok(Some(serde_json::from_slice(&text)?)),
            None => Ok(None),
        }
    }

    fn named(&self, place: &Path) -> String {
        format!("s3://{}/{place}", self.location.bucket())
    }

    async fn get(&self, place: &Path) -> anyhow::Result<Option<Vec<u8>>> {
        let read = async || match self.store.get(place).await {
            Ok(got) => Ok(Some(got.bytes().await?.to_vec())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        read()
            .await
            .with_context(|| format!("cannot read {}", self.named(place)))
    }

    async fn put(&self, place: &Path, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(value)?;
        self.store
            .put(place, PutPayload::from(text))
            .await
            .with_context(|| format!("cannot write {}", self.named(place)))?;
        Ok(())
    }
}

/// A request to stop a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) by: String,
    at: Timestamp,
    /// Another text each time.
    request: String,
}

/// A bucket's journal, in real time.
pub(super) struct RealJournal(ObjectJournal);

#[async_trait]
impl<E, F> Journal<E, F> for RealJournal
where
    E: Serialize + Sync,
    F: Serialize + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        real(self.0.append(entry, durability)).await
    }
}

/// A bucket's leases, in real time.
pub(super) struct RealLeases(ObjectLeaseStore);

#[async_trait]
impl LeaseStore for RealLeases {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        real(self.0.read(scope)).await
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        real(self.0.put(scope, value, expected)).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use rollout_core::machine::rollout::{Effect, Event};

    use super::*;

    fn bucket() -> Bucket {
        Bucket::on(
            "s3://state/shop".parse().expect("a place"),
            Arc::new(InMemory::new()),
        )
    }

    fn run(name: &str) -> RunId {
        RunId::new(name).expect("valid")
    }

    #[tokio::test]
    async fn what_was_taken_back_is_found_again_until_something_is_released_over_it() {
        let bucket = bucket();
        let production = "production".parse().expect("a name");
        assert_eq!(bucket.taken_back(&production).await.expect("readable"), None);
        bucket.forget(&production).await.expect("nothing to forget");
        let taken = crate::hold::tests::taken("production");
        bucket.take_back(&taken).await.expect("writable");
        assert_eq!(bucket.all_taken_back().await.expect("readable"), [taken]);
        bucket.forget(&production).await.expect("writable");
        bucket.forget(&production).await.expect("said twice is harmless");
        assert_eq!(bucket.taken_back(&production).await.expect("readable"), None);
        assert_eq!(bucket.all_taken_back().await.expect("readable"), []);
    }

    #[tokio::test]
    async fn a_damaged_hold_passes_nobody() {
        let bucket = bucket();
        let place = bucket.hold(&"production".parse().expect("a name"));
        let damaged = PutPayload::from_static(b"{");
        bucket.store.put(&place, damaged).await.expect("writable");
        let error = bucket.all_taken_back().await.expect_err("damaged").to_string();
        assert!(error.contains("s3://state/shop/holds/production.json"), "{error}");
    }

    #[tokio::test]
    async fn each_request_to_stop_is_another_one() {
        let bucket = bucket();
        assert_eq!(bucket.abort(&run("r-1")).await.expect("readable"), None);
        bucket
            .request_abort(&run("r-1"), "alice")
            .await
            .expect("writable");
        let first = bucket.abort(&run("r-1")).await.expect("readable");
        assert!(first.as_ref().is_some_and(|asked| asked.by == "alice"));
        bucket
            .request_abort(&run("r-1"), "alice")
            .await
            .expect("writable");
        assert_ne!(bucket.abort(&run("r-1")).await.expect("readable"), first);
    }

    #[tokio::test]
    async fn rollbacks_are_counted_and_a_run_is_begun_once() {
        let bucket = bucket();
        bucket.create(&run("r-1")).await.expect("new");
        for part in [Part::Release, Part::Rollback(1), Part::Rollback(2)] {
            let journal = bucket.begin(&run("r-1"), part).await.expect("new");
            let entry = Entry::<Event, Effect> {
                seq: 0,
                at: wall::now(),
                body: rollout_core::journal::EntryBody::Closed,
            };
            journal
                .append(entry, Durability::Durable)
                .await
                .expect("writable");
        }
        assert_eq!(bucket.rollbacks(&run("r-1")).await.expect("readable"), 2);
        assert_eq!(bucket.rollbacks(&run("r-2")).await.expect("readable"), 0);
        assert_eq!(bucket.names().await.expect("readable"), ["r-1"]);
        let error = bucket
            .create(&run("r-1"))
            .await
            .expect_err("it is there")
            .to_string();
        assert!(error.contains("rollout status r-1"), "{error}");
    }
}
