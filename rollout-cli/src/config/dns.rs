//! `[[dns]]`: a record and where it shall point.

use core::ops::Range;
use core::time::Duration;

use rollout_core::dns::{RecordData, RecordKey, RecordType};
use rollout_core::id::{DomainName, ZoneId};
use rollout_core::machine::cutover::{Drain, Policy};

use super::diagnostic::quoted;
use super::environment::filled;
use super::reader::{Reader, Value};

/// How the change is verified once the zone says that it has spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Each authoritative name server is asked.
    #[default]
    NameServers,
    /// Route 53 is asked what it would answer: where port 53 is closed to the outside.
    TestDnsAnswer,
    /// The zone's own API is asked: for private zones and emulators, whose name servers nobody can reach.
    Api,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    /// Its table in the file.
    pub(crate) span: Range<usize>,
    pub(crate) zone: ZoneId,
    pub(crate) key: RecordKey,
    pub(crate) data: RecordData,
    pub(crate) lowered_ttl: u32,
    pub(crate) drain: Option<Drain>,
    pub(crate) allow_unhealthy_target: bool,
    pub(crate) verify: Verify,
    pub(crate) policy: Policy,
}

pub(super) fn read_all(reader: &Reader<'_>) -> Vec<Dns> {
    reader.tables("dns", "[[dns]]").iter().filter_map(read).collect()
}

fn read(reader: &Reader<'_>) -> Option<Dns> {
    let zone = reader
        .required("zone", "\"Z0123456789ABCDEFGHIJ\"")
        .and_then(|v| v.parse::<ZoneId>());
    let name = reader
        .required("name", "\"shop.example.com\"")
        .and_then(|v| v.parse::<DomainName>());
    let record_type = reader.required("type", "\"A\"").and_then(|v| record_type(&v));
    let set_identifier = reader.value("set_identifier").and_then(|v| {
        filled(
            &v,
            "what tells the record from its siblings of the same name and type",
        )
    });
    let data = data(reader, record_type.as_ref());
    let ttl = data.as_ref().and_then(|data| match data {
        RecordData::Values { ttl, .. } => Some(*ttl),
        RecordData::Alias { .. } => None,
    });
    let lowered_ttl = lowered_ttl(reader, ttl);
    let drain = reader.value("drain").and_then(|v| drain(&v));
    let words = [
        ("name-servers", Verify::NameServers),
        ("test-dns-answer", Verify::TestDnsAnswer),
        ("api", Verify::Api),
    ];
    let verify = reader
        .value("verify")
        .and_then(|v| v.word(&words))
        .unwrap_or_default();
    let allow_unhealthy_target = reader.flag("allow_unhealthy_target", false);
    let policy = Policy {
        poll_first: Policy::POLL_FIRST,
        poll_max: Policy::POLL_MAX,
        in_sync: reader.duration("in_sync", Duration::from_secs(10 * 60)),
        verify: reader.duration("verify_for", Duration::from_secs(120)),
        watch: reader.duration("watch", Duration::from_secs(5 * 60)),
        watch_failures: reader.number("watch_failures", 2),
        max_errors: reader.number("errors", 10),
        answer: reader.duration("answer", Duration::from_secs(60)),
    };
    reader.finish();
    Some(Dns {
        span: reader.span.clone(),
        zone: zone?.value,
        key: RecordKey {
            name: name?.value,
            record_type: record_type?,
            set_identifier,
        },
        data: data?,
        lowered_ttl,
        drain,
        allow_unhealthy_target,
        verify,
        policy,
    })
}

fn record_type(value: &Value<'_>) -> Option<RecordType> {
    let text = value.text()?.value;
    Some(match text.as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "CNAME" => RecordType::Cname,
        "TXT" => RecordType::Txt,
        "CAA" | "DS" | "HTTPS" | "MX" | "NAPTR" | "PTR" | "SPF" | "SRV" | "SSHFP" | "SVCB" | "TLSA" => {
            RecordType::Other(text)
        }
        "NS" | "SOA" => {
            value.wrong(
                format!("`type`: {text} records delegate the zone"),
                "moving them is not a release; change them where the zone is made",
            );
            return None;
        }
        _ => {
            value.wrong(
                format!("`type`: `{text}` is not a record type"),
                format!(
                    "it is one of {}, in capitals",
                    quoted(["A", "AAAA", "CNAME", "TXT", "MX", "SRV", "CAA"])
                ),
            );
            return None;
        }
    })
}

