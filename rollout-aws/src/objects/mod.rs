//! Journals and leases in an object store: a bucket of S3, or anything else that `object_store` knows and that writes
//! conditionally (S3-compatible stores, a store in memory for tests; journals also in a local folder).
//!
//! ```text
//! s3://bucket/prefix/journals/<run>/00000000.jsonl    one object for each append that had to be durable
//!                                  /00000001.jsonl
//!                   /leases/<environment>/<group>.json
//! ```
//!
//! The store must apply `If-None-Match: *` and `If-Match` as S3 does (Amazon S3 user guide, "How to prevent object overwrites with
//! conditional writes"). One that ignores them loses every protection against a second runner; [`check_writes`] finds out.

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, PutMode, PutPayload, UpdateVersion};
use rollout_core::error::{Applied, Error, ErrorKind, Retry};

mod bucket;
mod journal;
mod lease;
#[cfg(test)]
mod tests;

pub use bucket::{InvalidLocation, Location, open};
pub use journal::{ObjectJournal, Reopened, read_run, read_text, runs};
pub use lease::ObjectLeaseStore;

/// The IAM actions on a bucket (`ListBucket`) and its objects.
pub const ACTIONS: &[&str] = &["s3:GetObject", "s3:ListBucket", "s3:PutObject"];

/// Finds out whether a store applies conditional writes, by a few small ones under `folder`. It leaves one object there.
///
/// # Errors
/// [`ErrorKind::Unsupported`] when it does not; otherwise what the store says.
pub async fn check_writes(store: &dyn ObjectStore, folder: &Path) -> Result<(), Error> {
    let operation = "s3:PutObject";
    let place = folder.clone().join("conditional-writes");
    let put = async |mode: PutMode| {
        store
            .put_opts(&place, PutPayload::from_static(b"{}\n"), mode.into())
            .await
    };
    let ignored = |header: &str| {
        let why =
            format!("{place}: the store ignores `{header}`: it cannot keep two runners apart; use another");
        Error::new(ErrorKind::Unsupported, operation, why)
    };
    match put(PutMode::Create).await {
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => {}
        Err(error) => return Err(from_store(operation, &place, error)),
    }
    match put(PutMode::Create).await {
        Err(StoreError::AlreadyExists { .. }) => {}
        Ok(_) => return Err(ignored("If-None-Match")),
        Err(error) => return Err(from_store(operation, &place, error)),
    }
    let nobodys = UpdateVersion {
        e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
        version: None,
    };
    match put(PutMode::Update(nobodys)).await {
        Err(StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }) => Ok(()),
        Ok(_) => Err(ignored("If-Match")),
        Err(error) => Err(from_store(operation, &place, error)),
    }
}

/// The store's error as a port's. What it does not tell apart may have taken effect.
fn from_store(operation: &str, place: &Path, error: StoreError) -> Error {
    let (kind, retry, applied) = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, Retry::Never, Applied::No),
        // The write was not taken, but an earlier try of it may have been: whoever wrote reads back.
        StoreError::AlreadyExists { .. }
        | StoreError::Precondition { .. }
        | StoreError::NotModified { .. } => (ErrorKind::Conflict, Retry::Never, Applied::No),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (ErrorKind::PermissionDenied, Retry::Never, Applied::No)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, Retry::Never, Applied::No)
        }
        StoreError::InvalidPath { .. } | StoreError::UnknownConfigurationKey { .. } => {
            (ErrorKind::InvalidRequest, Retry::Never, Applied::No)
        }
        _ => (ErrorKind::Unavailable, Retry::Later, Applied::Maybe),
    };
    Error::new(kind, operation, place.to_string())
        .retry(retry)
        .applied(applied)
        .caused_by(error)
}
