//! Records per second on the way back from a journal: in memory, and from a file of JSON lines.

use std::hint::black_box;
use std::io::{BufWriter, Write as _};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rollout_benches::{Script, long_gate};
use rollout_core::Machine;
use rollout_core::journal::{FORMAT, LineWriter, Record, read_file, replay};
use rollout_core::machine::Transitions;
use rollout_core::machine::gate::{Effect, Event, Gate};

/// Samples of the long journal; each is three records: the question, the answer, the deadline.
const SAMPLES: u32 = 10_000;

fn in_memory<M>(c: &mut Criterion, name: &str, script: &Script<M>)
where
    M: Machine<Event: Clone, Effect: Clone + PartialEq + core::fmt::Debug>
        + Transitions
        + serde::Serialize
        + Clone,
{
    let records = script.journal();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(
        u64::try_from(records.len()).unwrap_or(u64::MAX),
    ));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(
            || script.fresh.clone(),
            |fresh| black_box(replay(fresh, &records).expect("its own journal")),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn from_file(c: &mut Criterion, script: &Script<Gate>) {
    let records = script.journal();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    {
        let mut out = BufWriter::new(&mut file);
        let mut lines = LineWriter::new(FORMAT);
        for record in &records {
            let line = lines.line(&record.entry()).expect("plain data");
            out.write_all(&line).expect("room on the disk");
        }
        out.flush().expect("room on the disk");
    }
    let mut group = c.benchmark_group("replay");
    group.sample_size(20);
    group.throughput(Throughput::Elements(
        u64::try_from(records.len()).unwrap_or(u64::MAX),
    ));
    group.bench_function("a long gate, read from its file", |bencher| {
        bencher.iter(|| {
            let records: Vec<Record<Event, Effect>> = read_file(file.path()).expect("whole");
            black_box(replay(script.fresh.clone(), &records).expect("its own journal"))
        });
    });
    group.finish();
}

fn replays(c: &mut Criterion) {
    in_memory(c, "promotion", &rollout_benches::promotion());
    in_memory(c, "deployment", &rollout_benches::deployment());
    in_memory(c, "cutover", &rollout_benches::cutover());
    let long = long_gate(SAMPLES);
    in_memory(c, "a long gate", &long);
    from_file(c, &long);
}

criterion_group!(benches, replays);
criterion_main!(benches);
