//! The world of a whole release: images, one service, a gate, a record, in an environment that others use too.

use rollout_core::error::ErrorRecord;
use rollout_core::id::{ContainerName, DeploymentId, TaskDefinitionArn};
use rollout_core::image::{Ensured, ManifestTree};
use rollout_core::machine::rollout::{Action, Effect, Event, LeftAt, Outcome, Rollout};
use rollout_core::machine::{Machine as _, cutover, deployment, gate, promotion, unwind};
use rollout_core::probe::{Sample, SampleRequest, Verdict};
use rollout_core::service::{Found, Identity, Part, PartKind, RestorePoint, Usability};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::ecs::{Deployer, EcsWorld, revision, version_of};
use super::images::{ImageWorld, digest, shows};
use super::runners::{Act, Shared};
use super::single::{Call, Reply, World as _};
use super::zone::ZoneWorld;

mod rules;

/// What the world remembers of a runner.
#[derive(Clone, Debug, Serialize)]
struct Seen {
    who: Deployer,
    /// What it captured: the deployment, and the revision to go back to.
    captured: Option<DeploymentId>,
    /// Whether it has looked what there is to go back to.
    looked: bool,
    point: Option<TaskDefinitionArn>,
    identified: bool,
    /// Whether the gate has passed on its last change.
    passed: bool,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseWorld {
    /// The service; it holds what is left of faults, others and failures.
    service: EcsWorld,
    /// The images; `None`: whatever is asked about images, revisions and the caller has one true answer.
    images: Option<ImageWorld>,
    /// The record, if the release moves one.
    record: Option<ZoneWorld>,
    seen: Vec<Seen>,
}

/// The account and region that the plan expects.
#[must_use]
pub fn identity() -> Identity {
    Identity {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        caller: "arn:aws:iam::111122223333:role/deployer".to_owned(),
        expires_at: None,
    }
}

/// An event of a part, as the release hears it.
fn heard(action: &Effect, event: Heard) -> Event {
    let step = action.step.clone();
    match event {
        Heard::Image(event) => Event::Promotion { step, event },
        Heard::Service(event) => Event::Deployment { step, event },
        Heard::Gate(event) => Event::Gate { step, event },
        Heard::Record(event) => Event::Cutover { step, event },
    }
}

/// Everything that a restore point rests on is there.
fn there(point: &RestorePoint, at: Timestamp) -> Usability {
    let image = |container: &ContainerName| PartKind::Image {
        container: container.clone(),
    };
    let kinds = core::iter::once(PartKind::Revision).chain(point.images.keys().map(image));
    let parts = kinds.map(|kind| Part {
        kind,
        name: "something".to_owned(),
        found: Found::Usable,
    });
    Usability {
        at,
        parts: parts.collect(),
    }
}

/// The event of a part.
enum Heard {
    Image(promotion::Event),
    Service(deployment::Event),
    Gate(gate::Event),
    Record(cutover::Event),
}

impl ReleaseWorld {
    /// The world of one runner, whose every call can go wrong.
    #[must_use]
    pub fn alone(who: Deployer, service: EcsWorld) -> Self {
        Self {
            images: Some(ImageWorld::new(false, 0, 0)),
            ..Self::shared(&[who], service)
        }
    }

    /// The world of several runners, in which only what they share can go wrong.
    #[must_use]
    pub fn shared(who: &[Deployer], service: EcsWorld) -> Self {
        let seen = |who: &Deployer| Seen {
            who: *who,
            captured: None,
            looked: false,
            point: None,
            identified: false,
            passed: false,
        };
        Self {
            service,
            images: None,
            record: None,
            seen: who.iter().map(seen).collect(),
        }
    }

    /// The same with a record.
    #[must_use]
    pub fn with_record(mut self, record: ZoneWorld) -> Self {
        self.record = Some(record);
        self
    }

    fn with(&self, service: EcsWorld) -> Self {
        Self {
            service,
            ..self.clone()
        }
    }

    fn who(&self, by: u8) -> Deployer {
        self.seen[usize::from(by)].who
    }

    fn call<E: Clone>(call: &Call<Effect>, effect: &E) -> Call<E> {
        Call {
            effect: effect.clone(),
            asked: call.asked,
        }
    }

