//! A task definition as the team's own JSON: made ready to be registered, named by its content, compared with what is
//! registered already.

use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::ImageDigest;
use rollout_core::service::RevisionSpec;
use serde_json::{Map, Value, json};

use super::REGISTER;

/// The tag that names a revision's content.
pub(super) const CONTENT_TAG: &str = "rollout:content-sha256";

/// What `describe-task-definition` adds; files made from its output carry it, and registering does not take it.
const ANSWER_ONLY: &[&str] = &[
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

/// A template that is ready to be registered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prepared {
    pub(super) family: String,
    /// SHA-256 of the content, without the tag that carries it.
    pub(super) content: String,
    /// The request's body.
    pub(super) body: Value,
}

/// Replaces the images, checks what we rely on (AWS checks the rest), and names the content.
pub(super) fn prepare(spec: &RevisionSpec, registry: &str) -> Result<Prepared, Error> {
    let mut body = object(&spec.template, "the task definition")?.clone();
    body.retain(|key, value| !ANSWER_ONLY.contains(&key.as_str()) && !value.is_null());
    let family = match body.get("family").and_then(Value::as_str) {
        Some(family) if !family.is_empty() => family.to_owned(),
        _ => return Err(invalid("`family` must be a name")),
    };
    replace_images(&mut body, spec, registry, &family)?;
    let content = hash(&Value::Object(body.clone()));
    let tag = json!({ "key": CONTENT_TAG, "value": content });
    match body.entry("tags").or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(tags) => {
            tags.retain(|tag| tag.get("key").and_then(Value::as_str) != Some(CONTENT_TAG));
            tags.push(tag);
        }
        _ => return Err(invalid("`tags` must be a list")),
    }
    Ok(Prepared {
        family,
        content,
        body: Value::Object(body),
    })
}

fn replace_images(
    body: &mut Map<String, Value>,
    spec: &RevisionSpec,
    registry: &str,
    family: &str,
) -> Result<(), Error> {
    let Some(Value::Array(containers)) = body.get_mut("containerDefinitions") else {
        return Err(invalid("`containerDefinitions` must be a list"));
    };
    let mut left: Vec<_> = spec.images.keys().collect();
    for (index, container) in containers.iter_mut().enumerate() {
        let path = format!("`containerDefinitions[{index}]`");
        let Value::Object(container) = container else {
            return Err(invalid(format!("{path} must be an object")));
        };
        let Some(name) = container.get("name").and_then(Value::as_str).map(str::to_owned) else {
            return Err(invalid(format!("{path} must have a `name`")));
        };
        if let Some((key, image)) = spec.images.iter().find(|(key, _)| key.as_str() == name) {
            left.retain(|other| *other != key);
            let reference = format!("{registry}/{}@{}", image.repository, image.digest);
            container.insert("image".to_owned(), Value::String(reference));
        } else if container
            .get("image")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err(invalid(format!(
                "{path} (`{name}`) has no `image` and the release brings none"
            )));
        }
    }
    match left.first() {
        None => Ok(()),
        Some(name) => Err(invalid(format!(
            "the release brings an image for the container `{name}`, which family `{family}` does not have"
        ))),
    }
}

/// The JSON of a RunTask, as `run-task --cli-input-json` takes it, with what one run of it adds.
pub(super) fn run_task(
    run: &Value,
    cluster: &str,
    task_definition: &str,
    token: &str,
) -> Result<Value, Error> {
    let mut body = match run {
        Value::Null => Map::new(),
        run => object(run, "the task's run settings")?.clone(),
    };
    body.retain(|_, value| !value.is_null());
    for key in ["clientToken", "startedBy", "taskDefinition"] {
        if body.get(key).is_some_and(|value| value.as_str() != Some("")) {
            return Err(invalid(format!(
                "`{key}` is set by the rollout; leave it out of the run settings"
            )));
        }
    }
    if let Some(other) = body.get("cluster").and_then(Value::as_str)
        && !other.is_empty()
        && short(other) != short(cluster)
    {
        return Err(invalid(format!(
            "`cluster` is `{other}`, and the environment's is `{cluster}`"
        )));
    }
    if body.get("count").is_some_and(|count| count.as_u64() != Some(1)) {
        return Err(invalid("`count` must be 1: a one-off task is started once"));
    }
    for (key, value) in [
        ("cluster", cluster),
        ("taskDefinition", task_definition),
        ("clientToken", token),
        ("startedBy", token),
    ] {
        body.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    body.insert("count".to_owned(), json!(1));
    Ok(Value::Object(body))
}

/// The last part of an ARN, or the name itself.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The digest that an image reference is pinned to.
pub(super) fn pinned(image: &str) -> Option<ImageDigest> {
    image
        .rsplit_once('@')
        .and_then(|(_, digest)| ImageDigest::new(digest).ok())
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| invalid(format!("{what} must be a JSON object")))
}

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, REGISTER, context)
}

