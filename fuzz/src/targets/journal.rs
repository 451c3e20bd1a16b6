//! A journal's bytes: decoding, writing back, replay.

use rollout_core::Machine as _;
use rollout_core::journal::{Body, LineWriter, read_lines, replay};
use rollout_core::machine::rollout::{Effect, Event, Rollout};

/// No panic; what was read is written and read as the same; a replay gives the same twice.
pub fn run(bytes: &[u8]) {
    let Ok(lines) = read_lines::<Event, Effect>(bytes, "fuzz") else {
        return;
    };
    let records = lines.records;
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        return;
    };
    let mut writer = LineWriter::new(header.format);
    let again: Vec<u8> = records
        .iter()
        .flat_map(|record| writer.line(&record.entry()).expect("it was read"))
        .collect();
    let read = read_lines::<Event, Effect>(&*again, "fuzz").expect("it was written");
    assert_eq!(read.records, records, "a record changes when it is written back");
    let Ok(fresh) = serde_json::from_value::<Rollout>(header.fresh.clone()) else {
        return;
    };
    let (one, other) = (replay(fresh.clone(), &records), replay(fresh, &records));
    assert_eq!(one, other, "two replays differ");
    if let Ok(replayed) = one {
        let _ = (
            replayed.machine.deadline(),
            replayed.machine.outcome(),
            replayed.machine.progress(),
        );
    }
}
