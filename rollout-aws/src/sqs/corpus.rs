//! The corpus of a fuzz target, replayed. See docs/fuzzing.md.

use super::event;

#[path = "../../../fuzz/src/targets/queue.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod target;

#[test]
fn what_was_found_stays_fixed() {
    crate::corpus::replay("queue", 400, target::run);
}
