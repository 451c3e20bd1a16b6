//! One gathering: its calls are paid for, counted, and what they are refused with becomes a fact.

use core::future::Future;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures_util::StreamExt as _;
use rollout_core::context::OpContext;
use rollout_core::error::{Error, ErrorKind};
use rollout_core::readiness::known::{Known, Table, Unseen, Why};

use super::Clients;
use super::call::Call;
use super::tally::Tally;
use crate::error::from_sdk;
use crate::observer::Toll;
use crate::page::Pages;

/// Calls under way at once, at most; a shared observer's buckets hold back more.
const WIDTH: usize = 8;
/// Pages of one list, at most: 100,000 images, or alarms.
const PAGES: usize = 1_000;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no such thing.
    Missing,
    /// It cannot be known.
    Unseen(Unseen),
}

/// An answer, or why there is none.
pub(super) type Asked<T> = Result<T, Refused>;

impl Refused {
    /// From a port's error.
    pub(super) fn of(error: &Error, subject: &str) -> Self {
        let why = match error.kind {
            ErrorKind::NotFound => return Self::Missing,
            ErrorKind::PermissionDenied => Why::Denied,
            _ => Why::Failed,
        };
        // The fact says itself what it is about.
        let about = format!("{subject}: ");
        let context = error.context.strip_prefix(&about).unwrap_or(&error.context);
        Self::Unseen(Unseen::new(
            why,
            subject,
            format!("{}: {context}", error.operation),
        ))
    }

    /// Something that was answered, but cannot be told from it.
    pub(super) fn unclear(subject: &str, text: impl Into<String>) -> Self {
        Self::Unseen(Unseen::new(Why::Failed, subject, text))
    }
}

/// What is known after asking.
pub(super) fn known<T>(asked: Asked<T>) -> Known<T> {
    match asked {
        Ok(value) => Known::Seen(value),
        Err(Refused::Missing) => Known::Missing,
        Err(Refused::Unseen(unseen)) => Known::Unknown(unseen),
    }
}

/// One gathering.
pub(super) struct Round<'a> {
    pub(super) ctx: &'a OpContext,
    pub(super) aws: &'a Clients,
    toll: &'a Toll,
    /// What was called so far, and how often.
    pub(super) calls: Tally,
}

impl<'a> Round<'a> {
    pub(super) fn new(ctx: &'a OpContext, aws: &'a Clients, toll: &'a Toll) -> Self {
        Self {
            ctx,
            aws,
            toll,
            calls: Tally::default(),
        }
    }

    /// Makes one call. `subject` is what it is about; `send` is not begun before it may be.
    pub(super) async fn ask<T, E>(
        &self,
        call: Call,
        subject: &str,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Asked<T>
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let asked = self.send(call, subject, send).await;
        asked.map_err(|error| Refused::of(&error, subject))
    }

    /// The same with the error as it is.
    pub(super) async fn send<T, E>(
        &self,
        call: Call,
        subject: &str,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Error>
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        self.toll.pay(self.ctx, call.operation()).await?;
        self.calls.count(call.operation().to_owned());
        Box::pin(send)
            .await
            .map_err(|error| from_sdk(call.operation(), subject, false, error))
    }
}

/// A whole list. `page` asks for one page by its token and answers with it and the next token.
pub(super) async fn pages<T, F>(
    call: Call,
    subject: &str,
    mut page: impl FnMut(Option<String>) -> F,
) -> Asked<Vec<T>>
where
    F: Future<Output = Asked<(Vec<T>, Option<String>)>>,
{
    let mut pages = Pages::new(call.operation(), PAGES);
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        token = pages.next(next).map_err(|error| Refused::of(&error, subject))?;
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// Runs all of them, some at once, and answers in their order.
pub(super) async fn each<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    // Collected first: a stream over a lazy iterator of borrowing futures is not `Send` in the compiler's eyes.
    // Boxed, for a call of the SDK takes many kilobytes: a whole gathering of them does not fit on a thread's stack.
    let all: Vec<_> = all.into_iter().map(Box::pin).collect();
    futures_util::stream::iter(all).buffered(WIDTH).collect().await
}

/// A table of resources that are asked for one by one.
pub(super) async fn table<T, F>(names: BTreeSet<String>, look: impl Fn(String) -> F) -> Table<T>
where
    F: Future<Output = Asked<T>>,
{
    let asked = each(names.iter().cloned().map(&look)).await;
    let mut table = Table::default();
    for (name, asked) in names.into_iter().zip(asked) {
        table.put(name, known(asked));
    }
    table
}

/// A table of resources of which one call answers with several: `most` at most. What the call does not answer with does not
/// exist. A call that is refused because one of them does not exist is made again for each.
pub(super) async fn batched<T, F>(
    names: BTreeSet<String>,
    most: usize,
    call: impl Fn(Vec<String>) -> F,
) -> Table<T>
where
    F: Future<Output = Asked<BTreeMap<String, T>>>,
{
    let names: Vec<String> = names.into_iter().collect();
    let chunks: Vec<Vec<String>> = names.chunks(most).map(<[String]>::to_vec).collect();
    let asked = each(chunks.iter().cloned().map(&call)).await;
    let mut table = Table::default();
    for (chunk, asked) in chunks.into_iter().zip(asked) {
        if matches!(asked, Err(Refused::Missing)) && chunk.len() > 1 {
            let alone = each(chunk.iter().map(|name| call(vec![name.clone()]))).await;
            for (name, asked) in chunk.into_iter().zip(alone) {
                fill(&mut table, &[name], asked);
            }
        } else {
            fill(&mut table, &chunk, asked);
        }
    }
    table
}

fn fill<T>(table: &mut Table<T>, names: &[String], asked: Asked<BTreeMap<String, T>>) {
    match asked {
        Ok(mut found) => {
            for name in names {
                table.put(name, found.remove(name).map_or(Known::Missing, Known::Seen));
            }
        }
        Err(refused) => {
            for name in names {
                let asked = match &refused {
                    Refused::Missing => Err(Refused::Missing),
                    Refused::Unseen(unseen) => Err(Refused::Unseen(Unseen {
                        subject: name.clone(),
                        ..unseen.clone()
                    })),
                };
                table.put(name, known(asked));
            }
        }
    }
}

/// Owned names.
pub(super) fn names<'a>(all: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    all.into_iter().cloned().collect()
}

/// What was seen in a table, by name.
pub(super) fn seen<T>(table: &Table<T>) -> impl Iterator<Item = (&str, &T)> {
    table.iter().filter_map(|(name, known)| match known {
        Known::Seen(value) => Some((name, value)),
        Known::Missing | Known::Unknown(_) => None,
    })
}
