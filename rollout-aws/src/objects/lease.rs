//! Leases as objects, changed by conditional writes.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion,
};
use rollout_core::error::{Error, ErrorKind};
use rollout_core::lease::{LeaseRecord, LeaseStore, Scope, Stored, Version};

use super::from_store;

const READ: &str = "s3:GetObject";
const WRITE: &str = "s3:PutObject";

/// One object a lease: `<folder>/<environment>/<group>.json`. Its version is its ETag.
///
/// A store that has no ETags, or cannot replace an object conditionally, answers [`ErrorKind::Unsupported`]: a local
/// folder, for example, for which there is [`DirLeaseStore`](rollout_core::lease::DirLeaseStore).
#[derive(Clone, Debug)]
pub struct ObjectLeaseStore {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

impl ObjectLeaseStore {
    /// Leases in this folder of the store.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self { store, folder }
    }

    /// Every lease that is there, by environment and group; for people, who ask who drives what.
    ///
    /// # Errors
    /// As the store's calls, and when what is stored is no lease.
    pub async fn all(&self) -> Result<Vec<LeaseRecord>, Error> {
        let listed: Vec<_> = self
            .store
            .list(Some(&self.folder))
            .try_collect()
            .await
            .map_err(|error| from_store("s3:ListBucket", &self.folder, error))?;
        let mut scopes: Vec<Scope> = listed
            .iter()
            .filter_map(|object| self.scope(&object.location))
            .collect();
        scopes.sort_unstable();
        let mut all = Vec::new();
        for scope in scopes {
            if let Some(stored) = self.read(&scope).await? {
                all.push(LeaseRecord::decode(&stored.value, &scope)?);
            }
        }
        Ok(all)
    }

    /// What an object's place says that it is about; `None` when it is no lease's.
    fn scope(&self, place: &Path) -> Option<Scope> {
        let mut parts = place.prefix_match(&self.folder)?;
        let (environment, file) = (parts.next()?, parts.next()?);
        let scope = Scope {
            environment: environment.as_ref().parse().ok()?,
            group: file.as_ref().strip_suffix(".json")?.parse().ok()?,
        };
        parts.next().is_none().then_some(scope)
    }

    /// Names of environments and groups hold nothing that means something in a path.
    fn place(&self, scope: &Scope) -> Path {
        self.folder
            .clone()
            .join(scope.environment.as_str())
            .join(format!("{}.json", scope.group))
    }
}

fn version(operation: &str, place: &Path, e_tag: Option<String>) -> Result<Version, Error> {
    e_tag.map(Version).ok_or_else(|| {
        let why = format!(
            "{place}: the store names no ETag, by which a lease is told from an older one; use another"
        );
        Error::new(ErrorKind::Unsupported, operation, why)
    })
}

#[async_trait]
impl LeaseStore for ObjectLeaseStore {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        let place = self.place(scope);
        let got = match self.store.get(&place).await {
            Ok(got) => got,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(from_store(READ, &place, error)),
        };
        // Of the answer that carries the value, or the two would not belong together.
        let version = version(READ, &place, got.meta.e_tag.clone())?;
        let value = got
            .bytes()
            .await
            .map_err(|error| from_store(READ, &place, error))?
            .to_vec();
        Ok(Some(Stored { value, version }))
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        let place = self.place(scope);
        let mode = match expected {
            None => PutMode::Create,
            Some(Version(e_tag)) => PutMode::Update(UpdateVersion {
                e_tag: Some(e_tag.clone()),
                version: None,
            }),
        };
        let put = self
            .store
            .put_opts(&place, PutPayload::from(value.to_vec()), mode.into())
            .await;
        match put {
            Ok(put) => version(WRITE, &place, put.e_tag),
            Err(error) => Err(from_store(WRITE, &place, error)),
        }
    }
}
