//! One record, there and back.

use rollout_core::machine::cutover::{Cutover, Goal, Policy, Spec};
use rollout_tests::explore::ecs::STALE;
use rollout_tests::explore::zone::{ZoneWorld, key, new, original, ours};
use rollout_tests::explore::{Single, secs};

use crate::{close, faults};

fn machine(goal: Goal) -> Cutover {
    let spec = Spec {
        run: "r-1".parse().expect("valid"),
        zone: "Z1".parse().expect("valid"),
        key: key(),
        goal,
        allow_unhealthy_target: false,
        drain: None,
    };
    let policy = Policy {
        poll_first: STALE,
        poll_max: STALE,
        in_sync: secs(10),
        verify: secs(10),
        watch: secs(10),
        watch_failures: 1,
        max_errors: 2,
        answer: STALE,
    };
    Cutover::new(spec, policy)
}

fn model(begin: Vec<(Cutover, ZoneWorld)>) -> Single<Cutover, ZoneWorld> {
    Single {
        begin,
        tick: secs(10),
        pause: None,
        // On the way back it is ignored; before the start it refuses.
        aborts: false,
        calls: 2,
        horizon: secs(30),
        // When a snapshot was taken counts only when it comes.
        hint: None,
        explaining: &["at"],
    }
}

/// I-5, I-12, I-13: two faults and one other hand, from a record that we moved, from one that is back already, and from one
/// where our move may still land.
#[test]
fn cutover_back() {
    let goal = || Goal::Restore {
        original: Box::new(original()),
        ours: ours(),
    };
    let world = || ZoneWorld::new(faults(0, 2), 1);
    let begin = vec![
        (machine(goal()), world().moved()),
        (machine(goal()), world()),
        (machine(goal()), world().moving()),
    ];
    let ends = ["moved", "refused", "stuck", "superseded"];
    let report = close("cutover back", &model(begin), &ends);
    assert!(report.acyclic, "a way back always ends");
}

/// A move with so many faults and other hands, aborted at any moment or not.
fn forward(name: &str, faults: u8, others: u8, aborts: bool, ends: &[&str]) {
    let goal = Goal::Move {
        to: new(),
        lowered_ttl: 10,
    };
    let begin = vec![(machine(goal), ZoneWorld::new(faults, others))];
    let model = Single {
        aborts,
        ..model(begin)
    };
    let report = close(name, &model, ends);
    assert!(report.acyclic, "a move always ends");
}

/// I-1, I-5, I-12, I-13: a fault, another hand, an abort, each alone.
#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn cutover_forward_with_a_fault() {
    forward(
        "cutover forward, a fault",
        1,
        0,
        false,
        &["moved", "refused", "reverted", "stuck"],
    );
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn cutover_forward_with_another_hand() {
    forward(
        "cutover forward, another hand",
        0,
        1,
        false,
        &["moved", "refused", "reverted", "stuck", "superseded"],
    );
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn cutover_forward_with_an_abort() {
    forward(
        "cutover forward, an abort",
        0,
        0,
        true,
        &["moved", "refused", "reverted", "stuck"],
    );
}

#[test]
#[ignore = "a minute; `-- --ignored`"]
fn cutover_forward_with_another_hand_and_an_abort() {
    forward(
        "cutover forward, another hand and an abort",
        0,
        1,
        true,
        &["moved", "refused", "reverted", "stuck", "superseded"],
    );
}
