//! Virtual time: the queue of what is going to happen, and the trace of what has.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rollout_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rng::{Dice, Span, Stream};

/// Which look at a task's health is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Look {
    /// The load balancer's check changes its mind.
    Target,
    /// The container's own check changes its mind.
    Container,
    /// A task without checks has run for long enough.
    Settled,
    /// The service's grace period for health checks ends.
    Grace,
}

/// Something that is going to happen. A task's version makes what was planned for an earlier course of it void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Happening {
    /// A task goes on to its next phase.
    Phase { env: u16, task: u64, version: u32 },
    /// A task's process ends.
    Exit { env: u16, task: u64, version: u32 },
    /// A task's health is looked at.
    Health {
        env: u16,
        task: u64,
        version: u32,
        look: Look,
    },
    /// The scheduler looks at a service.
    Reconcile { env: u16, service: u16 },
    /// The alarms of a service's deployment are looked at.
    Watch { env: u16, service: u16 },
    /// An alarm is evaluated.
    Alarm { env: u16, alarm: u16 },
    /// A scripted incident.
    Incident { index: u32 },
    /// The lifecycle policies of an environment's repositories are applied.
    Lifecycle { env: u16 },
    /// An environment's traffic is measured.
    Metrics { env: u16 },
    /// The records of a certificate are looked for.
    Certificate { index: u32 },
    /// A health check of DNS is due.
    HealthCheck { index: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    at: Timestamp,
    /// What was planned first happens first.
    seq: u64,
    what: Happening,
}

/// Time, queue, dice and trace, apart from the things they move, so that both can be borrowed at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kernel {
    pub(crate) now: Timestamp,
    pub(crate) dice: Dice,
    queue: BinaryHeap<Reverse<Entry>>,
    seq: u64,
    last_task: u64,
    trace: u64,
}

impl Kernel {
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            now,
            dice: Dice::new(seed),
            queue: BinaryHeap::new(),
            seq: 0,
            last_task: 0,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Plans something for a moment; a moment that has passed is now.
    pub(crate) fn at(&mut self, at: Timestamp, what: Happening) {
        self.seq += 1;
        self.queue.push(Reverse(Entry {
            at: at.max(self.now),
            seq: self.seq,
            what,
        }));
    }

    /// Plans something for `millis` from now.
    pub(crate) fn after(&mut self, millis: u64, what: Happening) {
        self.at(plus(self.now, millis), what);
    }

    /// Draws a number of milliseconds.
    pub(crate) fn draw(&mut self, stream: Stream, span: Span) -> u64 {
        self.dice.draw(stream, span)
    }

    /// What happens next, if it happens by `until`. Time moves to it.
    pub(crate) fn pop(&mut self, until: Timestamp) -> Option<Happening> {
        if self.queue.peek().is_none_or(|Reverse(entry)| entry.at > until) {
            return None;
        }
        let Reverse(entry) = self.queue.pop()?;
        self.now = self.now.max(entry.at);
        self.mark(entry.at.as_millis());
        self.mark(match entry.what {
            Happening::Phase { task, .. } => task << 3,
            Happening::Exit { task, .. } => task << 3 | 1,
            Happening::Health { task, look, .. } => (task << 3 | 2) ^ (look as u64) << 60,
            Happening::Reconcile { env, service } => u64::from(env) << 35 | u64::from(service) << 3 | 3,
            Happening::Alarm { env, alarm } => u64::from(env) << 35 | u64::from(alarm) << 3 | 4,
            Happening::Incident { index } => u64::from(index) << 3 | 5,
            Happening::Lifecycle { env } => u64::from(env) << 3 | 7,
            // A look changes nothing but metrics.
            Happening::Metrics { env } => u64::from(env) << 3 | 6,
            Happening::Certificate { index } => u64::from(index) << 3 | 7,
            Happening::HealthCheck { index } => u64::from(index) << 3 | 6,
            Happening::Watch { env, service } => u64::from(env) << 35 | u64::from(service) << 3 | 7,
        });
        Some(entry.what)
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    pub(crate) fn next_task(&mut self) -> u64 {
        self.last_task += 1;
        self.last_task
    }

    /// Mixes a word into the trace (FNV-1a over its bytes).
    pub(crate) fn mark(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Mixes a text into the trace.
    pub(crate) fn mark_text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }
}

/// A moment and so many milliseconds later.
pub(crate) fn plus(at: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add(millis))
}
