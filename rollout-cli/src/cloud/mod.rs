//! The cloud that a command talks to: simulated, or Amazon Web Services.

#[cfg(feature = "aws")]
mod aws;
mod feed;
mod gate;
mod sim;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::driver::{Perform, PortPerformer};
use rollout_core::port::{Clock, FactSource, Ports};
use rollout_core::readiness::intent::Intent;
use rollout_core::time::Timestamp;
use rollout_core::{Effect, Machine};

pub(crate) use self::feed::Feed;
use crate::args::{self, Global};
use crate::config::Config;
use crate::state::Dir;
use crate::{intent, ready};

/// How often each action of an API was called.
pub(crate) type Calls = BTreeMap<String, u64>;

/// An open cloud.
pub(crate) struct Cloud {
    kind: Arc<Kind>,
    ports: Ports,
}

enum Kind {
    /// The simulated one.
    Sim(Box<sim::Sim>),
    /// Amazon Web Services.
    #[cfg(feature = "aws")]
    Aws(Box<aws::Aws>),
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
        // What is wrong in the file is told before a cloud is asked.
        let file = config.readiness.as_ref();
        let readiness = file.map(|_| ready::load(config)).transpose()?;
        let kind = match global.cloud {
            args::Cloud::Sim => Kind::Sim(Box::new(sim::Sim::open(global, config, here, release, since)?)),
            #[cfg(feature = "aws")]
            // A future of its own: those of the SDK are deep, and this one is within many.
            args::Cloud::Aws => Kind::Aws(Box::new(Box::pin(aws::Aws::open(global, config)).await?)),
            #[cfg(not(feature = "aws"))]
            args::Cloud::Aws => {
                anyhow::bail!("this `rollout` was built without AWS: build it with the feature `aws`")
            }
        };
        let kind = Arc::new(kind);
        let mut ports = kind.ports();
        if let Some(readiness) = readiness {
            intent::intent(config, &readiness, &config.promotion.to, None)?;
            ports.gates = Arc::new(gate::Gate {
                inner: ports.gates,
                images: Arc::clone(&ports.images),
                cloud: Arc::clone(&kind),
                global: global.clone(),
                config: config.clone(),
                readiness,
                release: release.to_owned(),
            });
        }
        Ok(Self { kind, ports })
    }

    pub(crate) fn ports(&self) -> Ports {
        self.ports.clone()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &*self.kind {
            Kind::Sim(sim) => sim.clock(),
            #[cfg(feature = "aws")]
            Kind::Aws(aws) => aws.clock(),
        }
    }

    /// What checks judge of an environment: of the target with a release that was proven in the source, of another by itself.
    pub(crate) async fn facts(
        &self,
        global: &Global,
        config: &Config,
        intent: &Intent,
    ) -> anyhow::Result<Arc<dyn FactSource>> {
        Box::pin(self.kind.facts(global, config, intent)).await
    }

    /// The queue that tells of changes in the target, if the configuration names one.
    pub(crate) fn feed(&self, config: &Config) -> Option<Feed> {
        match &*self.kind {
            #[cfg(feature = "aws")]
            Kind::Sim(sim) => Feed::new(sim.target(), config),
            #[cfg(not(feature = "aws"))]
            Kind::Sim(_) => {
                let _ = &config.target().events;
                None
            }
            #[cfg(feature = "aws")]
            Kind::Aws(aws) => Feed::new(aws.target(), config),
        }
    }

    /// The calls of AWS so far, second tries included: of all ports and of what is read for checks; not those to a queue of events.
    pub(crate) fn calls(&self) -> Calls {
        match &*self.kind {
            Kind::Sim(sim) => sim.calls(),
            #[cfg(feature = "aws")]
            Kind::Aws(aws) => aws.calls(),
        }
    }

    /// Keeps what must be there when the next command comes, or when this process is killed.
    pub(crate) fn keep(&self, here: &Dir) -> anyhow::Result<()> {
        match &*self.kind {
            Kind::Sim(sim) => sim.keep(here),
            #[cfg(feature = "aws")]
            Kind::Aws(_) => Ok(()),
        }
    }
}

impl Kind {
    fn ports(&self) -> Ports {
        match self {
            Self::Sim(sim) => sim.ports(),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.ports(),
        }
    }

    #[cfg_attr(
        not(feature = "aws"),
        expect(
            clippy::unused_async,
            unused_variables,
            reason = "AWS reads its configuration first"
        )
    )]
    async fn facts(
        &self,
        global: &Global,
        config: &Config,
        intent: &Intent,
    ) -> anyhow::Result<Arc<dyn FactSource>> {
        match self {
            Self::Sim(sim) => sim.facts(config, intent),
            #[cfg(feature = "aws")]
            Self::Aws(aws) => aws.facts(global, config, &intent.environment).await,
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
