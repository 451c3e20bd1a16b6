//! Checks of [`LeaseStore`].
//!
//! They write bytes that are no leases: what a store keeps is not its business.

use core::future::Future;

use async_trait::async_trait;

use super::{Stop, Trouble, answer, error, hold, lost, same};
use crate::error::{Applied, Error, ErrorKind};
use crate::lease::{LeaseStore, Scope, Stored, Version};

/// A place that keeps leases.
#[async_trait(?Send)]
pub trait LeaseStoreFixture {
    /// The port, as one more process would open it. All of them keep the same leases.
    async fn open(&self) -> Result<Box<dyn LeaseStore>, Stop>;

    /// Lets every call of every store that is open meet this.
    async fn trouble(&self, trouble: Trouble) -> Result<(), Stop>;

    /// Lets calls go right again.
    async fn calm(&self) -> Result<(), Stop>;
}

suite!(
    "LeaseStore",
    LeaseStoreFixture {
        there_is_nothing_at_first: "Read: `None` when there has never been a value.",
        what_was_put_is_read_back: "A read that begins after a put has returned sees that value.",
        any_bytes_survive: "Read: the bytes that were put.",
        another_process_sees_it: "A read sees the latest value, whoever reads.",
        a_first_value_is_put_once: "`None` expects that there is none.",
        a_put_needs_the_present_version: "A put takes effect only if the present value is the expected one.",
        a_value_that_is_not_there_is_not_replaced: "A put takes effect only if the present value is the expected one.",
        every_value_has_another_version: "The version says which value it is.",
        two_scopes_do_not_mix: "One value a scope.",
        of_two_that_race_one_wins: "A put takes effect only if the present value is the expected one.",
        a_lost_answer_is_not_a_no: "An error says whether the put may have taken effect.",
        a_call_that_is_refused_changed_nothing: "An error says whether the put may have taken effect.",
    }
);

fn scope(group: &str) -> Result<Scope, Stop> {
    Ok(Scope {
        environment: "conformance".parse().map_err(Stop::fixture)?,
        group: group.parse().map_err(Stop::fixture)?,
    })
}

async fn put(
    store: &dyn LeaseStore,
    scope: &Scope,
    value: &[u8],
    expected: Option<&Version>,
) -> Result<Version, Stop> {
    answer("a put that succeeds", store.put(scope, value, expected).await)
}

async fn read(store: &dyn LeaseStore, scope: &Scope) -> Result<Option<Stored>, Stop> {
    answer("a value that can be read", store.read(scope).await)
}

/// This value, under this version.
async fn holds(store: &dyn LeaseStore, scope: &Scope, value: &[u8], version: &Version) -> Result<(), Stop> {
    let wanted = Stored {
        value: value.to_vec(),
        version: version.clone(),
    };
    same("the value", &Some(wanted), &read(store, scope).await?)
}

/// A conflict that took no effect.
fn conflict(what: &str, answer: Result<Version, Error>) -> Result<(), Stop> {
    let wanted = format!("{what}: Conflict, applied No");
    let error = error(&wanted, answer)?;
    hold(
        error.kind == ErrorKind::Conflict && error.applied == Applied::No,
        &wanted,
        &(error.kind, error.applied, error.to_string()),
    )
}

async fn there_is_nothing_at_first<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let store = fixture.open().await?;
    same("nothing", &None, &read(&*store, &scope("none")?).await?)
}

async fn what_was_put_is_read_back<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (store, scope) = (fixture.open().await?, scope("one")?);
    let first = put(&*store, &scope, b"first", None).await?;
    holds(&*store, &scope, b"first", &first).await?;
    let second = put(&*store, &scope, b"second", Some(&first)).await?;
    holds(&*store, &scope, b"second", &second).await
}

async fn any_bytes_survive<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (store, scope) = (fixture.open().await?, scope("bytes")?);
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(4_096).collect();
    let version = put(&*store, &scope, &all, None).await?;
    holds(&*store, &scope, &all, &version).await?;
    let empty = put(&*store, &scope, b"", Some(&version)).await?;
    holds(&*store, &scope, b"", &empty).await
}

async fn another_process_sees_it<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (one, other, scope) = (fixture.open().await?, fixture.open().await?, scope("two")?);
    let first = put(&*one, &scope, b"of one", None).await?;
    holds(&*other, &scope, b"of one", &first).await?;
    let second = put(&*other, &scope, b"of the other", Some(&first)).await?;
    holds(&*one, &scope, b"of the other", &second).await
}

async fn a_first_value_is_put_once<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (one, other, scope) = (fixture.open().await?, fixture.open().await?, scope("first")?);
    let first = put(&*one, &scope, b"first", None).await?;
    conflict("another first value", other.put(&scope, b"other", None).await)?;
    conflict("another first value", one.put(&scope, b"other", None).await)?;
    holds(&*one, &scope, b"first", &first).await
}

