//! The eight scripts of goal P5 as whole rollouts of the storefront: each ends in the one right outcome, and the world is
//! asked whether that is true.
//!
//! In seven of them it is the frontend that fails. The backend is done by then, so it has to go back as well.

use core::time::Duration;

use pollster::block_on;
use rollout_core::context::OpContext;
use rollout_core::evidence::{Cause, Reason, StuckReason};
use rollout_core::id::{Generation, ImageDigest, RepositoryName};
use rollout_core::image::ImageRef;
use rollout_core::journal::Body;
use rollout_core::machine::cutover;
use rollout_core::machine::rollout::{Event, Outcome};
use rollout_core::pace::Priority;
use rollout_core::plan::rollback::Proof;
use rollout_core::plan::{Draft, step};
use rollout_core::service::{RevisionSpec, RolloutState, ServiceChange, ServiceStatus};
use rollout_core::time::Timestamp;
use rollout_sim::{Incident, Operation, SimCloud, When, World};
use rollout_tests::run::{Finished, run, storefront};
use rollout_tests::truth::{self, SERVICES, after, before, flaws};

const FRONTEND: &str = "frontend";
/// What is not the frontend.
const OTHERS: [&str; 2] = ["backend", "worker"];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn world() -> World {
    rollout_sim::storefront(5)
}

/// So long after the frontend's deployment has begun.
fn meanwhile(world: &mut World, after: Duration, incident: Incident) {
    world
        .schedule("production", When::deployment_of(FRONTEND, after), incident)
        .expect("it is there");
}

fn now(world: &mut World, incident: Incident) {
    world
        .schedule("production", When::After(Duration::ZERO), incident)
        .expect("it is there");
}

fn crash() -> Incident {
    Incident::CrashLoop {
        service: FRONTEND.into(),
        after: secs(2),
        exit_code: 3,
        log: vec!["API_URL is not set".into()],
    }
}

/// A third image of the frontend, neither the new nor the old one.
fn third(world: &mut World) -> (RepositoryName, ImageDigest) {
    let name = "storefront/frontend";
    let digest = world
        .push_image("production", name, "2.3.1", "a hotfix")
        .expect("it is there");
    (name.parse().expect("a name"), digest)
}

/// The plan, so patient that the platform's verdict comes before ours.
fn patient(world: &World) -> Draft {
    let mut draft = storefront(world);
    for service in &mut draft.services {
        service.deployment.stopped_tasks = 50;
    }
    draft
}

fn rolled_back(finished: &Finished) -> &Reason {
    match &finished.outcome {
        Outcome::RolledBack { why, evidence } => {
            assert!(!evidence.is_empty(), "verified on no evidence");
            why
        }
        other => panic!("not rolled back: {other:#?}"),
    }
}

fn told(why: &Reason) -> String {
    let seen: Vec<String> = why.evidence.iter().map(|seen| seen.detail.clone()).collect();
    format!("{why}\n{}", seen.join("\n"))
}

#[test]
fn stable_is_released() {
    let world = world();
    let draft = storefront(&world);
    let wanted = after(&world, &draft);
    let finished = run(world, draft);
    let Outcome::Released {
        services, records, ..
    } = &finished.outcome
    else {
        panic!("{:#?}", finished.outcome)
    };
    let world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &SERVICES), Vec::<String>::new());
    for name in SERVICES {
        let serving = &services[&name.parse().expect("a name")];
        let primary = truth::service(&world, name).primary().map(|d| d.id.clone());
        assert_eq!(Some(&serving.deployment), primary.as_ref(), "{name}");
        assert!(serving.images.values().all(|shown| *shown == wanted.images[name]));
    }
    assert_eq!(records.len(), 2);
    assert_drained(&finished);
}

/// I-24: the second record's old side was seen to be at or under the plan's level, for the plan's time.
fn assert_drained(finished: &Finished) {
    let plan = finished.machine.plan();
    let drains = plan
        .cutovers
        .iter()
        .filter_map(|cutover| Some((cutover, cutover.drain.as_ref()?)));
    let mut checked = 0;
    for (cutover, drain) in drains {
        let of = step::cutover(&cutover.key);
        let samples = finished.records.iter().filter_map(|record| match &record.body {
            Body::Happened {
                event:
                    Event::Cutover {
                        step,
                        event: cutover::Event::OldTrafficSeen(seen),
                    },
                ..
            } if *step == of => Some(seen),
            _ => None,
        });
        let low: Vec<_> = samples
            .rev()
            .take_while(|seen| {
                seen.requests_per_minute
                    .is_some_and(|requests| requests <= drain.level)
            })
            .map(|seen| seen.at)
            .collect();
        let held = low
            .first()
            .zip(low.last())
            .map(|(last, first)| last.since(*first));
        assert!(
            held.is_some_and(|held| held >= drain.hold),
            "{of}: low for {held:?} only"
        );
        checked += 1;
    }
    assert_eq!(checked, 1, "the plan drains one record");
}