    fn of_service(
        &self,
        now: Timestamp,
        by: u8,
        call: &Call<deployment::Effect>,
        lift: impl Fn(deployment::Event) -> Event,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        let mut replies = Vec::new();
        self.service.reply(now, self.who(by), call, &mut replies);
        out.extend(
            replies
                .into_iter()
                .map(|reply| reply.lift(|service| self.with(service), &lift)),
        );
    }

    fn of_image(
        &self,
        now: Timestamp,
        call: &Call<promotion::Effect>,
        out: &mut Vec<Reply<Self, promotion::Event>>,
    ) {
        let Some(images) = &self.images else { return };
        let images = images.with_faults(self.service.faults);
        let mut replies = Vec::new();
        images.answers(now, call, &mut replies);
        let lift = |images: ImageWorld| Self {
            service: self.service.with_faults(images.faults),
            images: Some(images),
            ..self.clone()
        };
        out.extend(replies.into_iter().map(|reply| reply.lift(lift, |event| event)));
    }

    fn of_record(
        &self,
        now: Timestamp,
        call: &Call<cutover::Effect>,
        out: &mut Vec<Reply<Self, cutover::Event>>,
    ) {
        let Some(record) = &self.record else { return };
        let mut replies = Vec::new();
        record
            .with_faults(self.service.faults)
            .reply(now, call, &mut replies);
        let lift = |record: ZoneWorld| Self {
            service: self.service.with_faults(record.faults()),
            record: Some(record),
            ..self.clone()
        };
        out.extend(replies.into_iter().map(|reply| reply.lift(lift, |event| event)));
    }

    fn of_gate(&self, now: Timestamp, request: &SampleRequest, out: &mut Vec<Reply<Self, gate::Event>>) {
        let sampled = |verdict| gate::Event::Sampled {
            probe: request.probe.clone(),
            sample: Sample {
                at: now,
                verdict,
                images: Some(request.subject.images.clone()),
                evidence: vec![],
            },
        };
        out.push(Reply::fair("passes", self.clone(), sampled(Verdict::Pass)));
        if let Some(less) = self.spend() {
            out.push(Reply::fault("fails", less.clone(), sampled(Verdict::Fail)));
            out.push(Reply::fault(
                "is unknown",
                less.clone(),
                sampled(Verdict::Unknown),
            ));
            let failed = |error| gate::Event::SampleFailed {
                probe: request.probe.clone(),
                error,
            };
            out.extend(Reply::none(less, failed));
        }
    }

    /// The rollout's own looks: true, stale, refused, lost.
    fn look(
        &self,
        effect: &Effect,
        out: &mut Vec<Reply<Self, Event>>,
        answer: impl Fn(&EcsWorld, bool) -> Option<Event>,
    ) {
        let truth = answer(&self.service, false);
        out.extend(truth.map(|event| Reply::fair("looked at", self.clone(), event)));
        let Some(less) = self.spend() else { return };
        let stale = answer(&self.service, true);
        out.extend(stale.map(|event| Reply::fault("looked at: stale", less.clone(), event)));
        let failed = |error| Event::CallFailed {
            step: effect.step.clone(),
            error,
        };
        out.extend(Reply::none(less, failed));
    }
}

impl Shared<Rollout> for ReleaseWorld {
    fn certain(&self, now: Timestamp, by: u8, effect: &Effect) -> Option<Event> {
        if self.images.is_some() {
            return None;
        }
        let who = self.who(by);
        let image = |event| Some(heard(effect, Heard::Image(event)));
        match &effect.action {
            Action::CheckIdentity => Some(Event::IdentitySeen(identity())),
            Action::Promotion(promotion::Effect::ObserveSource { .. }) => {
                let seen = shows(version_of(who.revision), now, true);
                image(promotion::Event::SourceObserved(Box::new(seen)))
            }
            Action::Promotion(promotion::Effect::CopyImage { .. }) => {
                image(promotion::Event::Copied(Ensured::Created))
            }
            Action::Promotion(promotion::Effect::ReadBack { image: of }) => {
                image(promotion::Event::ReadBack(Some(ManifestTree {
                    digest: of.digest.clone(),
                    media_type: "m".to_owned(),
                    children: vec![],
                    missing: vec![],
                })))
            }
            Action::Promotion(promotion::Effect::ResolveTag { .. }) => image(promotion::Event::TagResolved(
                Some(digest(version_of(who.revision))),
            )),
            Action::Deployment(deployment::Effect::EnsureRevision(_)) => {
                let event = deployment::Event::RevisionReady {
                    task_definition: revision(who.revision),
                    ensured: Ensured::Created,
                };
                Some(heard(effect, Heard::Service(event)))
            }
            Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. }
            | Action::Task(_)
            | Action::Deployment(_)
            | Action::Gate(_)
            | Action::Cutover(_)
            | Action::Unwind(_) => None,
        }
    }

