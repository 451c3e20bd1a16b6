//! How far a fleet is, for people.

use std::collections::BTreeMap;

use super::book::Work;
use super::{End, Fleet, MemberEnd, State};
use crate::id::{MemberName, WaveName};
use crate::time::Timestamp;

/// How far a fleet is, in numbers. Costs nothing that grows with the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members of the fleet.
    pub of: u32,
    /// Members that have begun.
    pub begun: u32,
    /// Members under way, forward or back.
    pub in_the_air: u32,
    /// Members that serve the release.
    pub released: u32,
    /// Those of them that have baked.
    pub baked: u32,
    /// Members that were taken back.
    pub taken_back: u32,
    /// Members that ended otherwise.
    pub other: u32,
}

/// How far a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its turn has not come, or never will.
    NotBegun,
    /// On its way.
    UnderWay {
        /// Since its call was said last.
        since: Timestamp,
        /// Whether it was told to stop.
        stopping: bool,
    },
    /// It serves the release.
    Released {
        /// Whether it has baked.
        baked: bool,
    },
    /// It is being taken back.
    GoingBack {
        /// Since its call was said last.
        since: Timestamp,
    },
    /// It was taken back with its fleet.
    TakenBack,
    /// It came to another end.
    Ended(End),
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Fleet {
    /// The wave that is at hand; `None` before the start, and at the end.
    #[must_use]
    pub fn wave(&self) -> Option<&WaveName> {
        let work = self.work()?;
        self.plan.waves.get(work.wave).map(|wave| &wave.name)
    }

    /// Why it does not go on forward, if it does not.
    #[must_use]
    pub const fn halted(&self) -> Option<&crate::evidence::Reason> {
        match &self.state {
            State::Stopping(_, halt) | State::Unwinding(_, halt) => Some(&halt.why),
            State::Idle | State::Releasing(_) | State::Baking(..) | State::Ended(_) => None,
        }
    }

    /// How far it is, in numbers. All zero before the start; at the end the outcome says more.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = self.plan.size();
        let Some(work) = self.work() else {
            return Counts {
                of,
                ..Counts::default()
            };
        };
        Counts {
            of,
            begun: work.next,
            in_the_air: small(work.in_the_air()),
            released: small(work.released.len()),
            baked: small(work.baked.min(work.released.len())),
            taken_back: small(work.back.len()),
            other: small(work.ends.len()),
        }
    }

    /// How far each member is, in the order of the plan.
    #[must_use]
    pub fn standings(&self) -> Vec<(&MemberName, Standing)> {
        let mut known = BTreeMap::new();
        if let Some(work) = self.work() {
            self.note(work, &mut known);
        }
        let ends = match &self.state {
            State::Ended(outcome) => Some(outcome.members()),
            State::Idle
            | State::Releasing(_)
            | State::Baking(..)
            | State::Stopping(..)
            | State::Unwinding(..) => None,
        };
        let standing = |(number, (_, member))| {
            let ended = ends.and_then(|ends| ends.get(member)).map(|end| match end {
                MemberEnd::NotBegun => Standing::NotBegun,
                MemberEnd::Ended(End::Released) => Standing::Released { baked: true },
                MemberEnd::Ended(end) => Standing::Ended(end.clone()),
            });
            let found = ended.or_else(|| known.remove(&small(number)));
            (member, found.unwrap_or(Standing::NotBegun))
        };
        self.plan.members().enumerate().map(standing).collect()
    }

    fn note(&self, work: &Work, known: &mut BTreeMap<u32, Standing>) {
        let back = matches!(self.state, State::Unwinding(..));
        for (number, flight) in work.under_way() {
            let since = flight.said;
            let standing = if back {
                Standing::GoingBack { since }
            } else {
                let stopping = flight.stop.is_some();
                Standing::UnderWay { since, stopping }
            };
            known.insert(number, standing);
        }
        for (place, number) in work.released.iter().enumerate() {
            let baked = place < work.baked;
            known.insert(*number, Standing::Released { baked });
        }
        known.extend(work.back.iter().map(|number| (*number, Standing::TakenBack)));
        let ends = work.ends.iter();
        known.extend(ends.map(|(number, end)| (*number, Standing::Ended(end.clone()))));
    }
}
