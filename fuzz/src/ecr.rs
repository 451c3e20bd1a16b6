//! As `rollout-aws` has it.

#[path = "../../rollout-aws/src/ecr/manifest.rs"]
mod manifest;
#[path = "targets/manifest.rs"]
pub mod target;
