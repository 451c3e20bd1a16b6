//! As `rollout-aws` has it.

#[path = "../../rollout-aws/src/sqs/event.rs"]
mod event;
#[path = "targets/queue.rs"]
pub mod target;
