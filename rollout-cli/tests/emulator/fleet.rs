//! A fleet of two cells in accounts of their own, through the real SDK against MiniStack: released in waves, and taken back as one.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{World, said};

/// The second cell's profiles have other names, so that one file holds those of both; and its own group, and so its own lease.
fn set_apart(cell: &World) -> String {
    let apart = |text: String| {
        text.replace("storefront-staging", "cell-b-staging")
            .replace("storefront-production", "cell-b-production")
    };
    let overlay = fs::read_to_string(cell.overlay()).expect("it was written");
    let overlay = apart(overlay).replace("[promotion]\n", "[promotion]\ngroup = \"cell-b\"\n");
    fs::write(cell.overlay(), overlay).expect("writable");
    apart(fs::read_to_string(cell.folder.path().join("aws.config")).expect("it was written"))
}

/// The gate of a wave: an alarm of the first cell, and a page that has `word`.
fn gate(word: &str) -> String {
    let emulator = std::env::var("AWS_ENDPOINT_URL").expect("run `cargo xtask emulator test`");
    format!(
        r#"
[waves.gate]
member = "a"
bake = "3s"
give_up = "1m"

[[waves.gate.probes]]
name = "alarm"
alarms = ["storefront-frontend-5xx"]
every = "1s"

[[waves.gate.probes]]
name = "page"
http = {{ url = "{emulator}/_ministack/health", body_contains = '{word}' }}
every = "1s"
"#
    )
}

#[test]
fn two_cells_are_released_in_waves_and_go_back_as_one() {
    let (Some(a), Some(b)) = (World::create("the first cell"), World::create("the second cell")) else {
        return;
    };
    let profiles = a.folder.path().join("aws.config");
    let both = fs::read_to_string(&profiles).expect("it was written") + &set_apart(&b);
    fs::write(&profiles, both).expect("writable");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/rollout.toml");
    let member = |name: &str, cell: &World| {
        format!(
            "[members.{name}]\nconfig = {config:?}\noverlays = [{:?}]\n",
            cell.overlay()
        )
    };
    let wave = |member: &str, gate: &str| {
        format!("[[waves]]\nname = \"{member}\"\nmembers = [\"{member}\"]\n{gate}\n")
    };
    let text = [
        "release = \"2.4.0\"\n".to_owned(),
        member("a", &a),
        member("b", &b),
        wave("a", &gate("\"ecs\": \"available\"")),
        wave("b", &gate("no page says this")),
    ];
    let file = a.folder.path().join("fleet.toml");
    fs::write(&file, text.concat()).expect("writable");
    let file = file.display().to_string();
    let output = a
        .rollout(&["fleet", "run", "--json", "--run", "f-1", "--fleet", &file])
        .output()
        .expect("it starts");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(11), "{text}");
    let last = String::from_utf8_lossy(&output.stdout);
    let last: Value = serde_json::from_str(last.lines().last().expect("an outcome")).expect("JSON");
    assert_eq!(last["outcome"], "RolledBack", "{last}");
    let why = last["why"].as_str().expect("a reason");
    assert!(why.contains("wave b") && why.contains("probe page"), "{why}");
    // Both were released, for the gate of the second wave was asked; and both are back.
    let ends = &last["details"]["rolled_back"]["members"];
    for (cell, name) in [(&a, "a"), (&b, "b")] {
        let back = &ends[name]["ended"]["rolled_back"]["why"]["text"];
        assert_eq!(back, "taken back with its fleet", "{last}");
        cell.assert_serves("2.3.0", "2.4.0", "storefront-before-");
    }
}
