//! One-off tasks, and calls that are refused.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{ContainerDefinition, LaunchType, LogConfiguration, LogDriver, NetworkMode};
use tokio::time::Instant;

use super::errors::{answer, code};
use super::fact::Facts;
use super::look::seen;
use super::service::{Service, network};
use super::stage::{ACCOUNT, CLUSTER, Stage};
use crate::emulator::REGION;

/// Runs one-off tasks: one that ends well, one that fails, one that cannot begin.
pub(super) async fn jobs(stage: &Stage, facts: &mut Facts, family: &mut Service) {
    for (step, tag) in [
        ("job", "job"),
        ("failing job", "bad-job"),
        ("job that cannot be pulled", "gone"),
    ] {
        let revision = family.register(stage, tag).await;
        let token = step.replace(' ', "-");
        let first = run(stage, &revision, &token).await;
        facts.words(
            step,
            "answer",
            first.as_ref().map_or_else(Clone::clone, |_| "ok".to_owned()),
        );
        let Ok(task) = first else { continue };
        let again = match run(stage, &revision, &token).await {
            Ok(again) if again == task => "the same task",
            Ok(_) => "another task",
            Err(_) => "refused",
        };
        facts.words(step, "the same token again", again);
        let (phases, end) = follow(stage, family, &task).await;
        facts.names(step, "phases", phases);
        facts.words(step, "end", end);
    }
}

/// Runs a task that writes to a log group: the name of its stream.
pub(super) async fn logging_task(stage: &Stage, group: &str) -> Option<String> {
    let logs = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", group)
        .options("awslogs-region", REGION)
        .options("awslogs-stream-prefix", "ecs");
    let container = ContainerDefinition::builder()
        .name("app")
        .image(Stage::image("job"))
        .log_configuration(logs.build().ok()?);
    let registered = stage
        .ecs
        .register_task_definition()
        .family("logging")
        .network_mode(NetworkMode::Awsvpc)
        .container_definitions(container.build())
        .send()
        .await;
    let revision = registered.ok()?.task_definition?.task_definition_arn?;
    let task = run(stage, &revision, "logging").await.ok()?;
    follow(stage, &Service::new("logging", None, false), &task).await;
    Some(format!("ecs/app/{}", task.rsplit('/').next()?))
}

/// Starts a task: its ARN, or why not.
async fn run(stage: &Stage, revision: &str, token: &str) -> Result<String, String> {
    let sent = stage
        .ecs
        .run_task()
        .cluster(CLUSTER)
        .task_definition(revision)
        .launch_type(LaunchType::Fargate)
        .network_configuration(network(stage))
        .client_token(token)
        .send()
        .await;
    let mut tasks = sent.map_err(|error| code(&error))?.tasks.unwrap_or_default();
    tasks
        .pop()
        .and_then(|task| task.task_arn)
        .ok_or_else(|| "no task".to_owned())
}

/// Looks at a task until it has stopped: its phases, and its end.
async fn follow(stage: &Stage, family: &Service, task: &str) -> (BTreeSet<String>, String) {
    let begun = Instant::now();
    let mut phases = BTreeSet::new();
    while begun.elapsed() < stage.patience {
        let described = stage
            .ecs
            .describe_tasks()
            .cluster(CLUSTER)
            .tasks(task)
            .send()
            .await
            .expect("DescribeTasks");
        if let Some(task) = described.tasks().first().map(|task| seen(task, family)) {
            phases.insert(task.last.clone());
            if let ("STOPPED", Some(end)) = (task.last.as_str(), task.end) {
                return (phases, end);
            }
        }
        tokio::time::sleep(stage.every).await;
    }
    (phases, "it does not end".to_owned())
}

/// The ARN of a service deployment that there never was.
pub(super) fn unknown_record(service: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service-deployment/{CLUSTER}/{service}/0123456789abcdefghijk")
}

/// Calls that name what is not there, or lack what they need.
pub(super) async fn refusals(stage: &Stage, facts: &mut Facts, alone: &Service) {
    services(stage, facts, alone).await;
    others(stage, facts).await;
}

