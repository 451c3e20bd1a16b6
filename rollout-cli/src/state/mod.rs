//! What must outlive the process: journals, leases, holds, requests to stop. In a directory of this machine, or in a bucket that several
//! machines share.

#![cfg_attr(
    not(feature = "aws"),
    expect(clippy::unused_async, reason = "a bucket is asked over the network")
)]

#[cfg(feature = "aws")]
mod bucket;
mod dir;
pub(crate) mod files;

use core::time::Duration;
use std::io::BufReader;
use std::sync::Arc;

use anyhow::bail;
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::journal::{Journal, Lines, read_lines};
use rollout_core::lease::{LeaseRecord, LeaseStore, Presence};
use rollout_core::port::Clock as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use dir::Dir;

use crate::args::Global;
#[cfg(feature = "aws")]
use crate::fleet::members::here;
use crate::hold::TakenBack;
#[cfg(feature = "aws")]
use crate::wall::real;
use crate::wall::{self, Wall};

/// Where it is kept.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// In a directory of this machine.
    Dir(Dir),
    /// In a bucket, and what is this machine's own in a directory.
    #[cfg(feature = "aws")]
    Bucket(Arc<bucket::Bucket>, Dir),
}

/// A place on the command line where no state can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misplaced(String);

/// Whether it is meant to be a bucket, or why it is no place at all.
fn is_bucket(given: &str) -> Result<bool, Misplaced> {
    if given.starts_with("s3://") {
        return Ok(true);
    }
    let where_then = "a state is kept in a directory or in a bucket, s3://BUCKET/PREFIX";
    let start = given.get(..4).unwrap_or_default().to_ascii_lowercase();
    if start.starts_with("s3:") || start == "s3//" {
        let rest = given[2..].trim_start_matches([':', '/']);
        return Err(Misplaced(format!(
            "{where_then}; if `{given}` is to be a bucket, write s3://{rest}, and if it is a directory, ./{given}"
        )));
    }
    match given.split_once("://") {
        Some(_) => Err(Misplaced(format!("{where_then}; `{given}` is neither"))),
        None => Ok(false),
    }
}

/// One run, and where its parts are.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) run: RunId,
    state: State,
}

/// One of a run's journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The release itself.
    Release,
    /// A rollback by hand, from 1.
    Rollback(u32),
}

impl Part {
    /// The name of its file, without an ending.
    fn name(self) -> String {
        match self {
            Self::Release => "journal".to_owned(),
            Self::Rollback(n) => format!("rollback-{n}"),
        }
    }
}

/// Whether a process is at a run's journal.
#[derive(Clone, Debug)]
pub(crate) enum Driven {
    /// Nobody is.
    No,
    /// One is; who, where that is known.
    By(Option<Box<LeaseRecord>>),
}

impl Driven {
    pub(crate) const fn is_driven(&self) -> bool {
        matches!(self, Self::By(_))
    }
}

/// What a journal to go on with is made of.
pub(crate) type Open<E, F> = Box<dyn Journal<E, F>>;

