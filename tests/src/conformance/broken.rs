//! Ports that break their contract, each in one way, around ports that keep it: the suite must notice every one.

use core::time::Duration;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::dns::{
    AuthoritativeAnswer, ChangeBatch, Marker, OldTraffic, Propagation, Record, RecordData, RecordKey,
    Snapshot, TargetCheck,
};
use rollout_core::error::{Applied, Error, ErrorKind, Retry};
use rollout_core::evidence::{Cause, Evidence};
use rollout_core::id::{
    ChangeId, DeploymentId, ImageDigest, ImageTag, RepositoryName, ServiceDeploymentArn, ServiceName,
    TaskArn, TaskDefinitionArn, ZoneId,
};
use rollout_core::image::{Ensured, ImageRef, ManifestTree};
use rollout_core::port::{DnsCutover, Environment, HealthGate, ImagePromotion, Ports, Rollback};
use rollout_core::probe::{Sample, SampleRequest, Verdict};
use rollout_core::service::{
    Captured, DeploymentStarted, Found, Identity, RestorePoint, RevisionSpec, ServiceChange,
    ServiceObservation, ServiceStatus, TaskObservation, TaskSpec, Usability,
};
use serde_json::json;

/// How a port breaks its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It names another caller.
    WrongCaller,
    /// What does not exist is an error, where it should be an observation.
    MissingIsAnError,
    /// It leaves a task out.
    HidesATask,
    /// It leaves a task out where only what runs is asked for.
    HidesARunningTask,
    /// It answers what it answered first.
    Frozen,
    /// It dates what it saw an hour later.
    FutureDates,
    /// It writes when it should only look.
    WritesWhenLooking,
    /// It makes something new each time.
    Repeats,
    /// It gives the first answer to every question.
    OneForAll,
    /// It drops what is wrong in a request.
    Forgives,
    /// It says that something was done, and does nothing.
    DoesNothing,
    /// It does not look at what a change assumes.
    IgnoresAssumptions,
    /// It calls every failure an outage.
    WrongKind,
    /// It claims that a refused call may have taken effect.
    SaysMaybe,
    /// It claims that a call whose answer was lost took no effect.
    SaysNo,
    /// It calls every failure final.
    SaysNever,
    /// It calls every failure temporary.
    SaysLater,
    /// It tells no causes.
    HidesCauses,
    /// It blames every stop.
    BlamesAll,
    /// It finds nothing.
    FindsNothing,
    /// What it has stopped once it cannot stop again.
    StopsOnce,
    /// It tells a digest of something else.
    WrongDigest,
    /// It copies the tag's present image, too.
    CopiesMore,
    /// It always says that something was created.
    SaysCreated,
    /// It does not tell what is missing.
    HidesMissing,
    /// It takes a manifest for the whole image.
    TrustsTheManifest,
    /// It turns failures into good news.
    Optimist,
    /// It says that it turns a deployment back, and does not.
    NeverTurns,
    /// It turns good news into failures.
    Pessimist,
    /// It passes everything.
    AlwaysPasses,
    /// It fails everything.
    AlwaysFails,
    /// It says that the data speaks of the wanted version.
    NamesTheWanted,
    /// It shows an alias as values.
    FlattensAliases,
    /// It shows a record where there is none.
    InventsARecord,
    /// It minds the case of a name.
    MindsTheCase,
    /// It writes over whatever is there.
    Clobbers,
    /// Its changes never arrive.
    NeverInSync,
    /// One of its servers lags for ever.
    OneServerLags,
    /// It takes no data for zero.
    CountsNothingAsZero,
    /// It does not tell that a deployment is under way.
    IgnoresTheBusy,
    /// It captures something else.
    WrongPoint,
}

/// Ports with one way of breaking the contract around them.
#[must_use]
pub fn broken(ports: &Ports, how: How) -> Ports {
    let broken = Arc::new(Broken {
        inner: ports.clone(),
        how,
        calls: AtomicU32::new(0),
        first: Mutex::default(),
    });
    Ports {
        target: broken.clone(),
        source: ports.source.clone(),
        images: broken.clone(),
        gates: broken.clone(),
        dns: broken.clone(),
        rollback: broken,
    }
}

