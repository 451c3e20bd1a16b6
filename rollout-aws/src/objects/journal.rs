//! A journal as a row of small objects, each written once.
//!
//! A record that must be durable is written together with those before it that did not have to be, as the next *segment*:
//! `<folder>/<run>/00000007.jsonl`, put only if there is none of that number (`If-None-Match: *`). So what a rollout writes to the
//! store is one conditional put for each record that guards an effect, and nothing for polls (P20), and **the put is the fence**:
//! when another runner has gone on with the run the segment is there, the append fails, and the driver stops before the effect.
//!
//! A segment's first line names its number and its writer; the lines after it are those of the journal file. All segments without their
//! first lines, one behind the other, are that file.

use core::future::ready;
use std::io::ErrorKind as Io;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use rollout_core::id::RunId;
use rollout_core::journal::{
    Durability, Entry, FORMAT, Journal, JournalError, LineWriter, Lines, read_lines,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How often a segment is put that is not there after an error.
const TRIES: u32 = 3;
/// Records that do not have to be durable are written when they take so many bytes, too: memory has an end.
const FULL: usize = 4 * 1024 * 1024;
/// Segments that are read at once.
const AT_ONCE: usize = 16;

/// The first line of a segment.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    segment: u32,
    writer: String,
}

/// One run's journal, one writer.
///
/// After a failed append it takes nothing more: what the store then holds is known only to who reads it.
pub struct ObjectJournal {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    writer: String,
    /// `None` after a failure, and while an append is under way: one that is dropped half way is a failure, too.
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    lines: LineWriter,
    /// The next segment's number.
    next: u32,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
}

impl core::fmt::Debug for ObjectJournal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ObjectJournal")
            .field("folder", &self.folder)
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

/// A journal to go on with, and what it holds.
#[derive(Debug)]
pub struct Reopened<E, F> {
    /// Takes the records that follow. Its first durable append fences whoever wrote before.
    pub journal: ObjectJournal,
    /// What was there.
    pub lines: Lines<E, F>,
}

impl ObjectJournal {
    /// Begins the journal of a run in a folder of journals.
    ///
    /// `writer` names this process to people, and must be another one for every process: a segment is known again by it. Nothing is
    /// written before the first append; of two that begin at the same moment, one fails there.
    ///
    /// # Errors
    /// [`JournalError::Store`] when the run has a journal, or the store cannot be read.
    pub async fn create(
        store: Arc<dyn ObjectStore>,
        folder: &Path,
        run: &RunId,
        writer: impl Into<String>,
    ) -> Result<Self, JournalError> {
        let folder = folder.clone().join(run.as_str());
        if !segments(&*store, &folder).await?.is_empty() {
            return Err(JournalError::Store {
                action: "create",
                place: folder.to_string(),
                source: Io::AlreadyExists.into(),
            });
        }
        Ok(Self::on(store, folder, writer.into(), LineWriter::new(FORMAT), 0))
    }

