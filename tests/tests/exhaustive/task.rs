//! One one-off task.

use rollout_core::machine::task::{Event, OneOff, Policy};
use rollout_core::service::{RevisionSpec, TaskSpec};
use rollout_tests::explore::tasks::TaskWorld;
use rollout_tests::explore::{Single, secs};

use crate::{close, faults};

fn machine() -> OneOff {
    let spec = TaskSpec {
        name: "migrate".parse().expect("valid"),
        revision: RevisionSpec {
            template: serde_json::Value::Null,
            images: std::collections::BTreeMap::new(),
        },
        run: serde_json::Value::Null,
    };
    let policy = Policy {
        poll_every: secs(60),
        give_up: secs(180),
        max_errors: 2,
        answer: secs(60),
    };
    OneOff::new(spec, policy)
}

/// I-19, also after the day for which the platform remembers the token.
#[test]
fn task() {
    let model = Single {
        begin: vec![(machine(), TaskWorld::new(faults(0, 1)))],
        tick: secs(60),
        pause: Some(secs(25 * 60 * 60)),
        aborts: true,
        calls: 2,
        horizon: secs(26 * 60 * 60),
        hint: Some(|| Event::Hinted),
        explaining: &[],
    };
    let ends = [
        "failed, did not run",
        "failed, may have run",
        "failed, ran",
        "succeeded",
    ];
    let report = close("task", &model, &ends);
    assert!(report.acyclic, "a task always ends");
}
