//! What a rollout has under way and what it knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Action, Effect, End, Event, Serving, StepState, StepView, Superseding};
use crate::dns::Record;
use crate::error::{Applied, ErrorRecord, Retry};
use crate::evidence::{Cause, Evidence, Reason};
use crate::id::{ServiceName, StepId, TaskName};
use crate::image::ImageRef;
use crate::machine::cutover::{self, Cutover};
use crate::machine::deployment::{self, Deployment};
use crate::machine::gate::{self, Gate};
use crate::machine::promotion::{self, Promotion};
use crate::machine::task::{self, OneOff};
use crate::machine::unwind::{Item, Undo};
use crate::machine::{Effect as _, Lifecycle, Machine, Step, admits};
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

/// A call of the rollout's own: under way, or to be said again at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Look {
    action: Action,
    errors: u32,
    again_at: Option<Timestamp>,
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

    /// Begins a call of the rollout's own.
    pub(super) fn look(&mut self, step: StepId, action: Action, now: Timestamp) -> Effect {
        self.looks.insert(
            step.clone(),
            Look {
                action: action.clone(),
                errors: 0,
                again_at: None,
            },
        );
        self.began(&step, now);
        Effect { step, action }
    }

    /// Closes a call of the rollout's own. `false` when it was not under way: a late answer.
    pub(super) fn looked(&mut self, step: &StepId, now: Timestamp) -> bool {
        let known = self.looks.remove(step).is_some();
        if known {
            self.finished(step, now, StepState::Done);
        }
        known
    }

    /// Says a call of the rollout's own again at a later time, although it did not fail.
    pub(super) fn look_again(&mut self, step: &StepId, at: Timestamp) {
        if let Some(look) = self.looks.get_mut(step) {
            look.errors = 0;
            look.again_at = Some(at);
        }
    }

    /// Books a failed call of the rollout's own: to be said again, or the end.
    pub(super) fn look_failed(
        &mut self,
        plan: &RolloutPlan,
        step: &StepId,
        error: &ErrorRecord,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let Some(look) = self.looks.get_mut(step) else {
            return Ok(());
        };
        look.errors = look.errors.saturating_add(1);
        if error.retry == Retry::Never || look.errors > plan.policy.max_errors {
            let cause = match error.kind {
                crate::error::ErrorKind::PermissionDenied => Cause::PermissionDenied,
                _ => Cause::CallFailed,
            };
            return Err(Reason::new(cause, format!("{step}: {error}")));
        }
        let wait = error.retry_after.map_or(plan.policy.retry_every, |asked| {
            asked.max(plan.policy.retry_every)
        });
        look.again_at = Some(now.after(wait));
        Ok(())
    }

    /// The calls whose time has come again.
    pub(super) fn due_looks(&mut self, now: Timestamp) -> Vec<Effect> {
        let due = |look: &Look| look.again_at.is_some_and(|at| at <= now);
        self.looks
            .iter_mut()
            .filter(|(_, look)| due(look))
            .map(|(step, look)| {
                look.again_at = None;
                Effect {
                    step: step.clone(),
                    action: look.action.clone(),
                }
            })
            .collect()
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

    fn began(&mut self, step: &StepId, now: Timestamp) {
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

    fn finished(&mut self, step: &StepId, now: Timestamp, state: StepState) {
        if let Some(view) = self.steps.iter_mut().rev().find(|view| view.step == *step) {
            view.until = Some(now);
            view.state = state;
        }
    }

    /// Books every machine that has ended. The first bad end is returned; a stuck one outranks the others.
    pub(super) fn settle(&mut self, plan: &RolloutPlan, now: Timestamp) -> Option<End> {
        let mut end = None;
        let steps: Vec<StepId> = self.children.keys().cloned().collect();
        for step in steps {
            let Some(child) = self.children.remove(&step) else {
                continue;
            };
            match self.booked(plan, &step, child) {
                Booked::Open(child) => {
                    self.children.insert(step, child);
                }
                Booked::Done => self.finished(&step, now, StepState::Done),
                Booked::Bad(bad) => {
                    let why = bad.text();
                    self.finished(&step, now, StepState::Failed { why });
                    end = Some(match end {
                        Some(first) if !matches!(bad, End::Stuck(_)) => first,
                        Some(_) | None => bad,
                    });
                }
            }
        }
        end
    }

    fn booked(&mut self, plan: &RolloutPlan, step: &StepId, child: Child) -> Booked {
        match child {
            Child::Image(machine) => match machine.outcome() {
                None => Booked::Open(Child::Image(machine)),
                Some(outcome) => self.image_ended(step, outcome),
            },
            Child::Task(name, machine) => match machine.outcome() {
                None => Booked::Open(Child::Task(name, machine)),
                Some(outcome) => self.task_ended(plan, step, name, outcome),
            },
            Child::Service(name, machine) => match machine.outcome() {
                None => Booked::Open(Child::Service(name, machine)),
                Some(outcome) => self.service_ended(plan, step, name, outcome),
            },
            Child::Gate(machine) => match machine.outcome() {
                None => Booked::Open(Child::Gate(machine)),
                Some(gate::Outcome::Passed { evidence, .. }) => {
                    self.evidence.extend(evidence);
                    self.gates.insert(step.clone());
                    Booked::Done
                }
                Some(gate::Outcome::Failed(reason)) => Booked::failed(step, reason),
            },
            Child::Record(index, machine) => match machine.outcome() {
                None => Booked::Open(Child::Record(index, machine)),
                Some(outcome) => self.record_ended(plan, step, index, outcome),
            },
        }
    }

    fn image_ended(&mut self, step: &StepId, outcome: promotion::Outcome) -> Booked {
        match outcome {
            promotion::Outcome::Promoted { image, evidence } => {
                self.evidence.extend(evidence);
                self.images.insert(step.clone(), image);
                Booked::Done
            }
            promotion::Outcome::Refused(reason) | promotion::Outcome::Failed(reason) => {
                Booked::failed(step, reason)
            }
        }
    }

    fn task_ended(
        &mut self,
        plan: &RolloutPlan,
        step: &StepId,
        name: TaskName,
        outcome: task::Outcome,
    ) -> Booked {
        let (ran, booked) = match outcome {
            task::Outcome::Succeeded { evidence, .. } => {
                self.evidence.extend(evidence);
                self.tasks.insert(name.clone());
                (Applied::Yes, Booked::Done)
            }
            task::Outcome::Failed { reason, ran } => (ran, Booked::failed(step, reason)),
        };
        let reversible = plan.tasks.iter().any(|task| task.name == name && task.reversible);
        if !reversible && ran != Applied::No && self.blocked_by.is_none() {
            self.blocked_by = Some(name);
        }
        booked
    }

    fn service_ended(
        &mut self,
        plan: &RolloutPlan,
        step: &StepId,
        name: ServiceName,
        outcome: deployment::Outcome,
    ) -> Booked {
        match outcome {
            deployment::Outcome::Deployed {
                deployment,
                task_definition,
                changed_at,
                evidence,
            } => {
                self.evidence.extend(evidence);
                self.undo_service(
                    step,
                    &name,
                    Some(deployment.clone()),
                    Some(task_definition.clone()),
                );
                let images = self
                    .images_of(plan, &name)
                    .map(|(c, image)| (c, image.digest))
                    .collect();
                let serving = Serving {
                    deployment,
                    task_definition,
                    images,
                };
                self.deployed.insert(name, Deployed { serving, changed_at });
                Booked::Done
            }
            deployment::Outcome::Failed {
                reason,
                touched,
                deployment,
                task_definition,
                ..
            } => {
                if touched {
                    self.undo_service(step, &name, deployment, task_definition);
                }
                Booked::failed(step, reason)
            }
            // What someone else has deployed is theirs: there is nothing of ours to undo.
            deployment::Outcome::Superseded { by, .. } => {
                Booked::Bad(End::Superseded(Superseding::Deployment(by)))
            }
        }
    }

    fn undo_service(
        &mut self,
        step: &StepId,
        name: &ServiceName,
        ours: Option<crate::id::DeploymentId>,
        our_revision: Option<crate::id::TaskDefinitionArn>,
    ) {
        let point = match self.captured.get(name) {
            Some(Captured::Point(point)) => Some(point.clone()),
            Some(Captured::Nothing { .. } | Captured::Busy { .. }) | None => None,
        };
        let undo = Undo::Service {
            service: name.clone(),
            point,
            ours,
            our_revision,
        };
        self.changed.push(Item {
            step: step::unwind(step),
            undo,
        });
    }

    fn record_ended(
        &mut self,
        plan: &RolloutPlan,
        step: &StepId,
        index: usize,
        outcome: cutover::Outcome,
    ) -> Booked {
        match outcome {
            cutover::Outcome::Moved {
                original,
                now,
                evidence,
                ..
            } => {
                self.evidence.extend(evidence);
                if let Some(cutover) = plan.cutovers.get(index) {
                    let undo = Undo::Record {
                        zone: cutover.zone.clone(),
                        key: cutover.key.clone(),
                        original,
                        ours: now.data.clone(),
                        allow_unhealthy_target: cutover.allow_unhealthy_target,
                    };
                    self.changed.push(Item {
                        step: step::unwind(step),
                        undo,
                    });
                }
                self.records.push(now);
                Booked::Done
            }
            cutover::Outcome::Refused(reason) | cutover::Outcome::Reverted(reason) => {
                Booked::failed(step, reason)
            }
            cutover::Outcome::Superseded(reason) => Booked::Bad(End::Superseded(Superseding::Record(reason))),
            cutover::Outcome::Stuck(stuck) => Booked::Bad(End::Stuck(stuck)),
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

/// How a machine stands.
enum Booked {
    Open(Child),
    Done,
    Bad(End),
}

impl Booked {
    fn failed(step: &StepId, reason: Reason) -> Self {
        Self::Bad(End::Failed(Reason {
            text: format!("{step}: {}", reason.text),
            ..reason
        }))
    }
}

impl End {
    fn text(&self) -> String {
        match self {
            Self::Failed(reason) | Self::Superseded(Superseding::Record(reason)) => reason.text.clone(),
            Self::Superseded(Superseding::Deployment(by)) => format!("superseded by {}", by.deployment),
            Self::Aborted => "aborted".to_owned(),
            Self::Stuck(stuck) => stuck.text.clone(),
        }
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
        | Event::AlarmSampled { .. }
        | Event::RecordRead { .. }
        | Event::Confirmed { .. }
        | Event::CallFailed { .. }
        | Event::Unwind(_)
        | Event::Elapsed
        | Event::Abort => None,
    }
}
