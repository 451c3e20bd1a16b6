//! After a rollback by hand nothing new goes to the environment until a person says so.
//!
//! Somebody took the environment back because a release was wrong in a way that no gate had seen. The next pipeline run would
//! bring the same release again; so it is refused, by the name of who held it, when and why, until a person lifts the hold.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rollout_core::id::{EnvironmentName, RunId};
use rollout_core::plan::rollback::RollbackPolicy;
use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::exit::Exit;
use crate::runs::now;
use crate::view::report::Report;

/// That an environment was taken back, and whether it is held since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    /// The environment.
    pub(crate) environment: EnvironmentName,
    /// The run that was taken back.
    pub(crate) run: RunId,
    /// When.
    pub(crate) at: Timestamp,
    /// Who did it: a person and a machine, as far as they can be told.
    pub(crate) by: String,
    /// Why, in that person's words or the run's.
    pub(crate) why: String,
    /// Whether a person asked for it.
    pub(crate) by_hand: bool,
    /// Whether the environment is held since.
    pub(crate) held: bool,
    /// Who lifted the hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifted: Option<Lifted>,
}

/// A hold that was lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lifted {
    /// Who.
    pub(crate) by: String,
    /// When.
    pub(crate) at: Timestamp,
}

/// Where it is kept. Today in the state directory; whatever keeps journals for several machines can keep this, too.
pub(crate) trait Holds {
    /// What is known of an environment.
    fn of(&self, environment: &EnvironmentName) -> anyhow::Result<Option<TakenBack>>;
    /// What is known of every environment, by name.
    fn all(&self) -> anyhow::Result<Vec<TakenBack>>;
    /// Keeps it, all or nothing.
    fn keep(&self, taken: &TakenBack) -> anyhow::Result<()>;
    /// Forgets an environment: something else was released to it.
    fn forget(&self, environment: &EnvironmentName) -> anyhow::Result<()>;
}

/// One file an environment.
#[derive(Clone, Debug)]
pub(crate) struct HoldFiles {
    dir: PathBuf,
}

impl HoldFiles {
    /// In the state directory.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("holds"),
        }
    }

    fn file(&self, environment: &EnvironmentName) -> PathBuf {
        self.dir.join(format!("{environment}.json"))
    }

    fn read(file: &Path) -> anyhow::Result<Option<TakenBack>> {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        // What cannot be read may be a hold: nobody passes it unseen.
        let taken = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged, and may hold the environment; look at it, and remove it if nothing is held",
                file.display()
            )
        })?;
        Ok(Some(taken))
    }
}

impl Holds for HoldFiles {
    fn of(&self, environment: &EnvironmentName) -> anyhow::Result<Option<TakenBack>> {
        Self::read(&self.file(environment))
    }

    fn all(&self) -> anyhow::Result<Vec<TakenBack>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", self.dir.display())),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry?.path());
        }
        files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
        let mut all = Vec::new();
        for file in files {
            all.extend(Self::read(&file)?);
        }
        Ok(all)
    }

    fn keep(&self, taken: &TakenBack) -> anyhow::Result<()> {
        let file = self.file(&taken.environment);
        let wanted = || format!("cannot write {}", file.display());
        fs::create_dir_all(&self.dir).with_context(wanted)?;
        // Beside it first and then in its place, so that nobody ever reads half of it, whatever dies in between.
        let draft = self
            .dir
            .join(format!("{}.{}.draft", taken.environment, std::process::id()));
        let mut open = fs::File::create(&draft).with_context(wanted)?;
        open.write_all(&serde_json::to_vec_pretty(taken)?)
            .with_context(wanted)?;
        open.sync_all().with_context(wanted)?;
        fs::rename(&draft, &file).with_context(wanted)?;
        #[cfg(unix)]
        fs::File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .with_context(wanted)?;
        Ok(())
    }

    fn forget(&self, environment: &EnvironmentName) -> anyhow::Result<()> {
        let file = self.file(environment);
        match fs::remove_file(&file) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {}", file.display())),
        }
    }
}

impl TakenBack {
    /// A way back that begins or has ended now.
    pub(crate) fn now(
        environment: &EnvironmentName,
        run: &RunId,
        why: String,
        by_hand: bool,
        policy: &RollbackPolicy,
    ) -> Self {
        Self {
            environment: environment.clone(),
            run: run.clone(),
            at: now(),
            by: someone(),
            why,
            by_hand,
            held: policy.hold.holds(by_hand),
            lifted: None,
        }
    }

    /// Whether nothing new may go there.
    pub(crate) const fn is_held(&self) -> bool {
        self.held && self.lifted.is_none()
    }

    /// What happened, for people.
    pub(crate) fn told(&self) -> String {
        let how = if self.by_hand {
            format!("{} took run {} back by hand", self.by, self.run)
        } else {
            format!("run {} went back by itself ({})", self.run, self.by)
        };
        format!("{how} at {}: {}", self.at, self.why)
    }

