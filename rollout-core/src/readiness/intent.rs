//! What the environment is meant to be: what checks compare facts with, and where the gathering of facts starts.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fact::Question;
use super::fact::identity::Ask;
use super::price::Prices;
use crate::id::{EnvironmentName, ServiceName};
use crate::plan::ExpectedIdentity;
use crate::plan::window::Window;
use crate::time::millis;

/// How much rests on an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// People try things out.
    Development,
    /// Releases are proven here.
    Staging,
    /// Customers are served here.
    Production,
}

/// What an environment is meant to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its name.
    pub environment: EnvironmentName,
    /// How much rests on it.
    pub tier: Tier,
    /// Who the caller must be.
    pub expects: ExpectedIdentity,
    /// Its cluster.
    pub cluster: String,
    /// Its services.
    pub services: Vec<ServiceIntent>,
    /// Its host names.
    pub hosts: Vec<HostIntent>,
    /// What it keeps data in.
    pub data: DataIntent,
    /// Who deploys to it, and from where.
    pub deployer: DeployerIntent,
    /// How it is watched.
    pub watch: WatchIntent,
    /// What it may cost.
    pub cost: CostIntent,
    /// How people go about a release.
    pub procedure: ProcedureIntent,
    /// The release that is about to be made, if one is.
    pub release: Option<Release>,
    /// Numbers that checks compare with.
    pub limits: Limits,
    /// The team's own questions over HTTP, for its own checks.
    pub questions: Vec<Question>,
}

impl Intent {
    /// A service by its name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceIntent> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }

    /// Every request that services are asked with while facts are gathered.
    #[must_use]
    pub fn asked(&self) -> Vec<Question> {
        let health = self.services.iter().flat_map(|service| {
            let paths = [&service.live, &service.ready].into_iter().flatten();
            paths.filter_map(|path| service.url(path)).map(Question::get)
        });
        let preflights = self.data.preflights.iter();
        let preflights = preflights.flat_map(|one| [one.question(), one.strangers_question()]);
        health
            .chain(preflights)
            .chain(self.questions.iter().cloned())
            .collect()
    }
}

/// What a service is meant to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceIntent {
    /// Its name.
    pub name: ServiceName,
    /// Its name where the release was proven; `None` is the same one.
    pub proven_as: Option<ServiceName>,
    /// The port of its container that a load balancer sends requests to; none of a worker.
    pub port: Option<u16>,
    /// The path that says that a task lives, such as `/health/live`.
    pub live: Option<String>,
    /// The path that says that a task can take requests, such as `/health/ready`.
    pub ready: Option<String>,
    /// Where the two are asked, such as `https://shop.example.com`; without it they are not.
    pub base_url: Option<String>,
    /// Patterns of paths that a listener must send to it, such as `/api/*`.
    pub paths: Vec<String>,
    /// For how long its longest gate may take, bake times included.
    #[serde(with = "millis")]
    pub patience: Duration,
    /// The container architecture of its images; `None` is what its task definition says.
    pub architecture: Option<String>,
}

impl ServiceIntent {
    /// The URL of a path of it; `None` when it is not known where it can be asked.
    #[must_use]
    pub fn url(&self, path: &str) -> Option<String> {
        let base = self.base_url.as_deref()?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }
}

/// A host name that the environment serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIntent {
    /// The name, without a dot at the end.
    pub name: String,
    /// The id of its zone.
    pub zone: String,
    /// What serves it: the name that DNS has for a load balancer or a distribution; `None` is the load balancer of the services.
    pub target: Option<String>,
    /// Whether a cutover of it is ahead.
    pub cutover_ahead: bool,
    /// Whether the cutover itself lowers the TTL first, and waits for the old one to pass.
    pub lowers_ttl: bool,
    /// For how long what served it before is kept after a cutover, in seconds.
    pub kept_seconds: Option<u32>,
}

/// What the environment keeps data in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIntent {
    /// Database instances by identifier.
    pub databases: Vec<String>,
    /// Replication groups of caches by identifier.
    pub caches: Vec<String>,
    /// Buckets by name, each with the prefix that tasks may use; an empty one is the whole bucket.
    pub buckets: BTreeMap<String, String>,
    /// Distributions by id.
    pub distributions: Vec<String>,
    /// Origins of pages that may send requests to buckets and services, such as `https://shop.example.com`.
    pub origins: BTreeSet<String>,
    /// What browsers ask before they send a request, or send with their origin; asked also from a page that nobody knows.
    pub preflights: Vec<Preflight>,
    /// Whether files are replaced under the same name by a release: then an invalidation must be part of it.
    pub replaces_files: bool,
    /// The distributions that the release invalidates.
    pub invalidates: Vec<String>,
    /// The prefix that the distributions' origins must have, such as `/current`.
    pub origin_path: Option<String>,
}

/// What browsers ask before they send a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preflight {
    /// Where.
    pub url: String,
    /// From a page of this origin.
    pub origin: String,
    /// With this method.
    pub method: String,
}

