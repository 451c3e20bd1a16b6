//! Secrets and parameters that a task definition names: without them a task does not start.

use std::collections::{BTreeMap, BTreeSet};

use rollout_core::id::TaskDefinitionArn;
use rollout_core::service::{Found, Part, PartKind};
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Held, Place, Refused, Secrets, whole_name};
use crate::ecs::Environment;
use crate::ecs::stop::Why;
use crate::ecs::task::Phase;
use crate::parameter::{self, Parameters};
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
    pub(crate) const fn place(&self) -> Place<'a> {
        (self.account, self.region)
    }

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

/// What `valueFrom` of a task definition's secret names.
pub(crate) enum Named<'a> {
    Secret(Reference<'a>),
    Parameter(parameter::Reference<'a>),
}

impl<'a> Named<'a> {
    /// What is named by a task definition of this account and region.
    pub(crate) fn read(value_from: &'a str, here: Place<'a>) -> Option<Self> {
        let secret = Reference::read(value_from).map(Self::Secret);
        secret.or_else(|| parameter::Reference::read(value_from, here).map(Self::Parameter))
    }

    const fn place(&self) -> Place<'a> {
        match self {
            Self::Secret(reference) => reference.place(),
            Self::Parameter(reference) => reference.place,
        }
    }
}

/// What stands before every reason, and before those of Secrets Manager and Parameter Store.
const BEGIN: &str =
    "unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve";
const MANAGED: &str = "secret from asm: service call has been retried 1 time(s):";
const STORED: &str = "secrets from ssm: service call has been retried 1 time(s):";

impl parameter::Reference<'_> {
    /// Why it cannot be resolved, in the words of public reports.
    fn unresolved(&self, parameters: &Parameters) -> Option<String> {
        let found = parameters.resolve(self);
        let read = found.and_then(|held| held.value(self.version));
        let lacks = read.is_err() && !parameters.is_granted(self);
        lacks.then(|| format!("{BEGIN} {STORED} invalid ssm parameters: {}", self.asked()))
    }

    /// What is known of it without its values: of its versions, the newest.
    fn found(&self, parameters: &Parameters) -> Found {
        match (parameters.resolve(self), self.version) {
            (Err(_), _) if parameters.is_granted(self) => Found::Unknown {
                why: "it is told with its value only".to_owned(),
            },
            (Err(refused), _) => Found::Gone {
                why: refused.to_string(),
            },
            (Ok(held), Some(wanted)) if *wanted != held.version.to_string() => Found::Unknown {
                why: format!("whether it has `{wanted}` is told with its values only"),
            },
            (Ok(_), _) => Found::Usable,
        }
    }
}

impl Environment {
    /// `valueFrom` of all its revisions.
    fn secrets_named(&self) -> impl Iterator<Item = &String> {
        let containers = self.revisions.iter().flat_map(|revision| &revision.containers);
        containers.flat_map(|container| &container.secrets)
    }
}

impl Secrets {
    /// Whether a reference leads to a version that can be read, as far as that shows without reading it.
    fn readable(&self, now: Timestamp, wanted: &Reference<'_>) -> Result<(), Refused> {
        let secret = self.find(now, wanted.place(), wanted.arn)?;
        secret.usable()?;
        secret.version(wanted.stage, wanted.version).map(drop)
    }

