//! Records: where names lead.

use super::{host, shown};
use crate::readiness::check::{Ruling, Scene, Verdict};
use crate::readiness::fact::edge::{Zone, ZoneRecord};
use crate::readiness::intent::HostIntent;
use crate::readiness::known::Unseen;
use crate::readiness::scene::{about, has_name, same_name};

fn records<'a>(zone: &'a Zone, id: &str) -> Result<&'a [ZoneRecord], Unseen> {
    let records = zone.records.get();
    Ok(records.map_err(|unseen| about(unseen, id))?)
}

/// Whether a record leads somewhere: an address, or another name.
fn leads(record: &ZoneRecord) -> bool {
    matches!(record.kind.as_str(), "A" | "AAAA" | "CNAME") && record.weight != Some(0)
}

/// The records that answer for a name: its own ones, otherwise those of the nearest wildcard above it.
fn answering<'a>(records: &'a [ZoneRecord], name: &str) -> Vec<&'a ZoneRecord> {
    let of = |wanted: &str| -> Vec<_> {
        let is =
            |record: &&ZoneRecord| leads(record) && same_name(&record.name.replace("\\052", "*"), wanted);
        records.iter().filter(is).collect()
    };
    let own = of(name);
    if !own.is_empty() {
        return own;
    }
    let above = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
    let found = above
        .map(|rest| of(&format!("*{rest}")))
        .find(|found| !found.is_empty());
    found.unwrap_or_default()
}

/// What records with a name there are in the public zone that it belongs to.
pub(super) fn in_public_zone<'a>(scene: &Scene<'a>, name: &str) -> Result<Vec<&'a ZoneRecord>, Unseen> {
    let within = |zone: &Zone| {
        let rest = name.strip_suffix(zone.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let mut best: Option<(&str, &'a Zone)> = None;
    for (id, _) in scene.facts.zones.iter() {
        let Some(zone) = scene
            .facts
            .zones
            .find(id)?
            .filter(|zone| !zone.private && within(zone))
        else {
            continue;
        };
        if best.is_none_or(|(_, other)| other.name.len() < zone.name.len()) {
            best = Some((id, zone));
        }
    }
    let (id, zone) = best.ok_or_else(|| Unseen::not_asked(name))?;
    let named = records(zone, id)?
        .iter()
        .filter(|record| same_name(&record.name, name));
    Ok(named.collect())
}

/// Where a record leads, in words.
fn ends(record: &ZoneRecord) -> Vec<&str> {
    match &record.alias {
        Some(alias) => vec![alias],
        None => record.values.iter().map(String::as_str).collect(),
    }
}

fn own_records<'a>(scene: &Scene<'a>, host: &HostIntent) -> Result<Vec<&'a ZoneRecord>, Unseen> {
    let zone = scene.facts.zones.get(&host.zone)?;
    Ok(answering(records(zone, &host.zone)?, &host.name))
}

pub(super) fn arrives(scene: &Scene<'_>, name: &str) -> Ruling {
    let host = host(scene, name)?;
    let targets: Vec<&str> = match &host.target {
        Some(target) => vec![target],
        None => scene
            .balancers()?
            .into_iter()
            .map(|(_, balancer)| balancer.dns_name.as_str())
            .collect(),
    };
    if targets.is_empty() {
        return Ok(Verdict::not_applicable("there is no load balancer to point at"));
    }
    let records = own_records(scene, host)?;
    let arrives = |end: &str| targets.iter().any(|target| same_name(target, end));
    let mut wrong = Vec::new();
    for record in &records {
        for end in ends(record) {
            if !arrives(end) {
                wrong.push(format!("{} {end}", record.kind));
            }
        }
    }
    if records.is_empty() {
        wrong.push("no record".to_owned());
    }
    Ok(if host.cutover_ahead && !wrong.is_empty() {
        Verdict::not_applicable("a cutover of it is ahead")
    } else {
        Verdict::unless(&wrong, targets.join(" or "))
    })
}

