//! One service to one revision: forward to a release, or back to a restore point.
//!
//! Bound to the deployment that **we** created (its id is read from the answer to the call that made it), never to "the
//! newest". "Stable" alone is not success (invariant I-12).
//!
//! # How it works
//! - *Release*: make sure of the revision, update the service on the assumption that the captured deployment is
//!   PRIMARY, then look at it every `poll_every` and judge each look.
//! - *Restore*: look first. If the service goes to the restore point already (the platform may have gone back by
//!   itself) nothing is written; if it stands where we or the platform's own rollback left it, it is restored; if
//!   another deployer was there, we yield. Then it is judged like a release. Where nothing had to be written and our
//!   own change may still be on its way, the end is claimed only after stale reads are over; a change that comes late
//!   is undone.
//! - A deployment that the platform has given up before we asked does nothing more, even on the right revision: there a
//!   new one is asked for.
//! - A conflict, or a write without an answer, is *reconciled*: looked at before anything is repeated. A repeat comes
//!   only after stale reads can no longer hide the first write; it is harmless, since a service that goes to the
//!   revision is left as it is.
//! - A [hint](Event::Hinted) that something of the service has changed makes the next look come at once; no two looks are
//!   closer than [`Policy::gap`], and a pause after a failed call is not cut short. It says nothing itself.
//! - With a [`Pace`] looks are rare while nothing can change and close near the expected end.
//! - `give_up` counts from the first write (until then, from the start).
//! - An abort ends a release at once and truthfully: `Failed` with [`Cause::Aborted`](crate::evidence::Cause::Aborted)
//!   and whether anything may have been touched. A restore is already the safe way and goes on.
//!
//! # What is a success
//! Service active; our deployment PRIMARY and `COMPLETED`, and its record, where there is one, `SUCCESSFUL`; wanted,
//! running and listed tasks equal and nothing pending, nothing of another deployment running; every running task on
//! our revision and on exactly the digests asked for. ECS tells `rolloutState` only for the rolling update deployment
//! type and not behind a Classic Load Balancer (Amazon ECS API, "Deployment"). Where it is not told, the record's
//! `SUCCESSFUL` stands in for it; without a record nothing is ever taken for done.
//!
//! # What is not decided here
//! Task counts are the service's own: someone may scale it while we deploy. A service scaled to zero does not come to
//! a success by that.

mod calls;
mod confirm;
mod ends;
mod flow;
mod judge;
mod pace;
mod standing;
mod state;
mod success;
#[cfg(test)]
mod tests;
mod wording;

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::confirm::{Claim, Confirmation, confirm};
use self::flow::Next;
use self::state::{Doubt, State, Work};

pub use self::pace::Pace;
pub use self::state::StateKind;
use super::{Disposition, Machine, Rejected, Step, Transitions};
use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason};
use crate::id::{DeploymentId, ServiceDeploymentArn, ServiceName, TaskDefinitionArn};
use crate::image::Ensured;
use crate::service::{
    DeploymentStarted, Images, RestorePoint, RevisionSpec, ServiceChange, ServiceObservation, Stage,
};
use crate::time::{Deadline, Timestamp, Wait, millis};

/// Where the service shall go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Forward: register the revision, update the service.
    Release {
        /// The revision.
        revision: RevisionSpec,
        /// The deployment that must be PRIMARY when we write: the one that was captured before the first change.
        assumes: Option<DeploymentId>,
    },
    /// Back: what the service ran when it was last known to be good.
    Restore {
        /// The restore point.
        point: RestorePoint,
        /// The deployment that we had made, if we know it.
        ours: Option<DeploymentId>,
        /// The revision that we had brought, if we know it.
        our_revision: Option<TaskDefinitionArn>,
        /// Whether our deployment, if it is still under way, is turned back by the platform as it stands: without canary steps,
        /// bake times or new tasks for what still runs.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        fast: bool,
    },
}

