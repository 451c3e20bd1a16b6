//! Forward: one wave after the other.

use std::collections::BTreeMap;

use super::book::{Flight, Halt, Work};
use super::{Bake, Call, Effect, End, Event, Fleet, Next, State, ends};
use crate::error::{Applied, ErrorRecord};
use crate::evidence::{Cause, Reason};
use crate::id::{MemberName, WaveName};
use crate::machine::Machine as _;
use crate::machine::call::{back_off, is_final};
use crate::machine::gate::{self, Gate};
use crate::probe::Subject;
use crate::time::{Timestamp, human};

impl Fleet {
    /// Begins what may begin; when the wave is released, it bakes.
    pub(super) fn go_on(&self, mut work: Box<Work>, now: Timestamp, mut effects: Vec<Effect>) -> Next {
        self.fill(&mut work, now, &mut effects);
        let end = self.plan.start(work.wave.saturating_add(1));
        if work.next < end || work.in_the_air() > 0 {
            return (State::Releasing(work), effects);
        }
        let wave = self.plan.waves.get(work.wave);
        let mut gate = wave.and_then(|wave| wave.gate.as_ref()).map(|gate| {
            let subject = Subject {
                service: None,
                images: BTreeMap::new(),
                changed_at: now,
            };
            Box::new(Gate::new(gate.judge(subject)))
        });
        if let Some(gate) = &mut gate {
            effects.extend(self.give_gate(work.wave, gate, now, gate::Event::Start));
        }
        let until = now.after(wave.map(|wave| wave.bake).unwrap_or_default());
        self.baked(work, Bake { until, gate }, now, effects)
    }

    /// As many as the plan allows. The bounds are counted for each member anew, right before it begins (I-11).
    fn fill(&self, work: &mut Work, now: Timestamp, effects: &mut Vec<Effect>) {
        let end = self.plan.start(work.wave.saturating_add(1));
        let at_once = self.plan.at_once(work.wave) as usize;
        let unbaked = self.plan.unbaked() as usize;
        while work.next < end && work.in_the_air() < at_once && work.unbaked() < unbaked {
            let Some(member) = self.plan.member(work.next) else {
                return;
            };
            let until = now.after(self.plan.policy.run_within);
            work.put(work.next, Flight::new(now, until));
            work.next = work.next.saturating_add(1);
            effects.push(Effect::Begin {
                member: member.clone(),
                attempt: 1,
                until,
            });
        }
    }

    pub(super) fn releasing(&self, mut work: Box<Work>, now: Timestamp, event: Event) -> Next {
        let mut effects = Vec::new();
        let failed = match event {
            Event::Ended { member, end } => self.ended(&mut work, now, &member, end),
            Event::CallFailed {
                member,
                call: Call::Run,
                error,
            } => {
                let end = self.run_failed(&mut work, now, &member, error, true, &mut effects);
                end.map(|end| self.fail(&mut work, &member, end))
            }
            Event::Elapsed => {
                work.bake(now);
                self.elapsed(&mut work, now, &mut effects)
            }
            Event::Abort => Some(aborted()),
            // Nothing was told to stop, and nothing is being taken back.
            Event::CallFailed { .. }
            | Event::StopSent { .. }
            | Event::TakenBack { .. }
            | Event::Gate { .. }
            | Event::Start => None,
        };
        match failed {
            Some(halt) => self.halt(work, halt, now, effects),
            None => self.go_on(work, now, effects),
        }
    }

    /// A member has ended. Answers with why the fleet halts, if it does.
    pub(super) fn ended(
        &self,
        work: &mut Work,
        now: Timestamp,
        member: &MemberName,
        end: End,
    ) -> Option<Halt> {
        let number = self.plan.number(member)?;
        work.take(number)?;
        if end != End::Released {
            return Some(self.fail(work, member, end));
        }
        work.released.push(number);
        // A wave with a gate is baked as one.
        if let Some(wave) = self.plan.waves.get(work.wave).filter(|wave| wave.gate.is_none()) {
            work.baking.push_back(now.after(wave.bake));
            work.bake(now);
        }
        None
    }

