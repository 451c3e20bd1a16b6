//! Who calls, and what roles may do.

use std::collections::BTreeSet;

use rollout_core::readiness::fact::identity::{Ask, Caller};
use rollout_core::readiness::known::Known;
use rollout_core::service::Identity;

use super::ask::Asking;

impl Asking<'_> {
    pub(super) fn caller(&mut self, identity: Identity) {
        let around = self.around().map(|around| &around.caller);
        let long_lived_key = match around {
            Some(Known::Seen(caller)) => caller.long_lived_key.clone(),
            Some(Known::Missing | Known::Unknown(_)) | None => Known::default(),
        };
        let caller = self.told("sts:GetCallerIdentity", "", || {
            Known::Seen(Caller {
                identity,
                long_lived_key,
            })
        });
        self.facts.caller = caller;
    }

    /// The roles of the tasks and of whoever deploys, and what they are allowed.
    pub(super) fn roles(&mut self) {
        let deployer = self.intent.deployer.role.clone();
        let mut roles: BTreeSet<String> = deployer
            .or_else(|| role_of(&self.env.caller))
            .into_iter()
            .collect();
        let mut asks: Vec<Ask> = self.intent.deployer.asks.clone();
        for (_, definition) in self.facts.task_definitions.iter() {
            let Known::Seen(definition) = definition else {
                continue;
            };
            roles.extend(definition.task_role.iter().cloned());
            let Some(execution) = &definition.execution_role else {
                continue;
            };
            roles.insert(execution.clone());
            let references = definition
                .containers
                .iter()
                .flat_map(|container| &container.secrets);
            let secrets = references.filter_map(|reference| self.facts.secrets.get(&reference.from).ok());
            asks.extend(secrets.map(|secret| Ask::to_read(execution, secret)));
        }
        for arn in roles {
            let beside = self.beside(&arn, |around| &around.roles);
            let mut role = self.told("iam:GetRole", &arn, || beside);
            if let Known::Seen(role) = &mut role {
                for call in ["iam:ListRolePolicies", "iam:ListAttachedRolePolicies"] {
                    self.part(call, &arn, &mut role.statements);
                }
            }
            self.facts.roles.put(arn, role);
        }
        for ask in asks {
            let key = ask.key();
            if self.facts.allowed.has(&key) {
                continue;
            }
            let beside = self.beside(&key, |around| &around.allowed);
            let answer = self.told("iam:SimulatePrincipalPolicy", &key, || beside);
            self.facts.allowed.put(key, answer);
        }
    }
}

/// The role that an assumed one is a session of (AWS IAM User Guide, "IAM identifiers").
pub(crate) fn role_of(caller: &str) -> Option<String> {
    let (before, session) = caller.split_once(":assumed-role/")?;
    let account = before.rsplit(':').next()?;
    let role = session.split('/').next()?;
    Some(format!("arn:aws:iam::{account}:role/{role}"))
}
