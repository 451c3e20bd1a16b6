//! Releases that do not begin: nothing was changed, and nothing was tried.

use core::time::Duration;

use rollout_core::evidence::Cause;
use rollout_core::machine::rollout::Outcome;
use rollout_core::probe::ProbeTarget;
use rollout_tests::emulator::release::{self, gate};

use crate::fixture::{World, run_on, said};

/// The plan is for an account that the credentials are not of.
pub(crate) async fn the_wrong_account() {
    const ANOTHER: &str = "333333333333";
    let world = World::create().await;
    let backend = world.app("backend").await;
    let before = world.production.look(backend.name.as_str()).await;
    let mut draft = world.draft();
    draft.expects.account = ANOTHER.to_owned();
    draft.services.push(world.plan_for(&backend, &[]));
    let wired = release::wire(&world.staging, &world.production, ANOTHER, &[]);

    let (outcome, _) = run_on(&wired, draft).await;

    let Outcome::Refused { why } = outcome else {
        panic!("{outcome:#?}")
    };
    assert_eq!(why.cause, Cause::IdentityMismatch, "{}", said(&why));
    assert!(said(&why).contains(ANOTHER), "{}", said(&why));
    assert!(
        said(&why).contains(&world.production.account.number),
        "{}",
        said(&why)
    );
    assert!(!wired.target_calls.all().is_empty());
    assert_eq!(wired.target_calls.mutating(), [""; 0]);
    assert_eq!(wired.source_calls.mutating(), [""; 0]);
    let after = world.production.look(backend.name.as_str()).await;
    assert_eq!(after.primary, before.primary);
    let images = world.production.images(backend.repository.as_str()).await;
    assert!(!images.contains(backend.new.as_str()));
    assert_eq!(world.production.revisions("backend").await.len(), 1);
}

/// An alarm that fires already would be taken for the release's fault, or hide it.
pub(crate) async fn an_alarm_before_the_start() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let alarm = format!("{}-5xx", world.tag);
    world.production.firing_alarm(&alarm).await;
    let mut draft = world.draft();
    let mut plan = world.plan_for(&backend, &[]);
    let names = vec![alarm.clone()];
    plan.gates = vec![gate("quiet", vec![("alarms", ProbeTarget::Alarms { names })])];
    draft.services.push(plan);

    let (outcome, _, wired) = world.run(draft).await;

    let Outcome::Refused { why } = outcome else {
        panic!("{outcome:#?}")
    };
    assert_eq!(why.cause, Cause::AlarmBeforeStart, "{}", said(&why));
    assert!(said(&why).contains(&alarm), "{}", said(&why));
    assert_eq!(wired.target_calls.mutating(), [""; 0]);
}

/// Staging has run it, but not for long enough.
pub(crate) async fn too_short_in_staging() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let mut draft = world.draft();
    let mut plan = world.plan_for(&backend, &[]);
    for image in plan.images.values_mut() {
        image.soak = Duration::from_secs(3600);
    }
    draft.services.push(plan);

    let (outcome, _, wired) = world.run(draft).await;

    let Outcome::Refused { why } = outcome else {
        panic!("{outcome:#?}")
    };
    assert_eq!(why.cause, Cause::SoakTooShort, "{}", said(&why));
    assert!(said(&why).contains(backend.new.as_str()), "{}", said(&why));
    assert_eq!(wired.target_calls.mutating(), [""; 0]);
}
