//! The whole release in one environment: several services, in order, that succeed or go back together.
//!
//! Reads everything first, then changes: identity, restore points, alarms, records, images (`Checking`); copies images
//! (`Promoting`); runs one-off tasks, services with their gates, more tasks, the release's gates, records (`Changing`, one
//! stage after the other); looks at everything once more (`Confirming`). Whatever fails on the way, the work under way is
//! stopped (`Stopping`) and everything that was changed goes back (`Unwinding`).
//!
//! - Until `Promoting` nothing is changed, and the end is `Refused` or `Aborted` (invariant I-1).
//! - A record moves only after every gate has passed on evidence newer than the change it judges (I-7).
//! - Once it goes back it never goes forward again (I-14).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::Disposition;
use super::unwind::{self, Unwind};
use super::{Machine, Rejected, Step, Transitions, cutover, deployment, gate, promotion, task};
use crate::dns::{Record, RecordKey, Snapshot};
use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason, Stuck};
use crate::hint::Hint;
use crate::id::{DeploymentId, ServiceName, StepId, TaskDefinitionArn, TaskName, ZoneId};
use crate::plan::RolloutPlan;
use crate::probe::{Sample, SampleRequest};
use crate::service::{Captured, Identity, Images, RestorePoint, ServiceObservation, Usability};
use crate::time::{Deadline, Timestamp};

mod back;
mod book;
mod check;
mod look;
mod progress;
mod stage;
mod terms;
mod work;

pub use progress::{StepState, StepView};
pub use terms::{Ends, Terms};
use work::Work;

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
    /// The caller is known.
    IdentitySeen(Identity),
    /// A service's restore point was captured.
    Captured {
        /// The service.
        service: ServiceName,
        /// What there is to go back to.
        captured: Captured,
    },
    /// Whether a service's restore point can still be gone back to was looked at.
    UsabilitySeen {
        /// The service.
        service: ServiceName,
        /// What was found.
        seen: Box<Usability>,
    },
    /// Alarms were looked at before the start.
    AlarmSampled {
        /// The step.
        step: StepId,
        /// The sample.
        sample: Sample,
    },
    /// A record was read before the start.
    RecordRead {
        /// The step.
        step: StepId,
        /// The record.
        snapshot: Box<Snapshot>,
    },
    /// A service was looked at for the last time.
    Confirmed {
        /// The service.
        service: ServiceName,
        /// What was seen.
        seen: Box<ServiceObservation>,
    },
    /// A call of the rollout's own failed.
    CallFailed {
        /// The step.
        step: StepId,
        /// Why.
        error: ErrorRecord,
    },
    /// Of an image.
    Promotion {
        /// The step.
        step: StepId,
        /// The event.
        event: promotion::Event,
    },
    /// Of a one-off task.
    Task {
        /// The step.
        step: StepId,
        /// The event.
        event: task::Event,
    },
    /// Of a service.
    Deployment {
        /// The step.
        step: StepId,
        /// The event.
        event: deployment::Event,
    },
    /// Of a gate.
    Gate {
        /// The step.
        step: StepId,
        /// The event.
        event: gate::Event,
    },
    /// Of a record.
    Cutover {
        /// The step.
        step: StepId,
        /// The event.
        event: cutover::Event,
    },
    /// Of the way back.
    Unwind(unwind::Event),
    /// Someone says that something has changed. No verdict: only a reason for the machine that it concerns to look now.
    Hinted(Hint),
    /// The deadline has passed.
    Elapsed,
    /// Stop, at a safe place.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The step.
    pub step: StepId,
    /// What to do.
    pub action: Action,
}

