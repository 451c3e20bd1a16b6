//! The transition tables: one exhaustive function per machine, consulted on every event and printed by `rollout graph`.

use core::fmt::{self, Write as _};

use strum::IntoEnumIterator;

use super::{Machine, Rejected, name_of};
use crate::time::Timestamp;

/// What a (state, event) pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition<S: 'static> {
    /// The event is handled; the next state is one of these (the same state among them where it may stay).
    Moves(&'static [S]),
    /// The event is dropped on purpose, for this reason: late answers, mostly.
    Ignored(&'static str),
    /// The event is refused, for this reason.
    Refused(&'static str),
}

/// A machine whose transitions are a table.
pub trait Transitions: Machine {
    /// The machine's name.
    const NAME: &'static str;
    /// The states without their data.
    type StateKind: Copy + Eq + Ord + fmt::Debug + IntoEnumIterator + 'static;
    /// The events without their data.
    type EventKind: Copy + Eq + Ord + fmt::Debug + IntoEnumIterator + 'static;

    /// The present state's kind.
    fn state_kind(&self) -> Self::StateKind;

    /// An event's kind.
    fn event_kind(event: &Self::Event) -> Self::EventKind;

    /// The table. Exhaustive, without a catch-all, so that a new state or event does not compile until it has its rows.
    fn disposition(state: Self::StateKind, event: Self::EventKind) -> Disposition<Self::StateKind>;
}

/// What a machine whose transitions are a table adds to get [`handle`].
pub(crate) trait Step: Transitions {
    /// The state with its data. The default is the state before the start; it stands in while `step` runs.
    type State: Default;

    /// The latest moment seen.
    fn seen_mut(&mut self) -> &mut Timestamp;

    /// The state.
    fn state_mut(&mut self) -> &mut Self::State;

    /// Refuses an event whose data does not fit, such as a sample of an unknown probe. Reads only.
    fn admit(&self, event: &Self::Event) -> Result<(), String>;

    /// The next state and what must be done. `self` has its state taken out: use `state`.
    fn step(
        &self,
        state: Self::State,
        now: Timestamp,
        event: Self::Event,
    ) -> (Self::State, Vec<Self::Effect>);
}

/// Whether a machine takes an event: the table and the machine's own admission, without the step. A parent asks this of a
/// child before it takes the event itself, so that its own step cannot fail.
pub(crate) fn admits<M: Step>(machine: &M, event: &M::Event) -> Result<(), Rejected> {
    let (state, kind) = (machine.state_kind(), M::event_kind(event));
    let why = match M::disposition(state, kind) {
        Disposition::Moves(_) => match machine.admit(event) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        },
        Disposition::Ignored(_) => return Ok(()),
        Disposition::Refused(why) => why.to_owned(),
    };
    Err(Rejected {
        machine: M::NAME.to_owned(),
        state: name_of(state),
        event: name_of(kind),
        why,
    })
}

/// The one way an event gets into a machine: table, admission, monotonic time, step, table again.
pub(crate) fn handle<M: Step>(
    machine: &mut M,
    now: Timestamp,
    event: M::Event,
) -> Result<Vec<M::Effect>, Rejected> {
    admits(machine, &event)?;
    let (state, kind) = (machine.state_kind(), M::event_kind(&event));
    let Disposition::Moves(next) = M::disposition(state, kind) else {
        return Ok(Vec::new());
    };
    let now = now.max(*machine.seen_mut());
    *machine.seen_mut() = now;
    let taken = core::mem::take(machine.state_mut());
    let (new, effects) = machine.step(taken, now, event);
    *machine.state_mut() = new;
    if next.contains(&machine.state_kind()) {
        return Ok(effects);
    }
    // A bug of ours: the table that people read would be wrong. Nothing is done; the driver halts.
    let why = format!(
        "the step led to {:?}, which is not in the table",
        machine.state_kind()
    );
    Err(Rejected {
        machine: M::NAME.to_owned(),
        state: name_of(state),
        event: name_of(kind),
        why,
    })
}

/// One row of a printed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The state.
    pub state: String,
    /// The event.
    pub event: String,
    /// The next states of a move; `None` for an event that is ignored or refused.
    pub moves: Option<Vec<String>>,
    /// `true` when the event is refused.
    pub refused: bool,
    /// Why it is ignored or refused.
    pub why: &'static str,
}

/// A machine's table, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The machine.
    pub machine: &'static str,
    /// Every (state, event) pair.
    pub rows: Vec<Row>,
}

/// The table of a machine, row by row.
#[must_use]
pub fn table<M: Transitions>() -> Table {
    let rows = M::StateKind::iter()
        .flat_map(|state| M::EventKind::iter().map(move |event| (state, event)))
        .map(|(state, event)| {
            let (moves, refused, why) = match M::disposition(state, event) {
                Disposition::Moves(next) => (Some(next.iter().map(name_of).collect()), false, ""),
                Disposition::Ignored(why) => (None, false, why),
                Disposition::Refused(why) => (None, true, why),
            };
            Row {
                state: name_of(state),
                event: name_of(event),
                moves,
                refused,
                why,
            }
        })
        .collect();
    Table {
        machine: M::NAME,
        rows,
    }
}

impl Table {
    /// The moves as a Mermaid state diagram.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut edges: std::collections::BTreeMap<(&str, &str), Vec<&str>> =
            std::collections::BTreeMap::new();
        for row in &self.rows {
            for next in row.moves.iter().flatten() {
                edges.entry((&row.state, next)).or_default().push(&row.event);
            }
        }
        let mut text = format!("---\ntitle: {}\n---\nstateDiagram-v2\n", self.machine);
        for ((from, to), events) in edges {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "    {from} --> {to}: {}", events.join(", "));
        }
        text
    }
}
