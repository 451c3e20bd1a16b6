//! The transition table.

use super::EventKind as E;
use super::state::StateKind::{self as S, *};
use crate::machine::Disposition::{self, Ignored, Moves, Refused};

const LATE: &str = "a late answer: this state has not asked for it";
const BACK: &str = "it is on its way back already";
const OVER: &str = "it has ended";

/// What each event is in each state.
pub(super) fn disposition(state: S, event: E) -> Disposition<S> {
    match (state, event) {
        (Idle, E::Start) => Moves(&[Snapshotting, Ended]),
        (Idle, E::Abort) => Moves(&[Ended]),
        (
            Idle,
            E::SnapshotTaken
            | E::TargetChecked
            | E::Applied
            | E::PropagationSeen
            | E::Answered
            | E::OldTrafficSeen
            | E::CallFailed
            | E::Elapsed,
        ) => Refused("it has not begun"),

        (Ended, E::Start) => Refused(OVER),
        (
            Ended,
            E::SnapshotTaken
            | E::TargetChecked
            | E::Applied
            | E::PropagationSeen
            | E::Answered
            | E::OldTrafficSeen
            | E::CallFailed
            | E::Elapsed
            | E::Abort,
        ) => Ignored(OVER),

        (
            Snapshotting | LoweringTtl | WaitingOldTtl | CheckingTarget | Swapping | Propagating | Verifying
            | Watching | ExpiringCaches | Draining | RestoringTtl | Reverting | ConfirmingReversal,
            E::Start,
        ) => Refused("it has begun"),

        // Up to the swap. A late answer of a kind that the state asks for leaves it as it is, hence each state leads to itself.
        (Snapshotting, E::SnapshotTaken) => Moves(&[
            Snapshotting,
            LoweringTtl,
            CheckingTarget,
            Swapping,
            Verifying,
            RestoringTtl,
            Reverting,
            ConfirmingReversal,
            Ended,
        ]),
        (Snapshotting, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[Snapshotting, Ended]),
        (
            Snapshotting,
            E::TargetChecked | E::Applied | E::PropagationSeen | E::Answered | E::OldTrafficSeen,
        ) => Ignored(LATE),

        (LoweringTtl, E::SnapshotTaken | E::TargetChecked | E::CallFailed | E::Elapsed | E::Abort) => {
            Moves(&[LoweringTtl, Reverting, Ended])
        }
        (LoweringTtl, E::Applied) => Moves(&[LoweringTtl, Reverting]),
        (LoweringTtl, E::PropagationSeen) => Moves(&[LoweringTtl, WaitingOldTtl, Reverting]),
        (LoweringTtl, E::Answered | E::OldTrafficSeen) => Ignored(LATE),

        (WaitingOldTtl, E::Elapsed) => Moves(&[WaitingOldTtl, CheckingTarget, Swapping]),
        (WaitingOldTtl, E::Abort) => Moves(&[WaitingOldTtl, Reverting]),
        (
            WaitingOldTtl,
            E::SnapshotTaken
            | E::TargetChecked
            | E::Applied
            | E::PropagationSeen
            | E::Answered
            | E::OldTrafficSeen
            | E::CallFailed,
        ) => Ignored(LATE),

        (CheckingTarget, E::TargetChecked) => Moves(&[CheckingTarget, Swapping, Reverting, Ended]),
        (CheckingTarget, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[CheckingTarget, Reverting, Ended]),
        (
            CheckingTarget,
            E::SnapshotTaken | E::Applied | E::PropagationSeen | E::Answered | E::OldTrafficSeen,
        ) => Ignored(LATE),

        (Swapping, E::SnapshotTaken) => Moves(&[Swapping, CheckingTarget, Reverting, Ended]),
        (Swapping, E::Applied) => Moves(&[Swapping, Propagating, Reverting, Ended]),
        (Swapping, E::CallFailed | E::Elapsed) => Moves(&[Swapping, CheckingTarget, Reverting, Ended]),
        (Swapping, E::Abort) => Moves(&[Swapping, Reverting, Ended]),
        (Swapping, E::TargetChecked | E::PropagationSeen | E::Answered | E::OldTrafficSeen) => Ignored(LATE),

        // From the swap on.
        (Propagating, E::PropagationSeen) => Moves(&[Propagating, Verifying, Reverting, Ended]),
        (Propagating, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[Propagating, Reverting, Ended]),
        (Propagating, E::SnapshotTaken | E::TargetChecked | E::Applied | E::Answered | E::OldTrafficSeen) => {
            Ignored(LATE)
        }

        (Verifying, E::Answered) => Moves(&[
            Verifying,
            Watching,
            ExpiringCaches,
            Draining,
            RestoringTtl,
            Reverting,
            Ended,
        ]),
        (Verifying, E::CallFailed | E::Elapsed | E::Abort) => Moves(&[Verifying, Reverting, Ended]),
        (
            Verifying,
            E::SnapshotTaken | E::TargetChecked | E::Applied | E::PropagationSeen | E::OldTrafficSeen,
        ) => Ignored(LATE),

        (Watching, E::TargetChecked) => {
            Moves(&[Watching, ExpiringCaches, Draining, RestoringTtl, Reverting, Ended])
        }
        (Watching, E::CallFailed) => Moves(&[Watching, Reverting, Ended]),
        (Watching, E::Elapsed) => {
            Moves(&[Watching, ExpiringCaches, Draining, RestoringTtl, Reverting, Ended])
        }
        (Watching, E::Abort) => Moves(&[Watching, Reverting, Ended]),
        (Watching, E::SnapshotTaken | E::Applied | E::PropagationSeen | E::Answered | E::OldTrafficSeen) => {
            Ignored(LATE)
        }

        (ExpiringCaches, E::Elapsed) => Moves(&[ExpiringCaches, Draining, RestoringTtl, Ended]),
        (ExpiringCaches, E::Abort) => Moves(&[ExpiringCaches, Reverting, Ended]),
        (
            ExpiringCaches,
            E::SnapshotTaken
            | E::TargetChecked
            | E::Applied
            | E::PropagationSeen
            | E::Answered
            | E::OldTrafficSeen
            | E::CallFailed,
        ) => Ignored(LATE),

        (Draining, E::OldTrafficSeen | E::CallFailed | E::Elapsed) => {
            Moves(&[Draining, RestoringTtl, Reverting, Ended])
        }
        (Draining, E::Abort) => Moves(&[Draining, Reverting]),
        (Draining, E::SnapshotTaken | E::TargetChecked | E::Applied | E::PropagationSeen | E::Answered) => {
            Ignored(LATE)
        }

        // The TTL, and the way back.
        (
            RestoringTtl,
            E::SnapshotTaken | E::TargetChecked | E::Answered | E::CallFailed | E::Elapsed | E::Abort,
        ) => Moves(&[RestoringTtl, Reverting, Ended]),
        (RestoringTtl, E::Applied) => Moves(&[RestoringTtl, Reverting, Ended]),
        (RestoringTtl, E::PropagationSeen) => Moves(&[RestoringTtl, Reverting, Ended]),
        (RestoringTtl, E::OldTrafficSeen) => Ignored(LATE),

        (Reverting, E::TargetChecked) => Moves(&[Reverting, Ended]),
        (Reverting, E::SnapshotTaken) => Moves(&[Reverting, ConfirmingReversal, Ended]),
        (Reverting, E::Applied) => Moves(&[Reverting, ConfirmingReversal]),
        (Reverting, E::CallFailed | E::Elapsed) => Moves(&[Reverting, Ended]),
        (Reverting, E::Abort) => Ignored(BACK),
        (Reverting, E::PropagationSeen | E::Answered | E::OldTrafficSeen) => Ignored(LATE),

        (ConfirmingReversal, E::PropagationSeen) => Moves(&[ConfirmingReversal]),
        (ConfirmingReversal, E::Answered | E::CallFailed | E::Elapsed) => Moves(&[ConfirmingReversal, Ended]),
        (ConfirmingReversal, E::Abort) => Ignored(BACK),
        (ConfirmingReversal, E::SnapshotTaken | E::TargetChecked | E::Applied | E::OldTrafficSeen) => {
            Ignored(LATE)
        }
    }
}
