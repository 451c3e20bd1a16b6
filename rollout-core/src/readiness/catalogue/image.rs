//! Images and the registry that they come from.

use std::collections::BTreeSet;

use super::each_service;
use super::lifecycle::{Fate, fate};
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::image::{Image, ListedImage, Repository, name_of};
use crate::readiness::known::{Unseen, Why};
use crate::readiness::scene::about;

/// What ECS takes a task definition without an architecture for (Amazon ECS API, "RuntimePlatform").
const ARCHITECTURE: &str = "X86_64";

pub(super) const RULES: &[Rule] = &[
    rule!(
        "ecs_container_image_unpinned", Image, High, BLOCKING, STAGING_TOO,
        title: "Every image is pinned by its digest",
        why: "A tag can be moved: tasks of one revision then run different programs, and going back brings the new one.",
        remedy: "Write `<repository>@sha256:<digest>` in the task definition; a release of this tool does.",
        cli: "aws ecr describe-images --repository-name <repository> --image-ids imageTag=<tag> --query 'imageDetails[].imageDigest'",
        terraform: "aws_ecs_task_definition.container_definitions image",
        cdk: "ContainerImage fromEcrRepository(repository, 'sha256:...')",
        source: "Amazon ECS Developer Guide, \"Best practices for Amazon ECS container images\"",
        over: each_service(pinned),
    ),
    rule!(
        "ecr_image_foreign", Image, Medium, ADVISORY, PRODUCTION,
        title: "Every image comes from the environment's own registry",
        why: "Another registry may be down, refuse too many pulls, or delete the image when a task has to start.",
        remedy: "Promote the image into the environment's registry, or pull it through a cache there.",
        cli: "aws ecr create-pull-through-cache-rule --ecr-repository-prefix <prefix> --upstream-registry-url <registry>",
        terraform: "aws_ecr_pull_through_cache_rule",
        cdk: "CfnPullThroughCacheRule",
        source: "Amazon ECR User Guide, \"Sync an upstream registry with an Amazon ECR private registry\"",
        over: each_service(own),
    ),
    rule!(
        "ecr_image_missing", Image, Critical, BLOCKING, STAGING_TOO,
        title: "Every image is in the registry",
        why: "A task whose image is not there never starts.",
        remedy: "Promote the image by its digest, or push it again.",
        cli: "aws ecr describe-images --repository-name <repository> --image-ids imageDigest=<digest>",
        terraform: "",
        cdk: "",
        source: "Amazon ECS Developer Guide, \"CannotPullContainer task errors in Amazon ECS\"",
        over: Over::Each {
            which: images,
            judge: |scene, key| {
                let found = scene.facts.images.find(key)?;
                if found.is_none() && copied_from(scene, key).is_some() {
                    return Ok(Verdict::not_applicable("the run copies it"));
                }
                Ok(Verdict::when(found.is_some(), || "there is no such image".to_owned(), "the image"))
            },
        },
    ),
    rule!(
        "ecr_image_architecture_wrong", Image, Critical, BLOCKING, STAGING_TOO,
        title: "Every image is for the architecture of its tasks",
        why: "A program for another processor ends at once, with nothing but `exec format error`.",
        remedy: "Build the image for the task's architecture, or for both, or correct `runtimePlatform`.",
        cli: "aws ecr batch-get-image --repository-name <repository> --image-ids imageDigest=<digest>",
        terraform: "aws_ecs_task_definition.runtime_platform.cpu_architecture",
        cdk: "FargateTaskDefinition runtimePlatform",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task definitions for 64-bit ARM workloads\"",
        over: each_service(architecture),
    ),
    rule!(
        "ecr_image_vulnerable", Image, High, BLOCKING, PRODUCTION,
        title: "The scan of every image found no more than is allowed",
        why: "What a scanner knows of an image, whoever attacks it knows too.",
        remedy: "Build the image on a newer base, or take the package out.",
        cli: "aws ecr describe-image-scan-findings --repository-name <repository> --image-id imageDigest=<digest>",
        terraform: "",
        cdk: "",
        source: "Amazon ECR User Guide, \"Scan images for software vulnerabilities in Amazon ECR\"",
        over: Over::Each { which: images, judge: findings },
    ),
    rule!(
        "ecr_repository_scan_off", Image, Medium, ADVISORY, STAGING_TOO,
        title: "Images are scanned when they are pushed",
        why: "Without that somebody has to remember to, for each image.",
        remedy: "Turn on scan on push, for the repository or for the registry.",
        cli: "aws ecr put-image-scanning-configuration --repository-name <repository> --image-scanning-configuration scanOnPush=true",
        terraform: "aws_ecr_repository.image_scanning_configuration",
        cdk: "Repository imageScanOnPush",
        source: "Amazon ECR User Guide, \"Scan images for software vulnerabilities in Amazon ECR\"",
        over: Over::Each {
            which: repositories,
            judge: |scene, name| {
                let on = *repository(scene, name)?
                    .scan_on_push
                    .get()
                    .map_err(|unseen| about(unseen, name))?;
                Ok(Verdict::when(on, || "off".to_owned(), "scan on push"))
            },
        },
    ),
    rule!(
        "ecr_repository_tags_mutable", Image, Medium, ADVISORY, STAGING_TOO,
        title: "A tag names the same image for ever",
        why: "A tag that can be moved makes a release's name mean something else later.",
        remedy: "Make the repository's tags immutable.",
        cli: "aws ecr put-image-tag-mutability --repository-name <repository> --image-tag-mutability IMMUTABLE",
        terraform: "aws_ecr_repository.image_tag_mutability",
        cdk: "Repository imageTagMutability",
        source: "Amazon ECR User Guide, \"Preventing image tags from being overwritten in Amazon ECR\"",
        over: Over::Each {
            which: repositories,
            judge: |scene, name| {
                let immutable = repository(scene, name)?.immutable_tags;
                Ok(Verdict::when(immutable, || "tags can be moved".to_owned(), "immutable tags"))
            },
        },
    ),
    rule!(
        "ecr_repository_lifecycle_missing", Image, Low, ADVISORY, STAGING_TOO,
        title: "The repository has a lifecycle policy",
        why: "Without one images pile up for ever, and are paid for.",
        remedy: "Add a policy that keeps the last images, many more than a way back needs.",
        cli: "aws ecr put-lifecycle-policy --repository-name <repository> --lifecycle-policy-text file://<file>",
        terraform: "aws_ecr_lifecycle_policy",
        cdk: "Repository lifecycleRules",
        source: "Amazon ECR User Guide, \"Automate the cleanup of images by using lifecycle policies in Amazon ECR\"",
        over: Over::Each {
            which: repositories,
            judge: |scene, name| {
                let policy = &repository(scene, name)?.lifecycle;
                let policy = policy.find().map_err(|unseen| about(unseen, name))?;
                Ok(Verdict::when(policy.is_some(), || "no policy".to_owned(), "a lifecycle policy"))
            },
        },
    ),
    rule!(
        "ecr_lifecycle_keeps_few", Image, Medium, ADVISORY, STAGING_TOO,
        title: "The lifecycle policy keeps enough images",
        why: "Who releases often is through a short list in a day, and has nothing to go back to.",
        remedy: "Raise the count of the rule that is about releases.",
        cli: "aws ecr put-lifecycle-policy --repository-name <repository> --lifecycle-policy-text file://<file>",
        terraform: "aws_ecr_lifecycle_policy.policy",
        cdk: "Repository lifecycleRules maxImageCount",
        source: "Amazon ECR User Guide, \"Lifecycle policy properties in Amazon ECR\"",
        over: Over::Each { which: repositories, judge: keeps },
    ),
    rule!(
        "ecr_lifecycle_deletes_needed", Image, High, BLOCKING, STAGING_TOO,
        title: "The lifecycle policy deletes no image that runs or that a way back leads to",
        why: "The registry does not know what runs: once the image is deleted no task of it can start, and no rollback either.",
        remedy: "Count images in place of days, above the number that is pushed between two releases, or keep releases by a tag of their own.",
        cli: "aws ecr start-lifecycle-policy-preview --repository-name <repository>",
        terraform: "aws_ecr_lifecycle_policy.policy",
        cdk: "Repository lifecycleRules",
        source: "Amazon ECR User Guide, \"Automate the cleanup of images by using lifecycle policies in Amazon ECR\"",
        over: Over::Each { which: repositories, judge: deletes },
    ),
];

