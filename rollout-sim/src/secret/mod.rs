//! Secrets Manager: secrets, their versions and staging labels, and what is deleted but can still be restored.
//!
//! A value never shows in `Debug`, in a refusal or in a task's reason. A stored world holds it, as it goes on with it.

mod name;
mod task;
#[cfg(test)]
mod tests;

use core::fmt;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

pub(crate) use name::whole_name;
use name::{check_name, check_token, fixed_suffix, hash, suffix};
pub(crate) use task::{Named, Reference};

/// The label of the version that is read unless another is asked for.
pub(crate) const CURRENT: &str = "AWSCURRENT";
/// The label of the version that was current before.
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

const DAY: u64 = 24 * 60 * 60 * 1_000;
/// The recovery window unless another is asked for, and its bounds, in days (AWS Secrets Manager API, "DeleteSecret").
const WINDOW: u64 = 30;
const SHORTEST_WINDOW: u64 = 7;
/// How long a deletion without recovery takes: "a short delay" (the same page); the figure is ours.
const PURGE: Span = Span::secs(1, 30);
/// The longest value in bytes (the same API, "SecretString").
const LONGEST_VALUE: usize = 65_536;
/// How many letters end an ARN.
const SUFFIX: usize = 6;

/// Account and region.
pub(crate) type Place<'a> = (&'a str, &'a str);

/// Why a call was refused. `Display` is the message: AWS's, as public reports quote it; of `Invalid` and `Request` the words
/// are ours unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("Secrets Manager can't find the specified secret.")]
    NoSecret,
    #[error("Secrets Manager can't find the specified secret value for staging label: {0}")]
    NoStage(String),
    #[error("Secrets Manager can't find the specified secret value for VersionId: {0}")]
    NoVersion(String),
    #[error("You provided a VersionStage that is not associated to the provided VersionId.")]
    OtherStage,
    #[error("You can't perform this operation on the secret because it was marked for deletion.")]
    Marked,
    #[error(
        "You can't create this secret because a secret with this name is already scheduled for deletion."
    )]
    NameMarked,
    #[error("The operation failed because the secret {0} already exists.")]
    Exists(String),
    #[error(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    )]
    TokenUsed { token: String, arn: String },
    #[error(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
    )]
    Name,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("{0}")]
    Request(&'static str),
}

impl Refused {
    /// The code of the answer (AWS Secrets Manager API, the errors of each action).
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoSecret | Self::NoStage(_) | Self::NoVersion(_) => "ResourceNotFoundException",
            Self::OtherStage | Self::Marked | Self::NameMarked | Self::Request(_) => {
                "InvalidRequestException"
            }
            Self::Exists(_) | Self::TokenUsed { .. } => "ResourceExistsException",
            Self::Name => "ValidationException",
            Self::Invalid(_) => "InvalidParameterException",
        }
    }
}

/// The value of a version. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Held {
    Text(String),
    Binary(Vec<u8>),
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Held {
    fn is_allowed(&self) -> Result<(), Refused> {
        let bytes = match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        };
        if bytes == 0 {
            // As AWS says it of an empty text.
            return Err(Refused::Request(
                "You must provide either SecretString or SecretBinary.",
            ));
        }
        if bytes > LONGEST_VALUE {
            return Err(Refused::Invalid("The secret value is longer than 65536 bytes."));
        }
        Ok(())
    }
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) id: String,
    /// Without any it is deprecated: only its id leads to it.
    pub(crate) stages: Vec<String>,
    pub(crate) created: Timestamp,
    pub(crate) value: Held,
}

/// A deletion that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) asked: Timestamp,
    /// From then on the secret is gone.
    pub(crate) ends: Timestamp,
    /// Without a recovery window: it cannot be restored.
    pub(crate) forced: bool,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    /// The day on which it was last read.
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) versions: Vec<Version>,
}

