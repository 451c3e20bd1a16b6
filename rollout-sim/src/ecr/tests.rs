//! Pushing, pulling, scanning, expiring.

use proptest::prelude::*;
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::time::Timestamp;
use serde_json::json;

use super::store::Refused;
use super::upkeep::{Kept, NoScan, is_policy};
use super::{MANIFEST, Registry};
use crate::kernel::plus;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const DAY: u64 = 86_400_000;

fn name() -> RepositoryName {
    "app/api".parse().expect("a name")
}

fn tag(text: &str) -> ImageTag {
    text.parse().expect("a tag")
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.create(NOW, &name());
    registry
}

/// Uploads a layer in one part.
fn upload(registry: &mut Registry, bytes: &[u8]) -> Result<ImageDigest, Refused> {
    let digest = ImageDigest::of(bytes);
    registry.begin_upload(&name(), "u".to_owned())?;
    registry.upload_part(&name(), "u", (0, bytes.len() as u64 - 1), bytes.to_vec())?;
    registry.complete_upload(&name(), "u", &digest)?;
    Ok(digest)
}

fn manifest(layer: &ImageDigest, note: &str) -> String {
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [{ "digest": layer }], "note": note })
        .to_string()
}

/// An image with a layer of its own and a tag.
fn push(
    registry: &mut Registry,
    now: Timestamp,
    note: &str,
    named: Option<&str>,
) -> Result<ImageDigest, Refused> {
    let layer = ImageDigest::of(b"layer");
    let uploaded = upload(registry, b"layer");
    assert!(
        matches!(uploaded, Ok(_) | Err(Refused::LayerExists)),
        "{uploaded:?}"
    );
    let named = named.map(tag);
    registry.put_image(
        now,
        &name(),
        &manifest(&layer, note),
        None,
        (None, named.as_ref()),
    )
}

#[test]
fn an_upload_is_taken_in_parts_that_follow_each_other_and_have_the_digest() {
    let mut registry = registry();
    let (big, rest) = (vec![7_u8; 5 * 1024 * 1024], b"rest".to_vec());
    let size = big.len() as u64;
    registry
        .begin_upload(&name(), "u".to_owned())
        .expect("the repository is there");
    let digest = ImageDigest::of(&[big.clone(), rest.clone()].concat());
    assert_eq!(
        registry.complete_upload(&name(), "u", &digest),
        Err(Refused::EmptyUpload)
    );
    assert_eq!(
        registry.upload_part(&name(), "u", (1, size), big.clone()),
        Err(Refused::InvalidPart(None))
    );
    assert_eq!(
        registry.upload_part(&name(), "u", (0, size - 1), big.clone()),
        Ok(size - 1)
    );
    // Sent again after its answer was lost: what has arrived is told.
    assert_eq!(
        registry.upload_part(&name(), "u", (0, size - 1), big),
        Err(Refused::InvalidPart(Some(size - 1)))
    );
    assert_eq!(
        registry.upload_part(&name(), "u", (size, size + 3), rest),
        Ok(size + 3)
    );
    let other = ImageDigest::of(b"other");
    assert_eq!(
        registry.complete_upload(&name(), "u", &other),
        Err(Refused::InvalidLayer)
    );
    registry
        .complete_upload(&name(), "u", &digest)
        .expect("these bytes");
    assert_eq!(
        registry.complete_upload(&name(), "u", &digest),
        Err(Refused::NoUpload)
    );
    assert_eq!(upload(&mut registry, b"small"), Ok(ImageDigest::of(b"small")));
    assert_eq!(upload(&mut registry, b"small"), Err(Refused::LayerExists));
    registry
        .begin_upload(&name(), "v".to_owned())
        .expect("the repository is there");
    for byte in 0..2 {
        registry
            .upload_part(&name(), "v", (byte, byte), vec![1])
            .expect("in order");
    }
    let digest = ImageDigest::of(&[1, 1]);
    assert_eq!(
        registry.complete_upload(&name(), "v", &digest),
        Err(Refused::PartTooSmall)
    );
    // A layer is pulled once an image refers to it.
    let small = ImageDigest::of(b"small");
    assert_eq!(registry.layer(&name(), &small), Err(Refused::Inaccessible));
    let bytes = manifest(&small, "");
    registry
        .put_image(NOW, &name(), &bytes, None, (None, None))
        .expect("its layer is there");
    assert_eq!(
        registry.layer(&name(), &small).map(|b| b.bytes().to_vec()),
        Ok(b"small".to_vec())
    );
}

