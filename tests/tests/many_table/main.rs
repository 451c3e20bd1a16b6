//! The table and the plot of many rollouts at once. Run it with `cargo xtask many`.
//!
//! Each line is a process of its own, so that what one crowd keeps in memory is not counted for the next.

mod plot;
mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rollout_tests::many::{Report, run};

/// How many rollouts at once.
const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// The largest crowd that is also run without an observer: more only adds to what it shows.
const APART: usize = 1_000;

const USAGE: &str = "usage: many_table [--most N] [--write DOCS]   (or --one N shared|apart, for itself)";

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
    let (mut most, mut docs) = (1_000, None);
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
            "--one" => return one(number(value()?)?, value()? == "shared"),
            other => return Err(format!("`{other}` is not known; {USAGE}")),
        }
    }
    all(most, docs.as_deref())
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

fn all(most: usize, docs: Option<&Path>) -> Result<(), String> {
    let sizes = || SIZES.into_iter().filter(|many| *many <= most);
    let (mut shared, mut apart) = (Vec::new(), Vec::new());
    for many in sizes() {
        shared.push(elsewhere(many, true)?);
    }
    for many in sizes().filter(|many| *many <= APART) {
        apart.push(elsewhere(many, false)?);
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
    let text = table::of(&shared, &apart);
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

/// One line, in a process of its own.
fn elsewhere(many: usize, shared: bool) -> Result<Report, String> {
    let kind = if shared { "shared" } else { "apart" };
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
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{many} rollouts, {kind}: {error}"))
}
