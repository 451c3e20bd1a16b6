//! The terms of the start: what the plan rests on, and whether there is time.

use core::time::Duration;

use super::*;
use crate::evidence::{Cause, Reason};
use crate::id::ImageDigest;
use crate::plan::assumed::Assumed;
use crate::plan::window::{Freeze, Window};
use crate::plan::worst::WorstCase;

/// Reads everything under these terms; `spoil` may change each answer.
fn read(terms: Terms, mut spoil: impl FnMut(Event) -> Event) -> Run {
    let mut run = Run::new(plan(true));
    run.walk = Walk::light(Rollout::new(plan(true)).under(terms));
    run.give(Event::Start);
    while run.walk.machine.state_kind() == StateKind::Checking && !run.flight.is_empty() {
        let effect = run.flight.remove(0);
        let event = run.answer(effect, Luck::Good);
        run.give(spoil(event));
    }
    run
}

fn refused(run: &Run) -> Reason {
    assert!(!run.walk.machine.touched());
    assert!(
        run.said.iter().all(|(_, effect)| !effect.mutates()),
        "nothing that changes anything was said"
    );
    match run.walk.machine.outcome() {
        Some(Outcome::Refused { why }) => why,
        other => panic!("it is refused, not {other:?}"),
    }
}

/// What the world is like when it begins.
fn assumed() -> Assumed {
    let mut seen = Assumed::default();
    let noted = |event: Event| {
        match &event {
            Event::IdentitySeen(identity) => seen.identity = Some(identity.clone()),
            Event::Captured { service, captured } => {
                seen.services.insert(service.clone(), captured.into());
            }
            Event::RecordRead { step, snapshot } => {
                seen.records.insert(step.clone(), snapshot.as_ref().into());
            }
            Event::Promotion {
                step,
                event: promotion::Event::TagResolved(Some(digest)),
            } => {
                seen.images.insert(step.clone(), digest.clone());
            }
            _ => {}
        }
        event
    };
    let run = read(Terms::default(), noted);
    assert_eq!(run.walk.machine.state_kind(), StateKind::Promoting);
    assert_eq!((seen.services.len(), seen.records.len()), (3, 1));
    assert!(!seen.images.is_empty(), "images are named by tag");
    seen
}

fn assuming(assumes: Assumed) -> Terms {
    Terms {
        assumes: Some(assumes),
        ..Terms::default()
    }
}

#[test]
fn it_begins_in_the_world_that_it_assumes() {
    let run = read(assuming(assumed()), |event| event);
    assert_eq!(run.walk.machine.state_kind(), StateKind::Promoting);
    let work = run.walk.machine.work().expect("it has begun");
    assert!(work.seen.is_empty(), "what was read for the start is not kept");
}

#[test]
fn whatever_has_moved_is_refused_and_all_of_it_is_named() {
    let mut was = assumed();
    was.images
        .values_mut()
        .for_each(|digest| *digest = ImageDigest::of(b"other"));
    for service in was.services.values_mut() {
        service.deployment = Some("another".parse().expect("valid"));
    }
    for record in was.records.values_mut() {
        record.generation = record.generation.next();
    }
    let images = was.images.len();
    let why = refused(&read(assuming(was), |event| event));
    assert_eq!(why.cause, Cause::WorldMoved);
    assert_eq!(why.evidence.len(), 3 + 1 + images, "{why:?}");
    assert!(why.text.contains("make a new plan"), "{why}");
    let backend = why
        .evidence
        .iter()
        .find(|seen| seen.subject == "service backend, PRIMARY deployment");
    assert!(
        backend
            .expect("it has moved")
            .detail
            .starts_with("was another, is "),
        "{why:?}"
    );
}