/// What is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The service.
    pub service: ServiceName,
    /// Where it goes.
    pub target: Target,
    /// The digests that every running task must show at the end.
    pub images: Images,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two looks; with a [`Pace`], while something changes.
    #[serde(with = "millis")]
    pub poll_every: Duration,
    /// How looks get rarer and closer. Without it they are even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// The longest time from the change to success.
    #[serde(with = "millis")]
    pub give_up: Duration,
    /// Tasks of our deployment that may stop as failures before it is given up.
    pub stopped_tasks: u32,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer.
    #[serde(with = "millis")]
    pub answer: Duration,
    /// For how long after the change a look that does not show it yet is taken for a stale read.
    #[serde(with = "millis")]
    pub stale_reads: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The events without their data."
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Start,
    /// The revision exists.
    RevisionReady {
        /// Its name.
        task_definition: TaskDefinitionArn,
        /// Whether it was there before.
        ensured: Ensured,
    },
    /// The service goes to the revision, by this deployment.
    Updated(DeploymentStarted),
    /// The platform was asked to turn the deployment under way back.
    TurningBack,
    /// The service was looked at.
    Observed(Box<ServiceObservation>),
    /// The call under way failed.
    CallFailed(ErrorRecord),
    /// Someone says that something of the service has changed. No verdict: only a reason to look now.
    Hinted,
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Make sure that the revision exists.
    EnsureRevision(RevisionSpec),
    /// Make the service go to the revision.
    UpdateService(ServiceChange),
    /// Make the service go back.
    Restore {
        /// The restore point.
        point: RestorePoint,
        /// The deployment that must be PRIMARY.
        assumes: Option<DeploymentId>,
    },
    /// Make the platform turn our deployment, which is still under way, back to what ran before, as it stands.
    TurnBack {
        /// The restore point that it must come to.
        point: RestorePoint,
        /// The deployment that must be PRIMARY and under way: ours.
        assumes: DeploymentId,
        /// The platform's record of it.
        record: ServiceDeploymentArn,
    },
    /// Look at the service.
    Observe {
        /// The service.
        service: ServiceName,
    },
}

/// A deployment that someone else made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// The service.
    pub service: ServiceName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The revision it brings.
    pub task_definition: TaskDefinitionArn,
    /// When it was made, by the platform's clock.
    pub created_at: Timestamp,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every running task has the target digests, our deployment is PRIMARY and COMPLETED, counts agree.
    Deployed {
        /// Our deployment.
        deployment: DeploymentId,
        /// The revision.
        task_definition: TaskDefinitionArn,
        /// When the change was made (the driver's clock): evidence of a gate must be newer.
        changed_at: Timestamp,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It did not come up. The service may be anywhere between old and new.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether anything of the service may have been changed.
        touched: bool,
        /// Our deployment, if it came to be.
        deployment: Option<DeploymentId>,
        /// Our revision, if it came to be.
        task_definition: Option<TaskDefinitionArn>,
        /// The stage it was in, for strategies that have stages.
        stage: Option<Stage>,
    },
    /// Someone else deployed: we yield.
    Superseded {
        /// By what.
        by: Foreign,
        /// Whether anything of the service may have been changed by us before.
        touched: bool,
    },
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::EnsureRevision(_)
            | Self::UpdateService(_)
            | Self::Restore { .. }
            | Self::TurnBack { .. } => true,
            Self::Observe { .. } => false,
        }
    }

    /// Always 1: none of these calls takes an idempotency token, and each saying ensures the same thing.
    fn attempt(&self) -> u32 {
        match self {
            Self::EnsureRevision(_)
            | Self::UpdateService(_)
            | Self::Restore { .. }
            | Self::TurnBack { .. }
            | Self::Observe { .. } => 1,
        }
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    spec: Spec,
    policy: Policy,
    seen: Timestamp,
    state: State,
}

