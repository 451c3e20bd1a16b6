//! Hosted zones with their records, and whom the world is sent to.

use std::collections::BTreeSet;

use aws_sdk_route53::types as route53;
use futures_util::future::join;
use rollout_core::readiness::fact::edge::{Zone, ZoneRecord};
use rollout_core::readiness::known::{Known, Table, Unseen};

use super::call::Call;
use super::map::{count, name};
use super::round::{Asked, Refused, Round, known, table};
use crate::page::Pages;
use crate::route53::plain_name;

/// Pages of records, at most: a zone has 10,000 records unless its quota was raised.
const PAGES: usize = 1_000;

/// Zones by id.
pub(super) async fn zones(round: &Round<'_>, ids: BTreeSet<String>) -> Table<Zone> {
    table(ids, |id| async move {
        let (zone, records) = join(zone(round, &id), records(round, &id)).await;
        let zone = zone?;
        let delegated = delegated(round, &zone).await;
        Ok(Zone {
            records: known(records),
            delegated_to: delegated,
            ..zone
        })
    })
    .await
}

async fn zone(round: &Round<'_>, id: &str) -> Asked<Zone> {
    let answer = round
        .ask(
            Call::GetHostedZone,
            id,
            round.aws.route53.get_hosted_zone().id(id).send(),
        )
        .await?;
    let zone = answer
        .hosted_zone
        .ok_or_else(|| Refused::unclear(id, "route53:GetHostedZone: an answer without it"))?;
    let servers = answer
        .delegation_set
        .map(|set| set.name_servers)
        .unwrap_or_default();
    Ok(Zone {
        name: plain_name(&zone.name),
        private: zone.config.is_some_and(|config| config.private_zone),
        name_servers: servers.iter().map(|server| name(server)).collect(),
        delegated_to: Known::default(),
        records: Known::default(),
    })
}

async fn delegated(round: &Round<'_>, zone: &Zone) -> Known<Vec<String>> {
    if zone.private {
        // Nobody is sent to it from outside.
        return Known::Missing;
    }
    let Some(delegation) = &round.aws.delegation else {
        return Known::Unknown(Unseen::not_asked(&zone.name));
    };
    match delegation.name_servers(&zone.name).await {
        Ok(Some(servers)) => Known::Seen(servers),
        Ok(None) => Known::Missing,
        Err(why) => known(Err(Refused::unclear(&zone.name, format!("dns:NS: {why}")))),
    }
}

async fn records(round: &Round<'_>, id: &str) -> Asked<Vec<ZoneRecord>> {
    let mut pages = Pages::new(Call::ListRecords.operation(), PAGES);
    let mut all = Vec::new();
    let mut request = round.aws.route53.list_resource_record_sets().hosted_zone_id(id);
    loop {
        let answer = round.ask(Call::ListRecords, id, request.send()).await?;
        all.extend(answer.resource_record_sets().iter().map(record));
        // The place of the next page is three things; together they are its token.
        let place = answer
            .next_record_name()
            .filter(|_| answer.is_truncated())
            .map(|name| {
                let kind = answer.next_record_type().map_or("", |kind| kind.as_str());
                format!(
                    "{name} {kind} {}",
                    answer.next_record_identifier().unwrap_or_default()
                )
            });
        let next = pages.next(place).map_err(|error| Refused::of(&error, id))?;
        if next.is_none() {
            return Ok(all);
        }
        request = round
            .aws
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(id)
            .set_start_record_name(answer.next_record_name)
            .set_start_record_type(answer.next_record_type)
            .set_start_record_identifier(answer.next_record_identifier);
    }
}

fn record(record: &route53::ResourceRecordSet) -> ZoneRecord {
    let kind = record.r#type().as_str();
    // Names among the values are made comparable; text is as it is.
    let value = |one: &route53::ResourceRecord| match kind {
        "CNAME" | "NS" | "PTR" => plain_name(one.value()),
        _ => one.value().to_owned(),
    };
    ZoneRecord {
        name: plain_name(record.name()),
        kind: kind.to_owned(),
        ttl: record.ttl().map(count),
        alias: record.alias_target().map(|alias| plain_name(alias.dns_name())),
        values: record.resource_records().iter().map(value).collect(),
        weight: record.weight().map(count),
    }
}
