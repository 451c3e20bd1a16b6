//! What each event leads to.

use core::time::Duration;

use super::{
    Doing, Effect, Event, FEW, Flight, Held, Lease, Next, Outcome, Seen, State, TRIES, Watch, Write,
};
use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::id::Generation;
use crate::lease::{FORMAT, Holder, LeaseRecord};
use crate::machine::call::{Call, Due, back_off, no_answer};
use crate::time::Timestamp;

/// What became of the call under way.
enum Came {
    /// Its answer.
    Seen(Option<Box<Seen>>),
    /// Its answer.
    Written(crate::lease::Version),
    /// An error, or no answer in time.
    Failed(ErrorRecord),
    /// It is time to say it.
    Due,
    /// Nothing that counts: another call's late answer, or a moment too early.
    Nothing,
}

impl Flight {
    /// The call that this event is about.
    fn came(&self, now: Timestamp, event: Event, answer: Duration) -> Came {
        let ours = |call: u64, doing: Option<Doing>| {
            call == self.number && self.call.is_under_way() && doing.is_none_or(|doing| doing == self.doing)
        };
        match event {
            Event::Seen { call, seen } if ours(call, Some(Doing::Look)) => Came::Seen(seen),
            Event::Written { call, version } if ours(call, Some(Doing::Write)) => Came::Written(version),
            Event::CallFailed { call, error } if ours(call, None) => Came::Failed(error),
            Event::Elapsed => match self.call.due(now) {
                Due::NotYet => Came::Nothing,
                Due::Repeat => Came::Due,
                Due::Unanswered => {
                    let operation = match self.doing {
                        Doing::Look => "lease:Read",
                        Doing::Write => "lease:Write",
                    };
                    Came::Failed(no_answer(operation, answer))
                }
            },
            Event::Seen { .. }
            | Event::Written { .. }
            | Event::CallFailed { .. }
            | Event::Start
            | Event::Confirm { .. }
            | Event::Abort => Came::Nothing,
        }
    }

    /// A new call, now. `errors` are the failures in a row before it.
    fn next(&self, now: Timestamp, doing: Doing, answer: Duration) -> Self {
        Self {
            number: self.number.saturating_add(1),
            said: now,
            doing,
            call: self.call.clone().repeated(now, answer),
        }
    }

    /// No failures in a row any more.
    fn calmed(mut self) -> Self {
        self.call.errors = 0;
        self.call.last = None;
        self
    }

    /// The same, to be said at a later moment.
    fn at(self, moment: Timestamp, doing: Doing) -> Self {
        let call = Call::later(moment, self.call.errors);
        Self { doing, call, ..self }
    }
}

impl Lease {
    pub(super) fn step_idle(&self, now: Timestamp, event: &Event) -> Next {
        match event {
            Event::Start => {
                let flight = Flight {
                    number: 1,
                    said: now,
                    doing: Doing::Look,
                    call: Call::made(now, self.policy.answer),
                };
                let effect = look(&flight);
                let (since, watch) = (now, None);
                (State::Watching { since, watch, flight }, effect)
            }
            Event::Seen { .. }
            | Event::Written { .. }
            | Event::CallFailed { .. }
            | Event::Confirm { .. }
            | Event::Elapsed
            | Event::Abort => ended(Outcome::Left),
        }
    }

    pub(super) fn step_watching(
        &self,
        now: Timestamp,
        event: Event,
        since: Timestamp,
        watch: Option<Watch>,
        flight: Flight,
    ) -> Next {
        if event == Event::Abort {
            return ended(Outcome::Left);
        }
        match flight.came(now, event, self.policy.answer) {
            Came::Seen(seen) => self.judge(now, since, watch, flight.calmed(), seen),
            Came::Failed(error) => match self.again(now, flight, &error) {
                Some(flight) => (State::Watching { since, watch, flight }, Vec::new()),
                None => ended(Outcome::Failed { error }),
            },
            Came::Due => {
                let flight = flight.next(now, Doing::Look, self.policy.answer);
                let effect = look(&flight);
                (State::Watching { since, watch, flight }, effect)
            }
            Came::Written(_) | Came::Nothing => (State::Watching { since, watch, flight }, Vec::new()),
        }
    }

