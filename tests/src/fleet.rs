//! A fleet of cells on one simulated cloud: each cell is an environment with one service, released by a real rollout with a driver
//! and a journal of its own.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rollout_core::Machine;
use rollout_core::context::OpContext;
use rollout_core::driver::{
    DriveError, Driver, FleetPerformer, MemberRuns, Perform, PortPerformer, StopSwitch,
};
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::id::{ImageDigest, MemberName};
use rollout_core::journal::{Body, Journal, MemoryJournal, Resumption, replay};
use rollout_core::machine::fleet::{self, BackEnd, End, Fleet, Outcome};
use rollout_core::machine::rollout::{self, LeftAt, Rollout};
use rollout_core::machine::unwind::{self, Unwind};
use rollout_core::machine::{deployment, promotion};
use rollout_core::observer::{Observer, Silent};
use rollout_core::plan::{Bounds, Draft, ExpectedIdentity, RolloutPlan, RolloutPolicy, ServicePlan};
use rollout_core::port::Clock;
use rollout_sim::{SimCloud, Turns, World};
use serde_json::json;

use crate::run::storefront;

/// The longest that one call may take, as calls are told.
const CALL: Duration = Duration::from_secs(20);

/// The release.
pub const RELEASE: &str = "2.4.0";
/// What runs before it.
pub const BEFORE: &str = "2.3.0";

/// The name of a cell, and of its environment.
///
/// # Panics
/// Never: it is well formed.
#[must_use]
pub fn cell(number: usize) -> MemberName {
    format!("cell-{number}").parse().expect("a name")
}

/// So many cells, all of which run what was before.
///
/// # Panics
/// Never: its names are well formed.
#[must_use]
pub fn world(seed: u64, cells: usize) -> World {
    let web = |s: rollout_sim::ServiceBuilder, tag: &str| s.container("web", "shop/web", tag).desired(2);
    let staging = World::builder(seed).environment("staging", |e| {
        e.image("shop/web", BEFORE)
            .image("shop/web", RELEASE)
            .service("web", |s| web(s, RELEASE))
    });
    let all = (0..cells).fold(staging, |world, number| {
        world.environment(cell(number).as_str(), |e| {
            let e = e.account("222222222222").image("shop/web", BEFORE);
            e.service("web", |s| web(s, BEFORE))
        })
    });
    all.build().expect("well formed")
}

