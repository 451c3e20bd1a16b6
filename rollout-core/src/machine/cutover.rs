//! One DNS record to a new target, as a protocol: snapshot, lower the TTL, wait out the old one, check the target, swap by
//! compare-and-set, wait for propagation, verify at the authoritative servers, watch, drain, restore the TTL. At every
//! point there is a way back.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dns::{
    AuthoritativeAnswer, ChangeBatch, OldTraffic, Propagation, Record, RecordData, RecordKey, Snapshot,
    TargetCheck,
};
use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason, Stuck};
use crate::id::{ChangeId, RunId, ZoneId};
use crate::time::{Timestamp, millis};

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
        /// What we made the record say; something else there means that someone else has changed it since.
        ours: RecordData,
    },
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
    /// First wait between two looks at the propagation; it doubles up to `poll_max`.
    #[serde(with = "millis")]
    pub poll_first: Duration,
    /// Longest wait between two looks.
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
