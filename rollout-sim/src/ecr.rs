//! Registries: manifests as bytes, digests computed from them, tags that move.

use std::collections::BTreeMap;

use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::{Ensured, ManifestTree};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::behaviour::Behaviour;

/// The media type of an image index (OCI image specification).
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image manifest (OCI image specification).
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// One environment's registry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registry {
    repositories: BTreeMap<RepositoryName, Repository>,
    behaviours: BTreeMap<ImageDigest, Behaviour>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Repository {
    manifests: BTreeMap<ImageDigest, Manifest>,
    /// Layers and configurations: what they contain does not matter here, only that they are there.
    blobs: BTreeMap<ImageDigest, u64>,
    tags: BTreeMap<ImageTag, ImageDigest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    media_type: String,
    /// Exactly the bytes that were pushed: the digest is theirs.
    bytes: String,
}

impl Manifest {
    /// The digests that it names: child manifests, and blobs.
    fn refers(&self) -> (Vec<ImageDigest>, Vec<ImageDigest>) {
        let value: Value = serde_json::from_str(&self.bytes).unwrap_or(Value::Null);
        let digest = |v: &Value| v["digest"].as_str().and_then(|d| ImageDigest::new(d).ok());
        let list = |key: &str| {
            let items = value[key].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().filter_map(digest).collect::<Vec<_>>()
        };
        let mut blobs = list("layers");
        blobs.extend(digest(&value["config"]));
        (list("manifests"), blobs)
    }
}

impl Registry {
    pub(crate) fn create(&mut self, repository: &RepositoryName) {
        self.repositories.entry(repository.clone()).or_default();
    }

    /// Pushes an image for two platforms, made of nothing but its name and `content`; answers with the index's digest.
    pub(crate) fn push(&mut self, repository: &RepositoryName, content: &str) -> ImageDigest {
        let held = self.repositories.entry(repository.clone()).or_default();
        let platforms: Vec<Value> = ["amd64", "arm64"]
            .into_iter()
            .map(|architecture| {
                let mut blob = |kind: &str| {
                    let bytes = format!("{repository} {content} {architecture} {kind}");
                    let digest = ImageDigest::of(bytes.as_bytes());
                    held.blobs.insert(digest.clone(), bytes.len() as u64);
                    json!({ "digest": digest, "size": bytes.len(), "mediaType": format!("application/vnd.oci.image.{kind}") })
                };
                let (config, layer) = (blob("config.v1+json"), blob("layer.v1.tar+gzip"));
                let bytes = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] })
                    .to_string();
                let digest = ImageDigest::of(bytes.as_bytes());
                let size = bytes.len();
                held.put(digest.clone(), MANIFEST, bytes);
                json!({ "mediaType": MANIFEST, "digest": digest, "size": size,
                        "platform": { "architecture": architecture, "os": "linux" } })
            })
            .collect();
        let bytes = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": platforms }).to_string();
        let digest = ImageDigest::of(bytes.as_bytes());
        held.put(digest.clone(), INDEX, bytes);
        digest
    }

    /// Points a tag at a digest; tags move.
    pub(crate) fn tag(&mut self, repository: &RepositoryName, tag: &ImageTag, digest: ImageDigest) {
        let held = self.repositories.entry(repository.clone()).or_default();
        held.tags.insert(tag.clone(), digest);
    }

    pub(crate) fn resolve(&self, repository: &RepositoryName, tag: &ImageTag) -> Option<&ImageDigest> {
        self.repositories.get(repository)?.tags.get(tag)
    }

    pub(crate) fn knows(&self, repository: &RepositoryName) -> bool {
        self.repositories.contains_key(repository)
    }

    pub(crate) fn has(&self, repository: &RepositoryName, digest: &ImageDigest) -> bool {
        let held = self.repositories.get(repository);
        held.is_some_and(|r| r.manifests.contains_key(digest))
    }

    /// A manifest, byte for byte.
    pub(crate) fn bytes(&self, repository: &RepositoryName, digest: &ImageDigest) -> Option<&[u8]> {
        let manifest = self.repositories.get(repository)?.manifests.get(digest)?;
        Some(manifest.bytes.as_bytes())
    }

    /// Every manifest of a repository.
    pub(crate) fn digests(&self, repository: &RepositoryName) -> impl Iterator<Item = &ImageDigest> {
        let held = self.repositories.get(repository);
        held.into_iter().flat_map(|held| held.manifests.keys())
    }

    /// Removes a manifest, as a lifecycle rule does.
    pub(crate) fn expire(&mut self, repository: &RepositoryName, digest: &ImageDigest) {
        if let Some(held) = self.repositories.get_mut(repository) {
            held.manifests.remove(digest);
            held.tags.retain(|_, named| named != digest);
        }
    }

    pub(crate) fn behaviour(&self, digest: &ImageDigest) -> Option<&Behaviour> {
        self.behaviours.get(digest)
    }

    pub(crate) fn set_behaviour(&mut self, digest: ImageDigest, behaviour: Behaviour) {
        self.behaviours.insert(digest, behaviour);
    }

    /// Reads an image back: every digest is computed again from the bytes that are there.
    pub(crate) fn read(&self, repository: &RepositoryName, digest: &ImageDigest) -> Option<ManifestTree> {
        let held = self.repositories.get(repository)?;
        let manifest = held.manifests.get(digest)?;
        let (children, mut blobs) = manifest.refers();
        let mut missing = Vec::new();
        let mut present = Vec::new();
        for child in children {
            match held.manifests.get(&child) {
                Some(read) if ImageDigest::of(read.bytes.as_bytes()) == child => {
                    blobs.extend(read.refers().1);
                    present.push(child);
                }
                Some(_) | None => missing.push(child),
            }
        }
        missing.extend(blobs.into_iter().filter(|blob| !held.blobs.contains_key(blob)));
        Some(ManifestTree {
            digest: ImageDigest::of(manifest.bytes.as_bytes()),
            media_type: manifest.media_type.clone(),
            children: present,
            missing,
        })
    }

    /// Copies an image with everything it refers to. `None` when the source does not hold all of it.
    pub(crate) fn copy_from(
        &mut self,
        source: &Self,
        from: (&RepositoryName, &ImageDigest),
        to: &RepositoryName,
    ) -> Option<Ensured> {
        let (repository, digest) = from;
        let held = source.repositories.get(repository)?;
        if !source.read(repository, digest)?.missing.is_empty() {
            return None;
        }
        if self
            .read(to, digest)
            .is_some_and(|tree| tree.missing.is_empty() && &tree.digest == digest)
        {
            return Some(Ensured::AlreadyThere);
        }
        let target = self.repositories.entry(to.clone()).or_default();
        let mut waiting = vec![digest.clone()];
        while let Some(next) = waiting.pop() {
            let manifest = held.manifests.get(&next)?;
            let (children, blobs) = manifest.refers();
            target.manifests.insert(next, manifest.clone());
            waiting.extend(children);
            for blob in blobs {
                let size = held.blobs.get(&blob).copied()?;
                target.blobs.insert(blob, size);
            }
        }
        if let Some(behaviour) = source.behaviours.get(digest) {
            // What the target environment was told of this image beforehand stands.
            self.behaviours
                .entry(digest.clone())
                .or_insert_with(|| behaviour.clone());
        }
        Some(Ensured::Created)
    }
}

