//! The state in a directory of this machine: one directory a run, one file an environment that was taken back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use rollout_core::error::Error;
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::journal::{FileJournal, JournalError, Reopened};
use rollout_core::lease::{DirLeaseStore, LeaseStore, Scope, Stored, Version};
use serde::de::DeserializeOwned;

use super::Part;
use super::files;
use crate::hold::TakenBack;
use crate::wall;

/// The state directory.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    dir: PathBuf,
}

impl Dir {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Where the simulated cloud is kept.
    pub(crate) fn sim_file(&self) -> PathBuf {
        self.dir.join("sim.json")
    }

    /// Makes the state directory. It ignores itself: a state does not belong into a repository.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        let wanted = || format!("cannot make the state directory {}", self.dir.display());
        fs::create_dir_all(&self.dir).with_context(wanted)?;
        let ignore = self.dir.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").with_context(wanted)?;
        }
        Ok(())
    }

    pub(super) fn leases(&self) -> DirLeaseStore {
        DirLeaseStore::new(self.dir.join("leases"))
    }

    pub(super) fn reaping(&self) -> Reaping {
        Reaping(self.leases())
    }

    pub(super) fn create(&self, run: &RunId) -> anyhow::Result<()> {
        self.prepare()?;
        let dir = self.of(run);
        fs::create_dir_all(self.dir.join("runs")).context("cannot make the directory of runs")?;
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("there is a run {run} already; `rollout status {run}` shows it")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
        }
        fs::write(self.last_file(), run.as_str()).context("cannot note the last run")
    }

    /// The run that was begun last.
    pub(super) fn last(&self) -> Option<String> {
        let name = fs::read_to_string(self.last_file()).ok()?;
        Some(name.trim().to_owned())
    }

    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("runs")).into_iter().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }

    fn last_file(&self) -> PathBuf {
        self.dir.join("last")
    }

    fn of(&self, run: &RunId) -> PathBuf {
        self.dir.join("runs").join(run.as_str())
    }

    pub(super) fn journal(&self, run: &RunId, part: Part) -> PathBuf {
        self.of(run).join(format!("{}.jsonl", part.name()))
    }

    /// How many rollbacks by hand were begun.
    pub(super) fn rollbacks(&self, run: &RunId) -> u32 {
        let missing = (1..).find(|n| !self.journal(run, Part::Rollback(*n)).exists());
        missing.map_or(0, |n| n - 1)
    }

    pub(super) fn text(&self, run: &RunId, part: Part) -> anyhow::Result<Vec<u8>> {
        let path = self.journal(run, part);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub(super) fn begin(&self, run: &RunId, part: Part) -> Result<FileJournal, JournalError> {
        FileJournal::create(self.journal(run, part))
    }

    pub(super) fn reopen<E, F>(&self, run: &RunId, part: Part) -> Result<Reopened<E, F>, JournalError>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        FileJournal::reopen(self.journal(run, part))
    }

    pub(super) fn is_held(&self, run: &RunId, part: Part) -> Result<bool, JournalError> {
        FileJournal::is_held(&self.journal(run, part))
    }

    /// The request of another process to stop.
    fn abort_file(&self, run: &RunId) -> PathBuf {
        self.of(run).join("abort")
    }

    pub(super) fn request_abort(&self, run: &RunId, by: &str) -> anyhow::Result<()> {
        files::replace(&self.abort_file(run), by.as_bytes()).context("cannot write the request")
    }

    /// Takes the request, if there is one: who asks.
    pub(super) fn take_abort(&self, run: &RunId) -> Option<String> {
        let file = self.abort_file(run);
        let by = fs::read_to_string(&file).ok()?;
        fs::remove_file(file).ok()?;
        Some(by)
    }

    fn holds(&self) -> PathBuf {
        self.dir.join("holds")
    }

    fn hold(&self, environment: &EnvironmentName) -> PathBuf {
        self.holds().join(format!("{environment}.json"))
    }

    pub(super) fn taken_back(&self, environment: &EnvironmentName) -> anyhow::Result<Option<TakenBack>> {
        read_hold(&self.hold(environment))
    }

    pub(super) fn all_taken_back(&self) -> anyhow::Result<Vec<TakenBack>> {
        let dir = self.holds();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", dir.display())),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry?.path());
        }
        files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
        let mut all = Vec::new();
        for file in files {
            all.extend(read_hold(&file)?);
        }
        Ok(all)
    }

    pub(super) fn take_back(&self, taken: &TakenBack) -> anyhow::Result<()> {
        let file = self.hold(&taken.environment);
        let wanted = || format!("cannot write {}", file.display());
        fs::create_dir_all(self.holds()).with_context(wanted)?;
        files::replace(&file, &serde_json::to_vec_pretty(taken)?).with_context(wanted)
    }

    pub(super) fn forget(&self, environment: &EnvironmentName) -> anyhow::Result<()> {
        let file = self.hold(environment);
        match fs::remove_file(&file) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", file.display())),
        }
    }
}

