//! Zones and changes.

use rollout_core::dns::Propagation;
use rollout_core::id::ChangeId;
use serde::Deserialize;

use super::{invalid, most, zone_of};
use crate::dns::Zone;
use crate::dns::answer::{listed, place, unescaped};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("GetHostedZone", get_hosted_zone).at("GET", "/2013-04-01/hostedzone/{Id}"),
    Operation::read("ListHostedZones", list_hosted_zones).at("GET", "/2013-04-01/hostedzone"),
    Operation::read("ListHostedZonesByName", list_hosted_zones_by_name)
        .at("GET", "/2013-04-01/hostedzonesbyname"),
    Operation::read("GetChange", get_change).at("GET", "/2013-04-01/change/{Id}"),
];

/// The most zones of a page (Amazon Route 53 API, "ListHostedZones").
const PAGE: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    #[serde(rename = "Id")]
    id: String,
    marker: Option<String>,
    maxitems: Option<String>,
    dnsname: Option<String>,
    hostedzoneid: Option<String>,
}

fn zone_out(zone: &Zone) -> Document {
    map! {
        "Id": format!("/hostedzone/{}", zone.id),
        "Name": listed(&zone.name),
        "CallerReference": format!("rollout-sim {}", zone.id),
        "Config": map! { "PrivateZone": false },
        "ResourceRecordSetCount": zone.list(None, usize::MAX).2,
    }
}

fn get_hosted_zone(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let zone = &call.world.zones[zone_of(call, &input.id)?];
    Ok(map! {
        "HostedZone": zone_out(zone),
        "DelegationSet": map! { "NameServers": Document::items("NameServer", zone.name_servers()) },
    })
}

/// Zones in the order of their ids, which is nobody's business.
fn list_hosted_zones(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let most = most(input.maxitems.as_deref(), PAGE)?;
    let mut zones: Vec<&Zone> = call.world.zones.iter().collect();
    zones.sort_by(|a, b| a.id.cmp(&b.id));
    let from = input.marker.as_deref().filter(|m| !m.is_empty());
    let rest: Vec<&&Zone> = zones
        .iter()
        .filter(|z| from.is_none_or(|m| z.id.as_str() >= m))
        .collect();
    let next = rest.get(most).map(|z| z.id.as_str());
    let here = rest.iter().take(most).map(|z| zone_out(z));
    Ok(map! {
        "HostedZones": Document::items("HostedZone", here),
        "Marker": from,
        "IsTruncated": next.is_some(),
        "NextMarker": next,
        "MaxItems": most.to_string(),
    })
}

/// Zones in the order of their reversed names.
fn list_hosted_zones_by_name(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let most = most(input.maxitems.as_deref(), PAGE)?;
    let at = |zone: &Zone| place(&zone.name.normalised(), zone.id.as_str(), None);
    let mut zones: Vec<&Zone> = call.world.zones.iter().collect();
    zones.sort_by_cached_key(|z| at(z));
    let from = input.dnsname.as_deref().filter(|n| !n.is_empty());
    let from_at = from.map(|name| {
        place(
            &unescaped(name),
            input.hostedzoneid.as_deref().unwrap_or(""),
            None,
        )
    });
    let rest: Vec<&&Zone> = zones
        .iter()
        .filter(|z| from_at.as_ref().is_none_or(|f| at(z) >= *f))
        .collect();
    let next = rest.get(most);
    let here = rest.iter().take(most).map(|z| zone_out(z));
    Ok(map! {
        "HostedZones": Document::items("HostedZone", here),
        "DNSName": from,
        "HostedZoneId": input.hostedzoneid.as_deref(),
        "IsTruncated": next.is_some(),
        "NextDNSName": next.map(|z| listed(&z.name)),
        "NextHostedZoneId": next.map(|z| z.id.as_str()),
        "MaxItems": most.to_string(),
    })
}

/// What is told of a change.
pub(super) fn change_out(zone: &Zone, now: rollout_core::time::Timestamp, id: &ChangeId) -> Document {
    let status = match zone.propagation(now, id) {
        Some(Propagation::InSync) => "INSYNC",
        Some(_) | None => "PENDING",
    };
    map! {
        "Id": format!("/change/{id}"),
        "Status": status,
        "SubmittedAt": zone.submitted_at(id),
    }
}

fn get_change(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let id = input.id.strip_prefix("/change/").unwrap_or(&input.id);
    let wanted = ChangeId::new(id).map_err(|e| invalid(e.to_string()))?;
    let found = call
        .world
        .zones
        .iter()
        .find(|z| z.submitted_at(&wanted).is_some());
    let missing = || {
        Refusal::new(
            404,
            "NoSuchChange",
            format!("Could not find resource with ID: {id}"),
        )
    };
    let zone = found.ok_or_else(missing)?;
    Ok(map! { "ChangeInfo": change_out(zone, call.now(), &wanted) })
}
