//! A plan as a document: everything that will change, what it rests on, and a hash over all of it, so that what is run is what
//! was read and agreed to.
//!
//! The document is JSON. Its hash is the SHA-256 of the *canonical* form of everything but the hash itself: the members of
//! every object sorted by name, no blanks. The order of members and the blanks of the file do not count, so that a formatter
//! does not spoil a plan; any other change does.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::assumed::Assumed;
use super::{RolloutPlan, secret};
use crate::id::hex;
use crate::time::Timestamp;

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The member that says that it is a plan, and of which format.
const FORMAT_KEY: &str = "rollout_plan";
/// The member that holds the hash.
const HASH_KEY: &str = "sha256";

/// A plan with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// When the world was read.
    pub made_at: Timestamp,
    /// Who made it: the caller's ARN, as the platform told it.
    pub made_by: String,
    /// The program that made it, with its version.
    pub made_with: String,
    /// What the plan was made from that is not in it: the names that lead to the environments, such as their clusters and
    /// registries. Whoever runs the plan compares them with its own.
    pub places: BTreeMap<String, String>,
    /// Everything that will be done.
    pub plan: RolloutPlan,
    /// What the world was like.
    pub assumes: Assumed,
}

/// Why a plan is not made a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// It holds what looks like a secret; a document is read by many. The value is not repeated here.
    #[error(
        "{place} looks like a secret and would stand in the plan for all to read; keep its value in Secrets Manager or the \
         Parameter Store and name it under `secrets` of the container"
    )]
    Secret {
        /// Where it stands.
        place: String,
    },
    /// It does not come back from its text as it was.
    #[error("the plan cannot be written so that it is read back as it is: {0}")]
    Unfaithful(String),
}

/// Why a text is not a plan that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON, or not a plan.
    #[error("it is not a plan ({0}); `rollout plan --out FILE` writes one")]
    NotAPlan(String),
    /// A newer program wrote it.
    #[error(
        "it has format {found} and this program reads formats up to {FORMAT}; run it with the version that made it ({by}), or \
         make it anew with this one"
    )]
    Newer {
        /// Its format.
        found: u64,
        /// What it says of the program that wrote it.
        by: String,
    },
    /// It is not what was written.
    #[error(
        "it was changed after it was made: its hash is {is}, and it says {says}; make a new plan, do not edit one"
    )]
    Changed {
        /// The hash that it names.
        says: String,
        /// The hash that it has.
        is: String,
    },
}

impl Document {
    /// The document as text, with its hash, for a file.
    ///
    /// # Errors
    /// [`Unsealed::Secret`] names the place of what looks like a secret: an environment variable of a container with such a
    /// name, or a value with the form of a key.
    pub fn seal(&self) -> Result<String, Unsealed> {
        let mut all = match serde_json::to_value(self) {
            Ok(Value::Object(all)) => all,
            Ok(_) => return Err(Unsealed::Unfaithful("it is no object".to_owned())),
            Err(error) => return Err(Unsealed::Unfaithful(error.to_string())),
        };
        if let Some(place) = secret::find(&all) {
            return Err(Unsealed::Secret { place });
        }
        all.insert(FORMAT_KEY.to_owned(), Value::from(FORMAT));
        let hash = hash(&all);
        all.insert(HASH_KEY.to_owned(), Value::from(hash));
        let all = sorted(&Value::Object(all));
        let text =
            serde_json::to_string_pretty(&all).map_err(|error| Unsealed::Unfaithful(error.to_string()))?;
        // A number that does not survive its text would make a plan that nobody can run.
        match Self::open(&text) {
            Ok(read) if read == *self => Ok(format!("{text}\n")),
            Ok(_) => Err(Unsealed::Unfaithful("what is read back differs".to_owned())),
            Err(error) => Err(Unsealed::Unfaithful(error.to_string())),
        }
    }

    /// Reads a document and holds it against its hash.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn open(text: &str) -> Result<Self, Unreadable> {
        let no = |why: &str| Unreadable::NotAPlan(why.to_owned());
        let mut all: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| Unreadable::NotAPlan(error.to_string()))?;
        let format = all
            .get(FORMAT_KEY)
            .and_then(Value::as_u64)
            .ok_or_else(|| no("it does not name its format"))?;
        if format > u64::from(FORMAT) {
            let by = all.get("made_with").and_then(Value::as_str);
            return Err(Unreadable::Newer {
                found: format,
                by: by.unwrap_or("which it does not name").to_owned(),
            });
        }
        let Some(Value::String(says)) = all.remove(HASH_KEY) else {
            return Err(no("it names no hash"));
        };
        let is = hash(&all);
        if says != is {
            return Err(Unreadable::Changed { says, is });
        }
        serde_json::from_value(Value::Object(all)).map_err(|error| Unreadable::NotAPlan(error.to_string()))
    }

    /// The hash that the sealed document names: what people compare.
    ///
    /// # Errors
    /// See [`Document::seal`].
    pub fn hash(&self) -> Result<String, Unsealed> {
        let text = self.seal()?;
        let all: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| Unsealed::Unfaithful(error.to_string()))?;
        let hash = all.get(HASH_KEY).and_then(Value::as_str);
        Ok(hash.unwrap_or_default().to_owned())
    }
}

fn hash(all: &Map<String, Value>) -> String {
    let mut text = String::new();
    canonical_object(all, &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

/// Sorted, whatever order `serde_json` keeps in this build: a crate elsewhere in the build may switch on `preserve_order`.
fn sorted_members(members: &Map<String, Value>) -> BTreeMap<&String, &Value> {
    members.iter().collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => sorted_members(members)
            .into_iter()
            .map(|(name, value)| (name.clone(), sorted(value)))
            .collect(),
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => canonical_object(members, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{value}");
        }
    }
}

fn canonical_object(members: &Map<String, Value>, out: &mut String) {
    out.push('{');
    for (index, (name, value)) in sorted_members(members).into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = write!(out, "{}:", Value::from(name.as_str()));
        canonical(value, out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests;
