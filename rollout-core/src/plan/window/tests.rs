use proptest::prelude::*;

use super::*;

/// Monday, 2026-11-23, midnight UTC.
const MONDAY: u64 = 1_795_392_000_000;

fn at(day: u64, hour: u64, minute: u64) -> Timestamp {
    Timestamp::from_millis(MONDAY + ((day * 24 + hour) * 60 + minute) * MINUTE)
}

fn window(hours: &[&str], offset: &str) -> Window {
    Window {
        open: hours.iter().map(|text| text.parse().expect(text)).collect(),
        offset: offset.parse().expect(offset),
        freezes: Vec::new(),
    }
}

fn open(until: Timestamp) -> WindowState {
    WindowState::Open { until }
}

fn shut(opens: Timestamp) -> WindowState {
    WindowState::Shut {
        why: None,
        opens: Some(opens),
    }
}

#[test]
fn the_constant_is_a_monday() {
    assert_eq!(at(0, 0, 0).to_string(), "2026-11-23T00:00:00.000Z");
    assert_eq!(window(&[], "Z").in_week(at(0, 0, 0)), 0);
}

#[test]
fn it_is_open_within_its_hours_and_tells_when_it_changes() {
    let window = window(&["Mon-Thu 09:00-16:00", "Fri 09:00-12:00"], "Z");
    assert_eq!(window.at(at(0, 9, 0)), open(at(0, 16, 0)));
    assert_eq!(window.at(at(0, 15, 59)), open(at(0, 16, 0)));
    assert_eq!(window.at(at(0, 16, 0)), shut(at(1, 9, 0)));
    assert_eq!(window.at(at(0, 8, 59)), shut(at(0, 9, 0)));
    assert_eq!(window.at(at(4, 11, 0)), open(at(4, 12, 0)));
    assert_eq!(window.at(at(4, 12, 0)), shut(at(7, 9, 0)));
}

#[test]
fn hours_are_those_of_the_offset() {
    let east = window(&["Mon 00:30-02:00"], "+01:00");
    // Sunday, 23:30 UTC.
    assert_eq!(
        east.at(Timestamp::from_millis(MONDAY - 30 * MINUTE)),
        open(at(0, 1, 0))
    );
    let west = window(&["Sun 20:00-23:00"], "-05:00");
    assert_eq!(west.at(at(0, 3, 0)), open(at(0, 4, 0)));
}

#[test]
fn hours_that_meet_are_one_span_over_midnight_and_over_the_week() {
    let nights = window(&["Mon-Sun 22:00-06:00"], "Z");
    assert_eq!(nights.at(at(0, 23, 0)), open(at(1, 6, 0)));
    assert_eq!(
        nights.at(at(0, 2, 0)),
        open(at(0, 6, 0)),
        "Sunday's night ends on Monday"
    );
    let weekend = window(&["Sat-Sun 00:00-24:00", "Mon 00:00-08:00"], "Z");
    assert_eq!(weekend.at(at(5, 10, 0)), open(at(7, 8, 0)));
    let around = window(&["Sat-Mon 10:00-11:00"], "Z");
    assert_eq!(around.at(at(0, 10, 30)), open(at(0, 11, 0)));
    assert_eq!(around.at(at(2, 10, 30)), shut(at(5, 10, 0)));
    assert_eq!(
        window(&["Mon-Sun 00:00-24:00"], "+02:00").at(at(3, 3, 3)),
        open(Timestamp::MAX)
    );
    assert_eq!(window(&[], "Z").at(at(3, 3, 3)), open(Timestamp::MAX));
    assert_eq!(
        window(&["Wed 12:00-12:00"], "Z").at(at(2, 13, 0)),
        open(at(3, 12, 0))
    );
}

