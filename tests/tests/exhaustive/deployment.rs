//! One service, forward and back.

use rollout_core::machine::deployment::{Deployment, Event, Policy, Spec, Target};
use rollout_core::service::RevisionSpec;
use rollout_tests::explore::ecs::{EcsWorld, Far, STALE, deployment, images_of, point, revision};
use rollout_tests::explore::{Single, secs};

use crate::{close, faults};

fn policy() -> Policy {
    Policy {
        poll_every: secs(10),
        pace: None,
        give_up: secs(30),
        stopped_tasks: 1,
        max_errors: 2,
        answer: secs(10),
        stale_reads: STALE,
    }
}

fn machine(target: Target, images: u8) -> Deployment {
    let spec = Spec {
        service: "shop".parse().expect("valid"),
        target,
        images: images_of(images),
    };
    Deployment::new(spec, policy())
}

fn model(begin: Vec<(Deployment, EcsWorld)>) -> Single<Deployment, EcsWorld> {
    Single {
        begin,
        tick: secs(10),
        pause: None,
        aborts: true,
        calls: 2,
        horizon: secs(40),
        hint: Some(|| Event::Hinted),
        explaining: &[],
    }
}

#[test]
fn deployment_forward() {
    let release = Target::Release {
        revision: RevisionSpec {
            template: serde_json::Value::Null,
            images: std::collections::BTreeMap::new(),
        },
        assumes: Some(deployment(1)),
    };
    let world = EcsWorld::new(faults(0, 1), 1, 1);
    let model = model(vec![(machine(release, 2), world)]);
    let ends = ["deployed", "failed, touched", "failed, untouched", "superseded"];
    let report = close("deployment forward", &model, &ends);
    assert!(report.acyclic, "a deployment always ends");
}

fn going_back(ours: Option<u8>, fast: bool) -> Deployment {
    let target = Target::Restore {
        point: point(),
        ours: ours.map(deployment),
        our_revision: Some(revision(2)),
        fast,
    };
    machine(target, 1)
}

/// From every place in which a release may have left the service.
#[test]
fn deployment_back() {
    let back = |ours: Option<u8>| going_back(ours, false);
    let mut begin = Vec::new();
    for (others, failures) in [(1, 0), (0, 1)] {
        let world = || EcsWorld::new(faults(0, 1), others, failures);
        begin.extend([
            (back(Some(2)), world().with_ours(Far::Done)),
            (back(Some(2)), world().with_ours(Far::Going)),
            (back(Some(2)), world().with_ours(Far::Failed)),
            (back(None), world().with_ours(Far::Going)),
            (back(None), world().with_late()),
            (back(None), world()),
        ]);
    }
    let model = Single {
        // An abort is ignored on the way back; `unwind` says so for every event.
        aborts: false,
        ..model(begin)
    };
    let report = close(
        "deployment back",
        &model,
        &["deployed", "failed, touched", "superseded"],
    );
    assert!(report.acyclic, "a way back always ends");
}

/// On a platform that can turn ours back, which is still under way.
#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn deployment_turned_back() {
    let mut begin = Vec::new();
    for (others, failures) in [(1, 0), (0, 1)] {
        let world = || {
            EcsWorld::new(faults(0, 1), others, failures)
                .with_ours(Far::Going)
                .with_records()
        };
        begin.extend([
            (going_back(Some(2), true), world()),
            (going_back(None, true), world()),
        ]);
    }
    let model = Single {
        aborts: false,
        ..model(begin)
    };
    let report = close(
        "deployment turned back",
        &model,
        &["deployed", "failed, touched", "superseded"],
    );
    assert!(report.acyclic, "a way back always ends");
}
