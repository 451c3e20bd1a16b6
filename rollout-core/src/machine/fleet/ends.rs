//! What the ends of the members come to.

use core::fmt;

use super::book::{Flight, Halt, Work};
use super::{BackEnd, End, Fleet, LeftAt, MemberEnd, Members, Outcome};
use crate::error::{ErrorKind, ErrorRecord};
use crate::evidence::{Cause, Evidence, Reason, Stuck, StuckReason};
use crate::id::MemberName;
use crate::machine::call::{cause_of, evidence_of};
use crate::machine::rollout::{self, Superseding};
use crate::machine::unwind;
use crate::time::{Timestamp, human};

/// Stuck members that a sentence names; the list of members has all.
const NAMED: usize = 8;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("released"),
            Self::RolledBack { why } => write!(f, "rolled back: {why}"),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::Superseded { by } => match by.as_ref() {
                Superseding::Deployment(foreign) => {
                    write!(f, "superseded by {} of {}", foreign.deployment, foreign.service)
                }
                Superseding::Record(reason) => write!(f, "superseded: {reason}"),
            },
            Self::Aborted {
                left_at: rollout::LeftAt::Untouched,
            } => f.write_str("stopped before it changed anything"),
            Self::Aborted {
                left_at: rollout::LeftAt::LastKnownGood,
            } => f.write_str("stopped, and back at what ran before"),
            Self::Stuck(stuck) => write!(f, "stuck ({}): {}", stuck.reason, stuck.text),
        }
    }
}

impl End {
    fn evidence(&self) -> &[Evidence] {
        match self {
            Self::RolledBack { why } | Self::Refused { why } => &why.evidence,
            Self::Superseded { by } => match by.as_ref() {
                Superseding::Deployment(foreign) => &foreign.evidence,
                Superseding::Record(reason) => &reason.evidence,
            },
            Self::Stuck(stuck) => &stuck.evidence,
            Self::Released | Self::Aborted { .. } => &[],
        }
    }
}

/// The end of a member whose run is a rollout.
impl From<rollout::Outcome> for End {
    fn from(outcome: rollout::Outcome) -> Self {
        match outcome {
            rollout::Outcome::Released { .. } => Self::Released,
            rollout::Outcome::RolledBack { why, .. } => Self::RolledBack { why: Box::new(why) },
            rollout::Outcome::Refused { why } => Self::Refused { why: Box::new(why) },
            rollout::Outcome::Superseded { by } => Self::Superseded { by: Box::new(by) },
            rollout::Outcome::Aborted { left_at } => Self::Aborted { left_at },
            rollout::Outcome::Stuck(stuck) => Self::Stuck(stuck),
        }
    }
}

/// The end of a member whose way back is an unwind.
impl From<unwind::Outcome> for BackEnd {
    fn from(outcome: unwind::Outcome) -> Self {
        match outcome {
            unwind::Outcome::AtLastKnownGood { .. } => Self::AtLastKnownGood,
            unwind::Outcome::Superseded(foreign) => Self::Superseded {
                by: Box::new(Superseding::Deployment(foreign)),
            },
            unwind::Outcome::Stuck(stuck) => Self::Stuck(stuck),
        }
    }
}

/// Why a fleet does not go on after a member's end.
pub(super) fn why(end: &End, member: &MemberName, wave: &str) -> Reason {
    Reason::new(
        Cause::MemberFailed,
        format!("member {member} of wave {wave}: {end}"),
    )
    .with(end.evidence().iter().cloned())
}

/// The end of a member whose run could not be begun.
pub(super) fn never_begun(flight: &Flight, now: Timestamp, member: &MemberName) -> End {
    let why = match &flight.last {
        Some(error) => Reason::new(cause_of(error), format!("it could not be begun: {error}"))
            .with([evidence_of(error, now, member.as_str())]),
        None => Reason::new(Cause::CallFailed, "it could not be begun"),
    };
    End::Refused { why: Box::new(why) }
}

impl Fleet {
    /// The end of a member whose run cannot be gone on with.
    pub(super) fn lost(&self, member: &MemberName, now: Timestamp, flight: &Flight) -> End {
        let text = "its run may have begun, and cannot be gone on with";
        self.stuck(member, now, flight, StuckReason::Ambiguous, text)
    }

    /// The end of a member that was told to stop, and of which nothing was heard.
    pub(super) fn silent(&self, member: &MemberName, now: Timestamp, flight: &Flight) -> End {
        let within = human(self.plan.policy.stop_within);
        let text = format!("its run has not come to an end within {within} after it was told to stop");
        self.stuck(member, now, flight, StuckReason::Ambiguous, &text)
    }

    /// The end of a member that could not be taken back.
    pub(super) fn not_back(&self, member: &MemberName, now: Timestamp, flight: &Flight) -> End {
        let text = if now >= flight.until {
            format!("it is not back within {}", human(self.plan.policy.back_within))
        } else {
            "it cannot be taken back".to_owned()
        };
        self.stuck(member, now, flight, StuckReason::RollbackFailed, &text)
    }

