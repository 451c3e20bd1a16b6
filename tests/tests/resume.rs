//! The crash matrix, second part: the driver stops before and after every append and every call, the journal is replayed, and
//! the run goes on from there. The end is the same as without a crash, and so is the world.
//!
//! The driver has no resume of its own yet. What goes on here is the smallest one that the machines allow: what was intended and
//! has no result is a lost answer if it changes something, and is asked again if it does not.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use core::time::Duration;
use pollster::block_on;
use rollout_core::driver::{DriveError, Driver, Perform, PortPerformer};
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::journal::{Body, Durability, Entry, Journal, JournalError, MemoryJournal, replay};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_core::{Effect as _, Machine as _};
use rollout_sim::{Incident, SimCloud, When, World};
use rollout_tests::run::{self, failed, fresh, storefront};
use rollout_tests::truth::{self, SERVICES, flaws};

/// Keeps the first records and fails at the next.
struct Breaks {
    at: u64,
    kept: MemoryJournal<Event, Effect>,
}

#[async_trait]
impl Journal<Event, Effect> for Breaks {
    async fn append(&self, entry: Entry<'_, Event, Effect>, how: Durability) -> Result<(), JournalError> {
        if entry.seq < self.at {
            return self.kept.append(entry, how).await;
        }
        Err(JournalError::Failed {
            place: "memory".to_owned(),
        })
    }
}

/// Does not make one of the calls: the driver dies right before it.
struct Dies {
    inner: PortPerformer,
    /// The effect, and how many equal ones come before it.
    before: Mutex<Option<(Effect, usize)>>,
}

#[async_trait]
impl Perform<Rollout> for Dies {
    async fn perform(&self, effect: &Effect) -> Event {
        {
            let mut before = self.before.lock().expect("not poisoned");
            if let Some((target, left)) = before.as_mut()
                && target == effect
            {
                if *left == 0 {
                    // The journal breaks at this answer, so nobody ever reads it.
                    return lost(effect);
                }
                *left -= 1;
            }
        }
        Perform::<Rollout>::perform(&self.inner, effect).await
    }
}

/// A lost answer to an effect.
fn lost(effect: &Effect) -> Event {
    let error = Error::new(ErrorKind::TimedOut, "resume", "the runner died in the call");
    failed(effect, error.applied(Applied::Maybe).record())
}

/// Goes on with a machine: what may have happened is a lost answer, what was never said is said.
fn go_on(cloud: &SimCloud, mut machine: Rollout, open: Vec<(u64, Effect)>, unsaid: Vec<Effect>) -> Outcome {
    let performer = run::performer(cloud, &machine);
    let clock = cloud.clock();
    let (writes, reads): (Vec<_>, Vec<_>) = open
        .into_iter()
        .map(|(_, effect)| effect)
        .partition(Effect::mutates);
    let mut todo: VecDeque<Effect> = reads.into_iter().chain(unsaid).collect();
    let mut inbox: VecDeque<Event> = writes.iter().map(lost).collect();
    loop {
        while let Some(event) = inbox.pop_front() {
            todo.extend(machine.handle(clock.now(), event).expect("the machine takes it"));
        }
        if let Some(outcome) = machine.outcome() {
            return outcome;
        }
        if let Some(effect) = todo.pop_front() {
            inbox.push_back(block_on(Perform::<Rollout>::perform(&performer, &effect)));
        } else {
            let deadline = machine.deadline().expect("it waits for something");
            block_on(clock.sleep_until(deadline.at));
            inbox.push_back(Event::Elapsed);
        }
    }
}

