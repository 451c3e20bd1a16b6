//! What is known of a resource: it was seen, it does not exist, or nobody can say.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A fact as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// It was read.
    Seen(T),
    /// Whoever was asked says that there is no such thing.
    Missing,
    /// It could not be read, or was not.
    Unknown(Unseen),
}

impl<T> Known<T> {
    /// What was read.
    ///
    /// # Errors
    /// [`Unseen`] when it could not be read, and when there is no such thing: nothing can be said of what is not there.
    pub fn get(&self) -> Result<&T, Unseen> {
        match self {
            Self::Seen(value) => Ok(value),
            Self::Missing => Err(Unseen::new(Why::Missing, "", "there is no such thing")),
            Self::Unknown(unseen) => Err(unseen.clone()),
        }
    }

    /// What was read; `None` when there is no such thing.
    ///
    /// # Errors
    /// [`Unseen`] when it could not be read.
    pub fn find(&self) -> Result<Option<&T>, Unseen> {
        match self {
            Self::Seen(value) => Ok(Some(value)),
            Self::Missing => Ok(None),
            Self::Unknown(unseen) => Err(unseen.clone()),
        }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::Unknown(Unseen::not_asked(""))
    }
}

/// Why something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The caller may not read it.
    Denied,
    /// The call failed.
    Failed,
    /// Nobody asked.
    NotAsked,
    /// There is no such thing, so that nothing about it can be known.
    Missing,
}

/// Something that is not known, and why. Never a pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unseen {
    /// Why.
    pub why: Why,
    /// What was to be read: a resource, such as a subnet's id.
    pub subject: String,
    /// In words, with the call where there was one, such as `ec2:DescribeSubnets: not authorised`.
    pub text: String,
}

impl Unseen {
    /// Something that is not known.
    #[must_use]
    pub fn new(why: Why, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            why,
            subject: subject.into(),
            text: text.into(),
        }
    }

    /// Nobody asked for it.
    #[must_use]
    pub fn not_asked(subject: impl Into<String>) -> Self {
        Self::new(Why::NotAsked, subject, "it was not asked for")
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject.is_empty() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.subject, self.text)
        }
    }
}

/// Resources of one kind by the name that others refer to them by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table<T>(BTreeMap<String, Known<T>>);

impl<T> Table<T> {
    /// Keeps what is known of a resource, in place of what was known before.
    pub fn put(&mut self, name: impl Into<String>, known: Known<T>) {
        self.0.insert(name.into(), known);
    }

    /// Keeps a resource that was seen.
    pub fn seen(&mut self, name: impl Into<String>, value: T) {
        self.put(name, Known::Seen(value));
    }

    /// Whether anything is known of a resource, be it that it cannot be read.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A resource that must be there.
    ///
    /// # Errors
    /// [`Unseen`] when it was not read, could not be read, or does not exist.
    pub fn get(&self, name: &str) -> Result<&T, Unseen> {
        self.find(name)?
            .ok_or_else(|| Unseen::new(Why::Missing, name, "there is no such thing"))
    }

    /// A resource; `None` when it does not exist.
    ///
    /// # Errors
    /// [`Unseen`] when it was not read, or could not be read.
    pub fn find(&self, name: &str) -> Result<Option<&T>, Unseen> {
        let known = self.0.get(name).ok_or_else(|| Unseen::not_asked(name))?;
        known.find().map_err(|unseen| Unseen {
            subject: if unseen.subject.is_empty() {
                name.to_owned()
            } else {
                unseen.subject
            },
            ..unseen
        })
    }

    /// Every resource by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Known<T>)> {
        self.0.iter().map(|(name, known)| (name.as_str(), known))
    }

    /// Every resource that can be changed, by its name.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Known<T>)> {
        self.0.iter_mut().map(|(name, known)| (name.as_str(), known))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A resource that was seen, to change it.
    pub fn seen_mut(&mut self, name: &str) -> Option<&mut T> {
        match self.0.get_mut(name) {
            Some(Known::Seen(value)) => Some(value),
            Some(Known::Missing | Known::Unknown(_)) | None => None,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}
