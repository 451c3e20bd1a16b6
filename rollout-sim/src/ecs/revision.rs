//! Task definitions: content as JSON, revisions that are reused when their content is the same.

use rollout_core::id::{ContainerName, ImageDigest, ImageTag, RepositoryName, TaskDefinitionArn};
use rollout_core::image::{Ensured, ImageRef};
use rollout_core::service::{Images, RevisionSpec};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Environment;

/// One revision of a task definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) arn: TaskDefinitionArn,
    pub(crate) family: String,
    pub(crate) number: u32,
    pub(crate) active: bool,
    pub(crate) registered_at: Timestamp,
    pub(crate) deregistered_at: Option<Timestamp>,
    pub(crate) containers: Vec<Container>,
    /// What was registered, as it was.
    pub(crate) content: Value,
}

/// One container of a revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: ContainerName,
    pub(crate) essential: bool,
    pub(crate) image: String,
    pub(crate) check: Option<ContainerCheck>,
    /// Where its secrets come from (`valueFrom`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<String>,
}

/// A container's own health check, in milliseconds (Amazon ECS API, "HealthCheck"; its defaults).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerCheck {
    pub(crate) interval: u64,
    pub(crate) retries: u64,
    pub(crate) start_period: u64,
}

/// Where an image string of a task definition leads.
pub(crate) enum Source<'a> {
    /// Into this environment's registry.
    Here(RepositoryName, Reference),
    /// To another registry, which is taken to hold it.
    Elsewhere(&'a str),
}

/// What an image string names.
pub(crate) enum Reference {
    Digest(ImageDigest),
    Tag(ImageTag),
}

impl Revision {
    /// The first container that the task ends with: it decides the task's course unless another one misbehaves.
    pub(crate) fn essential(&self) -> Option<&Container> {
        self.containers.iter().find(|c| c.essential)
    }

    /// The operating system and the architecture that its tasks run on, as an image index names them: Linux on x86-64 unless it
    /// says otherwise (Amazon ECS API, "RuntimePlatform").
    fn platform(&self) -> (&'static str, &'static str) {
        let asked = &self.content["runtimePlatform"];
        let windows = asked["operatingSystemFamily"]
            .as_str()
            .is_some_and(|family| family.starts_with("WINDOWS"));
        let arm = asked["cpuArchitecture"] == "ARM64";
        (
            if windows { "windows" } else { "linux" },
            if arm { "arm64" } else { "amd64" },
        )
    }

    /// The container check that decides the task's health.
    pub(crate) fn check(&self) -> Option<ContainerCheck> {
        self.containers
            .iter()
            .find_map(|c| c.check.filter(|_| c.essential))
    }
}

fn container(value: &Value) -> Result<Container, String> {
    let name = value["name"].as_str().ok_or("a container has no name")?;
    let image = value["image"]
        .as_str()
        .ok_or_else(|| format!("container {name} has no image"))?;
    let millis = |key: &str, default: u64| value["healthCheck"][key].as_u64().unwrap_or(default) * 1_000;
    Ok(Container {
        name: ContainerName::new(name).map_err(|e| e.to_string())?,
        essential: value["essential"].as_bool().unwrap_or(true),
        image: image.to_owned(),
        check: value["healthCheck"].is_object().then(|| ContainerCheck {
            interval: millis("interval", 30).max(1_000),
            retries: value["healthCheck"]["retries"].as_u64().unwrap_or(3).max(1),
            start_period: millis("startPeriod", 0),
        }),
        secrets: secret_references(value).collect(),
    })
}

/// `valueFrom` of each secret of a container.
pub(crate) fn secret_references(container: &Value) -> impl Iterator<Item = String> {
    let secrets = container["secrets"].as_array().into_iter().flatten();
    secrets.filter_map(|secret| secret["valueFrom"].as_str().map(str::to_owned))
}

impl Environment {
    /// Its account and region.
    pub(crate) fn home(&self) -> (&str, &str) {
        (&self.account, &self.region)
    }

    /// The host name of this environment's registry.
    pub(crate) fn registry_host(&self) -> String {
        format!("{}.dkr.ecr.{}.amazonaws.com", self.account, self.region)
    }

    /// Registers a revision, or finds the newest usable one with the same content.
    pub(crate) fn ensure_revision(
        &mut self,
        now: Timestamp,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), String> {
        let content = self.content(spec)?;
        let family = content["family"].as_str().unwrap_or_default();
        let same = |r: &&Revision| r.active && r.family == family && r.content == content;
        if let Some(found) = self.revisions.iter().rev().find(same) {
            return Ok((found.arn.clone(), Ensured::AlreadyThere));
        }
        let index = self.register_revision(now, content)?;
        Ok((self.revision_at(index).arn.clone(), Ensured::Created))
    }

