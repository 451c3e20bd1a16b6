//! A one-off task, such as a migration: started at most once per token, judged by the exit code of every essential container.
//!
//! # How it works
//! The task is started, and looked at until it has stopped. It has succeeded when every essential container exited with 0;
//! a missing exit code, or no essential container at all, is a failure.
//!
//! **One start.** Every `StartTask` says attempt 1, so all carry one token: no case is known in which a start certainly
//! did nothing and yet used its token up. A start whose outcome is unknown is looked for before it is said again. Once the
//! task is known it is never started again. A token is remembered for 24 hours only (Amazon ECS developer guide, "Ensuring
//! idempotency"), so a start that may have taken effect is not said again after [`TOKEN_LIFE`].
//!
//! **`ran`.** `No` only when every start certainly did nothing. `Yes` once a container was seen running or an exit code
//! was seen; else `Maybe`.
//!
//! **Not seen.** A task that is not known (yet) counts as a failed look: an API that is eventually consistent may not know a
//! task that it has just started (Amazon ECS API, "RunTask"). `max_errors` of them in a row end it with `TaskUnknown`.
//!
//! **A hint** that something of the task has changed makes the next look come at once; no two looks are closer than
//! [`LEAST_PAUSE`], and a pause after a failed call is not cut short.
//!
//! **Deadline and abort** stop the task, then look until it has stopped, for [`STOP_WAIT`] at most. A start under way is
//! waited for first, or there would be nothing to stop. An exit code of 0 after the task was told to stop is no success:
//! it may have broken off half way and exited in good order. When calls keep failing the task is not stopped but left
//! alone, and the reason says so: a migration that nobody watches is better finished than cut off.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{Disposition, Machine, Rejected, Step, Transitions, handle};
use crate::error::{Applied, ErrorRecord};
use crate::evidence::{Evidence, Reason};
use crate::id::TaskArn;
use crate::service::{TaskObservation, TaskSpec};
use crate::time::{Deadline, Timestamp, Wait, millis};

mod shared;
mod step;
#[cfg(test)]
mod tests;

/// How long a start that may have taken effect can be said again with the same token: an hour less than the 24 for which
/// the platform remembers it.
pub const TOKEN_LIFE: Duration = Duration::from_secs(23 * 60 * 60);

/// How long a task that was told to stop may take: on Fargate a container has 120 seconds at most (Amazon ECS API,
/// "ContainerDefinition": `stopTimeout`), and a minute is for the platform.
pub const STOP_WAIT: Duration = Duration::from_secs(180);

/// The shortest time between two looks, whatever is hinted, where looks are not closer anyway.
pub const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// How patient it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Between two looks.
    #[serde(with = "millis")]
    pub poll_every: Duration,
    /// The longest time from the start to the end of the task.
    #[serde(with = "millis")]
    pub give_up: Duration,
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
    /// The task was started.
    Started(TaskArn),
    /// After a lost answer: the task that the token had started, if there is one.
    Found(Option<TaskArn>),
    /// The task was looked at.
    Observed(TaskObservation),
    /// The task was told to stop.
    StopSent,
    /// The call under way failed.
    CallFailed(ErrorRecord),
    /// Someone says that something of the task has changed. No verdict: only a reason to look now.
    Hinted,
    /// The deadline has passed.
    Elapsed,
    /// Stop.
    Abort,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Start the task. A repeat with the same attempt carries the same token.
    StartTask {
        /// The task.
        spec: Box<TaskSpec>,
        /// Which start this is, from 1. It only grows after a start that certainly did not take effect.
        attempt: u32,
    },
    /// Look for the task that a lost answer may have started.
    FindTask {
        /// The task.
        spec: Box<TaskSpec>,
        /// The attempt whose answer was lost.
        attempt: u32,
    },
    /// Look at the task.
    ObserveTask {
        /// The task.
        task: TaskArn,
    },
    /// Stop the task.
    StopTask {
        /// The task.
        task: TaskArn,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every essential container exited with 0.
    Succeeded {
        /// The task.
        task: TaskArn,
        /// What it rests on.
        evidence: Vec<Evidence>,
    },
    /// It failed, was stopped, or nobody can tell.
    Failed {
        /// Why.
        reason: Reason,
        /// Whether it may have run, and so may have changed data: a migration that may have run is treated as run.
        ran: Applied,
    },
}

