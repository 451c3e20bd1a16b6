//! Alarms that fail a deployment, and the trap in them.

use core::time::Duration;

use rollout_core::service::{RecordStatus, RolloutState};

use crate::alarm::AlarmState;
use crate::behaviour::Start;
use crate::ecs::record::{Monitor, words};
use crate::testkit::{Bench, REPOSITORY};
use crate::{Behaviour, Strategy, World};

use super::settled;

fn world(seed: u64, strategy: Strategy, rollback: bool, behaviour: Behaviour) -> Bench {
    let world = World::builder(seed)
        .environment("prod", |e| {
            e.image(REPOSITORY, "1")
                .image_that(REPOSITORY, "2", behaviour)
                .service("api", |s| {
                    s.container("api", REPOSITORY, "1")
                        .desired(3)
                        .load_balanced(8080)
                        .strategy(strategy)
                        .bake_minutes(10)
                        .deployment_alarms(&["manual", "errors"], rollback)
                })
                .alarm("manual")
                .alarm_on_errors("errors", "api", 500)
        })
        .build()
        .expect("well described");
    Bench::new(world)
}

fn record(bench: &Bench) -> crate::ecs::record::Record {
    let last = |w: &mut World| w.environments[0].services[0].records.last().cloned();
    bench.cloud.with(last).expect("there is one")
}

fn set(bench: &Bench, state: AlarmState) {
    bench
        .cloud
        .with(|w| w.set_alarm("prod", "manual", state))
        .expect("it exists");
}

#[test]
fn an_alarm_takes_a_rolling_deployment_back() {
    let bench = world(1, Strategy::Rolling, true, Behaviour::default());
    let before = bench.see().primary().expect("deployed").id.clone();
    bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(20)));
    assert_eq!(record(&bench).alarms, Monitor::Monitoring);
    set(&bench, AlarmState::Alarm);
    bench.until("goes back", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == before)
    });
    let record = record(&bench);
    assert_eq!(record.status, RecordStatus::RollbackSuccessful);
    assert_eq!(
        (record.alarms, &record.triggered[..]),
        (Monitor::Triggered, &["manual".to_owned()][..])
    );
    assert_eq!(record.breaker, Monitor::MonitoringComplete);
    assert_eq!(record.reason.as_deref(), Some(words::ALARM));
    let events = bench.events();
    assert!(
        events
            .iter()
            .any(|e| e.ends_with("deployment failed: alarm detected.")),
        "{events:?}"
    );
}

#[test]
fn an_alarm_without_rollback_fails_the_deployment_and_leaves_it_there() {
    let bench = world(2, Strategy::Rolling, false, Behaviour::default());
    bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(20)));
    set(&bench, AlarmState::Alarm);
    let seen = bench.until("fails", |s| {
        s.primary().is_some_and(|d| d.rollout == RolloutState::Failed)
    });
    let record = record(&bench);
    assert_eq!(
        (&record.status, record.reason.as_deref()),
        (&RecordStatus::Stopped, Some(words::ALARM_ONLY))
    );
    assert!(record.stopped_at.is_some() && record.rollback.is_none());
    assert_eq!(
        seen.primary().expect("listed").reason.as_deref(),
        Some("ECS deployment alarms: alarm detected.")
    );
}

#[test]
fn an_alarm_that_fires_before_the_start_watches_nothing_for_the_whole_deployment() {
    let bench = world(3, Strategy::Rolling, true, Behaviour::default());
    set(&bench, AlarmState::Alarm);
    let started = bench.update("2").expect("nobody else deploys");
    assert_eq!(record(&bench).alarms, Monitor::Disabled);
    // Not even when it recovers and fires again.
    set(&bench, AlarmState::Ok);
    bench.cloud.with(|w| w.pass(Duration::from_secs(15)));
    set(&bench, AlarmState::Alarm);
    bench.until("completes", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == started.deployment)
    });
    let record = record(&bench);
    assert_eq!(
        (record.status, record.alarms),
        (RecordStatus::Successful, Monitor::Disabled)
    );
}

#[test]
fn a_rolling_deployment_bakes_for_as_long_as_its_alarms_take_to_fire() {
    let quiet = world(4, Strategy::Rolling, true, Behaviour::default());
    let started = quiet.update("2").expect("nobody else deploys");
    let replaced = quiet.until("replaces every task", |s| {
        s.tasks
            .iter()
            .all(|t| t.started_by.as_ref() == Some(&started.deployment))
            && s.running == 3
    });
    let done = quiet.until("completes", |s| {
        settled(s) && s.primary().is_some_and(|d| d.id == started.deployment)
    });
    let baked = done.at.since(replaced.at);
    assert!(
        baked >= Duration::from_secs(120),
        "two periods of a minute, not {baked:?}"
    );
    assert_eq!(record(&quiet).alarms, Monitor::MonitoringComplete);

    // Errors show only when all tasks are new: without the bake it would have completed.
    let behaviour = Behaviour {
        errors_per_10_000: 900,
        ..Behaviour::starting(Start::Ok)
    };
    let bad = world(4, Strategy::Rolling, true, behaviour);
    bad.update("2").expect("nobody else deploys");
    bad.cloud.with(|w| w.pass(Duration::from_secs(1_200)));
    assert_eq!(record(&bad).status, RecordStatus::RollbackSuccessful);
    assert_eq!(record(&bad).triggered, ["errors"]);
}

#[test]
fn an_alarm_in_bake_time_takes_a_blue_green_deployment_back() {
    let behaviour = Behaviour {
        errors_per_10_000: 2_000,
        ..Behaviour::starting(Start::Ok)
    };
    let bench = world(5, Strategy::BlueGreen, true, behaviour);
    bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(1_800)));
    let record = record(&bench);
    assert_eq!(record.status, RecordStatus::RollbackSuccessful);
    assert_eq!(record.triggered, ["errors"]);
    assert!(settled(&bench.see()));
    // The alarm follows the traffic: it is quiet again.
    bench.cloud.with(|w| w.pass(Duration::from_secs(180)));
    let state = bench.cloud.with(|w| w.alarm("prod", "errors"));
    assert_eq!(state, Ok(AlarmState::Ok));
}

#[test]
fn a_canary_meets_the_alarm_with_its_share_only() {
    let behaviour = Behaviour {
        errors_per_10_000: 4_000,
        ..Behaviour::starting(Start::Ok)
    };
    // 10 % of the requests, 40 % of them errors: 4 %, below the alarm's 5 %. The rest follows, and it fires.
    let strategy = Strategy::Canary {
        share: 100,
        bake_minutes: 10,
    };
    let bench = world(6, strategy, true, behaviour);
    bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(Duration::from_secs(480)));
    assert_eq!(record(&bench).status, RecordStatus::InProgress);
    bench.cloud.with(|w| w.pass(Duration::from_secs(1_800)));
    assert_eq!(record(&bench).status, RecordStatus::RollbackSuccessful);
}
