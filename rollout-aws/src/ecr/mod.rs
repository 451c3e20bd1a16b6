//! Being written.
/// A registry.
#[derive(Debug)]
pub struct Registry;
impl Registry {
    pub(crate) async fn has(
        &self,
        _r: &rollout_core::id::RepositoryName,
        _d: &rollout_core::id::ImageDigest,
    ) -> Result<bool, rollout_core::error::Error> {
        Ok(true)
    }
}
