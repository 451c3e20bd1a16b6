//! Rollouts of one process that share a reader of their queue.

use core::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use rollout_aws::sqs::{EventQueue, Interest, Subscribers, Trouble};
use rollout_core::hint::hints;
use rollout_core::journal::MemoryJournal;
use rollout_core::machine::rollout::{Event, Outcome};
use rollout_core::observer::Silent;
use rollout_core::plan::Draft;
use rollout_sim::endpoint::{Endpoint, InProcess};
use rollout_sim::{Behaviour, Delivery, EnvironmentBuilder, SimCloud, Start, World};
use rollout_tests::run::{drive_through, fresh};
use rollout_tests::wired::{self, on_virtual_time};

use super::{Case, QUEUE, SERVICE, follows, issued, plan, pushed, secs, verdict};

/// Rollouts of one process.
const TOGETHER: usize = 10;

fn name(number: usize) -> String {
    format!("s{number}")
}

/// A service for each of them; the even ones will fail.
fn many_services(seed: u64) -> World {
    let crash = Behaviour::starting(Start::CrashAfter {
        millis: 4_000,
        exit_code: 1,
    });
    let describe = |e: EnvironmentBuilder, account: &str, tag: &str| {
        (0..TOGETHER).fold(e.account(account), |e, number| {
            let (name, repository) = (name(number), format!("shop/{}", name(number)));
            let crashes = number % 2 == 0 && account == "222222222222";
            let new = if crashes {
                crash.clone()
            } else {
                Behaviour::default()
            };
            e.image(&repository, "2.3.0")
                .image_that(&repository, "2.4.0", new)
                .service(&name, |s| {
                    s.container(SERVICE, &repository, tag)
                        .desired(3)
                        .percent(100, 134)
                        .load_balanced(8080)
                })
        })
    };
    World::builder(seed)
        .environment("staging", |e| describe(e, "111111111111", "2.4.0"))
        .environment("production", |e| describe(e, "222222222222", "2.3.0"))
        .build()
        .expect("well described")
}

/// The plan of one of them.
fn plan_of(number: usize, case: &Case) -> Draft {
    let mut draft = plan(case);
    draft.run = format!("r-{number}").parse().expect("a name");
    let (name, repository) = (name(number), format!("shop/{}", name(number)));
    for service in &mut draft.services {
        service.name = name.parse().expect("a name");
        service.template["family"] = name.as_str().into();
        for image in service.images.values_mut() {
            image.service = name.parse().expect("a name");
            image.from = repository.parse().expect("a name");
            image.to = repository.parse().expect("a name");
        }
    }
    draft
}

#[test]
fn rollouts_of_one_process_share_a_reader_and_each_notices_its_end_within_two_seconds() {
    let case = pushed(5, true, Delivery::default());
    let mut notices = on_virtual_time(case.seed, async move {
        let wire = InProcess::new(Endpoint::new(SimCloud::new(many_services(case.seed))));
        let fed = |world: &mut World| world.feed("production", QUEUE).expect("a name");
        let url = wire.endpoint().cloud().with(fed);
        let queue = EventQueue::from_config(&wire.config("production").expect("there"), &url);
        let (subscribers, clock) = (Subscribers::default(), wire.clock());
        let ports = wired::ports(&wire);
        let one = async |number: usize| {
            let (sender, inbox) = hints();
            let interest = Interest {
                cluster: "production".to_owned(),
                services: BTreeSet::from([name(number).parse().expect("a name")]),
                families: BTreeSet::new(),
            };
            let _subscription = subscribers.subscribe(interest, wire.now(), sender);
            let told = Rc::new(Cell::new(None));
            let (mut machine, journal) = (fresh(plan_of(number, &case)), MemoryJournal::new());
            let outcome = {
                let signals = inbox.map(Event::Hinted);
                let driving = drive_through(
                    ports.clone(),
                    wire.clock(),
                    &mut machine,
                    &journal,
                    signals,
                    &Silent,
                );
                let service = name(number);
                let judged = async {
                    verdict(wire.clone(), &service, Rc::clone(&told)).await;
                    core::future::pending::<()>().await;
                };
                tokio::select! {
                    biased; // in this order, so that each run is the same
                    outcome = driving => outcome.expect("driven"),
                    () = judged => unreachable!("it never ends"),
                }
            };
            let right = match number % 2 {
                0 => matches!(outcome, Outcome::RolledBack { .. }),
                _ => matches!(outcome, Outcome::Released { .. }),
            };
            assert!(right, "{number}: {outcome:#?}");
            let noticed = issued(&journal.into_records(), follows)
                .first()
                .copied()
                .expect("noticed");
            noticed.since(told.get().expect("the platform has decided"))
        };
        let mut trouble = |trouble: &Trouble<'_>| panic!("{trouble}");
        tokio::select! {
            biased;
            notices = join_all((0..TOGETHER).map(one)) => notices,
            () = queue.serve(&subscribers, clock.as_ref(), &mut trouble) => unreachable!("it is there"),
        }
    });
    notices.sort_unstable();
    println!("{TOGETHER} that share a reader: noticed after {notices:?}");
    // Reads of several are gathered for a quarter of a second, twice in a look, and a look may be under way when the end comes.
    assert!(
        notices.last().is_some_and(|longest| *longest <= secs(2)),
        "{notices:?}"
    );
}
