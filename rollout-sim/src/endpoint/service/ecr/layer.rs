//! Layers: whether they are there, where they are, how they come in.

use aws_smithy_types::base64;
use rollout_core::id::ImageDigest;

use super::{Input, digest, invalid, named};
use crate::ecr::{PART, layer_url};
use crate::endpoint::call::Call;
use crate::endpoint::document::map;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("BatchCheckLayerAvailability", batch_check_layer_availability),
    Operation::read("GetDownloadUrlForLayer", get_download_url_for_layer),
    Operation::write("InitiateLayerUpload", initiate_layer_upload),
    Operation::write("UploadLayerPart", upload_layer_part),
    Operation::write("CompleteLayerUpload", complete_layer_upload),
];

fn batch_check_layer_availability(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let held = named.held(call);
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in &input.layer_digests {
        match ImageDigest::new(text.as_str()) {
            Ok(digest) => {
                let size = held.blob_size(&digest);
                layers.push(map! {
                    "layerDigest": &digest,
                    "layerAvailability": if size.is_some() { "AVAILABLE" } else { "UNAVAILABLE" },
                    "layerSize": size,
                    "mediaType": size.map(|_| "application/vnd.docker.image.rootfs.diff.tar.gzip"),
                });
            }
            Err(error) => failures.push(map! {
                "layerDigest": text, "failureCode": "InvalidLayerDigest", "failureReason": error.to_string(),
            }),
        }
    }
    Ok(map! { "layers": layers, "failures": failures })
}

fn get_download_url_for_layer(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let layer = digest(&input.layer_digest, "layerDigest")?;
    let env = &call.world.environments[usize::from(named.env)];
    let found = env.registry.layer(&named.name, &layer);
    found.map_err(|refused| named.refused(&refused, "", None, layer.as_str()))?;
    let url = layer_url(
        call.local,
        call.now(),
        named.env,
        &env.region,
        &named.name,
        &layer,
    );
    Ok(map! { "downloadUrl": url, "layerDigest": &layer })
}

fn initiate_layer_upload(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let id = call.world.kernel.dice.uuid();
    let begun = named.env(call).registry.begin_upload(&named.name, id.clone());
    begun.map_err(|refused| named.refused(&refused, &id, None, ""))?;
    call.changed();
    Ok(map! { "uploadId": id, "partSize": PART })
}

fn upload_layer_part(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let bytes =
        base64::decode(&input.layer_part_blob).map_err(|_| invalid("layerPartBlob", "must be base64"))?;
    let place = (input.part_first_byte, input.part_last_byte);
    let taken = named
        .env(call)
        .registry
        .upload_part(&named.name, &input.upload_id, place, bytes);
    let last = taken.map_err(|refused| named.refused(&refused, &input.upload_id, None, ""))?;
    call.changed();
    let mut out = named.out();
    out.put("uploadId", &input.upload_id);
    out.put("lastByteReceived", last);
    Ok(out)
}

fn complete_layer_upload(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let named = named(call, &input)?;
    let first = input
        .layer_digests
        .first()
        .ok_or_else(|| invalid("layerDigests", "must not be empty"))?;
    let layer = digest(first, "layerDigests")?;
    let done = named
        .env(call)
        .registry
        .complete_upload(&named.name, &input.upload_id, &layer);
    done.map_err(|refused| named.refused(&refused, &input.upload_id, None, layer.as_str()))?;
    call.changed();
    let mut out = named.out();
    out.put("uploadId", &input.upload_id);
    out.put("layerDigest", &layer);
    Ok(out)
}
