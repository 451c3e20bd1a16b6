//! The adapter against an endpoint that answers from a table, on the wire.

use std::sync::Arc;

use rollout_core::error::{Applied, ErrorKind, Retry};
use rollout_core::evidence::Cause;
use rollout_core::id::{
    DeploymentId, ImageDigest, ServiceDeploymentArn, ServiceName, TaskArn, TaskDefinitionArn,
};
use rollout_core::image::{Ensured, ImageRef};
use rollout_core::port::{Environment, Rollback};
use rollout_core::service::{
    Captured, DeploymentRole, Found, PartKind, RecordStatus, RestorePoint, RevisionSpec, RolloutState,
    ServiceChange, ServiceStatus, Stage, Strategy, TaskObservation, TaskSpec,
};
use rollout_core::time::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::testing::{ACCOUNT, Answer, Aws, REGION, context, error, ok};

const AT: f64 = 1_763_683_200.0;

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn environment(aws: &Aws) -> EcsEnvironment {
    EcsEnvironment::from_config(&aws.config(), "prod", aws.guard())
        .clock(Arc::new(|| Timestamp::from_millis(1_763_683_300_000)))
}

fn service_name() -> ServiceName {
    ServiceName::new("backend").expect("a name")
}

fn definition(revision: u32) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/backend:{revision}")
}

fn deployment(id: &str, status: &str, revision: u32, state: &str) -> Value {
    json!({
        "id": id, "status": status, "taskDefinition": definition(revision), "rolloutState": state,
        "desiredCount": 1, "runningCount": 1, "pendingCount": 0, "failedTasks": 0, "createdAt": AT,
    })
}

fn service(deployments: &[Value]) -> Value {
    json!({ "services": [{
        "serviceName": "backend", "status": "ACTIVE", "desiredCount": 1, "runningCount": 1, "pendingCount": 0,
        "deployments": deployments,
        "events": [
            { "id": "2", "createdAt": AT + 2.0, "message": "newer" },
            { "id": "1", "createdAt": AT + 1.0, "message": "older" },
        ],
    }], "failures": [] })
}

fn change(to: u32, assumes: Option<&str>) -> ServiceChange {
    ServiceChange {
        service: service_name(),
        task_definition: TaskDefinitionArn::new(definition(to)).expect("an ARN"),
        assumes: assumes.map(|id| DeploymentId::new(id).expect("an id")),
    }
}

fn spec() -> RevisionSpec {
    RevisionSpec {
        template: json!({
            "family": "backend", "networkMode": "awsvpc", "cpu": "256",
            "containerDefinitions": [
                { "name": "app", "image": "placeholder", "portMappings": [{ "containerPort": 8787 }],
                  "environment": [{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }],
                  "aFieldOfTheFuture": { "depth": 1 } },
                { "name": "sidecar", "image": "public.ecr.aws/x/y:1", "essential": false },
            ],
        }),
        images: [(
            "app".parse().expect("a name"),
            ImageRef {
                repository: "shop/backend".parse().expect("a name"),
                digest: ImageDigest::new(digest("a")).expect("a digest"),
            },
        )]
        .into(),
    }
}

fn pinned_image() -> String {
    format!(
        "{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop/backend@{}",
        digest("a")
    )
}

/// What ECS would keep of a registration.
fn registered(body: &Value, revision: u32) -> Value {
    let mut kept = body.clone();
    let map = kept.as_object_mut().expect("an object");
    map.remove("tags");
    map.insert("taskDefinitionArn".into(), json!(definition(revision)));
    map.insert("revision".into(), json!(revision));
    map.insert("status".into(), json!("ACTIVE"));
    map.insert("volumes".into(), json!([]));
    for container in map["containerDefinitions"].as_array_mut().expect("containers") {
        let container = container.as_object_mut().expect("an object");
        container.entry("essential").or_insert(json!(true));
        container.entry("cpu").or_insert(json!(0));
        container.entry("mountPoints").or_insert(json!([]));
        if let Some(ports) = container.get_mut("portMappings") {
            ports[0]["hostPort"] = ports[0]["containerPort"].clone();
            ports[0]["protocol"] = json!("tcp");
        }
    }
    kept
}

#[tokio::test]
async fn a_revision_is_registered_with_the_digest_and_every_field_of_the_file() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeTaskDefinition" => error(400, "ClientException"),
        "RegisterTaskDefinition" => {
            ok(json!({ "taskDefinition": registered(body, 7), "tags": body["tags"] }))
        }
        other => panic!("{other}"),
    });
    let (arn, ensured) = environment(&aws)
        .ensure_revision(&context(), &spec())
        .await
        .expect("registered");
    assert_eq!(
        (arn.as_str(), ensured),
        (definition(7).as_str(), Ensured::Created)
    );
    let sent = &aws.bodies("RegisterTaskDefinition")[0];
    assert_eq!(sent["containerDefinitions"][0]["image"], json!(pinned_image()));
    assert_eq!(
        sent["containerDefinitions"][1]["image"],
        json!("public.ecr.aws/x/y:1")
    );
    assert_eq!(
        sent["containerDefinitions"][0]["aFieldOfTheFuture"],
        json!({ "depth": 1 })
    );
    assert_eq!(sent["tags"][0]["key"], json!(template::CONTENT_TAG));
    assert_eq!(
        aws.operations(),
        [
            "DescribeTaskDefinition",
            "GetCallerIdentity",
            "RegisterTaskDefinition"
        ]
    );
}

