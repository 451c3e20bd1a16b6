//! The corpus of the fuzz target that sends requests to the endpoint. See docs/fuzzing.md.

#[path = "../../fuzz/src/targets/endpoint.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod endpoint;
#[path = "../../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "shared by the tests of several crates")]
mod replay;

#[test]
fn requests() {
    replay::replay("endpoint", 100, endpoint::run);
}
