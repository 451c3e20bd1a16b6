//! The caller, roles, and what IAM says that they may do.

use std::collections::{BTreeMap, BTreeSet};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_iam::types::PolicyEvaluationDecisionType;
use futures_util::future::join;
use rollout_core::error::Error;
use rollout_core::readiness::fact::identity::{Ask, Caller, Role, Statement};
use rollout_core::readiness::known::{Known, Table, Unseen, Why};
use rollout_core::service::Identity;

use super::call::Call;
use super::policy::{decoded, statements, trust};
use super::round::{Asked, Refused, Round, each, known, pages, table};

/// Who is calling.
pub(super) async fn caller(round: &Round<'_>) -> Result<Caller, Error> {
    let request = round.aws.sts.get_caller_identity();
    let answer = round
        .send(Call::GetCallerIdentity, "the caller", request.send())
        .await?;
    let identity = Identity {
        account: answer.account.unwrap_or_default(),
        region: round.aws.region.clone().unwrap_or_default(),
        caller: answer.arn.unwrap_or_default(),
        expires_at: None,
    };
    Ok(Caller {
        identity,
        long_lived_key: long_lived(round).await,
    })
}

/// Only the beginning of the key's id is looked at.
async fn long_lived(round: &Round<'_>) -> Known<bool> {
    let unclear = |text: String| Known::Unknown(Unseen::new(Why::Failed, "the caller's key", text));
    let Some(provider) = &round.aws.credentials else {
        return unclear("the configuration has no credentials of its own".to_owned());
    };
    match provider.provide_credentials().await {
        Ok(credentials) => match credentials.access_key_id().get(..4) {
            Some("AKIA") => Known::Seen(true),
            Some("ASIA") => Known::Seen(false),
            Some(_) | None => unclear("its id begins with neither AKIA nor ASIA".to_owned()),
        },
        Err(error) => unclear(format!("the credentials cannot be read: {error}")),
    }
}

/// The ARN of the role that a caller is in by its session's ARN; the same for everybody else.
pub(super) fn principal(caller: &str) -> String {
    // `arn:aws:sts::111122223333:assumed-role/deploy/session`
    let role = caller.split_once(":sts::").and_then(|(partition, rest)| {
        let (account, session) = rest.split_once(":assumed-role/")?;
        let (role, _) = session.split_once('/')?;
        Some(format!("{partition}:iam::{account}:role/{role}"))
    });
    role.unwrap_or_else(|| caller.to_owned())
}

/// What policies say, by role and by attached policy.
struct Attached {
    inline: Vec<Statement>,
    policies: Vec<String>,
}

/// Roles by ARN.
pub(super) async fn roles(round: &Round<'_>, arns: BTreeSet<String>) -> Table<Role> {
    let attached = table(arns.clone(), |arn| async move { attached(round, &arn).await });
    let roles = table(arns, |arn| async move { role(round, &arn).await });
    let (mut roles, attached) = join(roles, attached).await;
    let policies: BTreeSet<String> = super::round::seen(&attached)
        .flat_map(|(_, attached)| attached.policies.iter().cloned())
        .collect();
    // Many roles have the same policy: each is read once.
    let policies = table(policies, |arn| async move { managed(round, &arn).await }).await;
    for (arn, role) in roles.iter_mut() {
        if let Known::Seen(role) = role {
            role.statements = said(&attached, &policies, arn);
        }
    }
    roles
}

fn said(attached: &Table<Attached>, policies: &Table<Vec<Statement>>, role: &str) -> Known<Vec<Statement>> {
    let gather = || -> Result<Vec<Statement>, Unseen> {
        let attached = attached.get(role)?;
        let mut all = attached.inline.clone();
        for policy in &attached.policies {
            all.extend(policies.get(policy)?.iter().cloned());
        }
        Ok(all)
    };
    gather().map_or_else(Known::Unknown, Known::Seen)
}

/// The name of a role by its ARN: what stands behind its path.
fn role_name(arn: &str) -> Asked<&str> {
    let name = arn
        .split_once(":role/")
        .map(|(_, path)| path.rsplit('/').next().unwrap_or(path));
    name.ok_or_else(|| Refused::unclear(arn, "it is not the ARN of a role"))
}

async fn role(round: &Round<'_>, arn: &str) -> Asked<Role> {
    let request = round.aws.iam.get_role().role_name(role_name(arn)?);
    let answer = round.ask(Call::GetRole, arn, request.send()).await?;
    let found = answer
        .role
        .ok_or_else(|| Refused::unclear(arn, "iam:GetRole: an answer without it"))?;
    let document = decoded(found.assume_role_policy_document().unwrap_or_default());
    let trust = trust(&document).map_err(|error| unreadable(arn, Call::GetRole, &error))?;
    Ok(Role {
        arn: found.arn().to_owned(),
        trust,
        statements: Known::default(),
    })
}

fn unreadable(arn: &str, call: Call, error: &serde_json::Error) -> Refused {
    Refused::unclear(
        arn,
        format!("{}: the policy cannot be read: {error}", call.operation()),
    )
}

