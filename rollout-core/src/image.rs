//! Images: where they live, what they consist of, how a tag becomes a digest.

use serde::{Deserialize, Serialize};

use crate::id::{ImageDigest, RepositoryName};

/// An image by content: the only form in which an image is ever deployed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// The repository, in the registry of the environment it is used in.
    pub repository: RepositoryName,
    /// The manifest's or index's digest.
    pub digest: ImageDigest,
}

/// What a registry holds under a digest, with everything it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTree {
    /// The digest computed from the bytes that were read, not the one that was asked for.
    pub digest: ImageDigest,
    /// The media type of the manifest or index.
    pub media_type: String,
    /// The digests of an index's manifests, each computed from bytes, in the index's order. Empty for a single manifest.
    pub children: Vec<ImageDigest>,
    /// Digests that the image refers to and that the registry does not hold, or holds with other bytes.
    pub missing: Vec<ImageDigest>,
}

/// How an `ensure` call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensured {
    /// It was not there and now is.
    Created,
    /// It was there, differed, and now is as asked.
    Updated,
    /// It was there as asked.
    AlreadyThere,
}
