//! A lease: taken, renewed, taken over from a runner that is gone, lost, given back.
//!
//! # How it works
//! The store keeps one value and changes it by compare-and-set (see [`lease`](crate::lease)). A runner looks; what is free it
//! takes; what another holds it watches. While it holds the lease it writes a new value every `beat`.
//!
//! **No clock is compared with another.** A watcher counts, on its own clock, for how long it has seen the same value. After
//! a whole `term` of it the holder is gone. The holder counts from before it *sent* its latest write and stops saying
//! effects a `tick` before a `term` has passed. So the watcher begins to count later than the holder and counts longer, and
//! two clocks that run at nearly the same pace are enough. The time that a holder writes beside its name is for people;
//! [`Policy::trust_clocks`] allows to use it. A gap between two looks that is longer than a look can take is not counted: a clock
//! that is set ahead takes no lease away.
//!
//! **Taking over is a write, too**, and expects the value that was watched. A holder that renews at the last moment makes it
//! fail; a take-over makes the holder's next renewal fail. At any moment the store names one holder, and each take-over raises
//! the generation.
//!
//! **A failed write says nothing** (I-18). The store may have taken it although an error came back, and a conflict may be with
//! our own value, of a try that was repeated further down. So every failed write is followed by a look, and a runner knows
//! its own value by the session in it.
//!
//! **A holder that cannot reach the store** goes on trying for a second `term`, in which it may say no effect, then it has lost
//! the lease. One that was asleep for an hour asks first: if nobody has taken the lease it still has it.
//!
//! **Before an effect** the caller gives [`Event::Confirm`] and waits until [`Held::proved`] is not before that moment. A
//! holder whose clock is set back would believe for too long; what it is told by the store then does not depend on a clock.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{Disposition, Machine, Rejected, Step, Transitions, handle};
use crate::error::ErrorRecord;
use crate::id::{Generation, RunId};
use crate::lease::{LeaseRecord, Owner, Scope, Version};
use crate::time::{Deadline, Timestamp, Wait, human, millis};

mod step;
#[cfg(test)]
mod tests;

/// Calls in a row that may fail before a runner that holds nothing gives up.
const TRIES: u32 = 5;
/// Calls in a row that must fail before a lease is left to run out instead of being given back, or is given up after its time.
const FEW: u32 = 3;

/// How long everything may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long a lease lasts after the holder's latest write.
    #[serde(with = "millis")]
    pub term: Duration,
    /// Between two looks of a runner that waits, and how much earlier than others think the holder stops.
    #[serde(with = "millis")]
    pub tick: Duration,
    /// Between two writes of the holder.
    #[serde(with = "millis")]
    pub beat: Duration,
    /// The longest wait for one answer of the store.
    #[serde(with = "millis")]
    pub answer: Duration,
    /// How long to wait for a lease that another holds; zero to leave at once.
    #[serde(with = "millis")]
    pub wait: Duration,
    /// If set, a lease whose written end is longer ago than this, by our own clock, is free at the first look. Right where both
    /// runners have one clock (a local folder), or where a clock that is wrong by more than this is excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_clocks: Option<Duration>,
}

impl Default for Policy {
    /// A minute; a beat every 15 s, so that one write may fail; a look every 5 s; another's lease is waited for for two minutes,
    /// which is enough to take it over from a runner that is gone.
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            term: secs(60),
            tick: secs(5),
            beat: secs(15),
            answer: secs(10),
            wait: secs(120),
            trust_clocks: None,
        }
    }
}

impl Policy {
    /// Whether a holder whose store answers can keep the lease, one unanswered write included.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            term,
            tick,
            beat,
            answer,
            ..
        } = self;
        if tick.is_zero() || beat.is_zero() || answer.is_zero() {
            return Err("a lease's tick, beat and answer must be longer than nothing".to_owned());
        }
        let needs = beat
            .saturating_add(answer.saturating_mul(2))
            .saturating_add(*tick);
        if *term < needs {
            return Err(format!(
                "a lease of {} is too short for a beat of {}, two answers of {} and a tick of {}: use {} or more",
                human(*term),
                human(*beat),
                human(*answer),
                human(*tick),
                human(needs)
            ));
        }
        Ok(())
    }

    /// How long an effect may be on its way at most: what is left of a lease right after a write.
    #[must_use]
    pub const fn longest_effect(&self) -> Duration {
        self.term.saturating_sub(self.tick).saturating_sub(self.answer)
    }
}

