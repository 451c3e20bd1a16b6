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
use crate::command::block_on;
use crate::state::State;

/// Where this evidence comes from.
const OPERATION: &str = "fleet:TakeSample";

/// The gates of one fleet's run.
pub(crate) struct Gates {
    members: Arc<Members>,
    clock: Arc<dyn Clock>,
    /// Clouds that were opened for it. A simulated one changes while its member's process has it, and is opened each time.
    open: Mutex<BTreeMap<MemberName, Arc<Cloud>>>,
}

/// How the cloud of a member is opened.
struct Members {
    global: Global,
    file: FleetFile,
    release: String,
}

impl Members {
    async fn open(&self, member: &MemberName) -> anyhow::Result<Cloud> {
        let files = self.file.member(member).context("it is no member any more")?;
        let config = files.load()?;
        let there = Global {
            state_dir: state_dir(&self.global, member),
            ..self.global.clone()
        };
        let here = State::open(&there).await?.here();
        Cloud::open(&there, &config, &here, &self.release, Timestamp::EPOCH).await
    }
}

impl Gates {
    /// For the run of these members; `clock` is the fleet's.
    pub(crate) fn new(members: &Processes, clock: Arc<dyn Clock>) -> Self {
        let mut global = members.global.clone();
        // What was asked for has happened when the members began.
        global.sim.reset = false;
        global.sim.incidents.clear();
        global.sim.speed = Some(0);
        let members = Members {
            global,
            file: members.file.clone(),
            release: members.release.clone(),
        };
        Self {
            members: Arc::new(members),
            clock,
            open: Mutex::default(),
        }
    }

    async fn cloud(&self, member: &MemberName) -> anyhow::Result<Arc<Cloud>> {
        let mut open = self.open.lock().await;
        if let Some(cloud) = open.get(member) {
            return Ok(Arc::clone(cloud));
        }
        let cloud = Arc::new(Box::pin(self.members.open(member)).await?);
        open.insert(member.clone(), Arc::clone(&cloud));
        Ok(cloud)
    }

    /// On a runtime of its own: a simulated cloud stops the time of the one that it is opened on, and the fleet's members are real
    /// processes. What it says now is of now, whatever time it has itself.
    async fn simulated(
        &self,
        member: &MemberName,
        ctx: &OpContext,
        request: &SampleRequest,
    ) -> Result<Sample, Error> {
        let (members, whose) = (Arc::clone(&self.members), member.clone());
        let (ctx, request) = (ctx.clone(), request.clone());
        let asked = tokio::task::spawn_blocking(move || {
            block_on(async {
                let cloud = members.open(&whose).await.map_err(|error| shut(&whose, &error))?;
                cloud.ports().gates.sample(&ctx, &request).await
            })
        });
        let answer = asked.await.map_err(anyhow::Error::new).flatten();
        let mut sample = answer.map_err(|error| shut(member, &error))??;
        let now = self.clock.now();
        sample.at = now;
        sample.evidence.iter_mut().for_each(|piece| piece.at = now);
        Ok(sample)
    }

    /// Whose cloud is asked, by the step: `wave/NAME`.
    fn asked(&self, ctx: &OpContext) -> Option<&MemberName> {
        let wave = ctx.step.as_str().strip_prefix("wave/")?;
        self.members.file.asked(&WaveName::new(wave).ok()?)
    }
}

fn shut(member: &MemberName, error: &anyhow::Error) -> Error {
    let text = format!("the cloud of {member} cannot be opened: {error:#}");
    Error::new(ErrorKind::Unavailable, OPERATION, text)
}

#[async_trait]
impl HealthGate for Gates {
    async fn sample(&self, ctx: &OpContext, request: &SampleRequest) -> Result<Sample, Error> {
        let none = || {
            let text = format!("{}: fleet.toml has no such gate any more", ctx.step);
            Error::new(ErrorKind::InvalidRequest, OPERATION, text)
        };
        let member = self.asked(ctx).ok_or_else(none)?;
        if self.members.global.cloud == args::Cloud::Sim {
            return self.simulated(member, ctx, request).await;
        }
        let cloud = self.cloud(member).await.map_err(|error| shut(member, &error))?;
        cloud.ports().gates.sample(ctx, request).await
    }
}
