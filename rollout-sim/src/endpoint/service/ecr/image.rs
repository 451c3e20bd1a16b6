//! Images: pushed, pulled, listed, deleted.

use rollout_core::id::{ImageDigest, ImageTag};

use super::upkeep::{SCAN, scan_state, severities};
use super::{IdInput, Input, Named, digest, find, id_out, invalid, named, paged};
use crate::ecr::{Kept, Manifest, NoScan, Refused};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::service::{Answer, Operation};
use crate::rng::Stream;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("BatchGetImage", batch_get_image),
    Operation::write("PutImage", put_image),
    Operation::write("BatchDeleteImage", batch_delete_image),
    Operation::read("DescribeImages", describe_images),
    Operation::read("ListImages", list_images),
];

fn image_out(named: &Named, image: &Manifest, digest: &ImageDigest, tag: Option<&str>) -> Document {
    let mut out = named.out();
    out.put("imageId", id_out(Some(digest), tag));
    out.put("imageManifest", &image.bytes);
    out.put("imageManifestMediaType", &image.media_type);
    out
}

fn failure_out(id: &IdInput, code: &str, reason: &str) -> Document {
    map! {
        "imageId": map! { "imageDigest": id.image_digest.as_ref(), "imageTag": id.image_tag.as_ref() },
        "failureCode": code,
        "failureReason": reason,
    }
}

fn batch_get_image(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let held = named.held(call);
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids.iter().flatten() {
        match find(held, id) {
            Ok(digest) => images.extend(
                held.image(&digest)
                    .map(|image| image_out(&named, image, &digest, id.image_tag.as_deref())),
            ),
            Err((code, reason)) => failures.push(failure_out(id, code, reason)),
        }
    }
    // What a caller accepts matters to ECR where it could convert, which it does only for the oldest of formats.
    let _ = input.accepted_media_types;
    Ok(map! { "images": images, "failures": failures })
}

fn put_image(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let given = input
        .image_digest
        .as_deref()
        .map(|text| digest(text, "imageDigest"))
        .transpose()?;
    let tag = input.image_tag.as_deref().map(ImageTag::new).transpose();
    let tag = tag.map_err(|e| invalid("imageTag", &e.to_string()))?;
    let now = call.now();
    let computed = ImageDigest::of(input.image_manifest.as_bytes());
    let registry = &mut named.env(call).registry;
    let put = registry.put_image(
        now,
        &named.name,
        &input.image_manifest,
        input.image_manifest_media_type.as_deref(),
        (given.as_ref(), tag.as_ref()),
    );
    let made = put.map_err(|refused| {
        let told = given
            .as_ref()
            .filter(|_| refused == Refused::OtherDigest)
            .unwrap_or(&computed);
        named.refused(&refused, "", input.image_tag.as_deref(), told.as_str())
    })?;
    call.changed();
    let elsewhere: Vec<_> = call
        .world
        .environments
        .iter()
        .map(|env| env.registry.known(&made))
        .collect();
    for known in &elsewhere {
        named.env(call).registry.learn(known);
    }
    if named.held(call).scan_on_push {
        let takes = call.world.kernel.draw(Stream::Health, SCAN);
        // An index is not scanned, and an image that was pushed again has been.
        let _: Result<_, NoScan> = named.env(call).registry.scan(now, takes, &named.name, &made);
    }
    let image = named
        .held(call)
        .image(&made)
        .map(|image| image_out(&named, image, &made, input.image_tag.as_deref()));
    Ok(map! { "image": image })
}

fn batch_delete_image(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids.iter().flatten() {
        let found = find(named.held(call), id);
        let digest = match found {
            Ok(digest) => digest,
            Err((code, reason)) => {
                failures.push(failure_out(id, code, reason));
                continue;
            }
        };
        let env = named.env(call);
        let Ok(held) = env.registry.repository_mut(&named.name) else {
            continue;
        };
        let done = match (&id.image_digest, &id.image_tag) {
            (None, Some(tag)) => held.untag(tag).map(|_| ()),
            _ => held.delete(&digest),
        };
        match done {
            Ok(()) => gone.push(id_out(Some(&digest), id.image_tag.as_deref())),
            Err(Kept::Missing) => {
                failures.push(failure_out(id, "ImageNotFound", "Requested image not found"))
            }
            Err(Kept::Referenced(by)) => {
                let by: Vec<&str> = by.iter().map(ImageDigest::as_str).collect();
                let text = format!("Requested image referenced by manifest list: [{}]", by.join(", "));
                failures.push(failure_out(id, "ImageReferencedByManifestList", &text));
            }
        }
    }
    if !gone.is_empty() {
        call.changed();
    }
    Ok(map! { "imageIds": gone, "failures": failures })
}

fn has_status(wanted: Option<&str>, tagged: bool) -> bool {
    match wanted {
        Some("TAGGED") => tagged,
        Some("UNTAGGED") => !tagged,
        _ => true,
    }
}

fn detail_out(call: &Call<'_>, named: &Named, digest: &ImageDigest, image: &Manifest) -> Document {
    let held = named.held(call);
    let tags: Vec<&str> = held.tags_of(digest).map(ImageTag::as_str).collect();
    let mut out = named.out();
    out.put("imageDigest", digest);
    out.put("imageTags", (!tags.is_empty()).then(|| Document::list(tags)));
    out.put("imageSizeInBytes", held.size_of(image));
    out.put("imagePushedAt", image.pushed);
    if let (Some(state), Some(scan)) = (scan_state(call, image), &image.scan) {
        out.put("imageScanStatus", map! { "status": state });
        if state == "COMPLETE" {
            let summary = map! {
                "imageScanCompletedAt": scan.ends,
                "vulnerabilitySourceUpdatedAt": scan.started,
                "findingSeverityCounts": severities(call, named, digest),
            };
            out.put("imageScanFindingsSummary", summary);
        }
    }
    out.put("imageManifestMediaType", &image.media_type);
    out.put("artifactMediaType", artifact_type(image));
    out
}

/// What the image is: its configuration's media type. An index has none (Amazon ECR API, "ImageDetail").
fn artifact_type(image: &Manifest) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_str(&image.bytes).ok()?;
    manifest["config"]["mediaType"].as_str().map(str::to_owned)
}

fn describe_images(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let held = named.held(call);
    let mut found = Vec::new();
    match &input.image_ids {
        Some(ids) if !ids.is_empty() => {
            for id in ids {
                let digest = find(held, id).map_err(|_| named.missing_image(id))?;
                found.extend(
                    held.image(&digest)
                        .map(|image| detail_out(call, &named, &digest, image)),
                );
            }
        }
        _ => {
            let wanted = input.filter.tag_status.as_deref();
            let all = held
                .images()
                .filter(|(d, _)| has_status(wanted, held.tags_of(d).next().is_some()));
            found.extend(all.map(|(digest, image)| detail_out(call, &named, digest, image)));
        }
    }
    paged("imageDetails", &found, &input)
}

fn list_images(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let held = named.held(call);
    let wanted = input.filter.tag_status.as_deref();
    let mut found = Vec::new();
    for (digest, _) in held.images() {
        let tags: Vec<&str> = held.tags_of(digest).map(ImageTag::as_str).collect();
        if !has_status(wanted, !tags.is_empty()) {
            continue;
        }
        if tags.is_empty() {
            found.push(id_out(Some(digest), None));
        }
        found.extend(tags.into_iter().map(|tag| id_out(Some(digest), Some(tag))));
    }
    paged("imageIds", &found, &input)
}
