//! The cloud that a command talks to: simulated, or Amazon Web Services.

#[cfg(feature = "aws")]
mod aws;
mod feed;
mod sim;

use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::driver::{Perform, PortPerformer};
use rollout_core::port::{Clock, Ports};
use rollout_core::time::Timestamp;
use rollout_core::{Effect, Machine};

pub(crate) use self::feed::Feed;
use crate::args::{self, Global};
use crate::config::Config;
use crate::state::Dir;

/// An open cloud.
pub(crate) enum Cloud {
    /// The simulated one.
    Sim(sim::Sim),
    /// Amazon Web Services.
    #[cfg(feature = "aws")]
    Aws(aws::Aws),
}

impl Cloud {
    /// Opens the cloud that the command line names. What happened up to the moment `since` is written down somewhere: a cloud that keeps
    /// its own time does not begin before it.
    ///
    /// # Errors
    /// When it cannot be made from the configuration, or this program was built without it.
    #[cfg_attr(
        not(feature = "aws"),
        expect(clippy::unused_async, reason = "opening AWS reads its configuration")
    )]
    pub(crate) async fn open(
        global: &Global,
        config: &Config,
        here: &Dir,
        release: &str,
        since: Timestamp,
    ) -> anyhow::Result<Self> {
        match global.cloud {
            args::Cloud::Sim => Ok(Self::Sim(sim::Sim::open(global, config, here, release, since)?)),
            #[cfg(feature = "aws")]
            args::Cloud::Aws => Ok(Self::Aws(aws::Aws::open(global, config).await?)),
            #[cfg(not(feature = "aws"))]
            args::Cloud::Aws => {
                anyhow::bail!("this `rollout` was built without AWS: build it with the feature `aws`")
            }
        }
    }

    pub(crate) fn ports(&self) -> Ports {
        match self {
            Self::Sim(sim) => sim.ports(),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.ports(),
        }
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Sim(sim) => sim.clock(),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.clock(),
        }
    }

    /// The queue that tells of changes in the target, if the configuration names one.
    pub(crate) fn feed(&self, config: &Config) -> Option<Feed> {
        match self {
            #[cfg(feature = "aws")]
            Self::Sim(sim) => Feed::new(sim.target(), config),
            #[cfg(not(feature = "aws"))]
            Self::Sim(_) => {
                let _ = &config.target().events;
                None
            }
            #[cfg(feature = "aws")]
            Self::Aws(aws) => Feed::new(aws.target(), config),
        }
    }

    /// Keeps what must be there when the next command comes, or when this process is killed.
    pub(crate) fn keep(&self, here: &Dir) -> anyhow::Result<()> {
        match self {
            Self::Sim(sim) => sim.keep(here),
            #[cfg(feature = "aws")]
            Self::Aws(_) => Ok(()),
        }
    }
}

/// Keeps the cloud after every call that changed it, before the answer is written down: what a killed process leaves behind then fits
/// its journal.
pub(crate) struct Keeping<'a> {
    inner: PortPerformer,
    cloud: &'a Cloud,
    here: &'a Dir,
}

impl<'a> Keeping<'a> {
    pub(crate) const fn new(inner: PortPerformer, cloud: &'a Cloud, here: &'a Dir) -> Self {
        Self { inner, cloud, here }
    }
}

#[async_trait]
impl<M> Perform<M> for Keeping<'_>
where
    M: Machine<Effect: Effect + Sync> + 'static,
    PortPerformer: Perform<M>,
{
    async fn perform(&self, effect: &M::Effect) -> M::Event
    where
        M: 'async_trait,
    {
        let event = Perform::<M>::perform(&self.inner, effect).await;
        if effect.mutates() {
            // It is a simulation's memory: the next command that keeps it says what is wrong.
            let _ = self.cloud.keep(self.here);
        }
        event
    }
}
