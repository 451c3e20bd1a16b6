use rollout_core::readiness::fact::image::{Expiry, Store};
use rollout_core::readiness::fact::task::{Attachment, HealthCheck, SecretRef, Threshold};
use serde_json::{Value, json};

use super::fake::{Fake, Said};
use super::*;

pub(super) const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:222222222222:secret:production/database-AbCdEf";

fn definition(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:222222222222:task-definition/{name}:7")
}

pub(super) fn service(name: &str) -> Value {
    json!({
        "serviceName": name, "serviceArn": format!("arn:aws:ecs:eu-central-1:222222222222:service/storefront/{name}"),
        "status": "ACTIVE", "desiredCount": 3, "runningCount": 2, "taskDefinition": definition(name),
        "platformVersion": "1.4.0", "healthCheckGracePeriodSeconds": 60,
        "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED"}],
        "networkConfiguration": {"awsvpcConfiguration": {
            "subnets": ["subnet-a", "subnet-b", "subnet-gone"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}},
        "loadBalancers": [{"targetGroupArn": edge::GROUP, "containerName": name, "containerPort": 8787}],
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": true, "rollback": true, "thresholdConfiguration": {"type": "COUNT", "value": 4}},
            "alarms": {"enable": true, "rollback": false, "alarmNames": ["low"]},
            "minimumHealthyPercent": 50, "maximumPercent": 150},
    })
}

