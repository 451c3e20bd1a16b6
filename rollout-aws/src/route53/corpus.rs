//! The corpus of a fuzz target, replayed. See docs/fuzzing.md.

use super::{text, wire};

#[path = "../../../fuzz/src/targets/dns.rs"]
#[expect(unreachable_pub, reason = "public in the fuzz crate")]
mod target;

#[test]
fn what_was_found_stays_fixed() {
    crate::corpus::replay("dns", 400, target::run);
}
