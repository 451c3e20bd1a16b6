//! One item after the other, and what they come to.

use super::{
    Action, AtHand, Effect, Event, Found, Item, Outcome, Problem, State, Undo, Undoing, Unwind, start,
};
use crate::evidence::{Cause, Reason, Stuck, StuckReason};
use crate::hint::Hint;
use crate::id::{ServiceName, StepId, TaskName};
use crate::machine::Machine as _;
use crate::machine::cutover::{self, Cutover, Goal};
use crate::machine::deployment::{self, Deployment, Target};
use crate::time::Timestamp;

impl Unwind {
    pub(super) fn begin(&self, now: Timestamp) -> (State, Vec<Effect>) {
        if let Some(task) = &self.spec.blocked_by {
            return (
                State::Ended(Outcome::Stuck(Box::new(self.blocked(task)))),
                Vec::new(),
            );
        }
        // Popped from the end: services in order of completion, then records, so that traffic goes back first.
        let is_record = |item: &&Item| matches!(item.undo, Undo::Record { .. });
        let mut left: Vec<Item> = self
            .spec
            .changed
            .iter()
            .filter(|item| !is_record(item))
            .cloned()
            .collect();
        left.extend(self.spec.changed.iter().filter(is_record).cloned());
        self.next(left, Found::default(), now)
    }

    /// The next item that needs work, or the end.
    fn next(&self, mut left: Vec<Item>, mut found: Found, now: Timestamp) -> (State, Vec<Effect>) {
        while let Some(Item { step, undo }) = left.pop() {
            let (at_hand, effects) = match undo {
                Undo::Service {
                    service, point: None, ..
                } => {
                    found.problems.push(self.nothing_to_go_back_to(&service));
                    continue;
                }
                Undo::Service {
                    service,
                    point: Some(point),
                    ours,
                    our_revision,
                } => {
                    let images = point.images.clone();
                    let target = Target::Restore {
                        point,
                        ours,
                        our_revision,
                        fast: self.policy.fast,
                    };
                    let spec = deployment::Spec {
                        service,
                        target,
                        images,
                    };
                    let mut machine = Deployment::new(spec, self.policy.deployment.clone());
                    let effects = start(&mut machine, now, deployment::Event::Start);
                    (
                        AtHand::Service(Box::new(machine)),
                        wrap(&step, effects, Action::Deployment),
                    )
                }
                Undo::Record {
                    zone,
                    key,
                    original,
                    ours,
                    allow_unhealthy_target,
                } => {
                    let goal = Goal::Restore { original, ours };
                    let run = self.spec.run.clone();
                    let spec = cutover::Spec {
                        run,
                        zone,
                        key,
                        goal,
                        allow_unhealthy_target,
                        drain: None,
                    };
                    let mut machine = Cutover::new(spec, self.policy.cutover.clone());
                    let effects = start(&mut machine, now, cutover::Event::Start);
                    (
                        AtHand::Record(Box::new(machine)),
                        wrap(&step, effects, Action::Cutover),
                    )
                }
            };
            let undoing = Undoing {
                left,
                step,
                since: now,
                at_hand,
                found,
            };
            // A child that ends on its start is closed like any other.
            return self.settle(undoing, effects, now);
        }
        (State::Ended(self.verdict(found)), Vec::new())
    }

    pub(super) fn go_on(&self, mut undoing: Undoing, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        let step = undoing.step.clone();
        let effects = match (event, &mut undoing.at_hand) {
            (Event::Deployment { step: of, event }, AtHand::Service(machine)) if of == step => {
                wrap(&step, start(machine.as_mut(), now, event), Action::Deployment)
            }
            (Event::Cutover { step: of, event }, AtHand::Record(machine)) if of == step => {
                wrap(&step, start(machine.as_mut(), now, event), Action::Cutover)
            }
            (Event::Elapsed, AtHand::Service(machine)) => wrap(
                &step,
                start(machine.as_mut(), now, deployment::Event::Elapsed),
                Action::Deployment,
            ),
            (Event::Elapsed, AtHand::Record(machine)) => wrap(
                &step,
                start(machine.as_mut(), now, cutover::Event::Elapsed),
                Action::Cutover,
            ),
            (Event::Hinted(Hint::Service(service)), AtHand::Service(machine))
                if service == machine.spec().service =>
            {
                wrap(
                    &step,
                    start(machine.as_mut(), now, deployment::Event::Hinted),
                    Action::Deployment,
                )
            }
            // Late answers of items that have ended, and hints at something else.
            (
                Event::Deployment { .. }
                | Event::Cutover { .. }
                | Event::Hinted(_)
                | Event::Start
                | Event::Abort,
                _,
            ) => Vec::new(),
        };
        self.settle(undoing, effects, now)
    }