impl State {
    /// Opens what the command line names.
    ///
    /// # Errors
    /// When it is no place that this program can use.
    #[cfg_attr(
        not(feature = "aws"),
        expect(
            clippy::unused_async,
            reason = "opening a bucket reads the SDK's configuration"
        )
    )]
    pub(crate) async fn open(global: &Global) -> anyhow::Result<Self> {
        let given = global.state_dir.to_string_lossy();
        if !is_bucket(&given)? {
            if global.state_dir.exists() && !global.state_dir.is_dir() {
                bail!(Misplaced(format!(
                    "{given} is no directory, and no state can be kept in it"
                )));
            }
            return Ok(Self::Dir(Dir::new(&global.state_dir)));
        }
        #[cfg(feature = "aws")]
        return Ok(Self::Bucket(
            Arc::new(bucket::Bucket::open(global, &given).await?),
            Dir::new(&here(&global.state_dir)),
        ));
        #[cfg(not(feature = "aws"))]
        bail!(Misplaced(format!(
            "this `rollout` was built without AWS, and cannot keep its state in {given}: build it with the feature `aws`"
        )));
    }

    /// Where this machine keeps what is its own: the simulated cloud.
    pub(crate) fn here(&self) -> Dir {
        match self {
            Self::Dir(dir) => dir.clone(),
            #[cfg(feature = "aws")]
            Self::Bucket(_, here) => here.clone(),
        }
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Dir(dir) => dir.path().display().to_string(),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => bucket.place(),
        }
    }

    /// Makes the place of a new run, and remembers it as the last one.
    ///
    /// # Errors
    /// When the run was begun before, or its place cannot be made.
    pub(crate) async fn create(&self, run: &RunId) -> anyhow::Result<Kept> {
        match self {
            Self::Dir(dir) => dir.create(run)?,
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.create(run)).await?,
        }
        Ok(self.kept(run.clone()))
    }

    fn kept(&self, run: RunId) -> Kept {
        Kept {
            run,
            state: self.clone(),
        }
    }

    /// A run that was begun before: the named one, or the last.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn find(&self, run: Option<&str>) -> anyhow::Result<Kept> {
        let all = self.names().await?;
        let place = self.place();
        let name = match run {
            Some(run) => run.to_owned(),
            None => match self.last(&all) {
                Some(last) => last,
                None => bail!("there is no run in {place} yet: `rollout run` begins one"),
            },
        };
        let run = RunId::new(name)?;
        if !all.iter().any(|name| name == run.as_str()) {
            let known = crate::config::diagnostic::suggest(run.as_str(), all.iter().map(String::as_str));
            bail!("there is no run {run} in {place}; {}", known.unwrap_or_default());
        }
        Ok(self.kept(run))
    }

    /// Every run.
    ///
    /// # Errors
    /// When they cannot be listed, or something else is there.
    pub(crate) async fn all(&self) -> anyhow::Result<Vec<Kept>> {
        let names = self.names().await?.into_iter();
        names.map(|name| Ok(self.kept(RunId::new(name)?))).collect()
    }

    /// The run that was begun last. In a bucket its name tells: those that we give begin with the moment.
    fn last(&self, all: &[String]) -> Option<String> {
        match self {
            Self::Dir(dir) => dir.last().or_else(|| all.last().cloned()),
            #[cfg(feature = "aws")]
            Self::Bucket(..) => all.last().cloned(),
        }
    }

    /// A name for a new run: the moment and the release.
    ///
    /// # Errors
    /// When they do not make a run id, or the runs that are there cannot be listed.
    pub(crate) async fn fresh_name(&self, release: &str) -> anyhow::Result<RunId> {
        let stamp: String = wall::now()
            .to_string()
            .chars()
            .take(19)
            .filter(|c| !matches!(c, '-' | ':'))
            .collect();
        let base = format!("{}-{release}", stamp.replace('T', "-"));
        let base: String = base.chars().take(60).collect();
        let taken = self.names().await?;
        let numbered = (2..100).map(|n| format!("{base}-{n}"));
        let free = std::iter::once(base.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name));
        Ok(RunId::new(free.unwrap_or(base))?)
    }

    /// Every run, by name.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn names(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Dir(dir) => Ok(dir.names()),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.names()).await,
        }
    }

    /// Shows that this process lives, for as long as the answer does, where others can see that; see
    /// [`DirLeaseStore::presence`](rollout_core::lease::DirLeaseStore::presence).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn presence(&self, session: &str) -> anyhow::Result<Option<Presence>> {
        match self {
            Self::Dir(dir) => {
                dir.prepare()?;
                Ok(Some(dir.leases().presence(session)?))
            }
            #[cfg(feature = "aws")]
            Self::Bucket(..) => Ok(None),
        }
    }

    /// Where leases are.
    pub(crate) fn leases(&self) -> Arc<dyn LeaseStore> {
        match self {
            Self::Dir(dir) => Arc::new(dir.reaping()),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => Arc::new(bucket.leases()),
        }
    }

    /// What is known of an environment that was taken back.
    ///
    /// # Errors
    /// When it cannot be read: it may be a hold, which nobody passes unseen.
    pub(crate) async fn taken_back(
        &self,
        environment: &EnvironmentName,
    ) -> anyhow::Result<Option<TakenBack>> {
        match self {
            Self::Dir(dir) => dir.taken_back(environment),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.taken_back(environment)).await,
        }
    }

    /// The hold of an environment, if it is held.
    ///
    /// # Errors
    /// As [`State::taken_back`].
    pub(crate) async fn held(&self, environment: &EnvironmentName) -> anyhow::Result<Option<TakenBack>> {
        Ok(self.taken_back(environment).await?.filter(TakenBack::is_held))
    }

    /// What is known of every environment that was taken back, by name.
    ///
    /// # Errors
    /// As [`State::taken_back`].
    pub(crate) async fn all_taken_back(&self) -> anyhow::Result<Vec<TakenBack>> {
        match self {
            Self::Dir(dir) => dir.all_taken_back(),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.all_taken_back()).await,
        }
    }

    /// Keeps it, all or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn take_back(&self, taken: &TakenBack) -> anyhow::Result<()> {
        match self {
            Self::Dir(dir) => dir.take_back(taken),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.take_back(taken)).await,
        }
    }

    /// Forgets that an environment was taken back: something else was released to it.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) async fn forget(&self, environment: &EnvironmentName) -> anyhow::Result<()> {
        match self {
            Self::Dir(dir) => dir.forget(environment),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.forget(environment)).await,
        }
    }

    /// Every lease that is there.
    async fn all_leases(&self) -> anyhow::Result<Vec<LeaseRecord>> {
        match self {
            Self::Dir(dir) => Ok(dir.leases().all()?),
            #[cfg(feature = "aws")]
            Self::Bucket(bucket, _) => real(bucket.all_leases()).await,
        }
    }
}

