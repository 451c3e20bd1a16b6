//! Records between Route 53's form and ours. What ours cannot carry exactly is refused, because a DELETE must name the
//! record exactly (Amazon Route 53 API, "ChangeResourceRecordSets").

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSet, RrType};
use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::error::{Error, ErrorKind, Retry};
use rollout_core::id::{DomainName, ZoneId};

use super::LIST;
use super::text::unescape;

/// Our name of a type.
pub(super) fn record_type(listed: &RrType) -> RecordType {
    match listed {
        RrType::A => RecordType::A,
        RrType::Aaaa => RecordType::Aaaa,
        RrType::Cname => RecordType::Cname,
        RrType::Txt => RecordType::Txt,
        other => RecordType::Other(other.as_str().to_owned()),
    }
}

/// Route 53's name of a type.
pub(super) fn rr_type(ours: &RecordType) -> RrType {
    RrType::from(ours.to_string().as_str())
}

/// A listed record as ours. Its key is spelt as the caller spelt it.
pub(super) fn record(key: &RecordKey, listed: &ResourceRecordSet) -> Result<Record, Error> {
    let beyond = beyond(listed);
    if !beyond.is_empty() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            LIST,
            format!(
                "{key} has {}, which a compare-and-set cannot carry exactly",
                beyond.join(", ")
            ),
        ));
    }
    let unreadable = |what: &str| {
        Error::new(
            ErrorKind::Unexpected,
            LIST,
            format!("{key} has a {what} that cannot be read"),
        )
        .retry(Retry::Later)
    };
    let weight = match listed.weight() {
        Some(weight) => Some(u64::try_from(weight).map_err(|_| unreadable("weight"))?),
        None => None,
    };
    let data = match listed.alias_target() {
        Some(alias) => {
            let named = |error| {
                Error::new(
                    ErrorKind::Unsupported,
                    LIST,
                    format!("{key} is an alias to {}", alias.dns_name()),
                )
                .caused_by(error)
            };
            let target = String::from_utf8_lossy(&unescape(alias.dns_name())).into_owned();
            RecordData::Alias {
                target: DomainName::new(target).map_err(named)?,
                zone: ZoneId::new(alias.hosted_zone_id()).map_err(named)?,
                evaluate_target_health: alias.evaluate_target_health(),
            }
        }
        None => {
            let values: Vec<String> = listed
                .resource_records()
                .iter()
                .map(|value| value.value().to_owned())
                .collect();
            if values.is_empty() || values.iter().any(String::is_empty) {
                return Err(unreadable("value"));
            }
            let ttl = listed.ttl().and_then(|ttl| u32::try_from(ttl).ok());
            RecordData::Values {
                ttl: ttl.ok_or_else(|| unreadable("TTL"))?,
                values,
            }
        }
    };
    let mut key = key.clone();
    key.set_identifier = listed.set_identifier().map(str::to_owned);
    Ok(Record { key, weight, data })
}

/// What a listed record has beyond name, type, set identifier, weight and data.
fn beyond(listed: &ResourceRecordSet) -> Vec<&'static str> {
    [
        (listed.region().is_some(), "latency routing (a region)"),
        (listed.geo_location().is_some(), "geolocation routing"),
        (listed.geo_proximity_location().is_some(), "geoproximity routing"),
        (listed.failover().is_some(), "failover routing"),
        (listed.multi_value_answer().is_some(), "multivalue answer routing"),
        (listed.cidr_routing_config().is_some(), "IP-based routing"),
        (listed.health_check_id().is_some(), "a health check"),
        (listed.traffic_policy_instance_id().is_some(), "a traffic policy"),
    ]
    .into_iter()
    .filter_map(|(has, what)| has.then_some(what))
    .collect()
}

/// Our record in Route 53's form.
pub(super) fn resource_record_set(record: &Record) -> Result<ResourceRecordSet, Error> {
    let mut set = ResourceRecordSet::builder()
        .name(record.key.name.as_str())
        .r#type(rr_type(&record.key.record_type))
        .set_set_identifier(record.key.set_identifier.clone());
    if let Some(weight) = record.weight {
        set = set.weight(i64::try_from(weight).unwrap_or(i64::MAX));
    }
    set = match &record.data {
        RecordData::Alias {
            target,
            zone,
            evaluate_target_health,
        } => set.alias_target(
            AliasTarget::builder()
                .dns_name(target.as_str())
                .hosted_zone_id(zone.as_str())
                .evaluate_target_health(*evaluate_target_health)
                .build()
                .map_err(|error| incomplete(&record.key, error))?,
        ),
        RecordData::Values { ttl, values } => {
            let mut values_set = set.ttl(i64::from(*ttl));
            for value in values {
                let value = ResourceRecord::builder()
                    .value(value)
                    .build()
                    .map_err(|error| incomplete(&record.key, error))?;
                values_set = values_set.resource_records(value);
            }
            values_set
        }
    };
    set.build().map_err(|error| incomplete(&record.key, error))
}

/// The SDK's builders refuse a missing field; none is missing above.
pub(super) fn incomplete(key: impl core::fmt::Display, error: BuildError) -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        super::CHANGE,
        format!("{key}: the request could not be made"),
    )
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::super::text::plain_name;
    use super::*;

    #[test]
    fn names_are_compared_as_dns_compares_them() {
        assert_eq!(plain_name("\\052.Example.COM."), "*.example.com");
        assert_eq!(plain_name("*.example.com"), "*.example.com");
        assert_eq!(plain_name("a\\100b.example.com."), "a@b.example.com");
        assert_eq!(plain_name("end\\"), "end\\");
        assert_eq!(plain_name("\\.x"), ".x");
        assert_eq!(plain_name("\\400.x"), "400.x");
    }

    #[test]
    fn types_keep_their_names() {
        for name in ["A", "AAAA", "CNAME", "TXT", "MX", "HTTPS", "FUTURE"] {
            assert_eq!(rr_type(&record_type(&RrType::from(name))).as_str(), name);
        }
    }
}
