//! Checks of [`Journal`].
//!
//! They write events and effects that are plain texts: what a journal keeps is not its business.

use async_trait::async_trait;

use super::{Stop, hold, same};
use crate::id::RunId;
use crate::journal::{Body, Durability, FORMAT, Header, Journal, JournalError, Record, Resumption};
use crate::time::Timestamp;

/// A record of the checks.
pub type Written = Record<String, String>;

/// A place that keeps journals.
#[async_trait(?Send)]
pub trait JournalFixture {
    /// Makes a new journal of this name and keeps it open. The inner error is the journal's own: a name that is taken.
    async fn create(
        &self,
        name: &str,
    ) -> Result<Result<Box<dyn Journal<String, String>>, JournalError>, Stop>;

    /// Reads a journal of this name, as another process would after this one was killed.
    async fn read(&self, name: &str) -> Result<Result<Vec<Written>, JournalError>, Stop>;

    /// Bytes come to stand at the end of the journal: the beginning of a record that a crash cut off, or damage.
    async fn scribble(&self, name: &str, bytes: &[u8]) -> Result<(), Stop>;

    /// Makes a new journal of this name whose store takes a few megabytes at most, then nothing.
    async fn cramped(&self, name: &str) -> Result<Box<dyn Journal<String, String>>, Stop>;
}

suite!(
    "Journal",
    JournalFixture {
        what_was_appended_is_read_back: "The journal: what was intended, what happened, in order.",
        any_text_survives: "Records are kept as they are.",
        a_durable_record_is_there_at_once: "Durable: the append returns when the record will survive a crash, and all before it.",
        two_journals_do_not_mix: "What was appended to one run is that run's alone.",
        a_record_that_was_cut_off_is_left_out: "An unfinished last record is left out; all before it are there.",
        a_damaged_record_is_an_error: "A record is not what this version writes.",
        a_newer_format_is_refused_by_name: "Written by a newer version.",
        a_journal_is_made_once: "One writer per run.",
        a_second_writer_disturbs_nothing: "One writer per run.",
        after_a_failed_append_nothing_more_is_taken: "After one error the journal takes nothing more.",
        a_full_store_loses_no_record_that_was_promised: "A record is durable before its append returns.",
    }
);

fn record(seq: u64, body: Body<String, String>) -> Written {
    Record {
        seq,
        at: Timestamp::from_millis(1_763_683_200_000).after(core::time::Duration::from_millis(seq)),
        body,
    }
}

fn header() -> Result<Body<String, String>, Stop> {
    Ok(Body::Opened(Header {
        format: FORMAT,
        machine: "conformance".to_owned(),
        run: RunId::new("conformance").map_err(Stop::fixture)?,
        fresh: serde_json::json!({ "state": ["fresh", null, 1] }),
    }))
}

fn issued(effect: &str) -> Body<String, String> {
    Body::Issued {
        effect: effect.to_owned(),
    }
}

fn happened(of: Option<u64>, event: &str) -> Body<String, String> {
    Body::Happened {
        of,
        event: event.to_owned(),
    }
}

/// Numbers the records.
fn numbered(bodies: impl IntoIterator<Item = Body<String, String>>) -> Vec<Written> {
    bodies
        .into_iter()
        .zip(0..)
        .map(|(body, seq)| record(seq, body))
        .collect()
}

fn whole_run() -> Result<Vec<Written>, Stop> {
    Ok(numbered([
        header()?,
        happened(None, "start"),
        issued("copy"),
        issued("sample"),
        happened(Some(3), "sampled"),
        Body::Resumed(Resumption {
            by: Some("another runner".to_owned()),
        }),
        happened(Some(2), "copied"),
        Body::Closed,
    ]))
}

async fn append(
    journal: &dyn Journal<String, String>,
    record: &Written,
    durability: Durability,
) -> Result<(), JournalError> {
    journal.append(record.entry(), durability).await
}

fn told(error: &JournalError) -> String {
    crate::error::Report(error).to_string()
}

async fn create<F: JournalFixture>(
    fixture: &F,
    name: &str,
) -> Result<Box<dyn Journal<String, String>>, Stop> {
    let made = fixture.create(name).await?;
    made.map_err(|error| Stop::fail("a new journal", told(&error)))
}

async fn read<F: JournalFixture>(fixture: &F, name: &str) -> Result<Vec<Written>, Stop> {
    let read = fixture.read(name).await?;
    read.map_err(|error| Stop::fail("a journal that can be read", told(&error)))
}

/// Appends all; the last one is durable, and so are all before it.
async fn write(journal: &dyn Journal<String, String>, records: &[Written]) -> Result<(), Stop> {
    for record in records {
        let last = records.last().is_some_and(|last| last.seq == record.seq);
        let durability = if last {
            Durability::Durable
        } else {
            Durability::Lazy
        };
        append(journal, record, durability)
            .await
            .map_err(|error| Stop::fail("an append that succeeds", told(&error)))?;
    }
    Ok(())
}

async fn comes_back<F: JournalFixture>(fixture: &F, name: &str, records: &[Written]) -> Result<(), Stop> {
    let journal = create(fixture, name).await?;
    write(&*journal, records).await?;
    same("the records", &records.to_vec(), &read(fixture, name).await?)
}

async fn what_was_appended_is_read_back<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    comes_back(fixture, "run", &whole_run()?).await
}

async fn any_text_survives<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let long = "0123456789abcdef".repeat(64 * 1024);
    let odd = [
        "",
        "two\nlines\r\n",
        "\u{0}\u{1}\u{7f}",
        "\u{2028}\u{2029}",
        "\"}{\\",
        "Größe 大 🚀",
        long.as_str(),
    ];
    let mut bodies = vec![header()?];
    bodies.extend(odd.into_iter().map(|text| happened(None, text)));
    comes_back(fixture, "odd", &numbered(bodies)).await
}

