//! One task: its phases, its health, its end.

use rollout_core::evidence::Cause;
use rollout_core::id::{ContainerName, TaskArn};
use rollout_core::service::{ContainerExit, Images, StoppedTask};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use crate::behaviour::{Behaviour, Course, Start};
use crate::elb::{Checks, TargetState};
use crate::kernel::{Happening, Kernel, Look, plus};
use crate::rng::{Span, Stream};

/// How far a task is (Amazon ECS developer guide, "Task lifecycle states").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Phase {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Whose task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// A service's, started by its deployment with this number.
    Service { service: u16, deployment: u32 },
    /// A one-off task.
    Job,
}

/// Why a task stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    CannotPull {
        container: ContainerName,
        message: String,
    },
    Exited {
        container: ContainerName,
        exit_code: i32,
    },
    OutOfMemory {
        container: ContainerName,
    },
    ContainerUnhealthy,
    TargetUnhealthy {
        group: String,
    },
    Scaling {
        deployment: String,
    },
    ByUser,
}

impl Why {
    /// `StopCode` of Amazon ECS API, "Task".
    fn code(&self) -> &'static str {
        match self {
            Self::CannotPull { .. } => "TaskFailedToStart",
            Self::Exited { .. } | Self::OutOfMemory { .. } => "EssentialContainerExited",
            Self::ContainerUnhealthy | Self::TargetUnhealthy { .. } | Self::Scaling { .. } => {
                "ServiceSchedulerInitiated"
            }
            Self::ByUser => "UserInitiated",
        }
    }

    /// The texts of Amazon ECS developer guide, "Stopped tasks error messages".
    fn reason(&self) -> String {
        match self {
            Self::CannotPull { message, .. } => format!("CannotPullContainerError: {message}"),
            Self::Exited { .. } | Self::OutOfMemory { .. } => "Essential container in task exited".to_owned(),
            Self::ContainerUnhealthy => "Task failed container health checks".to_owned(),
            Self::TargetUnhealthy { group } => {
                format!("Task failed ELB health checks in (target-group {group})")
            }
            Self::Scaling { deployment } => {
                format!("Scaling activity initiated by (deployment {deployment})")
            }
            Self::ByUser => "Task stopped by user".to_owned(),
        }
    }

    fn cause(&self) -> Option<Cause> {
        match self {
            Self::CannotPull { .. } => Some(Cause::ImagePull),
            Self::Exited { .. } => Some(Cause::ContainerExited),
            Self::OutOfMemory { .. } => Some(Cause::OutOfMemory),
            Self::ContainerUnhealthy | Self::TargetUnhealthy { .. } => Some(Cause::HealthCheckFailed),
            Self::ByUser => Some(Cause::TaskStopped),
            Self::Scaling { .. } => None,
        }
    }
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) arn: TaskArn,
    pub(crate) owner: Owner,
    pub(crate) revision: u32,
    pub(crate) images: Images,
    pub(crate) course: Course,
    pub(crate) phase: Phase,
    /// Grows when its plans change: what was planned before is void.
    pub(crate) version: u32,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) stopped_at: Option<Timestamp>,
    pub(crate) why: Option<Why>,
    /// When it begins and ends to pass health checks.
    pub(crate) ready_at: Timestamp,
    pub(crate) bad_at: Timestamp,
    /// Its place in its service's target group, and what the group thinks of it.
    pub(crate) target: Option<TargetState>,
    pub(crate) first_check: Timestamp,
    /// What the container's own check says; `None` without one.
    pub(crate) container_ok: Option<bool>,
    pub(crate) settled: bool,
}

impl Task {
    /// Whether it counts as one of its service's tasks: not on its way out.
    pub(crate) fn is_placed(&self) -> bool {
        self.phase <= Phase::Running && self.why.is_none()
    }

    /// Whether the scheduler takes it for healthy.
    pub(crate) fn is_healthy(&self) -> bool {
        self.phase == Phase::Running
            && self.why.is_none()
            && self.target.is_none_or(|state| state == TargetState::Healthy)
            && self.container_ok != Some(false)
            && (self.settled || self.target.is_some() || self.container_ok == Some(true))
    }

