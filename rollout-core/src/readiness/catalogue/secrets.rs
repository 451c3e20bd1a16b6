//! Secrets: where they are, and who reads them.

use std::collections::BTreeSet;

use super::each_service;
use super::rollback::day;
use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::identity::{Ask, Statement};
use crate::readiness::fact::image::Secret;
use crate::readiness::fact::task::SecretRef;
use crate::readiness::known::{Unseen, Why};
use crate::readiness::risk::matches;
use crate::readiness::scene::about;
use crate::time::DAY_MILLIS;

/// What reads the value of a secret or of a parameter.
const READS: [&str; 5] = [
    "secretsmanager:getsecretvalue",
    "secretsmanager:batchgetsecretvalue",
    "ssm:getparameter",
    "ssm:getparameters",
    "ssm:getparametersbypath",
];

pub(super) const RULES: &[Rule] = &[
    rule!(
        "ecs_container_secret_plaintext", Secrets, Critical, BLOCKING, EVERYWHERE,
        title: "No secret stands in plain text in the task definition",
        why: "Everybody who may describe a task definition can read it, in every revision, for ever.",
        remedy: "Keep the value in Secrets Manager, name it under `secrets`, and change it: it has been seen.",
        cli: "aws secretsmanager create-secret --name <environment>/<name> --secret-string file://<file>",
        terraform: "aws_ecs_task_definition.container_definitions secrets",
        cdk: "ContainerDefinitionOptions secrets",
        source: "Amazon ECS Developer Guide, \"Pass sensitive data to an Amazon ECS container\"",
        over: each_service(plain),
    ),
    rule!(
        "secretsmanager_secret_missing", Secrets, Critical, BLOCKING, STAGING_TOO,
        title: "Every secret that a task takes is there",
        why: "A task with a secret that is gone does not start.",
        remedy: "Create the secret, restore it, or correct its name in the task definition.",
        cli: "aws secretsmanager describe-secret --secret-id <secret>",
        terraform: "aws_secretsmanager_secret",
        cdk: "Secret",
        source: "Amazon ECS Developer Guide, \"Pass Secrets Manager secrets through Amazon ECS environment variables\"",
        over: Over::Each { which: secrets, judge: present },
    ),
    rule!(
        "secretsmanager_secret_foreign", Secrets, High, BLOCKING, STAGING_TOO,
        title: "Every secret that a task takes is the environment's own",
        why: "A task that takes another environment's secret writes into that one's database.",
        remedy: "Keep the value under the environment's prefix, and name that in the task definition.",
        cli: "aws secretsmanager create-secret --name <environment>/<name> --secret-string file://<file>",
        terraform: "aws_secretsmanager_secret.name",
        cdk: "Secret secretName",
        source: "AWS Prescriptive Guidance, \"Using a hierarchical naming convention for secrets\"",
        over: Over::Each {
            which: secrets,
            judge: |scene, from| {
                of_secret(scene, from, |secret| {
                    let prefix = prefix(scene);
                    let name = secret.name.trim_start_matches('/');
                    Ok(Verdict::when(name.starts_with(&prefix), || secret.name.clone(), format!("a name under {prefix}")))
                })
            },
        },
    ),
    rule!(
        "secretsmanager_secret_unreadable", Secrets, Critical, BLOCKING, STAGING_TOO,
        title: "The execution role may read every secret that a task takes",
        why: "ECS reads secrets with the execution role before a task starts: without the right to it none does.",
        remedy: "Allow the execution role secretsmanager:GetSecretValue, or ssm:GetParameters, on just these ARNs.",
        cli: "aws iam put-role-policy --role-name <execution role> --policy-name secrets --policy-document <file>",
        terraform: "aws_iam_role_policy",
        cdk: "Secret grantRead",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task execution IAM role\"",
        over: each_service(readable),
    ),
    rule!(
        "secretsmanager_secret_stale", Secrets, Medium, ADVISORY, PRODUCTION,
        title: "Every secret's value was changed lately",
        why: "Who has read it once, and left since, can still use it.",
        remedy: "Turn rotation on, or change the value by hand and deploy.",
        cli: "aws secretsmanager rotate-secret --secret-id <secret>",
        terraform: "aws_secretsmanager_secret_rotation",
        cdk: "Secret addRotationSchedule",
        source: "AWS Secrets Manager User Guide, \"Rotate AWS Secrets Manager secrets\"",
        over: Over::Each {
            which: secrets,
            judge: |scene, from| of_secret(scene, from, |secret| rotated(scene, from, secret)),
        },
    ),
    rule!(
        "ssm_parameter_secret_plaintext", Secrets, High, BLOCKING, STAGING_TOO,
        title: "Every secret is kept encrypted",
        why: "A parameter of type String is readable to everybody who may read parameters, without any key.",
        remedy: "Make it a SecureString.",
        cli: "aws ssm put-parameter --name <name> --type SecureString --overwrite --value file://<file>",
        terraform: "aws_ssm_parameter.type",
        cdk: "StringParameter fromSecureStringParameterAttributes",
        source: "AWS Systems Manager User Guide, \"AWS Systems Manager Parameter Store\"",
        over: Over::Each {
            which: secrets,
            judge: |scene, from| {
                of_secret(scene, from, |secret| {
                    Ok(Verdict::when(secret.encrypted, || "not encrypted".to_owned(), "a SecureString"))
                })
            },
        },
    ),
    rule!(
        "iam_task_role_secrets_open", Secrets, High, BLOCKING, PRODUCTION,
        title: "The task role reads no secrets but the environment's",
        why: "Who gets into a task has its role: with the right to all secrets of the account, every environment's.",
        remedy: "Name the ARNs of the secrets in the policy, or the environment's prefix, in place of `*`.",
        cli: "aws iam put-role-policy --role-name <task role> --policy-name secrets --policy-document <file>",
        terraform: "aws_iam_role_policy",
        cdk: "Secret grantRead",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task IAM role\"",
        over: each_service(bounded),
    ),
];

