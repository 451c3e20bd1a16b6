//! Deployments in stages: a full second set of tasks, then traffic, then the first set goes (Amazon ECS developer guide,
//! "Amazon ECS blue/green service deployments workflow").
//!
//! Which set carries what is a matter of [`Traffic`](super::traffic::Traffic); which stage comes when is decided here, one
//! stage a look of the scheduler. A rollback goes through stages, too: the old set is made complete if it is not, traffic
//! goes back at once, then the new set goes.

use rollout_core::service::{RecordStatus, RolloutState};
use rollout_core::time::Timestamp;

use super::Environment;
use super::deployment::GivenUp;
use super::plan::{ALL, LifecycleStage};
use super::record::Record;
use super::service::Service;
use super::task::{Owner, Phase};
use crate::elb::Refused;
use crate::kernel::{Kernel, plus};
use crate::rng::Stream;

/// What is to become of a set of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// So many.
    Keep(u32),
    /// None is started, none is stopped.
    Leave,
    /// None, as soon as what carries traffic is complete.
    Gone,
}

/// The tasks of one deployment.
#[derive(Debug)]
struct Set {
    number: u32,
    want: Want,
    placed: Vec<u64>,
    healthy: u32,
    /// Whether one of its tasks still runs or drains.
    serving: bool,
}

impl Set {
    fn is_complete(&self, desired: u32) -> bool {
        self.healthy >= desired && self.placed.len() as u32 == desired
    }
}

impl Service {
    /// The record whose stages the scheduler follows now, and whether it is on its way back.
    pub(super) fn staged(&self) -> Option<(u32, bool)> {
        let (number, back) = match self.rolling_back {
            Some(number) => (number, true),
            None => (self.primary()?.number, false),
        };
        let record = self.record(number)?;
        let under_way = back || !record.is_over();
        (under_way && record.plan.is_staged()).then_some((number, back))
    }
}

impl Environment {
    /// The scheduler looks at a service whose deployment goes in stages.
    pub(super) fn reconcile_staged(&mut self, k: &mut Kernel, s: u16, number: u32, back: bool) {
        let sets = self.sets(s, number, back);
        self.fill(k, s, &sets);
        self.thin(k, s, &sets);
        self.progress(k, s, number, back, &sets);
    }

    fn sets(&self, s: u16, number: u32, back: bool) -> Vec<Set> {
        let service = &self.services[s as usize];
        let record = service.record(number);
        let stage = record.and_then(|r| r.stage);
        let blue = record.and_then(|r| r.blue);
        let traffic = &service.traffic;
        let carries = |n: u32| {
            let shares = [traffic.production_of(n), traffic.test_of(n)];
            shares.into_iter().flatten().any(|share| share > 0)
        };
        let mut sets: Vec<Set> = Vec::new();
        for (place, deployment) in service.deployments.iter().enumerate() {
            let n = deployment.number;
            let keep = Want::Keep(service.desired);
            let clean = stage >= Some(LifecycleStage::CleanUp);
            let want = match (place == 0, back) {
                (true, true) => keep,
                (true, false) if stage >= Some(LifecycleStage::ScaleUp) => keep,
                (true, false) => Want::Keep(0),
                // On the way back only what still carries traffic stays.
                (false, true) if carries(n) && !clean => Want::Leave,
                (false, true) => Want::Gone,
                (false, false) if Some(n) == blue && !clean => keep,
                (false, false) => Want::Gone,
            };
            sets.push(Set {
                number: n,
                want,
                placed: Vec::new(),
                healthy: 0,
                serving: false,
            });
        }
        for id in &service.tasks {
            let task = &self.tasks[id];
            let Owner::Service { deployment, .. } = task.owner else {
                continue;
            };
            if let Some(set) = sets.iter_mut().find(|set| set.number == deployment) {
                set.serving |= task.phase <= Phase::Deactivating;
                if task.is_placed() {
                    set.placed.push(*id);
                    set.healthy += u32::from(task.is_healthy());
                }
            }
        }
        sets
    }

    /// Starts what is missing.
    fn fill(&mut self, k: &mut Kernel, s: u16, sets: &[Set]) {
        for set in sets {
            let Want::Keep(wanted) = set.want else { continue };
            let missing = wanted.saturating_sub(set.placed.len() as u32);
            if missing > 0 {
                self.start_for(k, s, set.number, missing);
            }
        }
    }

    /// Stops what is too much.
    fn thin(&mut self, k: &mut Kernel, s: u16, sets: &[Set]) {
        let desired = self.services[s as usize].desired;
        let keeper = sets.iter().skip(1).find(|set| matches!(set.want, Want::Keep(_)));
        let safe = keeper.is_none_or(|blue| blue.is_complete(desired) && self.carries(s, blue.number));
        let mut going = Vec::new();
        for set in sets {
            match set.want {
                Want::Keep(wanted) => {
                    let extra = set.placed.len().saturating_sub(wanted as usize);
                    going.extend(set.placed.iter().rev().take(extra));
                }
                Want::Gone if safe => going.extend(&set.placed),
                Want::Gone | Want::Leave => {}
            }
        }
        self.send_off(k, s, &going);
    }

