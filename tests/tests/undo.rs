//! The undo matrix: each change that a run asks for is refused for good, done without an answer, and done twice, one at a time,
//! in a release, on a way back, and in the undoing itself. However it ends, the world is as the outcome says.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use core::time::Duration;
use pollster::block_on;
use rollout_core::Effect as _;
use rollout_core::driver::{Driver, Perform, PortPerformer};
use rollout_core::error::{Applied, Error, ErrorKind, Retry};
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::Lifecycle as _;
use rollout_core::machine::rollout::{Action, Effect, Event, Outcome, Rollout};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_sim::{Incident, SimCloud, When, World};
use rollout_tests::run::{self, fresh, storefront};
use rollout_tests::truth::{self, Claim, SERVICES, end};

/// What happens to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// It is refused for good, here and wherever it is asked for again.
    Refused,
    /// It is done, and its answer is lost.
    Unanswered,
    /// It is done twice in a row.
    Twice,
}

/// Performs, with trouble at one change.
struct Troubled {
    inner: PortPerformer,
    /// Counted among the changes.
    at: usize,
    trouble: Trouble,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    changes: Vec<Effect>,
    /// What there was trouble with.
    hit: Option<Effect>,
}

#[async_trait]
impl Perform<Rollout> for Troubled {
    async fn perform(&self, effect: &Effect) -> Event {
        if effect.mutates() && self.is_hit(effect) {
            match self.trouble {
                Trouble::Refused => {
                    let error = Error::new(ErrorKind::PermissionDenied, "undo", "refused by the test");
                    let error = error.applied(Applied::No).retry(Retry::Never);
                    return Rollout::failed(effect, error.record());
                }
                Trouble::Unanswered => {
                    Perform::<Rollout>::perform(&self.inner, effect).await;
                    let error = Error::new(ErrorKind::TimedOut, "undo", "the answer was lost");
                    return Rollout::failed(effect, error.applied(Applied::Maybe).record());
                }
                Trouble::Twice => {
                    Perform::<Rollout>::perform(&self.inner, effect).await;
                }
            }
        }
        Perform::<Rollout>::perform(&self.inner, effect).await
    }
}

impl Troubled {
    /// Whether this change is the one; of a refusal, also whether it is the same again.
    fn is_hit(&self, effect: &Effect) -> bool {
        let mut seen = self.seen.lock().expect("not poisoned");
        let again = self.trouble == Trouble::Refused && seen.hit.as_ref() == Some(effect);
        let now = seen.changes.len() == self.at;
        seen.changes.push(effect.clone());
        if now {
            seen.hit = Some(effect.clone());
        }
        now || again
    }
}

/// A run with trouble at its `at`th change: what it was, and how the run ended; `None` when there are not so many.
fn troubled(world: &World, draft: &Draft, at: usize, trouble: Trouble) -> Option<(Effect, Ended)> {
    let cloud = SimCloud::new(world.clone());
    let mut machine = fresh(draft.clone());
    let performer = Troubled {
        inner: run::performer(&cloud, &machine),
        at,
        trouble,
        seen: Mutex::default(),
    };
    let (journal, clock) = (MemoryJournal::new(), cloud.clock());
    let driver = Driver {
        run: machine.plan().run.clone(),
        performer: &performer,
        journal: &journal,
        clock: clock.as_ref(),
        observer: &Silent,
    };
    let outcome = block_on(driver.run(&mut machine, futures_util::stream::empty()));
    let hit = performer.seen.into_inner().expect("not poisoned").hit?;
    let ended = Ended {
        cloud,
        records: journal.records(),
        outcome: outcome.expect("the driver does not halt"),
    };
    Some((hit, ended))
}

struct Ended {
    cloud: SimCloud,
    records: Vec<run::Entry>,
    outcome: Outcome,
}

impl Ended {
    /// What of the outcome is not true.
    fn lies(&self, before: &World, draft: &Draft) -> Vec<String> {
        let world = self.cloud.world();
        let expected = match &self.outcome {
            Outcome::Released { .. } => truth::after(before, draft),
            _ => truth::before(before),
        };
        let claim = Claim {
            outcome: &self.outcome,
            journal: &self.records,
            expected,
            services: &SERVICES,
            changes: world.calls().effects().map(|m| format!("{m:?}")).collect(),
        };
        let mut found = claim.lies(&world, truth::nobody_else);
        if truth::migrations(&world) > 1 {
            found.push("I-20: the migration was started twice".to_owned());
        }
        found
    }

