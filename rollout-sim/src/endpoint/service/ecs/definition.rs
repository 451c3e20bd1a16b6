//! Task definitions. They belong to account and region, so that environments that share both share them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Paged, invalid, value};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::write("DeregisterTaskDefinition", deregister),
    Operation::read("DescribeTaskDefinition", describe),
    Operation::read("ListTaskDefinitionFamilies", list_families),
    Operation::read("ListTaskDefinitions", list),
    Operation::write("RegisterTaskDefinition", register),
];

impl Call<'_> {
    /// Gives each environment of the account and region the revisions of the others, under their own numbers. Where two
    /// were described with a revision of the same name, each keeps its own.
    pub(super) fn share_definitions(&mut self) {
        let here = &self.place.environments;
        if here.len() < 2 {
            return;
        }
        let environments = &mut self.world.environments;
        // What was there the last time each of them has: a fresh one is compared with what is fresh elsewhere, and with nothing else.
        let fresh = |e: &u16| {
            let from = &environments[usize::from(*e)];
            (*e, from.revisions[from.shared..].to_vec())
        };
        let fresh: Vec<_> = here.iter().map(fresh).collect();
        for (from, fresh) in &fresh {
            for to in here.iter().filter(|to| *to != from) {
                let to = &mut environments[usize::from(*to)];
                for revision in fresh {
                    if !to.revisions[to.shared..].iter().any(|r| r.arn == revision.arn) {
                        to.revisions.push(revision.clone());
                    }
                }
            }
        }
        for e in here {
            let of = &mut environments[usize::from(*e)];
            of.shared = of.revisions.len();
        }
    }
}

/// What is told of a definition and not taken: a caller that sends back what it was told means nothing by it.
const TOLD_ONLY: [&str; 8] = [
    "compatibilities",
    "deregisteredAt",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "revision",
    "status",
    "taskDefinitionArn",
];

/// A definition as it is told: lists that were left out are there and empty, and clients count on that (Amazon ECS API,
/// "RegisterTaskDefinition": the response of the example).
fn told(definition: &impl Serialize) -> Document {
    const EMPTY: [&str; 2] = ["placementConstraints", "volumes"];
    const EMPTY_IN_CONTAINER: [&str; 5] = [
        "environment",
        "mountPoints",
        "portMappings",
        "systemControls",
        "volumesFrom",
    ];
    let mut told = value(definition);
    let fits_fargate = told["networkMode"] == "awsvpc" && !told["cpu"].is_null() && !told["memory"].is_null();
    if let Some(members) = told.as_object_mut() {
        let launch: &[&str] = if fits_fargate {
            &["EC2", "FARGATE"]
        } else {
            &["EC2"]
        };
        members.insert("compatibilities".to_owned(), json!(launch));
        for name in EMPTY {
            members.entry(name).or_insert_with(|| json!([]));
        }
    }
    let containers = told["containerDefinitions"].as_array_mut();
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.entry("cpu").or_insert_with(|| json!(0));
        container.entry("essential").or_insert_with(|| json!(true));
        for name in EMPTY_IN_CONTAINER {
            container.entry(name).or_insert_with(|| json!([]));
        }
    }
    told.into()
}

