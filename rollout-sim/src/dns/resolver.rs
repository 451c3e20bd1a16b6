//! Clients behind caching resolvers: who still asks for the old target, and how often.

use core::time::Duration;

use rollout_core::dns::{RecordData, RecordKey};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::SERVERS;
use super::answer::select;
use super::set::RecordSet;
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

/// Resolvers that stretch TTLs, of 10,000 (Bhowmick et al., "TTL Violation of DNS Resolvers in the Wild", PAM 2023).
pub const STRETCHING_PER_10_000: u32 = 874;

/// One resolver: what it answers, until when, and what it answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Resolver {
    /// The TTL is held so many times as long; 1 is right.
    stretch: u64,
    /// Which of the zone's servers it asks.
    server: usize,
    cached: Option<Answer>,
    expires: Timestamp,
    /// Since when it answers this.
    since: Timestamp,
    /// What it answered before that.
    before: Option<Answer>,
}

/// An answer: its place among those that the record has given. Worlds are cloned often, resolvers are many.
type Answer = u16;

/// The clients of one record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) key: RecordKey,
    requests_per_minute: u64,
    resolvers: Vec<Resolver>,
    /// Every answer that the record has given, oldest first.
    known: Vec<RecordData>,
}

/// The changes of the records of a name and type: when each server has it, and what was before.
type Changes = [([Timestamp; SERVERS], Vec<RecordSet>)];

/// What a zone has told so far, and tells now.
struct Told<'a> {
    changes: &'a Changes,
    current: &'a [RecordSet],
    unhealthy: &'a [RecordKey],
    known: &'a [RecordData],
}

impl Told<'_> {
    fn to<'s>(&self, sets: &'s [RecordSet], ticket: u64) -> Option<&'s RecordData> {
        // Nearly always there is one, and look-ups are many.
        if let [only] = sets {
            return Some(&only.record.data);
        }
        let sets: Vec<&RecordSet> = sets.iter().collect();
        let told = select(&sets, ticket, |s| !self.unhealthy.contains(s.key()));
        told.map(|s| &s.record.data)
    }
}

