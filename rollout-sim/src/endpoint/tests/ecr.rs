//! ECR on the wire.

use aws_smithy_types::base64;
use bytes::Bytes;
use http::Request;
use rollout_core::id::ImageDigest;
use serde_json::{Value, json};

use super::{json_request, text};
use crate::clock::SimCloud;
use crate::ecr::Finding;
use crate::endpoint::Endpoint;
use crate::world::World;

pub(super) fn endpoint() -> Endpoint {
    let world = World::builder(7)
        .environment("staging", |e| e.account("111122223333").image("app/api", "1"))
        .environment("prod", |e| {
            e.account("444455556666")
                .repository("app/api")
                .immutable_repository("app/fixed")
        })
        .build()
        .expect("a world");
    Endpoint::new(SimCloud::new(world))
}

pub(super) fn request(account: &str, operation: &str, body: &Value) -> Request<Bytes> {
    let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
    json_request((account, "eu-central-1", "ecr"), &target, body)
}

/// Status and body.
fn call(endpoint: &Endpoint, account: &str, operation: &str, body: &Value) -> (u16, Value) {
    let answer = endpoint.answer(&request(account, operation, body));
    let body = serde_json::from_str(&text(&answer)).expect("JSON");
    (answer.status().as_u16(), body)
}

pub(super) const STAGING: &str = "111122223333";
const PROD: &str = "444455556666";

