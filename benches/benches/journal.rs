//! Records per second into a journal whose every record must survive a crash, against the disk itself: the same bytes, written and
//! synced by hand, in the same run (P17); and many runs that share their syncs (P18).

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use pollster::block_on;
use rollout_benches::long_gate;
use rollout_core::journal::{Durability, FORMAT, FileJournal, GroupLog, Journal, LineWriter, Record};
use rollout_core::machine::gate::{Effect, Event};
use tempfile::TempDir;

/// Records of one run.
const RECORDS: usize = 200;
/// Runs that share a file, each with so many records.
const RUNS: usize = 2_000;
const OF_EACH: usize = 10;

fn records() -> Vec<Record<Event, Effect>> {
    let mut records = long_gate(100).journal();
    records.truncate(RECORDS);
    records
}

fn folder() -> TempDir {
    // Where builds are kept: a folder for temporary files may be no disk at all, and syncs are then for nothing.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn lines(records: &[Record<Event, Effect>]) -> Vec<Vec<u8>> {
    let mut writer = LineWriter::new(FORMAT);
    let line = |record: &Record<Event, Effect>| writer.line(&record.entry()).expect("plain data");
    records.iter().map(line).collect()
}

fn one_by_one(c: &mut Criterion) {
    let records = records();
    let lines = lines(&records);
    let mut group = c.benchmark_group("journal, each record synced");
    group.sample_size(20);
    group.throughput(Throughput::Elements(
        u64::try_from(records.len()).unwrap_or(u64::MAX),
    ));
    group.bench_function("the disk itself", |bencher| {
        bencher.iter_batched(
            || {
                let dir = folder();
                let file: File = OpenOptions::new()
                    .append(true)
                    .create_new(true)
                    .open(dir.path().join("raw"))
                    .expect("a file");
                (dir, file)
            },
            |(dir, mut file)| {
                for line in &lines {
                    file.write_all(line).expect("room");
                    file.sync_data().expect("a disk");
                }
                (dir, file)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("a file journal", |bencher| {
        bencher.iter_batched(
            || {
                let dir = folder();
                let journal = FileJournal::create(dir.path().join("journal.jsonl")).expect("a file");
                (dir, journal)
            },
            |(dir, journal)| {
                for record in &records {
                    block_on(journal.append(record.entry(), Durability::Durable)).expect("room");
                }
                (dir, journal)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn together(c: &mut Criterion) {
    let mut records = records();
    records.truncate(OF_EACH);
    let mut group = c.benchmark_group("journal, two thousand runs");
    group.sample_size(10);
    group.throughput(Throughput::Elements(
        u64::try_from(RUNS * OF_EACH).unwrap_or(u64::MAX),
    ));
    group.bench_function("group commit", |bencher| {
        bencher.iter_batched(
            || {
                let dir = folder();
                let log = GroupLog::create(dir.path().join("group.jsonl")).expect("a file");
                (dir, log)
            },
            |(dir, log)| {
                let write = |number: usize| {
                    let journal = log.journal(format!("r-{number}").parse().expect("a valid id"));
                    let records = &records;
                    async move {
                        for record in records {
                            journal
                                .append(record.entry(), Durability::Durable)
                                .await
                                .expect("room");
                        }
                    }
                };
                block_on(join_all((0..RUNS).map(write)));
                (dir, log)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, one_by_one, together);
criterion_main!(benches);
