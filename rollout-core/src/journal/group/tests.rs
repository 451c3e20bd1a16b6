use std::io;
use std::string::String;
use std::vec::Vec;

use futures_util::future::join_all;

use super::*;
use crate::journal::{Body, EntryBody, Header};
use crate::time::Timestamp;

type Read = BTreeMap<RunId, Lines<String, String>>;

fn run(number: usize) -> RunId {
    format!("r-{number}").parse().expect("a valid id")
}

/// What a disk was asked for.
#[derive(Debug, Default)]
struct Asked {
    held: Vec<u8>,
    /// How much of it had been written when it was last synced.
    durable: usize,
    syncs: usize,
}

/// A disk that takes so many bytes and so many syncs.
#[derive(Debug)]
struct Small {
    bytes: usize,
    syncs: usize,
    asked: Arc<Mutex<Asked>>,
}

impl Disk for Small {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let fits = line.len().min(self.bytes);
        self.bytes -= fits;
        self.asked
            .lock()
            .expect("not poisoned")
            .held
            .extend_from_slice(&line[..fits]);
        if fits < line.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs = self.syncs.checked_sub(1).ok_or(io::ErrorKind::Other)?;
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.durable = asked.held.len();
        asked.syncs += 1;
        Ok(())
    }
}

fn on(bytes: usize, syncs: usize) -> (GroupLog, Arc<Mutex<Asked>>) {
    let asked = Arc::new(Mutex::new(Asked::default()));
    let disk = Small {
        bytes,
        syncs,
        asked: Arc::clone(&asked),
    };
    (GroupLog::on("group".into(), Box::new(disk)), asked)
}

async fn append(
    journal: &GroupJournal,
    seq: u64,
    body: EntryBody<'_, String, String>,
    durability: Durability,
) -> Result<(), JournalError> {
    let at = Timestamp::from_millis(seq);
    journal.append(Entry { seq, at, body }, durability).await
}

/// A header and some events; how many of them were acknowledged as durable.
async fn writes(journal: &GroupJournal, events: u64, lazily: bool) -> Result<u64, (u64, JournalError)> {
    let header = Header {
        format: FORMAT,
        machine: "test".to_owned(),
        run: journal.run.clone(),
        fresh: serde_json::Value::Null,
    };
    let event = "event".to_owned();
    let mut durable = 0;
    for seq in 0..=events {
        let body = if seq == 0 {
            EntryBody::Opened(&header)
        } else {
            EntryBody::Happened {
                of: None,
                event: &event,
            }
        };
        let how = if lazily && seq % 2 == 1 {
            Durability::Lazy
        } else {
            Durability::Durable
        };
        append(journal, seq, body, how)
            .await
            .map_err(|error| (durable, error))?;
        if how == Durability::Durable {
            durable = seq + 1;
        }
    }
    Ok(durable)
}

fn split(bytes: &[u8]) -> Read {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("group.jsonl");
    std::fs::write(&path, bytes).expect("writable");
    read_group(&path).expect("at worst torn")
}

/// I-16 and P18: whoever becomes ready together shares a sync, and nobody is told before it.
#[test]
fn what_is_appended_together_is_synced_once() {
    let (log, asked) = on(usize::MAX, usize::MAX);
    let journals: Vec<GroupJournal> = (0..100).map(|number| log.journal(run(number))).collect();
    let all = pollster::block_on(join_all(journals.iter().map(|journal| writes(journal, 3, false))));
    assert!(all.iter().all(|one| matches!(one, Ok(4))), "{all:?}");
    let asked = asked.lock().expect("not poisoned");
    assert_eq!(asked.syncs, 4, "one for each round of a hundred");
    assert_eq!(asked.durable, asked.held.len());
    let read = split(&asked.held);
    assert_eq!(read.len(), 100);
    assert!(
        read.values()
            .all(|lines| lines.records.len() == 4 && lines.torn.is_none())
    );
}

#[test]
fn what_need_not_be_durable_waits_for_what_must_be() {
    let (log, asked) = on(usize::MAX, usize::MAX);
    let journal = log.journal(run(0));
    pollster::block_on(writes(&journal, 3, true)).expect("it fits");
    // Records 1 and 3 were handed over only; 2 took 1 along, and nothing has taken 3.
    assert_eq!(
        split(&asked.lock().expect("not poisoned").held)[&run(0)]
            .records
            .len(),
        3
    );
    log.flush().expect("it fits");
    assert_eq!(
        split(&asked.lock().expect("not poisoned").held)[&run(0)]
            .records
            .len(),
        4
    );
}