fn ok(endpoint: &Endpoint, account: &str, operation: &str, body: &Value) -> Value {
    let (status, answer) = call(endpoint, account, operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

/// The type and message of a refusal.
fn no(endpoint: &Endpoint, account: &str, operation: &str, body: &Value) -> (String, String) {
    let (status, answer) = call(endpoint, account, operation, body);
    assert_eq!(status, 400, "{operation}: {answer}");
    let part = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (part("__type"), part("message"))
}

#[test]
fn an_image_goes_from_one_registry_to_another_byte_by_byte() {
    let endpoint = endpoint();
    let get = |account: &str, id: Value| {
        let body = json!({ "repositoryName": "app/api", "imageIds": [id] });
        ok(&endpoint, account, "BatchGetImage", &body)["images"][0].clone()
    };
    let index = get(STAGING, json!({ "imageTag": "1" }));
    let index_text = index["imageManifest"].as_str().expect("text").to_owned();
    let index_digest = ImageDigest::of(index_text.as_bytes());
    assert_eq!(
        (
            index["imageId"]["imageDigest"].as_str(),
            index["imageManifestMediaType"].as_str()
        ),
        (
            Some(index_digest.as_str()),
            Some("application/vnd.oci.image.index.v1+json")
        )
    );
    let put = |text: &str| json!({ "repositoryName": "app/api", "imageManifest": text, "imageTag": "1" });
    let refused = no(&endpoint, PROD, "PutImage", &put(&index_text));
    assert_eq!(refused.0, "ReferencedImagesNotFoundException");
    let parsed: Value = serde_json::from_str(&index_text).expect("JSON");
    for child in parsed["manifests"].as_array().expect("children") {
        let manifest = get(STAGING, json!({ "imageDigest": child["digest"] }));
        let asked = json!({ "repositoryName": "app/api", "imageIds": [{ "imageDigest": child["digest"] }] });
        let told = &ok(&endpoint, STAGING, "DescribeImages", &asked)["imageDetails"][0];
        assert_eq!(
            told["artifactMediaType"],
            "application/vnd.oci.image.config.v1+json"
        );
        let text = manifest["imageManifest"].as_str().expect("text").to_owned();
        let put = json!({ "repositoryName": "app/api", "imageManifest": text });
        assert_eq!(no(&endpoint, PROD, "PutImage", &put).0, "LayersNotFoundException");
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        let layers = parsed["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .chain([&parsed["config"]]);
        for layer in layers.map(|l| l["digest"].clone()) {
            let url = json!({ "repositoryName": "app/api", "layerDigest": layer });
            let url = ok(&endpoint, STAGING, "GetDownloadUrlForLayer", &url)["downloadUrl"].clone();
            let visit = endpoint
                .cloud()
                .with(|w| w.visit(url.as_str().expect("an address")))
                .expect("it leads here");
            assert_eq!(visit.status, 200);
            let begun = ok(
                &endpoint,
                PROD,
                "InitiateLayerUpload",
                &json!({ "repositoryName": "app/api" }),
            );
            let part = json!({
                "repositoryName": "app/api", "uploadId": begun["uploadId"], "partFirstByte": 0,
                "partLastByte": visit.body.len() - 1, "layerPartBlob": base64::encode(&visit.body),
            });
            let last = ok(&endpoint, PROD, "UploadLayerPart", &part)["lastByteReceived"].clone();
            assert_eq!(last, json!(visit.body.len() - 1));
            let done = json!({
                "repositoryName": "app/api", "uploadId": begun["uploadId"], "layerDigests": [layer],
            });
            assert_eq!(
                ok(&endpoint, PROD, "CompleteLayerUpload", &done)["layerDigest"],
                layer
            );
        }
        ok(&endpoint, PROD, "PutImage", &put);
    }
    let put_index = ok(&endpoint, PROD, "PutImage", &put(&index_text));
    assert_eq!(
        put_index["image"]["imageId"]["imageDigest"],
        json!(index_digest.as_str())
    );
    assert_eq!(
        no(&endpoint, PROD, "PutImage", &put(&index_text)),
        (
            "ImageAlreadyExistsException".to_owned(),
            format!(
                "Image with digest '{index_digest}' and tag '1' already exists in the repository with name 'app/api' in registry \
                 with id '{PROD}'"
            )
        )
    );
    let held = endpoint.cloud().with(|w| w.image("prod", "app/api", "1"));
    assert_eq!(held, Ok(index_digest));
}

#[test]
fn refusals_have_the_names_and_words_of_ecr() {
    let endpoint = endpoint();
    let none = json!({ "repositoryName": "none", "imageIds": [{ "imageTag": "1" }] });
    assert_eq!(
        no(&endpoint, PROD, "BatchGetImage", &none),
        (
            "RepositoryNotFoundException".to_owned(),
            format!("The repository with name 'none' does not exist in the registry with id '{PROD}'")
        )
    );
    let missing = json!({ "repositoryName": "app/api", "imageIds": [{ "imageTag": "none" }] });
    let answer = ok(&endpoint, PROD, "BatchGetImage", &missing);
    let failure = json!({
        "imageId": { "imageTag": "none" }, "failureCode": "ImageNotFound", "failureReason": "Requested image not found",
    });
    assert_eq!(answer, json!({ "images": [], "failures": [failure] }));
    let put = |note: u32| {
        let text = json!({ "schemaVersion": 2, "note": note }).to_string();
        json!({ "repositoryName": "app/fixed", "imageManifest": text, "imageTag": "v" })
    };
    ok(&endpoint, PROD, "PutImage", &put(1));
    let text = "The image tag 'v' already exists in the 'app/fixed' repository and cannot be overwritten because the tag is \
        immutable.";
    assert_eq!(
        no(&endpoint, PROD, "PutImage", &put(2)),
        ("ImageTagAlreadyExistsException".to_owned(), text.to_owned())
    );
    let twice = json!({ "repositoryName": "app/api" });
    assert_eq!(
        no(&endpoint, PROD, "CreateRepository", &twice).0,
        "RepositoryAlreadyExistsException"
    );
    // Another account's registry, by its id.
    let other =
        json!({ "registryId": STAGING, "repositoryName": "app/api", "imageIds": [{ "imageTag": "1" }] });
    let found = ok(&endpoint, PROD, "BatchGetImage", &other);
    assert_eq!(found["images"][0]["registryId"], json!(STAGING));
}

#[test]
fn a_scan_ends_with_what_there_is_to_find() {
    let endpoint = endpoint();
    let digest = endpoint
        .cloud()
        .with(|w| w.image("staging", "app/api", "1"))
        .expect("pushed");
    let finding = |name: &str, severity: &str| Finding {
        name: name.to_owned(),
        severity: severity.to_owned(),
        description: "made up".to_owned(),
    };
    let findings = [
        finding("CVE-1", "CRITICAL"),
        finding("CVE-2", "LOW"),
        finding("CVE-3", "LOW"),
    ];
    endpoint
        .cloud()
        .with(|w| w.find_in_scan("staging", "app/api", &digest, &findings))
        .expect("there");
    let index = json!({ "repositoryName": "app/api", "imageId": { "imageTag": "1" } });
    assert_eq!(
        no(&endpoint, STAGING, "StartImageScan", &index).0,
        "UnsupportedImageTypeException"
    );
    let images = ok(
        &endpoint,
        STAGING,
        "ListImages",
        &json!({ "repositoryName": "app/api", "filter": { "tagStatus": "UNTAGGED" } }),
    );
    let id = json!({ "repositoryName": "app/api", "imageId": images["imageIds"][0] });
    assert_eq!(
        no(&endpoint, STAGING, "DescribeImageScanFindings", &id).0,
        "ScanNotFoundException"
    );
    let begun = ok(&endpoint, STAGING, "StartImageScan", &id);
    assert_eq!(begun["imageScanStatus"]["status"], json!("IN_PROGRESS"));
    endpoint
        .cloud()
        .with(|w| w.pass(core::time::Duration::from_secs(41)));
    let done = ok(&endpoint, STAGING, "DescribeImageScanFindings", &id);
    assert_eq!(done["imageScanStatus"]["status"], json!("COMPLETE"));
    assert_eq!(
        done["imageScanFindings"]["findingSeverityCounts"],
        json!({ "CRITICAL": 1, "LOW": 2 })
    );
    assert_eq!(done["imageScanFindings"]["findings"][0]["name"], json!("CVE-1"));
    assert_eq!(
        no(&endpoint, STAGING, "StartImageScan", &id),
        (
            "LimitExceededException".to_owned(),
            "The scan quota per image has been exceeded. Wait and try again.".to_owned()
        )
    );
}
