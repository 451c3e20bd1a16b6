//! What an environment costs a month, as a table.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rollout_core::readiness::known::Unseen;
use rollout_core::readiness::price::{Estimate, dollars};

use super::Estimates;
use super::model::unseen;

/// What an environment costs a month, as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bill<'a> {
    /// By component, dearest first: what it costs now, and with the release.
    pub(super) rows: Vec<(&'a str, u64, Option<u64>)>,
    /// The sum now, and with the release.
    pub(super) sum: (u64, Option<u64>),
    /// What the profile `starter` costs.
    pub(super) starter: Option<u64>,
    /// What has no price, and costs something, too.
    pub(super) unpriced: BTreeSet<&'a str>,
    /// What is not known.
    pub(super) unknown: Vec<String>,
    /// Date and source of the prices.
    pub(super) dated: &'a str,
    pub(super) source: &'a str,
}

/// The table of some estimates.
///
/// # Errors
/// Why not even the present costs are known.
pub(super) fn bill(estimates: &Estimates) -> Result<Bill<'_>, String> {
    let present = estimates.present.as_ref().map_err(unseen)?;
    let released = estimates.released.as_ref();
    let after = released.and_then(|released| released.as_ref().ok());
    let starter = estimates.starter.as_ref().ok();
    let mut rows: BTreeMap<&str, (u64, Option<u64>)> = BTreeMap::new();
    for (component, cents) in present.by_component() {
        rows.insert(component, (cents, after.map(|_| 0)));
    }
    for (component, cents) in after.map(Estimate::by_component).unwrap_or_default() {
        rows.entry(component).or_default().1 = Some(cents);
    }
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(name, (now, then))| (name, now, then))
        .collect();
    rows.sort_by_key(|(_, now, then)| Reverse(*now.max(&then.unwrap_or_default())));
    let not_known = |what: &str, estimate: Option<&Result<Estimate, Unseen>>| {
        let error = estimate.and_then(|estimate| estimate.as_ref().err());
        error.map(|error| format!("{what}: {}", unseen(error)))
    };
    let unknown = [
        not_known("with this release", released),
        not_known("the starter profile", Some(&estimates.starter)),
    ];
    let unpriced = [Some(present), after]
        .into_iter()
        .flatten()
        .flat_map(|estimate| &estimate.unpriced);
    Ok(Bill {
        rows,
        sum: (present.cents(), after.map(Estimate::cents)),
        starter: starter.map(Estimate::cents),
        unpriced: unpriced.map(String::as_str).collect(),
        unknown: unknown.into_iter().flatten().collect(),
        dated: &present.dated,
        source: &present.source,
    })
}

impl Bill<'_> {
    /// What the profile `starter` would save, in one line.
    pub(super) fn saving(&self) -> Option<String> {
        let starter = self.starter?;
        Some(match self.sum.0.checked_sub(starter) {
            Some(0) => "the starter profile would save nothing".to_owned(),
            Some(less) => format!(
                "the starter profile would save {} ({} a month)",
                dollars(less),
                dollars(starter)
            ),
            None => format!("the starter profile would cost {} a month", dollars(starter)),
        })
    }
}

/// What an amount changes by, with its sign; nothing where it does not change.
pub(super) fn change(now: u64, then: u64) -> String {
    match (then.checked_sub(now), now.checked_sub(then)) {
        (Some(0), _) => String::new(),
        (Some(more), _) => format!("+{}", dollars(more)),
        (None, less) => format!("-{}", dollars(less.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_change_with_their_sign() {
        assert_eq!(change(100, 100), "");
        assert_eq!(change(100, 250), "+$1.50");
        assert_eq!(change(250, 100), "-$1.50");
    }
}
