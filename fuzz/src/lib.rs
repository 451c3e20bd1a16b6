//! Fuzz targets for everything here that reads bytes of somebody else: see docs/fuzzing.md.
//!
//! The decoders are private to their crates, and stay so: their source files are compiled in here as they are (`#[path]`). That
//! needs neither a library face for the program nor a feature that shows an adapter's insides, and it keeps the AWS SDK,
//! which is most of the build, out of what is instrumented. The price: a decoder's file may use nothing of its crate but
//! what this file gives it.
#![expect(dead_code, reason = "the files that are compiled in hold more than their decoders")]
#![allow(unreachable_pub, unused_imports)]

#[path = "../../rollout-cli/src/config/mod.rs"]
mod config;
pub mod ecr;
pub mod ecs;
pub mod route53;
pub mod sqs;
pub mod targets;
mod view;
