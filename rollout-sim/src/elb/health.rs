//! The health of targets, as `DescribeTargetHealth` tells it.

use rollout_core::time::Timestamp;

use super::check::TargetState;
use super::group::{Failure, Machine, Probe, TargetGroup};
use crate::ecs::Environment;
use crate::ecs::task::{Phase, Task};

/// One target (Elastic Load Balancing API, "TargetHealthDescription").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetHealth {
    pub(crate) id: String,
    pub(crate) port: u16,
    /// `None` for a target that is not of a zone.
    pub(crate) zone: Option<String>,
    pub(crate) state: TargetState,
    pub(crate) reason: Option<&'static str>,
    pub(crate) description: Option<String>,
}

/// The private address of a task, by its number: unique among a world's first 16 million.
pub(crate) fn address(task: u64) -> String {
    let [.., a, b, c] = task.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

/// The reason code and description of a state (Elastic Load Balancing user guide, "Target health status": the table of
/// reason codes). When registration ends and the first checks begin AWS does not say; here it is the first check.
fn reason(
    state: TargetState,
    unchecked: bool,
    failure: Failure,
    probe: &Probe,
) -> (Option<&'static str>, Option<String>) {
    let (code, text) = match (state, failure) {
        (TargetState::Healthy, _) => return (None, None),
        (TargetState::Initial, _) if unchecked => {
            ("Elb.RegistrationInProgress", "Target registration is in progress")
        }
        (TargetState::Initial, _) => ("Elb.InitialHealthChecking", "Initial health checks in progress"),
        (TargetState::Draining, _) => (
            "Target.DeregistrationInProgress",
            "Target deregistration is in progress",
        ),
        (TargetState::Unused, _) => (
            "Target.NotInUse",
            "Target group is not configured to receive traffic from the load balancer",
        ),
        (TargetState::Unhealthy, Failure::Status(status)) if probe.protocol != "TCP" => {
            let text = format!("Health checks failed with these codes: [{status}]");
            return (Some("Target.ResponseCodeMismatch"), Some(text));
        }
        (TargetState::Unhealthy, Failure::Timeout) => ("Target.Timeout", "Request timed out"),
        (TargetState::Unhealthy, Failure::Status(_) | Failure::Refused) => {
            ("Target.FailedHealthChecks", "Health checks failed")
        }
    };
    (Some(code), Some(text.to_owned()))
}

/// How a task fails its checks: one that runs says that it is not ready, another takes no connection.
fn failure(task: &Task) -> Failure {
    if task.phase == Phase::Running {
        Failure::Status(503)
    } else {
        Failure::Refused
    }
}

impl Environment {
    /// The tasks that are targets of a group, by number.
    pub(crate) fn target_tasks(&self, group: u16) -> impl Iterator<Item = (u64, &Task)> {
        let all = self.services.iter().flat_map(|s| &s.tasks);
        let tasks = all.filter_map(|id| self.tasks.get(id).map(|task| (*id, task)));
        tasks.filter(move |(_, task)| task.group == Some(group) && task.target.is_some())
    }

    /// Why a group thinks a task unhealthy: the words of a service's event.
    pub(crate) fn unhealthy_because(&self, group: u16, task: &Task) -> String {
        let probe = &self.groups[group as usize].probe;
        let (_, text) = reason(TargetState::Unhealthy, false, failure(task), probe);
        text.unwrap_or_default()
    }

    /// Whether any rule names a group: only then does it check and serve.
    pub(crate) fn in_use(&self, group: u16) -> bool {
        self.balancers.iter().any(|b| b.groups().any(|(g, _)| g == group))
    }

    /// The targets of a group: each state and how many targets are in it.
    pub(crate) fn target_states(&self, now: Timestamp, group: u16) -> Vec<(TargetState, u32)> {
        let held = &self.groups[group as usize];
        let mut states = Vec::new();
        let mut add = |state: TargetState| match states.iter_mut().find(|(s, _)| *s == state) {
            Some((_, n)) => *n += 1,
            None => states.push((state, 1)),
        };
        held.machines
            .iter()
            .filter_map(|m| m.state(&held.checks, now))
            .for_each(&mut add);
        self.target_tasks(group)
            .filter_map(|(_, t)| t.target)
            .for_each(&mut add);
        states.sort_unstable();
        states
    }

    /// How many healthy targets a group has.
    pub(crate) fn healthy(&self, now: Timestamp, group: u16) -> u32 {
        let states = self.target_states(now, group);
        states
            .iter()
            .filter(|(s, _)| *s == TargetState::Healthy)
            .map(|(_, n)| n)
            .sum()
    }

    /// The targets of a group, one by one.
    pub(crate) fn targets(&self, now: Timestamp, group: u16) -> Vec<TargetHealth> {
        let held = &self.groups[group as usize];
        let used = self.in_use(group);
        let seen = |state| {
            if used || state == TargetState::Draining {
                state
            } else {
                TargetState::Unused
            }
        };
        let machines = held.machines.iter().filter_map(|m| {
            let state = seen(m.state(&held.checks, now)?);
            let (reason, description) = reason(state, m.is_unchecked(now), m.failure, &held.probe);
            Some(TargetHealth {
                id: m.id.clone(),
                port: m.port,
                zone: None,
                state,
                reason,
                description,
            })
        });
        let tasks = self.target_tasks(group).filter_map(|(id, task)| {
            let state = seen(task.target?);
            let unchecked = task.started_at.is_none() || now < task.first_check;
            let (reason, description) = reason(state, unchecked, failure(task), &held.probe);
            Some(TargetHealth {
                id: address(id),
                port: held.port,
                zone: Some(self.zone_of(id)),
                state,
                reason,
                description,
            })
        });
        machines.chain(tasks).collect()
    }

    /// The availability zone of a task: three, in turn.
    pub(crate) fn zone_of(&self, task: u64) -> String {
        let letter = ["a", "b", "c"][usize::try_from(task % 3).unwrap_or(0)];
        format!("{}{letter}", self.region)
    }

    /// A target that was asked for and is not there.
    pub(crate) fn not_registered(group: &TargetGroup, id: &str, port: Option<u16>) -> TargetHealth {
        TargetHealth {
            id: id.to_owned(),
            port: port.unwrap_or(group.port),
            zone: None,
            state: TargetState::Unused,
            reason: Some("Target.NotRegistered"),
            description: Some("Target is not registered to the target group".to_owned()),
        }
    }

    /// The tasks that requests to a target group reach now: healthy targets or, when there is none, all that run
    /// (Elastic Load Balancing user guide, "Health checks for Application Load Balancer target groups": it fails open).
    pub(crate) fn serving_tasks(&self, group: u16) -> Vec<&Task> {
        let tasks = self.target_tasks(group).map(|(_, task)| task);
        let running: Vec<&Task> = tasks
            .filter(|t| t.phase == Phase::Running && t.why.is_none())
            .collect();
        let healthy: Vec<&Task> = running.iter().copied().filter(|t| t.is_healthy()).collect();
        if healthy.is_empty() { running } else { healthy }
    }

    /// A machine that requests to a target group reach now, by the same rule.
    pub(crate) fn serving_machine(&self, now: Timestamp, group: u16) -> Option<&Machine> {
        let held = &self.groups[group as usize];
        let with = |wanted: &[TargetState]| {
            let mut all = held.machines.iter();
            all.find(|m| m.state(&held.checks, now).is_some_and(|s| wanted.contains(&s)))
        };
        with(&[TargetState::Healthy]).or_else(|| with(&[TargetState::Unhealthy, TargetState::Initial]))
    }
}