/// Who wants which lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What it is about.
    pub scope: Scope,
    /// Who asks.
    pub owner: Owner,
    /// For which run.
    pub run: RunId,
    /// See [`Holder::session`](crate::lease::Holder::session): a text that nobody else has, and that is used once.
    pub session: String,
}

/// What the store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The value.
    pub record: LeaseRecord,
    /// Which value it is.
    pub version: Version,
}

/// What happened. Answers carry the number of the call that they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(EventKind),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The events without their data."
)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Begin.
    Start,
    /// The store was read.
    Seen {
        /// The call.
        call: u64,
        /// The value; `None` when there has never been one.
        seen: Option<Box<Seen>>,
    },
    /// The write was taken.
    Written {
        /// The call.
        call: u64,
        /// The new value's version.
        version: Version,
    },
    /// The call failed.
    CallFailed {
        /// The call.
        call: u64,
        /// How.
        error: ErrorRecord,
    },
    /// An effect is about to be said: prove that the lease is held now.
    Confirm {
        /// How long the effect may be on its way.
        #[serde(with = "millis")]
        need: Duration,
    },
    /// The deadline has passed.
    Elapsed,
    /// Give it back.
    Abort,
}

/// What must be done. One call is under way at a time: a newer one takes the place of one that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Read the store.
    Look {
        /// The call.
        call: u64,
    },
    /// Write, if the present value is the expected one.
    Write {
        /// The call.
        call: u64,
        /// The new value.
        record: Box<LeaseRecord>,
        /// The present value's version; `None` when there has never been one.
        expected: Option<Version>,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stopped before it was held.
    Left,
    /// Another holds it, and we were not to wait longer.
    Refused {
        /// What is there.
        by: Box<LeaseRecord>,
    },
    /// The store failed before the lease was known to be held.
    Failed {
        /// How.
        error: ErrorRecord,
    },
    /// Given back.
    Released {
        /// What it had been.
        generation: Generation,
        /// `false` when the store did not confirm it: then it runs out by itself.
        confirmed: bool,
    },
    /// Gone while it was held. No effect may be said any more.
    Lost {
        /// What it had been.
        generation: Generation,
        /// What is there now; `None` when it could not be read, or nothing is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Box<LeaseRecord>>,
        /// Why, in words.
        why: String,
    },
}

/// The lease machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    claim: Claim,
    policy: Policy,
    seen: Timestamp,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(StateKind),
    vis(pub),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The states without their data."
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Not begun.
    #[default]
    Idle,
    /// Looks, until the lease is free.
    Watching {
        since: Timestamp,
        watch: Option<Watch>,
        flight: Flight,
    },
    /// Writes itself into it, or looks whether it has.
    Taking {
        since: Timestamp,
        write: Box<Write>,
        flight: Flight,
        leaving: bool,
    },
    /// Holds it.
    Holding { held: Box<Held>, flight: Flight },
    /// Gives it back.
    Releasing { held: Box<Held>, flight: Flight },
    /// Ended.
    Ended(Outcome),
}

/// The one call, under way or to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flight {
    number: u64,
    /// When it was said.
    said: Timestamp,
    doing: Doing,
    call: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Doing {
    Look,
    Write,
}

/// A write that takes the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Write {
    record: LeaseRecord,
    expected: Option<Version>,
}

/// Another's value, and for how long it has been the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    version: Version,
    /// The latest look.
    last: Timestamp,
    #[serde(with = "millis")]
    counted: Duration,
}

/// A lease that is held, or was when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    record: LeaseRecord,
    version: Version,
    from: Timestamp,
    proved: Timestamp,
    until: Timestamp,
}

impl Held {
    /// Its generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.record.generation
    }

    /// The value in the store.
    #[must_use]
    pub const fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// The moment from which no effect may be on its way any more, by our own clock.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// When the latest call was said that proved that the lease is held.
    #[must_use]
    pub const fn proved(&self) -> Timestamp {
        self.proved
    }
}

type Next = (State, Vec<Effect>);