    fn answers(&self, now: Timestamp, by: u8, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let effect = &call.effect;
        match &effect.action {
            Action::CheckIdentity => {
                self.look(effect, out, |_, stale| {
                    (!stale).then(|| Event::IdentitySeen(identity()))
                });
                let other = Identity {
                    account: "444455556666".to_owned(),
                    ..identity()
                };
                out.extend(
                    self.spend()
                        .map(|less| Reply::fault("another account", less, Event::IdentitySeen(other))),
                );
            }
            Action::Capture { service } => self.look(effect, out, |world, stale| {
                let captured = world.captured(now, stale)?;
                Some(Event::Captured {
                    service: service.clone(),
                    captured,
                })
            }),
            Action::CheckUsable { point } => self.look(effect, out, |_, stale| {
                (!stale).then(|| Event::UsabilitySeen {
                    service: point.service.clone(),
                    seen: Box::new(there(point, now)),
                })
            }),
            Action::Confirm { service } => self.look(effect, out, |world, stale| {
                Some(Event::Confirmed {
                    service: service.clone(),
                    seen: Box::new(world.looked_at(call.asked, stale)?),
                })
            }),
            Action::ReadRecord { .. } => self.look(effect, out, |_, stale| {
                let snapshot = self.record.as_ref()?.snapshot(call.asked);
                (!stale).then(|| Event::RecordRead {
                    step: effect.step.clone(),
                    snapshot: Box::new(snapshot),
                })
            }),
            Action::Promotion(part) => {
                let mut replies = Vec::new();
                self.of_image(now, &Self::call(call, part), &mut replies);
                let lift = |event| heard(effect, Heard::Image(event));
                out.extend(replies.into_iter().map(|reply| reply.lift(|world| world, lift)));
            }
            Action::Deployment(part) => {
                let lift = |event| heard(effect, Heard::Service(event));
                self.of_service(now, by, &Self::call(call, part), lift, out);
            }
            Action::Gate(gate::Effect::TakeSample(request)) => {
                let mut replies = Vec::new();
                self.of_gate(now, request, &mut replies);
                let lift = |event| heard(effect, Heard::Gate(event));
                out.extend(replies.into_iter().map(|reply| reply.lift(|world| world, lift)));
            }
            Action::Cutover(part) => {
                let mut replies = Vec::new();
                self.of_record(now, &Self::call(call, part), &mut replies);
                let lift = |event| heard(effect, Heard::Record(event));
                out.extend(replies.into_iter().map(|reply| reply.lift(|world| world, lift)));
            }
            Action::Unwind(back) => match &back.action {
                unwind::Action::Deployment(part) => {
                    let lift = |event| {
                        Event::Unwind(unwind::Event::Deployment {
                            step: back.step.clone(),
                            event,
                        })
                    };
                    self.of_service(now, by, &Self::call(call, part), lift, out);
                }
                unwind::Action::Cutover(part) => {
                    let mut replies = Vec::new();
                    self.of_record(now, &Self::call(call, part), &mut replies);
                    let lift = |event| {
                        Event::Unwind(unwind::Event::Cutover {
                            step: back.step.clone(),
                            event,
                        })
                    };
                    out.extend(replies.into_iter().map(|reply| reply.lift(|world| world, lift)));
                }
            },
            Action::SampleAlarm(_) | Action::Task(_) => {}
        }
    }

