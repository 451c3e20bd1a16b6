//! Whole rollouts per second on the simulated cloud: machines, driver, journal in memory, ports and physics, on virtual time.

mod release;

use core::time::Duration;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::stream;
use pollster::block_on;
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::id::RunId;
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::rollout::{self, Rollout};
use rollout_core::observer::Silent;
use rollout_sim::{SimCloud, World};

/// Drives a rollout to its end. Returns that, the time that has passed in the world, and the length of the journal.
fn release(mut machine: Rollout, world: World) -> (rollout::Outcome, Duration, usize) {
    let cloud = SimCloud::new(world);
    let clock = cloud.clock();
    let ports = cloud.ports("staging", "production").expect("both are there");
    let begun = clock.now();
    let run: RunId = "bench".parse().expect("a name");
    let step = "release".parse().expect("a name");
    let performer = PortPerformer::new(ports, clock.clone(), run.clone(), step, Duration::from_secs(30));
    let journal = MemoryJournal::new();
    let driver = Driver {
        run,
        performer: &performer,
        journal: &journal,
        clock: &*clock,
        observer: &Silent,
    };
    let outcome = block_on(driver.run(&mut machine, stream::empty())).expect("it ends");
    (outcome, clock.now().since(begun), journal.records().len())
}

fn bench(
    c: &mut Criterion,
    name: &str,
    machine: &Rollout,
    world: &World,
    good: fn(&rollout::Outcome) -> bool,
) {
    let (outcome, passed, records) = release(machine.clone(), world.clone());
    assert!(good(&outcome), "{outcome:#?}");
    println!("{name}: {passed:?} in the world, {records} records in the journal");
    let mut group = c.benchmark_group("simulate");
    group.throughput(Throughput::Elements(1));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || (machine.clone(), world.clone()),
            |(machine, world)| black_box(release(machine, world)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn rollouts(c: &mut Criterion) {
    let released = |outcome: &rollout::Outcome| matches!(outcome, rollout::Outcome::Released { .. });
    let rolled_back = |outcome: &rollout::Outcome| matches!(outcome, rollout::Outcome::RolledBack { .. });
    let world = release::world(&["api"]);
    let one = release::of(&["api"], false, &world);
    bench(c, "one service, no gate, no record", &one, &world, released);
    let three = ["backend", "frontend", "worker"];
    let world = release::world(&three);
    let all = release::of(&three, true, &world);
    bench(c, "three services, gates, a record", &all, &world, released);
    let bad = release::bad_world(&three, "worker");
    bench(
        c,
        "the same, rolled back from a bad image",
        &all,
        &bad,
        rolled_back,
    );
}

criterion_group!(benches, rollouts);
criterion_main!(benches);
