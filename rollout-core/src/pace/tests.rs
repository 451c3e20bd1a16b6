use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Context;
use std::task::Wake;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn pacer(limits: &[Limit]) -> Pacer {
    Pacer::new(limits.to_vec(), 7, at(0))
}

#[test]
fn the_table_is_what_the_documents_say() {
    let limits = documented();
    let of = |service: &str, operation: &str| -> Vec<(u32, u32)> {
        let held = limits.iter().filter(|limit| limit.holds(service, operation));
        held.map(|limit| (limit.burst, limit.per_second)).collect()
    };
    for (operation, burst, rate) in [
        ("RegisterTaskDefinition", 20, 1),
        ("UpdateService", 50, 5),
        ("DescribeServices", 100, 20),
        ("DescribeTasks", 100, 20),
        ("ListTasks", 100, 20),
        ("ListServiceDeployments", 50, 20),
        ("DescribeServiceRevisions", 50, 20),
        ("DescribeTaskDefinition", 50, 20),
        ("RunTask", 100, 40),
    ] {
        assert_eq!(of("ecs", operation), [(burst, rate)], "{operation}");
    }
    let elb = "elasticloadbalancing";
    assert_eq!(of(elb, "DescribeTargetHealth"), [(40, 10), (40, 10)]);
    assert_eq!(of(elb, "ModifyRule"), [(40, 10), (20, 3)]);
    assert_eq!(of(elb, "RegisterTargets"), [(40, 10), (20, 4)]);
    assert_eq!(of("route53", "ChangeResourceRecordSets"), [(50, 10)]);
    assert_eq!(of("monitoring", "DescribeAlarms"), [(9, 9)]);
    assert_eq!(of("monitoring", "GetMetricData"), [(500, 500)]);
    assert_eq!(of("ecr", "PutImage"), [(10, 10)]);
    assert_eq!(of("ec2", "DescribeSubnets"), [(100, 20)]);
    assert_eq!(of("rds", "DescribeDBInstances"), [(300, 12)]);
    assert_eq!(of("wafv2", "GetWebACLForResource"), [(1, 1)]);
    assert_eq!(of("iam", "GetRole"), []);
    assert_eq!(of("ecs", "ListClusters"), []);
    let half = Limit::new("ecs", &["UpdateService"], 50, 5).part(50);
    assert_eq!((half.burst, half.per_second), (25, 2));
    assert_eq!(half.part(1).per_second, 1, "a part of something is never nothing");
}

#[test]
fn buckets_that_share_calls_share_the_wait() {
    let mut pacer = pacer(&[
        Limit::new("elb", &[], 5, 4),
        Limit::new("elb", &["Modify*"], 2, 1),
    ]);
    let ask = |pacer: &mut Pacer, operation, priority| pacer.ask("elb", operation, priority);
    // One less than documented of each is used: four, and one.
    let first = ask(&mut pacer, "ModifyRule", Priority::Forward);
    let second = ask(&mut pacer, "ModifyRule", Priority::Forward);
    let looks: Vec<_> = (0..6)
        .map(|_| ask(&mut pacer, "DescribeRules", Priority::Look))
        .collect();
    // The second change waits for its own bucket, and does not keep the looks from the one that they share.
    assert_eq!(pacer.grant(at(0)), [&[first][..], &looks[..3]].concat());
    assert_eq!(pacer.grant(at(250)), looks[3..4]);
    assert_eq!(pacer.due(second), Some(at(1_000)));
    assert_eq!(pacer.due(looks[4]), Some(at(500)));
    assert_eq!(pacer.due(looks[5]), None, "it is not the next of its kind");
    // When its bucket has a token the change goes before the looks, though they could have gone, too.
    assert_eq!(pacer.grant(at(1_000)), [second, looks[4], looks[5]]);
}

#[test]
fn a_way_back_goes_first_among_calls_of_other_kinds_too() {
    let mut pacer = pacer(&[
        Limit::new("elb", &[], 5, 4),
        Limit::new("elb", &["Modify*"], 20, 4),
    ]);
    let looks: Vec<_> = (0..6)
        .map(|_| pacer.ask("elb", "DescribeRules", Priority::Look))
        .collect();
    assert_eq!(pacer.grant(at(0)), looks[..4]);
    // It asks last, and takes from the bucket that the looks wait for.
    let back = pacer.ask("elb", "ModifyRule", Priority::Back);
    assert_eq!(pacer.grant(at(250)), [back]);
    assert_eq!(pacer.grant(at(750)), looks[4..]);
}