async fn a_put_needs_the_present_version<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (one, other, scope) = (fixture.open().await?, fixture.open().await?, scope("stale")?);
    let first = put(&*one, &scope, b"1", None).await?;
    let second = put(&*one, &scope, b"2", Some(&first)).await?;
    for store in [&one, &other] {
        conflict("an old version", store.put(&scope, b"3", Some(&first)).await)?;
    }
    holds(&*other, &scope, b"2", &second).await
}

async fn a_value_that_is_not_there_is_not_replaced<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let store = fixture.open().await?;
    let (there, empty) = (scope("there")?, scope("empty")?);
    // A version as this store writes them, of another value.
    let version = put(&*store, &there, b"there", None).await?;
    conflict(
        "nothing to replace",
        store.put(&empty, b"x", Some(&version)).await,
    )?;
    same("nothing", &None, &read(&*store, &empty).await?)
}

async fn every_value_has_another_version<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (store, scope) = (fixture.open().await?, scope("versions")?);
    let mut seen: Vec<Version> = Vec::new();
    for number in 0..20_u32 {
        let value = number.to_string();
        let version = put(&*store, &scope, value.as_bytes(), seen.last()).await?;
        hold(
            !seen.contains(&version),
            "a version that no value had before",
            &version,
        )?;
        seen.push(version);
    }
    Ok(())
}

async fn two_scopes_do_not_mix<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let store = fixture.open().await?;
    let parse = |environment: &str, group: &str| -> Result<Scope, Stop> {
        Ok(Scope {
            environment: environment.parse().map_err(Stop::fixture)?,
            group: group.parse().map_err(Stop::fixture)?,
        })
    };
    // Names that run together where they are joined without care.
    let scopes = [
        parse("a-b", "c")?,
        parse("a", "b-c")?,
        parse("a_b", "c")?,
        parse("a", "b_c")?,
        parse("ab", "c")?,
    ];
    let mut versions = Vec::new();
    for (scope, number) in scopes.iter().zip(0_u8..) {
        versions.push(put(&*store, scope, &[number], None).await?);
    }
    for ((scope, number), version) in scopes.iter().zip(0_u8..).zip(&versions) {
        holds(&*store, scope, &[number], version).await?;
    }
    Ok(())
}

async fn of_two_that_race_one_wins<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (one, other, scope) = (fixture.open().await?, fixture.open().await?, scope("race")?);
    let mut present: Option<Version> = None;
    for round in 0..10_u32 {
        let values = [format!("one {round}"), format!("other {round}")];
        let [mine, theirs] = &values;
        let answers = at_once(
            round % 2 == 0,
            one.put(&scope, mine.as_bytes(), present.as_ref()),
            other.put(&scope, theirs.as_bytes(), present.as_ref()),
        )
        .await;
        let (won, value) = match answers {
            (Ok(version), Err(_)) => (version, mine),
            (Err(_), Ok(version)) => (version, theirs),
            (first, second) => {
                let seen = format!("{first:?} and {second:?}");
                return Err(Stop::fail("one of the two puts succeeds", seen));
            }
        };
        holds(&*one, &scope, value.as_bytes(), &won).await?;
        present = Some(won);
    }
    Ok(())
}

/// Both are under way at the same time; one of them is asked first.
async fn at_once<T>(
    forward: bool,
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
) -> (T, T) {
    if forward {
        futures_util::future::join(first, second).await
    } else {
        let (second, first) = futures_util::future::join(second, first).await;
        (first, second)
    }
}

async fn a_lost_answer_is_not_a_no<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (store, scope) = (fixture.open().await?, scope("lost")?);
    let first = put(&*store, &scope, b"1", None).await?;
    fixture.trouble(Trouble::LostAnswers).await?;
    let answered = store.put(&scope, b"2", Some(&first)).await;
    fixture.calm().await?;
    // A layer below that repeats a call meets its own value: that is a conflict, and whoever gets one reads back.
    if !matches!(&answered, Err(error) if error.kind == ErrorKind::Conflict) {
        lost("a put", answered)?;
    }
    let seen = read(&*store, &scope).await?;
    hold(
        seen.as_ref().is_some_and(|stored| stored.value == b"2"),
        "the value whose answer was lost",
        &seen,
    )
}

async fn a_call_that_is_refused_changed_nothing<F: LeaseStoreFixture>(fixture: &F) -> Result<(), Stop> {
    let (store, scope) = (fixture.open().await?, scope("refused")?);
    let first = put(&*store, &scope, b"1", None).await?;
    fixture.trouble(Trouble::Denied).await?;
    let answered = store.put(&scope, b"2", Some(&first)).await;
    fixture.calm().await?;
    let error = error("an error: it was refused", answered)?;
    hold(
        error.kind == ErrorKind::PermissionDenied && error.applied == Applied::No,
        "PermissionDenied, applied No",
        &(error.kind, error.applied, error.to_string()),
    )?;
    holds(&*store, &scope, b"1", &first).await
}
