//! The error of every port: three independent axes and a context.

use core::fmt;
use core::time::Duration;
use std::error::Error as StdError;

use serde::{Deserialize, Serialize};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The subject does not exist.
    NotFound,
    /// The subject exists already, and differs.
    AlreadyExists,
    /// What the call assumed does not hold: someone else has acted.
    Conflict,
    /// The request itself is wrong.
    InvalidRequest,
    /// The caller may not do this.
    PermissionDenied,
    /// Too many calls.
    Throttled,
    /// The service cannot answer now.
    Unavailable,
    /// No answer in time.
    TimedOut,
    /// The implementation cannot do this.
    Unsupported,
    /// None of the above.
    Unexpected,
}

/// Whether a repeat may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// A repeat gives the same answer.
    Never,
    /// A repeat may succeed, later.
    Later,
    /// It would have been `Later`, but the layer below has used up its tries.
    Exhausted,
}

/// Whether the call may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// It has not.
    No,
    /// Nobody knows: observe before repeating.
    Maybe,
    /// It has, although an error came back.
    Yes,
}

/// A port's error.
///
/// `Display` is one lower-case fragment without the source; print the chain with [`Report`].
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whether a repeat may help.
    pub retry: Retry,
    /// Whether the call may have taken effect.
    pub applied: Applied,
    /// The operation, such as `ecs:UpdateService`.
    pub operation: String,
    /// What it was about, and what the other side said.
    pub context: String,
    /// How long the other side asks to wait, if it does.
    pub retry_after: Option<Duration>,
    /// The cause.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that did not take effect and will not go away by itself.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: impl Into<String>, context: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::TimedOut => Retry::Later,
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Conflict
            | ErrorKind::InvalidRequest
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::Unexpected => Retry::Never,
        };
        Self {
            kind,
            retry,
            applied: Applied::No,
            operation: operation.into(),
            context: context.into(),
            retry_after: None,
            source: None,
        }
    }

    /// The same with another answer to "has it taken effect?".
    #[must_use]
    pub fn applied(mut self, applied: Applied) -> Self {
        self.applied = applied;
        self
    }

    /// The same with another answer to "may a repeat help?".
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same with a cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The form that is stored in an event: the cause becomes text.
    #[must_use]
    pub fn record(&self) -> ErrorRecord {
        ErrorRecord {
            kind: self.kind,
            retry: self.retry,
            applied: self.applied,
            operation: self.operation.clone(),
            context: self.context.clone(),
            retry_after: self.retry_after,
            cause: self.source.as_deref().map(|source| Report(source).to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Prints an error and its causes on one line, joined by `: `.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(pub &'a (dyn StdError + 'static));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

/// A port's error as an event carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// See [`Error::kind`].
    pub kind: ErrorKind,
    /// See [`Error::retry`].
    pub retry: Retry,
    /// See [`Error::applied`].
    pub applied: Applied,
    /// See [`Error::operation`].
    pub operation: String,
    /// See [`Error::context`].
    pub context: String,
    /// See [`Error::retry_after`].
    #[serde(default, with = "opt_millis", skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// The chain of causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl fmt::Display for ErrorRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.context)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

mod opt_millis {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
