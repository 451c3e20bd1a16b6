//! CloudWatch alarms: set by a script, or bound to what the world does and evaluated once a period.

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ecs::Environment;
use crate::elb::TargetState;
use crate::kernel::{Happening, Kernel};

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
    /// More than so many errors in 10,000 answers of a service.
    Errors { service: u16, over: u32 },
}

/// An alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    pub(crate) state: AlarmState,
    pub(crate) since: Timestamp,
    pub(crate) reason: String,
    pub(crate) rule: Rule,
    /// In milliseconds.
    pub(crate) period: u64,
    /// Periods in a row that must breach.
    pub(crate) periods: u32,
    pub(crate) breaching: u32,
    /// The most unhealthy targets since the last evaluation (statistic `Maximum`).
    pub(crate) peak: u32,
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

    /// One period of an alarm has ended.
    pub(crate) fn evaluate_alarm(&mut self, k: &mut Kernel, index: u16) {
        let measured = match self.alarms[index as usize].rule {
            Rule::Script => return,
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
