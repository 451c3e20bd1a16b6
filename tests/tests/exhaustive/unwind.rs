//! The way back of a release: its record first, then its service.

use rollout_core::id::ZoneId;
use rollout_core::machine::unwind::{Item, Policy, Spec, Undo, Unwind};
use rollout_tests::explore::back::BackWorld;
use rollout_tests::explore::ecs::{EcsWorld, Far, US, deployment, point, revision};
use rollout_tests::explore::zone::{self, ZoneWorld};
use rollout_tests::explore::{Single, secs};

use crate::close;

fn machine() -> Unwind {
    let service = Item {
        step: "unwind/service/shop".parse().expect("valid"),
        undo: Undo::Service {
            service: "shop".parse().expect("valid"),
            point: Some(point()),
            ours: Some(deployment(2)),
            our_revision: Some(revision(2)),
        },
    };
    let zone: ZoneId = "Z1".parse().expect("valid");
    let record = Item {
        step: "unwind/dns/api.example.com".parse().expect("valid"),
        undo: Undo::Record {
            zone,
            key: zone::key(),
            original: Box::new(zone::original()),
            ours: zone::ours(),
            allow_unhealthy_target: false,
        },
    };
    let spec = Spec {
        run: "r-1".parse().expect("valid"),
        changed: vec![service, record],
        blocked_by: None,
    };
    let policy = Policy {
        fast: false,
        deployment: crate::rollout::patience(20),
        cutover: crate::rollout::policy().unwind_cutover,
    };
    Unwind::new(spec, policy)
}

/// I-5, I-6, I-9, I-13: another deployer, a failure of the platform, another hand at the record, or a fault.
#[test]
#[cfg_attr(debug_assertions, ignore = "a minute where the code is not optimised")]
fn unwind() {
    let world = |far, faults, others, failures, hands| {
        BackWorld::new(
            US,
            revision(1),
            EcsWorld::new(faults, others, failures).with_ours(far),
            Some(ZoneWorld::new(0, hands).moved()),
        )
    };
    let model = Single {
        begin: vec![
            (machine(), world(Far::Done, 0, 1, 0, 0)),
            (machine(), world(Far::Done, 0, 0, 1, 0)),
            (machine(), world(Far::Done, 0, 0, 0, 1)),
            (machine(), world(Far::Done, 1, 0, 0, 0)),
            (machine(), world(Far::Failed, 1, 0, 0, 0)),
            (machine(), world(Far::Going, 1, 0, 0, 0)),
        ],
        tick: secs(10),
        pause: None,
        // It is ignored: going back is the safe way already.
        aborts: false,
        calls: 2,
        horizon: secs(60),
        hint: None,
        explaining: &["at"],
    };
    let report = close("unwind", &model, &["back", "stuck", "superseded"]);
    assert!(report.acyclic, "a way back always ends");
}
