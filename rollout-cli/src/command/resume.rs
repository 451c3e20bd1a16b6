//! `rollout resume`: goes on with a run whose process is gone.

use std::path::Path;

use anyhow::bail;
use rollout_core::driver::PortPerformer;
use rollout_core::id::StepId;
use rollout_core::machine::Transitions as _;
use rollout_core::machine::rollout::{LeftAt, Outcome, Rollout, StateKind};
use rollout_core::machine::unwind::Unwind;

use super::run::CALL;
use crate::args::{Global, Which};
use crate::cloud::{Cloud, Keeping};
use crate::config::Config;
use crate::exit::Exit;
use crate::hold::{HoldFiles, Holds as _, TakenBack};
use crate::outcome;
use crate::past::{self, Past, Unfinished};
use crate::runs::{RunDir, Runs};
use crate::session::{After, Ending, Session, Work};

pub(crate) fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let runs = Runs::new(&global.state_dir);
    let dir = runs.find(which.run.as_deref())?;
    match Unfinished::of(&dir)? {
        Some(Unfinished::Release(journal)) => release(global, &config, &runs, &dir, &journal, After::GoOn),
        Some(Unfinished::Rollback(journal)) => rollback(global, &config, &runs, &dir, &journal),
        None => {
            let run = &dir.run;
            bail!("run {run} has ended: there is nothing to go on with; `rollout status {run}` shows how")
        }
    }
}

/// Goes on with a release, or stops it where it is, which takes back what it changed.
pub(super) fn release(
    global: &Global,
    config: &Config,
    runs: &Runs,
    dir: &RunDir,
    journal: &Path,
    after: After,
) -> anyhow::Result<Exit> {
    let (journal, past): (_, Past<Rollout>) = past::reopen(journal)?;
    let plan = past.replayed.machine.plan().clone();
    super::same_target(dir, &plan, config)?;
    let holds = HoldFiles::new(&global.state_dir);
    let forward = !matches!(
        past.replayed.machine.state_kind(),
        StateKind::Stopping | StateKind::Unwinding
    );
    if let Some(taken) = holds.of(&plan.to)?.filter(TakenBack::is_held)
        && after == After::GoOn
        && forward
    {
        return Ok(super::held(global, &taken, dir.run.as_str()));
    }
    told_torn(global, past.torn.is_some());
    super::block_on(async {
        let cloud = Cloud::open(global, config, runs, &plan.release, past.replayed.last).await?;
        let performer = performer(&cloud, dir, "run")?;
        let session = Session {
            global,
            dir,
            journal: &journal,
            performer: &Keeping::new(performer, &cloud, runs),
            clock: &cloud.clock(),
        };
        let ending = session.drive(Work::Left(Box::new(past), after)).await;
        cloud.keep(runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                super::went(&holds, config, &dir.run, &outcome)?;
                let mut report = outcome::of_rollout(&outcome, &dir.run, &plan.to).here(global);
                // Whoever asked to go back has got it.
                let back = matches!(outcome, Outcome::Aborted { .. } | Outcome::RolledBack { .. });
                if after == After::Stop && back {
                    report.exit = Exit::Done;
                }
                if let Some(taken) = holds.of(&plan.to)?.filter(TakenBack::is_held) {
                    taken.tell(&mut report, global);
                }
                if matches!(
                    outcome,
                    Outcome::Aborted {
                        left_at: LeftAt::Untouched
                    }
                ) {
                    report.next.clear();
                }
                super::report(global, &report, dir.run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, &dir.run),
        })
    })?
}

/// Goes on with a rollback by hand.
fn rollback(
    global: &Global,
    config: &Config,
    runs: &Runs,
    dir: &RunDir,
    journal: &Path,
) -> anyhow::Result<Exit> {
    let release: Past<Rollout> = past::read(&dir.journal())?;
    let plan = release.replayed.machine.plan().clone();
    super::same_target(dir, &plan, config)?;
    let (journal, past): (_, Past<Unwind>) = past::reopen(journal)?;
    told_torn(global, past.torn.is_some());
    super::block_on(async {
        let cloud = Cloud::open(global, config, runs, &plan.release, past.replayed.last).await?;
        let performer = performer(&cloud, dir, "rollback")?;
        let session = Session {
            global,
            dir,
            journal: &journal,
            performer: &Keeping::new(performer, &cloud, runs),
            clock: &cloud.clock(),
        };
        let ending = session.drive(Work::Left(Box::new(past), After::GoOn)).await;
        cloud.keep(runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                let report = outcome::of_unwind(&outcome, &plan.to).here(global);
                super::report(global, &report, dir.run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, &dir.run),
        })
    })?
}

fn performer(cloud: &Cloud, dir: &RunDir, step: &str) -> anyhow::Result<PortPerformer> {
    let step = StepId::new(step)?;
    Ok(PortPerformer::new(
        cloud.ports(),
        cloud.clock(),
        dir.run.clone(),
        step,
        CALL,
    ))
}

fn told_torn(global: &Global, torn: bool) {
    if torn {
        super::say(
            global,
            "the last record was torn: it was never acknowledged, and nothing was done on its strength; it is cut off",
        );
    }
}