    /// Goes on to the next stage when the present one has what it waits for.
    fn progress(&mut self, k: &mut Kernel, s: u16, number: u32, back: bool, sets: &[Set]) {
        let service = &self.services[s as usize];
        let Some(record) = service.record(number) else {
            return;
        };
        if !back
            && service
                .primary()
                .is_none_or(|d| d.rollout != RolloutState::InProgress)
        {
            return;
        }
        if record.stage.is_none()
            && !back
            && let Some(why) = self.wrong_rules(s)
        {
            self.give_up(k, s, &GivenUp::Network(why));
            return;
        }
        if let Some(stage) = record.stage {
            if k.now < record.stage_until {
                let wait = record.stage_until.as_millis() - k.now.as_millis();
                self.schedule(k, s, wait);
                return;
            }
            if stage == LifecycleStage::ReconcileService {
                self.gather(k, s, sets);
            }
            if !self.has_arrived(s, stage, sets) || !self.hooks_done(k, s, number) {
                return;
            }
        }
        let next = match (back, self.services[s as usize].record(number)) {
            (_, None) => return,
            (true, Some(record)) => self.next_back(s, record),
            (false, Some(record)) => self.next_forward(s, record, sets),
        };
        match next {
            Some(stage) => self.enter(k, s, number, back, stage),
            None => self.finish_staged(k, s),
        }
    }

    /// Brings all traffic to the set that keeps it, as soon as that one is whole.
    fn gather(&mut self, k: &mut Kernel, s: u16, sets: &[Set]) {
        let service = &self.services[s as usize];
        let keeper = sets.iter().skip(1).find(|set| matches!(set.want, Want::Keep(_)));
        let Some(keeper) = keeper.filter(|set| set.is_complete(service.desired)) else {
            return;
        };
        let number = keeper.number;
        let held = |share: Option<u16>| share == Some(ALL);
        if held(service.traffic.production_of(number)) && held(service.traffic.test_of(number)) {
            return;
        }
        let shifted = self.shift_production(s, None, number, ALL);
        let shifted = shifted.and_then(|()| self.shift_test(s, number));
        if !self.is_lost(k, s, false, shifted) {
            self.look_again(k, s);
        }
    }

    /// Whether the tasks are as a stage wants them.
    fn has_arrived(&self, s: u16, stage: LifecycleStage, sets: &[Set]) -> bool {
        let desired = self.services[s as usize].desired;
        let Some((front, others)) = sets.split_first() else {
            return false;
        };
        match stage {
            LifecycleStage::ReconcileService => others.iter().all(|set| match set.want {
                Want::Gone => set.placed.is_empty(),
                Want::Keep(_) | Want::Leave => set.is_complete(desired) && self.carries(s, set.number),
            }),
            // Traffic moves to a whole set only. A set may have lost a task since it was whole.
            LifecycleStage::ScaleUp
            | LifecycleStage::PostScaleUp
            | LifecycleStage::PreProductionTrafficShift => front.is_complete(desired),
            LifecycleStage::CleanUp => {
                front.is_complete(desired) && others.iter().all(|set| !set.serving && set.placed.is_empty())
            }
            LifecycleStage::PreScaleUp
            | LifecycleStage::TestTrafficShift
            | LifecycleStage::PostTestTrafficShift
            | LifecycleStage::ProductionTrafficShift
            | LifecycleStage::PostProductionTrafficShift
            | LifecycleStage::BakeTime => true,
        }
    }

    /// Whether all of production goes to a deployment, where ECS moves traffic.
    fn carries(&self, s: u16, number: u32) -> bool {
        let traffic = &self.services[s as usize].traffic;
        traffic.is_empty() || traffic.production_of(number) == Some(ALL)
    }

    fn next_forward(&self, s: u16, record: &Record, sets: &[Set]) -> Option<LifecycleStage> {
        use LifecycleStage::{
            BakeTime, CleanUp, PostProductionTrafficShift, PostScaleUp, PostTestTrafficShift,
            PreProductionTrafficShift, PreScaleUp, ProductionTrafficShift, ReconcileService, ScaleUp,
            TestTrafficShift,
        };
        let share = self.services[s as usize].traffic.production_of(record.number);
        let apart = |set: &Set| set.want == Want::Gone && !set.placed.is_empty();
        let holder = record.blue.unwrap_or(record.number);
        let several = sets.iter().skip(1).any(apart) || !self.carries(s, holder);
        Some(match record.stage {
            None if several => ReconcileService,
            None | Some(ReconcileService) => PreScaleUp,
            Some(PreScaleUp) => ScaleUp,
            Some(ScaleUp) => PostScaleUp,
            Some(PostScaleUp) => TestTrafficShift,
            Some(TestTrafficShift) => PostTestTrafficShift,
            Some(PostTestTrafficShift) => PreProductionTrafficShift,
            Some(PreProductionTrafficShift) => ProductionTrafficShift,
            Some(ProductionTrafficShift) if share.is_some_and(|share| share < ALL) => {
                PreProductionTrafficShift
            }
            Some(ProductionTrafficShift) => PostProductionTrafficShift,
            Some(PostProductionTrafficShift) => BakeTime,
            Some(BakeTime) => CleanUp,
            Some(CleanUp) => return None,
        })
    }

