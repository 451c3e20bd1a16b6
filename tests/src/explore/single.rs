//! One machine in one abstract world: its calls, its time, its aborts.

use core::fmt::Debug;
use core::time::Duration;
use std::borrow::Cow;
use std::collections::VecDeque;

use rollout_core::Rejected;
use rollout_core::error::{Applied, ErrorKind, ErrorRecord};
use rollout_core::machine::{Disposition, Effect, Lifecycle, Machine, Transitions};
use rollout_core::time::Timestamp;
use serde::Serialize;

use super::canon::{EXPLAINING, Lens};
use super::failure;
use super::search::{Model, Move};

/// A call under way.
#[derive(Clone, Debug, Serialize)]
pub struct Call<E> {
    /// What was asked for.
    pub effect: E,
    /// When.
    pub asked: Timestamp,
}

/// One way in which a call is answered, or something that happens by itself.
#[derive(Clone, Debug)]
pub struct Reply<W, E> {
    /// What happens.
    pub label: &'static str,
    /// Whether it is no fault.
    pub fair: bool,
    /// The world after it.
    pub world: W,
    /// What the machine hears; `None`: nothing, ever.
    pub event: Option<E>,
}

impl<W, E> Reply<W, E> {
    /// The true answer.
    pub fn fair(label: &'static str, world: W, event: E) -> Self {
        Self {
            label,
            fair: true,
            world,
            event: Some(event),
        }
    }

    /// A fault.
    pub fn fault(label: &'static str, world: W, event: E) -> Self {
        Self {
            label,
            fair: false,
            world,
            event: Some(event),
        }
    }

    /// Something that happens by itself, or a call whose answer is lost for good.
    pub fn silent(label: &'static str, world: W) -> Self {
        Self {
            label,
            fair: false,
            world,
            event: None,
        }
    }

    /// The faults of every call: refused for now, refused for good, never answered.
    pub fn none(less: W, failed: impl Fn(ErrorRecord) -> E) -> [Self; 3]
    where
        W: Clone,
    {
        let refused = |kind| failed(failure(kind, Applied::No));
        [
            Self::fault("refused for now", less.clone(), refused(ErrorKind::Throttled)),
            Self::fault(
                "refused for good",
                less.clone(),
                refused(ErrorKind::PermissionDenied),
            ),
            Self::silent("never answered", less),
        ]
    }

    /// The same for a world and an event that contain these.
    pub fn lift<V, F>(self, world: impl FnOnce(W) -> V, event: impl FnOnce(E) -> F) -> Reply<V, F> {
        Reply {
            label: self.label,
            fair: self.fair,
            world: world(self.world),
            event: self.event.map(event),
        }
    }
}

/// What the search needs of a machine.
pub trait Subject:
    Machine<Event: Clone + Debug, Effect: Effect + Clone + Debug + Serialize + Send + Sync, Outcome: Debug>
    + Lifecycle
    + Transitions
    + Clone
    + Serialize
    + Send
    + Sync
{
}

impl<M> Subject for M where
    M: Machine<
            Event: Clone + Debug,
            Effect: Effect + Clone + Debug + Serialize + Send + Sync,
            Outcome: Debug,
        > + Lifecycle
        + Transitions
        + Clone
        + Serialize
        + Send
        + Sync
{
}

/// A small world that answers a machine's effects in every way.
pub trait World<M: Subject>: Clone + Debug + Serialize + Send + Sync {
    /// Every way in which a call may be answered now.
    fn answers(&self, now: Timestamp, call: &Call<M::Effect>, out: &mut Vec<Reply<Self, M::Event>>);

    /// Whatever else may happen now.
    fn happenings(&self, now: Timestamp, machine: &M, out: &mut Vec<Reply<Self, M::Event>>);

    /// Time has passed: what is too old to matter is forgotten.
    fn pass(&mut self, now: Timestamp);

    /// Checks what the machine does on an event, and remembers what later checks need.
    ///
    /// # Errors
    /// The rule that is broken.
    fn judge(
        &mut self,
        now: Timestamp,
        before: &M,
        event: &M::Event,
        effects: &[M::Effect],
        after: &M,
    ) -> Result<(), String>;

    /// What a healthy platform does next by itself.
    fn settles(&self, _: Timestamp) -> Option<Self> {
        None
    }

    /// The name of the end that an outcome is.
    fn end(outcome: &M::Outcome) -> &'static str;
}

