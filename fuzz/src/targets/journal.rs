//! A journal's bytes: decoding, writing back, replay.

use rollout_core::Machine as _;
use rollout_core::journal::{Body, Record, read_records, replay};
use rollout_core::machine::rollout::{Effect, Event, Rollout};

/// No panic; what was read is written and read as the same; a replay gives the same twice.
pub fn run(bytes: &[u8]) {
    let Ok(records) = read_records::<Event, Effect>(bytes, "fuzz") else {
        return;
    };
    let mut again = Vec::new();
    for record in &records {
        serde_json::to_writer(&mut again, record).expect("it was read");
        again.push(b'\n');
    }
    let read: Vec<Record<Event, Effect>> = read_records(&*again, "fuzz").expect("it was written");
    assert_eq!(read, records, "a record changes when it is written back");
    let Some(Body::Opened(header)) = records.first().map(|record| &record.body) else {
        return;
    };
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
