use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use rollout_core::error::{Applied, ErrorKind};
use rollout_core::id::RunId;
use rollout_core::journal::{
    Body, Durability, FORMAT, Header, Journal as _, JournalError, Record, Resumption,
};
use rollout_core::time::Timestamp;

use super::*;

mod conforming;
mod faulty;
mod served;

use faulty::{Fault, Faulty};

type Written = Record<String, String>;

fn run() -> RunId {
    "r-1".parse().expect("valid")
}

fn folder() -> Path {
    Path::from("team/journals")
}

fn record(seq: u64, body: Body<String, String>) -> Written {
    let at = Timestamp::from_millis(1_763_683_200_000 + seq);
    Record { seq, at, body }
}

fn header(seq: u64) -> Written {
    let header = Header {
        format: FORMAT,
        machine: "test".to_owned(),
        run: run(),
        fresh: serde_json::Value::Null,
    };
    record(seq, Body::Opened(header))
}

fn issued(seq: u64) -> Written {
    record(
        seq,
        Body::Issued {
            effect: format!("effect {seq}"),
        },
    )
}

fn happened(seq: u64) -> Written {
    let event = format!("event {seq}");
    record(seq, Body::Happened { of: None, event })
}

async fn append(
    journal: &ObjectJournal,
    record: &Written,
    durability: Durability,
) -> Result<(), JournalError> {
    journal.append(record.entry(), durability).await
}

async fn durable(journal: &ObjectJournal, record: &Written) -> Result<(), JournalError> {
    append(journal, record, Durability::Durable).await
}

async fn create(store: &Arc<Faulty>, writer: &str) -> Result<ObjectJournal, JournalError> {
    ObjectJournal::create(
        Arc::clone(store) as Arc<dyn ObjectStore>,
        &folder(),
        &run(),
        writer,
    )
    .await
}

async fn reopen(store: &Arc<Faulty>, writer: &str) -> Result<Reopened<String, String>, JournalError> {
    ObjectJournal::reopen(
        Arc::clone(store) as Arc<dyn ObjectStore>,
        &folder(),
        &run(),
        writer,
    )
    .await
}

async fn read(store: &Arc<Faulty>) -> Result<Vec<Written>, JournalError> {
    Ok(read_run(&**store, &folder(), &run()).await?.records)
}

/// A journal of three segments: 0 and 1, 2 and 3, 4.
async fn written() -> (Arc<Faulty>, Vec<Written>) {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    let records = vec![header(0), happened(1), happened(2), issued(3), issued(4)];
    for (record, durability) in records.iter().zip([
        Durability::Lazy,
        Durability::Durable,
        Durability::Lazy,
        Durability::Durable,
        Durability::Durable,
    ]) {
        append(&journal, record, durability).await.expect("appended");
    }
    (store, records)
}

fn place(number: u32) -> Path {
    folder().join("r-1").join(format!("{number:08}.jsonl"))
}

async fn text(store: &Faulty, place: &Path) -> String {
    let got = store.get(place).await.expect("there");
    String::from_utf8(got.bytes().await.expect("read").to_vec()).expect("text")
}

async fn overwrite(store: &Faulty, place: &Path, text: String) {
    store.put(place, PutPayload::from(text)).await.expect("written");
}

/// P20.
#[tokio::test]
async fn one_put_for_each_record_that_guards_an_effect_and_none_for_polls() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    durable(&journal, &header(0)).await.expect("appended");
    let mut seq = 1;
    for _ in 0..5 {
        for _ in 0..200 {
            append(&journal, &happened(seq), Durability::Lazy)
                .await
                .expect("appended");
            seq += 1;
        }
        durable(&journal, &issued(seq)).await.expect("appended");
        seq += 1;
    }
    durable(&journal, &record(seq, Body::Closed))
        .await
        .expect("appended");
    let counts = store.counts();
    assert_eq!((counts.puts, counts.gets, counts.lists), (1 + 5 + 1, 0, 1));
    assert_eq!(read(&store).await.expect("whole").len() as u64, seq + 1);
}

#[tokio::test]
async fn what_waits_is_written_before_it_fills_the_memory() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    append(&journal, &header(0), Durability::Lazy)
        .await
        .expect("appended");
    for seq in 1..=9 {
        let event = "x".repeat(1024 * 1024);
        let poll = record(seq, Body::Happened { of: None, event });
        append(&journal, &poll, Durability::Lazy).await.expect("appended");
    }
    assert_eq!(store.counts().puts, 2);
}

