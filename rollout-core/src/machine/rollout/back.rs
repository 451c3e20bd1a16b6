//! The way back of a release, and its end.

use super::work::{Signal, Work};
use super::{Action, Effect, End, Event, LeftAt, Outcome, State, Superseding};
use crate::evidence::{Stuck, StuckReason};
use crate::id::StepId;
use crate::machine::Machine;
use crate::machine::unwind::{self, Unwind, start};
use crate::plan::RolloutPlan;
use crate::plan::rollback::Barrier;
use crate::time::Timestamp;

/// Stops what is under way, then goes back.
pub(super) fn stop(
    plan: &RolloutPlan,
    mut work: Box<Work>,
    end: End,
    now: Timestamp,
) -> (State, Vec<Effect>) {
    work.give_up = None;
    work.looks.clear();
    let steps: Vec<StepId> = work.children.keys().cloned().collect();
    let effects: Vec<Effect> = steps
        .iter()
        .flat_map(|step| work.signal(step, Signal::Abort, now))
        .collect();
    let (state, more) = stopped(plan, work, end, now);
    (state, effects.into_iter().chain(more).collect())
}

pub(super) fn stopping(
    plan: &RolloutPlan,
    mut work: Box<Work>,
    end: End,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    let effects = match event {
        Event::Elapsed => work.elapsed(now),
        Event::Hinted(hint) => work.hint(&hint, now),
        event => work.give(event, now),
    };
    let (state, more) = stopped(plan, work, end, now);
    (state, effects.into_iter().chain(more).collect())
}

/// Goes back once nothing is under way any more.
fn stopped(plan: &RolloutPlan, mut work: Box<Work>, end: End, now: Timestamp) -> (State, Vec<Effect>) {
    // The first end counts.
    let _later = work.settle(plan, now);
    if !work.children.is_empty() {
        return (State::Stopping(work, end), Vec::new());
    }
    if !work.mutated {
        return ended(work, end);
    }
    let by_hand = matches!(end, End::Aborted);
    let barrier = plan.policy.rollback.barrier(by_hand, work.blocked_by.as_ref());
    // A migration is the machine's own end, with its own way out; and where nothing was changed there is nothing to leave.
    if barrier == Some(Barrier::NotAutomatic) && !work.changed.is_empty() {
        let stuck = with_first_cause(left_as_it_is(plan), end, "the release has not gone through");
        return (State::Ended(work, Outcome::Stuck(Box::new(stuck))), Vec::new());
    }
    let spec = unwind::Spec {
        run: plan.run.clone(),
        changed: work.changed.clone(),
        blocked_by: match barrier {
            Some(Barrier::Irreversible(task)) => Some(task),
            Some(Barrier::NotAutomatic) | None => None,
        },
    };
    let mut machine = Unwind::new(spec, plan.policy.unwind());
    let effects = wrap(start(&mut machine, now, unwind::Event::Start));
    unwound(work, end, Box::new(machine), effects)
}

pub(super) fn unwinding(
    work: Box<Work>,
    end: End,
    mut machine: Box<Unwind>,
    now: Timestamp,
    event: Event,
) -> (State, Vec<Effect>) {
    // The table lets nothing in but its events, hints and time.
    let event = if let Event::Hinted(hint) = event {
        unwind::Event::Hinted(hint)
    } else if let Event::Unwind(event) = event {
        event
    } else {
        unwind::Event::Elapsed
    };
    let effects = wrap(start(machine.as_mut(), now, event));
    unwound(work, end, machine, effects)
}

fn wrap(effects: Vec<unwind::Effect>) -> Vec<Effect> {
    effects
        .into_iter()
        .map(|effect| Effect {
            step: effect.step.clone(),
            action: Action::Unwind(effect),
        })
        .collect()
}

fn unwound(work: Box<Work>, end: End, machine: Box<Unwind>, effects: Vec<Effect>) -> (State, Vec<Effect>) {
    let outcome = match (machine.outcome(), end) {
        (None, end) => return (State::Unwinding(work, end, machine), effects),
        (Some(unwind::Outcome::Stuck(stuck)), end) => {
            Outcome::Stuck(Box::new(with_first_cause(*stuck, end, "it was going back")))
        }
        (Some(unwind::Outcome::Superseded(by)), _) => Outcome::Superseded {
            by: Superseding::Deployment(by),
        },
        (Some(unwind::Outcome::AtLastKnownGood { evidence }), end) => match end {
            End::Failed(why) => Outcome::RolledBack { why, evidence },
            End::Superseded(by) => Outcome::Superseded { by },
            End::Aborted => Outcome::Aborted {
                left_at: LeftAt::LastKnownGood,
            },
        },
    };
    (State::Ended(work, outcome), effects)
}

/// The plan leaves the way back to a person.
fn left_as_it_is(plan: &RolloutPlan) -> Stuck {
    let run = &plan.run;
    Stuck {
        reason: StuckReason::RollbackNotAutomatic,
        text: format!(
            "{} is left as it is: the plan leaves the way back to a person",
            plan.to
        ),
        evidence: Vec::new(),
        next: vec![
            format!("rollout rollback {run}    takes it back to what ran before"),
            format!("rollout status {run}"),
        ],
    }
}

/// A release that is left, told with what went before: the person needs both.
fn with_first_cause(mut stuck: Stuck, end: End, what: &str) -> Stuck {
    let (why, evidence) = match end {
        End::Failed(reason) | End::Superseded(Superseding::Record(reason)) => (reason.text, reason.evidence),
        End::Superseded(Superseding::Deployment(by)) => (
            format!("{} was deployed by someone else ({})", by.service, by.deployment),
            by.evidence,
        ),
        End::Aborted => ("it was aborted".to_owned(), Vec::new()),
    };
    stuck.text = format!("{}; {what} because {why}", stuck.text);
    stuck.evidence.splice(0..0, evidence);
    stuck
}

/// The end of a rollout that has changed nothing.
pub(super) fn ended(work: Box<Work>, end: End) -> (State, Vec<Effect>) {
    let outcome = match end {
        End::Failed(why) => Outcome::Refused { why },
        End::Superseded(by) => Outcome::Superseded { by },
        End::Aborted => Outcome::Aborted {
            left_at: LeftAt::Untouched,
        },
    };
    (State::Ended(work, outcome), Vec::new())
}
