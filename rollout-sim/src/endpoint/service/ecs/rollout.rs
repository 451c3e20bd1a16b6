//! Service deployments and service revisions.

use serde::Deserialize;

use super::{Paged, invalid, value, views};
use crate::ecs::operate::rollout::Filter;
use crate::ecs::plan::HookAction;
use crate::endpoint::call::Call;
use crate::endpoint::document::map;
use crate::endpoint::input::Moment;
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("ContinueServiceDeployment", continue_deployment),
    Operation::read("DescribeServiceDeployments", describe_deployments),
    Operation::read("DescribeServiceRevisions", describe_revisions),
    Operation::read("ListServiceDeployments", list_deployments),
    Operation::write("StopServiceDeployment", stop_deployment),
];

/// Service deployments and revisions that one call describes (Amazon ECS API, "DescribeServiceDeployments",
/// "DescribeServiceRevisions").
const DESCRIBED: usize = 20;

/// The environment that an ARN such as `arn:aws:ecs:<region>:<account>:service-deployment/<cluster>/<service>/<id>` leads to.
fn of_arn(call: &Call<'_>, arn: &str) -> Option<u16> {
    let cluster = arn.split('/').nth(1)?;
    call.of_cluster(Some(cluster)).ok()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct List {
    cluster: Option<String>,
    service: String,
    status: Vec<String>,
    created_at: Created,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Created {
    after: Option<Moment>,
    before: Option<Moment>,
}

fn list_deployments(call: &mut Call<'_>) -> Answer {
    let (input, paged): (List, Paged) = (call.input()?, call.input()?);
    let filter = Filter {
        status: input.status,
        after: input.created_at.after.map(|m| m.0),
        before: input.created_at.before.map(|m| m.0),
    };
    let cluster = input.cluster.as_deref();
    let env = call.environment(call.of_cluster(cluster)?);
    let all = env.list_service_deployments(cluster, &input.service, &filter)?;
    let all: Vec<_> = all.iter().map(value).collect();
    paged.page("serviceDeployments", &all, 20)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Describe {
    service_deployment_arns: Vec<String>,
    service_revision_arns: Vec<String>,
}

fn batch(arns: &[String], member: &str) -> Result<(), Refusal> {
    match arns.len() {
        1..=DESCRIBED => Ok(()),
        _ => Err(invalid(format!(
            "{member} must have from 1 to {DESCRIBED} elements."
        ))),
    }
}

fn describe_deployments(call: &mut Call<'_>) -> Answer {
    let input: Describe = call.input()?;
    batch(&input.service_deployment_arns, "serviceDeploymentArns")?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in &input.service_deployment_arns {
        let one = core::slice::from_ref(arn);
        match of_arn(call, arn) {
            Some(index) => {
                let (some, missing) = call.environment(index).describe_service_deployments(one);
                found.extend(some);
                failures.extend(missing);
            }
            None => failures.push(crate::ecs::operate::Failure::missing(arn.as_str())),
        }
    }
    Ok(map! { "serviceDeployments": views(&found, &[], &[]), "failures": views(&failures, &[], &[]) })
}

fn describe_revisions(call: &mut Call<'_>) -> Answer {
    let input: Describe = call.input()?;
    batch(&input.service_revision_arns, "serviceRevisionArns")?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in &input.service_revision_arns {
        let one = core::slice::from_ref(arn);
        match of_arn(call, arn) {
            Some(index) => {
                let (some, missing) = call.environment(index).describe_service_revisions(one);
                found.extend(some);
                failures.extend(missing);
            }
            None => failures.push(crate::ecs::operate::Failure::missing(arn.as_str())),
        }
    }
    Ok(map! { "serviceRevisions": views(&found, &[], &[]), "failures": views(&failures, &[], &[]) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Steer {
    service_deployment_arn: String,
    stop_type: Option<String>,
    hook_id: Option<String>,
    action: Option<HookAction>,
}

fn no_such_deployment() -> Refusal {
    Refusal::client(
        "ServiceDeploymentNotFoundException",
        "Service deployment not found.",
    )
}

fn stop_deployment(call: &mut Call<'_>) -> Answer {
    let input: Steer = call.input()?;
    let arn = input.service_deployment_arn.as_str();
    let index = of_arn(call, arn).ok_or_else(no_such_deployment)?;
    let (k, env) = call.at(index);
    env.stop_service_deployment(k, arn, input.stop_type.as_deref())?;
    call.changed();
    Ok(map! { "serviceDeploymentArn": arn })
}

fn continue_deployment(call: &mut Call<'_>) -> Answer {
    let input: Steer = call.input()?;
    let arn = input.service_deployment_arn.as_str();
    let index = of_arn(call, arn).ok_or_else(no_such_deployment)?;
    let hook = input.hook_id.ok_or_else(|| invalid("hookId cannot be empty."))?;
    // Left out it goes on (Amazon ECS API, "ContinueServiceDeployment").
    let action = input.action.unwrap_or(HookAction::Continue);
    let (k, env) = call.at(index);
    env.continue_service_deployment(k, arn, &hook, action)?;
    call.changed();
    Ok(map! { "serviceDeploymentArn": arn })
}
