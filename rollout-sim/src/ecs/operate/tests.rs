//! The operations, on a small world.

use core::time::Duration;

use serde_json::{Value, json};

use super::rollout::Filter;
use super::service::{CreateService, UpdateService};
use super::task::{RunTask, TaskFilter};
use super::{Failure, Refused};
use crate::World;
use crate::behaviour::{Behaviour, Job, Start};
use crate::ecs::Environment;
use crate::kernel::Kernel;
use crate::rng::Span;
use crate::testkit::{REPOSITORY, world, world_with};

/// An environment and the kernel beside it.
fn with<T>(world: &mut World, act: impl FnOnce(&mut Environment, &mut Kernel) -> T) -> T {
    act(&mut world.environments[0], &mut world.kernel)
}

fn input<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the API's shape")
}

fn code<T: core::fmt::Debug>(answer: Result<T, Refused>) -> (&'static str, String) {
    let refused = answer.expect_err("it is refused");
    (refused.code, refused.message)
}

fn definition(world: &World, tag: &str) -> Value {
    let image = world.image("prod", REPOSITORY, tag).expect("pushed");
    let host = world.environments[0].registry_host();
    json!({
        "family": "api", "cpu": "256", "memory": "512", "tags": [{ "key": "team", "value": "shop" }],
        "containerDefinitions": [{ "name": "api", "essential": true, "image": format!("{host}/{REPOSITORY}@{image}"), "portMappings": [{ "containerPort": 8080 }] }],
    })
}

fn register(world: &mut World, tag: &str) -> String {
    let content = definition(world, tag);
    let registered = with(world, |e, k| e.register_task_definition(k.now, content));
    registered.expect("well formed").task_definition_arn
}

fn update(world: &mut World, change: Value) -> Result<(u16, bool), Refused> {
    let mut asked = json!({ "cluster": "prod", "service": "api" });
    asked
        .as_object_mut()
        .expect("an object")
        .extend(change.as_object().expect("an object").clone());
    let asked: UpdateService = input(asked);
    with(world, |e, k| e.update_service(k, &asked))
}

