//! When changes may be made: hours of a week in one UTC offset, and freezes.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const MINUTE: u64 = 60_000;
const DAY_MINUTES: u64 = 1_440;
const WEEK_MINUTES: u64 = 10_080;
const WEEK: u64 = WEEK_MINUTES * MINUTE;
/// From the first moment of a Monday to the Unix epoch, which was a Thursday's.
const EPOCH_IN_WEEK: u64 = 3 * DAY_MINUTES * MINUTE;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A change window. Without any hours it is open always, but for its freezes.
///
/// The offset is a fixed one: there is no daylight saving time in it. What shall follow a summer time is written anew when
/// the clocks change, or left an hour wider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it is open. None means always.
    pub open: Vec<Hours>,
    /// East of UTC.
    pub offset: Offset,
    /// When it is shut whatever the hours say.
    pub freezes: Vec<Freeze>,
}

/// Hours of some days of the week, such as `Mon-Thu 09:00-16:00`. An end that is not after its beginning is on the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    first: u8,
    last: u8,
    from: u16,
    to: u16,
}

/// Minutes east of UTC, such as `+01:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Offset(i16);

/// A span in which nothing is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// From this moment.
    pub from: Timestamp,
    /// Until right before this one.
    pub until: Timestamp,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether a window is open at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// It is, until right before this moment; [`Timestamp::MAX`] when it does not shut any more.
    Open {
        /// When it shuts.
        until: Timestamp,
    },
    /// It is not.
    Shut {
        /// Why: a freeze's words; `None` when the hours say so.
        why: Option<String>,
        /// When it opens next; `None` when it never does.
        opens: Option<Timestamp>,
    },
}

impl Window {
    /// Whether it is open at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> WindowState {
        if let Some(freeze) = self.frozen(now) {
            let why = freeze.why.clone().unwrap_or_else(|| "a freeze".to_owned());
            return WindowState::Shut {
                why: Some(format!("{why}, from {} until {}", freeze.from, freeze.until)),
                opens: self.opens(freeze.until),
            };
        }
        match self.hours_until(now) {
            Some(until) => {
                let freeze = self.freezes.iter().filter(|freeze| freeze.until > freeze.from);
                let next = freeze.map(|freeze| freeze.from).filter(|from| *from > now).min();
                WindowState::Open {
                    until: next.map_or(until, |from| from.min(until)),
                }
            }
            None => WindowState::Shut {
                why: None,
                opens: self.opens(now),
            },
        }
    }

    fn frozen(&self, now: Timestamp) -> Option<&Freeze> {
        let frozen = self.freezes.iter().filter(|f| f.from <= now && now < f.until);
        frozen.max_by_key(|freeze| freeze.until)
    }

    /// The first moment not before `from` at which it is open.
    fn opens(&self, from: Timestamp) -> Option<Timestamp> {
        let mut at = from;
        // A freeze can be left once only, and after each there is one look at the hours.
        for _ in 0..=self.freezes.len().saturating_mul(2).saturating_add(1) {
            match self.frozen(at) {
                Some(freeze) => at = freeze.until,
                None if self.hours_until(at).is_some() => return (at < Timestamp::MAX).then_some(at),
                None => at = self.next_hours(at)?,
            }
        }
        None
    }

    /// Until when the hours that are open at `now` last; `None` when none are.
    fn hours_until(&self, now: Timestamp) -> Option<Timestamp> {
        if self.open.is_empty() {
            return Some(Timestamp::MAX);
        }
        let here = self.in_week(now);
        let mut lasts = 0_u64;
        // Hours that meet or overlap are one span: it grows until no hours are open at its end.
        while lasts < WEEK {
            let end = here.saturating_add(lasts);
            let left = |(from, length): (u64, u64)| {
                // The week is a ring.
                let since = end.saturating_add(WEEK).saturating_sub(from) % WEEK;
                length.checked_sub(since).filter(|left| *left > 0)
            };
            match self.spans().filter_map(left).max() {
                Some(more) => lasts = lasts.saturating_add(more),
                None => return (lasts > 0).then(|| now.after(Duration::from_millis(lasts))),
            }
        }
        Some(Timestamp::MAX)
    }

    /// The next moment after `now` at which any hours begin.
    fn next_hours(&self, now: Timestamp) -> Option<Timestamp> {
        let here = self.in_week(now);
        let wait = |(from, _): (u64, u64)| {
            let ahead = from.saturating_add(WEEK).saturating_sub(here) % WEEK;
            if ahead == 0 { WEEK } else { ahead }
        };
        self.spans()
            .map(wait)
            .min()
            .map(|wait| now.after(Duration::from_millis(wait)))
    }

    /// Every day's hours: where in the week they begin, and how long they last, in milliseconds.
    fn spans(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.open.iter().flat_map(|hours| {
            let days = (0..7_u8).filter(|day| hours.covers(*day));
            days.map(|day| {
                let start = u64::from(day).saturating_mul(DAY_MINUTES);
                let from = start.saturating_add(u64::from(hours.from));
                let length = if hours.to > hours.from {
                    u64::from(hours.to.saturating_sub(hours.from))
                } else {
                    DAY_MINUTES
                        .saturating_sub(u64::from(hours.from))
                        .saturating_add(u64::from(hours.to))
                };
                (from.saturating_mul(MINUTE), length.saturating_mul(MINUTE))
            })
        })
    }

    /// Milliseconds since the last Monday began, in the window's offset.
    fn in_week(&self, now: Timestamp) -> u64 {
        // Week and all, so that no offset leads below zero.
        let east = u64::from(self.offset.0.unsigned_abs()).saturating_mul(MINUTE);
        let utc = now
            .as_millis()
            .checked_rem(WEEK)
            .unwrap_or_default()
            .saturating_add(EPOCH_IN_WEEK)
            .saturating_add(WEEK);
        let local = if self.offset.0 < 0 {
            utc.saturating_sub(east)
        } else {
            utc.saturating_add(east)
        };
        local % WEEK
    }
}

