//! Deployments that arrive, and what others do to them.

use core::time::Duration;

use proptest::prelude::*;
use rollout_core::error::ErrorKind;
use rollout_core::evidence::Cause;
use rollout_core::service::{
    Captured, DeploymentRole, RecordStatus, RolloutState, ServiceStatus, StoppedTask,
};

use crate::behaviour::Start;
use crate::incident::{Incident, When};
use crate::testkit::{Bench, REPOSITORY, ctx, world, world_with};
use crate::{Span, Timing, World};

use super::{failures, settled};

#[test]
fn a_good_update_replaces_every_task_and_never_has_fewer_than_wanted() {
    let bench = Bench::new(world(1, Start::Ok));
    let before = bench.see();
    assert!(settled(&before) && before.running == 3 && before.stopped.is_empty());
    let began = bench.cloud.with(|w| w.now());
    let started = bench.update("2").expect("nobody else deploys");
    assert_eq!(bench.deployment(&started).rollout, RolloutState::InProgress);
    let digest = bench.spec("2").images.into_values().next().expect("one").digest;
    let mut least = u32::MAX;
    let mut most = 0;
    bench.cloud.with(|w| {
        let end = began.after(Duration::from_secs(600));
        w.advance_until(end, |w| {
            let seen = w.service("prod", "api").expect("it exists");
            least = least.min(seen.running);
            most = most.max(seen.running + seen.pending);
            settled(&seen)
        })
    });
    let seen = bench.see();
    assert_eq!((least, most), (3, 6), "100 to 200 percent of three");
    let ours = bench.deployment(&started);
    assert_eq!(
        (ours.role, ours.rollout),
        (DeploymentRole::Primary, RolloutState::Completed)
    );
    assert_eq!((ours.running, ours.pending, ours.failed), (3, 0, 0));
    assert_eq!(seen.tasks.len(), 3);
    for task in &seen.tasks {
        assert_eq!(task.images.values().collect::<Vec<_>>(), [&digest]);
        assert_eq!(task.started_by.as_ref(), Some(&started.deployment));
    }
    assert_eq!(ours.record.expect("kept").status, RecordStatus::Successful);
    assert_eq!(failures(&seen), Vec::<&StoppedTask>::new());
    let took = bench.cloud.with(|w| w.now()).since(began);
    assert!(
        (25..180).contains(&took.as_secs()),
        "a small Fargate service: {took:?}"
    );
    let events = bench.events().join("\n");
    for text in [
        "(service api) has started 3 tasks: (task ",
        "(service api) registered 1 targets in (target-group arn:aws:elasticloadbalancing:",
        "(service api) has begun draining connections on 1 tasks.",
        &format!(
            "(service api) (deployment {}) deployment completed.",
            started.deployment
        ),
        "(service api) has reached a steady state.",
    ] {
        assert!(events.contains(text), "{text} is not in\n{events}");
    }
}

#[test]
fn someone_else_deploys() {
    let bench = Bench::new(world(14, Start::Ok));
    let digest = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "3"))
        .expect("pushed");
    bench.cloud.with(|w| {
        let image = Some((REPOSITORY.parse().expect("a name"), digest.clone()));
        let foreign = Incident::ForeignDeployer {
            service: "api".into(),
            image,
        };
        let when = When::deployment_of("api", Duration::from_secs(20));
        w.schedule("prod", when, foreign).expect("it exists");
    });
    let started = bench.update("2").expect("nobody else has yet");
    bench.until("is replaced", |s| {
        s.primary().is_some_and(|d| d.id != started.deployment)
    });
    let ours = bench.deployment(&started);
    assert_eq!(ours.role, DeploymentRole::Active);
    assert_eq!(ours.record.expect("kept").status, RecordStatus::Stopped);
    let revision = bench.ensure(&bench.spec("2"));
    let error = bench.update_to(revision, Some(started.deployment));
    let error = error.expect_err("it assumes ours");
    assert_eq!(error.kind, ErrorKind::Conflict);
    let seen = bench.until("completes", settled);
    assert!(seen.tasks.iter().all(|t| t.images.values().all(|d| d == &digest)));
}

#[test]
fn the_platform_goes_back_to_a_third_revision() {
    let bench = Bench::new(world(15, Start::Ok));
    let old = bench.see().primary().expect("deployed").task_definition.clone();
    let digest = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "3"))
        .expect("pushed");
    bench.cloud.with(|w| {
        let image = (REPOSITORY.parse().expect("a name"), digest);
        let back = Incident::PlatformRollsBackTo {
            service: "api".into(),
            image,
        };
        let when = When::deployment_of("api", Duration::from_secs(15));
        w.schedule("prod", when, back).expect("it exists");
    });
    let started = bench.update("2").expect("nobody else deploys");
    let ours = bench.deployment(&started).task_definition;
    bench.until("goes back", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id != started.deployment)
    });
    let record = bench.deployment(&started).record.expect("kept");
    assert_eq!(record.status, RecordStatus::RollbackSuccessful);
    let third = record.rolled_back_to.expect("it says where to");
    assert!(third != old && third != ours);
    assert_eq!(bench.see().primary().expect("there").task_definition, third);
}

