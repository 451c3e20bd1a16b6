//! Profiles: risks that are accepted together.

use serde::{Deserialize, Serialize};

use super::risk::AcceptedRisk;
use crate::time::Timestamp;

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The start of a product, at a low price: two zones, but one NAT gateway, one task of each service, a database and a cache in one
    /// zone, no web ACL. Each is an accepted risk with its consequence.
    Starter,
    /// Nothing is accepted.
    Production,
}

/// Who accepts a profile, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Who answers for it.
    pub owner: String,
    /// Who agreed.
    pub approver: String,
    /// When it ends.
    pub until: Timestamp,
}

/// What the profile `starter` accepts: the check, what is seen, and what may come of it.
const STARTER: &[(&str, &str, &str)] = &[
    (
        "ecs_service_tasks_too_few",
        "1 wanted",
        "the service is down while its only task restarts or is replaced",
    ),
    (
        "ec2_nat_zone_shared",
        "* goes out by * in *",
        "when the gateway's zone fails, tasks of the other zone reach nothing outside either",
    ),
    (
        "rds_instance_single_zone",
        "one zone",
        "when the database's host or zone fails, the shop is down until it is restored",
    ),
    (
        "elasticache_group_single_zone",
        "a single node",
        "when the cache's zone fails, its content is lost and every request falls on the database",
    ),
    (
        "elasticache_failover_off",
        "automatic failover is off",
        "when the only node fails, nothing takes over until it is replaced",
    ),
    (
        "wafv2_balancer_unprotected",
        "no web ACL",
        "requests that attack, and floods of them, reach the tasks",
    ),
];

impl Profile {
    /// The risks that it accepts.
    #[must_use]
    pub fn accepts(self, signed: &Signed) -> Vec<AcceptedRisk> {
        let risks = match self {
            Self::Starter => STARTER,
            Self::Production => &[],
        };
        let risk = |(check, seen, consequence): &(&str, &str, &str)| AcceptedRisk {
            check: (*check).to_owned(),
            scope: "*".to_owned(),
            seen: (*seen).to_owned(),
            reason: "the profile `starter`: it keeps the price low until there are customers".to_owned(),
            consequence: Some((*consequence).to_owned()),
            owner: signed.owner.clone(),
            approver: signed.approver.clone(),
            until: signed.until,
        };
        risks.iter().map(risk).collect()
    }
}