struct Broken {
    inner: Ports,
    how: How,
    calls: AtomicU32,
    first: Mutex<First>,
}

/// What was answered or asked first.
#[derive(Default)]
struct First {
    service: Option<ServiceObservation>,
    revision: Option<TaskDefinitionArn>,
    spec: Option<RevisionSpec>,
    tag: Option<Option<ImageDigest>>,
    sample: Option<Sample>,
    snapshot: Option<Snapshot>,
}

impl Broken {
    fn is(&self, how: How) -> bool {
        self.how == how
    }

    fn count(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn first<T: Clone>(&self, place: impl FnOnce(&mut First) -> &mut Option<T>, answer: T) -> T {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = place(&mut first).get_or_insert_with(|| answer.clone());
        if self.is(How::Frozen) || self.is(How::OneForAll) {
            kept.clone()
        } else {
            answer
        }
    }

    /// What becomes of every error.
    fn err(&self, mut error: Error) -> Error {
        match self.how {
            How::WrongKind => {
                error.kind = ErrorKind::Unavailable;
                error.retry = Retry::Later;
            }
            How::SaysMaybe => error.applied = Applied::Maybe,
            How::SaysNo => error.applied = Applied::No,
            How::SaysNever => error.retry = Retry::Never,
            How::SaysLater => error.retry = Retry::Later,
            _ => {}
        }
        error
    }

    /// A call that changes nothing, and is a write all the same.
    async fn write(&self, ctx: &OpContext) {
        if self.is(How::WritesWhenLooking) {
            let nobody: TaskArn = "nobody".parse().expect("an ARN");
            drop(self.inner.target.stop_task(ctx, &nobody).await);
        }
    }

    fn absent(&self, what: &str) -> Error {
        Error::new(ErrorKind::NotFound, "test:Look", what)
    }

    /// The same revision with another content.
    fn varied(&self, spec: &RevisionSpec) -> RevisionSpec {
        let mut spec = spec.clone();
        spec.template["tags"] = json!([{ "key": "nth", "value": self.count().to_string() }]);
        spec
    }

    /// Another deployment, whatever runs.
    async fn deploy_again(&self, ctx: &OpContext, service: &ServiceName) -> Option<DeploymentStarted> {
        let spec = {
            let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.spec.clone()
        }?;
        let (task_definition, _) = self
            .inner
            .target
            .ensure_revision(ctx, &self.varied(&spec))
            .await
            .ok()?;
        let change = ServiceChange {
            service: service.clone(),
            task_definition,
            assumes: None,
        };
        self.inner.target.update_service(ctx, &change).await.ok()
    }

    fn fancied(ctx: &OpContext) -> DeploymentStarted {
        DeploymentStarted {
            deployment: "ecs-svc/fancied".parse().expect("an id"),
            service_deployment: None,
            created_at: rollout_core::time::Timestamp::from_millis(u64::from(ctx.attempt)),
        }
    }
}

#[async_trait]
impl Environment for Broken {
    async fn identity(&self, ctx: &OpContext) -> Result<Identity, Error> {
        let mut seen = self.inner.target.identity(ctx).await?;
        if self.is(How::WrongCaller) {
            seen.caller.push('x');
        }
        Ok(seen)
    }

    async fn observe_service(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        self.write(ctx).await;
        let mut seen = self.inner.target.observe_service(ctx, service).await?;
        match self.how {
            How::MissingIsAnError if seen.status == ServiceStatus::Missing => {
                return Err(self.absent("no service"));
            }
            How::HidesATask => drop(seen.tasks.pop()),
            How::FutureDates => seen.at = seen.at.after(Duration::from_secs(3_600)),
            How::HidesCauses => seen.stopped.iter_mut().for_each(|task| task.cause = None),
            _ => {}
        }
        Ok(self.first(|f| &mut f.service, seen))
    }

