//! The world of a way back: one service and one record, with what a release has left of both.

use rollout_core::id::TaskDefinitionArn;
use rollout_core::machine::Machine as _;
use rollout_core::machine::unwind::{Action, Effect, Event, Outcome, Unwind};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::ecs::{Deployer, EcsWorld};
use super::single::{Call, Reply, World};
use super::zone::ZoneWorld;

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct BackWorld {
    who: Deployer,
    /// Where the service goes back to.
    point: TaskDefinitionArn,
    /// The service; it holds what is left of faults.
    service: EcsWorld,
    record: Option<ZoneWorld>,
    /// Whether the service's turn has come: the record is never touched after that.
    below: bool,
}

impl BackWorld {
    /// What a runner has left of a service and a record.
    #[must_use]
    pub const fn new(
        who: Deployer,
        point: TaskDefinitionArn,
        service: EcsWorld,
        record: Option<ZoneWorld>,
    ) -> Self {
        Self {
            who,
            point,
            service,
            record,
            below: false,
        }
    }

    fn with(&self, service: EcsWorld) -> Self {
        Self {
            service,
            ..self.clone()
        }
    }

    fn hold(&self, outcome: &Outcome) -> Result<(), String> {
        let record = || self.record.as_ref().map_or(Ok(()), ZoneWorld::bears_back);
        match outcome {
            Outcome::AtLastKnownGood { .. } => {
                self.service.bears_back(self.who, &self.point)?;
                record()
            }
            Outcome::Superseded(_) if !self.service.foreign_to(self.who) && !self.service.platform => {
                Err("I-6: superseded by nobody".to_owned())
            }
            Outcome::Superseded(_) => record(),
            Outcome::Stuck(stuck) if stuck.text.is_empty() || stuck.next.is_empty() => {
                Err("L-2: stuck without a word or a next step".to_owned())
            }
            Outcome::Stuck(_) => Ok(()),
        }
    }
}

impl World<Unwind> for BackWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let step = || call.effect.step.clone();
        match (&call.effect.action, &self.record) {
            (Action::Deployment(part), _) => {
                let part = Call {
                    effect: part.clone(),
                    asked: call.asked,
                };
                let mut replies = Vec::new();
                self.service.reply(now, self.who, &part, &mut replies);
                let lift = |event| Event::Deployment { step: step(), event };
                out.extend(
                    replies
                        .into_iter()
                        .map(|reply| reply.lift(|service| self.with(service), lift)),
                );
            }
            (Action::Cutover(part), Some(record)) => {
                let part = Call {
                    effect: part.clone(),
                    asked: call.asked,
                };
                let mut replies = Vec::new();
                record
                    .with_faults(self.service.faults)
                    .reply(now, &part, &mut replies);
                let lift = |event| Event::Cutover { step: step(), event };
                let world = |record: ZoneWorld| Self {
                    service: self.service.with_faults(record.faults()),
                    record: Some(record),
                    ..self.clone()
                };
                out.extend(replies.into_iter().map(|reply| reply.lift(world, lift)));
            }
            (Action::Cutover(_), None) => {}
        }
    }

    fn happenings(&self, now: Timestamp, _: &Unwind, out: &mut Vec<Reply<Self, Event>>) {
        // Before its turn, what happens to the service is merely what it is found to be.
        if self.below {
            let mut replies = Vec::new();
            self.service.happen::<Event>(now, &mut replies);
            let lift =
                |reply: Reply<EcsWorld, Event>| reply.lift(|service| self.with(service), |event| event);
            out.extend(replies.into_iter().map(lift));
        }
        let Some(record) = &self.record else { return };
        let mut replies = Vec::new();
        record.happen(now, &mut replies);
        out.extend(replies.into_iter().map(|reply| {
            let record = Some(reply.world);
            Reply::silent(
                reply.label,
                Self {
                    record,
                    ..self.clone()
                },
            )
        }));
    }

    fn pass(&mut self, now: Timestamp) {
        self.service.settle(now);
        if let Some(record) = &mut self.record {
            record.settle(now);
        }
    }

    fn judge(
        &mut self,
        _: Timestamp,
        _: &Unwind,
        _: &Event,
        effects: &[Effect],
        after: &Unwind,
    ) -> Result<(), String> {
        for effect in effects {
            match &effect.action {
                Action::Deployment(part) => {
                    self.below = true;
                    self.service.allow(self.who, None, [part])?;
                }
                Action::Cutover(_) if self.below => {
                    return Err("I-9: a record goes back after what it points at has".to_owned());
                }
                Action::Cutover(part) => {
                    let record = self.record.as_mut().ok_or("a record that nobody changed")?;
                    record.open(true);
                    record.allow([part])?;
                }
            }
        }
        after.outcome().map_or(Ok(()), |outcome| self.hold(&outcome))
    }

    fn settles(&self, now: Timestamp) -> Option<Self> {
        let service = self.service.completes(now).map(|service| self.with(service));
        service.or_else(|| {
            let record = self.record.as_ref()?.spreads()?;
            Some(Self {
                record: Some(record),
                ..self.clone()
            })
        })
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::AtLastKnownGood { .. } => "back",
            Outcome::Superseded(_) => "superseded",
            Outcome::Stuck(_) => "stuck",
        }
    }
}
