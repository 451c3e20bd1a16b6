//! The members' runs: this very program, a process for each.
//!
//! A member is released by `rollout run`, gone on with by `rollout resume`, stopped by `rollout abort` and taken back by `rollout rollback`, as a
//! person would, with its own configuration, lease, journal and hold. What it came to is the last line of its JSON.

use core::time::Duration;
#[cfg(feature = "aws")]
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use rollout_core::context::OpContext;
use rollout_core::driver::MemberRuns;
use rollout_core::error::{Applied, Error, ErrorKind, Retry};
use rollout_core::evidence::{Cause, Reason, Stuck, StuckReason};
use rollout_core::id::{MemberName, RunId};
use rollout_core::machine::fleet::{BackEnd, End};
use rollout_core::machine::rollout::LeftAt;
use rollout_core::machine::{rollout, unwind};
use rollout_core::port::Clock as _;
use serde_json::Value;
use tokio::process::Command;

use super::FleetFile;
use super::file::member_run;
use crate::args::{self, Global};
use crate::exit::Exit;
use crate::wall::{self, Wall};

/// Between two looks at a run that another process drives.
const LOOK: Duration = Duration::from_secs(2);

/// The members of one fleet's run.
pub(crate) struct Processes {
    pub(crate) global: Global,
    pub(crate) file: FleetFile,
    pub(crate) run: RunId,
    pub(crate) release: String,
    pub(crate) wall: Wall,
}

/// How one command ended.
struct Said {
    code: Option<i32>,
    /// The last line of JSON.
    last: Value,
}

impl Said {
    fn is(&self, exit: Exit) -> bool {
        self.code == Some(i32::from(exit.number()))
    }

    fn kind(&self) -> &str {
        self.last["kind"].as_str().unwrap_or_default()
    }

    /// The outcome, if it is one of this kind.
    fn outcome<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        (self.kind() == "outcome").then(|| T::deserialize(&self.last["details"]).ok())?
    }

    fn why(&self) -> String {
        let text = |key: &str| self.last[key].as_str().map(str::to_owned);
        text("why")
            .or_else(|| text("error"))
            .or_else(|| text("message"))
            .or_else(|| text("text"))
            .unwrap_or_else(|| format!("it ended with exit code {:?} and said nothing", self.code))
    }

    /// The failure that it is. A usage error has asked no cloud.
    fn error(&self, verb: &str) -> Error {
        let operation = format!("rollout {verb}");
        if self.is(Exit::Usage) {
            return Error::new(ErrorKind::InvalidRequest, operation, self.why());
        }
        Error::new(ErrorKind::Unavailable, operation, self.why()).applied(Applied::Maybe)
    }
}

/// Where a member keeps what must outlive its process. On AWS that is shared with every other run, so that its lease keeps others out; a
/// simulated cloud is each member's own.
pub(super) fn state_dir(global: &Global, member: &MemberName) -> PathBuf {
    match global.cloud {
        args::Cloud::Aws => global.state_dir.clone(),
        args::Cloud::Sim => global.state_dir.join(MEMBERS).join(member.as_str()),
    }
}

/// The folder of the members whose clouds are simulated.
const MEMBERS: &str = "members";

/// Where this machine keeps a simulated cloud whose state is in a bucket: that of a fleet's member apart from the others'.
#[cfg(feature = "aws")]
pub(crate) fn here(state_dir: &Path) -> PathBuf {
    let here = PathBuf::from(args::STATE_DIR);
    let folder = state_dir.parent().and_then(Path::file_name);
    match state_dir.file_name() {
        Some(member) if folder.is_some_and(|folder| folder == MEMBERS) => here.join(MEMBERS).join(member),
        _ => here,
    }
}

/// A command that is proposed to people, complete: about the fleet itself, or about the run of a member, which is kept elsewhere.
pub(crate) fn again(global: &Global, run: &RunId, command: &str) -> String {
    let member = command
        .strip_prefix("rollout status ")
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|named| named.strip_prefix(run.as_str())?.strip_prefix('.'))
        .and_then(|member| MemberName::new(member).ok());
    match member {
        Some(member) => {
            let state_dir = state_dir(global, &member);
            let there = Global {
                state_dir,
                ..global.clone()
            };
            there.again(command)
        }
        None => global.again(command),
    }
}

