//! `[[faults]]`: what goes wrong on the wire, and with which calls.

use anyhow::bail;
use rollout_sim::endpoint::{Damage, Upset, Which, WireFault};
use serde::Deserialize;

use super::Time;

/// A fault: of one `service` and `operation` or of all, by one `account` or by all; the `call`th of them (from 1), so many of
/// 10,000 (`share_per_10_000`), or all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    service: Option<String>,
    operation: Option<String>,
    account: Option<String>,
    call: Option<u64>,
    share_per_10_000: Option<u32>,
    what: What,
    /// How late, or how old.
    by: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Throttled,
    FailsBefore,
    FailsAfter,
    ResetBefore,
    LostAnswer,
    AnswersLate,
    LandsLate,
    Twice,
    Stale,
    CutShort,
    UnknownWord,
    MemberMissing,
}

impl Fault {
    pub(super) fn wire_fault(&self) -> anyhow::Result<WireFault> {
        let timed = matches!(self.what, What::AnswersLate | What::LandsLate | What::Stale);
        let by = match (timed, self.by) {
            (true, Some(by)) => by.0,
            (false, None) => core::time::Duration::ZERO,
            (true, None) => bail!("a fault that is late or stale says `by` how long"),
            (false, Some(_)) => bail!("a fault has a `by` only if it is late or stale"),
        };
        let what = match self.what {
            What::Throttled => Upset::Throttled,
            What::FailsBefore => Upset::FailsBefore(500),
            What::FailsAfter => Upset::FailsAfter(500),
            What::ResetBefore => Upset::ResetBefore,
            What::LostAnswer => Upset::LostAnswer,
            What::AnswersLate => Upset::AnswersLate(by),
            What::LandsLate => Upset::LandsLate(by),
            What::Twice => Upset::Twice,
            What::Stale => Upset::Stale(by),
            What::CutShort => Upset::Damaged(Damage::CutShort),
            What::UnknownWord => Upset::Damaged(Damage::UnknownWord),
            What::MemberMissing => Upset::Damaged(Damage::MemberMissing),
        };
        let which = match (self.call, self.share_per_10_000) {
            (Some(call), None) => Which::Calls { from: call, to: call },
            (None, share) => Which::Share(share.unwrap_or(10_000)),
            (Some(_), Some(_)) => bail!("a fault has either a `call` or a `share_per_10_000`"),
        };
        Ok(WireFault {
            service: self.service.clone(),
            operation: self.operation.clone(),
            account: self.account.clone(),
            which,
            ..WireFault::share(0, what)
        })
    }
}
