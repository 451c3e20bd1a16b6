//! Registries: manifests as bytes, digests computed from them, tags that move.

mod blob;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::BTreeMap;

use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::{Ensured, ManifestTree};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use self::blob::Blob;
use self::store::Upload;
pub use self::upkeep::Finding;
use self::upkeep::Scan;
#[cfg(feature = "endpoint")]
pub(crate) use self::{
    store::{PART, Refused},
    upkeep::{Kept, NoScan, is_policy},
};
use crate::behaviour::Behaviour;

/// The media type of an image index (OCI image specification).
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an image manifest (OCI image specification).
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The host that layers are downloaded from: one bucket of Amazon S3, as with Amazon ECR itself.
#[cfg(feature = "endpoint")]
pub(crate) const LAYERS: &str = "-starport-layer-bucket.s3.amazonaws.com";

/// How the bucket's name ends: whoever reaches the endpoint on this machine gets addresses there, in S3's path style.
#[cfg(feature = "endpoint")]
const BUCKET: &str = "-starport-layer-bucket";

/// For how long an address of a layer is good; Amazon ECR says an hour of its own.
#[cfg(feature = "endpoint")]
const GOOD_FOR: u64 = 60 * 60 * 1_000;

/// The pre-signed address of a layer; at `local`, if that is how the endpoint was reached. It is signed for nobody: the
/// simulation knows no secrets.
#[cfg(feature = "endpoint")]
pub(crate) fn layer_url(
    local: Option<&str>,
    now: Timestamp,
    env: u16,
    region: &str,
    repository: &RepositoryName,
    digest: &ImageDigest,
) -> String {
    let until = crate::kernel::plus(now, GOOD_FOR).as_millis();
    let hex = digest.as_str().trim_start_matches("sha256:");
    let bucket = match local {
        Some(local) => format!("http://{local}/prod-{region}{BUCKET}"),
        None => format!("https://prod-{region}{LAYERS}"),
    };
    format!("{bucket}/{env}/{repository}/{hex}?X-Amz-Expires=3600&until={until}")
}

/// The address of a layer at its bucket's own host, from the path that it has on this machine.
#[cfg(feature = "endpoint")]
pub(crate) fn at_bucket(path: &str) -> Option<String> {
    let (bucket, rest) = path.strip_prefix('/')?.split_once('/')?;
    let known = bucket.starts_with("prod-") && bucket.ends_with(BUCKET);
    known.then(|| format!("https://{bucket}.s3.amazonaws.com/{rest}"))
}

/// Environment, repository, digest and last moment of an address.
#[cfg(feature = "endpoint")]
pub(crate) fn read_layer_url(
    path: &str,
    query: &str,
) -> Option<(u16, RepositoryName, ImageDigest, Timestamp)> {
    let (env, rest) = path.trim_start_matches('/').split_once('/')?;
    let (repository, hex) = rest.rsplit_once('/')?;
    let until = query.split('&').find_map(|pair| pair.strip_prefix("until="))?;
    Some((
        env.parse().ok()?,
        RepositoryName::new(repository).ok()?,
        ImageDigest::new(format!("sha256:{hex}")).ok()?,
        Timestamp::from_millis(until.parse().ok()?),
    ))
}

/// One environment's registry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registry {
    repositories: BTreeMap<RepositoryName, Repository>,
    behaviours: BTreeMap<ImageDigest, Behaviour>,
    /// What a scan finds in an image, wherever it is.
    findings: BTreeMap<ImageDigest, Vec<Finding>>,
}

/// What a registry was told of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    behaviour: Option<(ImageDigest, Behaviour)>,
    findings: Option<(ImageDigest, Vec<Finding>)>,
}

/// A repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Repository {
    pub(crate) created: Timestamp,
    /// Whether its tags never move.
    pub(crate) immutable: bool,
    pub(crate) scan_on_push: bool,
    /// Its lifecycle policy as it was put.
    pub(crate) lifecycle: Option<String>,
    manifests: BTreeMap<ImageDigest, Manifest>,
    /// Layers and configurations, under the digests of their bytes.
    blobs: BTreeMap<ImageDigest, Blob>,
    tags: BTreeMap<ImageTag, ImageDigest>,
    uploads: BTreeMap<String, Upload>,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    /// Exactly the bytes that were pushed: the digest is theirs.
    pub(crate) bytes: String,
    pub(crate) pushed: Timestamp,
    pub(crate) scan: Option<Scan>,
}

/// The part of a manifest that names other bytes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Platform {
    os: String,
    architecture: String,
}

