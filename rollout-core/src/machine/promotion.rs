//! One image from the source registry to the target's, byte for byte, if the source environment has proven it.
//!
//! # How it works
//! A tag is resolved to a digest; from here on only the digest counts. The source service must then prove that digest:
//! Active, PRIMARY deployment completed, every running task seen and at exactly that digest, for the soak time. Then the
//! machine is [ready](Promotion::is_ready) and waits for `Proceed`, so that the parent can read every other precondition
//! before anything is written. A tag is resolved once more right before the copy, and must not have moved. What was
//! copied is read back, and its digest, computed from the bytes read, must be the one that was asked for.
//!
//! A copy is idempotent by digest. When its outcome is unknown the target is read; only if the image is not there, or not
//! in full, it is copied again. Up to the first `CopyImage` the machine ends `Refused`, from then on `Failed`.
//!
//! A call that fails is repeated after `retry_every`, or after what the other side asks for, up to `answer`. An error that
//! a repeat cannot mend, or `max_errors` of them in a row, ends it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{Disposition, Machine, Rejected, Step, Transitions, handle};
use crate::error::ErrorRecord;
use crate::evidence::{Evidence, Reason};
use crate::id::{ContainerName, ImageDigest, ImageTag, RepositoryName, ServiceName};
use crate::image::{Ensured, ImageRef, ManifestTree};
use crate::service::ServiceObservation;
use crate::time::{Deadline, Timestamp, Wait, millis};

mod source;
mod step;
#[cfg(test)]
mod tests;

/// How a release names its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// By tag; resolved once, and looked at once more right before the copy.
    Tag(ImageTag),
    /// By digest.
    Digest(ImageDigest),
}

/// What is promoted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Where the image is.
    pub from: RepositoryName,
    /// Which image.
    pub reference: Reference,
    /// Where it goes.
    pub to: RepositoryName,
    /// The service of the source environment that must run it.
    pub service: ServiceName,
    /// The container of that service.
    pub container: ContainerName,
    /// For how long it must have run there: at least one running task is that old, and every running task has this digest.
    #[serde(with = "millis")]
    pub soak: Duration,
}

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two tries of a call that failed.
    #[serde(with = "millis")]
    pub retry_every: Duration,
    /// Consecutive failed calls that end it.
    pub max_errors: u32,
    /// The longest wait for one answer, copying included.
    #[serde(with = "millis")]
    pub answer: Duration,
    /// The longest wait for the parent's word to copy.
    #[serde(with = "millis")]
    pub proceed: Duration,
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
    /// The tag was resolved; `None` when it does not exist.
    TagResolved(Option<ImageDigest>),
    /// The source service was looked at.
    SourceObserved(Box<ServiceObservation>),
    /// The parent lets it copy: every other precondition of the release has been read.
    Proceed,
    /// The image was copied.
    Copied(Ensured),
    /// The image was read back; `None` when it is not there.
    ReadBack(Option<ManifestTree>),
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
    /// Ask which digest the tag names.
    ResolveTag {
        /// The source repository.
        repository: RepositoryName,
        /// The tag.
        tag: ImageTag,
    },
    /// Look at the service of the source environment.
    ObserveSource {
        /// The service.
        service: ServiceName,
    },
    /// Copy the image with everything it refers to.
    CopyImage {
        /// The source.
        from: ImageRef,
        /// The target repository.
        to: RepositoryName,
    },
    /// Read the image back from the target.
    ReadBack {
        /// The target.
        image: ImageRef,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The target holds exactly these bytes.
    Promoted {
        /// The image in the target registry.
        image: ImageRef,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It was not started: nothing was copied.
    Refused(Reason),
    /// It failed on the way; an unused image may be left in the target registry.
    Failed(Reason),
}

/// The promotion machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    spec: Spec,
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
    /// Asks what the tag names.
    Resolving { call: Call },
    /// Looks at the source environment.
    Observing { digest: ImageDigest, call: Call },
    /// Waits for the parent's word.
    Ready { proven: Proven, until: Timestamp },
    /// Asks once more what the tag names.
    Confirming { proven: Proven, call: Call },
    /// Copies.
    Copying { proven: Proven, call: Call },
    /// Reads back what the target holds.
    ReadingBack { proven: Proven, call: Call, copy: Copy },
    /// Ended.
    Ended(Outcome),
}

/// A digest that the source environment has proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proven {
    digest: ImageDigest,
    evidence: Vec<Evidence>,
}

/// What is known of the copy that is read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Copy {
    /// Copies in a row without a result.
    errors: u32,
    /// What the copy said; `None` when it said that it was done.
    error: Option<ErrorRecord>,
}

type Next = (State, Vec<Effect>);

impl Promotion {
    /// A promotion that has not begun.
    #[must_use]
    pub const fn new(spec: Spec, policy: Policy) -> Self {
        Self {
            spec,
            policy,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// What it was made from.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The digest that the reference names, as soon as it is known.
    #[must_use]
    pub const fn resolved(&self) -> Option<&ImageDigest> {
        match &self.state {
            State::Observing { digest, .. } => Some(digest),
            State::Ready { proven, .. }
            | State::Confirming { proven, .. }
            | State::Copying { proven, .. }
            | State::ReadingBack { proven, .. } => Some(&proven.digest),
            State::Ended(Outcome::Promoted { image, .. }) => Some(&image.digest),
            State::Idle
            | State::Resolving { .. }
            | State::Ended(Outcome::Refused(_) | Outcome::Failed(_)) => None,
        }
    }

    /// Whether it waits for `Proceed`: the source environment has proven the image, and nothing has been written.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::CopyImage { .. } => true,
            Self::ResolveTag { .. } | Self::ObserveSource { .. } | Self::ReadBack { .. } => false,
        }
    }