#[test]
fn one_thing_that_has_moved_is_enough() {
    let changes: [fn(&mut Assumed); 5] = [
        |was| {
            was.images
                .values_mut()
                .take(1)
                .for_each(|digest| *digest = ImageDigest::of(b"other"))
        },
        |was| {
            was.services
                .values_mut()
                .take(1)
                .for_each(|service| service.deployment = None)
        },
        |was| {
            was.services
                .values_mut()
                .take(1)
                .for_each(|service| service.point = None)
        },
        |was| was.records.values_mut().for_each(|record| record.record = None),
        |was| {
            was.records
                .values_mut()
                .for_each(|record| record.generation = record.generation.next())
        },
    ];
    for change in changes {
        let mut was = assumed();
        change(&mut was);
        assert_eq!(
            refused(&read(assuming(was), |event| event)).cause,
            Cause::WorldMoved
        );
    }
}

fn worst() -> Duration {
    let plan = plan(true);
    WorstCase::of(&plan, &assumed().ttls()).total()
}

/// The moment at which everything has been read: the small world's clock stands still.
fn start() -> Timestamp {
    read(Terms::default(), |event| event).now
}

fn frozen(from: Timestamp) -> Terms {
    let freeze = Freeze {
        from,
        until: Timestamp::MAX,
        why: Some("the sale".to_owned()),
    };
    let window = Window {
        freezes: vec![freeze],
        ..Window::default()
    };
    Terms {
        window: Some(window),
        ..Terms::default()
    }
}

fn lease(at: Timestamp) -> Terms {
    Terms {
        ends: vec![Ends {
            what: "the lease".to_owned(),
            at,
        }],
        ..Terms::default()
    }
}

fn with_credentials(at: Timestamp) -> Run {
    read(Terms::default(), move |event| match event {
        Event::IdentitySeen(identity) => Event::IdentitySeen(Identity {
            expires_at: Some(at),
            ..identity
        }),
        other => other,
    })
}

#[test]
fn what_ends_before_the_worst_case_is_refused_and_what_ends_with_it_is_not() {
    let end = start().after(worst());
    let early = Timestamp::from_millis(end.as_millis() - 1);
    let as_it_is = |event| event;
    for (at, begins) in [(end, true), (early, false), (Timestamp::EPOCH, false)] {
        for (run, says) in [
            (read(frozen(at), as_it_is), "the change window"),
            (read(lease(at), as_it_is), "the lease"),
            (with_credentials(at), "the credentials"),
        ] {
            if begins {
                assert_eq!(run.walk.machine.state_kind(), StateKind::Promoting, "{says}");
            } else {
                let why = refused(&run);
                assert_eq!(why.cause, Cause::NoTime);
                assert!(why.text.contains(says) && why.text.contains("at worst"), "{why}");
            }
        }
    }
}

#[test]
fn everything_that_ends_too_early_is_named_at_once() {
    let mut terms = frozen(start());
    terms.ends = lease(Timestamp::EPOCH).ends;
    let why = refused(&read(terms, |event| event));
    assert!(
        why.text.contains("the sale") && why.text.contains("the lease"),
        "{why}"
    );
    assert_eq!(why.evidence.len(), 2);
}

#[test]
fn what_has_begun_may_finish_or_go_back_whatever_ends() {
    // Everything ends right after the last thing was read, and the release runs to its end all the same.
    let end = start().after(worst());
    let mut terms = frozen(end);
    terms.ends = lease(end).ends;
    let mut run = read(terms, |event| event);
    assert_eq!(run.walk.machine.state_kind(), StateKind::Promoting);
    run.now = end.after(secs(86_400));
    run.give(Event::Abort);
    assert_ne!(run.walk.machine.state_kind(), StateKind::Checking);
    assert!(!matches!(
        run.walk.machine.outcome(),
        Some(Outcome::Refused { .. })
    ));
}

#[test]
fn terms_that_ask_for_nothing_are_none() {
    assert!(Rollout::new(plan(true)).under(Terms::default()).terms().is_none());
    let stored = serde_json::to_value(Rollout::new(plan(true))).expect("it is stored");
    assert!(
        stored.get("terms").is_none(),
        "journals of before read as they were"
    );
}