impl Secret {
    fn is_gone(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|d| d.ends <= now)
    }

    fn is_of(&self, (account, region): Place<'_>) -> bool {
        self.account == account && self.region == region
    }

    /// Its ARN without the random letters, which names it as well.
    fn partial_arn(&self) -> &str {
        let end = self.arn.len().saturating_sub(SUFFIX + 1);
        self.arn.get(..end).unwrap_or(&self.arn)
    }

    fn usable(&self) -> Result<(), Refused> {
        match self.deletion {
            Some(_) => Err(Refused::Marked),
            None => Ok(()),
        }
    }

    /// The version that is asked for: by id, by label, by both, or the current one.
    fn version(&self, stage: Option<&str>, id: Option<&str>) -> Result<usize, Refused> {
        let has = |version: &Version, stage: &str| version.stages.iter().any(|s| s == stage);
        let Some(id) = id else {
            let stage = stage.unwrap_or(CURRENT);
            let found = self.versions.iter().position(|v| has(v, stage));
            return found.ok_or_else(|| Refused::NoStage(stage.to_owned()));
        };
        let found = self.versions.iter().position(|v| v.id == id);
        let found = found.ok_or_else(|| Refused::NoVersion(id.to_owned()))?;
        match stage {
            Some(stage) if !has(&self.versions[found], stage) => Err(Refused::OtherStage),
            Some(_) | None => Ok(found),
        }
    }

    /// Moves labels to a version. Where the current one changes, the one before becomes the previous one.
    fn label(&mut self, id: &str, stages: &[String]) {
        let was = self.version(None, None).ok();
        let was = was.map(|index| self.versions[index].id.clone());
        self.move_to(id, stages);
        if let Some(was) = was.filter(|was| was != id && stages.iter().any(|s| s == CURRENT)) {
            self.move_to(&was, &[PREVIOUS.to_owned()]);
        }
    }

    fn move_to(&mut self, id: &str, stages: &[String]) {
        for version in &mut self.versions {
            version.stages.retain(|s| !stages.contains(s));
            if version.id == id {
                version.stages.extend_from_slice(stages);
            }
        }
    }
}

/// What a new secret is.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) token: Option<String>,
    pub(crate) value: Option<Held>,
}

/// All secrets of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    held: Vec<Secret>,
}

impl Secrets {
    /// The secrets of an account and region, in the order in which they were made.
    pub(crate) fn of<'a>(&'a self, now: Timestamp, place: Place<'a>) -> impl Iterator<Item = &'a Secret> {
        self.held
            .iter()
            .filter(move |s| s.is_of(place) && !s.is_gone(now))
    }

    fn index(&self, now: Timestamp, place: Place<'_>, id: &str) -> Result<usize, Refused> {
        let find = |fits: &dyn Fn(&Secret) -> bool| {
            let mut all = self.held.iter();
            all.position(|s| s.is_of(place) && !s.is_gone(now) && fits(s))
        };
        // A whole ARN or name before a partial ARN (AWS Secrets Manager user guide, "Finding a secret from a partial ARN").
        find(&|s| s.name == id || s.arn == id)
            .or_else(|| find(&|s| s.partial_arn() == id))
            .ok_or(Refused::NoSecret)
    }

    /// A secret by its name, its ARN, or its ARN without the last six letters. One that is marked for deletion is still there.
    pub(crate) fn find(&self, now: Timestamp, place: Place<'_>, id: &str) -> Result<&Secret, Refused> {
        Ok(&self.held[self.index(now, place, id)?])
    }

    /// Makes a secret, and its first version where it has a value. The same call again, by its token, changes nothing: then
    /// the second of the answer is `false`.
    pub(crate) fn create(
        &mut self,
        k: &mut Kernel,
        place: Place<'_>,
        new: New,
    ) -> Result<(&Secret, bool), Refused> {
        check_name(&new.name)?;
        check_token(new.token.as_deref())?;
        if let Some(value) = &new.value {
            value.is_allowed()?;
        }
        if let Ok(index) = self.index(k.now, place, &new.name) {
            let held = &self.held[index];
            if held.deletion.is_some() {
                return Err(Refused::NameMarked);
            }
            let version = held.versions.iter().find(|v| Some(&v.id) == new.token.as_ref());
            return match (version, &new.value) {
                (Some(version), Some(value)) if version.value == *value => Ok((&self.held[index], false)),
                _ => Err(Refused::Exists(new.name)),
            };
        }
        let (account, region) = place;
        let arn = format!(
            "arn:aws:secretsmanager:{region}:{account}:secret:{}-{}",
            new.name,
            suffix(&mut k.dice)
        );
        let id = new.token.unwrap_or_else(|| k.dice.hex(2));
        // What is gone for good need not be kept.
        self.held.retain(|s| !s.is_gone(k.now));
        self.held.push(Secret {
            arn,
            account: account.to_owned(),
            region: region.to_owned(),
            name: new.name,
            description: new.description,
            key: new.key,
            tags: new.tags,
            created: k.now,
            changed: k.now,
            accessed: None,
            deletion: None,
            versions: new
                .value
                .map(|value| Version::first(id, k.now, value))
                .into_iter()
                .collect(),
        });
        Ok((&self.held[self.held.len() - 1], true))
    }

