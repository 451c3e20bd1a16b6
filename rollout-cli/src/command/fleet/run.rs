//! `rollout fleet run`.

use rollout_core::id::RunId;
use rollout_core::machine::fleet::Fleet;
use rollout_core::time::Timestamp;

use super::super::drive::leased;
use super::{Site, scope, state};
use crate::args::{FleetRun, Global};
use crate::exit::Exit;
use crate::fleet::FleetFile;
use crate::session::Work;
use crate::state::Part;
use crate::tenure::Asked;

pub(super) async fn execute(global: &Global, args: &FleetRun) -> anyhow::Result<Exit> {
    let file = FleetFile::load(&args.file, global.cloud)?;
    let release = file.release(args.release.release.as_deref())?;
    let state = state(global).await?;
    let run = match &args.run {
        Some(name) => RunId::new(name)?,
        None => state.fresh_name(&release).await?,
    };
    let mut fleet = Fleet::new(file.plan(&run, &release)?);
    let asked = Asked {
        run: &run,
        wait: args.wait.wait,
    };
    leased(global, (&state, scope(&file)?), asked, async |wall, tenure| {
        let kept = state.create(&run).await?;
        let journal = kept.begin(Part::Release).await?;
        let site = Site {
            global,
            file: &file,
            wall,
            tenure,
        };
        site.drive(
            &kept,
            &journal,
            (release, Timestamp::EPOCH),
            Work::New(&mut fleet),
        )
        .await
    })
    .await
}
