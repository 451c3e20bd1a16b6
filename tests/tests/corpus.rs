//! The corpora of the fuzz targets that read journals, plans and the answers of ECS: what the fuzzer once found stays fixed. See docs/fuzzing.md.

#[cfg(feature = "aws")]
use aws_config::SdkConfig;

#[cfg(feature = "aws")]
#[path = "../../fuzz/src/targets/ecs_answers.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod ecs_answers;
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

#[cfg(feature = "aws")]
#[test]
fn answers_of_ecs() {
    replay::replay("ecs_answers", 40, ecs_answers::run);
}
