//! What a gate samples, and what a sample says.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::id::{ProbeName, ServiceName};
use crate::service::Images;
use crate::time::{Timestamp, millis};

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProbeTarget {
    /// The health of a target group's targets (Amazon ELB API, "DescribeTargetHealth").
    TargetHealth {
        /// The target group's ARN.
        target_group: String,
        /// How many targets must be healthy.
        at_least: u32,
    },
    /// One HTTP request.
    Http(HttpProbe),
    /// CloudWatch alarms, none of which may be in ALARM.
    Alarms {
        /// Their names.
        names: Vec<String>,
    },
    /// The checks of the environment's [`readiness`](crate::readiness): a blocking one that fails is a failure, one that cannot be
    /// judged is unknown.
    Readiness,
    /// The team's own probe.
    Custom {
        /// Which one.
        name: String,
        /// What it is told.
        parameters: serde_json::Value,
    },
}

/// One HTTP request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// The URL, `http` or `https`.
    pub url: String,
    /// The expected status codes; empty means 200 to 299.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// The longest time to the whole answer that still passes.
    #[serde(with = "millis")]
    pub latency: Duration,
    /// The longest time to wait for an answer at all.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// How many redirects to follow. Each is checked like the first address.
    #[serde(default)]
    pub redirects: u32,
}

/// What one sample is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRequest {
    /// The probe's name.
    pub probe: ProbeName,
    /// What it looks at.
    pub target: ProbeTarget,
    /// What is judged.
    pub subject: Subject,
}

/// The change that a gate judges. Evidence from before it, or of another version, does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The service, if the gate is one service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The digests that must be seen, where the source of evidence can tell versions apart.
    #[serde(default)]
    pub images: Images,
    /// When the change was made.
    pub changed_at: Timestamp,
}

/// What a sample says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Healthy.
    Pass,
    /// Not healthy.
    Fail,
    /// No data, late data, or data that tells nothing. Never a pass.
    Unknown,
}

/// One sample. The port takes it; the machine judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The moment that the data speaks of: when the other side was asked, or the data point's own time if it is older.
    pub at: Timestamp,
    /// What it says.
    pub verdict: Verdict,
    /// The version that the data speaks of, where the source can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Images>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}
