//! `rollout plan`: reads everything that a run would read, and shows what it would change.
//!
//! It drives the very machine that `run` drives, up to the first change, so that it refuses what a run would refuse.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use rollout_core::dns::{RecordKey, Snapshot};
use rollout_core::driver::{Perform, PortPerformer};
use rollout_core::evidence::Reason;
use rollout_core::id::{ImageDigest, RunId, StepId};
use rollout_core::machine::promotion::{self, Reference};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout, StateKind};
use rollout_core::machine::{Lifecycle as _, Transitions as _};
use rollout_core::plan::{RolloutPlan, step};
use rollout_core::port::Clock;
use rollout_core::service::{Captured, Identity};
use rollout_core::{Effect as _, Machine as _};

use super::run::CALL;
use rollout_core::time::Timestamp;

use crate::args::{Global, Release};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::draft;
use crate::exit::Exit;
use crate::runs::Runs;
use crate::view::paint::Paint;

mod show;

pub(crate) fn execute(global: &Global, args: &Release) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let release = draft::release(&config, args.release.as_deref())?;
    let run = RunId::new("plan")?;
    let plan = draft::plan(&config, &release, &run)?;
    let runs = Runs::new(&global.state_dir);
    super::block_on(async {
        let cloud = Cloud::open(global, &config, &runs, &release, Timestamp::EPOCH).await?;
        let clock = cloud.clock();
        let performer = PortPerformer::new(cloud.ports(), cloud.clock(), run, StepId::new("plan")?, CALL);
        let mut found = read(plan, &performer, clock.as_ref()).await?;
        found.overlays.clone_from(&config.overlays);
        // Not closed: reading leaves a simulated cloud as it was.
        let exit = if found.refusals.is_empty() {
            Exit::Done
        } else {
            Exit::Refused
        };
        if global.json {
            super::print(&format!("{}\n", show::json(&found, exit)));
        } else {
            super::print(&show::text(&found, Paint::for_stdout(global.no_color)));
        }
        Ok(exit)
    })?
}

/// What was read.
struct Found {
    plan: RolloutPlan,
    /// What is laid over the configuration.
    overlays: Vec<PathBuf>,
    identity: Option<Identity>,
    captured: BTreeMap<String, Captured>,
    digests: BTreeMap<StepId, ImageDigest>,
    records: BTreeMap<StepId, Snapshot>,
    /// Everything that a run would refuse over, not only the first.
    refusals: Vec<Reason>,
}

impl Found {
    fn new(plan: RolloutPlan) -> Self {
        let mut digests = BTreeMap::new();
        for service in &plan.services {
            for (container, image) in &service.images {
                if let Reference::Digest(digest) = &image.reference {
                    digests.insert(step::image(&service.name, container), digest.clone());
                }
            }
        }
        Self {
            plan,
            overlays: Vec::new(),
            identity: None,
            captured: BTreeMap::new(),
            digests,
            records: BTreeMap::new(),
            refusals: Vec::new(),
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::IdentitySeen(identity) => self.identity = Some(identity.clone()),
            Event::Captured { service, captured } => {
                self.captured.insert(service.to_string(), captured.clone());
            }
            Event::RecordRead { step, snapshot } => {
                self.records.insert(step.clone(), snapshot.as_ref().clone());
            }
            Event::Promotion {
                step,
                event: promotion::Event::TagResolved(Some(digest)),
            } => {
                self.digests.insert(step.clone(), digest.clone());
            }
            Event::Start
            | Event::AlarmSampled { .. }
            | Event::Confirmed { .. }
            | Event::CallFailed { .. }
            | Event::Promotion { .. }
            | Event::Task { .. }
            | Event::Deployment { .. }
            | Event::Gate { .. }
            | Event::Cutover { .. }
            | Event::Unwind(_)
            | Event::Elapsed
            | Event::Abort => {}
        }
    }

    fn record(&self, key: &RecordKey) -> Option<&Snapshot> {
        self.records.get(&step::record(key))
    }
}

/// Drives a machine until it would change something, has read everything, or can read no more.
///
/// An answer that would end it is noted and taken back, so that the next fault is found too.
async fn read(plan: RolloutPlan, performer: &PortPerformer, clock: &dyn Clock) -> anyhow::Result<Found> {
    let mut found = Found::new(plan.clone());
    let mut machine = Rollout::new(plan);
    let mut todo: VecDeque<Effect> = machine.handle(clock.now(), Rollout::start())?.into();
    loop {
        let event = match todo.pop_front() {
            Some(effect) if effect.mutates() => break,
            Some(effect) => Perform::<Rollout>::perform(performer, &effect).await,
            None => match machine.deadline() {
                // What is missing after a refusal is the answer that was taken back.
                Some(deadline) if found.refusals.is_empty() => {
                    clock.sleep_until(deadline.at).await;
                    Rollout::elapsed()
                }
                Some(_) | None => break,
            },
        };
        found.hear(&event);
        let before = machine.clone();
        let effects = machine.handle(clock.now(), event)?;
        match machine.outcome() {
            Some(Outcome::Refused { why }) => {
                found.refusals.push(why);
                machine = before;
            }
            Some(_) => break,
            None => todo.extend(effects),
        }
        if machine.state_kind() != StateKind::Checking {
            break;
        }
    }
    Ok(found)
}
