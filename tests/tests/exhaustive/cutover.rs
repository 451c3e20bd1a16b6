//! One record, on its way back.

use rollout_core::machine::cutover::{Cutover, Goal, Policy, Spec};
use rollout_tests::explore::ecs::STALE;
use rollout_tests::explore::zone::{ZoneWorld, key, new, original};
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
        // An abort is ignored on the way back; before the start it refuses.
        aborts: false,
        calls: 2,
        horizon: secs(30),
    }
}

/// I-5, I-12, I-13: two faults and one other hand, from a record that we moved, and from one that is back already.
#[test]
fn cutover_back() {
    let goal = || Goal::Restore {
        original: Box::new(original()),
        ours: new(),
    };
    let world = || ZoneWorld::new(faults(0, 2), 1);
    let begin = vec![(machine(goal()), world().moved()), (machine(goal()), world())];
    let ends = ["moved", "refused", "stuck", "superseded"];
    let report = close("cutover back", &model(begin), &ends);
    assert!(report.acyclic, "a way back always ends");
}