/// What to do in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Ask who is calling.
    CheckIdentity,
    /// Capture a service's restore point.
    Capture {
        /// The service.
        service: ServiceName,
    },
    /// Look whether a service's restore point can still be gone back to.
    CheckUsable {
        /// The restore point.
        point: RestorePoint,
    },
    /// Look at alarms before the start.
    SampleAlarm(SampleRequest),
    /// Read a record before the start.
    ReadRecord {
        /// The zone.
        zone: ZoneId,
        /// The record.
        key: RecordKey,
    },
    /// Look at a service for the last time.
    Confirm {
        /// The service.
        service: ServiceName,
    },
    /// Of an image.
    Promotion(promotion::Effect),
    /// Of a one-off task.
    Task(task::Effect),
    /// Of a service.
    Deployment(deployment::Effect),
    /// Of a gate.
    Gate(gate::Effect),
    /// Of a record.
    Cutover(cutover::Effect),
    /// Of the way back.
    Unwind(unwind::Effect),
}

/// What a service serves at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The revision.
    pub task_definition: TaskDefinitionArn,
    /// The digests.
    pub images: Images,
}

/// By what we were superseded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Superseding {
    /// Someone deployed a service.
    Deployment(deployment::Foreign),
    /// Someone changed a record.
    Record(Reason),
}

/// Where an aborted rollout left the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftAt {
    /// Nothing had been changed.
    Untouched,
    /// Back at the last known good release, verified.
    LastKnownGood,
}

/// How it ended. There is no other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The release serves: every clause of success was seen.
    Released {
        /// What each service serves.
        services: BTreeMap<ServiceName, Serving>,
        /// What each record says.
        records: Vec<Record>,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// The release failed; the last known good release serves, verified.
    RolledBack {
        /// Why.
        why: Reason,
        /// What "verified" rests on.
        evidence: Vec<Evidence>,
    },
    /// Nothing was touched.
    Refused {
        /// Why.
        why: Reason,
    },
    /// Someone else has acted: we yielded.
    Superseded {
        /// By what.
        by: Superseding,
    },
    /// Stopped on request.
    Aborted {
        /// Where that left the environment.
        left_at: LeftAt,
    },
    /// A person is needed.
    Stuck(Box<Stuck>),
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    plan: RolloutPlan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<Box<Terms>>,
    seen: Timestamp,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(StateKind),
    vis(pub),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The states without their data."
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Before the start.
    #[default]
    Idle,
    /// Reading every precondition.
    Checking(Box<Work>),
    /// Copying images.
    Promoting(Box<Work>),
    /// Changing the environment, stage by stage.
    Changing(Box<Work>),
    /// Looking at everything once more.
    Confirming(Box<Work>),
    /// Waiting for work under way to stop.
    Stopping(Box<Work>, End),
    /// Going back.
    Unwinding(Box<Work>, End, Box<Unwind>),
    /// The end.
    Ended(Box<Work>, Outcome),
}

/// Why it does not go on forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Failed(Reason),
    Superseded(Superseding),
    Aborted,
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match &self.action {
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. } => false,
            Action::Promotion(effect) => effect.mutates(),
            Action::Task(effect) => effect.mutates(),
            Action::Deployment(effect) => effect.mutates(),
            Action::Gate(effect) => effect.mutates(),
            Action::Cutover(effect) => effect.mutates(),
            Action::Unwind(effect) => effect.mutates(),
        }
    }

    fn attempt(&self) -> u32 {
        match &self.action {
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. } => 1,
            Action::Promotion(effect) => effect.attempt(),
            Action::Task(effect) => effect.attempt(),
            Action::Deployment(effect) => effect.attempt(),
            Action::Gate(effect) => effect.attempt(),
            Action::Cutover(effect) => effect.attempt(),
            Action::Unwind(effect) => effect.attempt(),
        }
    }
}

impl Machine for Rollout {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended(..) => None,
            State::Checking(work)
            | State::Promoting(work)
            | State::Changing(work)
            | State::Confirming(work)
            | State::Stopping(work, _) => work.deadline(),
            State::Unwinding(_, _, unwind) => unwind.deadline(),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(_, outcome) => Some(outcome.clone()),
            State::Idle
            | State::Checking(_)
            | State::Promoting(_)
            | State::Changing(_)
            | State::Confirming(_)
            | State::Stopping(..)
            | State::Unwinding(..) => None,
        }
    }
}

