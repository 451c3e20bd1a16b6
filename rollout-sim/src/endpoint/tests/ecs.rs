//! ECS over awsJson1.1: what a caller sends and gets, member by member where it matters.

use core::time::Duration;
use serde_json::{Value, json};

use super::{endpoint, header, json_call, json_request};
use crate::endpoint::Endpoint;

/// A call by production, signed for its region.
fn call(endpoint: &Endpoint, operation: &str, input: &Value) -> (u16, Value) {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let request = json_request(("444455556666", "eu-central-1", "ecs"), &target, input);
    let answer = endpoint.answer(&request);
    assert_eq!(header(&answer, "content-type"), "application/x-amz-json-1.1");
    assert!(!header(&answer, "x-amzn-requestid").is_empty());
    let body = serde_json::from_slice(answer.body()).expect("JSON");
    (answer.status().as_u16(), body)
}

fn ok(endpoint: &Endpoint, operation: &str, input: &Value) -> Value {
    let (status, body) = call(endpoint, operation, input);
    assert_eq!(status, 200, "{operation}: {body}");
    body
}

fn refused(endpoint: &Endpoint, operation: &str, input: &Value) -> String {
    let (status, body) = call(endpoint, operation, input);
    assert_eq!(status, 400, "{operation}: {body}");
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    body["__type"].as_str().expect("a type").to_owned()
}

/// Whether everything that was given is told again; more may be.
fn holds(told: &Value, given: &Value) -> bool {
    match (told, given) {
        (Value::Object(told), Value::Object(given)) => given
            .iter()
            .all(|(name, value)| told.get(name).is_some_and(|told| holds(told, value))),
        (Value::Array(told), Value::Array(given)) => {
            told.len() == given.len() && told.iter().zip(given).all(|(told, given)| holds(told, given))
        }
        _ => told == given,
    }
}

fn pass(endpoint: &Endpoint, seconds: u64) {
    endpoint
        .cloud()
        .with(|world| world.pass(Duration::from_secs(seconds)));
}

fn service(endpoint: &Endpoint) -> Value {
    let input = json!({ "cluster": "production", "services": ["api"] });
    ok(endpoint, "DescribeServices", &input)["services"][0].clone()
}

/// A task definition with members that the physics do not look at.
fn definition(tag: &str) -> Value {
    json!({
        "family": "api", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"], "runtimePlatform": { "cpuArchitecture": "ARM64" },
        "containerDefinitions": [{
            "name": "api", "essential": true, "stopTimeout": 7,
            "image": format!("444455556666.dkr.ecr.eu-central-1.amazonaws.com/shop/api:{tag}"),
            "environment": [{ "name": "A", "value": "b" }],
        }],
        "tags": [{ "key": "team", "value": "shop" }],
    })
}

