//! The transition table of `rollout`.

use super::{Disposition, EventKind as E, StateKind as S};

pub(super) fn disposition(state: S, event: E) -> Disposition<S> {
    use Disposition::{Ignored, Moves, Refused};
    match (state, event) {
        (S::Idle, E::Start) => Moves(&[S::Checking]),
        (
            S::Idle,
            E::IdentitySeen
            | E::Captured
            | E::UsabilitySeen
            | E::AlarmSampled
            | E::RecordRead
            | E::Confirmed
            | E::CallFailed
            | E::Promotion
            | E::Task
            | E::Deployment
            | E::Gate
            | E::Cutover
            | E::Unwind
            | E::Hinted
            | E::Elapsed
            | E::Abort,
        ) => Refused("it has not been started"),

        (S::Checking | S::Promoting | S::Changing | S::Confirming | S::Stopping | S::Unwinding, E::Start) => {
            Refused("it has been started")
        }

        (
            S::Checking,
            E::IdentitySeen
            | E::Captured
            | E::UsabilitySeen
            | E::AlarmSampled
            | E::RecordRead
            | E::CallFailed
            | E::Promotion
            | E::Elapsed,
        ) => Moves(&[S::Checking, S::Promoting, S::Ended]),
        (S::Checking, E::Abort) => Moves(&[S::Ended]),
        (S::Checking, E::Confirmed | E::Task | E::Deployment | E::Gate | E::Cutover | E::Unwind) => {
            Refused("nothing has been changed yet")
        }

        (S::Promoting, E::Promotion | E::Elapsed) => {
            Moves(&[S::Promoting, S::Changing, S::Stopping, S::Unwinding, S::Ended])
        }
        (S::Promoting, E::Abort) => Moves(&[S::Stopping, S::Unwinding, S::Ended]),
        (S::Promoting, E::Confirmed | E::Task | E::Deployment | E::Gate | E::Cutover | E::Unwind) => {
            Refused("images come first")
        }

        (S::Changing, E::Task | E::Deployment | E::Gate | E::Cutover | E::Elapsed) => {
            Moves(&[S::Changing, S::Confirming, S::Stopping, S::Unwinding, S::Ended])
        }
        (S::Changing, E::Abort) => Moves(&[S::Stopping, S::Unwinding, S::Ended]),
        (S::Changing, E::Confirmed | E::Unwind) => Refused("the changes are not done"),
        (S::Changing, E::Promotion) => Ignored("late answer of an image"),

        (S::Confirming, E::Confirmed | E::CallFailed | E::Elapsed) => {
            Moves(&[S::Confirming, S::Unwinding, S::Ended])
        }
        (S::Confirming, E::Abort) => Moves(&[S::Unwinding, S::Ended]),
        (S::Confirming, E::Unwind) => Refused("nothing is being undone"),
        (S::Confirming, E::Promotion | E::Task | E::Deployment | E::Gate | E::Cutover) => {
            Ignored("late answer of a step that has ended")
        }

        (
            S::Promoting | S::Changing | S::Confirming,
            E::IdentitySeen | E::Captured | E::UsabilitySeen | E::AlarmSampled | E::RecordRead,
        ) => Ignored("late answer of a check"),
        (S::Promoting | S::Changing, E::CallFailed) => Ignored("late answer of a check"),

        (S::Stopping, E::Promotion | E::Task | E::Deployment | E::Gate | E::Cutover | E::Elapsed) => {
            Moves(&[S::Stopping, S::Unwinding, S::Ended])
        }
        (S::Changing, E::Hinted) => Moves(&[S::Changing]),
        (S::Stopping, E::Hinted) => Moves(&[S::Stopping]),
        (S::Unwinding, E::Hinted) => Moves(&[S::Unwinding]),
        (S::Checking | S::Promoting | S::Confirming, E::Hinted) => {
            Ignored("nothing is under way that a hint could concern")
        }

        (S::Stopping, E::Abort) => Ignored("it is stopping already"),
        (S::Stopping, E::Unwind) => Refused("nothing is being undone yet"),
        (
            S::Stopping,
            E::IdentitySeen
            | E::Captured
            | E::UsabilitySeen
            | E::AlarmSampled
            | E::RecordRead
            | E::Confirmed
            | E::CallFailed,
        ) => Ignored("late answer"),

        (S::Unwinding, E::Unwind | E::Elapsed) => Moves(&[S::Unwinding, S::Ended]),
        (S::Unwinding, E::Abort) => Ignored("going back is the safe way already"),
        (
            S::Unwinding,
            E::IdentitySeen
            | E::Captured
            | E::UsabilitySeen
            | E::AlarmSampled
            | E::RecordRead
            | E::Confirmed
            | E::CallFailed
            | E::Promotion
            | E::Task
            | E::Deployment
            | E::Gate
            | E::Cutover,
        ) => Ignored("late answer of a step that has ended"),

        (S::Ended, E::Start) => Refused("it has ended"),
        (
            S::Ended,
            E::IdentitySeen
            | E::Captured
            | E::UsabilitySeen
            | E::AlarmSampled
            | E::RecordRead
            | E::Confirmed
            | E::CallFailed
            | E::Promotion
            | E::Task
            | E::Deployment
            | E::Gate
            | E::Cutover
            | E::Unwind
            | E::Hinted
            | E::Elapsed
            | E::Abort,
        ) => Ignored("it has ended"),
    }
}
