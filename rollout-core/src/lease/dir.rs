//! Leases in a folder: one small file each, changed by renaming, under a lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::memory::changed;
use super::{LeaseRecord, LeaseStore, Scope, Stored, Version};
use crate::error::{Applied, Error, ErrorKind, Retry};
use crate::id::ImageDigest;
use crate::time::Timestamp;

/// One folder of a local disk, for the runners of one machine.
///
/// Since they are on one machine, a process that is gone can be told from one that is slow: a runner shows its
/// [`presence`](Self::presence) for as long as it lives, and [`reap`](Self::reap) gives back the lease of one that does not.
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

    /// Every lease that is there, by environment and group; for people, who ask who drives what.
    ///
    /// # Errors
    /// When the folder cannot be read, or what is stored is no lease.
    pub fn all(&self) -> Result<Vec<LeaseRecord>, Error> {
        let unreadable = |error| failed("lease:Read", &self.folder, error);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == Io::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut scopes = Vec::new();
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            scopes.extend(name.to_str().and_then(scope_of));
        }
        scopes.sort_unstable();
        let mut all = Vec::new();
        for scope in scopes {
            if let Some(stored) = self.present(&scope)? {
                all.push(LeaseRecord::decode(&stored.value, &scope)?);
            }
        }
        Ok(all)
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

    /// Shows that the process behind a session lives, for as long as the answer does. Taken before the lease is.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process shows the same session.
    pub fn presence(&self, session: &str) -> Result<Presence, Error> {
        fs::create_dir_all(&self.folder).map_err(|error| failed("lease:Presence", &self.folder, error))?;
        let path = self.alive(session);
        let file = File::create(&path).map_err(|error| failed("lease:Presence", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Presence { path, _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Conflict,
                "lease:Presence",
                format!("{session}: another process has this session"),
            )),
            Err(TryLockError::Error(error)) => Err(failed("lease:Presence", &path, error)),
        }
    }

    /// Gives a lease back on behalf of a process that has ended without doing so, and answers with what it was. `None` when nobody holds
    /// it, its holder lives, or nothing is known of it: one that shows no [`presence`](Self::presence) is waited for like any
    /// other.
    ///
    /// The system drops the lock of a process that ends, however it ends, so this takes nothing from a process that was stopped or
    /// is slow.
    ///
    /// # Errors
    /// As the store's calls, and when what is stored is no lease.
    pub fn reap(&self, scope: &Scope, now: Timestamp) -> Result<Option<LeaseRecord>, Error> {
        let dead = |session: &str| match File::open(self.alive(session)) {
            Ok(file) => file.try_lock().is_ok(),
            Err(_) => false,
        };
        let found = |stored: Option<Stored>| -> Result<Option<LeaseRecord>, Error> {
            let Some(stored) = stored else { return Ok(None) };
            let record = LeaseRecord::decode(&stored.value, scope)?;
            let held = record.holder.as_ref();
            Ok(held.is_some_and(|holder| dead(&holder.session)).then_some(record))
        };
        // Most of the time there is nothing to do, and no lock to take for that.
        if found(self.present(scope)?)?.is_none() {
            return Ok(None);
        }
        let _lock = self.lock(scope)?;
        let Some(was) = found(self.present(scope)?)? else {
            return Ok(None);
        };
        let free = LeaseRecord {
            writes: was.writes.saturating_add(1),
            written: now,
            until: now,
            holder: None,
            ..was.clone()
        };
        self.replace(scope, &free.encode()?)?;
        if let Some(holder) = &was.holder {
            // Nobody asks for it any more.
            let _ = fs::remove_file(self.alive(&holder.session));
        }
        Ok(Some(was))
    }

    /// The file that a living session locks. Sessions are any text, so it is named by a digest.
    fn alive(&self, session: &str) -> PathBuf {
        let digest = ImageDigest::of(session.as_bytes());
        let name = digest.as_str().trim_start_matches("sha256:");
        self.folder.join(format!("{name}.alive"))
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

/// Shows that a process lives; see [`DirLeaseStore::presence`].
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    /// Locked.
    _file: File,
}

impl Drop for Presence {
    fn drop(&mut self) {
        // What is left behind is found unlocked, which is as good.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a file of this name is about; `None` when it is no lease's.
fn scope_of(name: &str) -> Option<Scope> {
    let (environment, group) = name.strip_suffix(".lease")?.split_once('@')?;
    Some(Scope {
        environment: environment.parse().ok()?,
        group: group.parse().ok()?,
    })
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

    fn held(store: &DirLeaseStore, session: &str) -> LeaseRecord {
        let now = Timestamp::from_millis(1_000);
        let record = LeaseRecord {
            format: super::super::FORMAT,
            scope: scope(),
            generation: crate::id::Generation(7),
            writes: 3,
            written: now,
            until: now.after(core::time::Duration::from_secs(60)),
            holder: Some(super::super::Holder {
                owner: super::super::Owner {
                    who: "alice".to_owned(),
                    host: "laptop".to_owned(),
                    url: None,
                },
                run: "r-1".parse().expect("valid"),
                session: session.to_owned(),
                since: now,
            }),
        };
        let value = record.encode().expect("plain data");
        block_on(store.put(&scope(), &value, None)).expect("new");
        record
    }

    #[test]
    fn the_lease_of_a_process_that_is_gone_is_given_back_and_of_one_that_lives_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = DirLeaseStore::new(dir.path());
        let later = Timestamp::from_millis(2_000);
        assert_eq!(
            store.reap(&scope(), later).expect("readable"),
            None,
            "there is none"
        );
        let lives = store.presence("alice/1").expect("new");
        assert!(store.presence("alice/1").is_err(), "it is somebody's");
        assert_eq!(store.all().expect("readable"), []);
        let was = held(&store, "alice/1");
        assert_eq!(store.all().expect("readable"), core::slice::from_ref(&was));
        assert_eq!(store.reap(&scope(), later).expect("readable"), None, "it lives");
        // As a crash leaves it: the file is there, and nobody has it locked.
        let path = lives.path.clone();
        drop(lives);
        fs::write(&path, "").expect("writable");
        assert_eq!(store.reap(&scope(), later).expect("readable"), Some(was.clone()));
        let stored = block_on(store.read(&scope())).expect("readable").expect("there");
        let now = LeaseRecord::decode(&stored.value, &scope()).expect("ours");
        assert_eq!(
            (now.holder, now.generation, now.writes),
            (None, was.generation, 4)
        );
        assert_eq!(store.reap(&scope(), later).expect("readable"), None, "it is free");
        assert!(!path.exists());
    }

    #[test]
    fn of_a_process_that_has_shown_nothing_nothing_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = DirLeaseStore::new(dir.path());
        held(&store, "another machine's");
        assert_eq!(
            store
                .reap(&scope(), Timestamp::from_millis(2_000))
                .expect("readable"),
            None
        );
        let stored = block_on(store.read(&scope())).expect("readable").expect("there");
        let now = LeaseRecord::decode(&stored.value, &scope()).expect("ours");
        assert!(now.holder.is_some());
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
