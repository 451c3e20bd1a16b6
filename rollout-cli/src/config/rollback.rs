//! `[rollback]`: what may go back, to what, and how.

use rollout_core::plan::rollback::{Hold, Proof, RollbackPolicy};

use super::reader::Reader;

/// The policy; what the file does not say is as the default is.
pub(super) fn read(reader: &Reader<'_>) -> RollbackPolicy {
    let otherwise = RollbackPolicy::default();
    let proofs = [
        ("known", Proof::Known),
        ("proven", Proof::Proven),
        ("unasked", Proof::Unasked),
    ];
    let holds = [
        ("by-hand", Hold::ByHand),
        ("always", Hold::Always),
        ("never", Hold::Never),
    ];
    let max_age = reader.value("max_age");
    let most = max_age.as_ref().and_then(|value| value.duration());
    if let (Some(value), Some(most)) = (&max_age, most)
        && most.is_zero()
    {
        value.wrong(
            "`max_age` is zero: nothing would ever be young enough to go back to",
            "write the oldest that may be gone back to, such as \"90d\", or leave it out",
        );
    }
    let usable = reader.value("usable").and_then(|value| value.word(&proofs));
    let hold = reader.value("hold").and_then(|value| value.word(&holds));
    let policy = RollbackPolicy {
        automatic: reader.flag("automatic", otherwise.automatic),
        max_age: most.filter(|most| !most.is_zero()),
        usable: usable.unwrap_or(otherwise.usable),
        fast: reader.flag("fast", otherwise.fast),
        hold: hold.unwrap_or(otherwise.hold),
    };
    reader.finish();
    policy
}
