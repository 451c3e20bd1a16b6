//! What a service looks like: the service, its deployments and their records, its tasks, why tasks stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::types::{CreatedAt, DesiredStatus, Service, ServiceDeployment, Task};
use aws_smithy_types::DateTime;
use futures_util::future::try_join;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::evidence::Evidence;
use rollout_core::id::{DeploymentId, ServiceName, TaskArn, TaskDefinitionArn};
use rollout_core::service::{
    DeploymentObservation, DeploymentRecord, DeploymentRole, RecordStatus, RolloutState, RunningTask,
    ServiceObservation, ServiceStatus, StoppedTask,
};
use rollout_core::time::Timestamp;

use super::stop::Kind;
use super::wide::{self, Described, DescribedTask, RECORDS_A_CALL, SERVICES_A_CALL, TASKS_A_CALL};
use super::{DESCRIBE_SERVICES, DESCRIBE_TASKS, EcsEnvironment, LIST_RECORDS, LIST_TASKS, map};
use crate::error::from_sdk;
use crate::page::Pages;

/// Service events that are carried; ECS keeps 100.
const EVENTS: usize = 20;
/// Stopped tasks that are carried, the newest.
const STOPPED: usize = 100;
/// ListTasks gives 100 a page; a service has 5,000 tasks at most (AWS, "Amazon ECS service quotas").
const TASK_PAGES: usize = 60;
/// Pages of records of one day.
const RECORD_PAGES: usize = 20;
/// How long before the oldest deployment in sight a record may have begun that still matters: the deployment that a
/// rollback makes is newer than the record that it ends.
const LOOK_BACK_MILLIS: u64 = 86_400_000;
/// A record and its deployment are made by one call.
const SAME_MOMENT_MILLIS: u64 = 60_000;
/// Failed tasks whose log is read in one observation.
const LOGS: usize = 3;

/// A record with the revision that it brings.
struct Record {
    brings: Option<TaskDefinitionArn>,
    created_at: Timestamp,
    record: DeploymentRecord,
}

impl EcsEnvironment {
    pub(super) async fn observe(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        let mut seen = self.outline(ctx, service).await?;
        if seen.status == ServiceStatus::Missing {
            return Ok(seen);
        }
        // Who stops while this is asked is seen at least once: running tasks are listed before stopped ones.
        let tasks = async {
            let running = self.running(ctx, service).await?;
            Ok((running, self.stopped(ctx, service).await?))
        };
        // Side by side: whoever waits for an end waits for the longer of the two only.
        let records = self.records(ctx, service, &seen.deployments);
        let (records, (running, stopped)) = try_join(records, tasks).await?;
        let gone = self.attach(records, &mut seen.deployments, &stopped);
        seen.deployments.extend(gone);
        (seen.tasks, seen.stopped) = (running, stopped);
        Ok(seen)
    }

    /// Without records and stopped tasks.
    pub(super) async fn observe_running(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        let mut seen = self.outline(ctx, service).await?;
        if seen.status != ServiceStatus::Missing {
            seen.tasks = self.running(ctx, service).await?;
        }
        Ok(seen)
    }

    /// What the service itself tells: neither records nor tasks.
    async fn outline(&self, ctx: &OpContext, service: &ServiceName) -> Result<ServiceObservation, Error> {
        let (at, found) = self.describe_service(ctx, service).await?;
        let Some(found) = found else {
            return Ok(missing(at));
        };
        let status = match found.status().unwrap_or_default() {
            "ACTIVE" => ServiceStatus::Active,
            "DRAINING" => ServiceStatus::Draining,
            // A deleted service stays visible for a while (Amazon ECS API, "Service": `status`).
            "INACTIVE" => return Ok(missing(at)),
            other => ServiceStatus::Other(other.to_owned()),
        };
        let deployments = found.deployments().iter().map(map::deployment);
        Ok(ServiceObservation {
            at,
            status,
            desired: map::count(found.desired_count()),
            running: map::count(found.running_count()),
            pending: map::count(found.pending_count()),
            deployments: deployments.collect::<Result<_, _>>()?,
            tasks: Vec::new(),
            stopped: Vec::new(),
            events: events(&found, service, at),
        })
    }