/// The ticket of the resolver at this place: evenly spread, whatever their number (Fibonacci hashing).
const fn ticket(place: usize) -> u64 {
    (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

impl Traffic {
    /// Clients that have known a record for long: each resolver's cache is somewhere within its TTL.
    pub(crate) fn new(
        k: &mut Kernel,
        key: RecordKey,
        requests_per_minute: u64,
        resolvers: usize,
        now: &[RecordSet],
    ) -> Self {
        let mut known: Vec<RecordData> = Vec::new();
        for set in now {
            if !known.contains(&set.record.data) {
                known.push(set.record.data.clone());
            }
        }
        let told = Told {
            changes: &[],
            current: now,
            unhealthy: &[],
            known: &known,
        };
        let resolvers = (0..resolvers).map(|place| {
            let cached = told.to(now, ticket(place));
            let ttl = cached.map_or(Duration::from_secs(60), RecordData::ttl);
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
            let stretches = k.dice.below(Stream::Dns, 10_000) < u64::from(STRETCHING_PER_10_000);
            let stretch = if stretches {
                k.draw(Stream::Dns, Span::millis(2, 10))
            } else {
                1
            };
            let server = k.dice.below(Stream::Dns, SERVERS as u64);
            Resolver {
                stretch,
                server: usize::try_from(server).unwrap_or(0),
                cached: cached.and_then(|data| place_of(&known, data)),
                expires: plus(k.now, k.draw(Stream::Dns, Span::millis(1, ttl * stretch))),
                since: Timestamp::EPOCH,
                before: None,
            }
        });
        let resolvers = resolvers.collect();
        Self {
            resolvers,
            key,
            requests_per_minute,
            known,
        }
    }

    /// Lets every resolver ask anew whenever its cache has run out. Between two changes its answers are all the same, so
    /// only the look-ups around a change are made one by one.
    pub(crate) fn catch_up(
        &mut self,
        now: Timestamp,
        changes: &Changes,
        current: &[RecordSet],
        unhealthy: &[RecordKey],
    ) {
        let all = changes.iter().flat_map(|(_, before)| before).chain(current);
        for data in all.map(|set| &set.record.data) {
            if !self.known.contains(data) {
                self.known.push(data.clone());
            }
        }
        let told = Told {
            changes,
            current,
            unhealthy,
            known: &self.known,
        };
        for (place, resolver) in self.resolvers.iter_mut().enumerate() {
            while resolver.expires <= now {
                resolver.refresh(now, &told, ticket(place));
            }
        }
    }

    /// Requests over the last whole minute that reached one of these names; `None` when the record never led there.
    pub(crate) fn requests(&self, now: Timestamp, names: &[String]) -> Option<u64> {
        const MINUTE: u64 = 60_000;
        let leads = |data: &RecordData| super::names(data).iter().any(|name| names.contains(name));
        let leads: Vec<bool> = self.known.iter().map(leads).collect();
        if !leads.contains(&true) {
            return None;
        }
        let end = now.as_millis() / MINUTE * MINUTE;
        let start = end.saturating_sub(MINUTE);
        let points = |answer: Option<Answer>| answer.is_some_and(|a| leads[usize::from(a)]);
        let sum: u64 = self
            .resolvers
            .iter()
            .map(|r| {
                let turned = r.since.as_millis().clamp(start, end);
                u64::from(points(r.before)) * (turned - start) + u64::from(points(r.cached)) * (end - turned)
            })
            .sum();
        let all = (self.resolvers.len() as u64).max(1) * MINUTE;
        let wide = u128::from(sum) * u128::from(self.requests_per_minute);
        // A single request is not rounded away: drained means none.
        Some(u64::try_from(wide.div_ceil(u128::from(all))).unwrap_or(u64::MAX))
    }

    /// How many resolvers there are, and how many answer with `data`.
    #[cfg(test)]
    pub(crate) fn answering(&self, data: &RecordData) -> (usize, usize) {
        let with = |r: &&Resolver| {
            r.cached
                .is_some_and(|c| self.known[usize::from(c)].same_target(data))
        };
        (self.resolvers.len(), self.resolvers.iter().filter(with).count())
    }

    /// How many resolvers hold answers longer than they should.
    #[cfg(test)]
    pub(crate) fn stretching(&self) -> usize {
        self.resolvers.iter().filter(|r| r.stretch > 1).count()
    }
}

fn place_of(known: &[RecordData], data: &RecordData) -> Option<Answer> {
    let place = known.iter().position(|k| k == data);
    place.and_then(|place| Answer::try_from(place).ok())
}

impl Resolver {
    fn refresh(&mut self, now: Timestamp, zone: &Told<'_>, ticket: u64) {
        let at = self.expires;
        let unseen = zone.changes.iter().find(|(servers, _)| at < servers[self.server]);
        let told = zone.to(unseen.map_or(zone.current, |(_, before)| before), ticket);
        let ttl = told.map_or(60_000, |data| {
            u64::try_from(data.ttl().as_millis()).unwrap_or(u64::MAX)
        });
        let held = ttl.saturating_mul(self.stretch).max(1);
        let turn = unseen.map_or(now, |(servers, _)| servers[self.server].min(now));
        // Every look-up until the next change gives the same: skip to the last of them.
        let skipped = turn.as_millis().saturating_sub(at.as_millis()).saturating_sub(1) / held;
        self.expires = plus(at, held.saturating_mul(skipped + 1));
        let answer = told.and_then(|data| place_of(zone.known, data));
        let moved = match (self.cached, told) {
            (Some(old), Some(new)) => !zone.known[usize::from(old)].same_target(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        if moved {
            self.before = self.cached.take();
            self.since = at;
        }
        self.cached = answer;
    }
}
