//! Leases in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{LeaseStore, Scope, Stored, Version};
use crate::error::{Error, ErrorKind};

/// Keeps leases for as long as it lives: for tests, and for several runners of one process. Clones share what they keep.
#[derive(Clone, Debug, Default)]
pub struct MemoryLeaseStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    values: BTreeMap<Scope, Stored>,
    puts: u64,
}

impl MemoryLeaseStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl LeaseStore for MemoryLeaseStore {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.values.get(scope).cloned())
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.values.get(scope).map(|stored| &stored.version) != expected {
            return Err(changed(scope));
        }
        kept.puts = kept.puts.saturating_add(1);
        let version = Version(kept.puts.to_string());
        let stored = Stored {
            value: value.to_vec(),
            version: version.clone(),
        };
        kept.values.insert(scope.clone(), stored);
        Ok(version)
    }
}

/// The present value is not the expected one.
pub(super) fn changed(scope: &Scope) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "lease:Write",
        format!("{scope}: another value is there than was expected"),
    )
}
