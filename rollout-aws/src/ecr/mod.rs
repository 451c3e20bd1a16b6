//! Images from one ECR registry to another, byte for byte.

#[cfg(test)]
mod corpus;
pub(crate) mod layer;
mod manifest;
mod registry;
#[cfg(test)]
mod tests;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::{Ensured, ImageRef, ManifestTree};
use rollout_core::port::ImagePromotion;

pub use self::layer::{HttpLayers, LayerSource, LayerStream};
#[cfg(feature = "readiness")]
pub(crate) use self::manifest::ACCEPTED;
use self::manifest::Refers;
pub use self::registry::Registry;
use crate::sts::IdentityGuard;

const GET: &str = "ecr:BatchGetImage";
const CHECK_LAYERS: &str = "ecr:BatchCheckLayerAvailability";
const DOWNLOAD: &str = "ecr:GetDownloadUrlForLayer";
const INITIATE: &str = "ecr:InitiateLayerUpload";
const UPLOAD: &str = "ecr:UploadLayerPart";
const COMPLETE: &str = "ecr:CompleteLayerUpload";
const PUT: &str = "ecr:PutImage";

/// The IAM actions of this adapter, source and target together.
pub const ACTIONS: &[&str] = &[GET, CHECK_LAYERS, DOWNLOAD, INITIATE, UPLOAD, COMPLETE, PUT];

/// An index in an index in an index is copied; deeper is refused.
const DEPTH: usize = 3;

/// Copies images from a source registry to a target registry, which may be in another account or region.
///
/// The manifest and the index go over as the exact bytes that the source gave, after their SHA-256 was compared with the
/// digest that was asked for (invariant I-26). Children go before their index, layers before their manifest; layers that
/// the target has are not moved. A layer that neither registry claims to have is left to the target's `PutImage`, which
/// refuses a manifest without its layers (`LayersNotFoundException`).
///
/// The image gets the tag `rollout-` and its digest in the target, so that a lifecycle policy for untagged images does not
/// take it away while it is served; see [`EcrPromotion::untagged`].
///
/// # IAM actions
/// Source: `ecr:BatchGetImage`, `ecr:BatchCheckLayerAvailability`, `ecr:GetDownloadUrlForLayer`.
/// Target: `ecr:BatchGetImage`, `ecr:BatchCheckLayerAvailability`, `ecr:InitiateLayerUpload`, `ecr:UploadLayerPart`,
/// `ecr:CompleteLayerUpload`, `ecr:PutImage`. Identity (of the target's caller): `sts:GetCallerIdentity`.
pub struct EcrPromotion {
    source: Registry,
    target: Registry,
    guard: Arc<IdentityGuard>,
    layers: Arc<dyn LayerSource>,
    tagged: bool,
}

impl EcrPromotion {
    /// From the registry of `source`'s account and region to that of `target`'s. `guard` watches over the target.
    ///
    /// # Errors
    /// When no HTTP client for layers can be made.
    pub fn from_config(
        source: &SdkConfig,
        target: &SdkConfig,
        guard: Arc<IdentityGuard>,
    ) -> Result<Self, Error> {
        Ok(Self::new(
            Registry::from_config(source),
            Registry::from_config(target),
            guard,
            Arc::new(HttpLayers::new()?),
        ))
    }

    /// The same with ready registries and another way to fetch layers.
    #[must_use]
    pub fn new(
        source: Registry,
        target: Registry,
        guard: Arc<IdentityGuard>,
        layers: Arc<dyn LayerSource>,
    ) -> Self {
        Self {
            source,
            target,
            guard,
            layers,
            tagged: true,
        }
    }

    /// Without a tag in the target: for teams whose lifecycle policies keep untagged images.
    #[must_use]
    pub fn untagged(mut self) -> Self {
        self.tagged = false;
        self
    }

