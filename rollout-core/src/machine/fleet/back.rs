//! The way back: newest wave first, in a wave the one that was released last first.

use super::book::{Flight, Halt, Work};
use super::{BackEnd, Call, Effect, End, Event, Fleet, Next, State};
use crate::error::{Applied, ErrorRecord};
use crate::id::MemberName;
use crate::machine::call::{back_off, is_final};
use crate::plan::fleet::WayBack;
use crate::time::Timestamp;

impl Fleet {
    /// How many of the released members stay released.
    fn keeps(&self, work: &Work) -> usize {
        match self.plan.policy.back {
            WayBack::Fleet => 0,
            // The waves before it are wholly released.
            WayBack::Wave => self.plan.start(work.wave) as usize,
            WayBack::Member => usize::MAX,
        }
    }

    /// Takes back as many as may be at once; ends when all are.
    pub(super) fn take_back(
        &self,
        mut work: Box<Work>,
        halt: Halt,
        now: Timestamp,
        mut effects: Vec<Effect>,
    ) -> Next {
        let keeps = self.keeps(&work);
        let at_once = self.plan.policy.back_at_once as usize;
        while work.in_the_air() < at_once && work.released.len() > keeps {
            let Some(&number) = work.released.last() else {
                break;
            };
            let newer = work
                .flights()
                .next()
                .is_some_and(|other| self.plan.wave_of(other) != self.plan.wave_of(number));
            let (false, Some(member)) = (newer, self.plan.member(number)) else {
                break;
            };
            work.released.pop();
            let flight = Flight::new(now, now.after(self.plan.policy.back_within));
            effects.push(take_back(member, &flight));
            work.put(number, flight);
        }
        if work.in_the_air() > 0 {
            return (State::Unwinding(work, halt), effects);
        }
        (State::Ended(Box::new(self.verdict(&work, &halt))), effects)
    }

    pub(super) fn unwinding(&self, mut work: Box<Work>, halt: Halt, now: Timestamp, event: Event) -> Next {
        let mut effects = Vec::new();
        match event {
            Event::TakenBack { member, end } => {
                if let Some(number) = self
                    .plan
                    .number(&member)
                    .filter(|number| work.take(*number).is_some())
                {
                    book(&mut work, number, end);
                }
            }
            Event::CallFailed {
                member,
                call: Call::TakeBack,
                error,
            } => self.back_failed(&mut work, now, &member, error, &mut effects),
            Event::Elapsed => {
                for (number, mut flight) in work.take_due(now) {
                    let Some(member) = self.plan.member(number) else {
                        continue;
                    };
                    if now >= flight.until {
                        work.ends.insert(number, self.not_back(member, now, &flight));
                        continue;
                    }
                    flight.attempt = flight.attempt.saturating_add(1);
                    flight.said = now;
                    flight.again = None;
                    effects.push(take_back(member, &flight));
                    work.put(number, flight);
                }
            }
            // Late answers of runs that are over.
            Event::CallFailed { .. }
            | Event::Start
            | Event::Ended { .. }
            | Event::StopSent { .. }
            | Event::Gate { .. }
            | Event::Abort => {}
        }
        self.take_back(work, halt, now, effects)
    }

    /// Taking back is said again, whatever became of it: whoever does it goes on with it.
    fn back_failed(
        &self,
        work: &mut Work,
        now: Timestamp,
        member: &MemberName,
        error: ErrorRecord,
        effects: &mut Vec<Effect>,
    ) {
        let Some((number, mut flight)) = self
            .plan
            .number(member)
            .and_then(|number| Some((number, work.take(number)?)))
        else {
            return;
        };
        if flight.again.is_none() {
            let policy = &self.plan.policy;
            let unheard = error.applied == Applied::Maybe;
            flight.failed(now, error.clone(), policy.retry_every);
            if is_final(&error, flight.errors.saturating_sub(1), policy.max_errors) {
                work.ends.insert(number, self.not_back(member, now, &flight));
                return;
            }
            if unheard && flight.errors == 1 {
                flight.attempt = flight.attempt.saturating_add(1);
                flight.said = now;
                effects.push(take_back(member, &flight));
            } else {
                let pause = back_off(policy.retry_every, flight.errors, &error, policy.back_within);
                flight.again = Some(now.after(pause));
            }
        }
        work.put(number, flight);
    }
}

fn take_back(member: &MemberName, flight: &Flight) -> Effect {
    Effect::TakeBack {
        member: member.clone(),
        attempt: flight.attempt,
        until: flight.until,
    }
}

fn book(work: &mut Work, number: u32, end: BackEnd) {
    let end = match end {
        BackEnd::AtLastKnownGood => {
            work.back.push(number);
            return;
        }
        BackEnd::Superseded { by } => End::Superseded { by },
        BackEnd::Stuck(stuck) => End::Stuck(stuck),
    };
    work.ends.insert(number, end);
}
