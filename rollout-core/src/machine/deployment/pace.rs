//! When to look next: rarely while nothing can change, closely near the expected end, now when someone says so.
//!
//! | what the last look showed | pause before the next |
//! |---|---|
//! | tasks of ours fail | a quarter of the quiet time, from `fast` to twice that: the platform may give up at any moment |
//! | all that is wanted runs, only the platform's word is missing | half of the quiet time, from `fast` to `slow` |
//! | else, near the expected end | `fast` |
//! | else | half of the quiet time, from `poll_every` to `slow`, and not past the moment from which the end is near |
//!
//! The quiet time is counted from the last look that showed another stage, more failed tasks, or that all runs; and from the
//! last hint, whose cause a first look may not show yet. What has been so for long will be so for long: that is why pauses grow
//! with it, and a change is noticed after at most half as long again as it was quiet, `slow` at most.
//!
//! *Near* is a sixteenth of the expected time before and after its end. What is expected the plan may say; else it is as long
//! as the deployment took that ours replaces, by the platform's record of it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::flow::Next;
use super::judge::Known;
use super::state::{State, Turn, Work};
use super::success::uneven;
use super::{Deployment, Policy};
use crate::service::{RecordStatus, ServiceObservation, Stage};
use crate::time::{Timestamp, Wait, maybe_millis, millis};

/// The shortest time between two looks that hints ask for. What is told while a look is under way is looked at after it and this, and
/// is still to be noticed within a second.
const GAP: Duration = Duration::from_millis(250);
/// The part of the expected time, before and after its end, in which the end is near.
const NEAR: u32 = 16;

/// How looks get rarer and closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The shortest pause between two looks.
    #[serde(with = "millis")]
    pub fast: Duration,
    /// The longest: while nothing can change.
    #[serde(with = "millis")]
    pub slow: Duration,
    /// How long the deployment is expected to take, from the change. Without it: as long as the one that it replaces took, if
    /// that is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_millis")]
    pub expected: Option<Duration>,
}

/// What the pauses go by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Paced {
    /// The last change that matters here, or the last hint.
    stirred_at: Timestamp,
    stage: Option<Stage>,
    failed: u32,
    settled: bool,
    /// When the change was asked for, and how long it should take.
    expected: Option<(Timestamp, Duration)>,
}

impl Policy {
    /// The shortest time between two looks, whatever is hinted.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let usual = self.pace.map_or(self.poll_every, |pace| pace.fast);
        usual.min(GAP)
    }

    /// What is wrong with the times between looks, in words.
    pub(crate) fn unsound(&self) -> Option<String> {
        let every = self.poll_every;
        if every.is_zero() || self.give_up.is_zero() {
            return Some("poll interval and deadline must be longer than zero".to_owned());
        }
        let pace = self.pace?;
        let ordered = !pace.fast.is_zero() && pace.fast <= every && every <= pace.slow;
        if !ordered || pace.slow > self.give_up {
            return Some(
                "the times between two looks must be in order: zero, fastest, usual, slowest, deadline"
                    .to_owned(),
            );
        }
        pace.expected
            .is_some_and(|expected| expected.is_zero())
            .then(|| "a deployment is expected to take no time".to_owned())
    }

    pub(super) fn pause(&self, paced: Option<&Paced>, now: Timestamp) -> Duration {
        match (self.pace, paced) {
            (Some(pace), Some(paced)) => paced.pause(&pace, self.poll_every, now),
            (Some(_) | None, _) => self.poll_every,
        }
    }
}