/// Wherever the disk fills up or a sync fails: what was acknowledged as durable was synced, and nothing is taken after that.
#[test]
fn a_full_disk_and_a_failed_sync_lose_nothing_that_was_acknowledged() {
    let spaces = (0..1_800).step_by(7).map(|bytes| (bytes, usize::MAX));
    for (bytes, syncs) in spaces.chain((0..5).map(|syncs| (usize::MAX, syncs))) {
        let (log, asked) = on(bytes, syncs);
        let journals: Vec<GroupJournal> = (0..3).map(|number| log.journal(run(number))).collect();
        let told = pollster::block_on(join_all(journals.iter().map(|journal| writes(journal, 3, true))));
        let read = {
            let asked = asked.lock().expect("not poisoned");
            split(&asked.held[..asked.durable])
        };
        for (number, told) in told.iter().enumerate() {
            let durable = match told {
                Ok(durable) => *durable,
                Err((durable, _)) => *durable,
            };
            let held = read.get(&run(number)).map_or(0, |lines| lines.records.len());
            assert!(
                u64::try_from(held).expect("small") >= durable,
                "{bytes} bytes, {syncs} syncs, run {number}"
            );
        }
        if told.iter().any(Result::is_err) {
            let event = "later".to_owned();
            let body = EntryBody::Happened {
                of: None,
                event: &event,
            };
            let later = pollster::block_on(append(&journals[0], 9, body, Durability::Lazy));
            assert!(matches!(later, Err(JournalError::Failed { .. })), "{later:?}");
        }
    }
}

#[test]
fn a_file_of_many_runs_is_reopened_without_its_torn_line_and_each_run_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("group.jsonl");
    let log = GroupLog::create(&path).expect("new");
    let journals: Vec<GroupJournal> = (0..3).map(|number| log.journal(run(number))).collect();
    pollster::block_on(join_all(journals.iter().map(|journal| writes(journal, 2, false))));
    let error = GroupLog::reopen::<String, String>(&path).expect_err("it is held");
    assert!(
        matches!(error, JournalError::Store { action: "lock", .. }),
        "{error}"
    );
    drop((journals, log));

    let whole = std::fs::read(&path).expect("readable");
    std::fs::write(&path, [&whole[..], b"r-1\t{\"seq\":3"].concat()).expect("writable");
    let reopened = GroupLog::reopen::<String, String>(&path).expect("only torn");
    assert_eq!(reopened.torn, Some(Torn { record: 9, bytes: 12 }));
    assert_eq!(std::fs::read(&path).expect("readable"), whole);
    for (run, lines) in &reopened.runs {
        let journal = reopened.log.after(run.clone(), lines);
        pollster::block_on(append(&journal, 3, EntryBody::Closed, Durability::Durable)).expect("it goes on");
    }
    let read: Read = read_group(&path).expect("whole");
    for lines in read.values() {
        assert_eq!(
            lines.records.last().map(|record| &record.body),
            Some(&Body::Closed)
        );
    }
}

#[test]
fn a_changed_line_names_its_run_and_its_record() {
    let (log, asked) = on(usize::MAX, usize::MAX);
    let journals: Vec<GroupJournal> = (0..2).map(|number| log.journal(run(number))).collect();
    pollster::block_on(join_all(journals.iter().map(|journal| writes(journal, 2, false))));
    let held = String::from_utf8(asked.lock().expect("not poisoned").held.clone()).expect("text");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("group.jsonl");
    for (from, to, place) in [
        ("r-1\t{\"seq\":2,", "r-1\t{\"seq\":9,", "run r-1"),
        ("r-0\t{\"seq\":1", "r-1\t{\"seq\":1", "run r-"),
    ] {
        std::fs::write(&path, held.replacen(from, to, 1)).expect("writable");
        let error = read_group::<String, String>(&path).expect_err("changed");
        assert!(error.to_string().contains(place), "{error}");
        assert!(
            GroupLog::reopen::<String, String>(&path).is_err(),
            "nor is it gone on with"
        );
    }
    std::fs::write(&path, "no run here\n").expect("writable");
    let error = read_group::<String, String>(&path).expect_err("no run");
    assert!(error.to_string().contains("names no run"), "{error}");
}
