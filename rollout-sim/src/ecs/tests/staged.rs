//! Deployments in stages: which stage follows which, who answers meanwhile, and every way back.

use core::time::Duration;

use rollout_core::probe::HttpProbe;
use rollout_core::service::{RecordStatus, Stage};

use crate::behaviour::Start;
use crate::ecs::record::words;
use crate::incident::{Incident, When};
use crate::testkit::{Bench, REPOSITORY, world_with};
use crate::{Behaviour, Breaker, LifecycleStage, ServiceBuilder, Strategy, World};

use super::settled;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Three tasks behind a load balancer with a listener for production and one for tests run tag 1; tag 2 starts in this way.
pub(super) fn world(
    seed: u64,
    start: Start,
    describe: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
) -> World {
    let behaviour = Behaviour::starting(start).logging(["starting", "no database"]);
    World::builder(seed)
        .environment("prod", |e| {
            e.image(REPOSITORY, "1")
                .image_that(REPOSITORY, "2", behaviour)
                .image(REPOSITORY, "3")
                .failing_function("arn:aws:lambda:eu-central-1:111111111111:function:refuses")
                .service("api", |s| {
                    let s = s.container("api", REPOSITORY, "1").desired(3).load_balanced(8080);
                    describe(s.tells_version())
                })
                .balancer("edge", |b| b.route("/", "api").listener(9_001).route("/", "api"))
                .alarm("errors")
        })
        .build()
        .expect("well described")
}

pub(super) fn blue_green(seed: u64) -> World {
    world(seed, Start::Ok, |s| {
        s.strategy(Strategy::BlueGreen).bake_minutes(5)
    })
}

/// The weights of the production and of the test rule: those of the first group and those of the second.
pub(super) fn weights(w: &World) -> ((u32, u32), (u32, u32)) {
    let env = &w.environments[0];
    let service = &env.services[0];
    let of = |rule: &str| {
        let weights = env.weights(rule).expect("the rule exists");
        assert_eq!(weights.len(), 2);
        (weights[0].1, weights[1].1)
    };
    (of(&service.production_rules[0]), of(&service.test_rules[0]))
}

/// What a deployment looks like at a moment: its stage, its share of production in thousandths, and the tasks that run of the
/// old and of the new revision.
pub(super) type Look = (Option<LifecycleStage>, u16);

pub(super) fn look(w: &World, number: u32) -> Look {
    let service = &w.environments[0].services[0];
    let stage = service.record(number).and_then(|r| r.stage);
    (stage, service.traffic.production_of(number).unwrap_or(0))
}

/// Every look that differs from the one before, with when it began, until the deployment is over.
pub(super) fn walk(bench: &Bench, number: u32) -> Vec<(Duration, Look)> {
    bench.cloud.with(|w| {
        let began = w.now();
        let end = began.after(Duration::from_secs(40 * 3_600));
        let mut seen: Vec<(Duration, Look)> = Vec::new();
        let over = w.advance_until(end, |w| {
            let now = look(w, number);
            if seen.last().is_none_or(|(_, last)| *last != now) {
                seen.push((w.now().since(began), now));
            }
            w.environments[0].services[0]
                .record(number)
                .is_some_and(|r| r.is_over())
        });
        assert!(over, "{seen:?}");
        seen
    })
}

pub(super) fn stages(walk: &[(Duration, Look)]) -> Vec<LifecycleStage> {
    let mut all: Vec<_> = walk.iter().filter_map(|(_, (stage, _))| *stage).collect();
    all.dedup();
    all
}

/// The number of the deployment that is PRIMARY, and the status of its record or of the one that is being rolled back.
pub(super) fn front(bench: &Bench) -> u32 {
    let number = |w: &mut World| w.environments[0].services[0].primary().map(|d| d.number);
    bench.cloud.with(number).expect("deployed")
}

pub(super) fn status(bench: &Bench, number: u32) -> (RecordStatus, Option<String>) {
    bench.cloud.with(|w| {
        let record = w.environments[0].services[0].record(number).expect("kept");
        (record.status.clone(), record.reason.clone())
    })
}

/// Lets time pass until the deployment is in a stage.
pub(super) fn until_stage(bench: &Bench, number: u32, stage: LifecycleStage) {
    let there = bench.cloud.with(|w| {
        let end = w.now().after(Duration::from_secs(7_200));
        w.advance_until(end, |w| look(w, number).0 == Some(stage))
    });
    assert!(there, "never {stage:?}: {:#?}", bench.see());
}

