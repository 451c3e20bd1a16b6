//! `cargo xtask many`: many rollouts at once on the simulated AWS with its real token buckets, as a table and a plot.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, root, run as run_command};

#[derive(Args)]
pub(crate) struct ManyArgs {
    /// The largest crowd: 1, 10, 100, 1,000 and 10,000 rollouts are run, up to this. 10,000 take an hour or so in the profile `dev`.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    most: usize,
    /// Only prints the table, and leaves docs/benchmarks.md and docs/many.svg as they are.
    #[arg(long)]
    print: bool,
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
    run_command(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