/// I-18: whatever the store answers, the segment is there once, and the writer knows it for its own.
#[tokio::test]
async fn an_answer_that_says_too_little_is_settled_by_reading_back() {
    for (faults, puts) in [
        (&[Fault::LostAfter][..], 1),
        (&[Fault::RepeatedBelow], 1),
        (&[Fault::ConflictOfNothing], 2),
        (&[Fault::LostBefore], 2),
        (&[Fault::LostBefore, Fault::ConflictOfNothing], 3),
        (&[Fault::LostBefore, Fault::LostAfter], 2),
        (&[Fault::LandsLater], 2),
    ] {
        let store = Faulty::new();
        let journal = create(&store, "a").await.expect("new");
        durable(&journal, &header(0)).await.expect("appended");
        store.script(faults);
        durable(&journal, &issued(1))
            .await
            .unwrap_or_else(|error| panic!("{faults:?}: {error}"));
        assert_eq!(store.counts().puts, 1 + puts, "{faults:?}");
        durable(&journal, &issued(2)).await.expect("appended");
        assert_eq!(
            read(&store).await.expect("whole"),
            [header(0), issued(1), issued(2)],
            "{faults:?}"
        );
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_ends_the_journal() {
    for (faults, puts) in [(&[Fault::LostBefore; 3][..], 3), (&[Fault::Denied], 1)] {
        let store = Faulty::new();
        let journal = create(&store, "a").await.expect("new");
        durable(&journal, &header(0)).await.expect("appended");
        store.script(faults);
        let error = durable(&journal, &issued(1)).await.expect_err("nothing is taken");
        assert!(
            matches!(&error, JournalError::Store { action: "write", place, .. } if place.ends_with("00000001.jsonl")),
            "{error}"
        );
        assert_eq!(store.counts().puts, 1 + puts);
        let error = durable(&journal, &issued(2)).await.expect_err("it has failed");
        assert!(matches!(error, JournalError::Failed { .. }), "{error}");
        assert_eq!(read(&store).await.expect("whole"), [header(0)]);
    }
}

/// What cannot be read back is not known, and nothing is done on the strength of it.
#[tokio::test]
async fn a_put_that_cannot_be_read_back_is_a_failure() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    store.script(&[Fault::LostAfterAndBlind]);
    let error = durable(&journal, &header(0)).await.expect_err("unknown");
    assert!(
        matches!(
            error,
            JournalError::Store {
                action: "read back",
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        durable(&journal, &issued(1)).await,
        Err(JournalError::Failed { .. })
    ));
}

#[tokio::test]
async fn a_runner_whose_run_was_taken_on_is_fenced_before_its_effect() {
    let (store, mut records) = written().await;
    let zombie = reopen(&store, "zombie@host").await.expect("whole").journal;
    let Reopened { journal, lines } = reopen(&store, "ci@runner-2").await.expect("whole");
    assert_eq!(lines.records, records);
    let resumed = record(5, Body::Resumed(Resumption { by: None }));
    durable(&journal, &resumed).await.expect("appended");
    // The same record, to the byte: it is another writer's all the same.
    let error = durable(&zombie, &resumed).await.expect_err("fenced");
    assert!(matches!(&error, JournalError::Fenced { .. }));
    assert_eq!(
        error.to_string(),
        "fenced: ci@runner-2 has written team/journals/r-1/00000003.jsonl in our place: it goes on with the run now"
    );
    assert!(matches!(
        durable(&zombie, &issued(6)).await,
        Err(JournalError::Failed { .. })
    ));
    records.push(resumed);
    assert_eq!(read(&store).await.expect("whole"), records);
}

#[tokio::test]
async fn of_two_that_begin_a_run_one_is_fenced_at_its_first_record() {
    let store = Faulty::new();
    let (one, other) = (
        create(&store, "one").await.expect("new"),
        create(&store, "other").await.expect("new"),
    );
    durable(&one, &header(0)).await.expect("appended");
    assert!(matches!(durable(&other, &header(0)).await, Err(JournalError::Fenced { by, .. }) if by == "one"));
    let error = create(&store, "third").await.expect_err("it exists");
    assert!(error.to_string().contains("team/journals/r-1"), "{error}");
}

#[tokio::test]
async fn a_foreign_object_in_our_place_is_no_segment_of_ours() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    overwrite(&store, &place(0), "hello".to_owned()).await;
    let error = durable(&journal, &header(0)).await.expect_err("fenced");
    assert!(matches!(error, JournalError::Fenced { by, .. } if by == "somebody unknown"));
}

#[tokio::test]
async fn an_append_that_is_dropped_half_way_is_a_failure() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    durable(&journal, &header(0)).await.expect("appended");
    store.script(&[Fault::Hangs]);
    {
        let record = issued(1);
        let mut half = core::pin::pin!(durable(&journal, &record));
        assert!(futures_util::poll!(half.as_mut()).is_pending());
    }
    assert!(matches!(
        durable(&journal, &issued(2)).await,
        Err(JournalError::Failed { .. })
    ));
}

#[tokio::test]
async fn a_journal_is_read_while_it_is_written() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    let error = read(&store).await.expect_err("nothing yet");
    assert!(error.to_string().contains("00000000.jsonl is missing"), "{error}");
    durable(&journal, &header(0)).await.expect("appended");
    append(&journal, &happened(1), Durability::Lazy)
        .await
        .expect("appended");
    assert_eq!(read(&store).await.expect("whole"), [header(0)]);
    durable(&journal, &issued(2)).await.expect("appended");
    assert_eq!(
        read(&store).await.expect("whole"),
        [header(0), happened(1), issued(2)]
    );
}

