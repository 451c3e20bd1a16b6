//! DNS records and the one form in which they are changed: a compare-and-set batch.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::id::{DomainName, Generation, InvalidId, RunId, ZoneId};
use crate::time::Timestamp;

/// The TTL of an alias record that points at a load balancer. It cannot be set (Amazon Route 53 developer guide,
/// "Choosing between alias and non-alias records").
pub const ALIAS_TTL: Duration = Duration::from_secs(60);

/// The TTL of the marker record, in seconds.
pub const MARKER_TTL: u32 = 60;

/// The type of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Another name.
    Cname,
    /// Text.
    Txt,
    /// Another type, by its name.
    Other(String),
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Other(name) => name,
        })
    }
}

/// What identifies a record within a zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The name.
    pub name: DomainName,
    /// The type.
    pub record_type: RecordType,
    /// What tells records of one name and type apart under weighted and other routing policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
}

impl RecordKey {
    /// Whether both identify the same record: case and trailing dot of the name do not count.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.name.same_as(&other.name)
            && self.record_type == other.record_type
            && self.set_identifier == other.set_identifier
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)?;
        match &self.set_identifier {
            Some(id) => write!(f, " ({id})"),
            None => Ok(()),
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordData {
    /// Route 53's pointer to an AWS resource.
    Alias {
        /// The resource's DNS name.
        target: DomainName,
        /// The resource's own hosted zone.
        zone: ZoneId,
        /// Whether the answer follows the resource's health.
        evaluate_target_health: bool,
    },
    /// Values with a TTL.
    Values {
        /// Seconds.
        ttl: u32,
        /// The values, in wire form (TXT with its quotation marks).
        values: Vec<String>,
    },
}

impl RecordData {
    /// How long a well-behaved cache may hold this.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        match self {
            Self::Alias { .. } => ALIAS_TTL,
            Self::Values { ttl, .. } => Duration::from_secs(u64::from(*ttl)),
        }
    }

    /// The same with another TTL; an alias stays as it is.
    #[must_use]
    pub fn with_ttl(&self, seconds: u32) -> Self {
        match self {
            Self::Alias { .. } => self.clone(),
            Self::Values { values, .. } => Self::Values {
                ttl: seconds,
                values: values.clone(),
            },
        }
    }

    /// Whether both send clients to the same place, whatever their TTL.
    #[must_use]
    pub fn same_target(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Alias {
                    target: a, zone: za, ..
                },
                Self::Alias {
                    target: b, zone: zb, ..
                },
            ) => a.same_as(b) && za == zb,
            (Self::Values { values: a, .. }, Self::Values { values: b, .. }) => {
                let (mut a, mut b) = (a.clone(), b.clone());
                a.sort();
                b.sort();
                a == b
            }
            (Self::Alias { .. }, Self::Values { .. }) | (Self::Values { .. }, Self::Alias { .. }) => false,
        }
    }
}

impl fmt::Display for RecordData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { target, .. } => write!(f, "alias to {target}"),
            Self::Values { ttl, values } => write!(f, "{} (TTL {ttl} s)", values.join(", ")),
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// What identifies it.
    pub key: RecordKey,
    /// Its weight, under a weighted policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    /// What it says.
    pub data: RecordData,
}

/// The marker: a TXT record beside the record it guards, replaced in the same batch. Because a batch is all or nothing
/// and a DELETE must name the exact current value, it makes the batch a compare-and-set that carries a fencing token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The writer's generation.
    pub generation: Generation,
    /// The writer's run.
    pub run: RunId,
}

impl Marker {
    /// Where the marker of a record lives: `_rollout.` before its name. There is one marker a name, so that writers of any
    /// record of that name fence each other.
    ///
    /// # Errors
    /// [`InvalidId`] when the name would be too long for DNS.
    pub fn key(guarded: &RecordKey) -> Result<RecordKey, InvalidId> {
        let name = guarded.name.as_str().replace('*', "_any");
        Ok(RecordKey {
            name: DomainName::new(format!("_rollout.{name}"))?,
            record_type: RecordType::Txt,
            set_identifier: None,
        })
    }

    /// The marker as a record.
    ///
    /// # Errors
    /// [`InvalidId`] when the name would be too long for DNS.
    pub fn record(&self, guarded: &RecordKey) -> Result<Record, InvalidId> {
        Ok(Record {
            key: Self::key(guarded)?,
            weight: None,
            data: RecordData::Values {
                ttl: MARKER_TTL,
                values: vec![format!("\"generation={} run={}\"", self.generation, self.run)],
            },
        })
    }

