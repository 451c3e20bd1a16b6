//! `rollout fleet abort`: asks the process that drives a fleet to stop.

use super::state;
use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::runner::someone;
use crate::state::Part;

pub(super) async fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let kept = state(global).await?.find(which.run.as_deref()).await?;
    let run = &kept.run;
    if !kept.driven(Part::Release).await?.is_driven() {
        // Nobody would take the request, and the next process must not find it.
        anyhow::bail!("fleet {run} is not under way; `rollout fleet status {run}` shows where it is");
    }
    kept.request_abort(&someone()).await?;
    let text = format!(
        "asked fleet {run} to stop at a safe place; `rollout fleet status {run}` shows how far it is"
    );
    super::super::say(global, &text);
    Ok(Exit::Done)
}
