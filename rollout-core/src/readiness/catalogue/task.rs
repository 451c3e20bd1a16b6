//! Tasks: what their definitions say, and what they answer.

use super::{each_balanced, each_service};
use crate::readiness::check::{Rule, Ruling, Scene, Verdict};
use crate::readiness::fact::Question;
use crate::readiness::fact::task::Container;
use crate::readiness::known::{Unseen, Why};
use crate::readiness::scene::about;

/// How long ECS waits between SIGTERM and SIGKILL unless told otherwise (Amazon ECS API, "ContainerDefinition", `stopTimeout`).
pub(super) const STOP_SECONDS: u32 = 30;

pub(super) const RULES: &[Rule] = &[
    rule!(
        "ecs_container_health_check_missing", Service, High, BLOCKING, STAGING_TOO,
        title: "The container has a health check",
        why: "Without one ECS keeps a task whose process hangs, and counts it as healthy during a deployment.",
        remedy: "Give the container that takes requests a health check; for a worker, a command that looks at its heartbeat.",
        cli: "aws ecs register-task-definition --cli-input-json <file with containerDefinitions[].healthCheck>",
        terraform: "aws_ecs_task_definition.container_definitions healthCheck",
        cdk: "ContainerDefinitionOptions healthCheck",
        source: "Amazon ECS Developer Guide, \"Determine Amazon ECS task health using container health checks\"",
        over: each_service(health_check),
    ),
    rule!(
        "ecs_service_live_failing", Service, Critical, BLOCKING, STAGING_TOO,
        title: "The path that says that a task lives answers 2xx",
        why: "What does not answer before a release cannot tell whether the release broke it.",
        remedy: "Make the path answer 2xx for as long as the process is fit to go on, whatever its dependencies do.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "Amazon Builders' Library, \"Implementing health checks\"",
        over: each_service(|scene, name| {
            let path = scene.meant(name)?.live.as_deref();
            answers(scene, name, path)
        }),
    ),
    rule!(
        "ecs_service_ready_failing", Service, Critical, BLOCKING, STAGING_TOO,
        title: "The path that says that a task can take requests answers 2xx",
        why: "A service that is not ready now fails its gates whatever is released.",
        remedy: "Make the path answer 2xx once the task can take requests; look at the dependencies that it names.",
        cli: "",
        terraform: "",
        cdk: "",
        source: "Amazon Builders' Library, \"Implementing health checks\"",
        over: each_service(|scene, name| {
            let path = scene.meant(name)?.ready.as_deref();
            answers(scene, name, path)
        }),
    ),
    rule!(
        "ecs_container_user_root", Service, High, BLOCKING, STAGING_TOO,
        title: "Containers do not run as root",
        why: "A way out of the container from root leads to all of its host or micro-VM.",
        remedy: "Set `user` in the container definition to a number other than 0; the image's own user is not seen from here.",
        cli: "aws ecs register-task-definition --cli-input-json <file with containerDefinitions[].user>",
        terraform: "aws_ecs_task_definition.container_definitions user",
        cdk: "ContainerDefinitionOptions user",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task and container security best practices\"",
        over: each_service(|scene, name| containers(scene, name, "a user other than root", root)),
    ),
    rule!(
        "ecs_container_root_writable", Service, Medium, BLOCKING, PRODUCTION,
        title: "Containers cannot write their root file system",
        why: "Who gets into a container that can write its programs can stay there.",
        remedy: "Set `readonlyRootFilesystem`, and mount a volume where the program must write.",
        cli: "aws ecs register-task-definition --cli-input-json <file with containerDefinitions[].readonlyRootFilesystem>",
        terraform: "aws_ecs_task_definition.container_definitions readonlyRootFilesystem",
        cdk: "ContainerDefinitionOptions readonlyRootFilesystem",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task and container security best practices\"",
        over: each_service(|scene, name| {
            containers(scene, name, "a read-only root file system", |container| {
                (!container.read_only_root).then(|| "its root file system can be written".to_owned())
            })
        }),
    ),
    rule!(
        "ecs_container_capabilities_kept", Service, Medium, ADVISORY, PRODUCTION,
        title: "Containers drop all Linux capabilities",
        why: "A web server needs none of the fourteen that a container starts with.",
        remedy: "Drop `ALL`, and add only NET_BIND_SERVICE where the program listens below port 1024.",
        cli: "aws ecs register-task-definition --cli-input-json <file with linuxParameters.capabilities>",
        terraform: "aws_ecs_task_definition.container_definitions linuxParameters.capabilities",
        cdk: "LinuxParameters dropCapabilities",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task and container security best practices\"",
        over: each_service(|scene, name| containers(scene, name, "ALL dropped, none added", capabilities)),
    ),
    rule!(
        "ecs_container_privileged", Service, Critical, BLOCKING, EVERYWHERE,
        title: "No container is privileged",
        why: "A privileged container has the rights of root on its host, and with them every other task there.",
        remedy: "Take `privileged` away, and give the one capability that is needed.",
        cli: "aws ecs register-task-definition --cli-input-json <file without containerDefinitions[].privileged>",
        terraform: "aws_ecs_task_definition.container_definitions privileged",
        cdk: "ContainerDefinitionOptions privileged",
        source: "Amazon ECS Developer Guide, \"Amazon ECS task and container security best practices\"",
        over: each_service(|scene, name| {
            containers(scene, name, "not privileged", |container| {
                container.privileged.then(|| "privileged".to_owned())
            })
        }),
    ),
    rule!(
        "ecs_container_log_driver_missing", Service, High, BLOCKING, STAGING_TOO,
        title: "Containers have a log driver",
        why: "Without one what a task said is gone with it, and nobody learns why it stopped.",
        remedy: "Set the log driver `awslogs` with a group, or `awsfirelens`.",
        cli: "aws ecs register-task-definition --cli-input-json <file with containerDefinitions[].logConfiguration>",
        terraform: "aws_ecs_task_definition.container_definitions logConfiguration",
        cdk: "ContainerDefinitionOptions logging",
        source: "Amazon ECS Developer Guide, \"Send Amazon ECS logs to CloudWatch\"",
        over: each_service(|scene, name| {
            containers(scene, name, "a log driver, and a group where that is awslogs", |container| {
                match container.log_driver.as_deref() {
                    None => Some("no log driver".to_owned()),
                    Some("awslogs") if container.log_group.is_none() => {
                        Some("awslogs without a group".to_owned())
                    }
                    Some(_) => None,
                }
            })
        }),
    ),
    rule!(
        "ecs_task_size_invalid", Service, High, BLOCKING, EVERYWHERE,
        title: "CPU and memory of the task are a size that Fargate has",
        why: "A task definition of another size is refused, or its tasks never start.",
        remedy: "Choose CPU and memory from the table of Fargate's sizes.",
        cli: "aws ecs register-task-definition --cpu <units> --memory <MiB> --cli-input-json <file>",
        terraform: "aws_ecs_task_definition.cpu, aws_ecs_task_definition.memory",
        cdk: "FargateTaskDefinition cpu, memoryLimitMiB",
        source: "Amazon ECS Developer Guide, \"Troubleshoot Amazon ECS task definition invalid CPU or memory errors\"",
        over: each_service(size),
    ),
    rule!(
        "ecs_container_stop_slow", Service, Medium, ADVISORY, STAGING_TOO,
        title: "Containers stop in less time than their targets drain",
        why: "A container that takes longer to stop than its last requests take to end holds every deployment up for nothing.",
        remedy: "Set `stopTimeout` below the deregistration delay of the target group, and end on SIGTERM.",
        cli: "aws ecs register-task-definition --cli-input-json <file with containerDefinitions[].stopTimeout>",
        terraform: "aws_ecs_task_definition.container_definitions stopTimeout",
        cdk: "ContainerDefinitionOptions stopTimeout",
        source: "Amazon ECS Developer Guide, \"Optimize load balancer connection draining parameters for Amazon ECS\"",
        over: each_balanced(stops),
    ),
];

