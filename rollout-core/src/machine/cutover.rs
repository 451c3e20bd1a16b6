//! One DNS record to a new target, as a protocol: snapshot, lower the TTL, wait out the old one, check the target, swap by
//! compare-and-set, wait for propagation, verify at the authoritative servers, watch, drain, restore the TTL. At every
//! point there is a way back.
//!
//! # How it works
//! Every change of the record is one *leg*: check the target, read the record, write, wait for INSYNC, and (but for the
//! lowering of the TTL) ask the authoritative servers. There are four: lower the TTL, swap, restore the TTL, go back.
//! One call is under way at a time.
//!
//! - **Compare and set.** A batch is built from a snapshot read right before it and deletes exactly what that showed. A
//!   snapshot that shows neither what was last known nor one of our own writes means that someone else has written:
//!   [`Outcome::Superseded`], and nothing more is done.
//! - **A lost answer.** A leg whose call failed begins again, from the check: read, then write what is wanted over what is
//!   there, under a higher generation. Whether the lost write landed makes no difference: if it did not, it cannot land
//!   after the new one, because the records that it deletes are gone; if it did, its change id is lost, and the new write
//!   of the same values has one whose INSYNC can be seen. No time is counted from a change that is not known to be
//!   INSYNC (invariant I-25).
//! - **Going back after a lost answer** writes even if the record shows the original, since the lost write may still be
//!   under way: the new marker makes it fail.
//! - **The wait for caches** is the TTL that was served before a change, counted from the moment INSYNC of that change was
//!   *seen*. An alias counts as 60 s.
//! - **Drained** means seen to be drained: samples at or under the level, without a gap, over the hold time. No data, a
//!   failed call or a late sample begins the count anew (invariant I-24).
//! - **Abort** while a call is under way takes effect when the call is answered or its time is up, so that an answer is
//!   never taken for another call's. It is ignored on the way back and by [`Goal::Restore`].
//!
//! # Limits
//! - The type of a record does not change (a CNAME does not become an alias A record): that is two keys, and a
//!   compare-and-set has one. Where another type stands under the name, the zone refuses the new record.
//! - A record that did not exist before is created. It cannot be taken back: that would leave the name without a record
//!   (invariant I-10). The way back then ends [`Stuck`] with the commands that a person may run.
//! - When the TTL cannot be restored after everything else went well, the cutover has still moved: `now` shows the TTL
//!   that was last confirmed and the evidence says why.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dns::{
    AuthoritativeAnswer, ChangeBatch, OldTraffic, Propagation, Record, RecordData, RecordKey, Snapshot,
    TargetCheck,
};
use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason, Stuck};
use crate::id::{ChangeId, Generation, RunId, ZoneId};
use crate::time::{Deadline, Timestamp, millis};

use super::{Disposition, Machine, Rejected, Step, Transitions};

mod call;
pub(crate) mod commands;
mod ending;
mod flow;
mod leg;
mod state;
mod table;
#[cfg(test)]
mod tests;

use state::State;
pub use state::StateKind;

/// When the old side counts as drained: by its own request count, never by the clock (invariant I-24).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Requests a minute at or under which it counts as drained.
    pub level: u64,
    /// For how long it must stay there.
    #[serde(with = "millis")]
    pub hold: Duration,
    /// How long to wait for it. Past that the cutover ends as moved but **not** drained.
    #[serde(with = "millis")]
    pub give_up: Duration,
}

/// What the record shall say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Forward: this target. The TTL of a value record is lowered ahead and restored at the end.
    Move {
        /// The new data; the TTL in it is the one to end with.
        to: RecordData,
        /// The TTL while the change is under way, in seconds.
        lowered_ttl: u32,
    },
    /// Back: what the record said before our first change, at once, without lowering the TTL ahead.
    Restore {
        /// The snapshot from before the first change.
        original: Box<Snapshot>,
        /// What we made the record say, or may have; something else there means that someone else has changed it since.
        ours: Vec<Written>,
    },
}

/// A batch of ours that was applied, or may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The generation in its marker.
    pub generation: Generation,
    /// What it made the record say.
    pub data: RecordData,
}

/// What is cut over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The run, for the marker.
    pub run: RunId,
    /// The zone.
    pub zone: ZoneId,
    /// The record.
    pub key: RecordKey,
    /// What it shall say.
    pub goal: Goal,
    /// The plan says by name that the target may have no healthy target behind it.
    pub allow_unhealthy_target: bool,
    /// When the old side counts as drained; `None` skips that wait and claims nothing.
    pub drain: Option<Drain>,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two looks at the propagation while it generally comes to its end (the first minute), and the first of two looks at
    /// anything else; then it doubles up to `poll_max`.
    #[serde(with = "millis")]
    pub poll_first: Duration,
    /// The longest wait between two looks.
    #[serde(with = "millis")]
    pub poll_max: Duration,
    /// The longest wait for INSYNC.
    #[serde(with = "millis")]
    pub in_sync: Duration,
    /// The longest wait for all authoritative servers to agree, after INSYNC.
    #[serde(with = "millis")]
    pub verify: Duration,
    /// How long to watch the new target after the change was verified.
    #[serde(with = "millis")]
    pub watch: Duration,
    /// Consecutive failed looks at the new target during the watch that send it back.
    pub watch_failures: u32,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer.
    #[serde(with = "millis")]
    pub answer: Duration,
}

