//! What watches an environment, and whom it tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An alarm (Amazon CloudWatch API, "DescribeAlarms").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Whether its actions are on.
    pub actions_enabled: bool,
    /// What it does when it goes to `ALARM`: ARNs.
    pub actions: Vec<String>,
    /// What it watches; nothing for a composite one, and for one of an expression.
    pub metric: Option<Metric>,
    /// What its expression is made of, such as wanted and running tasks, where it watches one.
    #[serde(default)]
    pub expression: Vec<Metric>,
}

/// A metric of CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Metric {
    /// Its namespace, such as `AWS/ECS`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions: name and value.
    pub dimensions: BTreeMap<String, String>,
}

/// A topic that alarms tell (Amazon SNS API, "ListSubscriptionsByTopic").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Subscriptions that are confirmed.
    pub confirmed: u32,
    /// Subscriptions that nobody has confirmed.
    pub pending: u32,
}

/// A dashboard (Amazon CloudWatch API, "GetDashboard").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dashboard {
    /// The metrics that its widgets show; dimensions as far as they are written out.
    pub metrics: Vec<Metric>,
}

/// A log group (Amazon CloudWatch Logs API, "DescribeLogGroups").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// How long entries are kept, in days; `None` is for ever.
    pub retention_days: Option<u32>,
}
