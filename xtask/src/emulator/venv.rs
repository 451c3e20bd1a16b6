//! Python environments: found, made and filled from a requirements file in which every package has a hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Skipped;
use super::instance::{Instance, Lock};
use super::layout::Layout;
use super::process::{Running, run_bounded};

/// An install takes up to a minute with a good connection.
const INSTALL: Duration = Duration::from_secs(15 * 60);

/// Which Python an environment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Python {
    /// This one or later.
    AtLeast(u32, u32),
    /// This one only.
    Exactly(u32, u32),
}

impl Python {
    fn accepts(self, (major, minor): (u32, u32)) -> bool {
        match self {
            Self::AtLeast(a, b) => (major, minor) >= (a, b),
            Self::Exactly(a, b) => (major, minor) == (a, b),
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(a, b) => format!("Python {a}.{b} or later"),
            Self::Exactly(a, b) => format!("Python {a}.{b}"),
        }
    }

    /// Names to look for on PATH, the likeliest first.
    fn names(self) -> Vec<String> {
        match self {
            Self::AtLeast(a, b) => {
                let exact = (b..=b.max(14)).rev().map(|minor| format!("python{a}.{minor}"));
                [format!("python{a}"), "python".to_owned()]
                    .into_iter()
                    .chain(exact)
                    .collect()
            }
            Self::Exactly(a, b) => vec![
                format!("python{a}.{b}"),
                format!("python{a}"),
                "python".to_owned(),
            ],
        }
    }
}

/// One environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Its folder, and the name of its requirements file.
    pub(crate) name: &'static str,
    pub(crate) python: Python,
    /// A requirements file to install before, with what builds the packages that have no wheel.
    pub(crate) build_first: Option<&'static str>,
    /// Packages that have no wheel. No other package runs code while it is installed.
    pub(crate) from_source: &'static [&'static str],
}

/// The Python of the environment, which is made or brought up to date first.
pub(crate) fn ensure(layout: &Layout, environment: &Environment) -> Result<PathBuf> {
    let _held = Lock::take(layout, &format!("{}.environment", environment.name))?;
    let folder = layout.environment(environment.name);
    let venv = folder.join("venv");
    let python = venv.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let stamp_path = folder.join("installed.txt");
    let stamp = stamp(layout, environment)?;
    if python.exists() && fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
        return Ok(python);
    }
    for instance in Instance::all(layout)? {
        if instance
            .parts
            .iter()
            .any(|part| part.program == python && Running::is_alive(part))
        {
            bail!(
                "the requirements of {} have changed while instance `{}` runs from {}: `cargo xtask emulator stop --name {1}` first",
                environment.name,
                instance.name,
                venv.display()
            );
        }
    }
    let base = find(environment)?;
    let begun = Instant::now();
    eprintln!("installs {} into {}", environment.name, venv.display());
    if venv.exists() {
        fs::remove_dir_all(&venv)
            .with_context(|| format!("{} cannot be removed: remove it", venv.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    run_bounded(Command::new(&base).arg("-m").arg("venv").arg(&venv), INSTALL).with_context(|| {
        format!(
            "no virtual environment could be made; on Debian and Ubuntu, install the venv package of {}",
            base.display()
        )
    })?;
    if let Some(first) = environment.build_first {
        pip(&python, &layout.requirements(first), &[])?;
    }
    pip(
        &python,
        &layout.requirements(environment.name),
        environment.from_source,
    )?;
    fs::write(&stamp_path, stamp).with_context(|| format!("{} cannot be written", stamp_path.display()))?;
    eprintln!(
        "installed {} in {:.0} s",
        environment.name,
        begun.elapsed().as_secs_f64()
    );
    Ok(python)
}

/// Everything that the environment was made from: all of its pins and hashes.
fn stamp(layout: &Layout, environment: &Environment) -> Result<String> {
    let mut stamp = String::new();
    for name in environment.build_first.into_iter().chain([environment.name]) {
        let path = layout.requirements(name);
        stamp += &fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read: restore it from git", path.display()))?;
    }
    Ok(stamp)
}

fn pip(python: &Path, requirements: &Path, from_source: &[&str]) -> Result<()> {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    command.args(["--require-hashes", "--only-binary", ":all:"]);
    if !from_source.is_empty() {
        // Built with what `build_first` installed, so that pip fetches no build tool without a hash.
        command.args(["--no-binary", &from_source.join(","), "--no-build-isolation"]);
    }
    command.arg("-r").arg(requirements).stdout(Stdio::null());
    run_bounded(&mut command, INSTALL).with_context(|| {
        format!(
            "{} could not be installed: PyPI must be reachable, or a mirror that pip is configured for",
            requirements.display()
        )
    })
}

fn find(environment: &Environment) -> Result<PathBuf> {
    let wanted = environment.python;
    let mut seen = Vec::new();
    for candidate in candidates(wanted) {
        match version(&candidate) {
            Some(found) if wanted.accepts(found) => return Ok(candidate),
            Some((major, minor)) => seen.push(format!("{} is {major}.{minor}", candidate.display())),
            None => seen.push(format!("{} does not run", candidate.display())),
        }
    }
    let looked = if seen.is_empty() {
        "none is on PATH".to_owned()
    } else {
        seen.join(", ")
    };
    Err(Skipped(format!(
        "{} needs {}, which this machine does not have ({looked}): install it and put it on PATH",
        environment.name,
        wanted.shown()
    ))
    .into())
}

/// Every file on PATH under a likely name, then pyenv's, whose shims on PATH may refuse to run.
fn candidates(wanted: Python) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for name in wanted.names() {
        let file = if cfg!(windows) {
            format!("{name}.exe")
        } else {
            name
        };
        found.extend(
            folders
                .iter()
                .map(|folder| folder.join(&file))
                .filter(|file| file.is_file()),
        );
    }
    if let Some(home) = std::env::home_dir()
        && let Ok(entries) = fs::read_dir(home.join(".pyenv/versions"))
    {
        let mut versions: Vec<PathBuf> = entries
            .flatten()
            .filter(|e| {
                e.file_name()
                    .to_str()
                    .and_then(parse_version)
                    .is_some_and(|v| wanted.accepts(v))
            })
            .map(|e| e.path().join("bin/python"))
            .collect();
        versions.sort();
        found.extend(versions.into_iter().rev());
    }
    found
}

/// What it says itself; a shim that only prints a complaint says nothing.
fn version(python: &Path) -> Option<(u32, u32)> {
    let out = Command::new(python)
        .args([
            "-c",
            "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| parse_version(std::str::from_utf8(&out.stdout).ok()?.trim()))?
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("3.13.0"), Some((3, 13)));
        assert_eq!(parse_version("3.9"), Some((3, 9)));
        assert_eq!(parse_version("pypy3.10"), None);
        assert_eq!(parse_version("3"), None);
    }

    #[test]
    fn compares_versions_as_numbers() {
        assert!(Python::AtLeast(3, 10).accepts((3, 13)));
        assert!(!Python::AtLeast(3, 10).accepts((3, 9)));
        assert!(!Python::Exactly(3, 13).accepts((3, 14)));
    }

    #[test]
    fn a_missing_python_is_named() {
        let environment = Environment {
            name: "future",
            python: Python::Exactly(9, 99),
            build_first: None,
            from_source: &[],
        };
        let error = find(&environment).expect_err("no such Python");
        assert!(error.is::<Skipped>());
        assert!(
            error.to_string().starts_with("future needs Python 9.99"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_fails_is_no_python() {
        assert_eq!(version(Path::new("/no/such/python")), None);
    }
}
