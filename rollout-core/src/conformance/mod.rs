//! The contract of the ports as a list of named checks, for whoever implements one.
//!
//! Each port has a module with its checks ([`environment::CHECKS`] and so on), each with the sentence of the contract that
//! it proves, and a *fixture*: the trait by which a check asks for its preconditions in your world (a service that runs, an
//! image that cannot start, somebody else who deploys) and learns what is true there without asking the port. One function
//! a port runs its checks, each in a world of its own, and answers with a [`Report`].
//!
//! A fixture that cannot make something says so with [`Stop::skip`]: the report then names the check and the reason.
//! Nothing here reads a clock, waits by itself or knows a runtime; time passes through [`Fixture::pass`].
//!
//! ```
//! # use std::time::Duration;
//! # use async_trait::async_trait;
//! # use rollout_core::conformance::{Fixture, Stop, Trouble, clock};
//! # use rollout_core::id::RunId;
//! # use rollout_core::port::Clock;
//! # use rollout_core::time::Timestamp;
//! # struct Still(std::sync::atomic::AtomicU64);
//! # #[async_trait]
//! # impl Clock for Still {
//! #     fn now(&self) -> Timestamp { Timestamp::from_millis(self.0.load(std::sync::atomic::Ordering::Relaxed)) }
//! #     async fn sleep_until(&self, moment: Timestamp) {
//! #         self.0.fetch_max(moment.as_millis(), std::sync::atomic::Ordering::Relaxed);
//! #     }
//! # }
//! struct MyWorld { clock: Still }
//!
//! impl clock::ClockFixture for MyWorld {
//!     fn clock(&self) -> &dyn Clock { &self.clock }
//!     // What another clock says, and how far the two may lie apart.
//!     fn truth(&self) -> Timestamp { self.clock.now() }
//!     fn tolerance(&self) -> Duration { Duration::ZERO }
//! }
//!
//! # fn block_on<F: Future>(f: F) -> F::Output {
//! #     let mut f = std::pin::pin!(f);
//! #     let mut c = std::task::Context::from_waker(std::task::Waker::noop());
//! #     loop { if let std::task::Poll::Ready(x) = f.as_mut().poll(&mut c) { return x } }
//! # }
//! let report = block_on(clock::check(async || Ok(MyWorld { clock: Still(1_000.into()) })));
//! assert!(report.is_conforming(), "{report}");
//! ```

use core::fmt::Debug;
use core::time::Duration;

use async_trait::async_trait;

use crate::context::OpContext;
use crate::error::{Applied, Error, ErrorKind, Retry};
use crate::id::{Generation, RunId, StepId};
use crate::pace::Priority;
use crate::time::Timestamp;

/// Writes the list of checks of a port and the functions that run them.
macro_rules! suite {
    ($port:literal, $fixture:ident { $($check:ident: $proves:literal,)+ }) => {
        /// The checks, in the order in which they run.
        pub const CHECKS: &[$crate::conformance::Check] = &[
            $($crate::conformance::Check { name: stringify!($check), proves: $proves }),+
        ];

        /// Runs every check, each in a world of its own that `open` makes.
        pub async fn check<F: $fixture>(
            open: impl AsyncFn() -> Result<F, $crate::conformance::Stop>,
        ) -> $crate::conformance::Report {
            check_some(|_| true, open).await
        }

        /// Runs the checks that are asked for, each in a world of its own that `open` makes.
        pub async fn check_some<F: $fixture>(
            wanted: impl Fn(&$crate::conformance::Check) -> bool,
            open: impl AsyncFn() -> Result<F, $crate::conformance::Stop>,
        ) -> $crate::conformance::Report {
            let mut report = $crate::conformance::Report::new($port);
            $(
                let about = $crate::conformance::Check { name: stringify!($check), proves: $proves };
                if wanted(&about) {
                    // A future for each: otherwise all of them together are one of tens of kilobytes.
                    let result = match open().await {
                        Ok(fixture) => Box::pin($check(&fixture)).await,
                        Err(stop) => Err(stop),
                    };
                    report.push(about, result);
                }
            )+
            report
        }
    };
}

pub mod clock;
pub mod dns_cutover;
pub mod environment;
pub mod health_gate;
pub mod image_promotion;
pub mod journal;
pub mod lease_store;
mod report;
pub mod rollback;

pub use report::{Check, Finding, Report, Stop, Verdict};

/// A call that goes wrong on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Calls that change something take effect, and none of their answers arrives. Calls that only look go right.
    LostAnswers,
    /// Calls are refused for being too many, before they take effect.
    Throttled,
    /// Calls are refused for want of a permission, before they take effect.
    Denied,
}

