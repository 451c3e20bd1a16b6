//! One-off tasks, and how any task ended.

use aws_sdk_ecs::types::{DesiredStatus, Task};
use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::id::{TaskArn, TaskDefinitionArn};
use rollout_core::service::{StoppedTask, TaskObservation, TaskSpec};
use serde_json::Value;

use super::observe::{failed, started_by};
use super::revision::Revision;
use super::stop::{self, Kind};
use super::wire::AsIs;
use super::{DESCRIBE_TASKS, EcsEnvironment, LIST_TASKS, RUN_TASK, STOP_TASK, map, template};
use crate::config::once;
use crate::error::from_sdk;
use crate::page::Pages;

/// Log lines of a failed task.
#[cfg(feature = "logs")]
const LINES: u16 = 20;
/// Characters of a log line.
#[cfg(feature = "logs")]
const WIDTH: usize = 500;
/// Stopped tasks of one family that are looked through: ECS forgets them after an hour.
const FIND_PAGES: usize = 10;
/// For how long after a stop log lines may still be on their way.
const LOGS_MAY_COME_MILLIS: u64 = 60_000;

impl EcsEnvironment {
    /// The same token with the same parameters answers with the same task for 24 hours (Amazon ECS developer guide,
    /// "Ensuring idempotency"). Sent once all the same: the refusal of a second try would say nothing about the first. And not sent
    /// at all past the call's deadline: a runner that slept in the middle of it may wake up when its token is forgotten.
    pub(super) async fn start(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error> {
        self.guard.check(ctx).await?;
        let (revision, _) = self.ensure(ctx, &spec.revision).await?;
        let token = ctx.token();
        let body = template::run_task(&spec.run, &self.cluster, revision.as_str(), token.as_str()).map_err(
            |mut error| {
                error.operation = RUN_TASK.to_owned();
                error
            },
        )?;
        self.toll.pay(ctx, RUN_TASK).await?;
        if (self.now)() > ctx.deadline {
            let text = format!(
                "task {} was not started: the call's time was over before it was made",
                spec.name
            );
            return Err(Error::new(ErrorKind::TimedOut, RUN_TASK, text).applied(Applied::No));
        }
        let answer = self
            .client
            .run_task()
            .cluster(&self.cluster)
            .task_definition(revision.as_str())
            .customize()
            .interceptor(AsIs::sending(&body))
            .config_override(aws_sdk_ecs::config::Builder::new().retry_config(once()))
            .send()
            .await
            .map_err(|error| from_sdk(RUN_TASK, format_args!("task {}", spec.name), true, error))?;
        if let Some(task) = answer.tasks().first() {
            return map::id(RUN_TASK, "task ARN", task.task_arn(), TaskArn::new)
                .map_err(|error| error.applied(Applied::Yes));
        }
        let failure = answer.failures().first();
        Err(failed(
            RUN_TASK,
            spec.name.as_str(),
            failure.and_then(|failure| failure.reason()),
            failure.and_then(|failure| failure.detail()),
        ))
    }

    pub(super) async fn look_at_task(
        &self,
        ctx: &OpContext,
        task: &TaskArn,
    ) -> Result<TaskObservation, Error> {
        let at = (self.now)();
        let found = self.describe_tasks(ctx, &[task.as_str().to_owned()]).await?;
        let Some(found) = found.first() else {
            return Ok(TaskObservation::Missing { at });
        };
        if found.last_status() == Some("STOPPED")
            && let Some(stopped) = self.stopped_task(ctx, found, Kind::OneOff, &mut 1).await?
        {
            return Ok(TaskObservation::Stopped(stopped));
        }
        Ok(TaskObservation::Running {
            at,
            status: found.last_status().unwrap_or("UNKNOWN").to_owned(),
        })
    }

    /// By the token in `startedBy`. That must be the only filter (Amazon ECS API, "ListTasks"), and then only tasks that
    /// are to run are listed; those that have stopped are found by their family.
    pub(super) async fn find(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error> {
        let token = ctx.token();
        let request = self.client.list_tasks().cluster(&self.cluster);
        self.toll.pay(ctx, LIST_TASKS).await?;
        let running = request
            .clone()
            .started_by(token.as_str())
            .send()
            .await
            .map_err(|error| from_sdk(LIST_TASKS, format_args!("task {}", spec.name), false, error))?;
        if let Some(arn) = running.task_arns().first() {
            return map::id(LIST_TASKS, "task ARN", Some(arn), TaskArn::new).map(Some);
        }
        let family = spec
            .revision
            .template
            .get("family")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut pages = Pages::new(LIST_TASKS, FIND_PAGES);
        let mut next = None;
        loop {
            self.toll.pay(ctx, LIST_TASKS).await?;
            let answer = request
                .clone()
                .family(family)
                .desired_status(DesiredStatus::Stopped)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| from_sdk(LIST_TASKS, format_args!("task {}", spec.name), false, error))?;
            let tasks = self
                .describe_tasks(ctx, &answer.task_arns.unwrap_or_default())
                .await?;
            if let Some(task) = tasks
                .iter()
                .find(|task| task.started_by() == Some(token.as_str()))
            {
                return map::id(DESCRIBE_TASKS, "task ARN", task.task_arn(), TaskArn::new).map(Some);
            }
            next = pages.next(answer.next_token)?;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    pub(super) async fn stop(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error> {
        self.guard.check(ctx).await?;
        self.toll.pay(ctx, STOP_TASK).await?;
        let answer = self
            .client
            .stop_task()
            .cluster(&self.cluster)
            .task(task.as_str())
            .reason(format!("stopped by rollout {}", ctx.run))
            .customize()
            .config_override(aws_sdk_ecs::config::Builder::new().retry_config(once()))
            .send()
            .await
            .map_err(|error| from_sdk(STOP_TASK, task, true, error));
        match answer {
            Ok(_) => Ok(()),
            // "The referenced task was not found" has no code of its own.
            Err(error) if matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::NotFound) => {
                match self.look_at_task(ctx, task).await? {
                    TaskObservation::Stopped(_) | TaskObservation::Missing { .. } => Ok(()),
                    TaskObservation::Running { .. } => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// A task whose containers have stopped; `None` while they are still stopping. `logs` counts the logs that may still
    /// be read for this observation.
    pub(super) async fn stopped_task(
        &self,
        ctx: &OpContext,
        task: &Task,
        kind: Kind,
        logs: &mut usize,
    ) -> Result<Option<StoppedTask>, Error> {
        let Some(stopped_at) = map::opt_time(task.stopped_at().or_else(|| task.execution_stopped_at()))
        else {
            return Ok(None);
        };
        let definition = task.task_definition_arn().unwrap_or_default();
        let revision = self.revision(ctx, definition).await?;
        let containers = map::exits(task.containers(), revision.as_deref());
        let code = task
            .stop_code()
            .map(|code| code.as_str().to_owned())
            .filter(|code| !code.is_empty());
        let reason = task.stopped_reason().unwrap_or_default().to_owned();
        let mut stopped = StoppedTask {
            task: map::id(DESCRIBE_TASKS, "task ARN", task.task_arn(), TaskArn::new)?,
            task_definition: map::id(
                DESCRIBE_TASKS,
                "task definition",
                Some(definition),
                TaskDefinitionArn::new,
            )?,
            started_by: started_by(task),
            stopped_at,
            cause: stop::cause(kind, code.as_deref(), &reason, &containers),
            code,
            reason,
            containers,
            log_tail: Vec::new(),
        };
        let mut complete = task.last_status() == Some("STOPPED");
        // A container that never ran has no log.
        let ran = stopped
            .containers
            .iter()
            .any(|container| container.exit_code.is_some());
        // What a one-off task has to say is part of its result, also when it is good.
        let told = stopped.cause.is_some() || kind == Kind::OneOff;
        if !told || !ran {
            // Nothing more will come.
        } else if *logs > 0 {
            *logs = logs.saturating_sub(1);
            stopped.log_tail = self.log_tail(ctx, &stopped, revision.as_deref()).await;
            let age = (self.now)().as_millis().saturating_sub(stopped_at.as_millis());
            complete &= !stopped.log_tail.is_empty() || age > LOGS_MAY_COME_MILLIS;
        } else {
            complete = false;
        }
        if complete && kind == Kind::Service {
            self.remember(|memory| {
                memory
                    .stopped
                    .insert(stopped.task.as_str().to_owned(), stopped.clone());
            });
        }
        Ok(Some(stopped))
    }

    /// The last lines of the first container that has any: those that failed come first, the essential ones before the others. A log that cannot be read is
    /// said so in its place: it must not hide why the task stopped.
    #[cfg(feature = "logs")]
    async fn log_tail(
        &self,
        ctx: &OpContext,
        task: &StoppedTask,
        revision: Option<&Revision>,
    ) -> Vec<String> {
        let (Some(reader), Some(revision)) = (&self.logs, revision) else {
            return Vec::new();
        };
        let id = template::short(task.task.as_str());
        let mut candidates: Vec<_> = task.containers.iter().collect();
        candidates.sort_by_key(|container| {
            (
                container.exit_code == Some(0),
                !container.essential,
                container.exit_code.is_none(),
            )
        });
        for container in candidates {
            let Some(log) = revision
                .container(&container.name)
                .and_then(|known| known.log.as_ref())
            else {
                continue;
            };
            if log.region.is_some() && log.region.as_deref() != reader.region() {
                continue;
            }
            // Amazon ECS developer guide, "Send Amazon ECS logs to CloudWatch": `prefix-name/container-name/ecs-task-id`.
            let stream = format!("{}/{}/{id}", log.prefix, container.name);
            match reader.tail(ctx, &log.group, &stream, LINES, WIDTH).await {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return lines,
                Err(error) => return vec![format!("(the log cannot be read: {error})")],
            }
        }
        Vec::new()
    }

    #[cfg(not(feature = "logs"))]
    #[expect(clippy::unused_async, reason = "the same shape as with the feature `logs`")]
    async fn log_tail(
        &self,
        _ctx: &OpContext,
        _task: &StoppedTask,
        _revision: Option<&Revision>,
    ) -> Vec<String> {
        Vec::new()
    }
}
