//! Clusters, task definitions and services.

use core::time::Duration;

use serde_json::{Value, json};

use super::{code, definition, input, register, service, settle, update, with};
use crate::World;
use crate::behaviour::Start;
use crate::ecs::operate::service::{CreateService, UpdateService};
use crate::ecs::operate::task::TaskFilter;
use crate::testkit::{world, world_with};

#[test]
fn a_service_is_created_updated_scaled_and_deleted() {
    let mut world = world(4, Start::Ok);
    let arn = register(&mut world, "1");
    let asked = json!({
        "cluster": "arn:aws:ecs:eu-central-1:111111111111:cluster/prod", "serviceName": "web", "taskDefinition": "api",
        "desiredCount": 2, "launchType": "FARGATE", "clientToken": "one",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-1"] } },
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": false } },
    });
    let create = |world: &mut World, asked: &Value| {
        let asked: CreateService = input(asked.clone());
        with(world, |e, k| e.create_service(k, &asked))
    };
    assert_eq!(create(&mut world, &asked), Ok(1));
    assert_eq!(
        create(&mut world, &asked),
        Ok(1),
        "the same call is the same service"
    );
    let mut other = asked.clone();
    other["desiredCount"] = json!(3);
    let twice = "Creation of service was not idempotent.".to_owned();
    assert_eq!(
        code(create(&mut world, &other)),
        ("InvalidParameterException", twice)
    );
    let see =
        |world: &World| serde_json::to_value(world.environments[0].service_view(1)).expect("plain data");
    let now = see(&world);
    assert_eq!(now["taskDefinition"], json!(arn));
    assert_eq!(
        (&now["status"], &now["desiredCount"], &now["runningCount"]),
        (&json!("ACTIVE"), &json!(2), &json!(0))
    );
    assert_eq!(now["networkConfiguration"], asked["networkConfiguration"]);
    assert_eq!(now["deploymentConfiguration"]["maximumPercent"], 200);
    assert_eq!(
        now["deploymentConfiguration"]["deploymentCircuitBreaker"]["resetOnHealthyTask"],
        true
    );
    world.pass(Duration::from_secs(120));
    assert_eq!(see(&world)["runningCount"], 2);
    assert_eq!(see(&world)["deployments"][0]["rolloutState"], "COMPLETED");

    let change = |world: &mut World, change: Value| {
        let mut asked = change;
        (asked["cluster"], asked["service"]) = (json!("prod"), json!("web"));
        let asked: UpdateService = input(asked);
        with(world, |e, k| e.update_service(k, &asked))
    };
    assert_eq!(
        change(
            &mut world,
            json!({ "desiredCount": 4, "healthCheckGracePeriodSeconds": 7 })
        ),
        Ok((1, false))
    );
    assert_eq!(
        change(
            &mut world,
            json!({ "networkConfiguration": asked["networkConfiguration"] })
        ),
        Ok((1, false))
    );
    let moved = json!({ "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-2"] } } });
    assert_eq!(
        change(&mut world, moved),
        Ok((1, true)),
        "another network is another deployment"
    );
    world.pass(Duration::from_secs(200));
    let now = see(&world);
    assert_eq!(
        (&now["runningCount"], &now["healthCheckGracePeriodSeconds"]),
        (&json!(4), &json!(7))
    );
    let both = json!({ "deploymentConfiguration": { "maximumPercent": 100 } });
    assert_eq!(code(change(&mut world, both)).0, "InvalidParameterException");

    let delete = |world: &mut World, force| {
        with(world, |e, k| {
            e.delete_service_named(k, Some("prod"), "web", force)
        })
    };
    let scaled = "The service cannot be stopped while it is scaled above 0.".to_owned();
    assert_eq!(
        code(delete(&mut world, false)),
        ("InvalidParameterException", scaled)
    );
    assert_eq!(delete(&mut world, true), Ok((1, true)));
    assert_eq!(see(&world)["status"], "DRAINING");
    assert_eq!(
        code(change(&mut world, json!({ "desiredCount": 1 }))).0,
        "ServiceNotActiveException"
    );
    assert_eq!(
        code(create(&mut world, &asked)).1,
        "Unable to Start a service that is still Draining."
    );
    world.pass(Duration::from_secs(120));
    assert_eq!(see(&world)["status"], "INACTIVE");
    assert_eq!(delete(&mut world, true), Ok((1, false)), "it is told as it is");
    assert_eq!(create(&mut world, &asked), Ok(2), "a name that is free again");
    assert_eq!(
        world.environments[0]
            .list_services(Some("prod"))
            .expect("it exists")
            .len(),
        2
    );
}

#[test]
fn an_inactive_definition_goes_on_running_and_is_given_to_nothing_new() {
    let mut world = world(5, Start::Ok);
    let arn = register(&mut world, "2");
    update(&mut world, json!({ "taskDefinition": arn })).expect("accepted");
    settle(&mut world);
    let gone = with(&mut world, |e, k| e.deregister_task_definition(k.now, &arn)).expect("it exists");
    assert_eq!(gone.status, "INACTIVE");
    assert_eq!(gone.deregistered_at, Some(world.now()));
    let inactive = ("ClientException", "TaskDefinition is inactive".to_owned());
    assert_eq!(
        code(update(&mut world, json!({ "taskDefinition": arn }))),
        inactive
    );
    // Its tasks are replaced as if nothing had happened, and a deployment without a definition keeps it.
    let task = world.environments[0].list_tasks(
        world.now(),
        &TaskFilter {
            cluster: Some("prod".to_owned()),
            ..TaskFilter::default()
        },
    );
    let task = task.expect("the cluster exists").remove(0);
    with(&mut world, |e, k| {
        e.stop_task_call(k, Some("prod"), &task, Some("a drill"))
    })
    .expect("it runs");
    update(&mut world, json!({ "forceNewDeployment": true })).expect("accepted");
    settle(&mut world);
    assert_eq!(service(&world)["taskDefinition"], json!(arn));
    assert_eq!(service(&world)["runningCount"], 3);
    let env = &world.environments[0];
    assert_eq!(
        env.list_task_definitions(Some("api"), false),
        std::slice::from_ref(&arn)
    );
    assert_eq!(env.list_task_definitions(None, true).len(), 1);
    assert_eq!(code(env.describe_task_definition("no")).0, "ClientException");
    assert_eq!(
        code(update(&mut world, json!({ "taskDefinition": "api:9" }))).1,
        "TaskDefinition not found."
    );
    let by_family = with(&mut world, |e, k| e.deregister_task_definition(k.now, "api"));
    assert_eq!(code(by_family).0, "ClientException");
}

