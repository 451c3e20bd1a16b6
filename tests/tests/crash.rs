//! The crash matrix, first part: the journal fails at every single record of a run, so the driver stops there. What the
//! journal then holds must be enough: its replay is the machine as it was, names exactly the effects under way, and does
//! nothing by itself.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use rollout_core::Effect as _;
use rollout_core::driver::DriveError;
use rollout_core::journal::{Body, Durability, Entry, Journal, JournalError, MemoryJournal, replay};
use rollout_core::machine::rollout::{Effect, Event, Outcome};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_sim::{Incident, SimCloud, When, World};
use rollout_tests::run::{self, Abort, drive, fresh, storefront};

/// Keeps the first records and fails at the next.
struct Breaks {
    at: u64,
    kept: MemoryJournal<Event, Effect>,
    /// What was asked of it after it had failed.
    after: Mutex<u64>,
}

#[async_trait]
impl Journal<Event, Effect> for Breaks {
    async fn append(
        &self,
        entry: Entry<'_, Event, Effect>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        if entry.seq < self.at {
            return self.kept.append(entry, durability).await;
        }
        *self.after.lock().expect("not poisoned") += 1;
        Err(JournalError::Failed {
            place: "memory".to_owned(),
        })
    }
}

/// What a crash at record `at` left behind. `whole` is the journal of the same run without a crash.
fn check(world: &World, draft: &Draft, whole: &[run::Entry], at: u64) {
    let cloud = SimCloud::new(world.clone());
    let mut machine = fresh(draft.clone());
    let journal = Breaks {
        at,
        kept: MemoryJournal::new(),
        after: Mutex::new(0),
    };
    let stopped = drive(&cloud, &mut machine, &journal, Abort::never(), &Silent);
    assert!(
        matches!(stopped, Err(DriveError::Journal(_))),
        "record {at}: {stopped:?}"
    );
    assert_eq!(
        *journal.after.lock().expect("not poisoned"),
        1,
        "record {at}: asked again after a failure"
    );
    let records = journal.kept.records();
    assert_eq!(records.len() as u64, at);

    let (trace, total) = cloud.with(|world| (world.trace(), world.calls().total()));
    let replayed = replay(fresh(draft.clone()), &records).unwrap_or_else(|d| panic!("record {at}: {d}"));
    let again = replay(fresh(draft.clone()), &records).unwrap_or_else(|d| panic!("record {at}: {d}"));
    assert_eq!(replayed, again, "record {at}: a second replay differs");
    let after = cloud.with(|world| (world.trace(), world.calls().total()));
    assert_eq!(after, (trace, total), "record {at}: the replay did something");
    assert_eq!(
        replayed.machine, machine,
        "record {at}: the replay is another machine"
    );
    assert_eq!(replayed.next_seq, at);

    // What is under way, counted by hand: issued and not answered.
    let answered: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| match record.body {
            Body::Happened { of, .. } => of,
            Body::Opened(_) | Body::Issued { .. } | Body::Resumed(_) | Body::Closed => None,
        })
        .collect();
    let issued: Vec<(u64, &Effect)> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Issued { effect } => Some((record.seq, effect)),
            Body::Opened(_) | Body::Happened { .. } | Body::Resumed(_) | Body::Closed => None,
        })
        .collect();
    let under_way: Vec<(u64, Effect)> = issued
        .iter()
        .filter(|(seq, _)| !answered.contains(seq))
        .map(|(seq, effect)| (*seq, (*effect).clone()))
        .collect();
    assert_eq!(replayed.open, under_way, "record {at}");

    // What was asked for and not intended yet is what an undisturbed run intends next.
    let rest = whole.iter().skip(records.len()).map(|record| match &record.body {
        Body::Issued { effect } => Some(effect.clone()),
        Body::Opened(_) | Body::Happened { .. } | Body::Resumed(_) | Body::Closed => None,
    });
    let next: Vec<Effect> = rest.map_while(|effect| effect).collect();
    assert_eq!(replayed.unsaid, next, "record {at}");

    // Journal first: the other side has seen no more changes than there are intents.
    let intended = issued.iter().filter(|(_, effect)| effect.mutates()).count();
    let made = cloud.with(|world| world.calls().mutations().len());
    assert!(
        made <= intended,
        "record {at}: {made} changes were made, {intended} intents are in the journal"
    );
}

/// Crashes at every record of this run, and says how the run ends without a crash.
fn crash_everywhere(world: &World, draft: &Draft) -> Outcome {
    let whole = run::run(world.clone(), draft.clone());
    for at in 0..whole.records.len() as u64 {
        check(world, draft, &whole.records, at);
    }
    whole.outcome
}

/// The storefront with one record: long enough to have every kind of step.
fn case() -> (World, Draft) {
    let world = rollout_sim::storefront(7);
    let mut draft = storefront(&world);
    draft.cutovers.truncate(1);
    (world, draft)
}

#[test]
fn a_release_can_crash_at_every_record() {
    let (world, draft) = case();
    let outcome = crash_everywhere(&world, &draft);
    assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:?}");
}

#[test]
fn a_way_back_can_crash_at_every_record() {
    let (mut world, draft) = case();
    let bad_image = Incident::BadImage {
        service: "frontend".into(),
    };
    let when = When::deployment_of("frontend", core::time::Duration::ZERO);
    world
        .schedule("production", when, bad_image)
        .expect("it is there");
    let outcome = crash_everywhere(&world, &draft);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
}
