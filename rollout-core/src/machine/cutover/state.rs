//! What the machine remembers.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Outcome, Policy, Spec, Written};
use crate::dns::Snapshot;
use crate::evidence::{Evidence, Reason};
use crate::id::{ChangeId, Generation};
use crate::time::{Deadline, Timestamp, Wait};

/// The states without their data.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::EnumIter,
)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// Before the start.
    Idle,
    /// The record is read for the first time.
    Snapshotting,
    /// The TTL is lowered: target check, read, write, propagation.
    LoweringTtl,
    /// Caches still hold the old TTL.
    WaitingOldTtl,
    /// The new target is checked, right before the swap.
    CheckingTarget,
    /// The record is read and swapped.
    Swapping,
    /// The swap spreads.
    Propagating,
    /// The authoritative servers are asked.
    Verifying,
    /// The new target is watched.
    Watching,
    /// Caches still hold the old answer.
    ExpiringCaches,
    /// The old side's requests are counted.
    Draining,
    /// The TTL is restored: target check, read, write, propagation, servers asked.
    RestoringTtl,
    /// On the way back: old target checked, record read, written.
    Reverting,
    /// On the way back: propagation, servers asked.
    ConfirmingReversal,
    /// It has ended.
    Ended,
}

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Before the start.
    #[default]
    Idle,
    /// Under way.
    Running(Box<Running>),
    /// Ended.
    Ended(Box<Ended>),
}

/// The end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(super) outcome: Outcome,
    /// The record before our first change.
    pub(super) before: Snapshot,
    pub(super) mine: Vec<Written>,
}

/// One change of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Leg {
    /// The same values with the lowered TTL.
    Lower,
    /// The new target.
    Swap,
    /// The new target with its own TTL.
    RestoreTtl,
    /// What the record said before.
    Back,
}

/// How far a leg is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// The target that the leg would point at is checked.
    Checking,
    /// The record is read.
    Reading,
    /// The batch is written.
    Applying,
    /// The change spreads.
    Spreading {
        change: ChangeId,
        until: Timestamp,
        #[serde(with = "crate::time::millis")]
        every: Duration,
    },
    /// The authoritative servers are asked.
    Verifying {
        until: Timestamp,
        #[serde(with = "crate::time::millis")]
        every: Duration,
    },
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Snapshotting,
    Leg {
        leg: Leg,
        stage: Stage,
    },
    WaitingOldTtl,
    Watching {
        until: Timestamp,
    },
    Expiring,
    Draining {
        /// The first and the last sample of the present run of samples at or under the level.
        low: Option<(Timestamp, Timestamp)>,
        give_up: Timestamp,
    },
}

/// The call under way, or the pause before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pending {
    /// A call was made.
    Asked { since: Timestamp },
    /// Nothing is under way.
    Resting { until: Timestamp, why: Wait },
}

/// What the outcome will rest on: the latest of each kind, so that a long watch does not grow the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    pub(super) checked: Vec<Evidence>,
    pub(super) answered: Vec<Evidence>,
    pub(super) traffic: Option<Evidence>,
    pub(super) error: Option<Evidence>,
    /// What did not go as it should and did not stop us.
    pub(super) notes: Vec<Evidence>,
}

/// What it remembers while it is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(super) phase: Phase,
    pub(super) pending: Pending,
    /// The record before our first change; empty until it has been read.
    pub(super) before: Snapshot,
    /// The record as it was last read or confirmed to be written.
    pub(super) known: Snapshot,
    /// Our batches that were applied or may have been.
    pub(super) mine: Vec<Written>,
    /// Our batches that were refused. On the way a request may have been doubled: what the zone bears was applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<Written>,
    /// The highest generation that we have used.
    pub(super) generation: Generation,
    /// The largest TTL with which caches may hold what is served now.
    #[serde(with = "crate::time::millis")]
    pub(super) served: Duration,
    /// When the swap (or, for a restore, the way back) was seen to be INSYNC.
    pub(super) in_sync_at: Option<Timestamp>,
    /// Whether the swap was confirmed by the authoritative servers.
    pub(super) swapped: bool,
    pub(super) drained: bool,
    /// Consecutive failed calls.
    pub(super) errors: u32,
    /// Consecutive looks at the new target that did not find it healthy.
    pub(super) bad: u32,
    /// Whether a call ever went without an answer: a late answer may then be another call's.
    pub(super) lost: bool,
    /// Whether to go back once the call under way is over.
    pub(super) abort: bool,
    /// Why it goes back.
    pub(super) why: Option<Reason>,
    pub(super) proof: Proof,
}

