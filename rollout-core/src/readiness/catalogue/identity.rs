//! Who deploys: the caller, the role, and who may take it.

use crate::readiness::check::{Over, Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::identity::{Caller, Role, Trust};
use crate::readiness::known::Unseen;
use crate::readiness::scene::about;

/// The issuer of the tokens of workflows on GitHub: the end of its provider's ARN, and the beginning of its condition keys.
const GITHUB: &str = "token.actions.githubusercontent.com";
/// What a token for AWS is meant for.
const AUDIENCE: &str = "sts.amazonaws.com";

pub(super) const RULES: &[Rule] = &[
    rule!(
        "sts_caller_account_wrong", Identity, Critical, BLOCKING, EVERYWHERE,
        title: "The caller is in the environment's account",
        why: "With another account's credentials the release goes into another environment.",
        remedy: "Take the role of the environment's account.",
        cli: "aws sts get-caller-identity",
        terraform: "provider aws.allowed_account_ids",
        cdk: "StackProps env.account",
        source: "AWS STS API Reference, \"GetCallerIdentity\"",
        over: Over::Environment(|scene| {
            let (seen, wanted) = (&caller(scene)?.identity.account, &scene.intent.expects.account);
            Ok(Verdict::when(seen == wanted, || format!("account {seen}"), format!("account {wanted}")))
        }),
    ),
    rule!(
        "sts_caller_region_wrong", Identity, Critical, BLOCKING, EVERYWHERE,
        title: "The caller works in the environment's region",
        why: "In another region none of the environment's resources are there, or those of another one are.",
        remedy: "Set the environment's region for the session that deploys.",
        cli: "aws configure get region",
        terraform: "provider aws.region",
        cdk: "StackProps env.region",
        source: "AWS CLI User Guide, \"Configuration and credential file settings in the AWS CLI\"",
        over: Over::Environment(|scene| {
            let (seen, wanted) = (&caller(scene)?.identity.region, &scene.intent.expects.region);
            Ok(Verdict::when(seen == wanted, || format!("region {seen}"), format!("region {wanted}")))
        }),
    ),
    rule!(
        "sts_caller_unexpected", Identity, High, BLOCKING, EVERYWHERE,
        title: "The caller is the one that the environment expects",
        why: "A release by somebody else's role does with that role's rights what nobody has agreed to.",
        remedy: "Take the role that the environment names.",
        cli: "aws sts get-caller-identity",
        terraform: "",
        cdk: "",
        source: "AWS STS API Reference, \"GetCallerIdentity\"",
        over: Over::Environment(expected),
    ),
    rule!(
        "iam_deployer_root", Identity, Critical, BLOCKING, EVERYWHERE,
        title: "Nobody deploys as the account's root user",
        why: "Root may do everything, and no policy can bound it.",
        remedy: "Deploy with a role of its own, and lock root's credentials away.",
        cli: "aws sts assume-role --role-arn <role> --role-session-name <session>",
        terraform: "aws_iam_role",
        cdk: "Role",
        source: "AWS IAM User Guide, \"Root user best practices for your AWS account\"",
        over: Over::Environment(|scene| {
            let caller = &caller(scene)?.identity.caller;
            let role = scene.intent.deployer.role.iter();
            let root = core::iter::once(caller).chain(role).find(|arn| is_root(arn));
            Ok(Verdict::when(root.is_none(), || root.cloned().unwrap_or_default(), "a role"))
        }),
    ),
    rule!(
        "iam_deployer_long_lived_keys", Identity, High, BLOCKING, STAGING_TOO,
        title: "Nobody deploys with keys that do not end",
        why: "A key that does not end works for whoever finds it, years later.",
        remedy: "Let the pipeline take a role by OIDC, and people one by IAM Identity Center; then delete the key.",
        cli: "aws iam delete-access-key --user-name <user> --access-key-id <key>",
        terraform: "aws_iam_openid_connect_provider",
        cdk: "OpenIdConnectProvider",
        source: "AWS IAM User Guide, \"Security best practices in IAM\"",
        over: Over::Environment(long_lived),
    ),
    rule!(
        "iam_deployer_permission_missing", Identity, Critical, BLOCKING, STAGING_TOO,
        title: "The deployer may do what the release and its way back need",
        why: "A permission that is missing is found out in the middle of the release, or worse, of the rollback.",
        remedy: "Allow the action to the role, on the resource that is named.",
        cli: "aws iam simulate-principal-policy --policy-source-arn <role> --action-names <action> --resource-arns <resource>",
        terraform: "aws_iam_role_policy",
        cdk: "Role addToPolicy",
        source: "AWS IAM User Guide, \"IAM policy testing with the IAM policy simulator\"",
        over: Over::Each {
            which: |scene| {
                let asks = scene.intent.deployer.asks.iter();
                Ok(asks.map(crate::readiness::fact::identity::Ask::key).collect())
            },
            judge: |scene, key| {
                let allowed = *scene.facts.allowed.get(key)?;
                Ok(Verdict::when(allowed, || "denied".to_owned(), "allowed"))
            },
        },
    ),
    rule!(
        "iam_oidc_provider_untrusted", Identity, High, BLOCKING, STAGING_TOO,
        title: "The deployer's role trusts workflows on GitHub, and nobody else whom it does not name",
        why: "Without that trust workflows deploy with keys; with trust in everybody, so does everybody.",
        remedy: "Let the trust policy of the role name GitHub's OIDC provider, and no `*` as a principal.",
        cli: "aws iam update-assume-role-policy --role-name <role> --policy-document <file>",
        terraform: "aws_iam_role.assume_role_policy",
        cdk: "OpenIdConnectPrincipal",
        source: "AWS IAM User Guide, \"Create a role for OpenID Connect federation (console)\"",
        over: Over::Environment(trusted),
    ),
    rule!(
        "iam_oidc_subject_open", Identity, Critical, BLOCKING, STAGING_TOO,
        title: "GitHub's trust is pinned to the repository and its environment",
        why: "With a wildcard in the subject, or no subject, any branch, any fork's pull request or any repository deploys.",
        remedy: "Compare `sub` with StringEquals to `repo:<owner>/<name>:environment:<environment>`.",
        cli: "aws iam update-assume-role-policy --role-name <role> --policy-document <file>",
        terraform: "aws_iam_role.assume_role_policy",
        cdk: "OpenIdConnectPrincipal conditions",
        source: "AWS IAM User Guide, \"Create a role for OpenID Connect federation (console)\"",
        over: Over::Environment(|scene| {
            let wanted = subject(scene).unwrap_or_default();
            of_github(scene, &wanted, |trust| pinned(scene, trust))
        }),
    ),
    rule!(
        "iam_oidc_audience_open", Identity, High, BLOCKING, STAGING_TOO,
        title: "GitHub's trust is pinned to tokens that are meant for AWS",
        why: "A token that a workflow asked for another service would do for this role as well.",
        remedy: "Compare `aud` with StringEquals to `sts.amazonaws.com`.",
        cli: "aws iam update-assume-role-policy --role-name <role> --policy-document <file>",
        terraform: "aws_iam_role.assume_role_policy",
        cdk: "OpenIdConnectPrincipal conditions",
        source: "AWS IAM User Guide, \"Create a role for OpenID Connect federation (console)\"",
        over: Over::Environment(|scene| {
            of_github(scene, AUDIENCE, |trust| compared(trust, "aud", |value| value == AUDIENCE))
        }),
    ),
];

fn caller<'a>(scene: &Scene<'a>) -> Result<&'a Caller, Unseen> {
    scene
        .facts
        .caller
        .get()
        .map_err(|unseen| about(unseen, "the caller"))
}

