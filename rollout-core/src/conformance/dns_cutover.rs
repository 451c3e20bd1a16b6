//! Checks of [`DnsCutover`].

use async_trait::async_trait;

use super::{
    Fixture, Stop, Trouble, answer, ctx, dated, error, hold, lost, only_reads, refused, same, until,
};
use crate::dns::{ChangeBatch, Marker, Propagation, Record, RecordData, RecordKey, Snapshot, TargetCheck};
use crate::error::{Applied, ErrorKind};
use crate::id::{ChangeId, DomainName, Generation, ZoneId};
use crate::port::DnsCutover;

/// A zone, and what there is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneAtHand {
    /// Its id.
    pub zone: ZoneId,
    /// A record with values that has no marker.
    pub record: Record,
    /// Other data that the record may have.
    pub other: RecordData,
    /// A key of the zone that has no record and may get one with [`other`](Self::other).
    pub absent: RecordKey,
}

/// A world with a zone in it.
#[async_trait(?Send)]
pub trait DnsCutoverFixture: Fixture {
    /// The port.
    fn dns(&self) -> &dyn DnsCutover;

    /// The zone of this world: always the same one.
    async fn zone(&self) -> Result<ZoneAtHand, Stop>;

    /// An alias record of the zone.
    async fn alias(&self) -> Result<Record, Stop>;

    /// What the zone says.
    async fn truth(&self, key: &RecordKey) -> Result<Option<Record>, Stop>;

    /// Somebody else makes the zone say this, whatever it said before, and the zone takes changes again.
    async fn change_behind(&self, record: &Record) -> Result<(), Stop>;

    /// Data that points at something which can take traffic, or cannot.
    async fn target(&self, healthy: bool) -> Result<RecordData, Stop>;

    /// Data that points at something which the platform knows nothing of.
    async fn foreign_target(&self) -> Result<RecordData, Stop>;

    /// Data that points at something which so many requests a minute reach.
    async fn busy_target(&self) -> Result<(RecordData, u64), Stop>;

    /// A zone that never was.
    fn absent_zone(&self) -> ZoneId;

    /// A change that never was.
    fn absent_change(&self) -> ChangeId;
}

suite!(
    "DnsCutover",
    DnsCutoverFixture {
        a_snapshot_is_true: "The record and its marker as they are now.",
        a_snapshot_tells_an_alias: "What a record says: an alias, or values with a TTL.",
        a_snapshot_of_nothing_is_empty: "The record, if there is one.",
        a_name_is_the_same_in_any_case: "Case and trailing dot of the name do not count.",
        looking_changes_nothing: "A port observes, or ensures.",
        a_zone_that_is_not_there_is_an_error: "NotFound: the subject does not exist.",
        a_batch_sets_record_and_marker: "Applies a batch, all or nothing.",
        a_batch_creates_a_record: "Applies a batch, all or nothing.",
        a_stale_batch_is_refused_whole: "Values that are not the current ones are a Conflict.",
        a_stale_marker_is_a_conflict: "Values that are not the current ones are a Conflict: the marker's, too.",
        a_record_that_came_first_is_a_conflict: "Make this record, which must not exist.",
        a_batch_said_twice_changes_nothing_more: "Saying an effect twice is harmless.",
        a_lost_answer_to_a_batch_is_not_a_no: "An implementation that cannot tell says `Maybe`.",
        a_forbidden_batch_changes_nothing: "PermissionDenied: a repeat gives the same answer; it has not taken effect.",
        a_change_gets_in_sync: "How far a change has spread.",
        a_change_that_is_not_there_is_an_error: "NotFound: the subject does not exist.",
        authoritative_servers_agree_once_in_sync: "What the zone's authoritative servers answer, each by itself.",
        a_wrong_answer_is_told: "Whether the answer is what the record should say.",
        a_healthy_target_is_told: "`Some(true)` when at least one healthy target stands behind it.",
        an_unhealthy_target_is_told: "Whether what the data points at can take traffic.",
        a_foreign_target_is_not_called_healthy: "`None` when nobody can tell.",
        requests_are_counted: "How many requests still reach what the data points at.",
        no_data_is_not_zero: "`None` when there is no data, which is not zero.",
    }
);

async fn snapshot<F: DnsCutoverFixture>(fixture: &F, key: &RecordKey) -> Result<Snapshot, Stop> {
    let zone = fixture.zone().await?.zone;
    let seen = fixture
        .dns()
        .snapshot(&ctx(fixture, "snapshot", 1), &zone, key)
        .await;
    let seen = answer("a snapshot", seen)?;
    dated(fixture, "the snapshot", seen.at)?;
    same("its zone", &zone, &seen.zone)?;
    Ok(seen)
}

