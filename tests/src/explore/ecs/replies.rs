//! In how many ways a call is answered, and what happens by itself.

use rollout_core::error::{Applied, ErrorKind};
use rollout_core::id::DeploymentId;
use rollout_core::image::Ensured;
use rollout_core::machine::deployment::{Effect, Event};
use rollout_core::service::DeploymentStarted;
use rollout_core::time::Timestamp;

use super::super::failure;
use super::super::single::{Call, Reply};
use super::{
    BEFORE, By, Dep, Deployer, EcsWorld, Far, Late, STALE, Service, THEIRS, Told, US, deployment, number_of,
    revision,
};

impl EcsWorld {
    /// The ways in which a write may be answered.
    fn update(
        &self,
        now: Timestamp,
        by: Deployer,
        number: u8,
        assumes: Option<&DeploymentId>,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        let less = self.spend();
        let Some(primary) = self.service.deployments.first() else {
            let gone = Event::CallFailed(failure(ErrorKind::NotFound, Applied::No));
            out.push(Reply::fair("write: no such service", self.clone(), gone));
            return;
        };
        if assumes.is_some_and(|assumed| *assumed != deployment(primary.id)) {
            let conflict = Event::CallFailed(failure(ErrorKind::Conflict, Applied::No));
            out.push(Reply::fair("write: conflict", self.clone(), conflict));
            return;
        }
        let done = |world: &Self| {
            let mut world = world.clone();
            world.write(now, number, By::Us(by.number));
            world.written |= by.bit();
            world
        };
        let written = done(self);
        let started = |world: &Self| {
            let primary = world.service.deployments.first().expect("it was written");
            Event::Updated(DeploymentStarted {
                deployment: deployment(primary.id),
                service_deployment: None,
                created_at: primary.created,
            })
        };
        let event = started(&written);
        out.push(Reply::fair("written", written, event));
        if self.others > 0 {
            // Between the port's look and its write: there is no compare-and-set.
            let mut crossed = self.clone();
            crossed.others -= 1;
            crossed.foreign = true;
            crossed.write(now, THEIRS, By::Other);
            let crossed = done(&crossed);
            let event = started(&crossed);
            out.push(Reply::fault(
                "written, over another's that came right before",
                crossed,
                event,
            ));
        }
        if let Some(less) = less {
            out.push(Reply::fault("write: done, answer lost", done(&less), lost()));
            out.push(Reply::fault("write: not done, answer lost", less.clone(), lost()));
            let late = Some(Late {
                by,
                revision: number,
                until: now.after(STALE),
            });
            out.push(Reply::fault(
                "write: answer lost, lands later",
                Self {
                    late: late.clone(),
                    ..less.clone()
                },
                lost(),
            ));
            out.push(Reply::silent(
                "write: never answered, lands later",
                Self { late, ..less },
            ));
        }
    }

    /// The ways in which a deployment may be turned back.
    fn turn(&self, now: Timestamp, by: Deployer, assumes: &DeploymentId, out: &mut Vec<Reply<Self, Event>>) {
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        let fits = |primary: &&Dep| *assumes == deployment(primary.id) && primary.far == Far::Going;
        if self.primary().filter(fits).is_none() {
            let conflict = Event::CallFailed(failure(ErrorKind::Conflict, Applied::No));
            out.push(Reply::fair("turn: conflict", self.clone(), conflict));
            return;
        }
        let asked = |world: &Self| {
            let mut asked = world.clone();
            asked.service.deployments[0].told = Told::Asked;
            asked.written |= by.bit();
            asked.changed(now, world.service.clone());
            asked
        };
        out.push(Reply::fair("turn: asked for", asked(self), Event::TurningBack));
        for (label, turned) in asked(self).turned(now) {
            out.push(Reply::fair(label, turned, Event::TurningBack));
        }
        if let Some(less) = self.spend() {
            out.push(Reply::fault("turn: asked for, answer lost", asked(&less), lost()));
            out.push(Reply::fault(
                "turn: not asked for, answer lost",
                less.clone(),
                lost(),
            ));
            out.push(Reply::silent("turn: asked for, never answered", asked(&less)));
        }
    }