    /// Goes on to the next item when the one at hand has ended.
    fn settle(&self, mut undoing: Undoing, effects: Vec<Effect>, now: Timestamp) -> (State, Vec<Effect>) {
        let ended = match &undoing.at_hand {
            AtHand::Service(machine) => machine
                .outcome()
                .map(|outcome| self.service_ended(&mut undoing.found, outcome)),
            AtHand::Record(machine) => machine
                .outcome()
                .map(|outcome| self.record_ended(&mut undoing.found, machine.spec(), outcome)),
        };
        match ended {
            None => (State::Undoing(undoing), effects),
            Some(()) => self.next(undoing.left, undoing.found, now),
        }
    }

    fn service_ended(&self, found: &mut Found, outcome: deployment::Outcome) {
        match outcome {
            deployment::Outcome::Deployed { evidence, .. } => found.evidence.extend(evidence),
            deployment::Outcome::Superseded { by, .. } => {
                found.superseded = found.superseded.take().or(Some(by))
            }
            deployment::Outcome::Failed { reason, .. } => {
                found.problems.push(self.problem(named(reason.cause), reason));
            }
        }
    }

    pub(super) fn record_ended(&self, found: &mut Found, spec: &cutover::Spec, outcome: cutover::Outcome) {
        match outcome {
            cutover::Outcome::Moved { evidence, .. } => found.evidence.extend(evidence),
            cutover::Outcome::Superseded(reason) => {
                // Going back again would yield again: a person looks at what someone else has made of it.
                found.problems.push(Problem {
                    reason: StuckReason::ForeignChange,
                    text: reason.text,
                    evidence: reason.evidence,
                    next: vec![
                        format!("rollout status {}", self.spec.run),
                        cutover::commands::look(spec),
                    ],
                });
            }
            cutover::Outcome::Refused(reason) | cutover::Outcome::Reverted(reason) => {
                found
                    .problems
                    .push(self.problem(StuckReason::DnsUnwritable, reason));
            }
            cutover::Outcome::Stuck(stuck) => {
                let Stuck {
                    reason,
                    text,
                    evidence,
                    next,
                } = *stuck;
                found.problems.push(Problem {
                    reason,
                    text,
                    evidence,
                    next,
                });
            }
        }
    }

    pub(super) fn verdict(&self, found: Found) -> Outcome {
        let mut problems = found.problems.into_iter();
        let Some(first) = problems.next() else {
            return match found.superseded {
                Some(by) => Outcome::Superseded(by),
                None => Outcome::AtLastKnownGood {
                    evidence: found.evidence,
                },
            };
        };
        let mut stuck = Stuck {
            reason: first.reason,
            text: first.text,
            evidence: first.evidence,
            next: first.next,
        };
        for problem in problems {
            stuck.text.push_str("; also: ");
            stuck.text.push_str(&problem.text);
            stuck.evidence.extend(problem.evidence);
            stuck.next.extend(problem.next);
        }
        Outcome::Stuck(Box::new(stuck))
    }

    fn problem(&self, reason: StuckReason, why: Reason) -> Problem {
        let run = &self.spec.run;
        Problem {
            reason,
            text: why.text,
            evidence: why.evidence,
            next: vec![format!("rollout status {run}"), format!("rollout rollback {run}")],
        }
    }

    fn nothing_to_go_back_to(&self, service: &ServiceName) -> Problem {
        Problem {
            reason: StuckReason::NoLastKnownGood,
            text: format!("{service} has no last known good release to go back to"),
            evidence: Vec::new(),
            next: vec![
                format!("aws ecs describe-services --services {service}"),
                format!("rollout run, with a release that is known to be good, once {service} can take it"),
            ],
        }
    }

    fn blocked(&self, task: &TaskName) -> Stuck {
        Stuck {
            reason: StuckReason::RollbackBlockedByMigration,
            text: format!(
                "{task} ran, or may have run, and is marked irreversible: the last known good release cannot live with what it did"
            ),
            evidence: Vec::new(),
            next: vec![
                format!("rollout status {}", self.spec.run),
                "rollout run, with a release that fixes what failed (going forward is the only way)"
                    .to_owned(),
            ],
        }
    }
}

/// The named state that a failed way back of a service is.
pub(super) fn named(cause: Cause) -> StuckReason {
    if cause == Cause::ServiceGone {
        StuckReason::ForeignChange
    } else if cause == Cause::PermissionDenied {
        StuckReason::PermissionDenied
    } else if cause == Cause::ImagePull {
        StuckReason::LkgImageMissing
    } else {
        StuckReason::RollbackFailed
    }
}

fn wrap<F>(step: &StepId, effects: Vec<F>, action: impl Fn(F) -> Action) -> Vec<Effect> {
    effects
        .into_iter()
        .map(|effect| Effect {
            step: step.clone(),
            action: action(effect),
        })
        .collect()
}
