//! `rollout abort`: asks the process that drives a run to stop.

use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::runner::someone;
use crate::state::State;

pub(crate) async fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let kept = State::open(global).await?.find(which.run.as_deref()).await?;
    let run = &kept.run;
    if !kept.driven(kept.latest().await?).await?.is_driven() {
        // Nobody would take the request, and the next process must not find it.
        anyhow::bail!("run {run} is not under way; `rollout status {run}` shows where it is");
    }
    kept.request_abort(&someone()).await?;
    let text = format!("asked run {run} to stop at a safe place; `rollout status {run}` shows how far it is");
    super::say(global, &text);
    Ok(Exit::Done)
}
