//! What is tried on the fuzzer's bytes. The same files are compiled into the tests of the crates that they are about, which
//! replay `corpus/`.

use aws_types::SdkConfig;

pub mod config;
pub mod ecs_answers;
pub mod ecs_json;
pub mod endpoint;
pub mod journal;
pub mod plan;