/// Account and region are other checks'.
fn expected(scene: &Scene<'_>) -> Ruling {
    let seen = &caller(scene)?.identity;
    let expects = &scene.intent.expects;
    let Some(wanted) = &expects.caller else {
        return Ok(Verdict::not_applicable("the environment names no caller"));
    };
    if seen.account != expects.account || seen.region != expects.region {
        return Ok(Verdict::not_applicable("the caller is elsewhere"));
    }
    let fits = expects.mismatch(seen).is_none();
    Ok(Verdict::when(fits, || seen.caller.clone(), wanted.clone()))
}

fn is_root(arn: &str) -> bool {
    arn.ends_with(":root")
}

fn long_lived(scene: &Scene<'_>) -> Ruling {
    let caller = caller(scene)?;
    let wanted = "a role's session";
    if let Some(user) = scene
        .intent
        .deployer
        .role
        .as_ref()
        .filter(|arn| arn.contains(":user/"))
    {
        return Ok(Verdict::fail(format!("{user} is to deploy"), wanted));
    }
    if is_root(&caller.identity.caller) {
        return Ok(Verdict::not_applicable("the caller is root"));
    }
    let long_lived = *caller
        .long_lived_key
        .get()
        .map_err(|unseen| about(unseen, "the caller's key"))?;
    let seen = || format!("{} with a key that does not end", caller.identity.caller);
    Ok(Verdict::when(!long_lived, seen, wanted))
}

