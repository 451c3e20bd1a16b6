//! `images = { container = "repository" }`: which image of the release each container gets.

use std::collections::BTreeMap;

use rollout_core::id::{ContainerName, ImageDigest, ImageTag, RepositoryName};

use super::reader::{At, Reader, Value};

/// Where an image is and which version is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// In the source environment's registry.
    pub(crate) from: RepositoryName,
    /// In the target environment's registry.
    pub(crate) to: RepositoryName,
    /// Which version.
    pub(crate) version: Version,
}

/// Which version of an image is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The tag that the release gives; `{release}` in it stands for the release.
    Pattern(String),
    /// This digest, whatever the release is called.
    Digest(ImageDigest),
}

impl Version {
    /// The tag for a release; `None` for a digest.
    pub(crate) fn tag(&self, release: &str) -> Option<String> {
        match self {
            Self::Pattern(pattern) => Some(pattern.replace(RELEASE, release)),
            Self::Digest(_) => None,
        }
    }

    /// Whether the release's name is needed.
    pub(crate) fn needs_release(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.contains(RELEASE))
    }
}

/// What stands for the release in a tag.
const RELEASE: &str = "{release}";

/// The images by container, with the place of each for later checks.
pub(crate) type Images = BTreeMap<ContainerName, At<Image>>;

const HELP: &str = "write `images = { app = \"shop/backend\" }`: the container, then its repository";

pub(super) fn read(reader: &Reader<'_>, required: bool) -> Images {
    let value = if required {
        reader.required("images", "{ app = \"shop/backend\" }")
    } else {
        reader.value("images")
    };
    let mut images = Images::new();
    let Some(value) = value else { return images };
    let Some(table) = value.table("images") else {
        return images;
    };
    for (key, value) in table.entries() {
        let image = one(&value);
        match ContainerName::new(&key.value) {
            Ok(name) => {
                if let Some(image) = image {
                    images.insert(
                        name,
                        At {
                            value: image,
                            span: key.span,
                        },
                    );
                }
            }
            Err(error) => reader
                .sink
                .push(reader.sink.at(&key.span, error.to_string()).help(HELP)),
        }
    }
    if table.entries().next().is_none() && required {
        value.wrong("`images` is empty: nothing would be released", HELP);
    }
    images
}

fn one(value: &Value<'_>) -> Option<Image> {
    if value.is_text() {
        return short(value);
    }
    let table = value.table(&format!("images.{}", value.key))?;
    let from = table
        .required("repository", "\"shop/backend\"")
        .and_then(|v| v.parse::<RepositoryName>());
    let to = table.value("to").and_then(|v| v.parse::<RepositoryName>());
    let tag = table.value("tag").and_then(|v| tag(&v));
    let digest = table.value("digest");
    if let (Some(digest), Some(_)) = (&digest, &tag) {
        digest.wrong(
            "`digest` and `tag` are both given",
            "keep one: a digest needs no tag",
        );
    }
    let digest = digest.and_then(|v| v.parse::<ImageDigest>());
    table.finish();
    let from = from?.value;
    Some(Image {
        to: to.map_or_else(|| from.clone(), |to| to.value),
        from,
        version: match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest.value),
            (None, Some(tag)) => Version::Pattern(tag),
            (None, None) => Version::Pattern(RELEASE.to_owned()),
        },
    })
}

/// `repository`, `repository:tag` or `repository@sha256:…`.
fn short(value: &Value<'_>) -> Option<Image> {
    let text = value.text()?;
    let fault = |error: &dyn core::fmt::Display, help: &str| {
        value.wrong(format!("`{}`: {error}", value.key), help);
    };
    let (repository, version) = if let Some((repository, digest)) = text.value.split_once('@') {
        match ImageDigest::new(digest) {
            Ok(digest) => (repository, Version::Digest(digest)),
            Err(error) => {
                fault(
                    &error,
                    "a digest is `sha256:` and 64 hex digits, as `docker buildx imagetools inspect` prints it",
                );
                return None;
            }
        }
    } else if let Some((repository, tag)) = text.value.rsplit_once(':') {
        (
            repository,
            Version::Pattern(pattern(tag).map_err(|e| fault(&e, HELP)).ok()?),
        )
    } else {
        (text.value.as_str(), Version::Pattern(RELEASE.to_owned()))
    };
    if repository.contains(".dkr.ecr.") || repository.contains("://") {
        value.wrong(
            format!("`{}`: `{repository}` names a registry", value.key),
            "write the repository only; the registry is the environment's `registry`",
        );
        return None;
    }
    let repository = RepositoryName::new(repository)
        .map_err(|e| fault(&e, HELP))
        .ok()?;
    Some(Image {
        from: repository.clone(),
        to: repository,
        version,
    })
}

fn tag(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    pattern(&text)
        .map_err(|error| {
            value.wrong(
                format!("`tag`: {error}"),
                "`{release}` in it stands for the release, as in \"v{release}\"",
            )
        })
        .ok()
}

fn pattern(text: &str) -> Result<String, rollout_core::id::InvalidId> {
    // With a plain release in place of the placeholder it must be a tag.
    ImageTag::new(text.replace(RELEASE, "0")).map_err(|mut error| {
        text.clone_into(&mut error.given);
        error
    })?;
    Ok(text.to_owned())
}
