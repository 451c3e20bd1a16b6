//! Composable deployment primitives: pure state machines, small ports, one driver.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod context;
pub mod dns;
pub mod driver;
pub mod error;
pub mod evidence;
pub mod id;
pub mod image;
pub mod journal;
pub mod machine;
pub mod observer;
pub mod plan;
pub mod port;
pub mod probe;
pub mod service;
pub mod time;

pub use machine::{Effect, Machine, Rejected};