/// The role that deploys; `None` when no workflow on GitHub is meant to take it.
fn deployer<'a>(scene: &Scene<'a>) -> Result<Option<&'a Role>, Unseen> {
    let deployer = &scene.intent.deployer;
    if deployer.repository.is_none() {
        return Ok(None);
    }
    if let Some(role) = &deployer.role {
        return scene.facts.roles.get(role).map(Some);
    }
    // The ARN of a session has the role's name, but not its path: `…:assumed-role/<name>/<session>`.
    let caller = &caller(scene)?.identity.caller;
    let name = caller.split('/').nth(1).unwrap_or_default();
    let mut arns = scene.facts.roles.names();
    let arn = arns.find(|arn| arn.rsplit('/').next() == Some(name));
    let arn = arn.ok_or_else(|| Unseen::not_asked(caller.as_str()))?;
    scene.facts.roles.get(arn).map(Some)
}

fn is_github(trust: &Trust) -> bool {
    let mut principals = trust.principals.iter();
    principals.any(|principal| principal.ends_with(&format!("oidc-provider/{GITHUB}")))
}

const NO_REPOSITORY: &str = "no repository on GitHub is named";

fn trusted(scene: &Scene<'_>) -> Ruling {
    let Some(role) = deployer(scene)? else {
        return Ok(Verdict::not_applicable(NO_REPOSITORY));
    };
    let anybody = |trust: &Trust| {
        trust.conditions.is_empty() && trust.principals.iter().any(|principal| principal == "*")
    };
    let wanted = "GitHub's provider, and nobody unnamed";
    Ok(if role.trust.iter().any(anybody) {
        Verdict::fail("everybody may take the role", wanted)
    } else {
        let trusts = role.trust.iter().any(is_github);
        Verdict::when(trusts, || "GitHub's provider is not trusted".to_owned(), wanted)
    })
}

/// Judges each statement that trusts GitHub.
fn of_github(scene: &Scene<'_>, wanted: &str, judge: impl Fn(&Trust) -> Result<(), String>) -> Ruling {
    let Some(role) = deployer(scene)? else {
        return Ok(Verdict::not_applicable(NO_REPOSITORY));
    };
    let statements: Vec<_> = role.trust.iter().filter(|trust| is_github(trust)).collect();
    if statements.is_empty() {
        return Ok(Verdict::not_applicable("GitHub's provider is not trusted"));
    }
    let judged = statements.into_iter().map(judge);
    let wrong: Vec<String> = judged.filter_map(Result::err).collect();
    Ok(Verdict::unless(&wrong, wanted))
}

/// What the subject of a workflow's token must be (GitHub Docs, "OpenID Connect reference").
fn subject(scene: &Scene<'_>) -> Option<String> {
    let deployer = &scene.intent.deployer;
    let repository = deployer.repository.as_ref()?;
    Some(match &deployer.environment {
        Some(environment) => format!("repo:{repository}:environment:{environment}"),
        None => format!("repo:{repository}:environment:<environment>"),
    })
}

