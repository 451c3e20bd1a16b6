//! CloudWatch Logs: what the containers of tasks have written.
//!
//! A stream is its task's: it is known as long as `DescribeTasks` could know the task. Retention is not modelled.

use rollout_core::time::Timestamp;

use crate::ecs::Environment;
use crate::ecs::stop::Why;
use crate::ecs::task::Task;
use crate::kernel::plus;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) message: String,
}

/// The stream of one container of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStream {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    /// Oldest first.
    pub(crate) lines: Vec<Line>,
}

impl Environment {
    /// Every stream of the `awslogs` driver there is now, by group and name.
    pub(crate) fn log_streams(&self, now: Timestamp) -> Vec<LogStream> {
        let mut all: Vec<_> = self
            .tasks
            .values()
            .flat_map(|task| self.streams_of(task, now))
            .collect();
        all.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        all
    }

    fn streams_of(&self, task: &Task, now: Timestamp) -> Vec<LogStream> {
        // A container that never ran has not made its stream.
        let (Some(started), false) = (
            task.started_at,
            matches!(task.why, Some(Why::CannotPull { .. } | Why::Scaling { .. })),
        ) else {
            return Vec::new();
        };
        let revision = self.revision_at(task.revision);
        let writer = revision.essential().map(|c| &c.name);
        let id = task.arn.as_str().rsplit('/').next().unwrap_or_default();
        let definitions = revision.content["containerDefinitions"].as_array();
        let logging = definitions.into_iter().flatten().filter_map(|definition| {
            let log = &definition["logConfiguration"];
            let option = |name: &str| log["options"][name].as_str();
            let name = definition["name"].as_str()?;
            if log["logDriver"].as_str() != Some("awslogs") {
                return None;
            }
            // Without a prefix a stream is named by the container's id, which nobody can know beforehand (Amazon ECS developer
            // guide, "awslogs log driver").
            Some((
                name,
                option("awslogs-group")?.to_owned(),
                option("awslogs-stream-prefix")?,
            ))
        });
        let until = task.ended_at.unwrap_or(now).min(now);
        let mut streams = Vec::new();
        for (container, group, prefix) in logging {
            let wrote = writer.is_some_and(|name| name.as_str() == container);
            let written = task.course.log.iter().filter(|_| wrote);
            let lines = written.zip(0..).map(|(message, index)| Line {
                // One after another from its start; all of them were written when the process ended.
                at: plus(started, index).min(until.max(started)),
                message: message.clone(),
            });
            streams.push(LogStream {
                group,
                name: format!("{prefix}/{container}/{id}"),
                created_at: started,
                lines: lines.collect(),
            });
        }
        streams
    }
}
