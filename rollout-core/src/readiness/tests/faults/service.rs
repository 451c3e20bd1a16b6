//! Tasks and services.

use core::time::Duration;

use super::{Fault, fault};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::task::{Container, Service, TaskDefinition, Threshold};
use crate::readiness::intent::{Intent, ServiceIntent};
use crate::readiness::known::Known;

pub(super) fn service<'a>(facts: &'a mut Snapshot, name: &str) -> &'a mut Service {
    facts.services.seen_mut(name).expect("the shop has it")
}

pub(super) fn meant<'a>(intent: &'a mut Intent, name: &str) -> &'a mut ServiceIntent {
    let mut all = intent.services.iter_mut();
    all.find(|service| service.name.as_str() == name)
        .expect("the shop has it")
}

/// The task definition that the backend's release brings.
pub(super) fn definition(intent: &mut Intent) -> &mut TaskDefinition {
    let release = intent.release.as_mut().expect("there is a release");
    let mut all = release.task_definitions.iter_mut();
    let (_, definition) = all
        .find(|(name, _)| name.as_str() == "backend")
        .expect("it has the backend");
    definition
}

/// Its container.
pub(super) fn container(intent: &mut Intent) -> &mut Container {
    &mut definition(intent).containers[0]
}

fn answer(facts: &mut Snapshot, path: &str, status: u16) {
    let key = format!("GET http://frontend.production.internal{path}");
    facts.answers.seen_mut(&key).expect("it was asked").status = status;
}

pub(super) fn faults() -> Vec<Fault> {
    [tasks(), services(), deployments()]
        .into_iter()
        .flatten()
        .collect()
}

fn tasks() -> Vec<Fault> {
    vec![
        fault(
            "ecs_container_health_check_missing",
            "no health check",
            |_, intent| {
                container(intent).health_check = None;
            },
        ),
        fault(
            "ecs_container_health_check_missing",
            "the image's is turned off",
            |_, intent| {
                let check = container(intent).health_check.as_mut().expect("it has one");
                check.command = vec!["NONE".to_owned()];
            },
        ),
        fault("ecs_service_live_failing", "it answers 503", |facts, _| {
            answer(facts, "/health/live", 503);
        }),
        fault("ecs_service_ready_failing", "it redirects", |facts, _| {
            answer(facts, "/health/ready", 302);
        }),
        fault("ecs_service_ready_failing", "nothing answers", |facts, _| {
            let key = "GET http://backend.production.internal/health/ready";
            facts.answers.put(key, Known::Missing);
        }),
        fault("ecs_container_user_root", "no user", |_, intent| {
            container(intent).user = None;
        }),
        fault("ecs_container_user_root", "root with a group", |_, intent| {
            container(intent).user = Some("0:10001".to_owned());
        }),
        fault("ecs_container_root_writable", "it can be written", |_, intent| {
            container(intent).read_only_root = false;
        }),
        fault(
            "ecs_container_capabilities_kept",
            "only one is dropped",
            |_, intent| {
                container(intent).dropped = vec!["NET_RAW".to_owned()];
            },
        ),
        fault("ecs_container_capabilities_kept", "one is added", |_, intent| {
            container(intent).added.push("SYS_PTRACE".to_owned());
        }),
        fault("ecs_container_privileged", "privileged", |_, intent| {
            container(intent).privileged = true;
        }),
        fault("ecs_container_log_driver_missing", "no driver", |_, intent| {
            let container = container(intent);
            (container.log_driver, container.log_group) = (None, None);
        }),
        fault("ecs_container_log_driver_missing", "no group", |_, intent| {
            container(intent).log_group = None;
        }),
        fault(
            "ecs_task_size_invalid",
            "memory between two sizes",
            |_, intent| {
                definition(intent).memory_mib = Some(1_536);
            },
        ),
        fault("ecs_task_size_invalid", "no CPU", |_, intent| {
            definition(intent).cpu = None;
        }),
        fault("ecs_container_stop_slow", "two minutes", |_, intent| {
            container(intent).stop_seconds = Some(120);
        }),
        fault(
            "ecs_container_stop_slow",
            "what ECS waits by itself",
            |_, intent| {
                container(intent).stop_seconds = None;
            },
        ),
    ]
}

