//! One-off tasks: started once per client token.

use rollout_core::id::TaskArn;
use rollout_core::image::Ensured;
use rollout_core::service::{TaskObservation, TaskSpec};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::stop::Why;
use super::task::{Owner, Phase, Run};
use crate::kernel::Kernel;

/// For how long a client token holds (Amazon ECS API reference, "Ensuring idempotency").
const TOKEN_LIVES: u64 = 24 * 60 * 60 * 1_000;

/// What a caller of `RunTask` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The index of the cluster.
    pub(crate) cluster: u16,
    pub(crate) revision: u32,
    pub(crate) count: u32,
    pub(crate) run: Run,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) tasks: Vec<u64>,
    /// How many there was no room for.
    pub(crate) lacking: u32,
    /// Whether this call started them.
    pub(crate) new: bool,
}

/// A client token that has been used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    asked: Asked,
    tasks: Vec<u64>,
    /// They are known for longer than the tasks.
    arns: Vec<TaskArn>,
    used_at: Timestamp,
}

/// Why a task was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// The task definition is wrong.
    Invalid(String),
    /// The token was used with other parameters, for this task.
    Conflict(TaskArn),
    /// There is no room for a task.
    NoRoom,
}

fn key(cluster: u16, token: &str) -> String {
    format!("{cluster}/{token}")
}

impl Environment {
    /// Starts tasks, once per token; the tasks that the token was used for when it was used for something else. A call that
    /// starts none uses no token up.
    pub(crate) fn run_tasks(
        &mut self,
        k: &mut Kernel,
        token: Option<&str>,
        asked: &Asked,
    ) -> Result<Started, Vec<TaskArn>> {
        self.jobs
            .retain(|_, used| k.now.as_millis().saturating_sub(used.used_at.as_millis()) < TOKEN_LIVES);
        let key = token.map(|token| key(asked.cluster, token));
        if let Some(used) = key.as_ref().and_then(|key| self.jobs.get(key)) {
            if used.asked != *asked {
                return Err(used.arns.clone());
            }
            return Ok(Started {
                tasks: used.tasks.clone(),
                lacking: 0,
                new: false,
            });
        }
        let count = asked.count.min(self.room());
        let images = self.resolve_images(asked.revision);
        let mut tasks = Vec::new();
        for _ in 0..count {
            let id = self.launch_in(k, asked.cluster, Owner::Job, asked.revision, images.clone(), None);
            if let Some(task) = self.tasks.get_mut(&id) {
                task.run = asked.run.clone();
            }
            tasks.push(id);
        }
        if let Some(key) = key.filter(|_| count > 0) {
            let used = Token {
                asked: asked.clone(),
                arns: tasks.iter().map(|id| self.tasks[id].arn.clone()).collect(),
                tasks: tasks.clone(),
                used_at: k.now,
            };
            self.jobs.insert(key, used);
        }
        Ok(Started {
            tasks,
            lacking: asked.count - count,
            new: count > 0,
        })
    }

    /// Starts a task of the environment's own cluster once per token; `true` when it was not there before.
    pub(crate) fn run_task(
        &mut self,
        k: &mut Kernel,
        token: &str,
        spec: &TaskSpec,
    ) -> Result<(TaskArn, bool), NotStarted> {
        let (arn, _): (_, Ensured) = self
            .ensure_revision(k.now, &spec.revision)
            .map_err(NotStarted::Invalid)?;
        let (revision, _) = self.revision(&arn).expect("it was just ensured");
        let asked = Asked {
            cluster: 0,
            revision,
            count: 1,
            run: Run {
                settings: spec.run.clone(),
                ..Run::default()
            },
        };
        let conflict = |mut arns: Vec<TaskArn>| arns.pop().map_or(NotStarted::NoRoom, NotStarted::Conflict);
        let started = self.run_tasks(k, Some(token), &asked).map_err(conflict)?;
        let known = self.jobs.get(&key(0, token)).and_then(|used| used.arns.first());
        known
            .map(|arn| (arn.clone(), started.new))
            .ok_or(NotStarted::NoRoom)
    }

    fn job(&self, arn: &TaskArn) -> Option<u64> {
        let mut all = self.tasks.iter().rev();
        all.find(|(_, t)| t.owner == Owner::Job && &t.arn == arn)
            .map(|(id, _)| *id)
    }

    pub(crate) fn observe_job(&self, now: Timestamp, arn: &TaskArn) -> TaskObservation {
        let task = self
            .job(arn)
            .map(|id| &self.tasks[&id])
            .filter(|t| t.is_visible(now));
        match task {
            None => TaskObservation::Missing { at: now },
            Some(task) => match task.stopped(self) {
                Some(stopped) => TaskObservation::Stopped(stopped),
                None => TaskObservation::Running {
                    at: now,
                    status: task.phase.name().to_owned(),
                },
            },
        }
    }

    /// The visible task that a token started. A list of tasks by `startedBy` knows stopped ones for an hour only.
    pub(crate) fn find_job(&self, now: Timestamp, token: &str) -> Option<TaskArn> {
        let used = self.jobs.get(&key(0, token))?;
        let task = self.tasks.get(used.tasks.first()?)?;
        task.is_visible(now).then(|| task.arn.clone())
    }

    /// Stops a one-off task; `true` when it had not ended.
    pub(crate) fn stop_job(&mut self, k: &mut Kernel, arn: &TaskArn) -> bool {
        let Some(id) = self.job(arn) else { return false };
        let live = self.tasks[&id].phase < Phase::Stopped && self.tasks[&id].why.is_none();
        self.stop_task(k, id, Why::ByUser { reason: None });
        live
    }
}