fn marker(fixture: &impl Fixture, generation: u64) -> Marker {
    Marker {
        generation: Generation(generation),
        run: fixture.run(),
    }
}

/// The batch that makes what was seen say `data`.
fn batch(
    fixture: &impl Fixture,
    seen: &Snapshot,
    key: &RecordKey,
    data: &RecordData,
) -> Result<ChangeBatch, Stop> {
    let new = Record {
        key: key.clone(),
        weight: None,
        data: data.clone(),
    };
    ChangeBatch::compare_and_set(seen, new, &marker(fixture, seen.generation().next().0))
        .map_err(Stop::fixture)
}

async fn apply<F: DnsCutoverFixture>(fixture: &F, batch: &ChangeBatch) -> Result<ChangeId, Stop> {
    let made = fixture.dns().apply(&ctx(fixture, "change", 1), batch).await;
    answer("a change", made)
}

/// What the zone says of a record and of its marker.
async fn both<F: DnsCutoverFixture>(fixture: &F, key: &RecordKey) -> Result<[Option<RecordData>; 2], Stop> {
    let mark = Marker::key(key).map_err(Stop::fixture)?;
    let data = |record: Option<Record>| record.map(|record| record.data);
    Ok([data(fixture.truth(key).await?), data(fixture.truth(&mark).await?)])
}

fn marked(data: Option<&RecordData>) -> Option<Generation> {
    data.and_then(Marker::parse).map(|marker| marker.generation)
}

async fn a_snapshot_is_true<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    same(
        "what the record says",
        &Some(&zone.record.data),
        &seen.record.as_ref().map(|r| &r.data),
    )?;
    same("its marker", &None, &seen.marker)?;
    fixture
        .change_behind(&Record {
            data: zone.other.clone(),
            ..zone.record.clone()
        })
        .await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    same(
        "what the record says",
        &Some(&zone.other),
        &seen.record.as_ref().map(|r| &r.data),
    )
}

async fn a_snapshot_tells_an_alias<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let alias = fixture.alias().await?;
    let seen = snapshot(fixture, &alias.key).await?;
    let seen = seen.record.map(|record| record.data);
    let is_alias = matches!(&seen, Some(data @ RecordData::Alias { .. }) if data.same_target(&alias.data));
    hold(is_alias, &format!("{:?}", alias.data), &seen)
}

async fn a_snapshot_of_nothing_is_empty<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let seen = snapshot(fixture, &fixture.zone().await?.absent).await?;
    same("record and marker", &(None, None), &(seen.record, seen.marker))
}

async fn a_name_is_the_same_in_any_case<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let mut key = zone.record.key.clone();
    let shouted = format!("{}.", key.name.normalised().to_ascii_uppercase());
    key.name = DomainName::new(shouted).map_err(Stop::fixture)?;
    let seen = snapshot(fixture, &key).await?;
    same(
        "what the record says",
        &Some(zone.record.data),
        &seen.record.map(|r| r.data),
    )
}

async fn looking_changes_nothing<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    only_reads(fixture, async || {
        snapshot(fixture, &zone.record.key).await?;
        let check = fixture
            .dns()
            .check_target(&ctx(fixture, "check", 1), &zone.record.data)
            .await;
        answer("a check", check).map(drop)
    })
    .await
}

async fn a_zone_that_is_not_there_is_an_error<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let key = fixture.zone().await?.record.key;
    let seen = fixture
        .dns()
        .snapshot(&ctx(fixture, "snapshot", 1), &fixture.absent_zone(), &key)
        .await;
    // Whoever was told which zones are its own may call the request wrong without asking anybody.
    refused(
        "a snapshot of a zone that never was",
        seen,
        &[ErrorKind::NotFound, ErrorKind::InvalidRequest],
    )
}

async fn a_batch_sets_record_and_marker<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    apply(fixture, &batch(fixture, &seen, &zone.record.key, &zone.other)?).await?;
    let [record, mark] = both(fixture, &zone.record.key).await?;
    same("what the record says", &Some(zone.other.clone()), &record)?;
    same(
        "the marker's generation",
        &Some(Generation(1)),
        &marked(mark.as_ref()),
    )?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    same(
        "the generation that a snapshot shows",
        &Generation(1),
        &seen.generation(),
    )?;
    same("what it shows", &Some(zone.other), &seen.record.map(|r| r.data))
}

