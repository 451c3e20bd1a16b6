//! Lifecycle hooks: how they run, and what their ends do to a deployment.

use rollout_core::service::RecordStatus;

use super::Environment;
use super::deployment::GivenUp;
use super::plan::{Hook, HookAction, HookTarget, LifecycleStage};
use super::record::{HookRun, HookStatus};
use crate::kernel::{Kernel, plus};
use crate::rng::{Span, Stream};

/// How long a function takes that is called by a hook. Ours.
const FUNCTION: Span = Span::secs(1, 8);

impl Environment {
    /// The hooks of a stage begin to run.
    pub(super) fn start_hooks(
        &self,
        k: &mut Kernel,
        s: u16,
        number: u32,
        stage: LifecycleStage,
        back: bool,
    ) -> Vec<HookRun> {
        let service = &self.services[s as usize];
        let Some(record) = service.record(number) else {
            return Vec::new();
        };
        let runs = |hook: &&Hook| {
            // Nothing waits for a person on the way back.
            hook.stages.contains(&stage)
                && stage.takes(&hook.target)
                && !(back && hook.target == HookTarget::Pause)
        };
        let mut all = Vec::new();
        for hook in record.plan.hooks.iter().filter(runs) {
            let expires_at = plus(k.now, hook.patience());
            let (kind, status, answers_at) = match &hook.target {
                HookTarget::Pause => ("pause", HookStatus::AwaitingAction, None),
                HookTarget::Lambda { .. } => {
                    let takes = k.draw(Stream::Scheduler, FUNCTION);
                    ("lambda", HookStatus::InProgress, Some(plus(k.now, takes)))
                }
            };
            all.push(HookRun {
                id: format!("ecs-{kind}-{}", k.dice.hex(2)),
                hook: hook.clone(),
                status,
                expires_at,
                answers_at,
            });
        }
        all
    }

    /// Whether no hook of the stage is waited for any more. One that failed or ran out ends the deployment, unless it is on
    /// its way back already.
    pub(super) fn hooks_done(&mut self, k: &mut Kernel, s: u16, number: u32) -> bool {
        let failing = self.failing_functions.clone();
        let now = k.now;
        let Some(record) = self.services[s as usize].record_mut(number) else {
            return false;
        };
        let mut failed = false;
        for run in record.hooks.iter_mut() {
            if run.is_open() {
                let broken = matches!(&run.hook.target, HookTarget::Lambda { arn } if failing.contains(arn));
                if run.answers_at.is_some_and(|at| at <= now) {
                    run.status = if broken {
                        HookStatus::Failed
                    } else {
                        HookStatus::Succeeded
                    };
                } else if run.expires_at <= now {
                    run.status = HookStatus::TimedOut;
                }
            }
            failed |= match run.status {
                HookStatus::Failed => true,
                HookStatus::TimedOut => run.hook.on_timeout == HookAction::Rollback,
                HookStatus::AwaitingAction | HookStatus::InProgress | HookStatus::Succeeded => false,
            };
        }
        let stage = record.stage.map_or("", LifecycleStage::name);
        let forward = record.is_forward();
        let due = record
            .hooks
            .iter()
            .filter(|run| run.is_open())
            .map(HookRun::due)
            .min();
        if failed && forward {
            self.give_up(k, s, &GivenUp::Hook(stage));
            return false;
        }
        match due {
            Some(due) => {
                self.schedule(k, s, due.as_millis().saturating_sub(now.as_millis()));
                false
            }
            None => true,
        }
    }

    /// Somebody answers a pause; `false` when there is none with this id.
    pub(crate) fn answer_pause(
        &mut self,
        k: &mut Kernel,
        s: u16,
        number: u32,
        id: &str,
        action: HookAction,
    ) -> bool {
        let record = self.services[s as usize].record_mut(number);
        let Some(record) = record.filter(|r| r.status == RecordStatus::InProgress) else {
            return false;
        };
        let stage = record.stage.map_or("", LifecycleStage::name);
        let mut runs = record.hooks.iter_mut();
        let run = runs.find(|run| run.id == id && run.status == HookStatus::AwaitingAction);
        let Some(run) = run else { return false };
        record.updated_at = k.now;
        match action {
            HookAction::Continue => {
                run.status = HookStatus::Succeeded;
                self.schedule(k, s, 0);
            }
            HookAction::Rollback => {
                run.status = HookStatus::Failed;
                self.give_up(k, s, &GivenUp::Hook(stage));
            }
        }
        true
    }
}
