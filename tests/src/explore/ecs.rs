//! The world of one service: deployments that the platform completes, fails or takes back, other deployers, writes that are
//! lost, land late or cross another's.

use core::time::Duration;

use rollout_core::error::{Applied, ErrorKind};
use rollout_core::evidence::Cause;
use rollout_core::id::{DeploymentId, TaskDefinitionArn};
use rollout_core::image::Ensured;
use rollout_core::machine::Machine as _;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Outcome, Target};
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentRecord, DeploymentRole, DeploymentStarted, Images,
    RecordStatus, RestorePoint, RolloutState, RunningTask, ServiceObservation, ServiceStatus, StoppedTask,
    Strategy,
};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::images::images;
use super::single::{BEGIN, Call, Reply, World};
use super::{failure, secs};

/// How long a read may lag behind, and a lost write may still take effect.
pub const STALE: Duration = secs(10);

/// The revision that was there before.
pub const BEFORE: u8 = 1;

/// The revision that someone else deploys.
const THEIRS: u8 = 9;

/// Whose a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum By {
    /// It was there before.
    Before,
    /// Of the runner with this number.
    Us(u8),
    /// The platform's own way back.
    Platform,
    /// Someone else's.
    Other,
}

/// Who deploys what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deployer {
    /// The runner's number.
    pub number: u8,
    /// The revision that it brings.
    pub revision: u8,
}

/// The runner of searches with only one.
pub const US: Deployer = Deployer {
    number: 0,
    revision: 2,
};

impl Deployer {
    const fn bit(self) -> u8 {
        1 << self.number
    }
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Far {
    /// On its way.
    Going,
    /// Done.
    Done,
    /// Given up.
    Failed,
}

/// What the platform tells of having taken a deployment back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Told {
    /// Nothing: it was not.
    No,
    /// In a record, with the revision that it went back to.
    Record(u8),
    /// In words.
    Words,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dep {
    /// Its number.
    pub id: u8,
    /// Whose.
    pub by: By,
    /// The revision: [`BEFORE`], one of a release, or someone else's.
    pub revision: u8,
    created: Timestamp,
    /// How far.
    pub far: Far,
    told: Told,
}

/// The service at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Newest first; the first is PRIMARY. Empty: the service is gone.
    pub deployments: Vec<Dep>,
    /// Tasks of the PRIMARY deployment that stopped as failures.
    stops: bool,
}

/// A write whose answer was lost and that may still take effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Late {
    by: Deployer,
    revision: u8,
    until: Timestamp,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct EcsWorld {
    /// The service as it is.
    pub service: Service,
    /// As it was, and until when a read may still show that.
    was: Option<(Service, Timestamp)>,
    /// Writes that may still land.
    pub late: Option<Late>,
    /// Faults left.
    pub faults: u8,
    /// Times that someone else may act.
    pub others: u8,
    /// Times that the platform may fail a deployment.
    pub failures: u8,
    /// Whether other deployers acted.
    pub foreign: bool,
    /// Whether the platform went back by itself.
    pub platform: bool,
    /// Whether a write of each runner took effect: a bit for each.
    written: u8,
    /// Deployments of releases that were PRIMARY and done, with their revisions.
    proven: Vec<(u8, u8)>,
    next: u8,
}

/// A revision's name.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn revision(number: u8) -> TaskDefinitionArn {
    format!("shop:{number}").parse().expect("valid")
}

/// A deployment's name.
///
/// # Panics
/// Never: the name is valid.
#[must_use]
pub fn deployment(number: u8) -> DeploymentId {
    format!("ecs-svc/{number}").parse().expect("valid")
}

/// The images of a revision.
#[must_use]
pub fn images_of(revision: u8) -> Images {
    images(version_of(revision))
}

/// The version that a revision brings.
#[must_use]
pub const fn version_of(revision: u8) -> &'static str {
    match revision {
        BEFORE => "old",
        2 => "new",
        3 => "newer",
        _ => "theirs",
    }
}