#[test]
fn what_is_not_limited_goes_at_once_and_what_was_given_up_does_not() {
    let mut pacer = pacer(&[Limit::new("ecs", &["UpdateService"], 2, 1)]);
    let free: Vec<_> = (0..50)
        .map(|_| pacer.ask("ecs", "ListClusters", Priority::Look))
        .collect();
    assert_eq!(pacer.grant(at(0)), free);
    let update = |pacer: &mut Pacer| pacer.ask("ecs", "UpdateService", Priority::Forward);
    let asked: Vec<_> = (0..3).map(|_| update(&mut pacer)).collect();
    pacer.cancel(asked[0]);
    assert_eq!(pacer.grant(at(0)), [asked[1]]);
    assert_eq!(pacer.heads(), [asked[2]]);
    assert_eq!(pacer.waiting(), 1);
}

#[test]
fn a_second_try_and_a_throttled_call_are_paid_for() {
    let mut pacer = pacer(&[Limit::new("ecs", &["UpdateService"], 10, 2)]);
    for _ in 0..11 {
        pacer.charge(at(0), "ecs", "UpdateService");
    }
    // Nine were there: two are owed.
    let ask = pacer.ask("ecs", "UpdateService", Priority::Forward);
    assert_eq!(pacer.grant(at(0)), []);
    assert_eq!(pacer.due(ask), Some(at(1_500)));
    assert_eq!(pacer.grant(at(1_500)), [ask]);
    let waits = |seed: u64| {
        let mut pacer = Pacer::new(vec![Limit::new("ecs", &["UpdateService"], 10, 2)], seed, at(0));
        pacer.throttled(at(0), "ecs", "UpdateService");
        let ask = pacer.ask("ecs", "UpdateService", Priority::Back);
        assert_eq!(pacer.grant(at(0)), [], "a full bucket is empty after that");
        pacer.due(ask).expect("it is the next").since(at(0))
    };
    let all: BTreeSet<_> = (0..20).map(waits).collect();
    assert!(all.len() > 15, "runners come back apart from each other: {all:?}");
    assert!(all.iter().all(|wait| (1_000..=2_000).contains(&wait.as_millis())));
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        Just(Priority::Back),
        Just(Priority::Forward),
        Just(Priority::Look)
    ]
}

proptest! {
    /// Over any span no more than the burst and what has flowed in since, whatever is asked, given up and throttled (L-6).
    #[test]
    fn never_more_than_the_bucket(
        burst in 1_u32..20, rate in 1_u32..10,
        steps in prop::collection::vec((0_u64..700, 0_usize..6, priority(), prop::option::weighted(0.1, Just(()))), 1..100),
    ) {
        let mut pacer = pacer(&[Limit::new("s", &["A*"], burst, rate)]);
        let (mut now, mut given, mut last) = (0, Vec::new(), None);
        for (pause, asks, priority, upset) in steps {
            now += pause;
            for _ in 0..asks {
                last = Some(pacer.ask("s", "Ab", priority));
            }
            if upset.is_some() {
                pacer.throttled(at(now), "s", "Ab");
                last.into_iter().for_each(|ticket| pacer.cancel(ticket));
            }
            given.extend(pacer.grant(at(now)).into_iter().map(|_| now));
            for (n, from) in given.iter().enumerate() {
                let taken = u64::try_from(given.len() - n).expect("few") * 1_000;
                prop_assert!(taken <= u64::from(burst) * 1_000 + (now - from) * u64::from(rate));
            }
        }
    }

    /// A way back waits for its bucket alone, however many others wait (L-2).
    #[test]
    fn a_way_back_waits_for_its_bucket_alone(rate in 1_u32..40, burst in 1_u32..100, others in 0_usize..500, after in 0_u64..60_000) {
        let mut pacer = pacer(&[Limit::new("s", &[], burst, rate)]);
        for n in 0..others {
            pacer.ask("s", "Read", if n % 2 == 0 { Priority::Look } else { Priority::Forward });
        }
        let mut now = 0;
        while now < after {
            pacer.grant(at(now));
            now += 97;
        }
        pacer.grant(at(now));
        let back = pacer.ask("s", "Write", Priority::Back);
        let due = pacer.due(back).expect("it is the next");
        prop_assert!(due.since(at(now)).as_millis() <= u128::from(1_000_u32.div_ceil(rate)));
        let granted = pacer.grant(due.max(at(now)));
        prop_assert_eq!(granted.first(), Some(&back));
    }

    /// Each of N gets its turn within N / rate, in the order of asking (L-5).
    #[test]
    fn nobody_starves_among_equals(rate in 1_u32..40, burst in 1_u32..100, many in 1_u32..400) {
        let mut pacer = pacer(&[Limit::new("s", &[], burst, rate)]);
        let asked: Vec<_> = (0..many).map(|_| pacer.ask("s", "Read", Priority::Look)).collect();
        let (mut now, mut granted) = (at(0), pacer.grant(at(0)));
        while granted.len() < asked.len() {
            let head = asked[granted.len()];
            let due = pacer.due(head).expect("the next one that asked is the next one to go");
            prop_assert!(due > now, "time goes on");
            now = due;
            granted.extend(pacer.grant(now));
        }
        prop_assert_eq!(granted, asked);
        // One tick for each, because moments are whole milliseconds.
        let most = u128::from(many) * u128::from(1_000_u32.div_ceil(rate));
        prop_assert!(now.since(at(0)).as_millis() <= most);
    }
}

