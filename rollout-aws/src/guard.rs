//! What is asked before anything is changed.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::Error;

/// Says whether the caller may change this environment: the right account, region and identity (`sts::IdentityGuard`), or
/// a team's own rule. Adapters ask it before every mutating call; it remembers its answer where it may.
#[async_trait]
pub trait Guard: Send + Sync {
    /// Passes, or says why nothing may be changed.
    ///
    /// # Errors
    /// With `Applied::No`; the mutating call is then not made.
    async fn check(&self, ctx: &OpContext) -> Result<(), Error>;
}
