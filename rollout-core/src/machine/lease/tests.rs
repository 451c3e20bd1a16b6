use std::collections::BTreeSet;

use super::*;
use crate::error::{Applied, Error, ErrorKind, Retry};
use crate::machine::testkit::{Visited, Walk, never_visited};

mod properties;
mod race;

const T0: Timestamp = Timestamp::from_millis(1_763_683_200_000);

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn at(n: u64) -> Timestamp {
    T0.after(secs(n))
}

fn claim(who: &str) -> Claim {
    Claim {
        scope: Scope {
            environment: "production".parse().unwrap(),
            group: "storefront".parse().unwrap(),
        },
        owner: Owner {
            who: who.to_owned(),
            host: "runner".to_owned(),
            url: None,
        },
        run: "r-1".parse().unwrap(),
        session: format!("session of {who}"),
    }
}

/// A minute, a beat each 15 s, a look each 5 s, 10 s for an answer, two minutes of waiting.
fn lease(who: &str) -> Lease {
    Lease::new(claim(who), Policy::default())
}

fn patient(who: &str, wait: u64) -> Lease {
    let policy = Policy {
        wait: secs(wait),
        ..Policy::default()
    };
    Lease::new(claim(who), policy)
}

/// What the store holds, and how often it was written.
#[derive(Clone, Debug, Default, PartialEq)]
struct Store {
    value: Option<Seen>,
    writes: u64,
}

impl Store {
    /// Runs a call, and answers it.
    fn run(&mut self, effect: &Effect) -> Event {
        match effect {
            Effect::Look { call } => Event::Seen {
                call: *call,
                seen: self.value.clone().map(Box::new),
            },
            Effect::Write {
                call,
                record,
                expected,
            } => {
                if self.value.as_ref().map(|seen| &seen.version) != expected.as_ref() {
                    return failed(*call, ErrorKind::Conflict, Applied::No);
                }
                self.writes += 1;
                let version = Version(format!("v{}", self.writes));
                self.value = Some(Seen {
                    record: (**record).clone(),
                    version: version.clone(),
                });
                Event::Written { call: *call, version }
            }
        }
    }
}

fn number(effect: &Effect) -> u64 {
    match effect {
        Effect::Look { call } | Effect::Write { call, .. } => *call,
    }
}

fn failed(call: u64, kind: ErrorKind, applied: Applied) -> Event {
    let error = Error::new(kind, "lease:Write", "the store says no")
        .applied(applied)
        .record();
    Event::CallFailed { call, error }
}

/// One walk on a store.
struct Scene {
    walk: Walk<Lease>,
    store: Store,
}

impl Scene {
    fn new(machine: Lease) -> Self {
        Self {
            walk: Walk::new(machine),
            store: Store::default(),
        }
    }

    /// The one effect of an event, if there is one.
    fn give(&mut self, now: u64, event: Event) -> Option<Effect> {
        let mut effects = self.walk.give(at(now), event).expect("accepted");
        assert!(effects.len() <= 1, "{effects:?}");
        effects.pop()
    }

    /// Gives an event, and answers whatever it leads to, at once.
    fn settle(&mut self, now: u64, event: Event) {
        let mut next = self.give(now, event);
        while let Some(effect) = next {
            let answer = self.store.run(&effect);
            next = self.give(now, answer);
        }
    }

    fn held(&self) -> &Held {
        self.walk.machine.held().expect("held")
    }

    fn outcome(&self) -> Outcome {
        self.walk.machine.outcome().expect("ended")
    }

    fn due(&self) -> u64 {
        let deadline = self.walk.machine.deadline().expect("it waits");
        deadline.at.since(T0).as_secs()
    }
}

fn holding(who: &str) -> Scene {
    let mut scene = Scene::new(lease(who));
    scene.settle(0, Event::Start);
    scene
}

/// `b` looks at a store in which `a` has just written.
fn watching(wait: u64) -> Scene {
    let mut scene = Scene::new(patient("b", wait));
    scene.store = holding("a").store;
    scene.settle(1, Event::Start);
    scene
}

#[test]
fn a_free_lease_is_taken_and_counts_from_before_the_write_was_sent() {
    let mut scene = Scene::new(lease("a"));
    let look = scene.give(0, Event::Start).expect("a look");
    let answer = scene.store.run(&look);
    let write = scene.give(2, answer).expect("a write");
    let Effect::Write { record, expected, .. } = &write else {
        panic!("{write:?}")
    };
    assert_eq!(
        (record.generation, record.writes, expected),
        (Generation(1), 1, &None)
    );
    let answer = scene.store.run(&write);
    assert_eq!(scene.give(9, answer), None);
    assert_eq!(
        (scene.held().until(), scene.held().proved()),
        (at(2 + 60 - 5), at(2))
    );
    assert_eq!(scene.due(), 2 + 15);
}

