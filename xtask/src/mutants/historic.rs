//! `cargo xtask mutants historic`: puts three bugs of history back, one at a time, and sees each caught by its test.
//!
//! Each patch in `docs/mutations/historic` goes into a fresh clone of the last commit, under the target folder; the workspace
//! itself is not touched. A patch that does not apply, code that does not compile and a test that still passes are failures.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::cargo::{cargo, output, root, run as run_command, target};
use crate::steps::Steps;

/// A patch, and the test of `rollout-core` that must fail under it.
const HISTORIC: [(&str, &str); 3] = [
    (
        "stale-plan-over-a-newer-one",
        "machine::cutover::tests::directed::a_foreign_change_is_yielded_to",
    ),
    (
        "success-after-the-breaker-went-back",
        "machine::deployment::tests::scripts::the_eight_scripts_end_in_the_eight_right_outcomes",
    ),
    (
        "attaching-to-anothers-deployment",
        "machine::deployment::tests::transitions::a_conflict_with_another_deployer_is_superseded_and_untouched",
    ),
];

pub(super) fn run() -> Result<ExitCode> {
    let root = root()?;
    let mut steps = Steps::default();
    for (patch, test) in HISTORIC {
        steps.run(&format!("{patch} is caught by {test}"), || {
            is_caught(&root, patch, test)
        });
    }
    Ok(steps.finish())
}

fn is_caught(root: &Path, patch: &str, test: &str) -> Result<()> {
    let work = target(root)?.join("mutants");
    let tree = work.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("{} cannot be removed", tree.display()))?;
    }
    let patch = root
        .join("docs/mutations/historic")
        .join(patch)
        .with_extension("patch");
    output(
        Command::new("git")
            .args(["clone", "--quiet", "--shared"])
            .args([root, &tree]),
    )?;
    run_command(Command::new("git").current_dir(&tree).arg("apply").arg(&patch))?;
    let tests = |more: &[&str]| {
        let mut command = cargo(&tree);
        command.env("CARGO_TARGET_DIR", work.join("build"));
        command
            .args(["test", "--locked", "--package", "rollout-core", "--lib"])
            .args(more);
        command
    };
    run_command(&mut tests(&["--no-run"])).context("the bug does not compile any more")?;
    let found = output(&mut tests(&["--", "--list"]))?;
    ensure!(
        found.contains(&format!("{test}: test")),
        "there is no test {test}"
    );
    let ended = tests(&["--", "--exact", test])
        .output()
        .context("cargo cannot be run")?;
    ensure!(!ended.status.success(), "the bug is back, and {test} passes");
    Ok(())
}
