//! A journal in a file: append-only JSON lines, fdatasync where the driver asks for it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Body, Durability, Entry, FORMAT, Journal, JournalError, Record};

/// One file, one writer. The file is locked for as long as this value lives.
///
/// Appends are blocking calls of well under a millisecond; a driver that minds wraps them.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    /// `None` after a failed write or sync: what the file then holds cannot be known (fsync's error is told once).
    file: Mutex<Option<File>>,
}

impl FileJournal {
    /// Makes a new journal.
    ///
    /// # Errors
    /// [`JournalError::Store`] when the file exists, is locked by another process, or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let path = path.into();
        let store = |action, source| JournalError::Store {
            action,
            place: path.display().to_string(),
            source,
        };
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| store("create", source))?;
        file.try_lock()
            .map_err(|error| store("lock", lock_error(error)))?;
        // The name itself must survive a crash, too.
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(|source| store("sync the folder of", source))?;
        }
        Ok(Self {
            path,
            file: Mutex::new(Some(file)),
        })
    }

    /// Whether another process holds the journal open for writing.
    ///
    /// # Errors
    /// [`JournalError::Store`] when the file cannot be opened.
    pub fn is_held(path: &Path) -> Result<bool, JournalError> {
        let store = |source| JournalError::Store {
            action: "open",
            place: path.display().to_string(),
            source,
        };
        match File::open(path).map_err(store)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(store(source)),
        }
    }

    fn write(&self, line: &[u8], durability: Durability) -> Result<(), JournalError> {
        let place = || self.path.display().to_string();
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut file) = slot.take() else {
            return Err(JournalError::Failed { place: place() });
        };
        file.write_all(line).map_err(|source| JournalError::Store {
            action: "write",
            place: place(),
            source,
        })?;
        if durability == Durability::Durable {
            file.sync_data().map_err(|source| JournalError::Store {
                action: "sync",
                place: place(),
                source,
            })?;
        }
        *slot = Some(file);
        Ok(())
    }
}

fn lock_error(error: TryLockError) -> std::io::Error {
    match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => {
            std::io::Error::new(std::io::ErrorKind::WouldBlock, "another process writes to it")
        }
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
        let mut line = serde_json::to_vec(&entry).map_err(|error| JournalError::Format {
            place: self.path.display().to_string(),
            record: entry.seq,
            why: error.to_string(),
        })?;
        line.push(b'\n');
        self.write(&line, durability)
    }
}

/// Reads a journal, also while another process writes to it: an unfinished last line is left out.
///
/// # Errors
/// [`JournalError`] when it cannot be read, is of a newer format, or holds a line that is no record.
pub fn read_file<E, F>(path: &Path) -> Result<Vec<Record<E, F>>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let place = path.display().to_string();
    let file = File::open(path).map_err(|source| JournalError::Store {
        action: "read",
        place: place.clone(),
        source,
    })?;
    read_records(BufReader::new(file), &place)
}

/// Reads the records of a journal from anywhere; `place` is how errors name it. An unfinished last line is left out.
///
/// # Errors
/// [`JournalError`] when it cannot be read, is of a newer format, or holds a line that is no record.
pub fn read_records<E, F>(mut reader: impl BufRead, place: &str) -> Result<Vec<Record<E, F>>, JournalError>
where
    E: DeserializeOwned,
    F: DeserializeOwned,
{
    let place = || place.to_owned();
    let store = |source| JournalError::Store {
        action: "read",
        place: place(),
        source,
    };
    let mut records = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(store)?;
        if line.last() != Some(&b'\n') {
            return Ok(records);
        }
        let number = u64::try_from(records.len()).unwrap_or(u64::MAX);
        if records.is_empty() {
            refuse_newer(&line, &place)?;
        }
        let record: Record<E, F> = serde_json::from_slice(&line).map_err(|error| JournalError::Format {
            place: place(),
            record: number,
            why: error.to_string(),
        })?;
        if number == 0 && !matches!(record.body, Body::Opened(_)) {
            return Err(JournalError::Format {
                place: place(),
                record: 0,
                why: "no header".to_owned(),
            });
        }
        records.push(record);
    }
}

/// The version is read before the record is, so that a newer journal is refused by name and not for its new fields.
fn refuse_newer(line: &[u8], place: &dyn Fn() -> String) -> Result<(), JournalError> {
    let header: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    let found = header
        .pointer("/body/opened/format")
        .and_then(serde_json::Value::as_u64);
    match found.map(|found| u32::try_from(found).unwrap_or(u32::MAX)) {
        Some(found) if found > FORMAT => Err(JournalError::Newer {
            place: place(),
            found,
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{EntryBody, Header};
    use crate::time::Timestamp;

    fn header(format: u32) -> Header {
        Header {
            format,
            machine: "test".to_owned(),
            run: "r-1".parse().expect("a valid id"),
            fresh: serde_json::Value::Null,
        }
    }

    fn append(
        journal: &FileJournal,
        seq: u64,
        body: EntryBody<'_, String, String>,
    ) -> Result<(), JournalError> {
        pollster::block_on(journal.append(
            Entry {
                seq,
                at: Timestamp::from_millis(seq),
                body,
            },
            Durability::Durable,
        ))
    }

    #[test]
    fn what_was_appended_is_read_back_and_a_torn_line_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal.jsonl");
        let journal = FileJournal::create(&path).expect("new");
        append(&journal, 0, EntryBody::Opened(&header(FORMAT))).expect("written");
        append(
            &journal,
            1,
            EntryBody::Happened {
                of: None,
                event: &"began".to_owned(),
            },
        )
        .expect("written");
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut f| f.write_all(b"{\"seq\":2"))
            .expect("torn");
        let records: Vec<Record<String, String>> = read_file(&path).expect("readable");
        assert_eq!(records.len(), 2);
        assert_eq!(
            records[1].body,
            Body::Happened {
                of: None,
                event: "began".to_owned()
            }
        );
    }

    #[test]
    fn a_newer_journal_is_refused_by_name_and_a_broken_line_by_number() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal.jsonl");
        let journal = FileJournal::create(&path).expect("new");
        append(&journal, 0, EntryBody::Opened(&header(FORMAT + 1))).expect("written");
        let error = read_file::<String, String>(&path).expect_err("newer");
        assert!(
            matches!(error, JournalError::Newer { found, .. } if found == FORMAT + 1),
            "{error}"
        );

        let path = dir.path().join("broken.jsonl");
        let journal = FileJournal::create(&path).expect("new");
        append(&journal, 0, EntryBody::Opened(&header(FORMAT))).expect("written");
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut f| f.write_all(b"{}\n"))
            .expect("written");
        let error = read_file::<String, String>(&path).expect_err("broken");
        assert!(matches!(error, JournalError::Format { record: 1, .. }), "{error}");
    }

    #[test]
    fn a_second_writer_is_refused_and_a_reader_sees_that_it_is_held() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal.jsonl");
        let journal = FileJournal::create(&path).expect("new");
        assert!(FileJournal::create(&path).is_err());
        assert!(FileJournal::is_held(&path).expect("there"));
        drop(journal);
        assert!(!FileJournal::is_held(&path).expect("there"));
    }
}
