//! The crash matrix, second part: the driver stops before and after every append and every call, the journal is replayed, and
//! the run goes on from there; then that one stops, too, and a third goes on. The end is the same as without a crash, and so is
//! the world.
//!
//! ```sh
//! cargo test --package rollout-tests --test resume                          # each crash, and of pairs a sample
//! ROLLOUT_PAIRS=all cargo test --profile proof --package rollout-tests --test resume -- --nocapture    # every pair
//! ```
//!
//! A run that was closed is left as it is.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Mutex;

use async_trait::async_trait;
use pollster::block_on;
use rollout_core::driver::{DriveError, Driver, Perform, PortPerformer};
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::journal::{
    Body, Durability, Entry, Journal, JournalError, MemoryJournal, Resumption, replay,
};
use rollout_core::machine::Lifecycle as _;
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_core::{Effect as _, Machine as _};
use rollout_sim::{Incident, SimCloud, When, World};
use rollout_tests::run::{self, fresh, storefront};
use rollout_tests::truth::{self, SERVICES, flaws};

/// Where a runner dies: no record from this one on is written. With `not_made` it dies right before a call whose answer that
/// record would have been, otherwise right after it.
#[derive(Clone, Debug)]
struct Crash {
    at: u64,
    /// The effect, and how many equal ones come before it.
    not_made: Option<(Effect, usize)>,
}

impl Crash {
    const fn is_before(&self) -> bool {
        self.not_made.is_some()
    }
}

/// Keeps the first records and fails at the next.
struct Breaks {
    /// `None`: it keeps all.
    at: Option<u64>,
    kept: MemoryJournal<Event, Effect>,
}