#[tokio::test]
async fn more_segments_than_are_read_at_once_come_in_order() {
    let store = Faulty::new();
    let journal = create(&store, "a").await.expect("new");
    let mut records = vec![header(0)];
    records.extend((1..100).map(issued));
    for record in &records {
        durable(&journal, record).await.expect("appended");
    }
    assert_eq!(read(&store).await.expect("whole"), records);
}

#[tokio::test]
async fn a_segment_that_is_gone_is_named() {
    for gone in [0, 1] {
        let (store, _) = written().await;
        store.delete(&place(gone)).await.expect("deleted");
        let wanted = format!("team/journals/r-1/0000000{gone}.jsonl is missing");
        for error in [
            read(&store).await.expect_err("a gap"),
            reopen(&store, "b").await.expect_err("a gap"),
            create(&store, "b").await.expect_err("a gap"),
        ] {
            assert!(
                matches!(error, JournalError::Missing { .. }) && error.to_string().contains(&wanted),
                "{error}"
            );
        }
    }
    // The last one leaves no gap; a chain cannot know of it, a missing `closed` tells.
    let (store, records) = written().await;
    store.delete(&place(2)).await.expect("deleted");
    assert_eq!(read(&store).await.expect("whole"), records[..4]);
}

#[tokio::test]
async fn a_segment_that_was_changed_or_moved_is_named() {
    let (store, _) = written().await;
    let second = text(&store, &place(1)).await;
    for (wrong, why) in [
        (
            text(&store, &place(0)).await,
            "00000001.jsonl, record 2: segment 0 stands here: it was moved",
        ),
        (
            second.replace("event 2", "event 9"),
            "record 2: its hash does not fit",
        ),
        (
            second.trim_end().to_owned(),
            "00000001.jsonl, record 2: it has no end, and more follows",
        ),
        (
            "x\n".to_owned(),
            "00000001.jsonl, record 2: it does not begin as a segment does",
        ),
        (
            String::new(),
            "00000001.jsonl, record 2: it does not begin as a segment does",
        ),
    ] {
        overwrite(&store, &place(1), wrong).await;
        let error = read(&store).await.expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
        assert!(reopen(&store, "b").await.is_err());
    }
}

/// A last segment without an end is what no writer leaves: it is read as far as it goes, and not gone on with.
#[tokio::test]
async fn a_last_segment_without_an_end_is_not_gone_on_with() {
    let (store, records) = written().await;
    let last = text(&store, &place(2)).await;
    overwrite(&store, &place(2), last[..last.len() - 5].to_owned()).await;
    assert_eq!(read(&store).await.expect("as far as it goes"), records[..4]);
    let error = reopen(&store, "b").await.expect_err("changed");
    assert!(error.to_string().contains("record 4: it has no end"), "{error}");
}

#[tokio::test]
async fn what_is_no_segment_is_left_alone_and_runs_are_listed() {
    let (store, records) = written().await;
    for name in [
        "notes.txt",
        "0000000a.jsonl",
        "000000003.jsonl",
        "00000003.jsonl.bak",
    ] {
        overwrite(&store, &folder().join("r-1").join(name), "x".to_owned()).await;
    }
    overwrite(
        &store,
        &folder().join("r-1").join("more").join("00000003.jsonl"),
        "x".to_owned(),
    )
    .await;
    overwrite(
        &store,
        &folder().join("r-0").join("00000000.jsonl"),
        "x".to_owned(),
    )
    .await;
    overwrite(&store, &folder().join("no run!").join("x"), "x".to_owned()).await;
    assert_eq!(read(&store).await.expect("whole"), records);
    let listed = runs(&*store, &folder()).await.expect("listed");
    assert_eq!(
        listed.iter().map(RunId::as_str).collect::<Vec<_>>(),
        ["r-0", "r-1"]
    );
    assert_eq!(runs(&*store, &Path::from("elsewhere")).await.expect("listed"), []);
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_found_out() {
    let place = Path::from("team");
    assert!(check_writes(&InMemory::new(), &place).await.is_ok());
    let store = Faulty::new();
    for _ in 0..2 {
        check_writes(&*store, &place)
            .await
            .expect("it applies them, also when the object is there");
    }
    for (blind, header) in [
        (Fault::IgnoresCreate, "If-None-Match"),
        (Fault::IgnoresUpdate, "If-Match"),
    ] {
        let store = Faulty::always(blind);
        let error = check_writes(&*store, &place).await.expect_err("found out");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(
            error.to_string().contains(&format!("ignores `{header}`")),
            "{error}"
        );
    }
    let store = Faulty::always(Fault::Denied);
    assert_eq!(
        check_writes(&*store, &place).await.expect_err("denied").kind,
        ErrorKind::PermissionDenied
    );
}

/// A local folder keeps journals; leases there are what `DirLeaseStore` is for.
#[tokio::test]
async fn a_local_folder_says_that_it_keeps_no_leases() {
    let folder = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn ObjectStore> =
        Arc::new(LocalFileSystem::new_with_prefix(folder.path()).expect("a store"));
    let error = check_writes(&*store, &Path::from("x"))
        .await
        .expect_err("no updates");
    assert_eq!((error.kind, error.applied), (ErrorKind::Unsupported, Applied::No));
}
