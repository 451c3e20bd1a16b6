//! `rollout run`.

use rollout_core::id::RunId;
use rollout_core::machine::rollout::Rollout;
use rollout_core::plan::{Draft, RolloutPlan};
use rollout_core::time::Timestamp;

use super::drive::under_lease;
use crate::args::{Global, Run};
use crate::config::Config;
use crate::exit::Exit;
use crate::session::Work;
use crate::state::{Part, State};
use crate::tenure::Asked;
use crate::{draft, outcome, planfile};

pub(crate) async fn execute(global: &Global, args: &Run) -> anyhow::Result<Exit> {
    let config = Config::load(&global.config, &global.overlays)?;
    let agreed = match &args.plan {
        Some(file) => Some(planfile::read(file, &config)?),
        None => None,
    };
    let release = match &agreed {
        Some(document) => document.plan.release.clone(),
        None => draft::release(&config, args.release.release.as_deref())?,
    };
    let state = State::open(global).await?;
    let run = match &args.run {
        Some(name) => RunId::new(name)?,
        None => state.fresh_name(&release).await?,
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
    let mut machine = Rollout::new(plan).under(super::plan::terms(&config, assumes));
    let wait = args.wait.wait;
    under_lease(
        (global, &config, &state),
        Asked { run: &run, wait },
        async |site| {
            let target = &config.promotion.to;
            match state.taken_back(target).await? {
                Some(taken) if taken.is_held() => return Ok(super::held(global, &taken, &run)),
                Some(taken) => super::say(global, &taken.note()),
                None => {}
            }
            let cloud = site.open(&release, Timestamp::EPOCH).await?;
            let kept = state.create(&run).await?;
            let journal = kept.begin(Part::Release).await?;
            let told = async |outcome| {
                super::went(&state, &config, &run, &outcome).await?;
                Ok(outcome::of_rollout(&outcome, &run, target))
            };
            site.drive(&cloud, &kept, ("run", &journal), Work::New(&mut machine), told)
                .await
        },
    )
    .await
}
