//! Releases that do not come up: production serves as before, and the outcome says why.

use rollout_core::evidence::Cause;
use rollout_core::machine::rollout::Outcome;
use rollout_core::plan::{TaskPlan, When};
use rollout_tests::emulator::id;
use rollout_tests::emulator::release::{gate, http, patience, task_policy};
use rollout_tests::emulator::site::CONTAINER;
use rollout_tests::emulator::web::Web;

use crate::fixture::{World, said};

const CRASHING: [(&str, &str); 3] = [
    ("SIM_EXIT_SECONDS", "0.3"),
    ("SIM_EXIT_CODE", "3"),
    ("SIM_LOG_LINE", "FATAL: column orders.total does not exist"),
];

/// The first task that crashes ends it: long before the platform's own breaker.
pub(crate) async fn a_crash_is_seen_before_the_breaker() {
    crashing(0).await;
}

/// We would wait for more crashes than the platform does, so its breaker comes first and goes back by itself.
pub(crate) async fn the_breaker_goes_back_first() {
    crashing(100).await;
}

async fn crashing(stopped_tasks: u32) {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let frontend = world.app("frontend").await;
    let mut draft = world.draft();
    draft.services.push(world.plan_for(&frontend, &[]));
    let mut plan = world.plan_for(&backend, &CRASHING);
    plan.after = vec![frontend.name.clone()];
    plan.deployment = patience(stopped_tasks);
    draft.services.push(plan);

    let (outcome, _, _) = world.run(draft).await;

    let Outcome::RolledBack { why, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let text = said(&why);
    assert!(text.contains("container app exited with 3"), "{text}");
    assert!(
        text.contains("FATAL: column orders.total does not exist"),
        "{text}"
    );
    let expected = if stopped_tasks == 0 {
        vec![Cause::ContainerExited]
    } else {
        vec![Cause::PlatformFailed, Cause::PlatformRolledBack]
    };
    assert!(expected.contains(&why.cause), "{text}");
    // The one that had come up goes back, too.
    world.assert_serves_old(&frontend).await;
    world.assert_serves_old(&backend).await;
}

/// ECR holds it, and the nodes cannot have it: the emulator's containers refuse such a name.
pub(crate) async fn an_image_that_cannot_be_pulled() {
    let world = World::create().await;
    let repository = id(&format!("{}/missing-backend", world.tag));
    let backend = world.app_released_to("backend", repository).await;
    let mut draft = world.draft();
    draft.services.push(world.plan_for(&backend, &[]));

    let (outcome, _, _) = world.run(draft).await;

    let Outcome::RolledBack { why, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let text = said(&why);
    assert_eq!(why.cause, Cause::ImagePull, "{text}");
    assert!(text.contains("CannotPullContainerError"), "{text}");
    world.assert_serves_old(&backend).await;
}

/// It has changed nothing but data, and the release can live with that; no service is touched.
pub(crate) async fn a_failing_migration() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    world.production.log_group("migrate").await;
    let mut draft = world.draft();
    draft.services.push(world.plan_for(&backend, &[]));
    draft.tasks.push(TaskPlan {
        name: id("migrate"),
        template: world.production.template("migrate", &CRASHING),
        images: [(id(CONTAINER), backend.repository.clone())].into(),
        run: serde_json::json!({ "launchType": "FARGATE" }),
        when: When::BeforeServices,
        reversible: true,
        policy: task_policy(),
    });

    let (outcome, _, wired) = world.run(draft).await;

    let Outcome::RolledBack { why, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let text = said(&why);
    assert_eq!(why.cause, Cause::TaskFailed, "{text}");
    assert!(text.contains("container app exited with 3"), "{text}");
    assert!(
        text.contains("FATAL: column orders.total does not exist"),
        "{text}"
    );
    assert_eq!(wired.target_calls.count("ecs:UpdateService"), 0);
    assert_eq!(world.production.exits("migrate").await, [Some(3)]);
    world.assert_serves_old(&backend).await;
}

/// The tasks are up, but what answers is another release.
pub(crate) async fn a_gate_that_fails() {
    let world = World::create().await;
    let backend = world.app("backend").await;
    let web = Web::saying("storefront 1.0.0 is ready").await;
    let mut draft = world.draft();
    let mut plan = world.plan_for(&backend, &[]);
    plan.gates = vec![gate(
        "answers",
        vec![("ready", http(web.url("/health/ready"), "2.0.0"))],
    )];
    draft.services.push(plan);

    let (outcome, _, _) = world.run(draft).await;

    let Outcome::RolledBack { why, .. } = outcome else {
        panic!("{outcome:#?}")
    };
    let text = said(&why);
    assert_eq!(why.cause, Cause::GateFailed, "{text}");
    assert!(text.contains("storefront 1.0.0"), "{text}");
    world.assert_serves_old(&backend).await;
}