#[test]
fn what_is_registered_is_told_again_exactly() {
    let mut world = world(6, Start::Ok);
    let content = definition(&world, "2");
    let first = register(&mut world, "2");
    let second = register(&mut world, "2");
    assert_ne!(first, second, "every call registers");
    let (view, tags) = world.environments[0]
        .describe_task_definition(&second)
        .expect("it exists");
    assert_eq!(tags, content["tags"]);
    let told = serde_json::to_value(&view).expect("plain data");
    assert_eq!(told["containerDefinitions"], content["containerDefinitions"]);
    assert_eq!((&told["cpu"], &told["status"]), (&json!("256"), &json!("ACTIVE")));
    assert!(told.get("tags").is_none());
}

#[test]
fn clusters_are_made_once_and_hold_their_own_services() {
    let mut world = world(10, Start::Ok);
    register(&mut world, "1");
    let made = with(&mut world, |e, _| {
        e.create_cluster(Some("two"), json!({ "tags": [] }))
    });
    assert_eq!(made.status, "ACTIVE");
    with(&mut world, |e, _| e.create_cluster(Some("two"), json!({})));
    assert_eq!(world.environments[0].list_clusters().len(), 2);
    let asked: CreateService =
        input(json!({ "cluster": "two", "serviceName": "api", "taskDefinition": "api", "desiredCount": 1 }));
    assert_eq!(
        with(&mut world, |e, k| e.create_service(k, &asked)),
        Ok(1),
        "the name is free in another cluster"
    );
    world.pass(Duration::from_secs(120));
    let (told, missing) = world.environments[0].describe_clusters(&["two".to_owned(), "three".to_owned()]);
    assert_eq!(
        (
            told[0].running_tasks_count,
            told[0].active_services_count,
            missing.len()
        ),
        (1, 1, 1)
    );
    assert_eq!(service(&world)["runningCount"], 3);
    let (_, missing) = world.environments[0].describe_clusters(&[]);
    assert_eq!(missing.len(), 1, "there is no default cluster");
}

#[test]
fn a_configuration_is_taken_as_the_api_has_it() {
    let mut world = world_with(11, Start::Ok, |s| {
        s.load_balanced(80).strategy(crate::Strategy::BlueGreen)
    });
    let set = |world: &mut World, configuration: Value| {
        update(world, json!({ "deploymentConfiguration": configuration }))
    };
    let given = json!({
        "strategy": "CANARY", "bakeTimeInMinutes": 5,
        "canaryConfiguration": { "canaryPercent": 12.5, "canaryBakeTimeInMinutes": 3 },
        "maximumPercent": 150, "minimumHealthyPercent": 50,
        "deploymentCircuitBreaker": { "enable": true, "rollback": true, "resetOnHealthyTask": false, "thresholdConfiguration": { "type": "COUNT", "value": 7 } },
        "alarms": { "alarmNames": ["a"], "enable": true, "rollback": false },
        "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"], "timeoutConfiguration": { "timeoutInMinutes": 9, "action": "CONTINUE" } },
            { "targetType": "AWS_LAMBDA", "hookTargetArn": "arn:aws:lambda:f", "roleArn": "arn:aws:iam::1:role/r", "hookDetails": { "a": [1] }, "lifecycleStages": ["PRE_SCALE_UP"], "timeoutConfiguration": { "timeoutInMinutes": 1, "action": "ROLLBACK" } }],
    });
    assert_eq!(
        set(&mut world, given.clone()).expect("well formed"),
        (0, false),
        "it begins no deployment"
    );
    assert_eq!(service(&world)["deploymentConfiguration"], given);
    set(&mut world, json!({ "strategy": "LINEAR" })).expect("well formed");
    let told = &service(&world)["deploymentConfiguration"];
    assert_eq!(
        told["linearConfiguration"],
        json!({ "stepPercent": 10.0, "stepBakeTimeInMinutes": 6 })
    );
    assert_eq!(told["bakeTimeInMinutes"], 5, "what is not given stays");
    for wrong in [
        json!({ "strategy": "LINEAR", "linearConfiguration": { "stepPercent": 2.0 } }),
        json!({ "strategy": "CANARY", "canaryConfiguration": { "canaryPercent": 0.05 } }),
        json!({ "bakeTimeInMinutes": 1_441 }),
        json!({ "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"] }] }),
        json!({ "lifecycleHooks": [{ "lifecycleStages": ["PRE_SCALE_UP"] }] }),
        json!({ "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": [] }] }),
        json!({ "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"], "timeoutConfiguration": { "timeoutInMinutes": 0 } }] }),
    ] {
        let before = service(&world)["deploymentConfiguration"].clone();
        assert_eq!(
            code(set(&mut world, wrong.clone())).0,
            "InvalidParameterException",
            "{wrong}"
        );
        assert_eq!(service(&world)["deploymentConfiguration"], before);
    }
}