#[test]
fn a_definition_is_kept_as_it_was_given() {
    let endpoint = endpoint();
    let given = definition("1.1.0");
    let told = ok(&endpoint, "RegisterTaskDefinition", &given);
    assert_eq!(told["tags"], given["tags"]);
    let arn = "arn:aws:ecs:eu-central-1:444455556666:task-definition/api:2";
    assert_eq!(told["taskDefinition"]["taskDefinitionArn"], arn);
    assert_eq!(
        (
            &told["taskDefinition"]["revision"],
            &told["taskDefinition"]["status"]
        ),
        (&json!(2), &json!("ACTIVE"))
    );
    // The same content is a revision of its own, unlike with the port.
    let again = ok(&endpoint, "RegisterTaskDefinition", &given);
    assert_eq!(again["taskDefinition"]["revision"], 3);
    for named in ["api:2", arn] {
        let told = ok(
            &endpoint,
            "DescribeTaskDefinition",
            &json!({ "taskDefinition": named }),
        );
        assert_eq!(told["tags"], Value::Null, "tags are told only to those who ask");
        let mut untagged = given.clone();
        untagged.as_object_mut().expect("an object").remove("tags");
        assert!(holds(&told["taskDefinition"], &untagged), "{told}");
        // Clients count on these: ecs-deploy ends without `volumes`.
        assert_eq!(told["taskDefinition"]["volumes"], json!([]));
        assert_eq!(
            told["taskDefinition"]["containerDefinitions"][0]["mountPoints"],
            json!([])
        );
        assert_eq!(
            told["taskDefinition"]["compatibilities"],
            json!(["EC2", "FARGATE"])
        );
    }
    let asked = json!({ "taskDefinition": "api", "include": ["TAGS"] });
    let newest = ok(&endpoint, "DescribeTaskDefinition", &asked);
    assert_eq!(newest["taskDefinition"]["revision"], 3);
    assert_eq!(newest["tags"], given["tags"]);

    let gone = ok(
        &endpoint,
        "DeregisterTaskDefinition",
        &json!({ "taskDefinition": "api:3" }),
    );
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    let listed = |input: Value| ok(&endpoint, "ListTaskDefinitions", &input)["taskDefinitionArns"].clone();
    let short = |all: Value| -> Vec<String> {
        let all = all.as_array().expect("a list").clone();
        all.iter()
            .map(|a| {
                a.as_str()
                    .and_then(|a| a.rsplit('/').next())
                    .expect("an ARN")
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(
        short(listed(json!({ "familyPrefix": "api" }))),
        ["api:1", "api:2"]
    );
    assert_eq!(
        short(listed(json!({ "familyPrefix": "api", "sort": "DESC" }))),
        ["api:2", "api:1"]
    );
    assert_eq!(short(listed(json!({ "status": "INACTIVE" }))), ["api:3"]);
    let update = json!({ "cluster": "production", "service": "api", "taskDefinition": "api:3" });
    assert_eq!(refused(&endpoint, "UpdateService", &update), "ClientException");
}

#[test]
fn an_update_runs_to_completed() {
    let endpoint = endpoint();
    let before = service(&endpoint);
    let old = before["deployments"][0]["id"].clone();
    assert_eq!(before["runningCount"], 3);
    ok(&endpoint, "RegisterTaskDefinition", &definition("1.1.0"));
    let update = json!({ "cluster": "production", "service": "api", "taskDefinition": "api:2" });
    let told = ok(&endpoint, "UpdateService", &update)["service"].clone();
    let deployments = told["deployments"].as_array().expect("a list");
    assert_eq!(deployments.len(), 2);
    let states: Vec<_> = deployments
        .iter()
        .map(|d| (d["status"].as_str(), d["rolloutState"].as_str()))
        .collect();
    assert_eq!(
        states,
        [
            (Some("PRIMARY"), Some("IN_PROGRESS")),
            (Some("ACTIVE"), Some("COMPLETED"))
        ]
    );
    assert_eq!(deployments[1]["id"], old);
    assert_eq!(
        told["taskDefinition"],
        "arn:aws:ecs:eu-central-1:444455556666:task-definition/api:2"
    );

    pass(&endpoint, 300);
    let done = service(&endpoint);
    assert_eq!(done["deployments"].as_array().map(Vec::len), Some(1));
    assert_eq!(done["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!(
        (
            &done["runningCount"],
            &done["desiredCount"],
            &done["pendingCount"]
        ),
        (&json!(3), &json!(3), &json!(0))
    );
    assert!(
        done["events"][0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("has reached a steady state"))
    );
    assert!(
        done["events"][0]["createdAt"]
            .as_f64()
            .is_some_and(|at| at > 1.7e9)
    );

    let list = json!({ "cluster": "production", "service": "api" });
    let records = ok(&endpoint, "ListServiceDeployments", &list)["serviceDeployments"].clone();
    let arn = records[0]["serviceDeploymentArn"].clone();
    assert_eq!(records[0]["status"], "SUCCESSFUL");
    let record = ok(
        &endpoint,
        "DescribeServiceDeployments",
        &json!({ "serviceDeploymentArns": [arn] }),
    );
    assert_eq!(record["failures"], json!([]));
    let revision = &record["serviceDeployments"][0]["targetServiceRevision"]["arn"];
    let revisions = ok(
        &endpoint,
        "DescribeServiceRevisions",
        &json!({ "serviceRevisionArns": [revision] }),
    );
    assert_eq!(
        revisions["serviceRevisions"][0]["taskDefinition"],
        done["taskDefinition"]
    );
}

#[test]
fn tasks_are_listed_in_pages_and_described() {
    let endpoint = endpoint();
    let first = ok(
        &endpoint,
        "ListTasks",
        &json!({ "cluster": "production", "serviceName": "api", "maxResults": 2 }),
    );
    assert_eq!(first["taskArns"].as_array().map(Vec::len), Some(2));
    let token = first["nextToken"].clone();
    let rest = json!({ "cluster": "production", "serviceName": "api", "maxResults": 2, "nextToken": token });
    let last = ok(&endpoint, "ListTasks", &rest);
    assert_eq!(
        (last["taskArns"].as_array().map(Vec::len), &last["nextToken"]),
        (Some(1), &Value::Null)
    );
    let gone = "arn:aws:ecs:eu-central-1:444455556666:task/production/0123";
    let tasks = json!({ "cluster": "production", "tasks": [first["taskArns"][0], gone] });
    let told = ok(&endpoint, "DescribeTasks", &tasks);
    assert_eq!(told["failures"], json!([{ "arn": gone, "reason": "MISSING" }]));
    let task = &told["tasks"][0];
    assert_eq!(
        (&task["lastStatus"], &task["desiredStatus"]),
        (&json!("RUNNING"), &json!("RUNNING"))
    );
    assert_eq!(task["group"], "service:api");
    assert!(
        task["containers"][0]["imageDigest"]
            .as_str()
            .is_some_and(|d| d.starts_with("sha256:"))
    );
    let zone = task["availabilityZone"].as_str();
    assert!(
        zone.is_some_and(|zone| zone.starts_with("eu-central-1")),
        "{task}"
    );
    assert!(
        task["connectivityAt"].is_number() && task["containers"][0]["runtimeId"].is_string(),
        "{task}"
    );
    assert_eq!(task["containers"][0]["cpu"], "0", "none was given");
    let interface = &task["attachments"][0];
    assert_eq!(
        (&interface["type"], &interface["status"]),
        (&json!("ElasticNetworkInterface"), &json!("ATTACHED"))
    );
    let details = interface["details"].as_array().expect("a list");
    let address = details
        .iter()
        .find(|d| d["name"] == "privateIPv4Address")
        .expect("an address");
    let own = &task["containers"][0]["networkInterfaces"][0];
    assert_eq!(
        (&own["attachmentId"], &own["privateIpv4Address"]),
        (&interface["id"], &address["value"])
    );

    let task = &first["taskArns"][0];
    let stop = json!({ "cluster": "production", "task": task, "reason": "by hand" });
    let stopped = ok(&endpoint, "StopTask", &stop);
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED");
    pass(&endpoint, 60);
    let told = ok(
        &endpoint,
        "DescribeTasks",
        &json!({ "cluster": "production", "tasks": [task] }),
    );
    let task = &told["tasks"][0];
    assert_eq!(
        (&task["lastStatus"], &task["stopCode"]),
        (&json!("STOPPED"), &json!("UserInitiated"))
    );
}

#[test]
fn an_image_is_pulled_while_its_task_is_activating() {
    let endpoint = endpoint();
    let run = json!({ "cluster": "production", "taskDefinition": "api:1" });
    let task = ok(&endpoint, "RunTask", &run)["tasks"][0]["taskArn"].clone();
    let asked = json!({ "cluster": "production", "tasks": [task] });
    let mut phases: Vec<Value> = Vec::new();
    let pulled = loop {
        let task = ok(&endpoint, "DescribeTasks", &asked)["tasks"][0].clone();
        if phases.last() != Some(&task["lastStatus"]) {
            phases.push(task["lastStatus"].clone());
        }
        if task["pullStoppedAt"].is_number() || phases.len() > 4 {
            break task;
        }
        endpoint
            .cloud()
            .with(|world| world.pass(Duration::from_millis(100)));
    };
    assert_eq!(phases, ["PROVISIONING", "PENDING", "ACTIVATING"], "{pulled}");
}

#[test]
fn a_task_is_run_once_for_its_token() {
    let endpoint = endpoint();
    let run = json!({ "cluster": "production", "taskDefinition": "api:1", "clientToken": "t-1", "startedBy": "me" });
    let first = ok(&endpoint, "RunTask", &run);
    assert_eq!(first["failures"], json!([]));
    let arn = &first["tasks"][0]["taskArn"];
    assert_eq!(&ok(&endpoint, "RunTask", &run)["tasks"][0]["taskArn"], arn);
    let mut other = run;
    other["startedBy"] = json!("you");
    let (status, body) = call(&endpoint, "RunTask", &other);
    assert_eq!((status, &body["__type"]), (400, &json!("ConflictException")));
    assert_eq!(body["resourceIds"], json!([arn]));
    let changed: Vec<_> = endpoint.calls().iter().map(|c| c.changed).collect();
    assert_eq!(changed, [true, false, false]);
    let started = ok(
        &endpoint,
        "ListTasks",
        &json!({ "cluster": "production", "startedBy": "me" }),
    );
    assert_eq!(started["taskArns"], json!([arn]));
    pass(&endpoint, 120);
    let told = ok(
        &endpoint,
        "DescribeTasks",
        &json!({ "cluster": "production", "tasks": [arn] }),
    );
    assert_eq!(told["tasks"][0]["containers"][0]["exitCode"], 0);
}

#[test]
fn a_service_is_created_scaled_and_deleted() {
    let endpoint = endpoint();
    let cluster = ok(&endpoint, "CreateCluster", &json!({ "clusterName": "second" }));
    assert_eq!(cluster["cluster"]["status"], "ACTIVE");
    let create = json!({
        "cluster": "second", "serviceName": "web", "taskDefinition": "api:1", "desiredCount": 2, "launchType": "FARGATE",
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } },
        "tags": [{ "key": "a", "value": "b" }],
    });
    let made = ok(&endpoint, "CreateService", &create)["service"].clone();
    assert_eq!(
        (&made["status"], &made["runningCount"], &made["launchType"]),
        (&json!("ACTIVE"), &json!(0), &json!("FARGATE"))
    );
    pass(&endpoint, 120);
    let told = |include: Value| {
        let input = json!({ "cluster": "second", "services": ["web", "none"], "include": include });
        ok(&endpoint, "DescribeServices", &input)
    };
    let both = told(json!([]));
    assert_eq!(both["services"][0]["runningCount"], 2);
    assert_eq!(both["services"][0]["tags"], Value::Null);
    assert_eq!(told(json!(["TAGS"]))["services"][0]["tags"], create["tags"]);
    let missing = "arn:aws:ecs:eu-central-1:444455556666:service/second/none";
    assert_eq!(both["failures"], json!([{ "arn": missing, "reason": "MISSING" }]));

    let delete = json!({ "cluster": "second", "service": "web" });
    assert_eq!(
        refused(&endpoint, "DeleteService", &delete),
        "InvalidParameterException"
    );
    let scale = json!({ "cluster": "second", "service": "web", "desiredCount": 0 });
    let scaled = ok(&endpoint, "UpdateService", &scale);
    assert_eq!(
        scaled["service"]["deployments"].as_array().map(Vec::len),
        Some(1),
        "a scaling is no deployment"
    );
    pass(&endpoint, 120);
    assert_eq!(
        ok(&endpoint, "DeleteService", &delete)["service"]["status"],
        "INACTIVE",
        "nothing runs that would have to drain"
    );
    assert_eq!(told(json!([]))["services"][0]["status"], "INACTIVE");
    assert_eq!(
        refused(&endpoint, "UpdateService", &scale),
        "ServiceNotActiveException"
    );
    assert_eq!(
        ok(&endpoint, "ListServices", &json!({ "cluster": "second" }))["serviceArns"],
        json!([])
    );
}

#[test]
fn what_aws_refuses_is_refused_by_its_codes() {
    let endpoint = endpoint();
    let many: Vec<_> = (0..11).map(|n| format!("s{n}")).collect();
    for (operation, input, code) in [
        (
            "DescribeServices",
            json!({ "cluster": "nope", "services": ["api"] }),
            "ClusterNotFoundException",
        ),
        // Without a cluster it is the one named `default`, which this world has not.
        (
            "DescribeServices",
            json!({ "services": ["api"] }),
            "ClusterNotFoundException",
        ),
        (
            "DescribeServices",
            json!({ "cluster": "production", "services": [] }),
            "InvalidParameterException",
        ),
        (
            "DescribeServices",
            json!({ "cluster": "production", "services": many }),
            "InvalidParameterException",
        ),
        (
            "UpdateService",
            json!({ "cluster": "production", "service": "nope" }),
            "ServiceNotFoundException",
        ),
        (
            "UpdateService",
            json!({ "cluster": "production", "service": "api", "taskDefinition": "api:9" }),
            "ClientException",
        ),
        (
            "RunTask",
            json!({ "cluster": "production", "taskDefinition": "api:9" }),
            "ClientException",
        ),
        (
            "DescribeTaskDefinition",
            json!({ "taskDefinition": "nope" }),
            "ClientException",
        ),
        (
            "DeregisterTaskDefinition",
            json!({ "taskDefinition": "api" }),
            "ClientException",
        ),
        (
            "RegisterTaskDefinition",
            json!({ "family": "x", "containerDefinitions": [] }),
            "ClientException",
        ),
        (
            "ListTasks",
            json!({ "cluster": "production", "serviceName": "nope" }),
            "ServiceNotFoundException",
        ),
        (
            "ListTasks",
            json!({ "cluster": "production", "nextToken": "x" }),
            "InvalidParameterException",
        ),
        (
            "ListTasks",
            json!({ "cluster": "production", "maxResults": 101 }),
            "InvalidParameterException",
        ),
        (
            "DescribeTasks",
            json!({ "cluster": "production", "tasks": [] }),
            "InvalidParameterException",
        ),
        (
            "StopTask",
            json!({ "cluster": "production", "task": "0123" }),
            "InvalidParameterException",
        ),
        (
            "DescribeServiceDeployments",
            json!({ "serviceDeploymentArns": [] }),
            "InvalidParameterException",
        ),
        (
            "StopServiceDeployment",
            json!({ "serviceDeploymentArn": "arn:aws:ecs:eu-central-1:444455556666:service-deployment/production/api/x" }),
            "ServiceDeploymentNotFoundException",
        ),
        (
            "UpdateService",
            json!({ "cluster": "production", "service": 7 }),
            "SerializationException",
        ),
    ] {
        assert_eq!(refused(&endpoint, operation, &input), code, "{operation} {input}");
    }
    assert!(endpoint.calls().iter().all(|c| !c.changed));
}

#[test]
fn tags_are_set_and_taken_away() {
    let endpoint = endpoint();
    let service = service(&endpoint)["serviceArn"].clone();
    let definition = json!("arn:aws:ecs:eu-central-1:444455556666:task-definition/api:1");
    let cluster = json!("arn:aws:ecs:eu-central-1:444455556666:cluster/production");
    for arn in [service, definition, cluster] {
        let tags = json!([{ "key": "a", "value": "1" }, { "key": "b", "value": "2" }]);
        ok(
            &endpoint,
            "TagResource",
            &json!({ "resourceArn": arn, "tags": tags }),
        );
        let tags = json!([{ "key": "b", "value": "3" }]);
        ok(
            &endpoint,
            "TagResource",
            &json!({ "resourceArn": arn, "tags": tags }),
        );
        ok(
            &endpoint,
            "UntagResource",
            &json!({ "resourceArn": arn, "tagKeys": ["a"] }),
        );
        let told = ok(&endpoint, "ListTagsForResource", &json!({ "resourceArn": arn }));
        assert_eq!(told["tags"], json!([{ "key": "b", "value": "3" }]), "{arn}");
    }
    let nothing =
        json!({ "resourceArn": "arn:aws:ecs:eu-central-1:444455556666:service/production/nope", "tags": [] });
    assert_eq!(
        refused(&endpoint, "TagResource", &nothing),
        "ResourceNotFoundException"
    );
}

#[test]
fn a_rollback_is_asked_for() {
    let endpoint = endpoint();
    ok(&endpoint, "RegisterTaskDefinition", &definition("1.1.0"));
    let update = json!({ "cluster": "production", "service": "api", "taskDefinition": "api:2" });
    ok(&endpoint, "UpdateService", &update);
    pass(&endpoint, 5);
    let list = json!({ "cluster": "production", "service": "api", "status": ["IN_PROGRESS"] });
    let arn = ok(&endpoint, "ListServiceDeployments", &list)["serviceDeployments"][0]["serviceDeploymentArn"]
        .clone();
    let stop = json!({ "serviceDeploymentArn": arn, "stopType": "ROLLBACK" });
    assert_eq!(
        ok(&endpoint, "StopServiceDeployment", &stop)["serviceDeploymentArn"],
        arn
    );
    pass(&endpoint, 300);
    let told = ok(
        &endpoint,
        "DescribeServiceDeployments",
        &json!({ "serviceDeploymentArns": [arn] }),
    );
    assert_eq!(told["serviceDeployments"][0]["status"], "ROLLBACK_SUCCESSFUL");
    let back = service(&endpoint);
    assert_eq!(
        back["taskDefinition"],
        "arn:aws:ecs:eu-central-1:444455556666:task-definition/api:1"
    );
    assert_eq!(
        refused(&endpoint, "StopServiceDeployment", &stop),
        "ConflictException"
    );
}

/// Two environments of one account and region: two clusters, one list of task definitions.
#[test]
fn environments_of_one_account_share_their_definitions() {
    let world = crate::World::builder(3)
        .environment("staging", |e| {
            e.image("shop/api", "1")
                .service("blue", |s| s.container("api", "shop/api", "1"))
        })
        .environment("production", |e| {
            e.image("shop/api", "1")
                .service("green", |s| s.container("api", "shop/api", "1"))
        })
        .build()
        .expect("a world");
    let endpoint = Endpoint::new(crate::SimCloud::new(world));
    let signed = |operation: &str, input: Value| {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let (status, answer) = json_call(
            &endpoint,
            ("111111111111", "eu-central-1", "ecs"),
            &target,
            &input,
        );
        assert_eq!(status, 200, "{answer}");
        answer
    };
    assert_eq!(
        signed("ListClusters", json!({}))["clusterArns"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let told = signed("DescribeTaskDefinition", json!({ "taskDefinition": "green:1" }));
    // What was told is sent back as it is.
    let content = told["taskDefinition"].clone();
    let made = signed("RegisterTaskDefinition", content);
    assert_eq!(made["taskDefinition"]["revision"], 2);
    let update = |cluster: &str, service: &str| {
        signed(
            "UpdateService",
            json!({ "cluster": cluster, "service": service, "taskDefinition": "green:2" }),
        )
    };
    for (cluster, service) in [("staging", "blue"), ("production", "green")] {
        let told = update(cluster, service);
        assert_eq!(
            told["service"]["taskDefinition"],
            made["taskDefinition"]["taskDefinitionArn"]
        );
    }
}

/// A blue/green deployment that waits for a person: told, answered, done.
#[test]
fn a_hook_that_pauses_is_answered() {
    use crate::{Hook, LifecycleStage, Strategy};
    let world = crate::World::builder(5)
        .environment("production", |e| {
            e.account("444455556666")
                .region("eu-central-1")
                .image("shop/api", "1.0.0")
                .image("shop/api", "1.1.0")
                .service("api", |s| {
                    s.container("api", "shop/api", "1.0.0")
                        .desired(2)
                        .load_balanced(8080)
                        .strategy(Strategy::BlueGreen)
                        .bake_minutes(1)
                        .hook(Hook::pause([LifecycleStage::PostScaleUp]))
                })
        })
        .build()
        .expect("a world");
    let endpoint = Endpoint::new(crate::SimCloud::new(world));
    ok(&endpoint, "RegisterTaskDefinition", &definition("1.1.0"));
    let update = json!({ "cluster": "production", "service": "api", "taskDefinition": "api:2" });
    let told = ok(&endpoint, "UpdateService", &update);
    assert_eq!(
        told["service"]["deploymentConfiguration"]["strategy"],
        "BLUE_GREEN"
    );
    let arn = told["service"]["currentServiceDeployment"].clone();
    let record = || {
        let input = json!({ "serviceDeploymentArns": [arn] });
        ok(&endpoint, "DescribeServiceDeployments", &input)["serviceDeployments"][0].clone()
    };
    pass(&endpoint, 300);
    let waiting = record();
    assert_eq!(waiting["lifecycleStage"], "POST_SCALE_UP");
    let hook = &waiting["lifecycleHookDetails"][0];
    assert_eq!(
        (&hook["status"], &hook["targetType"]),
        (&json!("AWAITING_ACTION"), &json!("PAUSE"))
    );
    let answer = |hook: &Value| json!({ "serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE" });
    let wrong = answer(&json!("none"));
    assert_eq!(
        refused(&endpoint, "ContinueServiceDeployment", &wrong),
        "InvalidParameterException"
    );
    let right = answer(&hook["hookId"]);
    assert_eq!(
        ok(&endpoint, "ContinueServiceDeployment", &right)["serviceDeploymentArn"],
        arn
    );
    pass(&endpoint, 600);
    assert_eq!(record()["status"], "SUCCESSFUL");
    assert_eq!(
        record()["targetServiceRevision"]["requestedProductionTrafficWeight"],
        100.0
    );
    assert_eq!(
        service(&endpoint)["deployments"].as_array().map(Vec::len),
        Some(1)
    );
}
