//! As `rollout-cli` has it.

#[path = "../../rollout-cli/src/view/paint.rs"]
pub(crate) mod paint;
