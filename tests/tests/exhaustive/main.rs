//! Every machine in a small abstract world, explored to closure: always, sometimes and eventually (see
//! `rollout_tests::explore`). Each test prints how many unique states it found.
//!
//! ```sh
//! cargo test --package rollout-tests --test exhaustive -- --nocapture                  # small spaces
//! cargo test --profile proof --package rollout-tests --test exhaustive -- --nocapture  # the whole ones
//! ```

use rollout_tests::explore::{Model, Order, Report, explore};

mod cutover;
mod deployment;
mod fleet;
mod gate;
mod promotion;
mod rollout;
mod task;
mod unwind;

/// Faults in one run: fewer where the code is not optimised.
const fn faults(plain: u8, proof: u8) -> u8 {
    if cfg!(debug_assertions) { plain } else { proof }
}

/// Searches to closure and prints what was found.
fn search(name: &str, model: &impl Model) -> Report {
    let report = explore(model, Order::Depth, 2).unwrap_or_else(|broken| panic!("{name}: {broken}"));
    println!("{}", report.line(name));
    report
}

/// Searches to closure and holds the ends against those that must be reached.
fn close(name: &str, model: &impl Model, ends: &[&str]) -> Report {
    let report = search(name, model);
    let reached: Vec<&str> = report.ends.keys().map(AsRef::as_ref).collect();
    if cfg!(debug_assertions) {
        // With fewer faults not every end is within reach.
        assert!(
            reached.iter().all(|end| ends.contains(end)),
            "{name}: {reached:?}"
        );
    } else {
        assert_eq!(reached, ends, "{name}: the ends that are reached");
    }
    report
}
