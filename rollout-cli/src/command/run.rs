//! `rollout run`.

use core::time::Duration;

use rollout_core::driver::PortPerformer;
use rollout_core::id::{RunId, StepId};
use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::Rollout;
use rollout_core::plan::{Draft, RolloutPlan};
use rollout_core::time::Timestamp;

use crate::args::{Global, Run};
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::hold::{HoldFiles, Holds as _};
use crate::runs::Runs;
use crate::session::{Ending, Session, Work};
use crate::{draft, outcome, planfile};

/// The longest that one call may take; the machines' own answer times are shorter where it matters.
pub(super) const CALL: Duration = Duration::from_secs(900);

pub(crate) fn execute(global: &Global, args: &Run) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let agreed = match &args.plan {
        Some(file) => Some(planfile::read(file, &config)?),
        None => None,
    };
    let release = match &agreed {
        Some(document) => document.plan.release.clone(),
        None => draft::release(&config, args.release.release.as_deref())?,
    };
    let runs = Runs::new(&global.state_dir);
    let run = match &args.run {
        Some(name) => RunId::new(name)?,
        None => runs.fresh_name(&release)?,
    };
    let (plan, assumes) = match agreed {
        // Exactly what was agreed to, under this run's name.
        Some(document) => {
            let draft = Draft {
                run: run.clone(),
                ..Draft::from(document.plan)
            };
            (RolloutPlan::check(draft)?, Some(document.assumes))
        }
        None => (draft::plan(&config, &release, &run)?, None),
    };
    let terms = super::plan::terms(&config, assumes);
    let holds = HoldFiles::new(&global.state_dir);
    let target = &config.promotion.to;
    match holds.of(target)? {
        Some(taken) if taken.is_held() => return Ok(super::held(global, &taken, run.as_str())),
        Some(taken) => super::say(global, &taken.note()),
        None => {}
    }
    super::block_on(async {
        let cloud = Cloud::open(global, &config, &runs, &release, Timestamp::EPOCH).await?;
        let dir = runs.create(&run)?;
        let performer = PortPerformer::new(
            cloud.ports(),
            cloud.clock(),
            run.clone(),
            StepId::new("run")?,
            CALL,
        );
        let mut machine = Rollout::new(plan).under(terms);
        let journal = FileJournal::create(dir.journal())?;
        // A process that is killed leaves the world behind that its journal speaks of.
        cloud.keep(&runs)?;
        let performer = Keeping::new(performer, &cloud, &runs);
        let session = Session {
            global,
            dir: &dir,
            journal: &journal,
            performer: &performer,
            clock: &cloud.clock(),
        };
        let ending = session.drive(Work::New(&mut machine)).await;
        cloud.keep(&runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                super::went(&holds, &config, &run, &outcome)?;
                let report = outcome::of_rollout(&outcome, &run, &config.promotion.to).here(global);
                super::report(global, &report, run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, &run),
        })
    })?
}
