//! `ImagePromotion`: from the source's registry to the target's.

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{ImageDigest, ImageTag, RepositoryName};
use rollout_core::image::{Ensured, ImageRef, ManifestTree};
use rollout_core::port::ImagePromotion;

use super::Port;
use crate::ecr::Registry;
use crate::faults::Operation;

fn known(registry: &Registry, operation: Operation, repository: &RepositoryName) -> Result<(), Error> {
    if registry.knows(repository) {
        return Ok(());
    }
    let text = format!("RepositoryNotFoundException: the repository {repository} does not exist");
    Err(Error::new(ErrorKind::NotFound, operation.name(), text))
}

#[async_trait]
impl ImagePromotion for Port {
    async fn resolve(
        &self,
        ctx: &OpContext,
        repository: &RepositoryName,
        tag: &ImageTag,
    ) -> Result<Option<ImageDigest>, Error> {
        let operation = Operation::Resolve;
        self.call(ctx, operation, repository.as_str(), |world| {
            let registry = &world.environments[self.source as usize].registry;
            known(registry, operation, repository)?;
            Ok(registry.resolve(repository, tag).cloned())
        })
    }

    async fn copy(&self, ctx: &OpContext, from: &ImageRef, to: &RepositoryName) -> Result<Ensured, Error> {
        let operation = Operation::Copy;
        self.call(ctx, operation, to.as_str(), |world| {
            let now = world.kernel.now;
            let (s, t) = (self.source as usize, self.target as usize);
            let copied = if let Ok([source, target]) = world.environments.get_disjoint_mut([s, t]) {
                known(&source.registry, operation, &from.repository)?;
                known(&target.registry, operation, to)?;
                target
                    .registry
                    .copy_from(now, &source.registry, (&from.repository, &from.digest), to)
            } else {
                // Within one registry.
                let source = world.environments[s].registry.clone();
                known(&source, operation, &from.repository)?;
                known(&source, operation, to)?;
                let target = &mut world.environments[t].registry;
                target.copy_from(now, &source, (&from.repository, &from.digest), to)
            };
            let ensured = copied.ok_or_else(|| {
                let text = format!(
                    "ImageNotFoundException: {}@{} is not in the source registry, or not all of it",
                    from.repository, from.digest
                );
                Error::new(ErrorKind::NotFound, operation.name(), text)
            })?;
            world.took_effect = ensured != Ensured::AlreadyThere;
            Ok(ensured)
        })
    }

    async fn read(&self, ctx: &OpContext, image: &ImageRef) -> Result<Option<ManifestTree>, Error> {
        self.call(ctx, Operation::Read, image.repository.as_str(), |world| {
            let registry = &world.environments[self.target as usize].registry;
            Ok(registry.read(&image.repository, &image.digest))
        })
    }
}
