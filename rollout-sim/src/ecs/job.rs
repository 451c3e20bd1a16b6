//! One-off tasks: started once per client token.

use rollout_core::id::TaskArn;
use rollout_core::image::Ensured;
use rollout_core::service::{TaskObservation, TaskSpec};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::Environment;
use super::stop::Why;
use super::task::{Owner, Phase};
use crate::kernel::Kernel;

/// For how long a client token holds (Amazon ECS API reference, "Ensuring idempotency").
const TOKEN_LIVES: u64 = 24 * 60 * 60 * 1_000;

/// A client token that has been used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    task: u64,
    arn: TaskArn,
    revision: u32,
    run: serde_json::Value,
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

impl Environment {
    /// Starts a task once per token; `true` when it was not there before.
    pub(crate) fn run_task(
        &mut self,
        k: &mut Kernel,
        token: &str,
        spec: &TaskSpec,
    ) -> Result<(TaskArn, bool), NotStarted> {
        let (arn, _): (_, Ensured) = self
            .ensure_revision(&spec.revision)
            .map_err(NotStarted::Invalid)?;
        let (revision, _) = self.revision(&arn).expect("it was just ensured");
        self.jobs
            .retain(|_, used| k.now.as_millis().saturating_sub(used.used_at.as_millis()) < TOKEN_LIVES);
        if let Some(used) = self.jobs.get(token) {
            return if used.revision == revision && used.run == spec.run {
                Ok((used.arn.clone(), false))
            } else {
                Err(NotStarted::Conflict(used.arn.clone()))
            };
        }
        if self.room() == 0 {
            return Err(NotStarted::NoRoom);
        }
        let images = self.resolve_images(revision);
        let task = self.launch(k, Owner::Job, revision, images);
        let arn = self.tasks[&task].arn.clone();
        let used = Token {
            task,
            arn: arn.clone(),
            revision,
            run: spec.run.clone(),
            used_at: k.now,
        };
        self.jobs.insert(token.to_owned(), used);
        Ok((arn, true))
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
        let used = self.jobs.get(token)?;
        let task = self.tasks.get(&used.task)?;
        task.is_visible(now).then(|| task.arn.clone())
    }

    /// Stops a one-off task; `true` when it had not ended.
    pub(crate) fn stop_job(&mut self, k: &mut Kernel, arn: &TaskArn) -> bool {
        let Some(id) = self.job(arn) else { return false };
        let live = self.tasks[&id].phase < Phase::Stopped && self.tasks[&id].why.is_none();
        self.stop_task(k, id, Why::ByUser);
        live
    }
}
