//! One whole rollout: the driver, the ports and the clock of a simulated cloud, a journal in memory.

use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures_core::Stream;
use pollster::block_on;
use rollout_core::driver::{DriveError, Driver, PortPerformer};
use rollout_core::journal::{Journal, MemoryJournal, Record};
use rollout_core::machine::deployment::Foreign;
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout, Superseding};
use rollout_core::observer::{Observer, Silent};
use rollout_core::plan::{Draft, RolloutPlan};
use rollout_core::port::{Clock, Ports};
use rollout_sim::{SimCloud, World};

/// The longest that one call may take, as calls are told.
const CALL: Duration = Duration::from_secs(20);

/// A record of a rollout's journal.
pub type Entry = Record<Event, Effect>;

/// A rollout that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// The world it happened in.
    pub cloud: SimCloud,
    /// The machine at its end.
    pub machine: Rollout,
    /// Its journal.
    pub records: Vec<Entry>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Finished {
    /// The deployment of somebody else that it yielded to.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[must_use]
    #[track_caller]
    pub fn yielded_to(&self) -> &Foreign {
        match &self.outcome {
            Outcome::Superseded {
                by: Superseding::Deployment(by),
            } => by,
            other => panic!("{other:#?}"),
        }
    }
}

/// The storefront's plan for release 2.4.0.
///
/// # Panics
/// When the world is no storefront.
#[must_use]
pub fn storefront(world: &World) -> Draft {
    rollout_examples::storefront::draft(world, "r-1", "2.4.0").expect("a storefront")
}

/// A fresh machine.
///
/// # Panics
/// When the plan is not valid.
#[must_use]
pub fn fresh(draft: Draft) -> Rollout {
    Rollout::new(RolloutPlan::check(draft).expect("a valid plan"))
}

/// Performs the effects of a rollout on a world's own ports, without a driver.
///
/// # Panics
/// When the world has no staging or no production.
#[must_use]
pub fn performer(cloud: &SimCloud, machine: &Rollout) -> PortPerformer {
    let ports = cloud.ports("staging", "production").expect("both are there");
    through(ports, cloud.clock(), machine)
}

fn through(ports: Ports, clock: Arc<dyn Clock>, machine: &Rollout) -> PortPerformer {
    let step = "release".parse().expect("a name");
    PortPerformer::new(ports, clock, machine.plan().run.clone(), step, CALL)
}

/// Runs a plan to its end.
///
/// # Panics
/// When the driver halts.
#[must_use]
pub fn run(world: World, draft: Draft) -> Finished {
    run_with(&SimCloud::new(world), fresh(draft), Abort::never(), &Silent)
}

/// Runs a machine to its end, aborted at some point, watched.
///
/// # Panics
/// When the driver halts.
pub fn run_with(
    cloud: &SimCloud,
    mut machine: Rollout,
    abort: Abort,
    observer: &dyn Observer<Rollout>,
) -> Finished {
    let journal = MemoryJournal::new();
    let outcome = drive(cloud, &mut machine, &journal, abort, observer).expect("the driver does not halt");
    Finished {
        cloud: cloud.clone(),
        machine,
        records: journal.into_records(),
        outcome,
    }
}

/// Drives a machine from staging to production.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// When the world has no staging or no production.
pub fn drive(
    cloud: &SimCloud,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    abort: Abort,
    observer: &dyn Observer<Rollout>,
) -> Result<Outcome, DriveError> {
    drive_by(cloud, cloud.clock(), machine, journal, abort, observer)
}

/// The same by another clock, which must move this world.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// When the world has no staging or no production.
pub fn drive_by(
    cloud: &SimCloud,
    clock: Arc<dyn Clock>,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    abort: Abort,
    observer: &dyn Observer<Rollout>,
) -> Result<Outcome, DriveError> {
    let ports = cloud.ports("staging", "production").expect("both are there");
    block_on(drive_through(ports, clock, machine, journal, abort, observer))
}

/// The same through any ports, on whatever runtime they need.
///
/// # Errors
/// What the driver says.
///
/// # Panics
/// Never: the names in it are well formed.
pub async fn drive_through(
    ports: Ports,
    clock: Arc<dyn Clock>,
    machine: &mut Rollout,
    journal: &dyn Journal<Event, Effect>,
    signals: impl Stream<Item = Event> + Send,
    observer: &dyn Observer<Rollout>,
) -> Result<Outcome, DriveError> {
    let performer = through(ports, clock.clone(), machine);
    let driver = Driver {
        run: machine.plan().run.clone(),
        performer: &performer,
        journal,
        clock: clock.as_ref(),
        observer,
    };
    driver.run(machine, signals).await
}

/// A stream that says `Abort` when the driver listens for the `n`th time, which is its `n`th wait for something.
#[derive(Debug)]
pub struct Abort {
    at: Option<u64>,
    listened: AtomicU64,
}

impl Abort {
    /// It never does.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            at: None,
            listened: AtomicU64::new(0),
        }
    }

    /// At the `n`th wait, from 0.
    #[must_use]
    pub const fn at(n: u64) -> Self {
        Self {
            at: Some(n),
            listened: AtomicU64::new(0),
        }
    }
}

impl Stream for Abort {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        let listened = self.listened.fetch_add(1, Ordering::Relaxed);
        match self.at {
            None => Poll::Ready(None),
            // No waker: the simulated clock is always ready, so the driver comes back by itself.
            Some(at) if listened < at => Poll::Pending,
            Some(_) => {
                self.at = None;
                Poll::Ready(Some(Event::Abort))
            }
        }
    }
}
