//! What holds for runners whose clocks differ, whose calls get lost or land late, and who fall asleep or die.

use proptest::prelude::*;

use super::*;

/// How one call goes. Spans are milliseconds.
#[derive(Clone, Copy, Debug)]
enum Goes {
    /// It lands after the first span, and its answer is there after the second.
    Well(u64, u64),
    /// It lands, however late, and no answer comes.
    Answerless(u64),
    /// It never lands, and no answer comes.
    Nowhere,
    /// It is refused; `true` says that it may have taken effect.
    Refused(bool),
}

fn goes() -> impl Strategy<Value = Goes> {
    prop_oneof![
        12 => (0..800_u64, 0..800_u64).prop_map(|(there, back)| Goes::Well(there, back)),
        2 => (0..9_000_u64, 0..9_000_u64).prop_map(|(there, back)| Goes::Well(there, back)),
        2 => (0..40_000_u64).prop_map(Goes::Answerless),
        1 => Just(Goes::Nowhere),
        1 => any::<bool>().prop_map(Goes::Refused),
    ]
}

/// What is special about one runner.
#[derive(Clone, Debug)]
struct Fate {
    /// When it starts, in milliseconds.
    starts: u64,
    /// Its clock is so far ahead, in milliseconds, and so many millionths too fast.
    ahead: u64,
    fast: i64,
    /// Asleep from the first moment, for the second span.
    sleeps: Option<(u64, u64)>,
    /// At the first moment its clock is set ahead by the second span.
    set: Option<(u64, u64)>,
    dies: Option<u64>,
    gives_back: Option<u64>,
    calls: Vec<Goes>,
}

fn fate() -> impl Strategy<Value = Fate> {
    (
        (0..30_000_u64, 0..90_000_000_u64, -20_000..20_000_i64),
        prop::option::weighted(0.5, (0..200_000_u64, 1_000..200_000_u64)),
        prop::option::weighted(0.3, (0..200_000_u64, 30_000..10_000_000_u64)),
        prop::option::weighted(0.3, 10_000..200_000_u64),
        prop::option::weighted(0.3, 10_000..200_000_u64),
        prop::collection::vec(goes(), 1..40),
    )
        .prop_map(
            |((starts, ahead, fast), sleeps, set, dies, gives_back, calls)| Fate {
                starts,
                ahead,
                fast,
                sleeps,
                set,
                dies,
                gives_back,
                calls,
            },
        )
}

struct Runner {
    fate: Fate,
    walk: Walk<Lease>,
    fresh: Lease,
    calls: usize,
    begun: bool,
    given_back: bool,
}

impl Runner {
    fn new(nth: usize, fate: Fate) -> Self {
        let fresh = patient(&format!("runner {nth}"), 400);
        Self {
            walk: Walk::new(fresh.clone()),
            fresh,
            fate,
            calls: 0,
            begun: false,
            given_back: false,
        }
    }

    /// Its clock at a real moment.
    fn clock(&self, real: u64) -> Timestamp {
        let drift = i64::try_from(real).unwrap() * self.fate.fast / 1_000_000;
        let set = self
            .fate
            .set
            .filter(|(when, _)| real >= *when)
            .map_or(0, |(_, by)| by);
        let millis = i64::try_from(real + self.fate.ahead + set).unwrap() + drift;
        T0.after(Duration::from_millis(u64::try_from(millis).unwrap()))
    }

    /// Whether it would say an effect now, by its own clock.
    fn believes(&self, real: u64) -> bool {
        let now = self.clock(real).max(self.walk.machine.seen());
        !self.is_dead(real) && self.walk.machine.held().is_some_and(|held| now < held.until())
    }

    fn is_dead(&self, real: u64) -> bool {
        self.fate.dies.is_some_and(|when| real >= when)
    }

    fn is_asleep(&self, real: u64) -> bool {
        self.fate
            .sleeps
            .is_some_and(|(when, long)| real >= when && real < when + long)
    }
}

/// A call under way: it lands, then it is answered.
#[derive(Debug)]
struct Call {
    by: usize,
    effect: Effect,
    lands: Option<u64>,
    answer: Option<(u64, Event)>,
    answers: Option<u64>,
}

struct World {
    runners: Vec<Runner>,
    calls: Vec<Call>,
    store: Store,
    real: u64,
    granted: Vec<(u64, usize, Generation)>,
}

/// How finely real time passes, in milliseconds.
const STEP: u64 = 250;

impl World {
    fn new(fates: Vec<Fate>) -> Self {
        Self {
            runners: fates
                .into_iter()
                .enumerate()
                .map(|(nth, fate)| Runner::new(nth, fate))
                .collect(),
            calls: Vec::new(),
            store: Store::default(),
            real: 0,
            granted: Vec::new(),
        }
    }

