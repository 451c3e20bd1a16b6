//! Zones: records, change batches, four authoritative servers that learn of a change one by one, and resolvers.

use rollout_core::dns::{Change, Propagation, Record, RecordData, RecordKey};
use rollout_core::id::{ChangeId, DomainName, ZoneId};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

pub(crate) mod resolver;
#[cfg(test)]
mod tests;

use resolver::Traffic;

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
    /// When each server has it.
    servers: [Timestamp; SERVERS],
    in_sync_at: Timestamp,
    /// What the records that it touches were before.
    before: Vec<(RecordKey, Option<Record>)>,
}

/// A hosted zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) id: ZoneId,
    pub(crate) name: DomainName,
    pub(crate) spread: Spread,
    records: Vec<Record>,
    changes: Vec<Accepted>,
    busy_until: Timestamp,
    pub(crate) traffic: Vec<Traffic>,
}

/// Why a change was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// `PriorRequestNotComplete`.
    Busy,
    /// `InvalidChangeBatch`: the values are not the current ones, or the record exists.
    Stale(String),
    /// `InvalidChangeBatch`: the request itself is wrong.
    Invalid(String),
}

impl Zone {
    pub(crate) fn new(id: ZoneId, name: DomainName, spread: Spread) -> Self {
        Self {
            id,
            name,
            spread,
            records: Vec::new(),
            changes: Vec::new(),
            busy_until: Timestamp::EPOCH,
            traffic: Vec::new(),
        }
    }

    /// A record as the control plane has it.
    pub(crate) fn record(&self, key: &RecordKey) -> Option<&Record> {
        self.records.iter().find(|r| r.key.same_as(key))
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Puts a record, as if it had been there for ever.
    pub(crate) fn put(&mut self, record: Record) {
        self.records.retain(|r| !r.key.same_as(&record.key));
        self.records.push(record);
    }

    /// Whether a name lies in this zone.
    pub(crate) fn holds(&self, name: &DomainName) -> bool {
        let (name, zone) = (name.normalised(), self.name.normalised());
        name == zone || name.strip_suffix(&zone).is_some_and(|front| front.ends_with('.'))
    }

    /// Applies a batch: all of it or nothing (Amazon Route 53 API, "ChangeResourceRecordSets").
    pub(crate) fn apply(&mut self, k: &mut Kernel, batch: &[Change]) -> Result<ChangeId, Refused> {
        if k.now < self.busy_until {
            return Err(Refused::Busy);
        }
        let records = self.changed(batch)?;
        let touched = batch.iter().map(|c| match c {
            Change::Delete(record) | Change::Create(record) => &record.key,
        });
        let mut before: Vec<(RecordKey, Option<Record>)> = Vec::new();
        for key in touched {
            if !before.iter().any(|(k, _)| k.same_as(key)) {
                before.push((key.clone(), self.record(key).cloned()));
            }
        }
        for (key, _) in &before {
            self.catch_up(k.now, key);
        }
        let id = self.accept(k, before);
        self.records = records;
        Ok(id)
    }

    /// The records as they would be after a batch.
    fn changed(&self, changes: &[Change]) -> Result<Vec<Record>, Refused> {
        if changes.is_empty() {
            return Err(Refused::Invalid("the change batch is empty".to_owned()));
        }
        let mut records = self.records.clone();
        for change in changes {
            let (Change::Delete(record) | Change::Create(record)) = change;
            let key = &record.key;
            if !self.holds(&key.name) {
                return Err(Refused::Invalid(format!(
                    "RRSet with DNS name {} is not permitted in zone {}",
                    key.name, self.name
                )));
            }
            let tried = |what: &str, why: &str| {
                let text = format!(
                    "Tried to {what} resource record set [name='{}', type='{}'] but {why}",
                    key.name, key.record_type
                );
                Err(Refused::Stale(text))
            };
            let held = records.iter().position(|r| r.key.same_as(key));
            match (change, held) {
                (Change::Delete(_), None) => return tried("delete", "it was not found"),
                (Change::Delete(_), Some(at)) if !same_values(&records[at], record) => {
                    return tried("delete", "the values provided do not match the current values");
                }
                (Change::Delete(_), Some(at)) => {
                    records.remove(at);
                }
                (Change::Create(_), Some(_)) => return tried("create", "it already exists"),
                (Change::Create(_), None) => {
                    if let Some(why) = clash(&records, record) {
                        return Err(Refused::Invalid(why));
                    }
                    records.push(record.clone());
                }
            }
        }
        Ok(records)
    }

    fn accept(&mut self, k: &mut Kernel, before: Vec<(RecordKey, Option<Record>)>) -> ChangeId {
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

    /// What one authoritative server answers now.
    pub(crate) fn answer(&self, now: Timestamp, server: usize, key: &RecordKey) -> Option<&Record> {
        let unseen = self.changes.iter().find_map(|change| {
            let touched = change.before.iter().find(|(k, _)| k.same_as(key))?;
            (now < change.servers[server]).then_some(&touched.1)
        });
        match unseen {
            // The oldest change that has not reached the server: it still has what was before that one.
            Some(before) => before.as_ref(),
            None => self.record(key),
        }
    }

    /// The changes of one record: for each, when each server has it and what was before.
    fn changes_of(&self, key: &RecordKey) -> Vec<([Timestamp; SERVERS], Option<Record>)> {
        let changes = self.changes.iter().filter_map(|c| {
            let (_, before) = c.before.iter().find(|(k, _)| k.same_as(key))?;
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
        if !self.traffic.iter().any(|t| t.key.same_as(key)) {
            return;
        }
        let changes = self.changes_of(key);
        let current = self.records.iter().find(|r| r.key.same_as(key));
        for traffic in self.traffic.iter_mut().filter(|t| t.key.same_as(key)) {
            traffic.catch_up(now, &changes, current);
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

/// Whether a DELETE names exactly what is there: name and case aside, every value must be the same.
fn same_values(held: &Record, given: &Record) -> bool {
    let data = match (&held.data, &given.data) {
        (RecordData::Values { ttl: a, values: x }, RecordData::Values { ttl: b, values: y }) => {
            let (mut x, mut y) = (x.clone(), y.clone());
            x.sort();
            y.sort();
            a == b && x == y
        }
        (
            RecordData::Alias {
                target,
                zone,
                evaluate_target_health,
            },
            RecordData::Alias {
                target: t,
                zone: z,
                evaluate_target_health: e,
            },
        ) => target.same_as(t) && zone == z && evaluate_target_health == e,
        (RecordData::Alias { .. }, RecordData::Values { .. })
        | (RecordData::Values { .. }, RecordData::Alias { .. }) => false,
    };
    data && held.weight == given.weight
}

/// Why a record cannot be beside those that are there: a CNAME stands alone (RFC 1034, section 3.6.2).
fn clash(records: &[Record], new: &Record) -> Option<String> {
    use rollout_core::dns::RecordType::Cname;
    let odd = records.iter().find(|r| {
        r.key.name.same_as(&new.key.name)
            && r.key.record_type != new.key.record_type
            && (r.key.record_type == Cname || new.key.record_type == Cname)
    })?;
    Some(format!(
        "RRSet of type {} with DNS name {} is not permitted as it conflicts with other records of type {}",
        new.key.record_type, new.key.name, odd.key.record_type
    ))
}