    /// Once the platform begins to turn a deployment back that it was asked to: by a deployment of its own, or by the very one
    /// that ran before.
    fn turned(&self, now: Timestamp) -> Vec<(&'static str, Self)> {
        let Some(primary) = self.primary().filter(|primary| primary.told == Told::Asked) else {
            return Vec::new();
        };
        let to = self.before(primary);
        let mut failed = self.clone();
        failed.service.deployments[0].far = Far::Failed;
        failed.service.deployments[0].told = Told::Record(to);
        failed.platform = true;
        let mut anew = failed.clone();
        anew.write(now, to, By::Platform);
        anew.changed(now, self.service.clone());
        let mut all = vec![("the platform turns it back, anew", anew)];
        let old = failed.service.deployments.get(1);
        if old.is_some_and(|old| old.revision == to && old.far == Far::Done) {
            let mut again = failed;
            again.service.deployments.swap(0, 1);
            again.service.stops = false;
            again.changed(now, self.service.clone());
            all.push(("the platform turns it back, as it was", again));
        }
        all
    }

    /// A change as it is once its port has looked and found what it assumes: it will be made whatever comes in between.
    #[must_use]
    pub fn looked(&self, effect: &Effect) -> Option<Effect> {
        let mut effect = effect.clone();
        let assumes = match &mut effect {
            Effect::UpdateService(change) => &mut change.assumes,
            Effect::Restore { assumes, .. } => assumes,
            Effect::EnsureRevision(_) | Effect::TurnBack { .. } | Effect::Observe { .. } => return None,
        };
        let assumed = assumes.take()?;
        let primary = self.primary()?;
        (deployment(primary.id) == assumed).then_some(effect)
    }

    /// Every way in which a call about the service may be answered.
    pub fn reply(
        &self,
        now: Timestamp,
        by: Deployer,
        call: &Call<Effect>,
        out: &mut Vec<Reply<Self, Event>>,
    ) {
        // A call carries a hard deadline: past it nothing is sent any more.
        let expired = now.since(call.asked) > STALE;
        match &call.effect {
            Effect::EnsureRevision(_) => {
                let event = Event::RevisionReady {
                    task_definition: revision(by.revision),
                    ensured: Ensured::Created,
                };
                out.push(Reply::fair("revision ready", self.clone(), event));
            }
            Effect::UpdateService(_) | Effect::Restore { .. } if expired => {
                let lost = Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
                out.push(Reply::fair(
                    "write: past its deadline, not sent",
                    self.clone(),
                    lost,
                ));
            }
            Effect::UpdateService(change) => {
                self.update(
                    now,
                    by,
                    number_of(&change.task_definition),
                    change.assumes.as_ref(),
                    out,
                );
            }
            Effect::Restore { point, assumes } => {
                self.update(now, by, number_of(&point.task_definition), assumes.as_ref(), out);
            }
            Effect::TurnBack { .. } if expired => {
                let lost = Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
                out.push(Reply::fair(
                    "turn: past its deadline, not sent",
                    self.clone(),
                    lost,
                ));
            }
            Effect::TurnBack { assumes, .. } => self.turn(now, by, assumes, out),
            Effect::Observe { .. } => {
                let seen = |service| Event::Observed(Box::new(self.seen(service, call.asked)));
                out.push(Reply::fair("looked at", self.clone(), seen(&self.service)));
                if let (Some((was, _)), Some(less)) = (&self.was, self.spend()) {
                    out.push(Reply::fault("looked at: stale", less, seen(was)));
                }
            }
        }
        if let Some(less) = self.spend() {
            out.extend(Reply::none(less, Event::CallFailed));
        }
    }

