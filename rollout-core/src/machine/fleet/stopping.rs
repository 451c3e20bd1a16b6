//! Nothing new begins; what is under way comes to its end.

use super::book::{Halt, Work};
use super::{Call, Effect, Event, Fleet, Next, State, ends};
use crate::error::ErrorRecord;
use crate::id::MemberName;
use crate::machine::call::{back_off, is_final};
use crate::plan::fleet::UnderWay;
use crate::time::Timestamp;

impl Fleet {
    /// The fleet does not go on.
    pub(super) fn halt(
        &self,
        mut work: Box<Work>,
        halt: Halt,
        now: Timestamp,
        mut effects: Vec<Effect>,
    ) -> Next {
        let stop = halt.aborted || self.plan.policy.under_way == UnderWay::Stop;
        self.hold(&mut work, now, stop, &mut effects);
        self.settle(work, halt, now, effects)
    }

    /// What has not begun does not begin; what is under way is told to stop, if it is to.
    fn hold(&self, work: &mut Work, now: Timestamp, stop: bool, effects: &mut Vec<Effect>) {
        let under_way: Vec<u32> = work.flights().collect();
        for number in under_way {
            let (Some(member), Some(mut flight)) = (self.plan.member(number), work.take(number)) else {
                continue;
            };
            if flight.is_held_back() {
                work.ends.insert(number, ends::never_begun(&flight, now, member));
                continue;
            }
            if stop && flight.stop.is_none() {
                self.say_stop(member, now, &mut flight, effects);
            }
            work.put(number, flight);
        }
    }

    /// The way back begins when nothing is under way any more.
    fn settle(&self, work: Box<Work>, halt: Halt, now: Timestamp, effects: Vec<Effect>) -> Next {
        if work.in_the_air() > 0 {
            (State::Stopping(work, halt), effects)
        } else {
            self.take_back(work, halt, now, effects)
        }
    }

    pub(super) fn stopping(&self, mut work: Box<Work>, halt: Halt, now: Timestamp, event: Event) -> Next {
        let mut effects = Vec::new();
        match event {
            // The first reason is the reason; each member's own end tells the others.
            Event::Ended { member, end } => drop(self.ended(&mut work, now, &member, end)),
            Event::CallFailed { member, call, error } => match call {
                Call::Run => {
                    if let Some(end) = self.run_failed(&mut work, now, &member, error, false, &mut effects) {
                        self.fail(&mut work, &member, end);
                    }
                }
                Call::Stop => self.stop_failed(&mut work, now, &member, &error),
                // `admit` refuses it.
                Call::TakeBack => {}
            },
            Event::Elapsed => drop(self.elapsed(&mut work, now, &mut effects)),
            Event::Abort => self.hold(&mut work, now, true, &mut effects),
            // Its end is what counts.
            Event::StopSent { .. } | Event::TakenBack { .. } | Event::Gate { .. } | Event::Start => {}
        }
        self.settle(work, halt, now, effects)
    }

    /// The word to stop is said again, a few times; a member that does not end is stuck when its time is up.
    fn stop_failed(&self, work: &mut Work, now: Timestamp, member: &MemberName, error: &ErrorRecord) {
        let Some((number, mut flight)) = self
            .plan
            .number(member)
            .and_then(|number| Some((number, work.take(number)?)))
        else {
            return;
        };
        let policy = &self.plan.policy;
        if let Some(stop) = flight.stop.as_mut().filter(|stop| stop.again.is_none()) {
            let over = is_final(error, stop.errors, policy.max_errors);
            stop.errors = stop.errors.saturating_add(1);
            let pause = back_off(policy.retry_every, stop.errors, error, policy.stop_within);
            stop.again = (!over).then(|| now.after(pause));
        }
        work.put(number, flight);
    }
}
