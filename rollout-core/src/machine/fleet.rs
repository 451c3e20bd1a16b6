//! A release of many members, in waves: a fleet of cells, regions or tenants, or services that go out one group after the other.
//!
//! A member is a run of its own, with a journal of its own (mostly a rollout of one environment); this machine decides which of
//! them is under way. It begins the members of a wave, as many at once as the plan allows; waits until all of them are released
//! and baked, and the wave's gate, if it has one, has passed; and goes on to the next wave.
//!
//! - **One that fails stops all.** Whatever is not `Released` is a failure. Nothing new is begun after it; what is under way is
//!   told to stop, or comes to its own end, as the plan says. Then the whole fleet, the wave, or nothing else goes back.
//! - **Newest first.** What goes back goes wave by wave, the newest first, in a wave the one that was released last first. The
//!   next older wave begins when the newer one has come to its end.
//! - **No rollback of a rollback.** A member that has gone back is not touched again. One that cannot is named, and the rest still goes back.
//! - **Begun once.** A member whose beginning has no answer is resumed, which finds out whether it had begun (I-18).
//! - **The bounds are kept** (I-11): members in the air, or changed and not yet baked, are counted before each one that begins.
//!
//! Per event it costs what the event changes: the logarithm of the members under way, never the size of the fleet.
//!
//! | state | waits for |
//! |---|---|
//! | `Releasing` | members of the present wave to end; where the bound is reached, for one to have baked |
//! | `Baking` | the bake time and the gate of a wave that is released |
//! | `Stopping` | members under way to end, after a failure or an abort |
//! | `Unwinding` | members to be taken back |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gate::{self, Gate};
use super::rollout::{self, Superseding};
use super::table::Disposition;
use super::{Machine, Rejected, Step, Transitions};
use crate::error::ErrorRecord;
use crate::evidence::{Reason, Stuck};
use crate::id::{MemberName, WaveName};
use crate::plan::fleet::FleetPlan;
use crate::probe::SampleRequest;
use crate::time::{Deadline, Timestamp, Wait};

mod back;
mod book;
mod ends;
mod forward;
mod stopping;
#[cfg(test)]
mod tests;
mod view;

use book::{Halt, Work};
pub use view::{Counts, Standing};

/// A call about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Of its run: [`Effect::Begin`] or [`Effect::Resume`].
    Run,
    /// [`Effect::Stop`].
    Stop,
    /// [`Effect::TakeBack`].
    TakeBack,
}

/// What happened.
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
    /// A member's run has come to its end.
    Ended {
        /// The member.
        member: MemberName,
        /// How.
        end: End,
    },
    /// A member was told to stop. Its end comes by itself.
    StopSent {
        /// The member.
        member: MemberName,
    },
    /// A member's way back has come to its end.
    TakenBack {
        /// The member.
        member: MemberName,
        /// How.
        end: BackEnd,
    },
    /// A call about a member failed.
    CallFailed {
        /// The member.
        member: MemberName,
        /// Which.
        call: Call,
        /// How.
        error: ErrorRecord,
    },
    /// Of a wave's gate.
    Gate {
        /// The wave.
        wave: WaveName,
        /// The event.
        event: gate::Event,
    },
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Begin the member's run, which nobody has begun, and drive it to its end.
    Begin {
        /// The member.
        member: MemberName,
        /// Which saying it is, from 1.
        attempt: u32,
        /// When the run must have ended.
        until: Timestamp,
    },
    /// Go on with the member's run, which may have been begun, to its end; begin it if it was not, and may go on.
    Resume {
        /// The member.
        member: MemberName,
        /// Which saying it is.
        attempt: u32,
        /// When the run must have ended.
        until: Timestamp,
        /// Whether it goes to a safe place instead: what it changed goes back, and what was not begun is not begun any more.
        stop: bool,
    },
    /// Tell the member's run to stop at a safe place. Its end is still the answer to what began it.
    Stop {
        /// The member.
        member: MemberName,
        /// When the run must have ended.
        until: Timestamp,
    },
    /// Take the member back to what ran before its run, or go on with that.
    TakeBack {
        /// The member.
        member: MemberName,
        /// Which saying it is, from 1.
        attempt: u32,
        /// When it must be back.
        until: Timestamp,
    },
    /// Take one sample for a wave's gate.
    TakeSample {
        /// The wave.
        wave: WaveName,
        /// What is asked for.
        request: SampleRequest,
    },
}

/// How a member's run ended, in the words of a [rollout](rollout::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The release serves.
    Released,
    /// It failed, or was taken back with its fleet; what ran before runs again, verified.
    RolledBack {
        /// Why.
        why: Box<Reason>,
    },
    /// Nothing was touched.
    Refused {
        /// Why.
        why: Box<Reason>,
    },
    /// Someone else has acted: it yielded.
    Superseded {
        /// By what.
        by: Box<Superseding>,
    },
    /// Stopped on request.
    Aborted {
        /// Where that left it.
        left_at: rollout::LeftAt,
    },
    /// A person is needed.
    Stuck(Box<Stuck>),
}

