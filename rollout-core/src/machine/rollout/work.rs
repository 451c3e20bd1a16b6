//! What a rollout has under way and what it knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::look::Look;
use super::{Action, Effect, Event, Serving, StepState, StepView};
use crate::dns::Record;
use crate::evidence::Evidence;
use crate::hint::Hint;
use crate::id::{ServiceName, StepId, TaskName};
use crate::image::ImageRef;
use crate::machine::cutover::Cutover;
use crate::machine::deployment::{self, Deployment};
use crate::machine::gate::Gate;
use crate::machine::promotion::Promotion;
use crate::machine::task::{self, OneOff};
use crate::machine::unwind::Item;
use crate::machine::{Effect as _, Lifecycle, Machine, Step, admits};
use crate::plan::assumed::Assumed;
use crate::plan::{RolloutPlan, step};
use crate::service::Captured;
use crate::time::{Deadline, Timestamp, Wait};

/// A machine under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Child {
    Image(Box<Promotion>),
    Task(TaskName, Box<OneOff>),
    Service(ServiceName, Box<Deployment>),
    Gate(Box<Gate>),
    Record(usize, Box<Cutover>),
}

/// A deployed service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployed {
    pub(super) serving: Serving,
    pub(super) changed_at: Timestamp,
}

/// The state that every stage shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// Machines under way.
    pub(super) children: BTreeMap<StepId, Child>,
    /// Calls of the rollout's own that have no answer yet.
    pub(super) looks: BTreeMap<StepId, Look>,
    /// When the stage's own time is up.
    pub(super) give_up: Option<Timestamp>,
    /// Every step that has begun, in order.
    pub(super) steps: Vec<StepView>,

    /// Read before the first change, for the terms of the start; empty from then on.
    #[serde(default, skip_serializing_if = "Assumed::is_empty")]
    pub(super) seen: Assumed,
    pub(super) captured: BTreeMap<ServiceName, Captured>,
    pub(super) images: BTreeMap<StepId, ImageRef>,
    pub(super) tasks: BTreeSet<TaskName>,
    pub(super) deployed: BTreeMap<ServiceName, Deployed>,
    pub(super) gates: BTreeSet<StepId>,
    pub(super) records: Vec<Record>,
    pub(super) evidence: Vec<Evidence>,

    /// What would have to be undone, in order of completion.
    pub(super) changed: Vec<Item>,
    /// The first irreversible task that ran or may have run.
    pub(super) blocked_by: Option<TaskName>,
    /// Whether any mutating effect has been issued.
    pub(super) mutated: bool,
}

impl Child {
    fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Image(machine) => machine.deadline(),
            Self::Task(_, machine) => machine.deadline(),
            Self::Service(_, machine) => machine.deadline(),
            Self::Gate(machine) => machine.deadline(),
            Self::Record(_, machine) => machine.deadline(),
        }
    }

    pub(super) fn waiting_for(&self) -> String {
        match self {
            Self::Service(_, machine) => machine.waiting_for(),
            Self::Record(_, machine) => machine.waiting_for(),
            Self::Image(_) | Self::Task(..) | Self::Gate(_) => self
                .deadline()
                .map(|deadline| format!("waits for {}", deadline.why))
                .unwrap_or_default(),
        }
    }

    fn signal(&mut self, signal: Signal, now: Timestamp) -> Vec<Action> {
        match self {
            Self::Image(machine) => told(machine.as_mut(), signal, now, Action::Promotion),
            Self::Task(_, machine) => told(machine.as_mut(), signal, now, Action::Task),
            Self::Service(_, machine) => told(machine.as_mut(), signal, now, Action::Deployment),
            Self::Gate(machine) => told(machine.as_mut(), signal, now, Action::Gate),
            Self::Record(_, machine) => told(machine.as_mut(), signal, now, Action::Cutover),
        }
    }
}

/// The events that a parent gives of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Start,
    Elapsed,
    Abort,
}

