//! The operations, on a small world.

mod rollout;
mod services;
mod task;

use core::time::Duration;

use serde_json::{Value, json};

use super::service::UpdateService;
use super::{Failure, Refused};
use crate::World;
use crate::ecs::Environment;
use crate::ecs::operate::rollout::Filter;
use crate::kernel::Kernel;
use crate::testkit::REPOSITORY;

/// An environment and the kernel beside it.
pub(super) fn with<T>(world: &mut World, act: impl FnOnce(&mut Environment, &mut Kernel) -> T) -> T {
    act(&mut world.environments[0], &mut world.kernel)
}

pub(super) fn input<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the API's shape")
}

pub(super) fn code<T: core::fmt::Debug>(answer: Result<T, Refused>) -> (&'static str, String) {
    let refused = answer.expect_err("it is refused");
    (refused.code, refused.message)
}

pub(super) fn definition(world: &World, tag: &str) -> Value {
    let image = world.image("prod", REPOSITORY, tag).expect("pushed");
    let host = world.environments[0].registry_host();
    json!({
        "family": "api", "cpu": "256", "memory": "512", "tags": [{ "key": "team", "value": "shop" }],
        "containerDefinitions": [{ "name": "api", "essential": true, "image": format!("{host}/{REPOSITORY}@{image}"), "portMappings": [{ "containerPort": 8080 }] }],
    })
}

pub(super) fn register(world: &mut World, tag: &str) -> String {
    let content = definition(world, tag);
    let registered = with(world, |e, k| e.register_task_definition(k.now, content));
    registered.expect("well formed").task_definition_arn
}

pub(super) fn update(world: &mut World, change: Value) -> Result<(u16, bool), Refused> {
    let mut asked = json!({ "cluster": "prod", "service": "api" });
    asked
        .as_object_mut()
        .expect("an object")
        .extend(change.as_object().expect("an object").clone());
    let asked: UpdateService = input(asked);
    with(world, |e, k| e.update_service(k, &asked))
}

/// The service deployments, newest first, whole.
pub(super) fn records(world: &World) -> Vec<Value> {
    let env = &world.environments[0];
    let list = env.list_service_deployments(Some("prod"), "api", &Filter::default());
    let arns: Vec<String> = list
        .expect("it exists")
        .into_iter()
        .map(|b| b.service_deployment_arn)
        .collect();
    let (found, missing) = env.describe_service_deployments(&arns);
    assert_eq!((found.len(), missing), (arns.len(), Vec::<Failure>::new()));
    found
        .iter()
        .map(|view| serde_json::to_value(view).expect("plain data"))
        .collect()
}

pub(super) fn service(world: &World) -> Value {
    let env = &world.environments[0];
    let (found, _) = env
        .describe_services(Some("prod"), &["api".to_owned()])
        .expect("the cluster exists");
    serde_json::to_value(&found[0]).expect("plain data")
}

pub(super) fn settle(world: &mut World) {
    let end = world.now().after(Duration::from_secs(3_600));
    assert!(
        world.advance_until(end, |w| service(w)["deployments"][0]["rolloutState"]
            == "COMPLETED")
    );
}