/// How a member's way back ended, in the words of an [unwind](super::unwind::Outcome).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackEnd {
    /// What ran before the release runs again, verified.
    AtLastKnownGood,
    /// Someone else has acted: it yielded.
    Superseded {
        /// By what.
        by: Box<Superseding>,
    },
    /// A person is needed.
    Stuck(Box<Stuck>),
}

/// What became of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEnd {
    /// Its turn never came.
    NotBegun,
    /// It came to an end.
    Ended(End),
}

/// What became of each member.
pub type Members = BTreeMap<MemberName, MemberEnd>;

/// Where an aborted release left the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftAt {
    /// Nothing had been changed.
    Untouched,
    /// Every member is back at the last known good release, verified.
    LastKnownGood,
    /// Some members serve the release, as the plan has it, and others do not.
    Between {
        /// Members that serve the release.
        released: u32,
        /// Members of the fleet.
        of: u32,
    },
}

/// How it ended. There is no other end. Each names the end of every member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every member is released, and every wave baked.
    Released {
        /// What became of each member.
        members: Members,
    },
    /// It failed, and no member serves the release: what was changed is back, verified.
    RolledBack {
        /// Why.
        why: Reason,
        /// What became of each member.
        members: Members,
    },
    /// It failed before anything was touched.
    Refused {
        /// Why.
        why: Reason,
        /// What became of each member.
        members: Members,
    },
    /// Someone else has acted in a member; no other member serves the release.
    Superseded {
        /// By what, in the first such member.
        by: Box<Superseding>,
        /// Why the fleet did not go on.
        why: Reason,
        /// What became of each member.
        members: Members,
    },
    /// Stopped on request.
    Aborted {
        /// Where that left the fleet.
        left_at: LeftAt,
        /// What became of each member.
        members: Members,
    },
    /// A person is needed: a member is stuck, or the fleet is between two releases, as the plan has it.
    Stuck {
        /// Why, and what to do.
        stuck: Box<Stuck>,
        /// What became of each member.
        members: Members,
    },
}

impl Outcome {
    /// What became of each member.
    #[must_use]
    pub const fn members(&self) -> &Members {
        match self {
            Self::Released { members }
            | Self::RolledBack { members, .. }
            | Self::Refused { members, .. }
            | Self::Superseded { members, .. }
            | Self::Aborted { members, .. }
            | Self::Stuck { members, .. } => members,
        }
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    plan: FleetPlan,
    seen: Timestamp,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(StateKind),
    vis(pub),
    derive(PartialOrd, Ord, strum::EnumIter),
    doc = "The states without their data."
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Before the start.
    #[default]
    Idle,
    /// Members of the present wave are in the air, or wait for room.
    Releasing(Box<Work>),
    /// Every member of the present wave is released.
    Baking(Box<Work>, Bake),
    /// Waiting for members under way to end.
    Stopping(Box<Work>, Halt),
    /// Taking members back.
    Unwinding(Box<Work>, Halt),
    /// The end.
    Ended(Box<Outcome>),
}

/// What is still to come before a wave is baked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bake {
    until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gate: Option<Box<Gate>>,
}

type Next = (State, Vec<Effect>);

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::Begin { .. } | Self::Resume { .. } | Self::Stop { .. } | Self::TakeBack { .. } => true,
            Self::TakeSample { .. } => false,
        }
    }

    fn attempt(&self) -> u32 {
        match self {
            Self::Begin { attempt, .. } | Self::Resume { attempt, .. } | Self::TakeBack { attempt, .. } => {
                *attempt
            }
            Self::Stop { .. } | Self::TakeSample { .. } => 1,
        }
    }
}

impl Machine for Fleet {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Releasing(work) => Deadline::earlier(work.due(), work.next_baked()),
            State::Stopping(work, _) | State::Unwinding(work, _) => work.due(),
            State::Baking(_, bake) => {
                // A bake time that is over waits for its gate, not for a moment.
                let time = (self.seen < bake.until).then_some(Deadline::new(bake.until, Wait::Bake));
                Deadline::earlier(time, bake.gate.as_ref().and_then(|gate| gate.deadline()))
            }
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some((**outcome).clone()),
            State::Idle
            | State::Releasing(_)
            | State::Baking(..)
            | State::Stopping(..)
            | State::Unwinding(..) => None,
        }
    }
}