async fn a_batch_creates_a_record<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.absent).await?;
    apply(fixture, &batch(fixture, &seen, &zone.absent, &zone.other)?).await?;
    let [record, _] = both(fixture, &zone.absent).await?;
    same("what the new record says", &Some(zone.other), &record)
}

/// A batch that must be refused, and leave everything as it was.
async fn is_refused<F: DnsCutoverFixture>(
    fixture: &F,
    what: &str,
    batch: &ChangeBatch,
    key: &RecordKey,
) -> Result<(), Stop> {
    let before = both(fixture, key).await?;
    let made = fixture.dns().apply(&ctx(fixture, "change", 1), batch).await;
    refused(what, made, &[ErrorKind::Conflict])?;
    same("record and marker", &before, &both(fixture, key).await?)
}

async fn a_stale_batch_is_refused_whole<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let key = &zone.record.key;
    let seen = snapshot(fixture, key).await?;
    let mut foreign = zone.record.clone();
    foreign.data = zone.other.with_ttl(77);
    fixture.change_behind(&foreign).await?;
    let batch = batch(fixture, &seen, key, &zone.other)?;
    is_refused(fixture, "a batch on a record that has changed", &batch, key).await
}

async fn a_stale_marker_is_a_conflict<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let key = &zone.record.key;
    let seen = snapshot(fixture, key).await?;
    let foreign = marker(fixture, 9).record(key).map_err(Stop::fixture)?;
    fixture.change_behind(&foreign).await?;
    let batch = batch(fixture, &seen, key, &zone.other)?;
    is_refused(fixture, "a batch of an older writer", &batch, key).await
}

async fn a_record_that_came_first_is_a_conflict<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.absent).await?;
    let mut foreign = zone.record.clone();
    foreign.key = zone.absent.clone();
    fixture.change_behind(&foreign).await?;
    let batch = batch(fixture, &seen, &zone.absent, &zone.other)?;
    is_refused(
        fixture,
        "a batch that creates what is there",
        &batch,
        &zone.absent,
    )
    .await
}

/// Until the zone takes another change, whatever that is: a zone may be busy with the one before.
async fn say_again<F: DnsCutoverFixture>(
    fixture: &F,
    batch: &ChangeBatch,
) -> Result<Option<ErrorKind>, Stop> {
    until(
        fixture,
        "an answer other than that the zone is busy",
        async || match fixture.dns().apply(&ctx(fixture, "change", 1), batch).await {
            Ok(_) => Ok(Ok(None)),
            Err(error) if error.kind == ErrorKind::Throttled => Ok(Err(error.to_string())),
            Err(error) => {
                same("whether it took effect", &Applied::No, &error.applied)?;
                Ok(Ok(Some(error.kind)))
            }
        },
    )
    .await
}

async fn a_batch_said_twice_changes_nothing_more<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    let batch = batch(fixture, &seen, &zone.record.key, &zone.other)?;
    apply(fixture, &batch).await?;
    let before = both(fixture, &zone.record.key).await?;
    // Its values are no longer the current ones; an implementation that knows its own change may say Ok.
    let again = say_again(fixture, &batch).await?;
    hold(
        matches!(again, None | Some(ErrorKind::Conflict)),
        "Ok, or Conflict: the values are no longer the current ones",
        &again,
    )?;
    same(
        "record and marker",
        &before,
        &both(fixture, &zone.record.key).await?,
    )
}

async fn a_lost_answer_to_a_batch_is_not_a_no<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    let batch = batch(fixture, &seen, &zone.record.key, &zone.other)?;
    fixture.trouble(Trouble::LostAnswers).await?;
    let made = fixture.dns().apply(&ctx(fixture, "change", 1), &batch).await;
    fixture.calm().await?;
    let [record, _] = both(fixture, &zone.record.key).await?;
    same("what the record says", &Some(zone.other), &record)?;
    lost("the change", made)
}

async fn a_forbidden_batch_changes_nothing<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    let batch = batch(fixture, &seen, &zone.record.key, &zone.other)?;
    fixture.trouble(Trouble::Denied).await?;
    let made = fixture.dns().apply(&ctx(fixture, "change", 1), &batch).await;
    fixture.calm().await?;
    refused(
        "a change without permission",
        made,
        &[ErrorKind::PermissionDenied],
    )?;
    let [record, mark] = both(fixture, &zone.record.key).await?;
    same("what the record says", &Some(zone.record.data), &record)?;
    same("its marker", &None, &mark)
}