#[async_trait]
impl Journal<Event, Effect> for Breaks {
    async fn append(&self, entry: Entry<'_, Event, Effect>, how: Durability) -> Result<(), JournalError> {
        if self.at.is_none_or(|at| entry.seq < at) {
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
    before: Mutex<Option<(Effect, usize)>>,
}

impl Dies {
    /// If it was to die before a call, it came to that call.
    fn has_died(&self) {
        let before = self.before.lock().expect("not poisoned");
        assert!(before.is_none(), "it never came to {before:?}");
    }
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
                    *before = None;
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
    Rollout::failed(effect, error.applied(Applied::Maybe).record())
}

/// The storefront's release, the world it begins in, and how it ends when nobody dies.
struct Case {
    world: World,
    draft: Draft,
    whole: run::Finished,
    expected: truth::Expected,
}

/// A run that has died so far, or never: its world and what its journal holds.
struct Left {
    cloud: SimCloud,
    records: Vec<run::Entry>,
    /// `None`: it died.
    outcome: Option<Outcome>,
}

impl Case {
    fn new(world: World, draft: Draft, released: bool) -> Self {
        let whole = run::run(world.clone(), draft.clone());
        let ended = matches!(whole.outcome, Outcome::Released { .. });
        assert_eq!(ended, released, "{:?}", whole.outcome);
        let expected = if released {
            truth::after(&world, &draft)
        } else {
            truth::before(&world)
        };
        Self {
            world,
            draft,
            whole,
            expected,
        }
    }

    /// The first runner, which dies.
    fn begin(&self, crash: Crash) -> Left {
        let cloud = SimCloud::new(self.world.clone());
        let mut machine = fresh(self.draft.clone());
        let at = crash.at;
        let journal = Breaks {
            at: Some(at),
            kept: MemoryJournal::new(),
        };
        let dies = Dies {
            inner: run::performer(&cloud, &machine),
            before: Mutex::new(crash.not_made),
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
        dies.has_died();
        Left {
            cloud,
            records: journal.kept.records(),
            outcome: None,
        }
    }

    /// The next runner, on a copy of what the last one left. It may die, too.
    fn resume(&self, left: &Left, crash: Option<Crash>) -> Left {
        let cloud = SimCloud::new(left.cloud.world());
        let mut replayed = replay(fresh(self.draft.clone()), &left.records).expect("it replays");
        let (at, not_made) = crash.map_or((None, None), |crash| (Some(crash.at), crash.not_made));
        let journal = Breaks {
            at,
            kept: MemoryJournal::new(),
        };
        let performer = Dies {
            inner: run::performer(&cloud, &replayed.machine),
            before: Mutex::new(not_made),
        };
        let clock = cloud.clock();
        let driver = Driver {
            run: replayed.machine.plan().run.clone(),
            performer: &performer,
            journal: &journal,
            clock: clock.as_ref(),
            observer: &Silent,
        };
        let by = Resumption::default();
        let ended = block_on(driver.resume(&mut replayed, &by, futures_util::stream::empty()));
        let records = [left.records.clone(), journal.kept.records()].concat();
        let outcome = match ended {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                assert!(at.is_some() && matches!(error, DriveError::Journal(_)), "{error}");
                performer.has_died();
                None
            }
        };
        Left {
            cloud,
            records,
            outcome,
        }
    }

    /// However often it died, it ended as if nobody had.
    fn check(&self, left: &Left, how: &str) {
        let whole = &self.whole;
        let outcome = left.outcome.as_ref().expect("the last runner does not die");
        assert_eq!(
            core::mem::discriminant(outcome),
            core::mem::discriminant(&whole.outcome),
            "{how}: {outcome:?}"
        );
        let world = left.cloud.world();
        assert_eq!(flaws(&world, &self.expected, &SERVICES), [""; 0], "{how}");
        assert_eq!(
            revisions(&left.cloud),
            revisions(&whole.cloud),
            "{how}: another revision"
        );
        assert_eq!(
            truth::migrations(&world),
            truth::migrations(&whole.cloud.world()),
            "I-20, {how}: the migration was started so often"
        );
        // What all runners wrote is one journal.
        let again = replay(fresh(self.draft.clone()), &left.records);
        let again = again.unwrap_or_else(|diverged| panic!("I-17, {how}: {diverged}"));
        assert!(
            again.closed && again.machine.outcome().as_ref() == Some(outcome),
            "{how}"
        );
    }

    /// A crash at each record, each resumed. What was left right after each crash.
    fn once(&self) -> Vec<(Crash, Left)> {
        let crashes = crashes(&self.whole.records, 0).into_iter();
        let once: Vec<_> = crashes
            .map(|crash| {
                let left = self.begin(crash.clone());
                self.check(&self.resume(&left, None), &named(&[&crash]));
                (crash, left)
            })
            .collect();
        println!("{} crashes, each resumed to the same end", once.len());
        once
    }

    /// A crash of each resumed run: at its first record, which is while it resumes, and at every `stride`th after that.
    fn twice(&self, once: &[(Crash, Left)], stride: usize) {
        let (next, pairs) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some((first, left)) = once.get(next.fetch_add(1, Ordering::Relaxed)) {
                let resumed = self.resume(left, None).records;
                let all = crashes(&resumed, left.records.len());
                // Which ones are taken moves on with the first crash, so that all of them together meet every place.
                let skip = usize::try_from(first.at).expect("small") % stride;
                let taken = all
                    .iter()
                    .take(1)
                    .chain(all.iter().skip(skip.max(1)).step_by(stride));
                for second in taken {
                    let again = self.resume(left, Some(second.clone()));
                    let how = named(&[first, second]);
                    assert!(again.outcome.is_none(), "{how}: it did not die");
                    self.check(&self.resume(&again, None), &how);
                    pairs.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            let workers = std::thread::available_parallelism().map_or(1, usize::from);
            let mut threads = Vec::new();
            threads.resize_with(workers, || scope.spawn(work));
            for thread in threads {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
        println!("{pairs:?} crashes of a resumed run, each resumed to the same end");
    }

    fn matrix(&self) {
        let mut once = self.once();
        if std::env::var("ROLLOUT_PAIRS").is_ok_and(|which| which == "all") {
            return self.twice(&once, 1);
        }
        let mut number = 0..;
        once.retain(|_| number.next().is_some_and(|n| n % EVERY == 0));
        self.twice(&once, STRIDE);
    }
}

fn named(crashes: &[&Crash]) -> String {
    let one = |crash: &&Crash| {
        let when = if crash.is_before() {
            "before the call of"
        } else {
            "at"
        };
        format!("{when} record {}", crash.at)
    };
    crashes.iter().map(one).collect::<Vec<_>>().join(", then ")
}

/// Every place from a record on at which the runner of this journal may die.
fn crashes(records: &[run::Entry], from: usize) -> Vec<Crash> {
    let issued = |record: &run::Entry| match &record.body {
        Body::Issued { effect } => Some(effect.clone()),
        Body::Opened(_) | Body::Happened { .. } | Body::Resumed(_) | Body::Closed => None,
    };
    let mut all = Vec::new();
    for (at, record) in records.iter().enumerate().skip(from) {
        let crash = |not_made| Crash {
            at: at as u64,
            not_made,
        };
        all.push(crash(None));
        let Body::Happened { of: Some(of), .. } = &record.body else {
            continue;
        };
        let of = usize::try_from(*of).expect("small");
        let effect = issued(&records[of]).expect("it answers an effect");
        // What was under way when the last runner died is a lost answer, or is asked again before all else.
        if of >= from {
            let mut earlier = records[from..of].iter().filter_map(issued);
            let equal = count_of(&mut earlier, &effect) + asked_again(records, from, &effect);
            all.push(crash(Some((effect, equal))));
        }
    }
    all
}

fn count_of(effects: &mut dyn Iterator<Item = Effect>, wanted: &Effect) -> usize {
    effects.filter(|effect| effect == wanted).count()
}

/// How many calls like this one a resumed runner repeats, because the last one died in them.
fn asked_again(records: &[run::Entry], from: usize, wanted: &Effect) -> usize {
    if wanted.mutates() {
        return 0;
    }
    let answered_before = |seq: usize| {
        let answers = |record: &&run::Entry| matches!(&record.body, Body::Happened { of: Some(of), .. } if *of == seq as u64);
        records[..from].iter().any(|record| answers(&record))
    };
    let open = records[..from].iter().enumerate().filter(|(seq, record)| {
        matches!(&record.body, Body::Issued { effect } if effect == wanted) && !answered_before(*seq)
    });
    open.count()
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

/// Of the crashes one in so many is followed by another: a few seconds' worth.
const EVERY: usize = if cfg!(debug_assertions) { 40 } else { 4 };

/// And of the places at which a resumed run may die one in so many is taken.
const STRIDE: usize = 150;

fn case() -> (World, Draft) {
    let world = rollout_sim::storefront(7);
    let mut draft = storefront(&world);
    draft.cutovers.truncate(1);
    (world, draft)
}

#[test]
fn a_release_goes_on_after_a_crash_anywhere_and_after_another() {
    let (world, draft) = case();
    Case::new(world, draft, true).matrix();
}

#[test]
fn a_way_back_goes_on_after_a_crash_anywhere_and_after_another() {
    let (mut world, draft) = case();
    let bad_image = Incident::BadImage {
        service: "frontend".into(),
    };
    let when = When::deployment_of("frontend", Duration::ZERO);
    world
        .schedule("production", when, bad_image)
        .expect("it is there");
    Case::new(world, draft, false).matrix();
}