#[tokio::test]
async fn an_identical_active_revision_is_reused() {
    let body = template::prepare(&spec(), &format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"))
        .expect("prepared")
        .body;
    let tags = body["tags"].clone();
    let mut elsewhere = registered(&body, 7);
    elsewhere["containerDefinitions"][1]["image"] = json!("public.ecr.aws/x/y:2");
    let mut inactive = registered(&body, 7);
    inactive["status"] = json!("INACTIVE");
    let cases = [
        (
            "by its tag",
            registered(&body, 7),
            tags.clone(),
            Ensured::AlreadyThere,
        ),
        (
            "by its content",
            registered(&body, 7),
            json!([]),
            Ensured::AlreadyThere,
        ),
        ("another image", elsewhere.clone(), json!([]), Ensured::Created),
        (
            "another image under a tag that lies",
            elsewhere,
            tags.clone(),
            Ensured::Created,
        ),
        ("inactive", inactive, tags, Ensured::Created),
    ];
    for (name, found, tags, expected) in cases {
        let aws = Aws::new(move |operation, body| match operation {
            "DescribeTaskDefinition" => ok(json!({ "taskDefinition": found, "tags": tags })),
            "RegisterTaskDefinition" => {
                ok(json!({ "taskDefinition": registered(body, 8), "tags": body["tags"] }))
            }
            other => panic!("{other}"),
        });
        let (_, ensured) = environment(&aws)
            .ensure_revision(&context(), &spec())
            .await
            .expect(name);
        assert_eq!(ensured, expected, "{name}");
    }
}

#[tokio::test]
async fn a_key_that_ecs_drops_is_named() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeTaskDefinition" => error(400, "ClientException"),
        "RegisterTaskDefinition" => {
            let mut kept = registered(body, 7);
            kept["containerDefinitions"][0]
                .as_object_mut()
                .expect("an object")
                .remove("healthChek");
            ok(json!({ "taskDefinition": kept }))
        }
        other => panic!("{other}"),
    });
    let mut spec = spec();
    spec.template["containerDefinitions"][0]["healthChek"] = json!({ "command": ["CMD", "true"] });
    let error = environment(&aws)
        .ensure_revision(&context(), &spec)
        .await
        .expect_err("a dropped key");
    assert_eq!(
        (error.kind, error.applied),
        (ErrorKind::InvalidRequest, Applied::Yes)
    );
    assert!(
        error.context.contains("`containerDefinitions[0].healthChek`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_template_that_cannot_be_is_refused_before_any_call() {
    let aws = Aws::new(|operation, _| panic!("{operation}"));
    let environment = environment(&aws);
    for (change, word) in [
        (json!({ "family": "" }), "family"),
        (json!({ "containerDefinitions": {} }), "containerDefinitions"),
        (json!({ "containerDefinitions": [{ "image": "x" }] }), "name"),
        (
            json!({ "containerDefinitions": [{ "name": "other", "image": "x" }] }),
            "`app`",
        ),
        (json!({ "tags": {} }), "tags"),
    ] {
        let mut spec = spec();
        for (key, value) in change.as_object().expect("an object") {
            spec.template[key] = value.clone();
        }
        let error = environment
            .ensure_revision(&context(), &spec)
            .await
            .expect_err(word);
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.context.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_service_is_updated_when_what_is_assumed_holds() {
    let aws = Aws::new(|operation, _| match operation {
        "DescribeServices" => ok(service(&[deployment("ecs-svc/1", "PRIMARY", 1, "COMPLETED")])),
        "UpdateService" => ok(json!({ "service": service(&[
            deployment("ecs-svc/2", "PRIMARY", 2, "IN_PROGRESS"),
            deployment("ecs-svc/1", "ACTIVE", 1, "COMPLETED"),
        ])["services"][0] })),
        other => panic!("{other}"),
    });
    let environment = environment(&aws);
    let started = environment
        .update_service(&context(), &change(2, Some("ecs-svc/1")))
        .await
        .expect("updated");
    assert_eq!(started.deployment.as_str(), "ecs-svc/2");
    assert_eq!(started.created_at, Timestamp::from_millis(1_763_683_200_000));
    let sent = &aws.bodies("UpdateService")[0];
    assert_eq!(
        sent,
        &json!({ "cluster": "prod", "service": "backend", "taskDefinition": definition(2) })
    );
    // Read, verify, write, read back. The look after the write is stale here, and that is no conflict.
    assert_eq!(
        aws.operations(),
        [
            "GetCallerIdentity",
            "DescribeServices",
            "UpdateService",
            "DescribeServices"
        ]
    );
    // Already there: the present deployment is the answer, whatever is assumed.
    let again = environment
        .update_service(&context(), &change(1, Some("ecs-svc/0")))
        .await
        .expect("there");
    assert_eq!(again.deployment.as_str(), "ecs-svc/1");
    assert_eq!(aws.bodies("UpdateService").len(), 1);
}

/// ECS begins nothing where the service goes to the revision already, unless it is told to.
#[tokio::test]
async fn what_the_platform_gave_up_is_begun_anew() {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let first = move || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
    let aws = Aws::new(move |operation, _| match operation {
        "DescribeServices" if first() => ok(service(&[deployment("ecs-svc/2", "PRIMARY", 2, "FAILED")])),
        "DescribeServices" => ok(service(&[deployment("ecs-svc/3", "PRIMARY", 2, "IN_PROGRESS")])),
        "UpdateService" => ok(json!({ "service": service(&[
            deployment("ecs-svc/3", "PRIMARY", 2, "IN_PROGRESS"),
        ])["services"][0] })),
        other => panic!("{other}"),
    });
    let environment = environment(&aws);
    let started = environment
        .update_service(&context(), &change(2, Some("ecs-svc/2")))
        .await
        .expect("updated");
    assert_eq!(started.deployment.as_str(), "ecs-svc/3");
    let sent = &aws.bodies("UpdateService")[0];
    assert_eq!(sent["forceNewDeployment"], json!(true));
    // Said again it is the new one that goes there.
    let again = environment
        .update_service(&context(), &change(2, Some("ecs-svc/2")))
        .await
        .expect("there");
    assert_eq!(again.deployment.as_str(), "ecs-svc/3");
    assert_eq!(aws.bodies("UpdateService").len(), 1);
}

#[tokio::test]
async fn a_foreign_primary_is_a_conflict_and_nothing_is_written() {
    let aws = Aws::new(|operation, _| match operation {
        "DescribeServices" => ok(service(&[deployment("ecs-svc/9", "PRIMARY", 9, "IN_PROGRESS")])),
        other => panic!("{other}"),
    });
    let error = environment(&aws)
        .update_service(&context(), &change(2, Some("ecs-svc/1")))
        .await
        .expect_err("a conflict");
    assert_eq!(
        (error.kind, error.applied, error.retry),
        (ErrorKind::Conflict, Applied::No, Retry::Never)
    );
    assert!(
        error.context.contains("ecs-svc/9") && error.context.contains("ecs-svc/1"),
        "{error}"
    );
    assert_eq!(aws.bodies("UpdateService").len(), 0);
}

#[tokio::test]
async fn one_who_writes_at_the_same_moment_is_seen_in_the_read_back() {
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let aws = Aws::new(move |operation, _| match operation {
        "DescribeServices" if looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => {
            ok(service(&[deployment("ecs-svc/1", "PRIMARY", 1, "COMPLETED")]))
        }
        "DescribeServices" => ok(service(&[deployment("ecs-svc/3", "PRIMARY", 3, "IN_PROGRESS")])),
        "UpdateService" => ok(json!({
            "service": service(&[deployment("ecs-svc/2", "PRIMARY", 2, "IN_PROGRESS")])["services"][0]
        })),
        other => panic!("{other}"),
    });
    let error = environment(&aws)
        .update_service(&context(), &change(2, Some("ecs-svc/1")))
        .await
        .expect_err("a conflict");
    assert_eq!((error.kind, error.applied), (ErrorKind::Conflict, Applied::Yes));
    assert!(error.context.contains("ecs-svc/3"), "{error}");
}

#[tokio::test]
async fn every_mapped_error_has_its_three_axes() {
    use {Applied as A, ErrorKind as K, Retry as R};
    let rows = [
        (
            error(400, "ThrottlingException"),
            K::Throttled,
            R::Exhausted,
            A::No,
        ),
        (error(400, "Throttling"), K::Throttled, R::Exhausted, A::No),
        (
            error(400, "TooManyRequestsException"),
            K::Throttled,
            R::Exhausted,
            A::No,
        ),
        (
            error(503, "RequestLimitExceeded"),
            K::Throttled,
            R::Exhausted,
            A::No,
        ),
        (
            error(400, "AccessDeniedException"),
            K::PermissionDenied,
            R::Never,
            A::No,
        ),
        (
            error(400, "UnrecognizedClientException"),
            K::PermissionDenied,
            R::Never,
            A::No,
        ),
        (
            error(400, "ExpiredTokenException"),
            K::PermissionDenied,
            R::Never,
            A::No,
        ),
        (error(403, "SomethingNew"), K::PermissionDenied, R::Never, A::No),
        (
            error(400, "ServiceNotFoundException"),
            K::NotFound,
            R::Never,
            A::No,
        ),
        (
            error(400, "ClusterNotFoundException"),
            K::NotFound,
            R::Never,
            A::No,
        ),
        (
            error(400, "ServiceNotActiveException"),
            K::NotFound,
            R::Never,
            A::No,
        ),
        (error(400, "ConflictException"), K::Conflict, R::Never, A::No),
        (error(400, "ClientException"), K::InvalidRequest, R::Never, A::No),
        (
            error(400, "InvalidParameterException"),
            K::InvalidRequest,
            R::Never,
            A::No,
        ),
        (
            error(400, "UnsupportedFeatureException"),
            K::Unsupported,
            R::Never,
            A::No,
        ),
        (error(400, "SomethingNew"), K::InvalidRequest, R::Never, A::No),
        (
            error(500, "ServerException"),
            K::Unavailable,
            R::Exhausted,
            A::Maybe,
        ),
        (error(502, "SomethingNew"), K::Unavailable, R::Exhausted, A::Maybe),
        (error(501, "InternalFailure"), K::Unsupported, R::Never, A::No),
        (Answer::Broken, K::Unavailable, R::Exhausted, A::Maybe),
        (Answer::Refused, K::Unavailable, R::Exhausted, A::No),
    ];
    for (answer, kind, retry, applied) in rows {
        let name = format!("{answer:?}");
        let aws = Aws::new(move |operation, _| match operation {
            "DescribeServices" => ok(service(&[deployment("ecs-svc/1", "PRIMARY", 1, "COMPLETED")])),
            "UpdateService" => answer.clone(),
            other => panic!("{other}"),
        });
        let error = environment(&aws)
            .update_service(&context(), &change(2, None))
            .await
            .expect_err("an error");
        assert_eq!(
            (error.kind, error.retry, error.applied),
            (kind, retry, applied),
            "{name}"
        );
        assert_eq!(error.operation, "ecs:UpdateService");
        if name.starts_with("Json") {
            assert!(
                error.context.contains("what AWS says") && error.context.contains("request-1"),
                "{error}"
            );
        }
        assert_eq!(
            aws.bodies("UpdateService").len(),
            1,
            "a mutating call is sent once: {name}"
        );
    }
}

#[tokio::test]
async fn the_wrong_account_or_region_changes_nothing() {
    use crate::sts::{Expected, IdentityGuard};
    for (account, region, caller, word) in [
        ("999999999999", REGION, None, "999999999999"),
        (ACCOUNT, "us-east-1", None, "us-east-1"),
        (
            ACCOUNT,
            REGION,
            Some("arn:aws:sts::*:assumed-role/admin/*"),
            "admin",
        ),
    ] {
        let aws = Aws::new(|operation, _| panic!("{operation}"));
        let guard = Arc::new(IdentityGuard::from_config(
            &aws.config(),
            Expected {
                account: account.to_owned(),
                region: region.to_owned(),
                caller: caller.map(str::to_owned),
            },
        ));
        let environment = EcsEnvironment::from_config(&aws.config(), "prod", guard);
        let error = environment
            .update_service(&context(), &change(2, None))
            .await
            .expect_err(word);
        assert_eq!(
            (error.kind, error.applied),
            (ErrorKind::PermissionDenied, Applied::No)
        );
        assert!(
            error.context.contains(word) && error.context.contains("nothing was changed"),
            "{error}"
        );
    }
}

fn task_arn(id: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{id}")
}

fn task(id: &str, more: &Value) -> Value {
    let mut task = json!({
        "taskArn": task_arn(id),
        "taskDefinitionArn": definition(1), "lastStatus": "RUNNING", "startedBy": "ecs-svc/1",
        "startedAt": AT, "containers": [{ "name": "app", "image": "x:latest", "imageDigest": digest("b") }],
    });
    for (key, value) in more.as_object().expect("an object") {
        task[key] = value.clone();
    }
    task
}

fn one_definition(image: &str) -> Answer {
    ok(json!({ "taskDefinition": {
        "taskDefinitionArn": definition(1), "status": "ACTIVE", "family": "backend", "containerDefinitions": [
            { "name": "app", "image": image, "essential": true, "logConfiguration": {
                "logDriver": "awslogs",
                "options": { "awslogs-group": "/shop", "awslogs-stream-prefix": "backend", "awslogs-region": REGION } } },
        ] } }))
}

#[tokio::test]
async fn an_observation_carries_deployments_records_tasks_stops_logs_and_events() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeServices" => ok(service(&[
            deployment("ecs-svc/2", "PRIMARY", 2, "IN_PROGRESS"),
            deployment("ecs-svc/1", "NEW_ROLE", 1, "NEW_STATE"),
        ])),
        "ListServiceDeployments" => {
            ok(json!({ "serviceDeployments": [{ "serviceDeploymentArn": "arn:sd/2" }] }))
        }
        "DescribeServiceDeployments" => ok(json!({ "serviceDeployments": [{
            "serviceDeploymentArn": "arn:sd/2", "createdAt": AT + 1.0, "status": "ROLLBACK_IN_PROGRESS",
            "statusReason": "circuit breaker", "lifecycleStage": "PRE_PRODUCTION_TRAFFIC_SHIFT",
            "targetServiceRevision": { "arn": "arn:sr/2" }, "rollback": { "serviceRevisionArn": "arn:sr/1" },
            "deploymentConfiguration": { "strategy": "CANARY" },
        }] })),
        "DescribeServiceRevisions" => ok(json!({ "serviceRevisions": [
            { "serviceRevisionArn": "arn:sr/1", "taskDefinition": definition(1) },
            { "serviceRevisionArn": "arn:sr/2", "taskDefinition": definition(2) },
        ] })),
        "ListTasks" if body["desiredStatus"] == "RUNNING" => {
            ok(json!({ "taskArns": [task_arn("running"), task_arn("starting")] }))
        }
        "ListTasks" => {
            ok(json!({ "taskArns": [task_arn("stopped"), task_arn("stopping"), task_arn("scaled")] }))
        }
        "DescribeTasks" => {
            let known = [
                task("running", &json!({})),
                task("starting", &json!({ "lastStatus": "PENDING" })),
                task(
                    "stopped",
                    &json!({ "lastStatus": "STOPPED", "stoppedAt": AT + 5.0, "stopCode": "EssentialContainerExited",
                        "stoppedReason": "Essential container in task exited",
                        "containers": [{ "name": "app", "exitCode": 3 }] }),
                ),
                task("stopping", &json!({ "lastStatus": "DEACTIVATING" })),
                task(
                    "scaled",
                    &json!({ "lastStatus": "STOPPED", "stoppedAt": AT + 4.0, "stopCode": "ServiceSchedulerInitiated",
                        "stoppedReason": "Scaling activity initiated by (deployment ecs-svc/2)" }),
                ),
            ];
            let asked = body["tasks"].as_array().expect("ARNs");
            let found: Vec<_> = known
                .into_iter()
                .filter(|task| asked.contains(&task["taskArn"]))
                .collect();
            ok(json!({ "tasks": found }))
        }
        "DescribeTaskDefinition" => one_definition("x:latest"),
        "GetLogEvents" => {
            assert_eq!(body["logStreamName"], "backend/app/stopped");
            ok(json!({ "events": [{ "message": "starting\n" }, { "message": "cannot connect" }] }))
        }
        other => panic!("{other}"),
    });
    let environment = environment(&aws);
    let seen = environment
        .observe_service(&context(), &service_name())
        .await
        .expect("an observation");
    assert_eq!(seen.at, Timestamp::from_millis(1_763_683_300_000));
    assert_eq!(
        (seen.desired, seen.running, &seen.status),
        (1, 1, &ServiceStatus::Active)
    );
    let ours = seen.primary().expect("a PRIMARY deployment");
    assert_eq!(
        (ours.id.as_str(), &ours.rollout),
        ("ecs-svc/2", &RolloutState::InProgress)
    );
    let record = ours.record.as_ref().expect("its record");
    assert_eq!(record.status, RecordStatus::RollbackInProgress);
    assert_eq!(record.strategy, Strategy::Canary);
    assert_eq!(record.stage, Some(Stage::PreProductionTrafficShift));
    assert_eq!(
        record.rolled_back_to.as_ref().map(TaskDefinitionArn::as_str),
        Some(definition(1).as_str())
    );
    let other = &seen.deployments[1];
    assert_eq!(other.role, DeploymentRole::Other("NEW_ROLE".to_owned()));
    assert_eq!(other.rollout, RolloutState::Other("NEW_STATE".to_owned()));
    assert_eq!(other.record, None);
    assert_eq!(seen.tasks.len(), 1);
    let app = "app".parse().expect("a name");
    assert_eq!(
        seen.tasks[0].images.get(&app).map(ImageDigest::as_str),
        Some(digest("b").as_str())
    );
    assert_eq!(
        seen.tasks[0].started_by.as_ref().map(DeploymentId::as_str),
        Some("ecs-svc/1")
    );
    let [scaled, stopped] = seen.stopped.as_slice() else {
        panic!("{:?}", seen.stopped)
    };
    assert_eq!(
        (scaled.cause, stopped.cause),
        (None, Some(Cause::ContainerExited))
    );
    assert_eq!(stopped.containers[0].exit_code, Some(3));
    if cfg!(feature = "logs") {
        assert_eq!(stopped.log_tail, ["starting", "cannot connect"]);
    }
    assert!(scaled.log_tail.is_empty());
    let events: Vec<_> = seen.events.iter().map(|event| event.detail.as_str()).collect();
    assert_eq!(events, ["older", "newer"]);

    // What cannot change is not asked for again, and is seen again.
    let again = environment
        .observe_service(&context(), &service_name())
        .await
        .expect("an observation");
    assert_eq!(again, seen);
    assert_eq!(
        aws.bodies("DescribeTasks")
            .last()
            .map(|body| body["tasks"].clone()),
        Some(json!([task_arn("stopping")]))
    );
    for (operation, calls) in [
        ("GetLogEvents", usize::from(cfg!(feature = "logs"))),
        ("DescribeTaskDefinition", 1),
        ("DescribeServiceRevisions", 1),
    ] {
        assert_eq!(aws.bodies(operation).len(), calls, "{operation}");
    }
}

