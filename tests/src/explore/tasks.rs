//! The world of a one-off task: a platform that starts it once for each token, runs it, and forgets both.

use core::time::Duration;

use rollout_core::error::{Applied, ErrorKind};
use rollout_core::machine::Machine as _;
use rollout_core::machine::task::{Effect, Event, OneOff, Outcome};
use rollout_core::service::{ContainerExit, StoppedTask, TaskObservation};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::failure;
use super::single::{Call, Reply, World};

/// For how long the platform remembers a token (Amazon ECS API, "RunTask": `clientToken`).
pub const TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// How late a start can still reach the platform: a call carries a hard deadline, and what is on the wire is delivered or
/// dropped within the hour. A call that is held back for longer than the token lives cannot be told from a new one.
pub const REACHES: Duration = Duration::from_secs(60 * 60);

/// How far the task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Stage {
    /// It was not started.
    None,
    /// It is on its way to run.
    Provisioning,
    /// It runs.
    Running,
    /// It has ended; the essential container's exit code, where it ran.
    Stopped(Option<i32>),
    /// It has ended and is not shown any more.
    Forgotten,
}

/// The world.
#[derive(Clone, Debug, Serialize)]
pub struct TaskWorld {
    stage: Stage,
    /// When the token was first used.
    token_since: Option<Timestamp>,
    /// Starts whose answer was lost and that may still take effect.
    landing: Option<Timestamp>,
    faults: u8,
    /// How often the task was really started.
    runs: u8,
    ran: bool,
}

impl TaskWorld {
    /// Nothing was started.
    #[must_use]
    pub const fn new(faults: u8) -> Self {
        Self {
            stage: Stage::None,
            token_since: None,
            landing: None,
            faults,
            runs: 0,
            ran: false,
        }
    }

    /// How often the task was really started.
    #[must_use]
    pub const fn runs(&self) -> u8 {
        self.runs
    }

    /// Whether a container of it ran.
    #[must_use]
    pub const fn ran(&self) -> bool {
        self.ran
    }

    /// Whether a start may still take effect.
    #[must_use]
    pub const fn landing(&self) -> bool {
        self.landing.is_some()
    }

    fn spend(&self) -> Option<Self> {
        let faults = self.faults.checked_sub(1)?;
        Some(Self {
            faults,
            ..self.clone()
        })
    }

    /// A start reaches the platform: known tokens start nothing.
    fn start(&self, now: Timestamp) -> Self {
        if self.token_since.is_some() {
            return self.clone();
        }
        Self {
            stage: Stage::Provisioning,
            token_since: Some(now),
            runs: self.runs + 1,
            ..self.clone()
        }
    }

    fn at(&self, stage: Stage) -> Self {
        Self {
            stage,
            ..self.clone()
        }
    }

    fn seen(&self, now: Timestamp, task: &rollout_core::id::TaskArn) -> TaskObservation {
        let running = |status: &str| TaskObservation::Running {
            at: now,
            status: status.to_owned(),
        };
        match self.stage {
            Stage::None | Stage::Forgotten => TaskObservation::Missing { at: now },
            Stage::Provisioning => running("PROVISIONING"),
            Stage::Running => running("RUNNING"),
            Stage::Stopped(exit_code) => TaskObservation::Stopped(StoppedTask {
                task: task.clone(),
                task_definition: "migrate:1".parse().expect("valid"),
                started_by: None,
                stopped_at: now,
                cause: None,
                code: None,
                reason: "Essential container in task exited".to_owned(),
                containers: vec![ContainerExit {
                    name: "app".parse().expect("valid"),
                    essential: true,
                    exit_code,
                    reason: None,
                }],
                log_tail: vec![],
            }),
        }
    }

