//! What the simulated services really run, read from the world and never from our own state.

use std::collections::BTreeMap;

use rollout_core::dns::Record;
use rollout_core::id::ImageDigest;
use rollout_core::plan::Draft;
use rollout_core::service::{RolloutState, ServiceObservation, ServiceStatus};
use rollout_examples::storefront::ZONE;
use rollout_sim::World;

/// The services of the storefront.
pub const SERVICES: [&str; 3] = ["backend", "frontend", "worker"];

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
    if seen.running != seen.desired || seen.pending > 0 || seen.desired == 0 {
        return Some(format!(
            "{name} wants {} tasks, {} run and {} are on their way",
            seen.desired, seen.running, seen.pending
        ));
    }
    let wrong = seen
        .tasks
        .iter()
        .find(|task| task.images.values().any(|shown| shown != image));
    wrong.map(|task| format!("a task of {name} runs {:?} and not {image}", task.images))
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
    let mut found: Vec<String> = services
        .iter()
        .filter_map(|name| flaw(world, name, expected.images.get(name)?))
        .collect();
    let records = records(world);
    if records != expected.records {
        found.push(format!("the records are {records:#?}"));
    }
    found
}
