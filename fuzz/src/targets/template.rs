//! A task definition on its way to RegisterTaskDefinition, and compared with what is registered.

use rollout_core::id::ImageDigest;
use rollout_core::image::ImageRef;
use rollout_core::service::RevisionSpec;
use serde_json::Value;

use super::template::{not_taken, pinned, prepare, run_task, same_content, short};

/// No panic; what is prepared is named by its content: prepared once more it has the same name.
pub fn run(bytes: &[u8]) {
    let Ok(template) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let image = ImageRef {
        repository: "app/api".parse().expect("a name"),
        digest: ImageDigest::of(b"fuzz"),
    };
    let images = [("app".parse().expect("a name"), image)].into();
    let _ = run_task(&template, "cluster", "family:1", "token");
    let spec = RevisionSpec { template, images };
    let Ok(prepared) = prepare(&spec, "registry.example.com") else {
        return;
    };
    let _ = (short(&prepared.family), pinned(&prepared.family));
    let again = RevisionSpec {
        template: prepared.body.clone(),
        ..spec
    };
    let again = prepare(&again, "registry.example.com").expect("what was prepared can be registered");
    assert_eq!(again.family, prepared.family);
    assert!(
        not_taken(&prepared.body, &prepared.body).is_empty(),
        "what is sent is not taken by itself"
    );
    let tags = prepared.body.get("tags").cloned().unwrap_or_default();
    let _ = same_content(&prepared.body, &again.body, &tags);
}
