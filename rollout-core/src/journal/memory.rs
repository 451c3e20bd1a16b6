//! A journal in memory.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Body, Durability, Entry, EntryBody, Journal, JournalError, Record};

/// Keeps every record; survives nothing. For tests, benches and dry runs.
#[derive(Debug)]
pub struct MemoryJournal<E, F>(Mutex<Vec<Record<E, F>>>);

impl<E, F> Default for MemoryJournal<E, F> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<E: Clone, F: Clone> MemoryJournal<E, F> {
    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records, all of them.
    #[must_use]
    pub fn into_records(self) -> Vec<Record<E, F>> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record<E, F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl<E, F> Journal<E, F> for MemoryJournal<E, F>
where
    E: Clone + Send + Sync,
    F: Clone + Send + Sync,
{
    async fn append(&self, entry: Entry<'_, E, F>, _: Durability) -> Result<(), JournalError>
    where
        E: 'async_trait,
        F: 'async_trait,
    {
        let body = match entry.body {
            EntryBody::Opened(header) => Body::Opened(header.clone()),
            EntryBody::Issued { effect } => Body::Issued {
                effect: effect.clone(),
            },
            EntryBody::Happened { of, event } => Body::Happened {
                of,
                event: event.clone(),
            },
            EntryBody::Resumed(resumption) => Body::Resumed(resumption.clone()),
            EntryBody::Closed => Body::Closed,
        };
        let record = Record {
            seq: entry.seq,
            at: entry.at,
            body,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        Ok(())
    }
}
