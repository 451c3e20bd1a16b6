//! The way back: what was changed is undone in reverse order of completion, traffic first, each verified like a success.
//!
//! A step that cannot be undone does not stop the others: as much as possible goes back to the last known good, and only
//! then does the machine end, by name. It ends at the last known good, superseded by someone else, or `Stuck`; there is no
//! fourth end (invariant I-13). It never goes forward again, and an abort changes nothing: going back *is* the safe way.
//!
//! | state | event | next |
//! |---|---|---|
//! | `Idle` | `Start` | `Undoing` the first item, or `Ended` |
//! | `Undoing` | `Deployment`, `Cutover`, `Elapsed` | given to the item at hand; when that has ended, the next, or `Ended` |

use serde::{Deserialize, Serialize};

use super::cutover::{self, Cutover, Written};
use super::deployment::{self, Deployment, Foreign};
use super::table::Disposition;
use super::{Machine, Rejected, Step, Transitions};
use crate::dns::{RecordKey, Snapshot};
use crate::evidence::{Evidence, Stuck, StuckReason};
use crate::hint::Hint;
use crate::id::{DeploymentId, RunId, ServiceName, StepId, TaskDefinitionArn, TaskName, ZoneId};
use crate::service::RestorePoint;
use crate::time::{Deadline, Timestamp};

#[cfg(test)]
mod tests;
mod undoing;

/// One thing to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// A record goes back to what it said.
    Record {
        /// The zone.
        zone: ZoneId,
        /// The record.
        key: RecordKey,
        /// What it said before our first change.
        original: Box<Snapshot>,
        /// What we made it say, or may have.
        ours: Vec<Written>,
        /// The plan says by name that the old target may have no healthy target behind it.
        allow_unhealthy_target: bool,
    },
    /// A service goes back to its restore point.
    Service {
        /// The service.
        service: ServiceName,
        /// Where to; `None` when nothing is known to go back to.
        point: Option<RestorePoint>,
        /// The deployment that we had made, if we know it.
        ours: Option<DeploymentId>,
        /// The revision that we had brought, if we know it.
        our_revision: Option<TaskDefinitionArn>,
    },
}

/// One item, under the step that had done it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The step under which the undoing runs, such as `unwind/service/backend`.
    pub step: StepId,
    /// What to undo.
    pub undo: Undo,
}

/// What is unwound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The run; markers and next commands name it.
    pub run: RunId,
    /// What was changed, in order of completion.
    pub changed: Vec<Item>,
    /// A migration that ran, or may have run, and that the old release cannot live with: nothing may go back past it.
    pub blocked_by: Option<TaskName>,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether a deployment that is still under way is turned back by the platform, as it stands, where it can be.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub fast: bool,
    /// For services.
    pub deployment: deployment::Policy,
    /// For records.
    pub cutover: cutover::Policy,
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
    /// Of the service at hand.
    Deployment {
        /// Its step.
        step: StepId,
        /// The event.
        event: deployment::Event,
    },
    /// Of the record at hand.
    Cutover {
        /// Its step.
        step: StepId,
        /// The event.
        event: cutover::Event,
    },
    /// Someone says that something has changed. No verdict: only a reason for the item at hand to look now.
    Hinted(Hint),
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The step.
    pub step: StepId,
    /// The effect of the machine that undoes it.
    pub action: Action,
}