    /// `None` when ECS says that it is missing. Also when it was asked.
    pub(super) async fn describe_service(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<(Timestamp, Option<Arc<Service>>), Error> {
        let at = (self.now)();
        let (client, cluster) = (self.client.clone(), self.cluster.clone());
        let call = move |names| wide::describe_services(client.clone(), cluster.clone(), names);
        let name = service.as_str();
        let names = [name.to_owned()];
        let read = self.toll.read(
            ctx,
            |observer| &observer.services,
            &self.cluster,
            &names,
            (SERVICES_A_CALL, call),
        );
        let mut read = read.await?;
        let found = match read.found.remove(name) {
            Some(Described::There(found)) => Some(found),
            Some(Described::Failed { reason, detail }) => {
                return Err(failed(
                    DESCRIBE_SERVICES,
                    name,
                    reason.as_deref(),
                    detail.as_deref(),
                ));
            }
            None => None,
        };
        Ok((read.sent_at.unwrap_or(at), found))
    }

    /// The records of the deployments in sight, and of those that left a moment ago.
    async fn records(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        deployments: &[DeploymentObservation],
    ) -> Result<Vec<Record>, Error> {
        let Some(oldest) = deployments.iter().map(|d| d.created_at).min() else {
            return Ok(Vec::new());
        };
        let Some(arns) = self.list_records(ctx, service, oldest).await? else {
            return Ok(Vec::new());
        };
        let (client, subject) = (self.client.clone(), format!("service {service}"));
        let call = move |arns| wide::describe_records(client.clone(), subject.clone(), arns);
        let read = self.toll.read(
            ctx,
            |observer| &observer.records,
            "",
            &arns,
            (RECORDS_A_CALL, call),
        );
        let mut read = read.await?;
        let found: Vec<_> = arns.iter().filter_map(|arn| read.found.remove(arn)).collect();
        let wanted = found
            .iter()
            .flat_map(|record| [target(record), back_to(record)])
            .flatten()
            .map(str::to_owned)
            .collect();
        let brings = self.service_revisions(ctx, wanted).await?;
        found
            .iter()
            .map(|found| {
                let mut record = map::record(found)?;
                record.rolled_back_to = back_to(found).and_then(|arn| brings.get(arn).cloned());
                Ok(Record {
                    brings: target(found).and_then(|arn| brings.get(arn).cloned()),
                    created_at: map::opt_time(found.created_at()).unwrap_or_default(),
                    record,
                })
            })
            .collect()
    }

    /// The newest, as many as are described in one call.
    ///
    /// `None` where the endpoint has no such operation (emulators): the records are then unknown, which is not "none".
    async fn list_records(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        oldest: Timestamp,
    ) -> Result<Option<Vec<String>>, Error> {
        let after = i64::try_from(oldest.as_millis().saturating_sub(LOOK_BACK_MILLIS)).unwrap_or(0);
        let range = CreatedAt::builder().after(DateTime::from_millis(after)).build();
        let mut pages = Pages::new(LIST_RECORDS, RECORD_PAGES);
        let mut token = None;
        let mut found = Vec::new();
        loop {
            self.toll.pay(ctx, LIST_RECORDS).await?;
            let answer = self
                .client
                .list_service_deployments()
                .cluster(&self.cluster)
                .service(service.as_str())
                .created_at(range.clone())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| from_sdk(LIST_RECORDS, format_args!("service {service}"), false, error));
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) if error.kind == ErrorKind::Unsupported => return Ok(None),
                Err(error) => return Err(error),
            };
            found.extend(answer.service_deployments.unwrap_or_default());
            token = pages.next(answer.next_token)?;
            if token.is_none() {
                found.sort_by_key(|brief| core::cmp::Reverse(map::opt_time(brief.created_at())));
                found.truncate(RECORDS_A_CALL);
                let arns = found.into_iter().filter_map(|brief| brief.service_deployment_arn);
                return Ok(Some(arns.collect()));
            }
        }
    }

    /// The task definitions of service revisions. They never change, so each is read once.
    async fn service_revisions(
        &self,
        ctx: &OpContext,
        wanted: BTreeSet<String>,
    ) -> Result<BTreeMap<String, TaskDefinitionArn>, Error> {
        let mut known: BTreeMap<_, _> = self.recall(|memory| {
            wanted
                .iter()
                .filter_map(|arn| Some((arn.clone(), memory.service_revisions.get(arn)?.clone())))
                .collect()
        });
        let unknown: Vec<_> = wanted
            .into_iter()
            .filter(|arn| !known.contains_key(arn))
            .collect();
        let client = self.client.clone();
        let call = move |arns| wide::describe_service_revisions(client.clone(), arns);
        let read = self.toll.read(
            ctx,
            |observer| &observer.revisions,
            "",
            &unknown,
            (RECORDS_A_CALL, call),
        );
        known.extend(read.await?.found);
        self.remember(|memory| {
            memory.service_revisions.extend(
                known
                    .iter()
                    .map(|(arn, definition)| (arn.clone(), definition.clone())),
            );
        });
        Ok(known)
    }

    /// Gives each deployment its record: the one that brings the same revision and was made at the same moment. ECS names
    /// neither in the other. A record whose deployment has left `deployments` (a rollback ends so) stays visible as an
    /// INACTIVE deployment, if its id is known: from an earlier look, or from the tasks that it started.
    fn attach(
        &self,
        records: Vec<Record>,
        deployments: &mut [DeploymentObservation],
        stopped: &[StoppedTask],
    ) -> Vec<DeploymentObservation> {
        let mut gone = Vec::new();
        for record in records {
            let apart =
                |d: &DeploymentObservation| d.created_at.as_millis().abs_diff(record.created_at.as_millis());
            let arn = record.record.arn.as_str().to_owned();
            let remembered = self.recall(|memory| memory.records.get(&arn).cloned());
            let own = deployments
                .iter_mut()
                .filter(|d| d.record.is_none())
                .filter(|d| match &remembered {
                    Some(id) => &d.id == id,
                    None => {
                        Some(&d.task_definition) == record.brings.as_ref() && apart(d) <= SAME_MOMENT_MILLIS
                    }
                })
                .min_by_key(|d| apart(d));
            if let Some(own) = own {
                let id = own.id.clone();
                own.record = Some(record.record);
                self.remember(|memory| {
                    memory.records.insert(arn, id);
                });
            } else if ended_badly(&record.record.status)
                && let Some(brings) = &record.brings
                && let Some(id) = remembered.or_else(|| started_tasks(brings, deployments, stopped))
            {
                gone.push(left(id, brings.clone(), record));
            }
        }
        gone
    }

    async fn running(&self, ctx: &OpContext, service: &ServiceName) -> Result<Vec<RunningTask>, Error> {
        let listed = self.list_tasks(ctx, service, DesiredStatus::Running).await?;
        let mut tasks = Vec::new();
        for task in self.describe_tasks(ctx, &listed).await? {
            if task.last_status() == Some("RUNNING") {
                tasks.push(self.running_task(ctx, &task).await?);
            }
        }
        Ok(tasks)
    }

    async fn stopped(&self, ctx: &OpContext, service: &ServiceName) -> Result<Vec<StoppedTask>, Error> {
        let ended = self.list_tasks(ctx, service, DesiredStatus::Stopped).await?;
        let (mut stopped, unknown): (Vec<_>, Vec<_>) = self.recall(|memory| {
            let mut stopped = Vec::new();
            let mut unknown = Vec::new();
            for arn in ended {
                match memory.stopped.get(&arn) {
                    Some(task) => stopped.push(task.clone()),
                    None => unknown.push(arn),
                }
            }
            (stopped, unknown)
        });
        let mut logs = LOGS;
        let mut ended = self.describe_tasks(ctx, &unknown).await?;
        // Newest first, so that the logs that are read are the newest ones.
        ended.sort_by_key(|task| core::cmp::Reverse(map::opt_time(task.stopped_at())));
        for task in &ended {
            stopped.extend(self.stopped_task(ctx, task, Kind::Service, &mut logs).await?);
        }
        stopped.sort_by(|a, b| (a.stopped_at, &a.task).cmp(&(b.stopped_at, &b.task)));
        let skip = stopped.len().saturating_sub(STOPPED);
        Ok(stopped.split_off(skip))
    }

    async fn list_tasks(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
        desired: DesiredStatus,
    ) -> Result<Vec<String>, Error> {
        let mut pages = Pages::new(LIST_TASKS, TASK_PAGES);
        let mut token = None;
        let mut arns = Vec::new();
        loop {
            self.toll.pay(ctx, LIST_TASKS).await?;
            let answer = self
                .client
                .list_tasks()
                .cluster(&self.cluster)
                .service_name(service.as_str())
                .desired_status(desired.clone())
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| from_sdk(LIST_TASKS, format_args!("service {service}"), false, error))?;
            arns.extend(answer.task_arns.unwrap_or_default());
            token = pages.next(answer.next_token)?;
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// Tasks that ECS has forgotten between the list and this call are left out.
    pub(super) async fn describe_tasks(
        &self,
        ctx: &OpContext,
        arns: &[String],
    ) -> Result<Vec<Arc<Task>>, Error> {
        let (client, cluster) = (self.client.clone(), self.cluster.clone());
        let call = move |arns| wide::describe_tasks(client.clone(), cluster.clone(), arns);
        let read = self.toll.read(
            ctx,
            |observer| &observer.tasks,
            &self.cluster,
            arns,
            (TASKS_A_CALL, call),
        );
        let mut read = read.await?;
        let mut tasks = Vec::new();
        for arn in arns {
            match read.found.remove(arn) {
                Some(DescribedTask::There(task)) => tasks.push(task),
                Some(DescribedTask::Failed { reason, detail }) => {
                    return Err(failed(DESCRIBE_TASKS, arn, reason.as_deref(), detail.as_deref()));
                }
                None => {}
            }
        }
        Ok(tasks)
    }

    async fn running_task(&self, ctx: &OpContext, task: &Task) -> Result<RunningTask, Error> {
        let definition = task.task_definition_arn().unwrap_or_default();
        let revision = self.revision(ctx, definition).await?;
        Ok(RunningTask {
            task: map::id(DESCRIBE_TASKS, "task ARN", task.task_arn(), TaskArn::new)?,
            task_definition: map::id(
                DESCRIBE_TASKS,
                "task definition",
                Some(definition),
                TaskDefinitionArn::new,
            )?,
            images: map::images(task.containers(), revision.as_deref()),
            started_by: started_by(task),
            started_at: map::opt_time(task.started_at()),
        })
    }
}

