//! One file for the journals of many runs, with group commit: appends that are made durable at the same time share one fdatasync.
//!
//! A line is the run's name, a tab, and the run's own line (see [`LineWriter`]), so that `grep` and `cut` give a run's journal as it would
//! stand alone, with its own chain. One process writes; the file is locked for as long.
//!
//! Nothing is spawned. An append that must be durable lets everyone else who is ready go first, once; then whoever is still waiting
//! writes and syncs for all. On one thread that drives ten thousand rollouts, all that became ready together is one sync.

use core::future::poll_fn;
use core::task::Poll;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file::{self, Disk, store};
use super::{Durability, Entry, FORMAT, Journal, JournalError, LineWriter, Lines, Torn, read_lines};
use crate::id::RunId;

/// Between a run's name, which has none in it, and its line.
const TAB: u8 = b'\t';

/// As much as is kept back at most while nothing has to be durable.
const KEPT_BACK: usize = 1 << 16;

/// The file. Cheap to clone; see the module's documentation.
#[derive(Clone, Debug)]
pub struct GroupLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    /// `None` after a failed write or sync: what the file then holds cannot be known (fsync's error is told once).
    file: Option<Box<dyn Disk>>,
    /// What is not written yet.
    buffer: Vec<u8>,
    /// Lines taken, and of these the durable ones: a count, since they become durable in order.
    taken: u64,
    durable: u64,
}

/// What a file of many runs held when it was opened.
#[derive(Debug)]
pub struct Reopened<E, F> {
    /// Takes the records that follow.
    pub log: GroupLog,
    /// What is there of each run.
    pub runs: BTreeMap<RunId, Lines<E, F>>,
    /// What was cut off the end; its number counts the lines of the file.
    pub torn: Option<Torn>,
}

impl GroupLog {
    /// Makes a new file.
    ///
    /// # Errors
    /// [`JournalError::Store`] when it exists, is locked by another process, or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let file = file::make(&path)?;
        Ok(Self::on(path, Box::new(file)))
    }

    /// Opens a file to go on with its runs. A torn line at its end is cut off; anything else that is wrong is an error, and leaves the
    /// file as it is.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be opened, another process writes to it, or [`read_lines`] finds something wrong with a run.
    pub fn reopen<E, F>(path: impl Into<PathBuf>) -> Result<Reopened<E, F>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let path = path.into();
        let file = file::take(&path)?;
        let split = Split::of(&file, &path)?;
        let runs = split.runs(&path)?;
        if split.torn.is_some() {
            file::cut(&file, &path, split.bytes)?;
        }
        Ok(Reopened {
            log: Self::on(path, Box::new(file)),
            runs,
            torn: split.torn,
        })
    }

    fn on(path: PathBuf, file: Box<dyn Disk>) -> Self {
        let open = Open {
            file: Some(file),
            buffer: Vec::new(),
            taken: 0,
            durable: 0,
        };
        Self(Arc::new(Shared {
            path,
            open: Mutex::new(open),
        }))
    }

    /// The journal of a new run.
    #[must_use]
    pub fn journal(&self, run: RunId) -> GroupJournal {
        self.with(run, LineWriter::new(FORMAT))
    }

    /// The journal of a run that goes on.
    #[must_use]
    pub fn after<E, F>(&self, run: RunId, lines: &Lines<E, F>) -> GroupJournal {
        self.with(run, LineWriter::after(lines))
    }

    fn with(&self, run: RunId, lines: LineWriter) -> GroupJournal {
        GroupJournal {
            log: self.clone(),
            run,
            lines: Mutex::new(lines),
        }
    }

    /// Makes everything that was taken durable: at the end of a process, for instance.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be written, or failed before.
    pub fn flush(&self) -> Result<(), JournalError> {
        let open = self.lock();
        let taken = open.taken;
        self.commit(open, taken)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> JournalError {
        JournalError::Failed {
            place: self.0.path.display().to_string(),
        }
    }

    /// Takes a line; its number is what [`GroupLog::commit`] waits for.
    fn take(&self, run: &RunId, line: &[u8]) -> Result<u64, JournalError> {
        let mut open = self.lock();
        if open.file.is_none() {
            return Err(self.failed());
        }
        open.buffer.extend_from_slice(run.as_str().as_bytes());
        open.buffer.push(TAB);
        open.buffer.extend_from_slice(line);
        open.taken = open.taken.saturating_add(1);
        let taken = open.taken;
        if open.buffer.len() >= KEPT_BACK {
            self.write(&mut open)?;
        }
        Ok(taken)
    }

    fn write(&self, open: &mut Open) -> Result<(), JournalError> {
        let Some(mut file) = open.file.take() else {
            return Err(self.failed());
        };
        let buffer = core::mem::take(&mut open.buffer);
        file.write(&buffer)
            .map_err(|source| store(&self.0.path, "write", source))?;
        open.buffer = buffer;
        open.buffer.clear();
        open.file = Some(file);
        Ok(())
    }

    /// Returns when the line with this number is durable.
    fn commit(&self, mut open: MutexGuard<'_, Open>, number: u64) -> Result<(), JournalError> {
        if open.durable >= number {
            return Ok(());
        }
        self.write(&mut open)?;
        let Some(mut file) = open.file.take() else {
            return Err(self.failed());
        };
        file.sync()
            .map_err(|source| store(&self.0.path, "sync", source))?;
        open.file = Some(file);
        open.durable = open.taken;
        Ok(())
    }
}

