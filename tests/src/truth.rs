//! What the simulated services really run, read from the world and never from our own state.

use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::dns::Record;
use rollout_core::id::ImageDigest;
use rollout_core::journal::Body;
use rollout_core::machine::rollout::{Event, LeftAt, Outcome, Superseding};
use rollout_core::plan::Draft;
use rollout_core::service::{RolloutState, ServiceObservation, ServiceStatus, StoppedTask};
use rollout_core::time::Timestamp;
use rollout_examples::storefront::ZONE;
use rollout_sim::World;

use crate::run::Entry;

/// The services of the storefront.
pub const SERVICES: [&str; 3] = ["backend", "frontend", "worker"];

/// The longest time in which a task that is told to stop has stopped.
const STOPPING: Duration = Duration::from_secs(60);

/// What a storefront looks like: the digest of each service's image, and the zone's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// By service.
    pub images: BTreeMap<&'static str, ImageDigest>,
    /// Without the markers, which stay.
    pub records: Vec<Record>,
}

/// The digest that a tag of a service's repository had.
///
/// # Panics
/// When there is no such image.
#[must_use]
pub fn digest(world: &World, environment: &str, service: &str, tag: &str) -> ImageDigest {
    world
        .image(environment, &format!("storefront/{service}"), tag)
        .expect("it was pushed")
}

/// How many tasks of the storefront's migration were ever started in production.
///
/// # Panics
/// When there is no production.
#[must_use]
pub fn migrations(world: &World) -> usize {
    let started = world.one_off_tasks("production", "storefront-migrate");
    started.expect("production is there")
}

/// A service of production.
///
/// # Panics
/// When there is no production.
#[must_use]
pub fn service(world: &World, name: &str) -> ServiceObservation {
    world.service("production", name).expect("production is there")
}

/// The zone's records without our markers.
///
/// # Panics
/// When the zone is not there.
#[must_use]
pub fn records(world: &World) -> Vec<Record> {
    let zone = ZONE.parse().expect("a name");
    let all = world.records(&zone).expect("the zone is there");
    let is_marker = |record: &&Record| record.key.name.as_str().starts_with('_');
    let mut found: Vec<Record> = all.iter().filter(|record| !is_marker(record)).cloned().collect();
    found.sort();
    found
}

/// Why a service does not serve exactly this image; `None` when it does: it is active, its PRIMARY deployment has
/// completed, as many tasks run as are wanted, and every one of them runs this image.
#[must_use]
pub fn flaw(world: &World, name: &str, image: &ImageDigest) -> Option<String> {
    flaw_since(world, name, image, None)
}

/// The same of a service that was looked at then: tasks that have failed since need not run.
fn flaw_since(world: &World, name: &str, image: &ImageDigest, looked: Option<Timestamp>) -> Option<String> {
    let seen = service(world, name);
    let Some(primary) = seen.primary() else {
        return Some(format!("{name} has no PRIMARY deployment"));
    };
    if seen.status != ServiceStatus::Active {
        return Some(format!("{name} is {:?}", seen.status));
    }
    if primary.rollout != RolloutState::Completed {
        return Some(format!(
            "the PRIMARY deployment of {name} is {:?}",
            primary.rollout
        ));
    }
    let short = seen.running < seen.desired || seen.pending > 0;
    let lost = looked
        .filter(|_| short)
        .map_or(0, |at| lost_since(world, &seen, name, at));
    let whole = seen.running <= seen.desired && seen.running + lost >= seen.desired && seen.desired > 0;
    if !whole || seen.pending > lost {
        return Some(format!(
            "{name} wants {} tasks, {} run and {} are on their way; {lost} failed since {looked:?}",
            seen.desired, seen.running, seen.pending
        ));
    }
    let wrong = seen
        .tasks
        .iter()
        .find(|task| task.images.values().any(|shown| shown != image));
    wrong.map(|task| format!("a task of {name} runs {:?} and not {image}", task.images))
}

/// How many tasks of a service have failed since a moment, or are just being stopped for it.
fn lost_since(world: &World, seen: &ServiceObservation, name: &str, at: Timestamp) -> u32 {
    let mut later = world.clone();
    later.pass(STOPPING);
    let runs = |gone: &StoppedTask| seen.tasks.iter().any(|task| task.task == gone.task);
    let lost = |gone: &&StoppedTask| gone.cause.is_some() && gone.stopped_at >= at && !runs(gone);
    u32::try_from(service(&later, name).stopped.iter().filter(lost).count()).expect("a few")
}

