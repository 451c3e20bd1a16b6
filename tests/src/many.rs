//! Many rollouts at once in one account and region: whole machines, drivers and AWS adapters, through the real SDK, on the
//! simulated cloud with the token buckets that AWS documents, on virtual time.
//!
//! Every rollout finds its image in both registries, registers a revision, deploys it, watches an alarm and confirms. Journals are
//! counted and thrown away: what a rollout holds in memory is then its own.

mod held;
mod scene;

use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream;
use rollout_aws::cloudwatch::AlarmGate;
use rollout_aws::connector::ConnectorHttp;
use rollout_aws::ecr::{EcrPromotion, Registry};
use rollout_aws::ecs::{EcsEnvironment, EcsRollback};
use rollout_aws::gates::Gates;
use rollout_aws::observer::SharedObserver;
use rollout_aws::route53::Route53Cutover;
use rollout_aws::sts::{Expected, IdentityGuard};
use rollout_aws::time::Now;
use rollout_core::context::OpContext;
use rollout_core::driver::{DriveError, Driver, PortPerformer};
use rollout_core::id::Generation;
use rollout_core::journal::{Durability, Entry, Journal, JournalError};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::pace::{Priority, Spent};
use rollout_core::plan::RolloutPlan;
use rollout_core::port::Ports;
use rollout_core::probe::{ProbeTarget, SampleRequest, Subject};
use rollout_core::time::Timestamp;
use rollout_sim::endpoint::{Endpoint, InProcess, WireCall};
use rollout_sim::{SimCloud, World};
use serde::{Deserialize, Serialize};

pub use self::held::{Held, held};
use self::scene::{CLUSTER, REGION, SOURCE_ACCOUNT, TARGET_ACCOUNT, alarm, cluster, plan, secs, service};
pub use self::scene::{patience, world};
use crate::wired::on_virtual_time;

/// What is random comes from it.
const SEED: u64 = 7;

/// The adapters of the crowd: one environment for each cluster, one of everything else.
pub struct Crowd {
    wire: InProcess,
    observer: Option<Arc<SharedObserver>>,
    clusters: Vec<Ports>,
}

impl core::fmt::Debug for Crowd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Crowd")
            .field("clusters", &self.clusters.len())
            .finish_non_exhaustive()
    }
}

impl Crowd {
    /// On a world of [`world`]. `shared`: with an observer for each account. Call it on a runtime whose time is paused.
    ///
    /// # Panics
    /// When it is another world.
    #[must_use]
    pub fn new(world: World, many: usize, shared: bool) -> Self {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
        let clock = wire.clock();
        let observer = || shared.then(|| Arc::new(SharedObserver::new(wire.clock(), SEED)));
        let (staging, production) = (observer(), observer());
        let now: Now = Arc::new(move || clock.now());
        let clusters = (0..many).step_by(CLUSTER).map(|first| {
            let (source, target) = (cluster("staging", first), cluster("production", first));
            ports(
                &wire,
                &now,
                (&source, staging.as_ref()),
                (&target, production.as_ref()),
            )
        });
        let clusters = clusters.collect();
        Self {
            observer: production,
            clusters,
            wire,
        }
    }

    /// Drives one rollout to its end.
    async fn drive(
        &self,
        number: usize,
        patience: Duration,
        journal: &dyn Journal<Event, Effect>,
    ) -> Result<Outcome, DriveError> {
        let clock = self.wire.clock();
        let draft = plan(number, patience);
        let mut machine = Box::new(Rollout::new(RolloutPlan::check(draft).expect("a valid plan")));
        let run = machine.plan().run.clone();
        let step = "release".parse().expect("a name");
        let ports = self.clusters[number / CLUSTER].clone();
        let performer = PortPerformer::new(ports, Arc::clone(&clock), run.clone(), step, patience);
        let driver = Driver {
            run,
            performer: &performer,
            journal,
            clock: &*clock,
            observer: &Silent,
        };
        driver.run(&mut *machine, stream::empty()).await
    }