#[tokio::test]
async fn a_deployment_that_has_left_stays_visible_by_its_record() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeServices" => ok(service(&[deployment("ecs-svc/3", "PRIMARY", 1, "COMPLETED")])),
        // The rollback's own deployment is newer than the record of what it rolls back.
        "ListServiceDeployments" => {
            ok(json!({ "serviceDeployments": [{ "serviceDeploymentArn": "arn:sd/2" }] }))
        }
        "DescribeServiceDeployments" => ok(json!({ "serviceDeployments": [{
            "serviceDeploymentArn": "arn:sd/2", "createdAt": AT - 3600.0, "status": "ROLLBACK_SUCCESSFUL",
            "targetServiceRevision": { "arn": "arn:sr/2" }, "rollback": { "serviceRevisionArn": "arn:sr/1" },
        }] })),
        "DescribeServiceRevisions" => ok(json!({ "serviceRevisions": [
            { "serviceRevisionArn": "arn:sr/1", "taskDefinition": definition(1) },
            { "serviceRevisionArn": "arn:sr/2", "taskDefinition": definition(2) },
        ] })),
        "ListTasks" if body["desiredStatus"] == "STOPPED" => ok(json!({ "taskArns": ["a"] })),
        "ListTasks" => ok(json!({ "taskArns": [] })),
        "DescribeTasks" => ok(json!({ "tasks": [task("a", &json!({
            "lastStatus": "STOPPED", "stoppedAt": AT, "taskDefinitionArn": definition(2), "startedBy": "ecs-svc/2",
            "stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: x", "containers": [],
        }))] })),
        "DescribeTaskDefinition" => one_definition("x@y"),
        other => panic!("{other}"),
    });
    let seen = environment(&aws)
        .observe_service(&context(), &service_name())
        .await
        .expect("an observation");
    let left = seen
        .deployment(&DeploymentId::new("ecs-svc/2").expect("an id"))
        .expect("the one that left");
    assert_eq!(
        (&left.role, &left.rollout),
        (&DeploymentRole::Inactive, &RolloutState::Failed)
    );
    let record = left.record.as_ref().expect("its record");
    assert_eq!(record.status, RecordStatus::RollbackSuccessful);
    assert_eq!(
        record.rolled_back_to.as_ref().map(TaskDefinitionArn::as_str),
        Some(definition(1).as_str())
    );
    assert_eq!(seen.primary().and_then(|primary| primary.record.as_ref()), None);
    let after = aws.bodies("ListServiceDeployments")[0]["createdAt"]["after"]
        .as_f64()
        .expect("a time");
    assert!(
        after < AT - 3600.0,
        "records are looked for long before the oldest deployment in sight"
    );
}

