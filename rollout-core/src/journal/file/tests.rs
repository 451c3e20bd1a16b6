use std::sync::Arc;

use super::*;
use crate::journal::{Body, EntryBody, Header, Torn};
use crate::time::Timestamp;

fn header(format: u32) -> Header {
    Header {
        format,
        machine: "test".to_owned(),
        run: "r-1".parse().expect("a valid id"),
        fresh: serde_json::Value::Null,
    }
}

fn append(journal: &FileJournal, seq: u64, body: EntryBody<'_, String, String>) -> Result<(), JournalError> {
    pollster::block_on(journal.append(
        Entry {
            seq,
            at: Timestamp::from_millis(seq),
            body,
        },
        Durability::Durable,
    ))
}

#[test]
fn what_was_appended_is_read_back_and_a_torn_line_is_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    let journal = FileJournal::create(&path).expect("new");
    append(&journal, 0, EntryBody::Opened(&header(FORMAT))).expect("written");
    append(
        &journal,
        1,
        EntryBody::Happened {
            of: None,
            event: &"began".to_owned(),
        },
    )
    .expect("written");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut f| f.write_all(b"{\"seq\":2"))
        .expect("torn");
    let records: Vec<Record<String, String>> = read_file(&path).expect("readable");
    assert_eq!(records.len(), 2);
    assert_eq!(
        records[1].body,
        Body::Happened {
            of: None,
            event: "began".to_owned()
        }
    );
}

#[test]
fn a_newer_journal_is_refused_by_name_and_a_broken_line_by_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    let journal = FileJournal::create(&path).expect("new");
    append(&journal, 0, EntryBody::Opened(&header(FORMAT + 1))).expect("written");
    let error = read_file::<String, String>(&path).expect_err("newer");
    assert!(
        matches!(error, JournalError::Newer { found, .. } if found == FORMAT + 1),
        "{error}"
    );

    let path = dir.path().join("broken.jsonl");
    let journal = FileJournal::create(&path).expect("new");
    append(&journal, 0, EntryBody::Opened(&header(FORMAT))).expect("written");
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut f| f.write_all(b"{}\n"))
        .expect("written");
    let error = read_file::<String, String>(&path).expect_err("broken");
    assert!(matches!(error, JournalError::Format { record: 1, .. }), "{error}");
}

#[test]
fn a_second_writer_is_refused_and_a_reader_sees_that_it_is_held() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    let journal = FileJournal::create(&path).expect("new");
    assert!(FileJournal::create(&path).is_err());
    assert!(FileJournal::is_held(&path).expect("there"));
    drop(journal);
    assert!(!FileJournal::is_held(&path).expect("there"));
}

fn three(path: &Path) -> FileJournal {
    let journal = FileJournal::create(path).expect("new");
    append(&journal, 0, EntryBody::Opened(&header(FORMAT))).expect("written");
    for (seq, event) in [(1, "began"), (2, "ended")] {
        let event = event.to_owned();
        append(
            &journal,
            seq,
            EntryBody::Happened {
                of: None,
                event: &event,
            },
        )
        .expect("written");
    }
    journal
}

#[test]
fn a_journal_is_reopened_without_its_torn_line_and_goes_on_in_its_chain() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    drop(three(&path));
    let whole = std::fs::read(&path).expect("readable");
    // Any beginning of a fourth line, the line feed missing.
    for torn in [&b"{"[..], b"{\"seq\":3,\"at\":3,\"body\":\"closed\"", b"\0\0\0\0"] {
        std::fs::write(&path, [&whole, torn].concat()).expect("writable");
        let Reopened { journal, lines } = FileJournal::reopen::<String, String>(&path).expect("only torn");
        assert_eq!(lines.records.len(), 3);
        let bytes = u64::try_from(torn.len()).expect("small");
        assert_eq!(lines.torn, Some(Torn { record: 3, bytes }));
        assert_eq!(
            std::fs::read(&path).expect("readable"),
            whole,
            "it is cut off, and nothing else"
        );
        append(&journal, 3, EntryBody::Closed).expect("it goes on");
        drop(journal);
        let records: Vec<Record<String, String>> = read_file(&path).expect("one chain");
        assert_eq!(records.last().map(|record| &record.body), Some(&Body::Closed));
    }
}

#[test]
fn a_journal_that_another_process_writes_is_not_reopened() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    let journal = three(&path);
    let error = FileJournal::reopen::<String, String>(&path).expect_err("it is held");
    let text = format!("{error}: {}", std::error::Error::source(&error).expect("a cause"));
    assert!(text.ends_with("another process writes to it"), "{text}");
    drop(journal);
    FileJournal::reopen::<String, String>(&path).expect("it is free");
}

#[test]
fn a_damaged_journal_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("journal.jsonl");
    drop(three(&path));
    let text = std::fs::read_to_string(&path).expect("readable");
    let damaged = format!("{}{{\"torn", text.replace("ended", "Ended"));
    std::fs::write(&path, &damaged).expect("writable");
    let error = FileJournal::reopen::<String, String>(&path).expect_err("damaged");
    assert!(matches!(error, JournalError::Format { record: 2, .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), damaged);
}

/// A disk that takes so many bytes, and so many syncs.
#[derive(Debug)]
struct Small {
    bytes: usize,
    syncs: usize,
    holds: Arc<Mutex<Vec<u8>>>,
}

impl Disk for Small {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let fits = line.len().min(self.bytes);
        self.bytes -= fits;
        self.holds
            .lock()
            .expect("not poisoned")
            .extend_from_slice(&line[..fits]);
        if fits < line.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs = self.syncs.checked_sub(1).ok_or(io::ErrorKind::Other)?;
        Ok(())
    }
}

/// What was acknowledged is there, whenever the disk fills up or a sync fails; nothing is taken after that (fsync tells an error once).
#[test]
fn a_full_disk_and_a_failed_sync_lose_nothing_that_was_acknowledged() {
    for (bytes, syncs) in (0..700)
        .map(|bytes| (bytes, 9))
        .chain((0..4).map(|syncs| (9_999, syncs)))
    {
        let holds = Arc::new(Mutex::new(Vec::new()));
        let disk = Small {
            bytes,
            syncs,
            holds: Arc::clone(&holds),
        };
        let journal = FileJournal::on("small".into(), Box::new(disk), LineWriter::new(FORMAT));
        let mut acknowledged = 0;
        let mut failed = false;
        for seq in 0..4 {
            let event = "event".to_owned();
            let header = header(FORMAT);
            let body = if seq == 0 {
                EntryBody::Opened(&header)
            } else {
                EntryBody::Happened {
                    of: None,
                    event: &event,
                }
            };
            match append(&journal, seq, body) {
                Ok(()) => {
                    assert!(!failed, "it took a record after it had failed");
                    acknowledged += 1;
                }
                Err(JournalError::Failed { .. }) => assert!(failed),
                Err(_) => {
                    assert!(
                        !failed,
                        "the first error is the store's, every other one says that it has failed"
                    );
                    failed = true;
                }
            }
        }
        let held = holds.lock().expect("not poisoned").clone();
        let lines = read_lines::<String, String>(&held[..], "small").expect("at worst torn");
        assert!(
            lines.records.len() >= acknowledged,
            "{bytes} bytes, {syncs} syncs"
        );
        assert!(
            lines.records.len() <= acknowledged + 1,
            "{bytes} bytes, {syncs} syncs"
        );
    }
}
