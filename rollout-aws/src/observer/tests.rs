use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

use futures_util::future::join_all;
use futures_util::{FutureExt as _, join};
use rollout_core::error::{Applied, Retry};
use rollout_core::id::ServiceName;
use rollout_core::port::Environment as _;
use rollout_core::service::{ServiceChange, ServiceStatus};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::ecs::EcsEnvironment;
use crate::testing::{Answer, Aws, Virtual, context, error, ok};

fn observer() -> Arc<SharedObserver> {
    Arc::new(SharedObserver::new(Arc::new(Virtual::new()), 7))
}

fn of_run(number: usize) -> OpContext {
    OpContext {
        run: format!("run-{number}").parse().expect("an id"),
        ..context()
    }
}

/// A batcher of ten whose calls take 100 ms and are kept.
struct Bench {
    observer: Arc<SharedObserver>,
    batcher: Batcher<String>,
    calls: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            observer: observer(),
            batcher: Batcher::new("ecs:DescribeServices", 10),
            calls: Arc::default(),
        }
    }

    async fn ask(&self, ctx: &OpContext, key: &str) -> Result<(Timestamp, Option<String>), Error> {
        let calls = Arc::clone(&self.calls);
        let call = move |names: Vec<String>| {
            let calls = Arc::clone(&calls);
            async move {
                calls.lock().expect("no panic").push(names.clone());
                tokio::time::sleep(Duration::from_millis(100)).await;
                let of = |name: &str| names.iter().any(|other| other == name);
                if of("poison") {
                    return Err(Error::new(
                        ErrorKind::PermissionDenied,
                        "ecs:DescribeServices",
                        "no",
                    ));
                }
                if of("broken") {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "ecs:DescribeServices",
                        "broken",
                    ));
                }
                let there = names.into_iter().filter(|name| name != "missing");
                Ok(there.map(|name| (name.clone(), format!("{name}'s"))).collect())
            }
        };
        let keys = [key.to_owned()];
        let (sent_at, mut found) = self.batcher.ask(&self.observer, ctx, "c", &keys, call).await?;
        Ok((sent_at, found.remove(key)))
    }

    fn sizes(&self) -> Vec<usize> {
        let calls = self.calls.lock().expect("no panic");
        calls.iter().map(Vec::len).collect()
    }

    fn now(&self) -> Timestamp {
        self.observer.pace().clock().now()
    }
}