/// What a cell's service runs: the digest that all of its tasks have, if they have one.
///
/// # Panics
/// When there is no such cell.
#[must_use]
pub fn runs(world: &World, member: &MemberName) -> Option<ImageDigest> {
    let tasks = world.running(member.as_str(), "web").expect("it is there");
    let mut digests: Vec<&ImageDigest> = tasks.iter().flat_map(|images| images.values()).collect();
    digests.dedup();
    match digests[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// The digest of a tag.
///
/// # Panics
/// When there is no such tag.
#[must_use]
pub fn digest(world: &World, tag: &str) -> ImageDigest {
    world.image("staging", "shop/web", tag).expect("it was pushed")
}

/// The release of one cell.
fn draft(like: &RolloutPolicy, member: &MemberName) -> Draft {
    let image = promotion::Spec {
        from: "shop/web".parse().expect("a name"),
        reference: promotion::Reference::Tag(RELEASE.parse().expect("a tag")),
        to: "shop/web".parse().expect("a name"),
        service: "web".parse().expect("a name"),
        container: "web".parse().expect("a name"),
        soak: Duration::from_secs(3_600),
    };
    let patience: deployment::Policy = like.unwind_deployment.clone();
    Draft {
        run: format!("r-{member}").parse().expect("a name"),
        release: RELEASE.to_owned(),
        from: "staging".parse().expect("a name"),
        to: member.as_str().parse().expect("a name"),
        expects: ExpectedIdentity {
            account: "222222222222".to_owned(),
            region: "eu-central-1".to_owned(),
            caller: None,
        },
        services: vec![ServicePlan {
            name: "web".parse().expect("a name"),
            after: Vec::new(),
            images: BTreeMap::from([("web".parse().expect("a name"), image)]),
            template: json!({
                "family": "web",
                "containerDefinitions": [{ "name": "web", "essential": true, "image": "" }],
            }),
            deployment: patience,
            gates: Vec::new(),
        }],
        tasks: Vec::new(),
        gates: Vec::new(),
        cutovers: Vec::new(),
        policy: RolloutPolicy {
            bounds: Bounds { services_at_once: 1 },
            ..like.clone()
        },
    }
}

type Journals = Arc<Mutex<BTreeMap<MemberName, Kept>>>;

/// What outlives the process that drives a cell.
#[derive(Clone, Default)]
struct Kept {
    release: Option<Arc<MemoryJournal<rollout::Event, rollout::Effect>>>,
    back: Option<Arc<MemoryJournal<unwind::Event, unwind::Effect>>>,
}

/// The runs of the cells, in one process. What another one has left is in the journals.
pub struct Cells {
    cloud: SimCloud,
    clock: Arc<dyn Clock>,
    policy: RolloutPolicy,
    journals: Journals,
    switches: Mutex<BTreeMap<MemberName, StopSwitch>>,
    /// Cells under way at this moment, and the most that ever were.
    under_way: AtomicU64,
    most: AtomicU64,
}

impl core::fmt::Debug for Cells {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cells").finish_non_exhaustive()
    }
}

fn failed(error: &DriveError) -> Error {
    Error::new(ErrorKind::Unexpected, "cell", error.to_string()).applied(Applied::Maybe)
}

impl Cells {
    /// On this world.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(cloud: &SimCloud, turns: &Turns) -> Self {
        Self {
            cloud: cloud.clone(),
            clock: turns.clock(),
            policy: storefront(&rollout_sim::storefront(1)).policy,
            journals: Journals::default(),
            switches: Mutex::default(),
            under_way: AtomicU64::new(0),
            most: AtomicU64::new(0),
        }
    }

    /// The same in a new process: only the journals are left.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            cloud: self.cloud.clone(),
            clock: Arc::clone(&self.clock),
            policy: self.policy.clone(),
            journals: Arc::clone(&self.journals),
            switches: Mutex::default(),
            under_way: AtomicU64::new(0),
            most: AtomicU64::new(self.most.load(Ordering::Relaxed)),
        }
    }

    /// The most cells that were ever driven at once.
    #[must_use]
    pub fn most_at_once(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// How often a cell's release was begun, by its journal.
    #[must_use]
    pub fn begun(&self, member: &MemberName) -> usize {
        let opened = |journal: Arc<MemoryJournal<_, _>>| {
            let records = journal.records();
            let opened = records
                .iter()
                .filter(|record| matches!(record.body, Body::Opened(_)));
            opened.count()
        };
        self.kept(member).release.map_or(0, opened)
    }

    fn kept(&self, member: &MemberName) -> Kept {
        let journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        journals.get(member).cloned().unwrap_or_default()
    }

    fn keep(&self, member: &MemberName, change: impl FnOnce(&mut Kept)) {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        change(journals.entry(member.clone()).or_default());
    }

    fn switch(&self, member: &MemberName) -> StopSwitch {
        let mut switches = self.switches.lock().unwrap_or_else(PoisonError::into_inner);
        switches.entry(member.clone()).or_default().clone()
    }

    fn fresh(&self, member: &MemberName) -> Rollout {
        Rollout::new(RolloutPlan::check(draft(&self.policy, member)).expect("a valid plan"))
    }

    fn performer(&self, member: &MemberName, step: &str) -> PortPerformer {
        let ports = self
            .cloud
            .ports("staging", member.as_str())
            .expect("both are there");
        let run = format!("r-{member}").parse().expect("a name");
        let step = step.parse().expect("a name");
        PortPerformer::new(ports, Arc::clone(&self.clock), run, step, CALL)
    }

    fn driver<'a, M: Machine>(
        &'a self,
        member: &MemberName,
        performer: &'a dyn Perform<M>,
        journal: &'a dyn Journal<M::Event, M::Effect>,
    ) -> Driver<'a, M> {
        Driver {
            run: format!("r-{member}").parse().expect("a name"),
            performer,
            journal,
            clock: self.clock.as_ref(),
            observer: &Silent,
        }
    }

    fn counted(&self) -> Counted<'_> {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        Counted(self)
    }
}

