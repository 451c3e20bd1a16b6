//! `rollout-core`'s deployment machine on these ports: what it makes of each course of events says whether what it is shown
//! is what AWS would show.

use core::time::Duration;

use pollster::block_on;
use rollout_core::Machine as _;
use rollout_core::context::OpContext;
use rollout_core::error::ErrorKind;
use rollout_core::evidence::Cause;
use rollout_core::machine::deployment::{Deployment, Effect, Event, Outcome, Policy, Spec, Target};
use rollout_core::service::Images;

use crate::behaviour::Start;
use crate::faults::{Disturbance, Fault, Operation};
use crate::incident::{Incident, When};
use crate::testkit::{Bench, REPOSITORY, ctx, world, world_with};
use crate::{Breaker, Hook, HookAction, LifecycleStage, Strategy, World};

const API: &str = "api";

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

async fn perform(bench: &Bench, ctx: &OpContext, effect: Effect) -> Event {
    let (target, rollback) = (&bench.ports.target, &bench.ports.rollback);
    let answer = match effect {
        Effect::EnsureRevision(spec) => {
            target
                .ensure_revision(ctx, &spec)
                .await
                .map(|(task_definition, ensured)| Event::RevisionReady {
                    task_definition,
                    ensured,
                })
        }
        Effect::UpdateService(change) => target.update_service(ctx, &change).await.map(Event::Updated),
        Effect::Restore { point, assumes } => rollback
            .restore(ctx, &point, assumes.as_ref())
            .await
            .map(Event::Updated),
        Effect::TurnBack {
            point,
            assumes,
            record,
        } => rollback
            .turn_back(ctx, &point, &assumes, &record)
            .await
            .map(|()| Event::TurningBack),
        Effect::Observe { service } => {
            let seen = target.observe_service(ctx, &service).await;
            seen.map(|seen| Event::Observed(Box::new(seen)))
        }
    };
    answer.unwrap_or_else(|error| Event::CallFailed(error.record()))
}

/// Deploys tag 2 with the machine, to its end.
fn deploy(world: World) -> (Bench, Outcome) {
    let bench = Bench::new(world);
    let outcome = deploy_on(&bench);
    (bench, outcome)
}

fn deploy_on(bench: &Bench) -> Outcome {
    let revision = bench.spec("2");
    let images: Images = revision
        .images
        .iter()
        .map(|(c, i)| (c.clone(), i.digest.clone()))
        .collect();
    let spec = Spec {
        service: API.parse().expect("a name"),
        target: Target::Release {
            revision,
            assumes: bench.see().primary().map(|d| d.id.clone()),
        },
        images,
    };
    let policy = Policy {
        poll_every: Duration::from_secs(5),
        pace: None,
        give_up: minutes(20),
        stopped_tasks: 5,
        max_errors: 5,
        answer: Duration::from_secs(30),
        stale_reads: Duration::from_secs(30),
    };
    let mut machine = Deployment::new(spec, policy);
    let clock = bench.cloud.clock();
    let mut events = vec![Event::Start];
    loop {
        let Some(event) = events.pop() else {
            let deadline = machine.deadline().expect("it has not ended");
            block_on(clock.sleep_until(deadline.at));
            events.push(Event::Elapsed);
            continue;
        };
        let effects = machine.handle(clock.now(), event).expect("its own answers fit");
        for effect in effects {
            events.push(block_on(perform(bench, &ctx("api/deploy", 1), effect)));
        }
        if let Some(outcome) = machine.outcome() {
            return outcome;
        }
    }
}

/// The service's next deployment meets an incident.
fn met(start: Start, after: Duration, incident: Incident) -> (Bench, Outcome) {
    let mut world = world(31, start);
    world
        .schedule("prod", When::deployment_of(API, after), incident)
        .expect("it exists");
    deploy(world)
}

fn cause(outcome: &Outcome) -> Cause {
    match outcome {
        Outcome::Failed { reason, .. } => reason.cause,
        other => panic!("it did not fail: {other:?}"),
    }
}

