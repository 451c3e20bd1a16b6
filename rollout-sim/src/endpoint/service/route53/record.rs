//! Records: listed, changed, asked for.

use rollout_core::dns::{Record, RecordData, RecordKey, RecordType};
use rollout_core::id::{DomainName, ZoneId};
use rollout_core::pace::CHANGED_RECORDS;
use serde::Deserialize;

use super::zone::change_out;
use super::{invalid, most, not_modelled, zone_of};
use crate::dns::answer::{PAGE, TICKETS, listed, place, unescaped};
use crate::dns::set::{Edit, Failover, RecordSet};
use crate::dns::{Refused, SERVERS};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};
use crate::rng::Stream;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("ChangeResourceRecordSets", change_resource_record_sets)
        .at("POST", "/2013-04-01/hostedzone/{Id}/rrset"),
    Operation::read("ListResourceRecordSets", list_resource_record_sets)
        .at("GET", "/2013-04-01/hostedzone/{Id}/rrset"),
    Operation::read("TestDNSAnswer", test_dns_answer).at("GET", "/2013-04-01/testdnsanswer"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ChangeInput {
    id: String,
    change_batch: BatchInput,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BatchInput {
    changes: Vec<EditInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EditInput {
    action: String,
    resource_record_set: SetInput,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SetInput {
    name: String,
    r#type: String,
    set_identifier: Option<String>,
    weight: Option<u64>,
    failover: Option<String>,
    #[serde(rename = "TTL")]
    ttl: Option<u32>,
    resource_records: Option<Vec<ValueInput>>,
    alias_target: Option<AliasInput>,
    health_check_id: Option<String>,
    region: Option<String>,
    multi_value_answer: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ValueInput {
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AliasInput {
    hosted_zone_id: String,
    #[serde(rename = "DNSName")]
    dns_name: String,
    evaluate_target_health: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListInput {
    #[serde(rename = "Id")]
    id: String,
    name: Option<String>,
    r#type: Option<String>,
    identifier: Option<String>,
    maxitems: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskInput {
    hostedzoneid: String,
    recordname: String,
    recordtype: String,
}

fn record_type(name: &str) -> RecordType {
    match name {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "CNAME" => RecordType::Cname,
        "TXT" => RecordType::Txt,
        other => RecordType::Other(other.to_owned()),
    }
}

fn domain(text: &str) -> Result<DomainName, Refusal> {
    let plain = unescaped(text);
    DomainName::new(plain.trim_end_matches('.')).map_err(|e| invalid(e.to_string()))
}

impl SetInput {
    /// How Route 53 names a change that is not well formed.
    fn named(&self, action: &str) -> String {
        let set = self.set_identifier.as_deref().unwrap_or("null");
        format!(
            "Change with [Action={action}, Name={}, Type={}, SetIdentifier={set}]",
            self.name, self.r#type
        )
    }

    fn data(&self, action: &str) -> Result<RecordData, Refusal> {
        match (&self.alias_target, &self.resource_records) {
            (Some(alias), None) if self.ttl.is_none() => Ok(RecordData::Alias {
                target: domain(&alias.dns_name)?,
                zone: ZoneId::new(alias.hosted_zone_id.as_str()).map_err(|e| invalid(e.to_string()))?,
                evaluate_target_health: alias.evaluate_target_health,
            }),
            (None, Some(values)) if !values.is_empty() && self.ttl.is_some() => Ok(RecordData::Values {
                ttl: self.ttl.unwrap_or(0),
                values: values.iter().map(|v| v.value.clone()).collect(),
            }),
            (alias, values) => {
                let more = alias.is_some() && (values.is_some() || self.ttl.is_some());
                let found = if more { "more than one" } else { "none" };
                Err(invalid(format!(
                    "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
                     TrafficPolicyInstanceId], but found {found} in {}",
                    self.named(action)
                )))
            }
        }
    }

    fn set(&self, action: &str) -> Result<RecordSet, Refusal> {
        if self.region.is_some() || self.multi_value_answer.is_some() {
            return Err(not_modelled(
                "routing by latency, place or several values at once",
            ));
        }
        let failover = match self.failover.as_deref() {
            None => None,
            Some("PRIMARY") => Some(Failover::Primary),
            Some("SECONDARY") => Some(Failover::Secondary),
            Some(other) => return Err(invalid(format!("Invalid failover {other}"))),
        };
        if (self.weight.is_some() || failover.is_some()) != self.set_identifier.is_some() {
            let field = if self.set_identifier.is_none() {
                "SetIdentifier"
            } else {
                "Weight"
            };
            return Err(invalid(format!(
                "Invalid request: Missing field '{field}' in {}",
                self.named(action)
            )));
        }
        Ok(RecordSet {
            record: Record {
                key: RecordKey {
                    name: domain(&self.name)?,
                    record_type: record_type(&self.r#type),
                    set_identifier: self.set_identifier.clone(),
                },
                weight: self.weight,
                data: self.data(action)?,
            },
            failover,
            health_check: self.health_check_id.clone(),
        })
    }
}

fn change_resource_record_sets(call: &mut Call<'_>) -> Answer {
    let input: ChangeInput = call.input()?;
    let place = zone_of(call, &input.id)?;
    let mut edits = Vec::new();
    for edit in &input.change_batch.changes {
        let set = edit.resource_record_set.set(&edit.action)?;
        if let Some(id) = &set.health_check
            && !call.world.checks.iter().flatten().any(|c| c.id == *id)
        {
            let text = format!("No health check exists with the specified ID {id}");
            return Err(Refusal::new(404, "NoSuchHealthCheck", text));
        }
        edits.push(match edit.action.as_str() {
            "CREATE" => Edit::Create(set),
            "DELETE" => Edit::Delete(set),
            "UPSERT" => Edit::Upsert(set),
            other => return Err(invalid(format!("Invalid action {other}"))),
        });
    }
    let cost: u32 = edits
        .iter()
        .map(|edit| if matches!(edit, Edit::Upsert(_)) { 2 } else { 1 })
        .sum();
    let (now, account) = (call.now(), call.place.account.clone());
    if !call
        .world
        .quotas
        .spend(now, (&account, ""), ("route53", CHANGED_RECORDS), cost)
    {
        return Err(Refusal::client("Throttling", "Rate exceeded"));
    }
    let world = &mut *call.world;
    let zone = &mut world.zones[place];
    let id = zone.edit(&mut world.kernel, &edits).map_err(|refused| {
        let code = match &refused {
            Refused::Busy => "PriorRequestNotComplete",
            Refused::Batch(_) => "InvalidChangeBatch",
        };
        Refusal::client(code, refused.message())
    })?;
    call.changed();
    let zone = &call.world.zones[place];
    Ok(map! { "ChangeInfo": change_out(zone, call.now(), &id) })
}

/// A record as it is listed.
fn set_out(set: &RecordSet) -> Document {
    let key = set.key();
    let mut out = map! {
        "Name": listed(&key.name),
        "Type": key.record_type.to_string(),
        "SetIdentifier": key.set_identifier.as_ref(),
        "Weight": set.record.weight,
        "Failover": set.failover.map(Failover::name),
    };
    match &set.record.data {
        RecordData::Values { ttl, values } => {
            out.put("TTL", *ttl);
            let values = values.iter().map(|v| map! { "Value": v });
            out.put("ResourceRecords", Document::items("ResourceRecord", values));
        }
        RecordData::Alias {
            target,
            zone,
            evaluate_target_health,
        } => out.put(
            "AliasTarget",
            map! {
                "HostedZoneId": zone,
                "DNSName": listed(target),
                "EvaluateTargetHealth": *evaluate_target_health,
            },
        ),
    }
    out.put("HealthCheckId", set.health_check.as_ref());
    out
}

fn list_resource_record_sets(call: &mut Call<'_>) -> Answer {
    let input: ListInput = call.input()?;
    let zone = &call.world.zones[zone_of(call, &input.id)?];
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let (name, kind, id) = (given(&input.name), given(&input.r#type), given(&input.identifier));
    if (kind.is_some() && name.is_none()) || (id.is_some() && kind.is_none()) {
        return Err(invalid(
            "A start type needs a start name, and a start identifier a start type",
        ));
    }
    let from = name.map(|name| place(&unescaped(&name), kind.as_deref().unwrap_or(""), id.as_deref()));
    let most = most(input.maxitems.as_deref(), PAGE)?;
    let (page, next, _) = zone.list(from.as_ref(), most);
    let next = next.as_ref().map(RecordSet::key);
    Ok(map! {
        "ResourceRecordSets": Document::items("ResourceRecordSet", page.iter().map(set_out)),
        "IsTruncated": next.is_some(),
        "NextRecordName": next.map(|key| listed(&key.name)),
        "NextRecordType": next.map(|key| key.record_type.to_string()),
        "NextRecordIdentifier": next.and_then(|key| key.set_identifier.clone()),
        "MaxItems": most.to_string(),
    })
}

/// What one of the zone's servers would answer. Which one, and which of several records, is chance.
fn test_dns_answer(call: &mut Call<'_>) -> Answer {
    let input: AskInput = call.input()?;
    let place = zone_of(call, &input.hostedzoneid)?;
    let key = RecordKey {
        name: domain(&input.recordname)?,
        record_type: record_type(&input.recordtype),
        set_identifier: None,
    };
    let world = &mut *call.world;
    world.settle_health();
    let server = world.kernel.dice.below(Stream::Dns, SERVERS as u64);
    let server = usize::try_from(server).unwrap_or(0);
    let ticket = world.kernel.dice.below(Stream::Dns, TICKETS);
    let zone = &world.zones[place];
    let data = world.told(place, server, &key, ticket);
    let code = if data.is_some() || zone.knows_name(world.now(), server, &key.name) {
        "NOERROR"
    } else {
        "NXDOMAIN"
    };
    Ok(map! {
        "Nameserver": zone.name_servers().get(server),
        "RecordName": listed(&key.name),
        "RecordType": key.record_type.to_string(),
        "RecordData": Document::items("RecordDataEntry", data.unwrap_or_default()),
        "ResponseCode": code,
        "Protocol": "UDP",
    })
}
