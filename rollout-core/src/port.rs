//! The ports: what a platform does for a rollout.
//!
//! A port **observes**, or **ensures**; saying an effect twice is harmless. Every call takes an [`OpContext`] first.
//! Calls do not wait for an outcome (the machine asks again) and do not retry (one layer does: the SDK's, below them).
//!
//! # Contract of every method
//! - An observation's `at` is a moment **not later than** the moment the other side was asked.
//! - An error says whether the call may have taken effect ([`Applied`](crate::error::Applied)). An implementation that
//!   cannot tell says `Maybe`.
//! - A mutating call first checks what its argument assumes and answers
//!   [`Conflict`](crate::error::ErrorKind::Conflict), `Applied::No`, when it does not hold.
//! - No method has a default: a wrapper that forgets one does not compile.

use std::sync::Arc;

use async_trait::async_trait;

use crate::context::OpContext;
use crate::dns::{
    AuthoritativeAnswer, ChangeBatch, OldTraffic, Propagation, Record, RecordData, RecordKey, Snapshot,
    TargetCheck,
};
use crate::error::Error;
use crate::id::{
    ChangeId, DeploymentId, ImageDigest, ImageTag, RepositoryName, ServiceDeploymentArn, ServiceName,
    TaskArn, TaskDefinitionArn, ZoneId,
};
use crate::image::{Ensured, ImageRef, ManifestTree};
use crate::probe::{Sample, SampleRequest};
use crate::readiness::fact::Snapshot as Facts;
use crate::readiness::intent::Intent;
use crate::service::{
    Captured, DeploymentStarted, Identity, RestorePoint, RevisionSpec, ServiceChange, ServiceObservation,
    TaskObservation, TaskSpec, Usability,
};
use crate::time::Timestamp;

/// One environment: who we are in it, what it runs, deploying into it, one-off tasks.
#[async_trait]
pub trait Environment: Send + Sync {
    /// Who is calling, and where.
    async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error>;