/// The deployment that started a task. ECS writes its id there; emulators write other things.
pub(super) fn started_by(task: &Task) -> Option<DeploymentId> {
    task.started_by()
        .filter(|text| text.starts_with("ecs-svc/"))
        .and_then(|text| DeploymentId::new(text).ok())
}

fn target(record: &ServiceDeployment) -> Option<&str> {
    record
        .target_service_revision()
        .and_then(|revision| revision.arn())
}

fn back_to(record: &ServiceDeployment) -> Option<&str> {
    record
        .rollback()
        .and_then(|rollback| rollback.service_revision_arn())
}

/// The one deployment that is not in sight and has started tasks of this revision.
fn started_tasks(
    brings: &TaskDefinitionArn,
    deployments: &[DeploymentObservation],
    stopped: &[StoppedTask],
) -> Option<DeploymentId> {
    let ids: BTreeSet<_> = stopped
        .iter()
        .filter(|task| &task.task_definition == brings)
        .filter_map(|task| task.started_by.as_ref())
        .filter(|id| deployments.iter().all(|d| &d.id != *id))
        .collect();
    match (ids.len(), ids.first()) {
        (1, Some(id)) => Some((*id).clone()),
        _ => None,
    }
}

/// One that has not gone, or was not brought, to its end: it is not obvious from what is left in sight.
fn ended_badly(status: &RecordStatus) -> bool {
    match status {
        RecordStatus::StopRequested
        | RecordStatus::Stopped
        | RecordStatus::RollbackRequested
        | RecordStatus::RollbackInProgress
        | RecordStatus::RollbackSuccessful
        | RecordStatus::RollbackFailed => true,
        RecordStatus::Pending
        | RecordStatus::InProgress
        | RecordStatus::Successful
        | RecordStatus::Other(_) => false,
    }
}

