//! The differential test. Run it with `cargo xtask emulator differ`.
//!
//! Plays the same script on the simulated cloud's endpoint, in process and on virtual time, and on the emulator that the
//! environment names, and compares. `docs/differential.md` has the differences that are known.

use std::future::Future;
use std::process::ExitCode;

use rollout_tests::differ::compare::{Difference, differences, judge};
use rollout_tests::differ::list::entries;
use rollout_tests::differ::play;
use rollout_tests::differ::stage::Stage;
use rollout_tests::emulator::Emulator;

/// The list.
const LIST: &str = include_str!("../../../docs/differential.md");

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let emulator = Emulator::from_env()?;
    let name = emulator.name();
    let list = entries(LIST, name)?;
    let endpoint = on(true, async { play(&Stage::simulated(), emulator).await })?;
    let other = on(false, async {
        play(&Stage::emulated(emulator).await, emulator).await
    })?;
    let found = differences(&endpoint, &other);
    println!(
        "{} things compared, {} differ; the list has {}",
        endpoint.all().len(),
        found.len(),
        list.iter().map(|entry| entry.steps.len()).sum::<usize>()
    );
    for entry in &list {
        println!(
            "{} | {} | endpoint: {} | {name}: {} | right: {:?}",
            entry.steps.join(", "),
            entry.aspect,
            entry.endpoint,
            entry.emulator,
            entry.right
        );
    }
    let verdict = judge(&found, &list);
    for Difference {
        step,
        aspect,
        endpoint,
        emulator,
    } in &verdict.unlisted
    {
        println!("\nnot in the list:\n### {step}: {aspect}\n- endpoint: {endpoint}\n- {name}: {emulator}");
    }
    for (step, aspect, line) in &verdict.gone {
        println!("\ndoes not occur: docs/differential.md:{line}: {step}: {aspect}");
    }
    Ok(verdict.is_right())
}

/// On a runtime of one thread, whose time is the simulated cloud's or the machine's.
fn on<T>(paused: bool, script: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build();
    Ok(runtime.map_err(|error| error.to_string())?.block_on(script))
}
