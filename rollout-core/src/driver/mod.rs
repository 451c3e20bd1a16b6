//! The one loop: append the intent, act, append the result, `handle`; sleep until the deadline or a signal.
//!
//! It uses only what is public, so a team can write its own (the `machine` module says how), and it runs on any async
//! runtime: it spawns nothing, and time comes from a [`Clock`].

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::boxed::Box;
use std::collections::VecDeque;

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use crate::id::RunId;
use crate::journal::{Durability, Entry, EntryBody, FORMAT, Header, Journal, JournalError};
use crate::machine::{Effect as _, Lifecycle, Machine, Rejected, Transitions};
use crate::observer::{Notice, Observer};
use crate::port::Clock;

mod perform;

pub use perform::PortPerformer;

/// Runs one effect and answers with the event that it led to. A failure is an event, too.
#[async_trait]
pub trait Perform<M: Machine>: Send + Sync {
    /// Runs the effect, once.
    async fn perform(&self, effect: &M::Effect) -> M::Event
    where
        M: 'async_trait;
}

/// Why a drive ended without an outcome. The journal says how far it came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// The journal could not be written. Nothing was started after that.
    #[error("the journal failed")]
    Journal(#[from] JournalError),
    /// The machine refused the answer to its own effect: a bug of ours. Nothing was started after that.
    #[error("halted")]
    Halted(#[from] Rejected),
    /// The machine has not ended and waits for nothing: a bug of ours.
    #[error("halted: the machine waits for nothing and has not ended")]
    Idle,
    /// The machine could not be stored in the journal's header.
    #[error("the machine cannot be stored")]
    Store(#[source] serde_json::Error),
}

/// What a drive needs.
pub struct Driver<'a, M: Machine + 'static> {
    /// The run; goes into the journal's header.
    pub run: RunId,
    /// Runs effects.
    pub performer: &'a dyn Perform<M>,
    /// Takes records.
    pub journal: &'a dyn Journal<M::Event, M::Effect>,
    /// Tells time.
    pub clock: &'a dyn Clock,
    /// Is told.
    pub observer: &'a dyn Observer<M>,
}

/// What the loop woke up for.
enum Woken<E> {
    Signal(E),
    Answer(u64, E),
    Deadline,
    NothingLeft,
}

type InFlight<'a, E> = FuturesUnordered<Pin<Box<dyn Future<Output = (u64, E)> + Send + 'a>>>;

impl<M> Driver<'_, M>
where
    M: Machine<
            Event: Serialize + Send + Sync,
            Effect: crate::machine::Effect + Serialize + Clone + Send + Sync,
        > + Lifecycle
        + Transitions
        + Serialize
        + Send
        + Sync
        + 'static,
{
    /// Drives a fresh machine from its start to its outcome.
    ///
    /// `signals` are events from outside, such as an abort; the stream may end early. Dropping the returned future stops at
    /// once: what was under way is then open in the journal.
    ///
    /// # Errors
    /// [`DriveError`]; see its variants.
    pub async fn run(
        &self,
        machine: &mut M,
        signals: impl Stream<Item = M::Event> + Send,
    ) -> Result<M::Outcome, DriveError> {
        let fresh = serde_json::to_value(&*machine).map_err(DriveError::Store)?;
        let header = Header {
            format: FORMAT,
            machine: M::NAME.to_owned(),
            run: self.run.clone(),
            fresh,
        };
        let mut log = Log {
            journal: self.journal,
            clock: self.clock,
            seq: 0,
        };
        log.append(EntryBody::Opened(&header), Durability::Durable)
            .await?;

        let mut signals = core::pin::pin!(signals);
        let mut signals_open = true;
        let mut flight: InFlight<'_, M::Event> = FuturesUnordered::new();
        let mut inbox = VecDeque::from([(None, M::start())]);
        loop {
            while let Some((of, event)) = inbox.pop_front() {
                for effect in self.take(&mut log, machine, of, event).await? {
                    let durability = if effect.mutates() {
                        Durability::Durable
                    } else {
                        Durability::Lazy
                    };
                    let seq = log
                        .append(EntryBody::Issued { effect: &effect }, durability)
                        .await?;
                    self.observer
                        .notice(self.clock.now(), machine, &Notice::Issued(&effect));
                    let performer = self.performer;
                    flight.push(Box::pin(async move { (seq, performer.perform(&effect).await) }));
                }
                if let Some(outcome) = machine.outcome() {
                    log.append(EntryBody::Closed, Durability::Durable).await?;
                    self.observer
                        .notice(self.clock.now(), machine, &Notice::Ended(&outcome));
                    return Ok(outcome);
                }
            }
            let deadline = machine.deadline();
            if let Some(deadline) = deadline.filter(|_| flight.is_empty()) {
                self.observer
                    .notice(self.clock.now(), machine, &Notice::Waiting(deadline));
            }
            let mut sleep = deadline.map(|deadline| self.clock.sleep_until(deadline.at));
            match poll_fn(|cx| wake(cx, signals.as_mut(), &mut signals_open, &mut flight, &mut sleep)).await {
                Woken::Signal(event) => inbox.push_back((None, event)),
                Woken::Answer(seq, event) => inbox.push_back((Some(seq), event)),
                Woken::Deadline => inbox.push_back((None, M::elapsed())),
                Woken::NothingLeft => return Err(DriveError::Idle),
            }
        }
    }

    /// Appends one event and gives it to the machine.
    async fn take(
        &self,
        log: &mut Log<'_, M>,
        machine: &mut M,
        of: Option<u64>,
        event: M::Event,
    ) -> Result<Vec<M::Effect>, DriveError> {
        let now = self.clock.now();
        self.observer.notice(now, machine, &Notice::Happened(&event));
        // Durable without asking: whatever is issued next is appended after it, and that append is durable when it matters.
        let at = log
            .append_at(now, EntryBody::Happened { of, event: &event }, Durability::Lazy)
            .await?;
        debug_assert!(at < log.seq, "numbers grow");
        match machine.handle(now, event) {
            Ok(effects) => {
                self.observer.notice(now, machine, &Notice::Handled);
                Ok(effects)
            }
            Err(rejected) => {
                self.observer.notice(now, machine, &Notice::Refused(&rejected));
                // A signal may come at the wrong moment; an answer to the machine's own effect may not.
                if of.is_some() {
                    Err(rejected.into())
                } else {
                    Ok(Vec::new())
                }
            }
        }
    }
}

/// The journal with the next number.
struct Log<'a, M: Machine> {
    journal: &'a dyn Journal<M::Event, M::Effect>,
    clock: &'a dyn Clock,
    seq: u64,
}

impl<M> Log<'_, M>
where
    M: Machine<Event: Sync, Effect: Sync>,
{
    async fn append(
        &mut self,
        body: EntryBody<'_, M::Event, M::Effect>,
        durability: Durability,
    ) -> Result<u64, JournalError> {
        self.append_at(self.clock.now(), body, durability).await
    }

    async fn append_at(
        &mut self,
        at: crate::time::Timestamp,
        body: EntryBody<'_, M::Event, M::Effect>,
        durability: Durability,
    ) -> Result<u64, JournalError> {
        let seq = self.seq;
        self.journal.append(Entry { seq, at, body }, durability).await?;
        self.seq = seq.saturating_add(1);
        Ok(seq)
    }
}

/// Signals first, then answers, then time: a virtual clock is ready at once, and must only be asked when nothing else is.
fn wake<E, S>(
    cx: &mut Context<'_>,
    signals: Pin<&mut S>,
    signals_open: &mut bool,
    flight: &mut InFlight<'_, E>,
    sleep: &mut Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>>,
) -> Poll<Woken<E>>
where
    S: Stream<Item = E>,
{
    if *signals_open {
        match signals.poll_next(cx) {
            Poll::Ready(Some(event)) => return Poll::Ready(Woken::Signal(event)),
            Poll::Ready(None) => *signals_open = false,
            Poll::Pending => {}
        }
    }
    let flying = match Pin::new(flight).poll_next(cx) {
        Poll::Ready(Some((seq, event))) => return Poll::Ready(Woken::Answer(seq, event)),
        Poll::Ready(None) => false,
        Poll::Pending => true,
    };
    match sleep {
        Some(sleep) => sleep.as_mut().poll(cx).map(|()| Woken::Deadline),
        None if flying || *signals_open => Poll::Pending,
        None => Poll::Ready(Woken::NothingLeft),
    }
}