/// How a machine ends from here in a fair world: every answer true and at once, the platform healthy.
///
/// # Errors
/// The rule that is broken on the way, or that it does not end.
pub fn fairly<M: Subject, W: World<M>>(
    mut machine: M,
    mut world: W,
    mut now: Timestamp,
    tick: Duration,
) -> Result<M::Outcome, String> {
    let mut calls: VecDeque<Call<M::Effect>> = VecDeque::new();
    let mut next = Some(M::start());
    for _ in 0..500 {
        if let Some(outcome) = machine.outcome() {
            return Ok(outcome);
        }
        if let Some(event) = next.take() {
            let before = machine.clone();
            let effects = machine
                .handle(now, event.clone())
                .map_err(|rejected| rejected.to_string())?;
            world.judge(now, &before, &event, &effects, &machine)?;
            calls.extend(effects.into_iter().map(|effect| Call { effect, asked: now }));
        } else if let Some(call) = calls.pop_front() {
            let mut replies = Vec::new();
            world.answers(now, &call, &mut replies);
            if let Some(reply) = replies.into_iter().find(|reply| reply.fair) {
                world = reply.world;
                next = reply.event;
            }
        } else if let Some(settled) = world.settles(now) {
            world = settled;
        } else if machine.deadline().is_some_and(|deadline| deadline.at <= now) {
            next = Some(M::elapsed());
        } else {
            now = now.after(tick);
            world.pass(now);
        }
    }
    Err("L-1: it does not end in a fair world".to_owned())
}

/// A machine, its world, the calls under way.
#[derive(Clone, Debug)]
pub struct Node<M: Machine, W> {
    /// The machine.
    pub machine: M,
    /// The world.
    pub world: W,
    /// By the runner's clock, which is the world's too.
    pub now: Timestamp,
    /// The calls without an answer yet.
    pub calls: Vec<Call<M::Effect>>,
    /// Whether it was told to abort.
    pub aborted: bool,
    /// Whether the runner has slept for long.
    pub paused: bool,
}

/// One machine in one world as a model.
#[derive(Clone, Debug)]
pub struct Single<M: Machine, W> {
    /// The machine before its start, with each world that it may begin in.
    pub begin: Vec<(M, W)>,
    /// The step of time.
    pub tick: Duration,
    /// A long sleep of the runner, once in a run.
    pub pause: Option<Duration>,
    /// Whether someone may abort, once in a run.
    pub aborts: bool,
    /// Calls without an answer that are remembered; the oldest is then never answered.
    pub calls: usize,
    /// What lies further back is one past.
    pub horizon: Duration,
    /// An event that may come at any time, however often: a hint.
    pub hint: Option<fn() -> M::Event>,
    /// Further fields of this machine and this world that only explain.
    pub explaining: &'static [&'static str],
}

/// When the searches begin. Not the epoch, which means "never".
pub const BEGIN: Timestamp = Timestamp::from_millis(1_000_000_000);

impl<M: Subject, W: World<M>> Single<M, W> {
    fn give(
        &self,
        node: &Node<M, W>,
        world: W,
        calls: &[Call<M::Effect>],
        event: M::Event,
        signal: bool,
    ) -> Result<Node<M, W>, String> {
        let mut next = Node {
            machine: node.machine.clone(),
            world,
            now: node.now,
            calls: calls.to_vec(),
            aborted: node.aborted,
            paused: node.paused,
        };
        let effects = match next.machine.handle(node.now, event.clone()) {
            Ok(effects) => effects,
            Err(rejected) => return refused::<M, W>(next, &rejected, signal),
        };
        if next.machine.outcome().is_none() && next.machine.deadline().is_none() {
            return Err("L-1: it waits without a deadline".to_owned());
        }
        next.world
            .judge(node.now, &node.machine, &event, &effects, &next.machine)?;
        next.calls.extend(effects.into_iter().map(|effect| Call {
            effect,
            asked: node.now,
        }));
        let excess = next.calls.len().saturating_sub(self.calls);
        next.calls.drain(..excess);
        Ok(next)
    }

    fn later(&self, node: &Node<M, W>, by: Duration) -> Node<M, W> {
        let mut next = node.clone();
        next.now = node.now.after(by);
        next.world.pass(next.now);
        next
    }
}

/// A signal may come at the wrong moment; an answer to the machine's own effect may not: the driver would halt.
fn refused<M: Subject, W>(node: Node<M, W>, rejected: &Rejected, signal: bool) -> Result<Node<M, W>, String> {
    if signal {
        Ok(node)
    } else {
        Err(format!("it refuses an answer to its own effect: {rejected}"))
    }
}

impl<M: Subject, W: World<M>> Model for Single<M, W> {
    type State = Node<M, W>;

