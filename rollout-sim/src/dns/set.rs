//! Record sets with their routing, and whether a zone may have them.

use std::net::{Ipv4Addr, Ipv6Addr};

use rollout_core::dns::{Change, Record, RecordData, RecordKey, RecordType};
use rollout_core::id::DomainName;
use serde::{Deserialize, Serialize};

/// The most values of a batch, and the most characters of their values; an UPSERT counts twice (Amazon Route 53 API,
/// "ChangeResourceRecordSets", limits of requests).
const MOST_VALUES: usize = 1_000;
const MOST_CHARACTERS: usize = 32_000;

/// A record as a zone holds it: what `rollout-core` knows of it, and what it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordSet {
    pub(crate) record: Record,
    #[serde(default)]
    pub(crate) failover: Option<Failover>,
    /// The id of its health check.
    #[serde(default)]
    pub(crate) health_check: Option<String>,
}

/// A record's part in a failover pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failover {
    Primary,
    Secondary,
}

impl Failover {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Secondary => "SECONDARY",
        }
    }
}

impl From<Record> for RecordSet {
    fn from(record: Record) -> Self {
        Self {
            record,
            failover: None,
            health_check: None,
        }
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Create(RecordSet),
    Delete(RecordSet),
    Upsert(RecordSet),
}

impl From<&Change> for Edit {
    fn from(change: &Change) -> Self {
        match change {
            Change::Create(record) => Self::Create(record.clone().into()),
            Change::Delete(record) => Self::Delete(record.clone().into()),
        }
    }
}

impl Edit {
    pub(crate) fn set(&self) -> &RecordSet {
        match self {
            Self::Create(set) | Self::Delete(set) | Self::Upsert(set) => set,
        }
    }
}

/// What is wrong with a change: whether it is only because the zone is not as the caller thinks, and Route 53's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) stale: bool,
    pub(crate) message: String,
}

impl RecordSet {
    pub(crate) fn key(&self) -> &RecordKey {
        &self.record.key
    }

    /// Whether it is of this name and type, under whichever set identifier.
    pub(crate) fn is_of(&self, key: &RecordKey) -> bool {
        let mine = self.key();
        mine.name.same_as(&key.name) && mine.record_type == key.record_type
    }

    /// Whether it is one of several of its name and type.
    pub(crate) fn is_routed(&self) -> bool {
        self.record.weight.is_some() || self.failover.is_some()
    }

