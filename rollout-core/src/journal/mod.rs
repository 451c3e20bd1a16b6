//! The journal: what was intended, what happened, in order. It is the truth about a run; a state is a cache of it.
//!
//! Records are JSON lines of one shape, with a version in the first, each chained to the one before it by a hash (invariant I-30). A
//! record is appended **before** an effect that changes anything runs, and its result before the next one (invariant I-16);
//! [`Durability`] says which appends must be on the disk before they return.
//!
//! What a crash leaves is replayed ([`replay`]) and gone on with ([`Driver::resume`](crate::driver::Driver::resume)).

use core::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::machine::Machine;
use crate::time::Timestamp;

mod file;
mod group;
mod lines;
mod memory;

pub use file::{FileJournal, Reopened, read_file};
pub use group::{GroupJournal, GroupLog, Reopened as ReopenedGroup, read_group};
pub use lines::{Chain, LineWriter, Lines, Torn, read_lines, read_until_wrong};
pub use memory::MemoryJournal;

/// The version of the record format that this crate writes. It reads this one and every older one.
///
/// | format | what it brought |
/// |---|---|
/// | 1 | records as JSON lines |
/// | 2 | each line is chained to the one before it; `resumed` |
pub const FORMAT: u32 = 2;

/// One record, to be written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Entry<'a, E, F> {
    /// Its number, from 0, without gaps.
    pub seq: u64,
    /// When, by the driver's clock.
    pub at: Timestamp,
    /// What.
    pub body: EntryBody<'a, E, F>,
}

/// What an [`Entry`] says. The same shape as [`Body`], borrowed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryBody<'a, E, F> {
    /// See [`Body::Opened`].
    Opened(&'a Header),
    /// See [`Body::Issued`].
    Issued {
        /// See [`Body::Issued`].
        effect: &'a F,
    },
    /// See [`Body::Happened`].
    Happened {
        /// See [`Body::Happened`].
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// See [`Body::Happened`].
        event: &'a E,
    },
    /// See [`Body::Resumed`].
    Resumed(&'a Resumption),
    /// See [`Body::Closed`].
    Closed,
}

/// One record, as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record<E, F> {
    /// Its number, from 0, without gaps.
    pub seq: u64,
    /// When, by the driver's clock.
    pub at: Timestamp,
    /// What.
    pub body: Body<E, F>,
}

impl<E, F> Record<E, F> {
    /// The same, to be written.
    #[must_use]
    pub const fn entry(&self) -> Entry<'_, E, F> {
        let body = match &self.body {
            Body::Opened(header) => EntryBody::Opened(header),
            Body::Issued { effect } => EntryBody::Issued { effect },
            Body::Happened { of, event } => EntryBody::Happened { of: *of, event },
            Body::Resumed(resumption) => EntryBody::Resumed(resumption),
            Body::Closed => EntryBody::Closed,
        };
        let (seq, at) = (self.seq, self.at);
        Entry { seq, at, body }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Body<E, F> {
    /// The first record.
    Opened(Header),
    /// An effect is about to run.
    Issued {
        /// The effect.
        effect: F,
    },
    /// An event is about to be handled.
    Happened {
        /// The number of the record that issued the effect which this answers; `None` for start, time and signals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// The event.
        event: E,
    },
    /// A runner goes on with what another one, or itself before a crash, has left. Changes nothing by itself: what became of effects
    /// without a result is told by the records after it.
    Resumed(Resumption),
    /// The last record: the machine has an outcome.
    Closed,
}

/// Who goes on with a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The runner, for people: who, on which host, in which CI run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What the first record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// The machine's name.
    pub machine: String,
    /// The run.
    pub run: RunId,
    /// The machine before its first event, from which a replay starts.
    pub fresh: serde_json::Value,
}