fn told<M: Lifecycle>(
    machine: &mut M,
    signal: Signal,
    now: Timestamp,
    action: impl Fn(M::Effect) -> Action,
) -> Vec<Action> {
    let event = match signal {
        Signal::Start => M::start(),
        Signal::Elapsed => M::elapsed(),
        Signal::Abort => M::abort(),
    };
    given(machine, event, now, action)
}

fn given<M: Machine>(
    machine: &mut M,
    event: M::Event,
    now: Timestamp,
    action: impl Fn(M::Effect) -> Action,
) -> Vec<Action> {
    // `admit` has asked the child before; a signal that it refuses changes nothing in it.
    machine
        .handle(now, event)
        .unwrap_or_default()
        .into_iter()
        .map(action)
        .collect()
}

fn admitted<M: Step>(machine: &M, event: &M::Event) -> Result<(), String> {
    admits(machine, event).map_err(|rejected| rejected.to_string())
}

impl Work {
    /// Whether the event fits what is under way. A late answer of a step that has begun before is let through and dropped.
    pub(super) fn admit(&self, event: &Event) -> Result<(), String> {
        let Some(step) = step_of(event) else { return Ok(()) };
        match (self.children.get(step), event) {
            (Some(Child::Image(machine)), Event::Promotion { event, .. }) => {
                admitted(machine.as_ref(), event)
            }
            (Some(Child::Task(_, machine)), Event::Task { event, .. }) => admitted(machine.as_ref(), event),
            (Some(Child::Service(_, machine)), Event::Deployment { event, .. }) => {
                admitted(machine.as_ref(), event)
            }
            (Some(Child::Gate(machine)), Event::Gate { event, .. }) => admitted(machine.as_ref(), event),
            (Some(Child::Record(_, machine)), Event::Cutover { event, .. }) => {
                admitted(machine.as_ref(), event)
            }
            (Some(_), _) => Err(format!("step {step} is of another kind")),
            (None, _) if self.steps.iter().any(|view| view.step == *step) => Ok(()),
            (None, _) => Err(format!("there is no step {step}")),
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        let children = self.children.values().filter_map(Child::deadline);
        let again = self
            .looks
            .values()
            .filter_map(|look| look.again_at)
            .map(|at| Deadline::new(at, Wait::Retry));
        let own = self.give_up.map(|at| Deadline::new(at, Wait::GiveUp));
        children
            .chain(again)
            .chain(own)
            .fold(None, |earliest, next| Deadline::earlier(earliest, Some(next)))
    }

    /// Whether the stage's own time is up.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.give_up.is_some_and(|at| at <= now)
    }

    /// Begins a machine.
    pub(super) fn begin(&mut self, step: StepId, mut child: Child, now: Timestamp) -> Vec<Effect> {
        let actions = child.signal(Signal::Start, now);
        self.children.insert(step.clone(), child);
        self.began(&step, now);
        self.emit(&step, actions)
    }

    /// Gives a machine's event to it.
    pub(super) fn give(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let Some(step) = step_of(&event).cloned() else {
            return Vec::new();
        };
        let actions = match (self.children.get_mut(&step), event) {
            (Some(Child::Image(machine)), Event::Promotion { event, .. }) => {
                given(machine.as_mut(), event, now, Action::Promotion)
            }
            (Some(Child::Task(_, machine)), Event::Task { event, .. }) => {
                given(machine.as_mut(), event, now, Action::Task)
            }
            (Some(Child::Service(_, machine)), Event::Deployment { event, .. }) => {
                given(machine.as_mut(), event, now, Action::Deployment)
            }
            (Some(Child::Gate(machine)), Event::Gate { event, .. }) => {
                given(machine.as_mut(), event, now, Action::Gate)
            }
            (Some(Child::Record(_, machine)), Event::Cutover { event, .. }) => {
                given(machine.as_mut(), event, now, Action::Cutover)
            }
            (Some(_) | None, _) => Vec::new(),
        };
        self.emit(&step, actions)
    }