    /// Always 1: a copy is idempotent by its digest, and a repeat is the same copy.
    fn attempt(&self) -> u32 {
        match self {
            Self::ResolveTag { .. }
            | Self::ObserveSource { .. }
            | Self::CopyImage { .. }
            | Self::ReadBack { .. } => 1,
        }
    }
}

impl Machine for Promotion {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Idle | State::Ended(_) => None,
            State::Ready { until, .. } => Some(Deadline::new(*until, Wait::Proceed)),
            State::Resolving { call }
            | State::Observing { call, .. }
            | State::Confirming { call, .. }
            | State::Copying { call, .. }
            | State::ReadingBack { call, .. } => Some(call.deadline(Wait::Retry)),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome.clone()),
            State::Idle
            | State::Resolving { .. }
            | State::Observing { .. }
            | State::Ready { .. }
            | State::Confirming { .. }
            | State::Copying { .. }
            | State::ReadingBack { .. } => None,
        }
    }
}

impl Transitions for Promotion {
    const NAME: &'static str = "promotion";
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
        let late = Ignored("a late answer to a call that was said again");
        let unasked = Refused("nobody asked for it yet");
        match (state, event) {
            (S::Idle, E::Start) => Moves(&[S::Resolving, S::Observing]),
            (S::Idle, E::Elapsed | E::CallFailed) => Refused("it has not begun"),
            (
                S::Resolving
                | S::Observing
                | S::Ready
                | S::Confirming
                | S::Copying
                | S::ReadingBack
                | S::Ended,
                E::Start,
            ) => Refused("it has begun already"),

            (S::Resolving, E::TagResolved) => Moves(&[S::Observing, S::Ended]),
            (S::Confirming, E::TagResolved) => Moves(&[S::Copying, S::Ended]),
            (S::Observing | S::Ready | S::Copying | S::ReadingBack, E::TagResolved) => late,
            (S::Observing, E::SourceObserved) => Moves(&[S::Ready, S::Ended]),
            (S::Ready | S::Confirming | S::Copying | S::ReadingBack, E::SourceObserved) => late,
            (S::Copying, E::Copied) => Moves(&[S::ReadingBack]),
            (S::ReadingBack, E::Copied) => Ignored("what is read back decides"),
            (S::ReadingBack, E::ReadBack) => Moves(&[S::Copying, S::Ended]),
            (S::Copying, E::ReadBack) => late,
            (S::Idle, E::TagResolved | E::SourceObserved | E::Copied | E::ReadBack)
            | (S::Resolving, E::SourceObserved | E::Copied | E::ReadBack)
            | (S::Observing | S::Ready | S::Confirming, E::Copied | E::ReadBack) => unasked,

            (S::Idle | S::Resolving | S::Observing, E::Proceed) => Refused("it is not ready"),
            (S::Ready, E::Proceed) => Moves(&[S::Confirming, S::Copying]),
            (S::Confirming | S::Copying | S::ReadingBack, E::Proceed) => Ignored("it was told already"),

            (S::Resolving, E::CallFailed | E::Elapsed) => Moves(&[S::Resolving, S::Ended]),
            (S::Observing, E::CallFailed | E::Elapsed) => Moves(&[S::Observing, S::Ended]),
            (S::Ready, E::CallFailed) => late,
            (S::Ready, E::Elapsed) => Moves(&[S::Ready, S::Ended]),
            (S::Confirming, E::CallFailed | E::Elapsed) => Moves(&[S::Confirming, S::Ended]),
            (S::Copying, E::CallFailed | E::Elapsed) => Moves(&[S::Copying, S::ReadingBack, S::Ended]),
            (S::ReadingBack, E::CallFailed | E::Elapsed) => Moves(&[S::ReadingBack, S::Ended]),

            (
                S::Idle
                | S::Resolving
                | S::Observing
                | S::Ready
                | S::Confirming
                | S::Copying
                | S::ReadingBack,
                E::Abort,
            ) => Moves(&[S::Ended]),
            (
                S::Ended,
                E::TagResolved
                | E::SourceObserved
                | E::Proceed
                | E::Copied
                | E::ReadBack
                | E::CallFailed
                | E::Elapsed
                | E::Abort,
            ) => Ignored("it has ended"),
        }
    }
}

impl Step for Promotion {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Start
            | Event::TagResolved(_)
            | Event::SourceObserved(_)
            | Event::Proceed
            | Event::Copied(_)
            | Event::ReadBack(_)
            | Event::CallFailed(_)
            | Event::Elapsed
            | Event::Abort => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> Next {
        match state {
            State::Idle => self.step_idle(now, event),
            State::Resolving { call } => self.step_resolving(now, event, call),
            State::Observing { digest, call } => self.step_observing(now, event, digest, call),
            State::Ready { proven, until } => self.step_ready(now, event, proven, until),
            State::Confirming { proven, call } => self.step_confirming(now, event, proven, call),
            State::Copying { proven, call } => self.step_copying(now, event, proven, call),
            State::ReadingBack { proven, call, copy } => {
                self.step_reading_back(now, event, proven, call, copy)
            }
            State::Ended(outcome) => (State::Ended(outcome), Vec::new()),
        }
    }
}
