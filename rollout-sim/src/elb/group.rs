//! Target groups, and targets that are no tasks.

use std::collections::BTreeMap;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::{Checks, TargetState};
use crate::kernel::plus;

/// A target group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TargetGroup {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) checks: Checks,
    pub(crate) probe: Probe,
    /// In milliseconds.
    pub(crate) deregistration_delay: u64,
    /// What `ModifyTargetGroupAttributes` has set beside the delay.
    pub(crate) attributes: BTreeMap<String, String>,
    /// `ip` or `instance`.
    pub(crate) target_type: String,
    /// Targets that are no tasks, in the order of their registration.
    pub(crate) machines: Vec<Machine>,
    /// It was deleted. Its place stays, as others are named by theirs.
    pub(crate) gone: bool,
}

/// What a health check asks for and expects (Elastic Load Balancing API, "CreateTargetGroup").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// `HTTP`, `HTTPS` or `TCP`: that of the group, too.
    pub(crate) protocol: String,
    /// `traffic-port` or a number.
    pub(crate) port: String,
    pub(crate) path: String,
    /// In milliseconds.
    pub(crate) timeout: u64,
    /// The status codes that pass, such as `200`, `200,202` or `200-299`.
    pub(crate) matcher: String,
}

impl Default for Probe {
    /// The defaults of `CreateTargetGroup` for HTTP, but for the timeout, which is that of the console and of most tools.
    fn default() -> Self {
        Self {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: "/".to_owned(),
            timeout: 5_000,
            matcher: "200".to_owned(),
        }
    }
}

/// How a target fails its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// It answers with this status code.
    Status(u16),
    /// It does not answer in time.
    Timeout,
    /// It takes no connection.
    Refused,
}

/// A target that is no task, such as a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) port: u16,
    /// What its group thought of it at a moment. What it thinks later follows from the checks.
    state: TargetState,
    since: Timestamp,
    first_check: Timestamp,
    /// When it begins and ends to pass checks.
    ready_at: Timestamp,
    bad_at: Timestamp,
    pub(crate) failure: Failure,
    /// When its deregistration is over, once that has begun.
    pub(crate) leaves_at: Option<Timestamp>,
}

impl Machine {
    /// A target that is registered now, with its first check `wait` milliseconds away; it passes checks from the start.
    pub(crate) fn new(now: Timestamp, wait: u64, id: String, port: u16) -> Self {
        Self {
            id,
            port,
            state: TargetState::Initial,
            since: now,
            first_check: plus(now, wait),
            ready_at: Timestamp::EPOCH,
            bad_at: Timestamp::MAX,
            failure: Failure::Refused,
            leaves_at: None,
        }
    }

    /// The same as one that has been what it is for long.
    pub(crate) fn settled(mut self, healthy: bool) -> Self {
        if healthy {
            self.state = TargetState::Healthy;
        } else {
            self.state = TargetState::Unhealthy;
            self.ready_at = Timestamp::MAX;
        }
        self
    }

    /// Whether it would pass a check.
    pub(crate) fn answers(&self, now: Timestamp) -> bool {
        self.ready_at <= now && now < self.bad_at
    }

    /// What a client gets from it: status code and body. A load balancer answers for a target that does not (Elastic Load
    /// Balancing user guide, "Troubleshoot your Application Load Balancers": 502 and 504).
    pub(crate) fn reply(&self, now: Timestamp) -> (u16, &'static str) {
        match self.failure {
            _ if self.answers(now) => (200, "ok"),
            Failure::Status(status) => (status, ""),
            Failure::Timeout => (504, "Gateway Time-out"),
            Failure::Refused => (502, "Bad Gateway"),
        }
    }

    /// What its group thinks of it, and when its next check is due at the earliest. `None` once it has gone.
    fn course(&self, checks: &Checks, now: Timestamp) -> Option<(TargetState, Timestamp)> {
        if let Some(until) = self.leaves_at {
            return (now < until).then_some((TargetState::Draining, until));
        }
        let (mut state, mut first, mut since) = (self.state, self.first_check, self.since);
        let window = (self.ready_at, self.bad_at);
        while let Some((at, next)) = checks
            .next(state, first, since, window)
            .filter(|(at, _)| *at <= now)
        {
            state = next;
            since = at;
            // This check has been counted.
            first = plus(at, checks.interval);
        }
        Some((state, first))
    }

    /// What its group thinks of it. `None` once it has gone.
    pub(crate) fn state(&self, checks: &Checks, now: Timestamp) -> Option<TargetState> {
        self.course(checks, now).map(|(state, _)| state)
    }

    /// Whether no check has been made yet.
    pub(crate) fn is_unchecked(&self, now: Timestamp) -> bool {
        self.state == TargetState::Initial && now < self.first_check
    }

    /// Writes down what its group thinks of it now, before something changes that decides about it.
    pub(crate) fn fold(&mut self, checks: &Checks, now: Timestamp) {
        if let Some((state, first)) = self.course(checks, now).filter(|_| self.leaves_at.is_none()) {
            (self.state, self.first_check, self.since) = (state, first, now);
        }
    }

    /// It passes checks from now on, or fails them all in this way.
    pub(crate) fn turn(&mut self, checks: &Checks, now: Timestamp, fails: Option<Failure>) {
        self.fold(checks, now);
        match fails {
            None => (self.ready_at, self.bad_at) = (now, Timestamp::MAX),
            Some(failure) => {
                self.bad_at = now;
                self.failure = failure;
            }
        }
    }
}

impl TargetGroup {
    pub(crate) fn new(arn: String, name: String, port: u16, checks: Checks) -> Self {
        Self {
            arn,
            name,
            port,
            checks,
            probe: Probe::default(),
            deregistration_delay: 300_000,
            attributes: BTreeMap::new(),
            target_type: "ip".to_owned(),
            machines: Vec::new(),
            gone: false,
        }
    }

    /// Changes how targets are checked: what was made of them so far stands.
    pub(crate) fn check_by(&mut self, now: Timestamp, checks: Checks) {
        let old = self.checks;
        for machine in &mut self.machines {
            machine.fold(&old, now);
        }
        self.checks = checks;
    }

    /// Forgets machines whose deregistration is over.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.machines.retain(|m| m.leaves_at.is_none_or(|at| now < at));
    }
}
