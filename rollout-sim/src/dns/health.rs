//! Health checks, and which routed records are healthy.

use rollout_core::dns::{RecordData, RecordKey};
use rollout_core::id::DomainName;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::set::RecordSet;
use crate::elb::TargetState;
use crate::kernel::Happening;
use crate::world::World;

/// How many aliases are followed from record to record.
const CHAIN: u32 = 8;

/// A health check of an endpoint by its name. Times in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HealthCheck {
    pub(crate) id: String,
    pub(crate) caller_reference: String,
    /// `HTTP` or `HTTPS`.
    pub(crate) kind: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) interval: u64,
    pub(crate) threshold: u32,
    pub(crate) inverted: bool,
    /// It counts as healthy, and is not checked.
    pub(crate) disabled: bool,
    /// Before there is enough data, an endpoint counts as healthy (Amazon Route 53 developer guide, "How Amazon Route 53
    /// determines whether a health check is healthy").
    pub(crate) passes: bool,
    /// Results in a row that say otherwise.
    pub(crate) otherwise: u32,
    pub(crate) checked_at: Timestamp,
    /// The last result, as `GetHealthCheckStatus` words it.
    pub(crate) status: String,
}

impl HealthCheck {
    pub(crate) fn is_healthy(&self) -> bool {
        self.disabled || self.passes != self.inverted
    }

    fn see(&mut self, now: Timestamp, status: Option<u16>) {
        // 2xx and 3xx pass (Amazon Route 53 developer guide, as above).
        let pass = status.is_some_and(|s| (200..400).contains(&s));
        self.checked_at = now;
        self.status = match status {
            Some(code) if pass => format!("Success: HTTP Status Code {code}"),
            Some(code) => format!("Failure: HTTP Status Code {code}"),
            None => "Failure: DNS resolution failed: No such host".to_owned(),
        };
        if pass == self.passes {
            self.otherwise = 0;
            return;
        }
        self.otherwise += 1;
        if self.otherwise >= self.threshold {
            self.passes = pass;
            self.otherwise = 0;
        }
    }
}

impl World {
    /// Makes a health check; its first look comes after one interval.
    pub(crate) fn add_health_check(&mut self, check: HealthCheck) {
        let happening = Happening::HealthCheck {
            index: self.checks.len() as u32,
        };
        self.kernel.after(check.interval, happening);
        self.checks.push(Some(check));
    }

    /// A health check is due.
    pub(crate) fn check_endpoint(&mut self, index: u32) {
        let Some(check) = self.checks.get(index as usize).and_then(Option::as_ref) else {
            return;
        };
        let (host, path, interval, off) = (
            check.host.clone(),
            check.path.clone(),
            check.interval,
            check.disabled,
        );
        if !off {
            let status = self.status_of(&host, &path);
            let now = self.now();
            if let Some(check) = self.checks[index as usize].as_mut() {
                check.see(now, status);
            }
            self.settle_health();
        }
        self.kernel.after(interval, Happening::HealthCheck { index });
    }

    /// Looks at the health of all routed records.
    pub(crate) fn settle_health(&mut self) {
        let now = self.now();
        for place in 0..self.zones.len() {
            if !self.zones[place].is_routed() {
                continue;
            }
            let zone = &self.zones[place];
            let routed = zone.sets().iter().filter(|s| s.is_routed());
            let unhealthy = routed.filter(|s| !self.is_healthy(place, s, CHAIN));
            let unhealthy: Vec<RecordKey> = unhealthy.map(|s| s.key().clone()).collect();
            self.zones[place].find_unhealthy(now, unhealthy);
        }
    }

    /// Whether a record is healthy: its health check is, and, for an alias that evaluates it, its target is.
    fn is_healthy(&self, zone: usize, set: &RecordSet, depth: u32) -> bool {
        let checks = || self.checks.iter().flatten();
        let named = set.health_check.as_ref();
        let checked = named
            .and_then(|id| checks().find(|c| c.id == *id))
            .is_none_or(HealthCheck::is_healthy);
        match &set.record.data {
            RecordData::Alias {
                target,
                evaluate_target_health: true,
                ..
            } => checked && depth > 0 && self.target_is_healthy(zone, target, set.key(), depth - 1),
            RecordData::Alias { .. } | RecordData::Values { .. } => checked,
        }
    }

    /// Whether an alias's target is healthy. A load balancer is when each of its target groups that has targets has a healthy
    /// one, and there is such a group (Amazon Route 53 API, "AliasTarget", `EvaluateTargetHealth`); a record of the same zone
    /// when it is itself.
    fn target_is_healthy(&self, zone: usize, target: &DomainName, key: &RecordKey, depth: u32) -> bool {
        if let Some((env, balancer)) = self.balancer(&target.normalised()) {
            let mut groups: Vec<u16> = balancer.groups().map(|(g, _)| g).collect();
            groups.sort_unstable();
            groups.dedup();
            let states = groups.into_iter().map(|g| env.target_states(self.now(), g));
            let filled: Vec<_> = states.filter(|s| !s.is_empty()).collect();
            let healthy = |s: &Vec<(TargetState, u32)>| s.iter().any(|(s, _)| *s == TargetState::Healthy);
            return !filled.is_empty() && filled.iter().all(healthy);
        }
        let key = RecordKey {
            name: target.clone(),
            ..key.clone()
        };
        let sets = self.zones[zone].sets_of(&key);
        sets.is_empty() || sets.iter().any(|s| self.is_healthy(zone, s, depth))
    }
}
