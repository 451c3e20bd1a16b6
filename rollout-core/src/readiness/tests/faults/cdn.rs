//! Distributions.

use super::data::{answer, open};
use super::{Fault, fault};
use crate::readiness::example::DISTRIBUTION;
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::edge::{Behaviour, Distribution, Origin};
use crate::readiness::known::Known;

/// Changes the distribution, if it is still there.
fn change(facts: &mut Snapshot, change: impl FnOnce(&mut Distribution)) {
    if let Some(distribution) = facts.distributions.seen_mut(DISTRIBUTION) {
        change(distribution);
    }
}

/// Puts a service before the files.
fn serve(facts: &mut Snapshot, paths: &str, origin: &str, caches: bool) {
    change(facts, |distribution| {
        distribution.origins.push(Origin {
            id: "service".to_owned(),
            domain: "shop.example.com".to_owned(),
            path: String::new(),
        });
        let behaviour = Behaviour {
            paths: paths.to_owned(),
            origin: origin.to_owned(),
            viewers: "https-only".to_owned(),
            caches,
        };
        distribution.behaviours.insert(0, behaviour);
    });
}

pub(super) fn faults() -> Vec<Fault> {
    let mut all = itself();
    all.extend(rules());
    all.extend(vec![
        fault("cloudfront_distribution_off", "it is disabled", |facts, _| {
            change(facts, |one| one.enabled = false)
        }),
        fault("cloudfront_distribution_off", "it is not there", |facts, _| {
            facts.distributions.put(DISTRIBUTION, Known::Missing);
        }),
    ]);
    all
}

fn itself() -> Vec<Fault> {
    vec![
        fault(
            "cloudfront_host_unknown",
            "the name was not added",
            |facts, intent| {
                change(facts, |one| one.aliases = vec!["old.example.com".to_owned()]);
                // Its certificate has the old name as well, and nobody asks it for fonts any more.
                for (_, certificate) in facts.certificates.iter_mut() {
                    if let Known::Seen(certificate) = certificate {
                        certificate.names.push("old.example.com".to_owned());
                    }
                }
                intent
                    .data
                    .preflights
                    .retain(|preflight| preflight.method != "GET");
            },
        ),
        fault("cloudfront_certificate_wrong", "CloudFront's own", |facts, _| {
            change(facts, |one| one.certificate = None);
        }),
        fault(
            "cloudfront_certificate_wrong",
            "another name was added",
            |facts, _| {
                change(facts, |one| one.aliases.push("cdn.example.com".to_owned()));
            },
        ),
        fault("cloudfront_tls_old", "TLS 1.0", |facts, _| {
            change(facts, |one| one.minimum_tls = Some("TLSv1_2016".to_owned()));
        }),
        fault("cloudfront_tls_old", "TLS 1.1", |facts, _| {
            change(facts, |one| one.minimum_tls = Some("TLSv1.1_2016".to_owned()));
        }),
        fault("cloudfront_web_acl_missing", "none", |facts, _| {
            change(facts, |one| one.web_acl = None)
        }),
        fault(
            "cloudfront_invalidation_missing",
            "files are replaced in silence",
            |_, intent| {
                intent.data.invalidates.clear();
            },
        ),
        fault(
            "cloudfront_cors_wrong",
            "every origin is let in",
            |facts, intent| open(facts, intent, "GET", "*"),
        ),
        fault(
            "cloudfront_cors_wrong",
            "the origin is not passed on",
            |facts, intent| {
                answer(facts, intent, "GET", |answer| answer.headers.clear());
            },
        ),
    ]
}

fn rules() -> Vec<Fault> {
    vec![
        fault(
            "cloudfront_origin_path_wrong",
            "the prefix of another release",
            |facts, _| {
                change(facts, |one| {
                    one.origins
                        .iter_mut()
                        .for_each(|origin| origin.path = "/next".to_owned())
                });
            },
        ),
        fault("cloudfront_origin_path_wrong", "the whole bucket", |facts, _| {
            change(facts, |one| {
                one.origins.iter_mut().for_each(|origin| origin.path.clear())
            });
        }),
        fault("cloudfront_http_allowed", "both", |facts, _| {
            change(facts, |one| {
                one.behaviours
                    .iter_mut()
                    .for_each(|rule| rule.viewers = "allow-all".to_owned())
            });
        }),
        fault("cloudfront_files_uncached", "caching is disabled", |facts, _| {
            change(facts, |one| {
                one.behaviours.iter_mut().for_each(|rule| rule.caches = false)
            });
        }),
        fault("cloudfront_answers_cached", "the API is cached", |facts, _| {
            serve(facts, "/api/*", "service", true)
        }),
        fault("cloudfront_origin_unknown", "it was renamed", |facts, _| {
            serve(facts, "/api/*", "backend", false)
        }),
    ]
}