impl Manifest {
    /// The digests that it names: child manifests, and blobs. What is no manifest names none.
    pub(crate) fn refers(&self) -> (Vec<ImageDigest>, Vec<ImageDigest>) {
        let named: Named = serde_json::from_str(&self.bytes).unwrap_or_default();
        let digest = |named: Descriptor| ImageDigest::new(named.digest).ok();
        let blobs = named.layers.into_iter().chain(named.config);
        (
            named.manifests.into_iter().filter_map(digest).collect(),
            blobs.filter_map(digest).collect(),
        )
    }
}

impl Registry {
    /// The repository, made if it is not there.
    pub(crate) fn create(&mut self, now: Timestamp, repository: &RepositoryName) -> &mut Repository {
        self.repositories
            .entry(repository.clone())
            .or_insert_with(|| Repository::new(now))
    }

    /// Pushes an image for two platforms, made of nothing but its name and `content`; answers with the index's digest. The
    /// keys of its manifests are in the alphabet's order: a digest depends on it.
    pub(crate) fn push(&mut self, now: Timestamp, repository: &RepositoryName, content: &str) -> ImageDigest {
        self.push_for(now, repository, content, &["amd64", "arm64"])
    }

    /// The same for Linux on these architectures only.
    pub(crate) fn push_for(
        &mut self,
        now: Timestamp,
        repository: &RepositoryName,
        content: &str,
        architectures: &[&str],
    ) -> ImageDigest {
        let held = self.create(now, repository);
        let platform = |architecture: &&str| {
            let mut blob = |kind: &str| {
                let bytes = format!("{repository} {content} {architecture} {kind}");
                let (digest, size) = (ImageDigest::of(bytes.as_bytes()), bytes.len());
                held.blobs.insert(digest.clone(), Blob::from(bytes.into_bytes()));
                format!(
                    r#"{{"digest":"{digest}","mediaType":"application/vnd.oci.image.{kind}","size":{size}}}"#
                )
            };
            let (config, layer) = (blob("config.v1+json"), blob("layer.v1.tar+gzip"));
            let bytes = format!(
                r#"{{"config":{config},"layers":[{layer}],"mediaType":"{MANIFEST}","schemaVersion":2}}"#
            );
            let (digest, size) = (ImageDigest::of(bytes.as_bytes()), bytes.len());
            held.put(now, digest.clone(), MANIFEST, bytes);
            let platform = format!(r#"{{"architecture":"{architecture}","os":"linux"}}"#);
            format!(r#"{{"digest":"{digest}","mediaType":"{MANIFEST}","platform":{platform},"size":{size}}}"#)
        };
        let platforms: Vec<String> = architectures.iter().map(platform).collect();
        let platforms = platforms.join(",");
        let bytes = format!(r#"{{"manifests":[{platforms}],"mediaType":"{INDEX}","schemaVersion":2}}"#);
        let digest = ImageDigest::of(bytes.as_bytes());
        held.put(now, digest.clone(), INDEX, bytes);
        digest
    }

    /// Points a tag of a repository that is there at a digest; the tag moves, whatever the repository says.
    pub(crate) fn tag(&mut self, repository: &RepositoryName, tag: &ImageTag, digest: ImageDigest) {
        if let Some(held) = self.repositories.get_mut(repository) {
            held.tags.insert(tag.clone(), digest);
        }
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

    /// Whether an image can run on an operating system and an architecture. An index names the platforms of its images; a single
    /// image is taken to fit.
    pub(crate) fn runs_on(
        &self,
        repository: &RepositoryName,
        digest: &ImageDigest,
        (os, architecture): (&str, &str),
    ) -> bool {
        let held = self.repositories.get(repository);
        let Some(manifest) = held.and_then(|held| held.manifests.get(digest)) else {
            return false;
        };
        let named: Named = serde_json::from_str(&manifest.bytes).unwrap_or_default();
        let fits = |image: &Descriptor| {
            image
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == os && platform.architecture == architecture)
        };
        named.manifests.is_empty() || named.manifests.iter().any(fits)
    }

    /// The architectures of an index, as it names them; none of a single image.
    pub(crate) fn architectures(&self, repository: &RepositoryName, digest: &ImageDigest) -> Vec<String> {
        let held = self.repositories.get(repository);
        let manifest = held.and_then(|held| held.manifests.get(digest));
        let named: Named = manifest
            .and_then(|manifest| serde_json::from_str(&manifest.bytes).ok())
            .unwrap_or_default();
        let platforms = named.manifests.into_iter().filter_map(|image| image.platform);
        platforms.map(|platform| platform.architecture).collect()
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
        now: Timestamp,
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
        let target = self.create(now, to);
        let mut waiting = vec![digest.clone()];
        while let Some(next) = waiting.pop() {
            let manifest = held.manifests.get(&next)?;
            let (children, blobs) = manifest.refers();
            target.put(now, next, &manifest.media_type, manifest.bytes.clone());
            waiting.extend(children);
            for blob in blobs {
                let bytes = held.blobs.get(&blob)?.clone();
                target.blobs.insert(blob, bytes);
            }
        }
        self.learn(&source.known(digest));
        Some(Ensured::Created)
    }

    /// What an image is like, wherever its bytes are.
    pub(crate) fn known(&self, digest: &ImageDigest) -> Known {
        Known {
            behaviour: self.behaviours.get(digest).map(|b| (digest.clone(), b.clone())),
            findings: self.findings.get(digest).map(|f| (digest.clone(), f.clone())),
        }
    }

    /// The same bytes have arrived here: they behave as elsewhere. What this registry was told of them beforehand stands.
    pub(crate) fn learn(&mut self, known: &Known) {
        if let Some((digest, behaviour)) = known.behaviour.clone() {
            self.behaviours.entry(digest).or_insert(behaviour);
        }
        if let Some((digest, findings)) = known.findings.clone() {
            self.findings.entry(digest).or_insert(findings);
        }
    }

    pub(crate) fn repository(&self, name: &str) -> Option<(&RepositoryName, &Repository)> {
        self.repositories.iter().find(|(known, _)| known.as_str() == name)
    }

    /// All repositories, by name.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = (&RepositoryName, &Repository)> {
        self.repositories.iter()
    }
}

impl Repository {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            created: now,
            immutable: false,
            scan_on_push: false,
            lifecycle: None,
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
            tags: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    /// Keeps a manifest. One that is there already stays as it is.
    fn put(&mut self, now: Timestamp, digest: ImageDigest, media_type: &str, bytes: String) {
        self.manifests.entry(digest).or_insert_with(|| Manifest {
            media_type: media_type.to_owned(),
            bytes,
            pushed: now,
            scan: None,
        });
    }

    /// The images, by digest.
    pub(crate) fn images(&self) -> impl Iterator<Item = (&ImageDigest, &Manifest)> {
        self.manifests.iter()
    }

    pub(crate) fn image(&self, digest: &ImageDigest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }

    /// What a tag names.
    pub(crate) fn tagged(&self, tag: &str) -> Option<&ImageDigest> {
        self.tags
            .iter()
            .find(|(known, _)| known.as_str() == tag)
            .map(|(_, digest)| digest)
    }

    /// The tags of an image.
    pub(crate) fn tags_of(&self, digest: &ImageDigest) -> impl Iterator<Item = &ImageTag> {
        self.tags
            .iter()
            .filter(move |(_, named)| *named == digest)
            .map(|(tag, _)| tag)
    }
}

#[cfg(test)]
mod copies {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn name(text: &str) -> RepositoryName {
        text.parse().expect("a repository name")
    }

    #[test]
    fn a_copy_brings_index_children_and_blobs_and_nothing_else() {
        let (mut source, mut target) = (Registry::default(), Registry::default());
        let (from, to) = (name("app/api"), name("prod/api"));
        let digest = source.push(NOW, &from, "1");
        let other = source.push(NOW, &from, "2");
        assert_eq!(target.read(&to, &digest), None);
        assert_eq!(
            target.copy_from(NOW, &source, (&from, &digest), &to),
            Some(Ensured::Created)
        );
        let tree = target.read(&to, &digest).expect("it was copied");
        assert_eq!((&tree.digest, tree.children.len()), (&digest, 2));
        assert_eq!(tree.missing, []);
        assert_eq!(Some(tree), source.read(&from, &digest));
        assert!(!target.has(&to, &other));
        let again = target.copy_from(NOW, &source, (&from, &digest), &to);
        assert_eq!(again, Some(Ensured::AlreadyThere));
    }

    #[test]
    fn what_is_missing_is_named_and_not_copied() {
        let (mut source, mut target) = (Registry::default(), Registry::default());
        let repository = name("app/api");
        let digest = source.push(NOW, &repository, "1");
        let child = source.read(&repository, &digest).expect("pushed").children[1].clone();
        source.expire(&repository, &child);
        let tree = source.read(&repository, &digest).expect("the index is there");
        assert_eq!(tree.missing, [child]);
        let copied = target.copy_from(NOW, &source, (&repository, &digest), &repository);
        assert_eq!(copied, None);
    }
}