/// What the service ran before.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn point() -> RestorePoint {
    RestorePoint {
        service: "shop".parse().expect("valid"),
        captured_at: BEGIN,
        task_definition: revision(1),
        images: images_of(1),
        deployment: deployment(1),
        desired: 1,
    }
}

fn number_of(arn: &TaskDefinitionArn) -> u8 {
    arn.as_str()
        .rsplit(':')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

impl EcsWorld {
    /// The old release runs.
    #[must_use]
    pub fn new(faults: u8, others: u8, failures: u8) -> Self {
        let old = Dep {
            id: 1,
            by: By::Before,
            revision: 1,
            created: Timestamp::from_millis(1),
            far: Far::Done,
            told: Told::No,
        };
        Self {
            service: Service {
                deployments: vec![old],
                stops: false,
            },
            was: None,
            late: None,
            faults,
            others,
            failures,
            foreign: false,
            platform: false,
            written: 0,
            proven: vec![],
            next: 2,
        }
    }

    /// The same after our write of a revision.
    #[must_use]
    pub fn with_ours(mut self, far: Far) -> Self {
        self.write(BEGIN, US.revision, By::Us(US.number));
        if let Some(primary) = self.service.deployments.first_mut() {
            primary.far = far;
        }
        self.was = None;
        self
    }

    /// The same with a lost write of the release that may still land.
    #[must_use]
    pub fn with_late(mut self) -> Self {
        self.late = Some(Late {
            by: US,
            revision: US.revision,
            until: BEGIN.after(STALE),
        });
        self
    }

    /// The same with so many faults left.
    #[must_use]
    pub fn with_faults(&self, faults: u8) -> Self {
        Self {
            faults,
            ..self.clone()
        }
    }

    /// The PRIMARY deployment.
    #[must_use]
    pub fn primary(&self) -> Option<&Dep> {
        self.service.deployments.first()
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    fn changed(&mut self, now: Timestamp, before: Service) {
        self.was = Some((before, now.after(STALE)));
    }

    /// A write reaches the platform: a new deployment, unless the revision is there already.
    fn write(&mut self, now: Timestamp, revision: u8, by: By) {
        let Some(primary) = self.service.deployments.first() else {
            return;
        };
        if primary.revision == revision && primary.far != Far::Failed {
            return;
        }
        let before = self.service.clone();
        let id = self.next;
        self.next += 1;
        // The one before drains; what is older is gone.
        self.service.deployments.truncate(1);
        let new = Dep {
            id,
            by,
            revision,
            created: now,
            far: Far::Going,
            told: Told::No,
        };
        self.service.deployments.insert(0, new);
        self.service.stops = false;
        self.changed(now, before);
    }

    fn seen(&self, service: &Service, at: Timestamp) -> ServiceObservation {
        let Some(primary) = service.deployments.first() else {
            return ServiceObservation {
                at,
                status: ServiceStatus::Missing,
                desired: 0,
                running: 0,
                pending: 0,
                deployments: vec![],
                tasks: vec![],
                stopped: vec![],
                events: vec![],
            };
        };
        let done = primary.far == Far::Done;
        let listed = service
            .deployments
            .iter()
            .enumerate()
            .map(|(index, dep)| listed(dep, index == 0));
        let stopped = StoppedTask {
            task: "task/bad".parse().expect("valid"),
            task_definition: revision(primary.revision),
            started_by: Some(deployment(primary.id)),
            stopped_at: at,
            cause: Some(Cause::ContainerExited),
            code: None,
            reason: "Essential container in task exited".to_owned(),
            containers: vec![],
            log_tail: vec![],
        };
        let task = RunningTask {
            task: "task/good".parse().expect("valid"),
            task_definition: revision(primary.revision),
            images: images_of(primary.revision),
            started_by: Some(deployment(primary.id)),
            started_at: None,
        };
        ServiceObservation {
            at,
            status: ServiceStatus::Active,
            desired: 1,
            running: u32::from(done),
            pending: u32::from(!done),
            deployments: listed.collect(),
            tasks: done.then_some(task).into_iter().collect(),
            stopped: service.stops.then_some(stopped).into_iter().collect(),
            events: vec![],
        }
    }

    /// What a look shows, or a stale one where reads may lag now.
    #[must_use]
    pub fn looked_at(&self, at: Timestamp, stale: bool) -> Option<ServiceObservation> {
        if !stale {
            return Some(self.seen(&self.service, at));
        }
        let (was, _) = self.was.as_ref()?;
        Some(self.seen(was, at))
    }

    /// What there is to go back to, by a look that may be stale.
    #[must_use]
    pub fn captured(&self, at: Timestamp, stale: bool) -> Option<Captured> {
        let service = match &self.was {
            Some((was, _)) if stale => was,
            _ if stale => return None,
            _ => &self.service,
        };
        let nothing = |why: &str, dep: Option<&Dep>| Captured::Nothing {
            why: why.to_owned(),
            deployment: dep.map(|dep| deployment(dep.id)),
        };
        Some(match service.deployments.first() {
            None => nothing("the service does not exist", None),
            Some(dep) => match dep.far {
                Far::Going => Captured::Busy {
                    deployment: deployment(dep.id),
                    text: "under way".to_owned(),
                },
                Far::Failed => nothing("its deployment is not COMPLETED", Some(dep)),
                Far::Done => Captured::Point(RestorePoint {
                    captured_at: at,
                    task_definition: revision(dep.revision),
                    images: images_of(dep.revision),
                    deployment: deployment(dep.id),
                    ..point()
                }),
            },
        })
    }

    /// The ways in which a write may be answered.
    fn update(
        &self,
        now: Timestamp,
        by: Deployer,
        number: u8,
        assumes: Option<&DeploymentId>,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        let less = self.spend();
        let Some(primary) = self.service.deployments.first() else {
            let gone = Event::CallFailed(failure(ErrorKind::NotFound, Applied::No));
            out.push(Reply::fair("write: no such service", self.clone(), gone));
            return;
        };
        if assumes.is_some_and(|assumed| *assumed != deployment(primary.id)) {
            let conflict = Event::CallFailed(failure(ErrorKind::Conflict, Applied::No));
            out.push(Reply::fair("write: conflict", self.clone(), conflict));
            return;
        }
        let done = |world: &Self| {
            let mut world = world.clone();
            world.write(now, number, By::Us(by.number));
            world.written |= by.bit();
            world
        };
        let written = done(self);
        let started = |world: &Self| {
            let primary = world.service.deployments.first().expect("it was written");
            Event::Updated(DeploymentStarted {
                deployment: deployment(primary.id),
                service_deployment: None,
                created_at: primary.created,
            })
        };
        let event = started(&written);
        out.push(Reply::fair("written", written, event));
        if self.others > 0 {
            // Between the port's look and its write: there is no compare-and-set.
            let mut crossed = self.clone();
            crossed.others -= 1;
            crossed.foreign = true;
            crossed.write(now, THEIRS, By::Other);
            let crossed = done(&crossed);
            let event = started(&crossed);
            out.push(Reply::fault(
                "written, over another's that came right before",
                crossed,
                event,
            ));
        }
        if let Some(less) = less {
            out.push(Reply::fault("write: done, answer lost", done(&less), lost()));
            out.push(Reply::fault("write: not done, answer lost", less.clone(), lost()));
            let late = Some(Late {
                by,
                revision: number,
                until: now.after(STALE),
            });
            out.push(Reply::fault(
                "write: answer lost, lands later",
                Self {
                    late: late.clone(),
                    ..less.clone()
                },
                lost(),
            ));
            out.push(Reply::silent(
                "write: never answered, lands later",
                Self { late, ..less },
            ));
        }
    }

    /// A change as it is once its port has looked and found what it assumes: it will be made whatever comes in between.
    #[must_use]
    pub fn looked(&self, effect: &Effect) -> Option<Effect> {
        let mut effect = effect.clone();
        let assumes = match &mut effect {
            Effect::UpdateService(change) => &mut change.assumes,
            Effect::Restore { assumes, .. } => assumes,
            Effect::EnsureRevision(_) | Effect::Observe { .. } => return None,
        };
        let assumed = assumes.take()?;
        let primary = self.primary()?;
        (deployment(primary.id) == assumed).then_some(effect)
    }

    /// Every way in which a call about the service may be answered.
    pub fn reply(
        &self,
        now: Timestamp,
        by: Deployer,
        call: &Call<Effect>,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        // A call carries a hard deadline: past it nothing is sent any more.
        let expired = now.since(call.asked) > STALE;
        match &call.effect {
            Effect::EnsureRevision(_) => {
                let event = Event::RevisionReady {
                    task_definition: revision(by.revision),
                    ensured: Ensured::Created,
                };
                out.push(Reply::fair("revision ready", self.clone(), event));
            }
            Effect::UpdateService(_) | Effect::Restore { .. } if expired => {
                let lost = Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
                out.push(Reply::fair(
                    "write: past its deadline, not sent",
                    self.clone(),
                    lost,
                ));
            }
            Effect::UpdateService(change) => {
                self.update(
                    now,
                    by,
                    number_of(&change.task_definition),
                    change.assumes.as_ref(),
                    out,
                );
            }
            Effect::Restore { point, assumes } => {
                self.update(now, by, number_of(&point.task_definition), assumes.as_ref(), out);
            }
            Effect::Observe { .. } => {
                let seen = |service| Event::Observed(Box::new(self.seen(service, call.asked)));
                out.push(Reply::fair("looked at", self.clone(), seen(&self.service)));
                if let (Some((was, _)), Some(less)) = (&self.was, self.spend()) {
                    out.push(Reply::fault("looked at: stale", less, seen(was)));
                }
            }
        }
        if let Some(less) = self.spend() {
            out.extend(Reply::none(less, Event::CallFailed));
        }
    }

    /// After the deployment that is under way is done, if one is.
    #[must_use]
    pub fn completes(&self, now: Timestamp) -> Option<Self> {
        let primary = self.primary().filter(|primary| primary.far == Far::Going)?;
        let mut done = self.clone();
        done.service.deployments[0].far = Far::Done;
        done.service
            .deployments
            .retain(|dep| dep.id == primary.id || dep.far == Far::Failed);
        done.changed(now, self.service.clone());
        if !matches!(primary.revision, BEFORE | THEIRS) {
            done.proven.push((primary.id, primary.revision));
        }
        Some(done)
    }

    /// The same where nothing goes wrong any more.
    #[must_use]
    pub fn healed(&self) -> Self {
        let service = Service {
            stops: false,
            ..self.service.clone()
        };
        Self {
            service,
            faults: 0,
            others: 0,
            failures: 0,
            ..self.clone()
        }
    }

    /// What may happen to the service by itself or by others.
    pub fn happen<E>(&self, now: Timestamp, out: &mut Vec<Reply<Self, E>>) {
        let Some(primary) = self.service.deployments.first() else {
            return;
        };
        if let Some(done) = self.completes(now) {
            out.push(Reply::silent("the deployment completes", done));
            if let Some(failures) = self.failures.checked_sub(1) {
                self.fails(now, failures, primary, out);
            }
        }
        if let Some(late) = &self.late {
            let mut landed = self.clone();
            landed.late = None;
            landed.written |= late.by.bit();
            landed.write(now, late.revision, By::Us(late.by.number));
            out.push(Reply::silent("a lost write lands", landed));
        }
        if let Some(others) = self.others.checked_sub(1) {
            let mut theirs = Self {
                others,
                foreign: true,
                ..self.clone()
            };
            theirs.write(now, THEIRS, By::Other);
            out.push(Reply::silent("someone else deploys", theirs));
            let mut gone = Self {
                others,
                ..self.clone()
            };
            gone.foreign = true;
            gone.service.deployments.clear();
            gone.changed(now, self.service.clone());
            out.push(Reply::silent("someone deletes the service", gone));
        }
    }

    /// The revision that the platform takes a deployment back to: what was last done.
    fn before(&self, primary: &Dep) -> u8 {
        match self.service.deployments.get(1) {
            Some(dep) if dep.far == Far::Done => dep.revision,
            Some(_) | None if primary.revision == BEFORE => US.revision,
            Some(_) | None => BEFORE,
        }
    }

    fn fails<E>(&self, now: Timestamp, failures: u8, primary: &Dep, out: &mut Vec<Reply<Self, E>>) {
        let base = Self {
            failures,
            ..self.clone()
        };
        if !self.service.stops {
            let mut stops = base.clone();
            stops.service.stops = true;
            out.push(Reply::silent("tasks stop", stops));
        }
        let mut failed = base;
        failed.service.deployments[0].far = Far::Failed;
        failed.changed(now, self.service.clone());
        out.push(Reply::silent(
            "the platform gives the deployment up",
            failed.clone(),
        ));
        let to = self.before(primary);
        for (label, told) in [
            ("the platform goes back, with a record", Told::Record(to)),
            ("the platform goes back, in words", Told::Words),
        ] {
            let mut back = failed.clone();
            back.service.deployments[0].told = told;
            back.write(now, to, By::Platform);
            back.platform = true;
            back.changed(now, self.service.clone());
            out.push(Reply::silent(label, back));
        }
    }

    /// Time has passed.
    pub fn settle(&mut self, now: Timestamp) {
        if self.was.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.was = None;
        }
        if self.late.as_ref().is_some_and(|late| now >= late.until) {
            self.late = None;
        }
    }

    /// Whether someone but this runner has acted.
    #[must_use]
    pub const fn foreign_to(&self, who: Deployer) -> bool {
        self.foreign || self.written & !who.bit() != 0
    }

    /// Whether this runner has changed the service, or still may.
    #[must_use]
    pub fn touched_by(&self, who: Deployer) -> bool {
        self.written & who.bit() != 0 || self.late.as_ref().is_some_and(|late| late.by == who)
    }

    /// Whether a write may rest on this assumption: never on a deployment of someone else (I-5, I-6), unless that is what
    /// the runner captured before its first change, or runs its own revision: a write of its own may have been lost.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn allow<'a>(
        &self,
        who: Deployer,
        captured: Option<&DeploymentId>,
        effects: impl IntoIterator<Item = &'a Effect>,
    ) -> Result<(), String> {
        for effect in effects {
            let assumes = match effect {
                Effect::UpdateService(change) => &change.assumes,
                Effect::Restore { assumes, .. } => assumes,
                Effect::EnsureRevision(_) | Effect::Observe { .. } => continue,
            };
            let Some(assumed) = assumes else {
                return Err("I-5: a write that assumes nothing".to_owned());
            };
            let was = self.was.iter().flat_map(|(was, _)| &was.deployments);
            let mut known = self.service.deployments.iter().chain(was);
            let foreign = |dep: &Dep| match dep.by {
                By::Other => true,
                By::Us(number) => number != who.number && dep.revision != who.revision,
                By::Before | By::Platform => false,
            };
            if captured != Some(assumed) && known.any(|dep| foreign(dep) && deployment(dep.id) == *assumed) {
                return Err(format!("I-6: a write over someone else's deployment {assumed}"));
            }
        }
        Ok(())
    }

    /// Whether the service runs a revision, all of it, and nothing of this runner can come any more.
    #[must_use]
    pub fn is_back(&self, who: Deployer, to: u8) -> bool {
        let primary = self.primary();
        primary.is_some_and(|primary| primary.revision == to && primary.far == Far::Done)
            && self
                .late
                .as_ref()
                .is_none_or(|late| late.by != who || late.revision == to)
    }

    /// What is said of the service going back: it runs what it ran before, or someone has come since.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_back(&self, who: Deployer, to: &TaskDefinitionArn) -> Result<(), String> {
        let to = number_of(to);
        let was = self.was.as_ref().and_then(|(was, _)| was.deployments.first());
        let stale = was.is_some_and(|was| was.revision == to && was.far == Far::Done);
        if self.is_back(who, to) || (self.foreign_to(who) && stale) {
            Ok(())
        } else {
            Err("I-13: it is said to be back, and is not, or may not stay so".to_owned())
        }
    }

    /// What is said of the release: it was PRIMARY and done, and still is, but for what a stale read hides.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn bears_release(
        &self,
        who: Deployer,
        of: &DeploymentId,
        task_definition: &TaskDefinitionArn,
    ) -> Result<(), String> {
        let mut proven = self.proven.iter();
        let proven = proven.any(|(id, number)| deployment(*id) == *of && *number == who.revision);
        if *task_definition != revision(who.revision) || !proven {
            return Err(format!("I-12: {of} is claimed and never was PRIMARY and done"));
        }
        let now = self
            .primary()
            .is_some_and(|primary| deployment(primary.id) == *of);
        let was = self.was.as_ref().and_then(|(was, _)| was.deployments.first());
        if now || was.is_some_and(|was| deployment(was.id) == *of) {
            Ok(())
        } else {
            Err(format!("I-12: {of} is claimed and is not PRIMARY"))
        }
    }

    /// What an outcome claims, against the world.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn hold(&self, who: Deployer, target: &Target, outcome: &Outcome) -> Result<(), String> {
        match (target, outcome) {
            (
                Target::Release { .. },
                Outcome::Deployed {
                    deployment,
                    task_definition,
                    ..
                },
            ) => self.bears_release(who, deployment, task_definition),
            (Target::Restore { point, .. }, Outcome::Deployed { .. }) => {
                self.bears_back(who, &point.task_definition)
            }
            (_, Outcome::Superseded { .. }) if !self.foreign_to(who) && !self.platform => {
                Err("I-6: superseded by nobody".to_owned())
            }
            (_, Outcome::Failed { touched: false, .. }) if self.touched_by(who) => {
                Err("I-13: it is said not to be touched, and is".to_owned())
            }
            (
                Target::Release { .. } | Target::Restore { .. },
                Outcome::Failed { .. } | Outcome::Superseded { .. },
            ) => Ok(()),
        }
    }
}

