use core::time::Duration;

use proptest::prelude::*;
use rollout_core::error::ErrorKind;
use rollout_core::evidence::Cause;
use rollout_core::service::{
    Captured, DeploymentRole, RecordStatus, RolloutState, ServiceObservation, ServiceStatus, StoppedTask,
};

use crate::behaviour::Start;
use crate::incident::{Incident, When};
use crate::testkit::{Bench, REPOSITORY, ctx, world, world_with};
use crate::{Breaker, Threshold};

fn settled(seen: &ServiceObservation) -> bool {
    seen.primary()
        .is_some_and(|d| d.rollout == RolloutState::Completed)
}

fn failures(seen: &ServiceObservation) -> Vec<&StoppedTask> {
    seen.stopped.iter().filter(|t| t.cause.is_some()).collect()
}

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
fn a_crash_trips_the_breaker_at_three_and_goes_back() {
    let start = Start::CrashAfter {
        millis: 1_500,
        exit_code: 3,
    };
    let bench = Bench::new(world(2, start));
    let old = bench.see().primary().expect("deployed").clone();
    let started = bench.update("2").expect("nobody else deploys");
    let seen = bench.until("fails", |s| {
        s.deployment(&started.deployment)
            .is_some_and(|d| d.rollout == RolloutState::Failed)
    });
    let failed = bench.deployment(&started);
    assert_eq!(failed.failed, 3);
    assert_eq!(failed.role, DeploymentRole::Active);
    assert_eq!(
        failed.reason.as_deref(),
        Some("ECS deployment circuit breaker: tasks failed to start.")
    );
    let record = failed.record.expect("kept");
    assert_eq!(record.status, RecordStatus::RollbackInProgress);
    assert_eq!(record.rolled_back_to.as_ref(), Some(&old.task_definition));
    let back = seen.primary().expect("rolling back");
    assert_eq!((&back.id, &back.rollout), (&old.id, &RolloutState::InProgress));
    let rolling = format!(
        "ECS deployment circuit breaker: rolling back to deploymentId {}.",
        old.id
    );
    assert_eq!(back.reason.as_ref(), Some(&rolling));
    let [first, ..] = failures(&seen)[..] else {
        panic!("three tasks failed")
    };
    assert_eq!(first.cause, Some(Cause::ContainerExited));
    assert_eq!(first.code.as_deref(), Some("EssentialContainerExited"));
    assert_eq!(first.reason, "Essential container in task exited");
    assert_eq!(first.containers[0].exit_code, Some(3));
    assert_eq!(first.log_tail, ["starting", "no database"]);
    assert_eq!(first.started_by.as_ref(), Some(&started.deployment));
    assert_eq!(failures(&seen).len(), 3);

    bench.until("goes back", settled);
    let record = bench
        .deployment(&started)
        .record
        .expect("it outlives the deployment");
    assert_eq!(record.status, RecordStatus::RollbackSuccessful);
    assert_eq!(bench.deployment(&started).role, DeploymentRole::Inactive);
    let seen = bench.see();
    assert_eq!(
        seen.primary().expect("deployed").task_definition,
        old.task_definition
    );
    assert_eq!(seen.running, 3);
}

#[test]
fn a_breaker_with_nothing_to_go_back_to_stalls() {
    let crash = Start::CrashAfter {
        millis: 500,
        exit_code: 1,
    };
    let bench = Bench::new(world(3, crash));
    bench.cloud.with(|w| {
        let gone = Incident::NoRollbackTarget {
            service: "api".into(),
        };
        w.schedule("prod", When::first_deployment(), gone)
            .expect("it exists");
    });
    let started = bench.update("2").expect("nobody else deploys");
    let failed = |s: &ServiceObservation| s.primary().is_some_and(|d| d.rollout == RolloutState::Failed);
    bench.until("fails", failed);
    bench.cloud.with(|w| w.pass(Duration::from_secs(3_000)));
    let seen = bench.see();
    let ours = bench.deployment(&started);
    assert_eq!(
        (ours.role, ours.rollout),
        (DeploymentRole::Primary, RolloutState::Failed)
    );
    assert_eq!(
        (ours.running, ours.pending),
        (0, 0),
        "it launches nothing any more"
    );
    assert_eq!(ours.record.expect("kept").status, RecordStatus::RollbackFailed);
    assert_eq!(seen.running, 3, "the old tasks go on");
}

#[test]
fn a_breaker_without_rollback_stops_and_says_so() {
    let crash = Start::CrashAfter {
        millis: 500,
        exit_code: 1,
    };
    let breaker = Breaker {
        rollback: false,
        ..Breaker::default()
    };
    let bench = Bench::new(world_with(3, crash, |s| s.load_balanced(80).breaker(breaker)));
    let started = bench.update("2").expect("nobody else deploys");
    bench.until("fails", |s| {
        s.primary().is_some_and(|d| d.rollout == RolloutState::Failed)
    });
    assert_eq!(
        bench.deployment(&started).record.expect("kept").status,
        RecordStatus::Stopped
    );
}

