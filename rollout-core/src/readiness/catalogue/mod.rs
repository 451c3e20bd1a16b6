//! Every check that comes with this crate, one file for each area.

/// Writes a rule down, so that the file of an area reads like the list that it is.
macro_rules! rule {
    (
        $id:literal, $area:ident, $severity:ident, $blocking:ident, $tiers:ident,
        title: $title:literal,
        why: $why:literal,
        remedy: $text:literal,
        cli: $cli:literal,
        terraform: $terraform:literal,
        cdk: $cdk:literal,
        source: $source:literal,
        over: $over:expr $(,)?
    ) => {
        $crate::readiness::check::Rule {
            about: $crate::readiness::check::About {
                id: ::std::borrow::Cow::Borrowed($id),
                title: ::std::borrow::Cow::Borrowed($title),
                why: ::std::borrow::Cow::Borrowed($why),
                area: $crate::readiness::check::Area::$area,
                severity: $crate::readiness::check::Severity::$severity,
                blocking: $crate::readiness::catalogue::$blocking,
                tiers: ::std::borrow::Cow::Borrowed($crate::readiness::check::$tiers),
                remedy: $crate::readiness::check::Remedy {
                    text: ::std::borrow::Cow::Borrowed($text),
                    cli: ::std::borrow::Cow::Borrowed($cli),
                    terraform: ::std::borrow::Cow::Borrowed($terraform),
                    cdk: ::std::borrow::Cow::Borrowed($cdk),
                },
                source: ::std::borrow::Cow::Borrowed($source),
            },
            over: $over,
        }
    };
}

mod balancer;
mod cdn;
mod cost;
mod data;
mod dns;
mod identity;
mod image;
mod lifecycle;
mod network;
mod observability;
mod preflight;
mod procedure;
mod rollback;
mod secrets;
mod service;
mod task;
mod waf;

use super::check::{Check, Over, Rule, Scene};
use super::known::Unseen;

/// A failure refuses a release.
const BLOCKING: bool = true;
/// A failure only advises.
const ADVISORY: bool = false;

/// The rules in the order of a report.
const AREAS: &[&[Rule]] = &[
    identity::RULES,
    network::RULES,
    secrets::RULES,
    image::RULES,
    task::RULES,
    service::RULES,
    balancer::RULES,
    dns::RULES,
    waf::RULES,
    observability::RULES,
    data::RULES,
    cdn::RULES,
    cost::RULES,
    rollback::RULES,
    procedure::RULES,
];

/// Every check that comes with this crate, in the order of a report.
#[must_use]
pub fn all() -> Vec<Box<dyn Check>> {
    let rules = AREAS.iter().copied().flatten();
    rules
        .map(|rule| -> Box<dyn Check> { Box::new(rule.clone()) })
        .collect()
}

/// Looks at each load balancer that services are behind.
const fn each_balancer(judge: fn(&Scene<'_>, &str) -> super::check::Ruling) -> Over {
    Over::Each {
        which: |scene| scene.all_balancers(),
        judge,
    }
}

/// Looks at each service.
const fn each_service(judge: fn(&Scene<'_>, &str) -> super::check::Ruling) -> Over {
    Over::Each {
        which: |scene| Ok::<_, Unseen>(scene.services()),
        judge,
    }
}

/// Looks at each service that takes requests.
const fn each_balanced(judge: fn(&Scene<'_>, &str) -> super::check::Ruling) -> Over {
    Over::Each {
        which: |scene| Ok::<_, Unseen>(scene.balanced()),
        judge,
    }
}
