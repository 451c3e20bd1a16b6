//! A copy of the workspace in which mutants are built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::list::Mutant;
use super::run::{End, Tests};
use super::weave::{self, asked};
use crate::cargo::{cargo, output, target};

/// A copy of the workspace, with mutants in it.
pub(super) struct Workshop<'a> {
    mutants: &'a [Mutant],
    tree: PathBuf,
    build: PathBuf,
    /// The files as they are, by their path.
    sources: BTreeMap<String, String>,
    pub(super) unviable: BTreeSet<usize>,
    /// Where it is remembered which are unviable.
    known: PathBuf,
    /// To be built alone.
    pub(super) alone: BTreeSet<usize>,
}

/// What was built.
pub(super) struct Built {
    /// The tests of `rollout-core`.
    pub(super) tests: PathBuf,
    pub(super) folder: PathBuf,
    /// The mutants that sleep in them.
    pub(super) numbers: Vec<usize>,
}

impl<'a> Workshop<'a> {
    pub(super) fn open(root: &Path, mutants: &'a [Mutant]) -> Result<Self> {
        let work = target(root)?.join("mutants");
        let tree = work.join("woven");
        if tree.exists() {
            fs::remove_dir_all(&tree).with_context(|| format!("{} cannot be removed", tree.display()))?;
        }
        let mut hasher = DefaultHasher::new();
        let files = output(Command::new("git").current_dir(root).args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        for file in files.split('\0').filter(|file| root.join(file).is_file()) {
            let to = tree.join(file);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            }
            let bytes = fs::read(root.join(file)).with_context(|| format!("{file} cannot be read"))?;
            if file.starts_with("rollout-core/src/") && !file.contains("/tests") {
                (file, &bytes).hash(&mut hasher);
            }
            fs::write(&to, bytes).with_context(|| format!("{file} cannot be copied"))?;
        }
        let lib = tree.join("rollout-core/src/lib.rs");
        let text = fs::read_to_string(&lib).context("rollout-core has no lib.rs")?;
        fs::write(&lib, text + weave::CHOSEN).context("lib.rs cannot be written")?;
        let mut sources = BTreeMap::new();
        for mutant in mutants {
            if !sources.contains_key(&mutant.file) {
                let text = fs::read_to_string(root.join(&mutant.file))
                    .with_context(|| format!("{} cannot be read", mutant.file))?;
                sources.insert(mutant.file.clone(), text);
            }
        }
        let known = work.join(format!("unviable-{:016x}.txt", hasher.finish()));
        let names = fs::read_to_string(&known).unwrap_or_default();
        let names: BTreeSet<&str> = names.lines().collect();
        let unviable = mutants.iter().enumerate();
        let unviable = unviable.filter(|(_, mutant)| names.contains(mutant.name.as_str()));
        Ok(Self {
            mutants,
            tree,
            build: work.join("build"),
            sources,
            unviable: unviable.map(|(number, _)| number).collect(),
            known,
            alone: BTreeSet::new(),
        })
    }

