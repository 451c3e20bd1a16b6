//! Names and identifiers. Each is its own type, checked where it is parsed, so that a value that exists is well formed.
//! They are cheap to clone: the text is shared.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Why a text is not the identifier it was meant to be. `Display` is one fragment that names what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {expected}")]
pub struct InvalidId {
    /// The text as given.
    pub given: String,
    /// What it should have been, in words.
    pub expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`InvalidId`] when it does not have the form that the type's documentation gives.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if Self::is_valid(&text) { Ok(Self(text.into())) } else { Err(Self::invalid(text)) }
            }

            fn is_valid(text: &str) -> bool {
                let valid: fn(&str) -> bool = $valid;
                valid(text)
            }

            const fn invalid(given: String) -> InvalidId {
                InvalidId { given, expected: $expected }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(Self::invalid(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                (*id.0).to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    };
}

/// Reads a checked text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// `true` for 1 to `max` characters, each a letter, a digit or one of `extra`.
fn is_word(text: &str, max: usize, extra: &str) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.as_bytes().contains(&b))
}

/// `true` for 1 to `max` printable ASCII characters without blanks.
fn is_printable(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_domain(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |l: &str| is_word(l, 63, "-_*") && !l.starts_with('-') && !l.ends_with('-');
    !name.is_empty() && name.len() <= 253 && name.split('.').all(label)
}

text_id!(
    /// One run of one rollout. The caller chooses it; it names the journal and seeds every [`EffectId`].
    RunId,
    "a run id (1 to 64 letters, digits, `-`, `_` or `.`)",
    |t| is_word(t, 64, "-_.")
);
text_id!(
    /// A step of a run, as a path such as `service/backend/deploy`.
    StepId,
    "a step id (1 to 200 letters, digits, `-`, `_`, `.`, `/`, `*` or `@`)",
    |t| is_word(t, 200, "-_./*@")
);
text_id!(
    /// An environment such as `staging` or `production`.
    EnvironmentName,
    "an environment name (1 to 64 letters, digits, `-` or `_`)",
    |t| is_word(t, 64, "-_")
);
text_id!(
    /// What is released together: one service, or several in order. With the environment it names a lease.
    GroupName,
    "a release group (1 to 64 letters, digits, `-` or `_`)",
    |t| is_word(t, 64, "-_")
);
text_id!(
    /// A member of a fleet: what is released as one, such as a cell, a region, a tenant or a service of its own. It names
    /// directories and files, too.
    MemberName,
    "a member name (1 to 100 letters, digits, `-`, `_` or `.`, not starting with `.`)",
    |t| is_word(t, 100, "-_.") && !t.starts_with('.')
);
text_id!(
    /// A wave of a fleet.
    WaveName,
    "a wave name (1 to 64 letters, digits, `-` or `_`)",
    |t| is_word(t, 64, "-_")
);
text_id!(
    /// A service, by the name that ECS knows it by (Amazon ECS API, "CreateService": up to 255 letters, digits, `_` and `-`).
    ServiceName,
    "a service name (1 to 255 letters, digits, `-` or `_`)",
    |t| is_word(t, 255, "-_")
);
text_id!(
    /// A container of a task definition.
    ContainerName,
    "a container name (1 to 255 letters, digits, `-` or `_`)",
    |t| is_word(t, 255, "-_")
);
text_id!(
    /// A one-off task such as `migrate`.
    TaskName,
    "a task name (1 to 100 letters, digits, `-` or `_`)",
    |t| is_word(t, 100, "-_")
);
text_id!(
    /// One probe of a gate.
    ProbeName,
    "a probe name (1 to 100 letters, digits, `-` or `_`)",
    |t| is_word(t, 100, "-_")
);
text_id!(
    /// An image repository, without registry and without tag.
    RepositoryName,
    "a repository name (2 to 256 of a-z, 0-9, `.`, `_`, `-` and `/`)",
    |t| t.len() >= 2 && is_word(t, 256, "-_./") && !t.bytes().any(|b| b.is_ascii_uppercase())
);
text_id!(
    /// An image tag (OCI distribution specification: up to 128 letters, digits, `_`, `.`, `-`, not starting with `.` or `-`).
    ImageTag,
    "an image tag (1 to 128 letters, digits, `_`, `.` or `-`, not starting with `.` or `-`)",
    |t| is_word(t, 128, "-_.") && !t.starts_with(['.', '-'])
);
text_id!(
    /// The digest of an image manifest or index.
    ImageDigest,
    "an image digest (`sha256:` and 64 lower-case hex digits)",
    is_digest
);
text_id!(
    /// A task definition revision, by ARN on AWS (`arn:aws:ecs:…:task-definition/family:7`).
    TaskDefinitionArn,
    "a task definition revision (1 to 2,048 printable characters)",
    |t| is_printable(t, 2048)
);
text_id!(
    /// A deployment of a service: what `DescribeServices` lists under `deployments[].id` (`ecs-svc/…`).
    DeploymentId,
    "a deployment id (1 to 2,048 printable characters)",
    |t| is_printable(t, 2048)
);
text_id!(
    /// A service deployment, by ARN: the record that outlives the deployment (`ListServiceDeployments`).
    ServiceDeploymentArn,
    "a service deployment ARN (1 to 2,048 printable characters)",
    |t| is_printable(t, 2048)
);
text_id!(
    /// A task, by ARN on AWS.
    TaskArn,
    "a task ARN (1 to 2,048 printable characters)",
    |t| is_printable(t, 2048)
);
text_id!(
    /// A hosted zone.
    ZoneId,
    "a hosted zone id (1 to 64 letters, digits, `-` or `_`)",
    |t| is_word(t, 64, "-_")
);
text_id!(
    /// A DNS name. A trailing dot is allowed and kept; compare with [`DomainName::same_as`].
    DomainName,
    "a domain name (labels of 1 to 63 letters, digits, `-` or `_`, joined by dots, 253 characters at most)",
    is_domain
);
text_id!(
    /// The id of an accepted DNS change batch, to ask for its propagation.
    ChangeId,
    "a change id (1 to 128 printable characters)",
    |t| is_printable(t, 128)
);

impl StepId {
    /// A step id from any text: what a step id cannot hold becomes `_`, and what is too long is cut.
    pub(crate) fn from_text(text: &str) -> Self {
        if Self::is_valid(text) {
            return Self(text.into());
        }
        let fits = |c: char| {
            if c.is_ascii_alphanumeric() || "-_./*@".contains(c) {
                c
            } else {
                '_'
            }
        };
        let text: String = text.chars().map(fits).take(200).collect();
        Self(if text.is_empty() { "_".into() } else { text.into() })
    }
}

impl ProbeName {
    /// The probe that asks for the environment's readiness before a release.
    #[must_use]
    pub fn readiness() -> Self {
        Self("readiness".into())
    }
}

impl ImageDigest {
    /// The digest of exactly these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex(&Sha256::digest(bytes))).into())
    }

    /// The first twelve hex digits, as people quote it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl DomainName {
    /// The name in lower case and without the trailing dot.
    #[must_use]
    pub fn normalised(&self) -> String {
        self.0.strip_suffix('.').unwrap_or(&self.0).to_ascii_lowercase()
    }

    /// Whether both name the same node: case and trailing dot do not count.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.normalised() == other.normalised()
    }
}

