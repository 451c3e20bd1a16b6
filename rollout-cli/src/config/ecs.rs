//! The plain ECS JSON files that `rollout.toml` names: what `register-task-definition --cli-input-json` and
//! `run-task --cli-input-json` take.

use std::path::{Path, PathBuf};

use rollout_core::id::ContainerName;
use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, Place, Source, nearest, quoted, suggest};
use super::image::Images;
use super::reader::{Sink, Value};

/// Keys that `describe-task-definition` prints and that `register-task-definition` refuses (Amazon ECS API,
/// "TaskDefinition" against "RegisterTaskDefinition").
const PRINTED_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// The parameters of "RegisterTaskDefinition"; the adapter carries these and no others.
const REGISTER: [&str; 18] = [
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "tags",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
];

/// The parameters of "RunTask" that a file may give; the rest is ours.
const RUN: [&str; 13] = [
    "capacityProviderStrategy",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "group",
    "launchType",
    "networkConfiguration",
    "overrides",
    "placementConstraints",
    "placementStrategy",
    "platformVersion",
    "propagateTags",
    "tags",
    "volumeConfigurations",
];

/// Parameters of "RunTask" that we set ourselves.
const RUN_OURS: [&str; 6] = [
    "cluster",
    "taskDefinition",
    "count",
    "clientToken",
    "startedBy",
    "referenceId",
];

/// Where the named files are.
pub(super) struct Files {
    dir: PathBuf,
}

/// A JSON file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonFile {
    /// As `rollout.toml` names it.
    pub(crate) path: PathBuf,
    pub(crate) json: Json,
}

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    /// Reads a task definition and checks that it is one which has every container of `images`.
    pub(super) fn task_definition(&self, value: &Value<'_>, images: &Images) -> Option<JsonFile> {
        let file = self.read(value)?;
        let found = Shape::of(value, &file).task_definition(images);
        found.then_some(file)
    }

    /// Reads what `run-task` is given.
    pub(super) fn run(&self, value: &Value<'_>) -> Option<JsonFile> {
        let file = self.read(value)?;
        Shape::of(value, &file).run().then_some(file)
    }

    fn read(&self, value: &Value<'_>) -> Option<JsonFile> {
        let path = PathBuf::from(value.text()?.value);
        let full = self.dir.join(&path);
        let text = match std::fs::read_to_string(&full) {
            Ok(text) => text,
            Err(error) => {
                let what = if error.kind() == std::io::ErrorKind::NotFound {
                    format!("`{}` names a file that does not exist", value.key)
                } else {
                    format!("`{}` names a file that cannot be read: {error}", value.key)
                };
                value.wrong(what, missing(&full));
                return None;
            }
        };
        match serde_json::from_str(&text) {
            Ok(json) => Some(JsonFile { path, json }),
            Err(error) => {
                value.sink.push(not_json(value, &full, &text, &error));
                None
            }
        }
    }
}

/// What helps when a file is not there.
fn missing(full: &Path) -> String {
    let wanted = full
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let beside: Vec<String> = full
        .parent()
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    match nearest(&wanted, beside.iter().map(String::as_str)) {
        Some(near) => format!("there is `{near}` in that directory"),
        None => "paths count from the directory of the configuration".to_owned(),
    }
}

fn named_by(value: &Value<'_>) -> String {
    let (path, place) = value.sink.place(value.span().start);
    let path = path.display();
    format!("`{}` at {path}:{}:{}", value.key, place.line, place.column)
}

fn not_json(value: &Value<'_>, full: &Path, text: &str, error: &serde_json::Error) -> Diagnostic {
    let source = Source::new(full, text);
    let offset = source.offset(Place {
        line: error.line().max(1),
        column: error.column().max(1),
    });
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or(&message);
    let mut diagnostic = Diagnostic::new(&source, offset..offset + 1, format!("this is not JSON: {what}"));
    diagnostic.named_by = Some(named_by(value));
    diagnostic
}

/// Checks the shape of a JSON file; faults are shown at the key that names the file, with the path inside it.
struct Shape<'a> {
    sink: &'a Sink,
    value: &'a Value<'a>,
    file: &'a JsonFile,
}

