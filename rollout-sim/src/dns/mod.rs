//! Zones: records, change batches, four authoritative servers that learn of a change one by one, and resolvers.

use rollout_core::dns::{Change, Propagation, Record, RecordData, RecordKey};
use rollout_core::id::{ChangeId, DomainName, ZoneId};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

pub(crate) mod answer;
pub(crate) mod health;
pub(crate) mod resolver;
pub(crate) mod set;
#[cfg(test)]
mod tests;

use answer::select;
use resolver::Traffic;
use set::{Edit, RecordSet, Wrong};

/// How many authoritative servers a zone has (Amazon Route 53 developer guide: a delegation set has four).
pub(crate) const SERVERS: usize = 4;

/// How long a zone's changes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Until each authoritative server has a change (Amazon Route 53 API, "ChangeResourceRecordSets": generally within 60 s).
    pub server: Span,
    /// For how long a zone accepts no other change (`PriorRequestNotComplete`).
    pub busy: Span,
    /// From the last server until `GetChange` says INSYNC.
    pub report: Span,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            server: Span::secs(2, 55),
            busy: Span::millis(200, 900),
            report: Span::millis(0, 3_000),
        }
    }
}

/// A change that was accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Accepted {
    id: ChangeId,
    at: Timestamp,
    /// When each server has it.
    servers: [Timestamp; SERVERS],
    in_sync_at: Timestamp,
    /// What the records of each name and type that it touches were before. The key has no set identifier.
    before: Vec<(RecordKey, Vec<RecordSet>)>,
}

/// A hosted zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) id: ZoneId,
    pub(crate) name: DomainName,
    pub(crate) spread: Spread,
    sets: Vec<RecordSet>,
    /// Those of the routed records that were unhealthy when last looked at.
    unhealthy: Vec<RecordKey>,
    changes: Vec<Accepted>,
    busy_until: Timestamp,
    pub(crate) traffic: Vec<Traffic>,
}

/// Why a change was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// `PriorRequestNotComplete`.
    Busy,
    /// `InvalidChangeBatch`: everything that is wrong.
    Batch(Vec<Wrong>),
}

impl Refused {
    /// Whether it is only because the zone is not as the caller thinks.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Batch(wrong) if wrong.iter().all(|w| w.stale))
    }

    /// Route 53's words.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Busy => {
                "The request was rejected because Route 53 was still processing a prior request.".to_owned()
            }
            Self::Batch(wrong) => {
                let all: Vec<&str> = wrong.iter().map(|w| w.message.as_str()).collect();
                format!("[{}]", all.join(", "))
            }
        }
    }
}

/// The key of all records of a name and type.
fn kind(key: &RecordKey) -> RecordKey {
    RecordKey {
        set_identifier: None,
        ..key.clone()
    }
}

impl Zone {
    pub(crate) fn new(id: ZoneId, name: DomainName, spread: Spread) -> Self {
        Self {
            id,
            name,
            spread,
            sets: Vec::new(),
            unhealthy: Vec::new(),
            changes: Vec::new(),
            busy_until: Timestamp::EPOCH,
            traffic: Vec::new(),
        }
    }

    /// A record as the control plane has it.
    pub(crate) fn record(&self, key: &RecordKey) -> Option<&Record> {
        let found = self.sets.iter().find(|s| s.key().same_as(key));
        found.map(|s| &s.record)
    }

    /// All records, in the order in which they were made.
    pub(crate) fn sets(&self) -> &[RecordSet] {
        &self.sets
    }

    /// The records of a name and type.
    pub(crate) fn sets_of(&self, key: &RecordKey) -> Vec<RecordSet> {
        self.sets.iter().filter(|s| s.is_of(key)).cloned().collect()
    }

    /// Puts a record, as if it had been there for ever.
    pub(crate) fn put(&mut self, set: impl Into<RecordSet>) {
        let set = set.into();
        self.sets.retain(|s| !s.key().same_as(set.key()));
        self.sets.push(set);
    }

    /// Whether a name lies in this zone.
    pub(crate) fn holds(&self, name: &DomainName) -> bool {
        set::holds(&self.name, name)
    }

    /// Applies a batch: all of it or nothing (Amazon Route 53 API, "ChangeResourceRecordSets").
    pub(crate) fn apply(&mut self, k: &mut Kernel, batch: &[Change]) -> Result<ChangeId, Refused> {
        let edits: Vec<Edit> = batch.iter().map(Edit::from).collect();
        self.edit(k, &edits)
    }

    /// The same with everything that Route 53 knows.
    pub(crate) fn edit(&mut self, k: &mut Kernel, edits: &[Edit]) -> Result<ChangeId, Refused> {
        if k.now < self.busy_until {
            return Err(Refused::Busy);
        }
        if edits.is_empty() {
            let message = "the change batch is empty".to_owned();
            return Err(Refused::Batch(vec![Wrong {
                stale: false,
                message,
            }]));
        }
        let sets = set::after(&self.name, &self.sets, edits).map_err(Refused::Batch)?;
        let mut before: Vec<(RecordKey, Vec<RecordSet>)> = Vec::new();
        for edit in edits {
            let key = kind(edit.set().key());
            if !before.iter().any(|(k, _)| k.same_as(&key)) {
                let held = self.sets_of(&key);
                before.push((key, held));
            }
        }
        for (key, _) in &before {
            self.catch_up(k.now, key);
        }
        let id = self.accept(k, before);
        self.sets = sets;
        Ok(id)
    }