#[tokio::test(start_paused = true)]
async fn reads_at_the_same_time_are_as_few_calls_as_the_api_allows() {
    for (many, calls) in [(1, 1), (10, 1), (11, 2), (100, 10)] {
        let bench = Bench::new();
        let asks = (0..many).map(async |n: usize| {
            let key = format!("s{n}");
            let (_, found) = bench.ask(&of_run(n), &key).await.expect("an answer");
            assert_eq!(found, Some(format!("{key}'s")), "everybody gets their own");
        });
        join_all(asks).await;
        assert_eq!(bench.sizes().len(), calls, "{many} of {:?}", bench.sizes());
        assert_eq!(bench.sizes().iter().sum::<usize>(), many);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_never_older_than_the_ask() {
    let bench = Bench::new();
    let (first, second) = (of_run(1), of_run(2));
    let begun = bench.now();
    let late = async {
        // The first call is under way: it was sent after 250 ms and takes 100.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked_at = bench.now();
        let (sent_at, _) = bench.ask(&second, "a").await.expect("an answer");
        assert!(sent_at >= asked_at);
    };
    let (early, ()) = join!(bench.ask(&first, "a"), late);
    assert_eq!(early.expect("an answer").0, begun.after(GATHER));
    assert_eq!(bench.sizes(), [1, 1], "the same item, asked for twice");
}

#[tokio::test(start_paused = true)]
async fn a_way_back_does_not_wait_for_others_and_one_that_is_alone_does_not_either() {
    let bench = Bench::new();
    let back = OpContext {
        priority: Priority::Back,
        ..of_run(1)
    };
    let begun = bench.now();
    let (sent_at, _) = bench.ask(&back, "a").await.expect("an answer");
    assert_eq!(sent_at, begun.after(GATHER / 10));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begun = bench.now();
    let (sent_at, _) = bench.ask(&of_run(1), "a").await.expect("an answer");
    assert_eq!(sent_at, begun, "nobody else has asked for ten seconds");
    let (sent_at, _) = bench.ask(&of_run(2), "a").await.expect("an answer");
    assert!(sent_at >= begun.after(GATHER), "now there are two");
}

#[tokio::test(start_paused = true)]
async fn who_leads_and_is_dropped_stops_nobody() {
    let bench = Bench::new();
    let (first, second) = (of_run(1), of_run(2));
    let mut leader = Box::pin(bench.ask(&first, "a"));
    assert!((&mut leader).now_or_never().is_none(), "it waits for others");
    let mut other = Box::pin(bench.ask(&second, "b"));
    assert!((&mut other).now_or_never().is_none(), "it has joined");
    drop(leader);
    let (_, found) = other.await.expect("an answer");
    assert_eq!(found.as_deref(), Some("b's"));
    assert_eq!(bench.sizes(), [2]);
    // One that nobody waits for any more is not sent.
    let mut leader = Box::pin(bench.ask(&first, "a"));
    assert!((&mut leader).now_or_never().is_none());
    drop(leader);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.sizes(), [2]);
}

#[tokio::test(start_paused = true)]
async fn what_one_item_is_refused_for_does_not_hurt_the_others() {
    let bench = Bench::new();
    let ask = async |n: usize, key: &'static str| bench.ask(&of_run(n), key).await;
    let (good, poison, missing) = join!(ask(1, "a"), ask(2, "poison"), ask(3, "missing"));
    assert_eq!(good.expect("an answer").1.as_deref(), Some("a's"));
    assert_eq!(
        poison.expect_err("it is refused").kind,
        ErrorKind::PermissionDenied
    );
    assert_eq!(missing.expect("an answer").1, None);
    assert_eq!(bench.sizes(), [3, 1, 1, 1], "each alone, once");
    let spent = bench.observer.spent();
    assert_eq!(
        spent["ecs:DescribeServices"].calls, 4,
        "all of them were let through"
    );
    // One that failed on the way is everybody's error, and nobody repeats it here.
    let (one, other) = join!(ask(1, "a"), ask(2, "broken"));
    for failed in [one, other] {
        let failed = failed.expect_err("the call failed");
        assert_eq!(
            (failed.kind, failed.retry),
            (ErrorKind::Unavailable, Retry::Later)
        );
    }
    assert_eq!(bench.sizes()[4..], [2]);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_time_left_is_told_so_and_the_others_wait_on() {
    let bench = Bench::new();
    let hurried = OpContext {
        deadline: bench.now().after(Duration::from_millis(200)),
        ..of_run(1)
    };
    let patient = of_run(2);
    let (hurried, patient) = join!(bench.ask(&hurried, "a"), bench.ask(&patient, "b"));
    let late = hurried.expect_err("200 ms are not enough");
    assert_eq!((late.kind, late.applied), (ErrorKind::TimedOut, Applied::No));
    assert_eq!(patient.expect("an answer").1.as_deref(), Some("b's"));
}

#[tokio::test(start_paused = true)]
async fn while_the_bucket_is_dry_more_join() {
    let clock = Arc::new(Virtual::new());
    let limit = Limit::new("ecs", &["DescribeServices"], 2, 1);
    let bench = Bench {
        observer: Arc::new(SharedObserver::with_limits(clock, vec![limit], 7)),
        ..Bench::new()
    };
    let one = async |n: usize| {
        // One every 300 ms: each would be a call of its own.
        tokio::time::sleep(Duration::from_millis(300) * u32::try_from(n).expect("small")).await;
        bench.ask(&of_run(n), &format!("s{n}")).await.expect("an answer");
    };
    join_all((0..12).map(one)).await;
    let sizes = bench.sizes();
    assert!(sizes.len() <= 5, "a token a second: {sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 12);
}

fn service(name: &Value) -> Value {
    json!({ "serviceName": name, "status": "ACTIVE", "desiredCount": 1, "runningCount": 1, "pendingCount": 0, "deployments": [] })
}

fn environment(aws: &Aws, observer: &Arc<SharedObserver>) -> EcsEnvironment {
    EcsEnvironment::from_config(&aws.config(), "prod", aws.guard()).shared(observer)
}

#[tokio::test(start_paused = true)]
async fn a_thing_that_is_wrong_with_one_service_is_its_own() {
    let aws = Aws::new(|operation, body| match operation {
        "DescribeServices" => {
            let asked = body["services"].as_array().expect("names");
            let (mut services, mut failures) = (Vec::new(), Vec::new());
            for name in asked {
                let arn = format!(
                    "arn:aws:ecs:eu-central-1:123456789012:service/prod/{}",
                    name.as_str().expect("text")
                );
                match name.as_str() {
                    Some("gone") => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
                    Some("odd") => failures.push(json!({ "arn": arn, "reason": "INACCESSIBLE" })),
                    _ => services.push(service(name)),
                }
            }
            ok(json!({ "services": services, "failures": failures }))
        }
        _ => ok(json!({ "taskArns": [] })),
    });
    let observer = observer();
    let environment = environment(&aws, &observer);
    let look = async |n: usize, name: &str| {
        let name: ServiceName = name.parse().expect("a name");
        environment.observe_service(&of_run(n), &name).await
    };
    let (good, gone, odd) = join!(look(1, "api"), look(2, "gone"), look(3, "odd"));
    assert_eq!(good.expect("it is there").status, ServiceStatus::Active);
    assert_eq!(gone.expect("it was looked for").status, ServiceStatus::Missing);
    let odd = odd.expect_err("it cannot be described");
    assert!(odd.context.contains("odd: INACCESSIBLE"), "{odd}");
    assert_eq!(aws.bodies("DescribeServices").len(), 1);
    assert_eq!(observer.spent()["ecs:DescribeServices"].calls, 1);
    assert_eq!(observer.spent()["ecs:ListTasks"].calls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_one_too_many_empties_the_bucket() {
    let left = Arc::new(AtomicUsize::new(1));
    let refused = Arc::clone(&left);
    let aws = Aws::new(move |operation, _| -> Answer {
        let refuse = operation == "DescribeServices"
            && refused
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok();
        if refuse {
            error(400, "ThrottlingException")
        } else {
            ok(json!({ "services": [], "failures": [] }))
        }
    });
    let observer = observer();
    let environment = environment(&aws, &observer);
    let api: ServiceName = "api".parse().expect("a name");
    let throttled = environment.observe_service(&of_run(1), &api).await;
    assert_eq!(throttled.expect_err("it is refused").kind, ErrorKind::Throttled);
    let spent = &observer.spent()["ecs:DescribeServices"];
    assert_eq!((spent.calls, spent.throttled), (1, 1));
    let begun = Instant::now();
    let seen = environment.observe_service(&of_run(2), &api).await;
    assert_eq!(seen.expect("an answer").status, ServiceStatus::Missing);
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_made_in_time_is_not_made() {
    let aws = Aws::new(|_, _| ok(json!({})));
    let limit = Limit::new("ecs", &["StopTask"], 1, 1);
    let clock: Arc<dyn Clock> = Arc::new(Virtual::new());
    let observer = Arc::new(SharedObserver::with_limits(Arc::clone(&clock), vec![limit], 7));
    let environment = environment(&aws, &observer);
    let task = "arn:aws:ecs:eu-central-1:123456789012:task/prod/1"
        .parse()
        .expect("an ARN");
    let hurried = OpContext {
        deadline: clock.now().after(Duration::from_millis(400)),
        ..of_run(1)
    };
    environment
        .stop_task(&hurried, &task)
        .await
        .expect("the first one goes");
    let late = environment
        .stop_task(&hurried, &task)
        .await
        .expect_err("no token in time");
    assert_eq!(
        (late.kind, late.retry, late.applied),
        (ErrorKind::Throttled, Retry::Later, Applied::No)
    );
    assert!(late.context.contains("have the quota raised"), "{late}");
    assert_eq!(aws.bodies("StopTask").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_is_guarded_by_looks_that_were_made_after_its_turn_came() {
    let begun = Instant::now();
    let said: Arc<Mutex<Vec<(Duration, String)>>> = Arc::default();
    let heard = Arc::clone(&said);
    let aws = Aws::new(move |operation, body| {
        heard
            .lock()
            .expect("no panic")
            .push((begun.elapsed(), operation.to_owned()));
        match operation {
            "DescribeServices" => {
                let mut found = service(&body["services"][0]);
                found["deployments"] = json!([{
                    "id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": "arn:aws:ecs:eu-central-1:1:task-definition/a:1",
                    "desiredCount": 1, "runningCount": 1, "pendingCount": 0, "rolloutState": "COMPLETED",
                    "createdAt": 1_763_683_200, "updatedAt": 1_763_683_200,
                }]);
                ok(json!({ "services": [found], "failures": [] }))
            }
            // What becomes of it does not matter here.
            _ => error(400, "InvalidParameterException"),
        }
    });
    let limit = Limit::new("ecs", &["UpdateService"], 1, 1);
    let clock: Arc<dyn Clock> = Arc::new(Virtual::new());
    let observer = Arc::new(SharedObserver::with_limits(clock, vec![limit], 7).gathering(Duration::ZERO));
    let environment = environment(&aws, &observer);
    let update = async |n: usize| {
        let change = ServiceChange {
            service: format!("s{n}").parse().expect("a name"),
            task_definition: "arn:aws:ecs:eu-central-1:1:task-definition/a:2"
                .parse()
                .expect("an ARN"),
            assumes: Some("ecs-svc/1".parse().expect("an id")),
        };
        let ended = environment.update_service(&of_run(n), &change).await;
        assert_eq!(ended.expect_err("it is refused").kind, ErrorKind::InvalidRequest);
    };
    join!(update(1), update(2));
    let said = said.lock().expect("no panic");
    let at = |wanted: &str| -> Vec<u64> {
        let of = said.iter().filter(|(_, operation)| operation == wanted);
        of.map(|(at, _)| at.as_secs()).collect()
    };
    assert_eq!(at("DescribeServices"), [0, 1]);
    assert_eq!(at("UpdateService"), [0, 1]);
}