pub(super) fn shop(fake: Fake) -> Fake {
    fake.on("DescribeServices", |sent| {
        let asked: Value = serde_json::from_str(&sent.body).expect("JSON");
        let names = asked.get("services").and_then(Value::as_array).expect("names");
        let there = |name: &&Value| name.as_str() != Some("worker");
        Said::Json(json!({
            "services": names.iter().filter(there).filter_map(Value::as_str).map(service).collect::<Vec<_>>(),
            "failures": [{"arn": "worker", "reason": "MISSING"}],
        }))
    })
    .on("DescribeTaskDefinition", |sent| {
        if sent.body.contains("frontend") {
            // A name that ECS cannot describe.
            return Said::Error(400, "ClientException");
        }
        Said::Json(json!({"taskDefinition": {
            "taskDefinitionArn": definition("backend"), "status": "ACTIVE", "cpu": "512", "memory": "1024",
            "networkMode": "awsvpc", "runtimePlatform": {"cpuArchitecture": "ARM64"},
            "executionRoleArn": "arn:aws:iam::222222222222:role/execution", "taskRoleArn": "arn:aws:iam::222222222222:role/task",
            "containerDefinitions": [{
                "name": "backend", "image": format!("222222222222.dkr.ecr.eu-central-1.amazonaws.com/shop/backend@{DIGEST}"),
                "environment": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "API_TOKEN", "value": "hunter2hunter2"}],
                "secrets": [{"name": "DATABASE_URL", "valueFrom": format!("{SECRET}:url::")}],
                "healthCheck": {"command": ["CMD", "/bin/check"], "interval": 10},
                "user": "10001", "readonlyRootFilesystem": true, "stopTimeout": 20,
                "linuxParameters": {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/backend"}},
                "portMappings": [{"containerPort": 8787}],
            }],
        }}))
    })
    .json("DescribeRepositories", json!({"repositories": [
        {"repositoryName": "shop/backend", "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": false}}]}))
    .json("GetRegistryScanningConfiguration", json!({"scanningConfiguration": {"rules": [
        {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "shop/*", "filterType": "WILDCARD"}]}]}}))
    .json("GetLifecyclePolicy", json!({"lifecyclePolicyText":
        r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":50},"action":{"type":"expire"}}]}"#}))
    .on("DescribeImages", |sent| {
        let second = sent.body.contains("next-1");
        let image = |digest: &str, at: u64| json!({"imageDigest": digest, "imageTags": ["2.3.0"], "imagePushedAt": at});
        Said::Json(if second {
            json!({"imageDetails": [image("sha256:new", 200)]})
        } else {
            json!({"imageDetails": [image(DIGEST, 100)], "nextToken": "next-1"})
        })
    })
    .json("BatchGetImage", json!({"images": [{"imageManifest":
        r#"{"schemaVersion":2,"config":{"digest":"sha256:c0"},"layers":[]}"#}]}))
    .json("GetDownloadUrlForLayer", json!({"downloadUrl": "http://127.0.0.1:1/never"}))
    .json("DescribeImageScanFindings", json!({"imageScanStatus": {"status": "COMPLETE"},
        "imageScanFindings": {"findingSeverityCounts": {"HIGH": 2}}}))
    .json("DescribeSecret", json!({"ARN": SECRET, "Name": "production/database", "LastChangedDate": 100, "DeletedDate": 200}))
    .json("DescribeLogGroups", json!({"logGroups": [
        {"logGroupName": "/ecs/backend-old", "retentionInDays": 1}, {"logGroupName": "/ecs/backend", "retentionInDays": 30}]}))
    .xml("GetRole", "<Role><Path>/</Path><RoleName>x</RoleName><RoleId>AROA</RoleId>
        <Arn>arn:aws:iam::222222222222:role/execution</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>
        <AssumeRolePolicyDocument>%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ecs-tasks.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D</AssumeRolePolicyDocument></Role>")
    .xml("ListRolePolicies", "<PolicyNames><member>own</member></PolicyNames><IsTruncated>false</IsTruncated>")
    .xml("GetRolePolicy", "<RoleName>x</RoleName><PolicyName>own</PolicyName><PolicyDocument>%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3AGetObject%22%2C%22Resource%22%3A%22%2A%22%7D%7D</PolicyDocument>")
    .xml("ListAttachedRolePolicies", "<AttachedPolicies><member><PolicyArn>arn:aws:iam::aws:policy/shared</PolicyArn></member></AttachedPolicies><IsTruncated>false</IsTruncated>")
    .xml("GetPolicy", "<Policy><DefaultVersionId>v3</DefaultVersionId></Policy>")
    .xml("GetPolicyVersion", "<PolicyVersion><Document>%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Deny%22%2C%22Action%22%3A%22iam%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D</Document></PolicyVersion>")
    .on("SimulatePrincipalPolicy", |sent| {
        let decided = |action: &str, decision: &str, wanting: &str| format!(
            "<member><EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision>
             <MissingContextValues>{wanting}</MissingContextValues></member>");
        let mut all = String::new();
        for (action, decision, wanting) in [
            ("ecs%3ARegisterTaskDefinition", "allowed", ""),
            ("ecs%3AUpdateService", "explicitDeny", "<member>aws:PrincipalTag/team</member>"),
            ("iam%3APassRole", "implicitDeny", "<member>iam:PassedToService</member>"),
            ("secretsmanager%3AGetSecretValue", "implicitDeny", ""),
        ] {
            if sent.body.contains(action) {
                all.push_str(&decided(&action.replace("%3A", ":"), decision, wanting));
            }
        }
        Said::Xml(format!("<IsTruncated>false</IsTruncated><EvaluationResults>{all}</EvaluationResults>"))
    })
    .json("ListTasks", json!({"taskArns": []}))
    .json("ListServiceDeployments", json!({"serviceDeployments": []}))
}

#[tokio::test]
async fn a_service_is_seen_field_by_field() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let service = facts.services.get("backend").expect("seen");
    assert_eq!((service.desired, service.running), (3, 2));
    assert_eq!(service.rollout_state.as_deref(), Some("COMPLETED"));
    assert_eq!(service.controller, "ECS");
    assert_eq!(service.platform_version.as_deref(), Some("1.4.0"));
    assert!(service.public_ip);
    let attachment = Attachment {
        target_group: edge::GROUP.to_owned(),
        container: "backend".to_owned(),
        port: 8787,
    };
    assert_eq!(service.attachments, [attachment]);
    let threshold = Threshold {
        kind: "COUNT".to_owned(),
        value: 4,
    };
    assert_eq!(service.breaker.threshold, Some(threshold));
    assert!(service.alarms.enabled && !service.alarms.rollback);
    assert_eq!(
        (service.minimum_healthy_percent, service.maximum_percent),
        (50, 150)
    );
    assert_eq!((service.grace_seconds, service.bake_minutes), (Some(60), None));
    assert_eq!(facts.services.find("worker"), Ok(None));
    // What the way back asks is not counted with it here: three services are one call of ten, and three alone.
    assert_eq!(facts.calls.get("ecs:DescribeServices"), Some(&4));
}

#[tokio::test]
async fn twenty_five_services_are_three_calls() {
    let mut intent = super::shop();
    let one = intent.services.first().expect("one").clone();
    intent.services = (0..25)
        .map(|index| rollout_core::readiness::intent::ServiceIntent {
            name: format!("service-{index}").parse().expect("a name"),
            ..one.clone()
        })
        .collect();
    let fake = shop(Fake::new());
    let facts = gathered(&fake, &intent).await;
    assert_eq!(facts.services.names().count(), 25);
    let counts = fake.sent("DescribeServices", |sent| sent.body.matches("service-").count());
    let whole: Vec<usize> = counts.into_iter().filter(|count| *count > 1).collect();
    assert_eq!(whole, [10, 10, 5]);
}

#[tokio::test]
async fn a_task_definition_is_seen_without_any_value() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let seen = facts.task_definitions.get(&definition("backend")).expect("seen");
    assert!(seen.active);
    assert_eq!((seen.cpu, seen.memory_mib), (Some(512), Some(1024)));
    assert_eq!(seen.architecture.as_deref(), Some("ARM64"));
    let container = seen.containers.first().expect("one");
    assert!(container.essential && container.read_only_root && !container.privileged);
    let suspected: Vec<_> = container
        .variables
        .iter()
        .map(|variable| (variable.name.as_str(), variable.suspicion.is_some()))
        .collect();
    assert_eq!(suspected, [("LOG_LEVEL", false), ("API_TOKEN", true)]);
    let secret = SecretRef {
        name: "DATABASE_URL".to_owned(),
        from: format!("{SECRET}:url::"),
    };
    assert_eq!(container.secrets, [secret]);
    let check = HealthCheck {
        command: vec!["CMD".to_owned(), "/bin/check".to_owned()],
        interval_seconds: 10,
        retries: 3,
        start_seconds: 0,
    };
    assert_eq!(container.health_check, Some(check));
    assert_eq!(
        (&container.dropped, &container.added),
        (&vec!["ALL".to_owned()], &vec!["NET_ADMIN".to_owned()])
    );
    assert_eq!(container.log_group.as_deref(), Some("/ecs/backend"));
    assert_eq!(
        (container.ports.as_slice(), container.stop_seconds),
        (&[8787][..], Some(20))
    );
    // One that ECS does not know is no failure.
    assert_eq!(facts.task_definitions.find(&definition("frontend")), Ok(None));
    let all = serde_json::to_string(&facts).expect("JSON");
    assert!(!all.contains("hunter2"), "a value was kept");
}

#[tokio::test]
async fn what_a_task_definition_names_is_seen() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let group = facts.log_groups.get("/ecs/backend").expect("seen");
    assert_eq!(group.retention_days, Some(30));
    let secret = facts.secrets.get(&format!("{SECRET}:url::")).expect("seen");
    assert_eq!(
        (secret.arn.as_str(), secret.name.as_str()),
        (SECRET, "production/database")
    );
    assert_eq!(secret.store, Store::SecretsManager);
    assert_eq!(secret.changed_at, Some(Timestamp::from_millis(100_000)));
    assert_eq!(secret.deleted_at, Some(Timestamp::from_millis(200_000)));
    let repository = facts.repositories.get("shop/backend").expect("seen");
    assert!(repository.immutable_tags);
    assert_eq!(repository.scan_on_push, Known::Seen(true));
    let rule = repository.lifecycle.get().expect("seen").first().expect("one");
    assert_eq!(rule.deletes, Expiry::MoreThan(50));
    let newest = repository.images.get().expect("seen").first().expect("one");
    assert_eq!(newest.digest, "sha256:new");
    let image = facts.images.get(&format!("shop/backend@{DIGEST}")).expect("seen");
    assert_eq!(image.findings.get().expect("seen").get("HIGH"), Some(&2));
    // The layer cannot be downloaded here; its address is signed and in no fact.
    let (why, text) = why(&image.architectures).expect("unknown");
    assert_eq!(why, Why::Failed);
    assert!(
        text.starts_with("ecr:GetDownloadUrlForLayer: ") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

#[tokio::test]
async fn an_index_says_its_architectures_itself() {
    let index = r#"{"manifests":[{"digest":"sha256:1","platform":{"architecture":"arm64","os":"linux"}},
        {"digest":"sha256:2","platform":{"architecture":"amd64","os":"linux"}},
        {"digest":"sha256:3","platform":{"architecture":"unknown","os":"unknown"}}]}"#;
    let fake = shop(Fake::new())
        .json("BatchGetImage", json!({"images": [{"imageManifest": index}]}))
        .error("DescribeImageScanFindings", 400, "ScanNotFoundException")
        .error("GetLifecyclePolicy", 400, "LifecyclePolicyNotFoundException");
    let facts = gathered(&fake, &super::shop()).await;
    let image = facts.images.get(&format!("shop/backend@{DIGEST}")).expect("seen");
    let wanted = ["ARM64".to_owned(), "X86_64".to_owned()];
    assert_eq!(image.architectures.get().expect("seen"), &wanted);
    assert_eq!(image.findings, Known::Missing);
    assert_eq!(
        facts.repositories.get("shop/backend").expect("seen").lifecycle,
        Known::Missing
    );
}

#[tokio::test]
async fn what_is_gone_is_missing() {
    let missing = json!({"images": [], "failures": [{"failureCode": "ImageNotFound"}]});
    let fake = shop(Fake::new())
        .json("BatchGetImage", missing)
        .error("DescribeRepositories", 400, "RepositoryNotFoundException")
        .error("DescribeSecret", 400, "ResourceNotFoundException")
        .error("GetRole", 404, "NoSuchEntity")
        .json("DescribeLogGroups", json!({"logGroups": []}));
    let facts = gathered(&fake, &super::shop()).await;
    assert_eq!(facts.images.find(&format!("shop/backend@{DIGEST}")), Ok(None));
    assert_eq!(facts.repositories.find("shop/backend"), Ok(None));
    assert_eq!(facts.secrets.find(&format!("{SECRET}:url::")), Ok(None));
    assert_eq!(
        facts.roles.find("arn:aws:iam::222222222222:role/execution"),
        Ok(None)
    );
    assert_eq!(facts.log_groups.find("/ecs/backend"), Ok(None));
    let gone = shop(Fake::new()).error("DescribeServices", 400, "ClusterNotFoundException");
    let facts = gathered(&gone, &super::shop()).await;
    assert_eq!(facts.services.find("backend"), Ok(None));
}

#[tokio::test]
async fn a_role_says_what_all_its_policies_say() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let role = facts
        .roles
        .get("arn:aws:iam::222222222222:role/execution")
        .expect("seen");
    let trust = role.trust.first().expect("one");
    assert_eq!(trust.principals, ["ecs-tasks.amazonaws.com"]);
    let said: Vec<_> = role
        .statements
        .get()
        .expect("seen")
        .iter()
        .map(|one| (one.allows, one.actions.join(" ")))
        .collect();
    assert_eq!(
        said,
        [(true, "s3:GetObject".to_owned()), (false, "iam:*".to_owned())]
    );
    // Three roles share a policy, which is read once.
    assert_eq!(facts.calls.get("iam:GetRole"), Some(&3));
    assert_eq!(facts.calls.get("iam:GetPolicyVersion"), Some(&1));
}

#[tokio::test]
async fn what_iam_says_is_kept_and_what_it_cannot_know_is_unknown() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let asks = super::shop().deployer.asks;
    let answer = |action: &str| {
        let ask = asks.iter().find(|ask| ask.action == action).expect("asked");
        facts.allowed.get(&ask.key()).cloned()
    };
    assert_eq!(answer("ecs:RegisterTaskDefinition"), Ok(true));
    assert_eq!(answer("ecs:UpdateService"), Ok(false));
    let unknown = answer("iam:PassRole").expect_err("unknown");
    assert!(unknown.text.contains("iam:PassedToService"), "{unknown}");
    // Whether the execution role may read the secret was asked, too.
    let reads = format!("arn:aws:iam::222222222222:role/execution secretsmanager:GetSecretValue {SECRET}");
    assert_eq!(facts.allowed.get(&reads), Ok(&false));
}

#[tokio::test]
async fn parameters_are_asked_for_together() {
    const URL: &str = "arn:aws:ssm:eu-central-1:222222222222:parameter/shop/url";
    const ONE: &str = "arn:aws:ssm:eu-central-1:222222222222:parameter/one";
    const ELSEWHERE: [&str; 3] = [
        "arn:aws:ssm:eu-central-1:999999999999:parameter/shop/url",
        "arn:aws:ssm:us-east-1:222222222222:parameter/shop/url",
        "/aws/reference/secretsmanager/shop",
    ];
    let fake = shop(Fake::new()).json(
        "DescribeParameters",
        json!({"Parameters": [
        {"Name": "/shop/url", "ARN": URL, "Type": "SecureString", "LastModifiedDate": 100, "Version": 2},
        {"Name": "/one", "ARN": ONE, "Type": "SecureString", "Version": 1}, {"Name": "flag", "Type": "String", "Version": 2}]}),
    );
    let mut named = vec![URL, ONE, "flag", "flag:2", "flag:1", "/shop/gone"];
    named.extend(ELSEWHERE);
    let named = named
        .into_iter()
        .map(|from| json!({"name": "A", "valueFrom": from}));
    let named: Vec<Value> = named.collect();
    let fake = fake.json(
        "DescribeTaskDefinition",
        json!({"taskDefinition": {"containerDefinitions": [{"name": "backend", "secrets": named}]}}),
    );
    let facts = gathered(&fake, &super::shop()).await;
    let by_arn = facts.secrets.get(URL).expect("seen");
    assert_eq!(
        (by_arn.name.as_str(), by_arn.store, by_arn.encrypted),
        ("/shop/url", Store::ParameterStore, true)
    );
    assert_eq!(facts.secrets.get(ONE).expect("seen").name, "/one");
    for named in ["flag", "flag:2"] {
        assert!(!facts.secrets.get(named).expect("seen").encrypted, "{named}");
    }
    assert_eq!(facts.secrets.find("/shop/gone"), Ok(None));
    for unknown in ELSEWHERE.into_iter().chain(["flag:1"]) {
        assert!(facts.secrets.find(unknown).is_err(), "{unknown}");
    }
    assert_eq!(facts.calls.get("ssm:DescribeParameters"), Some(&1));
}

#[tokio::test]
async fn a_service_without_a_completed_deployment_has_no_way_back() {
    let facts = gathered(&shop(Fake::new()), &super::shop()).await;
    let way_back = facts.ways_back.get("worker").expect("seen");
    assert_eq!(way_back.point, None);
    assert!(
        format!("{:?}", way_back.usability).contains("does not exist"),
        "{way_back:?}"
    );
}
