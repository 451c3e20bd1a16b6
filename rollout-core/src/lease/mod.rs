//! One runner at a time: what a lease says, and the one small port that keeps it.
//!
//! Each environment and release group has one lease. It names who may change things, since when, and under which
//! [`Generation`], which grows with every grant. The decisions are in [`machine::lease`](crate::machine::lease); the
//! [`Tenure`](crate::driver::Tenure) runs them beside a drive and keeps a runner that has lost the lease from acting.

use core::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::id::{EnvironmentName, Generation, GroupName, RunId};
use crate::time::Timestamp;

mod dir;
mod memory;

pub use dir::{DirLeaseStore, Presence};
pub use memory::MemoryLeaseStore;

/// The version of the stored form that this crate writes. It reads this one and every older one.
pub const FORMAT: u32 = 1;

/// What one lease is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The environment that is changed.
    pub environment: EnvironmentName,
    /// What is released in it.
    pub group: GroupName,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.environment, self.group)
    }
}

/// Who runs it, for the people who have to ask them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// A person, or the CI's own user.
    pub who: String,
    /// The machine.
    pub host: String,
    /// The CI run, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.who, self.host)?;
        match &self.url {
            Some(url) => write!(f, " ({url})"),
            None => Ok(()),
        }
    }
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub owner: Owner,
    /// For which run.
    pub run: RunId,
    /// Which attempt to hold it: a text that the caller draws anew for every one, so that a runner knows its own write
    /// again after a lost answer, also when the same owner tries twice at once.
    pub session: String,
    /// Since when, by the holder's clock.
    pub since: Timestamp,
}

/// What the store keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRecord {
    /// The version of the stored form: [`FORMAT`].
    pub format: u32,
    /// What it is about.
    pub scope: Scope,
    /// Grows with every grant, and never shrinks: a lease that was given back keeps it.
    pub generation: Generation,
    /// Grows with every write, so that no two values of one lease are the same.
    pub writes: u64,
    /// When this was written, by the writer's clock.
    pub written: Timestamp,
    /// Until when it holds, by the writer's clock. Others do not rely on it, see [`machine::lease`](crate::machine::lease).
    pub until: Timestamp,
    /// Who holds it; `None` once it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

impl LeaseRecord {
    /// The stored form: one line of JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Unexpected`]; plain data can always be stored, so that would be a bug of ours.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, "lease:Write", "it cannot be stored").caused_by(error)
        })
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when a newer version wrote it, [`ErrorKind::Unexpected`] when it is no lease, or one
    /// of another scope.
    pub fn decode(bytes: &[u8], scope: &Scope) -> Result<Self, Error> {
        /// Only the version, so that a newer lease is refused by name and not for its new fields.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let bad = |kind, why: String| Error::new(kind, "lease:Read", format!("{scope}: {why}"));
        let no_lease = |error: serde_json::Error| {
            bad(
                ErrorKind::Unexpected,
                "what is stored there is no lease; look at it, and move it away if it is not ours".to_owned(),
            )
            .caused_by(error)
        };
        let Version { format } = serde_json::from_slice(bytes).map_err(no_lease)?;
        if format > FORMAT {
            let why = format!(
                "the lease has format {format}; this version reads up to {FORMAT}: use a newer rollout"
            );
            return Err(bad(ErrorKind::Unsupported, why));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(no_lease)?;
        if record.scope == *scope {
            Ok(record)
        } else {
            let why = format!("the lease stored there is of {}", record.scope);
            Err(bad(ErrorKind::Unexpected, why))
        }
    }
}

impl fmt::Display for LeaseRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(Holder {
                owner, run, since, ..
            }) => write!(
                f,
                "{owner} holds {} since {since} for run {run}, generation {}",
                self.scope, self.generation
            ),
            None => write!(
                f,
                "nobody holds {} since {}, generation {}",
                self.scope, self.written, self.generation
            ),
        }
    }
}

/// Which value of a lease: what the store answers with a value, and compares on a write. An ETag, for example.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub String);

/// A value, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes that were put.
    pub value: Vec<u8>,
    /// Which value it is.
    pub version: Version,
}

/// Keeps one small value a scope, and changes it by compare-and-set only.
///
/// It takes no [`OpContext`](crate::context::OpContext): a lease belongs to no step of a run, and who calls bounds the wait.
///
/// # Contract
/// - A read that begins after a put has returned sees that value, or a later one, whoever reads.
/// - A put takes effect only if the present value is the expected one, and then wholly; `None` expects that there is none.
///   If it is another one the error is [`ErrorKind::Conflict`], and whoever gets it reads back: the other value may be its
///   own, of a try whose answer was lost below.
/// - A version may be derived from the value: nobody puts the same value twice.
/// - An error says whether the put may have taken effect ([`Applied`](crate::error::Applied)).
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// The present value; `None` when there has never been one.
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error>;

    /// Puts a value in the place of the expected one, and answers with its version.
    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LeaseRecord {
        LeaseRecord {
            format: FORMAT,
            scope: scope(),
            generation: Generation(7),
            writes: 9,
            written: Timestamp::from_millis(1_763_683_200_000),
            until: Timestamp::from_millis(1_763_683_260_000),
            holder: Some(Holder {
                owner: Owner {
                    who: "ci".to_owned(),
                    host: "runner-2".to_owned(),
                    url: Some("https://ci.example/7".to_owned()),
                },
                run: "r-1".parse().expect("valid"),
                session: "s-1".to_owned(),
                since: Timestamp::from_millis(1_763_683_200_000),
            }),
        }
    }

    fn scope() -> Scope {
        Scope {
            environment: "production".parse().expect("valid"),
            group: "storefront".parse().expect("valid"),
        }
    }

    #[test]
    fn a_lease_survives_storage_and_says_who_holds_it() {
        let record = record();
        let bytes = record.encode().expect("plain data");
        assert_eq!(LeaseRecord::decode(&bytes, &scope()).expect("ours"), record);
        assert_eq!(
            record.to_string(),
            "ci@runner-2 (https://ci.example/7) holds production/storefront since 2025-11-21T00:00:00.000Z for run r-1, \
             generation 7"
        );
    }

    #[test]
    fn what_is_no_lease_of_ours_is_refused_by_name() {
        let mut newer = serde_json::to_value(record()).expect("plain data");
        newer["format"] = 2.into();
        newer["dreamt"] = true.into();
        let error = LeaseRecord::decode(newer.to_string().as_bytes(), &scope()).expect_err("newer");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.to_string().contains("format 2"), "{error}");

        for bytes in [&b""[..], b"{}", b"[1]", b"\xff", b"{\"format\":1}"] {
            let error = LeaseRecord::decode(bytes, &scope()).expect_err("no lease");
            assert_eq!(error.kind, ErrorKind::Unexpected, "{error}");
        }

        let mut other = scope();
        other.group = "backoffice".parse().expect("valid");
        let bytes = record().encode().expect("plain data");
        let error = LeaseRecord::decode(&bytes, &other).expect_err("another scope");
        assert!(error.to_string().contains("production/storefront"), "{error}");
    }
}
