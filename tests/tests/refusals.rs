//! Invariant I-1 as whole rollouts: whatever precondition does not hold, the end is `Refused`, says why, and not one call
//! that could change anything was made. The world counts the calls.

use core::time::Duration;

use rollout_core::error::ErrorKind;
use rollout_core::evidence::Cause;
use rollout_core::machine::rollout::{LeftAt, Outcome};
use rollout_core::observer::Silent;
use rollout_core::plan::{Draft, RolloutPlan};
use rollout_sim::{Disturbance, Fault, Incident, Operation, SimCloud, When, World};
use rollout_tests::run::{Abort, fresh, run, run_with, storefront};

fn world() -> World {
    rollout_sim::storefront(9)
}

/// It has just happened.
fn happened(world: &mut World, environment: &str, incident: Incident) {
    let now = When::After(Duration::ZERO);
    world.schedule(environment, now, incident).expect("it is there");
    world.pass(Duration::from_secs(1));
}

#[track_caller]
fn assert_refused(world: World, draft: Draft, cause: Cause, told: &[&str]) {
    let finished = run(world, draft);
    let Outcome::Refused { why } = &finished.outcome else {
        panic!("not refused: {:#?}", finished.outcome)
    };
    assert_eq!(why.cause, cause, "{why:?}");
    let evidence: Vec<String> = why.evidence.iter().map(ToString::to_string).collect();
    let text = format!("{why}\n{}", evidence.join("\n"));
    for part in told {
        assert!(text.contains(part), "`{part}` is not told: {text}");
    }
    let mutations = finished.cloud.with(|world| world.calls().mutations().to_vec());
    assert!(mutations.is_empty(), "I-1: {mutations:?}");
    assert!(!finished.machine.touched());
}

#[test]
fn a_service_that_does_not_exist() {
    let mut world = world();
    let draft = storefront(&world);
    let service = "worker".to_owned();
    happened(&mut world, "production", Incident::ServiceDeleted { service });
    let told = ["worker", "does not exist", "create it first"];
    assert_refused(world, draft, Cause::ServiceGone, &told);
}

#[test]
fn another_account_region_or_caller() {
    let with = |vary: fn(&mut Draft), told: &[&str]| {
        let world = world();
        let mut draft = storefront(&world);
        vary(&mut draft);
        assert_refused(world, draft, Cause::IdentityMismatch, told);
    };
    with(
        |draft| draft.expects.account = "333333333333".into(),
        &["222222222222", "333333333333"],
    );
    with(
        |draft| draft.expects.region = "us-east-1".into(),
        &["eu-central-1", "us-east-1"],
    );
    with(
        |draft| draft.expects.caller = Some("arn:aws:sts::222222222222:assumed-role/somebody/*".into()),
        &["somebody"],
    );
}

#[test]
fn a_service_that_someone_is_deploying() {
    let mut world = world();
    let draft = storefront(&world);
    let service = "worker".to_owned();
    happened(
        &mut world,
        "production",
        Incident::ForeignDeployer { service, image: None },
    );
    assert_refused(world, draft, Cause::ForeignDeployment, &["worker", "ecs-svc/"]);
}

#[test]
fn an_alarm_that_fires_already() {
    let mut world = world();
    let draft = storefront(&world);
    let alarm = "storefront-backend-5xx".to_owned();
    happened(
        &mut world,
        "production",
        Incident::AlarmFires { alarm, fires: true },
    );
    assert_refused(world, draft, Cause::AlarmBeforeStart, &["storefront-backend-5xx"]);
}

#[test]
fn a_tag_that_does_not_exist() {
    let world = world();
    let draft = rollout_examples::storefront::draft(&world, "r-1", "9.9.9").expect("a plan");
    assert_refused(world, draft, Cause::TagMissing, &["9.9.9"]);
}

