//! Whole rollouts per second on the simulated cloud: machines, driver, journal in memory, ports and physics, on virtual time.
//! What happened to the machine there is then played to it again without the cloud: transitions and replay of a rollout.

mod release;

use core::time::Duration;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::stream;
use pollster::block_on;
use rollout_benches::Script;
use rollout_core::driver::{Driver, PortPerformer};
use rollout_core::id::RunId;
use rollout_core::journal::{Body, MemoryJournal, Record, replay};
use rollout_core::machine::rollout::{self, Rollout};
use rollout_core::observer::Silent;
use rollout_core::time::Timestamp;
use rollout_sim::{SimCloud, World};

type Records = Vec<Record<rollout::Event, rollout::Effect>>;

/// Drives a rollout to its end. Returns that, the time that has passed in the world, and the journal.
fn release(mut machine: Rollout, world: World) -> (rollout::Outcome, Duration, Records) {
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
    (outcome, clock.now().since(begun), journal.into_records())
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
    println!(
        "{name}: {passed:?} in the world, {} records in the journal",
        records.len()
    );
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
    again(c, name, machine, &records);
}

/// The machine alone, on what happened to it in the world: its transitions, and its replay.
fn again(c: &mut Criterion, name: &str, machine: &Rollout, records: &Records) {
    let events: Vec<(Timestamp, rollout::Event)> = records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Happened { event, .. } => Some((record.at, event.clone())),
            Body::Opened(_) | Body::Issued { .. } | Body::Resumed(_) | Body::Closed => None,
        })
        .collect();
    let mut group = c.benchmark_group("transition");
    group.throughput(Throughput::Elements(
        u64::try_from(events.len()).unwrap_or(u64::MAX),
    ));
    group.bench_function(format!("rollout: {name}"), |bencher| {
        bencher.iter_batched(
            || (machine.clone(), events.clone()),
            |(machine, events)| black_box(Script::play(machine, events)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(
        u64::try_from(records.len()).unwrap_or(u64::MAX),
    ));
    group.bench_function(format!("rollout: {name}"), |bencher| {
        bencher.iter_batched(
            || machine.clone(),
            |fresh| black_box(replay(fresh, records).expect("its own journal")),
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
