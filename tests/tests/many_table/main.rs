//! The table and the plot of many rollouts at once. Run it with `cargo xtask many`.
//!
//! Each line is a process of its own, so that what one crowd keeps in memory is not counted for the next.

mod plot;
mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rollout_tests::many::{Held, Report, held, run};
use serde::de::DeserializeOwned;

/// How many rollouts at once.
const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// The largest crowd that is also run without an observer: more only adds to what it shows.
const APART: usize = 1_000;

/// The smallest crowd whose own memory can be told from the rest of the process.
const HELD: usize = 1_000;

const USAGE: &str = "usage: many_table [--most N] [--write DOCS] [--keep FOLDER]   (or --one N shared|apart|held, for itself)";

fn main() -> ExitCode {
    match told() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn told() -> Result<(), String> {
    let (mut most, mut docs, mut keep) = (1_000, None, None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| USAGE.to_owned());
        let number = |text: String| {
            text.parse()
                .map_err(|_| format!("`{text}` is no number; {USAGE}"))
        };
        match argument.as_str() {
            "--most" => most = number(value()?)?,
            "--write" => docs = Some(PathBuf::from(value()?)),
            "--keep" => keep = Some(PathBuf::from(value()?)),
            "--one" => {
                let many = number(value()?)?;
                return match value()?.as_str() {
                    "held" => alone(many),
                    kind => one(many, kind == "shared"),
                };
            }
            other => return Err(format!("`{other}` is not known; {USAGE}")),
        }
    }
    all(most, docs.as_deref(), keep.as_deref())
}

fn one(many: usize, shared: bool) -> Result<(), String> {
    let report = run(many, shared);
    eprint!("{}", report.operations());
    for (operation, spent) in &report.spent {
        if !spent.longest.is_zero() {
            eprintln!("waited at most {:>12?} for {operation}", spent.longest);
        }
    }
    println!(
        "{}",
        serde_json::to_string(&report).map_err(|error| error.to_string())?
    );
    Ok(())
}

/// What rollouts hold without a cloud.
fn alone(many: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let held = held(many, folder.path());
    println!(
        "{}",
        serde_json::to_string(&held).map_err(|error| error.to_string())?
    );
    Ok(())
}

fn all(most: usize, docs: Option<&Path>, keep: Option<&Path>) -> Result<(), String> {
    let sizes = || SIZES.into_iter().filter(|many| *many <= most);
    let (mut shared, mut apart): (Vec<Report>, Vec<Report>) = (Vec::new(), Vec::new());
    for many in sizes() {
        shared.push(kept(keep, many, "shared")?);
    }
    for many in sizes().filter(|many| *many <= APART) {
        apart.push(kept(keep, many, "apart")?);
    }
    let mut held: Vec<Held> = Vec::new();
    for many in sizes().filter(|many| *many >= HELD) {
        held.push(kept(keep, many, "held")?);
    }
    if let Some(wrong) = shared
        .iter()
        .find(|r| r.released < r.many || r.calls.throttled > 0)
    {
        return Err(format!(
            "of {} rollouts {} were released, and {} calls were throttled: {:?}",
            wrong.many, wrong.released, wrong.calls.throttled, wrong.other
        ));
    }
    let text = table::of(&shared, &apart, &held);
    print!("{text}");
    let Some(docs) = docs else {
        return Ok(());
    };
    let page = docs.join("benchmarks.md");
    let read = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let written = table::put(&read, &text).ok_or_else(|| {
        format!(
            "{} has no lines `{}` and `{}` to write between",
            page.display(),
            table::BEGIN,
            table::END
        )
    })?;
    let picture = docs.join("many.svg");
    fs::write(&picture, plot::of(&shared, &apart))
        .map_err(|error| format!("{}: {error}", picture.display()))?;
    fs::write(&page, written).map_err(|error| format!("{}: {error}", page.display()))
}

/// One line: the one that an earlier run has kept in the folder, or a new one.
fn kept<T: DeserializeOwned>(keep: Option<&Path>, many: usize, kind: &str) -> Result<T, String> {
    let wrong = |error: &dyn core::fmt::Display| format!("{many} rollouts, {kind}: {error}");
    let file = keep.map(|folder| folder.join(format!("{many}-{kind}.json")));
    let line = match &file {
        Some(file) if file.exists() => fs::read(file).map_err(|error| wrong(&error))?,
        Some(_) | None => elsewhere(many, kind)?,
    };
    if let Some(file) = file.filter(|file| !file.exists()) {
        fs::write(&file, &line).map_err(|error| wrong(&error))?;
    }
    serde_json::from_slice(&line).map_err(|error| wrong(&error))
}

/// One line, in a process of its own.
fn elsewhere(many: usize, kind: &str) -> Result<Vec<u8>, String> {
    eprintln!("{many} rollouts, {kind}");
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .args(["--one", &many.to_string(), kind])
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{many} rollouts, {kind}: {}\n{said}", output.status));
    }
    Ok(output.stdout)
}