/// By its subject; or by its repository and environment, which AWS compares as well since 2026.
fn pinned(scene: &Scene<'_>, trust: &Trust) -> Result<(), String> {
    let deployer = &scene.intent.deployer;
    let repository = deployer.repository.as_deref().unwrap_or_default();
    let is_environment = |value: &str| match &deployer.environment {
        Some(environment) => value == environment,
        None => !value.is_empty() && !value.contains(['*', '?']),
    };
    let by_subject = compared(trust, "sub", |value| {
        let rest = value
            .strip_prefix("repo:")
            .and_then(|rest| rest.strip_prefix(repository));
        rest.and_then(|rest| rest.strip_prefix(":environment:"))
            .is_some_and(is_environment)
    });
    let by_claims = || {
        compared(trust, "repository", |value| value == repository)
            .and_then(|()| compared(trust, "environment", is_environment))
    };
    by_subject.or_else(|wrong| by_claims().map_err(|_| wrong))
}

/// Whether a condition compares a claim of the token with values that are all good. Conditions are met together, so that one that
/// pins is enough. `ForAllValues` and `IfExists` are also met by a token without the claim, and pin nothing (AWS IAM User Guide,
/// "IAM JSON policy elements: Condition operators").
fn compared(trust: &Trust, claim: &str, good: impl Fn(&str) -> bool) -> Result<(), String> {
    let wanted = format!("{GITHUB}:{claim}");
    let mut seen = Vec::new();
    for (condition, values) in &trust.conditions {
        let Some((operator, key)) = condition.split_once(' ') else {
            continue;
        };
        if !key.eq_ignore_ascii_case(&wanted) {
            continue;
        }
        let operator = operator.strip_prefix("ForAnyValue:").unwrap_or(operator);
        let compares = matches!(operator, "StringEquals" | "StringLike");
        if compares && !values.is_empty() && values.iter().all(|value| good(value)) {
            return Ok(());
        }
        seen.push(format!("{operator} {}", values.join(", ")));
    }
    Err(if seen.is_empty() {
        format!("{claim} is not compared")
    } else {
        format!("{claim}: {}", seen.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::example;

    fn trust(conditions: &[(&str, &str, &str)]) -> Trust {
        let conditions = conditions.iter().map(|(operator, claim, value)| {
            let values = value.split(' ').map(ToOwned::to_owned).collect();
            (format!("{operator} {GITHUB}:{claim}"), values)
        });
        Trust {
            principals: vec![format!("arn:aws:iam::222222222222:oidc-provider/{GITHUB}")],
            conditions: conditions.collect(),
        }
    }

    #[test]
    fn only_the_repository_and_its_environment_pin_a_subject() {
        let (facts, intent) = example::shop();
        let scene = Scene {
            facts: &facts,
            intent: &intent,
        };
        let sub = |operator, value| trust(&[(operator, "sub", value)]);
        for good in [
            sub("StringEquals", "repo:example/storefront:environment:production"),
            sub("StringLike", "repo:example/storefront:environment:production"),
            sub(
                "ForAnyValue:StringEquals",
                "repo:example/storefront:environment:production",
            ),
            trust(&[
                ("StringLike", "sub", "repo:example/*"),
                ("StringEquals", "repository", "example/storefront"),
                ("StringEquals", "environment", "production"),
            ]),
        ] {
            assert_eq!(pinned(&scene, &good), Ok(()), "{good:?}");
        }
        for open in [
            trust(&[]),
            sub("StringLike", "*"),
            sub("StringLike", "repo:*"),
            sub("StringLike", "repo:example/*:environment:production"),
            sub("StringLike", "repo:example/storefront*"),
            sub("StringLike", "repo:example/storefront:*"),
            sub("StringLike", "repo:example/storefront:environment:*"),
            sub("StringEquals", "repo:example/storefront:ref:refs/heads/main"),
            sub(
                "StringEquals",
                "repo:example/storefront-fork:environment:production",
            ),
            sub(
                "StringEquals",
                "repo:example/storefront:environment:production repo:example/tools:environment:production",
            ),
            sub(
                "ForAllValues:StringEquals",
                "repo:example/storefront:environment:production",
            ),
            sub(
                "StringEqualsIfExists",
                "repo:example/storefront:environment:production",
            ),
            sub(
                "StringNotEquals",
                "repo:example/storefront:environment:production",
            ),
            trust(&[("StringEquals", "repository", "example/storefront")]),
        ] {
            assert!(pinned(&scene, &open).is_err(), "{open:?}");
        }
    }
}