    /// Registers a revision; its index.
    pub(crate) fn register_revision(&mut self, now: Timestamp, content: Value) -> Result<u32, String> {
        let family = content["family"]
            .as_str()
            .ok_or("the task definition has no family")?
            .to_owned();
        let definitions = content["containerDefinitions"].as_array();
        let containers = definitions.map_or(&[][..], Vec::as_slice);
        let containers = containers.iter().map(container).collect::<Result<Vec<_>, _>>()?;
        if !containers.iter().any(|c| c.essential) {
            return Err("the task definition has no essential container".to_owned());
        }
        let number = 1 + self.revisions.iter().filter(|r| r.family == family).count() as u32;
        let arn = format!(
            "arn:aws:ecs:{}:{}:task-definition/{family}:{number}",
            self.region, self.account
        );
        let arn = TaskDefinitionArn::new(arn).map_err(|e| e.to_string())?;
        let index = self.revisions.len() as u32;
        self.revisions.push(Revision {
            arn,
            family,
            number,
            active: true,
            registered_at: now,
            deregistered_at: None,
            containers,
            content,
        });
        Ok(index)
    }

    /// The template with the release's images in it, by digest.
    fn content(&self, spec: &RevisionSpec) -> Result<Value, String> {
        let mut content = spec.template.clone();
        for (name, image) in &spec.images {
            let definitions = content["containerDefinitions"].as_array_mut();
            let mut all = definitions.into_iter().flatten();
            let definition = all
                .find(|d| d["name"].as_str() == Some(name.as_str()))
                .ok_or_else(|| format!("the task definition has no container {name}"))?;
            let uri = format!("{}/{}@{}", self.registry_host(), image.repository, image.digest);
            definition["image"] = Value::String(uri);
        }
        Ok(content)
    }

    /// The present content of a service with another image in its first container, as a revision.
    pub(crate) fn revision_with(
        &mut self,
        now: Timestamp,
        service: u16,
        image: &(RepositoryName, ImageDigest),
    ) -> Option<u32> {
        let present = self.services[service as usize].primary()?.revision;
        let held = self.revision_at(present);
        let (repository, digest) = image.clone();
        let name = held.containers.first()?.name.clone();
        let spec = RevisionSpec {
            template: held.content.clone(),
            images: [(name, ImageRef { repository, digest })].into(),
        };
        let (arn, _) = self.ensure_revision(now, &spec).ok()?;
        self.revision(&arn).map(|(index, _)| index)
    }

    pub(crate) fn revision(&self, arn: &TaskDefinitionArn) -> Option<(u32, &Revision)> {
        let index = self.revisions.iter().rposition(|r| &r.arn == arn)?;
        Some((u32::try_from(index).ok()?, &self.revisions[index]))
    }

    pub(crate) fn revision_at(&self, index: u32) -> &Revision {
        &self.revisions[index as usize]
    }

    pub(crate) fn source<'a>(&self, image: &'a str) -> Source<'a> {
        let host = self.registry_host();
        let Some(rest) = image.strip_prefix(&host).and_then(|r| r.strip_prefix('/')) else {
            return Source::Elsewhere(image);
        };
        let named = match rest.split_once('@') {
            Some((name, digest)) => ImageDigest::new(digest)
                .ok()
                .map(|digest| (name, Reference::Digest(digest))),
            None => {
                let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
                ImageTag::new(tag).ok().map(|tag| (name, Reference::Tag(tag)))
            }
        };
        match named.and_then(|(name, reference)| Some((RepositoryName::new(name).ok()?, reference))) {
            Some((repository, reference)) => Source::Here(repository, reference),
            None => Source::Elsewhere(image),
        }
    }

    /// The digest of each container's image, as far as the registry can tell. ECS resolves tags once, when a deployment
    /// begins (Amazon ECS developer guide, "Container image resolution").
    pub(crate) fn resolve_images(&self, revision: u32) -> Images {
        let containers = &self.revision_at(revision).containers;
        let resolved = containers.iter().filter_map(|c| {
            let digest = match self.source(&c.image) {
                Source::Here(_, Reference::Digest(digest)) => digest,
                Source::Here(repository, Reference::Tag(tag)) => {
                    self.registry.resolve(&repository, &tag)?.clone()
                }
                Source::Elsewhere(image) => ImageDigest::of(image.as_bytes()),
            };
            Some((c.name.clone(), digest))
        });
        resolved.collect()
    }

    /// Why a task with these images cannot be pulled, if so: the container and the text after `CannotPullContainerError: `, as it is
    /// on Fargate.
    pub(crate) fn pull_error(&self, revision: u32, images: &Images) -> Option<(ContainerName, String)> {
        let content = self.revision_at(revision);
        let platform = content.platform();
        content.containers.iter().find_map(|c| {
            let Source::Here(repository, _) = self.source(&c.image) else {
                return None;
            };
            let held = images
                .get(&c.name)
                .filter(|digest| self.registry.has(&repository, digest));
            let message = match held {
                Some(digest) if self.registry.runs_on(&repository, digest, platform) => return None,
                Some(_) => no_descriptor(platform),
                None => format!(
                    "pull image manifest has been retried 1 time(s): failed to resolve ref {}: {}: not found",
                    c.image, c.image
                ),
            };
            Some((c.name.clone(), message))
        })
    }
}

/// What Fargate says of an index without an image for its platform. AWS documents no text; people quote this one, with
/// `linux/amd64` and with `linux/arm64 v8`.
fn no_descriptor((os, architecture): (&str, &str)) -> String {
    let variant = if architecture == "arm64" { " v8" } else { "" };
    format!(
        "pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform \
         '{os}/{architecture}{variant}'"
    )
}