#[test]
fn a_rollback_that_fails_too_finds_no_target() {
    let bench = Bench::new(world(4, Start::Ok));
    bench.cloud.with(|w| {
        let start = Start::CrashAfter {
            millis: 500,
            exit_code: 1,
        };
        let all = Incident::Everything {
            service: "api".into(),
            start,
        };
        w.schedule("prod", When::first_deployment(), all)
            .expect("it exists");
        // The old tasks are gone when the breaker goes back: it has to start new ones.
        let gone = Incident::Scaled {
            service: "api".into(),
            desired: 6,
        };
        let later = When::deployment_of("api", Duration::from_secs(1));
        w.schedule("prod", later, gone).expect("it exists");
    });
    let started = bench.update("2").expect("nobody else deploys");
    bench.until("rolls back", |s| {
        let ours = s.deployment(&started.deployment).and_then(|d| d.record.clone());
        ours.is_some_and(|r| r.status == RecordStatus::RollbackInProgress)
    });
    let seen = bench.until("fails again", |s| {
        s.primary().is_some_and(|d| d.rollout == RolloutState::Failed)
    });
    assert_ne!(seen.primary().expect("there").id, started.deployment);
    let record = bench.deployment(&started).record.expect("kept");
    assert_eq!(record.status, RecordStatus::RollbackFailed);
}

#[test]
fn an_image_that_cannot_be_pulled_says_why() {
    let message = "failed to resolve ref: not found".to_owned();
    let bench = Bench::new(world(5, Start::CannotPull { message }));
    bench.update("2").expect("nobody else deploys");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let task = failures(&seen)[0];
    assert_eq!(task.cause, Some(Cause::ImagePull));
    assert_eq!(task.code.as_deref(), Some("TaskFailedToStart"));
    assert_eq!(
        task.reason,
        "CannotPullContainerError: failed to resolve ref: not found"
    );
    assert_eq!(task.containers[0].exit_code, None);
    assert!(task.log_tail.is_empty(), "it never ran");
    bench.until("goes back", settled);
}

#[test]
fn an_image_that_is_not_in_the_registry_cannot_be_pulled() {
    let bench = Bench::new(world(6, Start::Ok));
    let digest = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "2"))
        .expect("pushed");
    let spec = bench.spec("2");
    bench
        .cloud
        .with(|w| w.expire_image("prod", REPOSITORY, &digest))
        .expect("it exists");
    bench.update_to(bench.ensure(&spec), None).expect("accepted");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let reason = &failures(&seen)[0].reason;
    assert!(
        reason.starts_with("CannotPullContainerError: ") && reason.ends_with(": not found"),
        "{reason}"
    );
}

#[test]
fn a_container_that_uses_too_much_memory_is_killed() {
    let bench = Bench::new(world(7, Start::OutOfMemoryAfter { millis: 900 }));
    bench.update("2").expect("nobody else deploys");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let task = failures(&seen)[0];
    assert_eq!(task.cause, Some(Cause::OutOfMemory));
    let container = &task.containers[0];
    assert_eq!(container.exit_code, Some(137));
    let reason = "OutOfMemoryError: Container killed due to memory usage";
    assert_eq!(container.reason.as_deref(), Some(reason));
}

#[test]
fn tasks_that_fail_the_load_balancers_checks_are_replaced_after_the_grace_period() {
    let bench = Bench::new(world_with(8, Start::Unhealthy, |s| {
        s.load_balanced(8080).grace(Duration::from_secs(90))
    }));
    let started = bench.update("2").expect("nobody else deploys");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let task = failures(&seen)[0];
    assert_eq!(task.cause, Some(Cause::HealthCheckFailed));
    assert_eq!(task.code.as_deref(), Some("ServiceSchedulerInitiated"));
    assert!(
        task.reason
            .starts_with("Task failed ELB health checks in (target-group arn:"),
        "{}",
        task.reason
    );
    let lived = task.stopped_at.since(started.created_at);
    assert!(lived >= Duration::from_secs(90), "{lived:?}");
    let text = "is unhealthy in (target-group ";
    assert!(
        bench.events().iter().any(|e| e.contains(text)),
        "{:?}",
        bench.events()
    );
    bench.until("goes back", settled);
}

#[test]
fn tasks_that_fail_their_own_check_are_replaced_after_its_retries() {
    let check =
        |s: crate::ServiceBuilder| s.container_check(Duration::from_secs(5), 2, Duration::from_secs(20));
    let bench = Bench::new(world_with(9, Start::Unhealthy, check));
    let seen = bench.see();
    let template = serde_json::json!({
        "family": "api",
        "containerDefinitions": [{
            "name": "api", "image": "",
            "healthCheck": { "command": ["CMD", "true"], "interval": 5, "retries": 2, "startPeriod": 20 },
        }],
    });
    assert_eq!(seen.running, 3);
    let mut spec = bench.spec("2");
    spec.template = template;
    bench.update_to(bench.ensure(&spec), None).expect("accepted");
    let seen = bench.until("runs", |s| s.tasks.len() > 3);
    let began = seen.tasks.last().and_then(|t| t.started_at).expect("it runs");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let task = failures(&seen)[0];
    assert_eq!(task.reason, "Task failed container health checks");
    // Checks every 5 s; those before 20 s do not count; the second that counts is at 25 s.
    let lived = task.stopped_at.since(began).as_millis();
    assert!((25_000..34_000).contains(&lived), "{lived} ms");
}

