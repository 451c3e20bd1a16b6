//! What no release may do or say, and the way out of one that is stuck.

use rollout_core::evidence::StuckReason;
use rollout_core::id::TaskDefinitionArn;
use rollout_core::machine::rollout::{
    Action, Effect, Event, LeftAt, Outcome, Rollout, StateKind, Superseding,
};
use rollout_core::machine::unwind::Unwind;
use rollout_core::machine::{Transitions as _, cutover, deployment, gate, promotion, unwind};
use rollout_core::probe::Verdict;
use rollout_core::service::Captured;
use rollout_core::time::Timestamp;

use super::super::back::BackWorld;
use super::super::ecs::Deployer;
use super::super::runners::Act;
use super::super::secs;
use super::super::single::fairly;
use super::super::zone::ZoneWorld;
use super::{ReleaseWorld, Seen};

impl ReleaseWorld {
    /// What the effects ask for may be asked for now.
    pub(super) fn allow(&self, seen: &Seen, act: &Act<'_, Rollout>) -> Result<(), String> {
        let state = act.after.state_kind();
        for effect in act.effects {
            let forward = match &effect.action {
                Action::CheckIdentity
                | Action::Capture { .. }
                | Action::CheckUsable { .. }
                | Action::SampleAlarm(_)
                | Action::ReadRecord { .. }
                | Action::Confirm { .. }
                | Action::Gate(_) => continue,
                Action::Promotion(promotion::Effect::CopyImage { .. }) => true,
                Action::Promotion(_) => continue,
                Action::Task(_) => return Err("a task that nobody planned".to_owned()),
                Action::Deployment(effect) => {
                    self.service.allow(seen.who, seen.captured.as_ref(), [effect])?;
                    !matches!(effect, deployment::Effect::Observe { .. })
                }
                Action::Cutover(cutover::Effect::Apply { .. }) => {
                    // On the way back of a cutover that is under way the gate does not count any more.
                    if !seen.passed && state == StateKind::Changing {
                        return Err("I-7: a record changes before the gate has passed".to_owned());
                    }
                    continue;
                }
                Action::Cutover(_) => continue,
                Action::Unwind(back) => {
                    if let unwind::Action::Deployment(effect) = &back.action {
                        self.service.allow(seen.who, seen.captured.as_ref(), [effect])?;
                    }
                    false
                }
            };
            if forward && (!seen.identified || !seen.looked) {
                return Err("I-1: a change before everything was read".to_owned());
            }
            if forward && !matches!(state, StateKind::Promoting | StateKind::Changing) {
                return Err(format!("I-14: a change forward in state {state:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn remember(&mut self, act: &Act<'_, Rollout>) {
        let seen = &mut self.seen[usize::from(act.by)];
        match act.event {
            Event::IdentitySeen(_) => seen.identified = true,
            Event::Captured { captured, .. } => {
                seen.looked = true;
                match captured {
                    Captured::Point(point) => {
                        seen.captured = Some(point.deployment.clone());
                        seen.point = Some(point.task_definition.clone());
                    }
                    Captured::Nothing { deployment, .. } => seen.captured.clone_from(deployment),
                    Captured::Busy { .. } => {}
                }
            }
            Event::Gate {
                event: gate::Event::Sampled { sample, .. },
                ..
            } if sample.verdict == Verdict::Pass => seen.passed = true,
            _ => {}
        }
        let updates = |effect: &Effect| {
            matches!(
                effect.action,
                Action::Deployment(deployment::Effect::UpdateService(_))
            )
        };
        if act.effects.iter().any(updates) {
            seen.passed = false;
        }
        if let Some(record) = &mut self.record {
            record.open(act.effects.iter().any(|effect| {
                matches!(
                    effect.action,
                    Action::Cutover(cutover::Effect::CheckTarget { .. } | cutover::Effect::Apply { .. })
                )
            }));
        }
    }

    /// What an outcome claims, against the world.
    pub(super) fn hold(&self, seen: &Seen, outcome: &Outcome) -> Result<(), String> {
        let who = seen.who;
        match outcome {
            Outcome::Released { services, .. } => {
                if !seen.passed && self.images.is_some() {
                    return Err("I-7: released, and the gate has not passed".to_owned());
                }
                for serving in services.values() {
                    self.service
                        .bears_release(who, &serving.deployment, &serving.task_definition)?;
                }
                self.record.as_ref().map_or(Ok(()), ZoneWorld::bears_moved)
            }
            Outcome::RolledBack { .. }
            | Outcome::Aborted {
                left_at: LeftAt::LastKnownGood,
            } => {
                match &seen.point {
                    Some(point) => self.bears_back(who, point)?,
                    None if self.service.touched_by(who) => {
                        return Err("I-13: back at what was never captured".to_owned());
                    }
                    None => {}
                }
                self.record.as_ref().map_or(Ok(()), ZoneWorld::bears_untouched)
            }
            Outcome::Refused { .. }
            | Outcome::Aborted {
                left_at: LeftAt::Untouched,
            } => {
                let record = self.record.as_ref().is_some_and(ZoneWorld::is_touched);
                if record || self.service.touched_by(who) {
                    return Err("I-1: it is said not to be touched, and is".to_owned());
                }
                Ok(())
            }
            Outcome::Superseded {
                by: Superseding::Deployment(_),
            } if !self.service.foreign_to(who) && !self.service.platform => {
                Err("I-6: superseded by nobody".to_owned())
            }
            Outcome::Superseded {
                by: Superseding::Record(_),
            } if !self.record.as_ref().is_some_and(ZoneWorld::is_foreign) => {
                Err("I-5: superseded by nobody".to_owned())
            }
            Outcome::Superseded { .. } => Ok(()),
            Outcome::Stuck(stuck) if stuck.text.is_empty() || stuck.next.is_empty() => {
                Err("L-2: stuck without a word or a next step".to_owned())
            }
            Outcome::Stuck(_) => Ok(()),
        }
    }

    /// A person's way out of a release that is stuck (L-4): `rollout rollback` in a world that is healthy again ends at the
    /// last known good release, or yields to someone else; unless nothing to go back to was ever known, or the service is gone.
    pub(super) fn repair(&self, now: Timestamp, seen: &Seen, stuck: &Rollout) -> Result<(), String> {
        let (Some(point), Some(_)) = (&seen.point, self.service.primary()) else {
            return Ok(());
        };
        if stuck.changed().is_empty() {
            return Ok(());
        }
        let policy = &stuck.plan().policy;
        let spec = unwind::Spec {
            run: stuck.plan().run.clone(),
            changed: stuck.changed().to_vec(),
            blocked_by: stuck.blocked_by().cloned(),
        };
        let policy = policy.unwind();
        let moved = stuck
            .changed()
            .iter()
            .any(|item| matches!(item.undo, unwind::Undo::Record { .. }));
        let record = self.record.as_ref();
        if let Some(left) = record
            && !moved
            && !left.is_old()
        {
            return Err("L-4: a record that was left changed is not taken back".to_owned());
        }
        let record = record.filter(|_| moved);
        let world = BackWorld::new(
            seen.who,
            point.clone(),
            self.service.healed(),
            record.map(ZoneWorld::healed),
        );
        match fairly(Unwind::new(spec, policy), world, now, secs(10)) {
            Ok(unwind::Outcome::AtLastKnownGood { .. } | unwind::Outcome::Superseded(_)) => Ok(()),
            // What someone else has made of a record stays theirs: a person decides.
            Ok(unwind::Outcome::Stuck(again))
                if again.reason == StuckReason::ForeignChange
                    && record.is_some_and(ZoneWorld::is_foreign) =>
            {
                Ok(())
            }
            Ok(unwind::Outcome::Stuck(again)) => Err(format!("L-4: the way out is stuck again: {again:?}")),
            Err(broken) => Err(format!("L-4: on the way out: {broken}")),
        }
    }

    /// The service is back, or was never ours to bring back.
    fn bears_back(&self, who: Deployer, point: &TaskDefinitionArn) -> Result<(), String> {
        if !self.service.touched_by(who) && self.service.foreign_to(who) {
            return Ok(());
        }
        self.service.bears_back(who, point)
    }
}