fn listed(dep: &Dep, primary: bool) -> DeploymentObservation {
    let done = dep.far == Far::Done;
    DeploymentObservation {
        id: deployment(dep.id),
        task_definition: revision(dep.revision),
        role: if primary {
            DeploymentRole::Primary
        } else {
            DeploymentRole::Active
        },
        rollout: match dep.far {
            Far::Going => RolloutState::InProgress,
            Far::Done => RolloutState::Completed,
            Far::Failed => RolloutState::Failed,
        },
        reason: (dep.told == Told::Words)
            .then(|| "ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/1.".to_owned()),
        desired: u32::from(primary),
        running: u32::from(primary && done),
        pending: u32::from(primary && !done),
        failed: 0,
        created_at: dep.created,
        record: match dep.told {
            Told::No | Told::Words => None,
            Told::Record(to) => Some(DeploymentRecord {
                arn: "arn:record".parse().expect("valid"),
                status: RecordStatus::RollbackSuccessful,
                reason: None,
                strategy: Strategy::Rolling,
                stage: None,
                rolled_back_to: Some(revision(to)),
            }),
        },
    }
}

impl World<Deployment> for EcsWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        self.reply(now, US, call, out);
    }

    fn happenings(&self, now: Timestamp, _: &Deployment, out: &mut Vec<Reply<Self, Event>>) {
        self.happen(now, out);
    }

    fn pass(&mut self, now: Timestamp) {
        self.settle(now);
    }

    fn judge(
        &mut self,
        _: Timestamp,
        before: &Deployment,
        _: &Event,
        effects: &[Effect],
        after: &Deployment,
    ) -> Result<(), String> {
        self.allow(US, None, effects)?;
        match after.outcome() {
            Some(outcome) => self.hold(US, &before.spec().target, &outcome),
            None => Ok(()),
        }
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Deployed { .. } => "deployed",
            Outcome::Failed { touched: false, .. } => "failed, untouched",
            Outcome::Failed { touched: true, .. } => "failed, touched",
            Outcome::Superseded { .. } => "superseded",
        }
    }
}
