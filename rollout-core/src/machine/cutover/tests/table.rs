//! The table is complete and says what happens.

use std::collections::BTreeSet;

use super::directed::{restore, to_drain, to_swap, to_watch};
use super::*;
use crate::machine::testkit::{Visited, never_visited};
use crate::machine::{Disposition, table};

/// A hand in each state, by the shortest way.
fn in_every_state() -> Vec<Hand> {
    let (old, new) = (values(300, "10.0.0.1"), values(300, "10.0.0.2"));
    let plain = || spec(to_value());
    let without_drain = || Spec {
        drain: None,
        ..plain()
    };
    let lowering = || {
        let mut hand = Hand::started(plain());
        hand.snapshot(old.clone(), None);
        hand
    };
    let waiting = || {
        let mut hand = lowering();
        hand.healthy();
        hand.snapshot(old.clone(), None);
        hand.give(Event::Applied(change("C1")));
        hand.elapse(Wait::Propagation);
        hand.give(IN_SYNC);
        hand
    };
    let checking = || {
        let mut hand = waiting();
        hand.elapse(Wait::OldTtl);
        hand
    };
    let propagating = || {
        let mut hand = to_swap(plain());
        hand.give(Event::Applied(change("C2")));
        hand.elapse(Wait::Propagation);
        hand
    };
    let verifying = || {
        let mut hand = propagating();
        hand.give(IN_SYNC);
        hand
    };
    let expiring = || {
        let mut hand = Hand::started(Spec {
            goal: Goal::Move {
                to: new.clone(),
                lowered_ttl: 400,
            },
            ..plain()
        });
        hand.snapshot(old.clone(), None);
        hand.healthy();
        hand.snapshot(old.clone(), None);
        hand.give(Event::Applied(change("C1")));
        hand.elapse(Wait::Propagation);
        hand.give(IN_SYNC);
        hand.all_agree();
        while hand.walk.machine.state_kind() == StateKind::Watching {
            hand.elapse(Wait::Watch);
            hand.healthy();
        }
        hand
    };
    let restoring = || {
        let mut hand = to_watch(without_drain());
        while hand.walk.machine.state_kind() == StateKind::Watching {
            hand.elapse(Wait::Watch);
            hand.healthy();
        }
        hand
    };
    let reverting = || {
        let mut hand = Hand::started(restore());
        hand.snapshot(new.clone(), None);
        hand
    };
    let confirming = || {
        let mut hand = Hand::started(restore());
        hand.snapshot(old.clone(), Some(marker(7)));
        hand
    };
    let ended = || {
        let mut hand = Hand::new(plain());
        hand.give(Event::Abort);
        hand
    };
    vec![
        Hand::new(plain()),
        Hand::started(plain()),
        lowering(),
        waiting(),
        checking(),
        to_swap(plain()),
        propagating(),
        verifying(),
        to_watch(plain()),
        expiring(),
        to_drain(plain()),
        restoring(),
        reverting(),
        confirming(),
        ended(),
    ]
}

fn every_event(now: u64) -> Vec<Event> {
    vec![
        Event::Start,
        snapshot(now, Some(values(300, "10.0.0.1")), None),
        check(now, Some(true)),
        Event::Applied(change("C9")),
        IN_SYNC,
        answers(now, &[Some(true)]),
        traffic(now, Some(0)),
        error(ErrorKind::Throttled, Retry::Later, Applied::No),
        Event::Elapsed,
        Event::Abort,
    ]
}

#[test]
fn every_pair_is_met_and_stays_within_the_table() {
    let mut visited: Visited<Cutover> = BTreeSet::new();
    let mut states = BTreeSet::new();
    for hand in in_every_state() {
        states.insert(hand.walk.machine.state_kind());
        for event in every_event(hand.now) {
            let mut walk = hand.walk.clone();
            let pair = (walk.machine.state_kind(), Cutover::event_kind(&event));
            let result = walk.give(secs(hand.now), event);
            let refused = matches!(Cutover::disposition(pair.0, pair.1), Disposition::Refused(_));
            assert_eq!(result.is_err(), refused, "{pair:?}: {result:?}");
            visited.extend(walk.visited);
        }
    }
    assert_eq!(states.len(), 15, "a hand in every state: {states:?}");
    assert_eq!(never_visited::<Cutover>(&visited), []);
}

#[test]
fn the_table_prints_and_every_state_leads_to_the_end() {
    let table = table::<Cutover>();
    assert_eq!(table.rows.len(), 15 * 10);
    assert!(table.mermaid().contains("Swapping --> Propagating: Applied"));
    let mut leads: BTreeSet<&str> = BTreeSet::from(["Ended"]);
    for _ in 0..15 {
        let more = table.rows.iter().filter(|row| {
            row.moves
                .iter()
                .flatten()
                .any(|next| leads.contains(next.as_str()))
        });
        let more: Vec<&str> = more.map(|row| row.state.as_str()).collect();
        leads.extend(more);
    }
    assert_eq!(leads.len(), 15, "{leads:?}");
}

#[test]
fn only_a_write_mutates_and_its_attempt_is_its_generation() {
    use crate::machine::Effect as _;
    let seen = snap(1, Some(values(300, "10.0.0.1")), Some(marker(41)));
    let write = write(&seen, values(60, "10.0.0.1"), 42);
    assert!(write.mutates() && write.attempt() == 42);
    assert!(!read().mutates() && read().attempt() == 1);
}

#[test]
fn it_says_what_it_waits_for() {
    for hand in in_every_state() {
        assert!(!hand.walk.machine.waiting_for().is_empty());
    }
    let mut hand = Hand::started(spec(to_value()));
    assert_eq!(hand.walk.machine.waiting_for(), "api.example.com A to be read");
    hand.give(error(ErrorKind::Throttled, Retry::Later, Applied::No));
    assert_eq!(
        hand.walk.machine.waiting_for(),
        "api.example.com A to be read (last try: test:Call: scripted)"
    );
}
