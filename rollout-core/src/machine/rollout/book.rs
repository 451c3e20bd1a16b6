//! What the end of each machine means for the release.

use super::work::{Child, Deployed, Work};
use super::{End, Serving, StepState, Superseding};
use crate::dns::Snapshot;
use crate::error::Applied;
use crate::evidence::{Cause, Evidence, Reason, StuckReason};
use crate::id::{DeploymentId, ServiceName, StepId, TaskDefinitionArn, TaskName};
use crate::machine::cutover::{Cutover, Written};
use crate::machine::unwind::{Item, Undo};
use crate::machine::{Machine, cutover, deployment, gate, promotion, task};
use crate::plan::{RolloutPlan, step};
use crate::service::Captured;
use crate::time::Timestamp;

impl Work {
    /// Books every machine that has ended. The first bad end is returned.
    pub(super) fn settle(&mut self, plan: &RolloutPlan, now: Timestamp) -> Option<End> {
        let mut end = None;
        let ended = self.children.iter();
        let ended: Vec<(StepId, Ending)> = ended
            .filter_map(|(step, child)| Some((step.clone(), child.ending()?)))
            .collect();
        for (step, ending) in ended {
            self.children.remove(&step);
            match self.booked(plan, &step, ending, now) {
                Booked::Done => self.finished(&step, now, StepState::Done),
                Booked::Bad(bad) => {
                    let why = bad.text();
                    self.finished(&step, now, StepState::Failed { why });
                    end = end.or(Some(bad));
                }
            }
        }
        end
    }

    fn booked(&mut self, plan: &RolloutPlan, step: &StepId, ending: Ending, now: Timestamp) -> Booked {
        match ending {
            Ending::Image(outcome) => self.image_ended(step, outcome),
            Ending::Task(name, outcome) => self.task_ended(plan, step, name, outcome),
            Ending::Service(name, outcome) => self.service_ended(plan, step, name, outcome),
            Ending::Gate(outcome) => self.gate_ended(step, outcome, now),
            Ending::Record(index, written, outcome) => self.record_ended(plan, step, index, written, outcome),
        }
    }

    fn gate_ended(&mut self, step: &StepId, outcome: gate::Outcome, now: Timestamp) -> Booked {
        match outcome {
            gate::Outcome::Passed {
                evidence,
                would_have_failed,
            } => {
                self.evidence.extend(evidence);
                self.evidence.extend(would_have_failed.iter().map(|probe| {
                    let detail = format!("dry run: probe {probe} would have failed the gate");
                    Evidence::new(now, "gate", step.as_str(), detail)
                }));
                self.gates.insert(step.clone());
                Booked::Done
            }
            gate::Outcome::Failed(reason) => Booked::failed(step, reason),
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
        ours: Option<DeploymentId>,
        our_revision: Option<TaskDefinitionArn>,
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
        written: Option<Overwritten>,
        outcome: cutover::Outcome,
    ) -> Booked {
        match outcome {
            cutover::Outcome::Moved { now, evidence, .. } => {
                self.evidence.extend(evidence);
                self.undo_record(plan, step, index, written);
                self.records.push(now);
                Booked::Done
            }
            cutover::Outcome::Refused(reason) | cutover::Outcome::Reverted(reason) => {
                Booked::failed(step, reason)
            }
            cutover::Outcome::Superseded(reason) => Booked::Bad(End::Superseded(Superseding::Record(reason))),
            // The way back of the release tries once more, and tells the person what to run if it cannot either.
            cutover::Outcome::Stuck(stuck) => {
                self.undo_record(plan, step, index, written);
                let reason = Reason::new(cause(stuck.reason), stuck.text).with(stuck.evidence);
                Booked::failed(step, reason)
            }
        }
    }

    fn undo_record(&mut self, plan: &RolloutPlan, step: &StepId, index: usize, written: Option<Overwritten>) {
        let (Some(cutover), Some(Overwritten { original, ours })) = (plan.cutovers.get(index), written)
        else {
            return;
        };
        let undo = Undo::Record {
            zone: cutover.zone.clone(),
            key: cutover.key.clone(),
            original,
            ours,
            allow_unhealthy_target: cutover.allow_unhealthy_target,
        };
        self.changed.push(Item {
            step: step::unwind(step),
            undo,
        });
    }
}

/// How a machine under way has ended.
enum Ending {
    Image(promotion::Outcome),
    Task(TaskName, task::Outcome),
    Service(ServiceName, deployment::Outcome),
    Gate(gate::Outcome),
    Record(usize, Option<Overwritten>, cutover::Outcome),
}

/// A record that was written: what it said before, and our writes.
struct Overwritten {
    original: Box<Snapshot>,
    ours: Vec<Written>,
}

impl Overwritten {
    fn by(machine: &Cutover) -> Option<Self> {
        let (original, ours) = machine.undo()?;
        Some(Self {
            original: Box::new(original.clone()),
            ours: ours.to_vec(),
        })
    }
}

impl Child {
    /// `None` while it is under way.
    fn ending(&self) -> Option<Ending> {
        match self {
            Self::Image(machine) => machine.outcome().map(Ending::Image),
            Self::Task(name, machine) => machine
                .outcome()
                .map(|outcome| Ending::Task(name.clone(), outcome)),
            Self::Service(name, machine) => machine
                .outcome()
                .map(|outcome| Ending::Service(name.clone(), outcome)),
            Self::Gate(machine) => machine.outcome().map(Ending::Gate),
            Self::Record(index, machine) => machine
                .outcome()
                .map(|outcome| Ending::Record(*index, Overwritten::by(machine), outcome)),
        }
    }
}

/// Why a record that is stuck did not move.
fn cause(stuck: StuckReason) -> Cause {
    match stuck {
        StuckReason::PermissionDenied => Cause::PermissionDenied,
        StuckReason::NoHealthyTarget => Cause::TargetUnhealthy,
        StuckReason::NoLastKnownGood => Cause::NoLastKnownGood,
        StuckReason::ForeignChange => Cause::DnsConflict,
        StuckReason::RollbackBlockedByMigration
        | StuckReason::RollbackNotAutomatic
        | StuckReason::LkgImageMissing
        | StuckReason::RollbackFailed
        | StuckReason::DnsUnwritable
        | StuckReason::Ambiguous
        | StuckReason::PartlyReleased
        | StuckReason::Halted => Cause::CallFailed,
    }
}

/// What an end means for the release.
enum Booked {
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
        }
    }
}
