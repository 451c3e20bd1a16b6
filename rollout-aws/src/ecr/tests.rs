//! Two registries on the wire, and a layer source in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::{Ensured, ImageRef};
use rollout_core::port::ImagePromotion;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Answer, Aws, context, error, ok};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What one registry holds, and the rules of ECR that matter here.
#[derive(Default)]
struct Held {
    tags: BTreeMap<String, String>,
    manifests: BTreeMap<String, (String, String)>,
    layers: BTreeSet<String>,
    uploads: BTreeMap<String, Vec<usize>>,
}

#[derive(Clone, Default)]
struct Ecr(Arc<Mutex<Held>>);

fn hash(text: &str) -> String {
    ImageDigest::of(text.as_bytes()).as_str().to_owned()
}

impl Ecr {
    fn hold(&self, text: &str, kind: &str) -> String {
        let digest = hash(text);
        self.0
            .lock()
            .expect("no panic")
            .manifests
            .insert(digest.clone(), (text.to_owned(), kind.to_owned()));
        digest
    }

    fn layer(&self, bytes: &str) -> String {
        self.0.lock().expect("no panic").layers.insert(hash(bytes));
        hash(bytes)
    }

    fn aws(&self) -> Aws {
        let held = Arc::clone(&self.0);
        Aws::new(move |operation, body| answer(&mut held.lock().expect("no panic"), operation, body))
    }
}

fn answer(held: &mut Held, operation: &str, body: &Value) -> Answer {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    match operation {
        "BatchGetImage" => {
            assert_eq!(body["acceptedMediaTypes"].as_array().map(Vec::len), Some(4));
            let mut images = Vec::new();
            let mut failures = Vec::new();
            for id in body["imageIds"].as_array().expect("ids") {
                let tag = id["imageTag"]
                    .as_str()
                    .and_then(|tag| held.tags.get(tag).cloned());
                let digest = tag
                    .or_else(|| id["imageDigest"].as_str().map(str::to_owned))
                    .unwrap_or_default();
                match held.manifests.get(&digest) {
                    Some((manifest, kind)) => images.push(json!({
                        "imageId": { "imageDigest": digest }, "imageManifest": manifest,
                        "imageManifestMediaType": kind,
                    })),
                    None => failures.push(json!({ "imageId": id, "failureCode": "ImageNotFound" })),
                }
            }
            ok(json!({ "images": images, "failures": failures }))
        }
        "BatchCheckLayerAvailability" => {
            let layers: Vec<_> = body["layerDigests"].as_array().expect("digests").iter().map(|digest| {
                let there = held.layers.contains(digest.as_str().expect("a digest"));
                json!({ "layerDigest": digest, "layerAvailability": if there { "AVAILABLE" } else { "UNAVAILABLE" } })
            }).collect();
            ok(json!({ "layers": layers, "failures": [] }))
        }
        "GetDownloadUrlForLayer" => {
            ok(json!({ "downloadUrl": format!("https://bucket/{}?signature", text("layerDigest")) }))
        }
        "InitiateLayerUpload" => ok(json!({ "uploadId": "u", "partSize": 5 * 1024 * 1024 })),
        "UploadLayerPart" => {
            let first = body["partFirstByte"].as_i64().expect("a place");
            let last = body["partLastByte"].as_i64().expect("a place");
            let parts = held.uploads.entry(text("uploadId")).or_default();
            assert_eq!(
                i64::try_from(parts.iter().sum::<usize>()).expect("small"),
                first,
                "parts in order"
            );
            parts.push(usize::try_from(last - first + 1).expect("a size"));
            ok(json!({ "lastByteReceived": last }))
        }
        "CompleteLayerUpload" => {
            held.uploads.clear();
            let digest = body["layerDigests"][0].as_str().expect("a digest").to_owned();
            held.layers.insert(digest);
            ok(json!({}))
        }
        "PutImage" => {
            let (manifest, digest) = (text("imageManifest"), text("imageDigest"));
            assert_eq!(hash(&manifest), digest, "the exact bytes");
            let known = match manifest::refers("x", &manifest).expect("a manifest") {
                Refers::Manifests(all) => all
                    .iter()
                    .all(|child| held.manifests.contains_key(child.as_str())),
                Refers::Layers(all) => all.iter().all(|layer| held.layers.contains(layer.as_str())),
            };
            if !known {
                return error(400, "LayersNotFoundException");
            }
            held.tags.insert(text("imageTag"), digest.clone());
            if held
                .manifests
                .insert(digest, (manifest, text("imageManifestMediaType")))
                .is_some()
            {
                return error(400, "ImageAlreadyExistsException");
            }
            ok(json!({ "image": {} }))
        }
        other => panic!("{other}"),
    }
}

