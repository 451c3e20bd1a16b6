//! The stages that change something.

use std::collections::BTreeMap;

use super::back::stop;
use super::check::PROCEED;
use super::work::{Child, Work};
use super::{Action, Effect, End, Event, Outcome, State, Superseding};
use crate::evidence::{Cause, Reason};
use crate::id::{RepositoryName, ServiceName, StepId};
use crate::image::ImageRef;
use crate::machine::Effect as _;
use crate::machine::cutover::{self, Cutover, Goal};
use crate::machine::deployment::{self, Deployment, Target};
use crate::machine::gate::Gate;
use crate::machine::task::OneOff;
use crate::plan::step::Planned;
use crate::plan::{CutoverPlan, GatePlan, RolloutPlan, TaskPlan, When, step};
use crate::probe::Subject;
use crate::service::{Captured, Images, RevisionSpec, TaskSpec};
use crate::time::Timestamp;

/// What a stage does once its events are booked.
type GoOn = fn(&RolloutPlan, Box<Work>, Timestamp) -> (State, Vec<Effect>);

/// Begins what can begin of one stage; `None` when the stage is done.
type Begin = fn(&RolloutPlan, &mut Work, Timestamp) -> Option<Vec<Effect>>;

/// Everything has been read: the images may be copied.
pub(super) fn promote(plan: &RolloutPlan, mut work: Box<Work>, now: Timestamp) -> (State, Vec<Effect>) {
    work.give_up = None;
    let mut effects = Vec::new();
    for (step, _) in super::step_images(plan) {
        effects.extend(work.give(Event::Promotion { step, event: PROCEED }, now));
    }
    after(plan, work, effects, now, promoted)
}

pub(super) fn promoting(
    plan: &RolloutPlan,
    work: Box<Work>,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    take(plan, work, now, event, promoted)
}

pub(super) fn changing(
    plan: &RolloutPlan,
    work: Box<Work>,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    take(plan, work, now, event, change)
}

/// Gives the event to what it is for, books what has ended, and goes on.
fn take(
    plan: &RolloutPlan,
    mut work: Box<Work>,
    now: Timestamp,
    event: Event,
    go_on: GoOn,
) -> (State, Vec<Effect>) {
    let effects = match event {
        Event::Abort => return stop(plan, work, End::Aborted, now),
        Event::Elapsed => work.elapsed(now),
        Event::Hinted(hint) => work.hint(&hint, now),
        event => work.give(event, now),
    };
    after(plan, work, effects, now, go_on)
}

fn after(
    plan: &RolloutPlan,
    mut work: Box<Work>,
    mut effects: Vec<Effect>,
    now: Timestamp,
    go_on: GoOn,
) -> (State, Vec<Effect>) {
    let (state, more) = match work.settle(plan, now) {
        Some(end) => {
            // A call that another step wanted to say again in the same breath: it is not said any more (I-14).
            effects.retain(|effect| !effect.mutates());
            stop(plan, work, end, now)
        }
        None => go_on(plan, work, now),
    };
    effects.extend(more);
    match state {
        State::Changing(work) => match within_bounds(plan, &work, &effects) {
            Ok(()) => (State::Changing(work), effects),
            // The effects are not said.
            Err(reason) => stop(plan, work, End::Failed(reason), now),
        },
        state => (state, effects),
    }
}

fn promoted(plan: &RolloutPlan, work: Box<Work>, now: Timestamp) -> (State, Vec<Effect>) {
    if work.children.is_empty() {
        change(plan, work, now)
    } else {
        (State::Promoting(work), Vec::new())
    }
}

/// Begins whatever can begin now, stage by stage; when nothing is left, the last look.
fn change(plan: &RolloutPlan, mut work: Box<Work>, now: Timestamp) -> (State, Vec<Effect>) {
    let stages: [Begin; 5] = [
        |plan, work, now| tasks(plan, work, When::BeforeServices, now),
        services,
        |plan, work, now| tasks(plan, work, When::AfterServices, now),
        release_gates,
        cutovers,
    ];
    for stage in stages {
        if let Some(effects) = stage(plan, &mut work, now) {
            return (State::Changing(work), effects);
        }
    }
    confirm(plan, work, now)
}

