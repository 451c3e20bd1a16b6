//! Somebody else deploys while we do.

use core::time::Duration;

use rollout_core::machine::rollout::{Outcome, Superseding};
use rollout_tests::emulator::wait;

use crate::fixture::{World, run_on};

/// Theirs comes after our deployment has begun: we say whose it is, and leave it alone.
pub(crate) async fn in_the_middle() {
    let world = World::create().await;
    let production = &world.production;
    let backend = world.app("backend").await;
    let name = backend.name.as_str();
    let image = production.image(&format!("{}/{name}", world.tag), &backend.old);
    let theirs = production
        .register("theirs", &image, &[("DEPLOYED_BY", "somebody else")])
        .await;
    let mut draft = world.draft();
    // Slow to start, so that there is a middle.
    draft
        .services
        .push(world.plan_for(&backend, &[("SIM_START_SECONDS", "3")]));
    let wired = world.wire(&draft);

    let somebody_else = async {
        wait::until("our deployment", Duration::from_secs(60), || async {
            let seen = production.look(name).await;
            if seen.task_definition == backend.old_revision {
                Err(format!("{seen:?}"))
            } else {
                Ok(())
            }
        })
        .await;
        production.deploy(name, &theirs).await;
    };
    let ((outcome, _), ()) = tokio::join!(run_on(&wired, draft), somebody_else);

    let Outcome::Superseded {
        by: Superseding::Deployment(foreign),
    } = outcome
    else {
        panic!("{outcome:#?}")
    };
    assert_eq!(foreign.service, backend.name);
    assert_eq!(foreign.task_definition.as_str(), theirs);
    let seen = production.settled(name).await;
    assert_eq!(seen.task_definition, theirs);
    assert_eq!(seen.primary, foreign.deployment.as_str());
    assert_eq!(wired.target_calls.count("ecs:UpdateService"), 1);
}