fn plain(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut wrong = Vec::new();
    for container in &scene.task_definition(name)?.containers {
        for variable in &container.variables {
            if let Some(why) = &variable.suspicion {
                wrong.push(format!("{}: {}: {why}", container.name, variable.name));
            }
        }
    }
    Ok(Verdict::unless(&wrong, "named under secrets"))
}

fn taken<'a>(scene: &Scene<'a>, service: &str) -> Result<Vec<&'a SecretRef>, Unseen> {
    let containers = &scene.task_definition(service)?.containers;
    Ok(containers
        .iter()
        .flat_map(|container| &container.secrets)
        .collect())
}

/// What all task definitions name secrets by.
fn secrets(scene: &Scene<'_>) -> Result<Vec<String>, Unseen> {
    let mut all = BTreeSet::new();
    for service in scene.services() {
        all.extend(
            taken(scene, &service)?
                .into_iter()
                .map(|secret| secret.from.clone()),
        );
    }
    Ok(all.into_iter().collect())
}

fn present(scene: &Scene<'_>, from: &str) -> Ruling {
    let wanted = "a secret that stays";
    Ok(match scene.facts.secrets.find(from)? {
        None => Verdict::fail("there is no such secret", wanted),
        Some(secret) => match secret.deleted_at {
            Some(at) => Verdict::fail(format!("it is deleted, and gone on {}", day(at)), wanted),
            None => Verdict::Pass,
        },
    })
}

/// Judges a secret that is there: that it is not is another check's failure.
fn of_secret(scene: &Scene<'_>, from: &str, judge: impl FnOnce(&Secret) -> Ruling) -> Ruling {
    match scene.facts.secrets.find(from)? {
        Some(secret) => judge(secret),
        None => Ok(Verdict::not_applicable("there is no such secret")),
    }
}

/// What names of the environment's secrets begin with, without a slash in front of it.
fn prefix(scene: &Scene<'_>) -> String {
    let limits = &scene.intent.limits;
    let own = limits
        .secret_prefix
        .as_deref()
        .map(|prefix| prefix.trim_start_matches('/'));
    own.map_or_else(|| format!("{}/", scene.intent.environment), ToOwned::to_owned)
}

fn readable(scene: &Scene<'_>, service: &str) -> Ruling {
    let taken = taken(scene, service)?;
    if taken.is_empty() {
        return Ok(Verdict::not_applicable("it takes no secret"));
    }
    let wanted = "the execution role may read them";
    let Some(role) = &scene.task_definition(service)?.execution_role else {
        return Ok(Verdict::fail("no execution role", wanted));
    };
    let mut wrong = Vec::new();
    let mut unseen = None;
    let mut judged = false;
    for reference in taken {
        let allowed = scene.facts.secrets.find(&reference.from).and_then(|secret| {
            let Some(secret) = secret else {
                return Ok(None);
            };
            let ask = Ask::to_read(role, secret);
            let allowed = *scene.facts.allowed.get(&ask.key())?;
            Ok(Some((ask, allowed)))
        });
        match allowed {
            Ok(Some((ask, allowed))) => {
                judged = true;
                if !allowed {
                    wrong.push(format!("{}: {} is denied", reference.name, ask.action));
                }
            }
            Ok(None) => {}
            Err(one) => unseen = Some(one),
        }
    }
    match unseen {
        Some(unseen) if wrong.is_empty() => Err(unseen),
        Some(_) | None if judged => Ok(Verdict::unless(&wrong, wanted)),
        Some(_) | None => Ok(Verdict::not_applicable("none of its secrets is there")),
    }
}