#[test]
fn failed_is_rolled_back_and_names_the_stopped_tasks() {
    let mut world = world();
    now(
        &mut world,
        Incident::NoRollback {
            service: FRONTEND.into(),
        },
    );
    meanwhile(&mut world, Duration::ZERO, crash());
    let wanted = before(&world);
    let draft = storefront(&world);
    let finished = run(world, draft);

    let why = rolled_back(&finished);
    assert_eq!(why.cause, Cause::ContainerExited, "{why:#?}");
    for part in [
        "service/frontend",
        "Essential container in task exited",
        "exit code 3",
        "API_URL is not set",
    ] {
        assert!(told(why).contains(part), "`{part}` is not told: {}", told(why));
    }
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &SERVICES),
        Vec::<String>::new()
    );
}

#[test]
fn rolled_back_by_the_platform_is_rolled_back_and_no_success() {
    let mut world = world();
    meanwhile(&mut world, Duration::ZERO, crash());
    let (wanted, draft) = (before(&world), patient(&world));
    let finished = run(world, draft);

    let why = rolled_back(&finished);
    assert_eq!(why.cause, Cause::PlatformRolledBack, "{why:#?}");
    assert!(
        told(why).contains("Essential container in task exited"),
        "{}",
        told(why)
    );
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &SERVICES),
        Vec::<String>::new()
    );
}

#[test]
fn a_release_that_could_not_go_back_is_refused_before_it_begins() {
    let mut world = world();
    let old = truth::digest(&world, "production", FRONTEND, "2.3.0");
    let (wanted, draft) = (before(&world), storefront(&world));
    world
        .expire_image("production", "storefront/frontend", &old)
        .expect("it is there");
    let finished = run(world, draft);
    let Outcome::Refused { why } = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(why.cause, Cause::LastKnownGoodUnusable, "{why:#?}");
    assert!(
        why.text.contains(FRONTEND) && why.text.contains("[rollback]"),
        "{why:#?}"
    );
    let world = finished.cloud.world();
    assert_eq!(world.calls().effects().count(), 0, "something was changed");
    assert_eq!(flaws(&world, &wanted, &SERVICES), Vec::<String>::new());
}

#[test]
fn failed_without_a_last_known_good_is_stuck() {
    let mut world = world();
    let old = truth::digest(&world, "production", FRONTEND, "2.3.0");
    let (wanted, mut draft) = (before(&world), storefront(&world));
    draft.policy.rollback.usable = Proof::Unasked;
    // A lifecycle rule has removed the image that still runs: neither the platform nor we could go back to it.
    world
        .expire_image("production", "storefront/frontend", &old)
        .expect("it is there");
    now(
        &mut world,
        Incident::NoRollbackTarget {
            service: FRONTEND.into(),
        },
    );
    meanwhile(&mut world, Duration::ZERO, crash());
    let finished = run(world, draft);

    let Outcome::Stuck(stuck) = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(stuck.reason, StuckReason::LkgImageMissing, "{stuck:#?}");
    assert!(
        stuck.text.contains(FRONTEND) && !stuck.next.is_empty(),
        "{stuck:#?}"
    );
    let world = finished.cloud.world();
    // What could go back went back, and the frontend's old tasks have not been touched.
    assert_eq!(flaws(&world, &wanted, &OTHERS), Vec::<String>::new());
    let left = truth::service(&world, FRONTEND);
    let old_tasks = left
        .tasks
        .iter()
        .filter(|task| task.images.values().all(|shown| *shown == old));
    assert_eq!(old_tasks.count(), 2, "{left:#?}");
}

#[test]
fn rolled_back_to_a_third_revision_goes_on_to_the_last_known_good() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    let image = third(&mut world);
    let service = FRONTEND.into();
    meanwhile(
        &mut world,
        secs(12),
        Incident::PlatformRollsBackTo { service, image },
    );
    let finished = run(world, draft);

    let why = rolled_back(&finished);
    assert_eq!(why.cause, Cause::PlatformRolledBack, "{why:#?}");
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &SERVICES),
        Vec::<String>::new()
    );
}

