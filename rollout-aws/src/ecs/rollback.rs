//! The way back: what a service ran when it was good, and going there again.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{DeploymentId, ImageDigest, ServiceDeploymentArn, ServiceName};
use rollout_core::port::Rollback;
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentStarted, Found, Images, Part, PartKind, RecordStatus,
    RestorePoint, RolloutState, ServiceObservation, ServiceStatus, Usability,
};

use super::EcsEnvironment;
use super::revision::Revision;
#[cfg(feature = "ecr")]
use crate::ecr::Registry;
use crate::found::{gone, unknown};
#[cfg(feature = "secretsmanager")]
use crate::secretsmanager::Secrets;
#[cfg(feature = "ssm")]
use crate::ssm::Parameters;

/// Restore points of the services of one [`EcsEnvironment`].
///
/// Whether the images of a restore point are still there, a registry must tell (feature `ecr`), and whether its secrets are,
/// Secrets Manager (feature `secretsmanager`) and Systems Manager's Parameter Store (feature `ssm`). What nobody is asked about is
/// unknown.
///
/// # IAM actions
/// Those of [`EcsEnvironment`] for observing and deploying; with a registry also `ecr:BatchGetImage`, with secrets
/// `secretsmanager:DescribeSecret`, and with parameters `ssm:DescribeParameters`.
pub struct EcsRollback {
    environment: Arc<EcsEnvironment>,
    #[cfg(feature = "secretsmanager")]
    secrets: Option<Secrets>,
    #[cfg(feature = "ssm")]
    parameters: Option<Parameters>,
    #[cfg(feature = "ecr")]
    images: Option<Registry>,
}

impl EcsRollback {
    /// Restore points of this environment's services.
    #[must_use]
    pub fn new(environment: Arc<EcsEnvironment>) -> Self {
        Self {
            environment,
            #[cfg(feature = "secretsmanager")]
            secrets: None,
            #[cfg(feature = "ssm")]
            parameters: None,
            #[cfg(feature = "ecr")]
            images: None,
        }
    }

    /// Checks that the images of a restore point are still in this registry.
    #[cfg(feature = "ecr")]
    #[must_use]
    pub fn images(mut self, registry: Registry) -> Self {
        self.images = Some(registry);
        self
    }

