//! What the benchmarks run: one whole, successful life of each machine, recorded once and played many times.
//!
//! Run them with `cargo bench --package rollout-benches`; figures and the machine that they are from are in
//! `docs/benchmarks.md`.

use core::fmt::Debug;
use core::time::Duration;

use rollout_core::Machine;
use rollout_core::journal::{Body, FORMAT, Header, Record};
use rollout_core::machine::Transitions;
use rollout_core::time::Timestamp;
use serde::Serialize;

mod cutover;
mod deployment;
mod gate;
mod promotion;
mod task;

pub use cutover::cutover;
pub use deployment::deployment;
pub use gate::{gate, long_gate};
pub use promotion::promotion;
pub use task::task;

/// When every script begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// How long every call takes.
const CALL: Duration = Duration::from_millis(40);

/// A machine before its start, and everything that happens to it.
#[derive(Clone, Debug)]
pub struct Script<M: Machine> {
    /// The machine before its start.
    pub fresh: M,
    /// Its events with their times, and the effects that each leads to.
    pub steps: Vec<(Timestamp, M::Event, Vec<M::Effect>)>,
    /// How it ends.
    pub outcome: M::Outcome,
}

impl<M> Script<M>
where
    M: Machine<Event: Clone, Effect: Clone> + Clone,
{
    /// Plays a machine to its end. `next` answers an effect, or, when none is left, says what happens at the deadline.
    ///
    /// # Panics
    /// When the machine refuses an event or waits for nothing: then the script measures something that does not happen.
    fn record(
        fresh: M,
        start: M::Event,
        mut next: impl FnMut(&M, Timestamp, Option<&M::Effect>) -> M::Event,
    ) -> Self {
        let mut machine = fresh.clone();
        let (mut now, mut event) = (BEGIN, start);
        let mut steps = Vec::new();
        let mut waiting = std::collections::VecDeque::new();
        loop {
            let effects = machine
                .handle(now, event.clone())
                .unwrap_or_else(|rejected| panic!("{rejected}"));
            waiting.extend(effects.iter().cloned());
            steps.push((now, event, effects));
            if let Some(outcome) = machine.outcome() {
                return Self {
                    fresh,
                    steps,
                    outcome,
                };
            }
            let effect = waiting.pop_front();
            now = match (&effect, machine.deadline()) {
                (Some(_), _) => now.after(CALL),
                (None, Some(deadline)) => deadline.at.max(now),
                (None, None) => panic!("it waits for nothing"),
            };
            event = next(&machine, now, effect.as_ref());
        }
    }

    /// The events alone, ready to be handed over.
    #[must_use]
    pub fn events(&self) -> Vec<(Timestamp, M::Event)> {
        self.steps
            .iter()
            .map(|(at, event, _)| (*at, event.clone()))
            .collect()
    }

    /// Hands every event to a machine and returns how it ends.
    #[must_use]
    pub fn play(mut machine: M, events: Vec<(Timestamp, M::Event)>) -> Option<M::Outcome> {
        for (at, event) in events {
            // A refused event would make the outcome another one, which the tests compare.
            let _ = machine.handle(at, event);
        }
        machine.outcome()
    }

    /// What a driver would have written: the header, then each event and the effects that it leads to.
    ///
    /// # Panics
    /// Never: a machine is plain data.
    #[must_use]
    pub fn journal(&self) -> Vec<Record<M::Event, M::Effect>>
    where
        M: Transitions + Serialize,
        M::Effect: PartialEq + Debug,
    {
        let mut records: Vec<Record<M::Event, M::Effect>> = Vec::new();
        let header = Header {
            format: FORMAT,
            machine: M::NAME.to_owned(),
            run: id("bench"),
            fresh: serde_json::to_value(&self.fresh).expect("plain data"),
        };
        push(&mut records, BEGIN, Body::Opened(header));
        let mut open = std::collections::VecDeque::new();
        for (nth, (at, event, effects)) in self.steps.iter().enumerate() {
            // One call is answered at a time, in the order in which they were issued.
            let of = if nth == 0 { None } else { open.pop_front() };
            let event = event.clone();
            push(&mut records, *at, Body::Happened { of, event });
            for effect in effects.iter().cloned() {
                open.push_back(push(&mut records, *at, Body::Issued { effect }));
            }
        }
        push(&mut records, BEGIN, Body::Closed);
        records
    }
}

fn push<E, F>(records: &mut Vec<Record<E, F>>, at: Timestamp, body: Body<E, F>) -> u64 {
    let seq = u64::try_from(records.len()).unwrap_or(u64::MAX);
    records.push(Record { seq, at, body });
    seq
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An id that is known to be well formed.
fn id<T: core::str::FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a valid id")
}

#[cfg(test)]
mod tests {
    use rollout_core::journal::replay;

    use super::*;

    fn check<M>(script: &Script<M>)
    where
        M: Machine<Event: Clone, Effect: Clone + PartialEq + Debug, Outcome: PartialEq + Debug>
            + Transitions
            + Serialize
            + Clone,
    {
        let end = Script::play(script.fresh.clone(), script.events());
        assert_eq!(end.as_ref(), Some(&script.outcome));
        let replayed = replay(script.fresh.clone(), &script.journal()).expect("its own journal");
        assert_eq!(replayed.machine.outcome().as_ref(), Some(&script.outcome));
        assert!(replayed.closed && replayed.open.is_empty() && replayed.unsaid.is_empty());
    }

    #[test]
    fn every_script_is_a_success_and_replays() {
        use rollout_core::machine::{cutover, deployment, gate, promotion, task};
        let script = gate();
        assert!(matches!(script.outcome, gate::Outcome::Passed { .. }));
        check(&script);
        let script = promotion();
        assert!(matches!(script.outcome, promotion::Outcome::Promoted { .. }));
        check(&script);
        let script = task();
        assert!(matches!(script.outcome, task::Outcome::Succeeded { .. }));
        check(&script);
        let script = deployment();
        assert!(matches!(script.outcome, deployment::Outcome::Deployed { .. }));
        check(&script);
        let script = cutover();
        assert!(matches!(
            script.outcome,
            cutover::Outcome::Moved { drained: true, .. }
        ));
        check(&script);
    }

    #[test]
    fn the_long_gate_is_long() {
        let script = long_gate(1_000);
        assert!(script.journal().len() > 2_000);
        check(&script);
    }
}
