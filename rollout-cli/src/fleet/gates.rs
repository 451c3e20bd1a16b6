//! What the gates between waves ask: the cloud of one member each.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::id::{MemberName, WaveName};
use rollout_core::port::{Clock, HealthGate};
use rollout_core::probe::{Sample, SampleRequest};
use rollout_core::time::Timestamp;
use tokio::sync::Mutex;

use super::FleetFile;
use super::members::{Processes, state_dir};
use crate::args::{self, Global};
use crate::cloud::Cloud;
use crate::state::State;

/// Where this evidence comes from.
const OPERATION: &str = "fleet:TakeSample";

/// The gates of one fleet's run.
pub(crate) struct Gates {
    global: Global,
    file: FleetFile,
    release: String,
    clock: Arc<dyn Clock>,
    /// Clouds that were opened for it. A simulated one changes while its member's process has it, and is opened each time.
    open: Mutex<BTreeMap<MemberName, Arc<Cloud>>>,
}

impl Gates {
    /// For the run of these members; `clock` is the fleet's.
    pub(crate) fn new(members: &Processes, clock: Arc<dyn Clock>) -> Self {
        let mut global = members.global.clone();
        // What was asked for has happened when the members began.
        global.sim.reset = false;
        global.sim.incidents.clear();
        global.sim.speed = Some(0);
        Self {
            global,
            file: members.file.clone(),
            release: members.release.clone(),
            clock,
            open: Mutex::default(),
        }
    }

    fn is_simulated(&self) -> bool {
        self.global.cloud == args::Cloud::Sim
    }

    async fn cloud(&self, member: &MemberName) -> anyhow::Result<Arc<Cloud>> {
        let mut open = self.open.lock().await;
        if let Some(cloud) = open.get(member) {
            return Ok(Arc::clone(cloud));
        }
        let files = self.file.member(member).context("it is no member any more")?;
        let config = files.load()?;
        let there = Global {
            state_dir: state_dir(&self.global, member),
            ..self.global.clone()
        };
        let here = State::open(&there).await?.here();
        let cloud = Cloud::open(&there, &config, &here, &self.release, Timestamp::EPOCH).await?;
        let cloud = Arc::new(cloud);
        if !self.is_simulated() {
            open.insert(member.clone(), Arc::clone(&cloud));
        }
        Ok(cloud)
    }

    /// Whose cloud is asked, by the step: `wave/NAME`.
    fn asked(&self, ctx: &OpContext) -> Option<&MemberName> {
        let wave = ctx.step.as_str().strip_prefix("wave/")?;
        self.file.asked(&WaveName::new(wave).ok()?)
    }
}

#[async_trait]
impl HealthGate for Gates {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        let none = || {
            let text = format!("{}: fleet.toml has no such gate any more", ctx.step);
            Error::new(ErrorKind::InvalidRequest, OPERATION, text)
        };
        let member = self.asked(ctx).ok_or_else(none)?;
        let cloud = Box::pin(self.cloud(member)).await.map_err(|error| {
            let text = format!("the cloud of {member} cannot be opened: {error:#}");
            Error::new(ErrorKind::Unavailable, OPERATION, text)
        })?;
        let mut sample = cloud.ports().gates.sample(ctx, request).await?;
        if self.is_simulated() {
            // Each simulated cloud has a time of its own; what it says now is of now.
            let now = self.clock.now();
            sample.at = now;
            sample.evidence.iter_mut().for_each(|piece| piece.at = now);
        }
        Ok(sample)
    }
}
