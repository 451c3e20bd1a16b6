//! Three services with their task definitions, images, secrets, roles, and what watches them.

use std::collections::BTreeMap;

use super::network::{BACKEND, FRONTEND, PRIVATE};
use super::{ACCOUNT, DEPLOYER, NOW, REGION, TOPIC, days_ago, parsed, texts};
use crate::readiness::fact::Snapshot;
use crate::readiness::fact::answer::Answer;
use crate::readiness::fact::identity::{Caller, Role, Statement, Trust};
use crate::readiness::fact::image::{Expiry, Image, LifecycleRule, ListedImage, Repository, Secret, Store};
use crate::readiness::fact::release::{Proven, WayBack};
use crate::readiness::fact::task::{
    Attachment, Breaker, Container, DeploymentAlarms, HealthCheck, SecretRef, Service, TaskDefinition,
    Variable,
};
use crate::readiness::fact::watch::{Alarm, Dashboard, LogGroup, Metric, Topic};
use crate::readiness::known::Known;
use crate::service::Identity;

/// The services: name, port, tasks, security group, version that it runs.
pub(super) const SERVICES: [(&str, Option<u16>, u32, &str); 3] = [
    ("backend", Some(8787), 3, BACKEND),
    ("frontend", Some(80), 2, FRONTEND),
    ("worker", None, 2, BACKEND),
];
/// The secret of the backend and the worker.
pub(super) const SECRET: &str =
    "arn:aws:secretsmanager:eu-central-1:222222222222:secret:production/database-AbCdEf";

pub(super) fn put(facts: &mut Snapshot) {
    identity(facts);
    for (name, port, desired, group) in SERVICES {
        let arn = revision(name);
        facts.task_definitions.seen(&arn, task_definition(name, port));
        facts.services.seen(name, service(name, port, desired, group));
        registry(facts, name);
        let log = LogGroup {
            retention_days: Some(30),
        };
        facts.log_groups.seen(format!("/ecs/storefront-{name}"), log);
        for path in ["/health/live", "/health/ready"] {
            let question = crate::readiness::fact::Question::get(format!("{}{path}", base(name)));
            facts.answers.seen(question.key(), answer());
        }
        let running = Proven {
            images: [(name.to_owned(), format!("storefront/{name}@{}", digest(name, 1)))].into(),
            since: Some(days_ago(2)),
        };
        facts.proven.seen(name, running);
        facts.ways_back.seen(name, way_back(name, desired));
    }
    let secret = Secret {
        arn: SECRET.to_owned(),
        name: "production/database".to_owned(),
        store: Store::SecretsManager,
        changed_at: Some(days_ago(40)),
        deleted_at: None,
        encrypted: true,
    };
    facts.secrets.seen(SECRET, secret);
    facts.alarms = Known::Seen(alarms());
    facts.topics.seen(
        TOPIC,
        Topic {
            confirmed: 2,
            pending: 0,
        },
    );
    facts
        .dashboards
        .seen("storefront", Dashboard { metrics: shown() });
}

/// Where a service is asked.
pub(super) fn base(name: &str) -> String {
    format!("http://{name}.production.internal")
}

/// The ARN of the task definition that a service runs.
pub(super) fn revision(name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/storefront-{name}:7")
}

/// The ARN of a service's target group.
pub(super) fn target_group(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/storefront-{name}/6d0ecf831eec9f09")
}

/// The digest of a service's image: of the release that it runs (0), or of the next one (1).
pub(super) fn digest(name: &str, release: u8) -> String {
    let letter = name.bytes().next().unwrap_or(b'a') % 6;
    format!("sha256:{}", format!("{release}{letter}").repeat(32))
}

fn execution_role() -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/storefront-execution")
}

fn task_role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/storefront-{name}")
}

