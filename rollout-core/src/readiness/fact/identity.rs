//! Who calls, and what roles may do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::image::{Secret, Store};
use crate::readiness::known::Known;
use crate::service::Identity;

/// The caller (AWS STS, "GetCallerIdentity").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Account, region and ARN.
    pub identity: Identity,
    /// Whether its access key is one that does not end: its id begins with `AKIA`, those of a session with `ASIA` (AWS IAM
    /// User Guide, "IAM identifiers").
    pub long_lived_key: Known<bool>,
}

/// A role (AWS IAM API, "GetRole").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// Who may take it: the statements of its trust policy that allow.
    pub trust: Vec<Trust>,
    /// What its policies say, inline and attached.
    pub statements: Known<Vec<Statement>>,
}

/// A statement of a trust policy that allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Principals as the policy has them, such as `ecs-tasks.amazonaws.com` or the ARN of an OIDC provider.
    pub principals: Vec<String>,
    /// Conditions: the values by operator and key, such as `StringEquals token.actions.githubusercontent.com:sub`.
    pub conditions: BTreeMap<String, Vec<String>>,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Whether it allows; otherwise it denies.
    pub allows: bool,
    /// Actions, with `*` and `?` as wildcards.
    pub actions: Vec<String>,
    /// Resources, with `*` and `?` as wildcards.
    pub resources: Vec<String>,
}

/// A question to IAM: may this principal do this (AWS IAM API, "SimulatePrincipalPolicy")?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ask {
    /// The principal's ARN.
    pub principal: String,
    /// The action, such as `ecs:UpdateService`.
    pub action: String,
    /// The resource's ARN, or `*`.
    pub resource: String,
}

impl Ask {
    /// May this role read a secret, as ECS does for a task that is to start (Amazon ECS Developer Guide, "Amazon ECS task execution IAM
    /// role")?
    #[must_use]
    pub fn to_read(role: &str, secret: &Secret) -> Self {
        let action = match secret.store {
            Store::SecretsManager => "secretsmanager:GetSecretValue",
            Store::ParameterStore => "ssm:GetParameters",
        };
        Self {
            principal: role.to_owned(),
            action: action.to_owned(),
            resource: secret.arn.clone(),
        }
    }

    /// What its answer is kept under.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} {} {}", self.principal, self.action, self.resource)
    }
}
