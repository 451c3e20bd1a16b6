//! One image.

use rollout_core::machine::promotion::{Policy, Promotion, Reference, Spec};
use rollout_tests::explore::images::{ImageWorld, digest};
use rollout_tests::explore::{Single, secs};

use crate::{close, faults};

fn machine(reference: Reference) -> Promotion {
    let spec = Spec {
        from: "shop/backend".parse().expect("valid"),
        reference,
        to: "shop/backend".parse().expect("valid"),
        service: "backend".parse().expect("valid"),
        container: "app".parse().expect("valid"),
        soak: secs(60),
    };
    let policy = Policy {
        retry_every: secs(1),
        max_errors: 2,
        answer: secs(2),
        proceed: secs(3),
    };
    Promotion::new(spec, policy)
}

#[test]
fn promotion() {
    let tag = Reference::Tag("1.2.3".parse().expect("valid"));
    let model = Single {
        begin: vec![
            (machine(tag), ImageWorld::new(true, faults(1, 2), 1)),
            (
                machine(Reference::Digest(digest("new"))),
                ImageWorld::new(false, faults(1, 2), 1),
            ),
        ],
        tick: secs(1),
        pause: Some(secs(10)),
        aborts: true,
        calls: 2,
        horizon: secs(20),
        hint: None,
        explaining: &[],
    };
    let report = close("promotion", &model, &["failed", "promoted", "refused"]);
    assert!(report.acyclic, "a promotion always ends");
}
