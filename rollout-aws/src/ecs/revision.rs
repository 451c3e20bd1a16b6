//! Task definition revisions: found by content, registered when there is none, remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[cfg(feature = "logs")]
use aws_sdk_ecs::types::{LogConfiguration, LogDriver};
use aws_sdk_ecs::types::{TaskDefinition, TaskDefinitionField};
use rollout_core::context::OpContext;
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::id::{ContainerName, ImageDigest, TaskDefinitionArn};
use rollout_core::image::Ensured;
use rollout_core::service::RevisionSpec;
use serde_json::Value;

use super::template::{self, CONTENT_TAG, Prepared};
use super::wire::AsIs;
use super::{DESCRIBE_TASK_DEFINITION, EcsEnvironment, REGISTER, map};
use crate::config::once;
use crate::error::from_sdk;

/// What we need to know of a revision.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    /// Whether a service can go to it. The one thing here that can change.
    pub(super) active: bool,
    /// What the containers' secrets are taken from (`valueFrom`), each once.
    pub(super) secrets: BTreeSet<String>,
    containers: BTreeMap<ContainerName, Known>,
}

/// What we need to know of a container.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) essential: bool,
    /// The image as the revision names it.
    pub(super) image: String,
    /// The digest in the image's name.
    pub(super) pin: Option<ImageDigest>,
    #[cfg(feature = "logs")]
    pub(super) log: Option<LogStream>,
}

/// Where the `awslogs` driver writes.
#[cfg(feature = "logs")]
#[derive(Clone, Debug)]
pub(super) struct LogStream {
    pub(super) group: String,
    pub(super) region: Option<String>,
    pub(super) prefix: String,
}