    /// Boxed, because an index may hold an index.
    fn copy_tree<'a>(
        &'a self,
        ctx: &'a OpContext,
        from: &'a RepositoryName,
        digest: &'a ImageDigest,
        to: &'a RepositoryName,
        tag: Option<String>,
        depth: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Ensured, Error>> + Send + 'a>> {
        Box::pin(async move {
            let Some(depth) = depth.checked_sub(1) else {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    GET,
                    format!("{from}@{digest}: an index nested deeper than {DEPTH}"),
                ));
            };
            let found = self.source.by_digest(ctx, from, digest).await?.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    GET,
                    format!("{from}@{digest} is not in the source registry"),
                )
            })?;
            if &found.digest != digest {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    GET,
                    format!(
                        "{from}@{digest}: the bytes that came have the digest {}",
                        found.digest
                    ),
                ));
            }
            let mut mended = false;
            match manifest::refers(GET, &found.text)? {
                Refers::Manifests(children) => {
                    for child in &children {
                        let copied = self.copy_tree(ctx, from, child, to, None, depth).await?;
                        mended |= copied == Ensured::Created;
                    }
                }
                Refers::Layers(layers) => mended = self.copy_layers(ctx, from, &layers, to).await?,
            }
            let put = self.target.put(ctx, to, &found, tag).await?;
            // An index that was there is no image that was there while something of it was missing.
            Ok(if mended { Ensured::Created } else { put })
        })
    }

    /// Whether there was anything to copy.
    async fn copy_layers(
        &self,
        ctx: &OpContext,
        from: &RepositoryName,
        layers: &[ImageDigest],
        to: &RepositoryName,
    ) -> Result<bool, Error> {
        let there = self.target.layers_there(ctx, to, layers).await?;
        let missing: Vec<_> = layers
            .iter()
            .filter(|layer| !there.contains(layer))
            .cloned()
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        for layer in &self.source.layers_there(ctx, from, &missing).await? {
            let url = self.source.layer_url(ctx, from, layer).await?;
            let bytes = self.layers.open(&url).await.map_err(|mut error| {
                error.context = format!("layer {layer} of {from}: {}", error.context);
                error
            })?;
            self.target.upload_layer(ctx, to, layer, bytes).await?;
        }
        Ok(true)
    }

    async fn tree(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error> {
        let Some(found) = self
            .target
            .by_digest(ctx, &image.repository, &image.digest)
            .await?
        else {
            return Ok(None);
        };
        let mut children = Vec::new();
        let mut missing = Vec::new();
        if let Refers::Manifests(listed) = manifest::refers(GET, &found.text)? {
            let there = self.target.by_digests(ctx, &image.repository, &listed).await?;
            for child in listed {
                // By the digest of the bytes: what ECR files under a digest without having it is as good as missing.
                let list = if there.iter().any(|manifest| manifest.digest == child) {
                    &mut children
                } else {
                    &mut missing
                };
                list.push(child);
            }
        }
        Ok(Some(ManifestTree {
            digest: found.digest,
            media_type: found.media_type,
            children,
            missing,
        }))
    }
}

impl fmt::Debug for EcrPromotion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcrPromotion")
            .field("guard", &self.guard)
            .field("tagged", &self.tagged)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ImagePromotion for EcrPromotion {
    async fn resolve(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> Result<Option<ImageDigest>, Error> {
        Ok(self
            .source
            .by_tag(ctx, repository, tag)
            .await?
            .map(|found| found.digest))
    }

    async fn copy(&self, ctx: &OpContext, from: &ImageRef, to: &RepositoryName) -> Result<Ensured, Error> {
        self.guard.check(ctx).await?;
        let target = ImageRef {
            repository: to.clone(),
            digest: from.digest.clone(),
        };
        if let Some(tree) = self.tree(ctx, &target).await?
            && tree.digest == from.digest
            && tree.missing.is_empty()
        {
            return Ok(Ensured::AlreadyThere);
        }
        let tag = self
            .tagged
            .then(|| format!("rollout-{}", from.digest.as_str().trim_start_matches("sha256:")));
        self.copy_tree(ctx, &from.repository, &from.digest, to, tag, DEPTH)
            .await
    }

    /// `missing` names manifests only: ECR does not take a manifest whose layers it lacks (Amazon ECR API, "PutImage").
    async fn read(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error> {
        self.tree(ctx, image).await
    }
}
