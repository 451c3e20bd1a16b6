//! ECS: what is told of clusters, task definitions, services and tasks. How they behave is the timeline's.

use super::{Facts, Stage, told};
use crate::differ::service::{Service, balancer};
use crate::differ::stage::CLUSTER;

pub(super) async fn play(stage: &Stage, facts: &mut Facts) {
    let client = &stage.ecs;
    let sent = client.create_cluster().cluster_name(CLUSTER).send().await;
    told(facts, "ECS CreateCluster", &sent);
    let sent = client.describe_clusters().clusters(CLUSTER).send().await;
    told(facts, "ECS DescribeClusters", &sent);
    let mut service = Service::new("shapes", None, true);
    let revision = service.register(stage, "1.0.0").await;
    let sent = client
        .describe_task_definition()
        .task_definition(&revision)
        .send()
        .await;
    told(facts, "ECS DescribeTaskDefinition", &sent);
    let sent = client
        .list_task_definitions()
        .family_prefix("shapes")
        .send()
        .await;
    told(facts, "ECS ListTaskDefinitions", &sent);
}

/// What is told of a service and its task.
pub(super) async fn services(stage: &Stage, facts: &mut Facts) {
    let client = &stage.ecs;
    let group = balancer(stage, "shapes-ecs").await;
    let mut service = Service::new("shapes", Some(group), true);
    let revision = service.register(stage, "1.0.0").await;
    let sent = service.create(stage, &revision, 1).send().await;
    told(facts, "ECS CreateService", &sent);
    // For its tasks to run.
    tokio::time::sleep(stage.calm * 2).await;
    let sent = client.list_services().cluster(CLUSTER).send().await;
    told(facts, "ECS ListServices", &sent);
    let sent = client
        .describe_services()
        .cluster(CLUSTER)
        .services("shapes")
        .send()
        .await;
    told(facts, "ECS DescribeServices", &sent);
    let sent = client
        .list_tasks()
        .cluster(CLUSTER)
        .service_name("shapes")
        .send()
        .await;
    told(facts, "ECS ListTasks", &sent);
    let task = sent.ok().and_then(|sent| sent.task_arns?.pop());
    let sent = client
        .describe_tasks()
        .cluster(CLUSTER)
        .tasks(task.unwrap_or_else(|| "none".to_owned()))
        .send()
        .await;
    told(facts, "ECS DescribeTasks", &sent);
    let sent = service.update(stage).desired_count(1).send().await;
    told(facts, "ECS UpdateService", &sent);
}