    async fn observe_running(
        &self,
        ctx: &OpContext,
        service: &ServiceName,
    ) -> Result<ServiceObservation, Error> {
        let mut seen = self.observe_service(ctx, service).await?;
        if self.is(How::HidesARunningTask) {
            seen.tasks.pop();
        }
        Ok(seen)
    }

    async fn ensure_revision(
        &self,
        ctx: &OpContext,
        spec: &RevisionSpec,
    ) -> Result<(TaskDefinitionArn, Ensured), Error> {
        {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.spec.get_or_insert_with(|| spec.clone());
        }
        let mut spec = spec.clone();
        if self.is(How::Repeats) {
            spec = self.varied(&spec);
        }
        if self.is(How::Forgives) {
            let names = spec.template["containerDefinitions"].to_string();
            spec.images.retain(|name, _| names.contains(name.as_str()));
        }
        let (arn, how) = self
            .inner
            .target
            .ensure_revision(ctx, &spec)
            .await
            .map_err(|e| self.err(e))?;
        Ok((self.first(|f| &mut f.revision, arn), how))
    }

    async fn update_service(
        &self,
        ctx: &OpContext,
        change: &ServiceChange,
    ) -> Result<DeploymentStarted, Error> {
        let mut change = change.clone();
        match self.how {
            How::DoesNothing => return Ok(Self::fancied(ctx)),
            How::Repeats => {
                if let Some(started) = self.deploy_again(ctx, &change.service).await {
                    return Ok(started);
                }
            }
            How::IgnoresAssumptions => change.assumes = None,
            _ => {}
        }
        self.inner
            .target
            .update_service(ctx, &change)
            .await
            .map_err(|e| self.err(e))
    }

    async fn start_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<TaskArn, Error> {
        let mut ctx = ctx.clone();
        match self.how {
            How::Repeats => ctx.attempt = 100 + self.count(),
            How::OneForAll => ctx.attempt = 1,
            _ => {}
        }
        self.inner
            .target
            .start_task(&ctx, spec)
            .await
            .map_err(|e| self.err(e))
    }

    async fn observe_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<TaskObservation, Error> {
        let mut seen = self.inner.target.observe_task(ctx, task).await?;
        match (&mut seen, self.how) {
            (TaskObservation::Missing { .. }, How::MissingIsAnError) => return Err(self.absent("no task")),
            (TaskObservation::Stopped(stopped), How::HidesCauses) => stopped.cause = None,
            (TaskObservation::Stopped(stopped), How::BlamesAll) => stopped.cause = Some(Cause::TaskStopped),
            _ => {}
        }
        Ok(seen)
    }

    async fn find_task(&self, ctx: &OpContext, spec: &TaskSpec) -> Result<Option<TaskArn>, Error> {
        let found = self.inner.target.find_task(ctx, spec).await?;
        Ok(found.filter(|_| !self.is(How::FindsNothing)))
    }