#[test]
fn stalled_for_a_while_is_rolled_back_for_its_deadline() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    meanwhile(
        &mut world,
        Duration::ZERO,
        Incident::CapacityShort { lasts: secs(1_000) },
    );
    let finished = run(world, draft);

    let why = rolled_back(&finished);
    assert!(
        matches!(why.cause, Cause::DeadlineExceeded | Cause::Placement),
        "{why:#?}"
    );
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &SERVICES),
        Vec::<String>::new()
    );
}

#[test]
fn stalled_for_good_is_stuck_and_says_that_going_back_failed_too() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    meanwhile(
        &mut world,
        Duration::ZERO,
        Incident::Stall {
            service: FRONTEND.into(),
        },
    );
    let finished = run(world, draft);

    let Outcome::Stuck(stuck) = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(stuck.reason, StuckReason::RollbackFailed, "{stuck:#?}");
    assert!(stuck.text.contains("was not done within"), "{stuck:#?}");
    let world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &OTHERS), Vec::<String>::new());
    // The platform does nothing any more, but what served goes on serving.
    let left = truth::service(&world, FRONTEND);
    let old = |task: &&rollout_core::service::RunningTask| {
        task.images
            .values()
            .all(|shown| *shown == wanted.images[FRONTEND])
    };
    assert!(left.tasks.iter().any(|task| old(&task)), "{left:#?}");
}

#[test]
fn replaced_by_another_deployer_is_superseded_and_names_the_deployment() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    let image = third(&mut world);
    let theirs = image.1.clone();
    let foreign = Incident::ForeignDeployer {
        service: FRONTEND.into(),
        image: Some(image),
    };
    meanwhile(&mut world, secs(9), foreign);
    let finished = run(world, draft);

    let by = finished.yielded_to();
    assert_eq!(by.service.as_str(), FRONTEND);
    let mut world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &OTHERS), Vec::<String>::new());
    let primary = truth::service(&world, FRONTEND).primary().map(|d| d.id.clone());
    assert_eq!(
        Some(&by.deployment),
        primary.as_ref(),
        "another deployment is named"
    );
    // We have yielded: theirs comes up undisturbed.
    world.pass(secs(600));
    assert_eq!(truth::flaw(&world, FRONTEND, &theirs), None);
}

/// Somebody restarts the service with our own revision, and is done before we look again.
#[test]
fn replaced_and_over_between_two_looks_is_superseded_too() {
    let mut world = world();
    let mut draft = storefront(&world);
    for service in &mut draft.services {
        service.deployment.poll_every = secs(600);
    }
    let restart = Incident::ForeignDeployer {
        service: FRONTEND.into(),
        image: None,
    };
    meanwhile(&mut world, secs(30), restart);
    let finished = run(world, draft);

    let by = finished.yielded_to();
    let mut world = finished.cloud.world();
    let service = truth::service(&world, FRONTEND);
    let primary = service.primary().expect("one");
    assert_eq!(
        (&by.deployment, primary.rollout.clone()),
        (&primary.id, RolloutState::Completed)
    );
    // What they brought stays.
    let theirs = primary.task_definition.clone();
    world.pass(secs(600));
    let service = truth::service(&world, FRONTEND);
    assert_eq!(service.primary().map(|d| &d.task_definition), Some(&theirs));
}

/// Someone deploys a service after it was captured and before its turn: it is not written at all (I-5).
#[test]
fn deployed_by_another_before_our_turn_is_superseded_and_never_written() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    let image = third(&mut world);
    let theirs = image.1.clone();
    let foreign = Incident::ForeignDeployer {
        service: FRONTEND.into(),
        image: Some(image),
    };
    let when = When::deployment_of("backend", secs(5));
    world.schedule("production", when, foreign).expect("it is there");
    let finished = run(world, draft);

    let by = finished.yielded_to();
    assert_eq!(by.service.as_str(), FRONTEND);
    let mut world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &OTHERS), Vec::<String>::new());
    let written = world
        .calls()
        .effects()
        .any(|call| call.operation == Operation::UpdateService && call.subject == FRONTEND);
    assert!(!written, "we wrote over another's deployment");
    world.pass(secs(600));
    assert_eq!(truth::flaw(&world, FRONTEND, &theirs), None);
}

#[test]
fn deleted_is_stuck_for_a_foreign_change() {
    let mut world = world();
    let (wanted, draft) = (before(&world), storefront(&world));
    meanwhile(
        &mut world,
        secs(9),
        Incident::ServiceDeleted {
            service: FRONTEND.into(),
        },
    );
    let finished = run(world, draft);

    let Outcome::Stuck(stuck) = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(stuck.reason, StuckReason::ForeignChange, "{stuck:#?}");
    assert!(
        stuck.text.contains(FRONTEND) && !stuck.next.is_empty(),
        "{stuck:#?}"
    );
    let world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &OTHERS), Vec::<String>::new());
    assert_ne!(truth::service(&world, FRONTEND).status, ServiceStatus::Active);
}