/// Time that moves to the next sleeper when nobody has anything else to do.
#[derive(Clone)]
struct Virtual(Arc<(AtomicU64, Mutex<Sleepers>)>);

/// Who sleeps until when, in milliseconds.
type Sleepers = BTreeMap<u64, Vec<Waker>>;

impl Virtual {
    fn new() -> Self {
        Self(Arc::new((AtomicU64::new(at(0).as_millis()), Mutex::default())))
    }

    /// Runs a future to its end.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        struct Flag;
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {}
        }
        let waker = Waker::from(Arc::new(Flag));
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            let (time, sleepers) = &*self.0;
            let next = sleepers.lock().expect("no panic").pop_first();
            let (moment, wakers) = next.expect("everybody waits, and nobody for time");
            time.fetch_max(moment, Ordering::Relaxed);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[async_trait]
impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, moment: Timestamp) {
        poll_fn(|cx| {
            if self.now() >= moment {
                return Poll::Ready(());
            }
            let mut sleepers = self.0.1.lock().expect("no panic");
            sleepers
                .entry(moment.as_millis())
                .or_default()
                .push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn pace(clock: &Virtual, limits: Vec<Limit>) -> Pace {
    Pace::new(Arc::new(clock.clone()), limits, 7)
}

#[test]
fn all_that_wait_are_let_through_at_the_buckets_rate() {
    let clock = Virtual::new();
    let pace = pace(&clock, vec![Limit::new("ecs", &["UpdateService"], 50, 5)]);
    let calls = (0..1_000).map(|_| pace.admit("ecs", "UpdateService", Priority::Forward, Timestamp::MAX));
    let done = clock.run(join_all(calls));
    assert!(done.iter().all(Result::is_ok));
    // 48 at once, and then five a second.
    assert_eq!(
        clock.now().since(at(0)),
        Duration::from_millis((1_000 - 48) * 200)
    );
    let spent = &pace.spent()["ecs:UpdateService"];
    assert_eq!((spent.calls, spent.throttled), (1_000, 0));
    assert_eq!(spent.longest, clock.now().since(at(0)));
}

#[test]
fn one_that_is_late_or_dropped_keeps_nobody_waiting() {
    let clock = Virtual::new();
    let pace = pace(&clock, vec![Limit::new("ecs", &["UpdateService"], 2, 1)]);
    let ask = |until| pace.admit("ecs", "UpdateService", Priority::Forward, until);
    clock.run(async {
        ask(Timestamp::MAX).await.expect("the first is there");
        let hurried = ask(at(400));
        let patient = ask(Timestamp::MAX);
        let (hurried, patient) = join(hurried, patient).await;
        let late = hurried.expect_err("no token within 400 ms");
        assert_eq!(late.waited, Duration::from_millis(400));
        assert_eq!(
            late.to_string(),
            "no room for the call within 400ms (1 others wait)"
        );
        patient.expect("its turn comes");
        assert_eq!(clock.now(), at(1_000));
        // Dropped while it waits at the head: the next one, which is polled only when it is woken, must set a timer.
        let mut head = Box::pin(ask(Timestamp::MAX));
        poll_fn(|cx| {
            assert!(head.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let mut next: FuturesUnordered<_> = [ask(Timestamp::MAX)].into_iter().collect();
        let drops = async {
            clock.sleep_until(at(1_100)).await;
            drop(head);
        };
        let (moved_up, ()) = join(next.next(), drops).await;
        assert_eq!(moved_up, Some(Ok(())));
        assert_eq!(clock.now(), at(2_000));
    });
}

#[test]
fn a_way_back_goes_before_all_that_wait() {
    let clock = Virtual::new();
    let pace = pace(&clock, vec![Limit::new("ecs", &["UpdateService"], 10, 5)]);
    let order = Mutex::new(Vec::new());
    let one = async |name: &'static str, priority| {
        let admitted = pace.admit("ecs", "UpdateService", priority, Timestamp::MAX).await;
        admitted.expect("its turn comes");
        order.lock().expect("no panic").push((name, clock.now()));
    };
    clock.run(async {
        let forward = join_all((0..20).map(|_| one("forward", Priority::Forward)));
        let back = async {
            clock.sleep_until(at(50)).await;
            one("back", Priority::Back).await;
        };
        join(forward, back).await;
    });
    let order = order.into_inner().expect("no panic");
    let place = order.iter().position(|(name, _)| *name == "back");
    // Eight have gone at once; the next token, after 200 ms, is its.
    assert_eq!(place, Some(8));
    assert_eq!(order[8].1, at(200));
}
