//! Registries and the secrets that a task takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::readiness::known::Known;
use crate::time::Timestamp;

/// The name of an image without its tag and digest, such as `registry.example:5000/shop`: a colon before a slash is a port.
#[must_use]
pub fn name_of(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        Some(_) | None => name,
    }
}

/// A repository of ECR (Amazon ECR API, "DescribeRepositories").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Whether a tag, once pushed, names the same image for ever.
    pub immutable_tags: bool,
    /// Whether an image is scanned when it is pushed: by the repository's own setting, or by the registry's for its name.
    pub scan_on_push: Known<bool>,
    /// Its lifecycle policy; missing when it has none.
    pub lifecycle: Known<Vec<LifecycleRule>>,
    /// Its images, newest first.
    pub images: Known<Vec<ListedImage>>,
}

/// An image in the list of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedImage {
    /// Its digest.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
}

/// A rule of a lifecycle policy (Amazon ECR User Guide, "Lifecycle policy properties").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRule {
    /// Lower ones act first.
    pub priority: u32,
    /// `tagged`, `untagged` or `any`.
    pub tag_status: String,
    /// Beginnings, or patterns with `*`, of tags that it is about; nothing is every tag.
    pub tags: Vec<String>,
    /// What it deletes.
    pub deletes: Expiry,
}

/// What a rule of a lifecycle policy deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// All but the newest so many.
    MoreThan(u32),
    /// What was pushed so many days ago.
    OlderThanDays(u32),
    /// The policy's word for something else.
    Other(String),
}

/// An image in its registry, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The architectures that it has, as a task definition writes them.
    pub architectures: Known<Vec<String>>,
    /// What its scan found: how many, by severity; missing when it was not scanned (Amazon ECR API,
    /// "DescribeImageScanFindings").
    pub findings: Known<BTreeMap<String, u32>>,
}

/// Where a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// AWS Secrets Manager.
    SecretsManager,
    /// A parameter of AWS Systems Manager.
    ParameterStore,
}

/// A secret. Its value is never read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Where it is kept.
    pub store: Store,
    /// When its value was last changed.
    pub changed_at: Option<Timestamp>,
    /// When it will be gone, if somebody has deleted it.
    pub deleted_at: Option<Timestamp>,
    /// Whether it is kept encrypted: always in Secrets Manager, as `SecureString` in Parameter Store.
    pub encrypted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_image_is_before_its_tag() {
        for (image, name) in [
            ("nginx", "nginx"),
            ("nginx:1.27", "nginx"),
            ("localhost:5000/shop/api", "localhost:5000/shop/api"),
            ("localhost:5000/shop/api:1@sha256:ab", "localhost:5000/shop/api"),
        ] {
            assert_eq!(name_of(image), name);
        }
    }
}
