//! An alarm on a metric: what its points and the lack of them come to.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MINUTE, Metric, Metrics};
use crate::alarm::AlarmState;

/// How a value is compared with the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compare {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Compare {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Above, "GreaterThanThreshold", "greater than"),
        (
            Self::AtLeast,
            "GreaterThanOrEqualToThreshold",
            "greater than or equal to",
        ),
        (Self::Below, "LessThanThreshold", "less than"),
        (
            Self::AtMost,
            "LessThanOrEqualToThreshold",
            "less than or equal to",
        ),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(this, ..)| *this)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(this, ..)| *this == self)
            .map_or("", |(_, name, _)| name)
    }

    fn words(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(this, ..)| *this == self)
            .map_or("", |(.., words)| words)
    }

    fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
        }
    }
}

/// What a period without data counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoData {
    Unknown,
    Ignore,
    Breaching,
    NotBreaching,
}

impl NoData {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Unknown, "missing"),
        (Self::Ignore, "ignore"),
        (Self::Breaching, "breaching"),
        (Self::NotBreaching, "notBreaching"),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(this, _)| *this)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(this, _)| *this == self)
            .map_or("", |(_, name)| name)
    }
}

/// What an alarm looks at (Amazon CloudWatch API, "PutMetricAlarm").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) metric: Metric,
    pub(crate) statistic: String,
    /// In milliseconds.
    pub(crate) period: u64,
    pub(crate) periods: u32,
    pub(crate) datapoints: u32,
    pub(crate) threshold: f64,
    pub(crate) compare: Compare,
    pub(crate) missing: NoData,
}

/// How many periods more than asked for are looked at, so that a late point does not count as missing. CloudWatch decides
/// on the number itself; two is that of its documentation's example.
const MORE: u64 = 2;

/// What the last periods come to, the oldest first, of which each breaches, does not, or has no data (Amazon CloudWatch user
/// guide, "Configuring how CloudWatch alarms treat missing data", its tables). `None` leaves the alarm as it is.
pub(super) fn judge(
    periods: u32,
    datapoints: u32,
    missing: NoData,
    seen: &[Option<bool>],
) -> Option<AlarmState> {
    let (periods, datapoints) = (periods as usize, datapoints as usize);
    let real: Vec<bool> = seen
        .iter()
        .rev()
        .filter_map(|point| *point)
        .take(periods)
        .collect();
    let breaching = real.iter().filter(|b| **b).count();
    // Points that are there count wherever in the range they are; what is still lacking is filled.
    let lacking = periods - real.len();
    if real.is_empty() {
        return match missing {
            NoData::Unknown => Some(AlarmState::InsufficientData),
            NoData::Ignore => None,
            NoData::Breaching => Some(AlarmState::Alarm),
            NoData::NotBreaching => Some(AlarmState::Ok),
        };
    }
    let filled = match missing {
        NoData::Breaching => breaching + lacking,
        NoData::NotBreaching | NoData::Unknown | NoData::Ignore => breaching,
    };
    if filled >= datapoints {
        return Some(AlarmState::Alarm);
    }
    let open = breaching == real.len() && breaching + lacking >= datapoints;
    match missing {
        NoData::Unknown if open => Some(AlarmState::Alarm),
        NoData::Ignore if open => None,
        _ => Some(AlarmState::Ok),
    }
}

impl Watch {
    /// What the alarm is at a moment, and why; `None` leaves it as it is.
    pub(crate) fn look(&self, metrics: &Metrics, now: Timestamp) -> Option<(AlarmState, String)> {
        let period = self.period.max(MINUTE);
        let end = now.as_millis() / period * period;
        let range = u64::from(self.periods) + MORE;
        let from = end.saturating_sub(range.saturating_mul(period));
        let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(end));
        let points = metrics.points(&self.metric, period, (from, to));
        let value = |begins: u64| {
            let found = points.iter().find(|(at, _)| at.as_millis() == begins);
            found.and_then(|(_, point)| point.statistic(&self.statistic))
        };
        let seen: Vec<Option<f64>> = (0..range).map(|n| value(from.as_millis() + n * period)).collect();
        let breaches = |value: &f64| self.compare.breaches(*value, self.threshold);
        let marks: Vec<Option<bool>> = seen.iter().map(|v| v.as_ref().map(breaches)).collect();
        let state = judge(self.periods, self.datapoints, self.missing, &marks)?;
        let real: Vec<f64> = seen
            .iter()
            .rev()
            .flatten()
            .take(self.periods as usize)
            .copied()
            .collect();
        Some((state, self.reason(state, &real)))
    }

    /// Why, as CloudWatch words it; its answers also have the points' moments.
    fn reason(&self, state: AlarmState, real: &[f64]) -> String {
        if real.is_empty() {
            let lacking = self.periods;
            return match state {
                AlarmState::InsufficientData if lacking == 1 => {
                    "Insufficient Data: 1 datapoint was unknown.".to_owned()
                }
                AlarmState::InsufficientData => {
                    format!("Insufficient Data: {lacking} datapoints were unknown.")
                }
                AlarmState::Ok | AlarmState::Alarm => {
                    let treated = if state == AlarmState::Alarm {
                        "[Breaching]"
                    } else {
                        "[NonBreaching]"
                    };
                    format!(
                        "Threshold Crossed: no datapoints were received for {lacking} {} and {lacking} missing {} treated as {treated}.",
                        if lacking == 1 { "period" } else { "periods" },
                        if lacking == 1 {
                            "datapoint was"
                        } else {
                            "datapoints were"
                        },
                    )
                }
            };
        }
        let breaching: Vec<f64> = real
            .iter()
            .copied()
            .filter(|v| self.compare.breaches(*v, self.threshold))
            .collect();
        let fires = state == AlarmState::Alarm;
        let told = if fires { &breaching[..] } else { real };
        let values: Vec<String> = told.iter().map(|v| format!("{v:?}")).collect();
        format!(
            "Threshold Crossed: {} out of the last {} datapoints [{}] {} {}{} the threshold ({:?}) (minimum {} {} for {} transition).",
            told.len(),
            self.periods,
            values.join(", "),
            if told.len() == 1 { "was" } else { "were" },
            if fires { "" } else { "not " },
            self.compare.words(),
            self.threshold,
            self.datapoints,
            if self.datapoints == 1 {
                "datapoint"
            } else {
                "datapoints"
            },
            if fires { "OK -> ALARM" } else { "ALARM -> OK" },
        )
    }
}