    /// Passes a hint on to the machines that it concerns.
    pub(super) fn hint(&mut self, hint: &Hint, now: Timestamp) -> Vec<Effect> {
        let mut told = Vec::new();
        for (step, child) in &mut self.children {
            let actions = match (child, hint) {
                (Child::Service(name, machine), Hint::Service(service)) if name == service => given(
                    machine.as_mut(),
                    deployment::Event::Hinted,
                    now,
                    Action::Deployment,
                ),
                (Child::Task(_, machine), Hint::Task(task)) if machine.task() == Some(task) => {
                    given(machine.as_mut(), task::Event::Hinted, now, Action::Task)
                }
                (
                    Child::Service(..)
                    | Child::Task(..)
                    | Child::Image(_)
                    | Child::Gate(_)
                    | Child::Record(..),
                    Hint::Service(_) | Hint::Task(_),
                ) => continue,
            };
            told.push((step.clone(), actions));
        }
        told.into_iter()
            .flat_map(|(step, actions)| self.emit(&step, actions))
            .collect()
    }

    /// Gives a signal to one machine.
    pub(super) fn signal(&mut self, step: &StepId, signal: Signal, now: Timestamp) -> Vec<Effect> {
        let actions = self
            .children
            .get_mut(step)
            .map(|child| child.signal(signal, now))
            .unwrap_or_default();
        self.emit(step, actions)
    }

    /// Gives time to every machine whose deadline has passed.
    pub(super) fn elapsed(&mut self, now: Timestamp) -> Vec<Effect> {
        let late = |child: &Child| child.deadline().is_some_and(|deadline| deadline.at <= now);
        let due: Vec<StepId> = self
            .children
            .iter()
            .filter(|(_, child)| late(child))
            .map(|(step, _)| step.clone())
            .collect();
        due.iter()
            .flat_map(|step| self.signal(step, Signal::Elapsed, now))
            .collect()
    }

    fn emit(&mut self, step: &StepId, actions: Vec<Action>) -> Vec<Effect> {
        let effects: Vec<Effect> = actions
            .into_iter()
            .map(|action| Effect {
                step: step.clone(),
                action,
            })
            .collect();
        self.mutated |= effects.iter().any(Effect::mutates);
        effects
    }

    pub(super) fn began(&mut self, step: &StepId, now: Timestamp) {
        let state = StepState::Active {
            waiting_for: String::new(),
        };
        self.steps.push(StepView {
            step: step.clone(),
            since: now,
            until: None,
            state,
        });
    }

    pub(super) fn finished(&mut self, step: &StepId, now: Timestamp, state: StepState) {
        if let Some(view) = self.steps.iter_mut().rev().find(|view| view.step == *step) {
            view.until = Some(now);
            view.state = state;
        }
    }

    /// The promoted images of a service.
    pub(super) fn images_of<'a>(
        &'a self,
        plan: &'a RolloutPlan,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = (crate::id::ContainerName, ImageRef)> + 'a {
        let containers = plan
            .service(service)
            .into_iter()
            .flat_map(|service| service.images.keys());
        containers.filter_map(move |container| {
            let image = self.images.get(&step::image(service, container))?;
            Some((container.clone(), image.clone()))
        })
    }
}

fn step_of(event: &Event) -> Option<&StepId> {
    match event {
        Event::Promotion { step, .. }
        | Event::Task { step, .. }
        | Event::Deployment { step, .. }
        | Event::Gate { step, .. }
        | Event::Cutover { step, .. } => Some(step),
        Event::Start
        | Event::IdentitySeen(_)
        | Event::Captured { .. }
        | Event::UsabilitySeen { .. }
        | Event::AlarmSampled { .. }
        | Event::RecordRead { .. }
        | Event::Confirmed { .. }
        | Event::CallFailed { .. }
        | Event::Unwind(_)
        | Event::Hinted(_)
        | Event::Elapsed
        | Event::Abort => None,
    }
}