/// The service deployments, newest first, whole.
fn records(world: &World) -> Vec<Value> {
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

fn service(world: &World) -> Value {
    let env = &world.environments[0];
    let (found, _) = env
        .describe_services(Some("prod"), &["api".to_owned()])
        .expect("the cluster exists");
    serde_json::to_value(&found[0]).expect("plain data")
}

fn settle(world: &mut World) {
    let end = world.now().after(Duration::from_secs(3_600));
    assert!(
        world.advance_until(end, |w| service(w)["deployments"][0]["rolloutState"]
            == "COMPLETED")
    );
}

#[test]
fn a_deployment_is_told_from_pending_to_successful() {
    let mut world = world(1, Start::Ok);
    let before = records(&world);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["status"], "SUCCESSFUL");
    let arn = register(&mut world, "2");
    let asked_at = world.now();
    assert_eq!(
        update(&mut world, json!({ "taskDefinition": arn })).expect("accepted"),
        (0, true)
    );
    let pending = records(&world);
    assert_eq!(pending[0]["status"], "PENDING");
    assert!(pending[0].get("startedAt").is_none() && pending[0].get("finishedAt").is_none());
    assert_eq!(
        service(&world)["currentServiceDeployment"],
        pending[0]["serviceDeploymentArn"]
    );

    world.pass(Duration::from_secs(15));
    let moving = &records(&world)[0];
    assert_eq!(moving["status"], "IN_PROGRESS");
    assert_eq!(moving["createdAt"], json!(asked_at.as_millis() as f64 / 1_000.0));
    assert_eq!(moving["sourceServiceRevisions"][0]["runningTaskCount"], 3);
    let target = &moving["targetServiceRevision"];
    assert_eq!(
        (&target["requestedTaskCount"], &target["pendingTaskCount"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(
        moving["deploymentCircuitBreaker"],
        json!({ "status": "MONITORING", "failureCount": 0, "threshold": 3 })
    );
    assert_eq!(moving["alarms"]["status"], "DISABLED");
    assert_eq!(moving["deploymentConfiguration"]["strategy"], "ROLLING");
    assert_eq!(
        moving["sourceServiceRevisions"][0]["arn"],
        before[0]["targetServiceRevision"]["arn"]
    );

    settle(&mut world);
    let done = &records(&world)[0];
    assert_eq!(done["status"], "SUCCESSFUL");
    assert!(done["finishedAt"].as_f64() > done["startedAt"].as_f64());
    assert_eq!(done["targetServiceRevision"]["runningTaskCount"], 3);
    assert_eq!(done["deploymentCircuitBreaker"]["status"], "MONITORING_COMPLETE");
    assert!(service(&world).get("currentServiceDeployment").is_none());
    // A record tells of its own end, not of what came after.
    world.environments[0].services[0].desired = 1;
    with(&mut world, |e, k| e.schedule(k, 0, 0));
    world.pass(Duration::from_secs(60));
    assert_eq!(records(&world)[0]["targetServiceRevision"]["runningTaskCount"], 3);
    assert_eq!(service(&world)["runningCount"], 1);

    let revision = done["targetServiceRevision"]["arn"]
        .as_str()
        .expect("a text")
        .to_owned();
    let (found, missing) = world.environments[0].describe_service_revisions(&[revision, "arn:x".to_owned()]);
    assert_eq!(missing, [Failure::missing("arn:x")]);
    let told = serde_json::to_value(&found[0]).expect("plain data");
    assert_eq!(told["taskDefinition"], json!(arn));
    let digest = world.image("prod", REPOSITORY, "2").expect("pushed");
    assert_eq!(told["containerImages"][0]["imageDigest"], json!(digest));
    assert_eq!(told["loadBalancers"][0]["containerPort"], 8080);
    assert_eq!(told["launchType"], "FARGATE");
}

#[test]
fn lists_of_deployments_are_filtered() {
    let mut world = world(2, Start::Ok);
    let arn = register(&mut world, "2");
    let before = world.now();
    world.pass(Duration::from_secs(1));
    update(&mut world, json!({ "taskDefinition": arn })).expect("accepted");
    settle(&mut world);
    update(&mut world, json!({ "forceNewDeployment": true })).expect("accepted");
    let env = &world.environments[0];
    let list = |filter: &Filter| {
        let all = env
            .list_service_deployments(Some("prod"), "api", filter)
            .expect("it exists");
        all.into_iter().map(|b| b.status).collect::<Vec<_>>()
    };
    assert_eq!(list(&Filter::default()), ["PENDING", "SUCCESSFUL", "SUCCESSFUL"]);
    let status = vec!["PENDING".to_owned()];
    assert_eq!(
        list(&Filter {
            status,
            ..Filter::default()
        }),
        ["PENDING"]
    );
    assert_eq!(
        list(&Filter {
            after: Some(before),
            ..Filter::default()
        }),
        ["PENDING", "SUCCESSFUL"]
    );
    assert_eq!(
        list(&Filter {
            before: Some(before),
            ..Filter::default()
        }),
        ["SUCCESSFUL"]
    );
    assert_eq!(
        code(env.list_service_deployments(Some("no"), "api", &Filter::default())).0,
        "ClusterNotFoundException"
    );
    assert_eq!(
        code(env.list_service_deployments(Some("prod"), "no", &Filter::default())).0,
        "ServiceNotFoundException"
    );
}

#[test]
fn a_stopped_deployment_goes_back_and_says_who_asked() {
    let mut world = world(3, Start::Ok);
    let old = service(&world)["deployments"][0].clone();
    let arn = register(&mut world, "2");
    update(&mut world, json!({ "taskDefinition": arn })).expect("accepted");
    world.pass(Duration::from_secs(12));
    let record = records(&world)[0]["serviceDeploymentArn"]
        .as_str()
        .expect("a text")
        .to_owned();
    let stop = |world: &mut World, word| with(world, |e, k| e.stop_service_deployment(k, &record, word));
    assert_eq!(
        code(stop(&mut world, Some("ABORT"))).0,
        "InvalidParameterException"
    );
    stop(&mut world, Some("ROLLBACK")).expect("it is on its way");
    stop(&mut world, None).expect("asking again changes nothing");
    assert_eq!(records(&world)[0]["status"], "ROLLBACK_REQUESTED");
    let end = world.now().after(Duration::from_secs(3));
    assert!(world.advance_until(end, |w| records(w)[0]["status"] != "ROLLBACK_REQUESTED"));
    let going = &records(&world)[0];
    assert_eq!(going["status"], "ROLLBACK_IN_PROGRESS");
    assert_eq!(
        going["rollback"]["serviceRevisionArn"],
        records(&world)[1]["targetServiceRevision"]["arn"]
    );
    stop(&mut world, None).expect("it goes on going back");
    settle(&mut world);
    let gone = &records(&world)[0];
    assert_eq!(gone["status"], "ROLLBACK_SUCCESSFUL");
    assert_eq!(service(&world)["deployments"][0]["id"], old["id"]);
    assert_eq!(code(stop(&mut world, None)).0, "ConflictException");
    let unknown = with(&mut world, |e, k| e.stop_service_deployment(k, "arn:x", None));
    assert_eq!(code(unknown).0, "ServiceDeploymentNotFoundException");
}

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
    assert_eq!(delete(&mut world, true), Ok(1));
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
    assert_eq!(code(delete(&mut world, true)).0, "ServiceNotFoundException");
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

fn job_world(capacity: u32) -> World {
    let job = Behaviour {
        job: Job {
            takes: Span::secs(5, 5),
            exit_code: 0,
        },
        ..Behaviour::default()
    };
    World::builder(7)
        .environment("prod", |e| {
            e.image_that(REPOSITORY, "2", job)
                .capacity(capacity)
                .service("api", |s| s.container("api", REPOSITORY, "2").desired(1))
        })
        .build()
        .expect("well described")
}

#[test]
fn a_client_token_starts_its_tasks_once_a_day() {
    let mut world = job_world(10);
    register(&mut world, "2");
    let run = |world: &mut World, change: Value| {
        let mut asked = json!({ "cluster": "prod", "taskDefinition": "api", "count": 2, "startedBy": "ci", "clientToken": "t" });
        asked
            .as_object_mut()
            .expect("an object")
            .extend(change.as_object().expect("an object").clone());
        let asked: RunTask = input(asked);
        with(world, |e, k| e.run_task_call(k, &asked))
    };
    let arns = |tasks: &[super::task::TaskView]| tasks.iter().map(|t| t.task_arn.clone()).collect::<Vec<_>>();
    let (first, lacking) = run(&mut world, json!({})).expect("there is room");
    assert_eq!((first.len(), lacking.len()), (2, 0));
    let (again, _) = run(&mut world, json!({})).expect("the same call");
    assert_eq!(arns(&again), arns(&first));
    let other = run(&mut world, json!({ "count": 1 })).expect_err("another call");
    assert_eq!((other.code, other.resources), ("ConflictException", arns(&first)));
    world.pass(Duration::from_secs(60));
    let env = &world.environments[0];
    let filter = TaskFilter {
        cluster: Some("prod".to_owned()),
        started_by: Some("ci".to_owned()),
        desired_status: Some("STOPPED".to_owned()),
        ..TaskFilter::default()
    };
    assert_eq!(
        env.list_tasks(world.now(), &filter).expect("the cluster exists"),
        arns(&first)
    );
    let (told, _) = env
        .describe_tasks(world.now(), Some("prod"), &arns(&first))
        .expect("the cluster exists");
    let told = serde_json::to_value(&told[0]).expect("plain data");
    assert_eq!(
        (&told["lastStatus"], &told["stopCode"]),
        (&json!("STOPPED"), &json!("EssentialContainerExited"))
    );
    assert_eq!(
        (&told["group"], &told["containers"][0]["exitCode"]),
        (&json!("family:api"), &json!(0))
    );
    let times = [
        "createdAt",
        "pullStartedAt",
        "pullStoppedAt",
        "startedAt",
        "stoppingAt",
        "executionStoppedAt",
        "stoppedAt",
    ];
    let times: Vec<f64> = times
        .iter()
        .map(|name| told[name].as_f64().unwrap_or_else(|| panic!("{name}")))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    // An hour later they are forgotten, a day later the token is.
    world.pass(Duration::from_secs(3_700));
    let env = &world.environments[0];
    let (none, missing) = env
        .describe_tasks(world.now(), Some("prod"), &arns(&first))
        .expect("the cluster exists");
    assert_eq!((none.len(), missing.len()), (0, 2));
    world.pass(Duration::from_secs(22 * 3_600));
    assert_eq!(
        run(&mut world, json!({})).expect("the same call").0.len(),
        0,
        "known, and forgotten"
    );
    world.pass(Duration::from_secs(3_600));
    let (fresh, _) = run(&mut world, json!({})).expect("there is room");
    assert_eq!(fresh.len(), 2);
    assert!(arns(&fresh).iter().all(|arn| !arns(&first).contains(arn)));
}

#[test]
fn what_there_is_no_room_for_is_a_failure_beside_what_was_started() {
    let mut world = job_world(3);
    register(&mut world, "2");
    let asked: RunTask = input(json!({ "cluster": "prod", "taskDefinition": "api", "count": 5 }));
    let (started, lacking) = with(&mut world, |e, k| e.run_task_call(k, &asked)).expect("it is no error");
    assert_eq!((started.len(), lacking.len()), (2, 3));
    assert!(
        lacking[0]
            .reason
            .starts_with("Capacity is unavailable at this time.")
    );
    let many: RunTask = input(json!({ "cluster": "prod", "taskDefinition": "api", "count": 11 }));
    assert_eq!(
        code(with(&mut world, |e, k| e.run_task_call(k, &many))).0,
        "InvalidParameterException"
    );
}

#[test]
fn tasks_are_listed_by_what_is_asked_for() {
    let mut world = world(8, Start::Ok);
    register(&mut world, "1");
    let asked: RunTask = input(json!({ "cluster": "prod", "taskDefinition": "api", "group": "nightly" }));
    with(&mut world, |e, k| e.run_task_call(k, &asked)).expect("there is room");
    let list = |change: Value| {
        let mut asked = change;
        asked["cluster"] = json!("prod");
        let filter: TaskFilter = input(asked);
        world.environments[0].list_tasks(world.now(), &filter)
    };
    let count = |change: Value| list(change).expect("well asked").len();
    assert_eq!(count(json!({})), 4);
    assert_eq!(count(json!({ "serviceName": "api" })), 3);
    assert_eq!(count(json!({ "family": "api" })), 4);
    assert_eq!(count(json!({ "family": "web" })), 0);
    assert_eq!(count(json!({ "desiredStatus": "STOPPED" })), 0);
    assert_eq!(count(json!({ "desiredStatus": "PENDING" })), 0);
    assert_eq!(count(json!({ "launchType": "EC2" })), 0);
    let by = service(&world)["deployments"][0]["id"].clone();
    assert_eq!(count(json!({ "startedBy": by })), 3);
    assert_eq!(
        code(list(json!({ "serviceName": "no" }))).0,
        "ServiceNotFoundException"
    );
    assert_eq!(
        code(list(json!({ "desiredStatus": "GONE" }))).0,
        "InvalidParameterException"
    );
}

#[test]
fn a_stopped_task_says_why_and_the_service_starts_another() {
    let mut world = world(9, Start::Ok);
    let env = &world.environments[0];
    let task = env
        .list_tasks(world.now(), &input(json!({ "cluster": "prod" })))
        .expect("it exists")
        .remove(0);
    let stopping = with(&mut world, |e, k| {
        e.stop_task_call(k, Some("prod"), &task, Some("a drill"))
    });
    let stopping = stopping.expect("it runs");
    assert_eq!(
        (stopping.desired_status, stopping.last_status),
        ("STOPPED", "DEACTIVATING")
    );
    assert_eq!(
        (stopping.stop_code, stopping.stopped_reason.as_deref()),
        (Some("UserInitiated"), Some("a drill"))
    );
    world.pass(Duration::from_secs(120));
    assert_eq!(service(&world)["runningCount"], 3);
    let unknown = with(&mut world, |e, k| e.stop_task_call(k, Some("prod"), "none", None));
    assert_eq!(
        code(unknown),
        (
            "InvalidParameterException",
            "The referenced task was not found.".to_owned()
        )
    );
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
        "lifecycleHooks": [{ "targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"], "timeoutConfiguration": { "timeoutInMinutes": 9, "action": "CONTINUE" } }],
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

#[test]
fn a_pause_is_answered_once_by_its_id() {
    use crate::{Hook, HookAction, LifecycleStage, Strategy};
    let mut world = world_with(12, Start::Ok, |s| {
        let pause = Hook::pause([LifecycleStage::PostScaleUp]);
        s.load_balanced(80).strategy(Strategy::BlueGreen).hook(pause)
    });
    let arn = register(&mut world, "2");
    update(&mut world, json!({ "taskDefinition": arn })).expect("accepted");
    world.pass(Duration::from_secs(600));
    let waiting = &records(&world)[0];
    assert_eq!(
        (&waiting["status"], &waiting["lifecycleStage"]),
        (&json!("IN_PROGRESS"), &json!("POST_SCALE_UP"))
    );
    let hook = &waiting["lifecycleHookDetails"][0];
    assert_eq!(
        (&hook["status"], &hook["targetType"]),
        (&json!("AWAITING_ACTION"), &json!("PAUSE"))
    );
    assert_eq!(hook["timeoutAction"], "ROLLBACK");
    assert!(hook["expiresAt"].as_f64() > waiting["startedAt"].as_f64().map(|at| at + 86_400.0));
    let id = hook["hookId"].as_str().expect("a text").to_owned();
    assert!(id.starts_with("ecs-pause-"), "{id}");
    let record = waiting["serviceDeploymentArn"]
        .as_str()
        .expect("a text")
        .to_owned();
    let answer = |world: &mut World, id: &str| {
        with(world, |e, k| {
            e.continue_service_deployment(k, &record, id, HookAction::Continue)
        })
    };
    assert_eq!(code(answer(&mut world, "another")).0, "InvalidParameterException");
    answer(&mut world, &id).expect("it waits");
    assert_eq!(code(answer(&mut world, &id)).0, "InvalidParameterException");
    let unknown = with(&mut world, |e, k| {
        e.continue_service_deployment(k, "arn:x", &id, HookAction::Continue)
    });
    assert_eq!(code(unknown).0, "ServiceDeploymentNotFoundException");
    settle(&mut world);
    assert_eq!(records(&world)[0]["status"], "SUCCESSFUL");
    assert_eq!(
        code(answer(&mut world, &id)).0,
        "InvalidParameterException",
        "it is over"
    );
}
