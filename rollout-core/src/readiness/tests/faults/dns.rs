//! Certificates, records, zones.

use super::{Fault, fault};
use crate::readiness::example::{BALANCER, CERTIFICATE, NOW, ZONE};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::edge::{Certificate, Zone, ZoneRecord};
use crate::readiness::known::Known;
use crate::time::Timestamp;

fn certificate(facts: &mut Snapshot) -> &mut Certificate {
    facts
        .certificates
        .seen_mut(CERTIFICATE)
        .expect("the shop has one")
}

/// Changes the zone, if it is still there.
fn zone(facts: &mut Snapshot, change: impl FnOnce(&mut Zone)) {
    if let Some(zone) = facts.zones.seen_mut(ZONE) {
        change(zone);
    }
}

/// Changes the records.
fn records(facts: &mut Snapshot, change: impl FnOnce(&mut Vec<ZoneRecord>)) {
    zone(facts, |zone| {
        if let Known::Seen(records) = &mut zone.records {
            change(records);
        }
    });
}

/// Changes the record of a name.
fn record(facts: &mut Snapshot, name: &str, change: impl Fn(&mut ZoneRecord)) {
    records(facts, |records| {
        records
            .iter_mut()
            .filter(|record| record.name == name)
            .for_each(change);
    });
}

/// Changes what certificates the listener at 443 has.
fn shown(facts: &mut Snapshot, change: impl Fn(&mut Vec<String>)) {
    let balancer = facts.balancers.seen_mut(BALANCER).expect("the shop has one");
    if let Known::Seen(listeners) = &mut balancer.listeners {
        for listener in listeners.iter_mut().filter(|listener| listener.port == 443) {
            if let Known::Seen(certificates) = &mut listener.certificates {
                change(certificates);
            }
        }
    }
}

pub(super) fn faults() -> Vec<Fault> {
    let mut all = certificates();
    all.extend(names());
    all
}

fn certificates() -> Vec<Fault> {
    vec![
        fault(
            "acm_certificate_not_issued",
            "it waits for its records",
            |facts, _| {
                let certificate = certificate(facts);
                certificate.status = "PENDING_VALIDATION".to_owned();
                certificate.not_after = None;
                certificate
                    .validations
                    .iter_mut()
                    .for_each(|one| one.succeeded = false);
            },
        ),
        fault("acm_certificate_not_issued", "it has ended", |facts, _| {
            let certificate = certificate(facts);
            certificate.status = "EXPIRED".to_owned();
            certificate.not_after = Some(Timestamp::from_millis(NOW.as_millis() - 1));
        }),
        fault("acm_host_uncovered", "one name is not in it", |facts, _| {
            certificate(facts).names.retain(|name| name != "www.example.com");
        }),
        fault("acm_host_uncovered", "a wildcard of another level", |facts, _| {
            certificate(facts).names = vec!["shop.example.com".to_owned(), "*.www.example.com".to_owned()];
        }),
        fault(
            "acm_host_uncovered",
            "a host that nobody thought of",
            |_, intent| {
                if let Some(host) = intent
                    .hosts
                    .iter_mut()
                    .find(|host| host.name == "www.example.com")
                {
                    host.name = "beta.example.com".to_owned();
                }
            },
        ),
        fault(
            "elbv2_certificate_detached",
            "the listener has another one",
            |facts, _| {
                let mut other = certificate(facts).clone();
                other.names = vec!["shop.example.com".to_owned()];
                let arn = CERTIFICATE.replace("/7b1d", "/8c2e");
                facts.certificates.seen(&arn, other);
                shown(facts, |shown| shown.splice(.., [arn.clone()]).for_each(drop));
            },
        ),
        fault(
            "elbv2_certificate_detached",
            "the listener has none",
            |facts, _| {
                shown(facts, Vec::clear);
            },
        ),
        fault("acm_renewal_stuck", "its record is gone", |facts, _| {
            records(facts, |records| {
                records.retain(|record| record.name != "_0123456789abcdef.shop.example.com");
            });
        }),
        fault(
            "acm_renewal_stuck",
            "its record says something else",
            |facts, _| {
                record(facts, "_0123456789abcdef.www.example.com", |record| {
                    record.values = vec!["_old.acm-validations.aws".to_owned()];
                });
            },
        ),
        fault("acm_renewal_stuck", "it was imported", |facts, _| {
            let certificate = certificate(facts);
            certificate.issued_by_acm = false;
            certificate.validations.clear();
        }),
        fault(
            "acm_renewal_stuck",
            "somebody must answer an e-mail",
            |facts, _| {
                for validation in &mut certificate(facts).validations {
                    validation.method = "EMAIL".to_owned();
                    validation.record = None;
                }
            },
        ),
        fault("acm_renewal_stuck", "the renewal failed", |facts, _| {
            certificate(facts).renewal = Some("FAILED".to_owned());
        }),
        fault("acm_certificate_ending", "in a week", |facts, _| {
            let week = 7 * 24 * 60 * 60 * 1_000;
            certificate(facts).not_after = Some(Timestamp::from_millis(NOW.as_millis() + week));
        }),
    ]
}

fn names() -> Vec<Fault> {
    vec![
        fault("route53_zone_missing", "no such zone", |facts, _| {
            facts.zones.put(ZONE, Known::Missing);
        }),
        fault("route53_record_astray", "the old load balancer", |facts, _| {
            record(facts, "shop.example.com", |record| {
                record.alias = Some("old-1.eu-central-1.elb.amazonaws.com".to_owned());
            });
        }),
        fault("route53_record_astray", "an address", |facts, _| {
            record(facts, "assets.example.com", |record| {
                record.alias = None;
                record.ttl = Some(300);
                record.values = vec!["203.0.113.5".to_owned()];
            });
        }),
        fault("route53_record_astray", "no record", |facts, _| {
            records(facts, |records| {
                records.retain(|record| record.name != "shop.example.com")
            });
        }),
        fault("route53_record_astray", "half of it elsewhere", |facts, _| {
            records(facts, |records| {
                let found = records
                    .iter()
                    .find(|record| record.name == "shop.example.com")
                    .cloned();
                if let Some(record) = found {
                    records.push(ZoneRecord {
                        kind: "AAAA".to_owned(),
                        alias: Some("dualstack.old-1.eu-central-1.elb.amazonaws.com".to_owned()),
                        ..record
                    });
                }
            });
        }),
        fault("route53_ttl_long", "half an hour", |facts, _| {
            record(facts, "www.example.com", |record| record.ttl = Some(1_800));
        }),
        fault(
            "route53_delegation_wrong",
            "the zone before this one",
            |facts, _| {
                zone(facts, |zone| {
                    zone.delegated_to = Known::Seen(vec!["ns-9.awsdns-09.com".to_owned()])
                });
            },
        ),
        fault("route53_delegation_wrong", "one of four", |facts, _| {
            zone(facts, |zone| {
                let first = zone.name_servers.iter().take(1).cloned().collect();
                zone.delegated_to = Known::Seen(first);
            });
        }),
        fault("route53_delegation_wrong", "no delegation", |facts, _| {
            zone(facts, |zone| zone.delegated_to = Known::Missing);
        }),
        fault(
            "route53_record_uncertified",
            "a name that nobody planned",
            |facts, _| {
                records(facts, |records| {
                    let found = records
                        .iter()
                        .find(|record| record.name == "shop.example.com")
                        .cloned();
                    records.extend(found.map(|record| ZoneRecord {
                        name: "beta.example.com".to_owned(),
                        ..record
                    }));
                });
            },
        ),
    ]
}
