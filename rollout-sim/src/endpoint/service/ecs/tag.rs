//! Tags of clusters, services and task definitions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{invalid, short};
use crate::endpoint::call::Call;
use crate::endpoint::document::{Document, map};
use crate::endpoint::refusal::Refusal;
use crate::endpoint::service::{Answer, Operation};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::read("ListTagsForResource", list_tags),
    Operation::write("TagResource", tag),
    Operation::write("UntagResource", untag),
];

/// Tags of a resource (Amazon ECS developer guide, "Tagging your Amazon ECS resources": restrictions).
const MOST: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Value>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

impl Call<'_> {
    /// What holds the tags of a resource: of a task definition in each environment that shares it.
    fn tagged(&mut self, arn: &str) -> Result<Vec<&mut Value>, Refusal> {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        let mut parts = resource.split('/');
        let (kind, cluster) = (parts.next().unwrap_or_default(), parts.next());
        let here = self.place.environments.clone();
        let all = self
            .world
            .environments
            .iter_mut()
            .filter(|e| here.contains(&e.index));
        let found: Vec<&mut Value> = match kind {
            "task-definition" => all
                .flat_map(|e| &mut e.revisions)
                .filter(|r| r.arn.as_str() == arn)
                .map(|r| &mut r.content)
                .collect(),
            "service" => all
                .filter_map(|e| {
                    let named = |c: &crate::ecs::Cluster| Some(c.name.as_str()) == cluster;
                    let index = u16::try_from(e.clusters.iter().position(named)?).ok()?;
                    let s = e.service_in(index, short(arn))?;
                    Some(&mut e.services[usize::from(s)].settings)
                })
                .collect(),
            "cluster" => all
                .flat_map(|e| &mut e.clusters)
                .filter(|c| c.name == short(arn))
                .map(|c| &mut c.settings)
                .collect(),
            _ => {
                return Err(invalid(
                    "The resource of this ARN cannot be tagged in the simulated cloud.",
                ));
            }
        };
        if found.is_empty() {
            let text = "The specified resource cannot be found.";
            return Err(Refusal::client("ResourceNotFoundException", text));
        }
        Ok(found)
    }
}

fn tags_of(held: &Value) -> Vec<Value> {
    held["tags"].as_array().cloned().unwrap_or_default()
}

fn list_tags(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    let held = call.tagged(&input.resource_arn)?;
    let tags = held.first().map(|held| tags_of(held)).unwrap_or_default();
    Ok(map! { "tags": Document::list(tags) })
}

/// Changes the tags of a resource.
fn change(call: &mut Call<'_>, arn: &str, change: impl Fn(&mut Vec<Value>)) -> Answer {
    let mut changed = false;
    for held in call.tagged(arn)? {
        let before = tags_of(held);
        let mut tags = before.clone();
        change(&mut tags);
        if tags.len() > MOST {
            return Err(invalid("A resource can have 50 tags."));
        }
        changed |= tags != before;
        held["tags"] = json!(tags);
    }
    if changed {
        call.changed();
    }
    Ok(Document::map())
}

fn tag(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    change(call, &input.resource_arn, |tags| {
        for tag in &input.tags {
            tags.retain(|held| held["key"] != tag["key"]);
            tags.push(tag.clone());
        }
    })
}

fn untag(call: &mut Call<'_>) -> Answer {
    let input: Input = call.input()?;
    change(call, &input.resource_arn, |tags| {
        tags.retain(|held| !input.tag_keys.iter().any(|key| held["key"] == key.as_str()));
    })
}