fn data(reader: &Reader<'_>, record_type: Option<&RecordType>) -> Option<RecordData> {
    let alias = reader.value("alias");
    let values = reader.value("values");
    let ttl = reader.value("ttl");
    if let (Some(_), Some(ttl)) = (&alias, &ttl) {
        ttl.wrong(
            "an alias has no `ttl`",
            "remove it: Route 53 gives the TTL of the target, 60 s for a load balancer",
        );
    }
    match (alias, values) {
        (Some(_), Some(values)) => {
            values.wrong("the record has both `alias` and `values`", "keep one");
            None
        }
        (Some(alias), None) => {
            if let Some(RecordType::Cname | RecordType::Txt) = record_type {
                alias.wrong(
                    "an alias to a load balancer is an A or AAAA record",
                    "write `type = \"A\"`",
                );
            }
            alias_data(&alias)
        }
        (None, Some(values)) => {
            let ttl = ttl.and_then(|v| v.number::<u32>()).unwrap_or(300);
            values_data(&values, record_type, ttl)
        }
        (None, None) => {
            let fault = reader.sink.at(&reader.span, "the record points at nothing");
            reader.sink.push(fault.help(
                "add `alias = { target = \"…\", zone = \"…\" }` for a load balancer, or `values = [\"…\"]`",
            ));
            None
        }
    }
}

fn alias_data(value: &Value<'_>) -> Option<RecordData> {
    let reader = value.table("alias")?;
    let target = reader
        .required("target", "\"shop-123.eu-central-1.elb.amazonaws.com\"")
        .and_then(|v| v.parse::<DomainName>());
    let zone = reader
        .required("zone", "\"Z215JYRZR1TBD5\"")
        .and_then(|v| v.parse::<ZoneId>());
    let evaluate_target_health = reader.flag("evaluate_target_health", true);
    reader.finish();
    Some(RecordData::Alias {
        target: target?.value,
        zone: zone?.value,
        evaluate_target_health,
    })
}

fn values_data(value: &Value<'_>, record_type: Option<&RecordType>, ttl: u32) -> Option<RecordData> {
    let items = value.array();
    if items.is_empty() {
        value.wrong("`values` is empty", "a record has one value at least");
        return None;
    }
    let values: Vec<String> = items
        .iter()
        .filter_map(|item| {
            let text = item.text()?.value;
            let (right, wanted) = match record_type {
                Some(RecordType::A) => (text.parse::<std::net::Ipv4Addr>().is_ok(), "an IPv4 address"),
                Some(RecordType::Aaaa) => (text.parse::<std::net::Ipv6Addr>().is_ok(), "an IPv6 address"),
                Some(RecordType::Cname) => (DomainName::new(&text).is_ok(), "a domain name"),
                Some(RecordType::Txt) => (
                    text.starts_with('"') && text.ends_with('"'),
                    "a text in its own quotation marks, as in '\"v=spf1 -all\"'",
                ),
                Some(RecordType::Other(_)) | None => (true, ""),
            };
            if !right {
                item.wrong(
                    format!("`values`: `{text}` is not {wanted}"),
                    format!("write {wanted}"),
                );
            }
            right.then_some(text)
        })
        .collect();
    (values.len() == items.len()).then_some(RecordData::Values { ttl, values })
}

fn lowered_ttl(reader: &Reader<'_>, ttl: Option<u32>) -> u32 {
    let value = reader.value("lowered_ttl");
    let lowered = value.as_ref().and_then(Value::number::<u32>);
    if let (Some(value), Some(lowered), Some(ttl)) = (&value, lowered, ttl)
        && lowered > ttl
    {
        value.wrong(
            format!("`lowered_ttl` is {lowered}, above the `ttl` of {ttl}"),
            "it is the TTL while the change is under way: write a smaller one",
        );
    }
    lowered.unwrap_or(60).min(ttl.unwrap_or(u32::MAX))
}

fn drain(value: &Value<'_>) -> Option<Drain> {
    let reader = value.table("drain")?;
    let level = reader.required("level", "5").and_then(|v| v.number());
    let drain = Drain {
        level: level.unwrap_or_default(),
        hold: reader.duration("hold", Duration::from_secs(5 * 60)),
        give_up: reader.duration("give_up", Duration::from_secs(60 * 60)),
    };
    reader.finish();
    level.map(|_| drain)
}