    /// Reads the journal of a run to go on with it.
    ///
    /// # Errors
    /// [`JournalError`] when there is none, or as [`read_run`] says.
    pub async fn reopen<E, F>(
        store: Arc<dyn ObjectStore>,
        folder: &Path,
        run: &RunId,
        writer: impl Into<String>,
    ) -> Result<Reopened<E, F>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let folder = folder.clone().join(run.as_str());
        let (lines, next) = read(&*store, &folder).await?;
        if let Some(torn) = &lines.torn {
            return Err(JournalError::Format {
                place: folder.to_string(),
                record: torn.record,
                why: "it has no end, and a segment is written whole: it was changed".to_owned(),
            });
        }
        let writer = Self::on(store, folder, writer.into(), LineWriter::after(&lines), next);
        Ok(Reopened {
            journal: writer,
            lines,
        })
    }

    pub(super) fn on(
        store: Arc<dyn ObjectStore>,
        folder: Path,
        writer: String,
        lines: LineWriter,
        next: u32,
    ) -> Self {
        let waiting = Vec::new();
        Self {
            store,
            folder,
            writer,
            open: Mutex::new(Some(Open { lines, next, waiting })),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits as the next segment.
    async fn flush(&self, open: &mut Open) -> Result<(), JournalError> {
        let head = Head {
            segment: open.next,
            writer: self.writer.clone(),
        };
        let place = segment(&self.folder, open.next);
        let mut body = serde_json::to_vec(&head).map_err(|error| failed("write", &place, error))?;
        body.push(b'\n');
        body.append(&mut open.waiting);
        self.put(&place, &body).await?;
        open.next = open.next.saturating_add(1);
        Ok(())
    }

    /// Puts a segment where there is none, and tells its own from another's, whatever the store answered (I-18).
    async fn put(&self, place: &Path, body: &[u8]) -> Result<(), JournalError> {
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let payload = PutPayload::from(body.to_vec());
            let Err(error) = self.store.put_opts(place, payload, PutMode::Create.into()).await else {
                return Ok(());
            };
            // 412: one is there, perhaps ours, of a try that was repeated below. 409: another write was under way, and may or may
            // not have become one. 5xx, or no answer: nobody knows. In each case, what is there tells.
            match self.store.get(place).await {
                Ok(got) => {
                    let there = got
                        .bytes()
                        .await
                        .map_err(|error| failed("read back", place, error))?;
                    return if there == body {
                        Ok(())
                    } else {
                        Err(fenced(place, &there))
                    };
                }
                // It may land yet: the same put again then meets its own, and reads it back.
                Err(StoreError::NotFound { .. }) if tries < TRIES && !is_final(&error) => {}
                Err(StoreError::NotFound { .. }) => return Err(failed("write", place, error)),
                Err(unread) => return Err(failed("read back", place, unread)),
            }
        }
    }
}

/// Whether the same call has the same answer.
const fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::InvalidPath { .. }
    )
}

/// Another runner's segment stands where ours should.
fn fenced(place: &Path, there: &[u8]) -> JournalError {
    let line = there.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let by =
        serde_json::from_slice(line).map_or_else(|_| "somebody unknown".to_owned(), |head: Head| head.writer);
    JournalError::Fenced {
        place: place.to_string(),
        by,
    }
}

fn failed(
    action: &'static str,
    place: &Path,
    error: impl Into<Box<dyn core::error::Error + Send + Sync>>,
) -> JournalError {
    JournalError::Store {
        action,
        place: place.to_string(),
        source: std::io::Error::other(error),
    }
}

fn segment(folder: &Path, number: u32) -> Path {
    folder.clone().join(format!("{number:08}.jsonl"))
}

#[async_trait]
impl<E, F> Journal<E, F> for ObjectJournal
where
    E: Serialize + Sync,
    F: Serialize + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        let Some(mut open) = self.slot().take() else {
            return Err(JournalError::Failed {
                place: self.folder.to_string(),
            });
        };
        let line = open.lines.line(&entry).map_err(|error| JournalError::Format {
            place: self.folder.to_string(),
            record: entry.seq,
            why: error.to_string(),
        })?;
        open.waiting.extend_from_slice(&line);
        if durability == Durability::Durable || open.waiting.len() >= FULL {
            self.flush(&mut open).await?;
        }
        *self.slot() = Some(open);
        Ok(())
    }
}

/// The numbers of a run's segments, from 0 without a gap.
async fn segments(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<u32>, JournalError> {
    let mut numbers: Vec<u32> = store
        .list(Some(folder))
        .try_filter_map(|object| ready(Ok(number(folder, &object.location))))
        .try_collect()
        .await
        .map_err(|error| failed("list", folder, error))?;
    numbers.sort_unstable();
    for (number, expected) in numbers.iter().zip(0..) {
        if *number != expected {
            return Err(JournalError::Missing {
                place: segment(folder, expected).to_string(),
            });
        }
    }
    Ok(numbers)
}

/// The number of a segment; `None` for an object that is none.
fn number(folder: &Path, place: &Path) -> Option<u32> {
    let mut parts = place.prefix_match(folder)?;
    let name = parts.next()?;
    let digits = name.as_ref().strip_suffix(".jsonl")?;
    let is_one = parts.next().is_none() && digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit());
    if is_one { digits.parse().ok() } else { None }
}

