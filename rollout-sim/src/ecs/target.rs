//! Tasks as targets of their service's target group.

use super::Environment;
use super::stop::Why;
use super::task::{Owner, Phase, Task};
use crate::elb::TargetState;
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

impl Environment {
    /// A task becomes a target. Its first check comes within one interval.
    pub(crate) fn register_target(&mut self, k: &mut Kernel, id: u64, service: u16, place: u16) {
        let group = &self.groups[place as usize];
        let wait = k.draw(Stream::Health, Span::millis(0, group.checks.interval));
        let text = format!("registered 1 targets in (target-group {})", group.arn);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.target = Some(TargetState::Initial);
            task.first_check = plus(k.now, wait);
        }
        self.services[service as usize].say(k.now, &text);
    }

    /// The target group changes its mind about a task.
    pub(crate) fn target_changed(&mut self, k: &mut Kernel, id: u64) {
        let Some(group) = self.tasks.get(&id).and_then(|t| t.group) else {
            return;
        };
        let checks = self.groups[group as usize].checks;
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let next = match task.target {
            Some(TargetState::Initial | TargetState::Unhealthy) if task.answers(k.now) => {
                TargetState::Healthy
            }
            Some(TargetState::Initial | TargetState::Healthy) if !task.answers(k.now) => {
                TargetState::Unhealthy
            }
            Some(_) | None => return,
        };
        task.target = Some(next);
        // The next check is one interval away: this one has been counted.
        task.first_check = plus(k.now, checks.interval);
        self.plan_target(k, id);
        if next == TargetState::Healthy {
            self.became_healthy(k, id);
        } else {
            self.note_unhealthy(k.now, group);
            self.target_unhealthy(k, id);
        }
    }

    /// The service's grace period for health checks has ended for a task.
    pub(crate) fn grace_over(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (target, failed) = (task.target, task.container_failed);
        if failed {
            self.container_unhealthy(k, id);
        } else if target == Some(TargetState::Unhealthy) {
            self.target_unhealthy(k, id);
        }
    }

    /// The scheduler replaces a task whose target is unhealthy, once the grace period is over.
    fn target_unhealthy(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (Owner::Service { service, .. }, Some(group), Some(started)) =
            (task.owner, task.group, task.started_at)
        else {
            return;
        };
        let reason = self.unhealthy_because(group, task);
        let named = self.named(id);
        let group = &self.groups[group as usize];
        let text = format!(
            "{named} (port {}) is unhealthy in (target-group {}) due to (reason {reason})",
            group.port, group.arn
        );
        let why = Why::TargetUnhealthy {
            group: group.arn.clone(),
        };
        let held = &mut self.services[service as usize];
        held.say(k.now, &text);
        if k.now >= plus(started, held.grace) {
            self.stop_task(k, id, why);
        }
    }

    /// The tasks that requests to a service reach now: healthy ones or, when there is none, all that run
    /// (Elastic Load Balancing user guide, "Health checks for Application Load Balancer target groups": it fails open).
    pub(crate) fn serving(&self, service: u16) -> Vec<&Task> {
        let tasks = self.services[service as usize].tasks.iter();
        let running: Vec<&Task> = tasks
            .map(|id| &self.tasks[id])
            .filter(|t| t.phase == Phase::Running && t.why.is_none())
            .collect();
        let healthy: Vec<&Task> = running.iter().copied().filter(|t| t.is_healthy()).collect();
        if healthy.is_empty() { running } else { healthy }
    }
}