#[test]
fn a_manifest_is_refused_without_what_it_refers_to() {
    let mut registry = registry();
    let layer = ImageDigest::of(b"layer");
    let mut put = |bytes: &str, digest: Option<&ImageDigest>| {
        registry.put_image(NOW, &name(), bytes, None, (digest, None))
    };
    assert_eq!(
        put(&manifest(&layer, ""), None),
        Err(Refused::NoLayers(vec![layer.clone()]))
    );
    let index = json!({ "manifests": [{ "digest": layer }] }).to_string();
    assert_eq!(put(&index, None), Err(Refused::NoImages(vec![layer.clone()])));
    assert_eq!(put("no", None), Err(Refused::NotJson));
    assert_eq!(put("{}", Some(&layer)), Err(Refused::OtherDigest));
    let exact = ImageDigest::of(b"{}");
    assert_eq!(put("{}", Some(&exact)), Ok(exact));
    let nowhere: RepositoryName = "none".parse().expect("a name");
    let put = registry.put_image(NOW, &nowhere, "{}", None, (None, None));
    assert_eq!(put, Err(Refused::NoRepository));
}

#[test]
fn tags_move_unless_the_repository_says_no() {
    let mut registry = registry();
    let one = push(&mut registry, NOW, "one", Some("v1")).expect("new");
    assert_eq!(
        push(&mut registry, NOW, "one", Some("v1")),
        Err(Refused::ImageExists)
    );
    assert_eq!(push(&mut registry, NOW, "one", None), Err(Refused::ImageExists));
    let two = push(&mut registry, NOW, "two", Some("v1")).expect("it moves");
    assert_eq!(registry.resolve(&name(), &tag("v1")), Some(&two));
    assert!(registry.has(&name(), &one), "untagged, not gone");
    registry.repository_mut(&name()).expect("there").immutable = true;
    assert_eq!(
        push(&mut registry, NOW, "three", Some("v1")),
        Err(Refused::TagExists)
    );
    assert_eq!(registry.resolve(&name(), &tag("v1")), Some(&two));
    push(&mut registry, NOW, "three", Some("v2")).expect("a new tag");
}

#[test]
fn a_scan_takes_its_time_and_comes_once_a_day() {
    let mut registry = registry();
    let index = registry.push(NOW, &name(), "1");
    let child = registry.read(&name(), &index).expect("pushed").children[0].clone();
    assert_eq!(
        registry.scan(NOW, 9_000, &name(), &index),
        Err(NoScan::Unsupported)
    );
    registry.scan(NOW, 9_000, &name(), &child).expect("the first one");
    let (_, held) = registry.repository("app/api").expect("there");
    let scan = held.image(&child).and_then(|m| m.scan.clone()).expect("started");
    assert_eq!(scan.ends, plus(NOW, 9_000));
    assert_eq!(
        registry.scan(plus(NOW, DAY - 1), 1, &name(), &child),
        Err(NoScan::TooSoon)
    );
    registry
        .scan(plus(NOW, DAY), 1, &name(), &child)
        .expect("a day later");
    let none = ImageDigest::of(b"none");
    assert_eq!(registry.scan(NOW, 1, &name(), &none), Err(NoScan::Missing));
}

fn policy(rules: &[(&str, &[&str], &str, u64)]) -> String {
    let rules: Vec<_> = rules
        .iter()
        .zip(1..)
        .map(|((status, prefixes, count, number), priority)| {
            json!({
                "rulePriority": priority,
                "selection": {
                    "tagStatus": status, "tagPrefixList": prefixes, "countType": count, "countUnit": "days",
                    "countNumber": number,
                },
                "action": { "type": "expire" },
            })
        })
        .collect();
    json!({ "rules": rules }).to_string()
}