    async fn stop_task(&self, ctx: &OpContext, task: &TaskArn) -> Result<(), Error> {
        if self.is(How::StopsOnce) && self.count() > 0 {
            return Err(self.absent("it has ended"));
        }
        self.inner.target.stop_task(ctx, task).await
    }
}

#[async_trait]
impl ImagePromotion for Broken {
    async fn resolve(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> Result<Option<ImageDigest>, Error> {
        self.write(ctx).await;
        let found = self.inner.images.resolve(ctx, repository, tag).await?;
        let found = match (found, self.how) {
            (Some(_), How::WrongDigest) => Some(ImageDigest::of(b"something else")),
            (None, How::MissingIsAnError) => return Err(self.absent("no tag")),
            (found, _) => found,
        };
        Ok(self.first(|f| &mut f.tag, found))
    }

    async fn copy(&self, ctx: &OpContext, from: &ImageRef, to: &RepositoryName) -> Result<Ensured, Error> {
        let images = &self.inner.images;
        match self.how {
            How::DoesNothing => return Ok(Ensured::Created),
            How::CopiesMore => {
                let tag = "9".parse().expect("a tag");
                if let Some(digest) = images.resolve(ctx, &from.repository, &tag).await? {
                    let more = ImageRef {
                        digest,
                        ..from.clone()
                    };
                    images.copy(ctx, &more, to).await?;
                }
            }
            How::TrustsTheManifest => {
                let there = ImageRef {
                    repository: to.clone(),
                    digest: from.digest.clone(),
                };
                if images.read(ctx, &there).await?.is_some() {
                    return Ok(Ensured::AlreadyThere);
                }
            }
            _ => {}
        }
        match images.copy(ctx, from, to).await {
            Ok(_) if self.is(How::SaysCreated) => Ok(Ensured::Created),
            Err(_) if self.is(How::Optimist) => Ok(Ensured::Created),
            copied => copied.map_err(|e| self.err(e)),
        }
    }

    async fn read(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error> {
        let mut read = self.inner.images.read(ctx, image).await?;
        match (&mut read, self.how) {
            (None, How::MissingIsAnError) => return Err(self.absent("no image")),
            (Some(tree), How::HidesMissing) => tree.missing.clear(),
            _ => {}
        }
        Ok(read)
    }
}

#[async_trait]
impl HealthGate for Broken {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        self.write(ctx).await;
        let mut sample = match self.inner.gates.sample(ctx, request).await {
            Err(error) if self.is(How::Optimist) => Sample {
                at: request.subject.changed_at,
                verdict: Verdict::Pass,
                images: None,
                evidence: vec![Evidence::new(
                    request.subject.changed_at,
                    "test",
                    "gate",
                    error.to_string(),
                )],
            },
            sample => sample.map_err(|e| self.err(e))?,
        };
        match self.how {
            How::AlwaysPasses => sample.verdict = Verdict::Pass,
            How::AlwaysFails => sample.verdict = Verdict::Fail,
            How::NamesTheWanted => sample.images = Some(request.subject.images.clone()),
            How::FutureDates => sample.at = sample.at.after(Duration::from_secs(3_600)),
            _ => {}
        }
        Ok(self.first(|f| &mut f.sample, sample))
    }
}

#[async_trait]
impl DnsCutover for Broken {
    async fn snapshot(&self, ctx: &OpContext, zone: &ZoneId, key: &RecordKey) -> Result<Snapshot, Error> {
        self.write(ctx).await;
        let seen = self.inner.dns.snapshot(ctx, zone, key).await;
        if self.is(How::Optimist) && seen.is_err() {
            let at = rollout_core::time::Timestamp::EPOCH;
            return Ok(Snapshot {
                at,
                zone: zone.clone(),
                record: None,
                marker: None,
            });
        }
        let mut seen = seen?;
        match self.how {
            How::FlattensAliases => {
                if let Some(record) = &mut seen.record
                    && let RecordData::Alias { target, .. } = &record.data
                {
                    record.data = RecordData::Values {
                        ttl: 60,
                        values: vec![target.to_string()],
                    };
                }
            }
            How::InventsARecord => {
                seen.record.get_or_insert_with(|| Record {
                    key: key.clone(),
                    weight: None,
                    data: RecordData::Values {
                        ttl: 60,
                        values: vec!["192.0.2.1".to_owned()],
                    },
                });
            }
            How::MindsTheCase if key.name.as_str() != key.name.normalised() => seen.record = None,
            _ => {}
        }
        Ok(self.first(|f| &mut f.snapshot, seen))
    }

    async fn check_target(&self, ctx: &OpContext, data: &RecordData) -> Result<TargetCheck, Error> {
        let mut check = self.inner.dns.check_target(ctx, data).await?;
        match self.how {
            How::AlwaysPasses => check.healthy = Some(true),
            How::AlwaysFails => check.healthy = Some(false),
            _ => {}
        }
        Ok(check)
    }

    async fn apply(&self, ctx: &OpContext, batch: &ChangeBatch) -> Result<ChangeId, Error> {
        let dns = &self.inner.dns;
        match (self.how, batch.creates()) {
            (How::DoesNothing, _) => return Ok("C0FANCIED".parse().expect("an id")),
            (How::Clobbers, Some(new)) => {
                let seen = dns.snapshot(ctx, batch.zone(), &new.key).await?;
                let marker = Marker {
                    generation: seen.generation().next(),
                    run: ctx.run.clone(),
                };
                let fresh = ChangeBatch::compare_and_set(&seen, new.clone(), &marker);
                return dns.apply(ctx, &fresh.expect("a batch on what is there")).await;
            }
            _ => {}
        }
        dns.apply(ctx, batch).await.map_err(|e| self.err(e))
    }

