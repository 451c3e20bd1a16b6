//! An index of two images, by tag.

use rollout_core::id::ImageDigest;
use rollout_core::image::{Ensured, ManifestTree};
use rollout_core::machine::promotion::{Effect, Event, Policy, Promotion, Reference, Spec};

use crate::deployment::steady;
use crate::{BEGIN, Script, id, secs};

/// Resolved, proven, copied, read back.
#[must_use]
pub fn promotion() -> Script<Promotion> {
    let digest = ImageDigest::of(b"backend:2");
    let spec = Spec {
        from: id("staging/backend"),
        reference: Reference::Tag(id("2.4.0")),
        to: id("production/backend"),
        service: id("backend"),
        container: id("app"),
        soak: secs(0),
    };
    let policy = Policy {
        retry_every: secs(5),
        max_errors: 3,
        answer: secs(120),
        proceed: secs(600),
    };
    Script::record(
        Promotion::new(spec, policy),
        Event::Start,
        |_, now, effect| match effect {
            Some(Effect::ResolveTag { .. }) => Event::TagResolved(Some(digest.clone())),
            Some(Effect::ObserveSource { .. }) => {
                Event::SourceObserved(Box::new(steady(now, "ecs-svc/2", "backend:2", BEGIN)))
            }
            Some(Effect::CopyImage { .. }) => Event::Copied(Ensured::Created),
            Some(Effect::ReadBack { .. }) => Event::ReadBack(Some(ManifestTree {
                digest: digest.clone(),
                media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
                children: vec![ImageDigest::of(b"amd64"), ImageDigest::of(b"arm64")],
                missing: Vec::new(),
            })),
            None => Event::Proceed,
        },
    )
}