/// A deployment of which only the record is left.
fn left(id: DeploymentId, task_definition: TaskDefinitionArn, record: Record) -> DeploymentObservation {
    let rollout = match &record.record.status {
        RecordStatus::Successful => RolloutState::Completed,
        RecordStatus::Pending | RecordStatus::InProgress => RolloutState::InProgress,
        RecordStatus::StopRequested
        | RecordStatus::Stopped
        | RecordStatus::RollbackRequested
        | RecordStatus::RollbackInProgress
        | RecordStatus::RollbackSuccessful
        | RecordStatus::RollbackFailed => RolloutState::Failed,
        RecordStatus::Other(word) => RolloutState::Other(word.clone()),
    };
    DeploymentObservation {
        id,
        task_definition,
        role: DeploymentRole::Inactive,
        rollout,
        reason: record.record.reason.clone(),
        desired: 0,
        running: 0,
        pending: 0,
        failed: 0,
        created_at: record.created_at,
        record: Some(record.record),
    }
}

fn missing(at: Timestamp) -> ServiceObservation {
    ServiceObservation {
        at,
        status: ServiceStatus::Missing,
        desired: 0,
        running: 0,
        pending: 0,
        deployments: Vec::new(),
        tasks: Vec::new(),
        stopped: Vec::new(),
        events: Vec::new(),
    }
}

/// ECS gives the newest first.
fn events(found: &Service, service: &ServiceName, at: Timestamp) -> Vec<Evidence> {
    let mut events: Vec<_> = found
        .events()
        .iter()
        .take(EVENTS)
        .map(|event| {
            let when = map::opt_time(event.created_at()).unwrap_or(at);
            Evidence::new(
                when,
                "ecs:DescribeServices event",
                service.as_str(),
                event.message().unwrap_or_default(),
            )
        })
        .collect();
    events.reverse();
    events
}

/// What comes in `failures`, with HTTP 200.
pub(super) fn failed(operation: &str, subject: &str, reason: Option<&str>, detail: Option<&str>) -> Error {
    let reason = reason.unwrap_or("no reason given");
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let kind = match reason {
        "MISSING" => ErrorKind::NotFound,
        text if text.starts_with("RESOURCE:") || text.starts_with("CAPACITY") || text == "AGENT" => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, operation, format!("{subject}: {reason}{detail}"))
}
