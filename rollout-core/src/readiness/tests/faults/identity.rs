//! Who deploys.

use super::{Fault, fault};
use crate::readiness::example::{ACCOUNT, DEPLOYER};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::identity::{Caller, Trust};
use crate::readiness::known::Known;

const SUB: &str = "StringEquals token.actions.githubusercontent.com:sub";
const AUD: &str = "StringEquals token.actions.githubusercontent.com:aud";

fn caller(facts: &mut Snapshot) -> &mut Caller {
    match &mut facts.caller {
        Known::Seen(caller) => caller,
        Known::Missing | Known::Unknown(_) => panic!("the shop has one"),
    }
}

fn trusts(facts: &mut Snapshot) -> &mut Vec<Trust> {
    &mut facts.roles.seen_mut(DEPLOYER).expect("the shop has it").trust
}

fn trust(facts: &mut Snapshot) -> &mut Trust {
    trusts(facts).first_mut().expect("it is trusted")
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        fault("sts_caller_account_wrong", "staging's account", |facts, _| {
            caller(facts).identity.account = "111111111111".to_owned();
        }),
        fault("sts_caller_region_wrong", "another region", |facts, _| {
            caller(facts).identity.region = "us-east-1".to_owned();
        }),
        fault("sts_caller_unexpected", "somebody else", |facts, _| {
            caller(facts).identity.caller = format!("arn:aws:sts::{ACCOUNT}:assumed-role/admin/ada");
        }),
        fault("iam_deployer_root", "root is to deploy", |_, intent| {
            intent.deployer.role = Some(format!("arn:aws:iam::{ACCOUNT}:root"));
            intent.deployer.repository = None;
        }),
        fault("iam_deployer_root", "root calls", |facts, intent| {
            let caller = caller(facts);
            caller.identity.caller = format!("arn:aws:iam::{ACCOUNT}:root");
            caller.long_lived_key = Known::Seen(true);
            intent.expects.caller = None;
        }),
        fault("iam_deployer_long_lived_keys", "a user's key", |facts, _| {
            caller(facts).long_lived_key = Known::Seen(true);
        }),
        fault(
            "iam_deployer_long_lived_keys",
            "a user is to deploy",
            |_, intent| {
                intent.deployer.role = Some(format!("arn:aws:iam::{ACCOUNT}:user/ci"));
                intent.deployer.repository = None;
            },
        ),
        fault(
            "iam_deployer_permission_missing",
            "one action is denied",
            |facts, intent| {
                let ask = intent.deployer.asks.first().expect("something is asked");
                facts.allowed.seen(ask.key(), false);
            },
        ),
        fault(
            "iam_oidc_provider_untrusted",
            "only another account",
            |facts, _| {
                let trust = trust(facts);
                trust.principals = vec!["arn:aws:iam::111111111111:root".to_owned()];
                trust.conditions.clear();
            },
        ),
        fault("iam_oidc_provider_untrusted", "everybody as well", |facts, _| {
            trusts(facts).push(Trust {
                principals: vec!["*".to_owned()],
                conditions: Default::default(),
            });
        }),
        fault("iam_oidc_subject_open", "every branch", |facts, _| {
            let conditions = &mut trust(facts).conditions;
            conditions.remove(SUB);
            conditions.insert(
                SUB.replace("StringEquals", "StringLike"),
                vec!["repo:example/storefront:*".to_owned()],
            );
        }),
        fault(
            "iam_oidc_subject_open",
            "every repository on GitHub",
            |facts, _| {
                trust(facts).conditions.remove(SUB);
            },
        ),
        fault(
            "iam_oidc_subject_open",
            "a second statement is open",
            |facts, _| {
                let mut second = trust(facts).clone();
                second.conditions.insert(
                    SUB.to_owned(),
                    vec!["repo:example/tools:environment:production".to_owned()],
                );
                trusts(facts).push(second);
            },
        ),
        fault("iam_oidc_audience_open", "no audience", |facts, _| {
            trust(facts).conditions.remove(AUD);
        }),
    ]
}