    /// Books a member that was not released.
    pub(super) fn fail(&self, work: &mut Work, member: &MemberName, end: End) -> Halt {
        let wave = self.wave_name(work.wave);
        let why = ends::why(&end, member, wave);
        if let Some(number) = self.plan.number(member) {
            work.ends.insert(number, end);
        }
        Halt { why, aborted: false }
    }

    /// The beginning or the resuming of a member's run failed: it is said again, or that was its end.
    ///
    /// Where nothing can have begun it is begun again, as long as something new may be; else it is resumed, which finds out (I-18).
    pub(super) fn run_failed(
        &self,
        work: &mut Work,
        now: Timestamp,
        member: &MemberName,
        error: ErrorRecord,
        forward: bool,
        effects: &mut Vec<Effect>,
    ) -> Option<End> {
        let number = self.plan.number(member)?;
        let mut flight = work.take(number)?;
        if flight.again.is_some() {
            // Nobody waits for an answer: it was counted before.
            work.put(number, flight);
            return None;
        }
        let policy = &self.plan.policy;
        let resumed = flight.may_run;
        flight.may_run |= error.applied != Applied::No;
        flight.failed(now, error.clone(), policy.retry_every);
        let over = is_final(&error, flight.errors.saturating_sub(1), policy.max_errors);
        let pause = back_off(policy.retry_every, flight.errors, &error, policy.run_within);
        match (flight.may_run, resumed) {
            (false, _) if over || !forward => return Some(ends::never_begun(&flight, now, member)),
            (true, true) if over => return Some(self.lost(member, now, &flight)),
            (true, false) => self.say_run(member, now, &mut flight, effects),
            (false, _) | (true, true) => flight.again = Some(now.after(pause)),
        }
        work.put(number, flight);
        None
    }

    /// Says the beginning of a run once more, or resumes it.
    fn say_run(&self, member: &MemberName, now: Timestamp, flight: &mut Flight, effects: &mut Vec<Effect>) {
        flight.attempt = flight.attempt.saturating_add(1);
        flight.said = now;
        flight.again = None;
        let (attempt, until) = (flight.attempt, flight.until);
        let member = member.clone();
        effects.push(if flight.may_run {
            Effect::Resume {
                member,
                attempt,
                until,
                stop: flight.stop.is_some(),
            }
        } else {
            Effect::Begin {
                member,
                attempt,
                until,
            }
        });
    }

    /// What is due of members under way forward: calls to be said again, and members whose time is up. Answers with why the
    /// fleet halts, if it does.
    pub(super) fn elapsed(&self, work: &mut Work, now: Timestamp, effects: &mut Vec<Effect>) -> Option<Halt> {
        let due = work.take_due(now);
        let late = due.iter().any(|(_, flight)| now >= flight.until);
        let mut halt = None;
        for (number, mut flight) in due {
            let Some(member) = self.plan.member(number) else {
                continue;
            };
            if now >= flight.until {
                if flight.stop.is_some() {
                    let failed = self.fail(work, member, self.silent(member, now, &flight));
                    halt = halt.or(Some(failed));
                    continue;
                }
                halt = halt.or_else(|| Some(self.too_long(work, member)));
                if !flight.is_held_back() {
                    self.say_stop(member, now, &mut flight, effects);
                }
            }
            // Nothing begins in the moment in which another one fails.
            if flight.again.is_some_and(|at| at <= now) && !(late && flight.is_held_back()) {
                self.say_run(member, now, &mut flight, effects);
            }
            if let Some(stop) = flight
                .stop
                .as_mut()
                .filter(|stop| stop.again.is_some_and(|at| at <= now))
            {
                stop.again = None;
                effects.push(Effect::Stop {
                    member: member.clone(),
                    until: flight.until,
                });
            }
            work.put(number, flight);
        }
        halt
    }