/// Layers by their address.
#[derive(Clone, Debug, Default)]
struct Layers(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

struct Pieces(Vec<Vec<u8>>);

#[async_trait]
impl LayerSource for Layers {
    async fn open(&self, url: &str) -> Result<Box<dyn LayerStream>, Error> {
        let held = self.0.lock().expect("no panic");
        let bytes = held
            .get(url)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "download of a layer", "HTTP 404"))?;
        Ok(Box::new(Pieces(
            bytes.chunks(3_000_000).rev().map(<[u8]>::to_vec).collect(),
        )))
    }
}

#[async_trait]
impl LayerStream for Pieces {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.pop())
    }
}

struct World {
    source: Ecr,
    target: Ecr,
    layers: Layers,
    to: Aws,
    promotion: EcrPromotion,
}

fn world() -> World {
    let (source, target, layers) = (Ecr::default(), Ecr::default(), Layers::default());
    let to = target.aws();
    let promotion = EcrPromotion::new(
        Registry::from_config(&source.aws().config()),
        Registry::from_config(&to.config()),
        to.guard(),
        Arc::new(layers.clone()),
    );
    World {
        source,
        target,
        layers,
        to,
        promotion,
    }
}

impl World {
    /// A layer of the source that can be fetched as these bytes.
    fn layer(&self, name: &str, bytes: &str) -> String {
        let digest = self.source.layer(name);
        self.layers.0.lock().expect("no panic").insert(
            format!("https://bucket/{digest}?signature"),
            bytes.as_bytes().to_vec(),
        );
        digest
    }

    fn image(&self, layers: &[&str]) -> String {
        let layers: Vec<_> = layers.iter().map(|layer| json!({ "digest": layer })).collect();
        let config = self.layer("config", "config");
        // Spaces that a parser would not keep: the bytes count, not the meaning.
        let text = format!(
            "{{ \"config\" : {{\"digest\":\"{config}\"}},\n  \"layers\":{} }}",
            json!(layers)
        );
        self.source.hold(&text, MANIFEST)
    }
}

fn repository() -> RepositoryName {
    RepositoryName::new("shop/backend").expect("a name")
}

fn image(digest: &str) -> ImageRef {
    ImageRef {
        repository: repository(),
        digest: ImageDigest::new(digest).expect("a digest"),
    }
}

#[tokio::test]
async fn an_index_goes_over_with_its_children_and_layers_first() {
    let world = world();
    let big = "x".repeat(12_000_000);
    let layer = world.layer(&big, &big);
    let shared = world.layer("shared", "shared");
    world.target.layer("shared");
    let (a, b) = (world.image(&[&layer, &shared]), world.image(&[&shared]));
    let text = format!("{{\"manifests\":[{{\"digest\":\"{b}\"}},{{\"digest\":\"{a}\"}}]}}");
    let index = world.source.hold(&text, INDEX);

    let copied = world
        .promotion
        .copy(&context(), &image(&index), &repository())
        .await;
    assert_eq!(copied.expect("copied"), Ensured::Created);
    let put: Vec<_> = world
        .to
        .bodies("PutImage")
        .iter()
        .map(|body| body["imageDigest"].clone())
        .collect();
    assert_eq!(put, [json!(b), json!(a), json!(index)]);
    let put = &world.to.bodies("PutImage")[2];
    assert_eq!(put["imageManifest"], json!(text));
    assert_eq!(put["imageManifestMediaType"], json!(INDEX));
    assert_eq!(put["imageTag"], json!(format!("rollout-{}", &index[7..])));
    assert_eq!(world.to.bodies("PutImage")[0].get("imageTag"), None);
    // 12 MB in parts of 5 MiB, the configuration in one; what the target had is not moved.
    let sizes: Vec<_> = world
        .to
        .bodies("UploadLayerPart")
        .iter()
        .map(|body| {
            body["partLastByte"].as_i64().expect("a place") - body["partFirstByte"].as_i64().expect("a place")
                + 1
        })
        .collect();
    assert_eq!(sizes.len(), 4);
    assert_eq!(sizes.iter().filter(|size| **size == 5 * 1024 * 1024).count(), 2);
    assert_eq!(sizes.iter().sum::<i64>(), 12_000_000 + 6);

    let read = world
        .promotion
        .read(&context(), &image(&index))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (read.digest.as_str(), read.media_type.as_str()),
        (index.as_str(), INDEX)
    );
    let children: Vec<_> = read.children.iter().map(ImageDigest::as_str).collect();
    assert_eq!((children, read.missing), (vec![b.as_str(), a.as_str()], vec![]));

    let calls = world.to.operations().len();
    let again = world
        .promotion
        .copy(&context(), &image(&index), &repository())
        .await;
    assert_eq!(again.expect("there"), Ensured::AlreadyThere);
    assert_eq!(world.to.operations()[calls..], ["BatchGetImage", "BatchGetImage"]);
}