    /// What a look says to a runner that does not hold the lease, or does not know that it does.
    fn judge(
        &self,
        now: Timestamp,
        since: Timestamp,
        watch: Option<Watch>,
        flight: Flight,
        seen: Option<Box<Seen>>,
    ) -> Next {
        let Some(seen) = seen else {
            return self.take(now, since, &flight, None);
        };
        if self.is_mine(&seen.record) {
            // Its own moment, for the write whose answer was lost may have been an earlier one.
            let from = seen.record.written;
            return self.hold(now, *seen, from, flight);
        }
        if seen.record.holder.is_none() {
            return self.take(now, since, &flight, Some(*seen));
        }
        let watch = self.watched(now, watch, &seen);
        if watch.counted >= self.policy.term || self.is_long_over(now, &seen.record) {
            return self.take(now, since, &flight, Some(*seen));
        }
        let patience = self.policy.wait.saturating_sub(now.since(since));
        if patience.is_zero() {
            let by = Box::new(seen.record);
            return ended(Outcome::Refused { by });
        }
        // At the moment itself, not at the first look after it.
        let left = self.policy.term.saturating_sub(watch.counted).min(patience);
        let flight = flight
            .calmed()
            .at(now.after(left.min(self.policy.tick)), Doing::Look);
        let watch = Some(watch);
        (State::Watching { since, watch, flight }, Vec::new())
    }

    fn is_mine(&self, record: &LeaseRecord) -> bool {
        record
            .holder
            .as_ref()
            .is_some_and(|holder| holder.session == self.claim.session)
    }

    /// Counts for how long the value has been the same.
    fn watched(&self, now: Timestamp, watch: Option<Watch>, seen: &Seen) -> Watch {
        let most = self.policy.tick.saturating_add(self.policy.answer);
        let counted = match watch {
            Some(watch) if watch.version == seen.version => {
                let gap = now.since(watch.last);
                // Longer than a look takes: the clock was set, or we were asleep, and cannot tell which.
                let gap = if gap <= most { gap } else { Duration::ZERO };
                watch.counted.saturating_add(gap)
            }
            Some(_) | None => Duration::ZERO,
        };
        Watch {
            version: seen.version.clone(),
            last: now,
            counted,
        }
    }

    /// Whether it is over by its own word, where clocks are trusted.
    fn is_long_over(&self, now: Timestamp, record: &LeaseRecord) -> bool {
        self.policy
            .trust_clocks
            .is_some_and(|skew| now > record.until.after(skew))
    }

    /// Writes itself into a lease that is free.
    fn take(&self, now: Timestamp, since: Timestamp, flight: &Flight, present: Option<Seen>) -> Next {
        let (generation, writes, expected) = match present {
            None => (Generation::default(), 0, None),
            Some(Seen { record, version }) => (record.generation, record.writes, Some(version)),
        };
        if generation.0 == u64::MAX || writes == u64::MAX {
            let error = ErrorRecord {
                kind: ErrorKind::Unexpected,
                retry: Retry::Never,
                applied: Applied::No,
                operation: "lease:Write".to_owned(),
                context: format!(
                    "{}: its numbers are used up: it was damaged; remove it",
                    self.claim.scope
                ),
                retry_after: None,
                cause: None,
            };
            return ended(Outcome::Failed { error });
        }
        let record = LeaseRecord {
            format: FORMAT,
            scope: self.claim.scope.clone(),
            generation: generation.next(),
            writes: writes.saturating_add(1),
            written: now,
            until: now.after(self.policy.term),
            holder: Some(Holder {
                owner: self.claim.owner.clone(),
                run: self.claim.run.clone(),
                session: self.claim.session.clone(),
                since: now,
            }),
        };
        let write = Box::new(Write { record, expected });
        let flight = flight.next(now, Doing::Write, self.policy.answer);
        let effect = vec![Effect::Write {
            call: flight.number,
            record: Box::new(write.record.clone()),
            expected: write.expected.clone(),
        }];
        let leaving = false;
        (
            State::Taking {
                since,
                write,
                flight,
                leaving,
            },
            effect,
        )
    }

    /// It is ours; `from` is when the write of it was said.
    fn hold(&self, now: Timestamp, seen: Seen, from: Timestamp, flight: Flight) -> Next {
        let held = Box::new(self.held_from(seen, from, flight.said));
        let flight = flight.calmed().at(self.next_beat(now, &held), Doing::Write);
        (State::Holding { held, flight }, Vec::new())
    }