fn register(call: &mut Call<'_>) -> Answer {
    let mut content: Value = call.input()?;
    let home = call.home()?;
    call.share_definitions();
    let now = call.now();
    if let Some(members) = content.as_object_mut() {
        for name in TOLD_ONLY {
            members.remove(name);
        }
    }
    // An empty list of tags is none.
    if let Some(members) = content.as_object_mut()
        && members
            .get("tags")
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
    {
        members.remove("tags");
    }
    let tags = content.get("tags").map(Document::from);
    let mut answer = Document::Null;
    for index in call.place.environments.clone() {
        let (_, env) = call.at(index);
        let registered = env.register_task_definition(now, content.clone())?;
        if index == home {
            answer = told(&registered);
        }
    }
    call.changed();
    Ok(map! { "taskDefinition": answer, "tags": tags })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

fn describe(call: &mut Call<'_>) -> Answer {
    let input: One = call.input()?;
    let missing = || Refusal::client("ClientException", "Unable to describe task definition.");
    let mut found = None;
    for env in call.environments() {
        if let Ok(one) = env.describe_task_definition(&input.task_definition) {
            found = Some(one);
            break;
        }
    }
    let (definition, tags) = found.ok_or_else(missing)?;
    let tags = input
        .include
        .iter()
        .any(|word| word == "TAGS")
        .then(|| match tags {
            Value::Null => Document::list(Vec::<Document>::new()),
            tags => Document::from(tags),
        });
    Ok(map! { "taskDefinition": told(&definition), "tags": tags })
}

fn deregister(call: &mut Call<'_>) -> Answer {
    let input: One = call.input()?;
    call.share_definitions();
    let now = call.now();
    let (mut answer, mut refused) = (None, None);
    for index in call.place.environments.clone() {
        let (_, env) = call.at(index);
        let active = env
            .find_definition(&input.task_definition)
            .is_some_and(|(_, r)| r.active);
        match env.deregister_task_definition(now, &input.task_definition) {
            Ok(view) => {
                answer.get_or_insert(view);
                if active {
                    call.changed();
                }
            }
            Err(why) => refused = Some(why),
        }
    }
    match (answer, refused) {
        (Some(answer), _) => Ok(map! { "taskDefinition": told(&answer) }),
        (None, Some(why)) => Err(why.into()),
        (None, None) => Err(Refusal::client(
            "ClientException",
            "Unable to describe task definition.",
        )),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct List {
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
}

/// The family and the number in the ARN of a revision.
fn order(arn: &str) -> (String, u32) {
    let (family, number) = super::short(arn).rsplit_once(':').unwrap_or((arn, "0"));
    (family.to_owned(), number.parse().unwrap_or(0))
}

fn list(call: &mut Call<'_>) -> Answer {
    let (input, paged): (List, Paged) = (call.input()?, call.input()?);
    let active = match input.status.as_deref().unwrap_or("ACTIVE") {
        "ACTIVE" => true,
        "INACTIVE" => false,
        // Definitions are never deleted here.
        "DELETE_IN_PROGRESS" => return paged.page("taskDefinitionArns", &Vec::<String>::new(), 100),
        _ => return Err(invalid("status must be ACTIVE, INACTIVE or DELETE_IN_PROGRESS.")),
    };
    let family = input.family_prefix.as_deref();
    let lists = call
        .environments()
        .map(|e| e.list_task_definitions(family, active));
    let mut all: Vec<String> = lists.flatten().collect();
    all.sort_by_cached_key(|arn| order(arn));
    all.dedup();
    if input.sort.as_deref() == Some("DESC") {
        all.reverse();
    }
    paged.page("taskDefinitionArns", &all, 100)
}

fn list_families(call: &mut Call<'_>) -> Answer {
    let (input, paged): (List, Paged) = (call.input()?, call.input()?);
    let prefix = input.family_prefix.unwrap_or_default();
    let wanted: &[bool] = match input.status.as_deref().unwrap_or("ALL") {
        "ACTIVE" => &[true],
        "INACTIVE" => &[false],
        "ALL" => &[true, false],
        _ => return Err(invalid("status must be ACTIVE, INACTIVE or ALL.")),
    };
    let families = |active: bool| -> Vec<String> {
        let lists = call
            .environments()
            .flat_map(|e| e.list_task_definitions(None, active));
        lists.map(|arn| order(&arn).0).collect()
    };
    let live = families(true);
    let mut all: Vec<String> = wanted.iter().flat_map(|active| families(*active)).collect();
    // A family is INACTIVE when no revision of it is ACTIVE.
    all.retain(|f| f.starts_with(&prefix) && (wanted != [false] || !live.contains(f)));
    all.sort_unstable();
    all.dedup();
    paged.page("families", &all, 100)
}