/// A container's image: the host of its registry, the repository, the digest.
struct Named<'a> {
    container: &'a str,
    registry: &'a str,
    repository: &'a str,
    digest: Option<&'a str>,
}

impl Named<'_> {
    fn of<'a>(container: &'a str, image: &'a str) -> Named<'a> {
        let name = name_of(image);
        let digest = image.split_once('@').map(|(_, digest)| digest);
        // The first part is a host if it looks like one; otherwise the image is of Docker Hub.
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            Some(_) | None => ("docker.io", name),
        };
        Named {
            container,
            registry,
            repository,
            digest,
        }
    }

    fn key(&self) -> Option<String> {
        self.digest.map(|digest| format!("{}@{digest}", self.repository))
    }
}

/// The hosts of the environment's own registry (Amazon ECR User Guide, "Amazon ECR private registry").
fn registries(scene: &Scene<'_>) -> [String; 3] {
    let (account, region) = (&scene.intent.expects.account, &scene.intent.expects.region);
    [
        format!("{account}.dkr.ecr.{region}.amazonaws.com"),
        format!("{account}.dkr.ecr.{region}.amazonaws.com.cn"),
        format!("{account}.dkr-ecr.{region}.on.aws"),
    ]
}

fn named<'a>(scene: &Scene<'a>, service: &str) -> Result<Vec<Named<'a>>, Unseen> {
    let containers = &scene.task_definition(service)?.containers;
    let named = containers
        .iter()
        .map(|container| Named::of(&container.name, &container.image));
    Ok(named.collect())
}

