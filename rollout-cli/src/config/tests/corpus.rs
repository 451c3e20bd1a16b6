//! The corpora of the fuzz targets that read configuration, replayed. See docs/fuzzing.md.

#[path = "../../../../fuzz/src/targets/config.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod config;
#[path = "../../../../fuzz/src/targets/ecs_json.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod ecs_json;
#[path = "../../../../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "shared by the tests of several crates")]
mod replay;

#[test]
fn configurations() {
    replay::replay("config", 200, config::run);
}

#[test]
fn ecs_json_files() {
    replay::replay("ecs_json", 200, ecs_json::run);
}
