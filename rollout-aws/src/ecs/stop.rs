//! Why a task stopped: from ECS's stop code and texts to a [`Cause`].
//!
//! The words are those of the Amazon ECS developer guide, "Amazon ECS stopped tasks error messages" and "View Amazon ECS
//! stopped task errors"; the codes are the API's `TaskStopCode`. The texts are for people and may change, so they only
//! refine what the code says: no text makes a failure out of a code that is none.

use rollout_core::evidence::Cause;
use rollout_core::service::ContainerExit;

/// Whose task stopped: a service's is expected to run for ever, a one-off task is expected to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    OneOff,
}

/// Why a task stopped; `None` when that is no failure of what it runs.
pub(crate) fn cause(
    kind: Kind,
    code: Option<&str>,
    reason: &str,
    containers: &[ContainerExit],
) -> Option<Cause> {
    let texts = || {
        core::iter::once(reason).chain(
            containers
                .iter()
                .filter_map(|container| container.reason.as_deref()),
        )
    };
    let says = |words: &[&str]| texts().any(|text| words.iter().any(|word| text.contains(word)));

    // Words that name a failure whatever the code is; the agent and Fargate begin the text with them.
    if says(&["OutOfMemory"]) {
        return Some(Cause::OutOfMemory);
    }
    if says(&["CannotPull"]) {
        return Some(Cause::ImagePull);
    }
    if says(&[
        "ResourceInitializationError",
        "CannotCreateVolumeError",
        "Unexpected EC2 error while attempting to",
        "Timeout waiting for network interface",
        "etching secret data from",
        "unable to assume the role",
    ]) {
        return Some(Cause::ResourceInitialization);
    }
    match code {
        Some("EssentialContainerExited") => exited(kind, containers),
        Some("TaskFailedToStart") => Some(
            if says(&["RESOURCE:", "apacity is unavailable", "insufficient capacity"]) {
                Cause::Placement
            } else {
                Cause::TaskStopped
            },
        ),
        Some("ServiceSchedulerInitiated") => says(&["health checks"]).then_some(Cause::HealthCheckFailed),
        // Someone else's doing, or the platform's: no fault of a release, but the end of a one-off task.
        Some("UserInitiated" | "SpotInterruption" | "TerminationNotice" | "InfrastructureHealth") => {
            match kind {
                Kind::Service => None,
                Kind::OneOff => Some(Cause::TaskStopped),
            }
        }
        // A code of the future, or none (emulators): go by the texts, then by the exit codes.
        Some(_) | None => {
            if says(&["health checks"]) {
                Some(Cause::HealthCheckFailed)
            } else if says(&["Scaling activity initiated by", "Task stopped by user"]) {
                (kind == Kind::OneOff).then_some(Cause::TaskStopped)
            } else if says(&["ssential container"])
                || containers.iter().any(|c| c.essential && c.exit_code.is_some())
            {
                exited(kind, containers)
            } else {
                Some(Cause::TaskStopped)
            }
        }
    }
}

/// An essential container of a service that ends is a failure even with exit code 0; a one-off task that ends with 0 in
/// every essential container has done its work.
fn exited(kind: Kind, containers: &[ContainerExit]) -> Option<Cause> {
    let mut essential = containers
        .iter()
        .filter(|container| container.essential)
        .peekable();
    let done = essential.peek().is_some() && essential.all(|container| container.exit_code == Some(0));
    match kind {
        Kind::OneOff if done => None,
        Kind::OneOff | Kind::Service => Some(Cause::ContainerExited),
    }
}

#[cfg(test)]
mod tests {
    use rollout_core::id::ContainerName;

    use super::*;

