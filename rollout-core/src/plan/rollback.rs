//! What may go back by itself, to what, and how: the rollback policy, as data of the plan.
//!
//! Two rules are no choice. A way back never starts a second one: the machine that goes back has no way back of its own, and
//! what a run has taken back already is not taken back again ([`already_back`]). And nothing goes back past a migration that
//! the old release cannot live with ([`Barrier::Irreversible`]).

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::{Cause, Evidence, Reason};
use crate::id::TaskName;
use crate::machine::{rollout, unwind};
use crate::service::{Found, Part, PartKind, RestorePoint, Usability};
use crate::time::{Timestamp, human, maybe_millis};

/// What may go back, to what, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPolicy {
    /// Whether a release that fails goes back by itself. When not, it is left where it is and ends `Stuck` with the command
    /// that takes it back. A person who aborts has asked for the way back: that one is gone in any case.
    pub automatic: bool,
    /// The oldest last known good release that may be gone back to, counted from the deployment that brought it. It is asked
    /// before the first change and not later: a release without a way back is refused by day, not found out at night.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_millis")]
    pub max_age: Option<Duration>,
    /// How sure it must be, before the first change, that the last known good release can still run.
    pub usable: Proof,
    /// Whether the way back takes the platform's own short cut where there is one: a deployment that is still under way is
    /// turned back as it stands, without canary steps, bake times or new tasks for what still runs.
    pub fast: bool,
    /// After which ways back the environment is held until a person lifts the hold.
    pub hold: Hold,
}

/// How sure it must be of something before the first change: that a last known good release can still run, that the environment is
/// ready for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It is not asked.
    Unasked,
    /// What is known to be gone refuses the release. What cannot be found out is told, and accepted.
    Known,
    /// What cannot be found out refuses the release, too.
    Proven,
}

impl Proof {
    /// What held before a plan could say how sure it must be: plans and journals that do not say it mean this one.
    pub(crate) const fn before_it_was_asked() -> Self {
        Self::Unasked
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) const fn is_unasked(&self) -> bool {
        matches!(self, Self::Unasked)
    }
}

/// After which ways back an environment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// After one that a person asked for.
    ByHand,
    /// After any.
    Always,
    /// After none.
    Never,
}

