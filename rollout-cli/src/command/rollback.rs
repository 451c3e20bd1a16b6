//! `rollout rollback`: takes the target environment back to what it ran before a run.

use anyhow::bail;
use rollout_core::driver::PortPerformer;
use rollout_core::id::StepId;
use rollout_core::journal::FileJournal;
use rollout_core::machine::unwind::{Spec, Unwind};

use super::run::CALL;
use crate::args::{Global, Which};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Past};
use crate::runs::Runs;
use crate::session::{Ending, Session};

pub(crate) fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let runs = Runs::new(&global.state_dir);
    let dir = runs.find(which.run.as_deref())?;
    let run = dir.run.clone();
    if FileJournal::is_held(&dir.journal())? {
        bail!("run {run} is under way; `rollout abort {run}` stops it at a safe place");
    }
    let past = past::read(&dir.journal())?;
    let machine = unwinding(&past)?;
    let plan = past.machine.plan();
    if plan.to != config.promotion.to {
        bail!(
            "run {run} changed {}, but {} says {}",
            plan.to,
            config.file.display(),
            config.promotion.to
        );
    }
    super::block_on(async {
        let cloud = Cloud::open(global, &config, &runs, &plan.release).await?;
        let performer = PortPerformer::new(
            cloud.ports(),
            cloud.clock(),
            run.clone(),
            StepId::new("rollback")?,
            CALL,
        );
        let mut machine = machine;
        let session = Session {
            global,
            dir: &dir,
            journal: &dir.next_rollback(),
            performer: &performer,
            clock: &cloud.clock(),
        };
        let ending = session.drive(&mut machine).await;
        cloud.close(&runs)?;
        Ok(match ending? {
            Ending::Outcome(outcome) => {
                let report = outcome::of_unwind(&outcome, &config.promotion.to).here(global);
                super::report(global, &report, run.as_str(), cloud.clock().now())
            }
            Ending::Left => super::left(global, &run),
        })
    })?
}

/// The machine that undoes what a run has done.
fn unwinding(past: &Past) -> anyhow::Result<Unwind> {
    let run = &past.machine.plan().run;
    if past.machine.changed().is_empty() {
        bail!("run {run} has changed nothing that could go back; `rollout status {run}` shows how it ended");
    }
    let policy = &past.machine.plan().policy;
    let spec = Spec {
        run: run.clone(),
        changed: past.machine.changed().to_vec(),
        blocked_by: past.machine.blocked_by().cloned(),
    };
    Ok(Unwind::new(spec, policy.unwind()))
}