#[tokio::test]
async fn failures_that_come_with_http_200_are_read() {
    let missing =
        Aws::new(|_, _| ok(json!({ "services": [], "failures": [{ "arn": "x", "reason": "MISSING" }] })));
    let seen = environment(&missing)
        .observe_service(&context(), &service_name())
        .await
        .expect("an observation");
    assert_eq!(seen.status, ServiceStatus::Missing);
    assert_eq!(missing.operations(), ["DescribeServices"]);
    let error = environment(&missing)
        .update_service(&context(), &change(2, None))
        .await
        .expect_err("missing");
    assert_eq!((error.kind, error.applied), (ErrorKind::NotFound, Applied::No));

    let other =
        Aws::new(|_, _| ok(json!({ "services": [], "failures": [{ "reason": "NEW", "detail": "why" }] })));
    let error = environment(&other)
        .observe_service(&context(), &service_name())
        .await
        .expect_err("a failure");
    assert!(error.context.contains("NEW (why)"), "{error}");
}

#[tokio::test]
async fn lists_are_followed_to_the_end_and_not_round_in_a_circle() {
    for (last, expected) in [(Value::Null, Some(3)), (json!("t1"), None)] {
        let aws = Aws::new(move |operation, body| match operation {
            "DescribeServices" => ok(service(&[deployment("ecs-svc/1", "PRIMARY", 1, "COMPLETED")])),
            // An endpoint without the operation: the record is unknown, the observation is still one.
            "ListServiceDeployments" => error(400, "InvalidAction"),
            "ListTasks" if body["desiredStatus"] == "STOPPED" => ok(json!({ "taskArns": [] })),
            "ListTasks" => ok(match body["nextToken"].as_str() {
                None => json!({ "taskArns": ["a"], "nextToken": "t1" }),
                Some("t1") => json!({ "taskArns": ["b"], "nextToken": "t2" }),
                Some(_) => json!({ "taskArns": ["c"], "nextToken": last }),
            }),
            "DescribeTasks" => ok(json!({
                "tasks": body["tasks"].as_array().expect("ARNs").iter()
                    .map(|arn| task(arn.as_str().expect("an ARN"), &json!({}))).collect::<Vec<_>>(),
            })),
            "DescribeTaskDefinition" => one_definition(&pinned_image()),
            other => panic!("{other}"),
        });
        let seen = environment(&aws)
            .observe_service(&context(), &service_name())
            .await;
        match expected {
            Some(count) => {
                let seen = seen.expect("an observation");
                assert_eq!(seen.tasks.len(), count);
                assert_eq!(seen.deployments[0].record, None);
                // The pin of the revision comes before the digest that is reported.
                let app = "app".parse().expect("a name");
                assert_eq!(
                    seen.tasks[0].images.get(&app).map(ImageDigest::as_str),
                    Some(digest("a").as_str())
                );
            }
            None => assert!(seen.is_err_and(|error| error.context.contains("already given"))),
        }
    }
}

