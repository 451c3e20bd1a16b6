//! Places that keep journals.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use rollout_core::conformance::Stop;
use rollout_core::conformance::journal::{JournalFixture, Written};
use rollout_core::journal::{
    Durability, Entry, FileJournal, Journal, JournalError, MemoryJournal, read_file,
};

type Texts = Box<dyn Journal<String, String>>;

/// Set where no file can grow beyond a few megabytes: `ulimit -f`, with SIGXFSZ ignored.
pub const CRAMPED: &str = "ROLLOUT_TEST_CRAMPED";

/// Journals in memory.
#[derive(Debug, Default)]
pub struct InMemory(RefCell<BTreeMap<String, Arc<MemoryJournal<String, String>>>>);

/// A handle on a journal that the fixture keeps, too.
struct Shared(Arc<MemoryJournal<String, String>>);

#[async_trait]
impl Journal<String, String> for Shared {
    async fn append(
        &self,
        entry: Entry<'_, String, String>,
        durability: Durability,
    ) -> Result<(), JournalError> {
        self.0.append(entry, durability).await
    }
}

#[async_trait(?Send)]
impl JournalFixture for InMemory {
    async fn create(&self, name: &str) -> Result<Result<Texts, JournalError>, Stop> {
        if self.0.borrow().contains_key(name) {
            return Err(Stop::skip("a journal in memory has no name that could be taken"));
        }
        let made = Arc::new(MemoryJournal::new());
        self.0.borrow_mut().insert(name.to_owned(), Arc::clone(&made));
        Ok(Ok(Box::new(Shared(made))))
    }

    async fn read(&self, name: &str) -> Result<Result<Vec<Written>, JournalError>, Stop> {
        let journals = self.0.borrow();
        let journal = journals
            .get(name)
            .ok_or_else(|| Stop::fixture("no such journal"))?;
        Ok(Ok(journal.records()))
    }

    async fn scribble(&self, _: &str, _: &[u8]) -> Result<(), Stop> {
        Err(Stop::skip("a journal in memory holds records, not bytes"))
    }

    async fn cramped(&self, _: &str) -> Result<Texts, Stop> {
        Err(Stop::skip(
            "a journal in memory survives nothing, a full memory least of all",
        ))
    }
}

/// Journals in files of a folder.
#[derive(Debug)]
pub struct InFiles(pub PathBuf);

impl InFiles {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.jsonl"))
    }
}

#[async_trait(?Send)]
impl JournalFixture for InFiles {
    async fn create(&self, name: &str) -> Result<Result<Texts, JournalError>, Stop> {
        Ok(FileJournal::create(self.path(name)).map(|journal| Box::new(journal) as Texts))
    }

    async fn read(&self, name: &str) -> Result<Result<Vec<Written>, JournalError>, Stop> {
        Ok(read_file(&self.path(name)))
    }

    async fn scribble(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        use std::io::Write as _;
        let file = std::fs::OpenOptions::new().append(true).open(self.path(name));
        file.and_then(|mut file| file.write_all(bytes))
            .map_err(Stop::fixture)
    }

    async fn cramped(&self, name: &str) -> Result<Texts, Stop> {
        if std::env::var_os(CRAMPED).is_none() {
            return Err(Stop::skip("this process may write files of any size"));
        }
        FileJournal::create(self.path(name))
            .map(|journal| Box::new(journal) as Texts)
            .map_err(Stop::fixture)
    }
}
