//! Places that keep leases: those of `rollout-core`, and one that can be wrong in one way.

use core::future::poll_fn;
use core::task::Poll;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rollout_core::conformance::lease_store::LeaseStoreFixture;
use rollout_core::conformance::{Stop, Trouble};
use rollout_core::error::{Applied, Error, ErrorKind};
use rollout_core::lease::{DirLeaseStore, LeaseStore, MemoryLeaseStore, Scope, Stored, Version};

/// Leases in memory.
#[derive(Debug, Default)]
pub struct LeasesInMemory(MemoryLeaseStore);

#[async_trait(?Send)]
impl LeaseStoreFixture for LeasesInMemory {
    async fn open(&self) -> Result<Box<dyn LeaseStore>, Stop> {
        Ok(Box::new(self.0.clone()))
    }

    async fn trouble(&self, _: Trouble) -> Result<(), Stop> {
        Err(Stop::skip("there is nothing between the port and the memory"))
    }

    async fn calm(&self) -> Result<(), Stop> {
        Ok(())
    }
}

/// Leases in a folder.
#[derive(Debug)]
pub struct LeasesInFolder(pub PathBuf);

#[async_trait(?Send)]
impl LeaseStoreFixture for LeasesInFolder {
    async fn open(&self) -> Result<Box<dyn LeaseStore>, Stop> {
        Ok(Box::new(DirLeaseStore::new(&self.0)))
    }

    async fn trouble(&self, _: Trouble) -> Result<(), Stop> {
        Err(Stop::skip("there is nothing between the port and the disk"))
    }

    async fn calm(&self) -> Result<(), Stop> {
        Ok(())
    }
}

/// How a lease store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was never written is an empty value.
    NeverEmpty,
    /// It reads what was there before the latest put.
    ReadsLate,
    /// It keeps texts.
    OnlyText,
    /// Every process has leases of its own.
    OwnForEach,
    /// A first value may come again.
    BeginsAnew,
    /// It does not compare versions.
    IgnoresVersions,
    /// It replaces what is not there.
    ReplacesNothing,
    /// All values have one version.
    OneVersion,
    /// It joins environment and group by a letter that both may hold.
    JoinsNames,
    /// It compares, and writes a moment later.
    ComparesEarly,
    /// A lost answer is a refusal.
    SaysNo,
    /// A refused call takes effect.
    WritesAnyway,
}

type Values = Arc<Mutex<BTreeMap<String, (Vec<u8>, u64)>>>;

/// A lease store in memory with a network in front of it.
#[derive(Clone, Debug)]
pub struct ToyLeases {
    values: Values,
    /// What was there before the latest put.
    before: Values,
    trouble: Arc<Mutex<Option<Trouble>>>,
    fault: Option<Fault>,
}

impl ToyLeases {
    /// A store that is wrong in this way, or right.
    #[must_use]
    pub fn new(fault: Option<Fault>) -> Self {
        Self {
            values: Values::default(),
            before: Values::default(),
            trouble: Arc::default(),
            fault,
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn key(&self, scope: &Scope) -> String {
        let joint = if self.is(Fault::JoinsNames) { '-' } else { '/' };
        format!("{}{joint}{}", scope.environment, scope.group)
    }

    fn present(&self, key: &str) -> Option<(Vec<u8>, u64)> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(key).cloned()
    }

    fn write(&self, key: &str, value: &[u8]) -> u64 {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let old = values.get(key).cloned();
        let number = old.as_ref().map_or(1, |(_, number)| number + 1);
        let number = if self.is(Fault::OneVersion) { 1 } else { number };
        let value = if self.is(Fault::OnlyText) {
            String::from_utf8_lossy(value).into_owned().into_bytes()
        } else {
            value.to_vec()
        };
        values.insert(key.to_owned(), (value, number));
        if let Some(old) = old {
            let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            before.insert(key.to_owned(), old);
        }
        number
    }

    fn met(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(number: u64) -> Version {
    Version(format!("\"{number}\""))
}

fn failed(kind: ErrorKind, applied: Applied) -> Error {
    Error::new(kind, "toy:Put", "as asked").applied(applied)
}

#[async_trait]
impl LeaseStore for ToyLeases {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        let key = self.key(scope);
        let mut seen = self.present(&key);
        if self.is(Fault::ReadsLate) {
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            seen = before.get(&key).cloned().or(seen);
        }
        if self.is(Fault::NeverEmpty) {
            seen = seen.or_else(|| Some((Vec::new(), 0)));
        }
        Ok(seen.map(|(value, number)| Stored {
            value,
            version: version(number),
        }))
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        let key = self.key(scope);
        if self.met() == Some(Trouble::Denied) {
            if self.is(Fault::WritesAnyway) {
                self.write(&key, value);
            }
            return Err(failed(ErrorKind::PermissionDenied, Applied::No));
        }
        let present = self.present(&key).map(|(_, number)| version(number));
        let fits = match (&present, expected) {
            (None, None) => true,
            (Some(_), None) => self.is(Fault::BeginsAnew),
            (None, Some(_)) => self.is(Fault::ReplacesNothing),
            (Some(present), Some(expected)) => present == expected || self.is(Fault::IgnoresVersions),
        };
        if !fits {
            return Err(failed(ErrorKind::Conflict, Applied::No));
        }
        if self.is(Fault::ComparesEarly) {
            let mut given_way = false;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if core::mem::replace(&mut given_way, true) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
        let number = self.write(&key, value);
        if self.met() == Some(Trouble::LostAnswers) {
            let applied = if self.is(Fault::SaysNo) {
                Applied::No
            } else {
                Applied::Maybe
            };
            return Err(failed(ErrorKind::TimedOut, applied));
        }
        Ok(version(number))
    }
}

#[async_trait(?Send)]
impl LeaseStoreFixture for ToyLeases {
    async fn open(&self) -> Result<Box<dyn LeaseStore>, Stop> {
        let mut store = self.clone();
        if self.is(Fault::OwnForEach) {
            store.values = Values::default();
        }
        Ok(Box::new(store))
    }

    async fn trouble(&self, trouble: Trouble) -> Result<(), Stop> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        Ok(())
    }

    async fn calm(&self) -> Result<(), Stop> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}