/// A service's images in the environment's own registry: whether they are elsewhere is another check's question.
fn in_registry<'a>(scene: &Scene<'a>, service: &str) -> Result<Vec<Named<'a>>, Unseen> {
    let registries = registries(scene);
    let mut named = named(scene, service)?;
    named.retain(|image| registries.iter().any(|own| own == image.registry));
    Ok(named)
}

fn pinned(scene: &Scene<'_>, service: &str) -> Ruling {
    let is_digest = |digest: &str| digest.starts_with("sha256:");
    let wrong: Vec<String> = named(scene, service)?
        .iter()
        .filter(|image| !image.digest.is_some_and(is_digest))
        .map(|image| format!("{}: {} by its tag", image.container, image.repository))
        .collect();
    Ok(Verdict::unless(&wrong, "a digest"))
}

fn own(scene: &Scene<'_>, service: &str) -> Ruling {
    let registries = registries(scene);
    let wrong: Vec<String> = named(scene, service)?
        .iter()
        .filter(|image| !registries.iter().any(|own| own == image.registry))
        .map(|image| format!("{}: {}/{}", image.container, image.registry, image.repository))
        .collect();
    let [registry, ..] = registries;
    Ok(Verdict::unless(&wrong, registry))
}

/// The images that services will run, `repository@digest`.
fn images(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = BTreeSet::new();
    for service in scene.services() {
        all.extend(in_registry(scene, &service)?.iter().filter_map(Named::key));
    }
    Ok(all.into_iter().collect())
}

