//! What a run's journal says, read from the outside.

use std::path::Path;

use anyhow::{Context as _, bail};
use rollout_core::Machine as _;
use rollout_core::journal::{self, Body, Record};
use rollout_core::machine::rollout::{Effect, Event, Rollout};
use rollout_core::machine::unwind::{self, Unwind};
use rollout_core::time::Timestamp;

use crate::follow::Follower;
use crate::view::model::Snapshot;

/// A run as its journal tells it.
pub(crate) struct Past {
    /// The machine after the last record.
    pub(crate) machine: Rollout,
    /// What there was to see at that moment.
    pub(crate) snapshot: Snapshot,
    /// The moment of the last record.
    pub(crate) last: Timestamp,
    /// Effects that were begun and have no result.
    pub(crate) open: Vec<Effect>,
}

/// Reads and replays a journal.
///
/// # Errors
/// When it cannot be read, or does not fit the machine.
pub(crate) fn read(path: &Path) -> anyhow::Result<Past> {
    let records: Vec<Record<Event, Effect>> = journal::read_file(path)?;
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        bail!(
            "the journal {} is empty: the run was stopped before it began",
            path.display()
        );
    };
    let fresh: Rollout = serde_json::from_value(header.fresh.clone())
        .with_context(|| format!("{} does not begin with a rollout", path.display()))?;
    let run = header.run.to_string();
    let mut follower = Follower::default();
    if let Some(first) = records.first() {
        let _ = follower.look(&fresh, &run, first.at);
    }
    for record in &records {
        if let Body::Happened { event, .. } = &record.body {
            follower.heard::<Rollout>(event);
        }
    }
    let replayed = journal::replay(fresh, &records)?;
    let snapshot = follower.look(&replayed.machine, &run, replayed.last);
    Ok(Past {
        snapshot,
        last: replayed.last,
        open: replayed.open.into_iter().map(|(_, effect)| effect).collect(),
        machine: replayed.machine,
    })
}

/// How a rollback by hand ended; `None` when its journal has no end.
///
/// # Errors
/// When it cannot be read, or does not fit the machine.
pub(crate) fn rollback(path: &Path) -> anyhow::Result<Option<unwind::Outcome>> {
    let records: Vec<Record<unwind::Event, unwind::Effect>> = journal::read_file(path)?;
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        return Ok(None);
    };
    let fresh: Unwind = serde_json::from_value(header.fresh.clone())
        .with_context(|| format!("{} does not begin with a rollback", path.display()))?;
    Ok(journal::replay(fresh, &records)?.machine.outcome())
}
