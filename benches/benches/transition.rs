//! Transitions per second, for each machine: its whole successful life, event by event.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rollout_benches::Script;
use rollout_core::Machine;

fn life<M>(c: &mut Criterion, name: &str, script: &Script<M>)
where
    M: Machine<Event: Clone, Effect: Clone> + Clone,
{
    let mut group = c.benchmark_group("transition");
    let events = u64::try_from(script.steps.len()).unwrap_or(u64::MAX);
    group.throughput(Throughput::Elements(events));
    group.bench_function(name, |bencher| {
        // The copies of machine and events are made outside the measured part.
        bencher.iter_batched(
            || (script.fresh.clone(), script.events()),
            |(machine, events)| black_box(Script::play(machine, events)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn transitions(c: &mut Criterion) {
    life(c, "promotion", &rollout_benches::promotion());
    life(c, "task", &rollout_benches::task());
    life(c, "deployment", &rollout_benches::deployment());
    life(c, "gate", &rollout_benches::gate());
    life(c, "cutover", &rollout_benches::cutover());
}

criterion_group!(benches, transitions);
criterion_main!(benches);