/// A number that grows with every right to write: it fences an old writer from a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The identity of one effect, and its idempotency token: derived from run, step and attempt, so that a repeat of the
/// same effect carries the same token. 35 printable ASCII characters; AWS takes 36 at most where it takes fewest
/// (Amazon ECS API, `clientToken` of "CreateService").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId(String);

impl EffectId {
    /// Derives the id.
    ///
    /// ```
    /// use rollout_core::id::{EffectId, RunId, StepId};
    /// let (run, step) = (RunId::new("r-1")?, StepId::new("task/migrate")?);
    /// assert_eq!(EffectId::derive(&run, &step, 1), EffectId::derive(&run, &step, 1));
    /// assert_ne!(EffectId::derive(&run, &step, 1), EffectId::derive(&run, &step, 2));
    /// # Ok::<(), rollout_core::id::InvalidId>(())
    /// ```
    #[must_use]
    pub fn derive(run: &RunId, step: &StepId, attempt: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(run.as_str().as_bytes());
        hash.update([0]);
        hash.update(step.as_str().as_bytes());
        hash.update([0]);
        hash.update(attempt.to_be_bytes());
        let mut text = hex(&hash.finalize());
        text.truncate(32);
        Self(format!("ro-{text}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_parsed_strictly() {
        assert!(ImageDigest::new(format!("sha256:{}", "a".repeat(64))).is_ok());
        for bad in [
            "",
            "sha256:",
            "sha256:xyz",
            &format!("sha256:{}", "A".repeat(64)),
            &"a".repeat(71),
        ] {
            assert!(ImageDigest::new(bad).is_err(), "{bad}");
        }
        assert_eq!(ImageDigest::of(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn domains_compare_without_case_and_root_dot() -> Result<(), InvalidId> {
        assert!(DomainName::new("Api.Example.com.")?.same_as(&DomainName::new("api.example.com")?));
        for bad in ["", ".", "a..b", "-a.com", "a b.com", &"a".repeat(64)] {
            assert!(DomainName::new(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn an_effect_id_fits_the_shortest_token() -> Result<(), InvalidId> {
        let id = EffectId::derive(
            &RunId::new("r".repeat(64))?,
            &StepId::new("s/".repeat(100))?,
            u32::MAX,
        );
        assert!(id.as_str().len() <= 36 && id.as_str().is_ascii());
        Ok(())
    }
}
