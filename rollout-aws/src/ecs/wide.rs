//! Reads that take many items a call, one call each. What was not found is not in the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Failure, Service, ServiceDeployment, Task};
use rollout_core::error::Error;
use rollout_core::id::TaskDefinitionArn;

use super::observe::failed;
use super::{DESCRIBE_RECORDS, DESCRIBE_SERVICE_REVISIONS, DESCRIBE_SERVICES, DESCRIBE_TASKS};
use crate::error::from_sdk;

/// Services a call (Amazon ECS API, "DescribeServices").
pub(crate) const SERVICES_A_CALL: usize = 10;
/// Tasks a call (Amazon ECS API, "DescribeTasks").
pub(crate) const TASKS_A_CALL: usize = 100;
/// Records or service revisions a call (Amazon ECS API, "DescribeServiceDeployments", "DescribeServiceRevisions").
pub(crate) const RECORDS_A_CALL: usize = 20;

/// What is said of a service.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    There(Arc<Service>),
    Failed {
        reason: Option<String>,
        detail: Option<String>,
    },
}

/// What is said of a task.
#[derive(Clone, Debug)]
pub(crate) enum DescribedTask {
    There(Arc<Task>),
    Failed {
        reason: Option<String>,
        detail: Option<String>,
    },
}

/// What is wrong with single items comes in `failures`, with HTTP 200, each under its ARN; `MISSING` is no fault. One whose
/// item is not among those asked for could be about any of them, so it is everybody's error.
fn faults<'a>(
    operation: &'static str,
    asked: &'a [String],
    failures: Option<&'a [Failure]>,
) -> Result<Vec<(&'a String, &'a Failure)>, Error> {
    let faults = failures.unwrap_or_default().iter();
    faults
        .filter(|failure| failure.reason() != Some("MISSING"))
        .map(|failure| {
            let of = asked_as(asked, failure.arn().unwrap_or_default());
            of.map(|name| (name, failure)).ok_or_else(|| {
                let subject = failure.arn().unwrap_or("an item");
                failed(operation, subject, failure.reason(), failure.detail())
            })
        })
        .collect()
}

/// What was asked for, under its ARN, its name or its id: the last part of an ARN, which no other of one cluster has.
fn asked_as<'a>(asked: &'a [String], arn: &str) -> Option<&'a String> {
    let last = arn.rsplit('/').next();
    asked.iter().find(|name| name.rsplit('/').next() == last)
}

pub(super) async fn describe_services(
    client: Client,
    cluster: String,
    names: Vec<String>,
) -> Result<BTreeMap<String, Described>, Error> {
    let answer = client
        .describe_services()
        .cluster(&cluster)
        .set_services(Some(names.clone()))
        .send()
        .await
        .map_err(|error| {
            let which = if names.len() == 1 { "service" } else { "services" };
            let subject = format!("{which} {} of cluster {cluster}", names.join(", "));
            from_sdk(DESCRIBE_SERVICES, subject, false, error)
        })?;
    let mut found = BTreeMap::new();
    for (name, fault) in faults(DESCRIBE_SERVICES, &names, answer.failures.as_deref())? {
        let described = Described::Failed {
            reason: fault.reason.clone(),
            detail: fault.detail.clone(),
        };
        found.insert(name.clone(), described);
    }
    for service in answer.services.unwrap_or_default() {
        // Where one was asked for, it is that one, whatever it says of itself.
        let name = match names.as_slice() {
            [only] => Some(only),
            _ => asked_as(&names, service.service_name().unwrap_or_default()),
        };
        let Some(name) = name else {
            continue;
        };
        found.insert(name.clone(), Described::There(Arc::new(service)));
    }
    Ok(found)
}

pub(super) async fn describe_tasks(
    client: Client,
    cluster: String,
    arns: Vec<String>,
) -> Result<BTreeMap<String, DescribedTask>, Error> {
    let answer = client
        .describe_tasks()
        .cluster(&cluster)
        .set_tasks(Some(arns.clone()))
        .send()
        .await
        .map_err(|error| from_sdk(DESCRIBE_TASKS, format_args!("cluster {cluster}"), false, error))?;
    let mut found = BTreeMap::new();
    for (arn, fault) in faults(DESCRIBE_TASKS, &arns, answer.failures.as_deref())? {
        let described = DescribedTask::Failed {
            reason: fault.reason.clone(),
            detail: fault.detail.clone(),
        };
        found.insert(arn.clone(), described);
    }
    for task in answer.tasks.unwrap_or_default() {
        let Some(arn) = asked_as(&arns, task.task_arn().unwrap_or_default()) else {
            continue;
        };
        found.insert(arn.clone(), DescribedTask::There(Arc::new(task)));
    }
    Ok(found)
}

pub(super) async fn describe_records(
    client: Client,
    subject: String,
    arns: Vec<String>,
) -> Result<BTreeMap<String, Arc<ServiceDeployment>>, Error> {
    let answer = client
        .describe_service_deployments()
        .set_service_deployment_arns(Some(arns))
        .send()
        .await
        .map_err(|error| from_sdk(DESCRIBE_RECORDS, subject, false, error))?;
    let records = answer.service_deployments.unwrap_or_default().into_iter();
    Ok(records
        .filter_map(|record| Some((record.service_deployment_arn.clone()?, Arc::new(record))))
        .collect())
}

pub(super) async fn describe_service_revisions(
    client: Client,
    arns: Vec<String>,
) -> Result<BTreeMap<String, TaskDefinitionArn>, Error> {
    let answer = client
        .describe_service_revisions()
        .set_service_revision_arns(Some(arns))
        .send()
        .await
        .map_err(|error| from_sdk(DESCRIBE_SERVICE_REVISIONS, "service revisions", false, error))?;
    let revisions = answer.service_revisions().iter();
    Ok(revisions
        .filter_map(|revision| {
            let definition = TaskDefinitionArn::new(revision.task_definition()?).ok()?;
            Some((revision.service_revision_arn()?.to_owned(), definition))
        })
        .collect())
}