pub(super) fn digests(bench: &Bench) -> Vec<String> {
    let seen = bench.see();
    let mut all: Vec<_> = seen
        .tasks
        .iter()
        .flat_map(|t| t.images.values())
        .map(ToString::to_string)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

pub(super) fn image(bench: &Bench, tag: &str) -> String {
    let digest = bench.cloud.with(|w| w.image("prod", REPOSITORY, tag));
    digest.expect("pushed").to_string()
}

#[test]
fn blue_green_goes_through_its_stages_and_moves_traffic_once() {
    use LifecycleStage as S;
    let bench = Bench::new(blue_green(1));
    let blue = image(&bench, "1");
    let started = bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    let steps = walk(&bench, number);
    assert_eq!(
        stages(&steps),
        [
            S::PreScaleUp,
            S::ScaleUp,
            S::PostScaleUp,
            S::TestTrafficShift,
            S::PostTestTrafficShift,
            S::PreProductionTrafficShift,
            S::ProductionTrafficShift,
            S::PostProductionTrafficShift,
            S::BakeTime,
            S::CleanUp,
        ]
    );
    for (_, (stage, share)) in &steps {
        let moved = *stage >= Some(S::ProductionTrafficShift);
        assert_eq!(*share, if moved { 1_000 } else { 0 }, "{stage:?}");
    }
    let at = |stage| {
        steps
            .iter()
            .find(|(_, look)| look.0 == Some(stage))
            .map(|(at, _)| *at)
            .expect("seen")
    };
    let baked = at(S::CleanUp) - at(S::BakeTime);
    assert!(baked >= 5 * MINUTE && baked < 6 * MINUTE, "{baked:?}");
    let seen = bench.see();
    assert!(settled(&seen) && seen.running == 3 && digests(&bench) != [blue]);
    let record = bench.deployment(&started).record.expect("kept");
    assert_eq!(
        (record.status, record.stage),
        (RecordStatus::Successful, Some(Stage::CleanUp))
    );
    assert_eq!(bench.cloud.with(|w| weights(w)), ((0, 100), (0, 100)));

    // The next one goes to the first group again.
    bench.update("3").expect("nobody else deploys");
    walk(&bench, front(&bench));
    assert_eq!(bench.cloud.with(|w| weights(w)), ((100, 0), (100, 0)));
}

#[test]
fn the_old_set_is_whole_until_clean_up_and_the_new_one_before_any_traffic() {
    let bench = Bench::new(blue_green(2));
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    let mut most = 0;
    bench.cloud.with(|w| {
        let end = w.now().after(2 * 60 * MINUTE);
        w.advance_until(end, |w| {
            let env = &w.environments[0];
            let (service, (stage, share)) = (&env.services[0], look(w, number));
            let (old, _) = env.running_and_pending(service, 1);
            let (new, _) = env.running_and_pending(service, number);
            most = most.max(old + new);
            if stage < Some(LifecycleStage::CleanUp) {
                assert_eq!(old, 3, "{stage:?}");
            }
            if share > 0 {
                assert_eq!(new, 3, "{stage:?}");
            }
            service.record(number).is_some_and(|r| r.is_over())
        })
    });
    assert_eq!(most, 6);
}

#[test]
fn test_traffic_moves_before_production_traffic() {
    let bench = Bench::new(blue_green(3));
    bench.update("2").expect("nobody else deploys");
    until_stage(&bench, front(&bench), LifecycleStage::PostTestTrafficShift);
    assert_eq!(bench.cloud.with(|w| weights(w)), ((100, 0), (0, 100)));
}

#[test]
fn linear_moves_equal_shares_and_bakes_between_them() {
    let strategy = Strategy::Linear {
        step: 300,
        bake_minutes: 7,
    };
    let bench = Bench::new(world(4, Start::Ok, |s| s.strategy(strategy)));
    bench.update("2").expect("nobody else deploys");
    let steps = walk(&bench, front(&bench));
    let mut shares: Vec<(u16, Duration)> = Vec::new();
    for (at, (_, share)) in &steps {
        if shares.last().is_none_or(|(last, _)| last != share) {
            shares.push((*share, *at));
        }
    }
    let values: Vec<u16> = shares.iter().map(|(share, _)| *share).collect();
    assert_eq!(values, [0, 300, 600, 900, 1_000]);
    for pair in shares[1..].windows(2) {
        let waited = pair[1].1 - pair[0].1;
        assert!(waited >= 7 * MINUTE && waited < 8 * MINUTE, "{waited:?}");
    }
    // Each shift has its own stage before it.
    let before = stages(&steps)
        .into_iter()
        .filter(|s| *s == LifecycleStage::PreProductionTrafficShift);
    assert_eq!(before.count(), 4);
}

#[test]
fn a_canary_answers_its_share_of_the_requests() {
    let strategy = Strategy::Canary {
        share: 100,
        bake_minutes: 10,
    };
    let bench = Bench::new(world(5, Start::Ok, |s| s.strategy(strategy)));
    let new = image(&bench, "2");
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::ProductionTrafficShift);
    assert_eq!(bench.cloud.with(|w| weights(w)).0, (900, 100));
    let host = bench
        .cloud
        .with(|w| w.environments[0].balancers[0].dns_name.to_string());
    let probe = HttpProbe {
        url: format!("http://{host}/"),
        status: Vec::new(),
        body_contains: None,
        timeout: Duration::from_secs(5),
        latency: Duration::from_secs(5),
        redirects: 0,
    };
    let hits = bench.cloud.with(|w| {
        let ours = |sample: &rollout_core::probe::Sample| {
            let images = sample.images.as_ref().expect("it tells its version");
            images.values().any(|digest| digest.to_string() == new)
        };
        (0..2_000).filter(|_| ours(&w.http(&probe))).count()
    });
    assert!((150..=250).contains(&hits), "{hits} of 2000");
    let steps = walk(&bench, number);
    let shares: Vec<u16> = steps.iter().map(|(_, (_, share))| *share).collect();
    assert!(shares.is_sorted() && shares.last() == Some(&1_000));
    let rest = steps
        .iter()
        .find(|(_, (_, share))| *share == 1_000)
        .expect("all of it")
        .0;
    assert!(rest >= 10 * MINUTE - Duration::from_secs(10), "{rest:?}");
}

