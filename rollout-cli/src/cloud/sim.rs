//! The simulated cloud: built from the configuration, kept in the state directory between commands.

#[cfg(not(feature = "aws"))]
mod direct;
mod incident;
#[cfg(feature = "aws")]
mod wired;
mod world;

use core::time::Duration;
use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Context as _;
use rollout_core::port::{Clock, FactSource, Ports};
use rollout_core::readiness::intent::Intent;
use rollout_core::time::Timestamp;
use rollout_sim::surroundings::well_built;
use rollout_sim::{SimCloud, World};
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "aws"))]
use self::direct::bind;
#[cfg(feature = "aws")]
use self::wired::bind;
use super::Calls;
use crate::args::Global;
use crate::config::Config;
use crate::state::{Dir, files};
use crate::view::paint;

/// Simulated seconds in a real one, where people watch.
const WATCHED: u32 = 30;

/// An open simulated cloud.
pub(crate) struct Sim {
    cloud: SimCloud,
    ports: Ports,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "aws")]
    target: aws_config::SdkConfig,
    #[cfg(feature = "aws")]
    observers: super::aws::Observers,
    made_from: String,
}

/// What leads into it.
struct Bound {
    ports: Ports,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "aws")]
    target: aws_config::SdkConfig,
    #[cfg(feature = "aws")]
    observers: super::aws::Observers,
}

/// What is kept between commands.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// What the world was made from; one made from something else is of no use.
    made_from: String,
    world: World,
}

impl Sim {
    /// Goes on with the kept world, or makes a new one: the first time, when told to, when the configuration has changed,
    /// and for an incident, which would otherwise happen to a release that is out already.
    pub(super) fn open(
        global: &Global,
        config: &Config,
        here: &Dir,
        release: &str,
        since: Timestamp,
    ) -> anyhow::Result<Self> {
        let args = &global.sim;
        let made_from = world::fingerprint(config, args.seed);
        let kept = if args.reset || !args.incidents.is_empty() {
            None
        } else {
            kept(here).filter(|kept| kept.made_from == made_from)
        };
        let mut world = match kept {
            Some(kept) => kept.world,
            None => world::build(config, release, args.seed).context("cannot make the simulated cloud")?,
        };
        for text in &args.incidents {
            incident::plan(&mut world, config, text)?;
        }
        // What was planned for now has happened when the first call comes.
        world.pass(Duration::from_millis(1));
        world.pass(since.since(world.now()));
        let cloud = SimCloud::new(world);
        let watched = !global.json && std::io::stdout().is_terminal() && !paint::dumb();
        let speed = args.speed.unwrap_or(if watched { WATCHED } else { 0 });
        let bound = bind(&cloud, config, speed)?;
        Ok(Self {
            cloud,
            ports: bound.ports,
            clock: bound.clock,
            #[cfg(feature = "aws")]
            target: bound.target,
            #[cfg(feature = "aws")]
            observers: bound.observers,
            made_from,
        })
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports.clone()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What checks judge of an environment. What a simulated cloud has no notion of is as a well-built account has it.
    pub(super) fn facts(&self, config: &Config, intent: &Intent) -> anyhow::Result<Arc<dyn FactSource>> {
        let target = intent.environment.as_str();
        let source = (intent.environment == config.promotion.to).then_some(config.promotion.from.as_str());
        self.cloud.with(|world| -> anyhow::Result<()> {
            if world.surroundings(target)?.is_none() {
                let around = well_built(world, target, intent)?;
                *world.surroundings_mut(target)? = around;
            }
            Ok(())
        })?;
        Ok(self.cloud.facts(source, target)?)
    }

    #[cfg(feature = "aws")]
    pub(super) const fn target(&self) -> &aws_config::SdkConfig {
        &self.target
    }

    /// Through the AWS adapters; without them nothing is called.
    pub(super) fn calls(&self) -> Calls {
        #[cfg(feature = "aws")]
        return self.observers.calls();
        #[cfg(not(feature = "aws"))]
        Calls::new()
    }

    /// Keeps the world for the next command.
    pub(super) fn keep(&self, here: &Dir) -> anyhow::Result<()> {
        let kept = Kept {
            made_from: self.made_from.clone(),
            world: self.cloud.world(),
        };
        here.prepare()?;
        let file = here.sim_file();
        let text = serde_json::to_vec(&kept).context("cannot store the simulated cloud")?;
        files::replace(&file, &text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// The kept world. One that cannot be read, such as an older version's, is no loss: a new one is made.
fn kept(here: &Dir) -> Option<Kept> {
    let text = std::fs::read(here.sim_file()).ok()?;
    serde_json::from_slice(&text).ok()
}