impl Deployment {
    /// A deployment that has not begun.
    #[must_use]
    pub fn new(spec: Spec, policy: Policy) -> Self {
        Self {
            spec,
            policy,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// What is deployed.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The deployment that we are bound to, or were.
    #[must_use]
    pub const fn deployment_id(&self) -> Option<&DeploymentId> {
        match &self.state {
            State::Watching { bound, .. } => Some(&bound.deployment),
            State::Ended { outcome } => match outcome {
                Outcome::Deployed { deployment, .. } => Some(deployment),
                Outcome::Failed { deployment, .. } => deployment.as_ref(),
                Outcome::Superseded { .. } => None,
            },
            State::Idle | State::Ensuring { .. } | State::Updating { .. } | State::Reconciling { .. } => None,
        }
    }

    /// The revision that the service goes to, once it is known.
    #[must_use]
    pub const fn revision(&self) -> Option<&TaskDefinitionArn> {
        match &self.state {
            State::Idle | State::Ensuring { .. } => None,
            State::Updating { aim, .. } | State::Reconciling { aim, .. } => Some(&aim.task_definition),
            State::Watching { bound, .. } => Some(&bound.task_definition),
            State::Ended { outcome } => match outcome {
                Outcome::Deployed { task_definition, .. } => Some(task_definition),
                Outcome::Failed { task_definition, .. } => task_definition.as_ref(),
                Outcome::Superseded { .. } => None,
            },
        }
    }

    /// Whether anything of the service may have been changed: `true` while a write is under way, and after one that is
    /// not known to have failed. A restore counts as touched from the start: it undoes a change.
    #[must_use]
    pub const fn touched(&self) -> bool {
        self.state.touched()
    }

    /// What it waits for, in one fragment for people, such as `2/3 running, stage SCALE_UP`.
    #[must_use]
    pub fn waiting_for(&self) -> String {
        let last = |work: &Work| work.glimpse.as_ref().map(|glimpse| glimpse.text.clone());
        match &self.state {
            State::Idle => "its turn".to_owned(),
            State::Ensuring { work, .. } => last(work).unwrap_or_else(|| "the revision".to_owned()),
            State::Updating { work, .. } => last(work).unwrap_or_else(|| match &self.spec.target {
                Target::Release { .. } => "the service to be updated".to_owned(),
                Target::Restore { .. } => "the service to be restored".to_owned(),
            }),
            State::Reconciling { work, doubt, .. } => last(work).unwrap_or_else(|| match doubt {
                Doubt::FirstLook => "a look at the service".to_owned(),
                Doubt::Conflict { .. } => "a look at who else deployed".to_owned(),
                Doubt::Lost { .. } => "a look at whether the change took effect".to_owned(),
                Doubt::TurningBack { .. } => "the platform to turn the deployment back".to_owned(),
            }),
            State::Watching { work, bound, .. } => {
                let seen = last(work).unwrap_or_else(|| format!("deployment {}", bound.deployment));
                match work.errors {
                    0 => seen,
                    1 => format!("{seen}; the last look failed"),
                    many => format!("{seen}; the last {many} looks failed"),
                }
            }
            State::Ended { .. } => "nothing".to_owned(),
        }
    }
}

impl Machine for Deployment {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended { .. } => None,
            State::Ensuring { work, turn }
            | State::Updating { work, turn, .. }
            | State::Reconciling { work, turn, .. }
            | State::Watching { work, turn, .. } => Deadline::earlier(
                Some(turn.deadline()),
                Some(Deadline::new(work.give_up_at, Wait::GiveUp)),
            ),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended { outcome } => Some(outcome.clone()),
            State::Idle
            | State::Ensuring { .. }
            | State::Updating { .. }
            | State::Reconciling { .. }
            | State::Watching { .. } => None,
        }
    }
}

const NOT_BEGUN: &str = "it has not begun";
const BEGUN: &str = "it has begun already";
const ENDED: &str = "it has ended";
const LATE: &str = "a late answer after the end";
const REVISION_KNOWN: &str = "a late answer: the revision is known";
const NOT_LOOKED_AT: &str = "the service is not looked at yet: the first look is still to come";
const NOTHING_ASKED: &str = "the service was neither written to nor looked at yet";