impl Paced {
    fn pause(&self, pace: &Pace, every: Duration, now: Timestamp) -> Duration {
        let Pace { fast, slow, .. } = *pace;
        let quiet = now.since(self.stirred_at);
        let part = |of: u32, least: Duration, most: Duration| {
            quiet.checked_div(of).unwrap_or_default().max(least).min(most)
        };
        if self.failed > 0 {
            return part(4, fast, fast.saturating_mul(2).min(every));
        }
        if self.settled {
            return part(2, fast, slow);
        }
        let usual = part(2, every, slow);
        let Some((asked, takes)) = self.expected else {
            return usual;
        };
        let window = takes.checked_div(NEAR).unwrap_or_default();
        let from = asked.after(takes.saturating_sub(window));
        if now < from {
            return usual.min(from.since(now)).max(fast);
        }
        if now <= asked.after(takes.saturating_add(window)) {
            return fast;
        }
        usual
    }
}

/// What a look changes.
pub(super) fn seen(
    pace: &Pace,
    before: Option<Paced>,
    now: Timestamp,
    known: &Known<'_>,
    seen: &ServiceObservation,
) -> Paced {
    let bound = known.bound;
    let ours = seen.deployment(&bound.deployment);
    let took = || {
        let replaced = seen.deployment(bound.assumed.as_ref()?)?;
        let record = replaced.record.as_ref()?;
        record.took.filter(|_| record.status == RecordStatus::Successful)
    };
    let expected = before
        .as_ref()
        .and_then(|before| before.expected)
        .or_else(|| Some((bound.asked_at, pace.expected.or_else(took)?)));
    let mut paced = Paced {
        stirred_at: bound.asked_at,
        stage: ours.and_then(|ours| ours.record.as_ref()?.stage.clone()),
        failed: ours.map_or(0, |ours| ours.failed.max(known.failed(seen))),
        settled: ours.is_some_and(|ours| uneven(known, seen, ours).is_none()),
        expected,
    };
    if let Some(before) = before {
        let same = before.stage == paced.stage
            && before.failed >= paced.failed
            && (before.settled || !paced.settled);
        paced.stirred_at = if same { before.stirred_at } else { now };
    }
    paced
}

/// What a hint does to a pause or a call under way.
enum Hinted {
    /// It goes on, to here.
    Waits(Turn),
    /// It is over: look.
    Looks,
}

impl Deployment {
    /// Something has changed: look at once, but never closer to the last look than [`Policy::gap`].
    pub(super) fn hinted(&self, state: State, now: Timestamp) -> Next {
        match state {
            State::Reconciling {
                mut work,
                aim,
                doubt,
                turn,
            } => match self.sooner(&mut work, turn, now) {
                Hinted::Looks => self.look(now, work, aim, doubt),
                Hinted::Waits(turn) => (
                    State::Reconciling {
                        work,
                        aim,
                        doubt,
                        turn,
                    },
                    Vec::new(),
                ),
            },
            State::Watching {
                mut work,
                bound,
                turn,
            } => match self.sooner(&mut work, turn, now) {
                Hinted::Looks => self.watch(now, work, bound),
                Hinted::Waits(turn) => (State::Watching { work, bound, turn }, Vec::new()),
            },
            State::Idle | State::Ensuring { .. } | State::Updating { .. } | State::Ended { .. } => {
                (state, Vec::new())
            }
        }
    }

    fn sooner(&self, work: &mut Work, turn: Turn, now: Timestamp) -> Hinted {
        if let Some(paced) = &mut work.paced {
            paced.stirred_at = now;
        }
        match turn {
            // The look may have been taken before the change: the next one comes soon.
            Turn::Call { .. } => {
                work.hinted = true;
                Hinted::Waits(turn)
            }
            Turn::Pause {
                until,
                why: Wait::Poll,
                since,
            } => {
                let earliest = since.after(self.policy.gap());
                if now >= earliest {
                    return Hinted::Looks;
                }
                Hinted::Waits(Turn::Pause {
                    until: until.min(earliest),
                    why: Wait::Poll,
                    since,
                })
            }
            // A call has failed: pressing on would make it worse, and the look that follows is newer than the hint.
            Turn::Pause { .. } => Hinted::Waits(turn),
        }
    }
}