async fn attached(round: &Round<'_>, arn: &str) -> Asked<Attached> {
    let name = role_name(arn)?;
    let policies = pages(Call::ListAttachedRolePolicies, arn, |token| {
        let request = round
            .aws
            .iam
            .list_attached_role_policies()
            .role_name(name)
            .set_marker(token);
        let asked = round.ask(Call::ListAttachedRolePolicies, arn, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.attached_policies.unwrap_or_default(), answer.marker))
        }
    });
    let inline = pages(Call::ListRolePolicies, arn, |token| {
        let request = round
            .aws
            .iam
            .list_role_policies()
            .role_name(name)
            .set_marker(token);
        let asked = round.ask(Call::ListRolePolicies, arn, request.send());
        async move { asked.await.map(|answer| (answer.policy_names, answer.marker)) }
    });
    let (policies, inline) = join(policies, inline).await;
    let mut all = Vec::new();
    for policy in inline? {
        let request = round
            .aws
            .iam
            .get_role_policy()
            .role_name(name)
            .policy_name(&policy);
        let answer = round.ask(Call::GetRolePolicy, arn, request.send()).await?;
        let document = decoded(answer.policy_document());
        all.extend(statements(&document).map_err(|error| unreadable(arn, Call::GetRolePolicy, &error))?);
    }
    let policies = policies?.into_iter().filter_map(|policy| policy.policy_arn);
    Ok(Attached {
        inline: all,
        policies: policies.collect(),
    })
}

async fn managed(round: &Round<'_>, arn: &str) -> Asked<Vec<Statement>> {
    let answer = round
        .ask(
            Call::GetPolicy,
            arn,
            round.aws.iam.get_policy().policy_arn(arn).send(),
        )
        .await?;
    let version = answer
        .policy
        .and_then(|policy| policy.default_version_id)
        .unwrap_or_default();
    let request = round
        .aws
        .iam
        .get_policy_version()
        .policy_arn(arn)
        .version_id(version);
    let answer = round.ask(Call::GetPolicyVersion, arn, request.send()).await?;
    let document = answer
        .policy_version
        .and_then(|version| version.document)
        .unwrap_or_default();
    statements(&decoded(&document)).map_err(|error| unreadable(arn, Call::GetPolicyVersion, &error))
}

/// Asks IAM, one call for all actions of a principal on a resource.
pub(super) async fn allowed(round: &Round<'_>, asks: BTreeSet<Ask>) -> Table<bool> {
    let mut grouped: BTreeMap<(String, String), Vec<Ask>> = BTreeMap::new();
    for ask in asks {
        let group = (ask.principal.clone(), ask.resource.clone());
        grouped.entry(group).or_default().push(ask);
    }
    let answers = each(
        grouped
            .iter()
            .map(|((principal, resource), asks)| simulate(round, principal, resource, asks)),
    )
    .await;
    let mut table = Table::default();
    for (asks, answer) in grouped.values().zip(answers) {
        for ask in asks {
            let known = match &answer {
                Ok(found) => found.get(&ask.action).cloned().unwrap_or_else(|| {
                    let text = "iam:SimulatePrincipalPolicy: no answer to it";
                    Known::Unknown(Unseen::new(Why::Failed, ask.key(), text))
                }),
                Err(refused) => known(Err(refused.clone())),
            };
            table.put(ask.key(), known);
        }
    }
    table
}

async fn simulate(
    round: &Round<'_>,
    principal: &str,
    resource: &str,
    asks: &[Ask],
) -> Asked<BTreeMap<String, Known<bool>>> {
    let results = pages(Call::SimulatePrincipalPolicy, principal, |token| {
        let request = round
            .aws
            .iam
            .simulate_principal_policy()
            .policy_source_arn(principal);
        let request = request
            .resource_arns(resource)
            .set_action_names(Some(asks.iter().map(|ask| ask.action.clone()).collect()))
            .set_marker(token);
        let asked = round.ask(Call::SimulatePrincipalPolicy, principal, request.send());
        async move {
            asked
                .await
                .map(|answer| (answer.evaluation_results.unwrap_or_default(), answer.marker))
        }
    })
    .await?;
    let mut found = BTreeMap::new();
    for result in results {
        let allowed = result.eval_decision() == &PolicyEvaluationDecisionType::Allowed;
        let wanting = result.missing_context_values().join(", ");
        // What was denied for want of a condition's value that only the real call has may be allowed then.
        let explicit = result.eval_decision() == &PolicyEvaluationDecisionType::ExplicitDeny;
        let known = if allowed || explicit || wanting.is_empty() {
            Known::Seen(allowed)
        } else {
            let text = format!(
                "iam:SimulatePrincipalPolicy: it depends on {wanting}, which only the call itself has"
            );
            let subject = format!("{principal} {} {resource}", result.eval_action_name());
            Known::Unknown(Unseen::new(Why::Failed, subject, text))
        };
        found.insert(result.eval_action_name().to_owned(), known);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_of_a_session_is_told_by_its_arn() {
        let session = "arn:aws:sts::111122223333:assumed-role/deploy/run";
        assert_eq!(principal(session), "arn:aws:iam::111122223333:role/deploy");
        assert_eq!(
            principal("arn:aws:iam::111122223333:user/ada"),
            "arn:aws:iam::111122223333:user/ada"
        );
        assert_eq!(role_name("arn:aws:iam::1:role/service-role/x"), Ok("x"));
        assert!(role_name("arn:aws:iam::1:user/x").is_err());
    }
}
