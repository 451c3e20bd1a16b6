//! The corpus of a fuzz target, replayed. See docs/fuzzing.md.

use super::manifest;

#[path = "../../../fuzz/src/targets/manifest.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod target;

#[test]
fn what_was_found_stays_fixed() {
    crate::corpus::replay("manifest", 400, target::run);
}