/// The one-off task machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOff {
    spec: TaskSpec,
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
    /// Starts the task.
    Starting { launch: Launch, call: Call },
    /// Looks for the task that a start with an unknown outcome may have started.
    Finding { launch: Launch, call: Call },
    /// Looks at the task until it has stopped.
    Watching { watch: Watch, call: Call },
    /// Stops the task, and looks until it has stopped.
    Stopping { stop: Stop, call: Call },
    /// Ended.
    Ended(Outcome),
}

/// Before the task is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// When it was first started.
    since: Timestamp,
    give_up: Timestamp,
    /// Starts in a row without a result.
    errors: u32,
    /// The latest of them.
    error: Option<ErrorRecord>,
    /// Whether any start may have taken effect.
    maybe: bool,
    /// Set once it only goes on to find out what there is to stop.
    ending: Option<Reason>,
}

/// The task is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    task: TaskArn,
    give_up: Timestamp,
    ran: Applied,
    /// When it was last seen.
    #[serde(default)]
    looked_at: Timestamp,
    /// Whether a hint came while a look was under way, which may be older than what it hints at.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    hinted: bool,
}

/// The task has to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    task: TaskArn,
    ran: Applied,
    why: Reason,
    until: Timestamp,
    /// Whether the call is the one that stops, or one that looks.
    telling: bool,
    /// Whether the platform has taken the stop.
    told: bool,
}

type Next = (State, Vec<Effect>);

impl OneOff {
    /// A one-off task that has not begun.
    #[must_use]
    pub const fn new(spec: TaskSpec, policy: Policy) -> Self {
        Self {
            spec,
            policy,
            seen: Timestamp::EPOCH,
            state: State::Idle,
        }
    }

    /// What is run.
    #[must_use]
    pub const fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// The task, as soon as it is known and until the end.
    #[must_use]
    pub const fn task(&self) -> Option<&TaskArn> {
        match &self.state {
            State::Watching { watch, .. } => Some(&watch.task),
            State::Stopping { stop, .. } => Some(&stop.task),
            State::Ended(Outcome::Succeeded { task, .. }) => Some(task),
            State::Idle
            | State::Starting { .. }
            | State::Finding { .. }
            | State::Ended(Outcome::Failed { .. }) => None,
        }
    }
}

impl super::Effect for Effect {
    fn mutates(&self) -> bool {
        match self {
            Self::StartTask { .. } | Self::StopTask { .. } => true,
            Self::FindTask { .. } | Self::ObserveTask { .. } => false,
        }
    }

    fn attempt(&self) -> u32 {
        match self {
            Self::StartTask { attempt, .. } | Self::FindTask { attempt, .. } => *attempt,
            Self::ObserveTask { .. } | Self::StopTask { .. } => 1,
        }
    }
}

impl Machine for OneOff {
    type Event = Event;
    type Effect = Effect;
    type Outcome = Outcome;

    fn handle(&mut self, now: Timestamp, event: Event) -> Result<Vec<Effect>, Rejected> {
        handle(self, now, event)
    }

    fn deadline(&self) -> Option<Deadline> {
        let (call, end) = match &self.state {
            State::Idle | State::Ended(_) => return None,
            State::Starting { launch, call } | State::Finding { launch, call } => {
                // What is under way is waited for even past the end: there may be a task to stop.
                (call, launch.ending.is_none().then_some(launch.give_up))
            }
            State::Watching { watch, call } => (call, Some(watch.give_up)),
            State::Stopping { stop, call } => (call, Some(stop.until)),
        };
        let again = if call.errors == 0 { Wait::Poll } else { Wait::Retry };
        let end = end.map(|at| Deadline::new(at, Wait::GiveUp));
        Deadline::earlier(end, Some(call.deadline(again)))
    }

    fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            State::Ended(outcome) => Some(outcome.clone()),
            State::Idle
            | State::Starting { .. }
            | State::Finding { .. }
            | State::Watching { .. }
            | State::Stopping { .. } => None,
        }
    }
}