impl Transitions for Fleet {
    const NAME: &'static str = "fleet";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        StateKind::from(&self.state)
    }

    fn event_kind(event: &Event) -> EventKind {
        EventKind::from(event)
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        use Disposition::{Ignored, Moves, Refused};
        use {EventKind as E, StateKind as S};
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::Releasing]),
            (
                S::Idle,
                E::Ended | E::StopSent | E::TakenBack | E::CallFailed | E::Gate | E::Elapsed | E::Abort,
            ) => Refused("it has not been started"),
            (S::Releasing | S::Baking | S::Stopping | S::Unwinding, E::Start) => {
                Refused("it has been started")
            }

            (S::Releasing, E::Ended) => {
                Moves(&[S::Releasing, S::Baking, S::Stopping, S::Unwinding, S::Ended])
            }
            (S::Releasing, E::CallFailed | E::Elapsed | E::Abort) => {
                Moves(&[S::Releasing, S::Stopping, S::Unwinding, S::Ended])
            }
            (S::Releasing | S::Baking, E::StopSent) => Refused("nothing was told to stop"),
            (S::Releasing | S::Baking | S::Stopping, E::TakenBack) => Refused("nothing is being taken back"),
            (S::Releasing, E::Gate) => Ignored("a late sample of a wave that has baked"),

            (S::Baking, E::Gate | E::Elapsed) => Moves(&[S::Baking, S::Releasing, S::Unwinding, S::Ended]),
            (S::Baking, E::Abort) => Moves(&[S::Unwinding, S::Ended]),
            (S::Baking, E::Ended | E::CallFailed) => Ignored("late answer of a member that is released"),

            (S::Stopping, E::Ended | E::CallFailed | E::Elapsed | E::Abort) => {
                Moves(&[S::Stopping, S::Unwinding, S::Ended])
            }
            (S::Stopping, E::StopSent) => Moves(&[S::Stopping]),
            (S::Stopping | S::Unwinding, E::Gate) => Ignored("a late sample of a wave that has failed"),

            (S::Unwinding, E::TakenBack | E::CallFailed | E::Elapsed) => Moves(&[S::Unwinding, S::Ended]),
            (S::Unwinding, E::Ended | E::StopSent) => Ignored("late answer of a member whose run is over"),
            (S::Unwinding, E::Abort) => Ignored("going back is the safe way already"),

            (S::Ended, E::Start) => Refused("it has ended"),
            (
                S::Ended,
                E::Ended | E::StopSent | E::TakenBack | E::CallFailed | E::Gate | E::Elapsed | E::Abort,
            ) => Ignored("it has ended"),
        }
    }
}

impl Step for Fleet {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        let (member, back) = match event {
            Event::Start | Event::Elapsed | Event::Abort => return Ok(()),
            Event::Gate { wave, event } => return self.admit_gate(wave, event),
            Event::Ended { member, .. } | Event::StopSent { member } => (member, false),
            Event::TakenBack { member, .. } => (member, true),
            Event::CallFailed { member, call, .. } => (member, *call == Call::TakeBack),
        };
        let Some(number) = self.plan.number(member) else {
            return Err(format!("the fleet has no member {member}"));
        };
        if self.work().is_some_and(|work| number >= work.next) {
            return Err(format!("member {member} was not begun"));
        }
        if back && !matches!(self.state, State::Unwinding(..)) {
            return Err(format!("member {member} is not being taken back"));
        }
        Ok(())
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> Next {
        match state {
            State::Idle => self.go_on(Box::default(), now, Vec::new()),
            State::Releasing(work) => self.releasing(work, now, event),
            State::Baking(work, bake) => self.baking(work, bake, now, event),
            State::Stopping(work, halt) => self.stopping(work, halt, now, event),
            State::Unwinding(work, halt) => self.unwinding(work, halt, now, event),
            ended @ State::Ended(_) => (ended, Vec::new()),
        }
    }
}

impl Fleet {
    /// A machine that has not begun.
    #[must_use]
    pub const fn new(plan: FleetPlan) -> Self {
        Self {
            plan,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &FleetPlan {
        &self.plan
    }

    fn work(&self) -> Option<&Work> {
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Releasing(work)
            | State::Baking(work, _)
            | State::Stopping(work, _)
            | State::Unwinding(work, _) => Some(work),
        }
    }

    fn admit_gate(&self, wave: &WaveName, event: &gate::Event) -> Result<(), String> {
        let known = self
            .plan
            .waves
            .iter()
            .any(|planned| planned.name == *wave && planned.gate.is_some());
        if !known {
            return Err(format!("there is no wave {wave} with a gate"));
        }
        let State::Baking(work, bake) = &self.state else {
            return Ok(());
        };
        let present = self
            .plan
            .waves
            .get(work.wave)
            .is_some_and(|planned| planned.name == *wave);
        match &bake.gate {
            Some(gate) if present => {
                super::admits(gate.as_ref(), event).map_err(|rejected| rejected.to_string())
            }
            // A late sample of an earlier wave.
            Some(_) | None => Ok(()),
        }
    }
}
