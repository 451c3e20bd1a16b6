//! Images.

use super::service::{container, definition, meant};
use super::{Fault, fault};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::image::{Expiry, Image, LifecycleRule, Repository};
use crate::readiness::intent::Intent;
use crate::readiness::known::Known;

fn repository(facts: &mut Snapshot) -> &mut Repository {
    facts
        .repositories
        .seen_mut("storefront/backend")
        .expect("the shop has it")
}

/// What the backend's image of the release is kept under.
fn key(intent: &mut Intent) -> String {
    let image = &container(intent).image;
    let (_, key) = image.split_once('/').expect("it names a registry");
    key.to_owned()
}

fn image<'a>(facts: &'a mut Snapshot, intent: &mut Intent) -> &'a mut Image {
    facts
        .images
        .seen_mut(&key(intent))
        .expect("it is in the registry")
}

fn lifecycle(facts: &mut Snapshot, tag_status: &str, deletes: Expiry) {
    repository(facts).lifecycle = Known::Seen(vec![LifecycleRule {
        priority: 1,
        tag_status: tag_status.to_owned(),
        tags: Vec::new(),
        deletes,
    }]);
}

pub(super) fn faults() -> Vec<Fault> {
    [images(), repositories()].into_iter().flatten().collect()
}

fn images() -> Vec<Fault> {
    vec![
        fault("ecs_container_image_unpinned", "by a tag", |_, intent| {
            let container = container(intent);
            let (name, _) = container.image.split_once('@').expect("it is pinned");
            container.image = format!("{name}:latest");
        }),
        fault("ecr_image_foreign", "of Docker Hub", |_, intent| {
            let container = container(intent);
            let (_, digest) = container.image.split_once('@').expect("it is pinned");
            container.image = format!("example/backend@{digest}");
        }),
        fault("ecr_image_missing", "never promoted", |facts, intent| {
            facts.images.put(key(intent), Known::Missing);
        }),
        fault(
            "ecr_image_architecture_wrong",
            "the image is for ARM",
            |facts, intent| {
                image(facts, intent).architectures = Known::Seen(vec!["ARM64".to_owned()]);
            },
        ),
        fault(
            "ecr_image_architecture_wrong",
            "the tasks are on ARM",
            |_, intent| {
                definition(intent).architecture = Some("ARM64".to_owned());
            },
        ),
        fault(
            "ecr_image_architecture_wrong",
            "not what is meant",
            |_, intent| {
                meant(intent, "frontend").architecture = Some("ARM64".to_owned());
            },
        ),
        fault("ecr_image_vulnerable", "a critical finding", |facts, intent| {
            image(facts, intent).findings = Known::Seen([("CRITICAL".to_owned(), 1)].into());
        }),
        fault("ecr_image_vulnerable", "never scanned", |facts, intent| {
            image(facts, intent).findings = Known::Missing;
        }),
    ]
}

fn repositories() -> Vec<Fault> {
    vec![
        fault("ecr_repository_scan_off", "off", |facts, _| {
            repository(facts).scan_on_push = Known::Seen(false);
        }),
        fault("ecr_repository_tags_mutable", "tags can be moved", |facts, _| {
            repository(facts).immutable_tags = false;
        }),
        fault("ecr_repository_lifecycle_missing", "no policy", |facts, _| {
            repository(facts).lifecycle = Known::Missing;
        }),
        fault("ecr_lifecycle_keeps_few", "three", |facts, _| {
            lifecycle(facts, "any", Expiry::MoreThan(3));
        }),
        fault("ecr_lifecycle_deletes_needed", "by age", |facts, _| {
            lifecycle(facts, "any", Expiry::OlderThanDays(90));
        }),
        fault("ecr_lifecycle_deletes_needed", "by count, soon", |facts, _| {
            lifecycle(facts, "tagged", Expiry::MoreThan(11));
        }),
        fault(
            "ecr_lifecycle_deletes_needed",
            "what runs has lost its tag",
            |facts, _| {
                lifecycle(facts, "untagged", Expiry::OlderThanDays(7));
                if let Known::Seen(images) = &mut repository(facts).images {
                    for image in images {
                        image.tags.clear();
                    }
                }
            },
        ),
    ]
}
