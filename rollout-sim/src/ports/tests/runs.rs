//! Whole worlds: determinism, storing.

use core::time::Duration;

use pollster::block_on;
use rollout_core::image::ImageRef;
use rollout_core::service::{RevisionSpec, ServiceChange};

use super::{open, service};
use crate::incident::{Incident, When};
use crate::storefront::storefront;
use crate::testkit::ctx;
use crate::{SimCloud, World};

/// Deploys 2.4.0 to production's backend and lets an hour pass; what is done meanwhile says `meanwhile`.
fn rollout(world: World, meanwhile: impl Fn(&SimCloud)) -> (u64, String) {
    let (cloud, ports) = open(world);
    let repository = "storefront/backend".parse().expect("a name");
    let digest = cloud
        .with(|w| w.image("staging", "storefront/backend", "2.4.0"))
        .expect("pushed");
    let image = ImageRef { repository, digest };
    block_on(async {
        ports
            .images
            .copy(&ctx("copy", 1), &image, &image.repository)
            .await
            .expect("it is there");
        let spec = RevisionSpec {
            template: serde_json::json!({
                "family": "storefront-backend",
                "containerDefinitions": [{ "name": "backend", "essential": true, "image": "" }],
            }),
            images: [("backend".parse().expect("a name"), image.clone())].into(),
        };
        let ensured = ports.target.ensure_revision(&ctx("revision", 1), &spec).await;
        let (task_definition, _) = ensured.expect("a good task definition");
        let change = ServiceChange {
            service: service("backend"),
            task_definition,
            assumes: None,
        };
        ports
            .target
            .update_service(&ctx("update", 1), &change)
            .await
            .expect("accepted");
    });
    let clock = cloud.clock();
    for _ in 0..60 {
        block_on(clock.sleep_until(clock.now().after(Duration::from_secs(60))));
        meanwhile(&cloud);
    }
    cloud.with(|w| (w.trace(), format!("{:?}", w.service("production", "backend"))))
}

#[test]
fn the_same_seed_is_the_same_run() {
    let nothing = |_: &SimCloud| {};
    let (one, same, other) = (
        rollout(storefront(9), nothing),
        rollout(storefront(9), nothing),
        rollout(storefront(10), nothing),
    );
    assert_eq!(one, same);
    assert_ne!(one.0, other.0);
}

#[test]
fn a_world_that_was_stored_goes_on_as_if_it_had_not_been() {
    let crash = |seed| {
        let mut world = storefront(seed);
        let incident = Incident::CrashLoop {
            service: "backend".into(),
            after: Duration::from_secs(4),
            exit_code: 1,
            log: vec!["no".into()],
        };
        world
            .schedule("production", When::first_deployment(), incident)
            .expect("it exists");
        world
    };
    let stored = |cloud: &SimCloud| {
        cloud.with(|w| {
            let text = serde_json::to_string(w).expect("plain data");
            *w = serde_json::from_str(&text).expect("plain data");
        });
    };
    let plain = rollout(crash(11), |_| {});
    assert_eq!(plain, rollout(crash(11), stored));
    assert!(plain.1.contains("rolling back to"), "{}", plain.1);
}

#[test]
fn looking_more_often_changes_nothing() {
    // Time passes in the same steps whether it passes at once or second by second.
    let often = |cloud: &SimCloud| {
        cloud.with(|w| {
            let mut copy = w.clone();
            copy.pass(Duration::from_secs(5));
            for _ in 0..5 {
                w.pass(Duration::from_secs(1));
            }
            assert_eq!((copy.trace(), copy.now()), (w.trace(), w.now()));
        });
    };
    rollout(storefront(12), often);
}