impl Transitions for Deployment {
    const NAME: &'static str = "deployment";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        StateKind::from(&self.state)
    }

    fn event_kind(event: &Event) -> EventKind {
        EventKind::from(event)
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        use Disposition::{Ignored, Moves, Refused};
        use EventKind as E;
        use StateKind as S;
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::Ensuring, S::Reconciling]),
            (S::Idle, E::Abort) => Moves(&[S::Ended]),
            (
                S::Idle,
                E::RevisionReady
                | E::Updated
                | E::TurningBack
                | E::Observed
                | E::CallFailed
                | E::Hinted
                | E::Elapsed,
            ) => Refused(NOT_BEGUN),
            (S::Ensuring | S::Updating, E::Hinted) => Ignored(NOT_LOOKED_AT),
            (S::Reconciling, E::Hinted) => Moves(&[S::Reconciling]),
            (S::Watching, E::Hinted) => Moves(&[S::Watching]),
            (S::Ensuring | S::Updating | S::Reconciling | S::Watching, E::Start) => Refused(BEGUN),
            (S::Ensuring, E::RevisionReady) => Moves(&[S::Updating]),
            (S::Ensuring, E::Updated | E::TurningBack | E::Observed) => Refused(NOTHING_ASKED),
            (S::Ensuring, E::CallFailed | E::Elapsed) => Moves(&[S::Ensuring, S::Ended]),
            (S::Ensuring, E::Abort) => Moves(&[S::Ended]),
            (S::Updating | S::Reconciling | S::Watching, E::RevisionReady) => Ignored(REVISION_KNOWN),
            (S::Updating | S::Reconciling, E::Updated) => Moves(&[S::Watching]),
            (S::Updating, E::TurningBack) => Moves(&[S::Updating, S::Reconciling]),
            (S::Reconciling | S::Watching, E::TurningBack) => {
                Ignored("a late answer: it is looked at already")
            }
            (S::Updating, E::Observed) => Ignored("a late look, older than the write under way"),
            (S::Updating, E::CallFailed | E::Elapsed) => Moves(&[S::Updating, S::Reconciling, S::Ended]),
            (S::Updating, E::Abort) => Moves(&[S::Updating, S::Ended]),
            (S::Reconciling, E::Observed) => Moves(&[S::Reconciling, S::Updating, S::Watching, S::Ended]),
            (S::Reconciling, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[S::Reconciling, S::Ended]),
            (S::Watching, E::Updated) => Ignored("a late answer: it is bound to its deployment already"),
            (S::Watching, E::Observed) => Moves(&[S::Watching, S::Updating, S::Ended]),
            (S::Watching, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[S::Watching, S::Ended]),
            (S::Ended, E::Start) => Refused(ENDED),
            (
                S::Ended,
                E::RevisionReady
                | E::Updated
                | E::TurningBack
                | E::Observed
                | E::CallFailed
                | E::Hinted
                | E::Elapsed
                | E::Abort,
            ) => Ignored(LATE),
        }
    }
}

impl Step for Deployment {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match (event, &self.state, &self.spec.target) {
            (Event::Updated(_), State::Reconciling { work, .. }, _) if work.asked_at.is_none() => {
                Err("nothing was written yet".to_owned())
            }
            (Event::Abort, State::Idle, Target::Restore { .. }) => {
                Err("a way back that has not begun is not started, instead of aborted".to_owned())
            }
            (
                Event::Start
                | Event::RevisionReady { .. }
                | Event::Updated(_)
                | Event::TurningBack
                | Event::Observed(_)
                | Event::CallFailed(_)
                | Event::Hinted
                | Event::Elapsed
                | Event::Abort,
                State::Idle
                | State::Ensuring { .. }
                | State::Updating { .. }
                | State::Reconciling { .. }
                | State::Watching { .. }
                | State::Ended { .. },
                Target::Release { .. } | Target::Restore { .. },
            ) => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> Next {
        match event {
            Event::Start => self.start(now),
            Event::RevisionReady { task_definition, .. } => self.revision_ready(state, now, task_definition),
            Event::Updated(started) => self.updated(state, now, started),
            Event::TurningBack => self.turning_back(state, now),
            Event::Observed(seen) => self.observed(state, now, &seen),
            Event::CallFailed(error) => self.call_failed(state, now, error),
            Event::Hinted => self.hinted(state, now),
            Event::Elapsed => self.elapsed(state, now),
            Event::Abort => self.abort(state),
        }
    }
}