const CRASH: Start = Start::CrashAfter {
    millis: 2_000,
    exit_code: 3,
};

#[test]
fn a_good_release_is_deployed() {
    let (bench, outcome) = deploy(world(30, Start::Ok));
    let Outcome::Deployed { deployment, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(Some(&deployment), bench.see().primary().map(|d| &d.id));
    let reads = bench.cloud.with(|w| w.calls().count(Operation::ObserveService));
    assert!(reads < 40, "{reads} looks");
}

#[test]
fn failures_are_named_by_the_tasks_that_failed() {
    let message = "not found".to_owned();
    for (start, expected) in [
        (CRASH, Cause::ContainerExited),
        (Start::CannotPull { message }, Cause::ImagePull),
        (Start::OutOfMemoryAfter { millis: 900 }, Cause::OutOfMemory),
    ] {
        let (_, outcome) = deploy(world(31, start.clone()));
        let Outcome::Failed { reason, touched, .. } = &outcome else {
            panic!("{start:?}: {outcome:?}")
        };
        assert!(*touched);
        let told: String = reason.evidence.iter().map(ToString::to_string).collect();
        // The platform's verdict may come first; the tasks' own reason is then in the evidence.
        let text = match expected {
            Cause::ImagePull => "CannotPullContainerError",
            Cause::OutOfMemory => "OutOfMemoryError",
            _ => "exited with 3",
        };
        assert!(
            reason.cause == expected || told.contains(text),
            "{start:?}: {reason:?}"
        );
        assert!(told.contains(text), "{start:?}: {told}");
    }
}

#[test]
fn a_platform_that_rolls_back_is_no_success() {
    let bench_and_outcome = |breaker: Breaker| {
        let behind = move |s: crate::ServiceBuilder| s.load_balanced(80).breaker(breaker);
        deploy(world_with(32, Start::Unhealthy, behind))
    };
    let (_, outcome) = bench_and_outcome(Breaker::default());
    let rolled = cause(&outcome);
    assert!(
        matches!(rolled, Cause::PlatformRolledBack | Cause::HealthCheckFailed),
        "{outcome:?}"
    );
    let (_, outcome) = bench_and_outcome(Breaker {
        rollback: false,
        ..Breaker::default()
    });
    let failed = cause(&outcome);
    assert!(
        matches!(failed, Cause::PlatformFailed | Cause::HealthCheckFailed),
        "{outcome:?}"
    );
}

#[test]
fn what_the_platform_gave_up_is_begun_anew() {
    let breaker = Breaker {
        rollback: false,
        ..Breaker::default()
    };
    let (bench, _) = deploy(world_with(34, Start::Unhealthy, move |s| {
        s.load_balanced(80).breaker(breaker)
    }));
    let clock = bench.cloud.clock();
    let given_up = loop {
        let seen = bench.see();
        let primary = seen.primary().expect("there is one");
        if primary.is_given_up() {
            break primary.id.clone();
        }
        block_on(clock.sleep_until(clock.now().after(minutes(1))));
    };
    // The same revision once more: it fails again, and by a deployment of its own.
    let Outcome::Failed {
        deployment: Some(again),
        ..
    } = deploy_on(&bench)
    else {
        panic!("it is as bad as before");
    };
    assert_ne!(again, given_up);
}

#[test]
fn a_platform_that_goes_to_a_third_revision_is_no_success() {
    let bench = Bench::new(world(33, Start::Ok));
    let third = bench
        .cloud
        .with(|w| w.image("prod", REPOSITORY, "3"))
        .expect("pushed");
    let image = (REPOSITORY.parse().expect("a name"), third);
    let service = API.to_owned();
    let back = Incident::PlatformRollsBackTo { service, image };
    let (_, outcome) = met(Start::Ok, Duration::from_secs(12), back);
    assert_eq!(cause(&outcome), Cause::PlatformRolledBack, "{outcome:?}");
}

#[test]
fn a_stalled_platform_runs_into_the_deadline() {
    let (_, outcome) = met(Start::Ok, Duration::ZERO, Incident::Stall { service: API.into() });
    assert_eq!(cause(&outcome), Cause::DeadlineExceeded, "{outcome:?}");
    let lasts = minutes(60);
    let (_, outcome) = met(Start::Ok, Duration::ZERO, Incident::CapacityShort { lasts });
    assert!(
        matches!(cause(&outcome), Cause::DeadlineExceeded | Cause::Placement),
        "{outcome:?}"
    );
}

#[test]
fn another_deployer_supersedes() {
    let foreign = Incident::ForeignDeployer {
        service: API.into(),
        image: None,
    };
    let (_, outcome) = met(Start::Ok, Duration::from_secs(9), foreign);
    assert!(
        matches!(outcome, Outcome::Superseded { touched: true, .. }),
        "{outcome:?}"
    );
}

#[test]
fn a_deleted_service_is_gone() {
    let deleted = Incident::ServiceDeleted { service: API.into() };
    let (_, outcome) = met(Start::Ok, Duration::from_secs(9), deleted);
    assert_eq!(cause(&outcome), Cause::ServiceGone, "{outcome:?}");
}

#[test]
fn lost_answers_and_refusals_on_the_way_change_nothing() {
    for (operation, what) in [
        (Operation::EnsureRevision, Disturbance::LostAnswer),
        (Operation::UpdateService, Disturbance::LostAnswer),
        (
            Operation::UpdateService,
            Disturbance::Refused(ErrorKind::Throttled),
        ),
        (
            Operation::ObserveService,
            Disturbance::Refused(ErrorKind::Unavailable),
        ),
    ] {
        for call in 1..4 {
            let mut world = world(34, Start::Ok);
            world.disturb(Fault::nth(operation, call, what));
            let (bench, outcome) = deploy(world);
            assert!(
                matches!(outcome, Outcome::Deployed { .. }),
                "{operation:?} {call} {what:?}: {outcome:?}"
            );
            let updates = bench.cloud.with(|w| {
                let effects = w
                    .calls()
                    .effects()
                    .filter(|m| m.operation == Operation::UpdateService);
                effects.count()
            });
            assert_eq!(updates, 1, "{operation:?} {call} {what:?}");
        }
    }
}

/// The storefront's way with stages: what the machine makes of them.
fn staged(
    start: Start,
    describe: impl FnOnce(crate::ServiceBuilder) -> crate::ServiceBuilder,
) -> (Bench, Outcome) {
    deploy(world_with(41, start, |s| {
        describe(
            s.load_balanced(8080)
                .strategy(Strategy::BlueGreen)
                .bake_minutes(3),
        )
    }))
}

#[test]
fn a_release_in_stages_is_deployed_when_the_old_set_has_gone() {
    let (bench, outcome) = staged(Start::Ok, |s| s);
    assert!(matches!(outcome, Outcome::Deployed { .. }), "{outcome:?}");
    let seen = bench.see();
    assert_eq!((seen.running, seen.deployments[0].running), (3, 3));
}

#[test]
fn a_release_in_stages_that_crashes_is_no_success() {
    let crash = Start::CrashAfter {
        millis: 800,
        exit_code: 2,
    };
    let (_, outcome) = staged(crash, |s| s);
    assert!(!matches!(outcome, Outcome::Deployed { .. }), "{outcome:?}");
}

#[test]
fn a_pause_that_nobody_answers_is_a_rollback_of_the_platform() {
    let pause = Hook::pause([LifecycleStage::PostTestTrafficShift]).timeout(2, HookAction::Rollback);
    let (bench, outcome) = staged(Start::Ok, |s| s.hook(pause));
    assert_eq!(cause(&outcome), Cause::PlatformRolledBack);
    assert_eq!(
        bench.see().running,
        6,
        "the machine tells it as soon as it sees it"
    );
}