    async fn propagation(&self, ctx: &OpContext, change: &ChangeId) -> Result<Propagation, Error> {
        match (self.inner.dns.propagation(ctx, change).await, self.how) {
            (Ok(_), How::NeverInSync) => Ok(Propagation::Pending),
            (Err(_), How::Optimist) => Ok(Propagation::InSync),
            (answer, _) => answer,
        }
    }

    async fn ask_authoritative(
        &self,
        ctx: &OpContext,
        zone: &ZoneId,
        expected: &Record,
    ) -> Result<Vec<AuthoritativeAnswer>, Error> {
        let mut answers = self.inner.dns.ask_authoritative(ctx, zone, expected).await?;
        match (self.how, answers.first_mut()) {
            (How::OneServerLags, Some(first)) => first.matches = Some(false),
            (How::AlwaysPasses, Some(first)) => first.matches = Some(true),
            _ => {}
        }
        Ok(answers)
    }

    async fn old_traffic(&self, ctx: &OpContext, data: &RecordData) -> Result<OldTraffic, Error> {
        let mut seen = self.inner.dns.old_traffic(ctx, data).await?;
        if self.is(How::CountsNothingAsZero) {
            seen.requests_per_minute = Some(0);
        }
        Ok(seen)
    }
}

#[async_trait]
impl Rollback for Broken {
    async fn capture(&self, ctx: &OpContext, service: &ServiceName) -> Result<Captured, Error> {
        self.write(ctx).await;
        let captured = self.inner.rollback.capture(ctx, service).await?;
        Ok(match (captured, self.how) {
            (Captured::Nothing { deployment: None, .. }, How::MissingIsAnError) => {
                return Err(self.absent("no service"));
            }
            (Captured::Busy { deployment, text }, How::IgnoresTheBusy) => Captured::Nothing {
                why: text,
                deployment: Some(deployment),
            },
            (Captured::Point(point), How::WrongPoint) => Captured::Point(RestorePoint {
                desired: point.desired + 1,
                ..point
            }),
            (captured, _) => captured,
        })
    }

    async fn usable(&self, ctx: &OpContext, point: &RestorePoint) -> Result<Usability, Error> {
        self.write(ctx).await;
        let mut seen = self.inner.rollback.usable(ctx, point).await?;
        for part in &mut seen.parts {
            match self.how {
                How::Optimist => part.found = Found::Usable,
                How::Pessimist => {
                    part.found = Found::Gone {
                        why: "who knows".to_owned(),
                    }
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    async fn turn_back(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: &DeploymentId,
        record: &ServiceDeploymentArn,
    ) -> Result<(), Error> {
        match self.how {
            How::DoesNothing | How::NeverTurns => return Ok(()),
            // It says that it did, whoever deployed.
            How::IgnoresAssumptions => {
                let _ = self.inner.rollback.turn_back(ctx, point, assumes, record).await;
                return Ok(());
            }
            _ => {}
        }
        let turned = self.inner.rollback.turn_back(ctx, point, assumes, record).await;
        turned.map_err(|e| self.err(e))
    }

    async fn restore(
        &self,
        ctx: &OpContext,
        point: &RestorePoint,
        assumes: Option<&DeploymentId>,
    ) -> Result<DeploymentStarted, Error> {
        match self.how {
            How::DoesNothing => return Ok(Self::fancied(ctx)),
            How::Repeats => {
                if let Some(started) = self.deploy_again(ctx, &point.service).await {
                    return Ok(started);
                }
                return Ok(Self::fancied(ctx));
            }
            _ => {}
        }
        let assumes = assumes.filter(|_| !self.is(How::IgnoresAssumptions));
        self.inner
            .rollback
            .restore(ctx, point, assumes)
            .await
            .map_err(|e| self.err(e))
    }
}
