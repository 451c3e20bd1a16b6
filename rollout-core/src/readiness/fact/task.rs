//! Services of ECS and their task definitions.

use serde::{Deserialize, Serialize};

use crate::plan::secret;
use crate::time::Timestamp;

/// A service (Amazon ECS API, "DescribeServices").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its ARN.
    pub arn: String,
    /// Its status, such as `ACTIVE`.
    pub status: String,
    /// Tasks wanted.
    pub desired: u32,
    /// Tasks running.
    pub running: u32,
    /// The ARN of the task definition that it runs.
    pub task_definition: String,
    /// How its newest deployment stands, such as `COMPLETED`.
    pub rollout_state: Option<String>,
    /// Who deploys: `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub controller: String,
    /// The platform version of Fargate; `None` on other capacity.
    pub platform_version: Option<String>,
    /// Subnets of its tasks.
    pub subnets: Vec<String>,
    /// Security groups of its tasks.
    pub security_groups: Vec<String>,
    /// Whether its tasks get public addresses.
    pub public_ip: bool,
    /// Its target groups.
    pub attachments: Vec<Attachment>,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Its deployment alarms.
    pub alarms: DeploymentAlarms,
    /// The least share of `desired` that runs during a deployment, in percent.
    pub minimum_healthy_percent: u32,
    /// The greatest share, in percent.
    pub maximum_percent: u32,
    /// For how long failed load balancer checks do not count, in seconds.
    pub grace_seconds: Option<u32>,
    /// How long both revisions run after the traffic moved, in minutes; none in a rolling update without one.
    pub bake_minutes: Option<u32>,
}

/// A service behind a target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The target group's ARN.
    pub target_group: String,
    /// The container.
    pub container: String,
    /// Its port.
    pub port: u16,
}

/// The deployment circuit breaker (Amazon ECS API, "DeploymentCircuitBreaker").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it goes back.
    pub rollback: bool,
    /// Its threshold; `None` is the default one, half of `desired` and at least 3, at most 200 failures.
    pub threshold: Option<Threshold>,
}

/// A threshold of a circuit breaker (Amazon ECS API, "ThresholdConfiguration").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// The API's word for what the value is.
    pub kind: String,
    /// The value.
    pub value: u32,
}

/// Alarms that fail a deployment (Amazon ECS API, "DeploymentAlarms").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentAlarms {
    /// Whether they are watched.
    pub enabled: bool,
    /// Whether one goes back.
    pub rollback: bool,
    /// Their names.
    pub names: Vec<String>,
}

/// A task definition (Amazon ECS API, "DescribeTaskDefinition").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Whether it is `ACTIVE`.
    pub active: bool,
    /// CPU units of the task: 1,024 are one CPU.
    pub cpu: Option<u32>,
    /// Memory of the task in MiB.
    pub memory_mib: Option<u32>,
    /// `awsvpc`, `bridge`, `host` or `none`.
    pub network_mode: Option<String>,
    /// `X86_64` or `ARM64`; `None` is `X86_64`.
    pub architecture: Option<String>,
    /// The role that ECS pulls images, writes logs and reads secrets with.
    pub execution_role: Option<String>,
    /// The role that the containers have.
    pub task_role: Option<String>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// When it was registered.
    pub registered_at: Option<Timestamp>,
}

/// A container. It holds no value of any variable: whether one looks like a secret is found out while it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image as the task definition has it.
    pub image: String,
    /// Whether the task ends with it.
    pub essential: bool,
    /// Variables whose value is in the task definition.
    pub variables: Vec<Variable>,
    /// Variables whose value is a secret elsewhere.
    pub secrets: Vec<SecretRef>,
    /// Its health check.
    pub health_check: Option<HealthCheck>,
    /// Its user; `None` is the image's own.
    pub user: Option<String>,
    /// Whether its root file system cannot be written.
    pub read_only_root: bool,
    /// Whether it has all rights of the host.
    pub privileged: bool,
    /// Linux capabilities taken away.
    pub dropped: Vec<String>,
    /// Linux capabilities given.
    pub added: Vec<String>,
    /// Its log driver.
    pub log_driver: Option<String>,
    /// The log group of the driver `awslogs`.
    pub log_group: Option<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// For how long it may take to stop, in seconds; `None` is 30 (Amazon ECS API, "ContainerDefinition").
    pub stop_seconds: Option<u32>,
}

/// A variable whose value is in the task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Why its value looks like a secret, if it does; never the value.
    pub suspicion: Option<String>,
}

impl Variable {
    /// A variable with this value, of which only whether it looks like a secret is kept.
    ///
    /// # Example
    /// ```
    /// use rollout_core::readiness::fact::task::Variable;
    ///
    /// assert_eq!(Variable::of("LOG_LEVEL", "info").suspicion, None);
    /// assert!(Variable::of("DB_PASSWORD", "hunter2").suspicion.is_some());
    /// ```
    #[must_use]
    pub fn of(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            suspicion: secret::suspicion(name, value).map(ToOwned::to_owned),
        }
    }
}

/// A variable whose value is a secret elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// The variable's name.
    pub name: String,
    /// What the task definition says: an ARN, of a secret with what follows it or of a parameter, or a parameter's name.
    pub from: String,
}

/// A container's health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// What is run.
    pub command: Vec<String>,
    /// Between two checks, in seconds.
    pub interval_seconds: u32,
    /// Failures that count.
    pub retries: u32,
    /// For how long failures do not count, in seconds.
    pub start_seconds: u32,
}