    fn container(essential: bool, exit_code: Option<i32>, reason: Option<&str>) -> ContainerExit {
        ContainerExit {
            name: ContainerName::new("app").expect("a valid name"),
            essential,
            exit_code,
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn every_documented_text_has_its_cause() {
        // Code, reason of the task, reason of its container, what follows.
        type Row<'a> = (Option<&'a str>, &'a str, Option<&'a str>, Option<Cause>);
        const EXITED: Option<&str> = Some("EssentialContainerExited");
        const START: Option<&str> = Some("TaskFailedToStart");
        const SCHEDULER: Option<&str> = Some("ServiceSchedulerInitiated");
        let rows: &[Row<'_>] = &[
            (
                START,
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref",
                None,
                Some(Cause::ImagePull),
            ),
            (
                START,
                "Task failed to start",
                Some("CannotPullECRContainerError: AccessDeniedException"),
                Some(Cause::ImagePull),
            ),
            (
                START,
                "CannotPullImageManifestError: Error response from daemon: manifest unknown",
                None,
                Some(Cause::ImagePull),
            ),
            (
                START,
                "ResourceInitializationError: unable to pull secrets or registry auth",
                None,
                Some(Cause::ResourceInitialization),
            ),
            (
                START,
                "ResourceInitializationError: failed to initialize logging driver",
                None,
                Some(Cause::ResourceInitialization),
            ),
            (
                START,
                "CannotCreateVolumeError: permission denied",
                None,
                Some(Cause::ResourceInitialization),
            ),
            (
                START,
                "Timeout waiting for network interface provisioning to complete.",
                None,
                Some(Cause::ResourceInitialization),
            ),
            (
                START,
                "Capacity is unavailable at this time. Please try again later or in a different availability zone",
                None,
                Some(Cause::Placement),
            ),
            (START, "RESOURCE:MEMORY", None, Some(Cause::Placement)),
            (
                START,
                "CannotStartContainerError: failed to get container status",
                None,
                Some(Cause::TaskStopped),
            ),
            (
                START,
                "ContainerRuntimeTimeoutError: Could not transition to running",
                None,
                Some(Cause::TaskStopped),
            ),
            (
                EXITED,
                "Essential container in task exited",
                Some("OutOfMemoryError: Container killed due to memory usage"),
                Some(Cause::OutOfMemory),
            ),
            (
                EXITED,
                "Essential container in task exited",
                None,
                Some(Cause::ContainerExited),
            ),
            (
                SCHEDULER,
                "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/t/0)",
                None,
                Some(Cause::HealthCheckFailed),
            ),
            (
                SCHEDULER,
                "Task failed container health checks",
                None,
                Some(Cause::HealthCheckFailed),
            ),
            (
                SCHEDULER,
                "Scaling activity initiated by (deployment ecs-svc/0123456789012345678)",
                None,
                None,
            ),
            (
                SCHEDULER,
                "Scaling activity initiated by deployment ecs-svc/0123456789012345678",
                None,
                None,
            ),
            (Some("UserInitiated"), "Task stopped by user", None, None),
            (
                Some("SpotInterruption"),
                "Your Spot Task was interrupted.",
                None,
                None,
            ),
            (
                Some("TerminationNotice"),
                "Your task was stopped for a platform update.",
                None,
                None,
            ),
            (
                Some("InfrastructureHealth"),
                "Task stopped due to unhealthy infrastructure.",
                None,
                None,
            ),
            (
                Some("NewIn2030"),
                "Task failed container health checks",
                None,
                Some(Cause::HealthCheckFailed),
            ),
            (Some("NewIn2030"), "something new", None, Some(Cause::TaskStopped)),
            (
                None,
                "Scaling activity initiated by (deployment ecs-svc/1)",
                None,
                None,
            ),
            (
                None,
                "Essential container exited",
                None,
                Some(Cause::ContainerExited),
            ),
            (None, "", None, Some(Cause::TaskStopped)),
        ];
        for (code, reason, container_reason, expected) in rows {
            let containers = [container(true, None, *container_reason)];
            assert_eq!(
                cause(Kind::Service, *code, reason, &containers),
                *expected,
                "{code:?} {reason}"
            );
        }
    }

    #[test]
    fn a_one_off_task_that_exits_with_zero_has_not_failed() {
        let code = Some("EssentialContainerExited");
        let text = "Essential container in task exited";
        let one_off = |containers: &[ContainerExit]| cause(Kind::OneOff, code, text, containers);
        assert_eq!(one_off(&[container(true, Some(0), None)]), None);
        assert_eq!(
            one_off(&[container(true, Some(0), None), container(false, Some(1), None)]),
            None
        );
        assert_eq!(
            one_off(&[container(true, Some(1), None)]),
            Some(Cause::ContainerExited)
        );
        // Nobody has told an exit code: it is not known to have succeeded.
        assert_eq!(
            one_off(&[container(true, None, None)]),
            Some(Cause::ContainerExited)
        );
        assert_eq!(one_off(&[]), Some(Cause::ContainerExited));
        assert_eq!(
            cause(Kind::OneOff, Some("UserInitiated"), "Task stopped by user", &[]),
            Some(Cause::TaskStopped)
        );
        // A service's container that exits with 0 is gone all the same.
        assert_eq!(
            cause(Kind::Service, code, text, &[container(true, Some(0), None)]),
            Some(Cause::ContainerExited)
        );
    }
}
