//! Watches a run: what must hold after every event, and at every moment in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pollster::block_on;
use rollout_core::Effect as _;
use rollout_core::context::OpContext;
use rollout_core::dns::{Record, RecordKey};
use rollout_core::id::{Generation, ServiceName, StepId};
use rollout_core::machine::rollout::{Action, Effect, Rollout, StateKind, StepState, StepView};
use rollout_core::machine::{Transitions as _, cutover, deployment, promotion, task};
use rollout_core::observer::{Notice, Observer};
use rollout_core::pace::Priority;
use rollout_core::plan::{Draft, step};
use rollout_core::port::Clock;
use rollout_core::service::Images;
use rollout_core::time::Timestamp;
use rollout_sim::{SimCloud, World};

use crate::script::Script;
use crate::truth::{self, Expected, SERVICES};

/// Of so many events one is remembered with the machine after it.
const SAMPLED: usize = 41;

/// Watches one run. It is the run's observer and its clock.
#[derive(Clone)]
pub struct Watch {
    cloud: SimCloud,
    clock: Arc<dyn Clock>,
    plan: Arc<Draft>,
    old: Arc<Expected>,
    new: Arc<Expected>,
    /// Services whose tasks an incident may take away.
    spared: Arc<Vec<String>>,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What did not hold.
    pub problems: Vec<String>,
    /// The machine after some events: how many had happened, and the machine.
    pub samples: Vec<(usize, Rollout)>,
    events: usize,
    backwards: bool,
    records: BTreeMap<RecordKey, Record>,
}

impl core::fmt::Debug for Watch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches the run of a script.
    #[must_use]
    pub fn new(cloud: &SimCloud, script: &Script) -> Self {
        let world = &script.world;
        let records = truth::records(world).into_iter();
        let seen = Seen {
            records: records.map(|record| (record.key.clone(), record)).collect(),
            ..Seen::default()
        };
        Self {
            cloud: cloud.clone(),
            clock: cloud.clock(),
            plan: Arc::new(script.draft.clone()),
            old: Arc::new(script.before.clone()),
            new: Arc::new(truth::after(world, &script.draft)),
            spared: Arc::new(script.may_lose_tasks().into_iter().map(str::to_owned).collect()),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// What was seen.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problem(&self, at: Timestamp, text: impl core::fmt::Display) {
        let mut seen = self.seen();
        // The first few tell enough.
        if seen.problems.len() < 10 {
            seen.problems.push(format!("{at}: {text}"));
        }
    }

    /// At every moment the new or the last known good release serves.
    fn somebody_serves(&self, world: &World) {
        for name in SERVICES
            .iter()
            .filter(|name| !self.spared.iter().any(|s| s == *name))
        {
            let (old, new) = (&self.old.images[name], &self.new.images[name]);
            let running = world.running("production", name).expect("it is there");
            let known = |images: &&Images| images.values().all(|shown| shown == old || shown == new);
            if !running.iter().any(known) {
                let text = format_args!("nothing of {name} serves; {} tasks of others run", running.len());
                self.problem(world.now(), text);
            }
        }
    }

    fn issued(&self, at: Timestamp, machine: &Rollout, effect: &Effect) {
        let kind = machine.state_kind();
        if effect.mutates() && kind == StateKind::Checking {
            self.problem(at, format_args!("I-1: {effect:?} while checking"));
        }
        let backwards = matches!(
            kind,
            StateKind::Stopping | StateKind::Unwinding | StateKind::Ended
        );
        self.seen().backwards |= backwards;
        if self.seen().backwards && self.is_forward(effect) {
            self.problem(at, format_args!("I-14: {effect:?} on the way back"));
        }
        let service_or_gate = |view: &&StepView| {
            let of = |prefix: &str| {
                view.step
                    .as_str()
                    .strip_prefix(prefix)
                    .map(|rest| rest.contains('/'))
            };
            of("service/") == Some(false) || of("gate/") == Some(true)
        };
        let under_way = |view: &&StepView| matches!(view.state, StepState::Active { .. });
        let progress = machine.progress();
        let at_once = progress.iter().filter(service_or_gate).filter(under_way).count();
        let bound = self.plan.policy.bounds.services_at_once as usize;
        if at_once > bound {
            self.problem(
                at,
                format_args!("I-11: {at_once} services change at once, {bound} may"),
            );
        }
        if let Action::Deployment(deployment::Effect::UpdateService(change)) = &effect.action {
            for step in self.predecessors(&change.service) {
                let done = |view: &StepView| view.step == step && view.state == StepState::Done;
                if !progress.iter().any(done) {
                    self.problem(
                        at,
                        format_args!("{} begins before {step} is done", change.service),
                    );
                }
            }
        }
        if self.swaps(effect) {
            let open = self.gates().into_iter().filter(|gate| {
                let done = |view: &StepView| view.step == *gate && view.state == StepState::Done;
                !progress.iter().any(done)
            });
            for gate in open {
                self.problem(at, format_args!("I-7: a record moves before {gate} has passed"));
            }
        }
    }

    /// The steps that must be done before a service is changed: the services before it, and their gates.
    fn predecessors(&self, service: &ServiceName) -> Vec<StepId> {
        let named = |name: &ServiceName| self.plan.services.iter().find(|plan| plan.name == *name);
        let before = named(service)
            .into_iter()
            .flat_map(|plan| plan.after.iter().filter_map(named));
        let steps = before.flat_map(|plan| {
            let gates = plan
                .gates
                .iter()
                .map(|gate| step::gate(Some(&plan.name), &gate.name));
            gates.chain([step::service(&plan.name)])
        });
        steps.collect()
    }

    /// Every gate of the plan.
    fn gates(&self) -> Vec<StepId> {
        let services = self.plan.services.iter();
        let of_services = services.flat_map(|s| s.gates.iter().map(|g| step::gate(Some(&s.name), &g.name)));
        let of_release = self.plan.gates.iter().map(|g| step::gate(None, &g.name));
        of_services.chain(of_release).collect()
    }

    fn is_forward(&self, effect: &Effect) -> bool {
        match &effect.action {
            Action::Promotion(effect) => matches!(effect, promotion::Effect::CopyImage { .. }),
            Action::Task(effect) => matches!(effect, task::Effect::StartTask { .. }),
            Action::Deployment(inner) => matches!(
                inner,
                deployment::Effect::EnsureRevision(_) | deployment::Effect::UpdateService(_)
            ),
            Action::Cutover(_) => self.swaps(effect),
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. }
            | Action::Gate(_)
            | Action::Unwind(_) => false,
        }
    }

    /// Whether an effect makes a record say what the plan wants.
    fn swaps(&self, effect: &Effect) -> bool {
        let Action::Cutover(cutover::Effect::Apply { batch }) = &effect.action else {
            return false;
        };
        batch.creates().is_some_and(|record| {
            let of = |plan: &&rollout_core::plan::CutoverPlan| plan.key.same_as(&record.key);
            let plan = self.plan.cutovers.iter().find(of);
            plan.is_some_and(|plan| plan.to.same_target(&record.data))
        })
    }

    /// I-10, on what the zone holds: no name has lost its record, and none of ours points at nothing.
    fn records_lead_somewhere(&self, at: Timestamp) {
        self.cloud.with(|world| self.records_of(world, at));
    }

    fn records_of(&self, world: &World, at: Timestamp) {
        let now: BTreeMap<RecordKey, Record> = truth::records(world)
            .into_iter()
            .map(|record| (record.key.clone(), record))
            .collect();
        let before = core::mem::replace(&mut self.seen().records, now.clone());
        for key in before.keys().filter(|key| !now.contains_key(key)) {
            self.problem(at, format_args!("I-10: {key} is gone"));
        }
        for (key, record) in now.iter().filter(|(key, record)| before.get(key) != Some(record)) {
            let ours = self
                .plan
                .cutovers
                .iter()
                .any(|plan| plan.to.same_target(&record.data));
            if ours && !leads_somewhere(world, record) {
                self.problem(
                    at,
                    format_args!("I-10: {key} leads to no healthy target: {}", record.data),
                );
            }
        }
    }
}

