//! What a run's journals say, read from the outside or gone on with.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rollout_core::journal::{Body, FileJournal, Lines, Replayed, Torn, read_lines, replay};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;
use serde::de::DeserializeOwned;

use crate::follow::{Follow, Follower};
use crate::runs::RunDir;
use crate::view::model::Snapshot;

/// A machine as its journal tells it.
pub(crate) struct Past<M: Follow> {
    /// The machine after the last record, and what was open then.
    pub(crate) replayed: Replayed<M, M::Effect>,
    /// What there was to see at that moment.
    pub(crate) snapshot: Snapshot,
    /// What has seen it all, to go on from there.
    pub(crate) follower: Follower,
    /// What is behind the last whole record.
    pub(crate) torn: Option<Torn>,
}

/// Reads and replays a journal, also while it is written.
///
/// # Errors
/// When it cannot be read, or does not fit the machine.
pub(crate) fn read<M>(path: &Path) -> anyhow::Result<Past<M>>
where
    M: Follow<
            Event: DeserializeOwned + Clone,
            Effect: DeserializeOwned + Clone + PartialEq + core::fmt::Debug,
        > + DeserializeOwned,
{
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    of(
        path,
        read_lines(BufReader::new(file), &path.display().to_string())?,
    )
}

/// The same, to go on with: nobody else writes to it from here on, and a torn record at its end is gone.
///
/// # Errors
/// As [`read`], and when another process writes to it.
pub(crate) fn reopen<M>(path: &Path) -> anyhow::Result<(FileJournal, Past<M>)>
where
    M: Follow<
            Event: DeserializeOwned + Clone,
            Effect: DeserializeOwned + Clone + PartialEq + core::fmt::Debug,
        > + DeserializeOwned,
{
    let reopened = FileJournal::reopen(path)?;
    Ok((reopened.journal, of(path, reopened.lines)?))
}

fn of<M>(path: &Path, lines: Lines<M::Event, M::Effect>) -> anyhow::Result<Past<M>>
where
    M: Follow<Event: Clone, Effect: Clone + PartialEq + core::fmt::Debug> + DeserializeOwned,
{
    let records = &lines.records;
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        bail!(
            "the journal {} is empty: the run was stopped before it began, and has touched nothing",
            path.display()
        );
    };
    let fresh: M = serde_json::from_value(header.fresh.clone())
        .with_context(|| format!("{} does not begin with a {}", path.display(), M::NAME))?;
    let run = header.run.to_string();
    let mut follower = Follower::default();
    if let Some(first) = records.first() {
        let _ = follower.look(&fresh, &run, first.at);
    }
    for record in records {
        if let Body::Happened { event, .. } = &record.body {
            follower.heard::<M>(event);
        }
    }
    let replayed = replay(fresh, records).with_context(|| format!("{}", path.display()))?;
    let snapshot = follower.look(&replayed.machine, &run, replayed.last);
    Ok(Past {
        replayed,
        snapshot,
        follower,
        torn: lines.torn,
    })
}

/// The work of a run that has no end yet.
pub(crate) enum Unfinished {
    /// The release itself.
    Release(PathBuf),
    /// A rollback by hand.
    Rollback(PathBuf),
}

impl Unfinished {
    /// What is to be gone on with; `None` when all of it has ended.
    ///
    /// # Errors
    /// When a journal cannot be read, or a process is at it.
    pub(crate) fn of(dir: &RunDir) -> anyhow::Result<Option<Self>> {
        let latest = dir.latest();
        if FileJournal::is_held(&latest)? {
            let run = &dir.run;
            bail!("run {run} is under way; `rollout abort {run}` stops it at a safe place");
        }
        // The newest counts: a rollback begins when the release is over.
        if latest == dir.journal() {
            let past: Past<Rollout> = read(&latest)?;
            return Ok((!past.replayed.closed).then_some(Self::Release(latest)));
        }
        let past: Past<Unwind> = read(&latest)?;
        Ok((!past.replayed.closed).then_some(Self::Rollback(latest)))
    }
}