/// The tasks of one group, one after the other. `None` when all are done.
fn tasks(plan: &RolloutPlan, work: &mut Work, when: When, now: Timestamp) -> Option<Vec<Effect>> {
    let (next, step) = plan
        .tasks
        .iter()
        .zip(&plan.steps().tasks)
        .find(|(task, _)| task.when == when && !work.tasks.contains(&task.name))?;
    if work.children.contains_key(step) {
        return Some(Vec::new());
    }
    let machine = OneOff::new(task_spec(work, next), next.policy.clone());
    Some(work.begin(
        step.clone(),
        Child::Task(next.name.clone(), Box::new(machine)),
        now,
    ))
}

fn task_spec(work: &Work, task: &TaskPlan) -> TaskSpec {
    let promoted: BTreeMap<&RepositoryName, &ImageRef> = work
        .images
        .values()
        .map(|image| (&image.repository, image))
        .collect();
    let images = task
        .images
        .iter()
        .filter_map(|(container, repository)| Some((container.clone(), (*promoted.get(repository)?).clone())))
        .collect();
    let revision = RevisionSpec {
        template: task.template.clone(),
        images,
    };
    TaskSpec {
        name: task.name.clone(),
        revision,
        run: task.run.clone(),
    }
}

/// Every service whose predecessors are done, and its gates. `None` when all are done.
fn services(plan: &RolloutPlan, work: &mut Work, now: Timestamp) -> Option<Vec<Effect>> {
    let open: Vec<Planned<'_>> = plan
        .planned()
        .filter(|service| !is_done(work, *service))
        .collect();
    if open.is_empty() {
        return None;
    }
    let mut effects = Vec::new();
    for service in open {
        let before = |name: &ServiceName| plan.planned().find(|other| other.plan.name == *name);
        let mut predecessors = service.plan.after.iter().filter_map(before);
        if !predecessors.all(|before| is_done(work, before)) {
            continue;
        }
        match work.deployed.get(&service.plan.name) {
            None if may_change_one_more(plan, work, service) => {
                effects.extend(deploy(plan, work, service, now));
            }
            None => {}
            Some(deployed) => {
                let next = next_gate(work, &service.plan.gates, service.gates);
                if let Some((gate, step)) = next.filter(|(_, step)| !work.children.contains_key(*step)) {
                    let subject = Subject {
                        service: Some(service.plan.name.clone()),
                        images: deployed.serving.images.clone(),
                        changed_at: deployed.changed_at,
                    };
                    effects.extend(judge(work, gate, step, subject, now));
                }
            }
        }
    }
    Some(effects)
}

/// The services that are between the old and the new release.
fn between<'a>(plan: &'a RolloutPlan, work: &'a Work) -> impl Iterator<Item = Planned<'a>> {
    plan.planned().filter(|service| {
        let under_way = work.children.contains_key(service.step);
        (under_way || work.deployed.contains_key(&service.plan.name)) && !is_done(work, *service)
    })
}

fn may_change_one_more(plan: &RolloutPlan, work: &Work, service: Planned<'_>) -> bool {
    let others = between(plan, work)
        .filter(|other| other.plan.name != service.plan.name)
        .count();
    u32::try_from(others).is_ok_and(|others| others < plan.policy.bounds.services_at_once)
}