#[test]
fn without_a_breaker_a_crashing_release_waits_in_scale_up() {
    let crash = Start::CrashAfter {
        millis: 700,
        exit_code: 3,
    };
    let breaker = Breaker {
        enabled: false,
        ..Breaker::default()
    };
    let bench = Bench::new(world(9, crash, |s| {
        s.strategy(Strategy::BlueGreen).breaker(breaker)
    }));
    bench.update("2").expect("nobody else deploys");
    bench.cloud.with(|w| w.pass(60 * MINUTE));
    let number = front(&bench);
    assert_eq!(
        bench.cloud.with(|w| look(w, number)),
        (Some(LifecycleStage::ScaleUp), 0)
    );
    assert_eq!(status(&bench, number).0, RecordStatus::InProgress);
}

#[test]
fn a_deployment_over_another_one_reconciles_first() {
    let bench = Bench::new(blue_green(12));
    bench.update("2").expect("nobody else deploys");
    let first = front(&bench);
    until_stage(&bench, first, LifecycleStage::BakeTime);
    assert_eq!(bench.cloud.with(|w| look(w, first).1), 1_000);
    bench.update("3").expect("nobody else deploys");
    let second = front(&bench);
    assert_eq!(
        status(&bench, first),
        (RecordStatus::Stopped, Some(words::REPLACED.to_owned()))
    );
    let steps = walk(&bench, second);
    assert_eq!(stages(&steps)[0], LifecycleStage::ReconcileService);
    assert_eq!(status(&bench, second).0, RecordStatus::Successful);
    assert_eq!(digests(&bench), [image(&bench, "3")]);
    // What had completed before carried production meanwhile.
    let holder = bench
        .cloud
        .with(|w| w.environments[0].services[0].record(second).expect("kept").blue);
    assert_eq!(holder, Some(1));
}

#[test]
fn a_task_of_the_old_set_that_dies_is_replaced_while_both_run() {
    let bench = Bench::new(blue_green(15));
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::BakeTime);
    bench.cloud.with(|w| {
        let (env, k) = (&mut w.environments[0], &mut w.kernel);
        let old = env.services[0].tasks[0];
        env.stop_task(k, old, crate::ecs::stop::Why::ByUser { reason: None });
        w.pass(2 * MINUTE);
        let env = &w.environments[0];
        assert_eq!(look(w, number).0, Some(LifecycleStage::BakeTime));
        assert_eq!(env.running_and_pending(&env.services[0], 1), (3, 0));
        assert_eq!(env.running_and_pending(&env.services[0], number), (3, 0));
    });
}

#[test]
fn the_wanted_count_may_change_on_the_way() {
    let bench = Bench::new(blue_green(16));
    let more = Incident::Scaled {
        service: "api".into(),
        desired: 5,
    };
    bench.cloud.with(|w| {
        let when = When::deployment_of("api", Duration::from_secs(20));
        w.schedule("prod", when, more).expect("it exists");
    });
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::BakeTime);
    bench.cloud.with(|w| {
        let env = &w.environments[0];
        assert_eq!(env.running_and_pending(&env.services[0], 1).0, 5);
        assert_eq!(env.running_and_pending(&env.services[0], number).0, 5);
    });
    walk(&bench, number);
    assert_eq!(bench.see().running, 5);
}

#[test]
fn a_strategy_without_a_load_balancer_has_stages_and_no_rules() {
    let bench = Bench::new(world_with(17, Start::Ok, |s| s.strategy(Strategy::BlueGreen)));
    bench.update("2").expect("nobody else deploys");
    let steps = walk(&bench, front(&bench));
    assert!(stages(&steps).contains(&LifecycleStage::BakeTime));
    assert_eq!(bench.see().running, 3);
}

#[test]
fn a_service_may_change_its_strategy_between_deployments() {
    let bench = Bench::new(blue_green(18));
    bench.update("2").expect("nobody else deploys");
    walk(&bench, front(&bench));
    bench
        .cloud
        .with(|w| w.environments[0].services[0].plan.strategy = Strategy::Rolling);
    bench.update("3").expect("nobody else deploys");
    let number = front(&bench);
    let steps = walk(&bench, number);
    assert!(stages(&steps).is_empty());
    assert_eq!(digests(&bench), [image(&bench, "3")]);
    // Its tasks are in the group that production traffic goes to.
    assert_eq!(bench.cloud.with(|w| weights(w).0), (0, 100));
    bench.cloud.with(|w| {
        let group = w.environments[0].services[0].alternate.expect("two groups");
        assert_eq!(w.environments[0].healthy(w.kernel.now, group), 3);
    });
}