fn services() -> Vec<Fault> {
    vec![
        fault("ecs_service_missing", "no such service", |facts, _| {
            facts.services.put("worker", Known::Missing);
        }),
        fault("ecs_service_missing", "it is being deleted", |facts, _| {
            service(facts, "backend").status = "DRAINING".to_owned();
        }),
        fault("ecs_service_controller_foreign", "CodeDeploy", |facts, _| {
            service(facts, "backend").controller = "CODE_DEPLOY".to_owned();
        }),
        fault("ecs_service_deployment_unfinished", "it goes on", |facts, _| {
            service(facts, "backend").rollout_state = Some("IN_PROGRESS".to_owned());
        }),
        fault("ecs_service_deployment_unfinished", "it failed", |facts, _| {
            service(facts, "frontend").rollout_state = Some("FAILED".to_owned());
        }),
        fault("ecs_task_definition_inactive", "deregistered", |facts, _| {
            let arn = service(facts, "backend").task_definition.clone();
            facts
                .task_definitions
                .seen_mut(&arn)
                .expect("the shop has it")
                .active = false;
        }),
        fault("ecs_service_tasks_too_few", "one task", |facts, _| {
            let service = service(facts, "frontend");
            (service.desired, service.running) = (1, 1);
        }),
        fault("ecs_service_platform_outdated", "an old version", |facts, _| {
            service(facts, "backend").platform_version = Some("1.3.0".to_owned());
        }),
        fault("ecs_service_grace_unfit", "none", |facts, _| {
            service(facts, "backend").grace_seconds = None;
        }),
        fault(
            "ecs_service_grace_unfit",
            "less than a start takes",
            |facts, _| {
                service(facts, "backend").grace_seconds = Some(15);
            },
        ),
        fault("ecs_service_grace_unfit", "hours", |facts, _| {
            service(facts, "backend").grace_seconds = Some(7_200);
        }),
    ]
}

fn deployments() -> Vec<Fault> {
    vec![
        fault(
            "ecs_service_percent_stuck",
            "neither one more nor one less",
            |facts, _| {
                service(facts, "backend").maximum_percent = 100;
            },
        ),
        fault("ecs_service_percent_stuck", "half a task more", |facts, _| {
            service(facts, "frontend").maximum_percent = 125;
        }),
        fault("ecs_service_breaker_off", "off", |facts, _| {
            service(facts, "backend").breaker.enabled = false;
        }),
        fault(
            "ecs_service_breaker_without_rollback",
            "no rollback",
            |facts, _| {
                service(facts, "backend").breaker.rollback = false;
            },
        ),
        fault(
            "ecs_service_breaker_unreachable",
            "a hundred failures of two tasks",
            |facts, _| {
                service(facts, "frontend").breaker.threshold = Some(Threshold {
                    kind: "COUNT".to_owned(),
                    value: 100,
                });
            },
        ),
        fault(
            "ecs_service_breaker_unreachable",
            "fifty failures of each task",
            |facts, _| {
                service(facts, "worker").breaker.threshold = Some(Threshold {
                    kind: "UNBOUNDED_PERCENT".to_owned(),
                    value: 5_000,
                });
            },
        ),
        fault("ecs_service_alarms_off", "none is named", |facts, _| {
            service(facts, "backend").alarms.names.clear();
        }),
        fault("ecs_service_alarms_off", "they are not watched", |facts, _| {
            service(facts, "backend").alarms.enabled = false;
        }),
        fault("ecs_service_alarms_off", "no rollback", |facts, _| {
            service(facts, "backend").alarms.rollback = false;
        }),
        fault("ecs_service_alarm_missing", "one is gone", |facts, _| {
            service(facts, "backend")
                .alarms
                .names
                .push("storefront-backend-gone".to_owned());
        }),
        fault("ecs_service_alarm_ringing", "one rings", |facts, _| {
            if let Known::Seen(alarms) = &mut facts.alarms
                && let Some(alarm) = alarms.get_mut("storefront-backend-running-low")
            {
                alarm.state = "ALARM".to_owned();
            }
        }),
        fault(
            "ecs_service_deadline_short",
            "an hour of bake time",
            |facts, _| {
                service(facts, "backend").bake_minutes = Some(60);
            },
        ),
        fault(
            "ecs_service_deadline_short",
            "the gate waits for a minute",
            |_, intent| {
                meant(intent, "worker").patience = Duration::from_secs(60);
            },
        ),
    ]
}