impl Processes {
    fn command(&self, member: &MemberName, verb: &[&str]) -> Result<Command, Error> {
        let none = || {
            Error::new(
                ErrorKind::NotFound,
                "rollout fleet",
                format!("there is no member {member}"),
            )
        };
        let files = self.file.member(member).ok_or_else(none)?;
        let program = std::env::current_exe().map_err(|error| {
            Error::new(
                ErrorKind::Unexpected,
                "rollout fleet",
                "this program cannot be found",
            )
            .caused_by(error)
        })?;
        let mut command = Command::new(program);
        command
            .args(verb)
            .args(["--json", "--cloud", &self.global.cloud.to_string(), "--config"])
            .arg(&files.config)
            .arg("--state-dir")
            .arg(state_dir(&self.global, member))
            .env_remove("ROLLOUT_OVERLAY")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            // Whoever leaves at once leaves the members where they are, too.
            .kill_on_drop(true);
        // A member is told to stop by its fleet, and not by the terminal.
        #[cfg(unix)]
        command.process_group(0);
        for overlay in &files.overlays {
            command.arg("--overlay").arg(overlay);
        }
        if let Some(url) = &self.global.endpoint_url {
            command.arg("--endpoint-url").arg(url);
        }
        Ok(command)
    }

    /// Runs one command to its end.
    async fn say(&self, member: &MemberName, verb: &[&str], more: &[String]) -> Result<Said, Error> {
        let name = verb.first().copied().unwrap_or_default();
        let mut command = self.command(member, verb)?;
        let output = command.args(more).output().await.map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("rollout {name}"),
                "it cannot be started",
            )
            .caused_by(error)
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok());
        Ok(Said {
            code: output.status.code(),
            last: last.unwrap_or_default(),
        })
    }

    /// What the simulated cloud is told of a member's first command.
    fn simulated(&self, member: &MemberName) -> Vec<String> {
        let sim = &self.global.sim;
        let mut given = vec!["--sim-seed".to_owned(), sim.seed.to_string()];
        if let Some(speed) = sim.speed {
            given.extend(["--sim-speed".to_owned(), speed.to_string()]);
        }
        if sim.reset {
            given.push("--sim-reset".to_owned());
        }
        for incident in &sim.incidents {
            let (whose, what) = incident.split_once('/').unwrap_or((member.as_str(), incident));
            if whose == member.as_str() {
                given.extend(["--sim-incident".to_owned(), what.to_owned()]);
            }
        }
        given
    }

    /// The end of a run that came to one.
    fn end(said: &Said, verb: &str) -> Result<End, Error> {
        if let Some(outcome) = said.outcome::<rollout::Outcome>() {
            return Ok(outcome.into());
        }
        // Refused before a cloud was asked: held, or another runner's.
        if said.kind() == "outcome" && said.is(Exit::Refused) {
            let why = Box::new(Reason::new(Cause::CallFailed, said.why()));
            return Ok(End::Refused { why });
        }
        Err(said.error(verb))
    }

    /// Goes on with a run that nobody drives, or waits for whoever does.
    async fn go_on(&self, member: &MemberName, run: &str, stop: bool) -> Result<Option<End>, Error> {
        loop {
            let status = self.say(member, &["status", run], &[]).await?;
            match (status.kind(), status.last["status"].as_str()) {
                ("outcome", _) => return Self::end(&status, "status").map(Some),
                ("status", Some("under_way")) => {
                    if stop {
                        self.say(member, &["abort", run], &[]).await?;
                    }
                    self.wall.sleep_until(wall::now().after(LOOK)).await;
                }
                ("status", _) if stop => {
                    let said = self.say(member, &["rollback", run, "--automatic"], &[]).await?;
                    return Self::end(&said, "rollback").map(Some);
                }
                ("status", _) => {
                    let said = self.say(member, &["resume", run], &[]).await?;
                    return Self::end(&said, "resume").map(Some);
                }
                _ => return Ok(None),
            }
        }
    }
}

