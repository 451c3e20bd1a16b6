//! Every way back of a deployment in stages.

use core::time::Duration;

use rollout_core::service::{DeploymentRole, RecordStatus, RolloutState};

use crate::behaviour::Start;
use crate::ecs::deployment::GivenUp;
use crate::ecs::record::{HookStatus, words};
use crate::incident::{Incident, When};
use crate::testkit::Bench;
use crate::{Hook, HookAction, LifecycleStage, Strategy};

use super::staged::{
    MINUTE, blue_green, digests, front, image, look, status, until_stage, walk, weights, world,
};
use super::{failures, settled};

/// Asks for the rollback of the deployment under way.
fn stop(bench: &Bench, number: u32) {
    bench.cloud.with(|w| {
        let (env, k) = (&mut w.environments[0], &mut w.kernel);
        let arn = env.services[0].record(number).expect("kept").arn.to_string();
        env.stop_service_deployment(k, &arn, Some("ROLLBACK"))
            .expect("it can be stopped");
    });
}

#[test]
fn a_pause_waits_for_its_answer_and_at_last_for_its_time_out() {
    let stage = LifecycleStage::PostTestTrafficShift;
    let run = |then: HookAction| {
        let hook = Hook::pause([stage]).timeout(30, then);
        let bench = Bench::new(world(6, Start::Ok, |s| {
            s.strategy(Strategy::BlueGreen).hook(hook)
        }));
        bench.update("2").expect("nobody else deploys");
        let number = front(&bench);
        until_stage(&bench, number, stage);
        bench.cloud.with(|w| w.pass(29 * MINUTE));
        let run = bench.cloud.with(|w| {
            let record = w.environments[0].services[0].record(number).expect("kept");
            assert_eq!(record.stage, Some(stage));
            record.hooks[0].clone()
        });
        assert_eq!(run.status, HookStatus::AwaitingAction);
        walk(&bench, number);
        (status(&bench, number), digests(&bench) == [image(&bench, "2")])
    };
    assert_eq!(
        run(HookAction::Continue),
        ((RecordStatus::Successful, None), true)
    );
    let reason = "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.";
    let rolled_back = (RecordStatus::RollbackSuccessful, Some(reason.to_owned()));
    assert_eq!(run(HookAction::Rollback), (rolled_back, false));
}

#[test]
fn a_function_that_fails_takes_the_deployment_back_and_one_that_succeeds_lets_it_on() {
    let run = |name: &str| {
        let arn = format!("arn:aws:lambda:eu-central-1:111111111111:function:{name}");
        let hook = Hook::lambda(&arn, [LifecycleStage::ProductionTrafficShift]);
        let bench = Bench::new(world(7, Start::Ok, |s| {
            s.strategy(Strategy::BlueGreen).hook(hook)
        }));
        bench.update("2").expect("nobody else deploys");
        let number = front(&bench);
        walk(&bench, number);
        (status(&bench, number).0, bench.cloud.with(|w| weights(w).0))
    };
    assert_eq!(run("accepts"), (RecordStatus::Successful, (0, 100)));
    // It failed after traffic had moved: traffic is where it was.
    assert_eq!(run("refuses"), (RecordStatus::RollbackSuccessful, (100, 0)));
}

#[test]
fn a_release_that_crashes_never_gets_traffic() {
    let crash = Start::CrashAfter {
        millis: 700,
        exit_code: 3,
    };
    let bench = Bench::new(world(8, crash, |s| s.strategy(Strategy::BlueGreen)));
    let started = bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    let steps = walk(&bench, number);
    assert!(steps.iter().all(|(_, (_, share))| *share == 0), "{steps:?}");
    assert_eq!(
        status(&bench, number),
        (RecordStatus::RollbackSuccessful, Some(words::BREAKER.to_owned()))
    );
    let seen = bench.see();
    assert_eq!((seen.running, failures(&seen).len() >= 3), (3, true));
    let ours = bench.deployment(&started);
    assert_eq!(
        (ours.role, ours.rollout),
        (DeploymentRole::Inactive, RolloutState::Failed)
    );
    let events = bench.events();
    assert!(
        events
            .iter()
            .any(|e| e.ends_with("deployment failed: tasks failed to start.")),
        "{events:?}"
    );
}

#[test]
fn a_rollback_in_bake_time_moves_traffic_back_before_any_task_stops() {
    let bench = Bench::new(blue_green(10));
    let blue = image(&bench, "1");
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::BakeTime);
    stop(&bench, number);
    let mut back = Vec::new();
    bench.cloud.with(|w| {
        let end = w.now().after(60 * MINUTE);
        w.advance_until(end, |w| {
            let env = &w.environments[0];
            let service = &env.services[0];
            let record = service.record(number).expect("kept");
            if record.status == RecordStatus::RollbackInProgress {
                back.extend(record.stage.filter(|s| back.last() != Some(s)));
            }
            let (new, _) = env.running_and_pending(service, number);
            let share = service.traffic.production_of(number).unwrap_or(0);
            assert!(share == 0 || new == 3, "{new} tasks have {share}");
            record.is_over()
        })
    });
    use LifecycleStage as S;
    assert_eq!(
        back,
        [
            S::ScaleUp,
            S::ProductionTrafficShift,
            S::TestTrafficShift,
            S::CleanUp
        ]
    );
    assert_eq!(
        status(&bench, number),
        (RecordStatus::RollbackSuccessful, Some(words::USER.to_owned()))
    );
    assert_eq!(digests(&bench), [blue]);
    assert_eq!(bench.cloud.with(|w| weights(w)), ((100, 0), (100, 0)));
    let seen = bench.see();
    assert!(settled(&seen) && seen.running == 3);
}