/// Reads the journal of a run, also while it is being written.
///
/// # Errors
/// [`JournalError::Missing`] names the first segment that is not there; otherwise what the store says, or
/// [`read_lines`] finds wrong.
pub async fn read_run<E, F>(
    store: &dyn ObjectStore,
    folder: &Path,
    run: &RunId,
) -> Result<Lines<E, F>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let folder = folder.clone().join(run.as_str());
    Ok(read(store, &folder).await?.0)
}

/// The lines of a run's journal as they are, also while it is being written: what a journal file would hold.
///
/// # Errors
/// As [`read_run`], but for what is wrong with a line.
pub async fn read_text(store: &dyn ObjectStore, folder: &Path, run: &RunId) -> Result<Vec<u8>, JournalError> {
    let folder = folder.clone().join(run.as_str());
    Ok(text(store, &folder).await?.0)
}

/// What a run's segments hold, and the number of the next one.
async fn read<E, F>(store: &dyn ObjectStore, folder: &Path) -> Result<(Lines<E, F>, u32), JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let (text, next) = text(store, folder).await?;
    Ok((read_lines(&text[..], folder.as_ref())?, next))
}

/// All segments without their first lines, and the number of the next one.
async fn text(store: &dyn ObjectStore, folder: &Path) -> Result<(Vec<u8>, u32), JournalError> {
    let numbers = segments(store, folder).await?;
    if numbers.is_empty() {
        return Err(JournalError::Missing {
            place: segment(folder, 0).to_string(),
        });
    }
    let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let bodies: Vec<_> = iter(numbers)
        .map(async |number| {
            let place = segment(folder, number);
            let read = async || store.get(&place).await?.bytes().await;
            read().await.map_err(|error| failed("read", &place, error))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut journal = Vec::new();
    for (body, number) in bodies.iter().zip(0..) {
        let last = number + 1 == next;
        journal.extend_from_slice(lines_of(folder, number, body, last, &journal)?);
    }
    Ok((journal, next))
}

/// A segment without its first line.
fn lines_of<'a>(
    folder: &Path,
    number: u32,
    body: &'a [u8],
    last: bool,
    before: &[u8],
) -> Result<&'a [u8], JournalError> {
    let wrong = |why: &str| JournalError::Format {
        place: segment(folder, number).to_string(),
        record: before.iter().filter(|byte| **byte == b'\n').count() as u64,
        why: why.to_owned(),
    };
    let split = body.iter().position(|byte| *byte == b'\n');
    let (head, lines) = body.split_at(split.map_or(0, |at| at + 1));
    let head: Head =
        serde_json::from_slice(head).map_err(|_| wrong("it does not begin as a segment does"))?;
    if head.segment != number {
        return Err(wrong(&format!(
            "segment {} stands here: it was moved",
            head.segment
        )));
    }
    if !last && lines.last().is_none_or(|byte| *byte != b'\n') {
        return Err(wrong("it has no end, and more follows: it was changed"));
    }
    Ok(lines)
}

/// The runs that have a journal in a folder, by name.
///
/// # Errors
/// [`JournalError::Store`] when the store cannot be listed.
pub async fn runs(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<RunId>, JournalError> {
    let listed = store
        .list_with_delimiter(Some(folder))
        .await
        .map_err(|error| failed("list", folder, error))?;
    let mut runs: Vec<RunId> = listed
        .common_prefixes
        .iter()
        .filter_map(|prefix| prefix.filename()?.parse().ok())
        .collect();
    runs.sort_unstable();
    Ok(runs)
}