pub(super) fn is_brief(scene: &Scene<'_>, name: &str) -> Ruling {
    let host = host(scene, name)?;
    let records = own_records(scene, host)?;
    if !host.cutover_ahead {
        return Ok(Verdict::not_applicable("no cutover of it is ahead"));
    }
    if host.lowers_ttl {
        return Ok(Verdict::not_applicable("the cutover lowers it itself, and waits"));
    }
    let most = scene.intent.limits.ttl_seconds;
    // An alias has none: the answer has that of what it points at.
    let long = records
        .iter()
        .filter_map(|record| record.ttl.filter(|ttl| *ttl > most).map(|ttl| (record, ttl)));
    let wrong: Vec<_> = long
        .map(|(record, ttl)| format!("{} with {ttl} s", record.kind))
        .collect();
    Ok(Verdict::unless(&wrong, format!("{most} s or less")))
}

pub(super) fn delegated(scene: &Scene<'_>, id: &str) -> Ruling {
    let zone = scene.facts.zones.get(id)?;
    if zone.private {
        return Ok(Verdict::not_applicable("only VPCs see it"));
    }
    let to = zone.delegated_to.find().map_err(|unseen| about(unseen, id))?;
    let wanted = zone.name_servers.join(", ");
    let has = |servers: &[String], wanted: &str| servers.iter().any(|server| same_name(server, wanted));
    Ok(match to {
        None => Verdict::fail("the parent knows nothing of it", wanted),
        Some(to) => {
            let right = to.iter().all(|server| has(&zone.name_servers, server))
                && zone.name_servers.iter().all(|server| has(to, server));
            let mut to = to.clone();
            to.sort();
            Verdict::when(right, || format!("the parent says {}", to.join(", ")), wanted)
        }
    })
}

pub(super) fn certified(scene: &Scene<'_>, arn: &str) -> Ruling {
    let balancer = scene.balancer(arn)?;
    let Some(shown) = shown(scene, arn)? else {
        return Ok(Verdict::not_applicable(super::NO_LISTENER));
    };
    let mut certificates = Vec::new();
    for certificate in &shown {
        certificates.push(scene.facts.certificates.get(certificate)?);
    }
    let planned = scene.hosts();
    let mut wrong = Vec::new();
    for (id, _) in scene.facts.zones.iter() {
        let Some(zone) = scene.facts.zones.find(id)? else {
            continue;
        };
        for record in records(zone, id)?.iter().filter(|record| leads(record)) {
            let here = ends(record)
                .into_iter()
                .any(|end| same_name(end, &balancer.dns_name));
            // Names of the plan are judged one by one.
            let others = !planned.iter().any(|host| same_name(host, &record.name));
            let name = record.name.replace("\\052", "*");
            if here && others && !certificates.iter().any(|one| has_name(&one.names, &name)) {
                wrong.push(format!("{name} leads here"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    Ok(Verdict::unless(
        &wrong,
        "only names that a certificate at 443 has",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, kind: &str, to: &str) -> ZoneRecord {
        ZoneRecord {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl: Some(60),
            alias: None,
            values: vec![to.to_owned()],
            weight: None,
        }
    }

    fn ends_of(records: &[ZoneRecord], name: &str) -> Vec<String> {
        answering(records, name)
            .into_iter()
            .flat_map(ends)
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn a_name_is_answered_by_its_own_records_or_the_nearest_wildcard() {
        let mut records = vec![
            record("shop.example.com", "TXT", "x"),
            record("shop.example.com.", "A", "own"),
            record("\\052.example.com", "CNAME", "far"),
            record("*.eu.example.com", "CNAME", "near"),
        ];
        assert_eq!(ends_of(&records, "SHOP.example.com"), ["own"]);
        assert_eq!(ends_of(&records, "www.example.com"), ["far"]);
        assert_eq!(ends_of(&records, "www.eu.example.com"), ["near"]);
        assert_eq!(
            ends_of(&records, "a.b.example.com"),
            ["far"],
            "a wildcard of DNS takes several labels"
        );
        assert!(ends_of(&records, "example.com").is_empty());
        records[1].weight = Some(0);
        assert_eq!(ends_of(&records, "shop.example.com"), ["far"]);
    }
}