impl Transitions for Rollout {
    const NAME: &'static str = "rollout";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        StateKind::from(&self.state)
    }

    fn event_kind(event: &Event) -> EventKind {
        EventKind::from(event)
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        table::disposition(state, event)
    }
}

mod table;

impl Step for Rollout {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match (&self.state, event) {
            (State::Unwinding(_, _, unwind), Event::Unwind(event)) => {
                super::admits(unwind.as_ref(), event).map_err(|rejected| rejected.to_string())
            }
            (
                State::Checking(work)
                | State::Promoting(work)
                | State::Changing(work)
                | State::Confirming(work)
                | State::Stopping(work, _),
                event,
            ) => work.admit(event),
            (State::Idle | State::Unwinding(..) | State::Ended(..), _) => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        match (state, event) {
            (State::Idle, _) => check::begin(&self.plan, now),
            (State::Checking(work), event) => {
                check::step(&self.plan, self.terms.as_deref(), work, now, event)
            }
            (State::Promoting(work), event) => stage::promoting(&self.plan, work, now, event),
            (State::Changing(work), event) => stage::changing(&self.plan, work, now, event),
            (State::Confirming(work), event) => stage::confirming(&self.plan, work, now, event),
            (State::Stopping(work, end), event) => back::stopping(&self.plan, work, end, now, event),
            (State::Unwinding(work, end, unwind), event) => back::unwinding(work, end, unwind, now, event),
            (ended @ State::Ended(..), _) => (ended, Vec::new()),
        }
    }
}

impl Rollout {
    /// A machine that has not begun.
    #[must_use]
    pub fn new(plan: RolloutPlan) -> Self {
        Self {
            plan,
            terms: None,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// The same machine, which begins only under these terms. One that has begun is not changed by them any more.
    #[must_use]
    pub fn under(self, terms: Terms) -> Self {
        let terms = (terms != Terms::default()).then(|| Box::new(terms));
        Self { terms, ..self }
    }

    /// Under which terms it begins, if there are any.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_deref()
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &RolloutPlan {
        &self.plan
    }

    /// What was captured of each service before the first change.
    #[must_use]
    pub fn captured(&self) -> Option<&BTreeMap<ServiceName, Captured>> {
        self.work().map(|work| &work.captured)
    }

    /// What has been changed so far, in order of completion: what a rollback would undo.
    #[must_use]
    pub fn changed(&self) -> &[unwind::Item] {
        self.work().map_or(&[], |work| &work.changed)
    }

    /// The irreversible task that ran, or may have run, and past which nothing may go back.
    #[must_use]
    pub fn blocked_by(&self) -> Option<&TaskName> {
        self.work().and_then(|work| work.blocked_by.as_ref())
    }

    /// Whether anything outside may have been changed.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.work().is_some_and(|work| work.mutated)
    }

    /// How far every step is, in the order in which they began.
    #[must_use]
    pub fn progress(&self) -> Vec<StepView> {
        progress::of(&self.state)
    }

    fn work(&self) -> Option<&Work> {
        match &self.state {
            State::Idle => None,
            State::Checking(work)
            | State::Promoting(work)
            | State::Changing(work)
            | State::Confirming(work)
            | State::Stopping(work, _)
            | State::Unwinding(work, _, _)
            | State::Ended(work, _) => Some(work),
        }
    }
}

/// Every image of a plan with its step.
fn step_images(plan: &RolloutPlan) -> impl Iterator<Item = (StepId, &promotion::Spec)> {
    plan.services.iter().flat_map(|service| {
        service
            .images
            .iter()
            .map(|(container, spec)| (crate::plan::step::image(&service.name, container), spec))
    })
}

#[cfg(test)]
mod tests;