    fn next_back(&self, s: u16, record: &Record) -> Option<LifecycleStage> {
        let service = &self.services[s as usize];
        let to = service.primary().map_or(0, |d| d.number);
        let whole = |share: Option<u16>| share == Some(ALL);
        let production = !whole(service.traffic.production_of(to));
        let test = !whole(service.traffic.test_of(to));
        match record.stage {
            None => Some(LifecycleStage::ScaleUp),
            Some(LifecycleStage::ScaleUp) if production => Some(LifecycleStage::ProductionTrafficShift),
            Some(LifecycleStage::ScaleUp | LifecycleStage::ProductionTrafficShift) if test => {
                Some(LifecycleStage::TestTrafficShift)
            }
            Some(LifecycleStage::CleanUp) => None,
            Some(_) => Some(LifecycleStage::CleanUp),
        }
    }

    fn enter(&mut self, k: &mut Kernel, s: u16, number: u32, back: bool, stage: LifecycleStage) {
        let shift = k.draw(Stream::Scheduler, self.timing.shift);
        let service = &self.services[s as usize];
        let Some(record) = service.record(number) else {
            return;
        };
        let (strategy, blue) = (record.plan.strategy, record.blue);
        let front = service.primary().map_or(number, |d| d.number);
        let lasts = match stage {
            LifecycleStage::ProductionTrafficShift => {
                let share = service.traffic.production_of(front).unwrap_or(0);
                let (next, bake) = if back {
                    (ALL, 0)
                } else {
                    strategy.next_share(share)
                };
                let shifted = self.shift_production(s, blue, front, next);
                if self.is_lost(k, s, back, shifted) {
                    return;
                }
                shift.saturating_add(bake)
            }
            LifecycleStage::TestTrafficShift => {
                let shifted = self.shift_test(s, front);
                if self.is_lost(k, s, back, shifted) {
                    return;
                }
                shift
            }
            LifecycleStage::BakeTime => record.plan.bake(),
            LifecycleStage::ReconcileService
            | LifecycleStage::PreScaleUp
            | LifecycleStage::ScaleUp
            | LifecycleStage::PostScaleUp
            | LifecycleStage::PostTestTrafficShift
            | LifecycleStage::PreProductionTrafficShift
            | LifecycleStage::PostProductionTrafficShift
            | LifecycleStage::CleanUp => 0,
        };
        let hooks = self.start_hooks(k, s, number, stage, back);
        if let Some(record) = self.services[s as usize].record_mut(number) {
            record.stage = Some(stage);
            record.stage_until = plus(k.now, lasts);
            record.hooks = hooks;
            record.updated_at = k.now;
        }
        self.look_again(k, s);
    }

    /// Whether a deployment is given up because its load balancer did not move its traffic. One that goes back does what it
    /// can.
    fn is_lost(&mut self, k: &mut Kernel, s: u16, back: bool, shifted: Result<(), Refused>) -> bool {
        match shifted {
            Err(why) if !back => {
                self.give_up(k, s, &GivenUp::Network(why.to_string()));
                true
            }
            Ok(()) | Err(_) => false,
        }
    }

    /// The scheduler looks again soon: most stages have nothing to wait for.
    fn look_again(&mut self, k: &mut Kernel, s: u16) {
        let wait = k.draw(Stream::Scheduler, self.timing.schedule);
        self.schedule(k, s, wait.max(1));
    }

    fn finish_staged(&mut self, k: &mut Kernel, s: u16) {
        self.complete(k, s);
        let service = &mut self.services[s as usize];
        service.steady = true;
        service.say(k.now, "has reached a steady state.");
    }

    /// Somebody asks for the rollback of a deployment that is on its way forward; `false` for any other. The scheduler begins
    /// it when it looks next.
    pub(crate) fn ask_for_rollback(&mut self, k: &mut Kernel, s: u16, number: u32) -> bool {
        let record = self.services[s as usize].record_mut(number);
        let Some(record) = record.filter(|r| r.is_forward()) else {
            return false;
        };
        record.status = RecordStatus::RollbackRequested;
        record.updated_at = k.now;
        record.hooks.clear();
        self.schedule(k, s, 0);
        true
    }

    /// A deployment that was created begins. A rollback that was asked for begins, too, and then the scheduler has seen enough
    /// for one look: `true`.
    pub(super) fn begin_or_go_back(&mut self, k: &mut Kernel, s: u16) -> bool {
        let now: Timestamp = k.now;
        let service = &mut self.services[s as usize];
        let Some(number) = service.primary().map(|d| d.number) else {
            return false;
        };
        let Some(record) = service.record_mut(number) else {
            return false;
        };
        match record.status {
            RecordStatus::Pending => {
                record.status = RecordStatus::InProgress;
                record.started_at = Some(now);
                record.updated_at = now;
                false
            }
            RecordStatus::RollbackRequested => {
                self.give_up(k, s, &GivenUp::User);
                true
            }
            _ => false,
        }
    }
}
