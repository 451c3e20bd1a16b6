//! Whole rollouts of the storefront, drawn from seeds: incidents, calls that go wrong, aborts. After every event and at
//! every moment the invariants are checked; at the end the world is asked whether the outcome is true.
//!
//! ```sh
//! cargo test --package rollout-tests --test simulation                        # 200 seeds
//! cargo test --profile proof --package rollout-tests --test simulation        # 10,000 seeds
//! ROLLOUT_SEEDS=1000000 cargo test --profile proof --package rollout-tests --test simulation -- --nocapture
//! ROLLOUT_SEED=17 cargo test --package rollout-tests --test simulation        # one, as a failure says
//! ```
//!
//! A seed that failed is kept in `seeds.txt` once it is mended, and is run first from then on.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rollout_core::id::{ImageDigest, StepId};
use rollout_core::journal::{Body, MemoryJournal, Replayed, replay};
use rollout_core::machine::rollout::{Action, Effect, Event, Outcome, Rollout};
use rollout_core::machine::{cutover, gate};
use rollout_core::plan::worst::WorstCase;
use rollout_core::plan::{Draft, step};
use rollout_core::probe::Verdict;
use rollout_core::time::Timestamp;
use rollout_sim::{Operation, SimCloud, World};
use rollout_tests::clock::{RunnersClock, Skew};
use rollout_tests::run::{Abort, Entry, drive_by, fresh};
use rollout_tests::script::Script;
use rollout_tests::truth::{self, Claim};
use rollout_tests::watch::Watch;

/// One seed's run.
struct Run {
    script: Script,
    /// The world at the end.
    world: World,
    machine: Rollout,
    records: Vec<Entry>,
    outcome: Outcome,
    problems: Vec<String>,
}

