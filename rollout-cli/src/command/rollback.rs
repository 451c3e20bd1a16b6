//! `rollout rollback`: takes the target environment back to what it ran before a run.

use anyhow::bail;
use rollout_core::driver::PortPerformer;
use rollout_core::id::StepId;
use rollout_core::journal::FileJournal;
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::{Policy, Spec, Unwind};

use super::resume;
use super::run::CALL;
use crate::args::{Global, Which};
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Past, Unfinished};
use crate::runs::{RunDir, Runs};
use crate::session::{After, Ending, Session, Work};

pub(crate) fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let runs = Runs::new(&global.state_dir);
    let dir = runs.find(which.run.as_deref())?;
    let run = &dir.run;
    match Unfinished::of(&dir)? {
        // What it has begun is known to its own machine only: that stops, and takes it back.
        Some(Unfinished::Release(journal)) => {
            resume::release(global, &config, &runs, &dir, &journal, After::Stop)
        }
        Some(Unfinished::Rollback(_)) => bail!(
            "a rollback of run {run} was begun and its process is gone; `rollout resume {run}` goes on with it"
        ),
        None => whole(global, &config, &runs, &dir),
    }
}

/// Takes back a run that has ended.
fn whole(global: &Global, config: &Config, runs: &Runs, dir: &RunDir) -> anyhow::Result<Exit> {
    let run = &dir.run;
    let past: Past<Rollout> = past::read(&dir.journal())?;
    let mut machine = unwinding(&past.replayed.machine)?;
    let plan = past.replayed.machine.plan();
    super::same_target(dir, plan, config)?;
    super::block_on(async {
        let cloud = Cloud::open(global, config, runs, &plan.release, past.replayed.last).await?;
        let performer = PortPerformer::new(
            cloud.ports(),
            cloud.clock(),
            run.clone(),
            StepId::new("rollback")?,
            CALL,
        );
        let journal = FileJournal::create(dir.next_rollback())?;
        let session = Session {
            global,
            dir,
            journal: &journal,
            performer: &Keeping::new(performer, &cloud, runs),
            clock: &cloud.clock(),
        };
        let ending = session.drive(Work::New(&mut machine)).await;
        cloud.keep(runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                let report = outcome::of_unwind(&outcome, &config.promotion.to).here(global);
                super::report(global, &report, run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, run),
        })
    })?
}

/// The machine that undoes what a run has done.
fn unwinding(release: &Rollout) -> anyhow::Result<Unwind> {
    let run = &release.plan().run;
    if release.changed().is_empty() {
        bail!("run {run} has changed nothing that could go back; `rollout status {run}` shows how it ended");
    }
    let policy = &release.plan().policy;
    let spec = Spec {
        run: run.clone(),
        changed: release.changed().to_vec(),
        blocked_by: release.blocked_by().cloned(),
    };
    let policy = Policy {
        deployment: policy.unwind_deployment.clone(),
        cutover: policy.unwind_cutover.clone(),
    };
    Ok(Unwind::new(spec, policy))
}