/// A failure that names every container with something wrong.
fn containers(
    scene: &Scene<'_>,
    name: &str,
    wanted: &str,
    wrong: impl Fn(&Container) -> Option<String>,
) -> Ruling {
    let all = &scene.task_definition(name)?.containers;
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|container| wrong(container).map(|what| format!("{}: {what}", container.name)))
        .collect();
    Ok(Verdict::unless(&wrong, wanted))
}

fn health_check(scene: &Scene<'_>, name: &str) -> Ruling {
    let container = scene.main_container(name)?;
    let runs = |command: &[String]| command.first().is_some_and(|first| first != "NONE");
    let has = container
        .health_check
        .as_ref()
        .is_some_and(|check| runs(&check.command));
    let seen = || format!("{}: no health check", container.name);
    Ok(Verdict::when(has, seen, "a health check"))
}

fn answers(scene: &Scene<'_>, name: &str, path: Option<&str>) -> Ruling {
    let Some(path) = path else {
        return Ok(Verdict::not_applicable("it has no such path"));
    };
    let Some(url) = scene.meant(name)?.url(path) else {
        let text = format!("no base URL says where {path} is asked");
        return Err(Unseen::new(Why::NotAsked, name, text));
    };
    let answer = scene.facts.answers.find(&Question::get(&url).key())?;
    Ok(match answer {
        Some(answer) if (200..300).contains(&answer.status) => Verdict::Pass,
        Some(answer) => Verdict::fail(format!("{url} answers {}", answer.status), "2xx"),
        None => Verdict::fail(format!("{url} does not answer"), "2xx"),
    })
}

