//! A migration that runs for half a minute.

use rollout_core::machine::task::{Effect, Event, OneOff, Policy};
use rollout_core::service::{ContainerExit, RevisionSpec, StoppedTask, TaskObservation, TaskSpec};

use crate::{BEGIN, Script, id, secs};

/// Started, looked at, exited with 0.
#[must_use]
pub fn task() -> Script<OneOff> {
    let spec = TaskSpec {
        name: id("migrate"),
        revision: RevisionSpec {
            template: serde_json::json!({ "family": "migrate" }),
            images: Default::default(),
        },
        run: serde_json::json!({ "launchType": "FARGATE" }),
    };
    let policy = Policy {
        poll_every: secs(5),
        give_up: secs(600),
        max_errors: 3,
        answer: secs(20),
    };
    let done = BEGIN.after(secs(30));
    Script::record(
        OneOff::new(spec, policy),
        Event::Start,
        |_, now, effect| match effect {
            Some(Effect::StartTask { .. }) => Event::Started(id("task/1")),
            Some(Effect::FindTask { .. }) => Event::Found(Some(id("task/1"))),
            Some(Effect::StopTask { .. }) => Event::StopSent,
            Some(Effect::ObserveTask { .. }) if now < done => Event::Observed(TaskObservation::Running {
                at: now,
                status: "RUNNING".to_owned(),
            }),
            Some(Effect::ObserveTask { task }) => Event::Observed(TaskObservation::Stopped(StoppedTask {
                task: task.clone(),
                task_definition: id("migrate:1"),
                started_by: None,
                stopped_at: now,
                cause: None,
                code: Some("EssentialContainerExited".to_owned()),
                reason: "Essential container in task exited".to_owned(),
                containers: vec![ContainerExit {
                    name: id("migrate"),
                    essential: true,
                    exit_code: Some(0),
                    reason: None,
                }],
                log_tail: Vec::new(),
            })),
            None => Event::Elapsed,
        },
    )
}