    /// Looks whether the secrets of a restore point are still there.
    #[cfg(feature = "secretsmanager")]
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// Looks whether the parameters of a restore point are still there.
    #[cfg(feature = "ssm")]
    #[must_use]
    pub fn parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = Some(parameters);
        self
    }

    /// Whether the registry holds an image. Images of other registries are not asked for.
    #[cfg(feature = "ecr")]
    async fn look_for_image(
        &self,
        ctx: &OpContext,
        image: &str,
        digest: &ImageDigest,
    ) -> Result<Found, Error> {
        use rollout_core::error::ErrorKind;
        use rollout_core::id::RepositoryName;
        let Some(registry) = &self.images else {
            return Ok(unknown("the registry is not asked"));
        };
        let repository = image
            .strip_prefix(&format!("{}/", self.environment.registry))
            .and_then(|rest| rest.split(['@', ':']).next())
            .and_then(|repository| RepositoryName::new(repository).ok());
        let Some(repository) = repository else {
            return Ok(unknown("it is in a registry that is not asked"));
        };
        match registry.has(ctx, &repository, digest).await {
            Ok(true) => Ok(Found::Usable),
            Ok(false) => Ok(gone("it is gone from the registry")),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(gone(error.to_string())),
            Err(error) if matches!(error.kind, ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                Ok(unknown(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    #[cfg(not(feature = "ecr"))]
    #[expect(clippy::unused_async, reason = "the same shape as with the feature `ecr`")]
    async fn look_for_image(
        &self,
        _ctx: &OpContext,
        _image: &str,
        _digest: &ImageDigest,
    ) -> Result<Found, Error> {
        Ok(unknown("the registry is not asked"))
    }

    /// What `valueFrom` of containers' secrets leads to: ARNs of Secrets Manager, and parameters by ARN or name.
    async fn look_for_secrets<'a>(
        &self,
        ctx: &OpContext,
        named: &'a BTreeSet<String>,
    ) -> Result<BTreeMap<&'a str, Found>, Error> {
        let (managed, parameters): (Vec<&str>, Vec<&str>) = named
            .iter()
            .map(String::as_str)
            .partition(|from| from.split(':').nth(2) == Some("secretsmanager"));
        let mut found = self.look_for_parameters(ctx, parameters).await?;
        for from in managed {
            found.insert(from, self.look_for_secret(ctx, from).await?);
        }
        Ok(found)
    }

    #[cfg(feature = "secretsmanager")]
    async fn look_for_secret(&self, ctx: &OpContext, value_from: &str) -> Result<Found, Error> {
        match &self.secrets {
            Some(secrets) => secrets.look(ctx, value_from).await,
            None => Ok(unknown("Secrets Manager is not asked")),
        }
    }

    #[cfg(not(feature = "secretsmanager"))]
    #[expect(
        clippy::unused_async,
        reason = "the same shape as with the feature `secretsmanager`"
    )]
    async fn look_for_secret(&self, _ctx: &OpContext, _value_from: &str) -> Result<Found, Error> {
        Ok(unknown("Secrets Manager is not asked"))
    }

    #[cfg_attr(
        not(feature = "ssm"),
        expect(clippy::unused_async, reason = "the same shape as with the feature `ssm`")
    )]
    async fn look_for_parameters<'a>(
        &self,
        #[cfg_attr(not(feature = "ssm"), expect(unused_variables, reason = "nobody is asked"))]
        ctx: &OpContext,
        named: Vec<&'a str>,
    ) -> Result<BTreeMap<&'a str, Found>, Error> {
        #[cfg(feature = "ssm")]
        if let Some(parameters) = &self.parameters {
            return parameters.look(ctx, named).await;
        }
        let unasked = named
            .into_iter()
            .map(|from| (from, unknown("Systems Manager is not asked")));
        Ok(unasked.collect())
    }

    /// The images and secrets of a revision.
    async fn parts(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        revision: &Revision,
    ) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        for (container, digest) in &point.images {
            let image = revision.container(container).map(|known| known.image.as_str());
            let found = match image {
                Some(image) => self.look_for_image(ctx, image, digest).await?,
                None => unknown("the revision has no such container"),
            };
            let place = image
                .and_then(|image| image.split(['@', ':']).next())
                .unwrap_or("image");
            parts.push(Part {
                kind: PartKind::Image {
                    container: container.clone(),
                },
                name: format!("{place}@{digest} of container {container}"),
                found,
            });
        }
        let secrets = self.look_for_secrets(ctx, &revision.secrets).await?;
        parts.extend(secrets.into_iter().map(|(value_from, found)| Part {
            kind: PartKind::Secret,
            name: format!("secret {value_from}"),
            found,
        }));
        Ok(parts)
    }
}

