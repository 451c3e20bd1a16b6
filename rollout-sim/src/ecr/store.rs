//! What is pushed and pulled: layers in parts, manifests, tags.

use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::blob::Blob;
use super::{MANIFEST, Manifest, Registry, Repository};

/// The size of parts that a registry asks for, and the least of all but the last (Amazon ECR API, "LayerPartTooSmall").
pub(crate) const PART: u64 = 10 * 1024 * 1024;
const SMALLEST_PART: u64 = 5 * 1024 * 1024;

/// A layer that is being uploaded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Upload {
    parts: Vec<Blob>,
}

impl Upload {
    fn size(&self) -> u64 {
        self.parts.iter().map(Blob::size).sum()
    }
}

/// Why a call about images was refused. The words about it are the endpoint's, which knows account and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoRepository,
    NoUpload,
    /// The last byte that has been received of the upload, if any.
    InvalidPart(Option<u64>),
    EmptyUpload,
    PartTooSmall,
    InvalidLayer,
    LayerExists,
    NoLayers(Vec<ImageDigest>),
    /// A layer that no image refers to.
    Inaccessible,
    NoImages(Vec<ImageDigest>),
    NotJson,
    OtherDigest,
    ImageExists,
    TagExists,
}

impl Registry {
    fn held(&mut self, repository: &RepositoryName) -> Result<&mut Repository, Refused> {
        self.repositories.get_mut(repository).ok_or(Refused::NoRepository)
    }

    pub(crate) fn repository_mut(&mut self, repository: &RepositoryName) -> Result<&mut Repository, Refused> {
        self.held(repository)
    }

    /// Begins the upload of a layer.
    pub(crate) fn begin_upload(&mut self, repository: &RepositoryName, id: String) -> Result<(), Refused> {
        self.held(repository)?.uploads.insert(id, Upload::default());
        Ok(())
    }

    /// Takes a part: parts follow each other without a gap. Answers with the place of its last byte.
    pub(crate) fn upload_part(
        &mut self,
        repository: &RepositoryName,
        id: &str,
        (first, last): (u64, u64),
        bytes: Vec<u8>,
    ) -> Result<u64, Refused> {
        let upload = self
            .held(repository)?
            .uploads
            .get_mut(id)
            .ok_or(Refused::NoUpload)?;
        let have = upload.size();
        if first != have || bytes.is_empty() || last.wrapping_sub(first).wrapping_add(1) != bytes.len() as u64
        {
            return Err(Refused::InvalidPart(have.checked_sub(1)));
        }
        upload.parts.push(bytes.into());
        Ok(last)
    }

    /// Ends the upload of a layer: its bytes must have the digest.
    pub(crate) fn complete_upload(
        &mut self,
        repository: &RepositoryName,
        id: &str,
        digest: &ImageDigest,
    ) -> Result<(), Refused> {
        let held = self.held(repository)?;
        let upload = held.uploads.get(id).ok_or(Refused::NoUpload)?;
        let Some((_, before)) = upload.parts.split_last() else {
            return Err(Refused::EmptyUpload);
        };
        if before.iter().any(|part| part.size() < SMALLEST_PART) {
            return Err(Refused::PartTooSmall);
        }
        let bytes: Vec<u8> = upload
            .parts
            .iter()
            .flat_map(|part| part.bytes())
            .copied()
            .collect();
        if ImageDigest::of(&bytes) != *digest {
            return Err(Refused::InvalidLayer);
        }
        if held.blobs.contains_key(digest) {
            return Err(Refused::LayerExists);
        }
        held.uploads.remove(id);
        held.blobs.insert(digest.clone(), bytes.into());
        Ok(())
    }

    /// A layer that can be pulled: one that an image refers to.
    pub(crate) fn layer(&self, repository: &RepositoryName, digest: &ImageDigest) -> Result<&Blob, Refused> {
        let held = self.repositories.get(repository).ok_or(Refused::NoRepository)?;
        let missing = || Refused::NoLayers(vec![digest.clone()]);
        let blob = held.blobs.get(digest).ok_or_else(missing)?;
        let used = held.manifests.values().any(|m| m.refers().1.contains(digest));
        if used {
            Ok(blob)
        } else {
            Err(Refused::Inaccessible)
        }
    }

    /// Puts a manifest or an index, and a tag on it.
    pub(crate) fn put_image(
        &mut self,
        now: Timestamp,
        repository: &RepositoryName,
        bytes: &str,
        media_type: Option<&str>,
        (digest, tag): (Option<&ImageDigest>, Option<&ImageTag>),
    ) -> Result<ImageDigest, Refused> {
        let held = self.held(repository)?;
        let parsed: Value = serde_json::from_str(bytes).map_err(|_| Refused::NotJson)?;
        let own = parsed["mediaType"].as_str();
        let computed = ImageDigest::of(bytes.as_bytes());
        if digest.is_some_and(|given| *given != computed) {
            return Err(Refused::OtherDigest);
        }
        let manifest = Manifest {
            media_type: media_type.or(own).unwrap_or(MANIFEST).to_owned(),
            bytes: bytes.to_owned(),
            pushed: now,
            scan: None,
        };
        let (children, blobs) = manifest.refers();
        let missing: Vec<ImageDigest> = blobs
            .into_iter()
            .filter(|b| !held.blobs.contains_key(b))
            .collect();
        if !missing.is_empty() {
            return Err(Refused::NoLayers(missing));
        }
        let missing: Vec<ImageDigest> = children
            .into_iter()
            .filter(|c| !held.manifests.contains_key(c))
            .collect();
        if !missing.is_empty() {
            return Err(Refused::NoImages(missing));
        }
        let named = tag.and_then(|tag| held.tags.get(tag));
        match named {
            Some(named) if *named == computed => return Err(Refused::ImageExists),
            Some(_) if held.immutable => return Err(Refused::TagExists),
            None if tag.is_none() && held.manifests.contains_key(&computed) => {
                return Err(Refused::ImageExists);
            }
            Some(_) | None => {}
        }
        held.manifests.entry(computed.clone()).or_insert(manifest);
        if let Some(tag) = tag {
            held.tags.insert(tag.clone(), computed.clone());
        }
        Ok(computed)
    }
}

impl Repository {
    /// The size of a layer or configuration that is there.
    pub(crate) fn blob_size(&self, digest: &ImageDigest) -> Option<u64> {
        self.blobs.get(digest).map(Blob::size)
    }

    /// What an image takes: what it refers to, and for an index what its images refer to.
    pub(crate) fn size_of(&self, manifest: &Manifest) -> u64 {
        let (children, blobs) = manifest.refers();
        let own: u64 = blobs.iter().filter_map(|b| self.blob_size(b)).sum();
        let below = children.iter().filter_map(|c| self.manifests.get(c));
        own + below.map(|child| self.size_of(child)).sum::<u64>()
    }
}
