//! The last look: a release is not claimed on what was seen when each service was done, but on what is seen at the end.

use core::time::Duration;

use rollout_core::evidence::{Cause, StuckReason};
use rollout_core::journal::Body;
use rollout_core::machine::rollout::{Event, Outcome};
use rollout_core::plan::Draft;
use rollout_core::time::Timestamp;
use rollout_sim::{Incident, When, World};
use rollout_tests::run::{Finished, run, storefront};
use rollout_tests::truth::{self, SERVICES, after, before, flaws};

fn world() -> World {
    rollout_sim::storefront(10)
}

/// When the last look begins, in a world where nothing goes wrong.
fn last_look() -> Timestamp {
    let world = world();
    let draft = storefront(&world);
    let finished = run(world, draft);
    let looks = finished.records.iter().filter(is_look);
    looks.map(|record| record.at).min().expect("there is one")
}

fn is_look(record: &&rollout_tests::run::Entry) -> bool {
    matches!(
        &record.body,
        Body::Happened {
            event: Event::Confirmed { .. },
            ..
        }
    )
}

fn looks(finished: &Finished) -> usize {
    finished.records.iter().filter(is_look).count()
}

/// A storefront in which these happen right before the last look.
fn shortly_before_the_end<const N: usize>(incidents: [Incident; N]) -> (World, Draft) {
    let mut world = world();
    let draft = storefront(&world);
    let just_before = Timestamp::from_millis(last_look().as_millis() - 1);
    for incident in incidents {
        let planned = world.schedule("production", When::At(just_before), incident);
        planned.expect("it is there");
    }
    (world, draft)
}

#[test]
fn it_waits_for_tasks_that_are_on_their_way() {
    let (world, draft) = shortly_before_the_end([Incident::Scaled {
        service: "worker".to_owned(),
        desired: 6,
    }]);
    let wanted = after(&world, &draft);
    let finished = run(world, draft);
    assert!(
        matches!(finished.outcome, Outcome::Released { .. }),
        "{:#?}",
        finished.outcome
    );
    assert!(
        looks(&finished) > SERVICES.len(),
        "each service was looked at once only"
    );
    let world = finished.cloud.world();
    assert_eq!(truth::service(&world, "worker").running, 6);
    assert_eq!(flaws(&world, &wanted, &SERVICES), Vec::<String>::new());
}

/// One service is not there yet; by the time it is, another has lost what it had shown before.
#[test]
fn it_claims_what_it_sees_in_one_round() {
    let scaled = |service: &str, desired| Incident::Scaled {
        service: service.to_owned(),
        desired,
    };
    let (mut world, draft) = shortly_before_the_end([scaled("worker", 6)]);
    let wanted = after(&world, &draft);
    let soon_after = last_look().after(Duration::from_secs(12));
    world
        .schedule("production", When::At(soon_after), scaled("backend", 9))
        .expect("it is there");
    let finished = run(world, draft);
    assert!(
        matches!(finished.outcome, Outcome::Released { .. }),
        "{:#?}",
        finished.outcome
    );
    let world = finished.cloud.world();
    assert_eq!(flaws(&world, &wanted, &SERVICES), Vec::<String>::new());
    assert_eq!(truth::service(&world, "backend").running, 9);
}

#[test]
fn it_gives_up_on_tasks_that_do_not_come() {
    let (world, draft) = shortly_before_the_end([
        Incident::CapacityShort {
            lasts: Duration::from_secs(8 * 60),
        },
        Incident::Scaled {
            service: "worker".to_owned(),
            desired: 6,
        },
    ]);
    let wanted = before(&world);
    let finished = run(world, draft);
    let Outcome::RolledBack { why, .. } = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(why.cause, Cause::DeadlineExceeded, "{why:?}");
    assert!(why.text.contains("confirm/worker"), "{why}");
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &SERVICES),
        Vec::<String>::new()
    );
}

#[test]
fn it_finds_that_a_service_is_gone() {
    let (world, draft) = shortly_before_the_end([Incident::ServiceDeleted {
        service: "worker".to_owned(),
    }]);
    let wanted = before(&world);
    let finished = run(world, draft);
    let Outcome::Stuck(stuck) = &finished.outcome else {
        panic!("{:#?}", finished.outcome)
    };
    assert_eq!(stuck.reason, StuckReason::ForeignChange, "{stuck:?}");
    // What is still there went back, traffic included.
    let others = ["backend", "frontend"];
    assert_eq!(
        flaws(&finished.cloud.world(), &wanted, &others),
        Vec::<String>::new()
    );
}

#[test]
fn it_finds_that_another_has_deployed() {
    let (world, draft) = shortly_before_the_end([Incident::ForeignDeployer {
        service: "worker".to_owned(),
        image: None,
    }]);
    let wanted = before(&world);
    let finished = run(world, draft);
    let by = finished.yielded_to();
    let world = finished.cloud.world();
    let primary = truth::service(&world, "worker").primary().map(|d| d.id.clone());
    assert_eq!(Some(&by.deployment), primary.as_ref());
    assert_eq!(
        flaws(&world, &wanted, &["backend", "frontend"]),
        Vec::<String>::new()
    );
}