/// The repositories that services pull from.
fn repositories(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = BTreeSet::new();
    for service in scene.services() {
        let named = in_registry(scene, &service)?;
        all.extend(named.iter().map(|image| image.repository.to_owned()));
    }
    Ok(all.into_iter().collect())
}

fn repository<'a>(scene: &Scene<'a>, name: &str) -> Result<&'a Repository, Unseen> {
    scene.facts.repositories.get(name)
}

/// What an image is called in the source, if the run copies it from there.
fn copied_from<'a>(scene: &Scene<'a>, key: &str) -> Option<&'a str> {
    let release = scene.intent.release.as_ref()?;
    release.copies.get(key).map(String::as_str)
}

/// An image as it will be in the target: the one that is there, else the one that the run copies, which is the same bytes.
fn in_the_end<'a>(scene: &Scene<'a>, key: &str) -> Result<Option<&'a Image>, Unseen> {
    match (scene.facts.images.find(key)?, copied_from(scene, key)) {
        (None, Some(source)) => scene.facts.source_images.find(source),
        (found, _) => Ok(found),
    }
}

fn architecture(scene: &Scene<'_>, service: &str) -> Ruling {
    let definition = scene.task_definition(service)?;
    let runs = definition.architecture.as_deref().unwrap_or(ARCHITECTURE);
    if let Some(meant) = &scene.meant(service)?.architecture
        && meant != runs
    {
        return Ok(Verdict::fail(format!("its tasks run on {runs}"), meant.clone()));
    }
    let mut wrong = Vec::new();
    let mut judged = false;
    for image in in_registry(scene, service)? {
        let Some(key) = image.key() else {
            continue;
        };
        let Some(found) = in_the_end(scene, &key)? else {
            continue;
        };
        let has = found.architectures.get().map_err(|unseen| about(unseen, &key))?;
        judged = true;
        if !has.iter().any(|one| one == runs) {
            wrong.push(format!(
                "{}: the image is for {}",
                image.container,
                has.join(", ")
            ));
        }
    }
    if !judged {
        return Ok(Verdict::not_applicable(
            "no image of it is pinned and in the registry",
        ));
    }
    Ok(Verdict::unless(&wrong, runs))
}

fn findings(scene: &Scene<'_>, key: &str) -> Ruling {
    let Some(image) = in_the_end(scene, key)? else {
        return Ok(Verdict::not_applicable("there is no such image"));
    };
    let limits = &scene.intent.limits.findings;
    let wanted: Vec<String> = limits
        .iter()
        .map(|(severity, most)| format!("{severity} {most}"))
        .collect();
    let wanted = format!("at most {}", wanted.join(", "));
    let Some(found) = found(image).map_err(|unseen| about(unseen, key))? else {
        return Ok(Verdict::fail("it was not scanned", wanted));
    };
    let wrong: Vec<String> = limits
        .iter()
        .filter_map(|(severity, most)| {
            let count = found.get(severity).copied().unwrap_or_default();
            (count > *most).then(|| format!("{severity} {count}"))
        })
        .collect();
    Ok(Verdict::unless(&wrong, wanted))
}

type Findings = std::collections::BTreeMap<String, u32>;

fn found(image: &Image) -> Result<Option<&Findings>, Unseen> {
    image.findings.find()
}

/// The digests that must not be deleted: of what runs, of what is about to run, and of what a way back leads to.
fn needed(scene: &Scene<'_>) -> Result<BTreeSet<String>, Unseen> {
    let mut all = BTreeSet::new();
    for service in scene.services() {
        all.extend(
            named(scene, &service)?
                .iter()
                .filter_map(|image| image.digest.map(ToOwned::to_owned)),
        );
        let running = &scene.service(&service)?.task_definition;
        let running = &scene.facts.task_definitions.get(running)?.containers;
        let digests = running
            .iter()
            .filter_map(|container| Named::of(&container.name, &container.image).digest);
        all.extend(digests.map(ToOwned::to_owned));
        let back = scene.facts.ways_back.find(&service)?;
        let point = back.and_then(|back| back.point.as_ref());
        all.extend(
            point
                .into_iter()
                .flat_map(|point| point.images.values().map(ToString::to_string)),
        );
    }
    Ok(all)
}