/// Asks a copy of the world, so that the question is not counted as a call of the run.
fn leads_somewhere(world: &World, record: &Record) -> bool {
    let mut copy = world.clone();
    copy.calm();
    let ports = SimCloud::new(copy)
        .ports("staging", "production")
        .expect("both are there");
    let ctx = OpContext {
        run: "watch".parse().expect("a name"),
        step: "watch".parse().expect("a name"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    };
    let check = block_on(ports.dns.check_target(&ctx, &record.data));
    check.is_ok_and(|check| check.healthy == Some(true))
}

impl Observer<Rollout> for Watch {
    fn notice(&self, at: Timestamp, machine: &Rollout, notice: &Notice<'_, Rollout>) {
        match notice {
            Notice::Issued(effect) => self.issued(at, machine, effect),
            Notice::Handled | Notice::Refused(_) => {
                let mut seen = self.seen();
                seen.events += 1;
                if seen.events.is_multiple_of(SAMPLED) {
                    let events = seen.events;
                    seen.samples.push((events, machine.clone()));
                }
            }
            Notice::Happened(rollout_core::machine::rollout::Event::Cutover {
                event: cutover::Event::Applied(_) | cutover::Event::CallFailed(_),
                ..
            }) => self.records_lead_somewhere(at),
            Notice::Happened(_) | Notice::Waiting(_) | Notice::Ended(_) => {}
        }
    }
}

#[async_trait]
impl Clock for Watch {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets the world get there from happening to happening, and looks at it after each.
    async fn sleep_until(&self, moment: Timestamp) {
        self.cloud.with(|world| {
            world.advance_until(moment, |world| {
                self.somebody_serves(world);
                false
            });
        });
    }
}
