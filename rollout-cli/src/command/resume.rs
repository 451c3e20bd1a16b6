//! `rollout resume`: goes on with a run whose process is gone.

use anyhow::bail;
use rollout_core::machine::Transitions as _;
use rollout_core::machine::rollout::{LeftAt, Outcome, Rollout, StateKind};
use rollout_core::machine::unwind::Unwind;

use super::drive::{Site, under_lease};
use crate::args::{Global, Resume};
use crate::config::Config;
use crate::exit::Exit;
use crate::outcome;
use crate::past::{self, Latest, Left, Past};
use crate::session::{After, Work};
use crate::state::{Kept, Part, State};
use crate::tenure::Asked;

pub(crate) async fn execute(global: &Global, args: &Resume) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let state = State::open(global).await?;
    let kept = state.find(args.which.run.as_deref()).await?;
    let (wait, run) = (args.wait.wait, &kept.run);
    under_lease(
        (global, &config, &state),
        Asked { run, wait },
        async |site| match Latest::of(&kept).await? {
            Latest::Release(left) if !left.past.replayed.closed => {
                release(site, &kept, left, After::GoOn).await
            }
            Latest::Rollback(left) if !left.past.replayed.closed => rollback(site, &kept, left).await,
            Latest::Release(_) | Latest::Rollback(_) => {
                bail!("run {run} has ended: there is nothing to go on with; `rollout status {run}` shows how")
            }
        },
    )
    .await
}

/// Goes on with a release, or stops it where it is, which takes back what it changed.
pub(super) async fn release(
    site: &Site<'_>,
    kept: &Kept,
    left: Box<Left<Rollout>>,
    after: After,
) -> anyhow::Result<Exit> {
    let Left { journal, past } = *left;
    let plan = past.replayed.machine.plan().clone();
    super::same_target(&plan, site.config)?;
    let forward = !matches!(
        past.replayed.machine.state_kind(),
        StateKind::Stopping | StateKind::Unwinding
    );
    if after == After::GoOn
        && forward
        && let Some(taken) = site.state.held(&plan.to).await?
    {
        return Ok(super::held(site.global, &taken, &kept.run));
    }
    told_torn(site, past.torn.is_some());
    let cloud = site.open(&plan.release, past.replayed.last).await?;
    let told = async |outcome| {
        super::went(site.state, site.config, &kept.run, &outcome).await?;
        let mut report = outcome::of_rollout(&outcome, &kept.run, &plan.to);
        // Whoever asked to go back has got it.
        let back = matches!(outcome, Outcome::Aborted { .. } | Outcome::RolledBack { .. });
        if after == After::Stop && back {
            report.exit = Exit::Done;
        }
        if let Some(taken) = site.state.held(&plan.to).await? {
            taken.tell(&mut report);
        }
        let left_at = LeftAt::Untouched;
        if outcome == (Outcome::Aborted { left_at }) {
            report.next.clear();
        }
        Ok(report)
    };
    let work = Work::Left(Box::new(past), after);
    site.drive(&cloud, kept, ("run", &journal), work, told).await
}

/// Goes on with a rollback by hand.
async fn rollback(site: &Site<'_>, kept: &Kept, left: Box<Left<Unwind>>) -> anyhow::Result<Exit> {
    let release: Past<Rollout> = past::read(kept, Part::Release).await?;
    let plan = release.replayed.machine.plan();
    super::same_target(plan, site.config)?;
    let Left { journal, past } = *left;
    told_torn(site, past.torn.is_some());
    let cloud = site.open(&plan.release, past.replayed.last).await?;
    let told = async |outcome| Ok(outcome::of_unwind(&outcome, &plan.to));
    let work = Work::Left(Box::new(past), After::GoOn);
    site.drive(&cloud, kept, ("rollback", &journal), work, told).await
}

fn told_torn(site: &Site<'_>, torn: bool) {
    if torn {
        super::say(
            site.global,
            "the last record was torn: it was never acknowledged, and nothing was done on its strength; it is cut off",
        );
    }
}