    fn held_from(&self, seen: Seen, from: Timestamp, proved: Timestamp) -> Held {
        Held {
            until: from.after(self.policy.term.saturating_sub(self.policy.tick)),
            record: seen.record,
            version: seen.version,
            from,
            proved,
        }
    }

    fn next_beat(&self, now: Timestamp, held: &Held) -> Timestamp {
        held.from.after(self.policy.beat).max(now)
    }

    pub(super) fn step_taking(
        &self,
        now: Timestamp,
        event: Event,
        since: Timestamp,
        write: Box<Write>,
        flight: Flight,
        leaving: bool,
    ) -> Next {
        if event == Event::Abort {
            // The write may take effect yet: what became of it is found out first, or nobody would give it back.
            let leaving = true;
            return (
                State::Taking {
                    since,
                    write,
                    flight,
                    leaving,
                },
                Vec::new(),
            );
        }
        let next = match flight.came(now, event, self.policy.answer) {
            Came::Written(version) => {
                let (record, from) = (write.record, flight.said);
                self.hold(now, Seen { record, version }, from, flight)
            }
            // Failures in a row are counted on: a store that refuses every write must come to an end.
            Came::Seen(seen) => {
                if leaving && !seen.as_ref().is_some_and(|seen| self.is_mine(&seen.record)) {
                    return ended(Outcome::Left);
                }
                self.judge(now, since, None, flight, seen)
            }
            Came::Failed(error) => match self.again(now, flight, &error) {
                Some(flight) => (
                    State::Taking {
                        since,
                        write,
                        flight,
                        leaving,
                    },
                    Vec::new(),
                ),
                None => ended(Outcome::Failed { error }),
            },
            Came::Due => {
                let flight = flight.next(now, Doing::Look, self.policy.answer);
                let effect = look(&flight);
                (
                    State::Taking {
                        since,
                        write,
                        flight,
                        leaving,
                    },
                    effect,
                )
            }
            Came::Nothing => (
                State::Taking {
                    since,
                    write,
                    flight,
                    leaving,
                },
                Vec::new(),
            ),
        };
        match next {
            (State::Holding { held, flight }, _) if leaving => self.release(now, held, &flight.calmed()),
            next => next,
        }
    }

    /// The call after one that failed: a look, at once after a first failure. `None` when there have been enough.
    fn again(&self, now: Timestamp, flight: Flight, error: &ErrorRecord) -> Option<Flight> {
        let errors = flight.call.errors.saturating_add(1);
        // A conflict may be with our own value.
        let for_good = error.retry == Retry::Never && error.kind != ErrorKind::Conflict;
        (!for_good && errors < TRIES).then(|| self.look_after(now, flight, error))
    }

    fn look_after(&self, now: Timestamp, flight: Flight, error: &ErrorRecord) -> Flight {
        let errors = flight.call.errors.saturating_add(1);
        let pause = if errors == 1 && flight.doing == Doing::Write {
            Duration::ZERO
        } else {
            back_off(self.policy.tick, errors, error, self.policy.answer)
                .min(self.policy.answer.max(self.policy.tick))
        };
        Flight {
            call: flight.call.failed(error.clone(), now.after(pause)),
            doing: Doing::Look,
            ..flight
        }
    }

    pub(super) fn step_holding(&self, now: Timestamp, event: Event, held: Box<Held>, flight: Flight) -> Next {
        match event {
            Event::Abort => return self.release(now, held, &flight.calmed()),
            Event::Confirm { need } => {
                // What is under way, or waits for its turn after a failure, will tell.
                if flight.call.is_under_way() || flight.call.errors > 0 {
                    return (State::Holding { held, flight }, Vec::new());
                }
                return if self.is_due(now, &held) || held.until.since(now) < need {
                    self.renew(now, held, &flight)
                } else {
                    self.look_at(now, held, &flight)
                };
            }
            Event::Start
            | Event::Seen { .. }
            | Event::Written { .. }
            | Event::CallFailed { .. }
            | Event::Elapsed => {}
        }
        match flight.came(now, event, self.policy.answer) {
            Came::Written(version) => {
                let record = self.renewed(&held.record, flight.said);
                let from = flight.said;
                self.hold(now, Seen { record, version }, from, flight)
            }
            Came::Seen(None) => Self::lost(&held, None, "its value is gone from the store"),
            Came::Seen(Some(seen)) if self.is_mine(&seen.record) => {
                let from = held.from.max(seen.record.written);
                let held = Box::new(self.held_from(*seen, from, flight.said));
                if self.is_due(now, &held) {
                    self.renew(now, held, &flight)
                } else {
                    let flight = flight.calmed().at(self.next_beat(now, &held), Doing::Write);
                    (State::Holding { held, flight }, Vec::new())
                }
            }
            Came::Seen(Some(seen)) => Self::lost(&held, Some(seen.record), "another has taken it over"),
            Came::Failed(error) => {
                // Whoever was asleep asks first, and more than once: the network wakes up later.
                let tried = flight.call.errors.saturating_add(1) >= FEW;
                if tried && now >= held.from.after(self.policy.term.saturating_mul(2)) {
                    let why = format!("its store has not answered since {}: {error}", held.proved);
                    return Self::lost(&held, None, &why);
                }
                let flight = self.look_after(now, flight, &error);
                (State::Holding { held, flight }, Vec::new())
            }
            Came::Due if flight.doing == Doing::Look => self.look_at(now, held, &flight),
            Came::Due => self.renew(now, held, &flight),
            Came::Nothing => (State::Holding { held, flight }, Vec::new()),
        }
    }