    /// Tells a member to stop.
    pub(super) fn say_stop(
        &self,
        member: &MemberName,
        now: Timestamp,
        flight: &mut Flight,
        effects: &mut Vec<Effect>,
    ) {
        flight.until = now.after(self.plan.policy.stop_within);
        flight.stop = Some(super::book::Stop::default());
        effects.push(Effect::Stop {
            member: member.clone(),
            until: flight.until,
        });
    }

    fn too_long(&self, work: &Work, member: &MemberName) -> Halt {
        let text = format!(
            "member {member} of wave {}: it has not come to an end within {}",
            self.wave_name(work.wave),
            human(self.plan.policy.run_within)
        );
        Halt {
            why: Reason::new(Cause::DeadlineExceeded, text),
            aborted: false,
        }
    }

    pub(super) fn wave_name(&self, wave: usize) -> &str {
        self.plan.waves.get(wave).map_or("", |wave| wave.name.as_str())
    }

    pub(super) fn baking(&self, mut work: Box<Work>, mut bake: Bake, now: Timestamp, event: Event) -> Next {
        work.bake(now);
        let mut effects = Vec::new();
        match event {
            Event::Abort => return self.halt(work, aborted(), now, effects),
            Event::Elapsed => {
                if let Some(gate) = &mut bake.gate {
                    effects = self.give_gate(work.wave, gate, now, gate::Event::Elapsed);
                }
            }
            Event::Gate { wave, event } if wave.as_str() == self.wave_name(work.wave) => {
                if let Some(gate) = &mut bake.gate {
                    effects = self.give_gate(work.wave, gate, now, event);
                }
            }
            // A late sample of an earlier wave; the rest the table ignores or refuses.
            Event::Gate { .. }
            | Event::Start
            | Event::Ended { .. }
            | Event::StopSent { .. }
            | Event::TakenBack { .. }
            | Event::CallFailed { .. } => {}
        }
        self.baked(work, bake, now, effects)
    }

    /// Goes on to the next wave when this one is baked.
    fn baked(&self, mut work: Box<Work>, bake: Bake, now: Timestamp, effects: Vec<Effect>) -> Next {
        match bake.gate.as_ref().map(|gate| gate.outcome()) {
            Some(Some(gate::Outcome::Failed(reason))) => {
                let text = format!("the gate of wave {}: {}", self.wave_name(work.wave), reason.text);
                let why = Reason { text, ..reason };
                let halt = Halt { why, aborted: false };
                return self.halt(work, halt, now, Vec::new());
            }
            Some(None) => return (State::Baking(work, bake), effects),
            Some(Some(gate::Outcome::Passed { .. })) | None => {}
        }
        if now < bake.until {
            return (State::Baking(work, bake), effects);
        }
        work.all_baked();
        work.wave = work.wave.saturating_add(1);
        if work.wave < self.plan.waves.len() {
            self.go_on(work, now, effects)
        } else {
            (State::Ended(Box::new(self.released(&work))), Vec::new())
        }
    }

    fn give_gate(&self, wave: usize, gate: &mut Gate, now: Timestamp, event: gate::Event) -> Vec<Effect> {
        let Some(name): Option<&WaveName> = self.plan.waves.get(wave).map(|wave| &wave.name) else {
            return Vec::new();
        };
        let sample = |gate::Effect::TakeSample(request)| Effect::TakeSample {
            wave: name.clone(),
            request,
        };
        // `admit` has asked it.
        gate.handle(now, event)
            .unwrap_or_default()
            .into_iter()
            .map(sample)
            .collect()
    }
}

fn aborted() -> Halt {
    Halt {
        why: Reason::new(Cause::Aborted, "stopped on request"),
        aborted: true,
    }
}
