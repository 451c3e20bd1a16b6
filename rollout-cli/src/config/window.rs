//! `[promotion.window]`: when a release may begin.

use rollout_core::plan::window::{Freeze, Hours, Offset, Window};
use rollout_core::time::Timestamp;
use toml::value::{Datetime, Offset as TomlOffset};

use super::reader::{Reader, Value};

pub(super) fn read(reader: &Reader<'_>) -> Window {
    let offset = reader.value("offset").and_then(|v| v.parse::<Offset>());
    let offset = offset.map(|offset| offset.value).unwrap_or_default();
    let open = reader.value("open").map(|v| open(&v)).unwrap_or_default();
    let freezes = reader.value("freeze").map(|v| {
        let tables = v.array();
        let each = tables.iter().filter_map(|v| v.table("{ from = …, until = … }"));
        each.filter_map(|r| freeze(&r, offset)).collect()
    });
    reader.finish();
    Window {
        open,
        offset,
        freezes: freezes.unwrap_or_default(),
    }
}

fn open(value: &Value<'_>) -> Vec<Hours> {
    let hours: Vec<Hours> = value
        .list::<Hours>()
        .into_iter()
        .map(|hours| hours.value)
        .collect();
    if hours.is_empty() && value.array().is_empty() {
        value.wrong(
            "`open` is empty: nothing could ever begin",
            "write hours, such as \"Mon-Thu 09:00-16:00\", or leave the key out for a window that is always open",
        );
    }
    hours
}

fn freeze(reader: &Reader<'_>, offset: Offset) -> Option<Freeze> {
    let moment = |v: Value<'_>| {
        let at = v.datetime()?;
        let moment = timestamp(&at.value, offset);
        if moment.is_none() {
            v.wrong(
                format!("`{}`: {} is before 1970", v.key, at.value),
                "write a year of this century",
            );
        }
        moment
    };
    let from = reader.required("from", "2026-12-18T18:00:00").and_then(moment);
    let end = reader.required("until", "2027-01-04T08:00:00");
    let why = reader.value("why").and_then(|v| v.text()).map(|text| text.value);
    let until = end.and_then(|v| Some((moment(v)?, reader.value("until")?)));
    reader.finish();
    let (from, (until, value)) = (from?, until?);
    if until <= from {
        value.wrong(
            "the freeze ends before it begins",
            "write an `until` that is after its `from`",
        );
        return None;
    }
    Some(Freeze { from, until, why })
}

/// A moment as AWS tools write it, such as `2026-12-18T18:00:00+00:00`.
#[cfg_attr(
    not(any(test, feature = "aws")),
    expect(dead_code, reason = "only credentials are told so")
)]
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let at: Datetime = text.trim().parse().ok()?;
    at.offset?;
    timestamp(&at, Offset::default())
}

/// A moment; a date alone is its first one. Without an offset of its own it is in the window's.
pub(super) fn timestamp(at: &Datetime, window: Offset) -> Option<Timestamp> {
    let date = at.date?;
    let east = match at.offset {
        Some(TomlOffset::Z) => 0,
        Some(TomlOffset::Custom { minutes }) => i64::from(minutes),
        None => i64::from(window.minutes()),
    };
    let time = at.time;
    let part = |of: fn(&toml::value::Time) -> u64| time.as_ref().map_or(0, of);
    let hour = part(|t| u64::from(t.hour));
    let minute = part(|t| u64::from(t.minute));
    // A leap second is the next minute's first.
    let second = part(|t| t.second.map_or(0, u64::from));
    let millis = part(|t| t.nanosecond.map_or(0, |nanos| u64::from(nanos / 1_000_000)));
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = i64::try_from(hour * 60 + minute).ok()? + days * 1_440 - east;
    let seconds = u64::try_from(minutes).ok()? * 60 + second;
    Some(Timestamp::from_millis(seconds * 1000 + millis))
}

/// Days since 1970-01-01, in the Gregorian calendar. Years are counted from March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 153 days in any five months that begin with March or August.
    let in_year = (153 * month + 2) / 5 + day - 1;
    // From the first of March of year 0 to the epoch.
    365 * year + leap_days + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar_and_of_the_offset() {
        let offset: Offset = "+01:00".parse().expect("valid");
        for (text, expected) in [
            ("1970-01-02", "1970-01-01T23:00:00.000Z"),
            ("2026-12-18T18:00:00", "2026-12-18T17:00:00.000Z"),
            ("2026-12-18 18:00:00.5Z", "2026-12-18T18:00:00.500Z"),
            ("2024-02-29T00:30:00-05:30", "2024-02-29T06:00:00.000Z"),
            ("2000-03-01T00:00:00Z", "2000-03-01T00:00:00.000Z"),
            ("2100-03-01T00:00:00Z", "2100-03-01T00:00:00.000Z"),
            ("2027-12-31T23:59:60Z", "2028-01-01T00:00:00.000Z"),
        ] {
            let parsed: Datetime = text.parse().expect(text);
            let moment = timestamp(&parsed, offset).expect(text);
            assert_eq!(moment.to_string(), expected, "{text}");
        }
        assert_eq!(
            moment("2026-12-18T18:00:00+00:00"),
            moment(" 2026-12-18T18:00:00Z")
        );
        for text in ["", "2026-12-18T18:00:00", "2026-12-18", "soon"] {
            assert_eq!(moment(text), None, "{text}");
        }
        let early: Datetime = "1969-12-31".parse().expect("valid");
        assert_eq!(timestamp(&early, offset), None);
    }
}