    /// Reads a marker out of a record's values. `None` when they are not a marker of ours.
    #[must_use]
    pub fn parse(data: &RecordData) -> Option<Self> {
        let RecordData::Values { values, .. } = data else {
            return None;
        };
        let [value] = values.as_slice() else { return None };
        let (generation, run) = value
            .trim_matches('"')
            .strip_prefix("generation=")?
            .split_once(" run=")?;
        Some(Self {
            generation: Generation(generation.parse().ok()?),
            run: RunId::new(run).ok()?,
        })
    }
}

/// A record and its marker as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was asked.
    pub at: Timestamp,
    /// The zone.
    pub zone: ZoneId,
    /// The record, if there is one.
    pub record: Option<Record>,
    /// The marker's record exactly as it is, if there is one, whoever wrote it.
    pub marker: Option<Record>,
}

impl Snapshot {
    /// The generation of the last writer; zero when nobody has written yet.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.marker
            .as_ref()
            .and_then(|m| Marker::parse(&m.data))
            .map_or(Generation(0), |m| m.generation)
    }
}

/// One change of a batch. There is no UPSERT: it has no guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Remove exactly this record.
    Delete(Record),
    /// Make this record, which must not exist.
    Create(Record),
}

/// Why a batch is refused before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefused {
    /// The batch would remove a name's last record of a type.
    #[error("the batch would leave {0} without a record")]
    Empties(Box<RecordKey>),
    /// The new record is for another name or type than the old one.
    #[error("the new record is for {new}, the old one for {old}")]
    OtherKey {
        /// The old record's key.
        old: Box<RecordKey>,
        /// The new record's key.
        new: Box<RecordKey>,
    },
    /// The new record has no value.
    #[error("the new record for {0} has no value")]
    NoValue(Box<RecordKey>),
    /// The writer's generation is not above the last one.
    #[error("generation {ours} is not above the record's {theirs}")]
    Stale {
        /// The writer's.
        ours: Generation,
        /// The record's.
        theirs: Generation,
    },
    /// The batch changes more than one record and its marker.
    #[error("the batch has {0} changes; one record and its marker need 4 at most")]
    TooLarge(usize),
    /// The marker's name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidId),
}

/// A compare-and-set: the only way to change a record. The zone applies all of it or nothing, and refuses it when any
/// deleted value is not exactly the current one (Amazon Route 53 API, "ChangeResourceRecordSets").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeBatch {
    zone: ZoneId,
    changes: Vec<Change>,
}

impl ChangeBatch {
    /// Replaces what `seen` shows by `new`, and the marker with it.
    ///
    /// # Errors
    /// [`BatchRefused`] when the batch would empty a name, change another name, or carries a stale generation.
    pub fn compare_and_set(seen: &Snapshot, new: Record, marker: &Marker) -> Result<Self, BatchRefused> {
        if let Some(old) = &seen.record
            && !old.key.same_as(&new.key)
        {
            return Err(BatchRefused::OtherKey {
                old: Box::new(old.key.clone()),
                new: Box::new(new.key),
            });
        }
        if matches!(&new.data, RecordData::Values { values, .. } if values.is_empty()) {
            return Err(BatchRefused::NoValue(Box::new(new.key)));
        }
        if marker.generation <= seen.generation() {
            return Err(BatchRefused::Stale {
                ours: marker.generation,
                theirs: seen.generation(),
            });
        }
        let mark = marker.record(&new.key)?;
        let mut changes: Vec<Change> = Vec::with_capacity(4);
        changes.extend(seen.record.iter().cloned().map(Change::Delete));
        changes.push(Change::Create(new));
        changes.extend(seen.marker.iter().cloned().map(Change::Delete));
        changes.push(Change::Create(mark));
        let batch = Self {
            zone: seen.zone.clone(),
            changes,
        };
        batch.check()?;
        Ok(batch)
    }