#[test]
fn no_room_is_said_and_waited_for() {
    let bench = Bench::new(world(16, Start::Ok));
    bench.cloud.with(|w| {
        let short = Incident::CapacityShort {
            lasts: Duration::from_secs(300),
        };
        w.schedule("prod", When::first_deployment(), short)
            .expect("it exists");
    });
    let started = bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(250)));
    let seen = bench.see();
    assert_eq!((seen.running, bench.deployment(&started).running), (3, 0));
    let text = "(service api) was unable to place a task. Reason: Capacity is unavailable at this time.";
    assert!(
        bench.events().iter().any(|e| e.starts_with(text)),
        "{:?}",
        bench.events()
    );
    bench.until("completes", settled);
}

#[test]
fn a_stalled_scheduler_does_nothing() {
    let bench = Bench::new(world(17, Start::Ok));
    bench.cloud.with(|w| {
        let stall = Incident::Stall {
            service: "api".into(),
        };
        w.schedule("prod", When::first_deployment(), stall)
            .expect("it exists");
    });
    let started = bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(7_200)));
    let ours = bench.deployment(&started);
    assert_eq!(
        (ours.rollout, ours.running, ours.pending),
        (RolloutState::InProgress, 0, 0)
    );
}

#[test]
fn a_deleted_service_drains_and_is_missing() {
    let bench = Bench::new(world(18, Start::Ok));
    bench.cloud.with(|w| {
        let deleted = Incident::ServiceDeleted {
            service: "api".into(),
        };
        w.schedule("prod", When::After(Duration::from_secs(5)), deleted)
            .expect("it exists");
    });
    bench.until("drains", |s| s.status == ServiceStatus::Draining);
    let error = bench.update("2").expect_err("it is being deleted");
    assert_eq!(error.kind, ErrorKind::NotFound);
    let seen = bench.until("is gone", |s| s.status == ServiceStatus::Missing);
    assert_eq!((seen.running, seen.deployments.len()), (0, 0));
}

#[test]
fn fewer_healthy_tasks_make_room_where_none_is_allowed_above() {
    let bench = Bench::new(world_with(19, Start::Ok, |s| {
        s.load_balanced(80).desired(4).percent(50, 100)
    }));
    let started = bench.update("2").expect("nobody else deploys");
    let mut least = u32::MAX;
    let mut most = 0;
    bench.cloud.with(|w| {
        let end = w.now().after(Duration::from_secs(1_200));
        w.advance_until(end, |w| {
            let seen = w.service("prod", "api").expect("it exists");
            least = least.min(seen.running);
            most = most.max(seen.running + seen.pending);
            settled(&seen) && seen.primary().is_some_and(|d| d.id == started.deployment)
        })
    });
    assert_eq!((least, most), (2, 4));
    assert_eq!(bench.deployment(&started).rollout, RolloutState::Completed);
}

#[test]
fn stopped_tasks_are_forgotten_after_an_hour() {
    let bench = Bench::new(world(20, Start::Ok));
    bench.update("2").expect("nobody else deploys");
    bench.until("completes", settled);
    bench.cloud.with(|w| w.pass(Duration::from_secs(30)));
    assert_eq!(bench.see().stopped.len(), 3);
    assert!(
        bench.see().stopped.iter().all(|t| t.cause.is_none()),
        "scaling in is no failure"
    );
    bench.cloud.with(|w| w.pass(Duration::from_secs(3_700)));
    assert_eq!(bench.see().stopped, []);
}

#[test]
fn a_restore_point_is_what_completed_and_runs() {
    let bench = Bench::new(world(21, Start::Ok));
    let capture = || {
        let name = "api".parse().expect("a name");
        pollster::block_on(bench.ports.rollback.capture(&ctx("c", 1), &name)).expect("it answers")
    };
    let Captured::Point(point) = capture() else {
        panic!("it completed and runs")
    };
    let started = bench.update("2").expect("nobody else deploys");
    let Captured::Busy { deployment, text } = capture() else {
        panic!("it is on its way")
    };
    assert_eq!(deployment, started.deployment);
    assert_eq!(text, format!("ECS deployment {deployment} in progress."));
    bench.until("completes", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == started.deployment)
    });

    let restore =
        |assumes: Option<&_>| pollster::block_on(bench.ports.rollback.restore(&ctx("b", 1), &point, assumes));
    let error = restore(Some(&point.deployment)).expect_err("another one is PRIMARY");
    assert_eq!(error.kind, ErrorKind::Conflict);
    let back = restore(Some(&started.deployment)).expect("ours is PRIMARY");
    assert_eq!(restore(Some(&started.deployment)).expect("the same again"), back);
    let seen = bench.until("goes back", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == back.deployment)
    });
    assert!(seen.tasks.iter().all(|t| t.images == point.images));
}