impl Lease {
    /// A lease that nobody has asked for yet.
    #[must_use]
    pub const fn new(claim: Claim, policy: Policy) -> Self {
        Self {
            claim,
            policy,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// Who wants which lease.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// How long everything may take.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The lease, for as long as it is held.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Holding { held, .. } => Some(held),
            State::Idle
            | State::Watching { .. }
            | State::Taking { .. }
            | State::Releasing { .. }
            | State::Ended(_) => None,
        }
    }

    /// The latest moment that it was told, which is what it calls now.
    #[must_use]
    pub const fn seen(&self) -> Timestamp {
        self.seen
    }
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::Write { .. } => true,
            Self::Look { .. } => false,
        }
    }

    fn attempt(&self) -> u32 {
        1
    }
}

impl Machine for Lease {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Watching { flight, .. }
            | State::Taking { flight, .. }
            | State::Holding { flight, .. }
            | State::Releasing { flight, .. } => {
                let again = if flight.call.errors == 0 {
                    Wait::Poll
                } else {
                    Wait::Retry
                };
                Some(flight.call.deadline(again))
            }
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome.clone()),
            State::Idle
            | State::Watching { .. }
            | State::Taking { .. }
            | State::Holding { .. }
            | State::Releasing { .. } => None,
        }
    }
}

impl Transitions for Lease {
    const NAME: &'static str = "lease";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        (&self.state).into()
    }

    fn event_kind(event: &Event) -> EventKind {
        event.into()
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        use Disposition::{Ignored, Moves, Refused};
        use EventKind as E;
        use StateKind as S;
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::Watching]),
            (S::Idle, E::Abort) => Moves(&[S::Ended]),
            (S::Idle, E::Seen | E::Written | E::CallFailed | E::Elapsed) => Refused("it has not begun"),
            (S::Watching | S::Taking | S::Holding | S::Releasing | S::Ended, E::Start) => {
                Refused("it has begun already")
            }
            (S::Idle | S::Watching | S::Taking, E::Confirm) => Refused("it is not held yet"),
            (S::Releasing | S::Ended, E::Confirm) => Refused("it is not held any more"),

            (S::Watching, E::Seen) => Moves(&[S::Watching, S::Taking, S::Holding, S::Ended]),
            (S::Watching, E::Written) => Ignored("a late answer to a call that was said again"),
            (S::Watching, E::CallFailed | E::Elapsed) => Moves(&[S::Watching, S::Ended]),
            (S::Watching, E::Abort) => Moves(&[S::Ended]),

            (S::Taking, E::Seen) => Moves(&[S::Taking, S::Watching, S::Holding, S::Releasing, S::Ended]),
            (S::Taking, E::Written) => Moves(&[S::Taking, S::Holding, S::Releasing]),
            (S::Taking, E::CallFailed | E::Elapsed) => Moves(&[S::Taking, S::Ended]),
            (S::Taking, E::Abort) => Moves(&[S::Taking]),

            (S::Holding, E::Seen | E::CallFailed | E::Elapsed) => Moves(&[S::Holding, S::Ended]),
            (S::Holding, E::Written | E::Confirm) => Moves(&[S::Holding]),
            (S::Holding, E::Abort) => Moves(&[S::Releasing]),

            (S::Releasing, E::Seen | E::Written | E::CallFailed | E::Elapsed) => {
                Moves(&[S::Releasing, S::Ended])
            }
            (S::Releasing, E::Abort) => Ignored("it is being given back already"),
            (S::Ended, E::Seen | E::Written | E::CallFailed | E::Elapsed | E::Abort) => {
                Ignored("it has ended")
            }
        }
    }
}

impl Step for Lease {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Start => self.policy.check(),
            Event::Seen { .. }
            | Event::Written { .. }
            | Event::CallFailed { .. }
            | Event::Confirm { .. }
            | Event::Elapsed
            | Event::Abort => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> Next {
        match state {
            State::Idle => self.step_idle(now, &event),
            State::Watching { since, watch, flight } => self.step_watching(now, event, since, watch, flight),
            State::Taking {
                since,
                write,
                flight,
                leaving,
            } => self.step_taking(now, event, since, write, flight, leaving),
            State::Holding { held, flight } => self.step_holding(now, event, held, flight),
            State::Releasing { held, flight } => self.step_releasing(now, event, held, flight),
            State::Ended(outcome) => (State::Ended(outcome), Vec::new()),
        }
    }
}
