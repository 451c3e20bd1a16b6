//! What a zone answers: which of several records, in what order they are listed, and the names of its servers.

use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::id::DomainName;
use rollout_core::time::Timestamp;

use super::set::{Failover, RecordSet};
use super::{SERVERS, Zone, set};

/// How many records a page lists at most, and when nothing is asked for (Amazon Route 53 API, "ListResourceRecordSets").
pub(crate) const PAGE: usize = 300;

/// Tickets are drawn from so many.
pub(crate) const TICKETS: u64 = 1 << 32;

/// Which of the records of one name and type a client gets. Weighted: in proportion, and one of weight 0 only when no other
/// is healthy; failover: the primary one while it is healthy. When none is healthy all count as healthy (Amazon Route 53
/// developer guide, "How Amazon Route 53 chooses records when health checking is configured").
///
/// The client's ticket, a number below [`TICKETS`], stands for chance: the same ticket gets the same answer.
pub(crate) fn select<'a>(
    sets: &[&'a RecordSet],
    ticket: u64,
    healthy: impl Fn(&RecordSet) -> bool,
) -> Option<&'a RecordSet> {
    let fine: Vec<&RecordSet> = sets.iter().copied().filter(|s| healthy(s)).collect();
    let pool = if fine.is_empty() { sets.to_vec() } else { fine };
    if pool.iter().any(|s| s.failover.is_some()) {
        let primary = pool.iter().find(|s| s.failover == Some(Failover::Primary));
        return primary.or_else(|| pool.first()).copied();
    }
    let weight = |s: &RecordSet| s.record.weight.unwrap_or(0);
    let sum: u64 = pool.iter().map(|s| weight(s)).sum();
    if sum == 0 {
        let place = ticket.saturating_mul(pool.len() as u64) / TICKETS;
        return pool.get(usize::try_from(place).unwrap_or(0)).copied();
    }
    let wide = u128::from(ticket) * u128::from(sum) / u128::from(TICKETS);
    let mut place = u64::try_from(wide).unwrap_or(0);
    for set in pool {
        if place < weight(set) {
            return Some(set);
        }
        place -= weight(set);
    }
    None
}

/// Where a record stands in a list: by its name with the labels reversed, then by type, then by set identifier (Amazon
/// Route 53 API, "ListResourceRecordSets").
pub(crate) fn place(name: &str, record_type: &str, set: Option<&str>) -> (String, String, String) {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.rsplit('.').collect();
    let reversed = format!("{}.", labels.join("."));
    (reversed, record_type.to_owned(), set.unwrap_or("").to_owned())
}

/// A name as Route 53 lists it: with the root's dot, and what is neither letter, digit, `-`, `_` nor dot as a backslash and
/// three octal digits (Amazon Route 53 developer guide, "DNS domain name format").
pub(crate) fn listed(name: &DomainName) -> String {
    let mut text = String::new();
    for c in set::dotted(name).chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            text.push(c);
        } else {
            text.push_str(&format!("\\{:03o}", u32::from(c)));
        }
    }
    text
}

/// A name as a caller writes it: escapes undone.
pub(crate) fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code = rest
            .get(..3)
            .and_then(|digits| u32::from_str_radix(digits, 8).ok())
            .and_then(char::from_u32);
        match code {
            Some(c) => {
                plain.push(c);
                rest = &rest[3..];
            }
            None => plain.push('\\'),
        }
    }
    plain.push_str(rest);
    plain
}

impl Zone {
    /// The names of its authoritative servers.
    pub(crate) fn name_servers(&self) -> Vec<String> {
        let hash = self
            .id
            .as_str()
            .bytes()
            .fold(7_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
        (0..SERVERS as u32)
            .zip(["com", "net", "org", "co.uk"])
            .map(|(n, top)| {
                format!(
                    "ns-{}.awsdns-{:02}.{top}",
                    hash % 512 + 512 * n,
                    (hash + 17 * n) % 64
                )
            })
            .collect()
    }

    /// The records that every zone has: its servers and its start of authority. Those that were made go before.
    fn own_records(&self) -> Vec<RecordSet> {
        let servers: Vec<String> = self.name_servers().iter().map(|n| format!("{n}.")).collect();
        let soa = format!(
            "{} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400",
            servers.first().map_or("", String::as_str)
        );
        let own = [("NS", 172_800, servers), ("SOA", 900, vec![soa])];
        let records = own.into_iter().map(|(kind, ttl, values)| Record {
            key: RecordKey {
                name: self.name.clone(),
                record_type: RecordType::Other(kind.to_owned()),
                set_identifier: None,
            },
            weight: None,
            data: RecordData::Values { ttl, values },
        });
        let missing = records.filter(|r| self.record(&r.key).is_none());
        missing.map(RecordSet::from).collect()
    }

    /// Whether a server knows the name, or one below it.
    pub(crate) fn knows_name(&self, now: Timestamp, server: usize, name: &DomainName) -> bool {
        let below = |other: &DomainName| set::holds(name, other);
        let own = name.same_as(&self.name);
        // A record that is on its way out, too: ask for each key that there is or was.
        own || self
            .keys()
            .iter()
            .any(|key| below(&key.name) && !self.sets_at(now, server, key).is_empty())
    }

    /// A page of its records from a place on, the first record of the next page, and how many records there are.
    pub(crate) fn list(
        &self,
        from: Option<&(String, String, String)>,
        most: usize,
    ) -> (Vec<RecordSet>, Option<RecordSet>, usize) {
        let at = |s: &RecordSet| {
            let key = s.key();
            place(
                &key.name.normalised(),
                &key.record_type.to_string(),
                key.set_identifier.as_deref(),
            )
        };
        let mut all: Vec<RecordSet> = self.sets().iter().cloned().chain(self.own_records()).collect();
        all.sort_by_cached_key(at);
        let count = all.len();
        let mut page: Vec<RecordSet> = all
            .into_iter()
            .filter(|s| from.is_none_or(|f| at(s) >= *f))
            .collect();
        let most = most.clamp(1, PAGE);
        let next = page.get(most).cloned();
        page.truncate(most);
        (page, next, count)
    }
}
