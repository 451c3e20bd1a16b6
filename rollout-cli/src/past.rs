//! What a run's journals say, read from the outside or gone on with.

use anyhow::{Context as _, bail};
use rollout_core::journal::{Body, Lines, Replayed, Torn, replay};
use rollout_core::machine::rollout::Rollout;
use rollout_core::machine::unwind::Unwind;

use crate::follow::{Follow, Follower};
use crate::state::{Kept, Open, Part};
use crate::view::live::{Size, frame};
use crate::view::model::Snapshot;
use crate::view::paint::Paint;

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

impl<M: Follow> Past<M> {
    /// What there was to see, all of it, as lines.
    pub(crate) fn shown(&self, paint: Paint) -> String {
        let size = Size {
            rows: usize::MAX,
            ..Size::of_terminal()
        };
        let lines = frame(&self.snapshot, self.replayed.last, size, paint);
        lines
            .iter()
            .fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}

/// A journal to go on with, and what it tells.
pub(crate) struct Left<M: Follow> {
    pub(crate) journal: Open<M::Event, M::Effect>,
    pub(crate) past: Past<M>,
}

/// Reads and replays a journal, also while it is written.
///
/// # Errors
/// When it cannot be read, or does not fit the machine.
pub(crate) async fn read<M: Follow>(kept: &Kept, part: Part) -> anyhow::Result<Past<M>> {
    of(&kept.place(part), kept.read(part).await?)
}

/// The same, to go on with: nobody else writes to it from here on, and a torn record at its end is gone.
///
/// # Errors
/// As [`read`], and when another process writes to it.
pub(crate) async fn reopen<M: Follow>(kept: &Kept, part: Part) -> anyhow::Result<Left<M>> {
    let (journal, lines) = kept.reopen(part).await?;
    Ok(Left {
        journal,
        past: of(&kept.place(part), lines)?,
    })
}

fn of<M: Follow>(place: &str, lines: Lines<M::Event, M::Effect>) -> anyhow::Result<Past<M>> {
    let records = &lines.records;
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        bail!("the journal {place} is empty: the run was stopped before it began, and has touched nothing");
    };
    let fresh: M = serde_json::from_value(header.fresh.clone())
        .with_context(|| format!("{place} does not begin with a {}", M::NAME))?;
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
    let replayed = replay(fresh, records).with_context(|| place.to_owned())?;
    let snapshot = follower.look(&replayed.machine, &run, replayed.last);
    Ok(Past {
        replayed,
        snapshot,
        follower,
        torn: lines.torn,
    })
}

/// The newest work of a run, to go on with: a rollback begins when the release is over.
pub(crate) enum Latest {
    /// The release itself.
    Release(Box<Left<Rollout>>),
    /// A rollback by hand.
    Rollback(Box<Left<Unwind>>),
}

impl Latest {
    /// Opens it. Whoever does holds the lease.
    ///
    /// # Errors
    /// When its journal cannot be read, or a process is at it.
    pub(crate) async fn of(kept: &Kept) -> anyhow::Result<Self> {
        let part = kept.latest().await?;
        if kept.is_locked(part)? {
            let run = &kept.run;
            bail!("run {run} is under way; `rollout abort {run}` stops it at a safe place");
        }
        Ok(match part {
            Part::Release => Self::Release(Box::new(reopen(kept, part).await?)),
            Part::Rollback(_) => Self::Rollback(Box::new(reopen(kept, part).await?)),
        })
    }
}