    /// Whether a DELETE names exactly what is there: case, root dot and the order of values aside.
    fn same_as(&self, given: &Self) -> bool {
        let data = match (&self.record.data, &given.record.data) {
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
        data && self.record.weight == given.record.weight
            && self.failover == given.failover
            && self.health_check == given.health_check
    }

    /// How Route 53's messages name it.
    fn named(&self) -> String {
        let key = self.key();
        let set = match &key.set_identifier {
            Some(id) => format!(", set-identifier='{id}'"),
            None => String::new(),
        };
        format!("[name='{}', type='{}'{set}]", dotted(&key.name), key.record_type)
    }
}

/// A name in lower case with the root's dot.
pub(crate) fn dotted(name: &DomainName) -> String {
    format!("{}.", name.normalised())
}

/// The records as they would be after a batch, or everything that is wrong with it. Messages are Route 53's
/// (`InvalidChangeBatch`), as callers have published them; where a set identifier is named in one it is our addition.
pub(super) fn after(
    zone: &DomainName,
    held: &[RecordSet],
    edits: &[Edit],
) -> Result<Vec<RecordSet>, Vec<Wrong>> {
    let mut sets = held.to_vec();
    let mut wrong: Vec<Wrong> = sizes(edits).into_iter().map(invalid).collect();
    for edit in edits {
        if let Err(why) = apply(zone, &mut sets, edit) {
            wrong.push(why);
        }
    }
    if wrong.is_empty() { Ok(sets) } else { Err(wrong) }
}

fn invalid(message: String) -> Wrong {
    Wrong {
        stale: false,
        message,
    }
}

fn apply(zone: &DomainName, sets: &mut Vec<RecordSet>, edit: &Edit) -> Result<(), Wrong> {
    let set = edit.set();
    if !holds(zone, &set.key().name) {
        let name = dotted(&set.key().name);
        return Err(invalid(format!(
            "RRSet with DNS name {name} is not permitted in zone {}",
            dotted(zone)
        )));
    }
    let tried = |what: &str, why: &str| {
        let message = format!("Tried to {what} resource record set {} but {why}", set.named());
        Err(Wrong { stale: true, message })
    };
    let place = sets.iter().position(|s| s.key().same_as(set.key()));
    match (edit, place) {
        (Edit::Delete(_), None) => return tried("delete", "it was not found"),
        (Edit::Delete(_), Some(at)) if !sets[at].same_as(set) => {
            return tried("delete", "the values provided do not match the current values");
        }
        (Edit::Delete(_), Some(at)) => {
            sets.remove(at);
        }
        (Edit::Create(_), Some(_)) => return tried("create", "it already exists"),
        (Edit::Create(_) | Edit::Upsert(_), place) => {
            let others = sets.iter().enumerate().filter(|(at, _)| Some(*at) != place);
            let others: Vec<&RecordSet> = others.map(|(_, s)| s).collect();
            if let Some(why) = value(set).or_else(|| clash(zone, &others, set)) {
                return Err(invalid(why));
            }
            match place {
                // An UPSERT keeps the record's place.
                Some(at) => sets[at] = set.clone(),
                None => sets.push(set.clone()),
            }
        }
    }
    Ok(())
}

/// Whether a name lies in a zone.
pub(super) fn holds(zone: &DomainName, name: &DomainName) -> bool {
    let (name, zone) = (name.normalised(), zone.normalised());
    name == zone || name.strip_suffix(&zone).is_some_and(|front| front.ends_with('.'))
}

fn sizes(edits: &[Edit]) -> Vec<String> {
    let (mut count, mut characters) = (0, 0);
    for edit in edits {
        let twice = if matches!(edit, Edit::Upsert(_)) { 2 } else { 1 };
        if let RecordData::Values { values, .. } = &edit.set().record.data {
            count += twice * values.len();
            characters += twice * values.iter().map(|v| v.chars().count()).sum::<usize>();
        }
    }
    let mut wrong = Vec::new();
    if count > MOST_VALUES {
        wrong.push(format!("Number of records limit of {MOST_VALUES} exceeded."));
    }
    if characters > MOST_CHARACTERS {
        wrong.push(format!(
            "Number of characters limit of {MOST_CHARACTERS} exceeded."
        ));
    }
    wrong
}

/// Why a record's values cannot be.
fn value(set: &RecordSet) -> Option<String> {
    let RecordData::Values { values, .. } = &set.record.data else {
        return None;
    };
    let fatal = |problem: &str, value: &str| {
        Some(format!(
            "Invalid Resource Record: 'FATAL problem: {problem} encountered with '{value}''"
        ))
    };
    for (at, value) in values.iter().enumerate() {
        if values[..at].contains(value) {
            return Some(format!("Duplicate Resource Record: '{value}'"));
        }
        match set.key().record_type {
            RecordType::A if value.parse::<Ipv4Addr>().is_err() => {
                return fatal(
                    "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)",
                    value,
                );
            }
            RecordType::Aaaa if value.parse::<Ipv6Addr>().is_err() => {
                return fatal(
                    "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)",
                    value,
                );
            }
            RecordType::Txt if !(value.len() >= 2 && value.starts_with('"') && value.ends_with('"')) => {
                return fatal(
                    "InvalidCharacterString (Value should be enclosed in quotation marks)",
                    value,
                );
            }
            RecordType::Cname if values.len() > 1 => {
                let name = dotted(&set.key().name);
                return Some(format!(
                    "RRSet of type CNAME with DNS name {name} has more than one value"
                ));
            }
            _ => {}
        }
    }
    None
}

/// Why a record cannot be beside those that are there: a CNAME stands alone (RFC 1034, section 3.6.2), and records of one
/// name and type are routed in one way.
fn clash(zone: &DomainName, others: &[&RecordSet], new: &RecordSet) -> Option<String> {
    use RecordType::Cname;
    let key = new.key();
    let (name, kind) = (dotted(&key.name), &key.record_type);
    if *kind == Cname && key.name.same_as(zone) {
        let zone = dotted(zone);
        return Some(format!(
            "RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone}"
        ));
    }
    let mut named = others.iter().filter(|s| s.key().name.same_as(&key.name));
    if named
        .clone()
        .any(|s| s.key().record_type != *kind && (s.key().record_type == Cname || *kind == Cname))
    {
        return Some(format!(
            "RRSet of type {kind} with DNS name {name} is not permitted as it conflicts with other records with the same DNS \
             name in zone {}",
            dotted(zone)
        ));
    }
    let policy = |s: &RecordSet| {
        (
            s.key().set_identifier.is_some(),
            s.record.weight.is_some(),
            s.failover.is_some(),
        )
    };
    let odd = |s: &&&RecordSet| {
        s.key().record_type == *kind
            && (policy(s) != policy(new) || (new.failover.is_some() && s.failover == new.failover))
    };
    named.find(odd).map(|_| {
        let set = key.set_identifier.as_ref().map_or_else(String::new, |id| format!(", SetIdentifier {id}"));
        format!("RRSet with DNS name {name}, type {kind}{set} cannot be created as other RRSets exist with the same name and type.")
    })
}
