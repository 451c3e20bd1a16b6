//! Checks of [`ImagePromotion`].

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{Fixture, Stop, Trouble, answer, ctx, hold, lost, only_reads, refused, same};
use crate::error::ErrorKind;
use crate::id::{ImageDigest, ImageTag, RepositoryName};
use crate::image::{Ensured, ImageRef};
use crate::port::ImagePromotion;

/// An image in the source environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Where it is.
    pub image: ImageRef,
    /// The tag that names it.
    pub tag: ImageTag,
    /// The digests of its manifests, if it is an index; in the index's order.
    pub children: Vec<ImageDigest>,
    /// A repository of the target environment that exists and holds nothing.
    pub to: RepositoryName,
}

impl Pushed {
    fn copied(&self) -> ImageRef {
        ImageRef {
            repository: self.to.clone(),
            digest: self.image.digest.clone(),
        }
    }
}

/// A world with a source and a target registry.
#[async_trait(?Send)]
pub trait ImagePromotionFixture: Fixture {
    /// The port.
    fn images(&self) -> &dyn ImagePromotion;

    /// The image of this world: always the same one. An index, where the registry takes one.
    async fn pushed(&self) -> Result<Pushed, Stop>;

    /// Its tag names another image from now on, which is the answer.
    async fn move_tag(&self) -> Result<ImageDigest, Stop>;

    /// The manifest that the target holds under this digest, byte for byte.
    async fn bytes(&self, image: &ImageRef) -> Result<Option<Vec<u8>>, Stop>;

    /// The same in the source.
    async fn source_bytes(&self, image: &ImageRef) -> Result<Option<Vec<u8>>, Stop>;

    /// All manifests of a repository of the target.
    async fn held(&self, repository: &RepositoryName) -> Result<BTreeSet<ImageDigest>, Stop>;

    /// Something that the image refers to disappears from the target; its digest is the answer.
    async fn damage(&self, image: &ImageRef) -> Result<ImageDigest, Stop>;

    /// The same in the source.
    async fn damage_source(&self, image: &ImageRef) -> Result<ImageDigest, Stop>;
}

suite!(
    "ImagePromotion",
    ImagePromotionFixture {
        a_tag_is_resolved: "The digest that a tag of the source names now.",
        a_tag_that_moved_is_resolved_anew: "The digest that a tag of the source names now.",
        a_missing_tag_is_none: "`None` when the tag does not exist.",
        a_missing_image_is_none: "`None` when it is not there.",
        looking_changes_nothing: "A port observes, or ensures.",
        a_copy_is_exact: "Copies the manifest or index, everything it refers to, from the source to the target, byte for byte.",
        a_copy_brings_nothing_else: "Copies the manifest or index, everything it refers to, and nothing else.",
        a_copy_said_twice_is_one: "Saying an effect twice is harmless.",
        what_is_missing_is_named: "Digests that the image refers to and that the registry does not hold.",
        a_copy_mends_what_is_missing: "Copies the manifest or index, everything it refers to.",
        a_copy_of_nothing_is_refused: "NotFound: the subject does not exist.",
        a_copy_of_half_an_image_is_refused: "Copies the manifest or index, everything it refers to.",
        a_lost_answer_to_a_copy_is_not_a_no: "An implementation that cannot tell says `Maybe`; saying an effect twice is harmless.",
        a_forbidden_copy_changes_nothing: "PermissionDenied: a repeat gives the same answer; it has not taken effect.",
    }
);

async fn resolve<F: ImagePromotionFixture>(fixture: &F, tag: &ImageTag) -> Result<Option<ImageDigest>, Stop> {
    let pushed = fixture.pushed().await?;
    let found = fixture
        .images()
        .resolve(&ctx(fixture, "resolve", 1), &pushed.image.repository, tag)
        .await;
    answer("the digest of a tag", found)
}

async fn copy<F: ImagePromotionFixture>(fixture: &F, pushed: &Pushed) -> Result<Ensured, Stop> {
    let copied = fixture
        .images()
        .copy(&ctx(fixture, "copy", 1), &pushed.image, &pushed.to)
        .await;
    answer("a copy", copied)
}

/// The port's own view and the world's must both say that the image is there, whole.
async fn is_whole<F: ImagePromotionFixture>(fixture: &F, pushed: &Pushed) -> Result<(), Stop> {
    let copied = pushed.copied();
    let read = fixture.images().read(&ctx(fixture, "read", 1), &copied).await;
    let Some(tree) = answer("the image", read)? else {
        return Err(Stop::fail("the image in the target", "none"));
    };
    same("its digest", &copied.digest, &tree.digest)?;
    same("its manifests", &pushed.children, &tree.children)?;
    same("what is missing of it", &Vec::new(), &tree.missing)?;
    for digest in [&copied.digest].into_iter().chain(&pushed.children) {
        let of = |repository: &RepositoryName| ImageRef {
            repository: repository.clone(),
            digest: digest.clone(),
        };
        let wanted = fixture.source_bytes(&of(&pushed.image.repository)).await?;
        let seen = fixture.bytes(&of(&pushed.to)).await?;
        same(&format!("the bytes of {digest}"), &wanted, &seen)?;
    }
    Ok(())
}

