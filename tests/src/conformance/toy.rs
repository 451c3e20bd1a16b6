//! A journal store in memory with files and a disk of its own, which can be wrong in one way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rollout_core::conformance::Stop;
use rollout_core::conformance::journal::{JournalFixture, Written};
use rollout_core::journal::{Body, Durability, Entry, FORMAT, Journal, JournalError};

/// How the store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It puts the third record before the second.
    SwapsRecords,
    /// It trims what it keeps.
    TrimsText,
    /// A record is written when the next one comes, or never.
    WritesLate,
    /// All names are one journal.
    OneForAll,
    /// A record that was cut off makes the whole journal unreadable.
    KeepsTheTorn,
    /// It leaves out whatever it cannot read.
    SkipsDamage,
    /// It reads a newer format as if it were its own.
    TakesAnyFormat,
    /// A second writer begins anew.
    BeginsAnew,
    /// After a failure it takes what fits.
    GoesOn,
    /// It says yes when its disk is full.
    Promises,
}

/// Bytes on the toy's disk.
const DISK: usize = 2 * 1024 * 1024;

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The store.
#[derive(Clone, Debug)]
pub struct ToyJournals {
    files: Files,
    flaw: Option<Flaw>,
}

impl ToyJournals {
    /// A store that is wrong in this way, or right.
    #[must_use]
    pub fn new(flaw: Option<Flaw>) -> Self {
        Self {
            files: Files::default(),
            flaw,
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn name<'a>(&self, name: &'a str) -> &'a str {
        if self.is(Flaw::OneForAll) { "all" } else { name }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, name: &str, disk: usize) -> Box<dyn Journal<String, String>> {
        let writer = Writer {
            store: self.clone(),
            name: self.name(name).to_owned(),
            disk,
            failed: Mutex::new(false),
            late: Mutex::new(None),
        };
        Box::new(writer)
    }
}

struct Writer {
    store: ToyJournals,
    name: String,
    disk: usize,
    failed: Mutex<bool>,
    late: Mutex<Option<Vec<u8>>>,
}

fn full(name: &str) -> JournalError {
    JournalError::Store {
        action: "write",
        place: name.to_owned(),
        source: std::io::ErrorKind::StorageFull.into(),
    }
}

#[async_trait]
impl Journal<String, String> for Writer {
    async fn append(&self, entry: Entry<'_, String, String>, _: Durability) -> Result<(), JournalError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed && !self.store.is(Flaw::GoesOn) {
            return Err(JournalError::Failed {
                place: self.name.clone(),
            });
        }
        let mut line = serde_json::to_vec(&entry).expect("texts are JSON");
        if self.store.is(Flaw::TrimsText) {
            line = String::from_utf8_lossy(&line).replace("\\n", "").into_bytes();
        }
        line.push(b'\n');
        if self.store.is(Flaw::WritesLate) {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            match late.replace(line) {
                Some(before) => line = before,
                None => return Ok(()),
            }
        }
        let mut files = self.store.lock();
        let file = files.entry(self.name.clone()).or_default();
        let room = self.disk.saturating_sub(file.len());
        if line.len() > room {
            if self.store.is(Flaw::Promises) {
                return self.pretend();
            }
            // Half a record, as a real disk takes it.
            file.extend_from_slice(&line[..room.min(line.len() / 2)]);
            *failed = true;
            return Err(full(&self.name));
        }
        file.extend_from_slice(&line);
        Ok(())
    }
}

impl Writer {
    /// Says yes a few times more before it admits that nothing is written.
    fn pretend(&self) -> Result<(), JournalError> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let said = late.get_or_insert_default();
        said.push(0);
        if said.len() > 3 {
            Err(full(&self.name))
        } else {
            Ok(())
        }
    }
}

#[async_trait(?Send)]
impl JournalFixture for ToyJournals {
    async fn create(
        &self,
        name: &str,
    ) -> Result<Result<Box<dyn Journal<String, String>>, JournalError>, Stop> {
        let mut files = self.lock();
        if files.contains_key(name) && !self.is(Flaw::BeginsAnew) {
            return Ok(Err(JournalError::Store {
                action: "create",
                place: name.to_owned(),
                source: std::io::ErrorKind::AlreadyExists.into(),
            }));
        }
        files.insert(name.to_owned(), Vec::new());
        drop(files);
        Ok(Ok(self.open(name, usize::MAX)))
    }

    async fn read(&self, name: &str) -> Result<Result<Vec<Written>, JournalError>, Stop> {
        let files = self.lock();
        let bytes = files
            .get(self.name(name))
            .ok_or_else(|| Stop::fixture("no such journal"))?;
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) if !self.is(Flaw::KeepsTheTorn) => &bytes[..=last],
            Some(_) | None => &bytes[..],
        };
        let mut records: Vec<Written> = Vec::new();
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(record) => records.push(record),
                Err(_) if self.is(Flaw::SkipsDamage) => {}
                Err(error) => {
                    if let Some(found) = newer(&records).filter(|_| !self.is(Flaw::TakesAnyFormat)) {
                        return Ok(Err(JournalError::Newer {
                            place: name.to_owned(),
                            found,
                        }));
                    }
                    return Ok(Err(JournalError::Format {
                        place: name.to_owned(),
                        record: records.len() as u64,
                        why: error.to_string(),
                    }));
                }
            }
        }
        if self.is(Flaw::SwapsRecords) && records.len() > 2 {
            records.swap(1, 2);
        }
        Ok(Ok(records))
    }

    async fn scribble(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        let mut files = self.lock();
        let file = files
            .get_mut(self.name(name))
            .ok_or_else(|| Stop::fixture("no such journal"))?;
        file.extend_from_slice(bytes);
        Ok(())
    }

    async fn cramped(&self, name: &str) -> Result<Box<dyn Journal<String, String>>, Stop> {
        self.lock().insert(name.to_owned(), Vec::new());
        Ok(self.open(name, DISK))
    }
}

fn newer(records: &[Written]) -> Option<u32> {
    match &records.first()?.body {
        Body::Opened(header) if header.format > FORMAT => Some(header.format),
        _ => None,
    }
}