#[test]
fn an_image_that_staging_does_not_run() {
    let world = world();
    let draft = rollout_examples::storefront::draft(&world, "r-1", "2.3.0").expect("a plan");
    assert_refused(world, draft, Cause::NotInSource, &["backend"]);
    // Nor one to which the tag was moved after staging had taken the one before.
    let mut world = self::world();
    let draft = storefront(&world);
    let moved = Incident::TagMoves {
        repository: "storefront/frontend".parse().expect("a name"),
        tag: "2.4.0".parse().expect("a tag"),
        content: "not what was tested".into(),
    };
    happened(&mut world, "staging", moved);
    assert_refused(world, draft, Cause::NotInSource, &["frontend"]);
}

#[test]
fn an_image_that_staging_has_not_run_for_long_enough() {
    let world = world();
    let mut draft = storefront(&world);
    for image in draft
        .services
        .iter_mut()
        .flat_map(|service| service.images.values_mut())
    {
        image.soak = Duration::from_secs(49 * 3_600);
    }
    assert_refused(world, draft, Cause::SoakTooShort, &["backend"]);
}

#[test]
fn a_precondition_that_cannot_be_read() {
    for operation in [
        Operation::Identity,
        Operation::Capture,
        Operation::Resolve,
        Operation::Snapshot,
        Operation::Sample,
        Operation::ObserveService,
    ] {
        for kind in [ErrorKind::PermissionDenied, ErrorKind::Unavailable] {
            let mut world = world();
            let draft = storefront(&world);
            world.disturb(Fault::every(operation, Disturbance::Refused(kind)));
            let cause = match kind {
                ErrorKind::PermissionDenied => Cause::PermissionDenied,
                _ => Cause::CallFailed,
            };
            assert_refused(world, draft, cause, &["refused by a scripted fault"]);
        }
    }
}

/// Makes one thing of a draft wrong.
type Spoil = fn(&mut Draft);

#[test]
fn a_plan_with_one_bad_field_is_no_plan() {
    let world = world();
    let bad: [(&str, Spoil); 8] = [
        ("no service", |draft| {
            draft.services.clear();
            draft.tasks.clear();
        }),
        ("a circle", |draft| {
            let last = draft.services[1].name.clone();
            draft.services[0].after.push(last);
        }),
        ("an unknown predecessor", |draft| {
            draft.services[0].after.push("nobody".parse().expect("a name"));
        }),
        ("no image", |draft| draft.services[1].images.clear()),
        ("a poll without a pause", |draft| {
            draft.services[0].deployment.poll_every = Duration::ZERO;
        }),
        ("a gate whose condition names no probe", |draft| {
            draft.services[0].gates[0].probes.clear();
        }),
        ("a task with an image that nobody brings", |draft| {
            let images = &mut draft.tasks[0].images;
            images.insert(
                "other".parse().expect("a name"),
                "storefront/other".parse().expect("a name"),
            );
        }),
        ("a record twice", |draft| {
            let first = draft.cutovers[0].clone();
            draft.cutovers.push(first);
        }),
    ];
    for (what, spoil) in bad {
        let mut draft = storefront(&world);
        assert!(RolloutPlan::check(draft.clone()).is_ok());
        spoil(&mut draft);
        let errors = RolloutPlan::check(draft.clone()).expect_err(what);
        assert_eq!(errors.0.len(), 1, "{what}: {errors}");
        // Nor can one be had from storage.
        let stored = serde_json::to_string(&draft).expect("plain data");
        assert!(serde_json::from_str::<RolloutPlan>(&stored).is_err(), "{what}");
    }
}

#[test]
fn an_abort_before_the_first_change() {
    for at in 0..8 {
        let world = world();
        let machine = fresh(storefront(&world));
        let cloud = SimCloud::new(world);
        let finished = run_with(&cloud, machine, Abort::at(at), &Silent);
        let Outcome::Aborted { left_at } = finished.outcome else {
            panic!("{:#?}", finished.outcome)
        };
        let mutations = cloud.with(|world| world.calls().mutations().len());
        assert_eq!(
            left_at == LeftAt::Untouched,
            mutations == 0,
            "wait {at}: {left_at:?}, {mutations} calls"
        );
        assert!(at > 0 || left_at == LeftAt::Untouched);
    }
}