fn identity(facts: &mut Snapshot) {
    facts.caller = Known::Seen(Caller {
        identity: Identity {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            caller: format!("arn:aws:sts::{ACCOUNT}:assumed-role/storefront-deploy/run"),
            expires_at: None,
        },
        long_lived_key: Known::Seen(false),
    });
    let github = Trust {
        principals: vec![format!(
            "arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
        )],
        conditions: BTreeMap::from([
            (
                "StringEquals token.actions.githubusercontent.com:aud".to_owned(),
                texts(&["sts.amazonaws.com"]),
            ),
            (
                "StringEquals token.actions.githubusercontent.com:sub".to_owned(),
                texts(&["repo:example/storefront:environment:production"]),
            ),
        ]),
    };
    let allow = |actions: &[&str], resources: &[&str]| Statement {
        allows: true,
        actions: texts(actions),
        resources: texts(resources),
    };
    let mut put = |arn: String, trust: Trust, statements: Vec<Statement>| {
        let role = Role {
            arn: arn.clone(),
            trust: vec![trust],
            statements: Known::Seen(statements),
        };
        facts.roles.seen(arn, role);
    };
    let tasks = || Trust {
        principals: texts(&["ecs-tasks.amazonaws.com"]),
        conditions: BTreeMap::new(),
    };
    put(
        DEPLOYER.to_owned(),
        github,
        vec![allow(&["ecs:UpdateService"], &["*"])],
    );
    put(
        execution_role(),
        tasks(),
        vec![allow(&["secretsmanager:GetSecretValue"], &[SECRET])],
    );
    for (name, ..) in SERVICES {
        let bucket = "arn:aws:s3:::storefront-assets/uploads/*";
        put(
            task_role(name),
            tasks(),
            vec![allow(&["s3:GetObject", "s3:PutObject"], &[bucket])],
        );
    }
    for ask in super::intent::asks() {
        facts.allowed.seen(ask.key(), true);
    }
    let reads = crate::readiness::fact::identity::Ask {
        principal: execution_role(),
        action: "secretsmanager:GetSecretValue".to_owned(),
        resource: SECRET.to_owned(),
    };
    facts.allowed.seen(reads.key(), true);
}

fn service(name: &str, port: Option<u16>, desired: u32, group: &str) -> Service {
    let attachment = port.map(|port| Attachment {
        target_group: target_group(name),
        container: name.to_owned(),
        port,
    });
    Service {
        arn: format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/storefront/{name}"),
        status: "ACTIVE".to_owned(),
        desired,
        running: desired,
        task_definition: revision(name),
        rollout_state: Some("COMPLETED".to_owned()),
        controller: "ECS".to_owned(),
        platform_version: Some("LATEST".to_owned()),
        subnets: texts(&PRIVATE),
        security_groups: texts(&[group]),
        public_ip: false,
        attachments: attachment.into_iter().collect(),
        breaker: Breaker {
            enabled: true,
            rollback: true,
            threshold: None,
        },
        alarms: DeploymentAlarms {
            enabled: true,
            rollback: true,
            names: vec![format!("storefront-{name}-running-low")],
        },
        minimum_healthy_percent: 100,
        maximum_percent: 200,
        grace_seconds: port.map(|_| 60),
        bake_minutes: None,
    }
}

pub(super) fn task_definition(name: &str, port: Option<u16>) -> TaskDefinition {
    let secret = SecretRef {
        name: "DATABASE_URL".to_owned(),
        from: SECRET.to_owned(),
    };
    let container = Container {
        name: name.to_owned(),
        image: format!(
            "{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/storefront/{name}@{}",
            digest(name, 0)
        ),
        essential: true,
        variables: vec![Variable {
            name: "LOG_LEVEL".to_owned(),
            suspicion: None,
        }],
        secrets: if name == "frontend" {
            Vec::new()
        } else {
            vec![secret]
        },
        health_check: Some(HealthCheck {
            command: texts(&["CMD", "/bin/check"]),
            interval_seconds: 10,
            retries: 3,
            start_seconds: 10,
        }),
        user: Some("10001".to_owned()),
        read_only_root: true,
        privileged: false,
        dropped: texts(&["ALL"]),
        added: Vec::new(),
        log_driver: Some("awslogs".to_owned()),
        log_group: Some(format!("/ecs/storefront-{name}")),
        ports: port.into_iter().collect(),
        stop_seconds: Some(20),
    };
    TaskDefinition {
        active: true,
        cpu: Some(512),
        memory_mib: Some(1024),
        network_mode: Some("awsvpc".to_owned()),
        architecture: Some("X86_64".to_owned()),
        execution_role: Some(execution_role()),
        task_role: Some(task_role(name)),
        containers: vec![container],
        registered_at: Some(days_ago(20)),
    }
}