#[test]
fn a_holder_writes_each_beat_and_keeps_its_generation() {
    let mut scene = holding("a");
    for beat in 1..=3 {
        assert_eq!(scene.due(), 15 * beat);
        scene.settle(15 * beat, Event::Elapsed);
        assert_eq!(scene.held().until(), at(15 * beat + 55));
    }
    let record = &scene.store.value.as_ref().unwrap().record;
    assert_eq!((record.generation, record.writes), (Generation(1), 4));
    assert_eq!(scene.held().record(), record);
}

#[test]
fn a_value_that_stays_the_same_for_a_term_is_taken_over_with_a_higher_generation() {
    let mut scene = watching(120);
    for look in 1..12 {
        assert_eq!(scene.due(), 1 + 5 * look);
        scene.settle(1 + 5 * look, Event::Elapsed);
        assert!(scene.walk.machine.held().is_none(), "after {look} looks");
    }
    scene.settle(61, Event::Elapsed);
    assert_eq!(scene.held().generation(), Generation(2));
}

#[test]
fn a_value_that_changes_is_counted_anew() {
    let mut scene = watching(1_000);
    let mut other = holding("a");
    for second in (6..600).step_by(5) {
        if second == 6 + 50 {
            other.settle(second, Event::Elapsed);
            scene.store = other.store.clone();
        }
        scene.settle(second, Event::Elapsed);
        if scene.walk.machine.held().is_some() {
            assert_eq!(second, 56 + 60);
            return;
        }
    }
    panic!("never taken");
}

