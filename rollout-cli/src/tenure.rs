//! One runner at a time: whoever changes an environment holds its lease for as long.

use core::time::Duration;
use std::sync::Arc;

use rollout_core::driver::{LeaseError, Tenure};
use rollout_core::id::RunId;
use rollout_core::journal::JournalError;
use rollout_core::lease::{LeaseRecord, Scope};
use rollout_core::machine::lease::{Claim, Policy};

use crate::args::Global;
use crate::config::Config;
use crate::exit::Exit;
use crate::state::State;
use crate::view::report::Report;
use crate::wall::Wall;
use crate::{command, runner};

/// How long one effect may be on its way for which a lease was just proved.
pub(crate) const ON_ITS_WAY: Duration = Duration::from_secs(20);

/// What a release changes: the target environment, and in it what is released together.
pub(crate) fn scope(config: &Config) -> Scope {
    Scope {
        environment: config.promotion.to.clone(),
        group: config.promotion.group.clone(),
    }
}

/// Waits for a lease, does the work under it, and gives it back.
///
/// The inner error is the end of a command that could not have it: another runner holds it.
///
/// # Errors
/// The work's, and when the lease cannot be had for another reason.
pub(crate) async fn under<T>(
    global: &Global,
    scope: Scope,
    state: &State,
    wall: &Wall,
    asked: Asked<'_>,
    work: impl AsyncFnOnce(&Tenure) -> anyhow::Result<T>,
) -> anyhow::Result<Result<T, Report>> {
    let claim = Claim {
        scope,
        owner: runner::owner(),
        run: asked.run.clone(),
        session: runner::session(),
    };
    let _present = state.presence(&claim.session)?;
    let mut told = |holder: &LeaseRecord| {
        if !asked.wait.is_zero() {
            let text = format!(
                "waiting for at most {}: {holder}; --wait 0s leaves at once",
                humantime::format_duration(asked.wait)
            );
            command::say(global, &text);
        }
    };
    let clock = Arc::new(wall.clone());
    let (store, policy) = (state.leases(), policy(state, asked.wait));
    let tenure = match Tenure::acquire(claim, policy, store, clock, &mut told).await {
        Ok(tenure) => tenure,
        Err(LeaseError::Held { by, waited }) => return Ok(Err(held(&by, waited))),
        Err(error) => return Err(error.into()),
    };
    let done = work(&tenure).await;
    // What cannot be given back runs out; whoever comes next waits for that, and nothing is wrong with what was done.
    let _ = tenure.release().await;
    done.map(Ok)
}

/// Who asks, and how long it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) wait: Duration,
}

fn policy(state: &State, wait: Duration) -> Policy {
    // The runners of one machine have one clock.
    let one_clock = matches!(state, State::Dir(_));
    Policy {
        wait,
        trust_clocks: one_clock.then_some(Duration::ZERO),
        ..Policy::default()
    }
}

/// The end of a command that found another runner there.
fn held(by: &LeaseRecord, waited: Duration) -> Report {
    let mut next = Vec::new();
    if let Some(holder) = &by.holder {
        let run = &holder.run;
        next.push(format!("rollout status {run}    shows how far that one is"));
        next.push(format!("rollout abort {run}    asks it to stop at a safe place"));
    }
    let waited = humantime::format_duration(Duration::from_secs(waited.as_secs()));
    let why = format!("{by}; waited {waited}, `--wait` says for how long");
    Report::refused(why, next, serde_json::json!({ "refused": { "lease": by } }))
}

/// The end of a drive whose runner has been replaced, or may have been.
pub(crate) struct Fenced {
    /// In words.
    why: String,
    /// What is known of the lease.
    by: Option<LeaseRecord>,
    /// Whether another runner has been there since.
    replaced: bool,
}

impl Fenced {
    /// The lease is not held any more.
    pub(crate) fn lost(error: &LeaseError) -> Option<Self> {
        let LeaseError::Fenced { generation, by, .. } = error else {
            return None;
        };
        let by = by.as_deref().cloned();
        Some(Self {
            why: error.to_string(),
            // One that has come and gone meanwhile leaves a higher generation.
            replaced: by
                .as_ref()
                .is_some_and(|by| by.holder.is_some() || by.generation > *generation),
            by,
        })
    }

    /// Another runner writes the journal.
    pub(crate) fn written_over(error: &JournalError, tenure: &Tenure) -> Self {
        Self {
            why: error.to_string(),
            by: tenure.record(),
            replaced: true,
        }
    }

    /// For people.
    pub(crate) fn report(self, run: &RunId) -> Report {
        let Self { why, by, replaced } = self;
        let status = format!("rollout status {run}    shows what is known");
        let (name, exit, summary, next) = if replaced {
            let summary = "another runner has taken over, and this one has stopped before its next change";
            ("Superseded", Exit::Superseded, summary, vec![status])
        } else {
            let summary = "the lease is lost, and this runner has stopped before its next change";
            let resume = format!("rollout resume {run}    goes on");
            ("LeaseLost", Exit::Failed, summary, vec![status, resume])
        };
        Report {
            details: serde_json::json!({ "fenced": { "why": why, "by": by } }),
            why: Some(why),
            facts: vec!["what was under way may still take effect; the journal says what is open".to_owned()],
            next,
            ..Report::of(name, exit, summary)
        }
    }
}