#[test]
fn a_freeze_shuts_it_and_the_next_one_ends_what_is_open() {
    let mut window = window(&["Mon-Fri 09:00-16:00"], "Z");
    window.freezes = vec![
        Freeze {
            from: at(1, 12, 0),
            until: at(2, 20, 0),
            why: Some("the sale".to_owned()),
        },
        Freeze {
            from: at(2, 10, 0),
            until: at(3, 10, 0),
            why: None,
        },
    ];
    assert_eq!(window.at(at(1, 10, 0)), open(at(1, 12, 0)));
    let WindowState::Shut { why, opens } = window.at(at(1, 12, 0)) else {
        panic!("it is frozen")
    };
    assert!(
        why.expect("a freeze")
            .starts_with("the sale, from 2026-11-24T12:00"),
        "it says why"
    );
    assert_eq!(
        opens,
        Some(at(3, 10, 0)),
        "the second freeze begins before the first one ends"
    );
    assert_eq!(window.at(at(3, 10, 0)), open(at(3, 16, 0)));
    // Outside the hours, the next opening is after the freeze.
    assert_eq!(window.at(at(0, 20, 0)), shut(at(1, 9, 0)));
    window.freezes[0].until = Timestamp::MAX;
    assert!(matches!(
        window.at(at(1, 13, 0)),
        WindowState::Shut { opens: None, .. }
    ));
    // One that ends before it begins freezes nothing.
    window.freezes[0].until = Timestamp::EPOCH;
    assert_eq!(window.at(at(1, 10, 0)), open(at(1, 16, 0)));
}

#[test]
fn what_is_no_time_is_refused_by_name() {
    for bad in [
        "",
        "Mon",
        "Mon 9:00-16:00",
        "Mon 09:00",
        "Mon 09:60-16:00",
        "Mon 24:00-24:00",
        "Mon 25:00-26:00",
        "Mo 09:00-16:00",
        "Mon-Thu-Fri 09:00-16:00",
        "09:00-16:00",
    ] {
        let error = bad.parse::<Hours>().expect_err(bad).to_string();
        assert!(error.contains("Mon-Thu 09:00-16:00"), "{error}");
    }
    for bad in ["", "01:00", "+1", "+1:00", "+15:00", "CET", "+14:30"] {
        assert!(bad.parse::<Offset>().is_err(), "{bad}");
    }
    for text in ["+01:00", "-05:30", "+00:00"] {
        assert_eq!(text.parse::<Offset>().expect(text).to_string(), text);
    }
    assert_eq!("Z".parse::<Offset>().expect("UTC").to_string(), "+00:00");
    for text in ["Mon-Thu 09:00-16:00", "Sun 22:00-06:00", "Fri 00:00-24:00"] {
        assert_eq!(text.parse::<Hours>().expect(text).to_string(), text);
    }
}

fn hours() -> impl Strategy<Value = Hours> {
    (0..7_u8, 0..7_u8, 0..1440_u16, 0..=1440_u16).prop_map(|(first, last, from, to)| Hours {
        first,
        last,
        from,
        to,
    })
}

proptest! {
    /// Against the words themselves, minute by minute: does any day's span hold this minute?
    #[test]
    fn it_is_open_exactly_when_some_hours_hold_the_minute(
        open in prop::collection::vec(hours(), 1..4),
        offset in -840..=840_i16,
        minute in 0..(3 * WEEK_MINUTES),
    ) {
        let window = Window { open: open.clone(), offset: Offset(offset), freezes: Vec::new() };
        let holds = |minute: u64| {
            let local = i64::try_from(minute).expect("small") + i64::from(offset) + 10_080;
            let (day, clock) = ((local / 1440) % 7, local % 1440);
            open.iter().any(|hours| {
                let (from, to) = (i64::from(hours.from), i64::from(hours.to));
                let days = |day: i64| hours.covers(u8::try_from(day).expect("a day"));
                if to > from {
                    days(day) && from <= clock && clock < to
                } else {
                    (days(day) && clock >= from) || (days((day + 6) % 7) && clock < to)
                }
            })
        };
        let at = |minute: u64| Timestamp::from_millis(MONDAY + minute * MINUTE);
        match window.at(at(minute)) {
            WindowState::Open { until } => {
                prop_assert!(holds(minute));
                if until < Timestamp::MAX {
                    let end = until.since(at(0)).as_millis() as u64 / MINUTE;
                    prop_assert!(!holds(end), "it shuts at its end");
                    prop_assert!((minute..end).all(holds), "and not before");
                } else {
                    prop_assert!((minute..minute + WEEK_MINUTES).all(holds));
                }
            }
            WindowState::Shut { opens, .. } => {
                prop_assert!(!holds(minute));
                let opens = opens.expect("there are hours").since(at(0)).as_millis() as u64 / MINUTE;
                prop_assert!(holds(opens) && !(minute..opens).any(holds));
            }
        }
    }
}