/// The origin of a page that no environment knows: the name can never exist (RFC 6761, "The invalid domain").
pub const STRANGER: &str = "https://stranger.invalid";

impl Preflight {
    /// As a request. Browsers ask nothing before a `GET` or `HEAD`: then it is the request itself, a `GET` with its origin.
    #[must_use]
    pub fn question(&self) -> Question {
        self.question_from(&self.origin)
    }

    /// The same from a page of [`STRANGER`]: an answer that lets it in lets everybody in.
    #[must_use]
    pub fn strangers_question(&self) -> Question {
        self.question_from(STRANGER)
    }

    fn question_from(&self, origin: &str) -> Question {
        match self.method.as_str() {
            "GET" | "HEAD" => Question {
                headers: [("origin".to_owned(), origin.to_owned())].into(),
                ..Question::get(&self.url)
            },
            method => Question::preflight(&self.url, origin, method),
        }
    }
}

/// Who deploys, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployerIntent {
    /// The ARN of the role that deploys; `None` is the caller's.
    pub role: Option<String>,
    /// The repository on GitHub, `owner/name`, whose workflows may take that role.
    pub repository: Option<String>,
    /// The environment on GitHub that such a workflow must name.
    pub environment: Option<String>,
    /// What the release and its way back must be allowed to do.
    pub asks: Vec<Ask>,
}

/// How the environment is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchIntent {
    /// The dashboard's name.
    pub dashboard: Option<String>,
    /// The application's own alarms: for each slot, such as `checkout-errors`, the alarm's name; an empty one is not filled.
    pub slots: BTreeMap<String, String>,
}

/// What the environment may cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostIntent {
    /// The budget's name.
    pub budget: Option<String>,
    /// The most that it may cost a month, in US cents.
    pub monthly_cents: Option<u64>,
    /// What things cost.
    pub prices: Prices,
}

impl Default for CostIntent {
    fn default() -> Self {
        Self {
            budget: None,
            monthly_cents: None,
            prices: Prices::known(),
        }
    }
}

/// How people go about a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcedureIntent {
    /// When a release may begin, with its freezes.
    pub window: Option<Window>,
    /// Who answers for what, such as `database`.
    pub owners: BTreeMap<String, String>,
    /// The areas that somebody must answer for.
    pub areas: Vec<String>,
    /// How many people must have agreed.
    pub approvals: u32,
    /// For how long a release must have run where it was proven.
    #[serde(with = "millis")]
    pub soak: Duration,
    /// Whether smoke tests must have passed there.
    pub smoke_tests: bool,
}

/// A release that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// What each service will run: `repository@digest` by container, in the target's registry.
    pub images: BTreeMap<ServiceName, BTreeMap<String, String>>,
    /// Images that the run itself copies into the target's registry, so that they need not be there yet: `repository@digest` in
    /// the source's, by the one in the target's.
    pub copies: BTreeMap<String, String>,
    /// The task definition that each service will run, where it is known before it is registered.
    pub task_definitions: BTreeMap<ServiceName, super::fact::task::TaskDefinition>,
    /// Its migrations, by the task's name: whether the old release can live with what it does; `None` is not marked.
    pub migrations: BTreeMap<String, Option<bool>>,
}

/// Numbers that checks compare with. [`Default`] is what the issue of each check argues for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Tasks of a service, at least.
    pub tasks: u32,
    /// Zones, at least.
    pub zones: u32,
    /// Age of a secret's value, in days, at most.
    pub secret_days: u32,
    /// The prefix that names of secrets must begin with; `None` is `environment/` of the environment's name.
    pub secret_prefix: Option<String>,
    /// Findings of an image scan by severity, at most; a severity that is not named may have any number.
    pub findings: BTreeMap<String, u32>,
    /// Images that a lifecycle policy must keep, at least.
    pub images_kept: u32,
    /// Drain time of a target in seconds, at most, where fewer than 10 tasks run.
    pub deregistration_seconds: u32,
    /// Days that a certificate is still valid for, at least.
    pub certificate_days: u32,
    /// TTL of a record ahead of its cutover, in seconds, at most.
    pub ttl_seconds: u32,
    /// Requests in five minutes from one address, at most.
    pub rate: u64,
    /// Retention of a database's backups in days, at least.
    pub backup_days: u32,
    /// Age of the last restore test and of the last rollback drill in days, at most.
    pub drill_days: u32,
    /// Share of a database's connections that its peak may have taken, in percent.
    pub connections_percent: u32,
    /// Retention of logs in days, at least.
    pub log_days: u32,
    /// How long what served before is kept after a cutover, beyond the TTL, in seconds, at least.
    pub margin_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks: 2,
            zones: 2,
            secret_days: 365,
            secret_prefix: None,
            findings: [("CRITICAL".to_owned(), 0), ("HIGH".to_owned(), 0)].into(),
            images_kept: 10,
            deregistration_seconds: 30,
            certificate_days: 30,
            ttl_seconds: 60,
            rate: 2_000,
            backup_days: 7,
            drill_days: 90,
            connections_percent: 80,
            log_days: 14,
            margin_seconds: 300,
        }
    }
}
