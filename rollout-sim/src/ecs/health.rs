//! What health checks make of a running task, and when.

use rollout_core::time::Timestamp;

use super::Environment;
use super::stop::Why;
use super::task::{Owner, Phase, Task};
use crate::elb::{Checks, TargetState};
use crate::kernel::{Happening, Kernel, Look, plus};

impl Environment {
    /// A running task passes no health check from now on.
    pub(crate) fn turn_bad(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.phase == Phase::Running) else {
            return;
        };
        task.bad_at = k.now;
        self.plan_target(k, id);
        self.plan_container(k, id);
    }

    pub(super) fn plan_health(&self, k: &mut Kernel, id: u64, at: Timestamp, look: Look) {
        let (env, version) = (self.index, self.tasks[&id].version);
        k.at(
            at,
            Happening::Health {
                env,
                task: id,
                version,
                look,
            },
        );
    }

    /// The load balancer's checks of a task, if it is a target.
    fn checks(&self, task: &Task) -> Option<Checks> {
        let group = &self.groups[task.group? as usize];
        task.target.map(|_| group.checks)
    }

    /// Plans the next moment at which the load balancer changes its mind about a task.
    pub(crate) fn plan_target(&self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        if let (Some(checks), Some(state)) = (self.checks(task), task.target)
            && let Some((at, _)) = checks.next(state, task.first_check, k.now, (task.ready_at, task.bad_at))
        {
            self.plan_health(k, id, at, Look::Target);
        }
    }

    pub(super) fn plan_container(&self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        let (Some(check), Some(started), Some(ok)) = (
            self.revision_at(task.revision).check(),
            task.started_at,
            task.container_ok,
        ) else {
            return;
        };
        let first = plus(started, check.interval);
        let checks = Checks {
            interval: check.interval,
            healthy: 1,
            unhealthy: check.retries,
        };
        let at = if ok {
            let window = (task.ready_at, task.bad_at);
            checks
                .next(TargetState::Healthy, first, k.now, window)
                .map(|(at, _)| at)
        } else {
            // Failures within the start period do not count, a pass does (Docker, `--start-period`).
            let counted = checks.check_at(first, plus(started, check.start_period).max(first));
            let fails = plus(counted, check.interval * (check.retries - 1));
            let passes = checks.check_at(first, task.ready_at.max(first));
            Some(if passes < task.bad_at {
                passes.min(fails)
            } else {
                fails
            })
        };
        if let Some(at) = at {
            self.plan_health(k, id, at, Look::Container);
        }
    }

    /// A look at a task's health is due.
    pub(crate) fn look(&mut self, k: &mut Kernel, id: u64, version: u32, look: Look) {
        let Some(task) = self.tasks.get(&id).filter(|t| t.version == version) else {
            return;
        };
        if task.phase != Phase::Running {
            return;
        }
        match look {
            Look::Settled => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.settled = true;
                }
                self.became_healthy(k, id);
            }
            Look::Container => self.container_changed(k, id),
            Look::Target => self.target_changed(k, id),
            Look::Grace => self.grace_over(k, id),
        }
    }

    /// A container's own check changes its mind.
    fn container_changed(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let ok = task.answers(k.now);
        task.container_ok = Some(ok);
        task.container_failed = !ok;
        if ok {
            self.became_healthy(k, id);
            self.plan_container(k, id);
            return;
        }
        let (owner, started, ready, bad) = (task.owner, task.started_at, task.ready_at, task.bad_at);
        let check = self.revision_at(self.tasks[&id].revision).check();
        let (Some(started), Some(check), Owner::Service { service, .. }) = (started, check, owner) else {
            self.stop_task(k, id, Why::ContainerUnhealthy);
            return;
        };
        if k.now >= plus(started, self.services[service as usize].grace) {
            self.container_unhealthy(k, id);
            return;
        }
        // Within the grace period it may still recover.
        let checks = Checks {
            interval: check.interval,
            healthy: 1,
            unhealthy: check.retries,
        };
        let passes = checks.check_at(plus(started, check.interval), ready.max(plus(k.now, 1)));
        if passes < bad {
            self.plan_health(k, id, passes, Look::Container);
        }
    }

    /// The scheduler replaces a task whose container fails its own checks, once the grace period is over.
    pub(super) fn container_unhealthy(&mut self, k: &mut Kernel, id: u64) {
        if let Owner::Service { service, .. } = self.tasks[&id].owner {
            let text = format!("{} failed container health checks.", self.named(id));
            self.services[service as usize].say(k.now, &text);
        }
        self.stop_task(k, id, Why::ContainerUnhealthy);
    }

    /// A task as events name it.
    pub(super) fn named(&self, id: u64) -> String {
        let arn = self.tasks[&id].arn.as_str();
        format!("(task {})", arn.rsplit('/').next().unwrap_or(arn))
    }

    pub(crate) fn became_healthy(&mut self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        let owner = task.owner;
        if let (Owner::Service { service, deployment }, true) = (owner, task.is_healthy()) {
            self.healthy_task(service, deployment);
            self.touch(k, owner);
        }
    }
}