/// The journal of one run in a [`GroupLog`].
#[derive(Debug)]
pub struct GroupJournal {
    log: GroupLog,
    run: RunId,
    lines: Mutex<LineWriter>,
}

#[async_trait]
impl<E, F> Journal<E, F> for GroupJournal
where
    E: Serialize + Sync,
    F: Serialize + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        let number = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let line = lines.line(&entry).map_err(|error| JournalError::Format {
                place: format!("{}, run {}", self.log.0.path.display(), self.run),
                record: entry.seq,
                why: error.to_string(),
            })?;
            self.log.take(&self.run, &line)?
        };
        if durability == Durability::Lazy {
            return Ok(());
        }
        let mut yielded = false;
        poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.log.commit(self.log.lock(), number)
    }
}

/// Reads the runs of a file, also while a process writes to it: an unfinished last line is left out.
///
/// # Errors
/// [`JournalError`] when it cannot be read, or [`read_lines`] finds something wrong with a run.
pub fn read_group<E, F>(path: &Path) -> Result<BTreeMap<RunId, Lines<E, F>>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let file = File::open(path).map_err(|source| store(path, "read", source))?;
    Split::of(&file, path)?.runs(path)
}

/// The lines of a file, each with its run.
struct Split {
    runs: BTreeMap<RunId, Vec<u8>>,
    bytes: u64,
    torn: Option<Torn>,
}

impl Split {
    fn of(file: &File, path: &Path) -> Result<Self, JournalError> {
        let mut out = Self {
            runs: BTreeMap::new(),
            bytes: 0,
            torn: None,
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        for number in 0.. {
            line.clear();
            let length = reader
                .read_until(b'\n', &mut line)
                .map_err(|source| store(path, "read", source))?;
            let bytes = u64::try_from(length).unwrap_or(u64::MAX);
            if line.last() != Some(&b'\n') {
                out.torn = (bytes > 0).then_some(Torn {
                    record: number,
                    bytes,
                });
                break;
            }
            let wrong = || JournalError::Format {
                place: path.display().to_string(),
                record: number,
                why: "the line names no run".to_owned(),
            };
            let tab = line.iter().position(|byte| *byte == TAB).ok_or_else(wrong)?;
            let (name, rest) = line.split_at_checked(tab).ok_or_else(wrong)?;
            let name = core::str::from_utf8(name).map_err(|_| wrong())?;
            let run = RunId::new(name).map_err(|_| wrong())?;
            let lines = out.runs.entry(run).or_default();
            lines.extend(rest.iter().skip(1));
            out.bytes = out.bytes.saturating_add(bytes);
        }
        Ok(out)
    }

    fn runs<E, F>(&self, path: &Path) -> Result<BTreeMap<RunId, Lines<E, F>>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let place = path.display();
        self.runs
            .iter()
            .map(|(run, lines)| Ok((run.clone(), read_lines(&**lines, &format!("{place}, run {run}"))?)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
