//! `rollout abort`: asks the process that drives a run to stop.

use rollout_core::journal::FileJournal;

use crate::args::{Global, Which};
use crate::exit::Exit;
use crate::runs::Runs;

pub(crate) fn execute(global: &Global, which: &Which) -> anyhow::Result<Exit> {
    let dir = Runs::new(&global.state_dir).find(which.run.as_deref())?;
    let run = &dir.run;
    if !FileJournal::is_held(&dir.latest())? {
        // Nobody would take the request, and the next process must not find it.
        anyhow::bail!("run {run} is not under way; `rollout status {run}` shows where it is");
    }
    dir.request_abort()?;
    let text = format!("asked run {run} to stop at a safe place; `rollout status {run}` shows how far it is");
    super::say(global, &text);
    Ok(Exit::Done)
}