    /// Every way in which a call about the task may be answered.
    ///
    /// # Panics
    /// Never: the names are valid.
    pub fn reply(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        let arn = || "task/one-off".parse().expect("valid");
        let lost = || Event::CallFailed(failure(ErrorKind::TimedOut, Applied::Maybe));
        let less = self.spend();
        match &call.effect {
            Effect::StartTask { .. } if now.since(call.asked) > REACHES => {
                out.push(Reply::fair(
                    "start: past its deadline, not sent",
                    self.clone(),
                    lost(),
                ));
                return;
            }
            Effect::StartTask { .. } => {
                out.push(Reply::fair(
                    "task started",
                    self.start(now),
                    Event::Started(arn()),
                ));
                if let Some(less) = &less {
                    out.push(Reply::fault("start: done, answer lost", less.start(now), lost()));
                    out.push(Reply::fault("start: not done, answer lost", less.clone(), lost()));
                    let landing = Self {
                        landing: Some(now),
                        ..less.clone()
                    };
                    out.push(Reply::fault(
                        "start: answer lost, lands later",
                        landing.clone(),
                        lost(),
                    ));
                    out.push(Reply::silent("start: never answered, lands later", landing));
                }
            }
            Effect::FindTask { .. } => {
                let there = self.token_since.is_some() && self.stage != Stage::Forgotten;
                out.push(Reply::fair(
                    "looked for",
                    self.clone(),
                    Event::Found(there.then(arn)),
                ));
                if let (Some(less), true) = (&less, there) {
                    out.push(Reply::fault(
                        "looked for: not listed yet",
                        less.clone(),
                        Event::Found(None),
                    ));
                }
            }
            Effect::ObserveTask { task } => {
                out.push(Reply::fair(
                    "looked at",
                    self.clone(),
                    Event::Observed(self.seen(now, task)),
                ));
                if let Some(less) = &less {
                    let missing = Event::Observed(TaskObservation::Missing { at: now });
                    out.push(Reply::fault("looked at: not shown yet", less.clone(), missing));
                }
            }
            Effect::StopTask { .. } => {
                let stopped = |world: &Self| match world.stage {
                    Stage::Provisioning => world.at(Stage::Stopped(None)),
                    Stage::Running => world.at(Stage::Stopped(Some(137))),
                    Stage::None | Stage::Stopped(_) | Stage::Forgotten => world.clone(),
                };
                out.push(Reply::fair("told to stop", stopped(self), Event::StopSent));
                out.push(Reply::fair(
                    "told to stop, stops slowly",
                    self.clone(),
                    Event::StopSent,
                ));
                if let Some(less) = &less {
                    out.push(Reply::fault("stop: done, answer lost", stopped(less), lost()));
                    out.push(Reply::fault("stop: not done, answer lost", less.clone(), lost()));
                }
            }
        }
        if let Some(less) = less {
            out.extend(Reply::none(less, Event::CallFailed));
        }
    }

    /// What may happen by itself.
    pub fn happen(&self, now: Timestamp, out: &mut Vec<Reply<Self, Event>>) {
        let mut then = |label, world| {
            out.push(Reply {
                label,
                fair: false,
                world,
                event: None,
            });
        };
        match self.stage {
            Stage::Provisioning => {
                then(
                    "the task runs",
                    Self {
                        ran: true,
                        ..self.at(Stage::Running)
                    },
                );
                then("the task cannot run", self.at(Stage::Stopped(None)));
            }
            Stage::Running => {
                then("the task exits with 0", self.at(Stage::Stopped(Some(0))));
                then("the task exits with 1", self.at(Stage::Stopped(Some(1))));
            }
            Stage::Stopped(_) => then("the task is forgotten", self.at(Stage::Forgotten)),
            Stage::None | Stage::Forgotten => {}
        }
        if self.landing.is_some() {
            let world = Self {
                landing: None,
                ..self.clone()
            };
            then("a lost start lands", world.start(now));
        }
    }

    /// A token that is too old is not known any more.
    pub fn forget(&mut self, now: Timestamp) {
        if self.token_since.is_some_and(|since| now.since(since) > TOKEN) {
            self.token_since = None;
        }
        self.landing = self.landing.filter(|since| now.since(*since) <= REACHES);
    }

    /// What an outcome claims, against what happened.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn hold(&self, outcome: Option<&Outcome>) -> Result<(), String> {
        if self.runs > 1 {
            return Err(format!("I-19: it was started {} times", self.runs));
        }
        match outcome {
            Some(Outcome::Succeeded { .. })
                if !matches!(self.stage, Stage::Stopped(Some(0)) | Stage::Forgotten) =>
            {
                Err(format!("it succeeded, and is {:?}", self.stage))
            }
            Some(Outcome::Failed {
                ran: Applied::No,
                reason,
            }) if self.ran || self.landing.is_some() => Err(format!(
                "I-19: it ran or may run, and is said not to have: {}",
                reason.text
            )),
            Some(Outcome::Succeeded { .. } | Outcome::Failed { .. }) | None => Ok(()),
        }
    }
}

impl World<OneOff> for TaskWorld {
    fn answers(&self, now: Timestamp, call: &Call<Effect>, out: &mut Vec<Reply<Self, Event>>) {
        self.reply(now, call, out);
    }

    fn happenings(&self, now: Timestamp, _: &OneOff, out: &mut Vec<Reply<Self, Event>>) {
        self.happen(now, out);
    }

    fn pass(&mut self, now: Timestamp) {
        self.forget(now);
    }

    fn judge(
        &mut self,
        _: Timestamp,
        _: &OneOff,
        _: &Event,
        _: &[Effect],
        after: &OneOff,
    ) -> Result<(), String> {
        self.hold(after.outcome().as_ref())
    }

    fn end(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { ran: Applied::No, .. } => "failed, did not run",
            Outcome::Failed {
                ran: Applied::Maybe, ..
            } => "failed, may have run",
            Outcome::Failed {
                ran: Applied::Yes, ..
            } => "failed, ran",
        }
    }
}