    /// Looks at each service and each alarm once, all at the same time: the calls of one sweep by operation.
    ///
    /// # Panics
    /// When a look fails.
    pub async fn sweep(&self, many: usize) -> Calls {
        let before = self.wire.endpoint().calls().len();
        let services = (0..many).map(|number| async move {
            let name = service(number).parse().expect("a name");
            let target = &self.clusters[number / CLUSTER].target;
            let seen = target.observe_service(&context(number), &name).await;
            assert_eq!(seen.expect("it can be seen").tasks.len(), 1);
        });
        join_all(services).await;
        let alarms = (0..many).map(|number| async move {
            let request = SampleRequest {
                probe: "alarms".parse().expect("a name"),
                target: ProbeTarget::Alarms {
                    names: vec![alarm(number)],
                },
                subject: Subject {
                    service: None,
                    images: BTreeMap::new(),
                    changed_at: Timestamp::EPOCH,
                },
            };
            let gates = &self.clusters[number / CLUSTER].gates;
            gates
                .sample(&context(number), &request)
                .await
                .expect("it can be seen");
        });
        join_all(alarms).await;
        Calls::of(&self.wire.endpoint().calls()[before..])
    }
}

fn context(number: usize) -> OpContext {
    OpContext {
        run: format!("run-{number}").parse().expect("a name"),
        step: "sweep".parse().expect("a name"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

type Side<'a> = (&'a str, Option<&'a Arc<SharedObserver>>);

fn ports(wire: &InProcess, now: &Now, (from, ours): Side<'_>, (to, theirs): Side<'_>) -> Ports {
    let config = |name: &str| wire.config(name).expect("it is there");
    let (staging, production) = (config(from), config(to));
    let guard = |sdk, account: &str, shared: Option<&Arc<SharedObserver>>| {
        let expected = Expected {
            account: account.to_owned(),
            region: REGION.to_owned(),
            caller: None,
        };
        Arc::new(shared!(IdentityGuard::from_config(sdk, expected), shared))
    };
    let registry = |sdk, shared: Option<&Arc<SharedObserver>>| shared!(Registry::from_config(sdk), shared);
    let environment = |sdk, cluster: &str, guard, shared: Option<&Arc<SharedObserver>>| {
        let environment = EcsEnvironment::from_config(sdk, cluster, guard).clock(Arc::clone(now));
        shared!(environment, shared)
    };
    let watched = guard(&production, TARGET_ACCOUNT, theirs);
    let target = Arc::new(environment(&production, to, Arc::clone(&watched), theirs));
    let source = environment(&staging, from, guard(&staging, SOURCE_ACCOUNT, ours), ours);
    let gate = AlarmGate::from_config(&production).with_now(Arc::clone(now));
    let gate = shared!(gate, theirs);
    Ports {
        source: Arc::new(source),
        images: Arc::new(EcrPromotion::new(
            registry(&staging, ours),
            registry(&production, theirs),
            watched,
            Arc::new(ConnectorHttp::new(wire.connector())),
        )),
        gates: Arc::new(Gates::builder().with_alarms(Arc::new(gate)).build()),
        dns: Arc::new(Route53Cutover::from_config(&production, [])),
        rollback: Arc::new(EcsRollback::new(Arc::clone(&target)).images(registry(&production, theirs))),
        target,
    }
}

/// A journal that counts.
struct Counted<'a>(&'a AtomicU64);

#[async_trait]
impl Journal<Event, Effect> for Counted<'_> {
    async fn append(&self, _: Entry<'_, Event, Effect>, _: Durability) -> Result<(), JournalError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Calls by operation, and those that were refused as too many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// By `service:Operation`, in the account that is changed.
    pub by_operation: BTreeMap<String, usize>,
    /// Refused, in any account.
    pub throttled: usize,
    /// All of them, in any account.
    pub all: usize,
}

impl Calls {
    fn of(calls: &[WireCall]) -> Self {
        let mut sum = Self {
            all: calls.len(),
            ..Self::default()
        };
        for call in calls {
            let code = call.code.as_deref().unwrap_or_default();
            sum.throttled += usize::from(code.starts_with("Throttl"));
            if call.account == TARGET_ACCOUNT {
                let name = format!("{}:{}", call.service, call.operation);
                *sum.by_operation.entry(name).or_default() += 1;
            }
        }
        sum
    }

    /// How many of an operation.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.by_operation.get(operation).copied().unwrap_or_default()
    }
}

/// What so many rollouts at once came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// How many.
    pub many: usize,
    /// Whether they shared an observer.
    pub shared: bool,
    /// How many of them were released.
    pub released: usize,
    /// One that was not, in words.
    pub other: Option<String>,
    /// All calls.
    pub calls: Calls,
    /// One look at each service and alarm at the same time, before the rollouts began.
    pub sweep: Calls,
    /// From the first rollout's begin to the last one's end, in the world.
    pub took: Duration,
    /// Records of all journals together.
    pub records: u64,
    /// CPU time of the process, with the simulated cloud in it.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Resident bytes that came on top, at most, with what the simulated cloud keeps.
    pub resident: u64,
    /// What one driver's future takes, in bytes, without what is behind pointers.
    pub future: usize,
    /// A machine of the crowd as it is stored, in bytes.
    pub stored: usize,
    /// What waited for a bucket. Not stored.
    #[serde(skip)]
    pub spent: BTreeMap<String, Spent>,
}