impl Repository {
    fn put(&mut self, digest: ImageDigest, media_type: &str, bytes: String) {
        let media_type = media_type.to_owned();
        self.manifests.insert(digest, Manifest { media_type, bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().expect("a repository name")
    }

    #[test]
    fn a_copy_brings_index_children_and_blobs_and_nothing_else() {
        let (mut source, mut target) = (Registry::default(), Registry::default());
        let (from, to) = (name("app/api"), name("prod/api"));
        let digest = source.push(&from, "1");
        let other = source.push(&from, "2");
        assert_eq!(target.read(&to, &digest), None);
        assert_eq!(
            target.copy_from(&source, (&from, &digest), &to),
            Some(Ensured::Created)
        );
        let tree = target.read(&to, &digest).expect("it was copied");
        assert_eq!((&tree.digest, tree.children.len()), (&digest, 2));
        assert_eq!(tree.missing, []);
        assert_eq!(Some(tree), source.read(&from, &digest));
        assert!(!target.has(&to, &other));
        let again = target.copy_from(&source, (&from, &digest), &to);
        assert_eq!(again, Some(Ensured::AlreadyThere));
    }

    #[test]
    fn what_is_missing_is_named_and_not_copied() {
        let (mut source, mut target) = (Registry::default(), Registry::default());
        let repository = name("app/api");
        let digest = source.push(&repository, "1");
        let child = source.read(&repository, &digest).expect("pushed").children[1].clone();
        source.expire(&repository, &child);
        let tree = source.read(&repository, &digest).expect("the index is there");
        assert_eq!(tree.missing, [child]);
        let copied = target.copy_from(&source, (&repository, &digest), &repository);
        assert_eq!(copied, None);
    }
}
