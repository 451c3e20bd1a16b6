//! Tasks.

use serde::Deserialize;

use super::{Paged, invalid, views};
use crate::ecs::operate::task::{RunTask, TaskFilter};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("DescribeTasks", describe_tasks),
    Operation::read("ListTasks", list_tasks),
    Operation::write("RunTask", run_task),
    Operation::write("StopTask", stop_task),
];

/// Tasks that one call describes (Amazon ECS API, "DescribeTasks").
const DESCRIBED: usize = 100;

fn run_task(call: &mut Call<'_>) -> Answer {
    let input: RunTask = call.input()?;
    call.share_definitions();
    let index = call.of_cluster(input.cluster.as_deref())?;
    let (k, env) = call.at(index);
    let before = env.tasks.len();
    let (tasks, failures) = env.run_task_call(k, &input)?;
    if env.tasks.len() > before {
        call.changed();
    }
    let tasks = views(&tasks, &["TAGS".to_owned()], &[("tags", "TAGS")]);
    Ok(map! { "tasks": tasks, "failures": views(&failures, &[], &[]) })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DescribeTasks {
    cluster: Option<String>,
    tasks: Vec<String>,
    include: Vec<String>,
}

fn describe_tasks(call: &mut Call<'_>) -> Answer {
    let input: DescribeTasks = call.input()?;
    let cluster = input.cluster.as_deref();
    let index = call.of_cluster(cluster)?;
    if input.tasks.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if input.tasks.len() > DESCRIBED {
        return Err(invalid("Tasks cannot have more than 100 elements."));
    }
    let env = call.environment(index);
    let (found, failures) = env.describe_tasks(call.now(), cluster, &input.tasks)?;
    let tasks = views(&found, &input.include, &[("tags", "TAGS")]);
    Ok(map! { "tasks": tasks, "failures": views(&failures, &[], &[]) })
}

fn list_tasks(call: &mut Call<'_>) -> Answer {
    let (filter, paged): (TaskFilter, Paged) = (call.input()?, call.input()?);
    let index = call.of_cluster(filter.cluster.as_deref())?;
    let all = call.environment(index).list_tasks(call.now(), &filter)?;
    paged.page("taskArns", &all, 100)
}

#[derive(Deserialize)]
struct StopTask {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

fn stop_task(call: &mut Call<'_>) -> Answer {
    let input: StopTask = call.input()?;
    let cluster = input.cluster.as_deref();
    let index = call.of_cluster(cluster)?;
    let (k, env) = call.at(index);
    let stopped = env.stop_task_call(k, cluster, &input.task, input.reason.as_deref())?;
    call.changed();
    let mut told = views(&[stopped], &[], &[("tags", "TAGS")]);
    let task = match &mut told {
        Document::List(list) => list.items.pop(),
        _ => None,
    };
    Ok(map! { "task": task })
}