impl fmt::Debug for EcsRollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcsRollback")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Rollback for EcsRollback {
    async fn capture(&self, ctx: &OpContext, service: &ServiceName) -> Result<Captured, Error> {
        let seen = self.environment.observe(ctx, service).await?;
        let primary = match candidate(&seen) {
            Ok(primary) => primary,
            Err(nothing) => return Ok(nothing),
        };
        let nothing = |why: String| {
            Ok(Captured::Nothing {
                why,
                deployment: Some(primary.id.clone()),
            })
        };
        let name = primary.task_definition.as_str();
        // Its content never changes; whether it can still be used is asked right before the start, and afresh.
        let Some(revision) = self.environment.revision(ctx, name).await? else {
            return nothing(format!("its revision {name} does not exist any more"));
        };
        let images = match running_images(&seen, primary, &revision) {
            Ok(images) => images,
            Err(why) => return nothing(why),
        };
        Ok(Captured::Point(RestorePoint {
            service: service.clone(),
            captured_at: seen.at,
            task_definition: primary.task_definition.clone(),
            images,
            deployment: primary.id.clone(),
            desired: seen.desired,
            since: Some(primary.created_at),
        }))
    }

    async fn usable(&self, ctx: &OpContext, point: &RestorePoint) -> Result<Usability, Error> {
        let at = (self.environment.now)();
        let name = point.task_definition.as_str();
        // Asked afresh: a revision can become INACTIVE after it was remembered.
        let revision = self.environment.read_revision(ctx, name).await?;
        let found = match &revision {
            Some(revision) if revision.active => Found::Usable,
            Some(_) => gone("it is not ACTIVE"),
            None => gone("it does not exist any more"),
        };
        let mut parts = vec![Part {
            kind: PartKind::Revision,
            name: format!("revision {name}"),
            found,
        }];
        if let Some(revision) = revision {
            parts.extend(self.parts(ctx, point, &revision).await?);
        }
        Ok(Usability { at, parts })
    }

    async fn restore(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        self.environment
            .update(ctx, &point.service, &point.task_definition, assumes)
            .await
    }
    async fn turn_back(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: &DeploymentId,
        record: &ServiceDeploymentArn,
    ) -> Result<(), Error> {
        self.environment
            .turn_back(ctx, &point.service, assumes, record)
            .await
    }
}

/// The deployment that is PRIMARY and done, of a service that has tasks; else the answer to the capture.
fn candidate(seen: &ServiceObservation) -> Result<&DeploymentObservation, Captured> {
    let nothing = |why: String| {
        Err(Captured::Nothing {
            why,
            deployment: seen.primary().map(|primary| primary.id.clone()),
        })
    };
    match &seen.status {
        ServiceStatus::Active => {}
        ServiceStatus::Missing => return nothing("the service does not exist".to_owned()),
        ServiceStatus::Draining => return nothing("the service is being deleted".to_owned()),
        ServiceStatus::Other(word) => return nothing(format!("the service is {word}")),
    }
    let Some(primary) = seen.primary() else {
        return nothing("it was never deployed".to_owned());
    };
    let recorded = primary.record.as_ref().map(|record| &record.status);
    match &primary.rollout {
        RolloutState::Completed => {}
        // Where the deployment does not say, its record may.
        RolloutState::Other(_) if recorded == Some(&RecordStatus::Successful) => {}
        RolloutState::InProgress => return Err(busy(primary)),
        RolloutState::Other(_) if recorded == Some(&RecordStatus::InProgress) => return Err(busy(primary)),
        other => {
            let state = match other {
                RolloutState::InProgress => "IN_PROGRESS",
                RolloutState::Failed => "FAILED",
                RolloutState::Completed => "COMPLETED",
                RolloutState::Other(word) => word.as_str(),
            };
            return nothing(format!(
                "its deployment {} is not COMPLETED (`{state}`)",
                primary.id
            ));
        }
    }
    if seen.desired == 0 {
        return nothing("it is scaled to zero".to_owned());
    }
    Ok(primary)
}

fn busy(primary: &DeploymentObservation) -> Captured {
    let under_way = || format!("its deployment {} is under way", primary.id);
    Captured::Busy {
        deployment: primary.id.clone(),
        text: primary.reason.clone().unwrap_or_else(under_way),
    }
}

/// The digests that the deployment's running tasks agree on.
fn running_images(
    seen: &ServiceObservation,
    primary: &DeploymentObservation,
    revision: &Revision,
) -> Result<Images, String> {
    let mut tasks = seen
        .tasks
        .iter()
        .filter(|task| task.task_definition == primary.task_definition);
    let Some(first) = tasks.next() else {
        return Err(format!("no task of {} is running", primary.task_definition));
    };
    if let Some((name, _)) = revision
        .containers()
        .find(|(name, known)| known.essential && !first.images.contains_key(*name))
    {
        return Err(format!("the digest of container {name} is not known"));
    }
    match tasks.find(|task| task.images != first.images) {
        None => Ok(first.images.clone()),
        Some(other) => Err(format!(
            "its tasks run different images under one revision ({} and {}): a tag has moved",
            first.task, other.task
        )),
    }
}
