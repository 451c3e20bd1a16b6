//! One look at a service, as every deployer takes it.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{DesiredStatus, Task};

use super::service::Service;
use super::stage::{CLUSTER, Stage};
use super::text;

/// A deployment of `deployments[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The tag that it runs.
    pub tag: String,
    /// `PRIMARY` or `ACTIVE`.
    pub role: String,
    /// Its rolloutState.
    pub rollout: String,
    /// Its rolloutStateReason, plain.
    pub reason: String,
    /// Tasks that failed.
    pub failed: i32,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its ARN.
    pub arn: String,
    /// The tag that it runs.
    pub tag: String,
    /// Its lastStatus.
    pub last: String,
    /// How it ended, once it has: code, reason, exit code.
    pub end: Option<String>,
    /// What startedBy is.
    pub started_by: String,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The service's status.
    pub status: String,
    /// desiredCount.
    pub desired: i32,
    /// runningCount.
    pub running: i32,
    /// pendingCount.
    pub pending: i32,
    /// As they come.
    pub deployments: Vec<Deployment>,
    /// Those of the service, stopped ones too.
    pub tasks: Vec<Seen>,
    /// The states of its targets.
    pub targets: Vec<String>,
    /// Ids and texts, oldest first.
    pub events: Vec<(String, String)>,
}

impl Look {
    /// Looks.
    ///
    /// # Panics
    /// When a call fails.
    pub async fn at(stage: &Stage, service: &Service) -> Self {
        let Some(found) = describe(stage, service).await else {
            return Self::default();
        };
        let mut events: Vec<_> = found
            .events()
            .iter()
            .map(|event| {
                let id = event.id().unwrap_or_default().to_owned();
                (
                    id,
                    text::event(event.message().unwrap_or_default(), &service.name),
                )
            })
            .collect();
        events.reverse();
        let deployments = found.deployments().iter().map(|deployment| Deployment {
            id: deployment.id().unwrap_or_default().to_owned(),
            tag: service
                .tag(deployment.task_definition().unwrap_or_default())
                .to_owned(),
            role: deployment.status().unwrap_or("without status").to_owned(),
            rollout: deployment
                .rollout_state()
                .map_or("without state", |s| s.as_str())
                .to_owned(),
            reason: text::plain(deployment.rollout_state_reason().unwrap_or_default()),
            failed: deployment.failed_tasks(),
        });
        Self {
            status: found.status().unwrap_or_default().to_owned(),
            desired: found.desired_count(),
            running: found.running_count(),
            pending: found.pending_count(),
            deployments: deployments.collect(),
            tasks: tasks(stage, service).await,
            targets: targets(stage, service).await,
            events,
        }
    }

    /// The PRIMARY deployment; it need not be the first.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.role == "PRIMARY")
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let Some(primary) = self.primary() else {
            return self.running == 0 && self.tasks.iter().all(|task| task.last == "STOPPED");
        };
        let arrived = primary.rollout == "COMPLETED" && self.running == self.desired && self.pending == 0;
        let moving = |task: &Seen| task.last != "RUNNING" && task.last != "STOPPED";
        (arrived || primary.rollout == "FAILED") && !self.tasks.iter().any(moving)
    }

    /// How many tasks run each tag, in words.
    #[must_use]
    pub fn running_tags(&self) -> String {
        let running: Vec<&str> = self
            .tasks
            .iter()
            .filter(|task| task.last == "RUNNING")
            .map(|task| task.tag.as_str())
            .collect();
        let tags: BTreeSet<&str> = running.iter().copied().collect();
        let words: Vec<String> = tags
            .iter()
            .map(|tag| format!("{} of {tag}", running.iter().filter(|t| t == &tag).count()))
            .collect();
        if words.is_empty() {
            "none".to_owned()
        } else {
            words.join(", ")
        }
    }
}

async fn describe(stage: &Stage, service: &Service) -> Option<aws_sdk_ecs::types::Service> {
    let described = stage
        .ecs
        .describe_services()
        .cluster(CLUSTER)
        .services(&service.name)
        .send()
        .await
        .expect("DescribeServices");
    described.services?.pop()
}

/// The service's status alone; a deleted one need not have tasks to list.
///
/// # Panics
/// When the call fails.
pub async fn status(stage: &Stage, service: &Service) -> String {
    let found = describe(stage, service).await;
    found
        .and_then(|found| found.status)
        .unwrap_or_else(|| "not found".to_owned())
}

async fn tasks(stage: &Stage, service: &Service) -> Vec<Seen> {
    let mut arns = Vec::new();
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let listed = stage
            .ecs
            .list_tasks()
            .cluster(CLUSTER)
            .service_name(&service.name)
            .desired_status(desired)
            .send()
            .await;
        arns.extend(listed.expect("ListTasks").task_arns.unwrap_or_default());
    }
    if arns.is_empty() {
        return Vec::new();
    }
    let described = stage
        .ecs
        .describe_tasks()
        .cluster(CLUSTER)
        .set_tasks(Some(arns))
        .send()
        .await
        .expect("DescribeTasks");
    described.tasks().iter().map(|task| seen(task, service)).collect()
}

/// A task of a service, or one of its family.
#[must_use]
pub fn seen(task: &Task, service: &Service) -> Seen {
    let end = task.stopped_at().is_some().then(|| {
        let exit = task.containers().iter().find_map(|c| c.exit_code());
        let exit = exit.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        let code = task.stop_code().map_or("no stopCode", |code| code.as_str());
        let reason = text::plain(task.stopped_reason().unwrap_or("no reason"));
        format!("{code}; {reason}; {exit}")
    });
    let started_by = match task.started_by() {
        None | Some("") => "nothing",
        Some(by) if by.starts_with("ecs-svc/") => "the deployment",
        Some(by) if by == service.name => "the service's name",
        Some(_) => "something else",
    };
    Seen {
        arn: task.task_arn().unwrap_or_default().to_owned(),
        tag: service
            .tag(task.task_definition_arn().unwrap_or_default())
            .to_owned(),
        last: task.last_status().unwrap_or("no status").to_owned(),
        end,
        started_by: started_by.to_owned(),
    }
}

async fn targets(stage: &Stage, service: &Service) -> Vec<String> {
    let Some(group) = &service.group else {
        return Vec::new();
    };
    let described = stage
        .elb
        .describe_target_health()
        .target_group_arn(group)
        .send()
        .await
        .expect("DescribeTargetHealth");
    let mut states: Vec<String> = described
        .target_health_descriptions()
        .iter()
        .filter_map(|target| target.target_health()?.state().map(|s| s.as_str().to_owned()))
        .collect();
    states.sort();
    states
}
