//! The steps of a task: each is announced, timed, and listed at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::emulator::Skipped;

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
}
