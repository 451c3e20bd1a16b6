//! On virtual time, with several runners that take turns, and one that falls asleep at any look at its clock: between any two
//! steps there is one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;

use super::*;
use crate::driver::{DriveError, Driver};
use crate::error::{Error, ErrorKind};
use crate::id::TaskArn;
use crate::journal::{Body, MemoryJournal};
use crate::lease::{MemoryLeaseStore, Owner, Stored, Version};
use crate::machine::task::{self, OneOff};
use crate::observer::Silent;
use crate::service::{RevisionSpec, TaskObservation, TaskSpec};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    Timestamp::EPOCH.after(secs(n))
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks until none can go on, then lets time pass.
#[derive(Default)]
struct World {
    now: AtomicU64,
    woken: Arc<Flag>,
    sleepers: Mutex<BTreeMap<u64, Vec<Waker>>>,
    /// A task that is being polled is not in its place.
    tasks: Mutex<Vec<Option<Task>>>,
}

impl World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> usize {
        let mut tasks = self.tasks.lock().unwrap();
        tasks.push(Some(Box::pin(task)));
        self.woken.0.store(true, Ordering::Relaxed);
        tasks.len() - 1
    }

    /// The process is gone: nothing of it goes on.
    fn kill(&self, task: usize) {
        self.tasks.lock().unwrap()[task] = None;
    }

    fn poll_all(&self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let count = self.tasks.lock().unwrap().len();
        for nth in 0..count {
            let Some(mut task) = self.tasks.lock().unwrap()[nth].take() else {
                continue;
            };
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.tasks.lock().unwrap()[nth] = Some(task);
            }
        }
    }

    /// Everything that is not being polled goes on until this moment.
    fn run_until(&self, end: Timestamp) {
        loop {
            while self.woken.0.swap(false, Ordering::Relaxed) {
                self.poll_all();
            }
            let mut sleepers = self.sleepers.lock().unwrap();
            match sleepers
                .first_entry()
                .filter(|first| *first.key() <= end.as_millis())
            {
                Some(first) => {
                    self.now.fetch_max(*first.key(), Ordering::Relaxed);
                    first.remove().into_iter().for_each(Waker::wake);
                }
                None => {
                    self.now.fetch_max(end.as_millis(), Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

/// One runner's clock. At one look it falls asleep, and everybody else goes on.
#[derive(Clone)]
struct RunnersClock {
    world: Arc<World>,
    looks: Arc<AtomicU64>,
    sleeps: Option<(u64, Duration)>,
}

impl RunnersClock {
    fn new(world: &Arc<World>, sleeps: Option<(u64, Duration)>) -> Self {
        Self {
            world: Arc::clone(world),
            looks: Arc::default(),
            sleeps,
        }
    }
}

#[async_trait]
impl Clock for RunnersClock {
    fn now(&self) -> Timestamp {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        if let Some((_, long)) = self.sleeps.filter(|(at, _)| *at == look) {
            self.world.run_until(self.world.now().after(long));
            // It goes on where it was.
            self.world.woken.0.store(true, Ordering::Relaxed);
        }
        self.world.now()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        poll_fn(|cx| {
            if self.world.now() >= moment {
                return Poll::Ready(());
            }
            let mut sleepers = self.world.sleepers.lock().unwrap();
            sleepers
                .entry(moment.as_millis())
                .or_default()
                .push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A store that is some way away, and can be cut off.
#[derive(Clone)]
struct Far {
    store: MemoryLeaseStore,
    away: Duration,
    clock: RunnersClock,
    cut: Arc<AtomicBool>,
}

impl Far {
    async fn way(&self) -> Result<(), Error> {
        let there = self.clock.world.now().after(self.away);
        self.clock.sleep_until(there).await;
        if self.cut.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "lease:Any", "cut off"));
        }
        Ok(())
    }
}

#[async_trait]
impl LeaseStore for Far {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        self.way().await?;
        let stored = self.store.read(scope).await;
        self.way().await?;
        stored
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        self.way().await?;
        let version = self.store.put(scope, value, expected).await;
        self.way().await?;
        version
    }
}

/// What a platform saw: when, from whom, under which generation.
type Acts = Arc<Mutex<Vec<(Timestamp, &'static str, Generation)>>>;

/// Runs effects that reach the platform 50 ms after they were said.
struct Platform {
    acts: Acts,
    who: &'static str,
    clock: RunnersClock,
    generation: Generation,
}

#[async_trait]
impl Perform<OneOff> for Platform {
    async fn perform(&self, effect: &task::Effect) -> task::Event {
        let there = self.clock.world.now().after(Duration::from_millis(50));
        self.clock.sleep_until(there).await;
        let act = (self.clock.world.now(), self.who, self.generation);
        match effect {
            task::Effect::StartTask { .. } | task::Effect::StopTask { .. } => {
                self.acts.lock().unwrap().push(act);
                task::Event::Started(arn())
            }
            task::Effect::FindTask { .. } => task::Event::Found(None),
            task::Effect::ObserveTask { .. } => task::Event::Observed(TaskObservation::Running {
                at: self.clock.world.now(),
                status: "RUNNING".to_owned(),
            }),
        }
    }
}

fn arn() -> TaskArn {
    TaskArn::new("task/1").unwrap()
}

fn claim(who: &str) -> Claim {
    Claim {
        scope: Scope {
            environment: "production".parse().unwrap(),
            group: "storefront".parse().unwrap(),
        },
        owner: Owner {
            who: who.to_owned(),
            host: "runner".to_owned(),
            url: None,
        },
        run: "r-1".parse().unwrap(),
        session: who.to_owned(),
    }
}

/// Two runners, a world and what the platform saw.
struct Scene {
    world: Arc<World>,
    store: MemoryLeaseStore,
    cut: Arc<AtomicBool>,
    acts: Acts,
    ends: Arc<Mutex<BTreeMap<&'static str, Result<(), LeaseError>>>>,
}

impl Scene {
    fn new() -> Self {
        Self {
            world: Arc::default(),
            store: MemoryLeaseStore::new(),
            cut: Arc::default(),
            acts: Arc::default(),
            ends: Arc::default(),
        }
    }

    fn tenure(
        &self,
        who: &'static str,
        clock: &RunnersClock,
    ) -> impl Future<Output = Result<Tenure, LeaseError>> + Send + 'static {
        let store = Far {
            store: self.store.clone(),
            away: Duration::from_millis(100),
            clock: clock.clone(),
            cut: Arc::clone(&self.cut),
        };
        let clock = Arc::new(clock.clone());
        async move {
            let policy = Policy {
                wait: secs(1_000),
                ..Policy::default()
            };
            Tenure::acquire(claim(who), policy, Arc::new(store), clock, &mut |_| {}).await
        }
    }

    /// A runner that acts so often, four seconds apart, and then gives the lease back.
    fn runner(&self, who: &'static str, starts: u64, acts: u64, sleeps: Option<(u64, Duration)>) -> usize {
        let clock = RunnersClock::new(&self.world, sleeps);
        let (tenure, seen, ends) = (
            self.tenure(who, &clock),
            Arc::clone(&self.acts),
            Arc::clone(&self.ends),
        );
        self.world.spawn(async move {
            clock.sleep_until(at(starts)).await;
            let end = async {
                let tenure = tenure.await?;
                let platform = Platform {
                    acts: seen,
                    who,
                    clock: clock.clone(),
                    generation: tenure.generation(),
                };
                let fence = tenure.fence(&platform, secs(10));
                let stop = task::Effect::StopTask { task: arn() };
                let work = async {
                    for _ in 0..acts {
                        Perform::<OneOff>::perform(&fence, &stop).await;
                        clock.sleep_until(clock.world.now().after(secs(4))).await;
                    }
                };
                tenure.while_held(work).await?;
                tenure.release().await.map(drop)
            };
            let end = end.await;
            ends.lock().unwrap().insert(who, end);
        })
    }

    fn acted(&self, who: &str) -> Vec<(Timestamp, Generation)> {
        let acts = self.acts.lock().unwrap();
        acts.iter()
            .filter(|act| act.1 == who)
            .map(|act| (act.0, act.2))
            .collect()
    }

    fn end(&self, who: &str) -> Result<(), LeaseError> {
        self.ends
            .lock()
            .unwrap()
            .remove(who)
            .unwrap_or_else(|| panic!("{who} has not ended"))
    }
}

#[test]
fn a_lease_is_kept_for_as_long_as_the_work_lasts_and_then_given_back() {
    let scene = Scene::new();
    scene.runner("a", 0, 100, None);
    scene.runner("b", 1, 1, None);
    scene.world.run_until(at(1_000));
    assert!(scene.end("a").is_ok() && scene.end("b").is_ok());
    let (a, b) = (scene.acted("a"), scene.acted("b"));
    assert_eq!((a.len(), b.len()), (100, 1));
    // A minute's lease was kept for seven, and its successor did not wait for it to run out.
    assert!(
        a[99].0 > at(400) && b[0].0 > a[99].0 && b[0].0 < a[99].0.after(secs(11)),
        "{a:?} {b:?}"
    );
    assert_eq!((a[99].1, b[0].1), (Generation(1), Generation(2)));
}

/// I-2: no effect of a lower generation lands after one of a higher, wherever a runner falls asleep.
#[test]
fn a_zombie_that_wakes_up_is_fenced_before_its_next_effect() {
    let (mut fenced, mut slept) = (0, 0);
    for look in 0..400 {
        let scene = Scene::new();
        scene.runner("a", 0, 20, Some((look, secs(300))));
        scene.runner("b", 1, 3, None);
        scene.world.run_until(at(2_000));
        let acts = scene.acts.lock().unwrap().clone();
        assert!(
            acts.windows(2).all(|pair| pair[0].2 <= pair[1].2),
            "asleep at look {look}: {acts:?}"
        );
        assert!(scene.end("b").is_ok());
        assert_eq!(scene.acted("b").len(), 3);
        match scene.end("a") {
            Ok(()) => assert_eq!(scene.acted("a").len(), 20),
            Err(error @ LeaseError::Fenced { .. }) => {
                fenced += 1;
                // By then b is through and has given it back, or still holds it.
                let text = error.to_string();
                assert!(
                    text.starts_with("fenced: ") && text.contains("ours was generation 1"),
                    "{text}"
                );
                assert!(scene.acted("a").len() < 20);
            }
            Err(other) => panic!("asleep at look {look}: {other}"),
        }
        slept += u64::from(scene.world.now() >= at(300));
    }
    assert!(fenced > 100, "fenced only {fenced} times");
    assert!(slept > 200);
}

#[test]
fn a_nap_shorter_than_the_lease_costs_nothing() {
    for look in 0..200 {
        let scene = Scene::new();
        scene.runner("a", 0, 10, Some((look, secs(35))));
        scene.runner("b", 1, 1, None);
        scene.world.run_until(at(2_000));
        assert!(scene.end("a").is_ok(), "asleep at look {look}");
        assert_eq!(scene.acted("a").len(), 10);
    }
}

/// L-3.
#[test]
fn a_runner_that_dies_is_replaced_within_a_term_and_a_tick() {
    for dies in 5..40 {
        let scene = Scene::new();
        let a = scene.runner("a", 0, 1_000, None);
        scene.runner("b", 1, 1, None);
        scene.world.run_until(at(dies));
        scene.world.kill(a);
        scene.world.run_until(at(1_000));
        assert!(scene.end("b").is_ok());
        let first = scene.acted("b")[0].0;
        let policy = Policy::default();
        // And the calls: two looks, a write, the proof before the effect, and the effect.
        let bound = at(dies).after(policy.term + policy.tick + secs(1));
        assert!(first <= bound, "died at {dies}, replaced at {first}");
    }
}

#[test]
fn the_fenced_are_told_by_whom() {
    let scene = Scene::new();
    scene.runner("a", 0, 20, Some((30, secs(100))));
    scene.runner("b", 1, 100, None);
    scene.world.run_until(at(2_000));
    let error = scene.end("a").expect_err("fenced").to_string();
    let begin = "fenced: b@runner holds production/storefront since 1970-01-01T00:01:";
    assert!(error.starts_with(begin), "{error}");
    assert!(
        error.ends_with("for run r-1, generation 2; ours was generation 1: another has taken it over"),
        "{error}"
    );
}

/// While the store cannot be reached nothing is begun; when it comes back in time the work goes on.
#[test]
fn without_the_store_nothing_is_begun() {
    let scene = Scene::new();
    scene.runner("a", 0, 20, None);
    scene.world.run_until(at(20));
    scene.cut.store(true, Ordering::Relaxed);
    let before = scene.acted("a").len();
    scene.world.run_until(at(80));
    assert_eq!(scene.acted("a").len(), before);
    scene.cut.store(false, Ordering::Relaxed);
    scene.world.run_until(at(1_000));
    assert!(scene.end("a").is_ok());
    assert_eq!(scene.acted("a").len(), 20);

    let scene = Scene::new();
    scene.runner("a", 0, 20, None);
    scene.world.run_until(at(20));
    scene.cut.store(true, Ordering::Relaxed);
    scene.world.run_until(at(1_000));
    let error = scene.end("a").expect_err("fenced").to_string();
    assert!(
        error.contains("nobody is known to hold production/storefront"),
        "{error}"
    );
    assert!(error.contains("has not answered since"), "{error}");
}

#[test]
fn another_holder_is_told_once_and_named_at_the_end() {
    let scene = Scene::new();
    scene.runner("a", 0, 100, None);
    scene.world.run_until(at(2));
    let clock = RunnersClock::new(&scene.world, None);
    let store = Far {
        store: scene.store.clone(),
        away: Duration::from_millis(100),
        clock: clock.clone(),
        cut: Arc::default(),
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let (heard, ends) = (Arc::clone(&told), Arc::clone(&scene.ends));
    scene.world.spawn(async move {
        let policy = Policy {
            wait: secs(100),
            ..Policy::default()
        };
        let mut tell = |record: &LeaseRecord| heard.lock().unwrap().push(record.to_string());
        let end = Tenure::acquire(claim("b"), policy, Arc::new(store), Arc::new(clock), &mut tell).await;
        ends.lock().unwrap().insert("b", end.map(drop));
    });
    scene.world.run_until(at(200));
    let holds =
        "a@runner holds production/storefront since 1970-01-01T00:00:00.200Z for run r-1, generation 1";
    assert_eq!(*told.lock().unwrap(), [holds]);
    let error = scene.end("b").expect_err("held").to_string();
    assert!(
        error.starts_with(holds) && error.contains("; waited 1m"),
        "{error}"
    );
}

/// A drive whose lease was taken writes its intent and makes no call.
#[test]
fn a_fenced_drive_ends_with_an_error_of_its_own_and_its_intent_is_open() {
    let scene = Scene::new();
    let clock = RunnersClock::new(&scene.world, None);
    let (tenure, acts, ends) = (
        scene.tenure("a", &clock),
        Arc::clone(&scene.acts),
        Arc::clone(&scene.ends),
    );
    let journal = Arc::new(MemoryJournal::new());
    let written = Arc::clone(&journal);
    let store = scene.store.clone();
    scene.world.spawn(async move {
        let tenure = tenure.await.expect("free");
        // Somebody takes it by force.
        let mut record = tenure.record().expect("held");
        let version = store
            .read(&record.scope)
            .await
            .expect("there")
            .expect("there")
            .version;
        record.generation = record.generation.next();
        record.holder.as_mut().expect("held").session = "z".to_owned();
        let value = record.encode().expect("plain data");
        store
            .put(&record.scope, &value, Some(&version))
            .await
            .expect("the present version");

        let platform = Platform {
            acts,
            who: "a",
            clock: clock.clone(),
            generation: tenure.generation(),
        };
        let spec = TaskSpec {
            name: "migrate".parse().unwrap(),
            revision: RevisionSpec {
                template: serde_json::Value::Null,
                images: BTreeMap::new(),
            },
            run: serde_json::Value::Null,
        };
        let policy = task::Policy {
            poll_every: secs(5),
            give_up: secs(600),
            max_errors: 3,
            answer: secs(30),
        };
        let mut machine = OneOff::new(spec, policy);
        let fence = tenure.fence(&platform, secs(10));
        let driver = Driver {
            run: "r-1".parse().unwrap(),
            performer: &fence,
            journal: &*journal,
            clock: &clock,
            observer: &Silent,
        };
        let drive = driver.run(&mut machine, futures_util::stream::pending());
        let end: Result<Result<_, DriveError>, LeaseError> = tenure.while_held(drive).await;
        ends.lock().unwrap().insert("a", end.map(drop));
    });
    scene.world.run_until(at(1_000));
    assert!(
        matches!(scene.end("a"), Err(LeaseError::Fenced { by: Some(by), .. }) if by.generation == Generation(2))
    );
    assert_eq!(scene.acted("a"), []);
    let records = written.records();
    assert!(
        matches!(
            records.last().map(|record| &record.body),
            Some(Body::Issued { .. })
        ),
        "{records:?}"
    );
}

#[test]
fn a_policy_that_is_not_sound_is_said_at_once() {
    let scene = Scene::new();
    let policy = Policy {
        term: secs(10),
        ..Policy::default()
    };
    let clock = Arc::new(RunnersClock::new(&scene.world, None));
    let mut quiet = |_: &LeaseRecord| {};
    let asked = Tenure::acquire(claim("a"), policy, Arc::new(scene.store), clock, &mut quiet);
    let error = pollster::block_on(asked).expect_err("refused");
    assert!(error.to_string().contains("use 40s or more"), "{error}");
}

/// The store takes eight seconds for an answer: by then too little may be left for an effect, though enough was when it was
/// asked.
#[test]
fn what_a_slow_answer_proves_must_still_last_long_enough() {
    let scene = Scene::new();
    let clock = RunnersClock::new(&scene.world, None);
    let store = Far {
        store: scene.store.clone(),
        away: secs(4),
        clock: clock.clone(),
        cut: Arc::default(),
    };
    let left = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&left);
    scene.world.spawn(async move {
        let mut quiet = |_: &LeaseRecord| {};
        let own = Arc::new(clock.clone());
        let tenure = Tenure::acquire(claim("a"), Policy::default(), Arc::new(store), own, &mut quiet)
            .await
            .expect("free");
        let work = async {
            for _ in 0..20 {
                tenure.permit(secs(40)).await;
                let until = tenure.0.lock().machine.held().expect("held").until();
                seen.lock().unwrap().push(until.since(clock.world.now()));
                clock.sleep_until(clock.world.now().after(secs(1))).await;
            }
        };
        tenure.while_held(work).await.expect("held");
    });
    scene.world.run_until(at(1_000));
    let left = left.lock().unwrap();
    assert_eq!(left.len(), 20);
    assert!(left.iter().all(|left| *left >= secs(40)), "{left:?}");
}
