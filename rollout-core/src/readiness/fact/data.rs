//! What keeps data, and what it costs.

use serde::{Deserialize, Serialize};

use crate::readiness::known::Known;
use crate::time::{DAY_MILLIS, Timestamp};

/// A database (Amazon RDS API, "DescribeDBInstances").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its engine, such as `postgres`.
    pub engine: String,
    /// Its class, such as `db.t4g.medium`.
    pub class: String,
    /// Storage in GiB.
    pub storage_gib: u32,
    /// Whether a standby in another zone takes over.
    pub multi_az: bool,
    /// How long backups are kept, in days; 0 is none.
    pub backup_days: u32,
    /// Whether its storage is encrypted.
    pub encrypted: bool,
    /// Whether it cannot be deleted.
    pub deletion_protection: bool,
    /// Whether it has a public address.
    pub public: bool,
    /// Its port.
    pub port: Option<u16>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// The most connections that it had at once in the last 14 days (metric `DatabaseConnections`, maximum).
    pub peak_connections: Known<u32>,
    /// The most connections that it takes: what its parameter group says, or what follows from its memory.
    pub max_connections: Known<u32>,
}

/// A cache (Amazon ElastiCache API, "DescribeReplicationGroups").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Its node type, such as `cache.t4g.small`.
    pub node_type: String,
    /// Its nodes.
    pub nodes: u32,
    /// Whether its nodes are in several zones.
    pub multi_az: bool,
    /// Whether a replica takes over by itself.
    pub failover: bool,
    /// Its port.
    pub port: Option<u16>,
    /// Its security groups.
    pub security_groups: Known<Vec<String>>,
}

/// A bucket of S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Whether it keeps versions (Amazon S3 API, "GetBucketVersioning").
    pub versioning: Known<bool>,
    /// Whether all four settings that block public access are on, here or for the account (Amazon S3 API,
    /// "GetPublicAccessBlock").
    pub public_access_blocked: Known<bool>,
    /// Its CORS rules; missing when it has none (Amazon S3 API, "GetBucketCors").
    pub cors: Known<Vec<CorsRule>>,
}

/// A rule of a bucket for requests from pages of other origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// Origins, with `*` as a wildcard.
    pub origins: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
}

/// A budget (AWS Budgets API, "DescribeBudgets").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The limit in hundredths of its unit.
    pub limit_cents: u64,
    /// Its unit, such as `USD`.
    pub unit: String,
    /// Its period, such as `MONTHLY`.
    pub period: String,
    /// Notifications that reach somebody: how many subscribers each has.
    pub notifications: Known<Vec<Notification>>,
}

/// A notification of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// `ACTUAL` or `FORECASTED`.
    pub kind: String,
    /// In percent of the limit.
    pub threshold_percent: u32,
    /// Who is told.
    pub subscribers: u32,
}

/// Something that people or earlier runs did, and wrote down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What it was about, such as a release, where it was about one thing.
    pub about: Option<String>,
    /// Whether it came to a good end.
    pub passed: bool,
    /// Who: a person is one however often they write.
    #[serde(default)]
    pub by: String,
    /// What came of it.
    pub text: String,
}

impl Record {
    /// Whether it is of a day that is still to come at `now`. Records have days and no time zone: one more than today is today somewhere.
    pub(crate) const fn is_ahead(&self, now: Timestamp) -> bool {
        self.at.as_millis() > now.as_millis().saturating_add(DAY_MILLIS)
    }
}