    /// The commands that lead on.
    pub(crate) fn next(&self) -> Vec<String> {
        vec![
            format!(
                "rollout hold lift --env {}    lets releases in again, once what was wrong is mended",
                self.environment
            ),
            "rollout hold show    shows what is held".to_owned(),
        ]
    }

    /// Tells it at the end of what made it.
    pub(crate) fn tell(&self, report: &mut Report, global: &Global) {
        report.facts.push(format!(
            "{} is held: nothing new is released to it",
            self.environment
        ));
        let next = self.next();
        report
            .next
            .extend(next.iter().map(|command| global.again(command)));
    }

    /// The end of a command that would bring something new to a held environment.
    pub(crate) fn refusal(&self) -> Report {
        Report {
            name: "Refused",
            exit: Exit::Refused,
            summary: "nothing was touched".to_owned(),
            why: Some(format!("{} is held: {}", self.environment, self.told())),
            evidence: Vec::new(),
            facts: Vec::new(),
            next: self.next(),
            details: serde_json::json!({ "refused": { "held": self } }),
        }
    }

    /// What a release must know that goes over it: what it would go back to has been gone back to before.
    pub(crate) fn note(&self) -> String {
        format!(
            "note: {} runs what a rollback brought back: {}. If this release fails, it goes back to that; a rollback is never \
             rolled back",
            self.environment,
            self.told()
        )
    }
}

/// Who this is, as far as the machine tells: a person, where, and the job.
pub(crate) fn someone() -> String {
    crate::runner::resumption().by.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rollout_core::plan::rollback::Hold;

    use super::*;

    fn taken(environment: &str) -> TakenBack {
        TakenBack {
            environment: environment.parse().expect("a name"),
            run: "r-1".parse().expect("an id"),
            at: Timestamp::from_millis(1_763_683_200_000),
            by: "ann on laptop".to_owned(),
            why: "checkout is broken".to_owned(),
            by_hand: true,
            held: true,
            lifted: None,
        }
    }

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let holds = HoldFiles::new(dir.path());
        assert_eq!(holds.all().expect("readable"), []);
        holds.keep(&taken("production")).expect("writable");
        holds.keep(&taken("eu")).expect("writable");
        let production = "production".parse().expect("a name");
        assert_eq!(
            holds.of(&production).expect("readable"),
            Some(taken("production"))
        );
        assert_eq!(
            holds.of(&"staging".parse().expect("a name")).expect("readable"),
            None
        );
        let names: Vec<String> = holds
            .all()
            .expect("readable")
            .iter()
            .map(|t| t.environment.to_string())
            .collect();
        assert_eq!(names, ["eu", "production"]);
        let files = fs::read_dir(dir.path().join("holds")).expect("readable").count();
        assert_eq!(files, 2, "a draft was left");
        holds.forget(&production).expect("there");
        holds.forget(&production).expect("said twice is harmless");
        assert_eq!(holds.of(&production).expect("readable"), None);
    }

    #[test]
    fn what_cannot_be_read_passes_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let holds = HoldFiles::new(dir.path());
        holds.keep(&taken("production")).expect("writable");
        fs::write(dir.path().join("holds/production.json"), "{").expect("writable");
        let error = holds
            .of(&"production".parse().expect("a name"))
            .expect_err("damaged");
        assert!(
            format!("{error:#}").contains("holds/production.json"),
            "{error:#}"
        );
        assert!(holds.all().is_err());
    }

    #[test]
    fn it_is_held_until_it_is_lifted_and_names_who_when_why_and_the_remedy() {
        let mut one = taken("production");
        assert!(one.is_held());
        let report = one.refusal();
        assert_eq!(report.exit, Exit::Refused);
        let why = report.why.clone().expect("a reason");
        for says in [
            "production",
            "ann on laptop",
            "r-1",
            "2025-11-21",
            "checkout is broken",
        ] {
            assert!(why.contains(says), "{says}: {why}");
        }
        assert!(
            report.next[0].starts_with("rollout hold lift --env production"),
            "{report:?}"
        );
        one.lifted = Some(Lifted {
            by: "bob".to_owned(),
            at: one.at,
        });
        assert!(!one.is_held());
        assert!(one.note().contains("ann on laptop"), "{}", one.note());
    }

    #[test]
    fn the_policy_says_what_holds() {
        let policy = |hold| RollbackPolicy {
            hold,
            ..RollbackPolicy::default()
        };
        let held = |hold, by_hand| {
            let (environment, run) = (
                "production".parse().expect("a name"),
                "r-1".parse().expect("an id"),
            );
            TakenBack::now(&environment, &run, "no".to_owned(), by_hand, &policy(hold)).is_held()
        };
        assert!(held(Hold::ByHand, true) && !held(Hold::ByHand, false));
        assert!(held(Hold::Always, true) && held(Hold::Always, false));
        assert!(!held(Hold::Never, true) && !held(Hold::Never, false));
    }
}
