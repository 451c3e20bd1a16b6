//! Leases in a folder: one small file each, changed by renaming, under a lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::memory::changed;
use super::{LeaseStore, Scope, Stored, Version};
use crate::error::{Applied, Error, ErrorKind, Retry};
use crate::id::ImageDigest;

/// One folder of a local disk, for the runners of one machine.
///
/// A value is written beside its place, synced, and renamed into it while a lock file is held, so that a crash at any point
/// leaves the old value or the new one; the system drops the lock of a process that dies. Versions are digests of the
/// values. Calls are blocking ones of a few milliseconds. A network file system is no local disk: use an object store.
#[derive(Clone, Debug)]
pub struct DirLeaseStore {
    folder: PathBuf,
}

impl DirLeaseStore {
    /// Leases in this folder, which is made when the first one is written.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The names hold only letters, digits, `-` and `_`, so `@` keeps them apart.
    fn path(&self, scope: &Scope, ending: &str) -> PathBuf {
        self.folder
            .join(format!("{}@{}.{ending}", scope.environment, scope.group))
    }

    fn present(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        let path = self.path(scope, "lease");
        match fs::read(&path) {
            Ok(value) => {
                let version = version_of(&value);
                Ok(Some(Stored { value, version }))
            }
            Err(error) if error.kind() == Io::NotFound => Ok(None),
            Err(error) => Err(failed("lease:Read", &path, error)),
        }
    }

    /// Nobody else writes for as long as the answer lives.
    fn lock(&self, scope: &Scope) -> Result<File, Error> {
        fs::create_dir_all(&self.folder).map_err(|error| failed("lease:Write", &self.folder, error))?;
        let path = self.path(scope, "lock");
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("lease:Write", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            // Not waited for: whoever has it may be stopped in the middle of it.
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Unavailable,
                "lease:Write",
                format!("{}: another process is writing", path.display()),
            )),
            Err(TryLockError::Error(error)) => Err(failed("lease:Write", &path, error)),
        }
    }

    fn replace(&self, scope: &Scope, value: &[u8]) -> Result<(), Error> {
        let (new, place) = (self.path(scope, "new"), self.path(scope, "lease"));
        let write = || -> io::Result<()> {
            // What a crash left there is overwritten.
            let mut file = File::create(&new)?;
            file.write_all(value)?;
            file.sync_all()?;
            fs::rename(&new, &place)
        };
        write().map_err(|error| failed("lease:Write", &place, error))?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed("lease:Write", &self.folder, error).applied(Applied::Maybe))
    }
}

fn version_of(value: &[u8]) -> Version {
    Version(ImageDigest::of(value).as_str().to_owned())
}

fn failed(operation: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unavailable,
    };
    let retry = if kind == ErrorKind::PermissionDenied {
        Retry::Never
    } else {
        Retry::Later
    };
    Error::new(kind, operation, path.display().to_string())
        .retry(retry)
        .caused_by(error)
}

#[async_trait]
impl LeaseStore for DirLeaseStore {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        self.present(scope)
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        let _lock = self.lock(scope)?;
        let present = self.present(scope)?;
        if present.as_ref().map(|stored| &stored.version) != expected {
            return Err(changed(scope));
        }
        self.replace(scope, value)?;
        Ok(version_of(value))
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;

    fn scope() -> Scope {
        Scope {
            environment: "production".parse().expect("valid"),
            group: "storefront".parse().expect("valid"),
        }
    }

    #[test]
    fn what_a_crash_left_beside_its_place_is_no_value_and_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = DirLeaseStore::new(dir.path());
        let old = block_on(store.put(&scope(), b"a long old value", None)).expect("new");
        fs::write(
            store.path(&scope(), "new"),
            b"half a va, and more of it than fits",
        )
        .expect("torn");
        let seen = block_on(store.read(&scope())).expect("readable").expect("there");
        assert_eq!(
            (seen.value.as_slice(), &seen.version),
            (&b"a long old value"[..], &old)
        );
        block_on(store.put(&scope(), b"new", Some(&old))).expect("the version is the present one");
        let seen = block_on(store.read(&scope())).expect("readable").expect("there");
        assert_eq!(seen.value, b"new");
    }

    #[test]
    fn a_writer_that_was_stopped_keeps_others_from_writing_and_from_waiting() {
        let dir = tempfile::tempdir().expect("a folder");
        let (stopped, other) = (DirLeaseStore::new(dir.path()), DirLeaseStore::new(dir.path()));
        let lock = stopped.lock(&scope()).expect("free");
        let error = block_on(other.put(&scope(), b"x", None)).expect_err("locked");
        assert_eq!(
            (error.kind, error.retry, error.applied),
            (ErrorKind::Unavailable, Retry::Later, Applied::No)
        );
        drop(lock);
        block_on(other.put(&scope(), b"x", None)).expect("free again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("written");
        let store = DirLeaseStore::new(file.join("leases"));
        let error = block_on(store.put(&scope(), b"x", None)).expect_err("no folder");
        assert!(error.to_string().contains("file/leases"), "{error}");
        assert_eq!(error.applied, Applied::No);
    }
}