#[test]
fn lifecycle_rules_take_what_they_select_in_the_order_of_their_priorities() {
    let mut registry = registry();
    let at = |day: u64| plus(NOW, day * DAY);
    let old = push(&mut registry, at(0), "old", Some("release-1")).expect("new");
    let untagged = push(&mut registry, at(0), "untagged", None).expect("new");
    let many: Vec<ImageDigest> = (1..5_u64)
        .map(|n| {
            push(
                &mut registry,
                at(n),
                &format!("b{n}"),
                Some(&format!("build-{n}")),
            )
            .expect("new")
        })
        .collect();
    let index = registry.push(at(0), &name(), "tree");
    registry.tag(&name(), &tag("release-tree"), index.clone());
    let rules = policy(&[
        ("tagged", &["release-"], "imageCountMoreThan", 10),
        ("untagged", &[], "sinceImagePushed", 3),
        ("any", &[], "imageCountMoreThan", 2),
    ]);
    assert!(is_policy(&rules) && !is_policy("{}") && !is_policy(&rules.replace("untagged", "odd")));
    registry.repository_mut(&name()).expect("there").lifecycle = Some(rules);
    let gone = |registry: &mut Registry, day| -> Vec<ImageDigest> {
        registry
            .expire_by_rules(at(day))
            .into_iter()
            .map(|(_, digest)| digest)
            .collect()
    };
    let mut first = gone(&mut registry, 2);
    first.sort();
    let mut expected = many[..2].to_vec();
    expected.sort();
    assert_eq!(first, expected, "the newest two builds stay");
    assert_eq!(gone(&mut registry, 3), [untagged]);
    assert_eq!(gone(&mut registry, 30), [] as [ImageDigest; 0]);
    assert!(registry.has(&name(), &old), "its rule keeps ten");
    let tree = registry.read(&name(), &index).expect("kept");
    assert_eq!(
        (tree.children.len(), tree.missing.len()),
        (2, 0),
        "parts of an index are no images of their own"
    );
}

#[test]
fn an_image_goes_with_its_last_tag_and_not_from_under_an_index() {
    let mut registry = registry();
    let image = push(&mut registry, NOW, "one", Some("a")).expect("new");
    registry.tag(&name(), &tag("b"), image.clone());
    let held = registry.repository_mut(&name()).expect("there");
    assert_eq!(held.untag("a"), Ok(image.clone()));
    assert!(held.image(&image).is_some());
    assert_eq!(held.untag("b"), Ok(image.clone()));
    assert!(held.image(&image).is_none());
    assert_eq!(held.untag("b"), Err(Kept::Missing));
    let index = registry.push(NOW, &name(), "tree");
    let child = registry.read(&name(), &index).expect("pushed").children[0].clone();
    let held = registry.repository_mut(&name()).expect("there");
    assert_eq!(held.delete(&child), Err(Kept::Referenced(vec![index.clone()])));
    held.delete(&index).expect("nothing refers to it");
    held.delete(&child).expect("nothing does any more");
}

#[test]
fn bytes_survive_storage() {
    let mut registry = registry();
    let digest = upload(&mut registry, &[0, 255, 10, 34]).expect("new");
    registry
        .put_image(NOW, &name(), &manifest(&digest, ""), None, (None, None))
        .expect("new");
    let text = serde_json::to_string(&registry).expect("plain data");
    let again: Registry = serde_json::from_str(&text).expect("plain data");
    assert_eq!(
        again.layer(&name(), &digest).map(|b| b.bytes().to_vec()),
        Ok(vec![0, 255, 10, 34])
    );
}

proptest! {
    #[test]
    fn what_is_stored_has_the_digest_it_is_stored_under(layers in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..6), wrong in any::<bool>()) {
        let mut registry = registry();
        for (n, bytes) in layers.iter().enumerate() {
            let digest = upload(&mut registry, bytes);
            prop_assert!(matches!(&digest, Ok(_) | Err(Refused::LayerExists)));
            let digest = ImageDigest::of(bytes);
            let text = manifest(&digest, &n.to_string());
            let claimed = if wrong { ImageDigest::of(b"other") } else { ImageDigest::of(text.as_bytes()) };
            let put = registry.put_image(NOW, &name(), &text, None, (Some(&claimed), None));
            prop_assert_eq!(put.is_ok(), !wrong);
        }
        let (_, held) = registry.repository("app/api").expect("there");
        for (digest, image) in held.images() {
            prop_assert_eq!(digest, &ImageDigest::of(image.bytes.as_bytes()));
            for blob in image.refers().1 {
                let bytes = registry.layer(&name(), &blob).expect("an image has its layers");
                prop_assert_eq!(&blob, &ImageDigest::of(bytes.bytes()));
            }
        }
        prop_assert_eq!(held.images().count(), if wrong { 0 } else { layers.len() });
    }
}