impl Kept {
    /// How a journal is named to people.
    pub(crate) fn place(&self, part: Part) -> String {
        match &self.state {
            State::Dir(dir) => dir.journal(&self.run, part).display().to_string(),
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => bucket.journal_place(&self.run, part),
        }
    }

    /// Its journals, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(crate) async fn parts(&self) -> anyhow::Result<Vec<Part>> {
        let rollbacks = match &self.state {
            State::Dir(dir) => dir.rollbacks(&self.run),
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => real(bucket.rollbacks(&self.run)).await?,
        };
        Ok(core::iter::once(Part::Release)
            .chain((1..=rollbacks).map(Part::Rollback))
            .collect())
    }

    /// The journal that was begun last.
    ///
    /// # Errors
    /// As [`Kept::parts`].
    pub(crate) async fn latest(&self) -> anyhow::Result<Part> {
        Ok(self.parts().await?.pop().unwrap_or(Part::Release))
    }

    /// A journal's text as it is, also while it is written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn text(&self, part: Part) -> anyhow::Result<Vec<u8>> {
        match &self.state {
            State::Dir(dir) => dir.text(&self.run, part),
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => real(bucket.text(&self.run, part)).await,
        }
    }

    /// A journal's records, also while it is written.
    ///
    /// # Errors
    /// When it cannot be read, or is not whole.
    pub(crate) async fn read<E, F>(&self, part: Part) -> anyhow::Result<Lines<E, F>>
    where
        E: DeserializeOwned,
        F: DeserializeOwned,
    {
        let text = self.text(part).await?;
        Ok(read_lines(BufReader::new(&text[..]), &self.place(part))?)
    }

    /// Begins a journal.
    ///
    /// # Errors
    /// When there is one of this name, or it cannot be made.
    pub(crate) async fn begin<E, F>(&self, part: Part) -> anyhow::Result<Open<E, F>>
    where
        E: Serialize + Sync,
        F: Serialize + Sync,
    {
        match &self.state {
            State::Dir(dir) => Ok(Box::new(dir.begin(&self.run, part)?)),
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => Ok(Box::new(bucket.begin(&self.run, part).await?)),
        }
    }

    /// Opens a journal to go on with it: nobody else writes to it from here on, and a torn record at its end is gone.
    ///
    /// # Errors
    /// As [`Kept::read`], and when another process writes to it.
    pub(crate) async fn reopen<E, F>(&self, part: Part) -> anyhow::Result<(Open<E, F>, Lines<E, F>)>
    where
        E: DeserializeOwned + Serialize + Sync,
        F: DeserializeOwned + Serialize + Sync,
    {
        match &self.state {
            State::Dir(dir) => {
                let opened = dir.reopen(&self.run, part)?;
                Ok((Box::new(opened.journal), opened.lines))
            }
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => {
                let (journal, lines) = bucket.reopen(&self.run, part).await?;
                Ok((Box::new(journal), lines))
            }
        }
    }

    /// Whether a process is at a journal, and who.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(crate) async fn driven(&self, part: Part) -> anyhow::Result<Driven> {
        let ours = |lease: &LeaseRecord| lease.holder.as_ref().is_some_and(|holder| holder.run == self.run);
        let mut leases = self.state.all_leases().await?;
        leases.retain(ours);
        let lease = leases.pop().map(Box::new);
        match &self.state {
            // The lock on the file tells of every process of this machine, whatever became of its lease.
            State::Dir(dir) => Ok(if dir.is_held(&self.run, part)? {
                Driven::By(lease)
            } else {
                Driven::No
            }),
            #[cfg(feature = "aws")]
            State::Bucket(..) => Ok(match lease {
                Some(lease) if wall::now() < lease.until => Driven::By(Some(lease)),
                Some(_) | None => Driven::No,
            }),
        }
    }

    /// Whether a process writes to a journal although we hold the lease: one of this machine that was replaced and has not found out.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(crate) fn is_locked(&self, part: Part) -> anyhow::Result<bool> {
        match &self.state {
            State::Dir(dir) => Ok(dir.is_held(&self.run, part)?),
            // Nobody can be kept from writing there; the first record of whoever goes on with the run fences the other.
            #[cfg(feature = "aws")]
            State::Bucket(..) => Ok(false),
        }
    }

    /// Asks the process that drives this run to stop.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub(crate) async fn request_abort(&self, by: &str) -> anyhow::Result<()> {
        match &self.state {
            State::Dir(dir) => dir.request_abort(&self.run, by),
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => real(bucket.request_abort(&self.run, by)).await,
        }
    }

    /// Returns when another process asks for a stop from here on, and says who. What was asked of a process that is gone is not heard.
    pub(crate) async fn asked_to_stop(&self, wall: &Wall) -> String {
        // Whoever asks lives in real time.
        let pause = async |span| wall.sleep_until(wall::now().after(span)).await;
        match &self.state {
            State::Dir(dir) => {
                dir.take_abort(&self.run);
                loop {
                    pause(Duration::from_millis(100)).await;
                    if let Some(by) = dir.take_abort(&self.run) {
                        return by;
                    }
                }
            }
            #[cfg(feature = "aws")]
            State::Bucket(bucket, _) => {
                // A look that fails is made again: whoever asks to stop can press Ctrl-C, too.
                let look = async || real(bucket.abort(&self.run)).await.ok().flatten();
                let stale = look().await;
                loop {
                    // Each is a call.
                    pause(Duration::from_secs(3)).await;
                    if let Some(asked) = look().await
                        && stale.as_ref() != Some(&asked)
                    {
                        return asked.by;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_or_a_bucket_or_said_to_be_neither() {
        assert_eq!(is_bucket("s3://shop/state"), Ok(true));
        for directory in [
            ".rollout",
            "/var/state",
            "s3",
            "s3x",
            "s3/x",
            "./s3:",
            "C:\\state",
            "",
        ] {
            assert_eq!(is_bucket(directory), Ok(false), "{directory}");
        }
        for (bad, better) in [
            ("s3//x", "s3://x"),
            ("s3:/bucket", "s3://bucket"),
            ("S3://bucket/a", "s3://bucket/a"),
            ("ftp://x", "`ftp://x` is neither"),
        ] {
            let why = is_bucket(bad).expect_err(bad).to_string();
            assert!(why.contains(better), "{why}");
        }
    }
}