    /// What a service looks like now. A service that does not exist is an observation
    /// ([`ServiceStatus::Missing`](crate::service::ServiceStatus::Missing)), not an error.
    async fn observe_service(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error>;

    /// What a service runs now, for whoever does not ask how it came about: as [`observe_service`](Self::observe_service), but
    /// records of deployments, stopped tasks and events may be left out where that spares calls.
    async fn observe_running(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error>;

    /// Makes sure that a usable revision with exactly this content exists, and names it.
    async fn ensure_revision(
        &self,
        ctx: &OpContext,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), Error>;

    /// Makes the service go to a revision, if what the change assumes holds. When the service already goes to that
    /// revision its present deployment is the answer, unless the platform has given that up: then there is a new one.
    async fn update_service(
        &self,
        ctx: &OpContext,
        change: &ServiceChange,
    ) -> Result<DeploymentStarted, Error>;

    /// Starts a one-off task once per token of `ctx`; the same token again answers with the same task.
    async fn start_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error>;

    /// What a one-off task looks like now.
    async fn observe_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<TaskObservation, Error>;

    /// Looks for the task that a lost answer to `start_task` with the same token may have started.
    async fn find_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error>;

    /// Stops a one-off task. One that has ended already is no error.
    async fn stop_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error>;
}

/// Images from one environment's registry to another's, byte for byte.
#[async_trait]
pub trait ImagePromotion: Send + Sync {
    /// The digest that a tag of the source names now; `None` when the tag does not exist.
    async fn resolve(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> Result<Option<ImageDigest>, Error>;

    /// Copies the manifest or index, everything it refers to, and nothing else, from the source to the target.
    async fn copy(&self, ctx: &OpContext, from: &ImageRef, to: &RepositoryName) -> Result<Ensured, Error>;

    /// Reads an image back from the target; digests are computed from the bytes read. `None` when it is not there.
    async fn read(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error>;
}

/// Takes samples. Judging them is the gate machine's work.
#[async_trait]
pub trait HealthGate: Send + Sync {
    /// One sample. No data is a sample with [`Verdict::Unknown`](crate::probe::Verdict::Unknown); an error means that
    /// the source of data itself failed.
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error>;
}

/// Records of a zone.
#[async_trait]
pub trait DnsCutover: Send + Sync {
    /// The record and its marker as they are now.
    async fn snapshot(&self, ctx: &OpContext, zone: &ZoneId, key: &RecordKey) -> Result<Snapshot, Error>;

    /// Whether what the data points at can take traffic.
    async fn check_target(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error>;

    /// Applies a batch, all or nothing. Values that are not the current ones are a
    /// [`Conflict`](crate::error::ErrorKind::Conflict).
    async fn apply(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<ChangeId, Error>;

    /// How far a change has spread.
    async fn propagation(&self, ctx: &OpContext, change: &ChangeId) -> Result<Propagation, Error>;

    /// What the zone's authoritative servers answer, each by itself, compared with `expected`.
    async fn ask_authoritative(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error>;

    /// How many requests still reach what the data points at.
    async fn old_traffic(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error>;
}

/// Restore points of services.
#[async_trait]
pub trait Rollback: Send + Sync {
    /// Captures what a service would go back to. Whether it still could is another question: [`Rollback::usable`].
    async fn capture(&self, ctx: &OpContext, service: &ServiceName) -> Result<Captured, Error>;

    /// Whether a service could still go back to a restore point: the revision, each container's image by its digest, each
    /// secret that the revision names. What cannot be found out, for want of a permission too, is
    /// [`Found::Unknown`](crate::service::Found::Unknown) with the reason, not an error and never usable. No secret's value is
    /// read.
    async fn usable(&self, ctx: &OpContext, point: &RestorePoint) -> Result<Usability, Error>;

    /// Makes the service go back to a restore point, if `assumes` is the PRIMARY deployment. When the service goes to
    /// that revision already its present deployment is the answer, unless the platform has given that up: then there is a
    /// new one.
    async fn restore(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error>;

    /// Asks the platform to turn a deployment that is still under way back to what ran before it, as it stands: the fastest
    /// way back there is, without canary steps and bake times, and what still runs of the old release goes on running.
    /// `assumes` must be the PRIMARY deployment and `record` the record of it; otherwise
    /// [`Conflict`](crate::error::ErrorKind::Conflict), as when it is not under way any more. One that is being turned back
    /// already is no error. Where it went the next look at the service must tell.
    async fn turn_back(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: &DeploymentId,
        record: &ServiceDeploymentArn,
    ) -> Result<(), Error>;
}

/// Facts of an environment, for the checks of [`readiness`](crate::readiness).
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Reads everything that `intent` names, and whatever that leads to, and changes nothing. What cannot be read stands in the
    /// answer as [`Unknown`](crate::readiness::known::Known::Unknown) with the call and its reason: one that may not be made is no
    /// error. What does not exist stands there as [`Missing`](crate::readiness::known::Known::Missing). No secret's value is read,
    /// and no variable's is kept.
    ///
    /// # Errors
    /// Nothing at all could be read, such as for want of credentials.
    async fn gather(&self, ctx: &OpContext, intent: &Intent) -> Result<Facts, Error>;
}

/// The ports of one run, together. `source` is the environment that the release was proven in.
#[derive(Clone)]
pub struct Ports {
    /// The environment that is changed.
    pub target: Arc<dyn Environment>,
    /// The environment that the release comes from.
    pub source: Arc<dyn Environment>,
    /// Images.
    pub images: Arc<dyn ImagePromotion>,
    /// Gates.
    pub gates: Arc<dyn HealthGate>,
    /// Records.
    pub dns: Arc<dyn DnsCutover>,
    /// Restore points.
    pub rollback: Arc<dyn Rollback>,
}

impl core::fmt::Debug for Ports {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// Time, for the driver.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, by the wall clock. A later question has no earlier answer, unless the system's clock was set back in between.
    fn now(&self) -> Timestamp;

    /// Returns at `moment` or soon after. It must be safe to drop before it returns.
    async fn sleep_until(&self, moment: Timestamp);
}
