//! How soon an end is noticed, and for how many calls: even polling, polling that adapts, and events from a queue. One service,
//! through `rollout-aws` and the real SDK, over the simulated cloud's endpoint, on virtual time.
//!
//! The figures that it prints are those of `docs/benchmarks.md`:
//! ```sh
//! cargo test --package rollout-tests --features endpoint --test push -- --nocapture
//! ```

mod together;

use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::StreamExt as _;
use rollout_aws::sqs::{EventQueue, Interest};
use rollout_core::hint::hints;
use rollout_core::journal::{Body, MemoryJournal, Record, replay};
use rollout_core::machine::deployment::{self, Pace};
use rollout_core::machine::rollout::{Action, Effect, Event, Outcome};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_core::service::RolloutState;
use rollout_core::time::Timestamp;
use rollout_sim::endpoint::{Endpoint, InProcess};
use rollout_sim::{Behaviour, Delivery, EnvironmentBuilder, SimCloud, Start, World};
use rollout_tests::run::{drive_through, fresh, storefront};
use rollout_tests::wired::{self, on_virtual_time};

const QUEUE: &str = "shop-production";
const SERVICE: &str = "backend";

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    /// How the new tasks start.
    good: bool,
    poll: Duration,
    pace: Option<Pace>,
    /// How events come, if there is a queue at all.
    queue: Option<Delivery>,
    /// The queue is deleted after so long.
    lost_after: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Debug)]