    /// Adds a version and moves labels to it: `AWSCURRENT` unless others are named, and always on a first version. The same call
    /// again, by its token, changes nothing: then the last of the answer is `false`.
    pub(crate) fn put(
        &mut self,
        k: &mut Kernel,
        (place, id): (Place<'_>, &str),
        token: Option<String>,
        value: Held,
        stages: Vec<String>,
    ) -> Result<(&Secret, &Version, bool), Refused> {
        check_token(token.as_deref())?;
        value.is_allowed()?;
        let index = self.index(k.now, place, id)?;
        let secret = &mut self.held[index];
        secret.usable()?;
        let token = token.unwrap_or_else(|| k.dice.hex(2));
        if let Some(at) = secret.versions.iter().position(|v| v.id == token) {
            if secret.versions[at].value != value {
                let arn = secret.arn.clone();
                return Err(Refused::TokenUsed { token, arn });
            }
            let secret = &self.held[index];
            return Ok((secret, &secret.versions[at], false));
        }
        let mut labels = stages;
        if labels.is_empty() || (secret.versions.is_empty() && !labels.iter().any(|s| s == CURRENT)) {
            labels.push(CURRENT.to_owned());
        }
        labels.sort();
        labels.dedup();
        secret.versions.push(Version {
            id: token.clone(),
            stages: Vec::new(),
            created: k.now,
            value,
        });
        secret.label(&token, &labels);
        secret.changed = k.now;
        let secret = &self.held[index];
        Ok((secret, &secret.versions[secret.versions.len() - 1], true))
    }

    /// Reads a version.
    pub(crate) fn value(
        &mut self,
        now: Timestamp,
        (place, id): (Place<'_>, &str),
        stage: Option<&str>,
        version: Option<&str>,
    ) -> Result<(&Secret, &Version), Refused> {
        let index = self.index(now, place, id)?;
        let secret = &mut self.held[index];
        secret.usable()?;
        let version = secret.version(stage, version)?;
        let today = now.as_millis() - now.as_millis() % DAY;
        secret.accessed = Some(Timestamp::from_millis(today));
        let secret = &self.held[index];
        Ok((secret, &secret.versions[version]))
    }

    /// Marks a secret for deletion, after so many days or (`None`) the usual ones.
    pub(crate) fn delete(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        id: &str,
        days: Option<u64>,
    ) -> Result<&Secret, Refused> {
        let days = days.unwrap_or(WINDOW);
        if !(SHORTEST_WINDOW..=WINDOW).contains(&days) {
            return Err(Refused::Invalid(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let index = self.index(now, place, id)?;
        let secret = &mut self.held[index];
        secret.usable()?;
        secret.deletion = Some(Deletion {
            asked: now,
            ends: plus(now, days * DAY),
            forced: false,
        });
        Ok(&self.held[index])
    }

    /// Deletes a secret without recovery, also one that is marked already. It is gone a little later.
    pub(crate) fn purge(&mut self, k: &mut Kernel, place: Place<'_>, id: &str) -> Result<&Secret, Refused> {
        let index = self.index(k.now, place, id)?;
        let secret = &mut self.held[index];
        if !secret.deletion.is_some_and(|d| d.forced) {
            secret.deletion = Some(Deletion {
                asked: k.now,
                ends: plus(k.now, k.draw(Stream::Ids, PURGE)),
                forced: true,
            });
        }
        Ok(&self.held[index])
    }

    /// Takes a mark for deletion away; whether there was one.
    pub(crate) fn restore(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        id: &str,
    ) -> Result<(&Secret, bool), Refused> {
        let index = self.index(now, place, id)?;
        let secret = &mut self.held[index];
        if secret.deletion.is_some_and(|d| d.forced) {
            return Err(Refused::NoSecret);
        }
        let was = secret.deletion.take().is_some();
        Ok((&self.held[index], was))
    }

    /// Puts a secret into a world that is being built, with the last letters of its ARN where they are known. Nothing of it comes
    /// from chance, so that a configuration can name it.
    pub(crate) fn describe(
        &mut self,
        now: Timestamp,
        place: Place<'_>,
        (name, suffix): (&str, Option<&str>),
        value: Held,
    ) -> Result<(), Refused> {
        let (account, region) = place;
        check_name(name)?;
        value.is_allowed()?;
        let suffix = suffix.map_or_else(
            || fixed_suffix(&format!("{account} {region} {name}")),
            str::to_owned,
        );
        if self.index(now, place, name).is_ok() {
            return Err(Refused::Exists(name.to_owned()));
        }
        let arn = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}");
        let id = format!("{:016x}{:016x}", hash(&arn, 0), hash(&arn, 1));
        self.held.push(Secret {
            arn,
            account: account.to_owned(),
            region: region.to_owned(),
            name: name.to_owned(),
            description: None,
            key: None,
            tags: Vec::new(),
            created: now,
            changed: now,
            accessed: None,
            deletion: None,
            versions: vec![Version::first(id, now, value)],
        });
        Ok(())
    }
}

impl Version {
    fn first(id: String, now: Timestamp, value: Held) -> Self {
        Self {
            id,
            stages: vec![CURRENT.to_owned()],
            created: now,
            value,
        }
    }
}