impl Transitions for OneOff {
    const NAME: &'static str = "task";
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
            (S::Idle, E::Start) => Moves(&[S::Starting]),
            (S::Idle, E::CallFailed | E::Hinted | E::Elapsed) => Refused("it has not begun"),
            (S::Starting | S::Finding, E::Hinted) => Ignored("the task is not looked at yet"),
            (S::Watching, E::Hinted) => Moves(&[S::Watching]),
            (S::Stopping, E::Hinted) => Ignored("it is being stopped, and looked at until it has"),
            (S::Starting | S::Finding | S::Watching | S::Stopping | S::Ended, E::Start) => {
                Refused("it has begun already")
            }

            (S::Starting | S::Finding, E::Started) => Moves(&[S::Watching, S::Stopping]),
            (S::Finding, E::Found) => Moves(&[S::Starting, S::Watching, S::Stopping, S::Ended]),
            (S::Starting | S::Watching | S::Stopping, E::Found) | (S::Watching | S::Stopping, E::Started) => {
                late
            }
            (S::Watching, E::Observed) => Moves(&[S::Watching, S::Ended]),
            (S::Stopping, E::Observed | E::StopSent) => Moves(&[S::Stopping, S::Ended]),
            (S::Idle, E::Started | E::Found | E::Observed | E::StopSent)
            | (S::Starting | S::Finding, E::Observed | E::StopSent)
            | (S::Watching, E::StopSent) => unasked,

            (S::Starting, E::CallFailed | E::Elapsed) => Moves(&[S::Starting, S::Finding, S::Ended]),
            (S::Finding, E::CallFailed | E::Elapsed) => Moves(&[S::Finding, S::Ended]),
            (S::Watching, E::CallFailed) => Moves(&[S::Watching, S::Ended]),
            (S::Watching, E::Elapsed) => Moves(&[S::Watching, S::Stopping, S::Ended]),
            (S::Stopping, E::CallFailed | E::Elapsed) => Moves(&[S::Stopping, S::Ended]),

            (S::Idle, E::Abort) => Moves(&[S::Ended]),
            (S::Starting, E::Abort) => Moves(&[S::Starting, S::Finding, S::Ended]),
            (S::Finding, E::Abort) => Moves(&[S::Finding]),
            (S::Watching, E::Abort) => Moves(&[S::Stopping]),
            (S::Stopping, E::Abort) => Ignored("it is being stopped already"),
            (
                S::Ended,
                E::Started
                | E::Found
                | E::Observed
                | E::StopSent
                | E::CallFailed
                | E::Hinted
                | E::Elapsed
                | E::Abort,
            ) => Ignored("it has ended"),
        }
    }
}

impl Step for OneOff {
    type State = State;

    fn seen_mut(&mut self) -> &mut Timestamp {
        &mut self.seen
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn admit(&self, event: &Event) -> Result<(), String> {
        match event {
            Event::Observed(TaskObservation::Stopped(stopped)) => match self.task() {
                Some(task) if task != &stopped.task => {
                    Err(format!("task {} is not the one looked at, {task}", stopped.task))
                }
                Some(_) | None => Ok(()),
            },
            Event::Observed(TaskObservation::Running { .. } | TaskObservation::Missing { .. })
            | Event::Start
            | Event::Started(_)
            | Event::Found(_)
            | Event::StopSent
            | Event::CallFailed(_)
            | Event::Hinted
            | Event::Elapsed
            | Event::Abort => Ok(()),
        }
    }

    fn step(&self, state: State, now: Timestamp, event: Event) -> Next {
        match state {
            State::Idle => self.step_idle(now, event),
            State::Starting { launch, call } => self.step_starting(now, event, launch, call),
            State::Finding { launch, call } => self.step_finding(now, event, launch, call),
            State::Watching { watch, call } => self.step_watching(now, event, watch, call),
            State::Stopping { stop, call } => self.step_stopping(now, event, stop, call),
            State::Ended(outcome) => (State::Ended(outcome), Vec::new()),
        }
    }
}