    /// Whether it passes a health check at this moment.
    pub(crate) fn answers(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Running | Phase::Deactivating)
            && self.ready_at <= now
            && now < self.bad_at
    }

    /// What `DescribeTasks` tells of a stopped task.
    pub(crate) fn stopped(&self, env: &Environment) -> Option<StoppedTask> {
        let (why, stopped_at) = (self.why.as_ref()?, self.stopped_at?);
        let revision = env.revision_at(self.revision);
        let containers = revision.containers.iter().map(|c| self.exit(c, why)).collect();
        let started_by = match self.owner {
            Owner::Service { service, deployment } => {
                env.services[service as usize].deployment_id(deployment)
            }
            Owner::Job => None,
        };
        Some(StoppedTask {
            task: self.arn.clone(),
            task_definition: revision.arn.clone(),
            started_by,
            stopped_at,
            cause: self.failure(why),
            code: Some(why.code().to_owned()),
            reason: why.reason(),
            containers,
            log_tail: match (why, self.started_at) {
                (Why::CannotPull { .. } | Why::Scaling { .. }, _) | (_, None) => Vec::new(),
                (_, Some(_)) => self.course.log.iter().rev().take(10).rev().cloned().collect(),
            },
        })
    }

    /// A one-off task that ends with 0 did not fail.
    fn failure(&self, why: &Why) -> Option<Cause> {
        match (self.owner, why) {
            (Owner::Job, Why::Exited { exit_code: 0, .. }) => None,
            (Owner::Job | Owner::Service { .. }, _) => why.cause(),
        }
    }

    fn exit(&self, container: &super::revision::Container, why: &Why) -> ContainerExit {
        let ran = self.started_at.is_some();
        let (exit_code, reason) = match why {
            Why::CannotPull {
                container: c,
                message,
            } => {
                let reason = format!("CannotPullContainerError: {message}");
                (None, (c == &container.name).then_some(reason))
            }
            Why::OutOfMemory { container: c } if c == &container.name => (
                Some(137),
                Some("OutOfMemoryError: Container killed due to memory usage".to_owned()),
            ),
            Why::Exited {
                container: c,
                exit_code,
            } if c == &container.name => (Some(*exit_code), None),
            // The others get a SIGTERM.
            Why::Exited { .. } | Why::OutOfMemory { .. } => (Some(143), None),
            Why::ContainerUnhealthy | Why::TargetUnhealthy { .. } | Why::Scaling { .. } | Why::ByUser => {
                (ran.then_some(143), None)
            }
        };
        ContainerExit {
            name: container.name.clone(),
            essential: container.essential,
            exit_code,
            reason,
        }
    }
}

impl Environment {
    /// Launches a task. Its course is fixed here.
    pub(crate) fn launch(&mut self, k: &mut Kernel, owner: Owner, revision: u32, images: Images) -> u64 {
        let id = k.next_task();
        let course = self.course(owner, revision, &images);
        let arn = format!(
            "arn:aws:ecs:{}:{}:task/{}/{}",
            self.region,
            self.account,
            self.cluster,
            k.dice.hex(2)
        );
        let check = self.revision_at(revision).check();
        let task = Task {
            arn: TaskArn::new(arn).expect("letters, digits, `:`, `/` and `-`"),
            owner,
            revision,
            images,
            course,
            phase: Phase::Provisioning,
            version: 0,
            started_at: None,
            stopped_at: None,
            why: None,
            ready_at: Timestamp::MAX,
            bad_at: Timestamp::MAX,
            target: None,
            first_check: Timestamp::MAX,
            container_ok: match owner {
                Owner::Service { .. } => check.map(|_| false),
                Owner::Job => None,
            },
            settled: false,
        };
        k.mark_text(task.arn.as_str());
        self.tasks.insert(id, task);
        let wait = k.draw(Stream::Tasks, self.timing.provision);
        self.plan_phase(k, id, wait);
        id
    }

    /// What the images of a revision make of a task: the first container whose image misbehaves decides.
    fn course(&self, owner: Owner, revision: u32, images: &Images) -> Course {
        let content = self.revision_at(revision);
        let first = content
            .essential()
            .expect("a revision has an essential container");
        let ordinary = Behaviour::default();
        if let Owner::Service { service, .. } = owner
            && let Some(script) = &self.services[service as usize].script
            && script.spared != Some(revision)
        {
            let mut course = Course::of(first.name.clone(), &script.behaviour);
            // A script decides how the tasks run, not what a task that does run answers.
            if let Some(image) = images.get(&first.name).and_then(|digest| self.registry.behaviour(digest)) {
                course.body.clone_from(&image.body);
            }
            return course;
        }
        let of = |name: &ContainerName| {
            let digest = images.get(name)?;
            self.registry.behaviour(digest)
        };
        let odd = content.containers.iter().filter(|c| c.essential).find_map(|c| {
            let behaviour = of(&c.name)?;
            (behaviour.start != Start::Ok).then(|| Course::of(c.name.clone(), behaviour))
        });
        odd.unwrap_or_else(|| Course::of(first.name.clone(), of(&first.name).unwrap_or(&ordinary)))
    }