    /// Why a reference cannot be resolved: what follows `ResourceInitializationError: ` on Fargate, as public reports quote it,
    /// without the request's id.
    fn unresolved(&mut self, now: Timestamp, wanted: &Reference<'_>) -> Option<String> {
        let place = wanted.place();
        let read = self.value(now, (place, wanted.arn), wanted.stage, wanted.version);
        let value = match read {
            Ok((_, version)) => &version.value,
            Err(refused) => {
                let (arn, code) = (wanted.arn, refused.code());
                return Some(format!(
                    "{BEGIN} {MANAGED} failed to fetch secret {arn} from secrets manager: {code}: {refused}"
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
                "{BEGIN} {MANAGED} retrieved secret from Secrets Manager did not contain json key {key}"
            )),
            // The words are ours: AWS quotes from the value.
            _ => Some(format!(
                "{BEGIN} {MANAGED} retrieved secret from Secrets Manager is not a json object"
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

    /// Deletes a parameter of an environment's account and region, as `DeleteParameter` does: tasks that name it do not start any
    /// more.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist, or there is no such parameter.
    pub fn delete_parameter(&mut self, environment: &str, parameter: &str) -> Result<(), Unknown> {
        let env = self.env(environment)?;
        let (account, region) = (env.account.clone(), env.region.clone());
        let deleted = self.parameters.delete((&account, &region), parameter);
        deleted.map_err(|refused| Unknown::Refused(refused.to_string()))
    }

    /// Whether the secrets and parameters that a revision names are there and not marked for deletion. No value is read.
    pub(crate) fn secrets_of(&self, env: u16, revision: &TaskDefinitionArn) -> Vec<Part> {
        let held = self.environments[env as usize].revision(revision);
        let containers = held.iter().flat_map(|(_, held)| &held.containers);
        let named: BTreeSet<&String> = containers.flat_map(|c| &c.secrets).collect();
        let now = self.now();
        let here = self.environments[env as usize].home();
        let look = |value_from: &str| match Named::read(value_from, here) {
            None => Found::Unknown {
                why: "it is no secret and no parameter".to_owned(),
            },
            Some(named) if !self.has_place(named.place()) => Found::Unknown {
                why: "it is in an account or region that is not asked".to_owned(),
            },
            Some(Named::Secret(reference)) => match self.secrets.readable(now, &reference) {
                Ok(()) => Found::Usable,
                Err(refused) => Found::Gone {
                    why: refused.to_string(),
                },
            },
            Some(Named::Parameter(reference)) => reference.found(&self.parameters),
        };
        let part = |value_from: &String| Part {
            kind: PartKind::Secret,
            name: format!("secret {value_from}"),
            found: look(value_from),
        };
        named.into_iter().map(part).collect()
    }

    /// Whether some environment is in this account and region: what is elsewhere is taken to be as it should.
    fn has_place(&self, place: Place<'_>) -> bool {
        self.environments.iter().any(|e| e.home() == place)
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
        if named.is_empty() {
            return false;
        }
        let now = self.now();
        let (account, region) = (held.account.clone(), held.region.clone());
        let why = named.iter().find_map(|value_from| {
            let named = Named::read(value_from, (&account, &region))?;
            if !self.has_place(named.place()) {
                return None;
            }
            match named {
                Named::Secret(reference) => self.secrets.unresolved(now, &reference),
                Named::Parameter(reference) => reference.unresolved(&self.parameters),
            }
        });
        let Some(message) = why else { return false };
        self.environments[env as usize].stop_task(&mut self.kernel, id, Why::CannotInitialize { message });
        true
    }

    /// Adds the secrets and parameters that are named here, with the environment, or by the task definitions of the world's services
    /// and that nobody described: the services run, so they must be there.
    pub(crate) fn assume_secrets(&mut self, also: &[(u16, String)]) {
        let all = self.environments.iter();
        let own = all.flat_map(|env| env.secrets_named().map(move |named| (env, named)));
        let also = also
            .iter()
            .map(|(env, named)| (&self.environments[usize::from(*env)], named));
        let named = own
            .chain(also)
            .filter_map(|(env, named)| Named::read(named, env.home()));
        // By ARN, so that one of which several keys are named has them all.
        let mut missing: BTreeMap<&str, (Reference<'_>, BTreeMap<&str, &str>)> = BTreeMap::new();
        let mut parameters = self.parameters.clone();
        for named in named.filter(|named| self.has_place(named.place())) {
            let reference = match named {
                Named::Secret(reference) => reference,
                Named::Parameter(reference) => {
                    parameters.assume(self.now(), &reference, SIMULATED);
                    continue;
                }
            };
            if self
                .secrets
                .find(self.now(), reference.place(), reference.arn)
                .is_ok()
            {
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
            let place = reference.place();
            let name = whole_name(reference.name).map_or((reference.name, None), |(n, s)| (n, Some(s)));
            // A partial and a whole ARN may name the same; a name that cannot be is left to fail as it would.
            let _ = secrets.describe(self.now(), place, name, Held::Text(value));
        }
        (self.secrets, self.parameters) = (secrets, parameters);
    }
}

/// The value of a secret or parameter that nobody gave one.
const SIMULATED: &str = "simulated";
