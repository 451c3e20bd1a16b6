//! ECS: clusters, task definitions, services and their deployments, tasks. The physics know the API's names and shapes; here is
//! what belongs to calls: which environment they are for, limits of batches, pages, what is told only when it is asked for.

mod cluster;
mod definition;
mod rollout;
mod service;
mod tag;
mod task;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Service;
use crate::ecs::Environment;
use crate::ecs::operate::Refused;
use crate::endpoint::call::{Call, page};
use crate::endpoint::document::Document;
use crate::endpoint::refusal::Refusal;
use crate::kernel::Kernel;

pub(crate) static SERVICE: Service = Service {
    signing_name: "ecs",
    target: Some("AmazonEC2ContainerServiceV20141113"),
    query: None,
    namespace: "",
    global: false,
    throttled: "ThrottlingException",
    operations: &[
        cluster::OPERATIONS,
        definition::OPERATIONS,
        rollout::OPERATIONS,
        service::OPERATIONS,
        tag::OPERATIONS,
        task::OPERATIONS,
    ],
};

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let refusal = Self::client(refused.code, refused.message);
        if refused.resources.is_empty() {
            return refusal;
        }
        refusal.member("resourceIds", refused.resources)
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::client("InvalidParameterException", message)
}

/// The last part of a name or an ARN.
fn short(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

/// A view of the physics, which has the API's names already.
fn view(view: &impl Serialize) -> Document {
    serde_json::to_value(view).map_or(Document::Null, Document::from)
}

/// The same as a value that can still be changed.
fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_default()
}

/// Views without members that are told only to those who ask by a word of `include`.
fn views<T: Serialize>(all: &[T], include: &[String], hidden: &[(&str, &str)]) -> Document {
    let shown = all.iter().map(|one| {
        let mut value = value(one);
        if let Value::Object(members) = &mut value {
            members.retain(|name, _| {
                let asked = |word: &str| include.iter().any(|i| i == word);
                hidden.iter().all(|(member, word)| member != name || asked(word))
            });
        }
        value
    });
    Document::list(shown)
}

/// What a list in pages is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Paged {
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl Paged {
    /// A page of `all` as member `name`, with the token of the next one.
    fn page<T: Clone + Into<Document>>(
        &self,
        name: &str,
        all: &[T],
        usual: usize,
    ) -> Result<Document, Refusal> {
        let most = match self.max_results {
            None => usual,
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|n| (1..=100).contains(n))
                .ok_or_else(|| invalid("maxResults must be from 1 to 100."))?,
        };
        // An empty token is none: botocore sends one at times.
        let token = self.next_token.as_deref().filter(|token| !token.is_empty());
        let (items, next) =
            page(all, token, most).ok_or_else(|| invalid("The token in nextToken is not valid."))?;
        let mut answer = Document::map();
        answer.put(name, Document::list(items.iter().cloned()));
        answer.put("nextToken", next);
        Ok(answer)
    }
}

impl Call<'_> {
    /// The environment that holds a cluster, which is `default` when none is named.
    fn of_cluster(&self, named: Option<&str>) -> Result<u16, Refusal> {
        let name = short(named.unwrap_or("default"));
        let found = self
            .environments()
            .find(|e| e.clusters.iter().any(|c| c.name == name));
        let missing = || Refusal::client("ClusterNotFoundException", "Cluster not found.");
        found.map(|e| e.index).ok_or_else(missing)
    }

    /// The account's first environment in the region.
    fn home(&self) -> Result<u16, Refusal> {
        let place = self.place;
        place.environments.first().copied().ok_or_else(|| {
            let text = format!(
                "the simulated world describes no environment in account {} and region {}",
                place.account, place.region
            );
            Refusal::client("ClientException", text)
        })
    }

    fn environment(&self, index: u16) -> &Environment {
        &self.world.environments[usize::from(index)]
    }

    /// An environment and the kernel, to change both.
    fn at(&mut self, index: u16) -> (&mut Kernel, &mut Environment) {
        let world = &mut *self.world;
        (&mut world.kernel, &mut world.environments[usize::from(index)])
    }
}