impl Revision {
    pub(super) fn container(&self, name: &ContainerName) -> Option<&Known> {
        self.containers.get(name)
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = (&ContainerName, &Known)> {
        self.containers.iter()
    }
}

#[cfg(feature = "logs")]
fn log_stream(log: &LogConfiguration) -> Option<LogStream> {
    let option = |key| log.options().and_then(|options| options.get(key)).cloned();
    if log.log_driver() != &LogDriver::Awslogs {
        return None;
    }
    Some(LogStream {
        group: option("awslogs-group")?,
        region: option("awslogs-region"),
        // Without a prefix the stream is named after a container id that nobody tells us.
        prefix: option("awslogs-stream-prefix")?,
    })
}

fn revision(definition: &TaskDefinition) -> Revision {
    let containers = definition
        .container_definitions()
        .iter()
        .filter_map(|container| {
            let image = container.image().unwrap_or_default();
            let known = Known {
                // The API's default (Amazon ECS API, "ContainerDefinition").
                essential: container.essential().unwrap_or(true),
                pin: template::pinned(image),
                image: image.to_owned(),
                #[cfg(feature = "logs")]
                log: container.log_configuration().and_then(log_stream),
            };
            Some((ContainerName::new(container.name()?).ok()?, known))
        })
        .collect();
    let secrets = definition.container_definitions().iter();
    Revision {
        secrets: secrets
            .flat_map(|container| container.secrets())
            .map(|secret| secret.value_from().to_owned())
            .collect(),
        active: definition
            .status()
            .is_none_or(|status| status.as_str() == "ACTIVE"),
        containers,
    }
}

impl EcsEnvironment {
    /// A revision as it is now; `None` when ECS has none of that name.
    pub(super) async fn read_revision(
        &self,
        ctx: &OpContext,
        name: &str,
    ) -> Result<Option<Arc<Revision>>, Error> {
        self.toll.pay(ctx, DESCRIBE_TASK_DEFINITION).await?;
        let answer = self
            .client
            .describe_task_definition()
            .task_definition(name)
            .send()
            .await
            .map_err(|error| from_sdk(DESCRIBE_TASK_DEFINITION, name, false, error));
        let definition = match answer {
            Ok(answer) => answer
                .task_definition
                .ok_or_else(|| map::malformed(DESCRIBE_TASK_DEFINITION, "task definition"))?,
            // ECS has no code of its own for it: a name that it cannot describe is a `ClientException`.
            Err(error) if matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let revision = Arc::new(revision(&definition));
        self.remember(|memory| {
            memory.revisions.insert(name.to_owned(), Arc::clone(&revision));
        });
        Ok(Some(revision))
    }

    /// A revision as it was when it was first read.
    pub(super) async fn revision(&self, ctx: &OpContext, name: &str) -> Result<Option<Arc<Revision>>, Error> {
        match self.recall(|memory| memory.revisions.get(name).cloned()) {
            Some(revision) => Ok(Some(revision)),
            None => self.read_revision(ctx, name).await,
        }
    }

    pub(super) async fn ensure(
        &self,
        ctx: &OpContext,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), Error> {
        let prepared = template::prepare(spec, &self.registry)?;
        if let Some(found) = self.registered(ctx, &prepared).await? {
            return Ok((found, Ensured::AlreadyThere));
        }
        self.guard.check(ctx).await?;
        self.toll.pay(ctx, REGISTER).await?;
        let wire = AsIs::sending(&prepared.body);
        let answer = self
            .client
            .register_task_definition()
            .family(&prepared.family)
            .customize()
            .interceptor(wire.clone())
            .config_override(aws_sdk_ecs::config::Builder::new().retry_config(once()))
            .send()
            .await
            .map_err(|error| from_sdk(REGISTER, &prepared.family, true, error))?;
        let definition = answer
            .task_definition
            .ok_or_else(|| map::malformed(REGISTER, "task definition").applied(Applied::Yes))?;
        let arn = map::id(
            REGISTER,
            "task definition ARN",
            definition.task_definition_arn(),
            TaskDefinitionArn::new,
        )
        .map_err(|error| error.applied(Applied::Yes))?;
        check_taken(&prepared, &wire.answer(), &arn).map_err(|error| error.applied(Applied::Yes))?;
        let known = Arc::new(revision(&definition));
        self.remember(|memory| {
            memory.revisions.insert(arn.as_str().to_owned(), known);
        });
        Ok((arn, Ensured::Created))
    }

    /// The family's latest ACTIVE revision, if it has the same content: by the hash that we tagged it with, or by comparing.
    async fn registered(
        &self,
        ctx: &OpContext,
        prepared: &Prepared,
    ) -> Result<Option<TaskDefinitionArn>, Error> {
        self.toll.pay(ctx, DESCRIBE_TASK_DEFINITION).await?;
        let wire = AsIs::reading();
        let answer = self
            .client
            .describe_task_definition()
            .task_definition(&prepared.family)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(wire.clone())
            .send()
            .await
            .map_err(|error| from_sdk(DESCRIBE_TASK_DEFINITION, &prepared.family, false, error));
        let definition = match answer {
            Ok(answer) => answer,
            // No revision of this family; a family that cannot be is refused when it is registered.
            Err(error) if matches!(error.kind, ErrorKind::InvalidRequest | ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let tagged = definition
            .tags()
            .iter()
            .find(|tag| tag.key() == Some(CONTENT_TAG))
            .and_then(|tag| tag.value());
        let Some(definition) = definition.task_definition() else {
            return Ok(None);
        };
        if definition
            .status()
            .is_some_and(|status| status.as_str() != "ACTIVE")
        {
            return Ok(None);
        }
        let raw = wire.answer();
        let empty = Value::Null;
        let registered = raw.get("taskDefinition").unwrap_or(&empty);
        let same = match tagged {
            // A tag can be moved by hand, so the parts that matter are looked at as well.
            Some(content) => content == prepared.content && same_images(prepared, registered),
            None => template::same_content(&prepared.body, registered, raw.get("tags").unwrap_or(&empty)),
        };
        if !same {
            return Ok(None);
        }
        let arn = map::id(
            DESCRIBE_TASK_DEFINITION,
            "task definition ARN",
            definition.task_definition_arn(),
            TaskDefinitionArn::new,
        )?;
        check_taken(prepared, &raw, &arn)?;
        Ok(Some(arn))
    }
}

fn same_images(prepared: &Prepared, registered: &Value) -> bool {
    let images = |value: &Value| -> Vec<(Option<Value>, Option<Value>)> {
        value
            .get("containerDefinitions")
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |containers| {
                containers
                    .iter()
                    .map(|container| (container.get("name").cloned(), container.get("image").cloned()))
                    .collect()
            })
    };
    images(&prepared.body) == images(registered)
}

fn check_taken(prepared: &Prepared, answer: &Value, arn: &TaskDefinitionArn) -> Result<(), Error> {
    let Some(registered) = answer.get("taskDefinition") else {
        return Err(map::malformed(REGISTER, "task definition"));
    };
    let missing = template::not_taken(&prepared.body, registered);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidRequest,
        REGISTER,
        format!(
            "ECS has registered {arn} without `{}`: is it misspelt? Nothing uses that revision",
            missing.join("`, `")
        ),
    ))
}
