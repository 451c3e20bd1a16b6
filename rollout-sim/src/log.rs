//! CloudWatch Logs of tasks: what containers with the `awslogs` driver write (Amazon ECS developer guide, "Send Amazon ECS logs
//! to CloudWatch").

use rollout_core::time::Timestamp;
use serde_json::Value;

use crate::ecs::Environment;
use crate::ecs::task::Task;
use crate::kernel::plus;

/// Between two lines of a container, in milliseconds. Ours.
const PAUSE: u64 = 100;

/// A log stream: one container of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogStream {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// Oldest first.
    pub(crate) events: Vec<(Timestamp, String)>,
}

/// Group and prefix of a container that logs to CloudWatch.
fn awslogs(container: &Value) -> Option<(&str, Option<&str>)> {
    let log = &container["logConfiguration"];
    if log["logDriver"].as_str() != Some("awslogs") {
        return None;
    }
    let options = &log["options"];
    Some((
        options["awslogs-group"].as_str()?,
        options["awslogs-stream-prefix"].as_str(),
    ))
}

fn containers(content: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = content["containerDefinitions"].as_array().into_iter().flatten();
    all.filter_map(|c| Some((c["name"].as_str()?, c)))
}

impl Environment {
    /// The names of all log groups that a task definition names, each once, sorted.
    pub(crate) fn log_groups(&self) -> Vec<&str> {
        let all = self.revisions.iter().flat_map(|r| containers(&r.content));
        let mut names: Vec<&str> = all
            .filter_map(|(_, c)| awslogs(c))
            .map(|(group, _)| group)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The streams of a log group, by name: of every container that has started and whose task is still known.
    pub(crate) fn log_streams(&self, now: Timestamp, group: &str) -> Vec<LogStream> {
        let mut streams = Vec::new();
        for task in self.tasks.values() {
            let Some(started) = task.started_at else { continue };
            let id = task.arn.as_str().rsplit('/').next().unwrap_or_default();
            for (container, definition) in containers(&self.revision_at(task.revision).content) {
                let Some((_, prefix)) = awslogs(definition).filter(|(named, _)| *named == group) else {
                    continue;
                };
                let name = match prefix {
                    Some(prefix) => format!("{prefix}/{container}/{id}"),
                    // Without a prefix the stream has the container's id.
                    None => format!("{id}-{container}"),
                };
                let events = if task.course.container.as_str() == container {
                    lines(task, started, now)
                } else {
                    Vec::new()
                };
                streams.push(LogStream {
                    name,
                    created: started,
                    events,
                });
            }
        }
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        streams
    }
}

/// What a task has written so far; all of it once it has ended.
fn lines(task: &Task, started: Timestamp, now: Timestamp) -> Vec<(Timestamp, String)> {
    let end = task.stopped_at.unwrap_or(Timestamp::MAX);
    let moments = (0_u64..).map(|n| plus(started, n * PAUSE).min(end));
    let written = moments
        .zip(&task.course.log)
        .filter(|(at, _)| task.why.is_some() || *at <= now);
    written.map(|(at, line)| (at.min(now), line.clone())).collect()
}
