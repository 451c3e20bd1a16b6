//! `cargo xtask many`: many rollouts at once on the simulated AWS with its real token buckets, as a table and a plot.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, root, run as run_command};

#[derive(Args)]
pub(crate) struct ManyArgs {
    /// The largest crowd: 1, 10, 100, 1,000 and 10,000 rollouts are run, up to this. 1,000 take a quarter of a minute in the profile `proof`
    /// on a core of their own, 10,000 ten times as long and 1 GB, both mostly for the simulated cloud.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    most: usize,
    /// Only prints the table, and leaves docs/benchmarks.md and docs/many.svg as they are.
    #[arg(long)]
    print: bool,
    /// A folder that keeps each line of the table, and whose lines are taken as they are: for one that is made in several goes.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// The profile to build with.
    #[arg(long, value_name = "NAME", default_value = "proof")]
    profile: String,
}

pub(crate) fn run(args: &ManyArgs) -> Result<ExitCode> {
    let root = root()?;
    let mut command = cargo(&root);
    command
        .args([
            "test",
            "--quiet",
            "--locked",
            "--package",
            "rollout-tests",
            "--features",
            "endpoint",
        ])
        .args(["--profile", &args.profile, "--test", "many_table", "--"])
        .args(["--most", &args.most.to_string()]);
    if !args.print {
        command.arg("--write").arg(root.join("docs"));
    }
    if let Some(folder) = &args.keep {
        command.arg("--keep").arg(std::path::absolute(folder)?);
    }
    run_command(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