    fn looked(&self, effect: &Effect) -> Option<Effect> {
        let action = match &effect.action {
            Action::Deployment(part) => Action::Deployment(self.service.looked(part)?),
            Action::Unwind(back) => match &back.action {
                unwind::Action::Deployment(part) => Action::Unwind(unwind::Effect {
                    step: back.step.clone(),
                    action: unwind::Action::Deployment(self.service.looked(part)?),
                }),
                // The zone compares.
                unwind::Action::Cutover(_) => return None,
            },
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. }
            | Action::Promotion(_)
            | Action::Task(_)
            | Action::Gate(_)
            | Action::Cutover(_) => return None,
        };
        Some(Effect {
            step: effect.step.clone(),
            action,
        })
    }

    fn failed(&self, effect: &Effect, error: ErrorRecord) -> Event {
        match &effect.action {
            Action::Promotion(_) => heard(effect, Heard::Image(promotion::Event::CallFailed(error))),
            Action::Deployment(_) => heard(effect, Heard::Service(deployment::Event::CallFailed(error))),
            Action::Cutover(_) => heard(effect, Heard::Record(cutover::Event::CallFailed(error))),
            Action::Unwind(back) => Event::Unwind(match &back.action {
                unwind::Action::Deployment(_) => unwind::Event::Deployment {
                    step: back.step.clone(),
                    event: deployment::Event::CallFailed(error),
                },
                unwind::Action::Cutover(_) => unwind::Event::Cutover {
                    step: back.step.clone(),
                    event: cutover::Event::CallFailed(error),
                },
            }),
            Action::CheckIdentity
            | Action::Capture { .. }
            | Action::CheckUsable { .. }
            | Action::SampleAlarm(_)
            | Action::ReadRecord { .. }
            | Action::Confirm { .. }
            | Action::Task(_)
            | Action::Gate(_) => Event::CallFailed {
                step: effect.step.clone(),
                error,
            },
        }
    }

    fn happenings(&self, now: Timestamp, out: &mut Vec<Reply<Self, Event>>) {
        let mut replies = Vec::new();
        self.service.happen::<Event>(now, &mut replies);
        out.extend(
            replies
                .into_iter()
                .map(|reply| reply.lift(|service| self.with(service), |event| event)),
        );
        if let Some(record) = &self.record {
            let mut replies = Vec::new();
            record.happen(now, &mut replies);
            let lift = |record| Self {
                record: Some(record),
                ..self.clone()
            };
            out.extend(
                replies
                    .into_iter()
                    .filter(|reply| reply.event.is_none())
                    .map(|reply| Reply::silent(reply.label, lift(reply.world))),
            );
        }
        if let Some(images) = self.images.as_ref().and_then(ImageWorld::landed) {
            let world = Self {
                images: Some(images),
                ..self.clone()
            };
            out.push(Reply::silent("a lost copy lands", world));
        }
    }

    fn pass(&mut self, now: Timestamp) {
        self.service.settle(now);
        if let Some(record) = &mut self.record {
            record.settle(now);
        }
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.service.faults.checked_sub(1)?;
        Some(self.with(self.service.with_faults(faults)))
    }

    fn judge(&mut self, act: &Act<'_, Rollout>) -> Result<(), String> {
        self.remember(act);
        let seen = &self.seen[usize::from(act.by)];
        self.allow(seen, act)?;
        if let Some(record) = &self.record {
            let batches = act.effects.iter().filter_map(|effect| match &effect.action {
                Action::Cutover(part) => Some(part),
                Action::Unwind(back) => match &back.action {
                    unwind::Action::Cutover(part) => Some(part),
                    unwind::Action::Deployment(_) => None,
                },
                _ => None,
            });
            record.allow(batches)?;
        }
        match act.after.outcome() {
            Some(outcome) => {
                self.hold(seen, &outcome)?;
                match outcome {
                    Outcome::Stuck(_) => self.repair(act.now, seen, act.after),
                    _ => Ok(()),
                }
            }
            None => Ok(()),
        }
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Released { .. } => "released",
            Outcome::RolledBack { .. } => "rolled back",
            Outcome::Refused { .. } => "refused",
            Outcome::Superseded { .. } => "superseded",
            Outcome::Aborted {
                left_at: LeftAt::Untouched,
            } => "aborted, untouched",
            Outcome::Aborted {
                left_at: LeftAt::LastKnownGood,
            } => "aborted, back",
            Outcome::Stuck(_) => "stuck",
        }
    }
}