impl Policy {
    /// A [`poll_first`](Self::poll_first) that notices each of two changes (the lowered TTL, the swap) so soon that the cutover as a whole
    /// is no more than five seconds behind what DNS itself takes, with 24 looks a change in the minute that it generally takes.
    pub const POLL_FIRST: Duration = Duration::from_millis(2_500);
    /// A [`poll_max`](Self::poll_max) for changes that take much longer than they should, and for looks at a target that is watched.
    pub const POLL_MAX: Duration = Duration::from_secs(30);
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
    /// The record and its marker were read.
    SnapshotTaken(Box<Snapshot>),
    /// The target was checked.
    TargetChecked(TargetCheck),
    /// The batch was accepted.
    Applied(ChangeId),
    /// The propagation was asked for.
    PropagationSeen(Propagation),
    /// The authoritative servers were asked.
    Answered(Vec<AuthoritativeAnswer>),
    /// The old side's requests were counted.
    OldTrafficSeen(OldTraffic),
    /// The call under way failed.
    CallFailed(ErrorRecord),
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Read the record and its marker.
    TakeSnapshot {
        /// The zone.
        zone: ZoneId,
        /// The record.
        key: RecordKey,
    },
    /// Check that the target can take traffic.
    CheckTarget {
        /// The target.
        data: RecordData,
    },
    /// Apply a compare-and-set batch.
    Apply {
        /// The batch.
        batch: ChangeBatch,
    },
    /// Ask how far a change has spread.
    SeePropagation {
        /// The change.
        change: ChangeId,
    },
    /// Ask each authoritative server.
    AskAuthoritative {
        /// The zone.
        zone: ZoneId,
        /// What they should say.
        expected: Record,
    },
    /// Count the requests that still reach the old side.
    SeeOldTraffic {
        /// The old target.
        data: RecordData,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The record says what it shall, on every authoritative server.
    Moved {
        /// What it said before the first change.
        original: Box<Snapshot>,
        /// What it says now.
        now: Record,
        /// When the new target became what all authoritative servers say.
        in_sync_at: Timestamp,
        /// Whether the old side was **seen** to be drained.
        drained: bool,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// Nothing was written.
    Refused(Reason),
    /// It failed or was aborted after a write; the record says again what it said before, verified.
    Reverted(Reason),
    /// Someone else has changed the record: we yield.
    Superseded(Reason),
    /// It can go neither forward nor back.
    Stuck(Box<Stuck>),
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::Apply { .. } => true,
            Self::TakeSnapshot { .. }
            | Self::CheckTarget { .. }
            | Self::SeePropagation { .. }
            | Self::AskAuthoritative { .. }
            | Self::SeeOldTraffic { .. } => false,
        }
    }

    /// A batch is said once: its attempt is the generation in its marker. Reading has no attempts.
    fn attempt(&self) -> u32 {
        match self {
            Self::Apply { batch } => {
                let generation = leg::generation_of(batch).map_or(1, |g| g.0);
                u32::try_from(generation).unwrap_or(u32::MAX).max(1)
            }
            Self::TakeSnapshot { .. }
            | Self::CheckTarget { .. }
            | Self::SeePropagation { .. }
            | Self::AskAuthoritative { .. }
            | Self::SeeOldTraffic { .. } => 1,
        }
    }
}

/// The machine. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cutover {
    spec: Spec,
    policy: Policy,
    seen: Timestamp,
    state: State,
}

impl Cutover {
    /// A machine that has not begun.
    #[must_use]
    pub fn new(spec: Spec, policy: Policy) -> Self {
        Self {
            spec,
            policy,
            seen: Timestamp::EPOCH,
            state: State::default(),
        }
    }

    /// What is cut over.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What it waits for, in words, for the live view.
    #[must_use]
    pub fn waiting_for(&self) -> String {
        self.state.waiting_for(&self.spec)
    }

    /// Whether any batch may have been applied. After the end: whether the record may say something else than before.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.state.touched()
    }

    /// What a [`Goal::Restore`] needs to take back what was written: what the record said before, and our writes. `None`
    /// while it is under way, and when nothing was written.
    #[must_use]
    pub fn undo(&self) -> Option<(&Snapshot, &[Written])> {
        self.state.undo()
    }
}

impl Machine for Cutover {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        super::handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        self.state.deadline(&self.policy)
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(ended) => Some(ended.outcome.clone()),
            State::Idle | State::Running(_) => None,
        }
    }
}

impl Transitions for Cutover {
    const NAME: &'static str = "cutover";
    type StateKind = StateKind;
    type EventKind = EventKind;

    fn state_kind(&self) -> StateKind {
        self.state.kind()
    }

    fn event_kind(event: &Event) -> EventKind {
        event.into()
    }

    fn disposition(state: StateKind, event: EventKind) -> Disposition<StateKind> {
        table::disposition(state, event)
    }
}

impl Step for Cutover {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::SnapshotTaken(snapshot) => leg::belongs(&self.spec, snapshot),
            Event::Start
            | Event::TargetChecked(_)
            | Event::Applied(_)
            | Event::PropagationSeen(_)
            | Event::Answered(_)
            | Event::OldTrafficSeen(_)
            | Event::CallFailed(_)
            | Event::Elapsed
            | Event::Abort => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> (State, Vec<Effect>) {
        let flow = flow::Flow {
            spec: &self.spec,
            policy: &self.policy,
            now,
        };
        match state {
            State::Idle => flow.start(&event),
            State::Running(run) => flow.event(run, event),
            // The table lets nothing in here.
            State::Ended(ended) => (State::Ended(ended), Vec::new()),
        }
    }
}