/// The hex of the SHA-256 of the JSON with sorted keys and no blanks. `serde_json` keeps keys sorted only as long as nobody in
/// the build turns its `preserve_order` on.
fn hash(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    let digest = ImageDigest::of(value.to_string().as_bytes());
    digest.as_str().trim_start_matches("sha256:").to_owned()
}

/// Paths of what we sent and AWS did not take: awsJson services drop a key that they do not know without a word, so a
/// misspelt `healthCheck` would be a service without a health check. Empty values do not count: AWS leaves them out.
pub(super) fn not_taken(sent: &Value, registered: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    if let Value::Object(sent) = sent {
        for (key, value) in sent.iter().filter(|(key, _)| *key != "tags") {
            compare(key, value, registered.get(key), &mut missing);
        }
    }
    missing
}

fn compare(path: &str, sent: &Value, registered: Option<&Value>, missing: &mut Vec<String>) {
    let Some(registered) = registered else {
        if !is_empty(sent) {
            missing.push(path.to_owned());
        }
        return;
    };
    match (sent, registered) {
        (Value::Object(sent), registered) => {
            for (key, value) in sent {
                compare(&format!("{path}.{key}"), value, registered.get(key), missing);
            }
        }
        // Lists that AWS may reorder (environment, secrets) are compared by their element with the same `name`.
        (Value::Array(sent), Value::Array(registered)) => {
            for (index, item) in sent.iter().enumerate() {
                let same = item.get("name").map_or_else(
                    || registered.get(index),
                    |name| registered.iter().find(|other| other.get("name") == Some(name)),
                );
                compare(&format!("{path}[{index}]"), item, same, missing);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
    }
}

/// Whether a registered revision has exactly the content of `sent`, apart from what AWS fills in. When in doubt it has
/// not: registering once more is harmless.
pub(super) fn same_content(sent: &Value, registered: &Value, registered_tags: &Value) -> bool {
    let tags = |value: &Value| -> Vec<Value> {
        value.as_array().map_or_else(Vec::new, |tags| {
            tags.iter()
                .filter(|tag| tag.get("key").and_then(Value::as_str) != Some(CONTENT_TAG))
                .cloned()
                .collect()
        })
    };
    let theirs = tags(registered_tags);
    let ours = sent.get("tags").map_or_else(Vec::new, tags);
    ours.iter().all(|tag| theirs.contains(tag)) && normal(sent) == normal(registered)
}

fn normal(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let mut map = map.clone();
    map.retain(|key, _| key != "tags" && !ANSWER_ONLY.contains(&key.as_str()));
    let in_vpc = map.get("networkMode").and_then(Value::as_str) == Some("awsvpc");
    if let Some(Value::Array(containers)) = map.get_mut("containerDefinitions") {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            normal_container(container, in_vpc);
        }
    }
    without_empty(Value::Object(map))
}

/// Takes away what AWS fills in (Amazon ECS API, "ContainerDefinition": defaults).
fn normal_container(container: &mut Map<String, Value>, in_vpc: bool) {
    container.retain(|key, value| {
        !(key == "essential" && *value == json!(true) || key == "cpu" && *value == json!(0))
    });
    if let Some(Value::Array(ports)) = container.get_mut("portMappings") {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            let same_port = port.get("hostPort") == port.get("containerPort");
            port.retain(|key, value| {
                !(key == "protocol" && *value == json!("tcp") || key == "hostPort" && in_vpc && same_port)
            });
        }
    }
    for key in ["environment", "secrets"] {
        if let Some(Value::Array(items)) = container.get_mut(key) {
            items.sort_by_key(|item| item.get("name").and_then(Value::as_str).unwrap_or("").to_owned());
        }
    }
}

/// Without `null`, `""`, `[]` and `{}`; zeros and `false` stay, some of them mean something (`swappiness`).
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_empty(value)))
                .filter(|(_, value)| matches!(value, Value::Bool(_) | Value::Number(_)) || !is_empty(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        leaf => leaf,
    }
}
