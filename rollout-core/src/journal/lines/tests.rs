use core::time::Duration;

use super::*;
use crate::journal::{EntryBody, Header, Resumption};
use crate::time::Timestamp;

type Read = Lines<String, String>;

fn lines(count: u64) -> Vec<Vec<u8>> {
    lines_of("r-1", count)
}

fn lines_of(run: &str, count: u64) -> Vec<Vec<u8>> {
    let mut writer = LineWriter::new(FORMAT);
    let header = Header {
        format: FORMAT,
        machine: "test".to_owned(),
        run: run.parse().expect("a valid id"),
        fresh: serde_json::json!({ "spec": "ünïcode, \"quoted\"" }),
    };
    let (event, by) = ("it happened".to_owned(), Resumption::default());
    (0..count)
        .map(|seq| {
            let body: EntryBody<'_, String, String> = match seq {
                0 => EntryBody::Opened(&header),
                3 => EntryBody::Resumed(&by),
                seq if seq + 1 == count => EntryBody::Closed,
                seq if seq % 2 == 0 => EntryBody::Issued { effect: &event },
                _ => EntryBody::Happened {
                    of: None,
                    event: &event,
                },
            };
            let at = Timestamp::EPOCH.after(Duration::from_secs(seq));
            writer.line(&Entry { seq, at, body }).expect("plain data")
        })
        .collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("small")
}

fn read(bytes: &[u8]) -> Result<Read, JournalError> {
    read_lines(bytes, "here")
}

/// The record that an error names.
fn named(result: Result<Read, JournalError>) -> u64 {
    match result {
        Err(JournalError::Format { record, place, .. }) if place == "here" => record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read_and_every_line_is_json() {
    let all = lines(8).concat();
    let read = read(&all).expect("whole");
    assert_eq!(read.records.len(), 8);
    assert_eq!(
        (read.bytes, read.torn),
        (u64::try_from(all.len()).expect("small"), None)
    );
    for line in all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(value["chain"].as_str().map(str::len), Some(DIGITS));
    }
}

/// I-30: whichever bit of whichever line is another, it is found, and the place is that line.
#[test]
fn a_flipped_bit_is_found_and_its_line_is_named() {
    let lines = lines(6);
    let mut start = 0;
    let all = lines.concat();
    for (number, line) in lines.iter().enumerate() {
        // A line feed that is none joins two lines: the first of them is named.
        for at in start..start + line.len() {
            for bit in 0..8 {
                let mut changed = all.clone();
                changed[at] ^= 1 << bit;
                let last_feed = at + 1 == all.len();
                match read(&changed) {
                    Ok(read) if last_feed => assert_eq!(read.torn.map(|torn| torn.record), Some(5)),
                    Err(JournalError::Newer { .. }) if number == 0 => {}
                    result => {
                        assert_eq!(named(result), count(number), "bit {bit} of byte {at}");
                        let (before, wrong) = read_until_wrong::<String, String>(&changed[..], "here");
                        assert!(
                            wrong.is_some() && before.records.len() == number,
                            "what is before it holds"
                        );
                    }
                }
            }
        }
        start += line.len();
    }
}

#[test]
fn a_dropped_a_repeated_and_a_moved_record_are_found_and_their_place_is_named() {
    let whole = lines(6);
    for at in 0..6 {
        let mut dropped = whole.clone();
        dropped.remove(at);
        match read(&dropped.concat()) {
            // Without its last line a journal is one that is not closed.
            Ok(read) => assert!(at == 5 && read.records.len() == 5),
            result => assert_eq!(named(result), u64::try_from(at).expect("small")),
        }
        let mut repeated = whole.clone();
        repeated.insert(at, whole[at].clone());
        assert_eq!(
            named(read(&repeated.concat())),
            u64::try_from(at).expect("small") + 1
        );
    }
    for at in 0..5 {
        let mut moved = whole.clone();
        moved.swap(at, at + 1);
        assert_eq!(named(read(&moved.concat())), u64::try_from(at).expect("small"));
    }
}

/// Every record of another journal fits there as it is, and does not fit here.
#[test]
fn a_record_of_another_journal_is_found() {
    let mut mixed = lines(6);
    mixed[3] = lines_of("r-2", 6)[3].clone();
    assert_eq!(named(read(&mixed.concat())), 3);
}

#[test]
fn what_is_behind_the_last_line_feed_is_torn_wherever_it_ends() {
    let whole = lines(4);
    let (before, last) = (whole[..3].concat(), &whole[3]);
    for length in 1..last.len() {
        let read = read(&[&before, &last[..length]].concat()).expect("torn is no error");
        let bytes = u64::try_from(length).expect("small");
        assert_eq!(read.torn, Some(Torn { record: 3, bytes }));
        assert_eq!(read.records.len(), 3);
        // What is appended after the cut is one chain with what was before.
        let mut writer = LineWriter::after(&read);
        let at = Timestamp::EPOCH.after(Duration::from_secs(3));
        let body: EntryBody<'_, String, String> = EntryBody::Closed;
        let line = writer.line(&Entry { seq: 3, at, body }).expect("plain data");
        assert_eq!(
            read_lines::<String, String>(&[before.clone(), line].concat()[..], "here")
                .expect("whole")
                .records
                .len(),
            4
        );
    }
}

#[test]
fn a_journal_from_before_the_chain_is_read_and_gone_on_with_as_it_is() {
    let header =
        br#"{"seq":0,"at":0,"body":{"opened":{"format":1,"machine":"test","run":"r-1","fresh":null}}}"#;
    let all = [&header[..], b"\n{\"seq\":1,\"at\":1,\"body\":\"closed\"}\n"].concat();
    let read = read(&all).expect("an older format");
    assert_eq!(read.records.len(), 2);
    let body: EntryBody<'_, String, String> = EntryBody::Closed;
    let entry = Entry {
        seq: 2,
        at: Timestamp::EPOCH,
        body,
    };
    let line = LineWriter::after(&read).line(&entry).expect("plain data");
    assert!(!String::from_utf8(line).expect("text").contains("chain"));
}

#[test]
fn a_newer_journal_is_refused_by_name() {
    let header = format!(
        r#"{{"seq":0,"at":0,"body":{{"opened":{{"format":{}}}}},"new":1}}"#,
        FORMAT + 1
    );
    let error = read(format!("{header}\n").as_bytes()).expect_err("newer");
    assert!(
        matches!(error, JournalError::Newer { found, .. } if found == FORMAT + 1),
        "{error}"
    );
}
