//! The script of a service's life, and what is seen of it.

use tokio::time::Instant;

use super::errors::answer;
use super::fact::{Course, Facts};
use super::look::status;
use super::rest::{jobs, refusals, unknown_record};
use super::service::{Service, balancer};
use super::stage::{CLUSTER, Stage};
use super::watch::{Watch, records};

/// Plays the script.
///
/// # Panics
/// When the stage refuses what it is set with.
pub async fn play(stage: &Stage) -> Facts {
    let mut facts = Facts::default();
    let made = stage.ecs.create_cluster().cluster_name(CLUSTER).send().await;
    made.expect("CreateCluster");
    let group = balancer(stage, "api").await;
    let mut api = Service::new("api", Some(group), true);
    deployments(stage, &mut facts, &mut api).await;
    counts(stage, &mut facts, &api).await;
    stop(stage, &mut facts, &api).await;
    let mut alone = Service::new("alone", None, false);
    without_rollback(stage, &mut facts, &mut alone).await;
    jobs(stage, &mut facts, &mut alone).await;
    refusals(stage, &mut facts, &alone).await;
    facts
}

/// Creation, and changes of the revision.
async fn deployments(stage: &Stage, facts: &mut Facts, api: &mut Service) {
    let first = api.register(stage, "1.0.0").await;
    let watch = Watch::begin(stage, api).await;
    let sent = api.create(stage, &first, 3).send().await;
    facts.words("create", "answer", answer(&sent));
    watch.end(facts, "create").await;

    for (step, tag) in [
        ("update", "1.1.0"),
        ("crash", "crash"),
        ("cannot be pulled", "gone"),
    ] {
        let revision = api.register(stage, tag).await;
        let watch = Watch::begin(stage, api).await;
        let sent = api.update(stage).task_definition(&revision).send().await;
        facts.words(step, "answer", answer(&sent));
        watch.end(facts, step).await;
    }

    let watch = Watch::begin(stage, api).await;
    let sent = api.update(stage).force_new_deployment(true).send().await;
    facts.words("force", "answer", answer(&sent));
    watch.end(facts, "force").await;

    // Saying what is so already is no deployment.
    let watch = Watch::begin(stage, api).await;
    let sent = api.update(stage).desired_count(3).send().await;
    facts.words("the same again", "answer", answer(&sent));
    watch.end(facts, "the same again").await;
}

/// Another number of tasks, and a task that is stopped by hand.
async fn counts(stage: &Stage, facts: &mut Facts, api: &Service) {
    for (step, desired) in [("scale out", 5), ("scale in", 2)] {
        let watch = Watch::begin(stage, api).await;
        let sent = api.update(stage).desired_count(desired).send().await;
        facts.words(step, "answer", answer(&sent));
        watch.end(facts, step).await;
    }
    let watch = Watch::begin(stage, api).await;
    let task = watch.before.tasks.iter().find(|task| task.last == "RUNNING");
    let task = task.expect("one runs").arn.clone();
    let sent = stage
        .ecs
        .stop_task()
        .cluster(CLUSTER)
        .task(task)
        .reason("by hand")
        .send()
        .await;
    facts.words("stop a task", "answer", answer(&sent));
    watch.end(facts, "stop a task").await;
}

/// A deployment is stopped, then the service.
async fn stop(stage: &Stage, facts: &mut Facts, api: &Service) {
    let revision = |of: &str| {
        let mut all = api.revisions.iter();
        let found = all.find(|(_, tag)| *tag == of);
        found.map(|(arn, _)| arn.clone()).expect("it was registered")
    };
    let (old, new) = (revision("1.0.0"), revision("1.1.0"));
    let mut watch = Watch::begin(stage, api).await;
    let sent = api.update(stage).task_definition(old).send().await;
    facts.words("stop a deployment", "update", answer(&sent));
    let running = records(stage, api).await.into_iter().next();
    let arn = running.map_or_else(|| unknown_record(&api.name), |(arn, _)| arn);
    let sent = stage
        .ecs
        .stop_service_deployment()
        .service_deployment_arn(arn)
        .send()
        .await;
    facts.words("stop a deployment", "answer", answer(&sent));
    watch.settle().await;
    // What follows is the same wherever the deployment was stopped and wherever it went on.
    let mut watch = Watch::begin(stage, api).await;
    let sent = api.update(stage).task_definition(new).send().await;
    sent.expect("UpdateService");
    let (_, last) = watch.settle().await;
    facts.words("stop a deployment", "running at the end", last.running_tags());

    let delete = || stage.ecs.delete_service().cluster(CLUSTER).service(&api.name);
    facts.words("delete", "while tasks are wanted", answer(&delete().send().await));
    let watch = Watch::begin(stage, api).await;
    let sent = api.update(stage).desired_count(0).send().await;
    facts.words("scale to nothing", "answer", answer(&sent));
    watch.end(facts, "scale to nothing").await;
    let sent = delete().send().await;
    facts.words("delete", "answer", answer(&sent));
    let told = sent.ok().and_then(|sent| sent.service?.status);
    facts.words("delete", "status in the answer", told.unwrap_or_default());
    let begun = Instant::now();
    let mut course = Course::default();
    while begun.elapsed() < stage.calm * 2 {
        course.saw(status(stage, api).await);
        tokio::time::sleep(stage.every).await;
    }
    facts.words("delete", "status from then on", course.to_string());
    facts.words("delete", "again", answer(&delete().send().await));
    let sent = api.update(stage).desired_count(1).send().await;
    facts.words("delete", "an update after it", answer(&sent));
}

/// A breaker that does not go back.
async fn without_rollback(stage: &Stage, facts: &mut Facts, alone: &mut Service) {
    let first = alone.register(stage, "1.0.0").await;
    let watch = Watch::begin(stage, alone).await;
    let sent = alone.create(stage, &first, 2).send().await;
    facts.words("create without rollback", "answer", answer(&sent));
    watch.end(facts, "create without rollback").await;
    let bad = alone.register(stage, "crash").await;
    let watch = Watch::begin(stage, alone).await;
    let sent = alone.update(stage).task_definition(bad).send().await;
    facts.words("crash without rollback", "answer", answer(&sent));
    watch.end(facts, "crash without rollback").await;
}