async fn services(stage: &Stage, facts: &mut Facts, alone: &Service) {
    const STEP: &str = "refusals";
    let ecs = &stage.ecs;
    let describe = || ecs.describe_services();
    let sent = describe().cluster("nowhere").services("alone").send().await;
    facts.words(STEP, "DescribeServices of an unknown cluster", answer(&sent));
    let sent = describe().cluster(CLUSTER).services("nobody").send().await;
    let failure = sent
        .as_ref()
        .ok()
        .and_then(|sent| sent.failures().first()?.reason.clone());
    facts.words(
        STEP,
        "DescribeServices of an unknown service",
        failure.unwrap_or_else(|| answer(&sent)),
    );
    let many = (0..11).map(|n| format!("s{n}")).collect();
    let sent = describe().cluster(CLUSTER).set_services(Some(many)).send().await;
    facts.words(STEP, "DescribeServices of eleven", answer(&sent));
    let sent = describe()
        .cluster(CLUSTER)
        .set_services(Some(Vec::new()))
        .send()
        .await;
    facts.words(STEP, "DescribeServices of none", answer(&sent));
    let sent = ecs.list_services().cluster("nowhere").send().await;
    facts.words(STEP, "ListServices of an unknown cluster", answer(&sent));

    let revision = alone.revisions.keys().next().expect("one was registered");
    let nobody = Service::new("nobody", None, false);
    let sent = nobody.update(stage).desired_count(1).send().await;
    facts.words(STEP, "UpdateService of an unknown service", answer(&sent));
    let sent = nobody
        .update(stage)
        .cluster("nowhere")
        .desired_count(1)
        .send()
        .await;
    facts.words(STEP, "UpdateService in an unknown cluster", answer(&sent));
    let sent = alone.update(stage).task_definition("alone:99").send().await;
    facts.words(STEP, "UpdateService to an unknown revision", answer(&sent));
    let sent = alone.update(stage).task_definition("nobody").send().await;
    facts.words(STEP, "UpdateService to an unknown family", answer(&sent));
    let sent = alone.create(stage, revision, 1).send().await;
    facts.words(STEP, "CreateService of a name that is taken", answer(&sent));
    let sent = nobody.create(stage, "nobody:1", 1).send().await;
    facts.words(STEP, "CreateService with an unknown revision", answer(&sent));
    let sent = nobody.create(stage, revision, 1).cluster("nowhere").send().await;
    facts.words(STEP, "CreateService in an unknown cluster", answer(&sent));
    let sent = ecs
        .delete_service()
        .cluster(CLUSTER)
        .service("nobody")
        .send()
        .await;
    facts.words(STEP, "DeleteService of an unknown service", answer(&sent));
    let arn = unknown_record("alone");
    let sent = ecs
        .stop_service_deployment()
        .service_deployment_arn(&arn)
        .send()
        .await;
    facts.words(STEP, "StopServiceDeployment of an unknown one", answer(&sent));
    let sent = ecs
        .describe_service_deployments()
        .service_deployment_arns(&arn)
        .send()
        .await;
    let failure = sent
        .as_ref()
        .ok()
        .and_then(|sent| sent.failures().first()?.reason.clone());
    facts.words(
        STEP,
        "DescribeServiceDeployments of an unknown one",
        failure.unwrap_or_else(|| answer(&sent)),
    );
}

async fn others(stage: &Stage, facts: &mut Facts) {
    const STEP: &str = "refusals";
    let ecs = &stage.ecs;
    let none = "0123456789abcdef0123456789abcdef";
    let sent = ecs.describe_tasks().cluster(CLUSTER).tasks(none).send().await;
    let failure = sent
        .as_ref()
        .ok()
        .and_then(|sent| sent.failures().first()?.reason.clone());
    facts.words(
        STEP,
        "DescribeTasks of an unknown task",
        failure.unwrap_or_else(|| answer(&sent)),
    );
    let sent = ecs.stop_task().cluster(CLUSTER).task(none).send().await;
    facts.words(STEP, "StopTask of an unknown task", answer(&sent));
    let sent = ecs
        .list_tasks()
        .cluster(CLUSTER)
        .service_name("nobody")
        .send()
        .await;
    facts.words(STEP, "ListTasks of an unknown service", answer(&sent));
    let sent = ecs
        .run_task()
        .cluster(CLUSTER)
        .task_definition("nobody:1")
        .send()
        .await;
    facts.words(STEP, "RunTask of an unknown revision", answer(&sent));
    let sent = ecs
        .describe_task_definition()
        .task_definition("nobody:1")
        .send()
        .await;
    facts.words(
        STEP,
        "DescribeTaskDefinition of an unknown revision",
        answer(&sent),
    );
    let sent = ecs
        .deregister_task_definition()
        .task_definition("nobody:1")
        .send()
        .await;
    facts.words(
        STEP,
        "DeregisterTaskDefinition of an unknown revision",
        answer(&sent),
    );
    let sent = ecs.register_task_definition().family("empty").send().await;
    facts.words(STEP, "RegisterTaskDefinition without containers", answer(&sent));
    let sent = ecs.describe_clusters().clusters("nowhere").send().await;
    let failure = sent
        .as_ref()
        .ok()
        .and_then(|sent| sent.failures().first()?.reason.clone());
    facts.words(
        STEP,
        "DescribeClusters of an unknown one",
        failure.unwrap_or_else(|| answer(&sent)),
    );
}
