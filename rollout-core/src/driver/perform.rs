//! Effects to port calls, port answers to events. One function per machine, nothing decided here.

use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;

use super::Perform;
use crate::context::OpContext;
use crate::error::Error;
use crate::id::{Generation, RunId, StepId};
use crate::machine::cutover::{self, Cutover};
use crate::machine::deployment::{self, Deployment};
use crate::machine::gate::{self, Gate};
use crate::machine::promotion::{self, Promotion};
use crate::machine::rollout::{self, Rollout};
use crate::machine::task::{self, OneOff};
use crate::machine::unwind::{self, Unwind};
use crate::machine::{self, Lifecycle as _};
use crate::pace::Priority;
use crate::port::{Clock, Ports};

/// Runs the effects of every machine of this crate on a set of ports.
#[derive(Clone)]
pub struct PortPerformer {
    ports: Ports,
    clock: Arc<dyn Clock>,
    run: RunId,
    step: StepId,
    generation: Generation,
    call: Duration,
    returns: bool,
}

impl core::fmt::Debug for PortPerformer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PortPerformer")
            .field("run", &self.run)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl PortPerformer {
    /// A performer for one run.
    ///
    /// `step` names the work of a machine that is driven alone; a rollout names each of its steps itself. `call` is the
    /// longest that one port call may take: it becomes the deadline in each call's context.
    #[must_use]
    pub fn new(ports: Ports, clock: Arc<dyn Clock>, run: RunId, step: StepId, call: Duration) -> Self {
        Self {
            ports,
            clock,
            run,
            step,
            generation: Generation(1),
            call,
            returns: false,
        }
    }

    /// The same under a lease's generation: every call carries it. Without this it is 1.
    #[must_use]
    pub fn under(mut self, generation: Generation) -> Self {
        self.generation = generation;
        self
    }

    /// The same for a way back: its calls go before all others wherever calls wait for their turn.
    #[must_use]
    pub fn returning(mut self) -> Self {
        self.returns = true;
        self
    }

    fn context(&self, step: &StepId, effect: &impl machine::Effect) -> OpContext {
        let priority = match (self.returns, effect.mutates()) {
            (true, _) => Priority::Back,
            (false, true) => Priority::Forward,
            (false, false) => Priority::Look,
        };
        OpContext {
            run: self.run.clone(),
            step: step.clone(),
            attempt: effect.attempt(),
            generation: self.generation,
            deadline: self.clock.now().after(self.call),
            priority,
        }
    }

    async fn promotion(&self, step: &StepId, effect: &promotion::Effect) -> promotion::Event {
        let ctx = self.context(step, effect);
        let images = &self.ports.images;
        let answer = match effect {
            promotion::Effect::ResolveTag { repository, tag } => images
                .resolve(&ctx, repository, tag)
                .await
                .map(promotion::Event::TagResolved),
            promotion::Effect::ObserveSource { service } => self
                .ports
                .source
                .observe_running(&ctx, service)
                .await
                .map(|seen| promotion::Event::SourceObserved(Box::new(seen))),
            promotion::Effect::CopyImage { from, to } => {
                images.copy(&ctx, from, to).await.map(promotion::Event::Copied)
            }
            promotion::Effect::ReadBack { image } => {
                images.read(&ctx, image).await.map(promotion::Event::ReadBack)
            }
        };
        answer.unwrap_or_else(|error| Promotion::failed(effect, error.record()))
    }

    async fn task(&self, step: &StepId, effect: &task::Effect) -> task::Event {
        let ctx = self.context(step, effect);
        let target = &self.ports.target;
        let answer = match effect {
            task::Effect::StartTask { spec, .. } => {
                target.start_task(&ctx, spec).await.map(task::Event::Started)
            }
            task::Effect::FindTask { spec, .. } => target.find_task(&ctx, spec).await.map(task::Event::Found),
            task::Effect::ObserveTask { task } => {
                target.observe_task(&ctx, task).await.map(task::Event::Observed)
            }
            task::Effect::StopTask { task } => {
                target.stop_task(&ctx, task).await.map(|()| task::Event::StopSent)
            }
        };
        answer.unwrap_or_else(|error| OneOff::failed(effect, error.record()))
    }

    async fn deployment(&self, step: &StepId, effect: &deployment::Effect) -> deployment::Event {
        let ctx = self.context(step, effect);
        let answer = match effect {
            deployment::Effect::EnsureRevision(spec) => self
                .ports
                .target
                .ensure_revision(&ctx, spec)
                .await
                .map(|(task_definition, ensured)| deployment::Event::RevisionReady {
                    task_definition,
                    ensured,
                }),
            deployment::Effect::UpdateService(change) => self
                .ports
                .target
                .update_service(&ctx, change)
                .await
                .map(deployment::Event::Updated),
            deployment::Effect::Restore { point, assumes } => self
                .ports
                .rollback
                .restore(&ctx, point, assumes.as_ref())
                .await
                .map(deployment::Event::Updated),
            deployment::Effect::TurnBack {
                point,
                assumes,
                record,
            } => self
                .ports
                .rollback
                .turn_back(&ctx, point, assumes, record)
                .await
                .map(|()| deployment::Event::TurningBack),
            deployment::Effect::Observe { service } => self
                .ports
                .target
                .observe_service(&ctx, service)
                .await
                .map(|seen| deployment::Event::Observed(Box::new(seen))),
        };
        answer.unwrap_or_else(|error| Deployment::failed(effect, error.record()))
    }

    async fn gate(&self, step: &StepId, effect: &gate::Effect) -> gate::Event {
        let ctx = self.context(step, effect);
        let gate::Effect::TakeSample(request) = effect;
        let probe = request.probe.clone();
        match self.ports.gates.sample(&ctx, request).await {
            Ok(sample) => gate::Event::Sampled { probe, sample },
            Err(error) => Gate::failed(effect, error.record()),
        }
    }

    async fn cutover(&self, step: &StepId, effect: &cutover::Effect) -> cutover::Event {
        let ctx = self.context(step, effect);
        let dns = &self.ports.dns;
        let answer = match effect {
            cutover::Effect::TakeSnapshot { zone, key } => dns
                .snapshot(&ctx, zone, key)
                .await
                .map(|seen| cutover::Event::SnapshotTaken(Box::new(seen))),
            cutover::Effect::CheckTarget { data } => dns
                .check_target(&ctx, data)
                .await
                .map(cutover::Event::TargetChecked),
            cutover::Effect::Apply { batch } => dns.apply(&ctx, batch).await.map(cutover::Event::Applied),
            cutover::Effect::SeePropagation { change } => dns
                .propagation(&ctx, change)
                .await
                .map(cutover::Event::PropagationSeen),
            cutover::Effect::AskAuthoritative { zone, expected } => dns
                .ask_authoritative(&ctx, zone, expected)
                .await
                .map(cutover::Event::Answered),
            cutover::Effect::SeeOldTraffic { data } => dns
                .old_traffic(&ctx, data)
                .await
                .map(cutover::Event::OldTrafficSeen),
        };
        answer.unwrap_or_else(|error| Cutover::failed(effect, error.record()))
    }

    async fn rollout(&self, effect: &rollout::Effect) -> rollout::Event {
        use rollout::{Action, Event};
        let step = &effect.step;
        let ctx = self.context(step, effect);
        let failed = |error: Error| Rollout::failed(effect, error.record());
        match &effect.action {
            Action::CheckIdentity => self
                .ports
                .target
                .identity(&ctx)
                .await
                .map_or_else(failed, Event::IdentitySeen),
            Action::Capture { service } => {
                self.ports
                    .rollback
                    .capture(&ctx, service)
                    .await
                    .map_or_else(failed, |captured| Event::Captured {
                        service: service.clone(),
                        captured,
                    })
            }
            Action::CheckUsable { point } => {
                self.ports
                    .rollback
                    .usable(&ctx, point)
                    .await
                    .map_or_else(failed, |seen| Event::UsabilitySeen {
                        service: point.service.clone(),
                        seen: Box::new(seen),
                    })
            }
            Action::SampleAlarm(request) => {
                self.ports
                    .gates
                    .sample(&ctx, request)
                    .await
                    .map_or_else(failed, |sample| Event::AlarmSampled {
                        step: step.clone(),
                        sample,
                    })
            }
            Action::ReadRecord { zone, key } => {
                self.ports
                    .dns
                    .snapshot(&ctx, zone, key)
                    .await
                    .map_or_else(failed, |snapshot| Event::RecordRead {
                        step: step.clone(),
                        snapshot: Box::new(snapshot),
                    })
            }
            Action::Confirm { service } => self
                .ports
                .target
                .observe_service(&ctx, service)
                .await
                .map_or_else(failed, |seen| Event::Confirmed {
                    service: service.clone(),
                    seen: Box::new(seen),
                }),
            Action::Promotion(effect) => Event::Promotion {
                step: step.clone(),
                event: self.promotion(step, effect).await,
            },
            Action::Task(effect) => Event::Task {
                step: step.clone(),
                event: self.task(step, effect).await,
            },
            Action::Deployment(effect) => Event::Deployment {
                step: step.clone(),
                event: self.deployment(step, effect).await,
            },
            Action::Gate(effect) => Event::Gate {
                step: step.clone(),
                event: self.gate(step, effect).await,
            },
            Action::Cutover(effect) => Event::Cutover {
                step: step.clone(),
                event: self.cutover(step, effect).await,
            },
            Action::Unwind(effect) => Event::Unwind(self.unwind(effect).await),
        }
    }

    async fn unwind(&self, effect: &unwind::Effect) -> unwind::Event {
        let step = &effect.step;
        let back = self.clone().returning();
        match &effect.action {
            unwind::Action::Deployment(inner) => unwind::Event::Deployment {
                step: step.clone(),
                event: back.deployment(step, inner).await,
            },
            unwind::Action::Cutover(inner) => unwind::Event::Cutover {
                step: step.clone(),
                event: back.cutover(step, inner).await,
            },
        }
    }
}

macro_rules! perform_alone {
    ($($machine:ty: $module:ident),+ $(,)?) => {$(
        #[async_trait]
        impl Perform<$machine> for PortPerformer {
            async fn perform(&self, effect: &$module::Effect) -> $module::Event {
                self.$module(&self.step, effect).await
            }
        }
    )+};
}

perform_alone!(Promotion: promotion, OneOff: task, Deployment: deployment, Gate: gate, Cutover: cutover);

#[async_trait]
impl Perform<Rollout> for PortPerformer {
    async fn perform(&self, effect: &rollout::Effect) -> rollout::Event {
        self.rollout(effect).await
    }
}

#[async_trait]
impl Perform<Unwind> for PortPerformer {
    async fn perform(&self, effect: &unwind::Effect) -> unwind::Event {
        self.unwind(effect).await
    }
}