#[tokio::test]
async fn a_tag_is_resolved_by_the_bytes_behind_it() {
    let world = world();
    let digest = world.image(&[]);
    world
        .source
        .0
        .lock()
        .expect("no panic")
        .tags
        .insert("v1".to_owned(), digest.clone());
    let resolve = |tag: &str| {
        let tag = ImageTag::new(tag).expect("a tag");
        let promotion = &world.promotion;
        async move {
            promotion
                .resolve(&context(), &repository(), &tag)
                .await
                .expect("asked")
        }
    };
    assert_eq!(resolve("v1").await.map(|found| found.to_string()), Some(digest));
    assert_eq!(resolve("v2").await, None);
}

#[tokio::test]
async fn bytes_that_are_not_what_their_digest_says_stop_the_copy() {
    // A manifest.
    let world = world();
    let digest = world.image(&[]);
    let wrong = ("{\"config\":{}}".to_owned(), MANIFEST.to_owned());
    world
        .source
        .0
        .lock()
        .expect("no panic")
        .manifests
        .insert(digest.clone(), wrong);
    let error = world
        .promotion
        .copy(&context(), &image(&digest), &repository())
        .await
        .expect_err("other bytes");
    assert!(
        error.context.contains("the bytes that came have the digest"),
        "{error}"
    );
    assert_eq!(world.to.bodies("PutImage").len(), 0);

    // A layer.
    let world = self::world();
    let layer = world.layer("layer", "tampered");
    let digest = world.image(&[&layer]);
    let error = world
        .promotion
        .copy(&context(), &image(&digest), &repository())
        .await
        .expect_err("other bytes");
    assert!(
        error.context.contains(&layer) && error.context.contains("nothing was completed"),
        "{error}"
    );
    assert!(!world.target.0.lock().expect("no panic").layers.contains(&layer));
    assert_eq!(world.to.bodies("PutImage").len(), 0);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let world = world();
    let absent = hash("absent");
    let error = world
        .promotion
        .copy(&context(), &image(&absent), &repository())
        .await
        .expect_err("absent");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.context.contains(&absent), "{error}");
    assert_eq!(
        world
            .promotion
            .read(&context(), &image(&absent))
            .await
            .expect("read"),
        None
    );

    // A layer that nobody has: the target's registry is the judge.
    let digest = world.image(&[&hash("nowhere")]);
    let error = world
        .promotion
        .copy(&context(), &image(&digest), &repository())
        .await
        .expect_err("no layer");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.context.contains("LayersNotFoundException"), "{error}");

    // A download that fails names the layer and not the address, which holds a signature.
    let layer = world.source.layer("not served");
    let digest = world.image(&[&layer]);
    let error = world
        .promotion
        .copy(&context(), &image(&digest), &repository())
        .await
        .expect_err("no bytes");
    assert!(
        error.context.contains(&layer) && !error.to_string().contains("signature"),
        "{error}"
    );

    // An index of which the target has lost a child, and one of which it holds other bytes.
    let (lost, spoilt) = (hash("lost"), hash("spoilt"));
    let index = world.target.hold(
        &format!("{{\"manifests\":[{{\"digest\":\"{lost}\"}},{{\"digest\":\"{spoilt}\"}}]}}"),
        INDEX,
    );
    let other = ("{}".to_owned(), MANIFEST.to_owned());
    world
        .target
        .0
        .lock()
        .expect("no panic")
        .manifests
        .insert(spoilt.clone(), other);
    let read = world
        .promotion
        .read(&context(), &image(&index))
        .await
        .expect("read")
        .expect("there");
    let missing: Vec<_> = read.missing.iter().map(ImageDigest::as_str).collect();
    assert_eq!(
        (read.children.len(), missing),
        (0, vec![lost.as_str(), spoilt.as_str()])
    );
}

#[tokio::test]
async fn the_wrong_identity_copies_nothing() {
    let world = world();
    let digest = world.image(&[]);
    let to = world.target.aws();
    let guard = Arc::new(IdentityGuard::from_config(
        &to.config(),
        crate::sts::Expected {
            account: "999999999999".to_owned(),
            region: crate::testing::REGION.to_owned(),
            caller: None,
        },
    ));
    let promotion = EcrPromotion::new(
        Registry::from_config(&world.source.aws().config()),
        Registry::from_config(&to.config()),
        guard,
        Arc::new(world.layers.clone()),
    );
    let error = promotion
        .copy(&context(), &image(&digest), &repository())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(to.operations(), ["GetCallerIdentity"]);
}
