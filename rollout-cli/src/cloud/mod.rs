//! The cloud that a command talks to: simulated, or Amazon Web Services.

#[cfg(feature = "aws")]
mod aws;
mod sim;

use std::sync::Arc;

use rollout_core::port::{Clock, Ports};

use crate::args::{self, Global};
use crate::config::Config;
use crate::runs::Runs;

/// An open cloud.
pub(crate) enum Cloud {
    /// The simulated one.
    Sim(sim::Sim),
    /// Amazon Web Services.
    #[cfg(feature = "aws")]
    Aws(aws::Aws),
}

impl Cloud {
    /// Opens the cloud that the command line names.
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
        runs: &Runs,
        release: &str,
    ) -> anyhow::Result<Self> {
        match global.cloud {
            args::Cloud::Sim => Ok(Self::Sim(sim::Sim::open(global, config, runs, release)?)),
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

    /// Keeps what must be kept until the next command.
    pub(crate) fn close(&self, runs: &Runs) -> anyhow::Result<()> {
        match self {
            Self::Sim(sim) => sim.keep(runs),
            #[cfg(feature = "aws")]
            Self::Aws(_) => Ok(()),
        }
    }
}