    /// Remembers what does not compile, for as long as the crate stays as it is.
    fn remember(&self) -> Result<()> {
        let mut names: BTreeSet<String> = fs::read_to_string(&self.known)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        names.extend(
            self.unviable
                .iter()
                .map(|number| self.mutants[*number].name.clone()),
        );
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&self.known, text).with_context(|| format!("{} cannot be written", self.known.display()))
    }

    /// Weaves, builds, and leaves out what the compiler does not take, until it takes the rest.
    pub(super) fn build_all(&mut self) -> Result<Built> {
        loop {
            self.weave()?;
            let (found, messages) =
                self.cargo(&["test", "--no-run", "--package", "rollout-core", "--lib"])?;
            if let [tests] = found.as_slice() {
                self.remember()?;
                let numbers = (0..self.mutants.len())
                    .filter(|number| !self.unviable.contains(number) && !self.alone.contains(number))
                    .collect();
                return Ok(Built {
                    tests: tests.clone(),
                    folder: self.tree.join("rollout-core"),
                    numbers,
                });
            }
            let before = self.unviable.len();
            self.unviable.extend(blamed(&messages));
            ensure!(
                self.unviable.len() > before,
                "the woven sources do not compile, and no mutant is to blame:\n{}",
                rendered(&messages)
            );
            eprintln!("{} mutants do not compile so far", self.unviable.len());
        }
    }

    fn weave(&mut self) -> Result<()> {
        for (file, source) in &self.sources {
            let of_file: Vec<_> = self
                .mutants
                .iter()
                .enumerate()
                .filter(|(number, mutant)| mutant.file == *file && !self.unviable.contains(number))
                .collect();
            let woven =
                weave::weave(source, &of_file).with_context(|| format!("{file} cannot be changed"))?;
            self.unviable.extend(woven.broken);
            self.alone.extend(woven.left);
            let path = self.tree.join(file);
            let same = fs::read_to_string(&path).is_ok_and(|text| text == woven.text);
            if !same {
                fs::write(&path, woven.text).with_context(|| format!("{file} cannot be written"))?;
            }
        }
        Ok(())
    }

    /// A mutant that cannot sleep: its file is written with it, and the tests are built for it alone.
    pub(super) fn run_alone(&self, number: usize) -> Result<End> {
        let mutant = &self.mutants[number];
        let source = &self.sources[&mutant.file];
        let path = self.tree.join(&mutant.file);
        let changed = weave::replaced(source, mutant)?;
        fs::write(&path, changed).with_context(|| format!("{} cannot be written", mutant.file))?;
        let (found, _) = self.cargo(&["test", "--no-run", "--package", "rollout-core", "--lib"])?;
        fs::write(&path, source).with_context(|| format!("{} cannot be written", mutant.file))?;
        let [tests] = found.as_slice() else {
            return Ok(End::Unviable);
        };
        let folder = self.tree.join("rollout-core");
        let all = tests_of(tests, &folder, &[]);
        Ok(End::Ran(all.run(None, Duration::from_secs(300))?))
    }

    /// Runs cargo on the copy. Returns the test programs, and what the compiler says.
    fn cargo(&self, args: &[&str]) -> Result<(Vec<PathBuf>, Vec<Value>)> {
        let mut command = cargo(&self.tree);
        command
            .args(args)
            .args(["--locked", "--profile", "mutants", "--message-format", "json"])
            .env("CARGO_TARGET_DIR", &self.build)
            // Most of the crate is another one each time, and a build may be interrupted.
            .env("CARGO_INCREMENTAL", "0")
            .env("RUSTFLAGS", "--cap-lints allow")
            .env_remove("CARGO_MANIFEST_DIR")
            .stderr(Stdio::inherit());
        let output = command.output().context("cargo cannot be run")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let messages: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let programs = messages
            .iter()
            .filter(|message| message["profile"]["test"] == true)
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        let programs = if output.status.success() {
            programs.collect()
        } else {
            Vec::new()
        };
        Ok((programs, messages))
    }
}

/// The mutants on whose lines the compiler found something wrong.
fn blamed(messages: &[Value]) -> BTreeSet<usize> {
    let errors = messages
        .iter()
        .map(|message| &message["message"])
        .filter(|message| message["level"] == "error");
    let mut blamed = BTreeSet::new();
    for error in errors {
        let spans = error["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let of = |primary: bool| -> BTreeSet<usize> {
            spans
                .iter()
                .filter(|span| !primary || span["is_primary"] == true)
                .filter_map(|span| span["text"].as_array())
                .flatten()
                .filter_map(|line| number_in(line["text"].as_str()?))
                .collect()
        };
        let primary = of(true);
        blamed.extend(if primary.is_empty() { of(false) } else { primary });
    }
    blamed
}

/// The number in a line that asks for a mutant.
fn number_in(line: &str) -> Option<usize> {
    let (before, after) = asked(0)
        .split_once('0')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let (_, rest) = line.split_once(&before)?;
    let (number, _) = rest.split_once(&after)?;
    number.parse().ok()
}

fn rendered(messages: &[Value]) -> String {
    let errors = messages
        .iter()
        .map(|message| &message["message"])
        .filter(|message| message["level"] == "error");
    errors.filter_map(|error| error["rendered"].as_str()).collect()
}

pub(super) fn tests_of(program: &Path, folder: &Path, args: &[&str]) -> Tests {
    Tests {
        program: program.to_owned(),
        folder: folder.to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_blamed_on_the_mutant_of_its_line() {
        let error = |primary: &str, other: &str| {
            let span =
                |text: &str, is_primary: bool| json!({"is_primary": is_primary, "text": [{"text": text}]});
            json!({"message": {"level": "error", "spans": [span(primary, true), span(other, false)]}})
        };
        let mutant = format!("if {} {{ return None; }}", asked(12));
        assert_eq!(blamed(&[error(&mutant, "")]), BTreeSet::from([12]));
        assert_eq!(blamed(&[error("fn a()", &mutant)]), BTreeSet::from([12]));
        assert_eq!(blamed(&[error("fn a()", "")]), BTreeSet::new());
    }
}