/// The leases of a directory: that of a process which is gone is free at the first look.
#[derive(Debug)]
pub(super) struct Reaping(DirLeaseStore);

#[async_trait]
impl LeaseStore for Reaping {
    async fn read(&self, scope: &Scope) -> Result<Option<Stored>, Error> {
        self.0.reap(scope, wall::now())?;
        self.0.read(scope).await
    }

    async fn put(&self, scope: &Scope, value: &[u8], expected: Option<&Version>) -> Result<Version, Error> {
        self.0.put(scope, value, expected).await
    }
}

fn read_hold(file: &Path) -> anyhow::Result<Option<TakenBack>> {
    match fs::read(file) {
        Ok(text) => TakenBack::of(&text, &file.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> RunId {
        RunId::new(name).expect("valid")
    }

    #[test]
    fn a_run_is_begun_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Dir::new(&dir.path().join("state"));
        assert_eq!(state.last(), None);
        state.create(&run("r-1")).expect("new");
        let error = state.create(&run("r-1")).expect_err("it is there");
        assert!(error.to_string().contains("rollout status r-1"), "{error}");
        assert_eq!(state.last().as_deref(), Some("r-1"));
        assert_eq!(state.names(), ["r-1"]);
        assert!(dir.path().join("state/.gitignore").exists());
    }

    #[test]
    fn an_abort_request_is_taken_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Dir::new(dir.path());
        let run = run("r-1");
        state.create(&run).expect("new");
        assert_eq!(state.take_abort(&run), None);
        state.request_abort(&run, "alice").expect("writable");
        assert_eq!(state.take_abort(&run).as_deref(), Some("alice"));
        assert_eq!(state.take_abort(&run), None);
    }

    #[test]
    fn rollbacks_are_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Dir::new(dir.path());
        let run = run("r-1");
        state.create(&run).expect("new");
        assert_eq!(state.rollbacks(&run), 0);
        for n in [1, 2] {
            fs::write(state.journal(&run, Part::Rollback(n)), "").expect("writable");
            assert_eq!(state.rollbacks(&run), n);
        }
    }

    #[test]
    fn what_was_taken_back_is_found_again_and_nothing_else_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Dir::new(dir.path());
        let taken = crate::hold::tests::taken;
        assert_eq!(state.all_taken_back().expect("readable"), []);
        state.take_back(&taken("production")).expect("writable");
        state.take_back(&taken("eu")).expect("writable");
        let production = "production".parse().expect("a name");
        assert_eq!(
            state.taken_back(&production).expect("readable"),
            Some(taken("production"))
        );
        assert_eq!(
            state
                .taken_back(&"staging".parse().expect("a name"))
                .expect("readable"),
            None
        );
        let names: Vec<String> = state
            .all_taken_back()
            .expect("readable")
            .iter()
            .map(|t| t.environment.to_string())
            .collect();
        assert_eq!(names, ["eu", "production"]);
        let files = fs::read_dir(dir.path().join("holds")).expect("readable").count();
        assert_eq!(files, 2, "a draft was left");
        state.forget(&production).expect("there");
        state.forget(&production).expect("said twice is harmless");
        assert_eq!(state.taken_back(&production).expect("readable"), None);
    }

    #[test]
    fn what_cannot_be_read_passes_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Dir::new(dir.path());
        state
            .take_back(&crate::hold::tests::taken("production"))
            .expect("writable");
        fs::write(dir.path().join("holds/production.json"), "{").expect("writable");
        let error = state
            .taken_back(&"production".parse().expect("a name"))
            .expect_err("damaged");
        assert!(
            format!("{error:#}").contains("holds/production.json"),
            "{error:#}"
        );
        assert!(state.all_taken_back().is_err());
    }
}
