//! CloudWatch metrics: data points of one minute, and alarms that are evaluated on them.

mod judge;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::{BTreeMap, VecDeque};

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(feature = "endpoint")]
pub(crate) use self::judge::Compare;
#[cfg(any(test, feature = "endpoint"))]
pub(crate) use self::judge::NoData;
pub(crate) use self::judge::Watch;

/// The finest period of a metric of AWS's own services, in milliseconds.
pub(crate) const MINUTE: u64 = 60_000;
/// For how many minutes points are kept; CloudWatch keeps those of a minute for 15 days, a test needs a few hours.
const KEPT: usize = 24 * 60;

/// What identifies a metric. Dimensions are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<(String, String)>,
}

impl Metric {
    pub(crate) fn new(namespace: &str, name: &str, mut dimensions: Vec<(String, String)>) -> Self {
        dimensions.sort();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions,
        }
    }
}

/// Values of one period, as CloudWatch keeps them (Amazon CloudWatch API, "StatisticSet").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) sum: f64,
    pub(crate) count: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Point {
    pub(crate) const fn of(value: f64) -> Self {
        Self {
            sum: value,
            count: 1.0,
            min: value,
            max: value,
        }
    }

    /// Something that was counted so often.
    fn counted(count: f64) -> Self {
        Self {
            count: count.max(1.0),
            ..Self::of(count)
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// A statistic by its name; `None` for one that is not modelled, such as a percentile.
    pub(crate) fn statistic(&self, name: &str) -> Option<f64> {
        match name {
            "Sum" => Some(self.sum),
            "SampleCount" => Some(self.count),
            "Minimum" => Some(self.min),
            "Maximum" => Some(self.max),
            "Average" => Some(self.sum / self.count),
            _ => None,
        }
    }
}

/// The metrics of one environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Metrics {
    /// Whether traffic is measured: it costs a look every ten seconds.
    pub(crate) on: bool,
    series: Vec<(Metric, VecDeque<(Timestamp, Point)>)>,
    /// What the samples of this minute say so far, by load balancer and target group.
    shares: BTreeMap<String, traffic::Share>,
    /// How many hundredths of a minute's counts are reported late, and how late, in milliseconds.
    #[serde(default)]
    pub(crate) late: Option<(u8, u64)>,
    /// Counts that are not reported yet: when they will be, of what, and the minute that they belong to.
    #[serde(default)]
    unreported: Vec<(Timestamp, Metric, Timestamp, f64)>,
}

impl Metrics {
    /// Adds a value to the minute that a moment is in.
    pub(crate) fn add(&mut self, metric: &Metric, at: Timestamp, point: Point) {
        let minute = Timestamp::from_millis(at.as_millis() / MINUTE * MINUTE);
        let place = self.series.iter().position(|(known, _)| known == metric);
        let place = place.unwrap_or_else(|| {
            self.series.push((metric.clone(), VecDeque::new()));
            self.series.len() - 1
        });
        let points = &mut self.series[place].1;
        match points.iter_mut().rev().find(|(held, _)| *held == minute) {
            Some((_, held)) => held.merge(&point),
            None => {
                let after = points.partition_point(|(held, _)| *held < minute);
                points.insert(after, (minute, point));
                if points.len() > KEPT {
                    points.pop_front();
                }
            }
        }
    }

    /// Reports how often something was counted in the minute that a moment is in: all of it, or the rest later, by which the point
    /// is restated.
    fn count(&mut self, metric: &Metric, (now, at): (Timestamp, Timestamp), counted: f64) {
        let late = self.late.map_or(0.0, |(percent, after)| {
            let late = (counted * f64::from(percent) / 100.0).floor();
            if late > 0.0 {
                let due = crate::kernel::plus(now, after);
                self.unreported.push((due, metric.clone(), at, late));
            }
            late
        });
        self.add(metric, at, Point::counted(counted - late));
    }

    /// What was to be reported until now is.
    fn report(&mut self, now: Timestamp) {
        let (due, later) = core::mem::take(&mut self.unreported)
            .into_iter()
            .partition(|(due, ..)| *due <= now);
        self.unreported = later;
        let due: Vec<(Timestamp, Metric, Timestamp, f64)> = due;
        for (_, metric, at, counted) in due {
            self.add(&metric, at, Point::counted(counted));
        }
    }

    /// The periods from one moment until before another that have a point. Periods begin at multiples of their length.
    pub(crate) fn points(
        &self,
        metric: &Metric,
        period: u64,
        (from, to): (Timestamp, Timestamp),
    ) -> Vec<(Timestamp, Point)> {
        let period = period.max(MINUTE);
        let mut found: BTreeMap<u64, Point> = BTreeMap::new();
        let held = self.series.iter().find(|(known, _)| known == metric);
        for (at, point) in held.into_iter().flat_map(|(_, points)| points) {
            let begins = at.as_millis() / period * period;
            if begins >= from.as_millis() && begins < to.as_millis() {
                found
                    .entry(begins)
                    .and_modify(|p| p.merge(point))
                    .or_insert(*point);
            }
        }
        found
            .into_iter()
            .map(|(at, point)| (Timestamp::from_millis(at), point))
            .collect()
    }

    /// Every metric that has a point.
    pub(crate) fn known(&self) -> impl Iterator<Item = &Metric> {
        self.series.iter().map(|(metric, _)| metric)
    }
}
