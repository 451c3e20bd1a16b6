//! CloudWatch alarms: set by a script, or bound to what the world does and evaluated once a period.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ecs::Environment;
use crate::elb::TargetState;
use crate::kernel::{Happening, Kernel};
use crate::metric::{MINUTE, Watch};

/// The state of an alarm (Amazon CloudWatch API, "MetricAlarm": `StateValue`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmState {
    /// Within its bounds.
    Ok,
    /// Outside them.
    Alarm,
    /// Too few data points.
    InsufficientData,
}

impl AlarmState {
    /// CloudWatch's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

/// What moves an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rule {
    /// Only a script.
    Script,
    /// More than so many unhealthy targets in a group.
    UnhealthyTargets { group: u16, over: u32 },
    /// The alarm's own [`Watch`].
    Metric,
    /// More than so many errors in 10,000 answers of a service.
    Errors { service: u16, over: u32 },
}

/// An alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) state: AlarmState,
    pub(crate) since: Timestamp,
    /// When it was last told what to look at.
    #[serde(default)]
    pub(crate) configured: Option<Timestamp>,
    pub(crate) reason: String,
    pub(crate) rule: Rule,
    /// In milliseconds.
    pub(crate) period: u64,
    /// Periods in a row that must breach.
    pub(crate) periods: u32,
    pub(crate) breaching: u32,
    /// The most unhealthy targets since the last evaluation (statistic `Maximum`).
    pub(crate) peak: u32,
    /// What it looks at, of an alarm on a metric ([`Rule::Metric`]).
    pub(crate) watch: Option<Watch>,
}

impl Alarm {
    pub(crate) fn set(&mut self, now: Timestamp, state: AlarmState, reason: &str) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        reason.clone_into(&mut self.reason);
    }
}

impl Environment {
    fn unhealthy_targets(&self, now: Timestamp, group: u16) -> u32 {
        let states = self.target_states(now, group);
        let unhealthy = states.iter().find(|(s, _)| *s == TargetState::Unhealthy);
        unhealthy.map_or(0, |(_, n)| *n)
    }

    /// A target of a group has become unhealthy: a minute's maximum remembers it.
    pub(crate) fn note_unhealthy(&mut self, now: Timestamp, group: u16) {
        let bound = |a: &Alarm| matches!(a.rule, Rule::UnhealthyTargets { group: g, .. } if g == group);
        if !self.alarms.iter().any(bound) {
            return;
        }
        let now = self.unhealthy_targets(now, group);
        for alarm in self.alarms.iter_mut().filter(|a| bound(a)) {
            alarm.peak = alarm.peak.max(now);
        }
    }

    /// An alarm on a metric is evaluated (Amazon CloudWatch user guide, "Alarm evaluation": once a minute).
    fn look_at_metric(&mut self, k: &mut Kernel, index: u16) {
        let (alarms, metrics) = (&mut self.alarms, &self.metrics);
        let alarm = &mut alarms[index as usize];
        if let Some((state, reason)) = alarm.watch.as_ref().and_then(|watch| watch.look(metrics, k.now))
            && alarm.state != state
        {
            alarm.set(k.now, state, &reason);
        }
        let env = self.index;
        k.after(MINUTE, Happening::Alarm { env, alarm: index });
    }

    /// Makes an alarm on a metric, or changes the one of this name. A new one has no data yet.
    #[cfg(feature = "endpoint")]
    pub(crate) fn put_alarm(&mut self, k: &mut Kernel, name: &str, watch: Watch) {
        self.measure(k);
        let place = self.alarms.iter().position(|a| a.name == name);
        if let Some(alarm) = place.and_then(|place| self.alarms.get_mut(place)) {
            let begins = alarm.rule == Rule::Script;
            alarm.rule = Rule::Metric;
            alarm.watch = Some(watch);
            alarm.configured = Some(k.now);
            if !begins {
                // Its evaluations are planned already.
                return;
            }
        } else {
            self.alarms.push(Alarm {
                name: name.to_owned(),
                state: AlarmState::InsufficientData,
                since: k.now,
                configured: Some(k.now),
                reason: "Unchecked: Initial alarm creation".to_owned(),
                rule: Rule::Metric,
                period: watch.period,
                periods: watch.periods,
                breaching: 0,
                peak: 0,
                watch: Some(watch),
            });
        }
        let place = place.unwrap_or(self.alarms.len() - 1);
        let next = (k.now.as_millis() / MINUTE + 1) * MINUTE;
        let (env, alarm) = (self.index, u16::try_from(place).unwrap_or(u16::MAX));
        // A minute's points are complete a moment after its end.
        k.at(Timestamp::from_millis(next + 1), Happening::Alarm { env, alarm });
    }

    /// One period of an alarm has ended.
    pub(crate) fn evaluate_alarm(&mut self, k: &mut Kernel, index: u16) {
        let measured = match self.alarms[index as usize].rule {
            Rule::Script => return,
            Rule::Metric => return self.look_at_metric(k, index),
            Rule::UnhealthyTargets { group, over } => {
                let now = self.unhealthy_targets(k.now, group);
                let peak = &mut self.alarms[index as usize].peak;
                let worst = now.max(*peak);
                *peak = 0;
                Some((worst, over))
            }
            Rule::Errors { service, over } => self.error_rate(service).map(|rate| (rate, over)),
        };
        let alarm = &mut self.alarms[index as usize];
        match measured {
            None => alarm.set(
                k.now,
                AlarmState::InsufficientData,
                "Insufficient Data: no datapoints were received",
            ),
            Some((value, over)) if value > over => {
                alarm.breaching += 1;
                if alarm.breaching >= alarm.periods {
                    let reason = format!(
                        "Threshold Crossed: {} datapoints were greater than the threshold ({over}), the last one {value}",
                        alarm.breaching
                    );
                    alarm.set(k.now, AlarmState::Alarm, &reason);
                }
            }
            Some((value, over)) => {
                alarm.breaching = 0;
                let reason = format!(
                    "Threshold Crossed: 1 datapoint {value} was not greater than the threshold ({over})"
                );
                alarm.set(k.now, AlarmState::Ok, &reason);
            }
        }
        let period = alarm.period;
        k.after(
            period,
            Happening::Alarm {
                env: self.index,
                alarm: index,
            },
        );
    }
}
