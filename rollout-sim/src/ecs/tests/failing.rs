//! Deployments that fail: why, how it is told, where the service ends.

use core::time::Duration;

use rollout_core::evidence::Cause;
use rollout_core::service::{DeploymentRole, RecordStatus, RolloutState, ServiceObservation};

use crate::behaviour::Start;
use crate::incident::{Incident, When};
use crate::testkit::{Bench, REPOSITORY, world, world_with};
use crate::{Breaker, Threshold};

use super::{failures, settled};

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
    // What was on its way still comes up, and crashes.
    bench.cloud.with(|w| w.pass(Duration::from_secs(60)));
    let crashed = failures(&bench.see()).len();
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
    assert_eq!(failures(&seen).len(), crashed);
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
fn an_image_for_another_architecture_cannot_be_pulled() {
    const NO_DESCRIPTOR: &str = "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not \
                                 contain descriptor matching platform ";
    let asks = |architecture: &str| serde_json::json!({ "cpuArchitecture": architecture, "operatingSystemFamily": "LINUX" });
    for (pushed, asked, misses) in [
        ("arm64", None, Some("'linux/amd64'")),
        ("arm64", Some("X86_64"), Some("'linux/amd64'")),
        ("amd64", Some("ARM64"), Some("'linux/arm64 v8'")),
        ("amd64", None, None),
        ("arm64", Some("ARM64"), None),
    ] {
        let bench = Bench::new(world(6, Start::Ok));
        let image = bench
            .cloud
            .with(|w| w.push_image_for("prod", REPOSITORY, "4", "for one", &[pushed]));
        image.expect("the environment is there");
        let mut spec = bench.spec("4");
        if let Some(asked) = asked {
            spec.template["runtimePlatform"] = asks(asked);
        }
        let started = bench.update_to(bench.ensure(&spec), None).expect("accepted");
        let seen = bench.until("it is decided", |s| !failures(s).is_empty() || settled(s));
        match misses {
            Some(platform) => {
                let failed = failures(&seen)[0];
                assert_eq!(failed.reason, format!("{NO_DESCRIPTOR}{platform}"), "{asked:?}");
                assert_eq!(failed.cause, Some(Cause::ImagePull));
            }
            None => assert_eq!(
                seen.primary().map(|d| &d.id),
                Some(&started.deployment),
                "{asked:?}"
            ),
        }
    }
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
    let check = |s: crate::ServiceBuilder| {
        s.container_check(Duration::from_secs(5), 2, Duration::from_secs(20))
            .grace(Duration::ZERO)
    };
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
fn the_grace_period_holds_for_a_container_s_own_check_too() {
    let run = |start: Start, grace: u64| {
        let check = |s: crate::ServiceBuilder| {
            s.container_check(Duration::from_secs(5), 1, Duration::ZERO)
                .grace(Duration::from_secs(grace))
        };
        let world = world_with(24, start, check);
        let template = serde_json::to_value(&world.environments[0].revisions[0].content).expect("plain data");
        let bench = Bench::new(world);
        let mut spec = bench.spec("2");
        spec.template = template;
        let started = bench.update_to(bench.ensure(&spec), None).expect("accepted");
        (bench, started)
    };
    let slow = Start::SlowStart { millis: 40_000 };
    let (patient, started) = run(slow.clone(), 60);
    let seen = patient.until("completes", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == started.deployment)
    });
    assert!(failures(&seen).is_empty(), "it recovered within its grace period");
    let (hasty, started) = run(slow, 20);
    hasty.until("fails", |s| {
        s.deployment(&started.deployment)
            .is_some_and(|d| d.rollout == RolloutState::Failed)
    });
    let (never, started) = run(Start::Unhealthy, 60);
    let seen = never.until("a task stops", |s| !failures(s).is_empty());
    let lived = failures(&seen)[0].stopped_at.since(started.created_at);
    assert!(lived >= Duration::from_secs(60), "{lived:?}");
    let events = never.events();
    let said = |e: &String| {
        e.starts_with("(service api) (task ") && e.ends_with(") failed container health checks.")
    };
    assert!(events.iter().any(said), "{events:?}");
}

#[test]
fn a_task_whose_secrets_cannot_be_read_says_so() {
    let message = "unable to pull secrets or registry auth".to_owned();
    let bench = Bench::new(world(25, Start::CannotInitialize { message }));
    bench.update("2").expect("nobody else deploys");
    let seen = bench.until("a task stops", |s| !failures(s).is_empty());
    let task = failures(&seen)[0];
    assert_eq!(task.cause, Some(Cause::ResourceInitialization));
    assert_eq!(task.code.as_deref(), Some("TaskFailedToStart"));
    assert_eq!(
        task.reason,
        "ResourceInitializationError: unable to pull secrets or registry auth"
    );
    assert!(task.log_tail.is_empty() && task.containers[0].exit_code.is_none());
    bench.until("goes back", settled);
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
fn thresholds_are_those_of_the_documentation() {
    let tasks = |n| Threshold::BoundedPercent(50).tasks(n);
    assert_eq!([1, 5, 6, 7, 25, 400, 800].map(tasks), [3, 3, 3, 4, 13, 200, 200]);
}