    /// Whether every service has as many tasks as it had, of the old release or of the new one.
    fn serves(&self, before: &World, draft: &Draft) -> Vec<String> {
        let world = self.cloud.world();
        let (old, new) = (truth::before(before), truth::after(before, draft));
        let bare = |name: &&str| {
            let seen = truth::service(&world, name);
            let known = seen.tasks.iter().filter(|task| {
                let mut shown = task.images.values();
                shown.all(|image| Some(image) == old.images.get(name) || Some(image) == new.images.get(name))
            });
            known.count() < usize::try_from(seen.desired).expect("a few")
        };
        SERVICES
            .iter()
            .filter(|name| bare(name))
            .map(|name| format!("{name} has too few tasks of either release"))
            .collect()
    }
}

/// Trouble at every change of the run, one at a time. How often each kind of trouble came to each end, forward and in undoing.
fn matrix(world: &World, draft: &Draft) -> BTreeMap<(Trouble, bool, &'static str), u32> {
    let mut ends = BTreeMap::new();
    let calm = run::run(world.clone(), draft.clone());
    for trouble in [Trouble::Refused, Trouble::Unanswered, Trouble::Twice] {
        for at in 0.. {
            let Some((hit, ended)) = troubled(world, draft, at, trouble) else {
                assert!(at > 0, "the run changes nothing");
                break;
            };
            let mut problems = ended.lies(world, draft);
            problems.extend(ended.serves(world, draft));
            if trouble == Trouble::Twice && end(&ended.outcome) != end(&calm.outcome) {
                problems.push(format!("done once, it is {}", end(&calm.outcome)));
            }
            assert!(
                problems.is_empty(),
                "{trouble:?}, change {at}: {hit:?}\n{problems:#?}\n{:?}",
                ended.outcome
            );
            let undoing = matches!(hit.action, Action::Unwind(_));
            *ends.entry((trouble, undoing, end(&ended.outcome))).or_default() += 1;
        }
    }
    println!("{ends:#?}");
    ends
}

fn count(ends: &BTreeMap<(Trouble, bool, &'static str), u32>, of: (Trouble, bool, &'static str)) -> u32 {
    ends.get(&of).copied().unwrap_or_default()
}

#[test]
fn every_change_of_a_release_may_fail_stay_unanswered_or_be_made_twice() {
    let world = rollout_sim::storefront(7);
    let ends = matrix(&world, &storefront(&world));
    // What was begun is undone, and there is something to undo in most cases.
    assert!(count(&ends, (Trouble::Refused, false, "rolled back")) > 3);
    assert_eq!(count(&ends, (Trouble::Refused, false, "stuck")), 0);
    // Neither a lost answer nor a repeat costs the release.
    let released = |trouble| count(&ends, (trouble, false, "released"));
    assert!(released(Trouble::Unanswered) > 10 && released(Trouble::Twice) > 10);
    let of = |wanted| ends.iter().filter(move |((trouble, ..), _)| *trouble == wanted);
    assert_eq!(of(Trouble::Unanswered).count(), 1, "{ends:?}");
}

#[test]
fn every_undo_may_fail_stay_unanswered_or_be_made_twice() {
    let mut world = rollout_sim::storefront(7);
    // The last service fails, so that the two before it are undone with it.
    let service = "worker".to_owned();
    let when = When::deployment_of(&service, Duration::ZERO);
    world
        .schedule("production", when, Incident::BadImage { service })
        .expect("it is there");
    let mut draft = storefront(&world);
    draft.services[2].after = [draft.services[1].name.clone()].into();
    let ends = matrix(&world, &draft);
    // An undo that is refused for good is a named end, never a success.
    assert!(count(&ends, (Trouble::Refused, true, "stuck")) >= 2);
    // But for the short cut: where that is refused, the plain way back is left.
    assert_eq!(count(&ends, (Trouble::Refused, true, "rolled back")), 1);
    assert!(count(&ends, (Trouble::Unanswered, true, "rolled back")) >= 3);
    assert!(count(&ends, (Trouble::Twice, true, "rolled back")) >= 3);
}
