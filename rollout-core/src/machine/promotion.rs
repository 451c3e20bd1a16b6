//! One image from the source registry to the target's, byte for byte, if the source environment has proven it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason};
use crate::id::{ContainerName, ImageDigest, ImageTag, RepositoryName, ServiceName};
use crate::image::{Ensured, ImageRef, ManifestTree};
use crate::service::ServiceObservation;
use crate::time::millis;

/// How a release names its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// By tag; resolved once, and looked at once more right before the copy.
    Tag(ImageTag),
    /// By digest.
    Digest(ImageDigest),
}

/// What is promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Where the image is.
    pub from: RepositoryName,
    /// Which image.
    pub reference: Reference,
    /// Where it goes.
    pub to: RepositoryName,
    /// The service of the source environment that must run it.
    pub service: ServiceName,
    /// The container of that service.
    pub container: ContainerName,
    /// For how long it must have run there: at least one running task is that old, and every running task has this digest.
    #[serde(with = "millis")]
    pub soak: Duration,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two tries of a call that failed.
    #[serde(with = "millis")]
    pub retry_every: Duration,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer, copying included.
    #[serde(with = "millis")]
    pub answer: Duration,
    /// The longest wait for the parent's word to copy.
    #[serde(with = "millis")]
    pub proceed: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The events without their data."
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Start,
    /// The tag was resolved; `None` when it does not exist.
    TagResolved(Option<ImageDigest>),
    /// The source service was looked at.
    SourceObserved(Box<ServiceObservation>),
    /// The parent lets it copy: every other precondition of the release has been read.
    Proceed,
    /// The image was copied.
    Copied(Ensured),
    /// The image was read back; `None` when it is not there.
    ReadBack(Option<ManifestTree>),
    /// The call under way failed.
    CallFailed(ErrorRecord),
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Ask which digest the tag names.
    ResolveTag {
        /// The source repository.
        repository: RepositoryName,
        /// The tag.
        tag: ImageTag,
    },
    /// Look at the service of the source environment.
    ObserveSource {
        /// The service.
        service: ServiceName,
    },
    /// Copy the image with everything it refers to.
    CopyImage {
        /// The source.
        from: ImageRef,
        /// The target repository.
        to: RepositoryName,
    },
    /// Read the image back from the target.
    ReadBack {
        /// The target.
        image: ImageRef,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target holds exactly these bytes.
    Promoted {
        /// The image in the target registry.
        image: ImageRef,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It was not started: nothing was copied.
    Refused(Reason),
    /// It failed on the way; an unused image may be left in the target registry.
    Failed(Reason),
}