fn registry(facts: &mut Snapshot, name: &str) {
    let listed = |release: u8, days: u64| ListedImage {
        digest: digest(name, release),
        tags: vec![format!("2.{}.0", 3_u8.saturating_add(release))],
        pushed_at: days_ago(days),
    };
    let keeps = LifecycleRule {
        priority: 1,
        tag_status: "any".to_owned(),
        tags: Vec::new(),
        deletes: Expiry::MoreThan(50),
    };
    let repository = Repository {
        immutable_tags: true,
        scan_on_push: Known::Seen(true),
        lifecycle: Known::Seen(vec![keeps]),
        images: Known::Seen(vec![listed(1, 1), listed(0, 20)]),
    };
    facts.repositories.seen(format!("storefront/{name}"), repository);
    for release in [0, 1] {
        let image = Image {
            architectures: Known::Seen(texts(&["X86_64"])),
            findings: Known::Seen(BTreeMap::from([("LOW".to_owned(), 2)])),
        };
        facts
            .images
            .seen(format!("storefront/{name}@{}", digest(name, release)), image);
    }
}

fn answer() -> Answer {
    Answer {
        status: 200,
        headers: BTreeMap::new(),
        body: "{\"status\":\"ok\"}".to_owned(),
    }
}

fn way_back(name: &str, desired: u32) -> WayBack {
    use crate::service::{Found, Part, PartKind, RestorePoint, Usability};
    let part = |kind: PartKind, what: &str| Part {
        kind,
        name: format!("{what} of {name}"),
        found: Found::Usable,
    };
    let point = RestorePoint {
        service: parsed(name),
        captured_at: NOW,
        task_definition: parsed(&revision(name)),
        images: [(parsed(name), parsed(&digest(name, 0)))].into(),
        deployment: parsed(&format!("ecs-svc/{name}")),
        desired,
        since: Some(days_ago(20)),
    };
    let container = parsed(name);
    WayBack {
        point: Some(point),
        usability: Usability {
            at: NOW,
            parts: vec![
                part(PartKind::Revision, "revision"),
                part(PartKind::Image { container }, "image"),
                part(PartKind::Secret, "secret"),
            ],
        },
    }
}

fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> Metric {
    let owned = dimensions
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Metric {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        dimensions: owned.collect(),
    }
}

/// What a service is watched by: the alarm's name behind the service's, and the metric.
fn watched(name: &str, port: Option<u16>) -> Vec<(&'static str, Metric)> {
    let of_service = [("ClusterName", "storefront"), ("ServiceName", name)];
    let mut all = vec![
        ("cpu", metric("AWS/ECS", "CPUUtilization", &of_service)),
        ("memory", metric("AWS/ECS", "MemoryUtilization", &of_service)),
        (
            "running-low",
            metric("ECS/ContainerInsights", "RunningTaskCount", &of_service),
        ),
    ];
    if port.is_some() {
        let group = target_group(name);
        // Dimensions are the ends of ARNs (User Guide for Application Load Balancers, "Metric dimensions for Application Load Balancers").
        let group = group.rsplit_once(":").map_or("", |(_, end)| end).to_owned();
        let behind = [
            ("LoadBalancer", "app/storefront/50dc6c495c0c9188"),
            ("TargetGroup", group.as_str()),
        ];
        for (what, name) in [
            ("unhealthy", "UnHealthyHostCount"),
            ("5xx", "HTTPCode_Target_5XX_Count"),
            ("latency", "TargetResponseTime"),
        ] {
            all.push((what, metric("AWS/ApplicationELB", name, &behind)));
        }
    }
    all
}

fn alarms() -> BTreeMap<String, Alarm> {
    let alarm = |metric: Metric| Alarm {
        state: "OK".to_owned(),
        actions_enabled: true,
        actions: texts(&[TOPIC]),
        metric: Some(metric),
        expression: Vec::new(),
    };
    let mut all: BTreeMap<String, Alarm> = SERVICES
        .iter()
        .flat_map(|(name, port, ..)| {
            let watched = watched(name, *port).into_iter();
            watched.map(move |(what, metric)| (format!("storefront-{name}-{what}"), metric))
        })
        .map(|(name, metric)| (name, alarm(metric)))
        .collect();
    let checkout = metric("Storefront", "CheckoutErrors", &[]);
    all.insert("storefront-checkout-errors".to_owned(), alarm(checkout));
    all
}

/// What the dashboard shows.
fn shown() -> Vec<Metric> {
    let mut all: Vec<Metric> = SERVICES
        .iter()
        .flat_map(|(name, port, ..)| watched(name, *port).into_iter().map(|(_, metric)| metric))
        .collect();
    let balancer = [("LoadBalancer", "app/storefront/50dc6c495c0c9188")];
    for name in [
        "HTTPCode_Target_2XX_Count",
        "HTTPCode_Target_4XX_Count",
        "HTTPCode_Target_5XX_Count",
    ] {
        all.push(metric("AWS/ApplicationELB", name, &balancer));
    }
    all
}
