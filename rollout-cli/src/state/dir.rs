//! Where runs keep what must outlive the process: one directory a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use rollout_core::id::RunId;
use rollout_core::time::Timestamp;

/// The state directory.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    dir: PathBuf,
}

/// One run's directory.
#[derive(Clone, Debug)]
pub(crate) struct RunDir {
    pub(crate) run: RunId,
    dir: PathBuf,
}

impl Runs {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
        }
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

    /// Makes the directory of a new run and remembers it as the last one.
    ///
    /// # Errors
    /// When the run was begun before, or the directory cannot be made.
    pub(crate) fn create(&self, run: &RunId) -> anyhow::Result<RunDir> {
        self.prepare()?;
        let dir = self.dir.join("runs").join(run.as_str());
        fs::create_dir_all(self.dir.join("runs")).context("cannot make the directory of runs")?;
        match fs::create_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("there is a run {run} already; `rollout status {run}` shows it")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", dir.display())),
        }
        fs::write(self.last_file(), run.as_str()).context("cannot note the last run")?;
        Ok(RunDir {
            run: run.clone(),
            dir,
        })
    }

    /// A run that was begun before: the named one, or the last.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn find(&self, run: Option<&str>) -> anyhow::Result<RunDir> {
        let name = match run {
            Some(run) => run.to_owned(),
            None => match fs::read_to_string(self.last_file()) {
                Ok(name) => name.trim().to_owned(),
                Err(_) => bail!(
                    "there is no run in {} yet: `rollout run` begins one",
                    self.dir.display()
                ),
            },
        };
        let run = RunId::new(name)?;
        let dir = self.dir.join("runs").join(run.as_str());
        if !dir.is_dir() {
            let all = self.names();
            let known = crate::config::diagnostic::suggest(run.as_str(), all.iter().map(String::as_str));
            bail!(
                "there is no run {run} in {}; {}",
                self.dir.display(),
                known.unwrap_or_default()
            );
        }
        Ok(RunDir { run, dir })
    }

    /// A name for a new run: the moment and the release.
    ///
    /// # Errors
    /// When they do not make a run id.
    pub(crate) fn fresh_name(&self, release: &str) -> anyhow::Result<RunId> {
        let stamp: String = now()
            .to_string()
            .chars()
            .take(19)
            .filter(|c| !matches!(c, '-' | ':'))
            .collect();
        let base = format!("{}-{release}", stamp.replace('T', "-"));
        let base: String = base.chars().take(60).collect();
        let taken = |name: &str| self.dir.join("runs").join(name).exists();
        let numbered = (2..100).map(|n| format!("{base}-{n}"));
        let free = std::iter::once(base.clone())
            .chain(numbered)
            .find(|name| !taken(name));
        Ok(RunId::new(free.unwrap_or(base))?)
    }

    /// Every run, by name.
    pub(crate) fn names(&self) -> Vec<String> {
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
}

impl RunDir {
    /// The journal of the run itself.
    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("journal.jsonl")
    }

    /// The journals of the rollbacks asked for by hand, first to last.
    pub(crate) fn rollbacks(&self) -> Vec<PathBuf> {
        (1..)
            .map(|n| self.rollback(n))
            .take_while(|path| path.exists())
            .collect()
    }

    /// The journal that was begun last.
    pub(crate) fn latest(&self) -> PathBuf {
        self.rollbacks().pop().unwrap_or_else(|| self.journal())
    }

    /// A journal for one more rollback.
    pub(crate) fn next_rollback(&self) -> PathBuf {
        self.rollback(self.rollbacks().len() + 1)
    }

    fn rollback(&self, n: usize) -> PathBuf {
        self.dir.join(format!("rollback-{n}.jsonl"))
    }

    /// The request of another process to stop.
    fn abort_file(&self) -> PathBuf {
        self.dir.join("abort")
    }

    /// Asks the process that drives this run to stop.
    pub(crate) fn request_abort(&self) -> anyhow::Result<()> {
        fs::write(self.abort_file(), "").context("cannot write the request")
    }

    /// Takes the request, if there is one.
    pub(crate) fn take_abort(&self) -> bool {
        fs::remove_file(self.abort_file()).is_ok()
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_begun_once_and_found_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let runs = Runs::new(&dir.path().join("state"));
        let error = runs.find(None).expect_err("there is none");
        assert!(error.to_string().contains("rollout run"), "{error}");
        let run = RunId::new("r-1").expect("valid");
        let made = runs.create(&run).expect("new");
        assert!(runs.create(&run).is_err());
        assert_eq!(runs.find(None).expect("the last").journal(), made.journal());
        let error = runs.find(Some("r-2")).expect_err("there is none");
        assert!(error.to_string().contains("did you mean `r-1`?"), "{error}");
        assert!(dir.path().join("state/.gitignore").exists());
    }

    #[test]
    fn an_abort_request_is_taken_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = Runs::new(dir.path())
            .create(&RunId::new("r-1").expect("valid"))
            .expect("new");
        assert!(!made.take_abort());
        made.request_abort().expect("writable");
        assert!(made.take_abort());
        assert!(!made.take_abort());
    }

    #[test]
    fn fresh_names_do_not_collide() {
        let dir = tempfile::tempdir().expect("a directory");
        let runs = Runs::new(dir.path());
        let one = runs.fresh_name("2.4.0").expect("a valid id");
        runs.create(&one).expect("new");
        let two = runs.fresh_name("2.4.0").expect("a valid id");
        assert_ne!(one, two);
        assert!(one.as_str().ends_with("-2.4.0"), "{one}");
    }

    #[test]
    fn rollbacks_are_numbered() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = Runs::new(dir.path())
            .create(&RunId::new("r-1").expect("valid"))
            .expect("new");
        let first = made.next_rollback();
        fs::write(&first, "").expect("writable");
        assert_ne!(made.next_rollback(), first);
        assert_eq!(made.rollbacks(), [first]);
    }
}
