//! Runs tests with one mutant awake.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// A built test program, and which of its tests to run.
#[derive(Clone, Debug)]
pub(super) struct Tests {
    pub(super) program: PathBuf,
    /// The package's folder, where cargo would run it.
    pub(super) folder: PathBuf,
    pub(super) args: Vec<String>,
}

/// What the tests said of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A test failed: this one.
    Caught(String),
    /// They were not done in time: it is told from the code as it is.
    TimedOut,
    Survived,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It does not compile.
    Unviable,
    Ran(Verdict),
}

/// Memory that a test program may take: a mutant may want more and more of it.
const KIBIBYTES: u32 = 4 * 1024 * 1024;

impl Tests {
    /// Runs them until one fails.
    pub(super) fn run(&self, mutant: Option<usize>, within: Duration) -> Result<Verdict> {
        self.listen(mutant, within, |_, _| {})
    }

    /// Each test with the time that it takes, without a mutant.
    pub(super) fn times(&self) -> Result<Vec<(String, Duration)>> {
        let mut times = Vec::new();
        let mut since = Instant::now();
        let verdict = self.listen(None, Duration::from_secs(600), |test, at| {
            times.push((test.to_owned(), at.duration_since(since)));
            since = at;
        })?;
        ensure!(
            verdict == Verdict::Survived,
            "without a mutant the tests do not pass: {verdict:?}"
        );
        Ok(times)
    }

    /// Runs them until one fails; who listens is told which have passed, and when.
    fn listen(
        &self,
        mutant: Option<usize>,
        within: Duration,
        mut passed: impl FnMut(&str, Instant),
    ) -> Result<Verdict> {
        let mut child = self
            .command(mutant)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.program.display()))?;
        let out = child.stdout.take().context("it has no output")?;
        let (lines, said) = channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if lines.send((line, Instant::now())).is_err() {
                    return;
                }
            }
        });
        let until = Instant::now() + within;
        let verdict = loop {
            match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((line, at)) => match ended(&line) {
                    Some((test, true)) => passed(test, at),
                    Some((test, false)) => break Some(Verdict::Caught(test.to_owned())),
                    None => {}
                },
                Err(RecvTimeoutError::Timeout) => break Some(Verdict::TimedOut),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        drop(said);
        if verdict.is_some() {
            // It may have ended by itself in the meantime.
            let _ = child.kill();
        }
        let status = child.wait().context("it cannot be waited for")?;
        let _ = reader.join();
        Ok(match verdict {
            Some(verdict) => verdict,
            None if status.success() => Verdict::Survived,
            None => Verdict::Caught(format!("the program itself: {status}")),
        })
    }

    fn command(&self, mutant: Option<usize>) -> Command {
        let mut command = Command::new("sh");
        command
            .current_dir(&self.folder)
            .args(["-c", &format!("ulimit -v {KIBIBYTES}; exec \"$@\""), "sh"])
            .arg(&self.program)
            .args(&self.args)
            .arg("--test-threads=1")
            .env("CARGO_MANIFEST_DIR", &self.folder)
            // The same random cases for every mutant; a found one is enough, small or not.
            .env("PROPTEST_RNG_SEED", "1")
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        match mutant {
            Some(number) => command.env("ROLLOUT_MUTANT", number.to_string()),
            None => command.env_remove("ROLLOUT_MUTANT"),
        };
        command
    }
}

/// The name in a line such as `test machine::a ... FAILED`, and whether it has passed.
fn ended(line: &str) -> Option<(&str, bool)> {
    let (test, how) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    match how {
        "ok" => Some((test, true)),
        "FAILED" => Some((test, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_test_has_ended_is_read_from_its_line() {
        assert_eq!(ended("test a::b ... FAILED"), Some(("a::b", false)));
        assert_eq!(ended("test a::b ... ok"), Some(("a::b", true)));
        assert_eq!(ended("test a::b ... ignored, slow"), None);
        assert_eq!(ended("test result: FAILED. 1 passed; 1 failed"), None);
    }

    fn program(script: &str) -> Tests {
        Tests {
            program: "sh".into(),
            folder: std::env::temp_dir(),
            args: vec!["-c".into(), script.into()],
        }
    }

    #[test]
    fn what_the_tests_say_is_the_verdict() {
        let run = |script: &str| {
            program(script)
                .run(Some(3), Duration::from_secs(20))
                .expect("sh is there")
        };
        assert_eq!(
            run("test $ROLLOUT_MUTANT = 3 && echo test a ... ok"),
            Verdict::Survived
        );
        assert_eq!(run("echo test a ... FAILED; exit 1"), Verdict::Caught("a".into()));
        assert!(matches!(run("exit 1"), Verdict::Caught(_)));
    }

    #[test]
    fn the_tests_are_timed_in_their_order() {
        let times = program("echo test a ... ok; echo test b ... ok").times();
        let names: Vec<_> = times
            .expect("they pass")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert!(program("echo test a ... FAILED").times().is_err());
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        let verdict = program("exec sleep 30").run(None, Duration::ZERO);
        assert_eq!(verdict.expect("sh is there"), Verdict::TimedOut);
    }
}