#[async_trait]
impl MemberRuns for Processes {
    async fn begin(&self, _: &OpContext, member: &MemberName) -> Result<End, Error> {
        let mut more = self.simulated(member);
        more.extend(["--run".to_owned(), member_run(&self.run, member)]);
        more.extend(["--release".to_owned(), self.release.clone()]);
        let said = self.say(member, &["run"], &more).await?;
        Self::end(&said, "run")
    }

    async fn resume(&self, ctx: &OpContext, member: &MemberName, stop: bool) -> Result<End, Error> {
        if let Some(end) = self.go_on(member, &member_run(&self.run, member), stop).await? {
            return Ok(end);
        }
        if stop {
            let left_at = LeftAt::Untouched;
            return Ok(End::Aborted { left_at });
        }
        self.begin(ctx, member).await
    }

    async fn stop(&self, _: &OpContext, member: &MemberName) -> Result<(), Error> {
        let said = self
            .say(member, &["abort", &member_run(&self.run, member)], &[])
            .await?;
        if said.is(Exit::Done) {
            return Ok(());
        }
        // It has not come to its journal yet, or is done: it is asked again, and its end is what counts.
        Err(said.error("abort").applied(Applied::No).retry(Retry::Later))
    }

    async fn take_back(&self, _: &OpContext, member: &MemberName) -> Result<BackEnd, Error> {
        let run = member_run(&self.run, member);
        let mut said = self.say(member, &["rollback", &run, "--automatic"], &[]).await?;
        if said.kind() == "error" {
            // One was begun, and its process is gone.
            said = self.say(member, &["resume", &run], &[]).await?;
        }
        if let Some(outcome) = said.outcome::<unwind::Outcome>() {
            return Ok(outcome.into());
        }
        if said.kind() != "outcome" || !said.is(Exit::Refused) {
            return Err(said.error("rollback"));
        }
        if said.last["details"]["refused"]["back"] == true {
            return Ok(BackEnd::AtLastKnownGood);
        }
        Ok(BackEnd::Stuck(Box::new(Stuck {
            reason: StuckReason::RollbackFailed,
            text: said.why(),
            evidence: Vec::new(),
            next: vec![format!("rollout status {run}")],
        })))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn given(options: &[&str]) -> Global {
        let command = ["rollout", "fleet", "status"];
        Cli::parse_from(command.iter().chain(options)).global
    }

    #[test]
    fn what_is_proposed_about_a_member_names_where_its_run_is_kept() {
        let run = RunId::new("f-1").expect("a name");
        let sim = given(&["--cloud", "sim", "--state-dir", "kept"]);
        let said = again(&sim, &run, "rollout status f-1.b    shows it");
        assert!(said.starts_with("rollout status f-1.b "), "{said}");
        assert!(
            said.ends_with(" --state-dir kept/members/b    shows it"),
            "{said}"
        );
        let said = again(&sim, &run, "rollout fleet status f-1");
        assert!(said.ends_with(" --state-dir kept"), "{said}");
        let said = again(&given(&["--cloud", "sim"]), &run, "rollout status f-1.b");
        assert!(said.ends_with(" --state-dir .rollout/members/b"), "{said}");
        let shared = given(&["--cloud", "aws", "--state-dir", "kept"]);
        let said = again(&shared, &run, "rollout status f-1.b");
        assert!(said.ends_with(" --state-dir kept"), "{said}");
    }

    #[cfg(feature = "aws")]
    #[test]
    fn members_in_a_bucket_have_a_simulated_cloud_each() {
        let own = |place: &str| here(Path::new(place)).to_string_lossy().into_owned();
        assert_eq!(own("s3://b/shop/members/api"), ".rollout/members/api");
        assert_eq!(own("s3://b/shop"), ".rollout");
        assert_eq!(own("s3://b"), ".rollout");
    }
}