#[test]
fn a_slow_start_within_the_grace_period_is_no_failure_and_after_it_is() {
    let slow = Start::SlowStart { millis: 50_000 };
    let patient = Bench::new(world_with(10, slow.clone(), |s| {
        s.load_balanced(80).grace(Duration::from_secs(240))
    }));
    patient.update("2").expect("nobody else deploys");
    let seen = patient.until("completes", |s| settled(s) && s.deployments.len() > 1);
    assert!(failures(&seen).is_empty());
    let hasty = Bench::new(world_with(10, slow, |s| {
        s.load_balanced(80).grace(Duration::from_secs(10))
    }));
    let started = hasty.update("2").expect("nobody else deploys");
    hasty.until("fails", |s| {
        s.deployment(&started.deployment)
            .is_some_and(|d| d.rollout == RolloutState::Failed)
    });
}

#[test]
fn health_that_fails_after_completion_replaces_tasks_and_trips_no_breaker() {
    let later = Start::UnhealthyAfter { millis: 120_000 };
    let bench = Bench::new(world(11, later));
    let started = bench.update("2").expect("nobody else deploys");
    bench.until("completes", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == started.deployment)
    });
    let seen = bench.until("a task fails", |s| !failures(s).is_empty());
    assert_eq!(failures(&seen)[0].cause, Some(Cause::HealthCheckFailed));
    let ours = bench.deployment(&started);
    assert_eq!((ours.rollout, ours.failed), (RolloutState::Completed, 0));
}

#[test]
fn a_flapping_service_never_trips_the_breaker_unless_it_counts_on() {
    // Trap 1 of the circuit breaker: a healthy task sets the count to zero. Each task lives just long enough to count as
    // healthy, and no more than two are alive at once.
    let run = |reset| {
        let flapping = Start::CrashAfter {
            millis: 12_000,
            exit_code: 1,
        };
        let breaker = Breaker {
            reset_on_healthy_task: reset,
            ..Breaker::default()
        };
        let bench = Bench::new(world_with(12, flapping, |s| {
            s.desired(2).breaker(breaker).percent(100, 150)
        }));
        let started = bench.update("2").expect("nobody else deploys");
        bench.cloud.with(|w| w.pass(Duration::from_secs(1_200)));
        (bench.deployment(&started).rollout, failures(&bench.see()).len())
    };
    let (rollout, failed) = run(true);
    assert_ne!(rollout, RolloutState::Failed);
    assert!(failed > 5, "{failed}");
    assert_eq!(run(false).0, RolloutState::Failed);
}

#[test]
fn without_a_breaker_a_crash_loop_goes_on_ever_more_slowly() {
    let crash = Start::CrashAfter {
        millis: 500,
        exit_code: 1,
    };
    let breaker = Breaker {
        enabled: false,
        ..Breaker::default()
    };
    let bench = Bench::new(world_with(13, crash, |s| s.load_balanced(80).breaker(breaker)));
    let started = bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(3_000)));
    assert_eq!(bench.deployment(&started).rollout, RolloutState::InProgress);
    let stopped = failures(&bench.see()).len();
    assert!((6..60).contains(&stopped), "{stopped} tasks in fifty minutes");
    assert!(
        bench
            .events()
            .iter()
            .any(|e| e.contains("is unable to consistently start tasks successfully"))
    );
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
    let Captured::Nothing { why, deployment } = capture() else {
        panic!("it is on its way")
    };
    assert_eq!(
        (why.as_str(), deployment),
        (
            "the PRIMARY deployment is not COMPLETED",
            Some(started.deployment.clone())
        )
    );
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
fn a_restore_point_whose_image_is_gone_is_refused() {
    let bench = Bench::new(world(22, Start::Ok));
    let name = "api".parse().expect("a name");
    let captured = pollster::block_on(bench.ports.rollback.capture(&ctx("c", 1), &name)).expect("it answers");
    let Captured::Point(point) = captured else {
        panic!("it completed and runs")
    };
    let old = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "1"))
        .expect("pushed");
    bench
        .cloud
        .with(|w| w.expire_image("prod", REPOSITORY, &old))
        .expect("it exists");
    let captured = pollster::block_on(bench.ports.rollback.capture(&ctx("c", 2), &name)).expect("it answers");
    assert!(matches!(captured, Captured::Nothing { why, .. } if why.contains("gone from the registry")));
    bench.update("2").expect("nobody else deploys");
    let error = pollster::block_on(bench.ports.rollback.restore(&ctx("b", 1), &point, None));
    assert_eq!(error.expect_err("its image is gone").kind, ErrorKind::NotFound);
}

#[test]
fn thresholds_are_those_of_the_documentation() {
    let tasks = |n| Threshold::BoundedPercent(50).tasks(n);
    assert_eq!([1, 5, 6, 7, 25, 400, 800].map(tasks), [3, 3, 3, 4, 13, 200, 200]);
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
