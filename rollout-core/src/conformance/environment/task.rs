//! One-off tasks.

use super::super::{Stop, Trouble, answer, ctx, dated, hold, lost, same, until};
use super::{EnvironmentFixture, Job};
use crate::id::TaskArn;
use crate::service::{StoppedTask, TaskObservation, TaskSpec};

async fn start<F: EnvironmentFixture>(fixture: &F, spec: &TaskSpec, attempt: u32) -> Result<TaskArn, Stop> {
    let made = fixture
        .environment()
        .start_task(&ctx(fixture, "task", attempt), spec)
        .await;
    answer("a task", made)
}

pub(super) async fn a_task_starts_once_for_each_token<F: EnvironmentFixture>(
    fixture: &F,
) -> Result<(), Stop> {
    let spec = fixture.task(Job::Succeeds).await?;
    let first = start(fixture, &spec, 1).await?;
    same(
        "the task of the same token",
        &first,
        &start(fixture, &spec, 1).await?,
    )?;
    same("tasks started", &1, &fixture.started(&spec).await?)
}

pub(super) async fn another_attempt_is_another_task<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let spec = fixture.task(Job::Succeeds).await?;
    let (first, second) = (start(fixture, &spec, 1).await?, start(fixture, &spec, 2).await?);
    hold(first != second, "two tasks for two tokens", &(&first, &second))?;
    same("tasks started", &2, &fixture.started(&spec).await?)
}

pub(super) async fn a_task_is_found_by_its_token<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let spec = fixture.task(Job::Lasts).await?;
    let port = fixture.environment();
    let find = async |attempt| {
        answer(
            "a look for the task",
            port.find_task(&ctx(fixture, "task", attempt), &spec).await,
        )
    };
    same("the task, before it was started", &None, &find(1).await?)?;
    let started = start(fixture, &spec, 1).await?;
    same("the task", &Some(started), &find(1).await?)?;
    same("the task of another token", &None, &find(2).await?)
}

pub(super) async fn a_lost_answer_to_a_start_is_found_again<F: EnvironmentFixture>(
    fixture: &F,
) -> Result<(), Stop> {
    let spec = fixture.task(Job::Lasts).await?;
    let port = fixture.environment();
    // So that it is the start whose answer is lost, and not that of its revision.
    let made = port
        .ensure_revision(&ctx(fixture, "task/revision", 1), &spec.revision)
        .await;
    answer("the task's revision", made)?;
    fixture.trouble(Trouble::LostAnswers).await?;
    let made = port.start_task(&ctx(fixture, "task", 1), &spec).await;
    fixture.calm().await?;
    lost("the start", made)?;
    let found = answer("the task", port.find_task(&ctx(fixture, "task", 1), &spec).await)?;
    let again = start(fixture, &spec, 1).await?;
    same("the task that the lost call started", &found, &Some(again))?;
    same("tasks started", &1, &fixture.started(&spec).await?)
}

/// Starts a task and waits for its end.
async fn ended<F: EnvironmentFixture>(fixture: &F, job: Job) -> Result<StoppedTask, Stop> {
    let spec = fixture.task(job).await?;
    let task = start(fixture, &spec, 1).await?;
    stopped(fixture, &task).await
}

async fn stopped<F: EnvironmentFixture>(fixture: &F, task: &TaskArn) -> Result<StoppedTask, Stop> {
    let port = fixture.environment();
    until(fixture, "a task that has ended", async || {
        match answer(
            "an observation",
            port.observe_task(&ctx(fixture, "task", 1), task).await,
        )? {
            TaskObservation::Stopped(stopped) => {
                dated(fixture, "the task's end", stopped.stopped_at)?;
                Ok(Ok(stopped))
            }
            other @ (TaskObservation::Running { .. } | TaskObservation::Missing { .. }) => {
                Ok(Err(format!("{other:?}")))
            }
        }
    })
    .await
}

pub(super) async fn a_task_that_succeeds_has_no_cause<F: EnvironmentFixture>(
    fixture: &F,
) -> Result<(), Stop> {
    let stopped = ended(fixture, Job::Succeeds).await?;
    same("the cause", &None, &stopped.cause)?;
    let codes: Vec<Option<i32>> = stopped.containers.iter().map(|c| c.exit_code).collect();
    hold(codes.contains(&Some(0)), "a container that exited with 0", &codes)
}

pub(super) async fn a_task_that_fails_says_how<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let stopped = ended(fixture, Job::Fails).await?;
    let failed = |code: Option<i32>| code.is_some_and(|code| code != 0);
    hold(
        stopped.cause.is_some()
            && stopped
                .containers
                .iter()
                .any(|c| c.essential && failed(c.exit_code)),
        "a cause, and an essential container with an exit code other than 0",
        &stopped,
    )
}

pub(super) async fn a_missing_task_is_an_observation<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let absent = fixture.absent_task();
    let seen = fixture
        .environment()
        .observe_task(&ctx(fixture, "task", 1), &absent)
        .await;
    let seen = answer("an observation of a task that never was", seen)?;
    hold(matches!(seen, TaskObservation::Missing { .. }), "Missing", &seen)
}

pub(super) async fn a_task_can_be_stopped_twice<F: EnvironmentFixture>(fixture: &F) -> Result<(), Stop> {
    let spec = fixture.task(Job::Lasts).await?;
    let task = start(fixture, &spec, 1).await?;
    let port = fixture.environment();
    answer(
        "a stop",
        port.stop_task(&ctx(fixture, "task/stop", 1), &task).await,
    )?;
    stopped(fixture, &task).await?;
    answer(
        "a stop of a task that has ended",
        port.stop_task(&ctx(fixture, "task/stop", 2), &task).await,
    )
}
