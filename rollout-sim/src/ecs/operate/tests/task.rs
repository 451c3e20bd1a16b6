//! Tasks.

use core::time::Duration;

use serde_json::{Value, json};

use super::{code, input, register, service, with};
use crate::World;
use crate::behaviour::{Behaviour, Job, Start};
use crate::ecs::operate::task::{RunTask, TaskFilter, TaskView};
use crate::rng::Span;
use crate::testkit::{REPOSITORY, world};

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
    let arns = |tasks: &[TaskView]| tasks.iter().map(|t| t.task_arn.clone()).collect::<Vec<_>>();
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