    fn give(&mut self, nth: usize, event: Event) {
        let runner = &mut self.runners[nth];
        let before = runner.walk.machine.held().map(Held::generation);
        let now = runner.clock(self.real);
        let said = runner.walk.give(now, event).expect("accepted");
        let after = runner.walk.machine.held().map(Held::generation);
        // One that slept through its whole lease hears of it when another has it, and does nothing with it.
        let in_time = runner.believes(self.real);
        if let Some(generation) = after.filter(|_| after != before && in_time) {
            self.granted.push((self.real, nth, generation));
        }
        for effect in said {
            let goes = runner.fate.calls[runner.calls % runner.fate.calls.len()];
            runner.calls += 1;
            let (lands, answers, answer) = match goes {
                Goes::Well(there, back) => (Some(there), Some(there + back), None),
                Goes::Answerless(there) => (Some(there), None, None),
                Goes::Nowhere => (None, None, None),
                Goes::Refused(maybe) => {
                    let applied = if maybe { Applied::Maybe } else { Applied::No };
                    let event = failed(number(&effect), ErrorKind::Unavailable, applied);
                    (None, None, Some((self.real + 100, event)))
                }
            };
            self.calls.push(Call {
                by: nth,
                effect,
                lands: lands.map(|after| self.real + after),
                answers: answers.map(|after| self.real + after),
                answer,
            });
        }
    }

    fn tick(&mut self) {
        for nth in 0..self.calls.len() {
            if self.calls[nth].lands.is_some_and(|when| self.real >= when) {
                self.calls[nth].lands = None;
                let event = self.store.run(&self.calls[nth].effect);
                let when = self.calls[nth].answers;
                self.calls[nth].answer = when.map(|when| (when, event));
            }
        }
        for nth in 0..self.runners.len() {
            let runner = &mut self.runners[nth];
            if runner.is_dead(self.real) || runner.is_asleep(self.real) || self.real < runner.fate.starts {
                continue;
            }
            if !runner.begun {
                runner.begun = true;
                self.give(nth, Event::Start);
                continue;
            }
            if !runner.given_back && runner.fate.gives_back.is_some_and(|when| self.real >= when) {
                runner.given_back = true;
                self.give(nth, Event::Abort);
            }
            let mut answers = Vec::new();
            for call in self.calls.iter_mut().filter(|call| call.by == nth) {
                if let Some((_, event)) = call.answer.take_if(|(when, _)| self.real >= *when) {
                    answers.push(event);
                }
            }
            for event in answers {
                self.give(nth, event);
            }
            let runner = &self.runners[nth];
            let due = runner
                .walk
                .machine
                .deadline()
                .is_some_and(|due| runner.clock(self.real) >= due.at);
            if due {
                self.give(nth, Event::Elapsed);
            }
        }
        self.calls
            .retain(|call| call.lands.is_some() || call.answer.is_some());
        self.real += STEP;
    }

    fn believers(&self) -> Vec<usize> {
        (0..self.runners.len())
            .filter(|nth| self.runners[*nth].believes(self.real))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// I-2 and I-4: two runners never believe at once that they hold it, and each grant raises the generation; a replay gives
    /// the same.
    #[test]
    fn two_never_hold_it_at_once(fates in prop::collection::vec(fate(), 2..4)) {
        let mut world = World::new(fates);
        for _ in 0..(400_000 / STEP) {
            world.tick();
            let believers = world.believers();
            prop_assert!(believers.len() <= 1, "at {} ms: {believers:?}", world.real);
        }
        for pair in world.granted.windows(2) {
            prop_assert!(pair[0].2 < pair[1].2, "{:?}", world.granted);
        }
        for runner in &world.runners {
            runner.walk.check_replay(&runner.fresh);
        }
    }

    /// L-3: a holder dies at any moment, and one that waits has the lease within a term and a tick, and the time of its calls.
    #[test]
    fn a_runner_that_dies_is_replaced_in_time(dies in 5_000..100_000_u64, there in 0..400_u64, back in 0..400_u64, ahead in 0..90_000_000_u64) {
        let calm = Fate {
            starts: 0,
            ahead: 0,
            fast: 0,
            sleeps: None,
            set: None,
            dies: Some(dies),
            gives_back: None,
            calls: vec![Goes::Well(there, back)],
        };
        let waits = Fate { starts: 2_000, ahead, dies: None, ..calm.clone() };
        let mut world = World::new(vec![calm, waits]);
        while world.granted.len() < 2 && world.real < 400_000 {
            world.tick();
        }
        let policy = Policy::default();
        // The last beat is on its way, the look that sees it, the look that ends the count, the write; and this simulation's
        // own steps.
        let calls = 4 * (there + back) + 8 * STEP;
        let bound = dies + u64::try_from((policy.term + policy.tick).as_millis()).unwrap() + calls;
        prop_assert_eq!(world.granted.len(), 2);
        let (when, by, generation) = world.granted[1];
        prop_assert_eq!((by, generation), (1, Generation(2)));
        prop_assert!(when >= dies && when <= bound, "taken over at {}, the bound is {}", when, bound);
    }

    /// Any order of any events is survived.
    #[test]
    fn survives_any_order(events in prop::collection::vec((0..400_u64, 0..7_u8, 0..6_u64), 0..60)) {
        let fresh = lease("a");
        let mut walk = Walk::new(fresh.clone());
        let store = holding("b").store;
        let mut now = 0;
        for (wait, event, call) in events {
            now += wait;
            let event = match event {
                0 => Event::Start,
                1 => Event::Seen { call, seen: store.value.clone().filter(|_| now % 2 == 0).map(Box::new) },
                2 => Event::Written { call, version: Version(format!("v{now}")) },
                3 => failed(call, ErrorKind::Unavailable, Applied::Maybe),
                4 => Event::Confirm { need: secs(now % 70) },
                5 => Event::Abort,
                _ => Event::Elapsed,
            };
            drop(walk.give(at(now), event));
        }
        walk.check_replay(&fresh);
    }
}