async fn a_tag_is_resolved<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    same(
        "the digest",
        &Some(pushed.image.digest),
        &resolve(fixture, &pushed.tag).await?,
    )
}

async fn a_tag_that_moved_is_resolved_anew<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    resolve(fixture, &pushed.tag).await?;
    let moved = fixture.move_tag().await?;
    same("the digest", &Some(moved), &resolve(fixture, &pushed.tag).await?)
}

async fn a_missing_tag_is_none<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let absent = "conformance-no-such-tag".parse().map_err(Stop::fixture)?;
    same("the digest", &None, &resolve(fixture, &absent).await?)
}

async fn a_missing_image_is_none<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    let read = fixture
        .images()
        .read(&ctx(fixture, "read", 1), &pushed.copied())
        .await;
    same(
        "the image before it was copied",
        &None,
        &answer("no image", read)?,
    )
}

async fn looking_changes_nothing<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    copy(fixture, &pushed).await?;
    only_reads(fixture, async || {
        resolve(fixture, &pushed.tag).await?;
        let read = fixture
            .images()
            .read(&ctx(fixture, "read", 1), &pushed.copied())
            .await;
        answer("the image", read).map(drop)
    })
    .await
}

async fn a_copy_is_exact<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    hold(
        copy(fixture, &pushed).await? != Ensured::AlreadyThere,
        "an image that was not there",
        &pushed,
    )?;
    is_whole(fixture, &pushed).await
}

async fn a_copy_brings_nothing_else<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    // Another image in the source's repository, which nobody asks for.
    fixture.move_tag().await?;
    copy(fixture, &pushed).await?;
    let mut wanted: BTreeSet<ImageDigest> = pushed.children.iter().cloned().collect();
    wanted.insert(pushed.image.digest.clone());
    same(
        "the manifests of the target",
        &wanted,
        &fixture.held(&pushed.to).await?,
    )
}

async fn a_copy_said_twice_is_one<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    copy(fixture, &pushed).await?;
    same(
        "how the second call ended",
        &Ensured::AlreadyThere,
        &copy(fixture, &pushed).await?,
    )?;
    is_whole(fixture, &pushed).await
}

async fn what_is_missing_is_named<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    copy(fixture, &pushed).await?;
    let gone = fixture.damage(&pushed.copied()).await?;
    let read = fixture
        .images()
        .read(&ctx(fixture, "read", 1), &pushed.copied())
        .await;
    let tree = answer("the image", read)?;
    let missing = tree.map(|tree| tree.missing);
    hold(
        missing.as_ref().is_some_and(|missing| missing.contains(&gone)),
        &format!("{gone} among what is missing"),
        &missing,
    )
}

async fn a_copy_mends_what_is_missing<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    copy(fixture, &pushed).await?;
    fixture.damage(&pushed.copied()).await?;
    hold(
        copy(fixture, &pushed).await? != Ensured::AlreadyThere,
        "a copy of what is missing",
        &pushed,
    )?;
    is_whole(fixture, &pushed).await
}

async fn a_copy_of_nothing_is_refused<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let mut pushed = fixture.pushed().await?;
    pushed.image.digest = ImageDigest::of(b"no such image");
    let copied = fixture
        .images()
        .copy(&ctx(fixture, "copy", 1), &pushed.image, &pushed.to)
        .await;
    refused(
        "a copy of an image that never was",
        copied,
        &[ErrorKind::NotFound],
    )?;
    same(
        "the manifests of the target",
        &BTreeSet::new(),
        &fixture.held(&pushed.to).await?,
    )
}

async fn a_copy_of_half_an_image_is_refused<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    fixture.damage_source(&pushed.image).await?;
    let copied = fixture
        .images()
        .copy(&ctx(fixture, "copy", 1), &pushed.image, &pushed.to)
        .await;
    hold(
        copied.is_err(),
        "an error: the source does not hold all of it",
        &copied,
    )?;
    let there = fixture.bytes(&pushed.copied()).await?;
    hold(
        there.is_none(),
        "no image in the target that refers to what is not there",
        &there,
    )
}

async fn a_lost_answer_to_a_copy_is_not_a_no<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    fixture.trouble(Trouble::LostAnswers).await?;
    let copied = fixture
        .images()
        .copy(&ctx(fixture, "copy", 1), &pushed.image, &pushed.to)
        .await;
    fixture.calm().await?;
    // A copy begins with reading; when already that answer is lost it may say No, if that is true.
    if fixture.held(&pushed.to).await?.is_empty() {
        hold(copied.is_err(), "an error: its answer was lost", &copied)?;
    } else {
        lost("the copy", copied)?;
    }
    copy(fixture, &pushed).await?;
    is_whole(fixture, &pushed).await
}

async fn a_forbidden_copy_changes_nothing<F: ImagePromotionFixture>(fixture: &F) -> Result<(), Stop> {
    let pushed = fixture.pushed().await?;
    fixture.trouble(Trouble::Denied).await?;
    let copied = fixture
        .images()
        .copy(&ctx(fixture, "copy", 1), &pushed.image, &pushed.to)
        .await;
    fixture.calm().await?;
    refused(
        "a copy without permission",
        copied,
        &[ErrorKind::PermissionDenied],
    )?;
    same(
        "the manifests of the target",
        &BTreeSet::new(),
        &fixture.held(&pushed.to).await?,
    )
}
