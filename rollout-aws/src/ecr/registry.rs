//! One ECR registry: manifests, layers, and what puts them there.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier, LayerAvailability};
use aws_smithy_types::Blob;
use aws_types::SdkConfig;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::Ensured;
use sha2::{Digest as _, Sha256};

use super::layer::LayerStream;
use super::manifest::ACCEPTED;
use super::{CHECK_LAYERS, COMPLETE, DOWNLOAD, GET, INITIATE, PUT, UPLOAD};
use crate::config;
use crate::error::from_sdk;
use crate::observer::{Meter, SharedObserver, Toll};

/// BatchCheckLayerAvailability and BatchGetImage take 100 digests a call (Amazon ECR API).
const DIGESTS_A_CALL: usize = 100;
/// The largest part that UploadLayerPart takes, and the largest that is held in memory.
const LARGEST_PART: usize = 20 * 1024 * 1024;
/// Parts before the last are no smaller (Amazon ECR API, "LayerPartTooSmallException").
const SMALLEST_PART: usize = 5 * 1024 * 1024;

/// The registry of one account in one region.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    account: Option<String>,
    toll: Toll,
}

/// A manifest or index as a registry holds it.
#[derive(Clone, Debug)]
pub(super) struct Manifest {
    pub(super) text: String,
    pub(super) media_type: String,
    /// Computed from the bytes.
    pub(super) digest: ImageDigest,
}

impl Registry {
    /// The registry of `config`'s account and region.
    #[must_use]
    pub fn from_config(config: &SdkConfig) -> Self {
        Self::with_client(Client::new(&config::prepare_transfer(config)))
    }

