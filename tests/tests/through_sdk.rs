//! Whole rollouts of the storefront through `rollout-aws` and the real SDK, over the simulated cloud's endpoint, in process and
//! on virtual time. Incidents are drawn from seeds as in `simulation.rs`; what goes wrong with calls goes wrong on the wire, where
//! the adapters' error mapping, the SDK's retries and the pages of lists meet it. At the end the world is asked whether the
//! outcome is true.
//!
//! ```sh
//! cargo test --package rollout-tests --features endpoint --test through_sdk             # 200 seeds
//! ROLLOUT_SEEDS=5000 cargo test --release --package rollout-tests --features endpoint --test through_sdk
//! ROLLOUT_SEED=17 cargo test --package rollout-tests --features endpoint --test through_sdk
//! ```

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use rollout_core::journal::{MemoryJournal, replay};
use rollout_core::machine::rollout::Outcome;
use rollout_core::observer::Silent;
use rollout_sim::SimCloud;
use rollout_sim::endpoint::{Damage, Endpoint, InProcess, Upset, WireFault};
use rollout_tests::clock::{RunnersClock, Skew};
use rollout_tests::run::{Abort, Entry, fresh, storefront};
use rollout_tests::script::{Dice, Script};
use rollout_tests::truth::{self, Claim, SERVICES, flaws};
use rollout_tests::wired::{self, on_virtual_time};

/// What goes wrong on the wire with this seed: kinds and rates are drawn, so that some seeds meet one kind alone.
fn wire_faults(seed: u64) -> Vec<WireFault> {
    let dice = &mut Dice::new(seed ^ 0x77_69_72_65);
    let kinds = [
        Upset::Throttled,
        Upset::FailsBefore(503),
        Upset::FailsAfter(500),
        Upset::Unreachable,
        Upset::ResetBefore,
        Upset::LostAnswer,
        Upset::AnswersLate(Duration::from_secs(90)),
        Upset::LandsLate(Duration::from_secs(90)),
        Upset::Twice,
        Upset::Stale(Duration::from_secs(5)),
        Upset::Damaged(Damage::CutShort),
        Upset::Damaged(Damage::UnknownWord),
        Upset::Damaged(Damage::MemberMissing),
    ];
    let mut faults = Vec::new();
    for what in kinds {
        if dice.once_in(4) {
            let rate = [20, 100, 400][usize::try_from(dice.below(3)).expect("small")];
            faults.push(WireFault::share(rate, what));
        }
    }
    faults
}

/// One seed in three has a runner whose clock is not quite the cloud's: up to 15 s off, and up to 2 s in 1,000 too fast or too
/// slow. Between two clocks the machines allow for 30 s.
fn drift(seed: u64) -> Skew {
    let dice = &mut Dice::new(seed ^ 0x64_7269_6674);
    let mut within = |most: i64| {
        let all = u64::try_from(2 * most + 1).expect("positive");
        i64::try_from(dice.below(all)).expect("small") - most
    };
    let (off, per_mille) = (within(15_000), within(2));
    if dice.once_in(3) {
        Skew::Drifts { off, per_mille }
    } else {
        Skew::None
    }
}

struct Run {
    script: Script,
    faults: Vec<WireFault>,
    wire: InProcess,
    outcome: Outcome,
    records: Vec<Entry>,
    problems: Vec<String>,
}

async fn run(seed: u64) -> Run {
    let script = Script::of(seed);
    let endpoint = Endpoint::new(SimCloud::new(script.world.clone()));
    let faults = wire_faults(seed);
    for fault in &faults {
        endpoint.disturb(fault.clone());
    }
    let wire = InProcess::new(endpoint);
    let mut machine = fresh(script.draft.clone());
    let journal = MemoryJournal::new();
    let abort = script.abort.map_or(Abort::never(), Abort::at);
    let clock = Arc::new(RunnersClock::new(wire.clock(), drift(seed)));
    let ended = wired::drive_by(&wire, clock, &mut machine, &journal, abort, &Silent).await;
    let outcome = ended.unwrap_or_else(|error| panic!("seed {seed}: the driver stopped: {error:?}"));
    // What lands late, lands.
    tokio::time::sleep(Duration::from_secs(120)).await;
    wire.catch_up();
    let mut run = Run {
        problems: Vec::new(),
        records: journal.records(),
        script,
        faults,
        wire,
        outcome,
    };
    run.check_truth();
    match replay(fresh(run.script.draft.clone()), &run.records) {
        Ok(again) if again.machine == machine && again.closed => {}
        Ok(_) => run
            .problems
            .push("I-17: the replay is another machine".to_owned()),
        Err(diverged) => run.problems.push(format!("I-17: {diverged}")),
    }
    run
}