impl<'a> Shape<'a> {
    const fn of(value: &'a Value<'a>, file: &'a JsonFile) -> Self {
        Self {
            sink: value.sink,
            value,
            file,
        }
    }

    fn wrong(&self, what: &str, help: impl Into<String>) -> bool {
        self.value
            .wrong(format!("{}: {what}", self.file.path.display()), help);
        false
    }

    fn task_definition(&self, images: &Images) -> bool {
        let Some(object) = self.file.json.as_object() else {
            return self.wrong(
                "it is not a JSON object",
                "it holds what `register-task-definition` takes",
            );
        };
        if object.contains_key("taskDefinition") {
            return self.wrong(
                "this is what `describe-task-definition` prints",
                "keep what is under `taskDefinition`, without taskDefinitionArn, revision, status and the like",
            );
        }
        let mut right = true;
        for key in sorted_keys(object) {
            if PRINTED_ONLY.contains(&key.as_str()) {
                right = self.wrong(
                    &format!("`{key}` is refused by `register-task-definition`"),
                    "remove it: ECS gives it, nobody sets it",
                );
            } else if !REGISTER.contains(&key.as_str()) {
                let help = suggest(key, REGISTER).unwrap_or_default();
                right = self.wrong(&format!("unknown key `{key}`"), help);
            }
        }
        let family = object.get("family").and_then(Json::as_str).unwrap_or_default();
        if family.is_empty() {
            right = self.wrong(
                "`family` is missing",
                "add \"family\": \"…\", the name that its revisions share",
            );
        }
        self.containers(object.get("containerDefinitions"), images) && right
    }

    fn containers(&self, definitions: Option<&Json>, images: &Images) -> bool {
        let list = definitions
            .and_then(Json::as_array)
            .filter(|list| !list.is_empty());
        let Some(list) = list else {
            return self.wrong(
                "`containerDefinitions` is missing or empty",
                "a task definition has one container at least",
            );
        };
        let mut right = true;
        let mut names: Vec<&str> = Vec::new();
        for (index, container) in list.iter().enumerate() {
            let name = container
                .get("name")
                .and_then(Json::as_str)
                .filter(|n| ContainerName::new(*n).is_ok());
            match name {
                Some(name) => names.push(name),
                None => {
                    right = self.wrong(
                        &format!("containerDefinitions[{index}] has no valid `name`"),
                        "give it one",
                    )
                }
            }
        }
        for (container, image) in images {
            if !names.contains(&container.as_str()) {
                right = false;
                let what = format!("{} has no container `{container}`", self.file.path.display());
                let help = suggest(container.as_str(), names.iter().copied());
                self.sink.push(self.sink.at(&image.span, what).help_maybe(help));
            }
        }
        for (index, container) in list.iter().enumerate() {
            let name = container.get("name").and_then(Json::as_str).unwrap_or_default();
            let ours = images.keys().any(|c| c.as_str() == name);
            if !ours
                && container
                    .get("image")
                    .and_then(Json::as_str)
                    .is_none_or(str::is_empty)
            {
                right = self.wrong(
                    &format!("containerDefinitions[{index}] (`{name}`) has no `image`"),
                    format!("give it one, or add `{name} = \"…\"` to `images` if it belongs to the release"),
                );
            }
        }
        right
    }

    fn run(&self) -> bool {
        let Some(object) = self.file.json.as_object() else {
            return self.wrong("it is not a JSON object", "it holds what `run-task` takes");
        };
        let mut right = true;
        for key in sorted_keys(object) {
            if RUN_OURS.contains(&key.as_str()) {
                right = self.wrong(
                    &format!("`{key}` is ours to set"),
                    "remove it: the release, the run and the environment decide it",
                );
            } else if !RUN.contains(&key.as_str()) {
                let help = suggest(key, RUN).unwrap_or_else(|| format!("there is: {}", quoted(RUN)));
                right = self.wrong(&format!("unknown key `{key}`"), help);
            }
        }
        right
    }
}

/// The keys in one order, whichever order the JSON map keeps: that is a feature of its crate, switched on by others.
fn sorted_keys(object: &serde_json::Map<String, serde_json::Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort();
    keys
}