fn root(container: &Container) -> Option<String> {
    let Some(user) = container.user.as_deref().filter(|user| !user.is_empty()) else {
        return Some("no user is set".to_owned());
    };
    let id = user.split(':').next().unwrap_or_default();
    (id == "root" || id.parse() == Ok(0_u32)).then(|| format!("user {user}"))
}

fn capabilities(container: &Container) -> Option<String> {
    let added: Vec<&str> = container
        .added
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "NET_BIND_SERVICE")
        .collect();
    if !container.dropped.iter().any(|name| name == "ALL") {
        Some("not all are dropped".to_owned())
    } else if !added.is_empty() {
        Some(format!("added {}", added.join(", ")))
    } else {
        None
    }
}

fn size(scene: &Scene<'_>, name: &str) -> Ruling {
    if scene.service(name)?.platform_version.is_none() {
        return Ok(Verdict::not_applicable("not on Fargate, whose sizes are fixed"));
    }
    let definition = scene.task_definition(name)?;
    let wanted = "a size of Fargate's table";
    Ok(match (definition.cpu, definition.memory_mib) {
        (Some(cpu), Some(memory)) => Verdict::when(
            is_fargate_size(cpu, memory),
            || format!("{cpu} CPU units with {memory} MiB"),
            wanted,
        ),
        (None, _) => Verdict::fail("no CPU for the task", wanted),
        (_, None) => Verdict::fail("no memory for the task", wanted),
    })
}

/// Whether Fargate has tasks with so many CPU units and so much memory.
fn is_fargate_size(cpu: u32, memory_mib: u32) -> bool {
    if memory_mib == 512 {
        return cpu == 256;
    }
    // The least, the most and the step, in GiB.
    let (least, most, step) = match cpu {
        256 => (1, 2, 1),
        512 => (1, 4, 1),
        1_024 => (2, 8, 1),
        2_048 => (4, 16, 1),
        4_096 => (8, 30, 1),
        8_192 => (16, 60, 4),
        16_384 => (32, 120, 8),
        _ => return false,
    };
    let gib = memory_mib / 1_024;
    memory_mib.is_multiple_of(1_024) && (least..=most).contains(&gib) && gib.is_multiple_of(step)
}

fn stops(scene: &Scene<'_>, name: &str) -> Ruling {
    let mut shortest = None;
    for (arn, group) in scene.target_groups(name)? {
        let drains = *group
            .deregistration_seconds
            .get()
            .map_err(|unseen| about(unseen, arn))?;
        shortest = Some(shortest.map_or(drains, |least: u32| least.min(drains)));
    }
    let Some(drains) = shortest else {
        return Ok(Verdict::not_applicable("it is behind no target group"));
    };
    containers(
        scene,
        name,
        &format!("less than the {drains} s of draining"),
        |container| {
            let takes = container.stop_seconds.unwrap_or(STOP_SECONDS);
            (takes >= drains).then(|| format!("may take {takes} s to stop"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fargate_has_the_sizes_of_its_table() {
        for (cpu, memory) in [
            (256, 512),
            (256, 2_048),
            (512, 1_024),
            (512, 4_096),
            (1_024, 8_192),
            (2_048, 5_120),
            (4_096, 30_720),
            (8_192, 20_480),
            (16_384, 122_880),
        ] {
            assert!(is_fargate_size(cpu, memory), "{cpu} {memory}");
        }
        for (cpu, memory) in [
            (256, 3_072),
            (256, 1_000),
            (512, 512),
            (1_024, 1_024),
            (1_024, 9_216),
            (8_192, 18_432),
            (16_384, 36_864),
            (16_384, 131_072),
            (300, 1_024),
            (0, 0),
        ] {
            assert!(!is_fargate_size(cpu, memory), "{cpu} {memory}");
        }
    }
}
