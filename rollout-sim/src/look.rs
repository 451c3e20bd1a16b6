//! Looks at the world that no port offers: for tests that must know what is true without asking what they test.

use rollout_core::id::{ImageDigest, RepositoryName};

use crate::ecs::task::Owner;
use crate::world::{Unknown, World};

impl World {
    /// The manifest that a registry holds under a digest, byte for byte.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn manifest(
        &self,
        environment: &str,
        repository: &RepositoryName,
        image: &ImageDigest,
    ) -> Result<Option<&[u8]>, Unknown> {
        Ok(self.env(environment)?.registry.bytes(repository, image))
    }

    /// Every manifest of a repository, in the order of their digests.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn manifests(
        &self,
        environment: &str,
        repository: &RepositoryName,
    ) -> Result<Vec<&ImageDigest>, Unknown> {
        Ok(self.env(environment)?.registry.digests(repository).collect())
    }

    /// How many one-off tasks were ever started with revisions of a family.
    ///
    /// # Errors
    /// [`Unknown`] when the environment does not exist.
    pub fn one_off_tasks(&self, environment: &str, family: &str) -> Result<usize, Unknown> {
        let env = self.env(environment)?;
        let ours = env
            .tasks
            .values()
            .filter(|task| task.owner == Owner::Job && env.revision_at(task.revision).family == family);
        Ok(ours.count())
    }
}
