//! The world of one service: deployments that the platform completes, fails or takes back, other deployers, writes that are
//! lost, land late or cross another's.

use core::time::Duration;

use rollout_core::evidence::Cause;
use rollout_core::id::{DeploymentId, TaskDefinitionArn};
use rollout_core::machine::Machine as _;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Outcome};
use rollout_core::service::{
    Captured, DeploymentObservation, DeploymentRecord, DeploymentRole, Images, RecordStatus, RestorePoint,
    RolloutState, RunningTask, ServiceObservation, ServiceStatus, StoppedTask, Strategy,
};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::images::images;
use super::secs;
use super::single::{BEGIN, Call, Reply, World};

mod replies;
mod rules;

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
    /// In a record: it was asked to, and has not begun.
    Asked,
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
    /// Whether the platform keeps a record of a deployment that is under way, by which it can be turned back.
    records: bool,
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
        since: None,
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
            records: false,
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

    /// The same on a platform that keeps records.
    #[must_use]
    pub const fn with_records(mut self) -> Self {
        self.records = true;
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
            .map(|(index, dep)| listed(dep, index == 0, self.records));
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
}

fn listed(dep: &Dep, primary: bool, records: bool) -> DeploymentObservation {
    let done = dep.far == Far::Done;
    let record = |status, rolled_back_to| DeploymentRecord {
        arn: "arn:record".parse().expect("valid"),
        status,
        reason: None,
        strategy: Strategy::Rolling,
        stage: None,
        rolled_back_to,
        took: None,
    };
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
            Told::No if records && dep.far == Far::Going => Some(record(RecordStatus::InProgress, None)),
            Told::No | Told::Words => None,
            Told::Asked => Some(record(RecordStatus::RollbackRequested, None)),
            Told::Record(to) => Some(record(RecordStatus::RollbackSuccessful, Some(revision(to)))),
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
