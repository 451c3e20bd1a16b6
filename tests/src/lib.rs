//! Tests across crates. The library is empty but for what the documents show.

/// README's example, compiled and run by `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(feature = "aws")]
pub mod emulator;