/// The effect of a machine that undoes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Of a service.
    Deployment(deployment::Effect),
    /// Of a record.
    Cutover(cutover::Effect),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything that was changed is as it was when it was last known to be good, verified.
    AtLastKnownGood {
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// Someone else has taken over a service; everything else is as it was.
    Superseded(Foreign),
    /// It cannot get there.
    Stuck(Box<Stuck>),
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unwind {
    spec: Spec,
    policy: Policy,
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
    /// One item at a time.
    Undoing(Undoing),
    /// The end.
    Ended(Outcome),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Undoing {
    /// What is left, last first.
    left: Vec<Item>,
    step: StepId,
    since: Timestamp,
    at_hand: AtHand,
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AtHand {
    Service(Box<Deployment>),
    Record(Box<Cutover>),
}

/// What the items so far came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    evidence: Vec<Evidence>,
    superseded: Option<Foreign>,
    problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Problem {
    reason: StuckReason,
    text: String,
    evidence: Vec<Evidence>,
    next: Vec<String>,
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match &self.action {
            Action::Deployment(effect) => effect.mutates(),
            Action::Cutover(effect) => effect.mutates(),
        }
    }

    fn attempt(&self) -> u32 {
        match &self.action {
            Action::Deployment(effect) => effect.attempt(),
            Action::Cutover(effect) => effect.attempt(),
        }
    }
}

impl Machine for Unwind {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Undoing(undoing) => match &undoing.at_hand {
                AtHand::Service(machine) => machine.deadline(),
                AtHand::Record(machine) => machine.deadline(),
            },
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome.clone()),
            State::Idle | State::Undoing(_) => None,
        }
    }
}

impl Transitions for Unwind {
    const NAME: &'static str = "unwind";
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
        use {EventKind as E, StateKind as S};
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::Undoing, S::Ended]),
            (S::Idle, E::Deployment | E::Cutover | E::Hinted | E::Elapsed | E::Abort) => {
                Refused("it has not been started")
            }
            (S::Undoing, E::Start) => Refused("it has been started"),
            (S::Undoing, E::Deployment | E::Cutover | E::Elapsed) => Moves(&[S::Undoing, S::Ended]),
            (S::Undoing, E::Hinted) => Moves(&[S::Undoing]),
            (S::Undoing, E::Abort) => Ignored("going back is the safe way already"),
            (S::Ended, E::Start) => Refused("it has ended"),
            (S::Ended, E::Deployment | E::Cutover | E::Hinted | E::Elapsed | E::Abort) => {
                Ignored("it has ended")
            }
        }
    }
}

impl Step for Unwind {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        let State::Undoing(undoing) = &self.state else {
            return Ok(());
        };
        match (event, &undoing.at_hand) {
            (Event::Deployment { step, event }, AtHand::Service(machine)) if *step == undoing.step => {
                super::admits(machine.as_ref(), event).map_err(|rejected| rejected.to_string())
            }
            (Event::Cutover { step, event }, AtHand::Record(machine)) if *step == undoing.step => {
                super::admits(machine.as_ref(), event).map_err(|rejected| rejected.to_string())
            }
            (Event::Deployment { step, .. } | Event::Cutover { step, .. }, _) => {
                // A late answer of an item that has ended is dropped; one of an item that never was is a mistake.
                let known = self.spec.changed.iter().any(|item| item.step == *step);
                if known {
                    Ok(())
                } else {
                    Err(format!("there is no step {step}"))
                }
            }
            (Event::Start | Event::Hinted(_) | Event::Elapsed | Event::Abort, _) => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        match (state, event) {
            (State::Idle, Event::Start) => self.begin(now),
            (State::Undoing(undoing), event) => self.go_on(undoing, now, event),
            // The table refuses or ignores the rest before it comes here.
            (state @ (State::Idle | State::Ended(_)), _) => (state, Vec::new()),
        }
    }
}

impl Unwind {
    /// A machine that has not begun.
    #[must_use]
    pub fn new(spec: Spec, policy: Policy) -> Self {
        Self {
            spec,
            policy,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// When the item at hand began; the machine's last moment when there is none.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match &self.state {
            State::Undoing(undoing) => undoing.since,
            State::Idle | State::Ended(_) => self.seen,
        }
    }

    /// What it waits for, and under which step, for people.
    #[must_use]
    pub fn waiting_for(&self) -> Option<(&StepId, String)> {
        let State::Undoing(undoing) = &self.state else {
            return None;
        };
        let text = match &undoing.at_hand {
            AtHand::Service(machine) => machine.waiting_for(),
            AtHand::Record(machine) => machine.waiting_for(),
        };
        Some((&undoing.step, text))
    }
}

/// Gives a child an event that `admit` has let through, or that a child takes in every state (`Start`, `Elapsed`).
pub(super) fn start<M: Machine>(machine: &mut M, now: Timestamp, event: M::Event) -> Vec<M::Effect> {
    machine.handle(now, event).unwrap_or_default()
}
