//! The tests in rounds: the quick ones first, and the rest only for what they have not caught.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::list::Mutant;
use super::run::{End, Tests, Verdict};
use super::workshop::{Built, tests_of};

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
pub(super) fn all(built: &Built, mutants: &[Mutant], jobs: usize) -> Result<BTreeMap<usize, End>> {
    let whole = tests_of(&built.tests, &built.folder, &[]);
    let times = whole.times()?;
    let takes: Duration = times.iter().map(|(_, took)| *took).sum();
    eprintln!("{} tests take {:.1} s", times.len(), takes.as_secs_f64());
    let mut ends = BTreeMap::new();
    let mut left = built.numbers.clone();
    for round in 0.. {
        let machines: BTreeSet<String> = left.iter().map(|number| mutants[*number].tests()).collect();
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
        let found = one_round(&left, mutants, &rounds, jobs)?;
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
            let Some(round) = rounds.get(&mutants[*number].tests()) else {
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
