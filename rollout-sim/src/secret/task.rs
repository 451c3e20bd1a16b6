//! Secrets that a task definition names: without them a task does not start.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::id::TaskDefinitionArn;
use rollout_core::service::{Found, Part, PartKind};
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Held, Refused, Secrets, whole_name};
use crate::ecs::stop::Why;
use crate::ecs::task::Phase;
use crate::world::{Unknown, World};

/// `valueFrom` of a task definition's secret (Amazon ECS developer guide, "Pass Secrets Manager secrets through Amazon ECS
/// environment variables"): an ARN, and after it key, label and version of what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// The ARN, whole or partial.
    pub(crate) arn: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    /// The ARN's last part.
    pub(crate) name: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) stage: Option<&'a str>,
    pub(crate) version: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// `None` when it is no secret of Secrets Manager, such as a parameter of Systems Manager.
    pub(crate) fn read(value_from: &'a str) -> Option<Self> {
        let mut parts = value_from.split(':');
        let (arn, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, kind) = (parts.next()?, parts.next()?, parts.next()?);
        let name = parts.next().filter(|name| !name.is_empty())?;
        if (arn, service, kind) != ("arn", "secretsmanager", "secret") {
            return None;
        }
        let mut given = || parts.next().filter(|part| !part.is_empty());
        let (key, stage, version) = (given(), given(), given());
        let before: usize = value_from.split(':').take(7).map(|part| part.len() + 1).sum();
        Some(Self {
            arn: value_from.get(..before - 1)?,
            region,
            account,
            name,
            key,
            stage,
            version,
        })
    }
}

impl Secrets {
    /// Whether a reference leads to a version that can be read, as far as that shows without reading it.
    fn readable(&self, now: Timestamp, wanted: &Reference<'_>) -> Result<(), Refused> {
        let secret = self.find(now, (wanted.account, wanted.region), wanted.arn)?;
        secret.usable()?;
        secret.version(wanted.stage, wanted.version).map(drop)
    }

    /// Why a reference cannot be resolved: what follows `ResourceInitializationError: ` on Fargate, as public reports quote it,
    /// without the request's id.
    fn unresolved(&mut self, now: Timestamp, wanted: &Reference<'_>) -> Option<String> {
        const BEGIN: &str = "unable to pull secrets or registry auth: execution resource retrieval failed: unable to \
                             retrieve secret from asm: service call has been retried 1 time(s):";
        let place = (wanted.account, wanted.region);
        let read = self.value(now, (place, wanted.arn), wanted.stage, wanted.version);
        let value = match read {
            Ok((_, version)) => &version.value,
            Err(refused) => {
                let (arn, code) = (wanted.arn, refused.code());
                return Some(format!(
                    "{BEGIN} failed to fetch secret {arn} from secrets manager: {code}: {refused}"
                ));
            }
        };
        let key = wanted.key?;
        let parsed = match value {
            Held::Text(text) => serde_json::from_str::<Value>(text).ok(),
            Held::Binary(_) => None,
        };
        match parsed {
            Some(Value::Object(members)) if members.contains_key(key) => None,
            Some(Value::Object(_)) => Some(format!(
                "{BEGIN} retrieved secret from Secrets Manager did not contain json key {key}"
            )),
            // The words are ours: AWS quotes from the value.
            _ => Some(format!(
                "{BEGIN} retrieved secret from Secrets Manager is not a json object"
            )),
        }
    }
}

impl World {
    /// Marks a secret of an environment's account and region for deletion, as `DeleteSecret` does: tasks that name it do not start
    /// any more.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist, or there is no such secret.
    pub fn delete_secret(&mut self, environment: &str, secret: &str) -> Result<(), Unknown> {
        let env = self.env(environment)?;
        let (account, region) = (env.account.clone(), env.region.clone());
        let deleted = self.secrets.delete(self.now(), (&account, &region), secret, None);
        deleted
            .map(|_| ())
            .map_err(|refused| Unknown::Refused(refused.to_string()))
    }