/// Stops at a record, before or after the call that it answers, and goes on. What is then left.
fn crashed(world: &World, draft: &Draft, at: u64, not_made: Option<(Effect, usize)>) -> (SimCloud, Outcome) {
    let cloud = SimCloud::new(world.clone());
    let mut machine = fresh(draft.clone());
    let journal = Breaks {
        at,
        kept: MemoryJournal::new(),
    };
    let dies = Dies {
        inner: run::performer(&cloud, &machine),
        before: Mutex::new(not_made),
    };
    let clock = cloud.clock();
    let driver = Driver {
        run: machine.plan().run.clone(),
        performer: &dies,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Silent,
    };
    let stopped = block_on(driver.run(&mut machine, futures_util::stream::empty()));
    assert!(
        matches!(stopped, Err(DriveError::Journal(_))),
        "record {at}: {stopped:?}"
    );
    let replayed = replay(fresh(draft.clone()), &journal.kept.records()).expect("it replays");
    // Before anything was said, the start itself is what was not said.
    let outcome = if at < 2 {
        run::run_with(&cloud, fresh(draft.clone()), run::Abort::never(), &Silent).outcome
    } else if let Some(outcome) = replayed.machine.outcome() {
        outcome
    } else {
        go_on(&cloud, replayed.machine, replayed.open, replayed.unsaid)
    };
    (cloud, outcome)
}

/// The revision of each service: a change that is made twice would leave another.
fn revisions(cloud: &SimCloud) -> Vec<String> {
    let world = cloud.world();
    let primary = |name: &&str| {
        truth::service(&world, name)
            .primary()
            .map(|p| p.task_definition.to_string())
    };
    SERVICES.iter().filter_map(primary).collect()
}

fn kind(outcome: &Outcome) -> core::mem::Discriminant<Outcome> {
    core::mem::discriminant(outcome)
}

fn matrix(world: &World, draft: &Draft, released: bool) {
    let whole = run::run(world.clone(), draft.clone());
    assert_eq!(
        matches!(whole.outcome, Outcome::Released { .. }),
        released,
        "{:?}",
        whole.outcome
    );
    let expected = if released {
        truth::after(world, draft)
    } else {
        truth::before(world)
    };
    let mut crashes = 0;
    for (at, record) in whole.records.iter().enumerate() {
        let mut kinds = vec![None];
        if let Body::Happened { of: Some(of), .. } = &record.body {
            let issued = |seq: u64| match &whole.records[usize::try_from(seq).expect("small")].body {
                Body::Issued { effect } => Some(effect.clone()),
                Body::Opened(_) | Body::Happened { .. } | Body::Closed => None,
            };
            let effect = issued(*of).expect("it answers an effect");
            let equal = (0..*of)
                .filter(|seq| issued(*seq).as_ref() == Some(&effect))
                .count();
            kinds.push(Some((effect, equal)));
        }
        for not_made in kinds {
            let when = if not_made.is_some() { "before" } else { "after" };
            let (cloud, outcome) = crashed(world, draft, at as u64, not_made);
            assert_eq!(
                kind(&outcome),
                kind(&whole.outcome),
                "record {at}, {when}: {outcome:?}"
            );
            let found = flaws(&cloud.world(), &expected, &SERVICES);
            assert_eq!(found, Vec::<String>::new(), "record {at}, {when}");
            assert_eq!(
                revisions(&cloud),
                revisions(&whole.cloud),
                "record {at}, {when}: another revision"
            );
            assert_eq!(
                truth::migrations(&cloud.world()),
                truth::migrations(&whole.cloud.world()),
                "I-20, record {at}, {when}: the migration was started so often"
            );
            crashes += 1;
        }
    }
    println!("{crashes} crashes, each resumed to the same end");
}

fn case() -> (World, Draft) {
    let world = rollout_sim::storefront(7);
    let mut draft = storefront(&world);
    draft.cutovers.truncate(1);
    (world, draft)
}

#[test]
fn a_release_goes_on_after_a_crash_anywhere() {
    let (world, draft) = case();
    matrix(&world, &draft, true);
}

#[test]
fn a_way_back_goes_on_after_a_crash_anywhere() {
    let (mut world, draft) = case();
    let bad_image = Incident::BadImage {
        service: "frontend".into(),
    };
    let when = When::deployment_of("frontend", Duration::ZERO);
    world
        .schedule("production", when, bad_image)
        .expect("it is there");
    matrix(&world, &draft, false);
}
