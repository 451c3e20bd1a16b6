//! `cargo xtask mutants machines`: every mutant of the machines, run against the tests of `rollout-core`.
//!
//! The mutants are those that cargo-mutants lists, and the guards of [`super::guards`]. They are woven into a copy of the workspace
//! under the target folder (see [`super::weave`]), which is built once; then the tests are run once for each mutant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::list::{self, Genre, MACHINES, Mutant};
use super::run::{Tests, Verdict};
use super::weave::{self, asked};
use super::{accepted, guards};
use crate::cargo::{cargo, output, root, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only mutants whose file and change contain this; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Test programs at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// It does not compile.
    Unviable,
    Ran(Verdict),
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let root = root()?;
    let accepted = accepted::read(&root)?;
    let mut mutants = list::mutants(&root)?;
    let files: BTreeSet<String> = mutants.iter().map(|mutant| mutant.file.clone()).collect();
    for file in &files {
        let source = fs::read_to_string(root.join(file)).with_context(|| format!("{file} cannot be read"))?;
        mutants.extend(guards::mutants(file, &source)?);
    }
    mutants.retain(|mutant| args.only.is_empty() || args.only.iter().any(|text| mutant.name.contains(text)));
    ensure!(!mutants.is_empty(), "no mutant is called so");

    let begun = Instant::now();
    let mut workshop = Workshop::open(&root, &mutants)?;
    let built = workshop.build_all()?;
    let mut ends: BTreeMap<usize, End> = workshop
        .unviable
        .iter()
        .map(|number| (*number, End::Unviable))
        .collect();
    eprintln!(
        "{} mutants: {} are built, {} do not compile, {} are built alone",
        mutants.len(),
        built.numbers.len(),
        ends.len(),
        workshop.alone.len()
    );
    ends.extend(all(&built, &mutants, args)?);
    for number in workshop.alone.clone() {
        let end = workshop.run_alone(number)?;
        ends.insert(number, end);
    }
    let new = report(&root, &mutants, &ends, &accepted)?;
    eprintln!("after {} s", begun.elapsed().as_secs());
    Ok(if new { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A copy of the workspace, with mutants in it.
struct Workshop<'a> {
    mutants: &'a [Mutant],
    tree: PathBuf,
    build: PathBuf,
    /// The files as they are, by their path.
    sources: BTreeMap<String, String>,
    unviable: BTreeSet<usize>,
    /// Where it is remembered which are unviable.
    known: PathBuf,
    alone: BTreeSet<usize>,
}

/// What was built.
struct Built {
    /// The tests of `rollout-core`.
    tests: PathBuf,
    folder: PathBuf,
    numbers: Vec<usize>,
}

impl<'a> Workshop<'a> {
    fn open(root: &Path, mutants: &'a [Mutant]) -> Result<Self> {
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
    fn build_all(&mut self) -> Result<Built> {
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
    fn run_alone(&self, number: usize) -> Result<End> {
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

fn tests_of(program: &Path, folder: &Path, args: &[&str]) -> Tests {
    Tests {
        program: program.to_owned(),
        folder: folder.to_owned(),
        args: args.iter().map(ToString::to_string).collect(),
    }
}

/// The path of the tests of a file's machine.
fn machine_of(file: &str) -> String {
    let inside = file
        .strip_prefix(MACHINES)
        .unwrap_or(file)
        .trim_start_matches('/');
    let name = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    format!("machine::{name}::")
}

/// Some of the tests, and how long they take.
struct Round {
    name: &'static str,
    tests: Tests,
    within: Duration,
}

/// A test that takes longer than this is run only on what the quick ones have not caught.
const QUICK: Duration = Duration::from_millis(40);

/// The tests in the order in which a mutant of a machine meets them: the quick ones, the long ones of its own, all others.
fn rounds(built: &Built, times: &[(String, Duration)], machine: &str) -> Vec<Round> {
    let is_own = |name: &str| name.starts_with(machine);
    let mut parts: [(&'static str, Vec<&(String, Duration)>); 3] = [
        ("quick", Vec::new()),
        ("long", Vec::new()),
        ("others", Vec::new()),
    ];
    for test in times {
        let part = if test.1 < QUICK {
            0
        } else if is_own(&test.0) {
            1
        } else {
            2
        };
        parts[part].1.push(test);
    }
    parts
        .into_iter()
        .filter(|(_, tests)| !tests.is_empty())
        .map(|(name, tests)| {
            let takes: Duration = tests.iter().map(|(_, took)| *took).sum();
            let mut args = vec!["--exact"];
            args.extend(tests.iter().map(|(test, _)| test.as_str()));
            Round {
                name,
                tests: tests_of(&built.tests, &built.folder, &args),
                within: (takes * 10).max(Duration::from_secs(30)),
            }
        })
        .collect()
}

/// Runs every mutant that was built, round by round: who survives one goes on to the next.
fn all(built: &Built, mutants: &[Mutant], args: &Args) -> Result<BTreeMap<usize, End>> {
    let whole = tests_of(&built.tests, &built.folder, &[]);
    let times = whole.times()?;
    let takes: Duration = times.iter().map(|(_, took)| *took).sum();
    eprintln!("{} tests take {:.1} s", times.len(), takes.as_secs_f64());
    let mut ends = BTreeMap::new();
    let mut left = built.numbers.clone();
    for round in 0.. {
        let machines: BTreeSet<String> = left
            .iter()
            .map(|number| machine_of(&mutants[*number].file))
            .collect();
        let rounds: BTreeMap<String, Round> = machines
            .into_iter()
            .filter_map(|machine| {
                let round = rounds(built, &times, &machine).into_iter().nth(round)?;
                Some((machine, round))
            })
            .collect();
        if rounds.is_empty() {
            break;
        }
        if let Some(first) = rounds.values().next() {
            eprintln!("== {} mutants meet the {} tests", left.len(), first.name);
        }
        let found = one_round(&left, mutants, &rounds, args.jobs)?;
        left.retain(|number| {
            found
                .get(number)
                .is_none_or(|verdict| *verdict == Verdict::Survived)
        });
        ends.extend(
            found
                .into_iter()
                .map(|(number, verdict)| (number, End::Ran(verdict))),
        );
        for number in &left {
            eprintln!("   {}", mutants[*number].name);
        }
    }
    Ok(ends)
}

fn one_round(
    left: &[usize],
    mutants: &[Mutant],
    rounds: &BTreeMap<String, Round>,
    jobs: usize,
) -> Result<BTreeMap<usize, Verdict>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let work = || -> Result<()> {
        while let Some(number) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(round) = rounds.get(&machine_of(&mutants[*number].file)) else {
                continue;
            };
            let verdict = round.tests.run(Some(*number), round.within)?;
            let mut found = found.lock().map_err(|_| anyhow!("another job has panicked"))?;
            found.insert(*number, verdict);
            if found.len().is_multiple_of(100) {
                eprintln!("{} of {} done", found.len(), left.len());
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let mut running = Vec::new();
        for _ in 0..jobs.max(1) {
            running.push(scope.spawn(work));
        }
        for job in running {
            job.join().map_err(|_| anyhow!("a job has panicked"))??;
        }
        anyhow::Ok(())
    })?;
    found.into_inner().map_err(|_| anyhow!("a job has panicked"))
}

/// What one machine's mutants came to, of cargo-mutants and of ours.
#[derive(Default)]
struct Counts {
    caught: usize,
    unviable: usize,
    timed_out: usize,
    survived: usize,
}

/// Writes what became of each mutant, and prints the counts. Returns whether one survived that is not known.
fn report(
    root: &Path,
    mutants: &[Mutant],
    ends: &BTreeMap<usize, End>,
    accepted: &accepted::Accepted,
) -> Result<bool> {
    let mut counts: BTreeMap<(String, bool), Counts> = BTreeMap::new();
    let mut left = accepted.clone();
    let (mut lines, mut new) = (String::new(), Vec::new());
    for (number, end) in ends {
        let mutant = &mutants[*number];
        let ours = mutant.genre == Genre::Condition;
        let machine = machine_of(&mutant.file)
            .replace("machine::", "")
            .replace("::", "");
        let counted = counts.entry((machine, ours)).or_default();
        let (name, word, count) = match end {
            End::Unviable => ("", "unviable", &mut counted.unviable),
            End::Ran(Verdict::Caught(test)) => (test.as_str(), "caught", &mut counted.caught),
            End::Ran(Verdict::TimedOut) => ("", "timed out", &mut counted.timed_out),
            End::Ran(Verdict::Survived) => {
                match left.get_mut(&mutant.key()) {
                    Some(rows) if *rows > 0 => *rows -= 1,
                    Some(_) | None => new.push(mutant),
                }
                ("", "survived", &mut counted.survived)
            }
        };
        *count += 1;
        lines.push_str(&format!("{word}\t{}\t{name}\n", mutant.name));
    }
    let file = target(root)?.join("mutants").join("machines.txt");
    fs::write(&file, lines).with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!(
        "\n{:<12} {:>16} {:>8} {:>8} {:>9} {:>9}",
        "machine", "list", "caught", "unviable", "timed out", "survived"
    );
    for ((machine, ours), of) in &counts {
        let list = if *ours { "guards" } else { "cargo-mutants" };
        eprintln!(
            "{machine:<12} {list:>16} {:>8} {:>8} {:>9} {:>9}",
            of.caught, of.unviable, of.timed_out, of.survived
        );
    }
    for mutant in &new {
        eprintln!("survived, and is not known: {}", mutant.name);
    }
    eprintln!("each one: {}", file.display());
    Ok(!new.is_empty())
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

    #[test]
    fn a_file_belongs_to_a_machine() {
        assert_eq!(
            machine_of("rollout-core/src/machine/gate/tally.rs"),
            "machine::gate::"
        );
        assert_eq!(machine_of("rollout-core/src/machine/gate.rs"), "machine::gate::");
    }
}