    fn accept(&mut self, k: &mut Kernel, before: Vec<(RecordKey, Vec<RecordSet>)>) -> ChangeId {
        let mut id = k.dice.hex(1).to_ascii_uppercase();
        id.truncate(14);
        let id = ChangeId::new(format!("C{id}")).expect("printable");
        k.mark_text(id.as_str());
        // A server learns of changes in their order.
        let earlier = self.changes.last().map_or([k.now; SERVERS], |c| c.servers);
        let servers = earlier.map(|t| plus(k.now, k.draw(Stream::Dns, self.spread.server)).max(t));
        let last = servers.into_iter().max().unwrap_or(k.now);
        self.busy_until = plus(k.now, k.draw(Stream::Dns, self.spread.busy));
        let in_sync_at = plus(last, k.draw(Stream::Dns, self.spread.report));
        self.changes.push(Accepted {
            id: id.clone(),
            at: k.now,
            servers,
            in_sync_at,
            before,
        });
        id
    }

    pub(crate) fn propagation(&self, now: Timestamp, id: &ChangeId) -> Option<Propagation> {
        let change = self.changes.iter().find(|c| &c.id == id)?;
        Some(if now < change.in_sync_at {
            Propagation::Pending
        } else {
            Propagation::InSync
        })
    }

    /// When a change was accepted; `None` for one that this zone does not know.
    pub(crate) fn submitted_at(&self, id: &ChangeId) -> Option<Timestamp> {
        let found = self.changes.iter().find(|c| &c.id == id);
        found.map(|c| c.at)
    }

    /// The names and types that there are, or were before a change.
    fn keys(&self) -> Vec<&RecordKey> {
        let gone = self.changes.iter().flat_map(|c| &c.before).map(|(key, _)| key);
        self.sets.iter().map(RecordSet::key).chain(gone).collect()
    }

    /// The records of a name and type that one authoritative server has now.
    pub(crate) fn sets_at(&self, now: Timestamp, server: usize, key: &RecordKey) -> Vec<&RecordSet> {
        let kind = kind(key);
        let unseen = self.changes.iter().find_map(|change| {
            let touched = change.before.iter().find(|(k, _)| k.same_as(&kind))?;
            (now < change.servers[server]).then_some(&touched.1)
        });
        // The oldest change that has not reached the server: it still has what was before that one.
        let held = unseen.unwrap_or(&self.sets);
        held.iter().filter(|s| s.is_of(key)).collect()
    }

    /// What one authoritative server holds now under exactly this key.
    pub(crate) fn answer(&self, now: Timestamp, server: usize, key: &RecordKey) -> Option<&Record> {
        let sets = self.sets_at(now, server, key);
        let found = sets.into_iter().find(|s| s.key().same_as(key));
        found.map(|s| &s.record)
    }

    /// What one authoritative server answers now to a client with this ticket.
    pub(crate) fn resolve(
        &self,
        now: Timestamp,
        server: usize,
        key: &RecordKey,
        ticket: u64,
    ) -> Option<&Record> {
        let sets = self.sets_at(now, server, key);
        select(&sets, ticket, |s| !self.unhealthy.contains(s.key())).map(|s| &s.record)
    }

    /// Whether any of its records is one of several of its name and type.
    pub(crate) fn is_routed(&self) -> bool {
        self.sets.iter().any(RecordSet::is_routed)
    }

    /// Says which routed records are unhealthy from now on. Whoever asked before was told by what was so before.
    pub(crate) fn find_unhealthy(&mut self, now: Timestamp, unhealthy: Vec<RecordKey>) {
        if self.unhealthy == unhealthy {
            return;
        }
        let keys: Vec<RecordKey> = self.traffic.iter().map(|t| t.key.clone()).collect();
        for key in &keys {
            self.catch_up(now, key);
        }
        self.unhealthy = unhealthy;
    }

    /// The changes of the records of a name and type: for each, when each server has it and what was before.
    fn changes_of(&self, key: &RecordKey) -> Vec<([Timestamp; SERVERS], Vec<RecordSet>)> {
        let kind = kind(key);
        let changes = self.changes.iter().filter_map(|c| {
            let (_, before) = c.before.iter().find(|(k, _)| k.same_as(&kind))?;
            Some((c.servers, before.clone()))
        });
        changes.collect()
    }

    /// Requests a minute that reach what `data` points at, over the last whole minute; `None` when no clients are
    /// simulated for any record that ever pointed there.
    pub(crate) fn requests(&mut self, now: Timestamp, data: &RecordData) -> Option<u64> {
        let keys: Vec<RecordKey> = self.traffic.iter().map(|t| t.key.clone()).collect();
        for key in &keys {
            self.catch_up(now, key);
        }
        let names = names(data);
        let counts = self.traffic.iter().filter_map(|t| t.requests(now, &names));
        counts.reduce(|a, b| a + b)
    }

    /// Lets the clients of a record ask anew where their caches have run out.
    fn catch_up(&mut self, now: Timestamp, key: &RecordKey) {
        let kind = kind(key);
        if !self.traffic.iter().any(|t| t.key.same_as(&kind)) {
            return;
        }
        let changes = self.changes_of(&kind);
        let current = self.sets_of(&kind);
        for traffic in self.traffic.iter_mut().filter(|t| t.key.same_as(&kind)) {
            traffic.catch_up(now, &changes, &current, &self.unhealthy);
        }
    }
}

/// The names that a record leads to, in lower case and without the trailing dot.
pub(crate) fn names(data: &RecordData) -> Vec<String> {
    match data {
        RecordData::Alias { target, .. } => vec![target.normalised()],
        RecordData::Values { values, .. } => values
            .iter()
            .map(|v| v.trim_end_matches('.').to_ascii_lowercase())
            .collect(),
    }
}
