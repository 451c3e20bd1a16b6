//! `rollout plan`: reads everything that a run would read, and shows what it would change.
//!
//! It drives the very machine that `run` drives, up to the first change, so that it refuses what a run would refuse; only calls that
//! fail are tried for seconds, where a run tries them for minutes.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use rollout_core::dns::{RecordKey, Snapshot};
use rollout_core::driver::{Perform, PortPerformer};
use rollout_core::evidence::{Cause, Reason};
use rollout_core::id::{ImageDigest, RunId, StepId};
use rollout_core::machine::promotion::{self, Reference};
use rollout_core::machine::rollout::{Effect, Event, Outcome, Rollout, StateKind, Terms};
use rollout_core::machine::{Lifecycle as _, Transitions as _};
use rollout_core::plan::assumed::{Assumed, AssumedRecord, AssumedService};
use rollout_core::plan::document::Document;
use rollout_core::plan::worst::WorstCase;
use rollout_core::plan::{Draft, RolloutPlan, step};
use rollout_core::port::Clock;
use rollout_core::service::{Captured, Identity};
use rollout_core::time::Timestamp;
use rollout_core::{Effect as _, Machine as _};

use super::drive::CALL;
use crate::args::{Global, Plan};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::draft;
use crate::exit::Exit;
use crate::planfile::{self, Written};
use crate::state::State;
use crate::view::paint::Paint;

mod show;

pub(crate) async fn execute(global: &Global, args: &Plan) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let release = draft::release(&config, args.release.release.as_deref())?;
    let run = RunId::new("plan")?;
    let plan = draft::plan(&config, &release, &run)?;
    let state = State::open(global).await?;
    let cloud = Cloud::open(global, &config, &state.here(), &release, Timestamp::EPOCH).await?;
    let clock = cloud.clock();
    let performer = PortPerformer::new(cloud.ports(), cloud.clock(), run, StepId::new("plan")?, CALL);
    let mut found = read(plan, terms(&config, None), &performer, clock.as_ref()).await?;
    found.overlays.clone_from(&config.overlays);
    if let Some(taken) = state.held(&config.promotion.to).await? {
        let refusal = taken.refusal().here(global);
        let text = format!(
            "{}; next: {}",
            refusal.why.unwrap_or_default(),
            refusal.next.join(", ")
        );
        found
            .refusals
            .insert(0, Reason::new(Cause::EnvironmentHeld, text));
    }
    // Not closed: reading leaves a simulated cloud as it was.
    let exit = if found.refusals.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    };
    if let Some(file) = args.out.as_deref().filter(|_| exit == Exit::Done) {
        found.kept = Some(keep(file, &config, &found)?);
    }
    if global.json {
        super::print(&format!("{}\n", show::json(&found, exit)));
    } else {
        super::print(&show::text(&found, Paint::for_stdout(global.no_color)));
    }
    Ok(exit)
}

/// Under which terms a run of this configuration begins.
pub(super) fn terms(config: &Config, assumes: Option<Assumed>) -> Terms {
    Terms {
        assumes,
        // As the configuration says now, not as it did when a plan was made: a freeze may have come since.
        window: config.promotion.window.clone(),
        ends: Vec::new(),
    }
}

/// Writes the plan with what it rests on.
fn keep(file: &Path, config: &Config, found: &Found) -> anyhow::Result<Kept> {
    let document = Document {
        made_at: found.at,
        made_by: found
            .identity
            .as_ref()
            .map(|who| who.caller.clone())
            .unwrap_or_default(),
        made_with: planfile::MADE_WITH.to_owned(),
        places: planfile::places(config),
        plan: found.plan.clone(),
        assumes: found.assumed(),
    };
    let written = planfile::write(file, &document)?;
    let document = match written {
        Written::New => document,
        Written::Already => planfile::read(file, config)?,
    };
    Ok(Kept {
        file: file.to_path_buf(),
        sha256: document.hash()?,
        made_at: document.made_at,
        written,
    })
}

/// A plan that was written.
struct Kept {
    file: PathBuf,
    sha256: String,
    made_at: Timestamp,
    written: Written,
}

/// What was read.
struct Found {
    /// When everything had been read.
    at: Timestamp,
    plan: RolloutPlan,
    /// What is laid over the configuration.
    overlays: Vec<PathBuf>,
    identity: Option<Identity>,
    captured: BTreeMap<String, Captured>,
    digests: BTreeMap<StepId, ImageDigest>,
    records: BTreeMap<StepId, Snapshot>,
    /// Everything that a run would refuse over, not only the first.
    refusals: Vec<Reason>,
    /// Where it was written to.
    kept: Option<Kept>,
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
            at: Timestamp::EPOCH,
            kept: None,
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
            | Event::UsabilitySeen { .. }
            | Event::AlarmSampled { .. }
            | Event::Confirmed { .. }
            | Event::CallFailed { .. }
            | Event::Promotion { .. }
            | Event::Task { .. }
            | Event::Deployment { .. }
            | Event::Gate { .. }
            | Event::Cutover { .. }
            | Event::Unwind(_)
            | Event::Hinted(_)
            | Event::Elapsed
            | Event::Abort => {}
        }
    }

    /// The world as it was read.
    fn assumed(&self) -> Assumed {
        let services = self.plan.services.iter().filter_map(|service| {
            let captured = self.captured.get(service.name.as_str())?;
            Some((service.name.clone(), AssumedService::from(captured)))
        });
        let records = self.records.iter();
        Assumed {
            at: self.at,
            identity: self.identity.clone(),
            services: services.collect(),
            records: records
                .map(|(step, snapshot)| (step.clone(), AssumedRecord::from(snapshot)))
                .collect(),
            images: self.digests.clone(),
        }
    }

    fn worst(&self) -> WorstCase {
        WorstCase::of(&self.plan, &self.assumed().ttls())
    }

    fn record(&self, key: &RecordKey) -> Option<&Snapshot> {
        self.records.get(&step::record(key))
    }
}

/// A plan with less patience: somebody waits for the answer. A call that fails five times in a row, each of them with the SDK's own second
/// tries, is told as what a run would be refused for.
fn hasty(plan: &RolloutPlan) -> anyhow::Result<RolloutPlan> {
    const MORE: u32 = 4;
    const PAUSE: Duration = Duration::from_secs(2);
    let mut draft = Draft::clone(plan);
    let policy = &mut draft.policy;
    (policy.max_errors, policy.retry_every) = (MORE, PAUSE);
    // This one counts the first try, too.
    (policy.promotion.max_errors, policy.promotion.retry_every) = (MORE + 1, PAUSE);
    Ok(RolloutPlan::check(draft)?)
}

/// Drives a machine until it would change something, has read everything, or can read no more.
///
/// An answer that would end it is noted and taken back, so that the next fault is found too.
async fn read(
    plan: RolloutPlan,
    terms: Terms,
    performer: &PortPerformer,
    clock: &dyn Clock,
) -> anyhow::Result<Found> {
    let mut machine = Rollout::new(hasty(&plan)?).under(terms.clone());
    let mut found = Found::new(plan);
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
    found.at = clock.now();
    // Whether there is time is asked when everything has been read, and not everything may have been.
    if !found.refusals.iter().any(|why| why.cause == Cause::NoTime)
        && let Err(why) = terms.time(found.at, &found.worst(), found.identity.as_ref())
    {
        found.refusals.push(why);
    }
    Ok(found)
}
