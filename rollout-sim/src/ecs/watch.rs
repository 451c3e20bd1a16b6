//! Alarms that fail a deployment (Amazon ECS developer guide, "How CloudWatch alarms detect Amazon ECS deployment failures").
//!
//! An alarm that fires when the deployment begins switches the watch off for the whole of that deployment: it could tell
//! nothing of it. That is a trap, and it is AWS's: a deployment under a firing alarm goes through.

use rollout_core::service::RolloutState;

use super::Environment;
use super::deployment::GivenUp;
use super::record::Monitor;
use crate::alarm::AlarmState;
use crate::kernel::{Happening, Kernel, plus};

/// How often alarms are looked at. Ours.
const EVERY: u64 = 10_000;

impl Environment {
    fn firing(&self, names: &[String]) -> Vec<String> {
        let fires = |name: &&String| {
            let mut all = self.alarms.iter();
            all.any(|a| &a.name == *name && a.state == AlarmState::Alarm)
        };
        names.iter().filter(fires).cloned().collect()
    }

    /// A deployment begins: its alarms are watched from now on, if it has any and none of them fires.
    pub(super) fn begin_watch(&mut self, k: &mut Kernel, s: u16, number: u32) {
        let service = &self.services[s as usize];
        let Some(record) = service.record(number) else {
            return;
        };
        let watched = &record.plan.alarms;
        if !watched.enabled || watched.names.is_empty() || !self.firing(&watched.names).is_empty() {
            return;
        }
        let service = &mut self.services[s as usize];
        if let Some(record) = service.record_mut(number) {
            record.alarms = Monitor::Monitoring;
        }
        let idle = service.watching.replace(number).is_none();
        if idle {
            self.watch_again(k, s);
        }
    }

    fn watch_again(&self, k: &mut Kernel, s: u16) {
        let watch = Happening::Watch {
            env: self.index,
            service: s,
        };
        k.after(EVERY, watch);
    }

    /// The alarms of a service's deployment are looked at.
    pub(crate) fn watch(&mut self, k: &mut Kernel, s: u16) {
        let service = &self.services[s as usize];
        let Some(number) = service.watching else { return };
        let front = service.primary();
        let ours = front.is_some_and(|d| d.number == number && d.rollout == RolloutState::InProgress);
        let record = service.record(number).filter(|r| ours && r.is_forward());
        let Some(record) = record.filter(|r| r.alarms == Monitor::Monitoring) else {
            self.services[s as usize].watching = None;
            return;
        };
        let firing = self.firing(&record.plan.alarms.names);
        if firing.is_empty() {
            self.watch_again(k, s);
        } else {
            self.services[s as usize].watching = None;
            self.give_up(k, s, &GivenUp::Alarms(firing));
        }
    }

    /// Whether a rolling deployment whose tasks have arrived still waits for its alarms: for as long as the slowest of them
    /// takes to fire (same page: "Amazon ECS computes this time period based on the alarm configuration"; by which rule, it
    /// does not say).
    pub(super) fn still_bakes(&mut self, k: &mut Kernel, s: u16) -> bool {
        let service = &self.services[s as usize];
        let Some(record) = service.primary().and_then(|d| service.record(d.number)) else {
            return false;
        };
        if record.alarms != Monitor::Monitoring || !record.is_forward() {
            return false;
        }
        let (number, begun) = (record.number, record.stage_until);
        let watched = self
            .alarms
            .iter()
            .filter(|a| record.plan.alarms.names.contains(&a.name));
        let lasts = watched
            .map(|a| a.period * u64::from(a.periods))
            .max()
            .unwrap_or(0);
        // The moment is set once, when the tasks have arrived.
        let until = if begun > record.created_at {
            begun
        } else {
            plus(k.now, lasts.max(1))
        };
        if let Some(record) = self.services[s as usize].record_mut(number) {
            record.stage_until = until;
        }
        if until <= k.now {
            return false;
        }
        self.schedule(k, s, until.as_millis() - k.now.as_millis());
        true
    }
}