/// The fate of each needed image of a repository; `None` without a policy.
fn fates<'a>(scene: &Scene<'a>, name: &str) -> Result<Option<Vec<(&'a ListedImage, Fate)>>, Unseen> {
    let repository = repository(scene, name)?;
    let Some(rules) = repository
        .lifecycle
        .find()
        .map_err(|unseen| about(unseen, name))?
    else {
        return Ok(None);
    };
    let images = repository.images.get().map_err(|unseen| about(unseen, name))?;
    let needed = needed(scene)?;
    let ours = images.iter().filter(|image| needed.contains(&image.digest));
    Ok(Some(
        ours.map(|image| (image, fate(rules, images, image))).collect(),
    ))
}

const NO_POLICY: &str = "there is no lifecycle policy";

fn keeps(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(fates) = fates(scene, name)? else {
        return Ok(Verdict::not_applicable(NO_POLICY));
    };
    let least = scene.intent.limits.images_kept;
    let counts = fates.iter().filter_map(|(_, fate)| match fate {
        Fate::Counted { kept, .. } => Some(*kept),
        Fate::Kept | Fate::Ages { .. } | Fate::Unclear(_) => None,
    });
    Ok(match counts.min() {
        Some(kept) => Verdict::when(
            kept >= least,
            || format!("{kept} are kept"),
            format!("{least} or more"),
        ),
        None => Verdict::not_applicable("no rule counts the images that are needed"),
    })
}

fn deletes(scene: &Scene<'_>, name: &str) -> Ruling {
    let Some(fates) = fates(scene, name)? else {
        return Ok(Verdict::not_applicable(NO_POLICY));
    };
    // So many may be pushed before the next release; a rule that counts fewer is another check's failure.
    let pushes = scene.intent.limits.images_kept;
    let mut wrong = Vec::new();
    let mut unclear = None;
    for (image, fate) in fates {
        let image = image.tags.first().unwrap_or(&image.digest);
        match fate {
            Fate::Kept => {}
            Fate::Ages { days } => wrong.push(format!("{image} goes {days} days after its push")),
            Fate::Counted { kept, newer } => {
                let later = if kept >= pushes { pushes } else { 0 };
                if newer.saturating_add(later) >= kept {
                    wrong.push(format!("{image} goes with {later} more pushes: {kept} are kept"));
                }
            }
            Fate::Unclear(text) => {
                unclear = Some(Unseen::new(
                    Why::Failed,
                    name,
                    format!("a rule that counts {text} is not understood"),
                ));
            }
        }
    }
    match unclear {
        Some(unseen) if wrong.is_empty() => Err(unseen),
        Some(_) | None => Ok(Verdict::unless(
            &wrong,
            "what runs and what is gone back to is kept",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_registry_repository_and_digest() {
        for (image, registry, repository, digest) in [
            ("nginx", "docker.io", "nginx", None),
            ("nginx:1.27", "docker.io", "nginx", None),
            (
                "library/nginx@sha256:00",
                "docker.io",
                "library/nginx",
                Some("sha256:00"),
            ),
            ("localhost:5000/shop/web:2", "localhost:5000", "shop/web", None),
            (
                "222222222222.dkr.ecr.eu-central-1.amazonaws.com/shop/web:2@sha256:00",
                "222222222222.dkr.ecr.eu-central-1.amazonaws.com",
                "shop/web",
                Some("sha256:00"),
            ),
        ] {
            let named = Named::of("web", image);
            assert_eq!(
                (named.registry, named.repository, named.digest),
                (registry, repository, digest),
                "{image}"
            );
        }
    }
}