    fn initial(&self) -> Vec<Node<M, W>> {
        let node = |(machine, world): &(M, W)| Node {
            machine: machine.clone(),
            world: world.clone(),
            now: BEGIN,
            calls: Vec::new(),
            aborted: false,
            paused: false,
        };
        self.begin.iter().map(node).collect()
    }

    fn key(&self, node: &Node<M, W>) -> u128 {
        let lens = Lens {
            now: node.now,
            horizon: u64::try_from(self.horizon.as_millis()).unwrap_or(u64::MAX),
            without: [EXPLAINING, self.explaining],
        };
        lens.key(&(&node.machine, &node.world, &node.calls, node.aborted, node.paused))
    }

    fn moves(&self, node: &Node<M, W>, out: &mut Vec<Move<Node<M, W>>>) {
        let Some(deadline) = node.machine.deadline() else {
            // Before the start.
            for (label, event) in [("start", M::start()), ("abort before the start", M::abort())] {
                let kind = M::event_kind(&event);
                if matches!(
                    M::disposition(node.machine.state_kind(), kind),
                    Disposition::Moves(_)
                ) {
                    let started = self.give(node, node.world.clone(), &[], event, true);
                    let stays = |next: &Node<M, W>| {
                        next.machine.deadline().is_none() && next.machine.outcome().is_none()
                    };
                    if !started.as_ref().is_ok_and(stays) {
                        out.push(Move {
                            label,
                            fair: true,
                            to: started,
                        });
                    }
                }
            }
            return;
        };
        for (index, call) in node.calls.iter().enumerate() {
            let mut rest = node.calls.clone();
            rest.remove(index);
            let mut replies = Vec::new();
            node.world.answers(node.now, call, &mut replies);
            for reply in replies {
                let to = match reply.event {
                    Some(event) => self.give(node, reply.world, &rest, event, false),
                    None => Ok(Node {
                        world: reply.world,
                        calls: rest.clone(),
                        ..node.clone()
                    }),
                };
                out.push(Move {
                    label: reply.label,
                    fair: reply.fair,
                    to,
                });
            }
        }
        let mut happenings = Vec::new();
        node.world.happenings(node.now, &node.machine, &mut happenings);
        for reply in happenings {
            let to = match reply.event {
                Some(event) => self.give(node, reply.world, &node.calls, event, true),
                None => Ok(Node {
                    world: reply.world,
                    ..node.clone()
                }),
            };
            out.push(Move {
                label: reply.label,
                fair: reply.fair,
                to,
            });
        }
        if self.aborts && !node.aborted {
            let mut told = node.clone();
            told.aborted = true;
            let to = self.give(&told, told.world.clone(), &told.calls, M::abort(), false);
            out.push(Move {
                label: "abort",
                fair: false,
                to,
            });
        }
        if let Some(hint) = self.hint {
            let to = self.give(node, node.world.clone(), &node.calls, hint(), true);
            // One that changes nothing is no way round in circles.
            if to.as_ref().map_or(true, |to| self.key(to) != self.key(node)) {
                out.push(Move {
                    label: "hint",
                    fair: false,
                    to,
                });
            }
        }
        if let Some(pause) = self.pause.filter(|_| !node.paused) {
            let mut next = self.later(node, pause);
            next.paused = true;
            out.push(Move {
                label: "the runner sleeps for long",
                fair: false,
                to: Ok(next),
            });
        }
        if node.now >= deadline.at {
            let to = self.give(node, node.world.clone(), &node.calls, M::elapsed(), false);
            out.push(Move {
                label: "elapsed",
                fair: true,
                to,
            });
        } else {
            let to = Ok(self.later(node, self.tick));
            out.push(Move {
                label: "time passes",
                fair: true,
                to,
            });
        }
    }

    fn end(&self, node: &Node<M, W>) -> Option<Cow<'static, str>> {
        node.machine.outcome().map(|outcome| W::end(&outcome).into())
    }

    fn describe(&self, node: &Node<M, W>) -> String {
        let since = node.now.since(BEGIN);
        let calls: Vec<String> = node.calls.iter().map(|call| short(&call.effect)).collect();
        let outcome = node
            .machine
            .outcome()
            .map(|outcome| format!(" ended {outcome:?}"));
        format!(
            "at {since:?} {:?}{} waits for {:?}; calls {calls:?}; {:?}",
            node.machine.state_kind(),
            outcome.unwrap_or_default(),
            node.machine
                .deadline()
                .map(|deadline| (deadline.at.since(BEGIN), deadline.why)),
            node.world,
        )
    }
}

/// The first part of what a value looks like.
pub fn short(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(150) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