/// Checks what is about to be done against the plan's bounds (invariant I-11), whatever led to it.
pub(super) fn within_bounds(plan: &RolloutPlan, work: &Work, effects: &[Effect]) -> Result<(), Reason> {
    let updates = |effect: &Effect| {
        matches!(
            effect.action,
            Action::Deployment(deployment::Effect::UpdateService(_))
        )
    };
    if effects.iter().any(updates) {
        let changing = u32::try_from(between(plan, work).count()).unwrap_or(u32::MAX);
        let most = plan.policy.bounds.services_at_once;
        if changing > most {
            let why = format!("{changing} services would be changing at once; the plan allows {most}");
            return Err(Reason::new(Cause::OutOfBounds, why));
        }
    }
    for effect in effects {
        if let Action::Cutover(cutover::Effect::Apply { batch }) = &effect.action
            && let Err(refused) = batch.check()
        {
            return Err(Reason::new(
                Cause::OutOfBounds,
                format!("{}: {refused}", effect.step),
            ));
        }
    }
    Ok(())
}

fn is_done(work: &Work, service: Planned<'_>) -> bool {
    let mut gates = service.gates.iter();
    work.deployed.contains_key(&service.plan.name) && gates.all(|gate| work.gates.contains(gate))
}

fn deploy(plan: &RolloutPlan, work: &mut Work, planned: Planned<'_>, now: Timestamp) -> Vec<Effect> {
    let service = planned.plan;
    if work.children.contains_key(planned.step) {
        return Vec::new();
    }
    let refs: BTreeMap<_, ImageRef> = work.images_of(plan, &service.name).collect();
    let images: Images = refs
        .iter()
        .map(|(container, image)| (container.clone(), image.digest.clone()))
        .collect();
    let assumes = match work.captured.get(&service.name) {
        Some(Captured::Point(point)) => Some(point.deployment.clone()),
        Some(Captured::Nothing { deployment, .. }) => deployment.clone(),
        Some(Captured::Busy { .. }) | None => None,
    };
    let revision = RevisionSpec {
        template: service.template.clone(),
        images: refs,
    };
    let target = Target::Release { revision, assumes };
    let spec = deployment::Spec {
        service: service.name.clone(),
        target,
        images,
    };
    let machine = Deployment::new(spec, service.deployment.clone());
    let child = Child::Service(service.name.clone(), Box::new(machine));
    work.begin(planned.step.clone(), child, now)
}

/// The next gate of a list, with its step. `None` when all have passed.
fn next_gate<'a>(
    work: &Work,
    gates: &'a [GatePlan],
    steps: &'a [StepId],
) -> Option<(&'a GatePlan, &'a StepId)> {
    let mut named = gates.iter().zip(steps);
    named.find(|(_, step)| !work.gates.contains(*step))
}

fn judge(work: &mut Work, gate: &GatePlan, step: &StepId, subject: Subject, now: Timestamp) -> Vec<Effect> {
    let machine = Gate::new(gate.judge(subject));
    work.begin(step.clone(), Child::Gate(Box::new(machine)), now)
}

/// The gates of the release judge the last change of any service. `None` when all have passed.
fn release_gates(plan: &RolloutPlan, work: &mut Work, now: Timestamp) -> Option<Vec<Effect>> {
    let (gate, step) = next_gate(work, &plan.gates, &plan.steps().gates)?;
    if work.children.contains_key(step) {
        return Some(Vec::new());
    }
    let changed_at = work
        .deployed
        .values()
        .map(|deployed| deployed.changed_at)
        .max()
        .unwrap_or(now);
    let subject = Subject {
        service: None,
        images: Images::new(),
        changed_at,
    };
    Some(judge(work, gate, step, subject, now))
}

/// The records, one after the other. `None` when all have moved.
fn cutovers(plan: &RolloutPlan, work: &mut Work, now: Timestamp) -> Option<Vec<Effect>> {
    let index = work.records.len();
    let (next, step) = (plan.cutovers.get(index)?, plan.steps().cutovers.get(index)?);
    if work.children.contains_key(step) {
        return Some(Vec::new());
    }
    let machine = Cutover::new(cutover_spec(plan, next), next.policy.clone());
    Some(work.begin(step.clone(), Child::Record(index, Box::new(machine)), now))
}

