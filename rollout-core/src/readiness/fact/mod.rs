//! Facts: what was seen of an environment, as plain data.
//!
//! They form a graph that starts at the service: a service names its task definition, subnets, security groups and target groups, a
//! target group its load balancers, those their listeners and certificates, and so on. Each resource stands once in the
//! [`Table`] of its kind, under the name that others refer to it by; an edge is that name. What is not in its table was not
//! read, and nothing can be said of it.

pub mod answer;
pub mod data;
pub mod edge;
pub mod identity;
pub mod image;
pub mod network;
mod registered;
pub mod release;
pub mod task;
pub mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::known::{Known, Table};
use crate::time::Timestamp;

/// Everything that was seen of an environment. It holds no secret's value and no variable's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// When the first thing was asked.
    pub at: Timestamp,
    /// Who is calling.
    pub caller: Known<identity::Caller>,
    /// Roles by ARN.
    pub roles: Table<identity::Role>,
    /// What IAM answered, by [`identity::Ask::key`]: whether it is allowed.
    pub allowed: Table<bool>,
    /// Services by name.
    pub services: Table<task::Service>,
    /// Task definitions by ARN.
    pub task_definitions: Table<task::TaskDefinition>,
    /// Repositories by name.
    pub repositories: Table<image::Repository>,
    /// Images by `repository@digest`.
    pub images: Table<image::Image>,
    /// Images by `repository@digest` where the release was proven: those that the run copies.
    pub source_images: Table<image::Image>,
    /// Secrets by what task definitions name them by, see [`task::SecretRef::from`].
    pub secrets: Table<image::Secret>,
    /// Subnets by id.
    pub subnets: Table<network::Subnet>,
    /// VPCs by id.
    pub vpcs: Table<network::Vpc>,
    /// Security groups by id.
    pub security_groups: Table<network::SecurityGroup>,
    /// Target groups by ARN.
    pub target_groups: Table<edge::TargetGroup>,
    /// Load balancers by ARN.
    pub balancers: Table<edge::Balancer>,
    /// Certificates by ARN.
    pub certificates: Table<edge::Certificate>,
    /// Zones by id.
    pub zones: Table<edge::Zone>,
    /// Web ACLs by name.
    pub web_acls: Table<edge::WebAcl>,
    /// Distributions by id.
    pub distributions: Table<edge::Distribution>,
    /// All alarms of account and region, by name.
    pub alarms: Known<BTreeMap<String, watch::Alarm>>,
    /// Topics by ARN.
    pub topics: Table<watch::Topic>,
    /// Dashboards by name.
    pub dashboards: Table<watch::Dashboard>,
    /// Log groups by name.
    pub log_groups: Table<watch::LogGroup>,
    /// Databases by identifier.
    pub databases: Table<data::Database>,
    /// Caches by identifier of their replication group.
    pub caches: Table<data::Cache>,
    /// Buckets by name.
    pub buckets: Table<data::Bucket>,
    /// All budgets of the account, by name.
    pub budgets: Known<BTreeMap<String, data::Budget>>,
    /// Answers of services that were asked over HTTP, by [`Question::key`].
    pub answers: Table<answer::Answer>,
    /// What each service would go back to, by its name.
    pub ways_back: Table<release::WayBack>,
    /// What each service of the environment that the release comes from runs, by its name.
    pub proven: Table<release::Proven>,
    /// What people have written down.
    pub records: release::Records,
    /// How many calls it took, by operation such as `ec2:DescribeSubnets`.
    pub calls: BTreeMap<String, u32>,
}

/// A request that a service is asked with while facts are gathered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// `GET` or `OPTIONS`.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
}

impl Question {
    /// A plain request.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.into(),
            headers: BTreeMap::new(),
        }
    }

    /// What a browser asks before a page of `origin` may send a request with `method` (Fetch standard, "CORS-preflight fetch").
    #[must_use]
    pub fn preflight(url: impl Into<String>, origin: &str, method: &str) -> Self {
        let headers = [("origin", origin), ("access-control-request-method", method)];
        Self {
            method: "OPTIONS".to_owned(),
            url: url.into(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// What its answer is kept under.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = format!("{} {}", self.method, self.url);
        for (name, value) in &self.headers {
            key.push_str(&format!(" {name}={value}"));
        }
        key
    }
}