    /// After the deployment that is under way is done, if one is.
    #[must_use]
    pub fn completes(&self, now: Timestamp) -> Option<Self> {
        // What is to be turned back does not complete.
        let on_its_way = |primary: &&Dep| primary.far == Far::Going && primary.told != Told::Asked;
        let primary = self.primary().filter(on_its_way)?;
        let mut done = self.clone();
        done.service.deployments[0].far = Far::Done;
        done.service
            .deployments
            .retain(|dep| dep.id == primary.id || dep.far == Far::Failed);
        done.changed(now, self.service.clone());
        if !matches!(primary.revision, BEFORE | THEIRS) {
            done.proven.push((primary.id, primary.revision));
        }
        Some(done)
    }

    /// The same where nothing goes wrong any more.
    #[must_use]
    pub fn healed(&self) -> Self {
        let service = Service {
            stops: false,
            ..self.service.clone()
        };
        Self {
            service,
            faults: 0,
            others: 0,
            failures: 0,
            ..self.clone()
        }
    }

    /// What may happen to the service by itself or by others.
    pub fn happen<E>(&self, now: Timestamp, out: &mut Vec<Reply<Self, E>>) {
        let Some(primary) = self.service.deployments.first() else {
            return;
        };
        if let Some(done) = self.completes(now) {
            out.push(Reply::silent("the deployment completes", done));
            if let Some(failures) = self.failures.checked_sub(1) {
                self.fails(now, failures, primary, out);
            }
        }
        for (label, turned) in self.turned(now) {
            out.push(Reply::silent(label, turned));
        }
        if let Some(late) = &self.late {
            let mut landed = self.clone();
            landed.late = None;
            landed.written |= late.by.bit();
            landed.write(now, late.revision, By::Us(late.by.number));
            out.push(Reply::silent("a lost write lands", landed));
        }
        if let Some(others) = self.others.checked_sub(1) {
            let mut theirs = Self {
                others,
                foreign: true,
                ..self.clone()
            };
            theirs.write(now, THEIRS, By::Other);
            out.push(Reply::silent("someone else deploys", theirs));
            let mut gone = Self {
                others,
                ..self.clone()
            };
            gone.foreign = true;
            gone.service.deployments.clear();
            gone.changed(now, self.service.clone());
            out.push(Reply::silent("someone deletes the service", gone));
        }
    }

    /// The revision that the platform takes a deployment back to: what was last done.
    fn before(&self, primary: &Dep) -> u8 {
        match self.service.deployments.get(1) {
            Some(dep) if dep.far == Far::Done => dep.revision,
            Some(_) | None if primary.revision == BEFORE => US.revision,
            Some(_) | None => BEFORE,
        }
    }

    fn fails<E>(&self, now: Timestamp, failures: u8, primary: &Dep, out: &mut Vec<Reply<Self, E>>) {
        let base = Self {
            failures,
            ..self.clone()
        };
        if !self.service.stops {
            let mut stops = base.clone();
            stops.service.stops = true;
            out.push(Reply::silent("tasks stop", stops));
        }
        let mut failed = base;
        failed.service.deployments[0].far = Far::Failed;
        failed.changed(now, self.service.clone());
        out.push(Reply::silent(
            "the platform gives the deployment up",
            failed.clone(),
        ));
        let to = self.before(primary);
        for (label, told) in [
            ("the platform goes back, with a record", Told::Record(to)),
            ("the platform goes back, in words", Told::Words),
        ] {
            let mut back = failed.clone();
            back.service.deployments[0].told = told;
            back.write(now, to, By::Platform);
            back.platform = true;
            back.changed(now, self.service.clone());
            out.push(Reply::silent(label, back));
        }
    }

    /// Time has passed.
    pub fn settle(&mut self, now: Timestamp) {
        if self.was.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.was = None;
        }
        if self.late.as_ref().is_some_and(|late| now >= late.until) {
            self.late = None;
        }
    }
}