impl Running {
    /// At the start, with the first read under way.
    pub(super) fn new(spec: &Spec, now: Timestamp) -> Self {
        let nothing = Snapshot {
            at: now,
            zone: spec.zone.clone(),
            record: None,
            marker: None,
        };
        Self {
            phase: Phase::Snapshotting,
            pending: Pending::Asked { since: now },
            before: nothing.clone(),
            known: nothing,
            mine: Vec::new(),
            refused: Vec::new(),
            generation: Generation::default(),
            served: Duration::ZERO,
            in_sync_at: None,
            swapped: false,
            drained: false,
            errors: 0,
            bad: 0,
            lost: false,
            abort: false,
            why: None,
            proof: Proof::default(),
        }
    }

    fn kind(&self) -> StateKind {
        match &self.phase {
            Phase::Snapshotting => StateKind::Snapshotting,
            Phase::Leg { leg, stage } => match (leg, stage) {
                (Leg::Lower, _) => StateKind::LoweringTtl,
                (Leg::Swap, Stage::Checking) => StateKind::CheckingTarget,
                (Leg::Swap, Stage::Reading | Stage::Applying) => StateKind::Swapping,
                (Leg::Swap, Stage::Spreading { .. }) => StateKind::Propagating,
                (Leg::Swap, Stage::Verifying { .. }) => StateKind::Verifying,
                (Leg::RestoreTtl, _) => StateKind::RestoringTtl,
                (Leg::Back, Stage::Checking | Stage::Reading | Stage::Applying) => StateKind::Reverting,
                (Leg::Back, Stage::Spreading { .. } | Stage::Verifying { .. }) => {
                    StateKind::ConfirmingReversal
                }
            },
            Phase::WaitingOldTtl => StateKind::WaitingOldTtl,
            Phase::Watching { .. } => StateKind::Watching,
            Phase::Expiring => StateKind::ExpiringCaches,
            Phase::Draining { .. } => StateKind::Draining,
        }
    }

    fn waiting_for(&self, spec: &Spec) -> String {
        let key = &spec.key;
        let what = match &self.phase {
            Phase::Snapshotting => format!("{key} to be read"),
            Phase::Leg { leg, stage } => {
                let change = match leg {
                    Leg::Lower => "the lowered TTL",
                    Leg::Swap => "the new target",
                    Leg::RestoreTtl => "the restored TTL",
                    Leg::Back => "the original",
                };
                match stage {
                    Stage::Checking => match leg {
                        Leg::Lower | Leg::Swap | Leg::RestoreTtl => "the new target's check".to_owned(),
                        Leg::Back => "the old target's check".to_owned(),
                    },
                    Stage::Reading => format!("{key} to be read again"),
                    Stage::Applying => format!("{change} of {key} to be written"),
                    Stage::Spreading { .. } => format!("{change} of {key} to be INSYNC"),
                    Stage::Verifying { .. } => format!("all authoritative servers to say {change} of {key}"),
                }
            }
            Phase::WaitingOldTtl => format!("the old TTL of {key} to expire"),
            Phase::Watching { until } => format!("the watch of the new target to end at {until}"),
            Phase::Expiring => format!("caches to forget the old answer for {key}"),
            Phase::Draining { .. } => "the old side to drain".to_owned(),
        };
        match &self.proof.error {
            Some(error) if self.errors > 0 => format!("{what} (last try: {})", error.detail),
            Some(_) | None => what,
        }
    }
}

impl State {
    pub(super) fn kind(&self) -> StateKind {
        match self {
            Self::Idle => StateKind::Idle,
            Self::Running(run) => run.kind(),
            Self::Ended(_) => StateKind::Ended,
        }
    }

    pub(super) fn deadline(&self, policy: &Policy) -> Option<Deadline> {
        match self {
            Self::Running(run) => Some(match run.pending {
                Pending::Asked { since } => Deadline::new(since.after(policy.answer), Wait::Answer),
                Pending::Resting { until, why } => Deadline::new(until, why),
            }),
            Self::Idle | Self::Ended(_) => None,
        }
    }

    pub(super) fn touched(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::Running(run) => !run.mine.is_empty(),
            Self::Ended(ended) => !ended.mine.is_empty(),
        }
    }

    pub(super) fn undo(&self) -> Option<(&Snapshot, &[Written])> {
        match self {
            Self::Ended(ended) if !ended.mine.is_empty() => Some((&ended.before, &ended.mine)),
            Self::Ended(_) | Self::Running(_) | Self::Idle => None,
        }
    }

    pub(super) fn waiting_for(&self, spec: &Spec) -> String {
        match self {
            Self::Idle => "its start".to_owned(),
            Self::Running(run) => run.waiting_for(spec),
            Self::Ended(_) => "nothing: it has ended".to_owned(),
        }
    }
}
