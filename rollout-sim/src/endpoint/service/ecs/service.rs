//! Services.

use serde::Deserialize;

use super::{Paged, invalid, views};
use crate::ecs::operate::service::{CreateService, UpdateService};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("CreateService", create_service),
    Operation::write("DeleteService", delete_service),
    Operation::read("DescribeServices", describe_services),
    Operation::read("ListServices", list_services),
    Operation::write("UpdateService", update_service),
];

/// Services that one call describes (Amazon ECS API, "DescribeServices").
const DESCRIBED: usize = 10;

/// A service as it is told after a change.
fn one(call: &Call<'_>, env: u16, s: u16) -> Document {
    let told = [call.environment(env).service_view(s)];
    let mut list = views(&told, &[], &[("tags", "TAGS")]);
    match &mut list {
        Document::List(list) => list.items.pop().unwrap_or(Document::Null),
        _ => Document::Null,
    }
}

fn create_service(call: &mut Call<'_>) -> Answer {
    let input: CreateService = call.input()?;
    call.share_definitions();
    let index = call.of_cluster(input.cluster.as_deref())?;
    let (k, env) = call.at(index);
    let before = env.services.len();
    let s = env.create_service(k, &input)?;
    if env.services.len() > before {
        call.changed();
        call.world.deployment_begins(index, s);
    }
    Ok(map! { "service": one(call, index, s) })
}

fn update_service(call: &mut Call<'_>) -> Answer {
    let input: UpdateService = call.input()?;
    call.share_definitions();
    let index = call.of_cluster(input.cluster.as_deref())?;
    // What waits for the deployment is planned before its first task is: so it is tried first, where something waits.
    if call.world.deployments_are_waited_for(index) {
        let (mut k, mut env) = {
            let (k, env) = call.at(index);
            (k.clone(), env.clone())
        };
        let (s, deploys) = env.update_service(&mut k, &input)?;
        if deploys {
            call.world.deployment_begins(index, s);
        }
    }
    let (k, env) = call.at(index);
    let (s, _) = env.update_service(k, &input)?;
    call.changed();
    Ok(map! { "service": one(call, index, s) })
}

#[derive(Deserialize)]
struct DeleteService {
    cluster: Option<String>,
    service: String,
    #[serde(default)]
    force: bool,
}

fn delete_service(call: &mut Call<'_>) -> Answer {
    let input: DeleteService = call.input()?;
    let cluster = input.cluster.as_deref();
    let index = call.of_cluster(cluster)?;
    let (k, env) = call.at(index);
    let (s, deletes) = env.delete_service_named(k, cluster, &input.service, input.force)?;
    if deletes {
        call.changed();
    }
    Ok(map! { "service": one(call, index, s) })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DescribeServices {
    cluster: Option<String>,
    services: Vec<String>,
    include: Vec<String>,
}

fn describe_services(call: &mut Call<'_>) -> Answer {
    let input: DescribeServices = call.input()?;
    let index = call.of_cluster(input.cluster.as_deref())?;
    if input.services.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if input.services.len() > DESCRIBED {
        return Err(invalid("Services cannot have more than 10 elements."));
    }
    let env = call.environment(index);
    let (found, failures) = env.describe_services(input.cluster.as_deref(), &input.services)?;
    let services = views(&found, &input.include, &[("tags", "TAGS")]);
    Ok(map! { "services": services, "failures": views(&failures, &[], &[]) })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListServices {
    cluster: Option<String>,
    launch_type: Option<String>,
    scheduling_strategy: Option<String>,
}

fn list_services(call: &mut Call<'_>) -> Answer {
    let (input, paged): (ListServices, Paged) = (call.input()?, call.input()?);
    let index = call.of_cluster(input.cluster.as_deref())?;
    let env = call.environment(index);
    let mut all = env.list_services(input.cluster.as_deref())?;
    if let Some(word) = &input.launch_type {
        let (told, _) = env.describe_services(input.cluster.as_deref(), &all)?;
        let fits = |arn: &str| {
            let mut same = told.iter().filter(|view| view.service_arn == arn);
            same.any(|view| {
                view.settings
                    .get("launchType")
                    .is_some_and(|t| t == word.as_str())
            })
        };
        all.retain(|arn| fits(arn));
    }
    // Every service here is a REPLICA one.
    if input.scheduling_strategy.as_deref() == Some("DAEMON") {
        all.clear();
    }
    paged.page("serviceArns", &all, 10)
}