/// Changes the record and waits until the change is everywhere.
async fn in_sync<F: DnsCutoverFixture>(fixture: &F) -> Result<Record, Stop> {
    let zone = fixture.zone().await?;
    let seen = snapshot(fixture, &zone.record.key).await?;
    let change = apply(fixture, &batch(fixture, &seen, &zone.record.key, &zone.other)?).await?;
    until(fixture, "a change that is INSYNC", async || {
        let seen = fixture
            .dns()
            .propagation(&ctx(fixture, "propagation", 1), &change)
            .await;
        Ok(match answer("how far it has spread", seen)? {
            Propagation::InSync => Ok(()),
            Propagation::Pending => Err("PENDING".to_owned()),
        })
    })
    .await?;
    Ok(Record {
        data: zone.other,
        ..zone.record
    })
}

async fn a_change_gets_in_sync<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    in_sync(fixture).await.map(drop)
}

async fn a_change_that_is_not_there_is_an_error<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let seen = fixture
        .dns()
        .propagation(&ctx(fixture, "propagation", 1), &fixture.absent_change())
        .await;
    let seen = error("NotFound", seen)?;
    same("its kind", &ErrorKind::NotFound, &seen.kind)
}

/// What each authoritative server's answer is worth, compared with `expected`.
async fn verdicts<F: DnsCutoverFixture>(fixture: &F, expected: &Record) -> Result<Vec<Option<bool>>, Stop> {
    let zone = fixture.zone().await?.zone;
    let asked = fixture
        .dns()
        .ask_authoritative(&ctx(fixture, "ask", 1), &zone, expected)
        .await;
    let answers = answer("answers", asked)?;
    for answer in &answers {
        dated(fixture, "an authoritative server's answer", answer.at)?;
    }
    hold(!answers.is_empty(), "at least one authoritative server", &answers)?;
    Ok(answers.iter().map(|answer| answer.matches).collect())
}

async fn authoritative_servers_agree_once_in_sync<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let record = in_sync(fixture).await?;
    let seen = verdicts(fixture, &record).await?;
    hold(
        seen.iter().all(|matches| *matches == Some(true)),
        "every server says the new record",
        &seen,
    )
}

async fn a_wrong_answer_is_told<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let zone = fixture.zone().await?;
    // Nobody has changed it: the servers say the old data.
    let seen = verdicts(
        fixture,
        &Record {
            data: zone.other,
            ..zone.record
        },
    )
    .await?;
    hold(
        seen.iter().all(|matches| *matches == Some(false)),
        "no server says what nobody wrote",
        &seen,
    )
}

async fn check_target<F: DnsCutoverFixture>(fixture: &F, data: &RecordData) -> Result<TargetCheck, Stop> {
    let check = fixture.dns().check_target(&ctx(fixture, "check", 1), data).await;
    let check = answer("a check", check)?;
    dated(fixture, "the check", check.at)?;
    Ok(check)
}

async fn a_healthy_target_is_told<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let data = fixture.target(true).await?;
    let check = check_target(fixture, &data).await?;
    hold(
        check.healthy == Some(true) && !check.evidence.is_empty(),
        "Some(true), with evidence",
        &check,
    )
}

async fn an_unhealthy_target_is_told<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let data = fixture.target(false).await?;
    let check = check_target(fixture, &data).await?;
    hold(
        check.healthy == Some(false) && !check.evidence.is_empty(),
        "Some(false), with evidence",
        &check,
    )
}

async fn a_foreign_target_is_not_called_healthy<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let data = fixture.foreign_target().await?;
    let check = check_target(fixture, &data).await?;
    same("whether it can take traffic", &None, &check.healthy)
}

async fn requests_are_counted<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let (data, wanted) = fixture.busy_target().await?;
    let seen = fixture.dns().old_traffic(&ctx(fixture, "drain", 1), &data).await;
    let seen = answer("a count of requests", seen)?;
    dated(fixture, "the count", seen.at)?;
    same("requests a minute", &Some(wanted), &seen.requests_per_minute)
}

async fn no_data_is_not_zero<F: DnsCutoverFixture>(fixture: &F) -> Result<(), Stop> {
    let data = fixture.foreign_target().await?;
    let seen = fixture.dns().old_traffic(&ctx(fixture, "drain", 1), &data).await;
    same(
        "requests a minute",
        &None,
        &answer("a count of requests", seen)?.requests_per_minute,
    )
}