fn one_off() -> TaskSpec {
    TaskSpec {
        name: "migrate".parse().expect("a name"),
        revision: spec(),
        run: json!({ "launchType": "FARGATE", "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["s"] } } }),
    }
}

#[tokio::test]
async fn a_task_is_run_with_a_derived_token() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeTaskDefinition" => error(400, "ClientException"),
        "RegisterTaskDefinition" => ok(json!({ "taskDefinition": registered(body, 7) })),
        "RunTask" => ok(json!({ "tasks": [task("t", &json!({}))], "failures": [] })),
        other => panic!("{other}"),
    });
    let environment = environment(&aws);
    environment
        .start_task(&context(), &one_off())
        .await
        .expect("started");
    environment
        .start_task(&context(), &one_off())
        .await
        .expect("started");
    let sent = aws.bodies("RunTask");
    assert_eq!(sent[0], sent[1]);
    assert_eq!(sent[0]["clientToken"], json!(context().token().as_str()));
    assert_eq!(sent[0]["startedBy"], sent[0]["clientToken"]);
    assert_eq!(
        sent[0]["networkConfiguration"],
        one_off().run["networkConfiguration"]
    );
    assert_eq!(sent[0]["taskDefinition"], json!(definition(7)));
    assert_eq!(sent[0]["cluster"], "prod");
}