fn cutover_spec(plan: &RolloutPlan, cutover: &CutoverPlan) -> cutover::Spec {
    cutover::Spec {
        run: plan.run.clone(),
        zone: cutover.zone.clone(),
        key: cutover.key.clone(),
        goal: Goal::Move {
            to: cutover.to.clone(),
            lowered_ttl: cutover.lowered_ttl,
        },
        allow_unhealthy_target: cutover.allow_unhealthy_target,
        drain: cutover.drain.clone(),
    }
}

/// The last look at every service: one round in which success is seen at all of them.
fn confirm(plan: &RolloutPlan, mut work: Box<Work>, now: Timestamp) -> (State, Vec<Effect>) {
    work.give_up = Some(now.after(plan.policy.confirm));
    let effects = plan
        .services
        .iter()
        .map(|service| {
            let action = Action::Confirm {
                service: service.name.clone(),
            };
            work.look(step::confirm(&service.name), action, now)
        })
        .collect();
    (State::Confirming(work), effects)
}

pub(super) fn confirming(
    plan: &RolloutPlan,
    mut work: Box<Work>,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    let bad = match event {
        Event::Confirmed { service, seen } => confirmed(plan, &mut work, service, &seen, now),
        Event::CallFailed { step, error } => {
            let failed = work.look_failed(plan, &step, &error, now, true);
            work.begin_round(&step);
            failed.err().map(End::Failed)
        }
        Event::Abort => Some(End::Aborted),
        Event::Elapsed if work.is_late(now) => {
            let why = format!(
                "success could not be seen once more: {}",
                work.doubts().join(", ")
            );
            Some(End::Failed(Reason::new(Cause::DeadlineExceeded, why)))
        }
        Event::Elapsed => {
            effects = work.due_looks(now);
            None
        }
        // The table lets nothing else in.
        Event::Start
        | Event::IdentitySeen(_)
        | Event::Captured { .. }
        | Event::UsabilitySeen { .. }
        | Event::AlarmSampled { .. }
        | Event::RecordRead { .. }
        | Event::Promotion { .. }
        | Event::Task { .. }
        | Event::Deployment { .. }
        | Event::Gate { .. }
        | Event::Cutover { .. }
        | Event::Unwind(_)
        | Event::Hinted(_) => None,
    };
    match bad {
        Some(end) => stop(plan, work, end, now),
        None if work.all_shown(now) => {
            let services = work
                .deployed
                .iter()
                .map(|(name, deployed)| (name.clone(), deployed.serving.clone()))
                .collect();
            let outcome = Outcome::Released {
                services,
                records: work.records.clone(),
                evidence: work.evidence.clone(),
            };
            (State::Ended(work, outcome), Vec::new())
        }
        None => (State::Confirming(work), effects),
    }
}

fn confirmed(
    plan: &RolloutPlan,
    work: &mut Work,
    service: ServiceName,
    seen: &crate::service::ServiceObservation,
    now: Timestamp,
) -> Option<End> {
    let step = step::confirm(&service);
    let deployed = work.deployed.get(&service)?;
    let claim = deployment::Claim {
        service: &service,
        deployment: &deployed.serving.deployment,
        task_definition: &deployed.serving.task_definition,
        images: &deployed.serving.images,
        changed_at: deployed.changed_at,
        policy: &plan.service(&service)?.deployment,
    };
    match deployment::confirm(&claim, seen) {
        deployment::Confirmation::Serving(evidence) => {
            work.shown(&step, evidence);
            None
        }
        deployment::Confirmation::NotYet => {
            work.unmet(&step, now.after(plan.policy.retry_every));
            None
        }
        deployment::Confirmation::Superseded(by) => {
            // It is no longer ours to undo.
            work.changed
                .retain(|item| item.step != step::unwind(&step::service(&service)));
            Some(End::Superseded(Superseding::Deployment(by)))
        }
        deployment::Confirmation::Lost(reason) => Some(End::Failed(reason)),
    }
}