    /// The same with a ready client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self {
            client,
            account: None,
            toll: Toll::default(),
        }
    }

    /// The registry of another account, which must have let the caller in (a repository policy).
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// Shares calls with all adapters of this account and region that are given the same observer.
    #[must_use]
    pub fn shared(mut self, observer: &Arc<SharedObserver>) -> Self {
        let metered = self.client.config().to_builder();
        self.client = Client::from_conf(metered.interceptor(Meter::new(observer, "ecr")).build());
        self.toll = Toll::of(observer);
        self
    }

    /// Whether a manifest or index is there, with these bytes.
    ///
    /// # Errors
    /// What ECR says; a repository that does not exist is [`ErrorKind::NotFound`].
    pub async fn has(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        digest: &ImageDigest,
    ) -> Result<bool, Error> {
        let found = self.by_digest(ctx, repository, digest).await?;
        Ok(found.is_some_and(|found| &found.digest == digest))
    }

    pub(super) async fn by_tag(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> Result<Option<Manifest>, Error> {
        let id = ImageIdentifier::builder().image_tag(tag.as_str()).build();
        Ok(self.manifests(ctx, repository, vec![id]).await?.pop())
    }

    pub(super) async fn by_digest(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        digest: &ImageDigest,
    ) -> Result<Option<Manifest>, Error> {
        Ok(self
            .by_digests(ctx, repository, core::slice::from_ref(digest))
            .await?
            .pop())
    }

    /// Those of the manifests that are there, in no order.
    pub(super) async fn by_digests(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        digests: &[ImageDigest],
    ) -> Result<Vec<Manifest>, Error> {
        let mut found = Vec::new();
        for chunk in digests.chunks(DIGESTS_A_CALL) {
            let ids = chunk
                .iter()
                .map(|digest| ImageIdentifier::builder().image_digest(digest.as_str()).build())
                .collect();
            found.extend(self.manifests(ctx, repository, ids).await?);
        }
        Ok(found)
    }

    async fn manifests(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        ids: Vec<ImageIdentifier>,
    ) -> Result<Vec<Manifest>, Error> {
        self.toll.pay(ctx, GET).await?;
        let answer = self
            .client
            .batch_get_image()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .set_image_ids(Some(ids))
            .set_accepted_media_types(Some(ACCEPTED.iter().map(|&kind| kind.to_owned()).collect()))
            .send()
            .await
            .map_err(|error| from_sdk(GET, repository, false, error))?;
        for failure in answer.failures() {
            if failure.failure_code() != Some(&ImageFailureCode::ImageNotFound) {
                let code = failure.failure_code().map_or("no code", |code| code.as_str());
                let reason = failure.failure_reason().unwrap_or("no reason given");
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    GET,
                    format!("{repository}: {code}: {reason}"),
                ));
            }
        }
        answer
            .images
            .unwrap_or_default()
            .into_iter()
            .map(|image| {
                let text = image.image_manifest.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Unexpected,
                        GET,
                        format!("{repository}: an image without its manifest"),
                    )
                })?;
                Ok(Manifest {
                    digest: ImageDigest::of(text.as_bytes()),
                    media_type: image.image_manifest_media_type.unwrap_or_default(),
                    text,
                })
            })
            .collect()
    }

    /// Those of the layers that the registry says it can give.
    pub(super) async fn layers_there(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        layers: &[ImageDigest],
    ) -> Result<BTreeSet<ImageDigest>, Error> {
        let mut there = BTreeSet::new();
        for chunk in layers.chunks(DIGESTS_A_CALL) {
            self.toll.pay(ctx, CHECK_LAYERS).await?;
            let answer = self
                .client
                .batch_check_layer_availability()
                .set_registry_id(self.account.clone())
                .repository_name(repository.as_str())
                .set_layer_digests(Some(
                    chunk.iter().map(|layer| layer.as_str().to_owned()).collect(),
                ))
                .send()
                .await
                .map_err(|error| from_sdk(CHECK_LAYERS, repository, false, error))?;
            there.extend(
                answer
                    .layers()
                    .iter()
                    .filter(|layer| layer.layer_availability() == Some(&LayerAvailability::Available))
                    .filter_map(|layer| ImageDigest::new(layer.layer_digest()?).ok()),
            );
        }
        Ok(there)
    }

    /// The pre-signed address of a layer.
    pub(super) async fn layer_url(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        layer: &ImageDigest,
    ) -> Result<String, Error> {
        self.toll.pay(ctx, DOWNLOAD).await?;
        let answer = self
            .client
            .get_download_url_for_layer()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .layer_digest(layer.as_str())
            .send()
            .await
            .map_err(|error| {
                from_sdk(
                    DOWNLOAD,
                    format_args!("layer {layer} of {repository}"),
                    false,
                    error,
                )
            })?;
        answer.download_url.ok_or_else(|| {
            Error::new(
                ErrorKind::Unexpected,
                DOWNLOAD,
                format!("layer {layer} of {repository}: no address"),
            )
        })
    }

    /// Uploads a layer part by part; at most one part is held. The upload is only completed when the bytes have the
    /// layer's digest.
    pub(super) async fn upload_layer(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        layer: &ImageDigest,
        mut bytes: Box<dyn LayerStream>,
    ) -> Result<(), Error> {
        self.toll.pay(ctx, INITIATE).await?;
        let begun = self
            .client
            .initiate_layer_upload()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .send()
            .await
            .map_err(|error| from_sdk(INITIATE, repository, true, error))?;
        let part_size = begun
            .part_size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(LARGEST_PART)
            .clamp(SMALLEST_PART, LARGEST_PART);
        let upload = begun.upload_id.unwrap_or_default();
        let mut hash = Sha256::new();
        let mut sent: i64 = 0;
        let mut part = Vec::new();
        while let Some(piece) = bytes.next().await? {
            hash.update(&piece);
            part.extend_from_slice(&piece);
            while part.len() >= part_size {
                let rest = part.split_off(part_size);
                sent = self
                    .upload_part(ctx, repository, layer, &upload, sent, part)
                    .await?;
                part = rest;
            }
        }
        if !part.is_empty() {
            self.upload_part(ctx, repository, layer, &upload, sent, part)
                .await?;
        }
        let got = hash
            .finalize()
            .iter()
            .fold(String::from("sha256:"), |mut text, byte| {
                use core::fmt::Write as _;
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            });
        if got != layer.as_str() {
            return Err(Error::new(
                ErrorKind::Unexpected,
                DOWNLOAD,
                format!("layer {layer}: the bytes that came have the digest {got}; nothing was completed"),
            ));
        }
        self.complete_layer(ctx, repository, layer, &upload).await
    }

    /// Sends one part and answers with the place of the next byte.
    async fn upload_part(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        layer: &ImageDigest,
        upload: &str,
        first: i64,
        part: Vec<u8>,
    ) -> Result<i64, Error> {
        let next = first.saturating_add(i64::try_from(part.len()).unwrap_or(i64::MAX));
        let last = next.saturating_sub(1);
        self.toll.pay(ctx, UPLOAD).await?;
        let answer = self
            .client
            .upload_layer_part()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .upload_id(upload)
            .part_first_byte(first)
            .part_last_byte(last)
            .layer_part_blob(Blob::new(part))
            .send()
            .await;
        match answer {
            // What it says it has received is not looked at: the digest is checked when the upload is completed.
            Ok(_) => Ok(next),
            // A second try by the SDK of a part that had arrived the first time.
            Err(error)
                if error
                    .as_service_error()
                    .and_then(|error| match error {
                        aws_sdk_ecr::operation::upload_layer_part::UploadLayerPartError::InvalidLayerPartException(
                            part,
                        ) => part.last_valid_byte_received(),
                        _ => None,
                    })
                    .is_some_and(|received| received == last) =>
            {
                Ok(next)
            }
            Err(error) => Err(from_sdk(UPLOAD, format_args!("layer {layer} of {repository}"), true, error)),
        }
    }

    async fn complete_layer(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        layer: &ImageDigest,
        upload: &str,
    ) -> Result<(), Error> {
        self.toll.pay(ctx, COMPLETE).await?;
        let answer = self
            .client
            .complete_layer_upload()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .upload_id(upload)
            .layer_digests(layer.as_str())
            .send()
            .await
            .map_err(|error| {
                from_sdk(
                    COMPLETE,
                    format_args!("layer {layer} of {repository}"),
                    true,
                    error,
                )
            });
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts exactly these bytes under their digest. Safe to repeat: the digest names them.
    pub(super) async fn put(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        manifest: &Manifest,
        tag: Option<String>,
    ) -> Result<Ensured, Error> {
        self.toll.pay(ctx, PUT).await?;
        let answer = self
            .client
            .put_image()
            .set_registry_id(self.account.clone())
            .repository_name(repository.as_str())
            .image_manifest(&manifest.text)
            .set_image_manifest_media_type(Some(manifest.media_type.clone()).filter(|kind| !kind.is_empty()))
            .image_digest(manifest.digest.as_str())
            .set_image_tag(tag)
            .send()
            .await
            .map_err(|error| from_sdk(PUT, format_args!("{repository}@{}", manifest.digest), true, error));
        match answer {
            Ok(_) => Ok(Ensured::Created),
            Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(Ensured::AlreadyThere),
            Err(error) => Err(error),
        }
    }
}
