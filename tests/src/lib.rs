//! Tests across crates: whole rollouts on the simulated cloud. The library is what the test files share.

/// An adapter that shares an observer, if there is one.
#[cfg(feature = "aws")]
macro_rules! shared {
    ($adapter:expr, $observer:expr) => {
        match $observer {
            Some(observer) => $adapter.shared(observer),
            None => $adapter,
        }
    };
}

pub mod clock;
pub mod conformance;
pub mod explore;
pub mod fleet;
pub mod run;
pub mod script;
pub mod truth;
pub mod watch;

/// README's example, compiled and run by `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The example of docs/conformance.md, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../docs/conformance.md")]
struct Conformance;

#[cfg(feature = "aws")]
pub mod emulator;

#[cfg(feature = "endpoint")]
pub mod differ;

#[cfg(feature = "endpoint")]
pub mod many;

#[cfg(feature = "endpoint")]
pub mod wired;
