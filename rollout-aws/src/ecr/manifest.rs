//! What a manifest or an index refers to. Only read: the bytes themselves are never written anew.

use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::ImageDigest;
use serde::Deserialize;

/// The media types that a registry may answer with. Without this list ECR may convert what it holds, and the bytes would
/// no longer have their digest (Amazon ECR API, "BatchGetImage": `acceptedMediaTypes`).
pub(crate) const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// What has to be in the target before the manifest can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refers {
    /// An index: manifests, in its order.
    Manifests(Vec<ImageDigest>),
    /// A manifest: the configuration and the layers, each once.
    Layers(Vec<ImageDigest>),
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    /// A layer that is to be fetched from elsewhere is in no registry (OCI image specification, "Content Descriptors").
    #[serde(default)]
    urls: Vec<String>,
}

impl Descriptor {
    fn digest(&self, operation: &str) -> Result<ImageDigest, Error> {
        ImageDigest::new(self.digest.as_str()).map_err(|error| {
            unusable(operation, "it refers to something by an unusable digest").caused_by(error)
        })
    }
}

pub(super) fn refers(operation: &str, manifest: &str) -> Result<Refers, Error> {
    let document: Document = serde_json::from_str(manifest)
        .map_err(|error| unusable(operation, "it is not a manifest or index").caused_by(error))?;
    if let Some(manifests) = document.manifests {
        let digests = manifests.iter().map(|child| child.digest(operation));
        return Ok(Refers::Manifests(digests.collect::<Result<_, _>>()?));
    }
    let Some(config) = document.config else {
        return Err(unusable(operation, "it has neither `config` nor `manifests`"));
    };
    let mut layers = Vec::new();
    for part in core::iter::once(&config).chain(&document.layers) {
        let digest = part.digest(operation)?;
        if part.urls.is_empty() && !layers.contains(&digest) {
            layers.push(digest);
        }
    }
    Ok(Refers::Layers(layers))
}

fn unusable(operation: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        operation,
        format!("the image cannot be copied: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: &str) -> String {
        format!("sha256:{}", letter.repeat(64))
    }

    #[test]
    fn an_index_refers_to_manifests_and_a_manifest_to_layers() {
        let (a, b, c) = (digest("a"), digest("b"), digest("c"));
        let index = format!(r#"{{"manifests":[{{"digest":"{b}"}},{{"digest":"{a}"}}]}}"#);
        let id = |text: &str| ImageDigest::new(text).expect("a digest");
        assert_eq!(
            refers("x", &index).expect("an index"),
            Refers::Manifests(vec![id(&b), id(&a)])
        );
        let manifest = format!(
            r#"{{"config":{{"digest":"{a}"}},"layers":[{{"digest":"{b}"}},{{"digest":"{b}"}},
                {{"digest":"{c}","urls":["https://example.com/layer"]}}]}}"#
        );
        assert_eq!(
            refers("x", &manifest).expect("a manifest"),
            Refers::Layers(vec![id(&a), id(&b)])
        );
        for bad in [
            "",
            "{}",
            r#"{"config":{"digest":"md5:1"}}"#,
            r#"{"schemaVersion":1}"#,
        ] {
            assert!(
                refers("x", bad).is_err_and(|e| e.kind == ErrorKind::InvalidRequest),
                "{bad}"
            );
        }
    }
}
