//! Tasks as targets of their service's target group.

use super::Environment;
use super::stop::Why;
use super::task::Owner;
use crate::elb::TargetState;
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

impl Environment {
    /// A task becomes a target. Its first check comes within one interval.
    pub(crate) fn register_target(&mut self, k: &mut Kernel, id: u64, service: u16, group: u16) {
        let group = &self.groups[group as usize];
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
            self.note_unhealthy(group);
            self.target_unhealthy(k, id);
        }
    }

    /// The service's grace period for health checks has ended for a task.
    pub(crate) fn grace_over(&mut self, k: &mut Kernel, id: u64) {
        if self.tasks.get(&id).and_then(|t| t.target) == Some(TargetState::Unhealthy) {
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
        let group = &self.groups[group as usize];
        let text = format!(
            "(port {}) is unhealthy in (target-group {}) due to (reason Health checks failed)",
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

    /// The targets of a group: each state and how many targets are in it.
    pub(crate) fn target_states(&self, index: u16) -> Vec<(TargetState, u32)> {
        let group = &self.groups[index as usize];
        let mut states = Vec::new();
        let mut add = |state, count: u32| {
            if count > 0 {
                match states.iter_mut().find(|(s, _)| *s == state) {
                    Some((_, n)) => *n += count,
                    None => states.push((state, count)),
                }
            }
        };
        if let Some(fixed) = group.fixed {
            add(TargetState::Healthy, fixed.healthy);
            add(TargetState::Unhealthy, fixed.unhealthy);
        }
        if let Some(service) = group.service {
            for task in self.services[service as usize]
                .tasks
                .iter()
                .map(|id| &self.tasks[id])
            {
                if let (Some(state), true) = (task.target, task.group == Some(index)) {
                    add(state, 1);
                }
            }
        }
        states.sort_unstable();
        states
    }
}