/// Production before the release.
#[must_use]
pub fn before(world: &World) -> Expected {
    let image = |name| (name, digest(world, "production", name, "2.3.0"));
    Expected {
        images: SERVICES.into_iter().map(image).collect(),
        records: records(world),
    }
}

/// Production after it: staging's images, and the records that the plan asks for.
#[must_use]
pub fn after(world: &World, plan: &Draft) -> Expected {
    let image = |name| (name, digest(world, "staging", name, "2.4.0"));
    let mut records = records(world);
    for cutover in &plan.cutovers {
        for record in records
            .iter_mut()
            .filter(|record| record.key.same_as(&cutover.key))
        {
            record.data = cutover.to.clone();
        }
    }
    Expected {
        images: SERVICES.into_iter().map(image).collect(),
        records,
    }
}

/// What makes a world different from what is expected, of the services named.
#[must_use]
pub fn flaws(world: &World, expected: &Expected, services: &[&str]) -> Vec<String> {
    differences(world, expected, services, &BTreeMap::new())
}

/// The same at the end of a release that claims these records and has this journal.
///
/// What a release says of its services is true of its last look at them: tasks that have failed since need not run. A TTL
/// that could not be restored is no failure of a release, but then it claims the one that the record has.
fn flaws_of_release(
    world: &World,
    mut expected: Expected,
    services: &[&str],
    claimed: &[Record],
    journal: &[Entry],
) -> Vec<String> {
    let actual = records(world);
    for claim in claimed {
        let same = |held: &&mut Record| {
            !actual.contains(held) && held.key.same_as(&claim.key) && held.data.same_target(&claim.data)
        };
        if let Some(held) = expected.records.iter_mut().find(same) {
            held.clone_from(claim);
        }
    }
    let look = |record: &Entry| match &record.body {
        Body::Happened {
            event: Event::Confirmed { service, seen },
            ..
        } => Some((service.as_str().to_owned(), seen.at)),
        _ => None,
    };
    let looks = journal.iter().filter_map(look).collect();
    differences(world, &expected, services, &looks)
}

fn differences(
    world: &World,
    expected: &Expected,
    services: &[&str],
    looks: &BTreeMap<String, Timestamp>,
) -> Vec<String> {
    let mut found: Vec<String> = services
        .iter()
        .filter_map(|name| flaw_since(world, name, expected.images.get(name)?, looks.get(*name).copied()))
        .collect();
    let records = records(world);
    if records != expected.records {
        found.push(format!("the records are {records:#?}"));
    }
    found
}

/// An outcome, and what it is held against.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The outcome.
    pub outcome: &'a Outcome,
    /// The run's journal.
    pub journal: &'a [Entry],
    /// What the world must look like after such an outcome.
    pub expected: Expected,
    /// The services of which it may be asked.
    pub services: &'a [&'a str],
    /// Whatever may have changed something.
    pub changes: Vec<String>,
}

impl Claim<'_> {
    /// What of it is not true of a world. `unfounded` says why nobody has superseded the run.
    #[must_use]
    pub fn lies(self, world: &World, unfounded: impl FnOnce(&Superseding) -> Option<String>) -> Vec<String> {
        match self.outcome {
            Outcome::Released { records, .. } => {
                flaws_of_release(world, self.expected, self.services, records, self.journal)
            }
            Outcome::RolledBack { .. }
            | Outcome::Aborted {
                left_at: LeftAt::LastKnownGood,
            } => flaws(world, &self.expected, self.services),
            Outcome::Refused { .. }
            | Outcome::Aborted {
                left_at: LeftAt::Untouched,
            } => self
                .changes
                .into_iter()
                .map(|change| format!("I-1: {change}"))
                .collect(),
            Outcome::Superseded { by } => unfounded(by).into_iter().collect(),
            Outcome::Stuck(stuck) if stuck.next.is_empty() || stuck.text.is_empty() => {
                vec!["I-13: stuck without words or a way out".to_owned()]
            }
            Outcome::Stuck(_) => Vec::new(),
        }
    }
}

/// For worlds in which nobody else is.
#[must_use]
pub fn nobody_else(by: &Superseding) -> Option<String> {
    Some(format!("superseded, and nobody else is there: {by:?}"))
}

/// How a run ended, in a word or two.
#[must_use]
pub const fn end(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Released { .. } => "released",
        Outcome::RolledBack { .. } => "rolled back",
        Outcome::Refused { .. } => "refused",
        Outcome::Superseded { .. } => "superseded",
        Outcome::Aborted {
            left_at: LeftAt::Untouched,
        } => "aborted, untouched",
        Outcome::Aborted {
            left_at: LeftAt::LastKnownGood,
        } => "aborted, gone back",
        Outcome::Stuck(_) => "stuck",
    }
}
