//! One gate with two probes.

use rollout_core::machine::gate::{Condition, Gate, ProbeSpec, Spec};
use rollout_core::probe::{ProbeTarget, Subject};
use rollout_tests::explore::gates::GateWorld;
use rollout_tests::explore::images::images;
use rollout_tests::explore::{BEGIN, Single, secs};

use crate::{close, faults};

fn machine() -> Gate {
    let probe = |name: &str, successes| ProbeSpec {
        name: name.parse().expect("valid"),
        target: ProbeTarget::Alarms { names: vec![] },
        every: secs(1),
        successes,
        failures: 1,
        errors: 1,
        max_age: secs(2),
        dry_run: false,
    };
    let named = |name: &str| Condition::Probe(name.parse().expect("valid"));
    Gate::new(Spec {
        condition: Condition::All(vec![named("live"), named("ready")]),
        probes: vec![probe("live", 2), probe("ready", 1)],
        subject: Subject {
            service: None,
            images: images("new"),
            changed_at: BEGIN,
        },
        warm_up: secs(1),
        bake: secs(2),
        give_up: secs(5),
        answer: secs(1),
    })
}

/// I-8 and I-14: a pass rests on enough fresh evidence of this change, for the bake time, and never follows a failure.
#[test]
fn gate() {
    let model = Single {
        begin: vec![(machine(), GateWorld::new(faults(1, 2)))],
        tick: secs(1),
        pause: None,
        aborts: true,
        calls: 2,
        horizon: secs(12),
        hint: None,
        explaining: &[],
    };
    let report = close("gate", &model, &["failed", "passed"]);
    assert!(report.acyclic, "a gate always ends");
}
