//! The steps of a task: each is announced, timed, and listed at the end.

use std::fs::{self, File};
use std::io::{Write as _, stderr};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::shown;
use crate::emulator::Skipped;

/// The exit code of a task that the machine lacks something for.
pub(crate) const SKIPPED: u8 = 3;

/// How a step ended.
#[derive(Debug)]
enum End {
    Passed,
    /// The machine lacks something, named here.
    Skipped(String),
    Failed,
}

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, End, Duration)>,
}

impl Steps {
    /// Runs one step. A failure is told at once, and the next step runs all the same, so that one call shows everything.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        let begun = Instant::now();
        let end = match step() {
            Ok(()) => End::Passed,
            Err(error) => match error.downcast_ref::<Skipped>() {
                Some(skipped) => {
                    eprintln!("skipped: {skipped}");
                    End::Skipped(skipped.to_string())
                }
                None => {
                    eprintln!("error: {error:#}");
                    End::Failed
                }
            },
        };
        self.done.push((name.to_owned(), end, begun.elapsed()));
    }

    /// Lists the steps. The exit code is a failure if one of them failed.
    pub(crate) fn finish(self) -> ExitCode {
        eprintln!();
        let mut code = ExitCode::SUCCESS;
        for (name, end, took) in self.done {
            let took = took.as_secs_f64();
            match end {
                End::Passed => eprintln!("passed  {took:>7.1} s  {name}"),
                End::Skipped(why) => eprintln!("skipped {took:>7.1} s  {name}: {why}"),
                End::Failed => {
                    eprintln!("FAILED  {took:>7.1} s  {name}");
                    code = ExitCode::FAILURE;
                }
            }
        }
        code
    }
}

/// A command that goes on beside other steps. Dropping it kills it.
pub(crate) struct Beside<'a> {
    name: &'a str,
    log: &'a Path,
    child: Child,
    shown: String,
    begun: Instant,
}

impl<'a> Beside<'a> {
    /// Begins a command that goes on beside the next steps. What it prints goes into a file, so that it does not mix with theirs;
    /// [`end`](Self::end) shows it.
    ///
    /// # Errors
    /// When the file cannot be written or the command cannot be run.
    pub(crate) fn begin(name: &'a str, command: &mut Command, log: &'a Path) -> Result<Self> {
        eprintln!(
            "\n== {name}: begun, beside what follows; prints into {}",
            log.display()
        );
        let shown = shown(command);
        let file = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let both = file.try_clone().context("a file cannot be shared")?;
        let child = command.stdout(file).stderr(both).spawn();
        Ok(Self {
            name,
            log,
            child: child.with_context(|| format!("`{shown}` cannot be run"))?,
            shown,
            begun: Instant::now(),
        })
    }

    /// Waits for its end, shows what it printed, and makes it a step.
    pub(crate) fn end(mut self, steps: &mut Steps) {
        let ended = self.child.wait();
        let took = self.begun.elapsed();
        steps.run(self.name, || {
            let said =
                fs::read(self.log).with_context(|| format!("{} cannot be read", self.log.display()))?;
            stderr().write_all(&said).context("it cannot be shown")?;
            let status = ended.with_context(|| format!("`{}` was lost", self.shown))?;
            if status.code() == Some(i32::from(SKIPPED)) {
                bail!(Skipped("its last line says why".to_owned()));
            }
            ensure!(status.success(), "`{}`: {status}", self.shown);
            Ok(())
        });
        if let Some((_, _, all)) = steps.done.last_mut() {
            *all = took;
        }
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_skipped_step_is_no_failure_and_a_failed_one_is() {
        let mut steps = Steps::default();
        steps.run("a", || Ok(()));
        steps.run("b", || Err(Skipped("no Python".into()).into()));
        assert_eq!(steps.finish(), ExitCode::SUCCESS);

        let mut steps = Steps::default();
        steps.run("a", || Err(anyhow!("broken")));
        steps.run("b", || Ok(()));
        assert_eq!(steps.done.len(), 2);
        assert_eq!(steps.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn what_goes_on_beside_others_is_a_step_at_its_end() {
        let log = std::env::temp_dir().join(format!("rollout-beside-{}", std::process::id()));
        let mut steps = Steps::default();
        let of = |code: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", code]);
            command
        };
        let beside = Beside::begin("a", &mut of("echo said; exit 0"), &log).expect("it begins");
        steps.run("b", || Ok(()));
        beside.end(&mut steps);
        assert_eq!(fs::read_to_string(&log).expect("kept"), "said\n");
        assert_eq!(steps.finish(), ExitCode::SUCCESS);

        for (code, end) in [("exit 3", ExitCode::SUCCESS), ("exit 4", ExitCode::FAILURE)] {
            let mut steps = Steps::default();
            let beside = Beside::begin("a", &mut of(code), &log).expect("it begins");
            beside.end(&mut steps);
            assert_eq!(steps.finish(), end, "{code}");
        }
        fs::remove_file(&log).expect("it was there");
    }
}
