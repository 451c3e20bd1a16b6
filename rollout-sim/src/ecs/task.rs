//! One task: its launch and its phases.

use rollout_core::id::{ContainerName, TaskArn};
use rollout_core::service::Images;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::stop::Why;
use crate::behaviour::{Behaviour, Course, Start};
use crate::elb::TargetState;
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

/// What a caller of `RunTask` says of a task besides its definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) started_by: Option<String>,
    pub(crate) group: Option<String>,
    /// `overrides`, `tags` and the like, in the words of `RunTask`.
    pub(crate) settings: serde_json::Value,
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) arn: TaskArn,
    /// The index of its cluster.
    pub(crate) cluster: u16,
    pub(crate) owner: Owner,
    /// What `RunTask` said of it; nothing for a service's task.
    pub(crate) run: Run,
    /// The target group that it is to be in.
    pub(crate) group: Option<u16>,
    pub(crate) revision: u32,
    pub(crate) images: Images,
    pub(crate) course: Course,
    pub(crate) phase: Phase,
    /// Grows when its plans change: what was planned before is void.
    pub(crate) version: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) pull_started_at: Option<Timestamp>,
    pub(crate) pull_stopped_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    /// When it was told to stop.
    pub(crate) stopping_at: Option<Timestamp>,
    /// When its containers had ended.
    pub(crate) ended_at: Option<Timestamp>,
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
    /// Whether the container's own check has counted enough failures, and none has passed since.
    pub(crate) container_failed: bool,
    pub(crate) settled: bool,
}

impl Task {
    /// Whether a deployment of a service started it.
    pub(crate) fn is_of(&self, service: u16, deployment: u32) -> bool {
        self.owner == Owner::Service { service, deployment }
    }

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
}

impl Environment {
    /// Launches a task. Its course is fixed here.
    pub(crate) fn launch(
        &mut self,
        k: &mut Kernel,
        owner: Owner,
        revision: u32,
        images: Images,
        group: Option<u16>,
    ) -> u64 {
        let cluster = match owner {
            Owner::Service { service, .. } => self.services[service as usize].cluster,
            Owner::Job => 0,
        };
        self.launch_in(k, cluster, owner, revision, images, group)
    }

    /// Launches a task in a cluster.
    pub(crate) fn launch_in(
        &mut self,
        k: &mut Kernel,
        cluster: u16,
        owner: Owner,
        revision: u32,
        images: Images,
        group: Option<u16>,
    ) -> u64 {
        let id = k.next_task();
        let course = self.course(owner, revision, &images);
        let arn = format!(
            "arn:aws:ecs:{}:{}:task/{}/{}",
            self.region,
            self.account,
            self.clusters[cluster as usize].name,
            k.dice.hex(2)
        );
        let check = self.revision_at(revision).check();
        let task = Task {
            arn: TaskArn::new(arn).expect("letters, digits, `:`, `/` and `-`"),
            cluster,
            owner,
            run: Run::default(),
            group,
            revision,
            images,
            course,
            phase: Phase::Provisioning,
            version: 0,
            created_at: k.now,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            ended_at: None,
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
            container_failed: false,
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
            if let Some(image) = images
                .get(&first.name)
                .and_then(|digest| self.registry.behaviour(digest))
            {
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
        let group = self.tasks.get(&id).and_then(|t| t.group);
        let interval = group.map_or(0, |g| self.groups[g as usize].checks.interval);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        // What was planned for the launch is void.
        task.version += 1;
        task.phase = Phase::Running;
        task.created_at = since;
        task.pull_started_at = Some(since);
        task.pull_stopped_at = Some(since);
        task.started_at = Some(since);
        task.ready_at = since;
        task.settled = true;
        task.container_ok = task.container_ok.map(|_| true);
        task.target = group.map(|_| TargetState::Healthy);
        task.first_check = plus(k.now, k.draw(Stream::Health, Span::millis(0, interval)));
    }

    /// The task goes on to its next phase.
    pub(crate) fn next_phase(&mut self, k: &mut Kernel, id: u64, version: u32) {
        let Some(task) = self.tasks.get_mut(&id).filter(|t| t.version == version) else {
            return;
        };
        match task.phase {
            Phase::Provisioning => {
                task.phase = Phase::Pending;
                task.pull_started_at = Some(k.now);
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
                task.ended_at = Some(k.now);
                let wait = k.draw(Stream::Tasks, self.timing.deprovision);
                self.plan_phase(k, id, wait);
            }
            Phase::Deprovisioning => self.has_stopped(k, id),
            Phase::Running | Phase::Stopped => {}
        }
    }

    fn pulled(&mut self, k: &mut Kernel, id: u64) {
        let task = &self.tasks[&id];
        if let Start::CannotInitialize { message } = &task.course.start {
            let message = message.clone();
            self.stop_task(k, id, Why::CannotInitialize { message });
            return;
        }
        let refused = match &task.course.start {
            Start::CannotPull { message } => Some((task.course.container.clone(), message.clone())),
            _ => self.pull_error(task.revision, &task.images),
        };
        if let Some((container, message)) = refused {
            self.stop_task(k, id, Why::CannotPull { container, message });
            return;
        }
        let (owner, group) = (task.owner, task.group);
        let wait = k.draw(Stream::Tasks, self.timing.activate);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.phase = Phase::Activating;
            task.pull_stopped_at = Some(k.now);
        }
        self.plan_phase(k, id, wait);
        if let (Owner::Service { service, .. }, Some(group)) = (owner, group) {
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
            Start::Ok | Start::CannotPull { .. } | Start::CannotInitialize { .. } => {}
        }
        let (owner, checked) = (task.owner, task.target.is_some() || task.container_ok.is_some());
        if !checked {
            self.plan_health(k, id, plus(now, self.timing.settle), Look::Settled);
        }
        if let (Owner::Service { service, .. }, true) = (owner, checked) {
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
}
