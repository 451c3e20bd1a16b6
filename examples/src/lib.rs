//! What the examples share: the storefront as a plan and as a world on an emulator, and an observer that tells people what
//! happens.

#[cfg(feature = "aws")]
pub mod emulated;
pub mod storefront;
pub mod tell;