    /// Whether the secrets that a revision names are there and not marked for deletion. No value is read.
    pub(crate) fn secrets_of(&self, env: u16, revision: &TaskDefinitionArn) -> Vec<Part> {
        let held = self.environments[env as usize].revision(revision);
        let containers = held.iter().flat_map(|(_, held)| &held.containers);
        let named: BTreeSet<&String> = containers.flat_map(|c| &c.secrets).collect();
        let now = self.now();
        let look = |value_from: &str| match Reference::read(value_from) {
            None => Found::Unknown {
                why: "it is no secret of Secrets Manager, and nothing else is asked".to_owned(),
            },
            Some(reference) if !self.has_place(&reference) => Found::Unknown {
                why: "it is in an account or region that is not asked".to_owned(),
            },
            Some(reference) => match self.secrets.readable(now, &reference) {
                Ok(()) => Found::Usable,
                Err(refused) => Found::Gone {
                    why: refused.to_string(),
                },
            },
        };
        let part = |value_from: &String| Part {
            kind: PartKind::Secret,
            name: format!("secret {value_from}"),
            found: look(value_from),
        };
        named.into_iter().map(part).collect()
    }

    /// Whether some environment is in this account and region: what is elsewhere is taken to be as it should.
    fn has_place(&self, reference: &Reference<'_>) -> bool {
        let mut all = self.environments.iter();
        all.any(|e| e.account == reference.account && e.region == reference.region)
    }

    /// Ends a task that is about to start and whose secrets are not to be had; whether it did.
    pub(crate) fn lacks_secret(&mut self, env: u16, id: u64, version: u32) -> bool {
        let held = &self.environments[env as usize];
        let task = held.tasks.get(&id);
        let Some(task) = task.filter(|t| t.version == version && t.phase == Phase::Pending) else {
            return false;
        };
        let containers = &held.revision_at(task.revision).containers;
        // Most have none.
        let named: Vec<String> = containers.iter().flat_map(|c| &c.secrets).cloned().collect();
        let now = self.now();
        let why = named.iter().find_map(|value_from| {
            let reference = Reference::read(value_from)?;
            if !self.has_place(&reference) {
                return None;
            }
            self.secrets.unresolved(now, &reference)
        });
        let Some(message) = why else { return false };
        self.environments[env as usize].stop_task(&mut self.kernel, id, Why::CannotInitialize { message });
        true
    }

    /// Adds the secrets that are named here or by the task definitions of the world's services and that nobody described: the
    /// services run, so they must be there.
    pub(crate) fn assume_secrets(&mut self, also: &[String]) {
        let all = self.environments.iter().flat_map(|e| &e.revisions);
        let named = all
            .flat_map(|r| &r.containers)
            .flat_map(|c| &c.secrets)
            .chain(also);
        // By ARN, so that one of which several keys are named has them all.
        let mut missing: BTreeMap<&str, (Reference<'_>, BTreeMap<&str, &str>)> = BTreeMap::new();
        for reference in named.filter_map(|value_from| Reference::read(value_from)) {
            let place = (reference.account, reference.region);
            if !self.has_place(&reference) || self.secrets.find(self.now(), place, reference.arn).is_ok() {
                continue;
            }
            let entry = missing
                .entry(reference.arn)
                .or_insert((reference, BTreeMap::new()));
            entry.1.extend(reference.key.map(|key| (key, SIMULATED)));
        }
        let mut secrets = self.secrets.clone();
        for (reference, keys) in missing.into_values() {
            let value = if keys.is_empty() {
                SIMULATED.to_owned()
            } else {
                json!(keys).to_string()
            };
            let place = (reference.account, reference.region);
            let name = whole_name(reference.name).map_or((reference.name, None), |(n, s)| (n, Some(s)));
            // A partial and a whole ARN may name the same; a name that cannot be is left to fail as it would.
            let _ = secrets.describe(self.now(), place, name, Held::Text(value));
        }
        self.secrets = secrets;
    }
}

/// The value of a secret that nobody gave one.
const SIMULATED: &str = "simulated";