#[test]
fn a_rollback_during_clean_up_makes_the_old_set_whole_first() {
    let bench = Bench::new(blue_green(11));
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::CleanUp);
    // Some of the old tasks have gone already.
    bench.until("an old task stops", |s| s.running < 6);
    stop(&bench, number);
    bench.cloud.with(|w| {
        let end = w.now().after(60 * MINUTE);
        let over = w.advance_until(end, |w| {
            let env = &w.environments[0];
            let service = &env.services[0];
            let (old, _) = env.running_and_pending(service, 1);
            let share = service.traffic.production_of(1).unwrap_or(0);
            let back = service.record(number).expect("kept").status == RecordStatus::RollbackInProgress;
            assert!(!back || share == 0 || old == 3, "{old} tasks have {share}");
            service.record(number).is_some_and(|r| r.is_over())
        });
        assert!(over);
    });
    assert_eq!(status(&bench, number).0, RecordStatus::RollbackSuccessful);
    assert_eq!(digests(&bench), [image(&bench, "1")]);
}

#[test]
fn the_first_deployment_has_all_traffic_and_no_way_back() {
    let stage = LifecycleStage::PreScaleUp;
    let hook = Hook::pause([stage]).timeout(1, HookAction::Rollback);
    let bench = Bench::new(world(13, Start::Ok, |s| {
        s.strategy(Strategy::BlueGreen).hook(hook).just_created()
    }));
    let number = front(&bench);
    assert_eq!(bench.cloud.with(|w| look(w, number).1), 1_000);
    walk(&bench, number);
    let (record, reason) = status(&bench, number);
    assert_eq!(record, RecordStatus::RollbackFailed);
    assert_eq!(
        reason.as_deref(),
        Some("No rollback candidate was found to run the rollback.")
    );
    let seen = bench.see();
    assert_eq!(seen.primary().expect("listed").rollout, RolloutState::Failed);
    let events = bench.events();
    let said =
        "deployment failed: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed.";
    assert!(events.iter().any(|e| e.ends_with(said)), "{events:?}");
}

#[test]
fn a_rule_that_is_gone_takes_the_deployment_back() {
    let bench = Bench::new(blue_green(14));
    bench.cloud.with(|w| {
        let env = &mut w.environments[0];
        let listener = env.balancers[0].listeners[1].arn.clone();
        env.delete_listener(&listener).expect("it exists");
    });
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    walk(&bench, number);
    let (record, reason) = status(&bench, number);
    assert_eq!(record, RecordStatus::RollbackSuccessful);
    let reason = reason.expect("it says why");
    assert!(reason.contains("invalid networking configuration"), "{reason}");
    assert_eq!(bench.see().running, 3);
}

#[test]
fn a_way_back_that_fails_too_ends_without_a_candidate() {
    let bench = Bench::new(blue_green(19));
    bench.update("2").expect("nobody else deploys");
    let number = front(&bench);
    until_stage(&bench, number, LifecycleStage::CleanUp);
    bench.until("the old tasks stop", |s| s.running == 3);
    bench.cloud.with(|w| {
        let start = Start::CrashAfter {
            millis: 400,
            exit_code: 1,
        };
        let service = "api".to_owned();
        let all = Incident::Everything { service, start };
        w.schedule("prod", When::After(Duration::ZERO), all)
            .expect("it exists");
        w.pass(Duration::from_millis(1));
        let (env, k) = (&mut w.environments[0], &mut w.kernel);
        env.give_up(k, 0, &GivenUp::User);
    });
    walk(&bench, number);
    assert_eq!(
        status(&bench, number),
        (RecordStatus::RollbackFailed, Some(words::NO_CANDIDATE.to_owned()))
    );
    let seen = bench.see();
    assert_eq!(seen.primary().expect("listed").rollout, RolloutState::Failed);
    // Production stays with the set that runs.
    assert_eq!(seen.running, 3);
    assert_eq!(bench.cloud.with(|w| look(w, number).1), 1_000);
}

#[test]
fn people_answer_pauses_and_stop_deployments_by_script() {
    let pause = || {
        Hook::pause([
            LifecycleStage::PostScaleUp,
            LifecycleStage::PreProductionTrafficShift,
        ])
    };
    let run = |incidents: Vec<(u64, Incident)>| {
        let bench = Bench::new(world(20, Start::Ok, |s| {
            s.strategy(Strategy::BlueGreen).hook(pause())
        }));
        bench.cloud.with(|w| {
            for (minutes, incident) in incidents {
                let when = When::deployment_of("api", Duration::from_secs(minutes * 60));
                w.schedule("prod", when, incident).expect("it exists");
            }
        });
        bench.update("2").expect("nobody else deploys");
        let number = front(&bench);
        walk(&bench, number);
        status(&bench, number)
    };
    let answer = |action| Incident::PauseAnswered {
        service: "api".into(),
        action,
    };
    let stopped = Incident::DeploymentStopped {
        service: "api".into(),
    };
    let go_on = || answer(HookAction::Continue);
    assert_eq!(
        run(vec![(10, go_on()), (20, go_on())]),
        (RecordStatus::Successful, None)
    );
    let (record, reason) = run(vec![(10, go_on()), (20, answer(HookAction::Rollback))]);
    assert_eq!(record, RecordStatus::RollbackSuccessful);
    assert_eq!(reason, Some(words::hook("PRE_PRODUCTION_TRAFFIC_SHIFT")));
    let by_user = (RecordStatus::RollbackSuccessful, Some(words::USER.to_owned()));
    assert_eq!(run(vec![(10, stopped)]), by_user);
}