    /// Checks the batch itself (invariant I-10): whatever it deletes, it creates anew.
    ///
    /// # Errors
    /// [`BatchRefused::Empties`] names the record that would be gone.
    pub fn check(&self) -> Result<(), BatchRefused> {
        // One record and its marker, each deleted and created: a batch changes nothing else (invariant I-11).
        if self.changes.len() > 4 {
            return Err(BatchRefused::TooLarge(self.changes.len()));
        }
        for change in &self.changes {
            if let Change::Delete(old) = change
                && !self
                    .changes
                    .iter()
                    .any(|c| matches!(c, Change::Create(new) if new.key.same_as(&old.key)))
            {
                return Err(BatchRefused::Empties(Box::new(old.key.clone())));
            }
        }
        Ok(())
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &ZoneId {
        &self.zone
    }

    /// The changes, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The guarded record that the batch creates (not the marker).
    #[must_use]
    pub fn creates(&self) -> Option<&Record> {
        self.changes.iter().find_map(|c| match c {
            Change::Create(record) => Some(record),
            Change::Delete(_) => None,
        })
    }
}

/// How far a change has spread (Amazon Route 53 API, "GetChange").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Not on every authoritative server yet.
    Pending,
    /// On every authoritative server.
    InSync,
}

/// Whether a record's target can take traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCheck {
    /// When it was asked.
    pub at: Timestamp,
    /// `Some(true)` when at least one healthy target stands behind it, `None` when nobody can tell.
    pub healthy: Option<bool>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// One authoritative server's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthoritativeAnswer {
    /// The server.
    pub server: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Whether the answer is what the record should say; `None` when the server did not answer.
    pub matches: Option<bool>,
    /// What it said.
    pub detail: String,
}

/// How many requests reach the old side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldTraffic {
    /// When it was asked.
    pub at: Timestamp,
    /// Requests a minute, over the last whole minute; `None` when there is no data, which is not zero.
    pub requests_per_minute: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ttl: u32, value: &str) -> Record {
        Record {
            key: RecordKey {
                name: "api.example.com".parse().expect("a valid name"),
                record_type: RecordType::Cname,
                set_identifier: None,
            },
            weight: None,
            data: RecordData::Values {
                ttl,
                values: vec![value.to_owned()],
            },
        }
    }

    fn marker(generation: u64) -> Marker {
        Marker {
            generation: Generation(generation),
            run: "r-1".parse().expect("a valid id"),
        }
    }

    fn snapshot(generation: Option<u64>) -> Snapshot {
        let old = record(300, "old.example.com");
        Snapshot {
            at: Timestamp::EPOCH,
            zone: "Z1".parse().expect("a valid id"),
            marker: generation.map(|g| marker(g).record(&old.key).expect("a valid name")),
            record: Some(old),
        }
    }

    #[test]
    fn a_batch_deletes_the_exact_old_values_and_moves_the_marker() {
        let seen = snapshot(Some(41));
        let batch =
            ChangeBatch::compare_and_set(&seen, record(60, "new.example.com"), &marker(42)).expect("valid");
        let [
            Change::Delete(old),
            Change::Create(new),
            Change::Delete(before),
            Change::Create(after),
        ] = batch.changes()
        else {
            panic!("four changes: {batch:?}")
        };
        assert_eq!(Some(old), seen.record.as_ref());
        assert_eq!(new, &record(60, "new.example.com"));
        assert_eq!(Marker::parse(&before.data), Some(marker(41)));
        assert_eq!(Marker::parse(&after.data), Some(marker(42)));
    }

    #[test]
    fn a_stale_generation_another_name_and_an_empty_record_are_refused() {
        let seen = snapshot(Some(42));
        let new = record(60, "new.example.com");
        assert!(matches!(
            ChangeBatch::compare_and_set(&seen, new.clone(), &marker(42)),
            Err(BatchRefused::Stale { .. })
        ));
        let mut other = new.clone();
        other.key.record_type = RecordType::A;
        assert!(matches!(
            ChangeBatch::compare_and_set(&seen, other, &marker(43)),
            Err(BatchRefused::OtherKey { .. })
        ));
        let mut empty = new;
        empty.data = RecordData::Values {
            ttl: 60,
            values: Vec::new(),
        };
        assert!(matches!(
            ChangeBatch::compare_and_set(&seen, empty, &marker(43)),
            Err(BatchRefused::NoValue(_))
        ));
    }

    #[test]
    fn a_batch_that_empties_a_name_is_found_in_the_batch_itself() {
        let seen = snapshot(None);
        let batch = ChangeBatch {
            zone: seen.zone.clone(),
            changes: seen.record.iter().cloned().map(Change::Delete).collect(),
        };
        assert!(matches!(batch.check(), Err(BatchRefused::Empties(_))));
    }
}
