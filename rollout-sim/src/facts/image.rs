//! Repositories, images and secrets.

use std::collections::BTreeMap;

use rollout_core::id::{ImageDigest, RepositoryName};
use rollout_core::readiness::fact::image::{
    Expiry, Image, LifecycleRule, ListedImage, Repository, Secret, Store,
};
use rollout_core::readiness::known::Known;
use serde_json::Value;

use crate::ecr::Registry;
use crate::parameter::Kind;
use crate::secret::{Named, Place};
use crate::world::World;

/// A repository with its images. What it was not told, the surroundings say: that tags never move, that images are scanned, a
/// lifecycle policy.
pub(crate) fn repository(
    registry: &Registry,
    name: &RepositoryName,
    around: Option<&Repository>,
) -> Option<Repository> {
    let (_, held) = registry.repository(name.as_str())?;
    // What an index refers to has no tag and is no image of its own.
    let parts: Vec<ImageDigest> = held
        .images()
        .flat_map(|(_, manifest)| manifest.refers().0)
        .collect();
    let listed = held.images().filter(|(digest, _)| !parts.contains(digest));
    let mut images: Vec<ListedImage> = listed
        .map(|(digest, manifest)| ListedImage {
            digest: digest.to_string(),
            tags: held.tags_of(digest).map(ToString::to_string).collect(),
            pushed_at: manifest.pushed,
        })
        .collect();
    images.sort_by(|a, b| {
        b.pushed_at
            .cmp(&a.pushed_at)
            .then_with(|| a.digest.cmp(&b.digest))
    });
    let lifecycle = match (&held.lifecycle, around) {
        (Some(policy), _) => Known::Seen(rules(policy)),
        (None, Some(around)) => around.lifecycle.clone(),
        (None, None) => Known::Missing,
    };
    let scan_on_push = match around {
        Some(around) if !held.scan_on_push => around.scan_on_push.clone(),
        Some(_) | None => Known::Seen(held.scan_on_push),
    };
    Some(Repository {
        immutable_tags: held.immutable || around.is_some_and(|a| a.immutable_tags),
        scan_on_push,
        lifecycle,
        images: Known::Seen(images),
    })
}

/// The rules of a policy as it was put (Amazon ECR User Guide, "Lifecycle policy properties").
fn rules(policy: &str) -> Vec<LifecycleRule> {
    let parsed: Value = serde_json::from_str(policy).unwrap_or_default();
    let rule = |rule: &Value| {
        let selection = &rule["selection"];
        let text = |name: &str| selection[name].as_str().unwrap_or_default().to_owned();
        let count = u32::try_from(selection["countNumber"].as_u64().unwrap_or(0)).unwrap_or(u32::MAX);
        let tags = ["tagPrefixList", "tagPatternList"].map(|name| selection[name].as_array());
        let tags = tags.into_iter().flatten().flatten();
        LifecycleRule {
            priority: u32::try_from(rule["rulePriority"].as_u64().unwrap_or(0)).unwrap_or(u32::MAX),
            tag_status: text("tagStatus"),
            tags: tags
                .filter_map(|tag| tag.as_str().map(ToOwned::to_owned))
                .collect(),
            deletes: match text("countType").as_str() {
                "imageCountMoreThan" => Expiry::MoreThan(count),
                "sinceImagePushed" => Expiry::OlderThanDays(count),
                other => Expiry::Other(other.to_owned()),
            },
        }
    };
    let mut all: Vec<LifecycleRule> = parsed["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .map(rule)
        .collect();
    all.sort_by_key(|rule| rule.priority);
    all
}

/// An image. What a scan found is what the world was told of it; otherwise what the surroundings say. Of an image that those do not
/// speak of, it is nothing where the repository has images scanned when they are pushed.
pub(crate) fn image(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &ImageDigest,
    (around, scans): (Option<&Image>, bool),
) -> Option<Image> {
    if !registry.has(repository, digest) {
        return None;
    }
    let found = registry.findings(digest);
    let findings = match around {
        Some(around) if found.is_empty() => around.findings.clone(),
        None if found.is_empty() && !scans => Known::Missing,
        Some(_) | None => {
            let mut counts = BTreeMap::new();
            for finding in found {
                *counts.entry(finding.severity.clone()).or_insert(0) += 1;
            }
            Known::Seen(counts)
        }
    };
    let architectures = registry.architectures(repository, digest);
    Some(Image {
        architectures: if architectures.is_empty() {
            around
                .map(|around| around.architectures.clone())
                .unwrap_or_default()
        } else {
            Known::Seen(
                architectures
                    .iter()
                    .map(|name| as_task_definition(name))
                    .collect(),
            )
        },
        findings,
    })
}

/// An architecture as a task definition writes it (Amazon ECS API, "RuntimePlatform").
fn as_task_definition(architecture: &str) -> String {
    match architecture {
        "amd64" => "X86_64".to_owned(),
        other => other.to_uppercase(),
    }
}

/// The secret or parameter that a task definition of this account and region names, if the world has it.
pub(crate) fn secret(world: &World, here: Place<'_>, from: &str) -> Option<Secret> {
    match Named::read(from, here)? {
        Named::Secret(reference) => {
            let held = world.secrets.find(world.now(), reference.place(), reference.arn);
            held.ok().map(|held| Secret {
                arn: held.arn.clone(),
                name: held.name.clone(),
                store: Store::SecretsManager,
                changed_at: Some(held.changed),
                deleted_at: held.deletion.map(|deletion| deletion.ends),
                encrypted: true,
            })
        }
        Named::Parameter(reference) => {
            let held = world.parameters.resolve(&reference).ok()?;
            // A version that is none of it is as good as none.
            held.value(reference.version).ok().map(|_| Secret {
                arn: held.arn(),
                name: held.name.clone(),
                store: Store::ParameterStore,
                changed_at: Some(held.changed),
                deleted_at: None,
                encrypted: held.kind == Kind::SecureString,
            })
        }
    }
}
