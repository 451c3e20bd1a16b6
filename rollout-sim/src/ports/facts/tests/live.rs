//! One thing at a time that goes wrong in the world itself: the check that finds it, what it is, and how it comes about. Where a
//! revision or an image is both what runs and the way back, one deed is two faults.

use crate::ecs::Environment;
use crate::elb::Action;
use crate::{AlarmState, World};

pub(super) type Fault = (&'static [&'static str], &'static str, fn(&mut World));

pub(super) fn env(world: &mut World) -> &mut Environment {
    world.env_mut("production").expect("it is there")
}

/// The place of a service's target group.
fn group(env: &Environment, service: &str) -> usize {
    let index = env.service_index(service).expect("it is there");
    usize::from(env.services[usize::from(index)].group.expect("it has one"))
}

pub(super) fn faults() -> Vec<Fault> {
    vec![
        (&["ecs_service_tasks_too_few"], "one task", |world| {
            let env = env(world);
            let index = usize::from(env.service_index("worker").expect("it is there"));
            env.services[index].desired = 1;
        }),
        (&["ecs_service_alarm_ringing"], "an alarm", |world| {
            let ringing = world.set_alarm("production", "storefront-backend-5xx", AlarmState::Alarm);
            ringing.expect("it is there");
        }),
        (&["elbv2_health_path_mismatch"], "another check path", |world| {
            let env = env(world);
            let group = group(env, "frontend");
            env.groups[group].probe.path = "/ping".to_owned();
        }),
        (&["elbv2_deregistration_slow"], "five minutes to drain", |world| {
            let env = env(world);
            let group = group(env, "frontend");
            env.groups[group].deregistration_delay = 300_000;
        }),
        (&["elbv2_path_astray"], "a rule that leads elsewhere", |world| {
            let env = env(world);
            let to = u16::try_from(group(env, "frontend")).expect("there are few");
            let balancer = env
                .balancers
                .iter_mut()
                .find(|b| b.name == "storefront")
                .expect("it is there");
            balancer.listeners[0].rules[0].action = Action::to(to);
        }),
        (
            &["ecs_task_definition_inactive", "rollback_revision_inactive"],
            "a deregistered revision",
            |world| {
                for revision in &mut env(world).revisions {
                    if revision.family == "storefront-worker" {
                        revision.active = false;
                    }
                }
            },
        ),
        (
            &["ecr_image_missing", "rollback_image_missing"],
            "a deleted image",
            |world| {
                let image = world
                    .image("production", "storefront/worker", "2.3.0")
                    .expect("it is there");
                world
                    .expire_image("production", "storefront/worker", &image)
                    .expect("it is there");
            },
        ),
        (
            &["ecs_service_deployment_unfinished", "rollback_point_missing"],
            "a deployment that did not complete",
            |world| {
                let env = env(world);
                let index = usize::from(env.service_index("worker").expect("it is there"));
                env.services[index].deployments[0].rollout = rollout_core::service::RolloutState::Failed;
            },
        ),
    ]
}
