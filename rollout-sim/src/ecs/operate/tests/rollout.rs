//! Service deployments and service revisions.

use core::time::Duration;

use serde_json::json;

use super::{code, records, register, service, settle, update, with};
use crate::behaviour::Start;
use crate::ecs::operate::Failure;
use crate::ecs::operate::rollout::Filter;
use crate::testkit::{REPOSITORY, world, world_with};
use crate::{Hook, HookAction, LifecycleStage, Strategy, World};

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
fn a_pause_is_answered_once_by_its_id() {
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