/// A laptop whose lid was closed while the revision was looked up.
#[tokio::test]
async fn a_task_is_not_started_past_the_deadline_of_the_call() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeTaskDefinition" => error(400, "ClientException"),
        "RegisterTaskDefinition" => ok(json!({ "taskDefinition": registered(body, 7) })),
        "RunTask" => ok(json!({ "tasks": [{ "taskArn": "arn:aws:ecs:eu-central-1:1:task/prod/1" }] })),
        other => panic!("{other}"),
    });
    let mut ctx = context();
    ctx.deadline = Timestamp::from_millis(1_000);
    let at = |millis| {
        let now: Now = Arc::new(move || Timestamp::from_millis(millis));
        environment(&aws).clock(now)
    };
    let late = at(1_001).start_task(&ctx, &one_off()).await;
    let error = late.expect_err("it is too late");
    assert_eq!((error.kind, error.applied), (ErrorKind::TimedOut, Applied::No));
    assert_eq!(aws.bodies("RunTask").len(), 0);
    at(1_000).start_task(&ctx, &one_off()).await.expect("in time");
    assert_eq!(aws.bodies("RunTask").len(), 1);
}

#[tokio::test]
async fn a_task_that_finds_no_place_has_not_run() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeTaskDefinition" => error(400, "ClientException"),
        "RegisterTaskDefinition" => ok(json!({ "taskDefinition": registered(body, 7) })),
        "RunTask" => ok(json!({ "tasks": [], "failures": [{ "reason": "RESOURCE:MEMORY" }] })),
        other => panic!("{other}"),
    });
    let error = environment(&aws)
        .start_task(&context(), &one_off())
        .await
        .expect_err("no place");
    assert_eq!((error.kind, error.applied), (ErrorKind::Unavailable, Applied::No));
    assert!(error.context.contains("RESOURCE:MEMORY"), "{error}");

    let mut bad = one_off();
    for (key, value) in [
        ("clientToken", json!("mine")),
        ("count", json!(2)),
        ("cluster", json!("staging")),
    ] {
        bad.run = json!({ key: value });
        let error = environment(&aws)
            .start_task(&context(), &bad)
            .await
            .expect_err(key);
        assert_eq!(error.kind, ErrorKind::InvalidRequest);
        assert!(error.context.contains(key), "{error}");
    }
    assert_eq!(aws.bodies("RunTask").len(), 1);
}

