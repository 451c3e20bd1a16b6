//! The way back: what a service ran when it was good, and going there again.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::Error;
use rollout_core::id::{DeploymentId, ServiceName};
use rollout_core::port::Rollback;
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentStarted, Images, RecordStatus, RestorePoint, RolloutState,
    ServiceObservation, ServiceStatus,
};

use super::EcsEnvironment;
use super::revision::Revision;
#[cfg(feature = "ecr")]
use crate::ecr::Registry;

/// Restore points of the services of one [`EcsEnvironment`].
///
/// With an image registry (feature `ecr`), a capture also checks that the images are still there: without them nothing
/// can go back.
///
/// # IAM actions
/// Those of [`EcsEnvironment`] for observing and deploying; with a registry also `ecr:BatchGetImage`.
pub struct EcsRollback {
    environment: Arc<EcsEnvironment>,
    #[cfg(feature = "ecr")]
    images: Option<Registry>,
}

impl EcsRollback {
    /// Restore points of this environment's services.
    #[must_use]
    pub fn new(environment: Arc<EcsEnvironment>) -> Self {
        Self {
            environment,
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

    /// The first image of the restore point that the registry does not hold. Images of other registries are not asked for.
    #[cfg(feature = "ecr")]
    async fn lost_image(&self, revision: &Revision, images: &Images) -> Result<Option<String>, Error> {
        use rollout_core::id::RepositoryName;
        let Some(registry) = &self.images else {
            return Ok(None);
        };
        let prefix = format!("{}/", self.environment.registry);
        for (name, known) in revision.containers() {
            let repository = known
                .image
                .strip_prefix(&prefix)
                .and_then(|rest| rest.split(['@', ':']).next())
                .and_then(|repository| RepositoryName::new(repository).ok());
            if let (Some(repository), Some(digest)) = (repository, images.get(name))
                && !registry.has(&repository, digest).await?
            {
                return Ok(Some(format!("{repository}@{digest} of container {name}")));
            }
        }
        Ok(None)
    }

    #[cfg(not(feature = "ecr"))]
    #[expect(clippy::unused_async, reason = "the same shape as with the feature `ecr`")]
    async fn lost_image(&self, _revision: &Revision, _images: &Images) -> Result<Option<String>, Error> {
        Ok(None)
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
    async fn capture(&self, _ctx: &OpContext, service: &ServiceName) -> Result<Captured, Error> {
        let seen = self.environment.observe(service).await?;
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
        // Asked afresh: a revision can become INACTIVE after it was remembered.
        let revision = match self.environment.read_revision(name).await? {
            Some(revision) if revision.active => revision,
            Some(_) => return nothing(format!("its revision {name} is not ACTIVE")),
            None => return nothing(format!("its revision {name} does not exist any more")),
        };
        let images = match running_images(&seen, primary, &revision) {
            Ok(images) => images,
            Err(why) => return nothing(why),
        };
        if let Some(lost) = self.lost_image(&revision, &images).await? {
            return nothing(format!("the registry does not hold {lost} any more"));
        }
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
