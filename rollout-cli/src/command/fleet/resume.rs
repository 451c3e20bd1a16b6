//! `rollout fleet resume`: goes on with a fleet whose process is gone.

use anyhow::bail;
use rollout_core::machine::fleet::Fleet;

use super::super::drive::leased;
use super::{Site, scope, state};
use crate::args::{FleetResume, Global};
use crate::exit::Exit;
use crate::fleet::FleetFile;
use crate::past::{self, Left};
use crate::session::{After, Work};
use crate::state::Part;
use crate::tenure::Asked;

pub(super) async fn execute(global: &Global, args: &FleetResume) -> anyhow::Result<Exit> {
    let file = FleetFile::load(&args.file, global.cloud)?;
    let state = state(global).await?;
    let kept = state.find(args.which.run.as_deref()).await?;
    let run = &kept.run;
    let asked = Asked {
        run,
        wait: args.wait.wait,
    };
    leased(global, (&state, scope(&file)?), asked, async |wall, tenure| {
        // The lease is ours; in a bucket that alone says that somebody drives.
        if kept.is_locked(Part::Release)? {
            bail!("fleet {run} is under way; `rollout fleet abort {run}` stops it at a safe place");
        }
        let Left { journal, past } = past::reopen::<Fleet>(&kept, Part::Release).await?;
        if past.replayed.closed {
            bail!(
                "fleet {run} has ended: there is nothing to go on with; `rollout fleet status {run}` shows how"
            );
        }
        let plan = past.replayed.machine.plan().clone();
        if let Some((_, member)) = plan
            .members()
            .find(|(_, member)| file.member(member).is_none())
        {
            bail!(
                "fleet {run} has a member {member}, which {} does not name any more",
                args.file.display()
            );
        }
        let waves = plan.waves.iter().filter(|wave| wave.gate.is_some());
        if let Some(wave) = waves.map(|wave| &wave.name).find(|name| file.asked(name).is_none()) {
            bail!(
                "wave {wave} of fleet {run} has a gate, which {} does not name any more",
                args.file.display()
            );
        }
        let site = Site {
            global,
            file: &file,
            wall,
            tenure,
        };
        let from = (plan.release.clone(), past.replayed.last);
        let work = Work::Left(Box::new(past), After::GoOn);
        site.drive(&kept, &journal, from, work).await
    })
    .await
}