#[test]
fn a_restore_point_whose_image_is_gone_is_not_usable_and_its_tasks_cannot_be_pulled() {
    let bench = Bench::new(world(22, Start::Ok));
    let name = "api".parse().expect("a name");
    let captured = pollster::block_on(bench.ports.rollback.capture(&ctx("c", 1), &name)).expect("it answers");
    let Captured::Point(point) = captured else {
        panic!("it completed and runs")
    };
    let seen = pollster::block_on(bench.ports.rollback.usable(&ctx("u", 1), &point)).expect("it answers");
    assert_eq!(
        (seen.gone().count(), seen.unknown().count(), seen.parts.len()),
        (0, 0, 2)
    );
    let old = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "1"))
        .expect("pushed");
    bench
        .cloud
        .with(|w| w.expire_image("prod", REPOSITORY, &old))
        .expect("it exists");
    let seen = pollster::block_on(bench.ports.rollback.usable(&ctx("u", 2), &point)).expect("it answers");
    let gone: Vec<&str> = seen.gone().map(|(_, why)| why).collect();
    assert_eq!(gone, ["it is gone from the registry"]);
    bench.update("2").expect("nobody else deploys");
    let restored = pollster::block_on(bench.ports.rollback.restore(&ctx("b", 1), &point, None));
    restored.expect("ECS does not ask the registry");
    bench.until("unable to pull", |s| {
        s.stopped.iter().any(|t| t.cause == Some(Cause::ImagePull))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever the bounds, a good update arrives, within them at every moment.
    #[test]
    fn a_good_update_arrives_within_its_bounds(
        seed in 0_u64..10_000, desired in 1_u32..8, minimum in 0_u32..=100, above in 0_u32..=200,
    ) {
        let maximum = 100 + above;
        // With neither room above nor leave to go below nothing can be replaced: AWS refuses to move, too.
        let fewest = (desired * minimum).div_ceil(100);
        let most = desired * maximum / 100;
        prop_assume!(fewest < desired || most > desired);
        let bench = Bench::new(world_with(seed, Start::Ok, |s| s.load_balanced(80).desired(desired).percent(minimum, maximum)));
        let started = bench.update("2").expect("nobody else deploys");
        let mut broken = None;
        let arrived = bench.cloud.with(|w| {
            let end = w.now().after(Duration::from_secs(3_600));
            w.advance_until(end, |w| {
                let seen = w.service("prod", "api").expect("it exists");
                if seen.running < fewest || seen.running + seen.pending > most {
                    broken = Some((seen.running, seen.pending));
                }
                settled(&seen) && seen.primary().is_some_and(|d| d.id == started.deployment)
            })
        });
        prop_assert!(arrived, "{:#?}", bench.see());
        prop_assert_eq!(broken, None, "{} to {}", fewest, most);
        prop_assert_eq!(bench.see().running, desired);
    }
}

#[test]
fn a_task_that_is_stopped_while_it_starts_does_not_go_on_starting() {
    let timing = Timing {
        provision: Span::secs(10, 10),
        deprovision: Span::secs(30, 30),
        schedule: Span::millis(100, 100),
        ..Timing::default()
    };
    let mut world = World::builder(23)
        .environment("prod", |e| {
            e.timing(timing)
                .image(REPOSITORY, "1")
                .image(REPOSITORY, "2")
                .service("api", |s| s.container("api", REPOSITORY, "1").desired(3))
        })
        .build()
        .expect("well described");
    let again = Incident::ForeignDeployer {
        service: "api".into(),
        image: None,
    };
    let when = When::deployment_of("api", Duration::from_secs(5));
    world.schedule("prod", when, again).expect("it exists");
    let bench = Bench::new(world);
    let started = bench.update("2").expect("nobody else deploys");
    let seen = bench.until("a task stops", |s| !s.stopped.is_empty());
    let [task, ..] = &seen.stopped[..] else {
        panic!("one has stopped")
    };
    assert_eq!(task.started_by.as_ref(), Some(&started.deployment));
    let lived = task.stopped_at.since(started.created_at);
    assert!(
        lived >= Duration::from_secs(35),
        "told to stop at five seconds, gone at {lived:?}"
    );
}
