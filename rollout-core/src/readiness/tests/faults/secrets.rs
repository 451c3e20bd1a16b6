//! Secrets.

use super::service::container;
use super::{Fault, fault};
use crate::readiness::example::{ACCOUNT, NOW};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::identity::{Ask, Statement};
use crate::readiness::fact::image::Secret;
use crate::readiness::fact::task::Variable;
use crate::readiness::known::Known;
use crate::time::Timestamp;

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:222222222222:secret:production/database-AbCdEf";

fn secret(facts: &mut Snapshot) -> &mut Secret {
    facts.secrets.seen_mut(SECRET).expect("the shop has it")
}

fn allow(facts: &mut Snapshot, action: &str, resource: &str) {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/storefront-backend");
    let role = facts.roles.seen_mut(&role).expect("the shop has it");
    if let Known::Seen(statements) = &mut role.statements {
        statements.push(Statement {
            allows: true,
            actions: vec![action.to_owned()],
            resources: vec![resource.to_owned()],
        });
    }
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault(
            "ecs_container_secret_plaintext",
            "a password in clear",
            |_, intent| {
                let variable = Variable::of("DB_PASSWORD", "hunter2");
                container(intent).variables.push(variable);
            },
        ),
        fault(
            "ecs_container_secret_plaintext",
            "a random value in clear",
            |_, intent| {
                let variable = Variable::of("SIGNING", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
                container(intent).variables.push(variable);
            },
        ),
        fault("secretsmanager_secret_missing", "no such secret", |facts, _| {
            facts.secrets.put(SECRET, Known::Missing);
        }),
        fault(
            "secretsmanager_secret_missing",
            "somebody has deleted it",
            |facts, _| {
                secret(facts).deleted_at = Some(NOW);
            },
        ),
        fault("secretsmanager_secret_foreign", "staging's", |facts, _| {
            secret(facts).name = "staging/database".to_owned();
        }),
        fault("secretsmanager_secret_unreadable", "denied", |facts, _| {
            let role = format!("arn:aws:iam::{ACCOUNT}:role/storefront-execution");
            let ask = Ask::to_read(&role, secret(facts));
            facts.allowed.seen(ask.key(), false);
        }),
        fault(
            "secretsmanager_secret_unreadable",
            "no execution role",
            |_, intent| {
                super::service::definition(intent).execution_role = None;
            },
        ),
        fault("secretsmanager_secret_stale", "two years old", |facts, _| {
            let years = 2 * 365 * 24 * 60 * 60 * 1_000;
            secret(facts).changed_at = Some(Timestamp::from_millis(NOW.as_millis() - years));
        }),
        fault(
            "ssm_parameter_secret_plaintext",
            "a plain parameter",
            |facts, _| {
                secret(facts).encrypted = false;
            },
        ),
        fault("iam_task_role_secrets_open", "all secrets", |facts, _| {
            allow(facts, "secretsmanager:GetSecretValue", "*");
        }),
        fault(
            "iam_task_role_secrets_open",
            "every action on all secrets",
            |facts, _| {
                allow(facts, "secretsmanager:*", "arn:aws:secretsmanager:*");
            },
        ),
        fault(
            "iam_task_role_secrets_open",
            "staging's parameters",
            |facts, _| {
                allow(
                    facts,
                    "ssm:Get*",
                    "arn:aws:ssm:eu-central-1:222222222222:parameter/staging/*",
                );
            },
        ),
    ]
}