/// What every check needs of a world.
#[async_trait(?Send)]
pub trait Fixture {
    /// A run that nothing else in this world has used.
    fn run(&self) -> RunId;

    /// Now, by the world's clock: what the port dates its answers by, or a little later.
    fn now(&self) -> Timestamp;

    /// Lets so much time pass.
    async fn pass(&self, span: Duration) -> Result<(), Stop>;

    /// How much time passes between two looks, at something that changes by itself.
    fn pace(&self) -> Duration;

    /// For how long a check looks before it gives up.
    fn patience(&self) -> Duration;

    /// How many calls that could change something have left the port so far.
    async fn writes(&self) -> Result<u64, Stop>;

    /// Lets every call from now on meet this.
    async fn trouble(&self, trouble: Trouble) -> Result<(), Stop>;

    /// Lets calls go right again.
    async fn calm(&self) -> Result<(), Stop>;
}

/// The context of a call of a check.
fn ctx(fixture: &impl Fixture, step: &str, attempt: u32) -> OpContext {
    OpContext {
        run: fixture.run(),
        step: StepId::from_text(step),
        attempt,
        generation: Generation(1),
        deadline: fixture.now().after(fixture.patience()),
        priority: Priority::Look,
    }
}

/// What the port answered; an error is not what was wanted.
fn answer<T>(wanted: &str, answer: Result<T, Error>) -> Result<T, Stop> {
    answer.map_err(|error| {
        let seen = format!(
            "{:?}, retry {:?}, applied {:?}: {}",
            error.kind,
            error.retry,
            error.applied,
            error.record()
        );
        Stop::fail(wanted, seen)
    })
}

/// The error that the port answered.
fn error<T: Debug>(wanted: &str, answer: Result<T, Error>) -> Result<Error, Stop> {
    match answer {
        Ok(answer) => Err(Stop::fail(wanted, format!("no error but {answer:?}"))),
        Err(error) => Ok(error),
    }
}

/// The answer must be an error of one of these kinds that took no effect and stays however often it is repeated.
fn refused<T: Debug>(what: &str, answer: Result<T, Error>, kinds: &[ErrorKind]) -> Result<(), Stop> {
    let kinds_text: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    let wanted = format!("{what}: {}, retry Never, applied No", kinds_text.join(" or "));
    let error = error(&wanted, answer)?;
    let fits = kinds.contains(&error.kind) && error.applied == Applied::No && error.retry == Retry::Never;
    hold(
        fits,
        &wanted,
        &(error.kind, error.retry, error.applied, error.to_string()),
    )
}

/// An error about a lost answer must not claim that nothing happened.
fn lost<T: Debug>(what: &str, answer: Result<T, Error>) -> Result<(), Stop> {
    let wanted = format!("{what}: an error with applied Maybe or Yes, for its answer was lost");
    let error = error(&wanted, answer)?;
    hold(
        error.applied != Applied::No,
        &wanted,
        &(error.applied, error.to_string()),
    )
}

fn hold(holds: bool, wanted: &str, seen: &impl Debug) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        Err(Stop::fail(wanted, format!("{seen:?}")))
    }
}

fn same<T: PartialEq + Debug>(what: &str, wanted: &T, seen: &T) -> Result<(), Stop> {
    hold(wanted == seen, &format!("{what}: {wanted:?}"), seen)
}

/// An observation may not claim to be newer than the moment at which the other side was asked.
fn dated(fixture: &impl Fixture, what: &str, at: Timestamp) -> Result<(), Stop> {
    let now = fixture.now();
    hold(
        at <= now,
        &format!("{what}: a moment not later than the call, which was over at {now}"),
        &at.to_string(),
    )
}

/// Looks, and lets time pass, until there is something to see.
async fn until<T>(
    fixture: &impl Fixture,
    wanted: &str,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>, Stop>,
) -> Result<T, Stop> {
    let end = fixture.now().after(fixture.patience());
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if fixture.now() >= end => {
                let limit = crate::time::human(fixture.patience());
                return Err(Stop::fail(format!("{wanted}, within {limit}"), seen));
            }
            Err(_) => fixture.pass(fixture.pace()).await?,
        }
    }
}

/// Calls that observe must not write.
async fn only_reads(
    fixture: &impl Fixture,
    calls: impl AsyncFnOnce() -> Result<(), Stop>,
) -> Result<(), Stop> {
    let before = fixture.writes().await?;
    calls().await?;
    let after = fixture.writes().await?;
    same("calls that could change something", &before, &after)
}
