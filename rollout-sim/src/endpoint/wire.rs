//! What goes wrong between a caller and a service, and the record of every call.

use core::time::Duration;
use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::damage::Damage;
use super::refusal::Refusal;
use super::route::{Lost, Routed};
use super::service::Service;
use crate::rng::Span;
use crate::world::World;

/// How many worlds a stale read can go back to.
const PAST_KEPT: usize = 64;

/// What goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upset {
    /// The service throttles it, by the code that the service uses for that (`ThrottlingException`, `Throttling`).
    Throttled,
    /// The service refuses it before it takes effect, as with `PriorRequestNotComplete` or `ExpiredTokenException`.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error code.
        code: String,
        /// The sentence.
        message: String,
    },
    /// The service fails with this status (500 or 503) before the call takes effect.
    FailsBefore(u16),
    /// The service fails with this status after the call has taken effect.
    FailsAfter(u16),
    /// The connection is refused: the call never left.
    Unreachable,
    /// The connection breaks before the call takes effect.
    ResetBefore,
    /// The call takes effect and the connection breaks before its answer.
    LostAnswer,
    /// The call takes effect at once and is answered after so long; a caller may have given up by then.
    AnswersLate(#[serde(with = "rollout_core::time::millis")] Duration),
    /// The call takes effect and is answered after so long, also when the caller has given up.
    LandsLate(#[serde(with = "rollout_core::time::millis")] Duration),
    /// The call is delivered twice; the caller gets the second answer.
    Twice,
    /// A read is answered from the world as it was so long ago. Calls that may change something are not touched by it.
    Stale(#[serde(with = "rollout_core::time::millis")] Duration),
    /// The call takes effect, and its answer is not what the caller expects.
    Damaged(Damage),
}

/// Which of the calls that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// From this one to that one, counted from 1.
    Calls {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// So many of 10,000, drawn by the seed.
    Share(u32),
}

/// Calls that go wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireFault {
    /// Of this service, by its name in signatures (`ecs`, `monitoring`); `None` is of each.
    pub service: Option<String>,
    /// Of this operation; `None` is of each.
    pub operation: Option<String>,
    /// By this account; `None` is by each.
    pub account: Option<String>,
    /// Not before this moment.
    pub from: Timestamp,
    /// Not after this moment.
    pub until: Timestamp,
    /// Which of them.
    pub which: Which,
    /// What goes wrong.
    pub what: Upset,
}

impl WireFault {
    /// One call of an operation goes wrong: the `call`th, from 1, counted from now on.
    #[must_use]
    pub fn nth(service: &str, operation: &str, call: u64, what: Upset) -> Self {
        Self {
            operation: Some(operation.to_owned()),
            which: Which::Calls { from: call, to: call },
            ..Self::every(service, what)
        }
    }

    /// Every call of a service goes wrong.
    #[must_use]
    pub fn every(service: &str, what: Upset) -> Self {
        Self {
            service: Some(service.to_owned()),
            ..Self::share(10_000, what)
        }
    }

    /// So many of 10,000 calls of all services go wrong.
    #[must_use]
    pub const fn share(per_10_000: u32, what: Upset) -> Self {
        Self {
            service: None,
            operation: None,
            account: None,
            from: Timestamp::EPOCH,
            until: Timestamp::MAX,
            which: Which::Share(per_10_000),
            what,
        }
    }

    /// The same, of one operation only.
    #[must_use]
    pub fn of(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// The same, by one account only.
    #[must_use]
    pub fn by(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// The same, between two moments only.
    #[must_use]
    pub const fn between(mut self, from: Timestamp, until: Timestamp) -> Self {
        self.from = from;
        self.until = until;
        self
    }

    fn fits(&self, call: &Arriving<'_>) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|w| w == found);
        same(&self.service, call.service)
            && same(&self.operation, call.operation)
            && same(&self.account, call.account)
            && (self.from..=self.until).contains(&call.at)
            && !(call.mutates && matches!(self.what, Upset::Stale(_)))
    }
}

/// A call that was made: each attempt is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireCall {
    /// When it arrived, or would have.
    pub at: Timestamp,
    /// The service's name in signatures.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// By whom.
    pub account: String,
    /// For which region.
    pub region: String,
    /// The status of the answer that the service gave; `None` when it gave none.
    pub status: Option<u16>,
    /// The error code of that answer.
    pub code: Option<String>,
    /// Whether it changed anything: a refused call, or one that found everything as asked, did not.
    pub changed: bool,
    /// What went wrong with it on the wire.
    pub upset: Option<Upset>,
}

/// A call at the service's door.
pub(super) struct Arriving<'a> {
    pub(super) at: Timestamp,
    pub(super) service: &'a str,
    pub(super) operation: &'a str,
    pub(super) account: &'a str,
    pub(super) mutates: bool,
}

/// The state of the wire.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    faults: Vec<(WireFault, u64)>,
    pub(super) calls: Vec<WireCall>,
    dice: ChaCha8Rng,
    /// The world after each change, oldest first; empty unless reads may be stale.
    past: VecDeque<World>,
    remembers: bool,
}