    fn is_due(&self, now: Timestamp, held: &Held) -> bool {
        now >= held.from.after(self.policy.beat)
    }

    fn look_at(&self, now: Timestamp, held: Box<Held>, flight: &Flight) -> Next {
        let flight = flight.next(now, Doing::Look, self.policy.answer);
        let effect = look(&flight);
        (State::Holding { held, flight }, effect)
    }

    fn renew(&self, now: Timestamp, held: Box<Held>, flight: &Flight) -> Next {
        let flight = flight.next(now, Doing::Write, self.policy.answer);
        let effect = vec![Effect::Write {
            call: flight.number,
            record: Box::new(self.renewed(&held.record, now)),
            expected: Some(held.version.clone()),
        }];
        (State::Holding { held, flight }, effect)
    }

    fn renewed(&self, record: &LeaseRecord, said: Timestamp) -> LeaseRecord {
        LeaseRecord {
            writes: record.writes.saturating_add(1),
            written: said,
            until: said.after(self.policy.term),
            ..record.clone()
        }
    }

    fn lost(held: &Held, by: Option<LeaseRecord>, why: &str) -> Next {
        ended(Outcome::Lost {
            generation: held.generation(),
            by: by.map(Box::new),
            why: why.to_owned(),
        })
    }

    fn release(&self, now: Timestamp, held: Box<Held>, flight: &Flight) -> Next {
        let flight = flight.next(now, Doing::Write, self.policy.answer);
        let record = LeaseRecord {
            writes: held.record.writes.saturating_add(1),
            written: now,
            until: now,
            holder: None,
            ..held.record.clone()
        };
        let effect = vec![Effect::Write {
            call: flight.number,
            record: Box::new(record),
            expected: Some(held.version.clone()),
        }];
        (State::Releasing { held, flight }, effect)
    }

    pub(super) fn step_releasing(
        &self,
        now: Timestamp,
        event: Event,
        held: Box<Held>,
        flight: Flight,
    ) -> Next {
        let released = |confirmed| {
            let generation = held.generation();
            ended(Outcome::Released {
                generation,
                confirmed,
            })
        };
        match flight.came(now, event, self.policy.answer) {
            Came::Written(_) => released(true),
            Came::Seen(Some(seen)) if self.is_mine(&seen.record) => {
                let held = Box::new(self.held_from(*seen, held.from, flight.said));
                self.release(now, held, &flight)
            }
            // Given back by a write whose answer was lost, or taken over: not ours any more.
            Came::Seen(_) => released(true),
            Came::Failed(error) => {
                if flight.call.errors.saturating_add(1) >= FEW {
                    return released(false);
                }
                let flight = self.look_after(now, flight, &error);
                (State::Releasing { held, flight }, Vec::new())
            }
            Came::Due => {
                let flight = flight.next(now, Doing::Look, self.policy.answer);
                let effect = look(&flight);
                (State::Releasing { held, flight }, effect)
            }
            Came::Nothing => (State::Releasing { held, flight }, Vec::new()),
        }
    }
}

fn look(flight: &Flight) -> Vec<Effect> {
    vec![Effect::Look { call: flight.number }]
}

fn ended(outcome: Outcome) -> Next {
    (State::Ended(outcome), Vec::new())
}
