//! `rollout run`.

use core::time::Duration;

use rollout_core::driver::PortPerformer;
use rollout_core::id::{RunId, StepId};
use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::Rollout;
use rollout_core::time::Timestamp;

use crate::args::{Global, Run};
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::runs::Runs;
use crate::session::{Ending, Session, Work};
use crate::{draft, outcome};

/// The longest that one call may take; the machines' own answer times are shorter where it matters.
pub(super) const CALL: Duration = Duration::from_secs(900);

pub(crate) fn execute(global: &Global, args: &Run) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let release = draft::release(&config, args.release.release.as_deref())?;
    let runs = Runs::new(&global.state_dir);
    let run = match &args.run {
        Some(name) => RunId::new(name)?,
        None => runs.fresh_name(&release)?,
    };
    let plan = draft::plan(&config, &release, &run)?;
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
        let mut machine = Rollout::new(plan);
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
                let report = outcome::of_rollout(&outcome, &run, &config.promotion.to).here(global);
                super::report(global, &report, run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, &run),
        })
    })?
}
