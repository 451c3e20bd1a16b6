//! Where every member is. Members are known by their number in the plan's order, so that ten thousand of them are small.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::End;
use crate::error::ErrorRecord;
use crate::evidence::Reason;
use crate::time::{Deadline, Timestamp, Wait};

/// What has become of the fleet so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The present wave.
    pub(super) wave: usize,
    /// The member that begins next.
    pub(super) next: u32,
    /// Members that serve the release, in the order in which they ended; those that are taken back are taken from the end.
    pub(super) released: Vec<u32>,
    /// How many of them have baked: the first ones.
    pub(super) baked: usize,
    /// When the ones after them have, where the present wave's members bake each by itself.
    pub(super) baking: VecDeque<Timestamp>,
    /// Members under way, forward or back.
    flights: BTreeMap<u32, Flight>,
    /// When each of them wants something.
    due: BTreeSet<(Timestamp, u32)>,
    /// Members that were taken back.
    pub(super) back: Vec<u32>,
    /// Members that ended otherwise.
    pub(super) ends: BTreeMap<u32, End>,
}

/// A member under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// Which saying of its call it is.
    pub(super) attempt: u32,
    /// When it was said.
    pub(super) said: Timestamp,
    /// When it must have ended.
    pub(super) until: Timestamp,
    /// How often it has failed in a row.
    pub(super) errors: u32,
    /// The latest failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Box<ErrorRecord>>,
    /// When it is said again; `None` while an answer is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<Timestamp>,
    /// Whether the run may have begun: it is resumed then.
    pub(super) may_run: bool,
    /// Whether it was told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<Stop>,
}

/// The word to stop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stop {
    /// How often it has failed.
    pub(super) errors: u32,
    /// When it is said again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) again: Option<Timestamp>,
}

/// Why the fleet does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Halt {
    pub(super) why: Reason,
    /// By request, and not because something failed.
    pub(super) aborted: bool,
}

impl Flight {
    /// One whose call is said now for the first time.
    pub(super) const fn new(now: Timestamp, until: Timestamp) -> Self {
        Self {
            attempt: 1,
            said: now,
            until,
            errors: 0,
            last: None,
            again: None,
            may_run: false,
            stop: None,
        }
    }

    /// Counts a failure of its call. One that comes long after the call was said is not in a row with those before.
    pub(super) fn failed(&mut self, now: Timestamp, error: ErrorRecord, row: Duration) {
        let in_a_row = now.since(self.said) <= row;
        self.errors = if in_a_row {
            self.errors.saturating_add(1)
        } else {
            1
        };
        self.last = Some(Box::new(error));
    }

    /// Whether it waits to begin, and is known not to have: it is then easily kept from it.
    pub(super) const fn is_held_back(&self) -> bool {
        self.again.is_some() && !self.may_run
    }

    fn due(&self) -> Timestamp {
        let stop = self.stop.as_ref().and_then(|stop| stop.again);
        [self.again, stop]
            .into_iter()
            .flatten()
            .fold(self.until, Timestamp::min)
    }
}

impl Work {
    /// Members under way.
    pub(super) fn in_the_air(&self) -> usize {
        self.flights.len()
    }

    /// Members in the air, or changed and not yet baked.
    pub(super) fn unbaked(&self) -> usize {
        let changed = self.released.len().saturating_sub(self.baked);
        self.flights.len().saturating_add(changed)
    }

    /// Those under way, by number.
    pub(super) fn flights(&self) -> impl Iterator<Item = u32> + '_ {
        self.flights.keys().copied()
    }

    /// The same with what is known of each.
    pub(super) fn under_way(&self) -> impl Iterator<Item = (u32, &Flight)> + '_ {
        self.flights.iter().map(|(member, flight)| (*member, flight))
    }

    pub(super) fn put(&mut self, member: u32, flight: Flight) {
        self.due.insert((flight.due(), member));
        self.flights.insert(member, flight);
    }

    /// Takes a member out of those under way; `None` when it is not.
    pub(super) fn take(&mut self, member: u32) -> Option<Flight> {
        let flight = self.flights.remove(&member)?;
        self.due.remove(&(flight.due(), member));
        Some(flight)
    }

    /// Takes those out that want something by now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<(u32, Flight)> {
        let later = self.due.split_off(&(now.after(Duration::from_millis(1)), 0));
        core::mem::replace(&mut self.due, later)
            .into_iter()
            .filter_map(|(_, member)| Some((member, self.flights.remove(&member)?)))
            .collect()
    }

    /// When the first member under way wants something.
    pub(super) fn due(&self) -> Option<Deadline> {
        let (at, member) = self.due.first()?;
        let over = self.flights.get(member).is_some_and(|flight| flight.until == *at);
        Some(Deadline::new(*at, if over { Wait::GiveUp } else { Wait::Retry }))
    }

    /// When the next member has baked.
    pub(super) fn next_baked(&self) -> Option<Deadline> {
        self.baking.front().map(|at| Deadline::new(*at, Wait::Bake))
    }

    /// Counts those that have baked by now.
    pub(super) fn bake(&mut self, now: Timestamp) {
        while self.baking.front().is_some_and(|until| *until <= now) {
            self.baking.pop_front();
            self.baked = self.baked.saturating_add(1);
        }
    }

    /// Counts all as baked.
    pub(super) fn all_baked(&mut self) {
        self.baking.clear();
        self.baked = self.released.len();
    }
}
