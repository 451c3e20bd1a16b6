//! A whole rollout whose journal and lease are in an object store: what it costs there, and that nothing else is different.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use pollster::block_on;
use rollout_aws::objects::{ObjectJournal, ObjectLeaseStore, read_run};
use rollout_core::driver::{DriveError, Driver, Fence, LeaseError, PortPerformer, Tenure};
use rollout_core::id::Generation;
use rollout_core::journal::{Body, Journal, JournalError, Lines, replay};
use rollout_core::lease::{LeaseRecord, Owner, Scope};
use rollout_core::machine::Effect as _;
use rollout_core::machine::lease::{Claim, Policy};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_core::port::Clock;
use rollout_sim::{SimCloud, World};
use rollout_tests::run::{fresh, performer, run, storefront};

/// A store in memory that counts what is put into it, journals and leases apart.
#[derive(Debug, Default)]
struct Counting {
    store: InMemory,
    segments: AtomicU32,
    leases: AtomicU32,
}

impl core::fmt::Display for Counting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, place: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let count = if place.as_ref().starts_with("journals/") {
            &self.segments
        } else {
            &self.leases
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.store.put_opts(place, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        place: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(place, options).await
    }

    async fn get_opts(&self, place: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(place, options).await
    }

    fn delete_stream(&self, places: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(places)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

fn world() -> World {
    rollout_sim::storefront(7)
}

fn journals() -> Path {
    Path::from("journals")
}

fn claim(who: &str, machine: &Rollout) -> Claim {
    Claim {
        scope: Scope {
            environment: "production".parse().expect("valid"),
            group: "storefront".parse().expect("valid"),
        },
        owner: Owner {
            who: who.to_owned(),
            host: "runner".to_owned(),
            url: None,
        },
        run: machine.plan().run.clone(),
        session: format!("session of {who}"),
    }
}

/// Takes the lease.
async fn tenure(
    store: &Arc<Counting>,
    clock: &Arc<dyn Clock>,
    claim: Claim,
) -> core::result::Result<Tenure, LeaseError> {
    let leases = ObjectLeaseStore::new(Arc::clone(store) as Arc<dyn ObjectStore>, Path::from("leases"));
    let mut quiet = |_: &LeaseRecord| {};
    Tenure::acquire(
        claim,
        Policy::default(),
        Arc::new(leases),
        Arc::clone(clock),
        &mut quiet,
    )
    .await
}

/// Drives a release under the lease, to its end or until it is lost.
async fn drive(
    cloud: &SimCloud,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    tenure: &Tenure,
) -> core::result::Result<core::result::Result<Outcome, DriveError>, LeaseError> {
    let clock = cloud.clock();
    let performer = performer(cloud, machine).under(tenure.generation());
    let fence: Fence<'_, PortPerformer> = tenure.fence(&performer, Duration::from_secs(20));
    let driver = Driver {
        run: machine.plan().run.clone(),
        performer: &fence,
        journal,
        clock: &*clock,
        observer: &Silent,
    };
    tenure.while_held(driver.run(machine, stream::pending())).await
}

fn draft(cloud: &SimCloud) -> Draft {
    storefront(&cloud.world())
}

/// P20, and the whole story: the same records as in memory, a lease that is given back, and a replay from the bucket.
#[test]
fn a_rollout_puts_one_segment_for_each_record_that_guards_an_effect() {
    let plain = run(world(), storefront(&world()));
    let cloud = SimCloud::new(world());
    let store = Arc::<Counting>::default();
    let mut machine = fresh(draft(&cloud));
    let (begun, run_id) = (machine.clone(), machine.plan().run.clone());
    let clock = cloud.clock();
    block_on(async {
        let tenure = tenure(&store, &clock, claim("a", &machine)).await.expect("free");
        assert_eq!(tenure.generation(), Generation(1));
        let bucket = Arc::clone(&store) as Arc<dyn ObjectStore>;
        let journal = ObjectJournal::create(bucket, &journals(), &run_id, "a")
            .await
            .expect("new");
        let outcome = drive(&cloud, &mut machine, &journal, &tenure)
            .await
            .expect("held")
            .expect("driven");
        assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
        assert!(tenure.release().await.expect("held"));
    });

    let read: Lines<Event, Effect> = block_on(read_run(&*store, &journals(), &run_id)).expect("whole");
    let kinds = |records: &[rollout_core::journal::Record<Event, Effect>]| -> Vec<String> {
        let kind = |body: &Body<Event, Effect>| match body {
            Body::Opened(_) => "opened".to_owned(),
            Body::Issued { effect } => format!("issued {effect:?}"),
            Body::Happened { of, .. } => format!("happened {of:?}"),
            Body::Resumed(_) => "resumed".to_owned(),
            Body::Closed => "closed".to_owned(),
        };
        records.iter().map(|record| kind(&record.body)).collect()
    };
    assert_eq!(
        kinds(&read.records),
        kinds(&plain.records),
        "the lease and the bucket change nothing"
    );
    let guarding = read
        .records
        .iter()
        .filter(|record| match &record.body {
            Body::Issued { effect } => effect.mutates(),
            Body::Opened(_) | Body::Closed => true,
            Body::Happened { .. } | Body::Resumed(_) => false,
        })
        .count();
    let segments = store.segments.load(Ordering::Relaxed);
    println!(
        "{} records, {segments} segments, {} lease writes",
        read.records.len(),
        store.leases.load(Ordering::Relaxed)
    );
    assert_eq!(segments as usize, guarding);
    assert!(
        guarding * 3 < read.records.len(),
        "most records are looks and time, and cost nothing"
    );
    let replayed = replay(begun, &read.records).expect("it replays");
    assert!(replayed.closed && replayed.machine == machine);
}

/// Another runner takes the run on between two of our records: we stop before the effect that the record would have guarded.
#[test]
fn a_runner_whose_run_was_taken_on_stops_before_its_next_effect() {
    let cloud = SimCloud::new(world());
    let store = Arc::<Counting>::default();
    let mut machine = fresh(draft(&cloud));
    let run_id = machine.plan().run.clone();
    let clock = cloud.clock();
    block_on(async {
        let tenure = tenure(&store, &clock, claim("a", &machine)).await.expect("free");
        let bucket = Arc::clone(&store) as Arc<dyn ObjectStore>;
        let journal = ObjectJournal::create(Arc::clone(&bucket), &journals(), &run_id, "a")
            .await
            .expect("new");
        // The other's segment, where ours of the first effect that changes something will go.
        let place = journals().join(run_id.as_str()).join("00000001.jsonl");
        let body = PutPayload::from_static(b"{\"segment\":1,\"writer\":\"b@runner-2\"}\n");
        bucket
            .put_opts(&place, body, PutOptions::default())
            .await
            .expect("put");
        let end = drive(&cloud, &mut machine, &journal, &tenure)
            .await
            .expect("the lease is held");
        let Err(DriveError::Journal(JournalError::Fenced { by, .. })) = end else {
            panic!("{end:?}")
        };
        assert_eq!(by, "b@runner-2");
    });
    assert_eq!(cloud.with(|world| world.calls().effects().count()), 0);
}

/// A release under a lease that somebody else has is not begun.
#[test]
fn a_second_runner_is_told_who_releases() {
    let cloud = SimCloud::new(world());
    let store = Arc::<Counting>::default();
    let machine = fresh(draft(&cloud));
    let clock = cloud.clock();
    block_on(async {
        let first = tenure(&store, &clock, claim("a", &machine)).await.expect("free");
        let leases = ObjectLeaseStore::new(Arc::clone(&store) as Arc<dyn ObjectStore>, Path::from("leases"));
        let policy = Policy {
            wait: Duration::ZERO,
            ..Policy::default()
        };
        let mut told = Vec::new();
        let mut tell = |record: &LeaseRecord| told.push(record.to_string());
        let second = claim("b", &machine);
        let error = Tenure::acquire(second, policy, Arc::new(leases), clock, &mut tell)
            .await
            .expect_err("held");
        assert!(
            error
                .to_string()
                .starts_with("a@runner holds production/storefront since "),
            "{error}"
        );
        assert_eq!(told.len(), 1);
        assert!(first.release().await.expect("held"));
    });
}
