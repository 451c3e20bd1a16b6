//! As `rollout-aws` has it.

const REGISTER: &str = "ecs:RegisterTaskDefinition";

#[path = "targets/template.rs"]
pub mod target;
#[path = "../../rollout-aws/src/ecs/template.rs"]
mod template;