#[tokio::test]
async fn a_lost_task_is_found_by_its_token_running_or_stopped() {
    let token = context().token().as_str().to_owned();
    for stopped in [false, true] {
        let token = token.clone();
        let aws = Aws::new(move |operation, body| match operation {
            "ListTasks" if body.get("startedBy").is_some() => {
                assert_eq!(
                    body,
                    &json!({ "cluster": "prod", "startedBy": token }),
                    "the only filter"
                );
                ok(json!({ "taskArns": if stopped { json!([]) } else { json!(["running"]) } }))
            }
            "ListTasks" => {
                assert_eq!(
                    (&body["family"], &body["desiredStatus"]),
                    (&json!("backend"), &json!("STOPPED"))
                );
                ok(json!({ "taskArns": ["x", "y"] }))
            }
            "DescribeTasks" => ok(json!({ "tasks": [
                task("x", &json!({ "startedBy": "someone" })), task("y", &json!({ "startedBy": token })),
            ] })),
            other => panic!("{other}"),
        });
        let found = environment(&aws)
            .find_task(&context(), &one_off())
            .await
            .expect("looked")
            .expect("found");
        assert!(
            found.as_str().ends_with(if stopped { "/y" } else { "running" }),
            "{found}"
        );
    }
}

#[tokio::test]
async fn a_task_is_observed_and_stopped() {
    let arn = TaskArn::new("arn:task/t").expect("an ARN");
    let gone = Aws::new(|operation, _| match operation {
        "DescribeTasks" => ok(json!({ "tasks": [], "failures": [{ "reason": "MISSING" }] })),
        "StopTask" => error(400, "InvalidParameterException"),
        other => panic!("{other}"),
    });
    let seen = environment(&gone)
        .observe_task(&context(), &arn)
        .await
        .expect("looked");
    assert!(matches!(seen, TaskObservation::Missing { .. }));
    environment(&gone)
        .stop_task(&context(), &arn)
        .await
        .expect("gone is stopped");

    let running = Aws::new(|operation, _| match operation {
        "DescribeTasks" => ok(json!({ "tasks": [task("t", &json!({ "lastStatus": "PROVISIONING" }))] })),
        "StopTask" => error(400, "InvalidParameterException"),
        other => panic!("{other}"),
    });
    let seen = environment(&running)
        .observe_task(&context(), &arn)
        .await
        .expect("looked");
    assert!(matches!(seen, TaskObservation::Running { status, .. } if status == "PROVISIONING"));
    let error = environment(&running)
        .stop_task(&context(), &arn)
        .await
        .expect_err("still running");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);

    let done = Aws::new(|operation, _| match operation {
        "DescribeTasks" => ok(json!({ "tasks": [task("t", &json!({
            "lastStatus": "STOPPED", "stoppedAt": AT, "stopCode": "EssentialContainerExited",
            "containers": [{ "name": "app", "exitCode": 0 }],
        }))] })),
        "DescribeTaskDefinition" => one_definition("x"),
        "GetLogEvents" => ok(json!({ "events": [{ "message": "3 tables migrated" }] })),
        other => panic!("{other}"),
    });
    let seen = environment(&done)
        .observe_task(&context(), &arn)
        .await
        .expect("looked");
    let TaskObservation::Stopped(stopped) = seen else {
        panic!("{seen:?}")
    };
    assert_eq!((stopped.cause, stopped.containers[0].exit_code), (None, Some(0)));
    if cfg!(feature = "logs") {
        assert_eq!(stopped.log_tail, ["3 tables migrated"]);
    }
}

#[tokio::test]
async fn a_capture_is_a_point_or_says_why_not() {
    let capture = |deployments: Vec<Value>, revision: Value, tasks: Vec<Value>| async move {
        let aws = Aws::new(move |operation, body| match operation {
            "DescribeServices" => ok(service(&deployments)),
            "ListServiceDeployments" => ok(json!({ "serviceDeployments": [] })),
            "ListTasks" if body["desiredStatus"] == "STOPPED" => ok(json!({ "taskArns": [] })),
            "ListTasks" => ok(json!({ "taskArns": ["t", "u"] })),
            "DescribeTasks" => ok(json!({ "tasks": tasks })),
            "DescribeTaskDefinition" => ok(json!({ "taskDefinition": revision })),
            other => panic!("{other}"),
        });
        let rollback = EcsRollback::new(Arc::new(environment(&aws)));
        rollback
            .capture(&context(), &service_name())
            .await
            .expect("an answer")
    };
    let revision = |status: &str| {
        json!({ "taskDefinitionArn": definition(1), "status": status,
            "containerDefinitions": [{ "name": "app", "image": "x:latest" }] })
    };
    let done = || vec![deployment("ecs-svc/1", "PRIMARY", 1, "COMPLETED")];
    let two = |other: &str| {
        let more = json!({ "containers": [{ "name": "app", "imageDigest": digest(other) }] });
        vec![task("t", &json!({})), task("u", &more)]
    };
    let point = capture(done(), revision("ACTIVE"), two("b")).await;
    let Captured::Point(point) = point else {
        panic!("{point:?}")
    };
    assert_eq!((point.deployment.as_str(), point.desired), ("ecs-svc/1", 1));
    let app = "app".parse().expect("a name");
    assert_eq!(
        point.images.get(&app).map(ImageDigest::as_str),
        Some(digest("b").as_str())
    );

    for (deployments, revision, tasks, word) in [
        (
            vec![deployment("ecs-svc/1", "PRIMARY", 1, "FAILED")],
            revision("ACTIVE"),
            two("b"),
            "not COMPLETED",
        ),
        (vec![], revision("ACTIVE"), two("b"), "never deployed"),
        (done(), revision("ACTIVE"), two("c"), "a tag has moved"),
        (done(), revision("ACTIVE"), vec![], "no task"),
        (
            done(),
            revision("ACTIVE"),
            vec![task("t", &json!({ "containers": [] }))],
            "not known",
        ),
    ] {
        let nothing = capture(deployments, revision, tasks).await;
        assert!(
            matches!(&nothing, Captured::Nothing { why, .. } if why.contains(word)),
            "{word}: {nothing:?}"
        );
    }

    // Somebody deploys: that is not the same as having nothing to go back to.
    let under_way = vec![deployment("ecs-svc/2", "PRIMARY", 1, "IN_PROGRESS")];
    let busy = capture(under_way, revision("ACTIVE"), two("b")).await;
    assert!(
        matches!(&busy, Captured::Busy { deployment, .. } if deployment.as_str() == "ecs-svc/2"),
        "{busy:?}"
    );
}