/// When an append may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the record will survive a crash of the machine (fdatasync), and all before it.
    Durable,
    /// When the record is handed over.
    Lazy,
}

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The store failed.
    #[error("cannot {action} the journal {place}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The journal.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A record is not what this version writes.
    #[error("{place}, record {record}: {why}")]
    Format {
        /// The journal.
        place: String,
        /// The record's number, from 0.
        record: u64,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer version.
    #[error("{place} has format {found}; this version reads up to {FORMAT}: use a newer rollout")]
    Newer {
        /// The journal.
        place: String,
        /// Its version.
        found: u32,
    },
    /// After a failed write or sync nothing that the store says can be trusted.
    #[error("the journal {place} failed before and takes nothing more")]
    Failed {
        /// The journal.
        place: String,
    },
}

/// Where records go. One writer per run.
#[async_trait]
pub trait Journal<E, F>: Send + Sync {
    /// Appends one record.
    ///
    /// # Errors
    /// [`JournalError`]; after one the journal takes nothing more, and the driver stops.
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait;
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed<M, F> {
    /// The machine as it was when the journal ends.
    pub machine: M,
    /// Effects that were intended and have no result: nobody knows whether they ran.
    pub open: Vec<(u64, F)>,
    /// Effects that the machine asked for and whose intent is not in the journal: they did not run.
    pub unsaid: Vec<F>,
    /// The moment of the last record.
    pub last: Timestamp,
    /// The number that the next record gets.
    pub next_seq: u64,
    /// Whether the journal was closed.
    pub closed: bool,
}

/// The journal and the machine disagree: the journal was written by another version, or was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("diverged at record {record}: {why}")]
pub struct Diverged {
    /// The record's number.
    pub record: u64,
    /// What does not fit.
    pub why: String,
}

/// Rebuilds a machine from its journal. Issues nothing; the same records give the same result, however often.
///
/// # Errors
/// [`Diverged`] when a recorded effect is not the one that the machine asks for, or a number is out of order.
pub fn replay<M>(
    fresh: M,
    records: &[Record<M::Event, M::Effect>],
) -> Result<Replayed<M, M::Effect>, Diverged>
where
    M: Machine<Event: Clone, Effect: Clone + PartialEq + Debug>,
{
    let mut out = Replayed::new(fresh);
    for record in records {
        out.take(record)?;
    }
    Ok(out)
}

impl<M> Replayed<M, M::Effect>
where
    M: Machine<Event: Clone, Effect: Clone + PartialEq + Debug>,
{
    /// A machine before its first record.
    #[must_use]
    pub const fn new(fresh: M) -> Self {
        Self {
            machine: fresh,
            open: Vec::new(),
            unsaid: Vec::new(),
            last: Timestamp::EPOCH,
            next_seq: 0,
            closed: false,
        }
    }

    /// Replays one more record. [`replay`] is this for each of them.
    ///
    /// # Errors
    /// As [`replay`] says. What was replayed before is then of no use any more.
    pub fn take(&mut self, record: &Record<M::Event, M::Effect>) -> Result<(), Diverged> {
        let diverged = |why: String| Diverged {
            record: record.seq,
            why,
        };
        if record.seq != self.next_seq {
            return Err(diverged(format!("record {} expected", self.next_seq)));
        }
        self.next_seq = self.next_seq.saturating_add(1);
        self.last = self.last.max(record.at);
        match &record.body {
            _ if self.closed => return Err(diverged("the journal was closed before".into())),
            Body::Opened(_) if record.seq > 0 => return Err(diverged("a second header".into())),
            Body::Opened(_) | Body::Resumed(_) => {}
            Body::Closed => self.closed = true,
            Body::Issued { effect } => {
                let Some(place) = self.unsaid.iter().position(|asked| asked == effect) else {
                    return Err(diverged(format!("the machine does not ask for {effect:?}")));
                };
                let said = self.unsaid.remove(place);
                self.open.push((record.seq, said));
            }
            Body::Happened { of, event } => {
                if let Some(of) = of {
                    let Some(place) = self.open.iter().position(|(seq, _)| seq == of) else {
                        return Err(diverged(format!("record {of} is no open effect")));
                    };
                    self.open.remove(place);
                }
                // An event that was refused then is refused now, and changes nothing either time.
                if let Ok(effects) = self.machine.handle(record.at, event.clone()) {
                    self.unsaid.extend(effects);
                }
            }
        }
        Ok(())
    }
}