    pub(crate) fn plan_phase(&self, k: &mut Kernel, id: u64, millis: u64) {
        let (env, version) = (self.index, self.tasks[&id].version);
        k.after(
            millis,
            Happening::Phase {
                env,
                task: id,
                version,
            },
        );
    }

    /// Makes a task just launched one that has been running, healthy, since `since`.
    pub(crate) fn settle_task(&mut self, k: &mut Kernel, id: u64, since: Timestamp) {
        let group = self.tasks.get(&id).and_then(|t| self.group_of(t));
        let interval = group.map_or(0, |g| self.groups[g as usize].checks.interval);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        // What was planned for the launch is void.
        task.version += 1;
        task.phase = Phase::Running;
        task.started_at = Some(since);
        task.ready_at = since;
        task.settled = true;
        task.container_ok = task.container_ok.map(|_| true);
        task.target = group.map(|_| TargetState::Healthy);
        task.first_check = plus(k.now, k.draw(Stream::Health, Span::millis(0, interval)));
    }

    /// A running task passes no health check from now on.
    pub(crate) fn turn_bad(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.phase == Phase::Running) else {
            return;
        };
        task.bad_at = k.now;
        self.plan_target(k, id);
        self.plan_container(k, id);
    }

    fn plan_health(&self, k: &mut Kernel, id: u64, at: Timestamp, look: Look) {
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

    /// The task goes on to its next phase.
    pub(crate) fn next_phase(&mut self, k: &mut Kernel, id: u64, version: u32) {
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.version == version) else {
            return;
        };
        match task.phase {
            Phase::Provisioning => {
                task.phase = Phase::Pending;
                let wait = k.draw(Stream::Tasks, self.timing.pull);
                self.plan_phase(k, id, wait);
            }
            Phase::Pending => self.pulled(k, id),
            Phase::Activating => self.running(k, id),
            Phase::Deactivating => {
                task.phase = Phase::Stopping;
                task.target = None;
                let owner = task.owner;
                let wait = k.draw(Stream::Tasks, self.timing.stop);
                self.plan_phase(k, id, wait);
                self.touch(k, owner);
            }
            Phase::Stopping => {
                task.phase = Phase::Deprovisioning;
                let wait = k.draw(Stream::Tasks, self.timing.deprovision);
                self.plan_phase(k, id, wait);
            }
            Phase::Deprovisioning => self.has_stopped(k, id),
            Phase::Running | Phase::Stopped => {}
        }
    }

    fn pulled(&mut self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        let refused = match &task.course.start {
            Start::CannotPull { message } => Some((task.course.container.clone(), message.clone())),
            _ => self.pull_error(task.revision, &task.images),
        };
        if let Some((container, message)) = refused {
            self.stop_task(k, id, Why::CannotPull { container, message });
            return;
        }
        let owner = task.owner;
        let wait = k.draw(Stream::Tasks, self.timing.activate);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.phase = Phase::Activating;
        }
        self.plan_phase(k, id, wait);
        if let Owner::Service { service, .. } = owner
            && let Some(group) = self.services[service as usize].group
        {
            self.register_target(k, id, service, group);
        }
    }

    fn running(&mut self, k: &mut Kernel, id: u64) {
        let start_up = k.draw(Stream::Tasks, self.timing.start_up);
        let now = k.now;
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.phase = Phase::Running;
        task.started_at = Some(now);
        let version = task.version;
        let exit = Happening::Exit {
            env: self.index,
            task: id,
            version,
        };
        if task.owner == Owner::Job {
            let job = task.course.job.takes;
            let millis = match task.course.start {
                Start::CrashAfter { millis, .. } | Start::OutOfMemoryAfter { millis } => millis,
                _ => k.draw(Stream::Tasks, job),
            };
            k.after(millis, exit);
            return;
        }
        task.ready_at = plus(now, start_up);
        match task.course.start {
            Start::CrashAfter { millis, .. } | Start::OutOfMemoryAfter { millis } => k.after(millis, exit),
            Start::Unhealthy => task.ready_at = Timestamp::MAX,
            Start::UnhealthyAfter { millis } => task.bad_at = plus(now, millis),
            Start::SlowStart { millis } => task.ready_at = plus(now, millis),
            Start::Ok | Start::CannotPull { .. } => {}
        }
        let (owner, checked) = (task.owner, task.target.is_some() || task.container_ok.is_some());
        if !checked {
            self.plan_health(k, id, plus(now, self.timing.settle), Look::Settled);
        }
        if let Owner::Service { service, .. } = owner
            && self.services[service as usize].group.is_some()
        {
            let grace = self.services[service as usize].grace;
            self.plan_health(k, id, plus(now, grace), Look::Grace);
        }
        self.plan_target(k, id);
        self.plan_container(k, id);
    }

    /// The task's process ends.
    pub(crate) fn exits(&mut self, k: &mut Kernel, id: u64, version: u32) {
        let Some(task) = self.tasks.get(&id).filter(|t| t.version == version) else {
            return;
        };
        let container = task.course.container.clone();
        let why = match task.course.start {
            Start::OutOfMemoryAfter { .. } => Why::OutOfMemory { container },
            Start::CrashAfter { exit_code, .. } => Why::Exited { container, exit_code },
            _ => Why::Exited {
                container,
                exit_code: task.course.job.exit_code,
            },
        };
        self.stop_task(k, id, why);
    }

    /// The load balancer's checks of a task, if it is a target.
    fn checks(&self, task: &Task) -> Option<Checks> {
        let Owner::Service { service, .. } = task.owner else {
            return None;
        };
        let group = &self.groups[self.services[service as usize].group? as usize];
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

    fn plan_container(&self, k: &mut Kernel, id: u64) {
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
            Look::Container => {
                let ok = task.answers(k.now);
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.container_ok = Some(ok);
                }
                if ok {
                    self.became_healthy(k, id);
                    self.plan_container(k, id);
                } else {
                    self.stop_task(k, id, Why::ContainerUnhealthy);
                }
            }
            Look::Target => self.target_changed(k, id),
            Look::Grace => self.grace_over(k, id),
        }
    }

    pub(crate) fn became_healthy(&mut self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        if let (Owner::Service { service, deployment }, true) = (task.owner, task.is_healthy()) {
            self.services[service as usize].healthy_task(deployment);
            self.touch(k, task.owner);
        }
    }

    /// Sends a task on its way out. Saying it twice changes nothing.
    pub(crate) fn stop_task(&mut self, k: &mut Kernel, id: u64, why: Why) {
        let drain = self.tasks.get(&id).and_then(|t| self.drain(t));
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.why.is_none()) else {
            return;
        };
        task.version += 1;
        let owner = task.owner;
        // A process that has ended has nothing to drain and nothing to stop.
        let dead = matches!(
            why,
            Why::CannotPull { .. } | Why::Exited { .. } | Why::OutOfMemory { .. }
        );
        let wait = match (task.phase, task.target) {
            (Phase::Running, Some(_)) if !dead => {
                task.phase = Phase::Deactivating;
                task.target = Some(TargetState::Draining);
                drain.unwrap_or(0)
            }
            (Phase::Running, _) if !dead => {
                task.phase = Phase::Stopping;
                k.draw(Stream::Tasks, self.timing.stop)
            }
            _ => {
                task.phase = Phase::Deprovisioning;
                task.target = None;
                k.draw(Stream::Tasks, self.timing.deprovision)
            }
        };
        let unhealthy = matches!(why, Why::ContainerUnhealthy | Why::TargetUnhealthy { .. });
        task.why = Some(why);
        self.plan_phase(k, id, wait);
        // A check's verdict is counted at once; a task that ended by itself when it has stopped.
        if unhealthy {
            self.task_failed(k, owner);
        }
        self.touch(k, owner);
    }

    fn drain(&self, task: &Task) -> Option<u64> {
        let Owner::Service { service, .. } = task.owner else {
            return None;
        };
        let group = self.services[service as usize].group?;
        Some(self.groups[group as usize].deregistration_delay)
    }

    fn has_stopped(&mut self, k: &mut Kernel, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.phase = Phase::Stopped;
        task.target = None;
        task.stopped_at = Some(k.now);
        let owner = task.owner;
        let ended = matches!(
            task.why,
            Some(Why::CannotPull { .. } | Why::Exited { .. } | Why::OutOfMemory { .. })
        );
        self.forget_old_tasks(k.now, owner, id);
        if ended {
            self.task_failed(k, owner);
        }
        self.touch(k, owner);
    }
}