impl Run {
    fn of(seed: u64) -> Self {
        let script = Script::of(seed);
        let cloud = SimCloud::new(script.world.clone());
        let watch = Watch::new(&cloud, &script);
        let mut machine = fresh(script.draft.clone());
        let journal = MemoryJournal::new();
        let abort = script.abort.map_or(Abort::never(), Abort::at);
        let clock = RunnersClock::new(Arc::new(watch.clone()), script.sleeps.unwrap_or(Skew::None));
        let ended = drive_by(&cloud, Arc::new(clock), &mut machine, &journal, abort, &watch);
        let outcome = ended.unwrap_or_else(|error| panic!("the driver stopped: {error:?}"));
        let mut run = Self {
            script,
            world: cloud.world(),
            machine,
            records: journal.into_records(),
            outcome,
            problems: watch.seen().problems.clone(),
        };
        run.check_truth();
        run.check_gates();
        run.check_replay(&watch.seen().samples);
        run.check_time();
        run
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// The outcome against the world.
    fn check_truth(&mut self) {
        let world = &self.world;
        let (expected, services) = self.script.expects(&self.outcome, world);
        let claim = Claim {
            outcome: &self.outcome,
            journal: &self.records,
            expected,
            services: &services,
            changes: world
                .calls()
                .mutations()
                .iter()
                .map(|m| format!("{m:?}"))
                .collect(),
        };
        let mut found = claim.lies(world, |by| self.script.unfounded(by));
        // Whoever slept may find that their time is over, and goes back. Nobody is superseded, and without an abort, which may
        // come when there is nothing to go back to any more, nobody is stuck.
        let slept = self.script.sleeps.is_some();
        let ended_well = match &self.outcome {
            Outcome::Released { .. } => true,
            Outcome::RolledBack { .. } | Outcome::Refused { .. } => slept,
            Outcome::Aborted { .. } | Outcome::Stuck(_) => self.script.abort.is_some(),
            Outcome::Superseded { .. } => false,
        };
        let quiet =
            self.script.incidents.is_empty() && self.script.faults.is_empty() && self.script.migration == 0;
        if quiet && !ended_well {
            found.push("nothing went wrong, and it did not end well".to_owned());
        }
        self.problems.extend(found);
    }

    /// I-7, from the journal: before the first record moves every probe of every gate has passed often enough, on
    /// evidence from after the change.
    fn check_gates(&mut self) {
        let plan = self.script.draft.clone();
        let Some(end) = self.records.iter().position(|record| swaps(&plan, record)) else {
            return;
        };
        let before = &self.records[..end];
        let world = &self.world;
        let services = plan.services.iter();
        let of_services = services.flat_map(|s| s.gates.iter().map(move |gate| (Some(&s.name), gate)));
        let all = of_services.chain(plan.gates.iter().map(|gate| (None, gate)));
        let mut found = Vec::new();
        for (service, gate) in all {
            let (of, since) = (
                step::gate(service, &gate.name),
                changed(world, self.records[end].at, service.map(|s| s.as_str())),
            );
            for probe in &gate.probes {
                let passed = |record: &&Entry| match &record.body {
                    Body::Happened {
                        event:
                            Event::Gate {
                                step,
                                event: gate::Event::Sampled { probe: name, sample },
                            },
                        ..
                    } => {
                        *step == of
                            && *name == probe.name
                            && sample.verdict == Verdict::Pass
                            && since.is_some_and(|since| sample.at >= since)
                    }
                    _ => false,
                };
                let passes = before.iter().filter(passed).count();
                if passes < probe.successes as usize {
                    found.push(format!(
                        "I-7: {passes} passes of {of}/{} before a record moved",
                        probe.name
                    ));
                }
            }
        }
        let wanted = truth::after(&self.script.world, &plan).images;
        for record in before {
            let Body::Issued { effect } = &record.body else {
                continue;
            };
            let Action::Gate(gate::Effect::TakeSample(request)) = &effect.action else {
                continue;
            };
            let subject = &request.subject;
            let service = subject.service.as_ref().map(|name| name.as_str());
            if changed(world, record.at, service).is_none_or(|since| subject.changed_at < since) {
                found.push(format!("I-7: {} judges from before the change", effect.step));
            }
            if service.is_some_and(|name| !subject.images.values().eq([&wanted[name]])) {
                found.push(format!(
                    "I-8: {} judges other images: {:?}",
                    effect.step, subject.images
                ));
            }
        }
        self.problems.extend(found);
    }

    /// I-17: the whole journal and prefixes of it lead to the machine as it was, however often: it is replayed at one go, and
    /// record by record with a look at the machine wherever a prefix ends.
    fn check_replay(&mut self, samples: &[(usize, Rollout)]) {
        let fresh = fresh(self.script.draft.clone());
        match replay(fresh.clone(), &self.records) {
            Ok(again) => self.check_replayed(&again),
            Err(diverged) => self.problem(format!("I-17: {diverged}")),
        }
        let mut again = Replayed::new(fresh);
        let (mut events, mut samples) = (0, samples.iter().peekable());
        let mut found = Vec::new();
        for record in &self.records {
            if let Err(diverged) = again.take(record) {
                found.push(format!("I-17: after {events} events: {diverged}"));
                break;
            }
            events += usize::from(matches!(record.body, Body::Happened { .. }));
            if let Some((_, machine)) = samples.next_if(|(at, _)| *at == events)
                && again.machine != *machine
            {
                found.push(format!(
                    "I-17: after {events} events the replay is another machine"
                ));
            }
        }
        if samples.next().is_some() {
            found.push("I-17: fewer events in the journal than happened".to_owned());
        }
        self.problems.extend(found);
        self.check_replayed(&again);
    }

    /// I-21 rests on it: no run takes longer than the worst case that its plan is said to have. A runner that slept is not
    /// held to it.
    fn check_time(&mut self) {
        let (Some(first), Some(last)) = (self.records.first(), self.records.last()) else {
            return;
        };
        let took = last.at.since(first.at);
        let read = |record: &Entry| match &record.body {
            Body::Happened {
                event: Event::RecordRead { step, snapshot },
                ..
            } => Some((step.clone(), snapshot.record.as_ref()?.data.ttl())),
            _ => None,
        };
        let ttls: BTreeMap<StepId, Duration> = self.records.iter().filter_map(read).collect();
        let worst = WorstCase::of(self.machine.plan(), &ttls);
        if took > worst.total() && self.script.sleeps.is_none() {
            self.problem(format!(
                "I-21: it took {took:?} and was said to take {worst:?} at worst"
            ));
        }
    }

    fn check_replayed(&mut self, again: &Replayed<Rollout, Effect>) {
        if again.machine != self.machine || !again.closed {
            self.problem("I-17: the replay is another machine");
        }
    }
}

/// When this service, or any when none is named, was last changed by us before a moment, by the world's own book.
fn changed(world: &World, before: Timestamp, service: Option<&str>) -> Option<Timestamp> {
    let calls = world.calls();
    let ours = calls.effects().filter(|change| {
        change.operation == Operation::UpdateService
            && change.at <= before
            && service.is_none_or(|name| change.subject == name)
    });
    ours.map(|change| change.at).max()
}

/// Whether a record of the journal issues a change that makes a DNS record say what the plan wants.
fn swaps(plan: &Draft, record: &Entry) -> bool {
    let Body::Issued { effect } = &record.body else {
        return false;
    };
    let Action::Cutover(cutover::Effect::Apply { batch }) = &effect.action else {
        return false;
    };
    batch.creates().is_some_and(|created| {
        let mut plans = plan.cutovers.iter();
        plans.any(|plan| plan.key.same_as(&created.key) && plan.to.same_target(&created.data))
    })
}

/// Prints how to see a failure again, whichever way the run failed.
struct Command(u64);

impl Drop for Command {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "\nseed {seed}: ROLLOUT_SEED={seed} cargo test --package rollout-tests --test simulation\n"
            );
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

/// What many seeds came to.
#[derive(Debug, Default)]
struct Tally {
    ends: BTreeMap<&'static str, u64>,
    seeds: u32,
    records: usize,
    /// Time that passed in the worlds.
    simulated: Duration,
    /// Time that the first run of each seed took, with every check.
    took: Duration,
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        self.seeds += other.seeds;
        self.records += other.records;
        self.simulated += other.simulated;
        self.took += other.took;
    }