/// The tests above rest on `flaws` finding what is wrong.
#[test]
fn every_flaw_is_found() {
    let world = world();
    let wanted = after(&world, &storefront(&world));
    let found = flaws(&world, &wanted, &SERVICES);
    assert_eq!(found.len(), 4, "three services and the records: {found:#?}");
    assert_eq!(flaws(&world, &before(&world), &SERVICES), Vec::<String>::new());
    let with = |incident: Incident| {
        let (mut world, wanted) = (world.clone(), before(&world));
        now(&mut world, incident);
        world.pass(secs(1));
        flaws(&world, &wanted, &SERVICES)
    };
    let service = || FRONTEND.to_owned();
    for incident in [
        Incident::ServiceDeleted { service: service() },
        Incident::Scaled {
            service: service(),
            desired: 3,
        },
        Incident::Scaled {
            service: service(),
            desired: 0,
        },
        Incident::ForeignDeployer {
            service: service(),
            image: None,
        },
    ] {
        assert_eq!(with(incident.clone()).len(), 1, "{incident:?}");
    }
}

/// A world in which somebody has deployed this image to a service, on this platform.
fn deployed(
    world: World,
    environment: &str,
    service: &str,
    (repository, digest): (&str, &ImageDigest),
    platform: &serde_json::Value,
) -> World {
    let cloud = SimCloud::new(world);
    let target = cloud.ports(environment, environment).expect("it is there").target;
    let ctx = OpContext {
        run: "before".parse().expect("a name"),
        step: "before".parse().expect("a name"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    };
    let image = ImageRef {
        repository: repository.parse().expect("a name"),
        digest: digest.clone(),
    };
    let spec = RevisionSpec {
        template: serde_json::json!({
            "family": format!("storefront-{service}"),
            "runtimePlatform": platform,
            "containerDefinitions": [{ "name": service, "essential": true, "image": "" }],
        }),
        images: [(service.parse().expect("a name"), image)].into(),
    };
    let (task_definition, _) = block_on(target.ensure_revision(&ctx, &spec)).expect("a good definition");
    let change = ServiceChange {
        service: service.parse().expect("a name"),
        task_definition,
        assumes: None,
    };
    block_on(target.update_service(&ctx, &change)).expect("nobody else deploys");
    cloud.world()
}

/// F-21: staging runs on Graviton, production does not, and the image was built for the one only. It is promoted byte for byte,
/// cannot be pulled, and the release goes back and says why. Where production asks for the same platform, it is released.
#[test]
fn an_image_for_another_architecture_goes_back_and_says_so() {
    let graviton = serde_json::json!({ "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" });
    for fits in [false, true] {
        let mut world = world();
        let of = "storefront/backend";
        let pushed = world.push_image_for("staging", of, "2.4.0", "on Graviton", &["arm64"]);
        let image = pushed.expect("it is there");
        let mut world = deployed(world, "staging", "backend", (of, &image), &graviton);
        world.pass(secs(3 * 3_600));
        let (wanted, mut draft) = (before(&world), storefront(&world));
        if fits {
            draft.services[0].template["runtimePlatform"] = graviton.clone();
            draft.tasks[0].template["runtimePlatform"] = graviton.clone();
        } else {
            // The migration runs with the same image, and would be the first to say so.
            draft.tasks.clear();
        }
        let finished = run(world, draft);
        if fits {
            assert!(
                matches!(finished.outcome, Outcome::Released { .. }),
                "{:#?}",
                finished.outcome
            );
            continue;
        }
        let why = rolled_back(&finished);
        assert_eq!(why.cause, Cause::ImagePull, "{why}");
        let told = told(why);
        assert!(
            told.contains("image Manifest does not contain descriptor matching platform 'linux/amd64'"),
            "{told}"
        );
        let world = finished.cloud.world();
        assert_eq!(flaws(&world, &wanted, &SERVICES), Vec::<String>::new());
        // The bytes are there all the same, and are what staging proved.
        assert_eq!(
            world.image("production", of, "2.4.0").ok(),
            None,
            "promoted by digest, not by tag"
        );
        assert!(
            truth::service(&world, "backend")
                .tasks
                .iter()
                .all(|task| task.images.values().all(|shown| *shown != image))
        );
    }
}
