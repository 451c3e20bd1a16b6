//! Time as data. Nothing in this crate reads a clock: `now` comes in as an argument.

use core::fmt;
use core::time::Duration;
use std::time::{Duration as StdDuration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A day in milliseconds.
pub(crate) const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Milliseconds since the Unix epoch, UTC.
///
/// Arithmetic saturates: a deadline beyond the end of time is the end of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last representable moment.
    pub const MAX: Self = Self(u64::MAX);

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it was not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime refuses years past 9999; such a moment is printed as its number.
        const YEAR_10000: u64 = 253_402_300_800_000;
        if self.0 >= YEAR_10000 {
            return write!(f, "{}ms", self.0);
        }
        match UNIX_EPOCH.checked_add(StdDuration::from_millis(self.0)) {
            Some(moment) => write!(f, "{}", humantime::format_rfc3339_millis(moment)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// A duration as people write it: `5m`, `1h 30m`.
#[must_use]
pub fn human(span: Duration) -> String {
    let coarse = if span.as_secs() >= 10 {
        Duration::from_secs(span.as_secs())
    } else {
        span
    };
    humantime::format_duration(coarse).to_string()
}

/// Durations are stored as whole milliseconds.
pub mod millis {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes milliseconds.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads milliseconds.
    ///
    /// # Errors
    /// What the deserializer says.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Durations that may be left out, stored as whole milliseconds.
pub mod maybe_millis {
    use core::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    /// Writes milliseconds, or nothing.
    ///
    /// # Errors
    /// What the serializer says.
    pub fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
            .serialize(serializer)
    }

    /// Reads milliseconds, or nothing.
    ///
    /// # Errors
    /// What the deserializer says.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// Why a machine waits.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Wait {
    /// Until it is time to look again.
    Poll,
    /// Until a call that failed may be repeated.
    Retry,
    /// For an answer; past this moment the step gives up.
    Answer,
    /// For the whole step; past this moment it has failed.
    GiveUp,
    /// For a gate's warm-up to end.
    WarmUp,
    /// For a gate's or a deployment's bake time to end.
    Bake,
    /// For the old TTL to run out of every cache.
    OldTtl,
    /// For a DNS change to reach all authoritative servers.
    Propagation,
    /// For the old side's requests to fall below the drain level.
    Drain,
    /// For the watch after a cutover to end.
    Watch,
    /// For the parent's word to go on.
    Proceed,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Poll => "next look",
            Self::Retry => "retry",
            Self::Answer => "an answer",
            Self::GiveUp => "the step's deadline",
            Self::WarmUp => "warm-up",
            Self::Bake => "bake time",
            Self::OldTtl => "the old TTL to expire",
            Self::Propagation => "DNS propagation",
            Self::Drain => "the old side to drain",
            Self::Watch => "the watch after the change",
            Self::Proceed => "its turn",
        })
    }
}

/// When a machine wants to be called again, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deadline {
    /// At this moment, or as soon after it as possible.
    pub at: Timestamp,
    /// What it waits for.
    pub why: Wait,
}

impl Deadline {
    /// A deadline.
    #[must_use]
    pub const fn new(at: Timestamp, why: Wait) -> Self {
        Self { at, why }
    }

    /// The earlier of two; the first on a tie.
    #[must_use]
    pub fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_millis(1_763_683_200_123).to_string(),
            "2025-11-21T00:00:00.123Z"
        );
        assert_eq!(Timestamp::MAX.to_string(), format!("{}ms", u64::MAX));
    }

    #[test]
    fn saturates() {
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
    }
}