impl Hold {
    /// Whether a way back of this kind holds the environment.
    #[must_use]
    pub const fn holds(self, by_hand: bool) -> bool {
        match self {
            Self::ByHand => by_hand,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What keeps a release from going back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// This task ran, or may have run, and the old release cannot live with what it did (I-20).
    Irreversible(TaskName),
    /// The policy leaves it to a person.
    NotAutomatic,
}

impl Default for RollbackPolicy {
    /// It goes back by itself, as fast as it can, to a release of any age that is not known to be unusable; a way back that a
    /// person asked for holds the environment.
    fn default() -> Self {
        Self {
            automatic: true,
            max_age: None,
            usable: Proof::Known,
            fast: true,
            hold: Hold::ByHand,
        }
    }
}

impl RollbackPolicy {
    /// What held before there was a policy: plans and journals that name none mean this one, so that they replay for ever.
    #[must_use]
    pub const fn before_there_was_one() -> Self {
        Self {
            automatic: true,
            max_age: None,
            usable: Proof::Unasked,
            fast: false,
            hold: Hold::Never,
        }
    }

    /// What keeps a release from going back; `by_hand` when a person has asked for it.
    #[must_use]
    pub fn barrier(&self, by_hand: bool, blocked_by: Option<&TaskName>) -> Option<Barrier> {
        match blocked_by {
            Some(task) => Some(Barrier::Irreversible(task.clone())),
            None => (!self.automatic && !by_hand).then_some(Barrier::NotAutomatic),
        }
    }

    /// Whether a release may rest on this restore point as far as its age goes. What it was accepted on although it is not
    /// known comes back as evidence.
    ///
    /// # Errors
    /// The reason for which the release is refused.
    pub fn age(&self, point: &RestorePoint, now: Timestamp) -> Result<Option<Evidence>, Reason> {
        let Some(most) = self.max_age else {
            return Ok(None);
        };
        let service = &point.service;
        let Some(since) = point.since else {
            let why = format!(
                "how old the last known good release of {service} is cannot be found out, and the policy allows {}",
                human(most)
            );
            return self.unknown(service.as_str(), now, why).map(Some);
        };
        let age = now.since(since);
        if age <= most {
            return Ok(None);
        }
        let why = format!(
            "what {service} would go back to was deployed {} ago ({}), and the policy goes back to nothing older than {}; \
             deploy what runs there once more, or raise `max_age` in [rollback]",
            human(age),
            point.task_definition,
            human(most)
        );
        let seen = Evidence::new(
            point.captured_at,
            SOURCE,
            service.as_str(),
            format!("deployed at {since}"),
        );
        Err(Reason::new(Cause::LastKnownGoodTooOld, why).with([seen]))
    }

    /// Whether a release may rest on this restore point as far as it can still run. What could not be found out and was
    /// accepted comes back as evidence.
    ///
    /// # Errors
    /// The reason for which the release is refused.
    pub fn judge(&self, point: &RestorePoint, seen: &Usability) -> Result<Vec<Evidence>, Reason> {
        let service = &point.service;
        let piece = |part: &Part, why: &str| {
            Evidence::new(seen.at, SOURCE, service.as_str(), format!("{}: {why}", part.name))
        };
        let gone: Vec<Evidence> = seen.gone().map(|(part, why)| piece(part, why)).collect();
        if let Some(first) = gone.first() {
            let why = format!(
                "what {service} would go back to cannot run any more: {}; make it usable again, or set `usable = \"unasked\"` \
                 in [rollback] to release without a way back",
                first.detail
            );
            return Err(Reason::new(Cause::LastKnownGoodUnusable, why).with(gone));
        }
        let open = seen.unknown().map(|(part, why)| format!("{}: {why}", part.name));
        let missing = unlooked(point, seen).map(|what| format!("{what}: nobody looked"));
        open.chain(missing)
            .map(|what| {
                let why = format!("whether {service} can go back cannot be found out: {what}");
                self.unknown(service.as_str(), seen.at, why)
            })
            .collect()
    }

    /// What cannot be found out is never a pass: it refuses, or it is told.
    fn unknown(&self, subject: &str, at: Timestamp, why: String) -> Result<Evidence, Reason> {
        match self.usable {
            Proof::Unasked | Proof::Known => Ok(Evidence::new(at, SOURCE, subject, why)),
            Proof::Proven => {
                let seen = Evidence::new(at, SOURCE, subject, why.clone());
                let why = format!(
                    "{why}; let the caller find it out, or set `usable = \"known\"` in [rollback] to accept that"
                );
                Err(Reason::new(Cause::LastKnownGoodUnusable, why).with([seen]))
            }
        }
    }
}

/// Where evidence of the policy comes from.
pub const SOURCE: &str = "rollback-policy";

/// What a restore point rests on and an answer does not speak of.
fn unlooked<'a>(point: &'a RestorePoint, seen: &'a Usability) -> impl Iterator<Item = String> + 'a {
    let revision = !seen.parts.iter().any(|part| part.kind == PartKind::Revision);
    let looked = |container| {
        let of = |part: &Part| matches!(&part.kind, PartKind::Image { container: c } if c == container);
        seen.parts.iter().any(of)
    };
    let images = point.images.keys().filter(move |container| !looked(*container));
    let images = images.map(|container| format!("the image of container {container}"));
    revision
        .then(|| format!("revision {}", point.task_definition))
        .into_iter()
        .chain(images)
}

/// Why a run cannot be taken back by hand because it went back already; `None` when it can. A rollback is never rolled back:
/// from there the only way is forward. One that got stuck, or yielded, may be tried again.
#[must_use]
pub fn already_back(run: Option<&rollout::Outcome>, by_hand: &[unwind::Outcome]) -> Option<&'static str> {
    let back = |outcome: &unwind::Outcome| matches!(outcome, unwind::Outcome::AtLastKnownGood { .. });
    if by_hand.iter().any(back) {
        return Some("it was taken back by hand already");
    }
    match run {
        Some(rollout::Outcome::RolledBack { .. }) => Some("it failed and went back by itself"),
        Some(rollout::Outcome::Aborted {
            left_at: rollout::LeftAt::LastKnownGood,
        }) => Some("it was aborted and went back"),
        Some(
            rollout::Outcome::Released { .. }
            | rollout::Outcome::Refused { .. }
            | rollout::Outcome::Superseded { .. }
            | rollout::Outcome::Aborted {
                left_at: rollout::LeftAt::Untouched,
            }
            | rollout::Outcome::Stuck(_),
        )
        | None => None,
    }
}

impl Usability {
    /// What is known to be gone, with why.
    pub fn gone(&self) -> impl Iterator<Item = (&Part, &str)> {
        self.parts.iter().filter_map(|part| match &part.found {
            Found::Gone { why } => Some((part, why.as_str())),
            Found::Usable | Found::Unknown { .. } => None,
        })
    }

    /// What could not be found out, with why.
    pub fn unknown(&self) -> impl Iterator<Item = (&Part, &str)> {
        self.parts.iter().filter_map(|part| match &part.found {
            Found::Unknown { why } => Some((part, why.as_str())),
            Found::Usable | Found::Gone { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests;
