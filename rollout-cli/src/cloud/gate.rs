//! Readiness as a gate of an open cloud.

use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::port::{FactSource, HealthGate, ImagePromotion};
use rollout_core::probe::{ProbeTarget, Sample, SampleRequest};
use rollout_core::readiness::gate::{Judge, ReadinessGate};

use super::Kind;
use crate::args::Global;
use crate::config::Config;
use crate::config::readiness::Readiness;
use crate::{intent, ready};

/// A gate that asks for the target's readiness when a release does. What the release is made of, and what facts are read
/// with, is looked up only then.
pub(super) struct Gate {
    pub(super) inner: Arc<dyn HealthGate>,
    pub(super) images: Arc<dyn ImagePromotion>,
    pub(super) cloud: Arc<Kind>,
    pub(super) global: Global,
    pub(super) config: Config,
    pub(super) readiness: Readiness,
    pub(super) release: String,
}

impl Gate {
    async fn prepare(&self, ctx: &OpContext) -> anyhow::Result<(Judge, Arc<dyn FactSource>)> {
        let release = intent::release(&self.config, &self.release, self.images.as_ref(), ctx).await?;
        let intent = intent::intent(
            &self.config,
            &self.readiness,
            &self.config.promotion.to,
            Some(release),
        )?;
        let facts = self.cloud.facts(&self.global, &self.config, &intent).await?;
        Ok((ready::judge(&self.readiness, intent), facts))
    }
}

#[async_trait]
impl HealthGate for Gate {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        if request.target != ProbeTarget::Readiness {
            return self.inner.sample(ctx, request).await;
        }
        let failed = |error: anyhow::Error| {
            Error::new(ErrorKind::Unexpected, "readiness:Prepare", format!("{error:#}"))
        };
        let (judge, facts) = Box::pin(self.prepare(ctx)).await.map_err(failed)?;
        let gate = ReadinessGate::new(Arc::clone(&self.inner), facts, judge);
        gate.sample(ctx, request).await
    }
}