fn rotated(scene: &Scene<'_>, from: &str, secret: &Secret) -> Ruling {
    let days = scene.intent.limits.secret_days;
    let Some(changed) = secret.changed_at else {
        return Err(Unseen::new(
            Why::Failed,
            from,
            "nothing says when its value was changed",
        ));
    };
    let age = u64::try_from(scene.facts.at.since(changed).as_millis()).unwrap_or(u64::MAX);
    let young = age <= u64::from(days).saturating_mul(DAY_MILLIS);
    let seen = || format!("last changed on {}", day(changed));
    Ok(Verdict::when(
        young,
        seen,
        format!("changed in the last {days} days"),
    ))
}

fn bounded(scene: &Scene<'_>, service: &str) -> Ruling {
    let Some(arn) = &scene.task_definition(service)?.task_role else {
        return Ok(Verdict::not_applicable("it has no task role"));
    };
    let role = scene.facts.roles.get(arn)?;
    let statements = role.statements.get().map_err(|unseen| about(unseen, arn))?;
    let prefix = prefix(scene);
    let mut own = BTreeSet::new();
    for from in secrets(scene)? {
        if let Some(secret) = scene.facts.secrets.find(&from)? {
            own.insert(secret.arn.as_str());
        }
    }
    let reads = statements
        .iter()
        .filter(|statement| statement.allows && may_read(statement));
    let open = reads
        .flat_map(|statement| &statement.resources)
        .filter(|resource| is_open(resource, &prefix) && !own.contains(resource.as_str()));
    let open: BTreeSet<String> = open.map(|resource| format!("may read {resource}")).collect();
    let open: Vec<String> = open.into_iter().collect();
    Ok(Verdict::unless(&open, format!("only what is under {prefix}")))
}

/// Names of actions are compared without regard to case (AWS IAM User Guide, "IAM JSON policy elements: Action").
fn may_read(statement: &Statement) -> bool {
    let mut patterns = statement.actions.iter().map(|action| action.to_ascii_lowercase());
    patterns.any(|pattern| READS.iter().any(|action| matches(&pattern, action)))
}

/// Whether a resource of a policy takes in secrets or parameters outside a prefix.
fn is_open(resource: &str, prefix: &str) -> bool {
    let kinds = [("secretsmanager", ":secret:"), ("ssm", ":parameter/")];
    let literal = resource.split(['*', '?']).next().unwrap_or_default();
    kinds.iter().any(|(service, kind)| {
        // A pattern may be of this service unless what stands before its first wildcard says otherwise.
        let begins = format!("arn:aws:{service}:");
        let may_be = literal.starts_with(&begins) || begins.starts_with(literal) || {
            let mut parts = literal.split(':');
            parts.nth(2) == Some(service)
        };
        let within = resource
            .split_once(kind)
            .is_some_and(|(_, name)| name.starts_with(prefix));
        may_be && !within
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_open_unless_it_stays_under_the_prefix() {
        for open in [
            "*",
            "arn:aws:*",
            "arn:aws:secretsmanager:*",
            "arn:aws:secretsmanager:eu-central-1:222222222222:secret:*",
            "arn:aws:secretsmanager:eu-central-1:222222222222:secret:prod*",
            "arn:aws:secretsmanager:eu-central-1:222222222222:secret:staging/database-AbCdEf",
            "arn:aws:ssm:*:*:parameter/*",
            "arn:aws:ssm:eu-central-1:222222222222:parameter/staging/*",
            "arn:aws-cn:secretsmanager:cn-north-1:222222222222:secret:*",
        ] {
            assert!(is_open(open, "production/"), "{open}");
        }
        for closed in [
            "arn:aws:secretsmanager:eu-central-1:222222222222:secret:production/*",
            "arn:aws:secretsmanager:*:*:secret:production/database-AbCdEf",
            "arn:aws:ssm:eu-central-1:222222222222:parameter/production/*",
            "arn:aws:s3:::storefront-assets/*",
            "arn:aws:kms:eu-central-1:222222222222:key/1",
        ] {
            assert!(!is_open(closed, "production/"), "{closed}");
        }
    }
}