impl Report {
    /// How long the slowest bucket needs for what has to be changed: each rollout registers a revision and updates a service
    /// (Amazon ECS API, "Request throttling for the Amazon ECS API").
    #[must_use]
    pub fn floor(&self) -> Duration {
        let many = u64::try_from(self.many).unwrap_or(u64::MAX);
        let register = many.saturating_sub(20);
        let update = many.saturating_sub(50) / 5;
        secs(register.max(update))
    }

    /// The share of calls that the slowest operations make up, as text.
    #[must_use]
    pub fn operations(&self) -> String {
        let mut text = String::new();
        for (name, calls) in &self.calls.by_operation {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{calls:>8} {name}");
        }
        text
    }
}

/// Resident bytes and CPU time of this process, where the system tells.
fn usage() -> (u64, Duration) {
    let field = |file: &str, nth: usize| -> u64 {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The name of the program is in brackets, and may have spaces.
        let rest = text.rsplit_once(')').map_or(text.as_str(), |(_, rest)| rest);
        let found = rest.split_whitespace().nth(nth);
        found.and_then(|number| number.parse().ok()).unwrap_or_default()
    };
    // Pages of 4 KiB, and hundredths of a second: what Linux has on every platform of ours (proc(5)).
    let ticks = field("/proc/self/stat", 11) + field("/proc/self/stat", 12);
    (
        field("/proc/self/statm", 1) * 4_096,
        Duration::from_millis(ticks * 10),
    )
}

/// Runs so many rollouts at once.
///
/// # Panics
/// When the crowd cannot be set up.
#[must_use]
pub fn run(many: usize, shared: bool) -> Report {
    let began = Instant::now();
    let world = world(many);
    on_virtual_time(SEED, async {
        let crowd = Arc::new(Crowd::new(world, many, shared));
        let sweep = if shared {
            crowd.sweep(many).await
        } else {
            Calls::default()
        };
        // The buckets are full again.
        tokio::time::sleep(secs(60)).await;
        let swept = crowd.wire.endpoint().calls().len();
        let (resident, cpu) = usage();
        let records = Arc::new(AtomicU64::new(0));
        let patience = patience(many);
        let start = crowd.wire.now();
        let mut most = resident;
        let mut set = tokio::task::JoinSet::new();
        let mut future = 0;
        for number in 0..many {
            let (crowd, records) = (Arc::clone(&crowd), Arc::clone(&records));
            let one = async move { crowd.drive(number, patience, &Counted(&records)).await };
            future = size_of_val(&one);
            set.spawn(one);
        }
        let mut released = 0;
        let mut other = None;
        while let Some(ended) = set.join_next().await {
            match ended.expect("no panic") {
                Ok(Outcome::Released { .. }) => released += 1,
                Ok(outcome) => other = other.or_else(|| Some(format!("{outcome:?}"))),
                Err(error) => other = other.or_else(|| Some(format!("{error:?}"))),
            }
            if set.len() % 64 == 0 {
                most = most.max(usage().0);
            }
        }
        let took = crowd.wire.now().since(start);
        let machine = Rollout::new(RolloutPlan::check(plan(0, patience)).expect("a valid plan"));
        Report {
            many,
            shared,
            released,
            other,
            calls: Calls::of(&crowd.wire.endpoint().calls()[swept..]),
            sweep,
            took,
            records: records.load(Ordering::Relaxed),
            cpu: usage().1.saturating_sub(cpu),
            wall: began.elapsed(),
            resident: most.saturating_sub(resident),
            future,
            stored: serde_json::to_vec(&machine).map_or(0, |bytes| bytes.len()),
            spent: crowd
                .observer
                .as_ref()
                .map(|observer| observer.spent())
                .unwrap_or_default(),
        }
    })
}
