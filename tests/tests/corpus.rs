//! The corpora of the fuzz targets that read journals and plans: what the fuzzer once found stays fixed. See docs/fuzzing.md.

#[path = "../../fuzz/src/targets/journal.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod journal;
#[path = "../../fuzz/src/targets/plan.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod plan;
#[path = "../../fuzz/src/replay.rs"]
#[expect(unreachable_pub, reason = "shared by the tests of several crates")]
mod replay;

#[test]
fn journals() {
    replay::replay("journal", 200, journal::run);
}

#[test]
fn plans() {
    replay::replay("plan", 400, plan::run);
}
