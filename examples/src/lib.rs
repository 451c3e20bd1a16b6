//! What the examples share: the storefront as a plan, and an observer that tells people what happens.

pub mod storefront;
pub mod tell;
