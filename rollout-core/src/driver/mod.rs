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

use crate::error::{Applied, ErrorKind, ErrorRecord, Retry};
use crate::id::RunId;
use crate::journal::{
    Durability, Entry, EntryBody, FORMAT, Header, Journal, JournalError, Replayed, Resumption,
};
use crate::machine::{Effect as _, Lifecycle, Machine, Rejected, Transitions};
use crate::observer::{Notice, Observer};
use crate::port::Clock;

mod fleet;
mod perform;
mod tenure;

pub use fleet::{FleetPerformer, MemberRuns, StopSwitch};
pub use perform::PortPerformer;
pub use tenure::{Fence, LeaseError, Tenure};

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

/// The failure of a call whose answer nobody will ever hear.
fn unheard() -> ErrorRecord {
    ErrorRecord {
        kind: ErrorKind::TimedOut,
        retry: Retry::Later,
        applied: Applied::Maybe,
        operation: "resume".to_owned(),
        context: "the runner that made the call is gone, and its answer with it".to_owned(),
        retry_after: None,
        cause: None,
    }
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
        let mut log = self.log(0);
        self.open(&mut log, machine).await?;
        let todo = self.take(&mut log, machine, None, M::start()).await?;
        let todo = todo.into_iter().map(|effect| (None, effect)).collect();
        self.go(log, machine, todo, signals).await
    }

    /// Goes on with what a journal says that another runner has left, to the outcome. The journal that takes the records from
    /// here on is the same one, and must be this runner's alone.
    ///
    /// An effect that was intended, has no result and changes something is a lost answer (`Applied::Maybe`): the machine observes
    /// before it says it again, if ever (invariant I-18). One that changes nothing is asked again, one whose intent is not in the journal
    /// is said now. A journal that is closed is left as it is.
    ///
    /// `left.machine` is driven in place. Who goes on is written down as [`Resumption`].
    ///
    /// # Errors
    /// [`DriveError`]; see its variants.
    pub async fn resume(
        &self,
        left: &mut Replayed<M, M::Effect>,
        by: &Resumption,
        signals: impl Stream<Item = M::Event> + Send,
    ) -> Result<M::Outcome, DriveError> {
        let Replayed {
            machine,
            open,
            unsaid,
            next_seq,
            closed,
            ..
        } = left;
        if *closed {
            return machine.outcome().ok_or(DriveError::Idle);
        }
        let mut log = self.log(*next_seq);
        if *next_seq == 0 {
            self.open(&mut log, machine).await?;
        }
        // Durable, and first: whoever else still writes to this journal is found out before anything is done.
        log.append(EntryBody::Resumed(by), Durability::Durable).await?;
        let (writes, reads): (Vec<_>, Vec<_>) = core::mem::take(open)
            .into_iter()
            .partition(|(_, effect)| effect.mutates());
        let said = reads.into_iter().map(|(seq, effect)| (Some(seq), effect));
        let not_said = core::mem::take(unsaid).into_iter().map(|effect| (None, effect));
        let mut todo: VecDeque<_> = said.chain(not_said).collect();
        for (seq, effect) in writes {
            let event = M::failed(&effect, unheard());
            let more = self.take(&mut log, machine, Some(seq), event).await?;
            todo.extend(more.into_iter().map(|effect| (None, effect)));
        }
        // A machine that has begun and not ended waits for something.
        if machine.outcome().is_none() && machine.deadline().is_none() {
            let more = self.take(&mut log, machine, None, M::start()).await?;
            todo.extend(more.into_iter().map(|effect| (None, effect)));
        }
        self.go(log, machine, todo, signals).await
    }

    fn log(&self, seq: u64) -> Log<'_, M> {
        Log {
            journal: self.journal,
            clock: self.clock,
            seq,
        }
    }

    /// Writes the first record.
    async fn open(&self, log: &mut Log<'_, M>, machine: &M) -> Result<(), DriveError> {
        let fresh = serde_json::to_value(machine).map_err(DriveError::Store)?;
        let header = Header {
            format: FORMAT,
            machine: M::NAME.to_owned(),
            run: self.run.clone(),
            fresh,
        };
        log.append(EntryBody::Opened(&header), Durability::Durable)
            .await?;
        Ok(())
    }

    /// The loop. `todo` is what must be done first; effects with a number are in the journal already.
    async fn go(
        &self,
        mut log: Log<'_, M>,
        machine: &mut M,
        mut todo: VecDeque<(Option<u64>, M::Effect)>,
        signals: impl Stream<Item = M::Event> + Send,
    ) -> Result<M::Outcome, DriveError> {
        let mut signals = core::pin::pin!(signals);
        let mut signals_open = true;
        let mut flight: InFlight<'_, M::Event> = FuturesUnordered::new();
        loop {
            while let Some((said, effect)) = todo.pop_front() {
                let seq = match said {
                    Some(seq) => seq,
                    None => self.intend(&mut log, &effect).await?,
                };
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
            let deadline = machine.deadline();
            if let Some(deadline) = deadline.filter(|_| flight.is_empty()) {
                self.observer
                    .notice(self.clock.now(), machine, &Notice::Waiting(deadline));
            }
            let mut sleep = deadline.map(|deadline| self.clock.sleep_until(deadline.at));
            let woken =
                poll_fn(|cx| wake(cx, signals.as_mut(), &mut signals_open, &mut flight, &mut sleep)).await;
            let (of, event) = match woken {
                Woken::Signal(event) => (None, event),
                Woken::Answer(seq, event) => (Some(seq), event),
                Woken::Deadline => (None, M::elapsed()),
                Woken::NothingLeft => return Err(DriveError::Idle),
            };
            let effects = self.take(&mut log, machine, of, event).await?;
            todo.extend(effects.into_iter().map(|effect| (None, effect)));
        }
    }

    /// Writes down that an effect is about to run.
    async fn intend(&self, log: &mut Log<'_, M>, effect: &M::Effect) -> Result<u64, DriveError> {
        let durability = if effect.mutates() {
            Durability::Durable
        } else {
            Durability::Lazy
        };
        Ok(log.append(EntryBody::Issued { effect }, durability).await?)
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
