//! `[[services]]`.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::id::{EnvironmentName, ServiceName};
use rollout_core::machine::deployment;

use super::diagnostic::suggest;
use super::ecs::{Files, JsonFile};
use super::gate::{self, Gate};
use super::image::{self, Images};
use super::reader::{At, Reader};

/// One service of the release.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// Its table in the file.
    pub(crate) span: Range<usize>,
    /// Its name in this file, and in ECS where an environment does not say otherwise.
    pub(crate) name: ServiceName,
    /// The services that must be done before it.
    pub(crate) after: Vec<At<ServiceName>>,
    /// What each container of the release gets.
    pub(crate) images: Images,
    /// Its task definition.
    task_definition: JsonFile,
    /// What differs by environment.
    overrides: BTreeMap<EnvironmentName, Override>,
    /// How patient a deployment is.
    pub(crate) deployment: deployment::Policy,
    /// What it must pass once it is deployed.
    pub(crate) gates: Vec<Gate>,
}

#[derive(Clone, Debug, Default)]
struct Override {
    service: Option<ServiceName>,
    task_definition: Option<JsonFile>,
}

impl Service {
    /// What ECS calls it in an environment.
    pub(crate) fn name_in(&self, environment: &EnvironmentName) -> &ServiceName {
        self.overrides
            .get(environment)
            .and_then(|o| o.service.as_ref())
            .unwrap_or(&self.name)
    }

    /// Its task definition in an environment.
    pub(crate) fn task_definition_in(&self, environment: &EnvironmentName) -> &JsonFile {
        self.overrides
            .get(environment)
            .and_then(|o| o.task_definition.as_ref())
            .unwrap_or(&self.task_definition)
    }
}

/// The services, and whether they are all there: checks across services mislead when one could not be read.
pub(super) fn read_all(
    reader: &Reader<'_>,
    files: &Files,
    environments: &[EnvironmentName],
) -> (Vec<Service>, bool) {
    if reader.value("services").is_none() {
        let fault = reader.sink.at(&reader.span, "there is no service");
        reader
            .sink
            .push(fault.help("add a `[[services]]` with name, task_definition and images"));
    }
    let tables = reader.tables("services", "[[services]]");
    let services: Vec<Service> = tables
        .iter()
        .filter_map(|table| read(table, files, environments))
        .collect();
    let complete = services.len() == tables.len() && !tables.is_empty();
    (services, complete)
}

fn read(reader: &Reader<'_>, files: &Files, environments: &[EnvironmentName]) -> Option<Service> {
    let name = reader
        .required("name", "\"backend\"")
        .and_then(|v| v.parse::<ServiceName>());
    let after = reader.value("after").map(|v| v.list()).unwrap_or_default();
    let images = image::read(reader, true);
    let task_definition = reader
        .required("task_definition", "\"ecs/backend.json\"")
        .and_then(|v| files.task_definition(&v, &images));
    let overrides = overrides(reader, files, &images, environments);
    let deployment = deployment_policy(reader);
    let gates = gate::read_all(reader, "gates", "[[services.gates]]");
    reader.finish();
    Some(Service {
        span: reader.span.clone(),
        name: name?.value,
        after,
        images,
        task_definition: task_definition?,
        overrides,
        deployment,
        gates,
    })
}

fn overrides(
    reader: &Reader<'_>,
    files: &Files,
    images: &Images,
    environments: &[EnvironmentName],
) -> BTreeMap<EnvironmentName, Override> {
    let mut all = BTreeMap::new();
    let table = reader
        .value("environments")
        .and_then(|v| v.table("[services.environments.…]"));
    for (key, value) in table.iter().flat_map(Reader::entries) {
        let Some(environment) = known(reader, &key, environments) else {
            continue;
        };
        let Some(table) = value.table(&format!("[services.environments.{environment}]")) else {
            continue;
        };
        let one = Override {
            service: table.value("service").and_then(|v| v.parse()).map(|s| s.value),
            task_definition: table
                .value("task_definition")
                .and_then(|v| files.task_definition(&v, images)),
        };
        table.finish();
        all.insert(environment, one);
    }
    all
}

/// The environment that a key names, if there is one.
pub(super) fn known(
    reader: &Reader<'_>,
    key: &At<String>,
    environments: &[EnvironmentName],
) -> Option<EnvironmentName> {
    let found = environments.iter().find(|e| e.as_str() == key.value);
    if found.is_none() {
        let what = format!("there is no environment `{}`", key.value);
        let help = suggest(&key.value, environments.iter().map(|e| e.as_str()));
        reader.sink.push(reader.sink.at(&key.span, what).help_maybe(help));
    }
    found.cloned()
}

/// Between two looks when the end is near, unless it is said otherwise.
pub(crate) const FASTEST: Duration = Duration::from_secs(1);

fn deployment_policy(reader: &Reader<'_>) -> deployment::Policy {
    let table = reader
        .value("deployment")
        .and_then(|v| v.table("[services.deployment]"));
    let duration = |key, seconds| {
        let default = Duration::from_secs(seconds);
        table.as_ref().map_or(default, |t| t.duration(key, default))
    };
    let number = |key, default| table.as_ref().map_or(default, |t| t.number(key, default));
    let (poll, deadline) = (duration("poll", 5), duration("deadline", 15 * 60));
    // What is not said follows from what is.
    let fast = poll.min(FASTEST);
    let or = |key, default| table.as_ref().map_or(default, |t| t.duration(key, default));
    let expected = or("expect", Duration::ZERO);
    let policy = deployment::Policy {
        poll_every: poll,
        pace: (poll <= deadline).then_some(deployment::Pace {
            fast: or("fastest", fast),
            slow: or("slowest", poll),
            expected: (!expected.is_zero()).then_some(expected),
        }),
        give_up: deadline,
        stopped_tasks: number("stopped_tasks", 2),
        max_errors: number("errors", 10),
        answer: duration("answer", 60),
        stale_reads: duration("stale_reads", 30),
    };
    if let Some(table) = &table {
        table.finish();
    }
    policy
}