    fn stuck(
        &self,
        member: &MemberName,
        now: Timestamp,
        flight: &Flight,
        reason: StuckReason,
        text: &str,
    ) -> End {
        let denied = |error: &ErrorRecord| error.kind == ErrorKind::PermissionDenied;
        let last = flight.last.as_deref();
        End::Stuck(Box::new(Stuck {
            reason: if last.is_some_and(denied) {
                StuckReason::PermissionDenied
            } else {
                reason
            },
            text: last.map_or_else(|| text.to_owned(), |error| format!("{text}: {error}")),
            evidence: last
                .map(|error| evidence_of(error, now, member.as_str()))
                .into_iter()
                .collect(),
            next: vec![
                format!("rollout status {}.{member}", self.plan.run),
                format!("rollout fleet status {}", self.plan.run),
            ],
        }))
    }

    /// The end of a fleet that is released.
    pub(super) fn released(&self, work: &Work) -> Outcome {
        let members = self.members(work, None);
        Outcome::Released { members }
    }

    /// The end of a fleet that did not go on.
    pub(super) fn verdict(&self, work: &Work, halt: &Halt) -> Outcome {
        let members = self.members(work, Some(halt));
        let why = halt.why.clone();
        if let Some(stuck) = self.stuck_members(work, &why) {
            return Outcome::Stuck { stuck, members };
        }
        if !work.released.is_empty() {
            return self.between(work, halt, members);
        }
        let superseded = work.ends.values().find_map(|end| match end {
            End::Superseded { by } => Some(by.clone()),
            End::Released
            | End::RolledBack { .. }
            | End::Refused { .. }
            | End::Aborted { .. }
            | End::Stuck(_) => None,
        });
        if let Some(by) = superseded {
            return Outcome::Superseded { by, why, members };
        }
        let went_back = |end: &End| match end {
            End::RolledBack { .. } => true,
            End::Aborted { left_at } => *left_at == rollout::LeftAt::LastKnownGood,
            End::Released | End::Refused { .. } | End::Superseded { .. } | End::Stuck(_) => false,
        };
        let touched = !work.back.is_empty() || work.ends.values().any(went_back);
        match (halt.aborted, touched) {
            (true, true) => Outcome::Aborted {
                left_at: LeftAt::LastKnownGood,
                members,
            },
            (true, false) => Outcome::Aborted {
                left_at: LeftAt::Untouched,
                members,
            },
            (false, true) => Outcome::RolledBack { why, members },
            (false, false) => Outcome::Refused { why, members },
        }
    }

    /// Some members serve the release, because the plan leaves them there.
    fn between(&self, work: &Work, halt: &Halt, members: Members) -> Outcome {
        let (released, of) = (
            u32::try_from(work.released.len()).unwrap_or(u32::MAX),
            self.plan.size(),
        );
        if halt.aborted {
            let left_at = LeftAt::Between { released, of };
            return Outcome::Aborted { left_at, members };
        }
        let run = &self.plan.run;
        let stuck = Stuck {
            reason: StuckReason::PartlyReleased,
            text: format!(
                "{released} of {of} members serve {}, as the plan has it; {}",
                self.plan.release, halt.why
            ),
            evidence: halt.why.evidence.clone(),
            next: vec![
                format!("rollout fleet status {run}"),
                "rollout fleet run, with a release that fixes what failed".to_owned(),
            ],
        };
        let stuck = Box::new(stuck);
        Outcome::Stuck { stuck, members }
    }

    fn stuck_members(&self, work: &Work, why: &Reason) -> Option<Box<Stuck>> {
        let mut stuck = work.ends.iter().filter_map(|(number, end)| match end {
            End::Stuck(stuck) => Some((self.plan.member(*number)?, stuck.as_ref())),
            End::Released
            | End::RolledBack { .. }
            | End::Refused { .. }
            | End::Superseded { .. }
            | End::Aborted { .. } => None,
        });
        let (member, first) = stuck.next()?;
        let mut all = Stuck {
            text: format!("member {member}: {}", first.text),
            ..first.clone()
        };
        let mut more: usize = 0;
        for (member, other) in stuck {
            more = more.saturating_add(1);
            if more < NAMED {
                all.text.push_str(&format!("; member {member}: {}", other.text));
                all.evidence.extend(other.evidence.iter().cloned());
                let new: Vec<_> = other
                    .next
                    .iter()
                    .filter(|next| !all.next.contains(next))
                    .cloned()
                    .collect();
                all.next.extend(new);
            }
        }
        if more >= NAMED {
            let left = more.saturating_sub(NAMED.saturating_sub(1));
            all.text.push_str(&format!("; and {left} more members"));
        }
        all.text.push_str(&format!("; it began with this: {why}"));
        Some(Box::new(all))
    }

    /// What became of each member.
    fn members(&self, work: &Work, halt: Option<&Halt>) -> Members {
        let back = || match halt {
            Some(halt) if halt.aborted => End::Aborted {
                left_at: rollout::LeftAt::LastKnownGood,
            },
            Some(_) | None => End::RolledBack {
                why: Box::new(Reason::new(Cause::MemberFailed, "taken back with its fleet")),
            },
        };
        let mut members: Members = self
            .plan
            .members()
            .map(|(_, member)| (member.clone(), MemberEnd::NotBegun))
            .collect();
        let released = work.released.iter().map(|number| (*number, End::Released));
        let back = work.back.iter().map(|number| (*number, back()));
        let other = work.ends.iter().map(|(number, end)| (*number, end.clone()));
        for (number, end) in released.chain(back).chain(other) {
            if let Some(member) = self.plan.member(number) {
                members.insert(member.clone(), MemberEnd::Ended(end));
            }
        }
        members
    }
}