impl Hours {
    const fn covers(&self, day: u8) -> bool {
        if self.first <= self.last {
            self.first <= day && day <= self.last
        } else {
            day >= self.first || day <= self.last
        }
    }
}

/// Why a text is not hours or an offset. `Display` names what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {expected}")]
pub struct NotATime {
    given: String,
    expected: &'static str,
}

impl FromStr for Hours {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let parsed = || {
            let (days, hours) = text.trim().split_once(' ')?;
            let (first, last) = days.split_once('-').unwrap_or((days, days));
            let (from, to) = hours.trim().split_once('-')?;
            let (from, to) = (minutes(from)?, minutes(to)?);
            // `24:00` is an end, never a beginning.
            (u64::from(from) < DAY_MINUTES).then_some(())?;
            let (first, last) = (day(first)?, day(last)?);
            Some(Self {
                first,
                last,
                from,
                to,
            })
        };
        parsed().ok_or_else(|| NotATime {
            given: text.to_owned(),
            expected: "days and hours, such as `Mon-Thu 09:00-16:00` or `Fri 09:00-12:00`",
        })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
        f.write_str(day(self.first))?;
        if self.last != self.first {
            write!(f, "-{}", day(self.last))?;
        }
        let (from, to) = (self.from, self.to);
        write!(
            f,
            " {:02}:{:02}-{:02}:{:02}",
            from / 60,
            from % 60,
            to / 60,
            to % 60
        )
    }
}

impl FromStr for Offset {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let parsed = || {
            if text == "Z" {
                return Some(Self(0));
            }
            let (east, rest) = match text.strip_prefix('+') {
                Some(rest) => (true, rest),
                None => (false, text.strip_prefix('-')?),
            };
            let minutes = i16::try_from(minutes(rest)?).ok()?;
            // The widest offsets in use are 14 hours east and 12 west; RFC 3339 allows more, a slip of the pen does, too.
            (minutes <= 14 * 60).then(|| Self(if east { minutes } else { minutes.saturating_neg() }))
        };
        parsed().ok_or_else(|| NotATime {
            given: text.to_owned(),
            expected: "an offset from UTC, such as `+01:00`, `-05:00` or `Z`",
        })
    }
}

impl Offset {
    /// Minutes east of UTC.
    #[must_use]
    pub const fn minutes(self) -> i16 {
        self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NotATime;
            fn try_from(text: String) -> Result<Self, NotATime> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

as_text!(Hours);
as_text!(Offset);

fn day(text: &str) -> Option<u8> {
    let found = DAYS.iter().position(|day| *day == text)?;
    u8::try_from(found).ok()
}

/// `09:30` as minutes of the day; `24:00` is its end.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok())
    };
    let (hours, minutes) = (digits(hours)??, digits(minutes)??);
    let all = hours.saturating_mul(60).saturating_add(minutes);
    (minutes < 60 && u64::from(all) <= DAY_MINUTES).then_some(all)
}

#[cfg(test)]
mod tests;