struct Measured {
    outcome: Outcome,
    /// From the update to the platform's verdict.
    took: Duration,
    /// From the platform's verdict to the next event of the machine that follows from it.
    noticed: Duration,
    /// Calls of AWS APIs from the start to the notice, those to SQS not counted.
    calls: usize,
    /// Looks at the service.
    looks: usize,
    sqs: usize,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Six tasks that are replaced one by one, which takes about five minutes. A deployment like that was made before.
fn world(case: &Case) -> World {
    let start = if case.good {
        Behaviour::default()
    } else {
        Behaviour::starting(Start::CrashAfter {
            millis: 4_000,
            exit_code: 1,
        })
    };
    let describe = |e: EnvironmentBuilder, account: &str, tag: &str, start: &Behaviour| {
        e.account(account)
            .image("storefront/backend", "2.3.0")
            .image_that("storefront/backend", "2.4.0", start.clone())
            .service(SERVICE, |s| {
                s.container(SERVICE, "storefront/backend", tag)
                    .family("storefront-backend")
                    .desired(6)
                    .percent(100, 117)
                    .load_balanced(8080)
            })
    };
    World::builder(case.seed)
        .environment("staging", |e| {
            describe(e, "111111111111", "2.4.0", &Behaviour::default())
        })
        .environment("production", |e| describe(e, "222222222222", "2.3.0", &start))
        .build()
        .expect("well described")
}

/// One service and nothing else.
fn plan(case: &Case) -> Draft {
    let mut draft = storefront(&rollout_sim::storefront(1));
    draft.services.retain(|service| service.name.as_str() == SERVICE);
    draft.tasks.clear();
    draft.gates.clear();
    draft.cutovers.clear();
    for service in &mut draft.services {
        service.after.clear();
        service.gates.clear();
        service.deployment.poll_every = case.poll;
        service.deployment.pace = case.pace;
        // The platform's verdict is what is waited for here, not ours.
        service.deployment.stopped_tasks = 100;
        service.deployment.give_up = secs(3_600);
    }
    draft
}

/// The moment of the platform's verdict, found by looking at the world itself all the time.
async fn verdict(wire: InProcess, service: &str, told: Rc<Cell<Option<Timestamp>>>) {
    let cloud = wire.endpoint().cloud().clone();
    let before = cloud.with(|w| w.service("production", service)).expect("there");
    let before = before.primary().expect("a deployment").id.clone();
    loop {
        wire.catch_up();
        let seen = cloud.with(|w| w.service("production", service)).expect("there");
        let ended = seen.deployments.iter().any(|d| {
            d.id != before && (d.rollout == RolloutState::Completed || d.rollout == RolloutState::Failed)
        });
        if ended {
            told.set(Some(wire.now()));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What follows from it: the last look of a release, or the way back.
fn follows(action: &Action) -> bool {
    matches!(action, Action::Confirm { .. } | Action::Unwind(_))
}

fn is_look(action: &Action) -> bool {
    matches!(action, Action::Deployment(deployment::Effect::Observe { .. }))
}

/// When what is wanted was issued.
fn issued(records: &[Record<Event, Effect>], wanted: fn(&Action) -> bool) -> Vec<Timestamp> {
    let all = records.iter().filter_map(|record| match &record.body {
        Body::Issued { effect } => wanted(&effect.action).then_some(record.at),
        _ => None,
    });
    all.collect()
}

fn try_it(case: Case) -> Measured {
    on_virtual_time(case.seed, async move {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(world(&case))));
        let cloud = wire.endpoint().cloud().clone();
        let url = case.queue.map(|delivery| {
            cloud.with(|world| {
                let url = world.feed("production", QUEUE).expect("a name");
                world.deliver("production", QUEUE, delivery).expect("a rule");
                url
            })
        });
        let mut machine = fresh(plan(&case));
        let blank = machine.clone();
        let journal = MemoryJournal::new();
        let clock = wire.clock();
        let (sender, inbox) = hints();
        let listening = async {
            let Some(url) = url else { return };
            let queue = EventQueue::from_config(&wire.config("production").expect("there"), &url);
            let interest = Interest {
                cluster: "production".to_owned(),
                services: BTreeSet::from([SERVICE.parse().expect("a name")]),
                families: BTreeSet::new(),
            };
            queue
                .listen(&interest, clock.as_ref(), &sender, &mut |_| {})
                .await;
        };
        let losing = async {
            if let Some(after) = case.lost_after {
                tokio::time::sleep(after).await;
                cloud
                    .with(|world| world.delete_queue("production", QUEUE))
                    .expect("there");
            }
            core::future::pending::<()>().await;
        };
        let told = Rc::new(Cell::new(None));
        let begun = wire.now();
        let driving = drive_through(
            wired::ports(&wire),
            wire.clock(),
            &mut machine,
            &journal,
            inbox.map(Event::Hinted),
            &Silent,
        );
        let outcome = tokio::select! {
            biased; // in this order, so that each run is the same
            outcome = driving => outcome.expect("driven"),
            () = async { tokio::join!(listening, losing, verdict(wire.clone(), SERVICE, Rc::clone(&told))); } => unreachable!("losing never ends"),
        };
        let verdict = told.get().expect("the platform has decided");
        let records = journal.into_records();
        let noticed = issued(&records, follows).first().copied().expect("noticed");
        let looks = issued(&records, is_look).len();
        // What hints led to is replayed like everything else.
        let back = replay(blank, &records).expect("it replays");
        assert_eq!(back.machine, machine);
        let calls = wire.endpoint().calls();
        let made = |sqs: bool| {
            let until = calls.iter().filter(|call| call.at <= noticed);
            until.filter(|call| (call.service == "sqs") == sqs).count()
        };
        Measured {
            outcome,
            took: verdict.since(begun),
            noticed: noticed.since(verdict),
            calls: made(false),
            looks,
            sqs: made(true),
        }
    })
}

const SEEDS: u64 = 20;

/// The longest notice, and the most calls, looks and calls to SQS, of all seeds; and the longest deployment.
#[derive(Debug, Default)]
struct Worst {
    noticed: Vec<Duration>,
    took: Duration,
    calls: usize,
    looks: usize,
    sqs: usize,
    /// Looks in a second, in thousandths.
    rate: u128,
}

impl Worst {
    fn of(name: &str, case: impl Fn(u64) -> Case) -> Self {
        let mut worst = Self::default();
        for seed in 1..=SEEDS {
            let case = case(seed);
            let one = try_it(case);
            let right = match &one.outcome {
                Outcome::Released { .. } => case.good,
                Outcome::RolledBack { .. } => !case.good,
                _ => false,
            };
            assert!(right, "{case:?}: {:#?}", one.outcome);
            worst.noticed.push(one.noticed);
            worst.took = worst.took.max(one.took);
            worst.calls = worst.calls.max(one.calls);
            worst.looks = worst.looks.max(one.looks);
            worst.sqs = worst.sqs.max(one.sqs);
            worst.rate = worst
                .rate
                .max(one.looks as u128 * 1_000_000 / one.took.as_millis());
        }
        worst.noticed.sort_unstable();
        println!(
            "{name:<34} {:>4} s  noticed after {:>6} ms (median {:>5})  {:>3} looks  {:>3} calls  {:>3} of SQS",
            worst.took.as_secs(),
            worst.longest().as_millis(),
            worst.noticed[worst.noticed.len() / 2].as_millis(),
            worst.looks,
            worst.calls,
            worst.sqs,
        );
        worst
    }

    fn longest(&self) -> Duration {
        self.noticed.last().copied().unwrap_or_default()
    }
}

fn even(seed: u64, good: bool) -> Case {
    Case {
        seed,
        good,
        poll: secs(5),
        pace: None,
        queue: None,
        lost_after: None,
    }
}

/// With looks up to half a minute apart, and nothing known of how long it takes.
fn adaptive(seed: u64, good: bool) -> Case {
    let pace = Pace {
        fast: secs(1),
        slow: secs(30),
        expected: None,
    };
    Case {
        pace: Some(pace),
        ..even(seed, good)
    }
}

/// With a queue, and polling slowed to minutes.
fn pushed(seed: u64, good: bool, delivery: Delivery) -> Case {
    let pace = Pace {
        fast: secs(1),
        slow: secs(300),
        expected: None,
    };
    Case {
        poll: secs(120),
        pace: Some(pace),
        queue: Some(delivery),
        ..even(seed, good)
    }
}

#[test]
fn an_end_is_noticed_within_a_moment_where_events_are_pushed() {
    for good in [true, false] {
        let worst = Worst::of(
            if good {
                "pushed, a success"
            } else {
                "pushed, a failure"
            },
            |seed| pushed(seed, good, Delivery::default()),
        );
        assert!(worst.longest() <= secs(1), "{:?}", worst.noticed);
    }
}

#[test]
fn polling_that_adapts_makes_fewer_looks_at_a_success_and_notices_a_failure_sooner() {
    for good in [true, false] {
        let before = Worst::of(
            if good {
                "even, a success"
            } else {
                "even, a failure"
            },
            |seed| even(seed, good),
        );
        let after = Worst::of(
            if good {
                "adaptive, a success"
            } else {
                "adaptive, a failure"
            },
            |seed| adaptive(seed, good),
        );
        if good {
            assert!(after.looks < before.looks);
            assert!(after.longest() <= secs(31), "{:?}", after.noticed);
        } else {
            assert!(after.longest() <= before.longest(), "{:?}", after.noticed);
        }
    }
}

#[test]
fn without_hints_polling_still_notices() {
    // Nothing comes.
    let silent = Worst::of("pushed, but nothing comes", |seed| {
        pushed(seed, false, Delivery::SILENT)
    });
    assert!(silent.longest() <= secs(301), "{:?}", silent.noticed);
    // The queue goes away in the middle.
    let lost = Worst::of("pushed, but the queue is deleted", |seed| Case {
        lost_after: Some(secs(30)),
        ..pushed(seed, false, Delivery::default())
    });
    assert!(lost.longest() <= secs(301), "{:?}", lost.noticed);
    // Twice, late, out of order, lost: no other end, and no storm of looks.
    let poor = Worst::of("pushed, poorly", |seed| pushed(seed, true, Delivery::POOR));
    assert!(poor.looks < 60, "{poor:?}");
}
