//! Cargo, as every task calls it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The workspace that this xtask was built in, or that it runs in.
pub(crate) fn root() -> Result<PathBuf> {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = package.parent().with_context(|| {
        format!(
            "{} has no parent: run `cargo xtask` in the workspace",
            package.display()
        )
    })?;
    Ok(root.to_path_buf())
}

/// Where cargo puts what it builds; honours `CARGO_TARGET_DIR`.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    Ok(match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => env::current_dir()
            .context("the current folder cannot be read")?
            .join(dir),
        None => root.join("target"),
    })
}

/// Cargo in the workspace. What the caller's shell says about AWS must not reach what it runs, least of all real
/// credentials.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    without_aws(&mut command);
    command
}

/// Takes the caller's `AWS_*` variables away from a command.
pub(crate) fn without_aws(command: &mut Command) {
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(|key| key.starts_with("AWS_")) {
            command.env_remove(key);
        }
    }
}

/// Runs a command whose output the caller sees.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("`{shown}` cannot be run"))?;
    ensure!(status.success(), "`{shown}`: {status}");
    Ok(())
}

/// Runs a command and returns what it prints; what it says on its error stream is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .output()
        .with_context(|| format!("`{shown}` cannot be run"))?;
    ensure!(
        output.status.success(),
        "`{shown}`: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` did not print UTF-8"))
}

/// Builds `rollout` with all features of the workspace, as the tests build it, so that after them it is there already. The example is
/// named because cargo counts what only tests need only where something wants it, and would build everything once more without it.
pub(crate) fn rollout(root: &Path) -> Result<PathBuf> {
    let all = [
        "--locked",
        "--workspace",
        "--all-features",
        "--bin",
        "rollout",
        "--example",
        "machine_by_hand",
    ];
    run(cargo(root).arg("build").args(all))?;
    let program = format!("rollout{}", env::consts::EXE_SUFFIX);
    Ok(target(root)?.join("debug").join(program))
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