async fn a_durable_record_is_there_at_once<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let records = numbered([header()?, happened(None, "start"), issued("copy")]);
    let journal = create(fixture, "durable").await?;
    let mut done: Vec<Written> = Vec::new();
    for record in records {
        let appended = append(&*journal, &record, Durability::Durable).await;
        appended.map_err(|error| Stop::fail("an append that succeeds", told(&error)))?;
        done.push(record);
        // The writer still has it open: what is read is what a crash at this moment leaves.
        same("the records so far", &done, &read(fixture, "durable").await?)?;
    }
    Ok(())
}

async fn two_journals_do_not_mix<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let (one, other) = (
        numbered([header()?, issued("one")]),
        numbered([header()?, issued("other")]),
    );
    let (first, second) = (create(fixture, "one").await?, create(fixture, "other").await?);
    for (a, b) in one.iter().zip(&other) {
        write(&*first, core::slice::from_ref(a)).await?;
        write(&*second, core::slice::from_ref(b)).await?;
    }
    same("the records of one", &one, &read(fixture, "one").await?)?;
    same("the records of the other", &other, &read(fixture, "other").await?)
}

async fn a_record_that_was_cut_off_is_left_out<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let records = whole_run()?;
    let journal = create(fixture, "torn").await?;
    write(&*journal, &records).await?;
    drop(journal);
    fixture.scribble("torn", b"{\"seq\":7,\"at\":17636832000").await?;
    same(
        "the records before the torn one",
        &records,
        &read(fixture, "torn").await?,
    )
}

async fn a_damaged_record_is_an_error<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let records = numbered([header()?, issued("copy")]);
    let journal = create(fixture, "damaged").await?;
    write(&*journal, &records).await?;
    drop(journal);
    fixture
        .scribble("damaged", b"not a record\n{\"seq\":3}\n")
        .await?;
    let seen = fixture.read("damaged").await?;
    hold(
        matches!(&seen, Err(JournalError::Format { record: 2, .. })),
        "an error that names record 2",
        &seen.map(|records| records.len()).map_err(|error| told(&error)),
    )
}

async fn a_newer_format_is_refused_by_name<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let mut newer = header()?;
    if let Body::Opened(header) = &mut newer {
        header.format = FORMAT.saturating_add(1);
    }
    let journal = create(fixture, "newer").await?;
    write(&*journal, &[record(0, newer)]).await?;
    drop(journal);
    // What this version cannot parse comes after it: the version is what is told, not the record.
    fixture
        .scribble("newer", b"{\"seq\":1,\"at\":1,\"body\":{\"dreamt\":{}}}\n")
        .await?;
    let seen = fixture.read("newer").await?;
    hold(
        matches!(&seen, Err(JournalError::Newer { found, .. }) if *found == FORMAT.saturating_add(1)),
        "an error that names the newer format",
        &seen.map(|records| records.len()).map_err(|error| told(&error)),
    )
}

async fn a_journal_is_made_once<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let records = whole_run()?;
    let journal = create(fixture, "once").await?;
    write(&*journal, &records).await?;
    drop(journal);
    let again = fixture.create("once").await?;
    hold(
        again.is_err(),
        "an error: a journal of this name exists",
        &again.is_ok(),
    )?;
    same("the records", &records, &read(fixture, "once").await?)
}

async fn a_second_writer_disturbs_nothing<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let records = whole_run()?;
    let (before, after) = records.split_at(3);
    let journal = create(fixture, "held").await?;
    write(&*journal, before).await?;
    let second = fixture.create("held").await?;
    hold(
        second.is_err(),
        "an error: another writer has it",
        &second.is_ok(),
    )?;
    write(&*journal, after).await?;
    same("the records", &records, &read(fixture, "held").await?)
}

/// Appends to a cramped journal until that fails; answers with what was promised.
async fn until_full<F: JournalFixture>(
    fixture: &F,
    name: &str,
) -> Result<(Box<dyn Journal<String, String>>, Vec<Written>), Stop> {
    let journal = fixture.cramped(name).await?;
    let filler = "x".repeat(64 * 1024);
    let mut promised = Vec::new();
    for seq in 0..1_000 {
        let record = record(
            seq,
            if seq == 0 {
                header()?
            } else {
                happened(None, &filler)
            },
        );
        match append(&*journal, &record, Durability::Durable).await {
            Ok(()) => promised.push(record),
            Err(_) => return Ok((journal, promised)),
        }
    }
    Err(Stop::fixture("a cramped store that took 64 MB"))
}

async fn after_a_failed_append_nothing_more_is_taken<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let (journal, promised) = until_full(fixture, "full").await?;
    let next = u64::try_from(promised.len()).map_err(Stop::fixture)?;
    // A small one might fit: it would stand after a hole, or after half a record.
    let small = append(&*journal, &record(next, Body::Closed), Durability::Durable).await;
    hold(
        small.is_err(),
        "an error: the journal has failed before",
        &small.is_ok(),
    )
}

async fn a_full_store_loses_no_record_that_was_promised<F: JournalFixture>(fixture: &F) -> Result<(), Stop> {
    let (journal, promised) = until_full(fixture, "promised").await?;
    drop(journal);
    let seen = read(fixture, "promised").await?;
    let (wanted, seen_count) = (promised.len(), seen.len());
    hold(
        seen == promised,
        &format!("the {wanted} records whose append had returned"),
        &seen_count,
    )
}