    /// Runs one seed, twice where the second must show the same.
    fn run(&mut self, seed: u64, twice: bool) {
        let _command = Command(seed);
        let began = Instant::now();
        let run = Run::of(seed);
        self.took += began.elapsed();
        let script = &run.script;
        assert!(
            run.problems.is_empty(),
            "{:#?}\n{:?}\nincidents: {:?}\nfaults: {:?}\nabort: {:?}, migration: {}, asleep: {:?}",
            run.problems,
            run.outcome,
            script.incidents,
            script.faults,
            script.abort,
            script.migration,
            script.sleeps
        );
        *self.ends.entry(truth::end(&run.outcome)).or_default() += 1;
        self.seeds += 1;
        self.records += run.records.len();
        let (first, last) = (run.records.first(), run.records.last());
        if let (Some(first), Some(last)) = (first, last) {
            self.simulated += last.at.since(first.at);
        }
        if twice {
            assert_eq!(
                trace(&run.records),
                trace(&Run::of(seed).records),
                "I-32: another journal"
            );
        }
    }
}

/// The hash of a journal, byte for byte.
fn trace(records: &[Entry]) -> ImageDigest {
    ImageDigest::of(serde_json::to_string(records).expect("plain data").as_bytes())
}

/// The seeds that failed once.
fn kept() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "#");
    seeds
        .map(|seed| seed.parse().unwrap_or_else(|_| panic!("no seed: {seed}")))
        .collect()
}

#[test]
fn every_seed_ends_truthfully() {
    let plain = if cfg!(debug_assertions) { 200 } else { 10_000 };
    let seeds = match number("ROLLOUT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ROLLOUT_SEEDS").unwrap_or(plain),
    };
    let many = seeds.end - seeds.start >= 200;
    let mut tally = Tally::default();
    if many {
        kept().into_iter().for_each(|seed| tally.run(seed, true));
    }
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut part = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return part;
            }
            // Each seed twice; of a very long row one in eight.
            part.run(seed, seeds.end <= 10_000 || seed.is_multiple_of(8));
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let mut threads = Vec::new();
        threads.resize_with(workers, || scope.spawn(work));
        for thread in threads {
            match thread.join() {
                Ok(part) => tally.add(part),
                // The other workers are not waited for in vain: they end with their seeds.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    println!("{:?}", tally.ends);
    println!(
        "{} seeds, {:.0} seeds a second and core with every check, {} records, {:.0} times as fast as time itself",
        tally.seeds,
        f64::from(tally.seeds) / tally.took.as_secs_f64(),
        tally.records,
        tally.simulated.as_secs_f64() / tally.took.as_secs_f64(),
    );
    assert!(
        !many || tally.ends.len() == 7,
        "the seeds do not reach every end: {:?}",
        tally.ends
    );
}
