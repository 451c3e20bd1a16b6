//! Clients behind caching resolvers: who still asks for the old target, and how often.

use core::time::Duration;

use rollout_core::dns::{Record, RecordData, RecordKey};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::SERVERS;
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

/// The changes of a record: when each server has it, and what was before.
type Changes = [([Timestamp; SERVERS], Option<Record>)];

impl Traffic {
    /// Clients that have known a record for long: each resolver's cache is somewhere within its TTL.
    pub(crate) fn new(
        k: &mut Kernel,
        key: RecordKey,
        requests_per_minute: u64,
        resolvers: usize,
        now: Option<&Record>,
    ) -> Self {
        let cached = now.map(|r| r.data.clone());
        let ttl = cached.as_ref().map_or(Duration::from_secs(60), RecordData::ttl);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let resolvers = (0..resolvers).map(|_| {
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
                cached: cached.as_ref().map(|_| 0),
                expires: plus(k.now, k.draw(Stream::Dns, Span::millis(1, ttl * stretch))),
                since: Timestamp::EPOCH,
                before: None,
            }
        });
        Self {
            resolvers: resolvers.collect(),
            key,
            requests_per_minute,
            known: cached.into_iter().collect(),
        }
    }

    /// Lets every resolver ask anew whenever its cache has run out. Between two changes its answers are all the same, so
    /// only the look-ups around a change are made one by one.
    pub(crate) fn catch_up(&mut self, now: Timestamp, changes: &Changes, current: Option<&Record>) {
        let told = changes.iter().map(|(_, before)| before.as_ref());
        for data in told.chain([current]).flatten().map(|r| &r.data) {
            if !self.known.contains(data) {
                self.known.push(data.clone());
            }
        }
        for resolver in &mut self.resolvers {
            while resolver.expires <= now {
                resolver.refresh(now, changes, current, &self.known);
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

impl Resolver {
    fn refresh(&mut self, now: Timestamp, changes: &Changes, current: Option<&Record>, known: &[RecordData]) {
        let at = self.expires;
        let unseen = changes.iter().find(|(servers, _)| at < servers[self.server]);
        let told = unseen
            .map_or(current, |(_, before)| before.as_ref())
            .map(|r| &r.data);
        let ttl = told.map_or(60_000, |data| {
            u64::try_from(data.ttl().as_millis()).unwrap_or(u64::MAX)
        });
        let held = ttl.saturating_mul(self.stretch).max(1);
        let turn = unseen.map_or(now, |(servers, _)| servers[self.server].min(now));
        // Every look-up until the next change gives the same: skip to the last of them.
        let skipped = turn.as_millis().saturating_sub(at.as_millis()).saturating_sub(1) / held;
        self.expires = plus(at, held.saturating_mul(skipped + 1));
        let answer = told.and_then(|data| known.iter().position(|k| k == data));
        let answer = answer.and_then(|place| Answer::try_from(place).ok());
        let moved = match (self.cached, told) {
            (Some(old), Some(new)) => !known[usize::from(old)].same_target(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        if moved {
            self.before = self.cached.take();
            self.since = at;
        }
        self.cached = answer;
    }
}