impl Run {
    /// The outcome against the world.
    fn check_truth(&mut self) {
        let world = self.wire.endpoint().cloud().world();
        let (expected, services) = self.script.expects(&self.outcome, &world);
        let calls = self.wire.endpoint().calls();
        let claim = Claim {
            outcome: &self.outcome,
            journal: &self.records,
            expected,
            services: &services,
            changes: calls
                .iter()
                .filter(|call| call.changed)
                .map(|call| format!("{call:?}"))
                .collect(),
        };
        self.problems
            .extend(claim.lies(&world, |by| self.script.unfounded(by)));
        let calm = self.script.incidents.is_empty()
            && self.faults.is_empty()
            && self.script.abort.is_none()
            && self.script.migration == 0;
        if calm && !matches!(self.outcome, Outcome::Released { .. }) {
            self.problems
                .push("nothing went wrong, and it was not released".to_owned());
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

#[test]
fn a_good_release_is_released_through_the_sdk() {
    let world = rollout_sim::storefront(1);
    let (draft, began) = (storefront(&world), world.now());
    let expected = truth::after(&world, &draft);
    on_virtual_time(1, async {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world)));
        let (mut machine, journal) = (fresh(draft), MemoryJournal::new());
        let ended = wired::drive(&wire, &mut machine, &journal, Abort::never(), &Silent).await;
        let outcome = ended.expect("the driver does not halt");
        assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:#?}");
        assert_eq!(
            flaws(&wire.endpoint().cloud().world(), &expected, &SERVICES),
            [""; 0]
        );
        println!(
            "released in {:?} of the world, with {} calls",
            wire.now().since(began),
            wire.endpoint().calls().len()
        );
    });
}

/// What one seed comes to: its end, its calls, and those that were upset.
fn check(seed: u64) -> (&'static str, usize, usize) {
    let run = on_virtual_time(seed, run(seed));
    assert!(
        run.problems.is_empty(),
        "{:#?}\n{:?}\nincidents: {:?}\nwire: {:?}\nabort: {:?}, migration: {}, clock: {:?}\n\nseed {seed}: ROLLOUT_SEED={seed} \
         cargo test --package rollout-tests --features endpoint --test through_sdk\n",
        run.problems,
        run.outcome,
        run.script.incidents,
        run.faults,
        run.script.abort,
        run.script.migration,
        drift(seed)
    );
    if seed.is_multiple_of(8) {
        let again = on_virtual_time(seed, self::run(seed));
        assert!(
            run.records == again.records,
            "I-32: seed {seed} is another journal the second time"
        );
    }
    let calls = run.wire.endpoint().calls();
    let upset = calls.iter().filter(|call| call.upset.is_some()).count();
    (truth::end(&run.outcome), calls.len(), upset)
}

#[test]
fn every_seed_ends_truthfully_through_the_sdk() {
    let seeds = match number("ROLLOUT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ROLLOUT_SEEDS").unwrap_or(200),
    };
    let many = seeds.end - seeds.start >= 200;
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return done;
            }
            done.push(check(seed));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let done: Vec<_> = std::thread::scope(|scope| {
        // All of them are begun before the first is waited for.
        let mut workers = Vec::new();
        workers.resize_with(cores, || scope.spawn(work));
        let ended = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, ..) in &done {
        *ends.entry(name).or_default() += 1;
    }
    let (calls, upset) = done
        .iter()
        .fold((0, 0), |sum, (_, calls, upset)| (sum.0 + calls, sum.1 + upset));
    println!("{ends:?}, {calls} calls, of which {upset} were upset");
    assert!(
        !many || ends.len() >= 5,
        "the seeds hardly reach different ends: {ends:?}"
    );
}
