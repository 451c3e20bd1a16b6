//! As `rollout-aws` has it.

#[path = "targets/dns.rs"]
pub mod target;
#[path = "../../rollout-aws/src/route53/text.rs"]
mod text;
#[path = "../../rollout-aws/src/route53/wire.rs"]
mod wire;
