//! `[[tasks]]`: one-off tasks such as a migration.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;

use rollout_core::id::{EnvironmentName, TaskName};
use rollout_core::machine::task;

use super::ecs::{Files, JsonFile};
use super::image::{self, Images};
use super::reader::Reader;
use super::service::known;

/// When a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the first service changes.
    #[default]
    BeforeServices,
    /// After the last service has passed its gates.
    AfterServices,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its table in the file.
    pub(crate) span: Range<usize>,
    pub(crate) name: TaskName,
    pub(crate) images: Images,
    task_definition: JsonFile,
    run: JsonFile,
    overrides: BTreeMap<EnvironmentName, Override>,
    pub(crate) when: When,
    /// Whether the release before this one works with what the task has done. If not, nothing goes back over it.
    pub(crate) reversible: bool,
    pub(crate) policy: task::Policy,
}

#[derive(Clone, Debug, Default)]
struct Override {
    task_definition: Option<JsonFile>,
    run: Option<JsonFile>,
}

impl Task {
    /// Its task definition in an environment.
    pub(crate) fn task_definition_in(&self, environment: &EnvironmentName) -> &JsonFile {
        self.overrides
            .get(environment)
            .and_then(|o| o.task_definition.as_ref())
            .unwrap_or(&self.task_definition)
    }

    /// What `run-task` is given in an environment.
    pub(crate) fn run_in(&self, environment: &EnvironmentName) -> &JsonFile {
        self.overrides
            .get(environment)
            .and_then(|o| o.run.as_ref())
            .unwrap_or(&self.run)
    }
}

pub(super) fn read_all(reader: &Reader<'_>, files: &Files, environments: &[EnvironmentName]) -> Vec<Task> {
    reader
        .tables("tasks", "[[tasks]]")
        .iter()
        .filter_map(|table| read(table, files, environments))
        .collect()
}

fn read(reader: &Reader<'_>, files: &Files, environments: &[EnvironmentName]) -> Option<Task> {
    let name = reader
        .required("name", "\"migrate\"")
        .and_then(|v| v.parse::<TaskName>());
    let images = image::read(reader, true);
    let task_definition = reader
        .required("task_definition", "\"ecs/migrate.json\"")
        .and_then(|v| files.task_definition(&v, &images));
    let run = reader
        .required("run", "\"ecs/migrate.run.json\"")
        .and_then(|v| files.run(&v));
    let overrides = overrides(reader, files, &images, environments);
    let words = [
        ("before_services", When::BeforeServices),
        ("after_services", When::AfterServices),
    ];
    let when = reader
        .value("when")
        .and_then(|v| v.word(&words))
        .unwrap_or_default();
    let reversible = reader
        .required("reversible", "true` or `reversible = false")
        .and_then(|v| v.flag());
    let policy = task::Policy {
        poll_every: reader.duration("poll", Duration::from_secs(5)),
        give_up: reader.duration("deadline", Duration::from_secs(15 * 60)),
        max_errors: reader.number("errors", 10),
        answer: reader.duration("answer", Duration::from_secs(60)),
    };
    reader.finish();
    Some(Task {
        span: reader.span.clone(),
        name: name?.value,
        images,
        task_definition: task_definition?,
        run: run?,
        overrides,
        when,
        reversible: reversible?,
        policy,
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
        .and_then(|v| v.table("[tasks.environments.…]"));
    for (key, value) in table.iter().flat_map(Reader::entries) {
        let Some(environment) = known(reader, &key, environments) else {
            continue;
        };
        let Some(table) = value.table(&format!("[tasks.environments.{environment}]")) else {
            continue;
        };
        let one = Override {
            task_definition: table
                .value("task_definition")
                .and_then(|v| files.task_definition(&v, images)),
            run: table.value("run").and_then(|v| files.run(&v)),
        };
        table.finish();
        all.insert(environment, one);
    }
    all
}
