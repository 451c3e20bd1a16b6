//! What every machine's tests share: one walk that checks every rule after every event.

use core::fmt::Debug;
use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use strum::IntoEnumIterator;

use super::{Step, Transitions};
use crate::machine::table::Disposition;
use crate::time::Timestamp;

/// A machine that the walk can check.
pub(crate) trait Subject:
    Step<
        Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned,
        Effect: Clone + Debug + PartialEq + Serialize + DeserializeOwned,
        Outcome: Clone + Debug + PartialEq,
    > + Clone
    + Debug
    + PartialEq
    + Serialize
    + DeserializeOwned
{
}

impl<M> Subject for M where
    M: Step<
            Event: Clone + Debug + PartialEq + Serialize + DeserializeOwned,
            Effect: Clone + Debug + PartialEq + Serialize + DeserializeOwned,
            Outcome: Clone + Debug + PartialEq,
        > + Clone
        + Debug
        + PartialEq
        + Serialize
        + DeserializeOwned
{
}

/// The pairs that a walk has met.
pub(crate) type Visited<M> = BTreeSet<(<M as Transitions>::StateKind, <M as Transitions>::EventKind)>;

/// What a walk did.
#[derive(Clone, Debug)]
pub(crate) struct Walk<M: Subject> {
    /// The machine at the end.
    pub(crate) machine: M,
    /// Every accepted event with its time and the effects that it led to.
    pub(crate) steps: Vec<(Timestamp, M::Event, Vec<M::Effect>)>,
    /// The pairs met.
    pub(crate) visited: Visited<M>,
    /// Whether what is costly is checked after every event, or left to the end.
    pub(crate) thorough: bool,
}

impl<M: Subject> Walk<M> {
    /// Begins with a fresh machine.
    pub(crate) fn new(machine: M) -> Self {
        Self {
            machine,
            steps: Vec::new(),
            visited: BTreeSet::new(),
            thorough: true,
        }
    }

    /// The same for a large machine and a long script: storage and refusals are checked by other walks.
    pub(crate) fn light(machine: M) -> Self {
        Self {
            thorough: false,
            ..Self::new(machine)
        }
    }

    /// Gives one event and checks: a refused event changes nothing; an ignored one does nothing; state and effects
    /// survive storage; a machine that has begun and not ended has a deadline; an outcome never changes.
    pub(crate) fn give(
        &mut self,
        now: Timestamp,
        event: M::Event,
    ) -> Result<Vec<M::Effect>, super::Rejected> {
        if !self.thorough {
            return self.give_lightly(now, event);
        }
        let before = self.machine.clone();
        let (state, kind) = (before.state_kind(), M::event_kind(&event));
        self.visited.insert((state, kind));
        let result = self.machine.handle(now, event.clone());
        match (&result, M::disposition(state, kind)) {
            (Err(rejected), disposition) => {
                assert_eq!(
                    self.machine, before,
                    "a refused event changed the state: {rejected}"
                );
                assert!(!matches!(disposition, Disposition::Ignored(_)), "{rejected}");
                assert!(!rejected.why.contains("not in the table"), "{rejected}");
            }
            (Ok(effects), Disposition::Ignored(_)) => {
                assert_eq!(self.machine, before, "an ignored event changed the state");
                assert!(effects.is_empty(), "an ignored event did something");
            }
            (Ok(_), Disposition::Refused(why)) => panic!("accepted what the table refuses: {why}"),
            (Ok(effects), Disposition::Moves(_)) => {
                round_trip(&self.machine);
                effects.iter().for_each(round_trip);
                round_trip(&event);
                self.steps.push((now, event, effects.clone()));
            }
        }
        if let Some(outcome) = before.outcome() {
            assert_eq!(self.machine.outcome(), Some(outcome), "an outcome changed");
        }
        self.check_deadline();
        result
    }

    fn give_lightly(&mut self, now: Timestamp, event: M::Event) -> Result<Vec<M::Effect>, super::Rejected> {
        self.visited
            .insert((self.machine.state_kind(), M::event_kind(&event)));
        let result = self.machine.handle(now, event.clone());
        if let Ok(effects) = &result {
            self.steps.push((now, event, effects.clone()));
        }
        self.check_deadline();
        result
    }

    fn check_deadline(&self) {
        if self.begun() && self.machine.outcome().is_none() {
            assert!(
                self.machine.deadline().is_some(),
                "{} waits without a deadline in {:?}",
                M::NAME,
                self.machine.state_kind()
            );
        }
        if self.machine.outcome().is_some() {
            assert!(
                self.machine.deadline().is_none(),
                "{} has ended and still waits",
                M::NAME
            );
        }
    }

    fn begun(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Replays what was accepted on a fresh machine: the same state, the same effects; and every prefix twice.
    pub(crate) fn check_replay(&self, fresh: &M) {
        for _ in 0..2 {
            let mut again = fresh.clone();
            for (now, event, effects) in &self.steps {
                let same = again.handle(*now, event.clone()).expect("it was accepted before");
                assert_eq!(&same, effects, "replay led to other effects");
            }
            assert_eq!(again, self.machine, "replay led to another state");
        }
    }
}

/// Asserts that a value survives storage.
pub(crate) fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("plain data is JSON");
    let back: T = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(&back, value, "{text}");
}

/// The pairs that no walk has met. A test asserts that there are none.
pub(crate) fn never_visited<M: Transitions>(visited: &Visited<M>) -> Vec<(M::StateKind, M::EventKind)> {
    M::StateKind::iter()
        .flat_map(|state| M::EventKind::iter().map(move |event| (state, event)))
        .filter(|pair| !visited.contains(pair))
        .collect()
}
