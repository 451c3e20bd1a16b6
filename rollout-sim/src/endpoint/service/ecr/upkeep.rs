//! Scans and lifecycle policies.

use std::collections::BTreeMap;

use rollout_core::id::ImageDigest;

use super::{Input, MOST, Named, PAGE, find, id_out, invalid, named};
use crate::ecr::{Manifest, NoScan, is_policy};
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};
use crate::rng::{Span, Stream};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("StartImageScan", start_image_scan),
    Operation::read("DescribeImageScanFindings", describe_image_scan_findings),
    Operation::write("PutLifecyclePolicy", put_lifecycle_policy),
    Operation::read("GetLifecyclePolicy", get_lifecycle_policy),
];

/// For how long a scan runs: AWS publishes no figure; ours.
pub(super) const SCAN: Span = Span::secs(5, 40);

pub(super) fn scan_state(call: &Call<'_>, image: &Manifest) -> Option<&'static str> {
    let scan = image.scan.as_ref()?;
    Some(if call.now() < scan.ends {
        "IN_PROGRESS"
    } else {
        "COMPLETE"
    })
}

/// How often each severity was found.
pub(super) fn severities(call: &Call<'_>, named: &Named, digest: &ImageDigest) -> Document {
    let registry = &call.world.environments[usize::from(named.env)].registry;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for finding in registry.findings(digest) {
        *counts.entry(finding.severity.as_str()).or_insert(0) += 1;
    }
    Document::Map(
        counts
            .into_iter()
            .map(|(severity, n)| (severity.to_owned(), n.into()))
            .collect(),
    )
}

fn start_image_scan(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let digest = find(named.held(call), &input.image_id).map_err(|_| named.missing_image(&input.image_id))?;
    let now = call.now();
    let takes = call.world.kernel.draw(Stream::Health, SCAN);
    named
        .env(call)
        .registry
        .scan(now, takes, &named.name, &digest)
        .map_err(|why| match why {
            NoScan::Missing => named.missing_image(&input.image_id),
            NoScan::Unsupported => {
                let text = format!("The image with digest '{digest}' is of a type that cannot be scanned");
                Refusal::client("UnsupportedImageTypeException", text)
            }
            NoScan::TooSoon => {
                let text = "The scan quota per image has been exceeded. Wait and try again.";
                Refusal::client("LimitExceededException", text)
            }
        })?;
    call.changed();
    let mut out = named.out();
    out.put(
        "imageId",
        id_out(Some(&digest), input.image_id.image_tag.as_deref()),
    );
    out.put("imageScanStatus", map! { "status": "IN_PROGRESS" });
    Ok(out)
}

fn describe_image_scan_findings(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let digest = find(named.held(call), &input.image_id).map_err(|_| named.missing_image(&input.image_id))?;
    let image = named.held(call).image(&digest);
    let scan = image.and_then(|i| Some((i, i.scan.as_ref()?))).ok_or_else(|| {
        let text = format!(
            "Image scan does not exist for the image with '{{imageDigest:'{digest}'}}' in the repository with name '{}' in the \
             registry with id '{}'",
            named.name, named.registry
        );
        Refusal::client("ScanNotFoundException", text)
    })?;
    let (image, scan) = scan;
    let state = scan_state(call, image).unwrap_or("IN_PROGRESS");
    let registry = &call.world.environments[usize::from(named.env)].registry;
    let found: Vec<Document> = registry
        .findings(&digest)
        .iter()
        .map(|f| map! { "name": &f.name, "description": &f.description, "severity": &f.severity })
        .collect();
    let done = state == "COMPLETE";
    let (here, next) = {
        let most = input.max_results.map_or(PAGE, |n| n.clamp(1, MOST));
        let token = input.next_token.as_deref().filter(|t| !t.is_empty());
        let (here, next) = page(&found, token, most).ok_or_else(|| invalid("nextToken", "Invalid token"))?;
        (here.to_vec(), next)
    };
    let mut out = named.out();
    out.put(
        "imageId",
        id_out(Some(&digest), input.image_id.image_tag.as_deref()),
    );
    let description = if done {
        "The scan was completed successfully."
    } else {
        "The scan is in progress."
    };
    out.put(
        "imageScanStatus",
        map! { "status": state, "description": description },
    );
    if done {
        let findings = map! {
            "imageScanCompletedAt": scan.ends,
            "vulnerabilitySourceUpdatedAt": scan.started,
            "findings": here,
            "findingSeverityCounts": severities(call, &named, &digest),
        };
        out.put("imageScanFindings", findings);
        out.put("nextToken", next);
    }
    Ok(out)
}

fn put_lifecycle_policy(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let text = input.lifecycle_policy_text;
    if !is_policy(&text) {
        return Err(invalid(
            "LifecyclePolicyText",
            "Lifecycle policy validation failure",
        ));
    }
    let world = &mut *call.world;
    let env = &mut world.environments[usize::from(named.env)];
    let put = env.put_lifecycle(&mut world.kernel, &named.name, Some(text.clone()));
    put.map_err(|refused| named.refused(&refused, "", None, ""))?;
    call.changed();
    let mut out = named.out();
    out.put("lifecyclePolicyText", text);
    Ok(out)
}

fn get_lifecycle_policy(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let Some(text) = named.held(call).lifecycle.clone() else {
        let text = format!(
            "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
            named.name, named.registry
        );
        return Err(Refusal::client("LifecyclePolicyNotFoundException", text));
    };
    let mut out = named.out();
    out.put("lifecyclePolicyText", text);
    Ok(out)
}
