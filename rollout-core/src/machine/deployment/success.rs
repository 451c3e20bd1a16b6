//! What a success is: the clauses of invariant I-12, each with its words when it does not hold.

use super::judge::{Known, SOURCE};
use super::wording::described;
use crate::evidence::Evidence;
use crate::service::{
    DeploymentObservation, RecordStatus, RolloutState, RunningTask, ServiceObservation, ServiceStatus,
};

/// The first clause of invariant I-12 that does not hold; `None` when all do.
pub(super) fn unmet(
    known: &Known<'_>,
    seen: &ServiceObservation,
    ours: &DeploymentObservation,
) -> Option<String> {
    if let ServiceStatus::Other(word) = &seen.status {
        return Some(format!("the service is {word}"));
    }
    unfinished(ours)
        .or_else(|| uneven(known, seen, ours))
        .or_else(|| foreign_tasks(known, seen))
}

/// Why the platform has not finished. Without a record only `COMPLETED` counts; with one, the record must say so too.
/// A platform that tells neither (ECS tells no rollout state behind a Classic Load Balancer) is never taken for done.
fn unfinished(ours: &DeploymentObservation) -> Option<String> {
    match (&ours.rollout, ours.record.as_ref().map(|record| &record.status)) {
        (RolloutState::Completed, None)
        | (RolloutState::Completed | RolloutState::Other(_), Some(RecordStatus::Successful)) => None,
        (RolloutState::InProgress, _) => Some("the deployment is in progress".to_owned()),
        (RolloutState::Failed, _) => Some("the deployment has failed".to_owned()),
        (RolloutState::Other(word), None) => Some(format!(
            "the platform keeps no record of the deployment and calls its rollout `{word}`"
        )),
        (RolloutState::Completed | RolloutState::Other(_), Some(status)) => {
            Some(format!("the record of the deployment is {}", status.word()))
        }
    }
}

pub(super) fn uneven(
    known: &Known<'_>,
    seen: &ServiceObservation,
    ours: &DeploymentObservation,
) -> Option<String> {
    if seen.desired < known.least {
        return Some("the service wants no tasks".to_owned());
    }
    if ours.desired != seen.desired {
        return Some(format!(
            "the deployment wants {} tasks, the service {}",
            ours.desired, seen.desired
        ));
    }
    if ours.running != ours.desired || seen.running != seen.desired {
        return Some(format!(
            "{} tasks of the deployment and {} of the service run, {} are wanted",
            ours.running, seen.running, seen.desired
        ));
    }
    if ours.pending > 0 || seen.pending > 0 {
        return Some(format!(
            "{} tasks are on their way",
            ours.pending.max(seen.pending)
        ));
    }
    seen.deployments
        .iter()
        .find(|other| other.id != ours.id && other.running > 0)
        .map(|other| format!("{} tasks of {} still run", other.running, other.id))
}

/// Counts may be right and the tasks wrong: each running task is asked for its revision and digests.
fn foreign_tasks(known: &Known<'_>, seen: &ServiceObservation) -> Option<String> {
    let wrong = |task: &RunningTask| {
        if task.task_definition != known.bound.task_definition {
            return Some(format!("task {} runs {}", task.task, task.task_definition));
        }
        known
            .images
            .iter()
            .find_map(|(container, digest)| match task.images.get(container) {
                Some(shown) if shown == digest => None,
                Some(shown) => Some(format!(
                    "container {container} of task {} runs {}",
                    task.task,
                    shown.short()
                )),
                None => Some(format!(
                    "container {container} of task {} shows no digest",
                    task.task
                )),
            })
    };
    if let Some(text) = seen.tasks.iter().find_map(wrong) {
        return Some(text);
    }
    let listed = u32::try_from(seen.tasks.len()).unwrap_or(u32::MAX);
    (listed != seen.desired).then(|| format!("{listed} of {} running tasks are listed", seen.desired))
}

/// What a success rests on: the deployment, and one line per container for all tasks (they agree, or it were none).
pub(super) fn proof(
    known: &Known<'_>,
    seen: &ServiceObservation,
    ours: &DeploymentObservation,
) -> Vec<Evidence> {
    let service = known.service.as_str();
    let images = known.images.iter().map(|(container, digest)| {
        let detail = format!(
            "{} of {} running tasks show {digest} for container {container}",
            seen.tasks.len(),
            seen.desired
        );
        Evidence::new(seen.at, SOURCE, service, detail)
    });
    core::iter::once(described(seen, ours)).chain(images).collect()
}