/// A cell that is being driven.
struct Counted<'a>(&'a Cells);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl MemberRuns for Cells {
    async fn begin(&self, _: &OpContext, member: &MemberName) -> Result<End, Error> {
        assert!(self.kept(member).release.is_none(), "{member} is begun twice");
        let journal = Arc::new(MemoryJournal::new());
        self.keep(member, |kept| kept.release = Some(Arc::clone(&journal)));
        let _counted = self.counted();
        let performer = self.performer(member, "release");
        let driver = self.driver(member, &performer, journal.as_ref());
        let mut machine = self.fresh(member);
        let outcome = driver
            .run(&mut machine, self.switch(member).signals::<Rollout>())
            .await;
        Ok(outcome.map_err(|error| failed(&error))?.into())
    }

    async fn resume(&self, ctx: &OpContext, member: &MemberName, stop: bool) -> Result<End, Error> {
        let Some(journal) = self.kept(member).release else {
            return if stop {
                Ok(End::Aborted {
                    left_at: LeftAt::Untouched,
                })
            } else {
                self.begin(ctx, member).await
            };
        };
        let mut left = replay(self.fresh(member), &journal.records()).expect("it replays");
        let switch = self.switch(member);
        if stop {
            switch.stop();
        }
        let _counted = self.counted();
        let performer = self.performer(member, "release");
        let driver = self.driver(member, &performer, journal.as_ref());
        let by = Resumption::default();
        let outcome = driver.resume(&mut left, &by, switch.signals::<Rollout>()).await;
        Ok(outcome.map_err(|error| failed(&error))?.into())
    }

    async fn stop(&self, _: &OpContext, member: &MemberName) -> Result<(), Error> {
        self.switch(member).stop();
        Ok(())
    }

    async fn take_back(&self, _: &OpContext, member: &MemberName) -> Result<BackEnd, Error> {
        let kept = self.kept(member);
        let release = kept.release.expect("it was released");
        let release = replay(self.fresh(member), &release.records())
            .expect("it replays")
            .machine;
        assert!(
            matches!(release.outcome(), Some(rollout::Outcome::Released { .. })),
            "{member} goes back and was not released"
        );
        let spec = unwind::Spec {
            run: release.plan().run.clone(),
            changed: release.changed().to_vec(),
            blocked_by: None,
        };
        let fresh = Unwind::new(spec, release.plan().policy.unwind());
        let journal = kept.back.unwrap_or_default();
        self.keep(member, |kept| kept.back = Some(Arc::clone(&journal)));
        let _counted = self.counted();
        let performer = self.performer(member, "back");
        let driver = self.driver(member, &performer, journal.as_ref());
        let mut left = replay(fresh, &journal.records()).expect("it replays");
        let nobody = StopSwitch::default();
        let by = Resumption::default();
        let outcome = driver.resume(&mut left, &by, nobody.signals::<Unwind>()).await;
        Ok(outcome.map_err(|error| failed(&error))?.into())
    }
}

/// Drives a fleet that has not begun, or goes on with one.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// When the journal does not replay.
pub async fn drive(
    fresh: Fleet,
    cells: Arc<Cells>,
    journal: &MemoryJournal<fleet::Event, fleet::Effect>,
    signals: &StopSwitch,
    observer: &dyn Observer<Fleet>,
) -> Result<Outcome, DriveError> {
    let run = fresh.plan().run.clone();
    let clock = Arc::clone(&cells.clock);
    let performer = FleetPerformer::new(run.clone(), cells, Arc::clone(&clock), CALL);
    let driver = Driver {
        run,
        performer: &performer,
        journal,
        clock: clock.as_ref(),
        observer,
    };
    let mut left = replay(fresh, &journal.records()).expect("it replays");
    let by = Resumption::default();
    driver.resume(&mut left, &by, signals.signals::<Fleet>()).await
}