fn restore_point(container: &str) -> RestorePoint {
    RestorePoint {
        service: service_name(),
        captured_at: Timestamp::EPOCH,
        task_definition: definition(1).parse().expect("an ARN"),
        images: [(
            container.parse().expect("a name"),
            digest("b").parse().expect("a digest"),
        )]
        .into(),
        deployment: "ecs-svc/1".parse().expect("an id"),
        desired: 1,
        since: None,
    }
}

#[tokio::test]
async fn what_a_restore_point_rests_on_is_told_part_by_part() {
    let usable = |revision: Option<Value>, container: &'static str| async move {
        let aws = Aws::new(move |operation, _| match (operation, &revision) {
            ("DescribeTaskDefinition", Some(revision)) => ok(json!({ "taskDefinition": revision })),
            ("DescribeTaskDefinition", None) => error(400, "ClientException"),
            (other, _) => panic!("{other}"),
        });
        let rollback = EcsRollback::new(Arc::new(environment(&aws)));
        rollback
            .usable(&context(), &restore_point(container))
            .await
            .expect("an answer")
    };
    let revision = |status: &str| {
        Some(
            json!({ "taskDefinitionArn": definition(1), "status": status, "containerDefinitions": [
            { "name": "app", "image": "x:latest", "secrets": [{ "name": "A", "valueFrom": "param" }] },
            { "name": "side", "image": "y", "secrets": [{ "name": "B", "valueFrom": "param" }] },
        ] }),
        )
    };
    let seen = usable(revision("ACTIVE"), "app").await;
    let kinds: Vec<&PartKind> = seen.parts.iter().map(|part| &part.kind).collect();
    let image = PartKind::Image {
        container: "app".parse().expect("a name"),
    };
    assert_eq!(
        kinds,
        [&PartKind::Revision, &image, &PartKind::Secret],
        "each secret once"
    );
    assert_eq!(seen.parts[0].found, Found::Usable);
    // Nobody was given to ask.
    assert_eq!((seen.gone().count(), seen.unknown().count()), (0, 2));

    for status in ["INACTIVE", "DELETE_IN_PROGRESS"] {
        let seen = usable(revision(status), "app").await;
        assert!(
            seen.gone().any(|(part, _)| part.kind == PartKind::Revision),
            "{status}"
        );
    }
    let seen = usable(None, "app").await;
    assert_eq!(seen.gone().count(), 1);
    // A container that the revision does not have is no pass.
    let seen = usable(revision("ACTIVE"), "other").await;
    assert!(
        seen.unknown().any(|(part, _)| part.name.contains("other")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_deployment_is_turned_back_by_its_record_and_only_if_it_is_primary() {
    let record: ServiceDeploymentArn = "arn:sd/2".parse().expect("an ARN");
    let ours: DeploymentId = "ecs-svc/2".parse().expect("an id");
    let turn = |primary: &'static str, answer: fn() -> Answer| {
        let aws = Aws::new(move |operation, body| match operation {
            "DescribeServices" => ok(service(&[deployment(primary, "PRIMARY", 2, "IN_PROGRESS")])),
            "StopServiceDeployment" => {
                assert_eq!(body["serviceDeploymentArn"], "arn:sd/2");
                assert_eq!(body["stopType"], "ROLLBACK");
                answer()
            }
            other => panic!("{other}"),
        });
        let (record, ours) = (record.clone(), ours.clone());
        async move {
            let rollback = EcsRollback::new(Arc::new(environment(&aws)));
            let turned = rollback
                .turn_back(&context(), &restore_point("app"), &ours, &record)
                .await;
            (turned, aws.bodies("StopServiceDeployment").len())
        }
    };
    let good = || ok(json!({ "serviceDeploymentArn": "arn:sd/2" }));
    let (turned, calls) = turn("ecs-svc/2", good).await;
    assert_eq!((turned.is_ok(), calls), (true, 1));
    let (turned, calls) = turn("ecs-svc/3", good).await;
    let refused = turned.expect_err("someone else deployed");
    assert_eq!(
        (refused.kind, refused.applied, calls),
        (ErrorKind::Conflict, Applied::No, 0)
    );
    for (code, kind) in [
        ("ConflictException", ErrorKind::Conflict),
        ("AccessDeniedException", ErrorKind::PermissionDenied),
        ("ServiceDeploymentNotFoundException", ErrorKind::NotFound),
    ] {
        let (turned, _) = match code {
            "ConflictException" => turn("ecs-svc/2", || error(400, "ConflictException")).await,
            "AccessDeniedException" => turn("ecs-svc/2", || error(400, "AccessDeniedException")).await,
            _ => turn("ecs-svc/2", || error(400, "ServiceDeploymentNotFoundException")).await,
        };
        let refused = turned.expect_err(code);
        assert_eq!((refused.kind, refused.applied), (kind, Applied::No), "{code}");
    }
    // Sent once, whatever comes back: a lost answer is looked after, not repeated.
    let (turned, calls) = turn("ecs-svc/2", || Answer::Broken).await;
    assert_eq!((turned.expect_err("lost").applied, calls), (Applied::Maybe, 1));
}

#[test]
fn every_action_is_in_the_documentation() {
    let text = include_str!("mod.rs");
    for action in ACTIONS {
        assert!(text.contains(&format!("`{action}`")), "{action}");
    }
}
