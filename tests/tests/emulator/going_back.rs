//! A release that is out, and is taken back by hand.

use rollout_core::dns::RecordData;
use rollout_core::machine::rollout::Outcome;
use rollout_core::machine::unwind::{self, Unwind};
use rollout_core::plan::CutoverPlan;
use rollout_tests::emulator::id;
use rollout_tests::emulator::release::{cutover_policy, drive, patience};
use rollout_tests::emulator::zone::Zone;

use crate::fixture::{World, run_on};

/// What the run changed, undone in reverse: the record first, then the services.
pub(crate) async fn a_manual_rollback() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let zone = Zone::create(&world.production.account, &world.tag).await;
    let key = zone.cname("api");
    let old = world.production.old_balancer(&format!("{}-old", world.tag)).await;
    zone.upsert(&key, 1, &old.dns).await;
    let mut draft = world.draft();
    draft.services.push(world.plan_for(&backend, &[]));
    draft.cutovers.push(CutoverPlan {
        zone: zone.id.clone(),
        key: key.clone(),
        to: RecordData::Values {
            ttl: 1,
            values: vec![backend.balancer.dns.clone()],
        },
        lowered_ttl: 1,
        allow_unhealthy_target: false,
        drain: None,
        policy: cutover_policy(),
    });
    let run = draft.run.clone();
    let wired = world.wire(&draft);
    let (outcome, released) = run_on(&wired, draft).await;
    assert!(matches!(outcome, Outcome::Released { .. }), "{outcome:#?}");
    assert_eq!(
        zone.read(key.name.as_str(), "CNAME").await,
        Some((1, vec![backend.balancer.dns.clone()]))
    );
    let released_marker = zone.marker(&key).await;

    let spec = unwind::Spec {
        run: id(&format!("{run}-back")),
        changed: released.changed().to_vec(),
        blocked_by: None,
    };
    let policy = unwind::Policy {
        fast: true,
        deployment: patience(0),
        cutover: cutover_policy(),
    };
    let back = spec.run.clone();
    let outcome = drive(&back, &wired.ports, &mut Unwind::new(spec, policy)).await;

    assert!(
        matches!(outcome, unwind::Outcome::AtLastKnownGood { .. }),
        "{outcome:#?}"
    );
    world.assert_serves_old(&backend).await;
    let record = zone.read(key.name.as_str(), "CNAME").await;
    assert_eq!(record, Some((1, vec![old.dns])));
    let marker = zone.marker(&key).await;
    assert_ne!(marker, released_marker);
    assert!(marker.is_some_and(|marker| marker.ends_with(&format!(" run={back}\""))));
}
