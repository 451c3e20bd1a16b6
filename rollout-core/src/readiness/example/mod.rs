//! A shop that is fit for production, with every fact of it: what to begin with to see a check, or to test one's own.
//!
//! ```
//! use rollout_core::readiness::check::Scene;
//! use rollout_core::readiness::known::Known;
//! use rollout_core::readiness::report::{Result, judge};
//! use rollout_core::readiness::{catalogue, example};
//!
//! let (mut facts, intent) = example::shop();
//! let now = facts.at;
//! let report = judge(&catalogue::all(), &Scene { facts: &facts, intent: &intent }, &[], now);
//! assert_eq!(report.result(), Result::Ready);
//!
//! // Somebody takes the web ACL away.
//! facts.balancers.seen_mut(example::BALANCER).expect("the shop has one").web_acl = Known::Missing;
//! let report = judge(&catalogue::all(), &Scene { facts: &facts, intent: &intent }, &[], now);
//! assert_eq!(report.result(), Result::NotReady);
//! ```

mod data;
mod edge;
mod intent;
mod network;
mod service;

use super::fact::Snapshot;
use super::intent::Intent;
use crate::time::{DAY_MILLIS, Timestamp};

/// The account.
pub const ACCOUNT: &str = "222222222222";
/// The region.
pub const REGION: &str = "eu-central-1";
/// The ARN of the load balancer.
pub const BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-central-1:222222222222:loadbalancer/app/storefront/50dc6c495c0c9188";
/// The ARN of the certificate.
pub const CERTIFICATE: &str =
    "arn:aws:acm:eu-central-1:222222222222:certificate/7b1d6c0e-2f7a-4c9b-8f0e-6a3f5d1c2b4a";
/// The id of the zone.
pub const ZONE: &str = "Z0STOREFRONT";
/// The name of the web ACL.
pub const WEB_ACL: &str = "storefront";
/// The ARN of the topic that alarms tell.
pub const TOPIC: &str = "arn:aws:sns:eu-central-1:222222222222:storefront-on-call";
/// The ARN of the role that deploys.
pub const DEPLOYER: &str = "arn:aws:iam::222222222222:role/storefront-deploy";
/// The id of the VPC.
pub const VPC: &str = "vpc-0a1b2c3d4e5f60718";
/// The id of the distribution.
pub const DISTRIBUTION: &str = "E2STOREFRONT0";
/// When it was looked at: 2026-11-20T10:00:00Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_795_168_800_000);

/// A shop of three services, fit for production, and a release of it that is about to be made: what was seen, and what is meant.
#[must_use]
pub fn shop() -> (Snapshot, Intent) {
    let mut facts = Snapshot {
        at: NOW,
        ..Snapshot::default()
    };
    network::put(&mut facts);
    service::put(&mut facts);
    edge::put(&mut facts);
    data::put(&mut facts);
    (facts, intent::intent())
}

/// So many days before [`NOW`].
pub(super) fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().saturating_sub(days.saturating_mul(DAY_MILLIS)))
}

/// So many days after [`NOW`].
pub(super) fn in_days(days: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().saturating_add(days.saturating_mul(DAY_MILLIS)))
}

/// Texts, owned.
fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// An identifier of the example.
#[expect(
    clippy::expect_used,
    reason = "every name here is a constant, and the tests parse them all"
)]
fn parsed<T: core::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a well-formed name")
}
