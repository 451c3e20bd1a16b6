//! Clusters.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Paged, view, views};
use crate::ecs::operate::Failure;
use crate::endpoint::call::Call;
use crate::endpoint::document::map;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("CreateCluster", create_cluster),
    Operation::read("DescribeClusters", describe_clusters),
    Operation::read("ListClusters", list_clusters),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateCluster {
    cluster_name: Option<String>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

fn create_cluster(call: &mut Call<'_>) -> Answer {
    let input: CreateCluster = call.input()?;
    let name = input.cluster_name.as_deref();
    // A cluster of another environment of the account is there already, too.
    let index = call.of_cluster(name).or_else(|_| call.home())?;
    let (_, env) = call.at(index);
    let before = env.clusters.len();
    let created = env.create_cluster(name, Value::Object(input.settings));
    if env.clusters.len() > before {
        call.changed();
    }
    Ok(map! { "cluster": view(&created) })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DescribeClusters {
    clusters: Vec<String>,
    include: Vec<String>,
}

fn describe_clusters(call: &mut Call<'_>) -> Answer {
    let mut input: DescribeClusters = call.input()?;
    if input.clusters.is_empty() {
        input.clusters.push("default".to_owned());
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &input.clusters {
        let Ok(index) = call.of_cluster(Some(name)) else {
            let arn = call.arn("ecs", &format!("cluster/{}", super::short(name)));
            failures.push(Failure::missing(arn));
            continue;
        };
        let (some, missing) = call
            .environment(index)
            .describe_clusters(core::slice::from_ref(name));
        found.extend(some);
        failures.extend(missing);
    }
    let hidden = [
        ("tags", "TAGS"),
        ("settings", "SETTINGS"),
        ("configuration", "CONFIGURATIONS"),
    ];
    Ok(map! { "clusters": views(&found, &input.include, &hidden), "failures": views(&failures, &[], &[]) })
}

fn list_clusters(call: &mut Call<'_>) -> Answer {
    let paged: Paged = call.input()?;
    let all: Vec<String> = call.environments().flat_map(|e| e.list_clusters()).collect();
    paged.page("clusterArns", &all, 100)
}
