//! A journal in a file: append-only JSON lines, fdatasync where the driver asks for it.

use std::boxed::Box;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Durability, Entry, FORMAT, Journal, JournalError, LineWriter, Lines, Record, read_lines};

/// One file, one writer. The file is locked for as long as this value lives.
///
/// Appends are blocking calls of well under a millisecond; a driver that minds wraps them.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    /// `None` after a failed write or sync: what the file then holds cannot be known (fsync's error is told once).
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: Box<dyn Disk>,
    lines: LineWriter,
}

/// What a journal asks of its file, so that a disk that fails can be played.
pub(super) trait Disk: core::fmt::Debug + Send {
    fn write(&mut self, line: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.write_all(line)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A journal to go on with, and what it holds.
#[derive(Debug)]
pub struct Reopened<E, F> {
    /// Takes the records that follow.
    pub journal: FileJournal,
    /// What was there. [`Lines::torn`] says what was cut off the end.
    pub lines: Lines<E, F>,
}

impl FileJournal {
    /// Makes a new journal.
    ///
    /// # Errors
    /// [`JournalError::Store`] when the file exists, is locked by another process, or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let file = make(&path)?;
        Ok(Self::on(path, Box::new(file), LineWriter::new(FORMAT)))
    }

    /// Opens a journal to go on with it. A torn line at its end is cut off; anything else that is wrong with it is an error, and
    /// leaves it as it is.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be opened, another process writes to it, or [`read_lines`] finds something wrong.
    pub fn reopen<E, F>(path: impl Into<PathBuf>) -> Result<Reopened<E, F>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let path = path.into();
        let file = take(&path)?;
        let lines = read_lines(BufReader::new(&file), &path.display().to_string())?;
        if lines.torn.is_some() {
            cut(&file, &path, lines.bytes)?;
        }
        let writer = LineWriter::after(&lines);
        Ok(Reopened {
            journal: Self::on(path, Box::new(file), writer),
            lines,
        })
    }

    fn on(path: PathBuf, file: Box<dyn Disk>, lines: LineWriter) -> Self {
        Self {
            path,
            open: Mutex::new(Some(Open { file, lines })),
        }
    }

    /// Whether another process holds the journal open for writing.
    ///
    /// # Errors
    /// [`JournalError::Store`] when the file cannot be opened.
    pub fn is_held(path: &Path) -> Result<bool, JournalError> {
        let store = |source| store(path, "open", source);
        match File::open(path).map_err(store)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(store(source)),
        }
    }

    fn write<E: Serialize, F: Serialize>(
        &self,
        entry: &Entry<'_, E, F>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        let mut slot = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut open) = slot.take() else {
            return Err(JournalError::Failed {
                place: self.path.display().to_string(),
            });
        };
        let line = open.lines.line(entry).map_err(|error| JournalError::Format {
            place: self.path.display().to_string(),
            record: entry.seq,
            why: error.to_string(),
        })?;
        let store = |action| move |source| store(&self.path, action, source);
        open.file.write(&line).map_err(store("write"))?;
        if durability == Durability::Durable {
            open.file.sync().map_err(store("sync"))?;
        }
        *slot = Some(open);
        Ok(())
    }
}

/// A new file, for this process alone.
pub(super) fn make(path: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path)
        .map_err(|source| store(path, "create", source))?;
    lock(&file, path)?;
    sync_folder(path)?;
    Ok(file)
}

/// A file that is there, for this process alone from here on.
pub(super) fn take(path: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .open(path)
        .map_err(|source| store(path, "open", source))?;
    lock(&file, path)?;
    Ok(file)
}

/// Cuts a torn line off. Made durable before anything is appended: a line must never be glued to what was torn.
pub(super) fn cut(file: &File, path: &Path, whole: u64) -> Result<(), JournalError> {
    file.set_len(whole)
        .and_then(|()| file.sync_all())
        .map_err(|source| store(path, "cut the torn line off", source))
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| {
        let source = match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process writes to it")
            }
        };
        store(path, "lock", source)
    })
}

/// The name of a new file must survive a crash, too.
fn sync_folder(path: &Path) -> Result<(), JournalError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| store(path, "sync the folder of", source))
}

pub(super) fn store(path: &Path, action: &'static str, source: io::Error) -> JournalError {
    JournalError::Store {
        action,
        place: path.display().to_string(),
        source,
    }
}

#[async_trait]
impl<E, F> Journal<E, F> for FileJournal
where
    E: Serialize + Sync,
    F: Serialize + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, durability: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        self.write(&entry, durability)
    }
}

/// Reads the records of a journal, also while another process writes to it: an unfinished last line is left out.
///
/// # Errors
/// [`JournalError`] when it cannot be read, is of a newer format, or [`read_lines`] finds something wrong.
pub fn read_file<E, F>(path: &Path) -> Result<Vec<Record<E, F>>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let file = File::open(path).map_err(|source| store(path, "read", source))?;
    Ok(read_lines(BufReader::new(file), &path.display().to_string())?.records)
}

#[cfg(test)]
mod tests;
