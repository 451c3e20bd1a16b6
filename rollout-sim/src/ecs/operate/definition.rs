//! Task definitions.

use rollout_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Refused, maybe_seconds, refused, seconds};
use crate::ecs::Environment;
use crate::ecs::revision::Revision;

/// A task definition (Amazon ECS API, "TaskDefinition").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionView {
    pub(crate) task_definition_arn: String,
    pub(crate) revision: u32,
    pub(crate) status: &'static str,
    #[serde(serialize_with = "seconds")]
    pub(crate) registered_at: Timestamp,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    pub(crate) deregistered_at: Option<Timestamp>,
    pub(crate) registered_by: String,
    /// Everything that was registered, as it was, without its tags.
    #[serde(flatten)]
    pub(crate) content: Value,
}

impl Environment {
    fn definition_view(&self, revision: &Revision) -> DefinitionView {
        let mut content = revision.content.clone();
        if let Some(content) = content.as_object_mut() {
            content.remove("tags");
        }
        DefinitionView {
            task_definition_arn: revision.arn.to_string(),
            revision: revision.number,
            status: if revision.active { "ACTIVE" } else { "INACTIVE" },
            registered_at: revision.registered_at,
            deregistered_at: revision.deregistered_at,
            registered_by: self.caller.clone(),
            content,
        }
    }

    /// Registers a revision: a new one each time, whatever it holds.
    pub(crate) fn register_task_definition(
        &mut self,
        now: Timestamp,
        content: Value,
    ) -> Result<DefinitionView, Refused> {
        let registered = self.register_revision(now, content);
        let index = registered.map_err(|text| refused("ClientException", text))?;
        Ok(self.definition_view(self.revision_at(index)))
    }

    /// A task definition and its tags.
    pub(crate) fn describe_task_definition(&self, named: &str) -> Result<(DefinitionView, Value), Refused> {
        let found = self.find_definition(named);
        let (_, revision) =
            found.ok_or_else(|| refused("ClientException", "Unable to describe task definition."))?;
        Ok((self.definition_view(revision), revision.content["tags"].clone()))
    }

    /// Makes a revision INACTIVE. What runs it goes on; nothing new can be given it.
    pub(crate) fn deregister_task_definition(
        &mut self,
        now: Timestamp,
        named: &str,
    ) -> Result<DefinitionView, Refused> {
        // A family alone is not enough (Amazon ECS API, "DeregisterTaskDefinition").
        let found = self.find_definition(named).filter(|_| named.contains(':'));
        let (index, _) =
            found.ok_or_else(|| refused("ClientException", "Unable to describe task definition."))?;
        let revision = &mut self.revisions[index as usize];
        if revision.active {
            revision.active = false;
            revision.deregistered_at = Some(now);
        }
        Ok(self.definition_view(self.revision_at(index)))
    }

    /// The ARNs of revisions, oldest first: of one family or of all, ACTIVE or INACTIVE.
    pub(crate) fn list_task_definitions(&self, family: Option<&str>, active: bool) -> Vec<String> {
        let fits = |r: &&Revision| r.active == active && family.is_none_or(|f| r.family == f);
        self.revisions
            .iter()
            .filter(fits)
            .map(|r| r.arn.to_string())
            .collect()
    }
}