#[test]
fn a_clock_that_is_set_ahead_takes_no_lease_away() {
    let mut scene = watching(100_000);
    scene.settle(3_600, Event::Elapsed);
    scene.settle(7_200, Event::Elapsed);
    assert!(scene.walk.machine.held().is_none());
    // 15 s are what a look may take, and count.
    for look in 1..=4 {
        assert!(scene.walk.machine.held().is_none(), "after {look} looks");
        scene.settle(7_200 + 15 * look, Event::Elapsed);
    }
    assert!(scene.walk.machine.held().is_some());
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once_and_keeps_its_numbers() {
    let mut first = holding("a");
    first.settle(7, Event::Abort);
    let released = Outcome::Released {
        generation: Generation(1),
        confirmed: true,
    };
    assert_eq!(first.outcome(), released);
    let mut scene = Scene::new(lease("b"));
    scene.store = first.store;
    scene.settle(8, Event::Start);
    let record = scene.held().record();
    assert_eq!((record.generation, record.writes), (Generation(2), 3));
}

#[test]
fn another_holder_is_waited_for_as_long_as_asked_and_named() {
    let mut scene = watching(0);
    let Outcome::Refused { by } = scene.outcome() else {
        panic!("{:?}", scene.outcome())
    };
    assert_eq!(by.holder.unwrap().owner.who, "a");

    scene = watching(12);
    for second in [6, 11] {
        scene.settle(second, Event::Elapsed);
        assert_eq!(scene.walk.machine.outcome(), None);
    }
    // Not a look later.
    assert_eq!(
        scene.walk.machine.deadline().map(|deadline| deadline.at),
        Some(at(13))
    );
    scene.settle(13, Event::Elapsed);
    assert!(matches!(scene.outcome(), Outcome::Refused { .. }));
}

#[test]
fn a_written_end_counts_only_where_clocks_are_trusted() {
    let policy = Policy {
        trust_clocks: Some(secs(10)),
        wait: secs(0),
        ..Policy::default()
    };
    for (now, taken) in [(69, false), (70, false), (71, true)] {
        let mut scene = Scene::new(Lease::new(claim("b"), policy.clone()));
        scene.store = holding("a").store;
        scene.settle(now, Event::Start);
        assert_eq!(scene.walk.machine.held().is_some(), taken, "at {now}");
        let mut scene = Scene::new(patient("b", 0));
        scene.store = holding("a").store;
        scene.settle(100_000, Event::Start);
        assert!(scene.walk.machine.held().is_none());
    }
}

/// I-18: the store has taken the write, and its answer was lost, or an error came back.
#[test]
fn a_write_whose_answer_was_lost_is_known_again() {
    for answer in [
        None,
        Some((ErrorKind::Conflict, Applied::No)),
        Some((ErrorKind::TimedOut, Applied::Maybe)),
        Some((ErrorKind::Throttled, Applied::No)),
    ] {
        let mut scene = Scene::new(lease("a"));
        let look = scene.give(0, Event::Start).unwrap();
        let seen = scene.store.run(&look);
        let write = scene.give(1, seen).unwrap();
        scene.store.run(&write);
        let lost = match answer {
            None => {
                assert_eq!(scene.due(), 11);
                Event::Elapsed
            }
            Some((kind, applied)) => failed(number(&write), kind, applied),
        };
        assert_eq!(scene.give(11, lost), None);
        scene.settle(11, Event::Elapsed);
        assert_eq!(scene.store.writes, 1, "{answer:?}: written once");
        assert_eq!(scene.held().generation(), Generation(1));
        assert_eq!(
            scene.held().until(),
            at(1 + 55),
            "from when it was said, not from when it was seen"
        );
        assert_eq!(scene.held().proved(), at(11));

        // The same of a renewal.
        let write = scene.give(16, Event::Elapsed).expect("a beat");
        scene.store.run(&write);
        let lost = match answer {
            None => Event::Elapsed,
            Some((kind, applied)) => failed(number(&write), kind, applied),
        };
        assert_eq!(scene.give(26, lost), None);
        let look = scene.give(26, Event::Elapsed).expect("a look");
        assert!(matches!(look, Effect::Look { .. }));
        let seen = scene.store.run(&look);
        assert_eq!(scene.give(26, seen), None);
        assert_eq!((scene.held().until(), scene.store.writes), (at(16 + 55), 2));
    }
}

#[test]
fn a_lost_race_is_watched() {
    let mut scene = Scene::new(lease("b"));
    let look = scene.give(0, Event::Start).unwrap();
    let seen = scene.store.run(&look);
    let write = scene.give(1, seen).unwrap();
    scene.store = holding("a").store;
    let conflict = scene.store.run(&write);
    assert_eq!(scene.give(1, conflict), None);
    scene.settle(1, Event::Elapsed);
    assert_eq!(scene.walk.machine.state_kind(), StateKind::Watching);
}

#[test]
fn a_taken_lease_is_lost_at_the_next_look_and_its_taker_is_named() {
    for renewal in [false, true] {
        let mut scene = holding("a");
        let mut taker = Scene::new(patient("b", 0));
        taker.walk.machine.policy.trust_clocks = Some(Duration::ZERO);
        taker.store = scene.store.clone();
        taker.settle(61, Event::Start);
        scene.store = taker.store;
        if renewal {
            scene.settle(3_600, Event::Elapsed);
            scene.settle(3_600, Event::Elapsed);
        } else {
            scene.settle(10, Event::Confirm { need: secs(1) });
        }
        let Outcome::Lost { generation, by, .. } = scene.outcome() else {
            panic!("{:?}", scene.outcome())
        };
        assert_eq!(
            (generation, by.as_ref().unwrap().generation),
            (Generation(1), Generation(2))
        );
        assert_eq!(by.unwrap().holder.unwrap().owner.who, "b");
    }
}

#[test]
fn a_lease_that_was_removed_is_lost() {
    let mut scene = holding("a");
    scene.store.value = None;
    scene.settle(10, Event::Confirm { need: secs(1) });
    assert!(matches!(scene.outcome(), Outcome::Lost { by: None, .. }));
}

#[test]
fn a_holder_that_was_asleep_asks_before_it_gives_up() {
    let mut scene = holding("a");
    scene.settle(3_600, Event::Elapsed);
    assert_eq!(scene.held().until(), at(3_600 + 55));
}

#[test]
fn a_store_that_does_not_answer_is_tried_for_a_second_term() {
    let mut scene = holding("a");
    let mut last = 0;
    while scene.walk.machine.outcome().is_none() {
        last = scene.due();
        assert!(last <= 140, "still not lost at {last}");
        scene.give(last, Event::Elapsed);
    }
    assert!(last >= 120, "lost already at {last}");
    let Outcome::Lost { by: None, why, .. } = scene.outcome() else {
        panic!("{:?}", scene.outcome())
    };
    assert!(
        why.contains("not answered since 2025-11-21T00:00:00.000Z"),
        "{why}"
    );

    // One that comes back in time finds it held.
    let mut scene = holding("a");
    while scene.due() < 100 {
        scene.give(scene.due(), Event::Elapsed);
    }
    let mut now = scene.due();
    while scene.held().until() <= at(now) {
        scene.settle(now, Event::Elapsed);
        now = now.max(scene.due());
        assert!(now < 130, "{now}");
    }
}

#[test]
fn what_is_confirmed_was_asked_for_then_and_lasts_long_enough() {
    let mut scene = holding("a");
    // Enough is left: a look.
    let look = scene.give(5, Event::Confirm { need: secs(40) }).expect("a call");
    assert!(matches!(look, Effect::Look { .. }));
    assert_eq!(
        scene.give(5, Event::Confirm { need: secs(40) }),
        None,
        "one call at a time"
    );
    let seen = scene.store.run(&look);
    scene.give(6, seen);
    assert_eq!((scene.held().proved(), scene.held().until()), (at(5), at(55)));
    // Too little is left: a write.
    let write = scene.give(11, Event::Confirm { need: secs(45) }).expect("a call");
    let written = scene.store.run(&write);
    scene.give(12, written);
    assert_eq!((scene.held().proved(), scene.held().until()), (at(11), at(66)));
    // After a failure it has its turn, however often it is asked for.
    let look = scene.give(13, Event::Confirm { need: secs(1) }).expect("a call");
    scene.give(14, failed(number(&look), ErrorKind::Unavailable, Applied::No));
    assert_eq!(scene.give(14, Event::Confirm { need: secs(1) }), None);
    assert_eq!(scene.due(), 19);
}

#[test]
fn a_late_answer_counts_for_nothing() {
    let mut scene = holding("a");
    let write = scene.give(15, Event::Elapsed).expect("a beat");
    let late = scene.store.run(&write);
    scene.give(25, Event::Elapsed);
    let look = scene.give(25, Event::Elapsed).expect("a look");
    let before = scene.walk.machine.clone();
    assert_eq!(scene.give(26, late), None);
    assert_eq!(scene.walk.machine.held(), before.held());
    let seen = scene.store.run(&look);
    scene.give(27, seen);
    assert_eq!(scene.held().until(), at(15 + 55));
}

/// A write lands when it has long been given up, and answers while its successor is under way.
#[test]
fn an_answer_to_an_older_write_is_not_the_newer_ones() {
    let mut scene = holding("a");
    let first = scene.give(15, Event::Elapsed).expect("a beat");
    scene.give(25, Event::Elapsed);
    let look = scene.give(25, Event::Elapsed).expect("a look");
    let seen = scene.store.run(&look);
    let second = scene.give(26, seen).expect("a write");
    let late = scene.store.run(&first);
    let before = scene.held().clone();
    assert_eq!(scene.give(27, late), None);
    assert_eq!(scene.held(), &before);
    let conflict = scene.store.run(&second);
    assert_eq!(scene.give(28, conflict), None);
    let due = scene.due();
    let look = scene.give(due, Event::Elapsed).expect("a look");
    let seen = scene.store.run(&look);
    scene.give(due, seen);
    assert!(scene.held().until() >= at(15 + 55), "{:?}", scene.held());
}

#[test]
fn a_store_that_refuses_for_good_or_again_and_again_ends_it() {
    let mut scene = Scene::new(lease("a"));
    let look = scene.give(0, Event::Start).unwrap();
    scene.give(1, failed(number(&look), ErrorKind::PermissionDenied, Applied::No));
    assert!(
        matches!(scene.outcome(), Outcome::Failed { error } if error.kind == ErrorKind::PermissionDenied)
    );

    // It never takes the write, and never says why: each time the value is looked at.
    let mut scene = Scene::new(lease("a"));
    let mut next = scene.give(0, Event::Start);
    let mut writes = 0;
    while scene.walk.machine.outcome().is_none() {
        let now = scene.due();
        next = match next {
            Some(look @ Effect::Look { .. }) => {
                let seen = scene.store.run(&look);
                scene.give(now, seen)
            }
            Some(Effect::Write { call, .. }) => {
                writes += 1;
                scene.give(now, failed(call, ErrorKind::Conflict, Applied::No))
            }
            None => scene.give(now, Event::Elapsed),
        };
    }
    assert!(matches!(scene.outcome(), Outcome::Failed { .. }));
    assert_eq!(writes, TRIES);
}

#[test]
fn what_is_left_half_way_is_given_back() {
    let mut scene = Scene::new(lease("a"));
    let look = scene.give(0, Event::Start).unwrap();
    let seen = scene.store.run(&look);
    let write = scene.give(0, seen).unwrap();
    assert_eq!(scene.give(1, Event::Abort), None);
    let written = scene.store.run(&write);
    scene.settle(2, written);
    assert!(matches!(
        scene.outcome(),
        Outcome::Released { confirmed: true, .. }
    ));
    assert_eq!(scene.store.value.unwrap().record.holder, None);

    // The write did not take effect: there is nothing to give back.
    let mut scene = Scene::new(lease("a"));
    let look = scene.give(0, Event::Start).unwrap();
    let seen = scene.store.run(&look);
    scene.give(0, seen);
    scene.give(1, Event::Abort);
    scene.give(10, Event::Elapsed);
    scene.settle(10, Event::Elapsed);
    assert_eq!(scene.outcome(), Outcome::Left);
}

#[test]
fn a_lease_that_cannot_be_given_back_runs_out() {
    let mut scene = holding("a");
    scene.give(5, Event::Abort);
    while scene.walk.machine.outcome().is_none() {
        scene.give(scene.due(), Event::Elapsed);
    }
    let left = Outcome::Released {
        generation: Generation(1),
        confirmed: false,
    };
    assert_eq!(scene.outcome(), left);

    // A release whose answer was lost is looked at, not repeated.
    let mut scene = holding("a");
    let write = scene.give(5, Event::Abort).expect("a write");
    scene.store.run(&write);
    scene.give(15, Event::Elapsed);
    scene.settle(15, Event::Elapsed);
    assert_eq!(scene.store.writes, 2);
    assert!(matches!(
        scene.outcome(),
        Outcome::Released { confirmed: true, .. }
    ));
}

#[test]
fn numbers_that_are_used_up_are_no_generation() {
    for (generation, writes) in [(u64::MAX, 1), (1, u64::MAX)] {
        let mut first = holding("a");
        first.settle(5, Event::Abort);
        let mut scene = Scene::new(lease("b"));
        scene.store = first.store;
        let record = &mut scene.store.value.as_mut().unwrap().record;
        (record.generation, record.writes) = (Generation(generation), writes);
        scene.settle(6, Event::Start);
        assert!(matches!(scene.outcome(), Outcome::Failed { error } if error.retry == Retry::Never));
    }
}

#[test]
fn a_policy_that_cannot_hold_a_lease_is_refused() {
    let fits = Policy {
        term: secs(40),
        ..Policy::default()
    };
    assert_eq!(fits.check(), Ok(()));
    assert_eq!(fits.longest_effect(), secs(40 - 5 - 10));
    for bad in [
        Policy {
            term: secs(39),
            ..fits.clone()
        },
        Policy {
            tick: Duration::ZERO,
            ..fits.clone()
        },
        Policy {
            beat: Duration::ZERO,
            ..fits.clone()
        },
        Policy {
            answer: Duration::ZERO,
            ..fits
        },
    ] {
        let mut lease = Lease::new(claim("a"), bad);
        let before = lease.clone();
        assert!(lease.handle(T0, Event::Start).is_err());
        assert_eq!(lease, before);
    }
}

/// A machine in every state, each given every event.
#[test]
fn every_pair_is_met() {
    let scenes = || {
        let idle = Scene::new(lease("a"));
        let mut looking = Scene::new(lease("a"));
        looking.give(0, Event::Start);
        let mut taking = Scene::new(lease("a"));
        let look = taking.give(0, Event::Start).unwrap();
        let seen = taking.store.run(&look);
        taking.give(0, seen);
        let mut releasing = holding("a");
        releasing.give(5, Event::Abort);
        let mut ended = holding("a");
        ended.settle(5, Event::Abort);
        [idle, looking, taking, holding("a"), releasing, ended]
    };
    let events = [
        Event::Start,
        Event::Seen { call: 1, seen: None },
        Event::Written {
            call: 2,
            version: Version("v9".to_owned()),
        },
        failed(1, ErrorKind::Unavailable, Applied::No),
        Event::Confirm { need: secs(1) },
        Event::Elapsed,
        Event::Abort,
    ];
    let mut visited: Visited<Lease> = BTreeSet::new();
    for event in events {
        for mut scene in scenes() {
            // Refused or not: the walk checks what must hold.
            drop(scene.walk.give(at(6), event.clone()));
            visited.extend(scene.walk.visited);
        }
    }
    assert_eq!(never_visited::<Lease>(&visited), []);
}