impl Wire {
    pub(super) fn new(seed: u64) -> Self {
        /// Apart from the streams of the world's own dice.
        const STREAM: u64 = 101;
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(STREAM);
        Self {
            faults: Vec::new(),
            calls: Vec::new(),
            dice,
            past: VecDeque::new(),
            remembers: false,
        }
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.dice.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A time on the wire.
    pub(super) fn draw(&mut self, span: Span) -> Duration {
        let over = span.max.saturating_sub(span.min);
        let more = if over == 0 {
            0
        } else {
            self.below(over.saturating_add(1))
        };
        Duration::from_millis(span.min.saturating_add(more))
    }

    pub(super) fn disturb(&mut self, fault: WireFault, world: &World) {
        if matches!(fault.what, Upset::Stale(_)) {
            self.remembers = true;
            self.remember(world);
        }
        self.faults.push((fault, 0));
    }

    pub(super) fn calm(&mut self) {
        self.faults.clear();
        self.past.clear();
        self.remembers = false;
    }

    /// What goes wrong with a call: the first fault that fits and hits. Each counts the calls that fit it.
    pub(super) fn upset(&mut self, call: &Arriving<'_>) -> Option<Upset> {
        let mut found = None;
        for index in 0..self.faults.len() {
            let (fault, seen) = &mut self.faults[index];
            if !fault.fits(call) {
                continue;
            }
            *seen += 1;
            let hit = match fault.which {
                Which::Calls { from, to } => (from..=to).contains(seen),
                Which::Share(share) => {
                    let share = u64::from(share);
                    self.below(10_000) < share
                }
            };
            if hit && found.is_none() {
                found = Some(self.faults[index].0.what.clone());
            }
        }
        found
    }

    /// Keeps the world as a change has left it.
    pub(super) fn remember(&mut self, world: &World) {
        if !self.remembers {
            return;
        }
        if self.past.len() == PAST_KEPT {
            self.past.pop_front();
        }
        self.past.push_back(world.clone());
    }

    /// The world as it was then, as far as it is remembered: what was changed by a call since is not in it.
    pub(super) fn past(&self, then: Timestamp) -> Option<World> {
        let before = self.past.iter().rev().find(|world| world.now() <= then);
        let mut world = before.or_else(|| self.past.front())?.clone();
        world.advance(then);
        Some(world)
    }
}

/// What a service says when it throttles.
pub(super) fn throttled(service: &Service) -> Refusal {
    Refusal::client(service.throttled, "Rate exceeded")
}

/// What a service says when it fails (AWS, "Common Errors"; its sentences).
pub(super) fn failed(status: u16) -> Refusal {
    match status {
        503 => Refusal::new(
            503,
            "ServiceUnavailable",
            "The request has failed due to a temporary failure of the server.",
        ),
        other => Refusal::new(
            other,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
    }
}

/// Names of a request, understood or not, for faults and the record.
pub(super) fn names(routed: &Result<Routed, Box<Lost>>) -> (String, String, bool) {
    match routed {
        Ok(routed) => (
            routed.service.signing_name.to_owned(),
            routed.operation.name.to_owned(),
            routed.operation.mutates,
        ),
        Err(lost) => {
            let signed = lost.scope.as_ref().map(|s| s.service.as_str());
            let service = lost.service.map(|s| s.signing_name).or(signed);
            (
                service.unwrap_or_default().to_owned(),
                lost.operation.clone(),
                false,
            )
        }
    }
}
